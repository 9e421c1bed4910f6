//! One client, one address: IPv4 that travels inside IPv6.
//!
//! `::ffff:0:0/96` (RFC 4291 §2.5.5.2) and 6to4, `2002::/16` (RFC 3056), carry an IPv4 address; what is
//! known of such a client is known of that address. Everything else is plain IPv6: `::/96` (deprecated
//! IPv4-compatible addresses; GeoIP files keep their IPv4 tree there, but no client does) and Teredo,
//! whose IPv4 part names a relay and not the client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where the blocks that carry IPv4 begin, and how many bits stand before the IPv4 address.
pub(super) const CARRIERS: [(u128, u8); 2] = [(0xffff << 32, 96), (0x2002 << 112, 16)];

/// Blocks of which a database's IPv6 tree says nothing: those that carry IPv4, the place of the file's own
/// IPv4 tree, and Teredo (2001::/32, RFC 4380), which files alias to their IPv4 tree.
pub(super) const WITHOUT_DATA: [(u128, u8); 4] = [(0, 96), CARRIERS[0], (0x2001 << 112, 32), CARRIERS[1]];

/// An address as a number, in the family that decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Canonical {
    /// IPv4, with as many bits of IPv6 before it.
    V4(u32, u8),
    /// Plain IPv6.
    V6(u128),
}

/// The address that decides for `address`.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the 32 bits that are meant")]
pub(super) fn canonical(address: IpAddr) -> Canonical {
    match address {
        IpAddr::V4(address) => Canonical::V4(address.to_bits(), 0),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            if bits >> 112 == 0x2002 {
                Canonical::V4((bits >> 80) as u32, 16)
            } else if bits >> 32 == 0xffff {
                Canonical::V4(bits as u32, 96)
            } else {
                Canonical::V6(bits)
            }
        }
    }
}

/// The address that decides for `address`: an IPv4 address that travels inside IPv6 as such.
pub fn carried(address: IpAddr) -> IpAddr {
    match canonical(address) {
        Canonical::V4(bits, _) => IpAddr::V4(Ipv4Addr::from_bits(bits)),
        Canonical::V6(bits) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_carries_ipv4_is_that_ipv4_address() {
        let of = |text: &str| canonical(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), Canonical::V4(0xc000_0201, 0));
        assert_eq!(of("::ffff:192.0.2.1"), Canonical::V4(0xc000_0201, 96));
        assert_eq!(of("2002:c000:201:1::5"), Canonical::V4(0xc000_0201, 16));
        assert_eq!(of("::192.0.2.1"), Canonical::V6(0xc000_0201));
        assert_eq!(of("2001:0:c000:201::"), Canonical::V6(0x2001_0000_c000_0201 << 64));
        assert_eq!(of("::fffe:ffff:ffff"), Canonical::V6(0xfffe_ffff_ffff));
        assert_eq!(of("2003::"), Canonical::V6(0x2003 << 112));
    }
}
