//! Which names a message holds, and where: what compression points to (RFC 1035 §4.1.4).
//!
//! The table is small, of fixed size, and lives on the stack. Each entry is where one suffix of a name that
//! was written out begins; what it is, the message says. When the table is full, later names are simply
//! compressed less.
//!
//! The question's name and its ancestors are not in the table: most names in a reply end in one of them, and
//! they are compared with it first.

use super::qname::QName;
use super::rrset::QUESTION_POINTER;
use super::{HEADER_LEN, name};
use crate::limits::COMPRESSION_SUFFIXES_MAX;

/// Pointers have 14 bits.
const POINTER_END: usize = 0x4000;

/// The names written so far.
pub(super) struct Suffixes {
    /// Made when the first comes: most replies are written without.
    at: Option<[u16; COMPRESSION_SUFFIXES_MAX]>,
    len: usize,
}

impl Suffixes {
    #[inline]
    pub(super) fn new() -> Suffixes {
        Suffixes { at: None, len: 0 }
    }

    /// How many are known; for [`Suffixes::forget`].
    pub(super) fn mark(&self) -> usize {
        self.len
    }

    /// Forgets those that were added since `mark`.
    pub(super) fn forget(&mut self, mark: usize) {
        self.len = mark;
    }

    /// Notes that a name or an ancestor of one begins at `at` in the message.
    pub(super) fn add(&mut self, at: usize) {
        let room = self.at.get_or_insert([0; COMPRESSION_SUFFIXES_MAX]);
        if let (0..POINTER_END, Some(entry)) = (at, room.get_mut(self.len)) {
            *entry = at as u16; // below POINTER_END
            self.len += 1;
        }
    }

    /// Where `message` already holds `suffix`, which is not the root, as a pointer to it.
    pub(super) fn find(&self, suffix: &[u8], qname: &QName, message: &[u8]) -> Option<[u8; 2]> {
        if let Some(skip) = qname.wire_len().checked_sub(suffix.len())
            && name::eq(qname.suffix(skip), suffix)
            && qname.suffix_offsets().any(|at| at == skip)
        {
            return Some(question_pointer(skip));
        }
        let known = self.at.as_ref().map_or(&[][..], |room| &room[..self.len]);
        known.iter().find(|&&at| is_at(message, at.into(), suffix)).map(|&at| pointer(at))
    }
}

/// A pointer to the ancestor of the question's name that begins `skip` octets into it, at most 254.
pub(super) fn question_pointer(skip: usize) -> [u8; 2] {
    let [high, low] = QUESTION_POINTER;
    debug_assert!(skip + HEADER_LEN < POINTER_END);
    let at = u16::from_be_bytes([high, low]) + skip as u16;
    at.to_be_bytes()
}

fn pointer(at: u16) -> [u8; 2] {
    (0xc000 | at).to_be_bytes()
}

/// A pointer to `at`, if pointers reach so far.
pub(super) fn pointer_to(at: usize) -> Option<[u8; 2]> {
    place(at).map(pointer)
}

/// `at` as what a pointer can point to.
pub(super) fn place(at: usize) -> Option<u16> {
    u16::try_from(at).ok().filter(|&at| usize::from(at) < POINTER_END)
}

/// True when the name that begins at `at` in our own message, pointers followed, is `sought`.
fn is_at(message: &[u8], mut at: usize, mut sought: &[u8]) -> bool {
    loop {
        match message.get(at..) {
            Some(&[high @ 0xc0..=0xff, low, ..]) => {
                let target = usize::from(u16::from_be_bytes([high & 0x3f, low]));
                if target >= at {
                    return false; // we never write that; here so that the loop ends in any case
                }
                at = target;
            }
            Some(&[len, ref rest @ ..]) => {
                let label = 1 + usize::from(len);
                let Some((head, tail)) = sought.split_at_checked(label) else { return false };
                if head[0] != len || !rest.get(..label - 1).is_some_and(|octets| name::eq(octets, &head[1..])) {
                    return false;
                }
                if len == 0 {
                    return tail.is_empty();
                }
                sought = tail;
                at += label;
            }
            _ => return false,
        }
    }
}
