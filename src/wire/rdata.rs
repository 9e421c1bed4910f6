//! Where names lie in RDATA, and which of them may be compressed or are folded.
//!
//! A server that does not know a type treats its RDATA as octets (RFC 3597 §3). Of the types known here,
//! only those of RFC 1035 may have their names compressed (RFC 3597 §4): a resolver that does not know
//! SRV could not undo it.

use std::ops::Range;

use super::{name, types::rtype};

/// What stands before the first name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// So many octets.
    Octets(usize),
    /// NAPTR: order, preference, and three character-strings (RFC 3403 §4.1).
    Naptr,
}

/// Where names lie in the RDATA of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    before: Before,
    names: usize,
    after: After,
    /// Senders may compress these names (RFC 3597 §4).
    pub is_compressible: bool,
    /// The canonical form has these names in lower case (RFC 4034 §6.2, RFC 6840 §5.1).
    pub is_folded: bool,
}

/// What stands behind the last name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// So many octets.
    Octets(usize),
    /// Anything.
    Anything,
}

/// Why octets are not the RDATA of their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RdataError {
    /// Too short, too long, or a name in it is none.
    #[error("RDATA is not well-formed for its type")]
    Malformed,
    /// No message can hold it, or the RRset that it would join.
    #[error("an RRset has to fit into one message")]
    TooLong,
}

/// Where names lie in the RDATA of `rtype`; `None` when there are none, or none that we know.
pub const fn layout(rtype: u16) -> Option<Layout> {
    use After::Anything;
    use Before::{Naptr, Octets};
    const fn old(octets: usize, names: usize, after: usize) -> Layout {
        let (before, after) = (Octets(octets), After::Octets(after));
        Layout { before, names, after, is_compressible: true, is_folded: true }
    }
    const fn new(before: Before, names: usize, after: After, is_folded: bool) -> Layout {
        Layout { before, names, after, is_compressible: false, is_folded }
    }
    const NOTHING: After = After::Octets(0);
    Some(match rtype {
        rtype::NS | rtype::MD | rtype::MF | rtype::CNAME | rtype::MB | rtype::MG | rtype::MR | rtype::PTR => {
            old(0, 1, 0)
        }
        rtype::SOA => old(0, 2, 20),
        rtype::MINFO => old(0, 2, 0),
        rtype::MX => old(2, 1, 0),
        rtype::DNAME => new(Octets(0), 1, NOTHING, true),
        rtype::RP => new(Octets(0), 2, NOTHING, true),
        rtype::AFSDB | rtype::RT | rtype::KX => new(Octets(2), 1, NOTHING, true),
        rtype::PX => new(Octets(2), 2, NOTHING, true),
        rtype::SRV => new(Octets(6), 1, NOTHING, true),
        rtype::NAPTR => new(Naptr, 1, NOTHING, true),
        rtype::SIG | rtype::RRSIG => new(Octets(18), 1, Anything, true),
        rtype::NXT => new(Octets(0), 1, Anything, true),
        rtype::NSEC => new(Octets(0), 1, Anything, false),
        rtype::SVCB | rtype::HTTPS => new(Octets(2), 1, Anything, false),
        rtype::LP => new(Octets(2), 1, NOTHING, false),
        _ => return None,
    })
}

/// True when the names in the RDATA of `rtype` may be compressed. A list of its own, because every answer asks.
#[inline]
pub const fn is_compressible(rtype: u16) -> bool {
    use rtype::{CNAME, MB, MD, MF, MG, MINFO, MR, MX, NS, PTR, SOA};
    matches!(rtype, NS | MD | MF | CNAME | SOA | MB | MG | MR | PTR | MINFO | MX)
}

impl Layout {
    /// Where the names are, in order; `None` when `rdata` is not laid out so.
    pub fn names(&self, rdata: &[u8]) -> Option<[Range<usize>; 2]> {
        let first = match self.before {
            Before::Octets(octets) => octets,
            Before::Naptr => {
                let mut at = 4;
                for _ in 0..3 {
                    at += 1 + usize::from(*rdata.get(at)?);
                }
                at
            }
        };
        let mut at = first;
        let mut found = [const { 0..0 }; 2];
        for range in found.iter_mut().take(self.names) {
            let end = at + name::wire_len(rdata.get(at..)?)?;
            *range = at..end;
            at = end;
        }
        match self.after {
            After::Octets(octets) => (rdata.len() == at + octets).then_some(found),
            After::Anything => Some(found),
        }
    }
}

/// Checks what the writer and the tables rely on: that names in RDATA are whole, and that addresses have
/// their length. Other types are octets.
pub fn check(rtype: u16, rdata: &[u8]) -> Result<(), RdataError> {
    let is_right = match (rtype, layout(rtype)) {
        (rtype::A, _) => rdata.len() == 4,
        (rtype::AAAA, _) => rdata.len() == 16,
        (_, Some(layout)) => layout.names(rdata).is_some(),
        (_, None) => true,
    };
    if is_right { Ok(()) } else { Err(RdataError::Malformed) }
}

/// The target of a CNAME, NS, PTR, DNAME, MX or SRV record: the one name in its RDATA, uncompressed.
/// `None` for types with another number of names.
pub fn target(rtype: u16, rdata: &[u8]) -> Option<&[u8]> {
    let layout = layout(rtype)?;
    let [name, _] = layout.names(rdata)?;
    (layout.names == 1).then(|| rdata.get(name)).flatten()
}

/// Brings RDATA into canonical form (RFC 4034 §6.2): names in lower case where the type says so.
pub fn fold(rtype: u16, rdata: &mut [u8]) {
    let Some(layout) = layout(rtype).filter(|layout| layout.is_folded) else { return };
    let Some(names) = layout.names(rdata) else { return };
    for name in names {
        rdata[name].make_ascii_lowercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3597_only_the_types_of_rfc1035_are_compressible() {
        let compressible: Vec<u16> = (0..=u16::MAX).filter(|&rtype| is_compressible(rtype)).collect();
        assert!(
            (0..=u16::MAX)
                .filter(|&rtype| layout(rtype).is_some_and(|l| l.is_compressible))
                .eq(compressible.iter().copied())
        );
        assert_eq!(compressible, [2, 3, 4, 5, 6, 7, 8, 9, 12, 14, 15]);
    }

    #[test]
    fn names_are_found_where_they_are() {
        let soa = b"\x01m\0\x01r\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";
        assert_eq!(layout(rtype::SOA).unwrap().names(soa), Some([0..3, 3..6]));
        assert_eq!(check(rtype::SOA, &soa[..25]), Err(RdataError::Malformed));
        assert_eq!(target(rtype::MX, b"\0\x0a\x01m\0"), Some(&b"\x01m\0"[..]));
        assert_eq!(target(rtype::SRV, b"\0\x01\0\x02\0\x50\x01s\0"), Some(&b"\x01s\0"[..]));
        assert_eq!(target(rtype::SOA, soa), None);
        assert_eq!(target(rtype::NAPTR, b"\0\x01\0\x02\x01u\x03SIP\0\x01t\0"), Some(&b"\x01t\0"[..]));
        assert_eq!(check(rtype::NAPTR, b"\0\x01\0\x02\xffu"), Err(RdataError::Malformed));
    }

    #[test]
    fn malformed_rdata_is_told_from_well_formed() {
        assert_eq!(check(rtype::A, &[1, 2, 3, 4]), Ok(()));
        assert_eq!(check(rtype::A, &[1, 2, 3]), Err(RdataError::Malformed));
        assert_eq!(check(rtype::AAAA, &[0; 16]), Ok(()));
        assert_eq!(check(rtype::CNAME, b"\xc0\x0c"), Err(RdataError::Malformed));
        assert_eq!(check(rtype::CNAME, b"\x01a\0\0"), Err(RdataError::Malformed));
        assert_eq!(check(1234, b"anything"), Ok(()));
    }

    #[test]
    fn rfc4034_canonical_form_folds_names_and_nothing_else() {
        let mut mx = *b"\x4d\x4d\x01M\0";
        fold(rtype::MX, &mut mx);
        assert_eq!(&mx, b"\x4d\x4d\x01m\0");
        let mut txt = *b"\x01T";
        fold(rtype::TXT, &mut txt);
        assert_eq!(&txt, b"\x01T");
        let mut nsec = *b"\x01N\0\0\x01\x40";
        fold(rtype::NSEC, &mut nsec);
        assert_eq!(&nsec[..3], b"\x01N\0");
    }
}
