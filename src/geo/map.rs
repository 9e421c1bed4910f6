//! Location maps: from a client's address to the outcome of one rule set, with the honest ECS scope.
//!
//! # The disjoint tree, without a tree
//! A rule set gives every address an outcome. Picture the binary tree of prefixes, each leaf the largest
//! aligned block on which the outcome is one. The depth of the leaf that holds an address is the ECS
//! scope for it (RFC 7871 §7.2.1): no shorter prefix will do, since it would cover an address with
//! another outcome, and no longer one is needed.
//!
//! That tree need not be stored. A [`Map`] keeps the *ranges* on which the outcome is constant, in sorted
//! arrays. The leaf around `x` in a range from `first` to `last` is the largest aligned block that holds
//! `x` and neither `first - 1` nor `last + 1`; a block of depth `d` excludes an address exactly when that
//! address shares fewer than `d` leading bits with `x`. So the depth is one more than the larger of the
//! bits that `x` shares with its two neighbours: two exclusive ors and two counts of leading zeros, in
//! place of a list of blocks that would be several times as long.
//!
//! # What is in it
//! CIDR rules are cut into the same ranges as the atlas, so there is one look-up and one scope. Blocks of
//! IPv6 that carry IPv4 (`::ffff:0:0/96`, 6to4) are ranges of their own, so that no leaf covers them; an
//! address inside is answered by the IPv4 half, the scope moved by 96 or 16. A scope is at least 1: 0 is
//! for policies that do not look at the client.
//!
//! # Finding
//! Some bits of the address pick a slot of an index that has about as many slots as there are ranges; a
//! binary search in what the slot covers, mostly a few ranges, does the rest. No allocation, integers only.

use std::mem::size_of_val;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Atlas;
use super::canonical::{CARRIERS, Canonical, canonical};
use super::segments::{Bits, Segments};
use crate::limits::{MAP_OUTCOMES_MAX, MAPS_LEN_MAX};
use crate::model::Place;

/// In the IPv6 half: "ask the IPv4 half". [`MAP_OUTCOMES_MAX`] keeps it free.
const CARRIER: u32 = u16::MAX as u32;

/// A place for which the projection has not been asked yet.
const UNASKED: u32 = u32::MAX;

/// What a map says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What the projection gave.
    pub outcome: u16,
    /// Leading bits of the address, in its own family, that decide the outcome: 1 to 32 or 128.
    pub scope: u8,
}

/// A map that was not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The projection gave an outcome that is reserved.
    #[error("a location map can tell {max} outcomes apart, and this rule set has more", max = MAP_OUTCOMES_MAX)]
    Outcomes,
    /// The map alone is larger than all maps may be.
    #[error("a location map of {len} octets is larger than all may be together, {max}", max = MAPS_LEN_MAX)]
    Large {
        /// Octets it would take.
        len: usize,
    },
}

/// Where every address leads under one rule set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    v4: Half<u32>,
    v6: Half<u128>,
}

impl Map {
    /// Asks `project` for the outcome of every place and address, and keeps the answer.
    ///
    /// Outside of all `cidrs` the outcome depends on the place alone, and `project` is called once for
    /// each place, with some address and `false`. Inside it is called once for each piece between
    /// boundaries of `cidrs` and of the atlas, with the piece's first address and `true`: what it gives
    /// must hold for the whole piece, so `cidrs` must name every block that the rules look at.
    ///
    /// Outcomes are below [`MAP_OUTCOMES_MAX`]. The order of calls, and so the numbers that a counting
    /// `project` gives out, depends on the atlas and the CIDRs alone.
    ///
    /// # Errors
    /// When the outcomes or the octets are beyond their bounds.
    pub fn build(
        atlas: &Atlas,
        cidrs: &[IpNet],
        mut project: impl FnMut(&Place, IpAddr, bool) -> u16,
    ) -> Result<Map, MapError> {
        let mut blocks_v4 = Vec::new();
        let mut blocks_v6 = Vec::new();
        for cidr in cidrs {
            match cidr {
                IpNet::V4(net) => blocks_v4.push((net.network().to_bits(), net.prefix_len())),
                IpNet::V6(net) => blocks_v6.push((net.network().to_bits(), net.prefix_len())),
            }
        }
        let mut memo = vec![UNASKED; atlas.places.len()];
        let mut reserved = false;
        let mut outcome = |place: u32, inside: bool, address: IpAddr| {
            let known = memo[place as usize];
            if !inside && known != UNASKED {
                return known;
            }
            let outcome = project(&atlas.places[place as usize], address, inside);
            reserved |= usize::from(outcome) >= MAP_OUTCOMES_MAX;
            if !inside {
                memo[place as usize] = outcome.into();
            }
            outcome.into()
        };
        let v4 = ranges(&atlas.v4, blocks_v4, &[], |place, inside, at| {
            outcome(place, inside, IpAddr::V4(Ipv4Addr::from_bits(at)))
        });
        let v6 = ranges(&atlas.v6, blocks_v6, &CARRIERS, |place, inside, at| {
            outcome(place, inside, IpAddr::V6(Ipv6Addr::from_bits(at)))
        });
        if reserved {
            return Err(MapError::Outcomes);
        }
        let map = Map { v4: Half::of(&v4), v6: Half::of(&v6) };
        let len = map.len_octets();
        if len > MAPS_LEN_MAX { Err(MapError::Large { len }) } else { Ok(map) }
    }

    /// The leaf that holds an address.
    #[inline(always)] // 20 instructions of each answer's
    pub fn find(&self, address: IpAddr) -> Leaf {
        match canonical(address) {
            Canonical::V4(address, before) => {
                let leaf = self.v4.find(address);
                Leaf { outcome: leaf.outcome, scope: leaf.scope + before }
            }
            Canonical::V6(address) => self.find_v6(address),
        }
    }

    #[inline(never)] // so that the search for IPv4 becomes part of its caller
    fn find_v6(&self, address: u128) -> Leaf {
        self.v6.find(address)
    }

    /// Memory that it takes.
    pub fn len_octets(&self) -> usize {
        self.v4.len_octets() + self.v6.len_octets()
    }

    /// Ranges of equal outcome, of both families.
    pub fn range_count(&self) -> usize {
        self.v4.starts.len() + self.v6.starts.len()
    }

    /// Every range in order, IPv4 first: its first and last address and its outcome. Blocks of IPv6 that
    /// carry IPv4 are left out.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr, u16)> + '_ {
        let v4 = self.v4.ranges().map(|(first, last, outcome)| {
            (IpAddr::V4(Ipv4Addr::from_bits(first)), IpAddr::V4(Ipv4Addr::from_bits(last)), outcome)
        });
        let v6 = self.v6.ranges().map(|(first, last, outcome)| {
            (IpAddr::V6(Ipv6Addr::from_bits(first)), IpAddr::V6(Ipv6Addr::from_bits(last)), outcome)
        });
        v4.chain(v6.filter(|&(_, _, outcome)| u32::from(outcome) != CARRIER))
    }
}

/// Outcomes of one family: the atlas's segments cut at the boundaries of `blocks`, asked, and joined where
/// neighbours are equal. `carriers` are not asked.
fn ranges<B: Bits>(
    places: &Segments<B>,
    blocks: Vec<(B, u8)>,
    carriers: &[(B, u8)],
    mut outcome: impl FnMut(u32, bool, B) -> u32,
) -> Segments<B> {
    // How many more blocks hold an address from here on than before.
    let mut cuts: Vec<(B, i64)> = Vec::with_capacity(2 * (blocks.len() + carriers.len()));
    let both = blocks.into_iter().map(|block| (block, 1)).chain(carriers.iter().map(|&block| (block, 0)));
    for ((first, depth), more) in both {
        cuts.push((first, more));
        cuts.extend(first.block_end(depth).next().map(|after| (after, -more)));
    }
    cuts.sort_unstable_by_key(|&(at, _)| at);

    let carried = |at: B| carriers.iter().any(|&(first, depth)| (first..=first.block_end(depth)).contains(&at));
    let mut out = Segments::uniform(0);
    let mut cuts = cuts.into_iter().peekable();
    let mut places = places.iter().peekable();
    let mut at = B::ZERO;
    let mut holding = 0;
    let mut place = 0;
    loop {
        while let Some((_, new)) = places.next_if(|&(start, _)| start == at) {
            place = new;
        }
        while let Some((_, more)) = cuts.next_if(|&(cut, _)| cut == at) {
            holding += more;
        }
        out.set_from(at, if carried(at) { CARRIER } else { outcome(place, holding > 0, at) });
        at = match (places.peek(), cuts.peek()) {
            (None, None) => return out,
            (Some(&(next, _)), None) => next,
            (None, Some(&(next, _))) => next,
            (Some(&(one, _)), Some(&(other, _))) => one.min(other),
        };
    }
}

/// Bits that pick a slot: about as many slots as ranges, within reason; 8 MiB at most.
const INDEX_BITS_MIN: u32 = 4;
const INDEX_BITS_MAX: u32 = 21;

/// Ranges of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Half<B> {
    /// The first addresses of the ranges, ascending; the first is zero.
    starts: Box<[B]>,
    /// Of each range.
    outcomes: Box<[u16]>,
    /// For each slot the range that holds its first address, and the last range at the end.
    index: Box<[u32]>,
    /// How many bits pick a slot.
    index_bits: u32,
}

impl<B: Bits> Half<B> {
    fn of(ranges: &Segments<B>) -> Half<B> {
        let count = ranges.len();
        let index_bits = count.next_power_of_two().ilog2().clamp(INDEX_BITS_MIN, INDEX_BITS_MAX);
        let number = |at: usize| u32::try_from(at).expect("limits bound segments");
        let slots = B::LAST.slot(index_bits) + 1;
        let mut index = Vec::with_capacity(slots + 1);
        for (at, (start, _)) in ranges.iter().enumerate() {
            // The slots that begin before this range begin in the one before it.
            let slot = start.slot(index_bits);
            let until = if B::slot_start(slot, index_bits) == start { slot } else { slot + 1 };
            while index.len() < until {
                index.push(number(at - 1));
            }
        }
        index.resize(slots + 1, number(count - 1));
        let (starts, outcomes): (Vec<B>, Vec<u16>) = ranges
            .iter()
            .map(|(start, outcome)| (start, u16::try_from(outcome).expect("outcomes come as 16 bits")))
            .unzip();
        Half { starts: starts.into(), outcomes: outcomes.into(), index: index.into(), index_bits }
    }

    #[inline]
    fn find(&self, at: B) -> Leaf {
        let slot = at.slot(self.index_bits);
        let (mut low, mut high) = (self.index[slot], self.index[slot + 1]);
        while low < high {
            let middle = (low + high).div_ceil(2);
            if self.starts[middle as usize] <= at {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        let range = low as usize;
        // Nothing is before the first range, whose start is zero.
        let shared_before = self.starts[range].previous().map_or(0, |before| at.shared_bits(before));
        let shared_after = self.starts.get(range + 1).map_or(0, |&after| at.shared_bits(after));
        Leaf { outcome: self.outcomes[range], scope: 1 + shared_before.max(shared_after) }
    }

    fn ranges(&self) -> impl Iterator<Item = (B, B, u16)> + '_ {
        let ends = self.starts.iter().skip(1).map(|next| next.previous()).chain([Some(B::LAST)]);
        self.starts
            .iter()
            .zip(ends)
            .zip(&self.outcomes)
            .filter_map(|((&first, last), &outcome)| last.map(|last| (first, last, outcome)))
    }

    fn len_octets(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.outcomes) + size_of_val(&*self.index)
    }
}

#[cfg(test)]
mod tests;
