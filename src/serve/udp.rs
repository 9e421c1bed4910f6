//! UDP: one thread a worker, one socket a worker, one table a batch.
//!
//! A [`Worker`] owns everything that it touches for a query: its socket (the kernel spreads clients over
//! the sockets of one port), its buffers, its random numbers, its counters, its view of the table. One
//! [`Worker::turn`] is one batch:
//!
//! ```text
//! receive ≤ 64 ── work(): one table ── answer each into its slot ── send ── rest()
//! ```
//!
//! Invariants:
//!
//! - A turn neither allocates nor locks, and its only system calls are one to receive and, when there are
//!   replies, one to send (more only when the kernel refuses one of them). The clock is read once.
//! - All answers of a turn come from one table.
//! - A panic while answering costs the query that caused it: it gets no reply, is counted, and the rest of
//!   the batch goes on. Catching costs nothing while nothing is thrown: it is entered once a batch.
//! - A worker that waits holds a table only until [`crate::limits::UDP_IDLE_TURN_S`] have passed.
//!
//! **Polling.** A worker that is told to ([`Worker::polling`]) does not sleep for a while after a query. The
//! processor is never idle then, so it is an option; what it saves is the time it takes to wake a thread.
//!
//! **Stopping.** [`Worker::run`] ends when its flag is set. [`UdpSocket::wake`] ends the wait in the
//! kernel at once; the socket's receive timeout does where a kernel does not know that. This keeps the
//! busy path at one system call each way: a poll beside an event descriptor would add one to every batch.

use std::hint;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::counters::Counters;
use super::random::Random;
use crate::answer::{Asked, Outcome, Transport, answer_tallying, look_ahead};
use crate::limits::{UDP_DRAIN_BATCHES, UDP_IDLE_TURN_S, UDP_RESPONSE_LEN_MIN};
use crate::sys::{Batch, UdpSocket, Wait};
use crate::table::{Reader, RoutingTable, Tallier};

/// One worker of one listening address.
#[derive(Debug)]
pub struct Worker {
    socket: Arc<UdpSocket>,
    counters: Arc<Counters>,
    reader: Reader,
    batch: Batch,
    random: Random,
    clock: Clock,
    /// How long after the last query it does not sleep.
    busy_poll: Duration,
}

impl Worker {
    /// A worker that answers what comes to `socket`.
    pub fn new(socket: Arc<UdpSocket>, reader: Reader) -> Worker {
        let (batch, random) = (Batch::new(), Random::from_os());
        let clock = Clock::since(reader.origin());
        Worker { socket, counters: Arc::default(), reader, batch, random, clock, busy_poll: Duration::ZERO }
    }

    /// The same, but for so long after a query it goes on asking for the next instead of sleeping: a client whose
    /// query comes meanwhile does not wait until a thread is awake.
    pub fn polling(mut self, busy_poll: Duration) -> Worker {
        self.busy_poll = busy_poll;
        if !busy_poll.is_zero() && !self.socket.poll_busily() {
            tracing::debug!(address = %self.socket.local_address(), "the kernel does not poll the interface for us");
        }
        self
    }

    /// Its socket.
    pub fn socket(&self) -> Arc<UdpSocket> {
        Arc::clone(&self.socket)
    }

    /// What it counts.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Answers batch after batch until `stop` is set, then what still waits in the socket's queue, at most
    /// [`UDP_DRAIN_BATCHES`].
    pub fn run(mut self, stop: &AtomicBool) {
        let mut asked = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            // The clock is nobody's business when there is nothing to poll for.
            let is_awake = !self.busy_poll.is_zero() && asked.elapsed() < self.busy_poll;
            let outcome = self.turn(if is_awake { Wait::No } else { Wait::Turn });
            if !self.busy_poll.is_zero() {
                match outcome {
                    Ok(1..) => asked = Instant::now(),
                    Ok(0) | Err(_) => hint::spin_loop(),
                }
            }
            if let Err(error) = outcome {
                // Not of one datagram but of the socket (no memory, for instance): it may pass, and
                // asking again at once would not help it.
                self.counters.receive_errors.add(1);
                let count = self.counters.receive_errors.value();
                if count.is_power_of_two() {
                    let address = self.socket.local_address();
                    tracing::warn!(%address, %error, count, "can not receive queries");
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        for _ in 0..UDP_DRAIN_BATCHES {
            if !matches!(self.turn(Wait::No), Ok(1..)) {
                break;
            }
        }
    }

    /// One turn: receives a batch, answers it, sends the replies. Says how many datagrams came, 0 when
    /// none came in time.
    pub fn turn(&mut self, wait: Wait) -> io::Result<usize> {
        self.turn_with(wait, answer_tallying)
    }

    fn turn_with(
        &mut self,
        wait: Wait,
        answer: impl Fn(&[u8], &Asked, &RoutingTable, &mut Tallier<'_>, &mut [u8]) -> Outcome,
    ) -> io::Result<usize> {
        let count = self.batch.receive(&self.socket, wait)?;
        if count == 0 {
            // Taking the newest table lets go of an older one.
            self.reader.work();
        } else {
            let began = self.clock.now();
            let (table, tallier) = self.reader.answering(began, count);
            let block = tallier.block();
            let asked = Asked { client: IpAddr::V4(Ipv4Addr::UNSPECIFIED), transport: Transport::Udp, random: 0 };
            answer_batch(&mut self.batch, (table, tallier), asked, &mut self.random, &self.counters, answer);
            let sent = self.batch.send(&self.socket);
            // A full queue holds answers back, for at most UDP_IDLE_TURN_S.
            if let Some(late) = self.clock.late(began) {
                block.late(late);
            }
            if sent.failed > 0 {
                self.counters.send_errors.add(sent.failed as u64);
                let error = io::Error::from_raw_os_error(sent.last_error.unwrap_or(0));
                tracing::debug!(failed = sent.failed, %error, "the kernel refused replies");
            }
        }
        self.reader.rest();
        Ok(count)
    }
}

/// Answers every query of `batch` from `table`, each into its slot.
fn answer_batch(
    batch: &mut Batch,
    (table, mut tallier): (&RoutingTable, Tallier<'_>),
    mut asked: Asked,
    random: &mut Random,
    counters: &Counters,
    answer: impl Fn(&[u8], &Asked, &RoutingTable, &mut Tallier<'_>, &mut [u8]) -> Outcome,
) {
    let (mut received, mut answered, mut dropped, mut truncated) = (0, 0, 0, 0);
    let queries = batch.queries().map(|query| (query.bytes, query.source.map_or(asked.client, |source| source.ip())));
    if catch_unwind(AssertUnwindSafe(|| look_ahead(queries, table, &tallier))).is_err() {
        note_panic(counters, &[]);
    }
    let mut next = 0;
    while next < batch.len() {
        // What a panic can leave half done: the slot in hand, which is not committed, and the numbers here and in
        // the tally, which are still numbers. So nothing that is used afterwards can be in a broken state.
        let round = catch_unwind(AssertUnwindSafe(|| {
            while next < batch.len() {
                let (query, mut slot) = batch.exchange(next);
                next += 1;
                let Some(source) = query.source else { continue };
                received += 1;
                if !is_answerable(source) {
                    dropped += 1;
                    continue;
                }
                truncated += u64::from(query.is_truncated);
                asked.client = source.ip();
                asked.random = random.next_u64();
                tallier.turn_to_next(asked.random);
                match answer(query.bytes, &asked, table, &mut tallier, slot.buffer()) {
                    Outcome::Reply(len) => {
                        counters.count_reply(slot.buffer().get(..len).unwrap_or_default());
                        slot.commit(len);
                        answered += 1;
                    }
                    Outcome::Drop => dropped += 1,
                }
            }
        }));
        if round.is_err() {
            note_panic(counters, batch.exchange(next - 1).0.bytes);
        }
    }
    counters.received.add(received);
    counters.answered.add(answered);
    counters.dropped.add(dropped);
    counters.truncated.add(truncated);
}

/// False for what must not be answered: a reply to port 0 goes nowhere, and such queries are forged
/// (RFC 6335 §6 reserves the port).
fn is_answerable(source: SocketAddr) -> bool {
    source.port() != 0
}

/// Counts a panic, and logs it together with the query that caused it: the first, the second, the fourth …
/// so that a flood of such queries is not also a flood of lines, and only as much of it as a question takes.
#[cold]
pub(super) fn note_panic(counters: &Counters, query: &[u8]) {
    counters.panics.add(1);
    let count = counters.panics.value();
    if count.is_power_of_two() {
        let mut hex = String::new();
        for octet in query.iter().take(UDP_RESPONSE_LEN_MIN) {
            hex.push_str(&format!("{octet:02x}"));
        }
        tracing::error!(count, query = hex, "answering panicked; the query gets no reply. Please report it");
    }
}

const _: () = assert!(UDP_IDLE_TURN_S > 0, "0 would wait for ever");

#[cfg(test)]
mod tests {
    use std::net::UdpSocket as Client;

    use super::*;
    use crate::limits::BATCH_LEN;
    use crate::table::Publisher;

    struct Bench {
        publisher: Publisher,
        worker: Worker,
        client: Client,
    }

    impl Bench {
        fn new() -> Bench {
            let publisher = Publisher::new(RoutingTable::empty());
            let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let client = Client::bind("127.0.0.1:0").unwrap();
            client.connect(socket.local_address()).unwrap();
            client.set_nonblocking(true).unwrap();
            let worker = Worker::new(Arc::new(socket), publisher.subscription().reader().unwrap());
            Bench { publisher, worker, client }
        }

        /// What has come back; loopback delivers before the sender's call returns.
        fn replies(&self) -> Vec<Vec<u8>> {
            let mut buffer = [0; 4096];
            std::iter::from_fn(|| self.client.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())).collect()
        }
    }

    fn echo(query: &[u8], _: &Asked, _: &RoutingTable, _: &mut Tallier<'_>, out: &mut [u8]) -> Outcome {
        out[..query.len()].copy_from_slice(query);
        Outcome::Reply(query.len())
    }

    #[test]
    fn a_turn_answers_a_whole_batch() {
        let mut bench = Bench::new();
        for number in 0..BATCH_LEN {
            bench.client.send(&[u8::try_from(number).unwrap(); 3]).unwrap();
        }
        assert_eq!(bench.worker.turn_with(Wait::Turn, echo).unwrap(), BATCH_LEN);
        let replies = bench.replies();
        assert_eq!(replies.len(), BATCH_LEN);
        assert!(replies.iter().enumerate().all(|(number, reply)| reply == &[u8::try_from(number).unwrap(); 3]));
        let count = bench.worker.counters.snapshot();
        assert_eq!((count.received, count.answered, count.dropped), (64, 64, 0));
    }

    #[test]
    fn a_panic_costs_one_query_wherever_it_stands_in_the_batch() {
        for culprit in [0, 3, 7] {
            let mut bench = Bench::new();
            for number in 0..8u8 {
                bench.client.send(&[number]).unwrap();
            }
            let answer =
                |query: &[u8], asked: &Asked, table: &RoutingTable, tally: &mut Tallier<'_>, out: &mut [u8]| {
                    out[0] = 0xff;
                    assert_ne!(query[0], culprit, "on purpose");
                    echo(query, asked, table, tally, out)
                };
            assert_eq!(bench.worker.turn_with(Wait::Turn, answer).unwrap(), 8);
            let expected: Vec<Vec<u8>> =
                (0..8).filter(|&number| number != culprit).map(|number| vec![number]).collect();
            assert_eq!(bench.replies(), expected);
            let count = bench.worker.counters.snapshot();
            assert_eq!((count.received, count.answered, count.panics), (8, 7, 1));
        }
    }

    #[test]
    fn a_batch_of_nothing_but_panics_ends() {
        let mut bench = Bench::new();
        for _ in 0..5 {
            bench.client.send(b"?").unwrap();
        }
        assert_eq!(bench.worker.turn_with(Wait::Turn, |_, _, _, _, _| panic!("on purpose")).unwrap(), 5);
        assert_eq!(bench.replies(), Vec::<Vec<u8>>::new());
        assert_eq!(bench.worker.counters.snapshot().panics, 5);
    }

    #[test]
    fn what_is_dropped_is_counted_and_what_is_cut_is_answered() {
        let mut bench = Bench::new();
        bench.client.send(b"drop me").unwrap();
        bench.client.send(&[1; crate::limits::UDP_QUERY_LEN_MAX + 9]).unwrap();
        let answer =
            |query: &[u8], asked: &Asked, table: &RoutingTable, tally: &mut Tallier<'_>, out: &mut [u8]| match query {
                b"drop me" => Outcome::Drop,
                query => echo(&query[..12], asked, table, tally, out),
            };
        bench.worker.turn_with(Wait::Turn, answer).unwrap();
        assert_eq!(bench.replies(), [[1; 12]]);
        let count = bench.worker.counters.snapshot();
        assert_eq!((count.received, count.answered, count.dropped, count.truncated), (2, 1, 1, 1));
    }

    #[test]
    fn each_query_has_its_client_and_a_random_number_of_its_own() {
        let mut bench = Bench::new();
        bench.client.send(b"1").unwrap();
        bench.client.send(b"2").unwrap();
        let seen = std::cell::RefCell::new(Vec::new());
        let answer = |_: &[u8], asked: &Asked, _: &RoutingTable, _: &mut Tallier<'_>, _: &mut [u8]| {
            seen.borrow_mut().push(*asked);
            Outcome::Drop
        };
        bench.worker.turn_with(Wait::Turn, answer).unwrap();
        let seen = seen.into_inner();
        assert!(seen.iter().all(|asked| asked.client == bench.client.local_addr().unwrap().ip()));
        assert_ne!(seen[0].random, seen[1].random);
        assert_eq!(seen[0].transport, Transport::Udp);
    }

    #[test]
    fn nothing_is_answered_to_port_0() {
        assert!(!is_answerable("192.0.2.1:0".parse().unwrap()));
        assert!(is_answerable("192.0.2.1:1".parse().unwrap()));
    }

    #[test]
    fn an_empty_turn_lets_go_of_an_old_table() {
        let mut bench = Bench::new();
        bench.client.send(b"?").unwrap();
        bench.worker.turn_with(Wait::Turn, echo).unwrap();
        bench.publisher.publish(RoutingTable::empty());
        assert_eq!(bench.publisher.reclaim(), 1);
        assert_eq!(bench.worker.turn_with(Wait::No, echo).unwrap(), 0);
        assert_eq!(bench.publisher.reclaim(), 0);
    }

    #[test]
    fn a_worker_that_polls_answers_at_once_and_after_it_has_slept_and_stops() {
        for busy_poll in [Duration::from_nanos(1), Duration::from_secs(3600)] {
            let Bench { publisher: _publisher, worker, client } = Bench::new();
            let worker = worker.polling(busy_poll);
            let (socket, counters) = (worker.socket(), worker.counters());
            let stop = Arc::new(AtomicBool::new(false));
            let thread = thread::spawn({
                let stop = Arc::clone(&stop);
                move || worker.run(&stop)
            });
            client.set_nonblocking(false).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            for id in 0..3u8 {
                client.send(&[0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]).unwrap();
                let mut reply = [0; 512];
                client.recv(&mut reply).unwrap();
                assert_eq!((reply[1], reply[2] & 0x80), (id, 0x80));
            }
            stop.store(true, Ordering::Relaxed);
            socket.wake();
            thread.join().unwrap();
            assert_eq!(counters.snapshot().answered, 3);
        }
    }

    #[test]
    fn a_stopped_worker_answers_what_waits_and_ends() {
        let bench = Bench::new();
        for number in 0..3 * BATCH_LEN {
            bench.client.send(&[u8::try_from(number).unwrap(); 12]).unwrap();
        }
        let counters = bench.worker.counters();
        bench.worker.socket.wake();
        bench.worker.run(&AtomicBool::new(true));
        assert_eq!(counters.snapshot().received, 3 * BATCH_LEN as u64);
    }
}
