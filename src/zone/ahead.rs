//! Looking ahead: having the processor fetch what names will be looked up by.
//!
//! Among very many names each step of a look misses the caches: the index, the node, its octets. The misses of one
//! look wait for each other; those of several looks need not. So a whole batch takes each step together.
//!
//! It is a hint: no answer depends on it, and a name whose tag another one shares is merely not looked ahead for.

use super::find::{Index, hash};
use super::table::{NO_SERVICE, Zones};
use crate::limits::BATCH_LEN;
use crate::model::ServiceIx;
use crate::sys;

/// What a name is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameHash(pub(super) u64);

impl NameHash {
    /// Of a name in wire form, lower case.
    #[inline]
    pub fn of(name: &[u8]) -> NameHash {
        NameHash(hash(name))
    }
}

/// Slots that are looked at for what will likely be needed: a line of the cache.
const LIKELY_SLOTS: usize = 16;

impl Zones {
    /// Has the processor fetch what looking these names up will read, and notes for each that likely is a service
    /// which one. Names beyond [`BATCH_LEN`] are left out.
    pub fn look_ahead(&self, names: impl Iterator<Item = NameHash>, services: &mut [Option<ServiceIx>; BATCH_LEN]) {
        let mut hashes = [0; BATCH_LEN];
        let mut count = 0;
        for (NameHash(hash), place) in names.zip(&mut hashes) {
            *place = hash;
            self.index.prefetch(hash);
            count += 1;
        }
        let mut nodes = [None; BATCH_LEN];
        for (hash, node) in hashes.iter().zip(&mut nodes).take(count) {
            *node = self.index.likely(*hash).and_then(|at| self.nodes.get(at as usize));
            if let Some(node) = node {
                sys::prefetch(*node);
            }
        }
        for (node, service) in nodes.iter().zip(services).take(count) {
            let Some(node) = node else { continue };
            *service = (node.service != NO_SERVICE).then_some(ServiceIx(node.service));
            if let Some(name) = self.octets.get(node.name_at as usize) {
                sys::prefetch(name);
            }
            if let Some(record) = self.octets.get(node.first.records_at as usize) {
                sys::prefetch(record);
            }
        }
    }
}

impl Index {
    fn prefetch(&self, hash: u64) {
        if let Some(slot) = self.slots.get(self.first_slot(hash)) {
            sys::prefetch(slot);
        }
    }

    /// The node that a name of this hash most likely is.
    pub(super) fn likely(&self, hash: u64) -> Option<u32> {
        let tag = self.tag(hash);
        let mut slot = self.first_slot(hash);
        for _ in 0..LIKELY_SLOTS {
            let value = *self.slots.get(slot)?;
            if value == 0 {
                return None;
            }
            if value & !self.node_mask == tag {
                return Some((value & self.node_mask) - 1);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        None
    }
}
