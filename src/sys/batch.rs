//! Datagrams by the batch.
//!
//! A [`Batch`] is made once and used for ever: buffers for queries and replies, side by side, so that the
//! reply in place `i` goes where the query in place `i` came from. What the kernel needs besides (headers
//! and vectors of pointers) is built on the stack for each call; that costs some ten stores a datagram,
//! and it leaves no pointer behind that could go stale.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::{ptr, slice};

use super::control::{self, CONTROL_LEN, Control, Local};
use super::name::{self, NAME_LEN};
use super::socket::UdpSocket;
use crate::limits::{BATCH_LEN, UDP_GROUP_LEN_MAX, UDP_QUERY_LEN_MAX, UDP_RESPONSE_LEN_MAX, UDP_UNGROUPED_BATCHES};

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
    /// How many messages those were that the kernel took: replies to one client go together.
    pub messages: usize,
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
    /// How many came last time; at first as many as there can be.
    room_for: usize,
    /// For how many more calls every reply is sent alone.
    ungrouped: u32,
}

/// A call takes so many more datagrams than the one before brought, and so many times as many.
const ROOM_MIN: usize = 8;
const ROOM_FACTOR: usize = 4;

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

impl Received {
    fn query(&self) -> Query<'_> {
        Query {
            bytes: &self.bytes[..self.len],
            source: name::read(&self.name[..self.name_len]),
            local: control::read(&self.control.0[..self.control_len]),
            is_truncated: self.is_truncated,
        }
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
            room_for: BATCH_LEN,
            ungrouped: 0,
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
        (self.received[index].query(), ReplySlot { reply: &mut self.replies[index] })
    }

    /// The queries in it, in their order.
    pub fn queries(&self) -> impl ExactSizeIterator<Item = Query<'_>> {
        self.received[..self.len].iter().map(Received::query)
    }

    /// Forgets what it holds.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The slot of a datagram that is no reply, behind what the batch holds: it goes to `to`, on a wildcard
    /// socket from `local`. `None` when the batch is full. This is how one asks: clients, such as load generators,
    /// begin with it, and may then write the next query into the slot of the reply that came.
    pub fn begin(&mut self, to: SocketAddr, local: Option<Local>) -> Option<ReplySlot<'_>> {
        let (received, reply) = (self.received.get_mut(self.len)?, &mut self.replies[self.len]);
        self.len += 1;
        received.len = 0;
        received.is_truncated = false;
        received.name_len = name::write(&mut received.name, to);
        received.control_len = local.map_or(0, |local| control::write(&mut received.control, local));
        reply.len = 0;
        Some(ReplySlot { reply })
    }

    /// Forgets what it holds and receives up to [`BATCH_LEN`] datagrams; says how many. None when none
    /// came in time.
    ///
    /// Errors are those of the socket as a whole. The timeout argument of `recvmmsg` is not used: it is
    /// only looked at after a datagram has come.
    pub fn receive(&mut self, socket: &UdpSocket, wait: Wait) -> io::Result<usize> {
        // Headers take their time to make, and few queries need few: when more have come than last time, the
        // next call takes them.
        let room = (ROOM_FACTOR * self.room_for + ROOM_MIN).min(BATCH_LEN);
        (self.len, self.room_for) = (0, 0);
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH_LEN];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH_LEN];
        for ((received, vector), header) in self.received.iter_mut().zip(&mut vectors).zip(&mut headers).take(room) {
            let vector = vector
                .write(libc::iovec { iov_base: received.bytes.as_mut_ptr().cast(), iov_len: received.bytes.len() });
            // SAFETY: ZERO.
            let header = &mut header.write(unsafe { std::mem::zeroed() }).msg_hdr;
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
        // SAFETY: the first `room` were written above.
        let headers = unsafe { slice::from_raw_parts_mut(headers.as_mut_ptr().cast::<libc::mmsghdr>(), room) };
        // SAFETY: FRESH, EXACT: `headers` points to `vectors` and to places of `self.received`, all
        // borrowed exclusively by this function; the count is that of `headers`.
        let count =
            unsafe { libc::recvmmsg(socket.fd(), headers.as_mut_ptr(), room as _, flags as _, ptr::null_mut()) };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            };
        };
        // The kernel is trusted with memory, not with arithmetic: lengths are bounded by the buffers again.
        let count = count.min(room);
        for (received, header) in self.received.iter_mut().zip(&*headers).take(count) {
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
        (self.len, self.room_for) = (count, count);
        Ok(count)
    }

    /// Sends the committed replies, each to where its query came from and, on a wildcard socket, from the
    /// address that was asked. They leave in their order.
    ///
    /// Replies that follow each other to one client, of one length but for a shorter last one, go through the
    /// kernel as a group, which it cuts where the datagrams end. A group that it refuses is sent reply by reply.
    ///
    /// A reply that the kernel refuses (no route, a firewall, too long) costs itself only. When the socket
    /// takes nothing more for [`crate::limits::UDP_IDLE_TURN_S`], the rest of the batch is given up.
    pub fn send(&mut self, socket: &UdpSocket) -> Sent {
        self.ungrouped = self.ungrouped.saturating_sub(1);
        let may_group = socket.can_segment() && self.ungrouped == 0;
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH_LEN];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH_LEN];
        let (mut replies, mut count) = (0, 0);
        let mut group: Option<Group<'_>> = None;
        for (received, reply) in self.received.iter_mut().zip(&mut self.replies).take(self.len) {
            if reply.len == 0 {
                continue;
            }
            vectors[replies].write(libc::iovec { iov_base: reply.bytes.as_mut_ptr().cast(), iov_len: reply.len });
            // One for each reply: groups may have to be undone.
            // SAFETY: ZERO.
            headers[replies].write(unsafe { std::mem::zeroed() });
            replies += 1;
            let local = match received.control_len {
                0 => None,
                len => control::read(&received.control.0[..len]),
            };
            if let Some(group) = &mut group
                && group.takes(received, local, reply.len)
            {
                // SAFETY: written when its first reply was met.
                let header = unsafe { &mut headers[count - 1].assume_init_mut().msg_hdr };
                header.msg_iovlen += 1;
                if header.msg_iovlen == 2 {
                    let first = &mut *group.first;
                    // Replies are no longer than UDP_RESPONSE_LEN_MAX.
                    let len = control::write_segment(&mut first.control, first.control_len, group.each as u16);
                    header.msg_control = first.control.0.as_mut_ptr().cast();
                    header.msg_controllen = len as _;
                }
                continue;
            }
            // SAFETY: there are not more messages than replies, and one was just written for this reply.
            let header = unsafe { &mut headers[count].assume_init_mut().msg_hdr };
            header.msg_name = received.name.as_mut_ptr().cast();
            header.msg_namelen = received.name_len as libc::socklen_t;
            header.msg_iovlen = 1;
            if let Some(local) = local {
                received.control_len = control::write(&mut received.control, local);
                header.msg_control = received.control.0.as_mut_ptr().cast();
                header.msg_controllen = received.control_len as _;
            }
            count += 1;
            group =
                may_group.then_some(Group { first: received, local, each: reply.len, len: reply.len, is_open: true });
        }
        // SAFETY: the first `replies` were written above.
        let headers = unsafe { slice::from_raw_parts_mut(headers.as_mut_ptr().cast::<libc::mmsghdr>(), replies) };
        let mut next = vectors.as_mut_ptr().cast::<libc::iovec>();
        for header in &mut headers[..count] {
            header.msg_hdr.msg_iov = next;
            next = next.wrapping_add(members(header));
        }

        let mut outcome = Sent::default();
        let mut done = 0;
        let mut first = 0; // reply of the message at `done`
        while done < count {
            let rest = &mut headers[done..count];
            // SAFETY: FRESH, EXACT: `rest` points to `vectors` and to places of `self.received` and
            // `self.replies`, all borrowed by this function; the count is that of `rest`.
            let result = unsafe { libc::sendmmsg(socket.fd(), rest.as_mut_ptr(), rest.len() as _, 0) };
            match usize::try_from(result) {
                Ok(sent) if sent > 0 => {
                    let sum: usize = rest.iter().take(sent).map(members).sum();
                    outcome.sent += sum;
                    outcome.messages += sent;
                    first += sum;
                    done += sent;
                }
                // The kernel reports an error for the first message of a call only, so `rest` begins
                // with the one that it refuses.
                Ok(_) | Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() == io::ErrorKind::Interrupted {
                        continue;
                    }
                    if error.kind() == io::ErrorKind::WouldBlock {
                        outcome.failed += replies - first;
                        outcome.last_error = error.raw_os_error();
                        break;
                    }
                    let members = members(&rest[0]);
                    if members > 1 {
                        ungroup(headers, done, count);
                        count += members - 1;
                        if is_about_groups(&error) {
                            self.ungrouped = UDP_UNGROUPED_BATCHES;
                        }
                        continue;
                    }
                    outcome.failed += 1;
                    outcome.last_error = error.raw_os_error();
                    first += 1;
                    done += 1;
                }
            }
        }
        outcome
    }
}

/// Replies that follow each other to one client, from one of our addresses.
struct Group<'b> {
    /// Where its first query came from.
    first: &'b mut Received,
    local: Option<Local>,
    /// Octets of each reply; the last may be shorter.
    each: usize,
    /// Octets of all.
    len: usize,
    /// The last was not shorter.
    is_open: bool,
}

impl Group<'_> {
    /// Takes one more reply, unless it would not be cut off where it begins.
    fn takes(&mut self, received: &Received, local: Option<Local>, len: usize) -> bool {
        // Behind their ends names are as they were made: all of one socket have one length.
        let is_taken = self.is_open
            && len <= self.each
            && self.len + len <= UDP_GROUP_LEN_MAX
            && (self.first.name_len, self.first.name) == (received.name_len, received.name)
            && self.local == local;
        if is_taken {
            self.len += len;
            self.is_open = len == self.each;
        }
        is_taken
    }
}

/// How many replies a message is.
#[allow(clippy::unnecessary_cast, reason = "another type with other C libraries")]
fn members(header: &libc::mmsghdr) -> usize {
    header.msg_hdr.msg_iovlen as usize
}

/// Makes the message at `at`, of `count` in all, one message for each of its replies.
fn ungroup(headers: &mut [libc::mmsghdr], at: usize, count: usize) {
    let mut header = headers[at];
    let members = members(&header);
    // There are no more messages than replies, and no more of those than places.
    headers.copy_within(at + 1..count, at + members);
    header.msg_hdr.msg_iovlen = 1;
    #[allow(clippy::unnecessary_cast, reason = "another type with other C libraries")]
    let control_len = header.msg_hdr.msg_controllen as usize - control::SEGMENT_MESSAGE_LEN;
    header.msg_hdr.msg_controllen = control_len as _;
    for header_of_one in &mut headers[at..at + members] {
        *header_of_one = header;
        header.msg_hdr.msg_iov = header.msg_hdr.msg_iov.wrapping_add(1);
    }
}

/// True when the kernel refuses a group for being one: the interface can not compute checksums (EIO), or a reply
/// is longer than a packet on the way may be.
fn is_about_groups(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP))
}

// The kernel makes no more than 64 datagrams of a group (UDP_MAX_SEGMENTS).
const _: () = assert!(BATCH_LEN <= 64);
const _: () = assert!(UDP_RESPONSE_LEN_MAX <= UDP_GROUP_LEN_MAX && UDP_RESPONSE_LEN_MAX <= u16::MAX as usize);
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
                assert_eq!(batch.send(&socket), Sent { sent: 10, failed: 0, last_error: None, messages: 10 });
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

    /// Answers every query with as many octets of its first octet as `len` says.
    fn fill(batch: &mut Batch, len: impl Fn(usize) -> usize) {
        for index in 0..batch.len() {
            let (query, mut slot) = batch.exchange(index);
            let octet = query.bytes[0];
            slot.buffer()[..len(index)].fill(octet);
            slot.commit(len(index));
        }
    }

    #[test]
    fn replies_are_grouped_by_client_and_length_and_never_out_of_order() {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let clients = [client("127.0.0.1:0"), client("127.0.0.1:0")];
        let mut batch = Batch::new();
        // Of each: who asks, and how long the reply is (0: none); and in how many messages they go.
        let cases: [(&[(usize, usize)], usize); 6] = [
            (&[(0, 50), (0, 50), (0, 50)], 1),
            (&[(0, 50), (1, 50), (0, 50)], 3),
            (&[(0, 50), (0, 50), (0, 40), (0, 40)], 2),
            (&[(0, 50), (0, 40), (0, 50), (0, 50)], 2),
            (&[(0, 40), (0, 50), (1, 50), (1, 50)], 3),
            (&[(0, 50), (0, 0), (0, 50)], 1),
        ];
        for (asked, messages) in cases {
            for (number, (who, _)) in asked.iter().enumerate() {
                clients[*who].send_to(&[number as u8], socket.local_address()).unwrap();
            }
            receive_all(&mut batch, &socket, asked.len());
            fill(&mut batch, |index| asked[index].1);
            let sent = asked.iter().filter(|(_, len)| *len > 0).count();
            assert_eq!(batch.send(&socket), Sent { sent, failed: 0, last_error: None, messages });
            let mut buffer = [0; 64];
            for (number, (who, len)) in asked.iter().enumerate().filter(|(_, (_, len))| *len > 0) {
                let (came, from) = clients[*who].recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..came], from), (&vec![number as u8; *len][..], socket.local_address()));
            }
        }
    }

    #[test]
    fn a_whole_batch_is_one_group_unless_it_is_too_long() {
        for (address, len) in [("127.0.0.1:0", 50), ("[::1]:0", 50), ("127.0.0.1:0", 1232), ("[::1]:0", 1232)] {
            let socket = UdpSocket::bind(address.parse().unwrap()).unwrap();
            let client = client(address);
            for number in 0..BATCH_LEN {
                client.send_to(&[number as u8], socket.local_address()).unwrap();
            }
            let mut batch = Batch::new();
            receive_all(&mut batch, &socket, BATCH_LEN);
            fill(&mut batch, |_| len);
            let sent = batch.send(&socket);
            assert_eq!((sent.sent, sent.messages), (BATCH_LEN, (BATCH_LEN * len).div_ceil(UDP_GROUP_LEN_MAX)));
            assert_eq!(batch.ungrouped, 0, "the kernel took it as it was");
            let mut buffer = [0; 2048];
            for number in 0..BATCH_LEN {
                let came = client.recv(&mut buffer).unwrap();
                assert_eq!(buffer[..came], vec![number as u8; len]);
            }
        }
    }

    #[test]
    fn a_wildcard_socket_groups_by_the_address_that_was_asked() {
        let socket = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = socket.local_address().port();
        let client = client("127.0.0.1:0");
        let asked = ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.2"];
        for (number, asked) in asked.iter().enumerate() {
            client.send_to(&[number as u8], (*asked, port)).unwrap();
        }
        let mut batch = Batch::new();
        receive_all(&mut batch, &socket, asked.len());
        fill(&mut batch, |_| 50);
        let sent = batch.send(&socket);
        assert_eq!((sent.sent, sent.messages), (asked.len(), 3));
        for (number, asked) in asked.iter().enumerate() {
            let mut buffer = [0; 64];
            let (came, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((came, buffer[0], from), (50, number as u8, format!("{asked}:{port}").parse().unwrap()));
        }
    }

    #[test]
    fn a_group_that_is_refused_goes_reply_by_reply_and_the_next_batches_too() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let socket = UdpSocket::bind(address.parse().unwrap()).unwrap();
            // Without checksums the kernel does not cut.
            super::super::socket::set_no_checksums(&socket);
            let client = client("127.0.0.1:0");
            let mut batch = Batch::new();
            for round in 1..=2 {
                for number in 0..6 {
                    client.send_to(&[number], ("127.0.0.1", socket.local_address().port())).unwrap();
                }
                receive_all(&mut batch, &socket, 6);
                fill(&mut batch, |index| if index == 2 { 40 } else { 50 });
                assert_eq!(batch.send(&socket), Sent { sent: 6, failed: 0, last_error: None, messages: 6 });
                assert_eq!(batch.ungrouped, UDP_UNGROUPED_BATCHES - (round - 1));
                let mut buffer = [0; 64];
                for number in 0..6u8 {
                    let came = client.recv(&mut buffer).unwrap();
                    assert_eq!((came, buffer[0]), (if number == 2 { 40 } else { 50 }, number));
                }
            }
        }
    }

    #[test]
    fn what_is_begun_goes_where_it_is_to_from_the_address_that_is_named() {
        for (ours, theirs, locals) in [
            ("0.0.0.0:0", "127.0.0.1:0", ["127.0.0.2", "127.0.0.3", "127.0.0.2"].map(Some)),
            ("[::]:0", "[::1]:0", [Some("::1"); 3]),
            ("127.0.0.1:0", "127.0.0.1:0", [None; 3]),
        ] {
            let socket = UdpSocket::bind(ours.parse().unwrap()).unwrap();
            let peer = client(theirs);
            let mut batch = Batch::new();
            for _ in 0..2 {
                batch.clear();
                for (number, local) in locals.iter().enumerate() {
                    let local = local.map(|address| Local { address: address.parse().unwrap(), interface: 0 });
                    let mut slot = batch.begin(peer.local_addr().unwrap(), local).unwrap();
                    slot.buffer()[0] = number as u8;
                    slot.commit(1);
                }
                assert_eq!(batch.send(&socket).sent, 3);
                let mut buffer = [0; 8];
                for (number, local) in locals.iter().enumerate() {
                    let (len, from) = peer.recv_from(&mut buffer).unwrap();
                    assert_eq!((len, buffer[0], from.port()), (1, number as u8, socket.local_address().port()));
                    assert!(local.is_none_or(|local| from.ip().to_string() == local));
                }
            }
            let places = std::iter::from_fn(|| batch.begin(peer.local_addr().unwrap(), None).map(drop)).count();
            assert_eq!(places, BATCH_LEN - 3);
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
