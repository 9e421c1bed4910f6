//! The name that was asked, ready for look-up.

use std::fmt;

use super::name::{self, Shown};
use crate::limits::NAME_LEN_MAX;

/// Octets folded at once: what every 64-bit processor has a register for.
const FOLD_LEN: usize = 16;

/// A name in wire form, uncompressed, in lower case, in a buffer of its own.
///
/// The original case of the question's stays in [`super::Query::question`].
#[derive(Clone, Copy)]
pub struct QName {
    /// Whole registers long. What is behind the name means nothing.
    octets: [u8; NAME_LEN_MAX.next_multiple_of(FOLD_LEN)],
    /// 0: to be filled.
    len: u8,
}

impl QName {
    /// Nothing yet, to be filled.
    #[inline]
    pub(crate) fn blank() -> QName {
        QName { octets: [0; NAME_LEN_MAX.next_multiple_of(FOLD_LEN)], len: 0 }
    }

    /// The name at the start of `bytes`, which may go on after it; `None` when there is no uncompressed
    /// name of at most 255 octets there.
    pub fn read(bytes: &[u8]) -> Option<QName> {
        let mut name = QName::blank();
        name.fill(bytes).map(|_| name)
    }

    /// Makes it the name at the start of `bytes`, and says how long that is; `None`, and nothing of use, when
    /// there is none. In place, because copying 256 octets costs as much as reading a name.
    #[inline(always)] // 25 instructions of each query's
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> Option<usize> {
        let len = name::wire_len(bytes)?;
        let rooms = &mut self.octets.as_chunks_mut::<FOLD_LEN>().0[..len.div_ceil(FOLD_LEN)];
        let (whole, rest) = bytes.as_chunks::<FOLD_LEN>();
        // Mostly enough follows the name for its last register to be a whole one as well.
        if let Some(room) = rooms.get_mut(whole.len()) {
            room[..rest.len()].copy_from_slice(rest);
            room.make_ascii_lowercase();
        }
        // Length octets are below every letter, so the whole name folds at once, label borders or not.
        for (room, octets) in rooms.iter_mut().zip(whole) {
            *room = *octets;
            room.make_ascii_lowercase();
        }
        self.len = len as u8; // at most 255
        Some(len)
    }

    /// From a whole name in wire form, as a CNAME's target is; `None` when it is none.
    pub fn from_wire(wire: &[u8]) -> Option<QName> {
        QName::read(wire).filter(|name| name.wire_len() == wire.len())
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
        name::label_count(self.as_wire())
    }

    /// True for `.`.
    pub fn is_root(&self) -> bool {
        self.len == 1
    }

    /// Where the name itself and each of its ancestors begin, in octets, ascending: the first is 0, the
    /// last is the root's. There are [`QName::label_count`] + 1.
    pub fn suffix_offsets(&self) -> impl Iterator<Item = usize> {
        name::suffixes(self.as_wire()).map(|(at, _)| at)
    }

    /// The ancestor that begins `skip` octets into the name; empty when `skip` lies behind it.
    pub fn suffix(&self, skip: usize) -> &[u8] {
        self.as_wire().get(skip..).unwrap_or_default()
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
        assert!(name.suffix_offsets().eq([0, 4, 12, 16]));
        assert_eq!(name.label_count(), 3);
        assert_eq!(name.suffix(12), b"\x03com\0");
        assert_eq!(name.suffix(99), b"");
        assert_eq!(name.to_string(), "www.example.com.");
    }

    #[test]
    fn the_root_and_the_longest_names_are_names() {
        let root = QName::from_wire(b"\0").unwrap();
        assert!(root.is_root());
        assert!(root.suffix_offsets().eq([0]));
        assert_eq!(root.label_count(), 0);
        let mut most = b"\x01x".repeat(127);
        most.push(0);
        let most = QName::from_wire(&most).unwrap();
        assert_eq!((most.wire_len(), most.label_count()), (255, 127));
        assert_eq!(most.suffix_offsets().last(), Some(254));
        let mut over = b"\x01x".repeat(126);
        over.extend(b"\x02xx\0");
        assert_eq!(QName::read(&over), None);
        assert_eq!(QName::from_wire(b"\x01a\0\0"), None);
    }
}
