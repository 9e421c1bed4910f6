//! ICMP echo ("ping") over the kernel's own ping socket: a datagram socket of protocol ICMP, which needs no
//! privilege where `net.ipv4.ping_group_range` includes the process's group (it rules IPv6 as well).
//!
//! The kernel sets identifier and checksum and hands each socket only the replies to its own requests. Sequence
//! number and a random payload tell this request's reply from any other. The socket is connected, so that "host
//! unreachable" ends the probe at once.
//!
//! Where the system forbids it, the outcome is [`crate::health::Outcome::Blind`], in words that say what to set: a probe that
//! could not be made is evidence of nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use ring::rand::{SecureRandom, SystemRandom};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::failure::{self, Failure};
use super::progress::Progress;
use super::{Asked, Context, connect};
use crate::limits::PROBE_DATAGRAMS_PASSED_MAX;
use crate::model::TargetSpec;

/// Octets of type, code, checksum, identifier and sequence number (RFC 792, RFC 4443 §4.1).
const HEADER_LEN: usize = 8;

/// Octets of random payload.
const PAYLOAD_LEN: usize = 16;

/// Types of request and reply.
const ECHO_V4: [u8; 2] = [8, 0];
const ECHO_V6: [u8; 2] = [128, 129];

/// Tells requests of this process apart that are on their way at once.
static SEQUENCE: AtomicU16 = AtomicU16::new(0);

/// Sends one echo request to the target and waits for its reply.
pub(super) async fn ask(spec: &TargetSpec, context: &Context, progress: &Progress) -> Asked {
    connect::on_one_of(&spec.host, context, progress, |address| echo(address, progress)).await?;
    Ok(None)
}

async fn echo(address: IpAddr, progress: &Progress) -> Result<(), Failure> {
    let to = SocketAddr::new(address, 0);
    progress.asks(to);
    let failed = |cause: io::Error| failure::of_io(&cause, || failure::is_routed(to));
    let socket = open(address).map_err(|cause| forbidden(&cause))?;
    socket.connect(&to.into()).map_err(failed)?;
    // Tokio's UDP socket does what every datagram socket needs: wait, send, receive. It never looks at the
    // protocol.
    let socket = UdpSocket::from_std(socket.into()).map_err(failed)?;
    let types = match address {
        IpAddr::V4(_) => ECHO_V4,
        IpAddr::V6(_) => ECHO_V6,
    };
    let request = request(types[0])?;
    socket.send(&request).await.map_err(failed)?;
    // One octet more than we sent: a longer reply is not ours.
    let mut reply = [0; HEADER_LEN + PAYLOAD_LEN + 1];
    for _ in 0..PROBE_DATAGRAMS_PASSED_MAX {
        let len = socket.recv(&mut reply).await.map_err(failed)?;
        if is_reply(&request, &reply[..len], types[1]) {
            return Ok(());
        }
    }
    Err(Failure::Bad(format!("{address} sent {PROBE_DATAGRAMS_PASSED_MAX} replies that are not to our request")))
}

fn open(address: IpAddr) -> io::Result<Socket> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    Socket::new(domain, Type::DGRAM.nonblocking(), Some(protocol))
}

/// What this system refuses, and how to have it allowed.
fn forbidden(cause: &io::Error) -> Failure {
    Failure::Blind(match cause.kind() {
        io::ErrorKind::PermissionDenied => "this system forbids unprivileged ICMP echo: let \
             net.ipv4.ping_group_range include this process's group, such as: \
             sysctl -w net.ipv4.ping_group_range=\"0 2147483647\""
            .to_owned(),
        _ => format!("this system has no socket for ICMP echo: {cause}"),
    })
}

/// Identifier and checksum are the kernel's business.
fn request(kind: u8) -> Result<[u8; HEADER_LEN + PAYLOAD_LEN], Failure> {
    let mut octets = [0; HEADER_LEN + PAYLOAD_LEN];
    octets[0] = kind;
    octets[6..8].copy_from_slice(&SEQUENCE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    SystemRandom::new()
        .fill(&mut octets[HEADER_LEN..])
        .map_err(|_| Failure::Blind("the system gives no random numbers".to_owned()))?;
    Ok(octets)
}

/// Type and code, sequence number and payload; the kernel has matched the identifier.
fn is_reply(request: &[u8], reply: &[u8], kind: u8) -> bool {
    reply.len() == request.len() && reply[..2] == [kind, 0] && reply[6..] == request[6..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reply_to_this_request_counts() {
        let sent = request(8).unwrap();
        let mut reply = sent;
        reply[0] = 0;
        reply[2..6].copy_from_slice(&[1, 2, 3, 4]);
        assert!(is_reply(&sent, &reply, 0));
        assert!(!is_reply(&sent, &sent, 0), "our own request, looped back");
        assert!(!is_reply(&sent, &reply[..20], 0));
        assert!(!is_reply(&sent, &[], 0));
        for at in [1, 7, 8, 23] {
            let mut other = reply;
            other[at] ^= 1;
            assert!(!is_reply(&sent, &other, 0), "octet {at}");
        }
    }

    #[test]
    fn a_system_that_forbids_it_says_what_to_set() {
        let of = |code| forbidden(&io::Error::from_raw_os_error(code));
        assert!(matches!(of(libc::EACCES), Failure::Blind(why) if why.contains("sysctl -w net.ipv4.ping_group_range")));
        assert!(matches!(of(libc::EPROTONOSUPPORT), Failure::Blind(why) if why.contains("no socket")));
    }
}
