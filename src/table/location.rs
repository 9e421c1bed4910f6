//! Location maps: which region an address is in, and which data centres are near it.
//!
//! A map's *outcome* is a pair: the route of the service's policy that the region names, and where that
//! route uses `nearest` the order of the nearest data centres of its pools. So `nearest` is no special case later on: it only makes a map
//! finer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::geo::{self, Atlas, Map};
use crate::model::{DatacenterIx, Place, Region, RegionIx, RuleSet, Term};
use crate::steer::region_of;

/// What an outcome of a map stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// A position in [`crate::model::Policy::routes`]; `None`: elsewhere.
    pub route: Option<usize>,
    /// The nearest data centres of each pool that asks, when the route asks and the place is known.
    pub nearest: Option<Vec<DatacenterIx>>,
}

/// Two regions between which only the order in the file decided, with an address where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Overlap {
    pub(super) won: RegionIx,
    pub(super) lost: RegionIx,
    pub(super) example: IpAddr,
}

/// The location map of one rule set.
#[derive(Debug)]
pub struct LocationMap {
    map: Map,
    outcomes: Box<[Location]>,
    /// IPv4 addresses with each outcome.
    addresses: Box<[u64]>,
}

impl LocationMap {
    pub(super) fn build(
        atlas: &Atlas,
        regions: &[Region],
        rules: &RuleSet,
    ) -> Result<(LocationMap, Vec<Overlap>), geo::MapError> {
        let mut cidrs = Vec::new();
        for region in &rules.regions {
            for term in regions[region.at()].rule.terms() {
                if let Term::Cidr(net) = term {
                    cidrs.push(*net);
                }
            }
        }
        cidrs.sort_unstable();
        cidrs.dedup();
        let mut outcomes: BTreeMap<Location, u16> = BTreeMap::new();
        let mut overlaps: BTreeMap<(RegionIx, RegionIx), IpAddr> = BTreeMap::new();
        let project = |place: &Place, addr: IpAddr, _inside: bool| {
            let matched = region_of(regions, rules, place, addr);
            if let Some((matched, lost)) = matched.as_ref().and_then(|m| Some((m, m.tied?))) {
                overlaps.entry((rules.regions[matched.at], rules.regions[lost])).or_insert(addr);
            }
            let route = matched.map(|matched| matched.at);
            // Only what its own route asks for tells two places apart: scopes are no longer than they must be.
            let pools = rules.sites.get(route.unwrap_or(rules.regions.len())).filter(|pools| !pools.is_empty());
            let nearest = place
                .coordinates
                .zip(pools)
                .map(|(at, pools)| geo::nearest_of_each(pools.iter().map(|pool| &**pool), at));
            let location = Location { route, nearest };
            // The map refuses a number that is out of its range.
            let next = u16::try_from(outcomes.len()).unwrap_or(u16::MAX);
            *outcomes.entry(location).or_insert(next)
        };
        let map = Map::build(atlas, &cidrs, project)?;
        let mut by_number: Vec<(u16, Location)> = outcomes.into_iter().map(|(location, at)| (at, location)).collect();
        by_number.sort_unstable();
        let outcomes = by_number.into_iter().map(|(_, location)| location).collect();
        let overlaps = overlaps.into_iter().map(|((won, lost), example)| Overlap { won, lost, example }).collect();
        let mut map = LocationMap { map, outcomes, addresses: Box::default() };
        map.addresses = map.count();
        Ok((map, overlaps))
    }

    /// The outcome and the ECS scope of an address.
    #[inline(always)] // 20 instructions of each answer's
    pub fn find(&self, addr: IpAddr) -> geo::Leaf {
        self.map.find(addr)
    }

    /// What the outcomes stand for, by number.
    pub fn outcomes(&self) -> &[Location] {
        &self.outcomes
    }

    /// How many IPv4 addresses have each outcome, by number: a measure of who an order moves.
    pub fn addresses(&self) -> &[u64] {
        &self.addresses
    }

    /// IPv4 from its first address to its last: ranges, both ends included, and their outcomes.
    pub fn ranges_v4(&self) -> impl Iterator<Item = (u32, u32, u16)> + '_ {
        self.map.ranges().filter_map(|(first, last, outcome)| match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Some((first.to_bits(), last.to_bits(), outcome)),
            (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => None,
        })
    }

    fn count(&self) -> Box<[u64]> {
        let mut counts = vec![0; self.outcomes.len()];
        for (first, last, outcome) in self.ranges_v4() {
            if let Some(count) = counts.get_mut(usize::from(outcome)) {
                *count += u64::from(last - first) + 1;
            }
        }
        counts.into()
    }

    /// Octets that it takes.
    pub fn memory_len(&self) -> usize {
        self.map.len_octets()
    }
}
