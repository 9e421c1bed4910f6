//! EDNS Client Subnet (RFC 7871).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// FAMILY, as far as it means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EcsFamily {
    /// 0: no address, "do not use mine" (RFC 7871 §7.1.2 speaks of source 0; this is how some say it).
    Unspecified,
    /// 1: IPv4.
    V4,
    /// 2: IPv6.
    V6,
}

impl EcsFamily {
    /// As on the wire.
    pub const fn number(self) -> u16 {
        match self {
            EcsFamily::Unspecified => 0,
            EcsFamily::V4 => 1,
            EcsFamily::V6 => 2,
        }
    }

    /// Bits of an address.
    pub const fn bits(self) -> u8 {
        match self {
            EcsFamily::Unspecified => 0,
            EcsFamily::V4 => 32,
            EcsFamily::V6 => 128,
        }
    }
}

/// A client subnet from a query, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ecs<'a> {
    family: EcsFamily,
    source: u8,
    octets: &'a [u8],
}

impl<'a> Ecs<'a> {
    /// From the option's data. `None` is a FORMERR (RFC 7871 §6, §7.1.2): a non-zero scope, an unknown
    /// family, a source longer than the family's addresses, octets that are not exactly those of the
    /// source, or bits set behind it.
    #[inline]
    pub fn parse(data: &'a [u8]) -> Option<Ecs<'a>> {
        let (&[family_high, family_low, source, scope], octets) = data.split_first_chunk()?;
        let family = match u16::from_be_bytes([family_high, family_low]) {
            0 => EcsFamily::Unspecified,
            1 => EcsFamily::V4,
            2 => EcsFamily::V6,
            _ => return None,
        };
        if scope != 0 || source > family.bits() || octets.len() != usize::from(source).div_ceil(8) {
            return None;
        }
        if let (Some(last), spare @ 1..) = (octets.last(), octets.len() * 8 - usize::from(source))
            && last.trailing_zeros() < spare as u32
        {
            return None;
        }
        Some(Ecs { family, source, octets })
    }

    /// FAMILY.
    pub fn family(&self) -> EcsFamily {
        self.family
    }

    /// SOURCE PREFIX-LENGTH in bits: how much of the address the client lets us know.
    pub fn source(&self) -> u8 {
        self.source
    }

    /// The subnet's first address; `None` when nothing is said about the client (source 0).
    #[inline]
    pub fn address(&self) -> Option<IpAddr> {
        if self.source == 0 {
            return None;
        }
        match self.family {
            EcsFamily::Unspecified => None,
            EcsFamily::V4 => {
                let octet = |at: usize| self.octets.get(at).copied().unwrap_or(0);
                Some(IpAddr::V4(Ipv4Addr::new(octet(0), octet(1), octet(2), octet(3))))
            }
            EcsFamily::V6 => {
                let mut address = [0; 16];
                address[..self.octets.len()].copy_from_slice(self.octets);
                Some(IpAddr::V6(Ipv6Addr::from(address)))
            }
        }
    }

    /// Octets of the option's data in a reply.
    pub(super) fn len(&self) -> usize {
        4 + self.octets.len()
    }

    /// The address octets as they came.
    pub(super) fn octets(&self) -> &'a [u8] {
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7871_6_a_well_formed_subnet_is_understood() {
        let v4 = Ecs::parse(&[0, 1, 24, 0, 192, 0, 2]).unwrap();
        assert_eq!((v4.family(), v4.source(), v4.address()), (EcsFamily::V4, 24, "192.0.2.0".parse().ok()));
        assert_eq!(v4.len(), 7);
        let odd = Ecs::parse(&[0, 1, 20, 0, 192, 0, 0x10]).unwrap();
        assert_eq!(odd.address(), "192.0.16.0".parse().ok());
        let v6 = Ecs::parse(&[0, 2, 33, 0, 0x20, 1, 0xd, 0xb8, 0x80]).unwrap();
        assert_eq!(v6.address(), "2001:db8:8000::".parse().ok());
        let mut host = [0, 2, 128, 0].to_vec();
        host.extend([0xff; 16]);
        assert_eq!(Ecs::parse(&host).unwrap().source(), 128);
    }

    #[test]
    fn rfc7871_7_1_2_source_zero_says_nothing_of_the_client() {
        for family in 0..=2 {
            let data = [0, family, 0, 0];
            let ecs = Ecs::parse(&data).unwrap();
            assert_eq!((ecs.source(), ecs.address(), ecs.octets()), (0, None, &[][..]));
            assert_eq!(ecs.family().number(), u16::from(family));
        }
    }

    #[test]
    fn rfc7871_6_everything_else_is_a_format_error() {
        let wrong: [&[u8]; 13] = [
            &[],
            &[0, 1, 24],
            &[0, 1, 24, 24, 192, 0, 2],      // scope in a query
            &[0, 1, 24, 0, 192, 0],          // too few octets
            &[0, 1, 24, 0, 192, 0, 2, 0],    // too many
            &[0, 1, 33, 0, 192, 0, 2, 0, 0], // longer than an address
            &[0, 1, 20, 0, 192, 0, 0x1f],    // bits behind the source
            &[0, 1, 1, 0, 0xc0],             // bits behind the source
            &[0, 2, 129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0, 3, 8, 0, 1], // unknown family
            &[1, 1, 8, 0, 1], // unknown family
            &[0, 0, 8, 0, 1], // an address without a family
            &[0, 0, 0, 1],    // scope without a family
        ];
        for data in wrong {
            assert_eq!(Ecs::parse(data), None, "{data:?}");
        }
    }
}
