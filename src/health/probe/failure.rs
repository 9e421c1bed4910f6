//! Whose fault it is: the line between evidence and blindness.
//!
//! A connection that is refused, reset or never answered says something about the target, or about the network
//! before it, which clients share. That this machine has no descriptor left, no address to send from, or no
//! route at all says something about this machine; were it taken as evidence, one full table here would take
//! every data centre down at once.

use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Why a probe has no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The target, or the network on the way, is at fault.
    Bad(String),
    /// This machine is, or somebody who was asked about the target.
    Blind(String),
}

/// Draws the line for what the system says of a TCP connection. `is_routed` is asked only where the same
/// error number may be the network's word (an ICMP message on the way) or this machine's.
pub(super) fn of_io(error: &io::Error, is_routed: impl Fn() -> bool) -> Failure {
    let bad = |why: &str| Failure::Bad(why.into());
    let local = |why: &str| Failure::Blind(format!("{why} on this machine"));
    let Some(number) = error.raw_os_error() else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => bad("connection closed"),
            _ => Failure::Bad(error.to_string()),
        };
    };
    match number {
        libc::ECONNREFUSED => bad("connection refused"),
        libc::ECONNRESET | libc::ECONNABORTED => bad("connection reset"),
        libc::EPIPE | libc::ENOTCONN => bad("connection closed"),
        libc::ETIMEDOUT => bad("no answer: the system gave up"),
        libc::EHOSTUNREACH | libc::EHOSTDOWN if is_routed() => bad("host unreachable"),
        libc::ENETUNREACH if is_routed() => bad("network unreachable"),
        libc::EHOSTUNREACH | libc::EHOSTDOWN | libc::ENETUNREACH => local("no route to the address"),
        libc::EMFILE | libc::ENFILE => local("no file descriptor left"),
        libc::ENOBUFS | libc::ENOMEM => local("no memory left for sockets"),
        libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN => local("no address or port left to connect from"),
        libc::ENETDOWN | libc::ENODEV => local("the network is down"),
        libc::EAFNOSUPPORT => local("this address family is switched off"),
        libc::EACCES | libc::EPERM => local("a firewall or security rule forbids the connection"),
        _ => Failure::Bad(system_words(error)),
    }
}

/// What the system says, without the number in parentheses.
fn system_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

/// True unless this machine knows at once that it has no route. A UDP socket is connected, which asks the
/// routing table and sends nothing.
pub(super) fn is_routed(to: SocketAddr) -> bool {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).and_then(|socket| socket.connect(to)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_blindness_and_what_is_theirs_is_evidence() {
        let both: &[(i32, bool)] = &[
            (libc::ECONNREFUSED, true),
            (libc::ECONNRESET, true),
            (libc::ECONNABORTED, true),
            (libc::EPIPE, true),
            (libc::ENOTCONN, true),
            (libc::ETIMEDOUT, true),
            (libc::EPROTO, true),
            (libc::ENOPROTOOPT, true),
            (libc::EMSGSIZE, true),
            (libc::EMFILE, false),
            (libc::ENFILE, false),
            (libc::ENOBUFS, false),
            (libc::ENOMEM, false),
            (libc::EADDRNOTAVAIL, false),
            (libc::EADDRINUSE, false),
            (libc::EAGAIN, false),
            (libc::ENETDOWN, false),
            (libc::ENODEV, false),
            (libc::EAFNOSUPPORT, false),
            (libc::EACCES, false),
            (libc::EPERM, false),
        ];
        for &(number, is_evidence) in both {
            for routed in [true, false] {
                let said = of_io(&io::Error::from_raw_os_error(number), || routed);
                assert_eq!(matches!(said, Failure::Bad(_)), is_evidence, "{number}: {said:?}");
            }
        }
        for number in [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EHOSTDOWN] {
            for routed in [true, false] {
                let said = of_io(&io::Error::from_raw_os_error(number), || routed);
                assert_eq!(matches!(said, Failure::Bad(_)), routed, "{number}: {said:?}");
            }
        }
        let closed = of_io(&io::ErrorKind::UnexpectedEof.into(), || true);
        assert_eq!(closed, Failure::Bad("connection closed".into()));
    }

    #[test]
    fn loopback_is_always_routed() {
        assert!(is_routed("127.0.0.1:9".parse().unwrap()));
    }
}
