//! Whose fault it is: the line between evidence and blindness.
//!
//! A connection that is refused, reset or never answered says something about the target, or about the network
//! before it, which clients share. That this machine has no descriptor left, no address to send from, or no
//! route at all says something about this machine; were it taken as evidence, one full table here would take
//! every data centre down at once.

use std::fs;
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

/// True unless this machine has no route and no part in the network of that family. Where it has a part, a route that
/// is missing says something of the target: routing protocols withdraw what is dead. (A UDP socket is connected, which
/// asks the routing table and sends nothing.)
pub(super) fn is_routed(to: SocketAddr) -> bool {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).and_then(|socket| socket.connect(to)).is_ok() || has_part(to)
}

/// Whether this machine is in a network of that family beyond itself, as far as the system tells.
fn has_part(to: SocketAddr) -> bool {
    let lines = |file| fs::read_to_string(file).unwrap_or_default();
    match to {
        SocketAddr::V4(_) => is_in_ipv4(&lines("/proc/net/route")),
        SocketAddr::V6(_) => is_in_ipv6(&lines("/proc/net/if_inet6")),
    }
}

/// Routes, the interface first, under a heading.
fn is_in_ipv4(routes: &str) -> bool {
    routes.lines().skip(1).filter_map(|line| line.split_whitespace().next()).any(|interface| interface != "lo")
}

/// Addresses: octets, index, prefix length, scope (00 is global), flags, interface.
fn is_in_ipv6(addresses: &str) -> bool {
    addresses.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(3) == Some(&"00") && fields.get(5).is_some_and(|interface| *interface != "lo")
    })
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
    fn who_has_no_part_in_a_family_cannot_tell_a_missing_route_from_a_dead_target() {
        const HEAD: &str = "Iface\tDestination\tGateway \tFlags\n";
        assert!(!is_in_ipv4("") && !is_in_ipv4(HEAD) && !is_in_ipv4(&format!("{HEAD}lo\t0000007F\t00000000\t0001\n")));
        assert!(is_in_ipv4(&format!("{HEAD}eth0\t0001A8C0\t00000000\t0001\n")));
        let lo = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let link_local = "fe800000000000000000000000000001 02 40 20 80     eth0\n";
        let global = "20010db8000000000000000000000001 02 40 00 80     eth0\n";
        assert!(!is_in_ipv6("") && !is_in_ipv6(&format!("{lo}{link_local}")));
        assert!(is_in_ipv6(&format!("{lo}{link_local}{global}")));
    }

    #[test]
    fn loopback_is_always_routed() {
        assert!(is_routed("127.0.0.1:9".parse().unwrap()));
    }
}
