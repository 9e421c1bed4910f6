//! Asking many questions over real sockets, and knowing which were left without an answer.
//!
//! Silence is told from slowness by order: every server here has one UDP worker, which answers in the order of
//! arrival. Each batch ends with a question that every server answers; when its answer is there, what has none
//! yet gets none. It is asked once more by itself, in case the kernel dropped it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::question::Ask;

/// Questions in flight: 16 replies of 4096 octets fit the smallest usual socket buffer.
const BATCH: usize = 16;

/// How long to wait for what must come. Reached only when a packet is lost or something is wrong.
const PATIENCE: Duration = Duration::from_secs(3);

const ATTEMPTS: usize = 5;

/// The id of the question at a batch's end.
const LAST_ID: u16 = 0xffff;

/// A server that is asked over UDP.
pub(crate) struct Udp {
    socket: UdpSocket,
    last: Vec<u8>,
}

impl Udp {
    /// `zone`: one that the server has.
    pub(crate) fn connect(server: SocketAddr, zone: &str) -> Udp {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Udp { socket, last: Ask::new(zone, 6).message(LAST_ID) }
    }

    /// Replies to `messages`, whose first two octets are overwritten; `None` for silence.
    pub(crate) fn ask_all<'m>(&self, messages: impl Iterator<Item = &'m [u8]>) -> Vec<Option<Vec<u8>>> {
        let mut replies = Vec::new();
        let messages: Vec<&[u8]> = messages.collect();
        for batch in messages.chunks(BATCH) {
            let from = replies.len();
            replies.extend(self.ask(batch));
            for (reply, message) in replies[from..].iter_mut().zip(batch) {
                if reply.is_none() {
                    *reply = self.ask(&[message]).remove(0);
                }
            }
        }
        replies
    }

    fn ask(&self, batch: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        for _ in 0..ATTEMPTS {
            for (id, message) in (0u16..).zip(batch) {
                let mut message = message.to_vec();
                for (octet, id) in message.iter_mut().zip(id.to_be_bytes()) {
                    *octet = id;
                }
                self.socket.send(&message).unwrap();
            }
            self.socket.send(&self.last).unwrap();
            let mut replies = vec![None; batch.len()];
            let mut buffer = [0; 65_535];
            while let Ok(len) = self.socket.recv(&mut buffer) {
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                if id == LAST_ID {
                    return replies;
                }
                if let Some(reply) = replies.get_mut(usize::from(id)) {
                    *reply = Some(buffer[..len].to_vec());
                }
            }
        }
        panic!("no answer after {ATTEMPTS} attempts to {:?}", batch);
    }
}

/// A server that is asked over a stream (RFC 1035 §4.2.2), pipelined.
pub(crate) struct Stream<S> {
    stream: S,
}

impl Stream<TcpStream> {
    pub(crate) fn connect(server: SocketAddr) -> Stream<TcpStream> {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Stream { stream }
    }
}

impl<S: Read + Write> Stream<S> {
    pub(crate) fn over(stream: S) -> Stream<S> {
        Stream { stream }
    }

    /// Replies to `messages`, in their order, each of which the server answers.
    pub(crate) fn ask_all<'m>(&mut self, messages: impl Iterator<Item = &'m [u8]>) -> Vec<Vec<u8>> {
        let mut replies = Vec::new();
        let messages: Vec<&[u8]> = messages.collect();
        for batch in messages.chunks(BATCH) {
            let mut octets = Vec::new();
            for (id, message) in (0u16..).zip(batch) {
                octets.extend((message.len() as u16).to_be_bytes());
                octets.extend(id.to_be_bytes());
                octets.extend(&message[2..]);
            }
            self.stream.write_all(&octets).unwrap();
            let mut by_id = vec![None; batch.len()];
            for _ in batch {
                let reply = self.read();
                let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
                assert!(by_id[id].replace(reply).is_none(), "two replies to one question");
            }
            replies.extend(by_id.into_iter().map(|reply| reply.expect("each question has its reply")));
        }
        replies
    }

    fn read(&mut self) -> Vec<u8> {
        let mut len = [0; 2];
        match self.stream.read_exact(&mut len) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => panic!("the server closed the connection"),
            Err(error) => panic!("{error}"),
        }
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        self.stream.read_exact(&mut reply).unwrap();
        reply
    }
}
