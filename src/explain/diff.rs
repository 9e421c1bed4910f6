//! What other files would change: one table against another, of any two sets of files.
//!
//! Names are compared as master files set them, services by name, clients by address: the IPv4 space is divided by
//! both location maps at once, so shares are exact, and by recent queries where there are some. Where chance chooses,
//! what counts as moved is the part that has to: one minus what both mixtures have in common. Integers throughout, in
//! parts of a million.
//!
//! Pure: which facts both tables have been compiled with is the caller's business, and to be told with the result.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::limits::DIFF_LISTED_MAX;
use crate::model::{Data, Endpoint, RegionIx, ServiceIx};
use crate::table::{LocationMap, RoutingTable};
use crate::wire::name::Shown;
use crate::wire::types::TypeName;
use crate::zone::{Node, Zones};

const MILLION: u64 = 1_000_000;

/// A query of the recent past, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The service asked for.
    pub service: String,
    /// Who asked, or an address of the network that did.
    pub client: IpAddr,
    /// For how many queries it stands; at least 1.
    pub weight: u32,
}

/// Queries of the recent past, and how long ago the oldest is. Without any, nothing is known of them.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// They.
    pub queries: Vec<Asked>,
    /// Since when.
    pub span: Duration,
}

/// A list that is cut where it is long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed<T> {
    /// How many there are.
    pub count: usize,
    /// The first of them.
    pub first: Vec<T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Listed<T> {
        Listed { count: 0, first: Vec::new() }
    }
}

impl<T> Listed<T> {
    fn push(&mut self, one: impl FnOnce() -> T) {
        self.count += 1;
        if self.first.len() < DIFF_LISTED_MAX {
            self.first.push(one());
        }
    }
}

/// Clients of one region of one service get another data centre.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The service.
    pub service: String,
    /// The region that they are in with the old files; `default`: everyone else.
    pub region: String,
    /// Ids of the data centres that answer them.
    pub from: BTreeSet<String>,
    /// And that would.
    pub to: BTreeSet<String>,
    /// How much of all IPv4 addresses that is, in parts of a million.
    pub addresses_ppm: u64,
}

/// What a data centre answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Its id; empty: nobody answers.
    pub id: String,
    /// Of all IPv4 addresses, over all services that both have, in parts of a million: now.
    pub before_ppm: u64,
    /// And after.
    pub after_ppm: u64,
}

/// Recent queries that would be answered from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Queries {
    /// In parts of a million.
    pub moved_ppm: u64,
    /// How many were looked at.
    pub sampled: u64,
    /// Over how long.
    pub span_s: u64,
}

/// What is different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Services that there are not yet.
    pub services_added: Listed<String>,
    /// Services that there would be no more.
    pub services_removed: Listed<String>,
    /// Services with other addresses or another TTL, in sentences.
    pub answers: Listed<String>,
    /// RRsets of master files: `name type`.
    pub records_added: Listed<String>,
    /// The same.
    pub records_removed: Listed<String>,
    /// The same.
    pub records_changed: Listed<String>,
    /// Clients that move.
    pub moves: Listed<Move>,
    /// Those that answer otherwise than before.
    pub datacenters: Vec<Share>,
    /// Of all IPv4 addresses, over the services that both have, in parts of a million.
    pub addresses_moved_ppm: u64,
    /// `None`: none were seen, so it is not known.
    pub queries: Option<Queries>,
}

impl Difference {
    /// Nothing is.
    pub fn is_none(&self) -> bool {
        let Difference { services_added, services_removed, answers, moves, .. } = self;
        let Difference { records_added, records_removed, records_changed, .. } = self;
        [services_added, services_removed, answers, records_added, records_removed, records_changed]
            .iter()
            .all(|listed| listed.count == 0)
            && moves.count == 0
    }
}

/// Compares two tables.
pub fn diff(before: &RoutingTable, after: &RoutingTable, load: &Load) -> Difference {
    let mut out = Difference::default();
    records(before, after, &mut out);
    let (was, is) = (services(before), services(after));
    for name in is.keys().filter(|name| !was.contains_key(*name)) {
        out.services_added.push(|| name.clone());
    }
    for name in was.keys().filter(|name| !is.contains_key(*name)) {
        out.services_removed.push(|| name.clone());
    }
    let both: Vec<(&String, ServiceIx, ServiceIx)> =
        was.iter().filter_map(|(name, ix)| Some((name, *ix, *is.get(name)?))).collect();
    let mut overlaps = Overlaps::default();
    let mut shares: BTreeMap<String, (u128, u128)> = BTreeMap::new();
    let mut moved = 0_u128;
    for &(name, one, other) in &both {
        answers(before, after, (one, other), &mut out.answers);
        let mut pair = Pair::new((before, one), (after, other));
        type Sets = (BTreeSet<String>, BTreeSet<String>, u128);
        let mut by_region: BTreeMap<Option<RegionIx>, Sets> = BTreeMap::new();
        let divided = overlaps.of(before.base().map(one), after.base().map(other));
        for (&(from, to), &addresses) in divided {
            let (was, is, part) = pair.compare(from, to);
            for (id, ppm) in was {
                shares.entry(id.clone()).or_default().0 += u128::from(addresses) * u128::from(*ppm);
            }
            for (id, ppm) in is {
                shares.entry(id.clone()).or_default().1 += u128::from(addresses) * u128::from(*ppm);
            }
            if part > 0 {
                let count = u128::from(addresses) * u128::from(part);
                moved += count;
                let (left, right, sum) = by_region.entry(region(before, one, from)).or_default();
                left.extend(was.keys().filter(|id| !id.is_empty()).cloned());
                right.extend(is.keys().filter(|id| !id.is_empty()).cloned());
                *sum += count;
            }
        }
        for (region, (from, to, count)) in by_region {
            out.moves.push(|| Move {
                service: name.clone(),
                region: region
                    .map_or_else(|| "default".to_owned(), |ix| before.base().policy().regions[ix.at()].id.to_string()),
                from,
                to,
                addresses_ppm: narrow(count >> 32),
            });
        }
    }
    let all = (both.len() as u128) << 32;
    let part = |count: u128| narrow(count.checked_div(all).unwrap_or(0));
    out.addresses_moved_ppm = part(moved);
    let share = |(id, (was, is)): (String, (u128, u128))| Share { id, before_ppm: part(was), after_ppm: part(is) };
    out.datacenters = shares.into_iter().filter(|(_, (was, is))| was != is).map(share).collect();
    out.queries = queries((before, &was), (after, &is), load);
    out
}

fn narrow(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn services(table: &RoutingTable) -> BTreeMap<String, ServiceIx> {
    let services = table.base().policy().services.iter().enumerate();
    services.map(|(at, service)| (service.name.to_string(), ServiceIx::from_at(at))).collect()
}

fn region(table: &RoutingTable, service: ServiceIx, outcome: u16) -> Option<RegionIx> {
    let policy = &table.base().policy().services[service.at()].policy;
    let route = table.base().map(service).and_then(|map| map.outcomes().get(usize::from(outcome))?.route);
    policy.route(route).region
}

/// IPv4 addresses by their outcome with both maps. Maps are shared by services, and so is this.
#[derive(Default)]
struct Overlaps(BTreeMap<(usize, usize), BTreeMap<(u16, u16), u64>>);

impl Overlaps {
    fn of(&mut self, one: Option<&LocationMap>, other: Option<&LocationMap>) -> &BTreeMap<(u16, u16), u64> {
        let address = |map: Option<&LocationMap>| map.map_or(0, |map| std::ptr::from_ref(map).addr());
        self.0.entry((address(one), address(other))).or_insert_with(|| overlap(one, other))
    }
}

fn overlap(one: Option<&LocationMap>, other: Option<&LocationMap>) -> BTreeMap<(u16, u16), u64> {
    let ranges = |map: Option<&LocationMap>| match map {
        Some(map) => map.ranges_v4().collect(),
        None => vec![(0, u32::MAX, 0)],
    };
    let (one, other) = (ranges(one), ranges(other));
    let mut counts: BTreeMap<(u16, u16), u64> = BTreeMap::new();
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    // Both cover everything, in order and without gaps.
    while let (Some(&&(first, last, outcome)), Some(&&(from, to, with))) = (left.peek(), right.peek()) {
        let (begin, end) = (first.max(from), last.min(to));
        *counts.entry((outcome, with)).or_default() += u64::from(end - begin) + 1;
        if last == end {
            left.next();
        }
        if to == end {
            right.next();
        }
    }
    counts
}

/// Data centres and their part of the clients of an outcome, by id; nobody's id is empty.
type Mixture = BTreeMap<String, u64>;

/// A service in both tables.
struct Pair<'a> {
    was: (&'a RoutingTable, ServiceIx),
    is: (&'a RoutingTable, ServiceIx),
    known_was: BTreeMap<u16, Mixture>,
    known_is: BTreeMap<u16, Mixture>,
}

impl<'a> Pair<'a> {
    fn new(was: (&'a RoutingTable, ServiceIx), is: (&'a RoutingTable, ServiceIx)) -> Pair<'a> {
        Pair { was, is, known_was: BTreeMap::new(), known_is: BTreeMap::new() }
    }

    /// What both say, and the part that moves, in parts of a million.
    fn compare(&mut self, from: u16, to: u16) -> (&Mixture, &Mixture, u64) {
        let was: &Mixture = self.known_was.entry(from).or_insert_with(|| mixture(self.was, from));
        let is: &Mixture = self.known_is.entry(to).or_insert_with(|| mixture(self.is, to));
        let common: u64 = was.iter().filter_map(|(id, ppm)| Some((*ppm).min(*is.get(id)?))).sum();
        // Parts are rounded to sum up to a million each: equal mixtures have all of it in common.
        (was, is, MILLION - common.min(MILLION))
    }
}

fn mixture((table, service): (&RoutingTable, ServiceIx), outcome: u16) -> Mixture {
    let policy = table.base().policy();
    let of = &policy.services[service.at()];
    let mut weights: BTreeMap<String, u128> = BTreeMap::new();
    for (endpoint, weight) in table.service(service).members(outcome) {
        let id = policy.datacenters[of.endpoint(endpoint).datacenter.at()].id.to_string();
        *weights.entry(id).or_default() += u128::from(weight);
    }
    let sum: u128 = weights.values().sum();
    if sum == 0 {
        return Mixture::from([(String::new(), MILLION)]);
    }
    // By differences of cumulative parts, so that the whole is a million.
    let (mut before, mut so_far) = (0, 0_u128);
    let mut parts = Mixture::new();
    for (id, weight) in weights {
        so_far += weight;
        let part = narrow(so_far * u128::from(MILLION) / sum);
        parts.insert(id, part - before);
        before = part;
    }
    parts
}

fn queries(
    (before, was): (&RoutingTable, &BTreeMap<String, ServiceIx>),
    (after, is): (&RoutingTable, &BTreeMap<String, ServiceIx>),
    load: &Load,
) -> Option<Queries> {
    let (mut moved, mut all, mut sampled) = (0_u128, 0_u128, 0_u64);
    let mut pairs: BTreeMap<&str, Pair<'_>> = BTreeMap::new();
    for query in &load.queries {
        let Some(&one) = was.get(&query.service) else { continue };
        let weight = u128::from(query.weight);
        (all, sampled) = (all + weight, sampled + 1);
        let Some(&other) = is.get(&query.service) else {
            moved += u128::from(MILLION) * weight;
            continue;
        };
        let pair = pairs.entry(&query.service).or_insert_with(|| Pair::new((before, one), (after, other)));
        let from = before.service(one).locate(query.client).outcome;
        let to = after.service(other).locate(query.client).outcome;
        moved += u128::from(pair.compare(from, to).2) * weight;
    }
    let moved_ppm = u64::try_from(moved.checked_div(all)?).unwrap_or(MILLION);
    Some(Queries { moved_ppm, sampled, span_s: load.span.as_secs() })
}

/// What the answers of a service say, whoever gives them.
fn answers(
    before: &RoutingTable,
    after: &RoutingTable,
    (one, other): (ServiceIx, ServiceIx),
    out: &mut Listed<String>,
) {
    let (was, is) = (&before.base().policy().services[one.at()], &after.base().policy().services[other.at()]);
    let name = &was.name;
    if was.ttl != is.ttl {
        out.push(|| format!("{name}: TTL {} → {}", was.ttl.as_secs(), is.ttl.as_secs()));
    }
    let find = |id: &str| is.endpoints.iter().find(|endpoint| endpoint.id.as_str() == id);
    for endpoint in &was.endpoints {
        let id = &endpoint.id;
        match find(id.as_str()) {
            None => out.push(|| format!("{name}: no endpoint {id} any more ({})", addresses(endpoint))),
            Some(with) if with.data != endpoint.data => {
                out.push(|| format!("{name}: {id} {} → {}", addresses(endpoint), addresses(with)));
            }
            Some(_) => {}
        }
    }
    for endpoint in &is.endpoints {
        if was.endpoints.iter().all(|old| old.id != endpoint.id) {
            out.push(|| format!("{name}: a new endpoint {} ({})", endpoint.id, addresses(endpoint)));
        }
    }
}

fn addresses(endpoint: &Endpoint) -> String {
    match &endpoint.data {
        Data::Addresses { v4, v6, .. } => {
            let all: Vec<String> =
                v4.iter().map(ToString::to_string).chain(v6.iter().map(ToString::to_string)).collect();
            all.join(" ")
        }
        Data::Cname(name) => name.to_string(),
    }
}

/// What master files set. Names that exist only because of others below them are none.
fn records(before: &RoutingTable, after: &RoutingTable, out: &mut Difference) {
    for zone in before.zones().zones() {
        for node in zone.nodes() {
            let other = there(after.zones(), node);
            for rrset in node.rrsets() {
                match other.and_then(|other| other.rrset(rrset.rtype)) {
                    None => out.records_removed.push(|| named(node, rrset.rtype)),
                    Some(with) if with != rrset => out.records_changed.push(|| named(node, rrset.rtype)),
                    Some(_) => {}
                }
            }
        }
    }
    for zone in after.zones().zones() {
        for node in zone.nodes() {
            let other = there(before.zones(), node);
            for rrset in node.rrsets() {
                if other.and_then(|other| other.rrset(rrset.rtype)).is_none() {
                    out.records_added.push(|| named(node, rrset.rtype));
                }
            }
        }
    }
}

/// The node of that name in the zone of the same apex.
fn there<'a>(zones: &'a Zones, node: Node<'_>) -> Option<Node<'a>> {
    let apex = node.zone().apex();
    let found = zones.exact(node.name())?;
    if found.zone().apex() == apex {
        return Some(found);
    }
    // At a delegation to a zone that is served here too there are two of the name: seldom enough to look for it.
    let zone = zones.zones().find(|zone| zone.apex() == apex)?;
    zone.nodes().find(|other| other.name() == node.name())
}

fn named(node: Node<'_>, rtype: u16) -> String {
    format!("{} {}", Shown(node.name()), TypeName(rtype))
}
