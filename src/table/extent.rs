//! How many octets of records a service can come to, whatever is up and whatever is ordered.
//!
//! Found from the policy alone, before anything is compiled, and never too low: a change of health has nobody
//! to refuse it to. A route's plan comes from one of its tiers, from its fallback, or from an order, which may
//! name any endpoint; only `nearest` makes one route several plans. Equal plans are rendered once, which is
//! not counted on.

use std::collections::BTreeMap;

use super::location::LocationMap;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{Data, EndpointIx, Method, Node, Pool, Route, Service};

/// Before the data of each record: name, type, class, TTL, length.
const HEADER_LEN: u64 = 12;

/// An SOA: two names and five numbers.
const SOA_LEN: u64 = HEADER_LEN + 2 * limits::NAME_LEN_MAX as u64 + 20;

/// Refuses a service that could come to more than [`limits::SERVICE_RECORDS_LEN_MAX`].
pub(super) fn check(service: &Service, map: Option<&LocationMap>) -> Option<Diagnostic> {
    let len = records_len(service, map);
    if len <= limits::SERVICE_RECORDS_LEN_MAX as u64 {
        return None;
    }
    let message = format!(
        "the answers of {} can come to {len} octets; at most {} are allowed in one service",
        service.name,
        limits::SERVICE_RECORDS_LEN_MAX
    );
    Some(
        Diagnostic::error("service-too-large", message)
            .at(&service.origin)
            .help("name fewer regions, endpoints or addresses, or lower `max_answers`"),
    )
}

fn records_len(service: &Service, map: Option<&LocationMap>) -> u64 {
    let mut outcomes: BTreeMap<Option<usize>, u64> = BTreeMap::new();
    for location in map.into_iter().flat_map(LocationMap::outcomes) {
        *outcomes.entry(location.route).or_default() += 1;
    }
    let lens = service.endpoints().map(|(ix, _)| endpoint_len(service, ix)).collect();
    let mut extent = Extent { service, lens, everything: 0 };
    extent.everything = extent.draw(&service.endpoints().map(|(ix, _)| ix).collect::<Vec<_>>());
    let routes = service.policy.routes.iter().enumerate().map(|(at, route)| (Some(at), route));
    routes
        .chain([(None, &service.policy.elsewhere)])
        .map(|(at, route)| extent.route(route, outcomes.get(&at).copied().unwrap_or(1)))
        .fold(2 * SOA_LEN, u64::saturating_add)
}

/// The most that an answer with this endpoint alone takes.
fn endpoint_len(service: &Service, ix: EndpointIx) -> u64 {
    match &service.endpoint(ix).data {
        Data::Cname(name) => HEADER_LEN + name.as_wire().len() as u64,
        Data::Addresses { v4, v6, .. } => {
            let (v4, v6) = (v4.len() as u64, v6.len() as u64);
            let addresses = v4 * (HEADER_LEN + 4) + v6 * (HEADER_LEN + 16);
            let https = service.https.as_ref().map_or(0, |https| {
                let alpn: usize = https.alpn.iter().map(|id| 1 + id.len()).sum();
                // Priority and target, then four parameters: alpn, port, and hints of both families.
                HEADER_LEN + 3 + 4 * 4 + alpn as u64 + 2 + v4 * 4 + v6 * 16
            });
            addresses + https
        }
    }
}

struct Extent<'a> {
    service: &'a Service,
    /// Of each endpoint.
    lens: Vec<u64>,
    /// What an order can make of any pool: a plan of all endpoints.
    everything: u64,
}

impl Extent<'_> {
    /// All plans of one route, for clients of `outcomes` places.
    fn route(&self, route: &Route, outcomes: u64) -> u64 {
        let by_policy = route.tiers.iter().chain(&route.fallback).map(|pool| self.pool(pool, outcomes)).max();
        // Where the place is not known `nearest` goes by priority, or leaves the choice to the fallback.
        let pools = route.tiers.iter().chain(&route.fallback);
        let unlocated = if pools.into_iter().any(|pool| pool.uses(Method::Nearest)) { self.everything } else { 0 };
        by_policy.unwrap_or(0).max(self.everything).saturating_add(unlocated)
    }

    /// All plans that a pool comes to, in one state of the world, for clients of `outcomes` places.
    fn pool(&self, pool: &Pool, outcomes: u64) -> u64 {
        match pool.method {
            Method::Ordered => {
                let members = pool.members.iter().map(|member| match &member.node {
                    Node::Endpoint(endpoint) => self.draw(&[*endpoint]),
                    Node::Pool(pool) => self.pool(pool, outcomes),
                });
                members.max().unwrap_or(0)
            }
            Method::Priority => self.everything,
            Method::Nearest => {
                let mut groups: BTreeMap<u16, Vec<EndpointIx>> = BTreeMap::new();
                for ix in pool.endpoints() {
                    groups.entry(self.service.endpoint(ix).datacenter.0).or_default().push(ix);
                }
                // A data centre each, and what an order puts in the place of some.
                groups.values().map(|group| self.draw(group)).fold(self.everything, u64::saturating_add)
            }
            Method::Weighted | Method::Sticky => self.everything.saturating_mul(self.ways(pool).min(outcomes)),
        }
    }

    /// How many different draws the places of clients can make of a pool.
    fn ways(&self, pool: &Pool) -> u64 {
        let below = pool.members.iter().map(|member| match &member.node {
            Node::Endpoint(_) => 1,
            Node::Pool(pool) => self.ways(pool),
        });
        match pool.method {
            Method::Ordered => below.max().unwrap_or(1),
            Method::Priority => 1,
            Method::Nearest => pool.members.len() as u64 + 1,
            Method::Weighted | Method::Sticky => below.fold(1, u64::saturating_mul),
        }
    }

    /// A plan that chooses among all of `endpoints`: it has no more variants than endpoints.
    fn draw(&self, endpoints: &[EndpointIx]) -> u64 {
        let mut lens: Vec<u64> = endpoints.iter().map(|ix| self.lens[ix.at()]).collect();
        lens.sort_unstable_by(|a, b| b.cmp(a));
        let answers = usize::from(self.service.max_answers).max(1);
        if answers == 1 || lens.len() <= answers {
            return lens.iter().sum();
        }
        lens.len() as u64 * lens[..answers].iter().sum::<u64>()
    }
}
