//! What an order changes for clients: the table before it against the table after it.
//!
//! The same function says it in a dry run and for the deed, from two tables that were compiled the same way; so they
//! say the same, for as long as health does not move in between.
//!
//! A share is by IPv4 addresses, as the location maps divide them (all there are, known places or not), and by a
//! sample of recent queries where there is one. Where chance chooses, what counts as moved is the part that has to:
//! one minus what both mixtures have in common. Integers throughout, in parts of a million.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::names::Names;
use super::rules::Refusal;
use crate::limits;
use crate::model::{DatacenterIx, RegionIx, ServiceIx};
use crate::table::{RoutingTable, ServiceView};

const MILLION: u64 = 1_000_000;

/// A query of the recent past: who asked for what. The type does not matter to where it is sent, but is kept for
/// whoever samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The service asked for.
    pub service: ServiceIx,
    /// The client's network, or its address.
    pub client: IpAddr,
    /// The type asked for.
    pub rtype: u16,
    /// For how many queries it stands.
    pub weight: u32,
}

/// Queries of the recent past, and since when they were taken.
#[derive(Clone, Debug, Default)]
pub struct Samples<I> {
    /// They; empty: nothing is known, which is not the same as that nothing moves.
    pub queries: I,
    /// From the oldest to now.
    pub span: Duration,
}

/// Clients of one region of one service get another answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The service.
    pub service: String,
    /// The region; `default`: everyone else.
    pub region: String,
    /// Ids of the data centres that could answer them before.
    pub from: BTreeSet<String>,
    /// And after.
    pub to: BTreeSet<String>,
}

/// The share of recent queries that would be answered from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryShare {
    /// In parts of a million.
    pub moved_ppm: u64,
    /// How many queries were looked at. Each stands for as many as came between it and the one before.
    pub sampled: u64,
    /// Over how long.
    pub span_s: u64,
}

/// What an order changes.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Impact {
    /// How many services change for some clients.
    pub services: usize,
    /// By service and region, in this order.
    pub changes: Vec<Change>,
    /// How many more changes there are.
    pub omitted: usize,
    /// The share of all IPv4 addresses, over the services that the order is about, that move. In parts of a million.
    pub addresses_moved_ppm: u64,
    /// The same by recent queries; `None`: none were seen, so it is unknown.
    pub queries: Option<QueryShare>,
    /// Where clients go that may not be able to carry them.
    pub capacity: Vec<String>,
    /// Rules that refuse it, or would have.
    pub refused_by: Vec<Refusal>,
}

/// What an outcome of a service's map has before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shift {
    pub(super) service: ServiceIx,
    pub(super) outcome: u16,
    pub(super) region: Option<RegionIx>,
    pub(super) from: BTreeSet<DatacenterIx>,
    pub(super) to: BTreeSet<DatacenterIx>,
}

/// Every outcome of these services, changed or not.
pub(super) fn shifts<'a>(
    before: &'a RoutingTable,
    after: &'a RoutingTable,
    services: &'a BTreeSet<ServiceIx>,
) -> impl Iterator<Item = Shift> + 'a {
    services.iter().flat_map(move |&service| {
        regions(before, service).into_iter().enumerate().map(move |(at, region)| {
            let outcome = u16::try_from(at).expect("limits bound outcomes");
            let set = |table: &RoutingTable| table.datacenters_of(service, outcome).iter().copied().collect();
            Shift { service, outcome, region, from: set(before), to: set(after) }
        })
    })
}

/// The region of each outcome.
fn regions(table: &RoutingTable, service: ServiceIx) -> Vec<Option<RegionIx>> {
    let policy = &table.base().policy().services[service.at()].policy;
    match table.base().map(service) {
        Some(map) => map.outcomes().iter().map(|location| policy.route(location.route).region).collect(),
        None => vec![policy.route(None).region],
    }
}

/// What the order that made `after` of `before` changes. Both have the same files; `services` are those that the order
/// is about.
pub fn impact(
    before: &RoutingTable,
    after: &RoutingTable,
    services: &BTreeSet<ServiceIx>,
    samples: Samples<impl IntoIterator<Item = Sample>>,
) -> Impact {
    let policy = before.base().policy();
    let names = Names::of(policy);
    let ids = |set: &BTreeSet<DatacenterIx>| set.iter().map(|ix| names.id(*ix)).collect::<BTreeSet<String>>();
    type Sets = (BTreeSet<DatacenterIx>, BTreeSet<DatacenterIx>);
    let mut by_region: BTreeMap<(ServiceIx, Option<RegionIx>), Sets> = BTreeMap::new();
    let (mut moved, mut all) = (0_u128, 0_u128);
    let mut gains: BTreeMap<DatacenterIx, BTreeSet<DatacenterIx>> = BTreeMap::new();
    let mut moved_of: BTreeMap<(ServiceIx, u16), u64> = BTreeMap::new();
    for shift in shifts(before, after, services) {
        let addresses = addresses(before, shift.service, shift.outcome);
        let part = moved_ppm(before, after, shift.service, shift.outcome);
        moved += u128::from(addresses) * u128::from(part);
        all += u128::from(addresses);
        if part == 0 {
            continue;
        }
        moved_of.insert((shift.service, shift.outcome), part);
        for &gaining in shift.to.difference(&shift.from) {
            gains.entry(gaining).or_default().extend(shift.from.difference(&shift.to));
        }
        let (from, to) = by_region.entry((shift.service, shift.region)).or_default();
        from.extend(&shift.from);
        to.extend(&shift.to);
    }
    let changed: BTreeSet<ServiceIx> = by_region.keys().map(|(service, _)| *service).collect();
    let omitted = by_region.len().saturating_sub(limits::IMPACT_CHANGES_MAX);
    let changes = by_region.iter().take(limits::IMPACT_CHANGES_MAX).map(|((service, region), (from, to))| Change {
        service: names.name(*service),
        region: names.region(*region),
        from: ids(from),
        to: ids(to),
    });
    Impact {
        services: changed.len(),
        changes: changes.collect(),
        omitted,
        addresses_moved_ppm: u64::try_from(moved.checked_div(all).unwrap_or(0)).unwrap_or(MILLION),
        queries: queries(before, &moved_of, samples),
        capacity: capacity(&names, &gains),
        refused_by: Vec::new(),
    }
}

fn addresses(table: &RoutingTable, service: ServiceIx, outcome: u16) -> u64 {
    match table.base().map(service) {
        Some(map) => map.addresses().get(usize::from(outcome)).copied().unwrap_or(0),
        None => 1 << 32,
    }
}

/// The part of the clients of an outcome that another data centre answers after.
fn moved_ppm(before: &RoutingTable, after: &RoutingTable, service: ServiceIx, outcome: u16) -> u64 {
    let (was, is) = (weights(before, service, outcome), weights(after, service, outcome));
    let total = |weights: &BTreeMap<DatacenterIx, u128>| weights.values().sum::<u128>();
    let (of_was, of_is) = (total(&was), total(&is));
    match (of_was, of_is) {
        (0, 0) => 0,
        (0, _) | (_, 0) => MILLION,
        (_, _) => {
            // Sums of weights are below 2^40, so their products fit.
            let common =
                was.iter().filter_map(|(datacenter, weight)| Some((weight * of_is).min(is.get(datacenter)? * of_was)));
            let common = common.sum::<u128>() * u128::from(MILLION) / (of_was * of_is);
            MILLION - u64::try_from(common).unwrap_or(MILLION).min(MILLION)
        }
    }
}

/// By data centre.
fn weights(table: &RoutingTable, service: ServiceIx, outcome: u16) -> BTreeMap<DatacenterIx, u128> {
    let of = &table.base().policy().services[service.at()];
    let view: ServiceView<'_> = table.service(service);
    let mut weights: BTreeMap<DatacenterIx, u128> = BTreeMap::new();
    for (endpoint, weight) in view.members(outcome) {
        *weights.entry(of.endpoint(endpoint).datacenter).or_default() += u128::from(weight);
    }
    weights
}

fn queries(
    table: &RoutingTable,
    moved_of: &BTreeMap<(ServiceIx, u16), u64>,
    samples: Samples<impl IntoIterator<Item = Sample>>,
) -> Option<QueryShare> {
    let (mut moved, mut all, mut sampled) = (0_u128, 0_u128, 0_u64);
    let moving: BTreeSet<ServiceIx> = moved_of.keys().map(|(service, _)| *service).collect();
    let count = table.base().policy().services.len();
    // A sample may be older than the files.
    for sample in samples.queries.into_iter().filter(|sample| sample.service.at() < count) {
        if moving.contains(&sample.service) {
            let outcome = table.service(sample.service).locate(sample.client).outcome;
            let part = moved_of.get(&(sample.service, outcome)).copied().unwrap_or(0);
            moved += u128::from(part) * u128::from(sample.weight);
        }
        all += u128::from(sample.weight);
        sampled += 1;
    }
    let moved_ppm = u64::try_from(moved.checked_div(all)?).unwrap_or(MILLION);
    Some(QueryShare { moved_ppm, sampled, span_s: samples.span.as_secs() })
}

/// What a data centre declares, against what those declare whose clients it takes over.
fn capacity(names: &Names<'_>, gains: &BTreeMap<DatacenterIx, BTreeSet<DatacenterIx>>) -> Vec<String> {
    let declared = |ix: &DatacenterIx| names.policy.datacenters[ix.at()].capacity;
    let short = |ix: &DatacenterIx| names.policy.datacenters[ix.at()].short_name();
    let warning = |(gaining, losing): (&DatacenterIx, &BTreeSet<DatacenterIx>)| {
        let own = declared(gaining)?;
        let others: u64 = losing.iter().filter_map(declared).fold(0, u64::saturating_add);
        let from = losing.iter().map(short).collect::<Vec<_>>().join(", ");
        (others > own).then(|| {
            format!(
                "{} declares a capacity of {own} requests/s, and takes over clients of {from}, which declare {others}",
                short(gaining)
            )
        })
    };
    gains.iter().filter_map(warning).collect()
}
