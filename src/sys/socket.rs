//! Sockets with the options of a DNS server.
//!
//! | option | why | where it is missing |
//! |---|---|---|
//! | `SO_REUSEPORT` | one socket a worker; the kernel spreads clients over them, and no worker waits for another | refused: without it a second worker can not start |
//! | `IP_MTU_DISCOVER` = `IP_PMTUDISC_OMIT` | a forged ICMP "fragmentation needed" must not make us send fragments, which are easy to poison (RFC 9715); replies keep to a size that needs none | older kernels: left as it is |
//! | the same = `IP_PMTUDISC_PROBE`, when no reply is longer than any path takes | "don't fragment" is set (RFC 9715), and the kernel has less to do | as above |
//! | `IP_FREEBIND` | a listed address may come later than we do: a floating address of VRRP, an anycast address that the routing daemon adds | left as it is: the address must be there |
//! | `IPV6_V6ONLY` | `[::]` and `0.0.0.0` are two listeners; no client appears as `::ffff:a.b.c.d` | refused |
//! | `IP_PKTINFO`, `IPV6_RECVPKTINFO` | on a wildcard address: replies leave from the address that was asked | refused |
//! | buffer sizes | a burst waits in the kernel instead of being lost | as much as the kernel allows |
//! | `UDP_SEGMENT`, for each group of replies | replies to one client go through the kernel together | asked for once, when the socket is made: each reply goes alone |
//! | `SO_BUSY_POLL`, when it is wanted | the kernel looks into the interface's queue instead of waiting for its interrupt | left as it is: more than `net.core.busy_read` takes CAP_NET_ADMIN |
//! | `SO_RCVTIMEO` | a worker that gets no query looks around now and then | refused |
//! | `SO_SNDTIMEO` | a stuck interface can not hold a worker | refused |

use std::io;
use std::mem::size_of_val;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::limits::{STREAM_ACCEPT_QUEUE_LEN, UDP_IDLE_TURN_S, UDP_KERNEL_BUSY_POLL_US, UDP_SOCKET_BUFFER_LEN};

/// `SO_MEMINFO` (Linux 4.12): the counters of a socket as an array of `u32`.
const SO_MEMINFO: libc::c_int = 55;

/// How many counters `SO_MEMINFO` gives, and which of them counts dropped datagrams
/// (`linux/sock_diag.h`).
const MEMINFO_LEN: usize = 9;
const MEMINFO_DROPS: usize = 8;

/// A bound UDP socket of one worker.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Socket,
    local: SocketAddr,
    is_wildcard: bool,
    can_segment: bool,
}

impl UdpSocket {
    /// Binds `address` (port 0: any), sharing the port with our other sockets.
    pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_port(true)?;
        let is_wildcard = address.ip().is_unspecified();
        prepare_address(&socket, address.ip())?;
        let fd = socket.as_raw_fd();
        match address.ip() {
            IpAddr::V4(_) => {
                let _ = set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT);
                if is_wildcard {
                    set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
                }
            }
            IpAddr::V6(_) => {
                let _ = set(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT);
                if is_wildcard {
                    set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
                }
            }
        }
        let _ = socket.set_recv_buffer_size(UDP_SOCKET_BUFFER_LEN);
        let _ = socket.set_send_buffer_size(UDP_SOCKET_BUFFER_LEN);
        socket.set_read_timeout(Some(Duration::from_secs(UDP_IDLE_TURN_S)))?;
        socket.set_write_timeout(Some(Duration::from_secs(UDP_IDLE_TURN_S)))?;
        socket.bind(&address.into())?;
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        // A kernel that does not know the option would send a whole group as one datagram.
        let can_segment = is_known(fd, libc::SOL_UDP, libc::UDP_SEGMENT);
        Ok(UdpSocket { socket, local, is_wildcard, can_segment })
    }

    /// The address it is bound to.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// True when it receives for every address of the host; then each query names the one it was sent to.
    pub fn is_wildcard(&self) -> bool {
        self.is_wildcard
    }

    /// True when the kernel cuts a group of replies into datagrams (`UDP_SEGMENT`, Linux 4.18).
    pub fn can_segment(&self) -> bool {
        self.can_segment
    }

    /// Has the kernel look into the interface's queue for up to [`UDP_KERNEL_BUSY_POLL_US`] when nothing waits;
    /// says whether it will.
    pub fn poll_busily(&self) -> bool {
        let micros = libc::c_int::try_from(UDP_KERNEL_BUSY_POLL_US).unwrap_or(libc::c_int::MAX);
        set(self.fd(), libc::SOL_SOCKET, libc::SO_BUSY_POLL, micros).is_ok()
    }

    /// Has datagrams over IPv4 leave with "don't fragment", whatever anybody says of the path; says whether they
    /// will. For those that fit every path: longer ones are lost where they do not. The kernel then need not
    /// choose an identification for each, which takes it 3 % of what it does for a reply.
    pub fn never_fragment(&self) -> bool {
        self.local.is_ipv4() && set(self.fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE).is_ok()
    }

    /// Wakes a thread that waits in [`super::Batch::receive`]; from then on nobody waits there, but what
    /// the kernel holds can still be received.
    ///
    /// `shutdown` reports `ENOTCONN` for a UDP socket and wakes its waiters all the same; that is the
    /// kernel's documented use of it. Where it does not, the receive timeout ends the wait.
    pub fn wake(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Read);
    }

    /// Datagrams that the kernel dropped because this socket's buffer was full (or their checksum wrong),
    /// since it was opened. `None` before Linux 4.12.
    pub fn kernel_drops(&self) -> Option<u32> {
        let mut counters = [0u32; MEMINFO_LEN];
        let mut len = libc::socklen_t::try_from(size_of_val(&counters)).ok()?;
        // SAFETY: FRESH, EXACT: `counters` and `len` are exclusive borrows until after the call.
        let result = unsafe {
            libc::getsockopt(self.fd(), libc::SOL_SOCKET, SO_MEMINFO, counters.as_mut_ptr().cast(), &raw mut len)
        };
        (result == 0 && len as usize == size_of_val(&counters)).then(|| counters[MEMINFO_DROPS])
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Opens a listening TCP socket on `address` (port 0: any), non-blocking.
///
/// It does not share its port: a second server on the same address is told so here, which UDP sockets,
/// sharing theirs, could not do.
pub fn bind_stream(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Old connections in TIME_WAIT must not keep a restarted server out.
    socket.set_reuse_address(true)?;
    prepare_address(&socket, address.ip())?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(STREAM_ACCEPT_QUEUE_LEN).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// True when `address` is the wildcard or one that this host has now. A listener may be bound to another
/// (see `IP_FREEBIND` above), and somebody should know.
pub fn is_on_this_host(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

fn prepare_address(socket: &Socket, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => {
            if !address.is_unspecified() {
                let _ = socket.set_freebind_v4(true);
            }
        }
        IpAddr::V6(_) => {
            socket.set_only_v6(true)?;
            if !address.is_unspecified() {
                let _ = socket.set_freebind_v6(true);
            }
        }
    }
    Ok(())
}

fn set(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: FRESH, EXACT: the kernel reads one `int` that lives on this stack.
    match unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// True when the kernel knows an option whose value is an `int`.
fn is_known(fd: RawFd, level: libc::c_int, name: libc::c_int) -> bool {
    let mut value: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: FRESH, EXACT: the kernel writes at most one `int`, which lives on this stack.
    unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) == 0 }
}

/// Sends without checksums, as no server should.
#[cfg(test)]
pub(super) fn set_no_checksums(socket: &UdpSocket) {
    set(socket.fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(socket: &UdpSocket, level: libc::c_int, name: libc::c_int) -> libc::c_int {
        let mut value: libc::c_int = -1;
        let mut len = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: FRESH, EXACT.
        let result = unsafe { libc::getsockopt(socket.fd(), level, name, (&raw mut value).cast(), &raw mut len) };
        assert_eq!(result, 0);
        value
    }

    #[test]
    fn workers_share_a_port_and_a_second_server_does_not() {
        let stream = bind_stream("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = stream.local_addr().unwrap();
        assert_eq!(bind_stream(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let first = UdpSocket::bind(address).unwrap();
        let second = UdpSocket::bind(address).unwrap();
        assert_eq!(first.local_address(), second.local_address());
    }

    #[test]
    fn replies_are_never_fragmented_on_a_strangers_word() {
        let v4 = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(option(&v4, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER), libc::IP_PMTUDISC_OMIT);
        let v6 = UdpSocket::bind("[::1]:0".parse().unwrap()).unwrap();
        assert_eq!(option(&v6, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER), libc::IPV6_PMTUDISC_OMIT);
    }

    #[test]
    fn the_wildcards_of_both_families_are_two_listeners() {
        let v4 = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
        let port = v4.local_address().port();
        let v6 = UdpSocket::bind(format!("[::]:{port}").parse().unwrap()).unwrap();
        assert_eq!(option(&v6, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY), 1);
        assert_eq!(option(&v6, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO), 1);
        assert_eq!(option(&v4, libc::IPPROTO_IP, libc::IP_PKTINFO), 1);
        assert!(v4.is_wildcard() && v6.is_wildcard());
    }

    #[test]
    fn an_address_that_is_still_to_come_can_be_bound_and_is_noticed() {
        let address: SocketAddr = "192.0.2.1:0".parse().unwrap();
        assert!(!is_on_this_host(address.ip()));
        assert!(UdpSocket::bind(address).is_ok());
        assert!(bind_stream(address).is_ok());
        assert!(is_on_this_host("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn datagrams_that_must_not_be_fragmented_arrive_as_others_do() {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert!(socket.never_fragment());
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.socket.send_to(&[7; 1232], &client.local_addr().unwrap().into()).unwrap();
        let mut buffer = [0; 2048];
        assert_eq!(client.recv_from(&mut buffer).unwrap(), (1232, socket.local_address()));
        if let Ok(socket) = UdpSocket::bind("[::1]:0".parse().unwrap()) {
            assert!(!socket.never_fragment(), "nobody on the way fragments IPv6");
        }
    }

    #[test]
    fn what_the_kernel_drops_is_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(socket.kernel_drops(), Some(0));
        socket.socket.set_recv_buffer_size(1).unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            client.send_to(&[0; 1000], socket.local_address()).unwrap();
        }
        assert!(socket.kernel_drops().unwrap() > 0);
    }
}
