//! TCP (RFC 7766): pipelined queries, answered in order.
//!
//! One task a connection, and nothing that one connection does can hold up another: answering never
//! waits, and reading and writing wait for their own peer only.
//!
//! ```text
//!        ┌─ read ─▶ Input ─ whole message ─▶ Engine ─ answer ─▶ Output ─ write ─┐
//! peer ──┘     (only while less than the backlog bound waits in Output)         └──▶ peer
//! ```
//!
//! When a connection ends:
//!
//! - The peer closed its half: what it asked is answered first.
//! - It asks nothing for the idle time. Only a whole message counts as asking, so that a peer who sends
//!   an octet now and then does not hold its place for ever.
//! - It does not take what waited for it within the write deadline. What came to wait in the meantime gets
//!   a deadline of its own, so a fast reader of many answers is not cut off, and one who takes an octet
//!   at a time is.
//! - It sends a length that no message has: the answers so far are sent, and that is all, since what
//!   follows can not be trusted to be framed.
//! - The server stops: whole messages that have arrived are answered first.

use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::admission::Admission;
use super::engine::Engines;
use super::framing::{Input, Next, Output};
use super::stop::Stop;
use crate::answer::Transport;

/// How long to wait before accepting again when the system has no descriptor or no memory for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long we go on reading, unheard, after we have said our last word. A socket that is closed with
/// unread octets resets the connection, and the reset can overtake the answers.
const LINGER: Duration = Duration::from_secs(1);

/// What every connection of the stream doors shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engines: Engines,
    pub(super) admission: Arc<Admission>,
}

/// Accepts connections until the doors close. `alive` is held by every connection, so that whoever holds
/// the other end knows when the last has gone.
pub(super) async fn listen(listener: TcpListener, shared: Arc<Shared>, mut stop: Stop, alive: mpsc::Sender<()>) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.said() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let client = peer.ip();
                // Over the bound: dropping the stream closes it.
                let Some(admitted) = shared.admission.admit(client) else { continue };
                let (shared, stop, alive) = (Arc::clone(&shared), stop.clone(), alive.clone());
                tokio::spawn(async move {
                    let _held = (admitted, alive);
                    // An error here is the peer's: it went away, or broke the connection off.
                    if let Err(error) = converse(stream, client, &shared, stop).await {
                        tracing::debug!(%client, %error, "a TCP connection ended");
                    }
                });
            }
            // The peer went away before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "can not accept TCP connections");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection from beginning to end.
async fn converse(mut stream: TcpStream, client: IpAddr, shared: &Shared, mut stop: Stop) -> io::Result<()> {
    // Answers are written whole; waiting to fill a segment would only delay them.
    stream.set_nodelay(true)?;
    let bounds = *shared.admission.bounds();
    let mut input = Input::new();
    let mut output = Output::default();
    let mut reading = Reading::Open;
    let mut idle_at = Instant::now() + shared.admission.idle();
    let mut delivery: Option<Delivery> = None;
    loop {
        let asked = answer_what_came(&mut input, &mut output, client, shared, bounds.backlog_len_max);
        if asked.messages > 0 {
            idle_at = Instant::now() + shared.admission.idle();
        }
        if asked.is_broken {
            reading = Reading::Refused;
        }
        let has_room = output.len() < bounds.backlog_len_max;
        if stop.is_said() && reading == Reading::Open {
            match read_arrived(&stream, input.space()) {
                Ok(count @ 1..) if has_room => {
                    input.filled(count);
                    continue;
                }
                Ok(_) | Err(_) => reading = Reading::Refused,
            }
        }
        if output.is_empty() {
            delivery = None;
            if reading != Reading::Open {
                break;
            }
        }
        let deadline = match &mut delivery {
            _ if output.is_empty() => idle_at,
            Some(delivery) => delivery.at,
            None => delivery.insert(Delivery::of(&output, bounds.write)).at,
        };
        let (mut from_peer, mut to_peer) = stream.split();
        tokio::select! {
            biased;
            () = stop.said(), if reading == Reading::Open => {}
            written = to_peer.write(output.waiting()), if !output.is_empty() => {
                let count = match written? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    count => count,
                };
                output.written(count);
                match &mut delivery {
                    Some(delivery) if delivery.len > count => delivery.len -= count,
                    _ => delivery = None,
                }
                if output.is_empty() {
                    idle_at = Instant::now() + shared.admission.idle();
                }
            }
            read = from_peer.read(input.space()), if reading == Reading::Open && has_room => match read? {
                0 => reading = Reading::Finished,
                count => input.filled(count),
            },
            () = sleep_until(deadline) => {
                return if output.is_empty() { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) };
            }
        }
    }
    stream.shutdown().await?;
    if reading == Reading::Refused {
        let mut unheard = [0; 2048];
        let drain = async { while matches!(stream.read(&mut unheard).await, Ok(1..)) {} };
        // Either way the connection is over.
        let _ = timeout(LINGER, drain).await;
    }
    Ok(())
}

/// Reads what has arrived, and waits for nothing. The system is asked itself: the runtime would say "nothing
/// yet" of octets whose arrival it has not been told of.
fn read_arrived(stream: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    let socket = SockRef::from(stream);
    (&*socket).read(space)
}

/// Whether we still read from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Yes.
    Open,
    /// It has closed its half.
    Finished,
    /// We do not want to hear more.
    Refused,
}

/// What waited for the peer at one moment, and until when it must have taken that.
#[derive(Debug)]
struct Delivery {
    len: usize,
    at: Instant,
}

impl Delivery {
    fn of(output: &Output, write: Duration) -> Delivery {
        Delivery { len: output.len(), at: Instant::now() + write }
    }
}

#[derive(Debug, Default)]
struct AskedSoFar {
    messages: usize,
    is_broken: bool,
}

/// Answers the whole messages in `input`, in order, while `output` has room.
fn answer_what_came(
    input: &mut Input,
    output: &mut Output,
    client: IpAddr,
    shared: &Shared,
    backlog_len_max: usize,
) -> AskedSoFar {
    let mut asked = AskedSoFar::default();
    while output.len() < backlog_len_max && !asked.is_broken {
        match input.next() {
            Next::Message(range) => {
                asked.messages += 1;
                let mut engine = shared.engines.take();
                if let Some(answer) = engine.answer(input.bytes(range), client, Transport::Tcp) {
                    let fits = output.push(answer);
                    if !fits {
                        engine.counters().send_errors.add(1);
                    }
                }
            }
            Next::Partial => break,
            Next::Broken => asked.is_broken = true,
        }
    }
    asked
}
