//! The name that was asked, ready for look-up.

use std::fmt;

use super::name::Shown;
use crate::limits::{LABEL_LEN_MAX, NAME_LEN_MAX, NAME_SUFFIXES_MAX};

/// Octets folded at once: what every 64-bit processor has a register for.
const FOLD_LEN: usize = 16;

/// A name in wire form, uncompressed, in lower case, with the places where its labels begin.
///
/// The original case stays in [`super::Query::question`].
#[derive(Clone, Copy)]
pub struct QName {
    /// Zeros behind the name; whole registers long.
    octets: [u8; NAME_LEN_MAX.next_multiple_of(FOLD_LEN)],
    len: u8,
    label_count: u8,
    offsets: [u8; NAME_SUFFIXES_MAX],
}

impl QName {
    /// The root, to be filled.
    pub(super) const ROOT: QName = QName {
        octets: [0; NAME_LEN_MAX.next_multiple_of(FOLD_LEN)],
        len: 1,
        label_count: 0,
        offsets: [0; NAME_SUFFIXES_MAX],
    };

    /// The name at the start of `bytes`, which may go on after it; `None` when there is no uncompressed
    /// name of at most 255 octets there.
    pub fn read(bytes: &[u8]) -> Option<QName> {
        let mut name = QName::ROOT;
        name.fill(bytes).then_some(name)
    }

    /// Makes [`QName::ROOT`] the name at the start of `bytes`; false, and nothing of use, when there is
    /// none. In place, because copying 386 octets costs as much as reading a name.
    #[inline]
    pub(super) fn fill(&mut self, bytes: &[u8]) -> bool {
        let mut at = 0;
        let mut labels = 0;
        loop {
            let (Some(&len), Some(offset)) = (bytes.get(at), self.offsets.get_mut(labels)) else { return false };
            *offset = at as u8; // below 255: checked when it grew
            if len == 0 {
                break;
            }
            at += 1 + usize::from(len);
            if usize::from(len) > LABEL_LEN_MAX || at >= NAME_LEN_MAX {
                return false;
            }
            labels += 1;
        }
        self.octets[..=at].copy_from_slice(&bytes[..=at]);
        // Length octets are below every letter, so the whole name folds at once, label borders or not.
        for chunk in &mut self.octets.as_chunks_mut::<FOLD_LEN>().0[..=at / FOLD_LEN] {
            chunk.make_ascii_lowercase();
        }
        self.len = (at + 1) as u8;
        self.label_count = labels as u8;
        true
    }

    /// From a whole name in wire form, as a CNAME's target is; `None` when it is none.
    pub fn from_wire(wire: &[u8]) -> Option<QName> {
        QName::read(wire).filter(|name| usize::from(name.len) == wire.len())
    }

    /// In wire form, lower case, the root's zero octet included.
    pub fn as_wire(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    /// Octets in wire form, 1 to 255.
    pub fn wire_len(&self) -> usize {
        usize::from(self.len)
    }

    /// Labels, the root's not counted.
    pub fn label_count(&self) -> usize {
        usize::from(self.label_count)
    }

    /// True for `.`.
    pub fn is_root(&self) -> bool {
        self.len == 1
    }

    /// Where the name itself and each of its ancestors begin, in octets, ascending: the first is 0, the
    /// last is the root's. There are [`QName::label_count`] + 1.
    pub fn suffix_offsets(&self) -> &[u8] {
        &self.offsets[..=usize::from(self.label_count)]
    }

    /// The ancestor that begins `skip` octets into the name; empty when `skip` lies behind it.
    pub fn suffix(&self, skip: usize) -> &[u8] {
        self.as_wire().get(skip..).unwrap_or_default()
    }

    /// The name itself and each of its ancestors in wire form, the root last.
    pub fn suffixes(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        self.suffix_offsets().iter().map(|&skip| self.suffix(usize::from(skip)))
    }

    /// The label at `index`, counted from the left; `None` behind the last.
    pub fn label(&self, index: usize) -> Option<&[u8]> {
        let bounds = self.suffix_offsets().get(index..index + 2)?;
        self.octets.get(usize::from(bounds[0]) + 1..usize::from(bounds[1]))
    }
}

/// As it would be written in a master file.
impl fmt::Display for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(self.as_wire()).fmt(f)
    }
}

impl fmt::Debug for QName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(self.as_wire()).fmt(f)
    }
}

impl PartialEq for QName {
    fn eq(&self, other: &QName) -> bool {
        self.as_wire() == other.as_wire()
    }
}

impl Eq for QName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_folded_and_its_labels_are_known() {
        let name = QName::read(b"\x03WwW\x07eXample\x03COM\0\0\x01\0\x01").unwrap();
        assert_eq!(name.as_wire(), b"\x03www\x07example\x03com\0");
        assert_eq!(name.suffix_offsets(), [0, 4, 12, 16]);
        assert_eq!(name.label_count(), 3);
        assert_eq!(name.suffix(12), b"\x03com\0");
        assert_eq!(name.suffix(99), b"");
        assert_eq!(name.suffixes().next_back(), Some(&b"\0"[..]));
        assert_eq!(name.label(1), Some(&b"example"[..]));
        assert_eq!(name.label(3), None);
        assert_eq!(name.to_string(), "www.example.com.");
    }

    #[test]
    fn the_root_and_the_longest_names_are_names() {
        let root = QName::from_wire(b"\0").unwrap();
        assert!(root.is_root());
        assert_eq!((root.suffix_offsets(), root.label_count()), (&[0][..], 0));
        let mut most = b"\x01x".repeat(127);
        most.push(0);
        let most = QName::from_wire(&most).unwrap();
        assert_eq!((most.wire_len(), most.label_count()), (255, 127));
        assert_eq!(most.suffix_offsets().last(), Some(&254));
        let mut over = b"\x01x".repeat(126);
        over.extend(b"\x02xx\0");
        assert_eq!(QName::read(&over), None);
        assert_eq!(QName::from_wire(b"\x01a\0\0"), None);
    }
}
