//! Looking a name up: the algorithm of RFC 1034 §4.3.2 on a hash index.
//!
//! An exact hit costs one hash and one comparison. A miss strips labels from the left until it meets a name
//! that exists; that is the closest encloser of RFC 4592 §3.3.1, because every ancestor of an existing name
//! exists too (RFC 8020). Labels beyond the depth of the deepest name are stripped without a look, so a query
//! of 127 labels costs no more than one of the table's own depth.
//!
//! Occluded names do not count as existing: the walk goes on up to the delegation, the DNAME or the deeper
//! zone's apex that occludes them, and that decides.

use std::collections::BTreeMap;

use crate::limits::NAME_LEN_MAX;
use crate::sys;
use crate::wire::RrsetRef;
use crate::wire::name::{NameBuf, label_count};
use crate::wire::types::rtype;

use super::table::{Node, NodeEntry, Zone, Zones, flag};

/// What the zones know of a name. Offsets are into the octets of the name that was asked; at the offset a
/// suffix of it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find<'a> {
    /// In none of our zones.
    NotOurs,
    /// The name exists; it may own nothing (RFC 4592 §2.2.2) or not the type that is asked.
    Node {
        /// The name itself, in the deepest zone that holds it.
        node: Node<'a>,
    },
    /// The name does not exist and a wildcard answers for it (RFC 4592 §3.3).
    Wildcard {
        /// The deepest zone that holds the name.
        zone: Zone<'a>,
        /// The source of synthesis.
        node: Node<'a>,
        /// Where the closest encloser begins.
        encloser: usize,
    },
    /// The name is at or below a delegation to servers that are not us.
    Cut {
        /// The zone that delegates.
        zone: Zone<'a>,
        /// The delegation: owns NS, and perhaps DS.
        node: Node<'a>,
        /// Where the delegated name begins; 0: it is the very name, and DS is answered here (RFC 4035 §3.1.4.1).
        owner: usize,
    },
    /// The name is below a DNAME (RFC 6672 §3.2). The owner of a DNAME itself is found as a node.
    Dname {
        /// The deepest zone that holds the name.
        zone: Zone<'a>,
        /// The owner of the DNAME.
        node: Node<'a>,
        /// Where the owner's name begins; more than 0.
        owner: usize,
    },
    /// The name does not exist, nor does anything below it (RFC 8020).
    NoName {
        /// The deepest zone that holds the name.
        zone: Zone<'a>,
        /// Where the closest encloser begins.
        encloser: usize,
    },
}

impl Zones {
    /// What the zones know of `qname`: a well-formed name in uncompressed wire form, lower case.
    pub fn find(&self, qname: &[u8]) -> Find<'_> {
        self.find_from(self.exact(qname), qname)
    }

    /// The deepest node of that very name. Unless it [`Node::is_plain`], [`Zones::find_from`] has to say what it
    /// means.
    #[inline(always)] // 20 instructions of each answer's
    pub fn exact(&self, qname: &[u8]) -> Option<Node<'_>> {
        self.index.lookup(self, qname).map(|at| self.node(at))
    }

    /// As [`Zones::find`], for those who know what [`Zones::exact`] gives.
    pub fn find_from<'a>(&'a self, exact: Option<Node<'a>>, qname: &[u8]) -> Find<'a> {
        match exact {
            Some(node) if node.is_plain() => Find::Node { node },
            Some(node) if !node.is_occluded() => Find::Cut { zone: node.zone(), node, owner: 0 },
            Some(_) | None => self.find_above(qname),
        }
    }

    /// What the parent side knows of `qname`, for DS (RFC 4035 §3.1.4.1): as [`Zones::find`], except that the
    /// apex of a zone is looked for in the zone that encloses it, if we serve that too. `Node` with no data
    /// when the parent zone says nothing of the name, and `find`'s answer when there is no parent zone.
    pub fn find_parent_side(&self, qname: &[u8]) -> Find<'_> {
        match self.find(qname) {
            found @ Find::Node { node } if node.zone().apex_node() == node => self.at_parent(qname).unwrap_or(found),
            found => found,
        }
    }

    /// The static addresses (A, AAAA) of a name in our zones, for the additional section: `None` when it
    /// does not exist or is occluded, is a service's, or would be made by a wildcard. Any case.
    #[allow(clippy::type_complexity)]
    pub fn addresses(&self, name: &[u8]) -> Option<(Option<RrsetRef<'_>>, Option<RrsetRef<'_>>)> {
        let mut lower = [0; NAME_LEN_MAX];
        let node = self.exact(lower_case(name, &mut lower)?)?;
        (!node.is_occluded() && !node.is_cut() && node.service().is_none()).then(|| both_families(node))
    }

    /// The addresses (A, AAAA) that `zone` itself holds for a name, occluded ones included: glue for a
    /// referral from that zone (RFC 9471). Any case.
    #[allow(clippy::type_complexity)]
    pub fn glue(&self, zone: Zone<'_>, name: &[u8]) -> Option<(Option<RrsetRef<'_>>, Option<RrsetRef<'_>>)> {
        let mut lower = [0; NAME_LEN_MAX];
        let mut at = self.index.lookup(self, lower_case(name, &mut lower)?)?;
        while !zone.node_range().contains(&at) {
            at = self.enclosing_of(at)?;
        }
        let node = self.node(at);
        node.service().is_none().then(|| both_families(node))
    }

    /// For a name that is not there, or only as an occluded one.
    #[inline(never)]
    fn find_above(&self, qname: &[u8]) -> Find<'_> {
        let mut excess = label_count(qname).saturating_sub(self.index.labels_max);
        let mut at = 0;
        while let Some(&len) = qname.get(at)
            && len != 0
        {
            at += 1 + usize::from(len);
            excess = excess.saturating_sub(1);
            if excess > 0 {
                continue;
            }
            let Some(node) = qname.get(at..).and_then(|suffix| self.exact(suffix)) else { continue };
            if !node.is_occluded() {
                return self.below(qname, at, node);
            }
        }
        Find::NotOurs
    }

    /// What `node`, the closest encloser that counts, means for `qname`, whose suffix at `at` it is.
    fn below<'a>(&'a self, qname: &[u8], at: usize, node: Node<'a>) -> Find<'a> {
        let zone = node.zone();
        let flags = node.flags();
        if flags & flag::CUT != 0 {
            return Find::Cut { zone, node, owner: at };
        }
        if flags & flag::DNAME != 0 {
            return Find::Dname { zone, node, owner: at };
        }
        if flags & flag::WILD != 0 {
            let source = NameBuf::wildcard_child(&qname[at..]).and_then(|name| self.exact(name.as_wire()));
            if let Some(node) = source {
                return Find::Wildcard { zone, node, encloser: at };
            }
        }
        Find::NoName { zone, encloser: at }
    }

    fn at_parent(&self, qname: &[u8]) -> Option<Find<'_>> {
        let above = self.enclosing_of(self.index.lookup(self, qname)?)?;
        let node = self.node(above);
        // The zone above may have delegated or redirected a name in between: then it says that, and no more.
        if let found @ (Find::Cut { .. } | Find::Dname { .. }) = self.find_above(qname) {
            return Some(found);
        }
        Some(match node.is_cut() {
            true => Find::Cut { zone: node.zone(), node, owner: 0 },
            false => Find::Node { node },
        })
    }

    fn enclosing_of(&self, node: u32) -> Option<u32> {
        let at = self.enclosing.binary_search_by_key(&node, |&(of, _)| of).ok()?;
        Some(self.enclosing[at].1)
    }
}

fn both_families(node: Node<'_>) -> (Option<RrsetRef<'_>>, Option<RrsetRef<'_>>) {
    (node.rrset(rtype::A), node.rrset(rtype::AAAA))
}

fn lower_case<'b>(name: &[u8], room: &'b mut [u8; NAME_LEN_MAX]) -> Option<&'b [u8]> {
    let room = room.get_mut(..name.len())?;
    room.copy_from_slice(name);
    room.make_ascii_lowercase();
    Some(room)
}

/// In an index, however few the names: 4 kB, so that a small table's names hardly ever meet.
const SLOTS_MIN: usize = 1024;

/// Name → node: open addressing with linear probing, at most half full. A slot is a node's number plus one,
/// and above it as many bits of the hash as are left in 32: with a million names 12 bits, so that one slot in
/// 4096 that is looked at in vain costs a comparison. 0 is empty.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) slots: Box<[u32]>,
    /// The bits of a slot that hold the node's number.
    pub(super) node_mask: u32,
    labels_max: usize,
}

impl Index {
    /// Over `nodes`, of which those of a deeper zone come after those of the zones that enclose it. Of several
    /// nodes with one name the deepest is in the index; the pairs lead from each to the next above, by the first.
    pub(super) fn build(names: &[u8], nodes: &[NodeEntry]) -> (Index, Vec<(u32, u32)>) {
        let slot_count = (2 * nodes.len() + 1).next_power_of_two().max(SLOTS_MIN);
        let node_mask = ((nodes.len() + 1).next_power_of_two() - 1) as u32;
        let mut index = Index { slots: vec![0; slot_count].into(), node_mask, labels_max: 0 };
        let name_of = |entry: &NodeEntry| &names[entry.name_at as usize..][..usize::from(entry.name_len)];
        let mut chains: BTreeMap<u32, u32> = BTreeMap::new();
        for (at, entry) in nodes.iter().enumerate().rev() {
            let at = at as u32;
            let name = name_of(entry);
            index.labels_max = index.labels_max.max(label_count(name));
            let hash = hash(name);
            let tag = index.tag(hash);
            let mut slot = index.first_slot(hash);
            loop {
                let value = index.slots[slot];
                if value == 0 {
                    index.slots[slot] = tag | (at + 1);
                    break;
                }
                if value & !node_mask == tag {
                    let mut below = (value & node_mask) - 1;
                    if name_of(&nodes[below as usize]) == name {
                        while let Some(&above) = chains.get(&below) {
                            below = above;
                        }
                        chains.insert(below, at);
                        break;
                    }
                }
                slot = (slot + 1) & (slot_count - 1);
            }
        }
        (index, chains.into_iter().collect())
    }

    #[inline(always)] // 20 instructions of each answer's
    fn lookup(&self, zones: &Zones, name: &[u8]) -> Option<u32> {
        let hash = hash(name);
        let tag = self.tag(hash);
        let node_mask = self.node_mask;
        let mut slot = self.first_slot(hash);
        loop {
            let value = *self.slots.get(slot)?;
            if value == 0 {
                return None;
            }
            if value & !node_mask == tag {
                let at = (value & node_mask) - 1;
                if is_same(zones.name_of(&zones.nodes[at as usize]), name) {
                    return Some(at);
                }
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    pub(super) fn memory_len(&self) -> usize {
        std::mem::size_of_val(&*self.slots)
    }

    pub(super) fn prefer_large_pages(&self) {
        sys::prefer_large_pages(&self.slots);
    }

    #[inline]
    pub(super) fn first_slot(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    #[inline]
    pub(super) fn tag(&self, hash: u64) -> u32 {
        (hash >> 32) as u32 & !self.node_mask
    }
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

/// By folded multiplication. The seed is fixed: names in the table come from the operator, so nobody can choose
/// them to collide, and queries do not change the table.
#[inline]
pub(super) fn hash(name: &[u8]) -> u64 {
    let (words, last) = words(name);
    let seed = SEED ^ name.len() as u64;
    fold(words.iter().fold(seed, |state, word| fold(state, u64::from_le_bytes(*word))), last)
}

/// True when the octets are the same. Names are short: comparing them here costs less than a call would.
#[inline]
fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let ((words_a, last_a), (words_b, last_b)) = (words(a), words(b));
    last_a == last_b && words_a.iter().zip(words_b).all(|(a, b)| a == b)
}

/// A name eight octets at a time, and its last eight once more as a number: they hold what is over. Of a shorter
/// name all.
#[inline]
fn words(name: &[u8]) -> (&[[u8; 8]], u64) {
    let last = match name.last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => name.iter().fold(0, |word, &octet| word << 8 | u64::from(octet)),
    };
    (name.as_chunks().0, last)
}

#[inline]
fn fold(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ word) * u128::from(FACTOR);
    (product as u64 ^ (product >> 64) as u64).wrapping_add(SEED)
}
