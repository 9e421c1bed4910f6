//! Compiling: base × facts → table. A pure function.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::base::Base;
use super::chunk::{Cell, Chunk, Head, PlanEntry, ServiceView, Span};
use super::location::Location;
use super::render::{Renderer, append, possible_types};
use crate::limits::{CHUNK_SERVICES, CLIENT_NODATA_TTL_MAX_S};
use crate::model::{
    AddressKey, Admin, DatacenterIx, Facts, Forced, Generation, Method, OverrideKind, RegionIx, Revision, Service,
    ServiceIx, Settings, State, Verdict,
};
use crate::steer::{self, Bar, Plan, Standing, Weighted, member_key};
use crate::wire::types::rtype;
use crate::zone::{Find, Zones};

/// Everything that an answer needs, of one generation.
#[derive(Debug)]
pub struct RoutingTable {
    pub(super) generation: Generation,
    base: Arc<Base>,
    chunks: Box<[Arc<Chunk>]>,
    facts: Arc<Facts>,
}

impl RoutingTable {
    /// A table that serves nothing: every question is refused.
    pub fn empty() -> RoutingTable {
        RoutingTable::compile(&Arc::new(Base::empty()), Arc::new(Facts::all_up()), Generation(0))
    }

    /// Compiles. Equal arguments give tables that answer alike.
    pub fn compile(base: &Arc<Base>, facts: Arc<Facts>, generation: Generation) -> RoutingTable {
        let count = base.policy.services.len();
        let chunks = (0..count.div_ceil(CHUNK_SERVICES))
            .map(|at| Arc::new(compile_chunk(base, &facts, services_of(at, count))))
            .collect();
        RoutingTable { generation, base: Arc::clone(base), chunks, facts }
    }

    /// Compiles anew what the services in `touched` get; all others keep what they have here. `facts` must differ
    /// from this table's in nothing that is about other services. The same table as a full compile gives.
    pub fn recompile(&self, facts: Arc<Facts>, touched: &BTreeSet<ServiceIx>, generation: Generation) -> RoutingTable {
        let count = self.base.policy.services.len();
        let stale: BTreeSet<usize> = touched.iter().map(|service| service.at() / CHUNK_SERVICES).collect();
        let chunk = |(at, old): (usize, &Arc<Chunk>)| match stale.contains(&at) {
            true => Arc::new(compile_chunk(&self.base, &facts, services_of(at, count))),
            false => Arc::clone(old),
        };
        let chunks = self.chunks.iter().enumerate().map(chunk).collect();
        RoutingTable { generation, base: Arc::clone(&self.base), chunks, facts }
    }

    /// True when both answer every question alike: same files, same compiled services.
    pub fn answers_like(&self, other: &RoutingTable) -> bool {
        Arc::ptr_eq(&self.base, &other.base)
            && self.chunks.len() == other.chunks.len()
            && self.chunks.iter().zip(&other.chunks).all(|(a, b)| Arc::ptr_eq(a, b) || a == b)
    }

    /// How many chunks of services both have in common.
    pub fn chunks_shared_with(&self, other: &RoutingTable) -> usize {
        self.chunks.iter().zip(&other.chunks).filter(|(a, b)| Arc::ptr_eq(a, b)).count()
    }

    /// The data centres from which clients of an outcome of the service's map can be answered, ascending; 0 is the
    /// one outcome of a service without a map. Empty: no data.
    pub fn datacenters_of(&self, service: ServiceIx, outcome: u16) -> &[DatacenterIx] {
        self.service(service).datacenters(outcome)
    }

    /// Its number.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The last order in force in it.
    pub fn revision(&self) -> Revision {
        self.facts.revision
    }

    /// What it has from files.
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// What it knows of health and orders.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Names and static data.
    #[inline]
    pub fn zones(&self) -> &Zones {
        &self.base.zones
    }

    /// What the server's configuration says of answers.
    #[inline]
    pub fn settings(&self) -> &Settings {
        &self.base.settings
    }

    /// A service.
    #[inline]
    pub fn service(&self, ix: ServiceIx) -> ServiceView<'_> {
        let chunk = &*self.chunks[ix.at() / CHUNK_SERVICES];
        ServiceView { ix, head: &chunk.heads[ix.at() % CHUNK_SERVICES], chunk, map: self.base.map(ix) }
    }

    /// Octets of the part that a change of facts compiles anew.
    pub fn chunk_memory(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.memory_len()).sum()
    }
}

/// The services in the chunk at `at`, of `count` in all.
fn services_of(at: usize, count: usize) -> std::ops::Range<usize> {
    at * CHUNK_SERVICES..count.min((at + 1) * CHUNK_SERVICES)
}

fn compile_chunk(base: &Base, facts: &Facts, services: std::ops::Range<usize>) -> Chunk {
    let mut chunk = Chunk::default();
    for at in services {
        let ix = ServiceIx::from_at(at);
        let head = compile_service(base, facts, ix, &mut chunk);
        chunk.heads.push(head);
    }
    chunk
}

fn compile_service(base: &Base, facts: &Facts, ix: ServiceIx, chunk: &mut Chunk) -> Head {
    let service = &base.policy.services[ix.at()];
    let standings = standings(service, ix, facts);
    let first_cell = u32::try_from(chunk.cells.len()).expect("bounded by the outcomes of a chunk");
    let everywhere = [Location::default()];
    let outcomes = base.map(ix).map_or(&everywhere[..], |map| map.outcomes());
    let mut plans: HashMap<(Plan, u32), u32> = HashMap::new();
    for location in outcomes {
        let route = service.policy.route(location.route);
        let asked = steer::Asked {
            ix,
            service,
            route,
            nearest: location.nearest.as_deref(),
            standings: &standings,
            datacenters: &base.policy.datacenters,
            facts,
        };
        let plan = (steer::plan(&asked, &mut ()), ttl(service, ix, route.region, facts));
        let number = match plans.get(&plan) {
            Some(number) => *number,
            None => {
                let number = add_plan(service, plan.1, &plan.0, chunk);
                plans.insert(plan, number);
                number
            }
        };
        let pools = route.tiers.iter().chain(&route.fallback);
        let is_sticky = pools.into_iter().any(|pool| pool.uses(Method::Sticky));
        chunk.cells.push(Cell { plan: number, is_sticky });
    }
    let types = possible_types(service);
    // A service has one SOA for each kind of negative answer, so it has the shortest TTL of all regions'.
    let ttls = service.policy.all_routes().map(|route| ttl(service, ix, route.region, facts));
    let ttl = ttls.min().unwrap_or(service.ttl.as_secs());
    let (soa, soa_ttl) = soa(base, service, ttl, chunk);
    let (client_soa, client_soa_ttl) = self::soa(base, service, ttl.min(CLIENT_NODATA_TTL_MAX_S), chunk);
    Head { first_cell, types, soa, soa_ttl, client_soa, client_soa_ttl }
}

fn add_plan(service: &Service, ttl: u32, plan: &Plan, chunk: &mut Chunk) -> u32 {
    let first_variant = u32::try_from(chunk.weights.len()).expect("bounded by the variants of a chunk");
    let (mode, variants, verdict) = match plan {
        Plan::Choose { mode, variants, source } => (*mode, variants.as_slice(), Ok(*source)),
        Plan::NoData(why) => (steer::Mode::One, &[][..], Err(*why)),
    };
    let mut cumulative = 0_u32;
    for variant in variants {
        cumulative = cumulative.saturating_add(variant.weight);
        let key = variant.endpoints.first().map_or(0, |(first, _)| member_key(service.endpoint(*first).id.as_str()));
        chunk.weights.push(Weighted { cumulative, weight: variant.weight, key });
        let body = Renderer { service, ttl, records: &mut chunk.records }.body(&variant.endpoints);
        chunk.bodies.push(body);
    }
    let variant_count = u32::try_from(variants.len()).expect("at most 256");
    let endpoints = variants.iter().flat_map(|variant| &variant.endpoints);
    let datacenters: BTreeSet<DatacenterIx> = endpoints.map(|(ix, _)| service.endpoint(*ix).datacenter).collect();
    let first_datacenter = u32::try_from(chunk.datacenters.len()).expect("bounded by the plans of a chunk");
    let datacenter_count = u16::try_from(datacenters.len()).expect("bounded by the endpoints of a service");
    chunk.datacenters.extend(datacenters);
    chunk.plans.push(PlanEntry {
        mode,
        ttl,
        first_variant,
        variant_count,
        first_datacenter,
        datacenter_count,
        verdict,
    });
    u32::try_from(chunk.plans.len() - 1).expect("bounded by the cells of a chunk")
}

/// The TTL of a service's answers to the clients of `region`: the order of the narrowest scope, then the
/// latest, else policy's.
fn ttl(service: &Service, ix: ServiceIx, region: Option<RegionIx>, facts: &Facts) -> u32 {
    let orders = facts.overrides.iter().filter_map(|order| match &order.kind {
        OverrideKind::Ttl(ttl) if facts.applies(order, ix, region) => {
            Some((order.scope.narrowness(), order.revision, *ttl))
        }
        _ => None,
    });
    orders.max().map_or(service.ttl, |(_, _, ttl)| ttl).as_secs()
}

/// The SOA of the zone that holds the service, for negative answers: neither its TTL nor its MINIMUM is
/// longer than `ttl_max`.
fn soa(base: &Base, service: &Service, ttl_max: u32, chunk: &mut Chunk) -> (Span, u32) {
    let Find::Node { node } = base.zones.find(service.name.as_wire()) else {
        return (Span::default(), 0);
    };
    let zone = node.zone();
    let ttl = zone.negative_ttl().min(ttl_max);
    let Some((_, rdata)) = zone.soa().records().next() else { return (Span::default(), 0) };
    let mut rdata = rdata.to_vec();
    let minimum_at = rdata.len().saturating_sub(4);
    rdata[minimum_at..].copy_from_slice(&ttl.to_be_bytes());
    (append(&mut chunk.records, rtype::SOA, ttl, &[rdata]), ttl)
}

/// What the facts say of each endpoint of a service.
pub fn standings(service: &Service, ix: ServiceIx, facts: &Facts) -> Vec<Standing> {
    service
        .endpoints()
        .map(|(endpoint_ix, endpoint)| {
            let own = facts.endpoints.get(&(ix, endpoint_ix)).copied().unwrap_or_default();
            let whole = facts.datacenters.get(&endpoint.datacenter).copied().unwrap_or_default();
            let forced = facts.forced_endpoints.get(&(ix, endpoint_ix));
            let forced = forced.or_else(|| facts.forced_datacenters.get(&endpoint.datacenter)).copied();
            let bar = match (own.max(whole), forced) {
                (Admin::Out, _) => Some(Bar::Out),
                (Admin::Draining, _) => Some(Bar::Draining),
                (Admin::In, Some(Forced::Down)) => Some(Bar::ForcedDown),
                (Admin::In, Some(Forced::Up) | None) => None,
            };
            let count = endpoint.data.address_count();
            let has_checks = endpoint.is_watched();
            let verdict = |address: usize| {
                let address = u16::try_from(address).expect("bounded by the addresses of an endpoint");
                facts.health.verdict(AddressKey { service: ix, endpoint: endpoint_ix, address }, has_checks)
            };
            let addresses = match forced {
                Some(Forced::Up) => vec![Verdict::of(State::Up); count],
                Some(Forced::Down) | None => (0..count).map(verdict).collect(),
            };
            let min = match &endpoint.data {
                crate::model::Data::Addresses { min, .. } => usize::from(*min).max(1),
                crate::model::Data::Cname(_) => 1,
            };
            Standing { bar, addresses, min }
        })
        .collect()
}
