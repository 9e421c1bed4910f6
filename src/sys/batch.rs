//! Datagrams by the batch.
//!
//! A [`Batch`] is made once and used for ever: buffers for queries and replies, side by side, so that the
//! reply in place `i` goes where the query in place `i` came from. What the kernel needs besides (headers
//! and vectors of pointers) is built on the stack for each call; that costs some hundred stores a batch,
//! and it leaves no pointer behind that could go stale.

use std::io;
use std::net::SocketAddr;
use std::ptr;

use super::control::{self, CONTROL_LEN, Control, Local};
use super::name::{self, NAME_LEN};
use super::socket::UdpSocket;
use crate::limits::{BATCH_LEN, UDP_QUERY_LEN_MAX, UDP_RESPONSE_LEN_MAX};

/// Whether to wait for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until one comes, the socket is woken, or [`crate::limits::UDP_IDLE_TURN_S`] have passed.
    Turn,
    /// Take what is there.
    No,
}

/// What became of the replies of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Replies that the kernel took.
    pub sent: usize,
    /// Replies that it refused, each for itself.
    pub failed: usize,
    /// The system's number of the last refusal.
    pub last_error: Option<i32>,
}

#[derive(Clone, Debug)]
struct Received {
    bytes: [u8; UDP_QUERY_LEN_MAX],
    len: usize,
    name: [u8; NAME_LEN],
    name_len: usize,
    control: Control,
    control_len: usize,
    is_truncated: bool,
}

#[derive(Clone, Debug)]
struct Reply {
    bytes: [u8; UDP_RESPONSE_LEN_MAX],
    /// 0: none.
    len: usize,
}

/// Buffers for [`BATCH_LEN`] queries and their replies, about 370 kB.
#[derive(Debug)]
pub struct Batch {
    received: Box<[Received]>,
    replies: Box<[Reply]>,
    len: usize,
}

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// What was in it, cut at [`UDP_QUERY_LEN_MAX`] octets.
    pub bytes: &'a [u8],
    /// Who sent it; `None` when the kernel did not say (a wake-up looks like that).
    pub source: Option<SocketAddr>,
    /// Which of our addresses was asked, on a wildcard socket.
    pub local: Option<Local>,
    /// It was longer than the buffer, and its end is lost.
    pub is_truncated: bool,
}

/// Where the reply to one query goes.
#[derive(Debug)]
pub struct ReplySlot<'a> {
    reply: &'a mut Reply,
}

impl ReplySlot<'_> {
    /// The reply's buffer, [`UDP_RESPONSE_LEN_MAX`] octets; it holds what an earlier reply left.
    pub fn buffer(&mut self) -> &mut [u8] {
        &mut self.reply.bytes
    }

    /// Says that the first `len` octets of the buffer are the reply; 0 takes it back.
    pub fn commit(&mut self, len: usize) {
        self.reply.len = len.min(UDP_RESPONSE_LEN_MAX);
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

impl Batch {
    /// An empty one.
    pub fn new() -> Batch {
        let received = Received {
            bytes: [0; UDP_QUERY_LEN_MAX],
            len: 0,
            name: [0; NAME_LEN],
            name_len: 0,
            control: Control([0; CONTROL_LEN]),
            control_len: 0,
            is_truncated: false,
        };
        let reply = Reply { bytes: [0; UDP_RESPONSE_LEN_MAX], len: 0 };
        Batch {
            received: vec![received; BATCH_LEN].into_boxed_slice(),
            replies: vec![reply; BATCH_LEN].into_boxed_slice(),
            len: 0,
        }
    }

    /// Queries in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The query in place `index`, and the slot of its reply.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`Batch::len`].
    pub fn exchange(&mut self, index: usize) -> (Query<'_>, ReplySlot<'_>) {
        assert!(index < self.len, "an exchange outside the batch");
        let received = &self.received[index];
        let query = Query {
            bytes: &received.bytes[..received.len],
            source: name::read(&received.name[..received.name_len]),
            local: control::read(&received.control.0[..received.control_len]),
            is_truncated: received.is_truncated,
        };
        (query, ReplySlot { reply: &mut self.replies[index] })
    }

    /// Forgets what it holds and receives up to [`BATCH_LEN`] datagrams; says how many. None when none
    /// came in time.
    ///
    /// Errors are those of the socket as a whole. The timeout argument of `recvmmsg` is not used: it is
    /// only looked at after a datagram has come.
    pub fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<usize> {
        self.len = 0;
        // SAFETY: ZERO.
        let mut vectors: [libc::iovec; BATCH_LEN] = unsafe { std::mem::zeroed() };
        // SAFETY: ZERO.
        let mut headers: [libc::mmsghdr; BATCH_LEN] = unsafe { std::mem::zeroed() };
        for ((received, vector), header) in self.received.iter_mut().zip(&mut vectors).zip(&mut headers) {
            vector.iov_base = received.bytes.as_mut_ptr().cast();
            vector.iov_len = received.bytes.len();
            let header = &mut header.msg_hdr;
            header.msg_name = received.name.as_mut_ptr().cast();
            header.msg_namelen = NAME_LEN as libc::socklen_t;
            header.msg_iov = ptr::from_mut(vector);
            header.msg_iovlen = 1;
            if socket.is_wildcard() {
                header.msg_control = received.control.0.as_mut_ptr().cast();
                header.msg_controllen = CONTROL_LEN as _;
            }
        }
        let flags = match wait {
            Wait::Turn => libc::MSG_WAITFORONE,
            Wait::No => libc::MSG_DONTWAIT,
        };
        // SAFETY: FRESH, EXACT: `headers` points to `vectors` and to places of `self.received`, all
        // borrowed exclusively by this function; the count is that of `headers`.
        let count =
            unsafe { libc::recvmmsg(socket.fd(), headers.as_mut_ptr(), BATCH_LEN as _, flags as _, ptr::null_mut()) };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            };
        };
        // The kernel is trusted with memory, not with arithmetic: lengths are bounded by the buffers again.
        let count = count.min(BATCH_LEN);
        for (received, header) in self.received.iter_mut().zip(&headers).take(count) {
            received.len = (header.msg_len as usize).min(UDP_QUERY_LEN_MAX);
            received.name_len = (header.msg_hdr.msg_namelen as usize).min(NAME_LEN);
            #[allow(clippy::unnecessary_cast, reason = "another type with other C libraries")]
            let control_len = header.msg_hdr.msg_controllen as usize;
            received.control_len = control_len.min(CONTROL_LEN);
            received.is_truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        for reply in &mut self.replies[..count] {
            reply.len = 0;
        }
        self.len = count;
        Ok(count)
    }

    /// Sends the committed replies, each to where its query came from and, on a wildcard socket, from the
    /// address that was asked.
    ///
    /// A reply that the kernel refuses (no route, a firewall, too long) costs itself only. When the socket
    /// takes nothing more for [`crate::limits::UDP_IDLE_TURN_S`], the rest of the batch is given up.
    pub fn send(&mut self, socket: &UdpSocket) -> Sent {
        // SAFETY: ZERO.
        let mut vectors: [libc::iovec; BATCH_LEN] = unsafe { std::mem::zeroed() };
        // SAFETY: ZERO.
        let mut headers: [libc::mmsghdr; BATCH_LEN] = unsafe { std::mem::zeroed() };
        let mut count = 0;
        for (received, reply) in self.received.iter_mut().zip(&mut self.replies).take(self.len) {
            if reply.len == 0 {
                continue;
            }
            let local = control::read(&received.control.0[..received.control_len]);
            let vector = &mut vectors[count];
            vector.iov_base = reply.bytes.as_mut_ptr().cast();
            vector.iov_len = reply.len;
            let header = &mut headers[count].msg_hdr;
            header.msg_name = received.name.as_mut_ptr().cast();
            header.msg_namelen = received.name_len as libc::socklen_t;
            header.msg_iov = ptr::from_mut(vector);
            header.msg_iovlen = 1;
            if let Some(local) = local {
                received.control_len = control::write(&mut received.control, local);
                header.msg_control = received.control.0.as_mut_ptr().cast();
                header.msg_controllen = received.control_len as _;
            }
            count += 1;
        }
        let mut outcome = Sent::default();
        let mut done = 0;
        while done < count {
            let rest = &mut headers[done..count];
            // SAFETY: FRESH, EXACT: `rest` points to `vectors` and to places of `self.received` and
            // `self.replies`, all borrowed by this function; the count is that of `rest`.
            let result = unsafe { libc::sendmmsg(socket.fd(), rest.as_mut_ptr(), rest.len() as _, 0) };
            match usize::try_from(result) {
                Ok(sent) if sent > 0 => {
                    outcome.sent += sent;
                    done += sent;
                }
                // The kernel reports an error for the first message of a call only, so `rest` begins
                // with the one that it refuses.
                Ok(_) | Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() == io::ErrorKind::Interrupted {
                        continue;
                    }
                    let given_up = if error.kind() == io::ErrorKind::WouldBlock { count - done } else { 1 };
                    outcome.failed += given_up;
                    outcome.last_error = error.raw_os_error();
                    done += given_up;
                }
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket as Client;

    use super::*;

    fn client(address: &str) -> Client {
        let client = Client::bind(address).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        client
    }

    fn receive_all(batch: &mut Batch, socket: &UdpSocket, count: usize) {
        // Loopback delivers before `send` returns, so one call finds everything.
        assert_eq!(batch.receive(socket, Wait::Turn).unwrap(), count);
    }

    fn echo(batch: &mut Batch) {
        for index in 0..batch.len() {
            let (query, mut slot) = batch.exchange(index);
            let len = query.bytes.len();
            slot.buffer()[..len].copy_from_slice(query.bytes);
            slot.commit(len);
        }
    }

    #[test]
    fn a_batch_goes_and_comes_back_in_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(address.parse().unwrap()).unwrap();
            let client = client(address);
            let mut batch = Batch::new();
            for round in 0..3u8 {
                for number in 0..10u8 {
                    client.send_to(&vec![number; usize::from(number) + 1], socket.local_address()).unwrap();
                }
                receive_all(&mut batch, &socket, 10);
                for number in 0..10u8 {
                    let (query, _) = batch.exchange(number.into());
                    assert_eq!(query.bytes, vec![number; usize::from(number) + 1], "round {round}");
                    assert_eq!(query.source, Some(client.local_addr().unwrap()));
                    assert_eq!(query.local, None);
                    assert!(!query.is_truncated);
                }
                echo(&mut batch);
                assert_eq!(batch.send(&socket), Sent { sent: 10, failed: 0, last_error: None });
                let mut buffer = [0; 64];
                for number in 0..10u8 {
                    let (len, from) = client.recv_from(&mut buffer).unwrap();
                    assert_eq!(buffer[..len], vec![number; usize::from(number) + 1]);
                    assert_eq!(from, socket.local_address());
                }
            }
        }
    }

    #[test]
    fn more_than_a_batch_waits_for_the_next_call() {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = client("127.0.0.1:0");
        for _ in 0..BATCH_LEN + 3 {
            client.send_to(&[1], socket.local_address()).unwrap();
        }
        let mut batch = Batch::new();
        receive_all(&mut batch, &socket, BATCH_LEN);
        receive_all(&mut batch, &socket, 3);
        assert_eq!(batch.receive(&socket, Wait::No).unwrap(), 0);
        assert!(batch.is_empty());
    }

    #[test]
    fn a_datagram_that_is_too_long_is_cut_and_flagged_and_the_next_is_whole() {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = client("127.0.0.1:0");
        for len in [UDP_QUERY_LEN_MAX + 1, UDP_QUERY_LEN_MAX, 0] {
            client.send_to(&vec![7; len], socket.local_address()).unwrap();
        }
        let mut batch = Batch::new();
        receive_all(&mut batch, &socket, 3);
        assert!(batch.exchange(0).0.is_truncated);
        assert_eq!(batch.exchange(0).0.bytes.len(), UDP_QUERY_LEN_MAX);
        assert!(!batch.exchange(1).0.is_truncated);
        assert_eq!(batch.exchange(1).0.bytes.len(), UDP_QUERY_LEN_MAX);
        assert!(batch.exchange(2).0.bytes.is_empty());
        assert!(batch.exchange(2).0.source.is_some());
    }

    #[test]
    fn a_refused_reply_costs_itself_only() {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = client("127.0.0.1:0");
        for number in 0..8 {
            client.send_to(&[number], socket.local_address()).unwrap();
        }
        let mut batch = Batch::new();
        receive_all(&mut batch, &socket, 8);
        echo(&mut batch);
        // Nothing can be sent to port 0, nor to a family that the socket does not have.
        for refused in [0, 3, 4, 7] {
            batch.received[refused].name[2..4].fill(0);
        }
        let sent = batch.send(&socket);
        assert_eq!((sent.sent, sent.failed), (4, 4));
        assert_eq!(sent.last_error, Some(libc::EINVAL));
        let mut buffer = [0; 64];
        for number in [1, 2, 5, 6] {
            let (len, _) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(buffer[..len], [number]);
        }
    }

    #[test]
    fn only_committed_replies_are_sent() {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = client("127.0.0.1:0");
        for number in 0..4 {
            client.send_to(&[number], socket.local_address()).unwrap();
        }
        let mut batch = Batch::new();
        receive_all(&mut batch, &socket, 4);
        echo(&mut batch);
        batch.exchange(1).1.commit(0);
        assert_eq!(batch.send(&socket).sent, 3);
        client.send_to(&[9], socket.local_address()).unwrap();
        receive_all(&mut batch, &socket, 1);
        assert_eq!(batch.send(&socket), Sent::default(), "a new batch begins without replies");
    }

    #[test]
    fn replies_of_a_wildcard_socket_leave_from_the_address_that_was_asked() {
        let socket = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = socket.local_address().port();
        let client = client("127.0.0.1:0");
        let mut batch = Batch::new();
        for asked in ["127.0.0.2", "127.0.0.3", "127.0.0.1"] {
            client.send_to(b"?", (asked, port)).unwrap();
            receive_all(&mut batch, &socket, 1);
            assert_eq!(batch.exchange(0).0.local.unwrap().address.to_string(), asked);
            echo(&mut batch);
            assert_eq!(batch.send(&socket).sent, 1);
            let (_, from) = client.recv_from(&mut [0; 8]).unwrap();
            assert_eq!(from, format!("{asked}:{port}").parse().unwrap());
        }
    }

    #[test]
    fn a_wildcard_socket_of_ipv6_answers_too() {
        let socket = UdpSocket::bind("[::]:0".parse().unwrap()).unwrap();
        let client = client("[::1]:0");
        client.send_to(b"?", ("::1", socket.local_address().port())).unwrap();
        let mut batch = Batch::new();
        receive_all(&mut batch, &socket, 1);
        assert_eq!(batch.exchange(0).0.local.unwrap().address.to_string(), "::1");
        echo(&mut batch);
        assert_eq!(batch.send(&socket).sent, 1);
        assert_eq!(client.recv_from(&mut [0; 8]).unwrap().1.ip().to_string(), "::1");
    }

    #[test]
    fn waking_ends_a_wait_and_leaves_what_the_kernel_holds() {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = client("127.0.0.1:0");
        client.send_to(b"?", socket.local_address()).unwrap();
        socket.wake();
        let mut batch = Batch::new();
        receive_all(&mut batch, &socket, 1);
        assert_eq!(batch.exchange(0).0.bytes, b"?");
        batch.receive(&socket, Wait::Turn).unwrap();
        for index in 0..batch.len() {
            assert_eq!(batch.exchange(index).0.source, None);
        }
    }
}
