//! Uncompressed names in wire form (RFC 1035 §3.1), as slices.
//!
//! Length octets are at most 63 and so below every letter: folding the case of a whole name in wire
//! form never touches them. That is why comparisons and copies here go over octets, not over labels.
//!
//! Every function is total: what is no name has no length, no labels and no parent.

use crate::limits::{LABEL_LEN_MAX, NAME_LEN_MAX};

/// Octets of the name at the start of `bytes`, the root's zero octet included; `None` when there is no
/// uncompressed name of at most 255 octets there. Anything may follow it.
#[inline]
pub fn wire_len(bytes: &[u8]) -> Option<usize> {
    let longest = &bytes[..bytes.len().min(NAME_LEN_MAX)];
    let mut at = 0;
    loop {
        match usize::from(*longest.get(at)?) {
            0 => return Some(at + 1),
            len @ 1..=LABEL_LEN_MAX => at += 1 + len,
            _ => return None,
        }
    }
}

/// True when `bytes` is one whole uncompressed name and nothing else.
pub fn is_wire(bytes: &[u8]) -> bool {
    wire_len(bytes) == Some(bytes.len())
}

/// Labels from left to right, without the root's.
pub fn labels(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    suffixes(name).filter_map(|(_, suffix)| suffix.get(1..=usize::from(*suffix.first()?))).filter(|l| !l.is_empty())
}

/// The name itself and each of its ancestors, the root last, each with its offset in octets.
pub fn suffixes(name: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let at = next?;
        let suffix = name.get(at..)?;
        let len = usize::from(*suffix.first()?);
        next = (len != 0).then_some(at + 1 + len);
        Some((at, suffix))
    })
}

/// Labels in the name, the root's not counted.
pub fn label_count(name: &[u8]) -> usize {
    labels(name).count()
}

/// The name without its leftmost label; `None` for the root.
pub fn parent(name: &[u8]) -> Option<&[u8]> {
    match *name.first()? {
        0 => None,
        len => name.get(1 + usize::from(len)..),
    }
}

/// Equality of names: ASCII letters are equal whatever their case (RFC 4343).
///
/// Equal names mostly have equal octets, and different ones mostly differ at the start: both are seen early.
#[inline]
pub fn eq(a: &[u8], b: &[u8]) -> bool {
    a == b || (a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.eq_ignore_ascii_case(b)))
}

/// True for `ancestor` itself and every name below it.
pub fn is_within(name: &[u8], ancestor: &[u8]) -> bool {
    let Some(skip) = name.len().checked_sub(ancestor.len()) else { return false };
    eq(&name[skip..], ancestor) && suffixes(name).take_while(|(at, _)| *at <= skip).any(|(at, _)| at == skip)
}

/// A name in a buffer of its own, on the stack.
#[derive(Clone, Copy)]
pub struct NameBuf {
    octets: [u8; NAME_LEN_MAX],
    len: u8,
}

impl NameBuf {
    /// A copy of `name`; `None` when that is no name.
    pub fn new(name: &[u8]) -> Option<NameBuf> {
        NameBuf::join(&[], name)
    }

    /// A copy of `name` in lower case; `None` when that is no name.
    pub fn lower_case(name: &[u8]) -> Option<NameBuf> {
        let mut lower = NameBuf::new(name)?;
        // Length octets are below every letter.
        lower.octets[..name.len()].make_ascii_lowercase();
        Some(lower)
    }

    /// The wildcard child of `parent`: `*.` in front of it (RFC 4592). `None` when that is longer than a
    /// name may be.
    pub fn wildcard_child(parent: &[u8]) -> Option<NameBuf> {
        NameBuf::join(b"\x01*", parent)
    }

    /// The DNAME substitution (RFC 6672 §2.2): the first `skip` octets of `name`, which end at a label,
    /// before `target`. `None` when the result is longer than a name may be (YXDOMAIN).
    pub fn substitute(name: &[u8], skip: usize, target: &[u8]) -> Option<NameBuf> {
        NameBuf::join(name.get(..skip)?, target)
    }

    fn join(head: &[u8], tail: &[u8]) -> Option<NameBuf> {
        let len = head.len() + tail.len();
        let mut octets = [0; NAME_LEN_MAX];
        octets.get_mut(..head.len())?.copy_from_slice(head);
        octets.get_mut(head.len()..len)?.copy_from_slice(tail);
        is_wire(&octets[..len]).then_some(NameBuf { octets, len: u8::try_from(len).ok()? })
    }

    /// In wire form.
    pub fn as_wire(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

/// As it would be written in a master file.
impl std::fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&Shown(self.as_wire()), f)
    }
}

/// A name in presentation form, case kept: `WWW.example.com.`
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a [u8]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        crate::model::fmt_labels(labels(self.0), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WWW: &[u8] = b"\x03WWW\x07example\x03com\0";

    #[test]
    fn a_name_has_a_length_and_nothing_else_has() {
        assert_eq!(wire_len(b"\0"), Some(1));
        assert_eq!(wire_len(b"\x01a\0more"), Some(3));
        for wrong in [&b""[..], b"\x01", b"\x01a", b"\xc0\x0c", b"\x40a", b"\x80a", b"\x02a\0"] {
            assert_eq!(wire_len(wrong), None, "{wrong:?}");
        }
        let mut longest = [b'\x3f'].repeat(0);
        for len in [63, 63, 63, 61] {
            longest.push(len);
            longest.extend(vec![b'x'; usize::from(len)]);
        }
        longest.push(0);
        assert_eq!(wire_len(&longest), Some(255));
        longest[192] = 62;
        longest.insert(193, b'x');
        assert_eq!(wire_len(&longest), None);
    }

    #[test]
    fn labels_and_ancestors_come_from_left_to_right() {
        assert_eq!(labels(WWW).collect::<Vec<_>>(), [&b"WWW"[..], b"example", b"com"]);
        assert_eq!(suffixes(WWW).map(|(at, _)| at).collect::<Vec<_>>(), [0, 4, 12, 16]);
        assert_eq!(label_count(WWW), 3);
        assert_eq!(label_count(b"\0"), 0);
        assert_eq!(parent(WWW), Some(&WWW[4..]));
        assert_eq!(parent(b"\0"), None);
    }

    #[test]
    fn rfc4343_case_does_not_distinguish_names() {
        assert!(eq(WWW, b"\x03www\x07EXAMPLE\x03com\0"));
        assert!(!eq(WWW, b"\x03wwx\x07example\x03com\0"));
        assert!(is_within(WWW, b"\x07Example\x03COM\0"));
        assert!(is_within(WWW, WWW));
        assert!(is_within(WWW, b"\0"));
        assert!(!is_within(b"\x03com\0", WWW));
        // Octets that look like a length inside a label are not one.
        assert!(!is_within(b"\x03a\x01b\0", b"\x01b\0"));
    }

    #[test]
    fn rfc4592_wildcard_child_and_rfc6672_substitution() {
        let wildcard = NameBuf::wildcard_child(&WWW[4..]).unwrap();
        assert_eq!(wildcard.as_wire(), b"\x01*\x07example\x03com\0");
        let moved = NameBuf::substitute(WWW, 4, b"\x03net\0").unwrap();
        assert_eq!(moved.as_wire(), b"\x03WWW\x03net\0");
        assert_eq!(format!("{moved:?}"), "WWW.net.");
        assert_eq!(Shown(b"\x03a.\x07\0").to_string(), "a\\.\\007.");
        let mut long = b"\x01x".repeat(126);
        long.push(0); // 253 octets
        assert_eq!(NameBuf::wildcard_child(&long).map(|n| n.as_wire().len()), Some(255));
        long.splice(0..0, *b"\x01x");
        assert!(NameBuf::wildcard_child(&long).is_none());
        assert!(NameBuf::substitute(WWW, 4, &long).is_none());
        assert!(NameBuf::substitute(WWW, 99, b"\0").is_none());
        assert!(NameBuf::new(b"\x03ab").is_none());
    }
}
