//! A bounded walk over the search tree of an .mmdb file.
//!
//! A search tree is an array of nodes, each two records: the number of another node, "no data", or a
//! place in the data section (the MaxMind DB specification, version 2.0). Nothing in the format says that
//! it is a tree. A file whose nodes lead back, or whose branches are shared level after level, is a
//! few hundred octets long and has 2^128 leaves; an iterator that skips what is empty never comes back
//! from it. So the walk is our own: every visit counts, against a bound that follows from the number of
//! nodes that the file has.

use super::segments::{Bits, Segments};
use crate::limits::{GEOIP_NETWORKS_MAX, GEOIP_STEPS_MIN, GEOIP_STEPS_PER_NODE_MAX};

/// What is wrong with a search tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The nodes that the metadata speaks of do not fit into the file.
    #[error("its metadata speaks of {nodes} nodes of {record_bits} bits a record, which the file can not hold")]
    Size {
        /// Nodes, by the metadata.
        nodes: u32,
        /// Bits in a record, by the metadata.
        record_bits: u16,
    },
    /// A path of nodes is longer than an address.
    #[error("its search tree is deeper than an address has bits")]
    Deep,
    /// More visits than a tree of so many nodes takes.
    #[error("its search tree is no tree: {steps} visits did not end a walk over {nodes} nodes")]
    Cycle {
        /// Visits made.
        steps: u64,
        /// Nodes, by the metadata.
        nodes: u32,
    },
    /// More networks than are loaded.
    #[error("it has more than {max} networks of one family")]
    Networks {
        /// The bound.
        max: usize,
    },
}

/// The search tree at the beginning of a file.
pub(super) struct SearchTree<'a> {
    octets: &'a [u8],
    node_len: usize,
    nodes: u32,
    steps: u64,
}

impl<'a> SearchTree<'a> {
    pub(super) fn new(file: &'a [u8], nodes: u32, record_bits: u16) -> Result<SearchTree<'a>, TreeError> {
        let wrong = TreeError::Size { nodes, record_bits };
        if !matches!(record_bits, 24 | 28 | 32) || nodes == 0 {
            return Err(wrong);
        }
        let node_len = usize::from(record_bits) / 4;
        let len = usize::try_from(nodes).ok().and_then(|nodes| nodes.checked_mul(node_len)).ok_or(wrong)?;
        Ok(SearchTree { octets: file.get(..len).ok_or(wrong)?, node_len, nodes, steps: 0 })
    }

    /// One half of a node; `node` is below the number of nodes.
    fn record(&self, node: u32, right: bool) -> u32 {
        let at = node as usize * self.node_len;
        let node = &self.octets[at..at + self.node_len];
        let number = |octets: &[u8]| octets.iter().fold(0, |number, &octet| number << 8 | u32::from(octet));
        match (self.node_len, right) {
            (6, false) => number(&node[..3]),
            (6, true) => number(&node[3..]),
            // 28 bits: the middle octet holds the highest four bits of both.
            (7, false) => u32::from(node[3] >> 4) << 24 | number(&node[..3]),
            (7, true) => u32::from(node[3] & 0x0f) << 24 | number(&node[4..]),
            (_, false) => number(&node[..4]),
            (_, true) => number(&node[4..]),
        }
    }

    /// Where IPv4 begins in a tree for IPv6: what 96 zero bits lead to, a node or a record.
    pub(super) fn ipv4_root(&self) -> u32 {
        let mut at = 0;
        for _ in 0..96 {
            if at >= self.nodes {
                break;
            }
            at = self.record(at, false);
        }
        at
    }

    /// The leaves below `root`, each with the value that `leaf` gives to its record (0 where there is no
    /// data) at its first address. Branches that lead to the node `alias` are left empty.
    pub(super) fn walk<B: Bits, E: From<TreeError>>(
        &mut self,
        root: u32,
        alias: Option<u32>,
        mut leaf: impl FnMut(u32, B) -> Result<u32, E>,
    ) -> Result<Segments<B>, E> {
        let steps_max = GEOIP_STEPS_MIN.max(u64::from(self.nodes) * GEOIP_STEPS_PER_NODE_MAX);
        let mut out = Segments::uniform(0);
        // At most one branch a level waits here.
        let mut waiting: Vec<(u32, B, u8)> = Vec::with_capacity(usize::from(B::LEN) + 1);
        waiting.push((root, B::ZERO, 0));
        while let Some((at, first, depth)) = waiting.pop() {
            self.steps += 1;
            if self.steps > steps_max {
                return Err(TreeError::Cycle { steps: steps_max, nodes: self.nodes }.into());
            }
            if at == self.nodes || alias == Some(at) {
                out.set_from(first, 0);
            } else if at > self.nodes {
                out.set_from(first, leaf(at, first)?);
            } else if depth == B::LEN {
                return Err(TreeError::Deep.into());
            } else {
                waiting.push((self.record(at, true), first.with_bit(depth), depth + 1));
                waiting.push((self.record(at, false), first, depth + 1));
            }
            if out.len() > GEOIP_NETWORKS_MAX {
                return Err(TreeError::Networks { max: GEOIP_NETWORKS_MAX }.into());
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of 24-bit records.
    fn tree(nodes: &[(u32, u32)]) -> Vec<u8> {
        nodes.iter().flat_map(|(left, right)| [left, right]).flat_map(|n| n.to_be_bytes()[1..].to_vec()).collect()
    }

    fn walk(file: &[u8], alias: Option<u32>) -> Result<Segments<u128>, TreeError> {
        let nodes = u32::try_from(file.len() / 6).unwrap();
        SearchTree::new(file, nodes, 24)?.walk(0, alias, |record, _| Ok(record))
    }

    #[test]
    fn records_of_all_sizes_are_read() {
        let read = |octets: &[u8], bits| {
            let tree = SearchTree::new(octets, 1, bits).unwrap();
            (tree.record(0, false), tree.record(0, true))
        };
        assert_eq!(read(&[0x23, 0x45, 0x67, 0x89, 0xab, 0xcd], 24), (0x23_4567, 0x89_abcd));
        assert_eq!(read(&[0x23, 0x45, 0x67, 0x18, 0x9a, 0xbc, 0xde], 28), (0x0123_4567, 0x089a_bcde));
        assert_eq!(read(&[0xf1, 2, 3, 4, 0xf5, 6, 7, 8], 32), (0xf102_0304, 0xf506_0708));
    }

    #[test]
    fn leaves_come_in_order_of_addresses() {
        let found = walk(&tree(&[(1, 40), (2, 41)]), None).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), [(0, 0), (1 << 126, 41), (1 << 127, 40)]);
    }

    #[test]
    fn a_tree_that_leads_back_is_refused() {
        assert_eq!(walk(&tree(&[(0, 0)]), None), Err(TreeError::Deep));
    }

    #[test]
    fn branches_that_share_a_branch_at_every_level_do_not_keep_the_walk_going() {
        // 100 levels, both records of each node lead to the next: 2^100 leaves, all of them empty.
        let levels: Vec<(u32, u32)> = (1..=100).map(|next| (next, next)).collect();
        assert!(matches!(walk(&tree(&levels), None), Err(TreeError::Cycle { .. })));
        assert!(matches!(walk(&tree(&levels), Some(100)), Err(TreeError::Cycle { .. })));
    }

    #[test]
    fn nodes_that_the_file_does_not_hold_are_refused() {
        assert!(SearchTree::new(&[0; 11], 2, 24).is_err());
        assert!(SearchTree::new(&[0; 11], u32::MAX, 32).is_err());
        assert!(SearchTree::new(&[0; 12], 2, 25).is_err());
        assert!(SearchTree::new(&[0; 12], 0, 24).is_err());
    }
}
