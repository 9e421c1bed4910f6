//! Whom a switch takes from where: the data centres that clients leave, and must not come back to by accident.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::names::Names;
use super::order::{ELSEWHERE, Left, What, Whom};
use crate::limits;
use crate::model::{DatacenterIx, Facts, ServiceIx};
use crate::steer::{self, Plan};
use crate::table::{RoutingTable, standings};

/// What clients of the services concerned leave by a switch: the data centre that is active now, the one that policy
/// would have active were everything well, and what an earlier switch had left. A switch of everyone is told by clients
/// of no region; one of some regions by theirs.
pub(super) fn left(
    names: &Names<'_>,
    table: &RoutingTable,
    book: &Book,
    (to, whom): (&BTreeSet<String>, &Whom),
    services: &BTreeSet<ServiceIx>,
) -> Left {
    let well = Facts::all_up();
    let everyone = BTreeSet::from([ELSEWHERE.to_owned()]);
    let regions = whom.regions.as_ref().unwrap_or(&everyone);
    let mut by: BTreeMap<BTreeSet<String>, BTreeSet<ServiceIx>> = BTreeMap::new();
    for &ix in services {
        let mut left: BTreeSet<String> = BTreeSet::new();
        for region in regions {
            left.extend(answering(names, table, ix, region).into_iter().map(|dc| names.id(dc)));
            left.extend(policys_choice(names, ix, region, &well).map(|dc| names.id(dc)));
        }
        let name = names.name(ix);
        let is_met = |whom: &Whom| regions.iter().any(|region| whom.covers(&name, region));
        for standing in book.standing() {
            match &standing.what {
                What::Switch { whom, to, left: before, from: None, .. } if is_met(whom) => {
                    left.extend(before.by(&name).iter().chain(to).cloned());
                }
                What::Behind { whom, left: before, .. } if is_met(whom) => {
                    left.extend(before.by(&name).iter().cloned());
                }
                What::Switch { .. }
                | What::Behind { .. }
                | What::Out { .. }
                | What::Force { .. }
                | What::Weights { .. }
                | What::Ttl { .. }
                | What::Freeze
                | What::Gate { .. } => {}
            }
        }
        left.retain(|id| !to.contains(id));
        by.entry(left).or_default().insert(ix);
    }
    let common = by.iter().max_by_key(|(_, services)| services.len()).map(|(left, _)| left.clone()).unwrap_or_default();
    let mut told = Left { common, of: BTreeMap::new() };
    let mut len = 0;
    for (left, services) in by {
        if left == told.common {
            continue;
        }
        for ix in services {
            let name = names.name(ix);
            len += name.len() + left.iter().map(|id| id.len() + 3).sum::<usize>() + 6;
            if told.of.len() < limits::LEFT_SERVICES_MAX && len <= limits::LEFT_LEN_MAX {
                told.of.insert(name, left.clone());
            } else {
                // Too many to tell apart: better one more that goes last than one that clients come back to.
                told.common.extend(left.iter().cloned());
            }
        }
    }
    told
}

/// The data centre that a client of no listed region really gets: of what can be answered, by the lowest priority.
pub fn active(table: &RoutingTable, ix: ServiceIx) -> Option<DatacenterIx> {
    let service = &table.base().policy().services[ix.at()];
    let view = table.service(ix);
    let elsewhere = match table.base().map(ix) {
        Some(map) => map.outcomes().iter().position(|location| location.route.is_none()),
        None => Some(0),
    };
    let elsewhere = elsewhere.and_then(|at| u16::try_from(at).ok()).filter(|_| service.max_answers == 1);
    let Some(outcome) = elsewhere else {
        // Every address is in some region, or answers name several endpoints: the table does not say it all.
        let served = crate::table::elsewhere(table, ix);
        let first = served.endpoints().into_iter().min_by_key(|endpoint| service.endpoint(*endpoint).priority);
        return first.map(|endpoint| service.endpoint(endpoint).datacenter);
    };
    let first =
        view.members(outcome).map(|(endpoint, _)| endpoint).min_by_key(|ix| (service.endpoint(*ix).priority, *ix));
    first.map(|endpoint| service.endpoint(endpoint).datacenter)
}

/// Who answers clients of a region now: one, where one is active for everyone else.
fn answering(names: &Names<'_>, table: &RoutingTable, ix: ServiceIx, region: &str) -> BTreeSet<DatacenterIx> {
    if region == ELSEWHERE {
        return active(table, ix).into_iter().collect();
    }
    let policy = &names.service(ix).policy;
    let outcomes = table.base().map(ix).map(|map| map.outcomes()).unwrap_or_default();
    let theirs = (0_u16..).zip(outcomes).filter(|(_, location)| {
        let of = policy.route(location.route).region;
        of.is_some() && names.region(of) == region
    });
    theirs.flat_map(|(outcome, _)| table.datacenters_of(ix, outcome)).copied().collect()
}

/// The data centre that policy would have active for clients of a region, were these the facts and no orders.
pub(super) fn policys_choice(names: &Names<'_>, ix: ServiceIx, region: &str, well: &Facts) -> Option<DatacenterIx> {
    let service = names.service(ix);
    let route = service.policy.all_routes().find(|route| names.region(route.region) == region)?;
    let asked = steer::Asked {
        ix,
        service,
        route,
        nearest: None,
        standings: &standings(service, ix, well),
        datacenters: &names.policy.datacenters,
        facts: well,
    };
    let Plan::Choose { variants, .. } = steer::plan(&asked, &mut ()) else { return None };
    let endpoints = variants.iter().flat_map(|variant| &variant.endpoints).map(|(endpoint, _)| *endpoint);
    let first = endpoints.min_by_key(|ix| (service.endpoint(*ix).priority, *ix));
    first.map(|endpoint| service.endpoint(endpoint).datacenter)
}

/// The data centre that policy would have active for clients of no listed region, were everything well: whom a switch
/// with `from` means.
pub fn policys_choice_elsewhere(table: &RoutingTable, ix: ServiceIx) -> Option<DatacenterIx> {
    policys_choice(&Names::of(table.base().policy()), ix, ELSEWHERE, &Facts::all_up())
}
