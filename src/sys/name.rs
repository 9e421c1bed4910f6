//! Socket addresses as the kernel writes them: `sockaddr_in` and `sockaddr_in6`, read byte by byte.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Octets of `sockaddr_in6`, the larger of the two.
pub(super) const NAME_LEN: usize = size_of::<libc::sockaddr_in6>();

const V4_LEN: usize = size_of::<libc::sockaddr_in>();

/// The address in `bytes`; `None` when they are too short or of another family (also when the kernel gave
/// no address at all).
pub(super) fn read(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    match i32::from(family) {
        libc::AF_INET => {
            let address: [u8; 4] = bytes.get(..V4_LEN)?[4..8].try_into().ok()?;
            Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(address), port)))
        }
        libc::AF_INET6 => {
            let bytes: &[u8; NAME_LEN] = bytes.get(..NAME_LEN)?.try_into().ok()?;
            let flow = u32::from_be_bytes(bytes[4..8].try_into().ok()?);
            let address: [u8; 16] = bytes[8..24].try_into().ok()?;
            let scope = u32::from_ne_bytes(bytes[24..28].try_into().ok()?);
            Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(address), port, flow, scope)))
        }
        _ => None,
    }
}

/// Writes `address`; says how many octets it takes.
pub(super) fn write(bytes: &mut [u8; NAME_LEN], address: SocketAddr) -> usize {
    bytes.fill(0);
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    let (family, len) = match address {
        SocketAddr::V4(address) => {
            bytes[4..8].copy_from_slice(&address.ip().octets());
            (libc::AF_INET, V4_LEN)
        }
        SocketAddr::V6(address) => {
            bytes[4..8].copy_from_slice(&address.flowinfo().to_be_bytes());
            bytes[8..24].copy_from_slice(&address.ip().octets());
            bytes[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
            (libc::AF_INET6, NAME_LEN)
        }
    };
    // Families are small numbers in 16 bits.
    bytes[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_socket2_writes_them() {
        for text in ["192.0.2.1:53", "[2001:db8::1]:5353", "[fe80::1%7]:1", "0.0.0.0:0", "[::]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            let storage = socket2::SockAddr::from(address);
            // SAFETY: FRESH, EXACT: socket2 gives a pointer and the length behind it.
            let bytes = unsafe { std::slice::from_raw_parts(storage.as_ptr().cast::<u8>(), storage.len() as usize) };
            assert_eq!(read(bytes), Some(address));
            let mut ours = [0xff; NAME_LEN];
            let len = write(&mut ours, address);
            assert_eq!((&ours[..len], read(&ours[..len])), (bytes, Some(address)));
        }
    }

    #[test]
    fn what_is_short_or_of_another_family_is_no_address() {
        let mut bytes = [0u8; NAME_LEN];
        assert_eq!(read(&[]), None);
        assert_eq!(read(&bytes), None);
        bytes[..2].copy_from_slice(&u16::try_from(libc::AF_INET6).unwrap().to_ne_bytes());
        assert!(read(&bytes).is_some());
        for len in 0..NAME_LEN {
            assert_eq!(read(&bytes[..len]), None);
        }
        bytes[..2].copy_from_slice(&u16::try_from(libc::AF_UNIX).unwrap().to_ne_bytes());
        assert_eq!(read(&bytes), None);
    }
}
