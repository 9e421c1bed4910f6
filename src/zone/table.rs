//! The table: how names, nodes, RRsets and zones lie in memory, and the views that readers get of them.
//!
//! Four arrays and an index; everything refers to everything else by position, so a table of a million
//! names is a handful of allocations, is dropped in no time, and can be shared by reference count alone.
//!
//! ```text
//! index ──▶ nodes ──▶ octets      a node's name (lower case, uncompressed), and behind it its records
//!             │└────▶ sets        its RRsets but the first, which is in the node, by type ascending
//!             ▼
//!           zones ──▶ nodes (apex)
//! ```
//!
//! Among a million names each step misses the caches: most names own one RRset, and such an answer takes three
//! steps, to the index, the node and the octets.
//!
//! A name that is both a delegation in one zone and the apex of another that we serve has a node in
//! each; the index knows the deeper one, `enclosing` leads from it to the other.

use crate::model::ServiceIx;
use crate::sys;
use crate::wire::name::Shown;
use crate::wire::{Compact, RrsetRef};

use super::find::Index;

/// "No service" in [`NodeEntry::service`].
pub(super) const NO_SERVICE: u32 = u32::MAX;

/// What is peculiar about a node.
pub(super) mod flag {
    /// NS below the apex: a delegation (RFC 1034 §4.2.1).
    pub(in super::super) const CUT: u8 = 1;
    /// Owns a DNAME (RFC 6672).
    pub(in super::super) const DNAME: u8 = 1 << 1;
    /// Below a cut or a DNAME, or at or below the apex of a deeper zone that we serve: never answered from
    /// this zone, but possibly glue.
    pub(in super::super) const OCCLUDED: u8 = 1 << 2;
    /// A child `*` exists that is not occluded.
    pub(in super::super) const WILD: u8 = 1 << 3;
}

#[derive(Clone, Copy, Debug)]
pub(super) struct NodeEntry {
    pub(super) name_at: u32,
    pub(super) zone: u32,
    /// Of the lowest type; blank when there is none.
    pub(super) first: SetEntry,
    /// Of the others.
    pub(super) sets_at: u32,
    pub(super) service: u32,
    /// With the first.
    pub(super) sets_len: u16,
    pub(super) name_len: u8,
    pub(super) flags: u8,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SetEntry {
    pub(super) records_at: u32,
    pub(super) records_len: u32,
    pub(super) ttl: u32,
    pub(super) rtype: u16,
    pub(super) count: u16,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ZoneEntry {
    pub(super) apex: u32,
    pub(super) soa: SetEntry,
    pub(super) ns: SetEntry,
    pub(super) negative_ttl: u32,
    /// The SOA of negative answers, compressed, among the octets.
    pub(super) negative_at: u32,
    pub(super) negative_len: u32,
    pub(super) nodes_end: u32,
}

/// Every name that the server is authoritative for, and every name that it delegates. Immutable; shared by
/// reference. Looking up allocates nothing.
#[derive(Debug)]
pub struct Zones {
    pub(super) octets: Box<[u8]>,
    pub(super) nodes: Box<[NodeEntry]>,
    pub(super) sets: Box<[SetEntry]>,
    pub(super) zones: Box<[ZoneEntry]>,
    /// (node, the node of the same name in the next enclosing zone), by the first.
    pub(super) enclosing: Box<[(u32, u32)]>,
    pub(super) index: Index,
}

impl Zones {
    /// Every zone, by apex in canonical order (RFC 4034 §6.1).
    pub fn zones(&self) -> impl ExactSizeIterator<Item = Zone<'_>> {
        (0..self.zones.len()).map(|at| Zone { zones: self, entry: &self.zones[at] })
    }

    /// How many names there are, empty non-terminals and occluded ones included.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Octets of memory that the table takes.
    pub fn memory_len(&self) -> usize {
        self.octets.len()
            + std::mem::size_of_val(&*self.nodes)
            + std::mem::size_of_val(&*self.sets)
            + std::mem::size_of_val(&*self.zones)
            + std::mem::size_of_val(&*self.enclosing)
            + self.index.memory_len()
    }

    /// Of a large table nearly every look is at a page that no look was at lately.
    pub(super) fn prefer_large_pages(&self) {
        sys::prefer_large_pages(&self.octets);
        sys::prefer_large_pages(&self.nodes);
        self.index.prefer_large_pages();
    }

    pub(super) fn node(&self, at: u32) -> Node<'_> {
        Node { zones: self, entry: &self.nodes[at as usize] }
    }

    pub(super) fn zone(&self, at: u32) -> Zone<'_> {
        Zone { zones: self, entry: &self.zones[at as usize] }
    }

    pub(super) fn name_of(&self, entry: &NodeEntry) -> &[u8] {
        let at = entry.name_at as usize;
        &self.octets[at..at + usize::from(entry.name_len)]
    }

    fn rrset_of(&self, set: &SetEntry) -> RrsetRef<'_> {
        let at = set.records_at as usize;
        let records = &self.octets[at..at + set.records_len as usize];
        RrsetRef { rtype: set.rtype, ttl: set.ttl, count: set.count, records }
    }
}

/// A zone of the table.
#[derive(Clone, Copy)]
pub struct Zone<'a> {
    zones: &'a Zones,
    entry: &'a ZoneEntry,
}

impl<'a> Zone<'a> {
    /// Its apex: a name in wire form, lower case.
    pub fn apex(&self) -> &'a [u8] {
        self.apex_node().name()
    }

    /// The node at its apex.
    pub fn apex_node(&self) -> Node<'a> {
        self.zones.node(self.entry.apex)
    }

    /// Its SOA.
    pub fn soa(&self) -> RrsetRef<'a> {
        self.zones.rrset_of(&self.entry.soa)
    }

    /// The NS RRset of its apex.
    pub fn ns(&self) -> RrsetRef<'a> {
        self.zones.rrset_of(&self.entry.ns)
    }

    /// How long a negative answer may be cached: the lesser of the SOA's own TTL and its MINIMUM
    /// (RFC 2308 §5), in seconds.
    pub fn negative_ttl(&self) -> u32 {
        self.entry.negative_ttl
    }

    /// The SOA as negative answers have it: with [`Zone::negative_ttl`], and compressed.
    pub fn negative_soa(&self) -> Option<Compact<'a>> {
        let at = self.entry.negative_at as usize;
        Compact::read(&self.zones.octets[at..at + self.entry.negative_len as usize])
    }

    /// Every node of the zone in canonical order, the apex first; empty non-terminals and occluded names
    /// included.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = Node<'a>> + use<'a> {
        let zones = self.zones;
        zones.nodes[self.entry.apex as usize..self.entry.nodes_end as usize]
            .iter()
            .map(move |entry| Node { zones, entry })
    }

    pub(super) fn node_range(&self) -> std::ops::Range<u32> {
        self.entry.apex..self.entry.nodes_end
    }
}

impl PartialEq for Zone<'_> {
    /// The same zone of the same table.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.entry, other.entry)
    }
}

impl Eq for Zone<'_> {}

impl std::fmt::Debug for Zone<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Zone({})", Shown(self.apex()))
    }
}

/// A name that exists in a zone, with what it owns.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    zones: &'a Zones,
    entry: &'a NodeEntry,
}

impl<'a> Node<'a> {
    /// The name, in wire form, lower case. A wildcard's begins with the label `*`.
    pub fn name(&self) -> &'a [u8] {
        self.zones.name_of(self.entry)
    }

    /// The zone that it is in.
    pub fn zone(&self) -> Zone<'a> {
        self.zones.zone(self.entry.zone)
    }

    /// Its static RRset of a type.
    pub fn rrset(&self, rtype: u16) -> Option<RrsetRef<'a>> {
        let first = &self.entry.first;
        if first.rtype == rtype && self.entry.sets_len > 0 {
            return Some(self.zones.rrset_of(first));
        }
        self.others().iter().find(|set| set.rtype == rtype).map(|set| self.zones.rrset_of(set))
    }

    /// Its static RRsets, by type ascending.
    pub fn rrsets(&self) -> impl Iterator<Item = RrsetRef<'a>> {
        let zones = self.zones;
        let first = (self.entry.sets_len > 0).then_some(&self.entry.first);
        first.into_iter().chain(self.others()).map(move |set| zones.rrset_of(set))
    }

    /// The service whose addresses are decided here.
    pub fn service(&self) -> Option<ServiceIx> {
        (self.entry.service != NO_SERVICE).then_some(ServiceIx(self.entry.service))
    }

    /// True at a delegation: it owns NS and is not its zone's apex.
    pub fn is_cut(&self) -> bool {
        self.entry.flags & flag::CUT != 0
    }

    /// True for a name that owns nothing and exists because names below it do (RFC 4592 §2.2.2).
    pub fn is_empty(&self) -> bool {
        self.entry.sets_len == 0 && self.entry.service == NO_SERVICE
    }

    /// True when its zone answers for the name: it is no delegation, and not occluded.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.entry.flags & (flag::CUT | flag::OCCLUDED) == 0
    }

    /// True for a name that is never answered from its zone: below a delegation or DNAME, or in a deeper zone
    /// that is served here too.
    pub fn is_occluded(&self) -> bool {
        self.entry.flags & flag::OCCLUDED != 0
    }

    pub(super) fn flags(&self) -> u8 {
        self.entry.flags
    }

    /// All RRsets but the first.
    fn others(&self) -> &'a [SetEntry] {
        match self.entry.sets_len {
            0 | 1 => &[],
            len => &self.zones.sets[self.entry.sets_at as usize..][..usize::from(len) - 1],
        }
    }
}

impl PartialEq for Node<'_> {
    /// The same node of the same table.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.entry, other.entry)
    }
}

impl Eq for Node<'_> {}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({} in {:?})", Shown(self.name()), self.zone())
    }
}
