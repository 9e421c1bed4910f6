//! Control messages: to which of our addresses a datagram was sent, from which a reply leaves, and where the
//! kernel cuts a group of replies.
//!
//! A socket bound to the wildcard address receives for every address of the host. Left alone, the kernel
//! would choose the source of a reply by its routes, and a client that asked another address would not
//! recognise the reply. `IP_PKTINFO` and `IPV6_PKTINFO` (RFC 3542 §6) say what was asked and set what
//! answers.
//!
//! The layout is the kernel's `struct cmsghdr`: length (a word), level and type (an `int` each), then the
//! data, padded to a word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Octets for the control messages of one datagram: one packet-information message of either family, and
/// the length of segments.
pub(super) const CONTROL_LEN: usize = 64;

const WORD: usize = size_of::<usize>();
const HEADER_LEN: usize = WORD + 8;
const V4_LEN: usize = size_of::<libc::in_pktinfo>();
const V6_LEN: usize = size_of::<libc::in6_pktinfo>();

/// The length of segments is 16 bits.
const SEGMENT_LEN: usize = 2;

/// Octets of the message with it.
pub(super) const SEGMENT_MESSAGE_LEN: usize = aligned(HEADER_LEN + SEGMENT_LEN);

const _: () = assert!(aligned(HEADER_LEN + V6_LEN) + SEGMENT_MESSAGE_LEN <= CONTROL_LEN);
const _: () = assert!(V4_LEN == 12 && V6_LEN == 20);

const fn aligned(len: usize) -> usize {
    len.next_multiple_of(WORD)
}

/// A control buffer; aligned as the C library would.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct Control(pub(super) [u8; CONTROL_LEN]);

/// One of our own addresses, as a datagram named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// The address.
    pub address: IpAddr,
    /// The interface by which the datagram came.
    pub interface: u32,
}

/// The packet information in what the kernel wrote; `None` when there is none.
pub(super) fn read(bytes: &[u8]) -> Option<Local> {
    let mut rest = bytes;
    while rest.len() >= HEADER_LEN {
        let len = usize::from_ne_bytes(rest[..WORD].try_into().ok()?);
        let level = i32::from_ne_bytes(rest[WORD..WORD + 4].try_into().ok()?);
        let kind = i32::from_ne_bytes(rest[WORD + 4..HEADER_LEN].try_into().ok()?);
        let data = rest.get(HEADER_LEN..len)?;
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if data.len() >= V4_LEN => {
                // `ipi_spec_dst` and not `ipi_addr`: for a broadcast the latter is none of our addresses.
                let address: [u8; 4] = data[4..8].try_into().ok()?;
                let interface = u32::from_ne_bytes(data[..4].try_into().ok()?);
                return Some(Local { address: IpAddr::V4(Ipv4Addr::from(address)), interface });
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if data.len() >= V6_LEN => {
                let address: [u8; 16] = data[..16].try_into().ok()?;
                let interface = u32::from_ne_bytes(data[16..20].try_into().ok()?);
                return Some(Local { address: IpAddr::V6(Ipv6Addr::from(address)), interface });
            }
            _ => rest = rest.get(aligned(len)..)?,
        }
    }
    None
}

/// Writes the message that makes a reply leave from `local`; says how many octets it takes.
pub(super) fn write(control: &mut Control, local: Local) -> usize {
    let bytes = &mut control.0;
    bytes.fill(0);
    let (level, kind, data_len) = match local.address {
        IpAddr::V4(address) => {
            // No interface: the route decides, or replies to asymmetric routes would be lost.
            bytes[HEADER_LEN + 4..HEADER_LEN + 8].copy_from_slice(&address.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, V4_LEN)
        }
        IpAddr::V6(address) => {
            bytes[HEADER_LEN..HEADER_LEN + 16].copy_from_slice(&address.octets());
            // A link-local address means something on its own link only.
            if address.is_unicast_link_local() {
                bytes[HEADER_LEN + 16..HEADER_LEN + 20].copy_from_slice(&local.interface.to_ne_bytes());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, V6_LEN)
        }
    };
    write_header(bytes, level, kind, data_len);
    aligned(HEADER_LEN + data_len)
}

/// Writes, behind the first `at` octets, the message that has the kernel cut what is sent into datagrams of `len`
/// octets, the last of which may be shorter (`UDP_SEGMENT`, Linux 4.18); says how many octets there are then.
pub(super) fn write_segment(control: &mut Control, at: usize, len: u16) -> usize {
    let end = at + SEGMENT_MESSAGE_LEN;
    let bytes = &mut control.0[at..end];
    bytes.fill(0);
    bytes[HEADER_LEN..HEADER_LEN + SEGMENT_LEN].copy_from_slice(&len.to_ne_bytes());
    write_header(bytes, libc::SOL_UDP, libc::UDP_SEGMENT, SEGMENT_LEN);
    end
}

fn write_header(bytes: &mut [u8], level: i32, kind: i32, data_len: usize) {
    bytes[..WORD].copy_from_slice(&(HEADER_LEN + data_len).to_ne_bytes());
    bytes[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
    bytes[WORD + 4..HEADER_LEN].copy_from_slice(&kind.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut control = Control([0xff; CONTROL_LEN]);
        let v4 = Local { address: "192.0.2.7".parse().unwrap(), interface: 3 };
        let len = write(&mut control, v4);
        assert_eq!(read(&control.0[..len]), Some(Local { interface: 0, ..v4 }));
        let v6 = Local { address: "2001:db8::7".parse().unwrap(), interface: 3 };
        let len = write(&mut control, v6);
        assert_eq!(read(&control.0[..len]), Some(Local { interface: 0, ..v6 }));
    }

    #[test]
    fn the_length_of_segments_stands_behind_an_address_or_alone() {
        let local = Local { address: "2001:db8::7".parse().unwrap(), interface: 0 };
        let mut control = Control([0xff; CONTROL_LEN]);
        let at = write(&mut control, local);
        let len = write_segment(&mut control, at, 500);
        assert_eq!((at, len), (40, CONTROL_LEN));
        assert_eq!(read(&control.0[..len]), Some(local));
        assert_eq!(control.0[at + HEADER_LEN..at + HEADER_LEN + 2], 500u16.to_ne_bytes());
        assert_eq!(write_segment(&mut control, 0, 500), 24);
        assert_eq!(read(&control.0[..24]), None);
    }

    #[test]
    fn a_link_local_address_keeps_its_interface() {
        let mut control = Control([0; CONTROL_LEN]);
        let local = Local { address: "fe80::7".parse().unwrap(), interface: 3 };
        let len = write(&mut control, local);
        assert_eq!(read(&control.0[..len]), Some(local));
    }

    #[test]
    fn other_messages_are_stepped_over() {
        let mut bytes = Vec::new();
        bytes.extend((HEADER_LEN + 4).to_ne_bytes());
        bytes.extend(libc::SOL_SOCKET.to_ne_bytes());
        bytes.extend(libc::SO_RXQ_OVFL.to_ne_bytes());
        bytes.extend([0; WORD]);
        let mut control = Control([0; CONTROL_LEN]);
        let local = Local { address: "192.0.2.7".parse().unwrap(), interface: 0 };
        let len = write(&mut control, local);
        bytes.extend(&control.0[..len]);
        assert_eq!(read(&bytes), Some(local));
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic_or_hang(bytes in prop::collection::vec(any::<u8>(), 0..CONTROL_LEN * 2)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_length_makes_reading_panic_or_hang(len in any::<usize>(), small in 0usize..80, tail in 0usize..64) {
            for len in [len, small] {
                let mut bytes = len.to_ne_bytes().to_vec();
                bytes.resize(WORD + tail, 0);
                prop_assert_eq!(read(&bytes), None);
            }
        }
    }
}
