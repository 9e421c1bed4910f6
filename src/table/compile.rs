//! Compiling: base × facts → table. A pure function.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use super::base::Base;
use super::chunk::{Cell, Chunk, Head, PlanEntry, ServiceView, Span};
use super::planning::Planning;
use super::render::{Renderer, possible_types};
use crate::limits::{CHUNK_SERVICES, CLIENT_NODATA_TTL_MAX_S};
use crate::model::{
    AddressKey, Admin, DatacenterIx, EndpointIx, Facts, Forced, Generation, OverrideKind, RegionIx, Revision, Service,
    ServiceIx, Settings, State, Verdict,
};
use crate::steer::{self, Bar, Plan, Standing, Weighted, member_key};
use crate::wire::Compact;
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

/// Marks some services of a table. Tables in which they have the same mark know the same of them, orders and health;
/// what differs between tables is another mark. Keeps nothing of a table in memory.
#[derive(Clone, Debug)]
pub struct Mark(Weak<Chunk>);

impl PartialEq for Mark {
    fn eq(&self, other: &Mark) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl RoutingTable {
    /// A table that serves nothing: every question is refused.
    pub fn empty() -> RoutingTable {
        RoutingTable::compile(&Arc::new(Base::empty()), Arc::new(Facts::all_up()), Generation(0))
    }

    /// Compiles. Equal arguments give tables that answer alike.
    pub fn compile(base: &Arc<Base>, facts: Arc<Facts>, generation: Generation) -> RoutingTable {
        let count = base.policy.services.len();
        let mut planning = Planning::new(base, &facts);
        let chunks = (0..count.div_ceil(CHUNK_SERVICES))
            .map(|at| Arc::new(compile_chunk(&mut planning, base, &facts, services_of(at, count))))
            .collect();
        drop(planning);
        RoutingTable { generation, base: Arc::clone(base), chunks, facts }
    }

    /// Compiles anew what the services in `touched` get; all others keep what they have here. `facts` must differ
    /// from this table's in nothing that is about other services. The same table as a full compile gives.
    pub fn recompile(&self, facts: Arc<Facts>, touched: &BTreeSet<ServiceIx>, generation: Generation) -> RoutingTable {
        let count = self.base.policy.services.len();
        let stale: BTreeSet<usize> = touched.iter().map(|service| service.at() / CHUNK_SERVICES).collect();
        let mut planning = Planning::new(&self.base, &facts);
        let chunk = |(at, old): (usize, &Arc<Chunk>)| match stale.contains(&at) {
            true => {
                let recompiled = |ix: ServiceIx| touched.contains(&ix);
                Arc::new(recompile_chunk(&mut planning, &self.base, &facts, services_of(at, count), old, recompiled))
            }
            false => Arc::clone(old),
        };
        let chunks = self.chunks.iter().enumerate().map(chunk).collect();
        drop(planning);
        RoutingTable { generation, base: Arc::clone(&self.base), chunks, facts }
    }

    /// True when both answer every question alike: same files, same compiled services.
    pub fn answers_like(&self, other: &RoutingTable) -> bool {
        Arc::ptr_eq(&self.base, &other.base)
            && self.chunks.len() == other.chunks.len()
            && self.chunks.iter().zip(&other.chunks).all(|(a, b)| Arc::ptr_eq(a, b) || a == b)
    }

    /// All services, in parts: which they are, by index, and what marks them.
    pub fn parts(&self) -> impl Iterator<Item = (std::ops::Range<usize>, Mark)> + '_ {
        let count = self.base.policy.services.len();
        self.chunks.iter().enumerate().map(move |(at, chunk)| (services_of(at, count), Mark(Arc::downgrade(chunk))))
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

fn compile_chunk<'a>(
    planning: &mut Planning<'a>,
    base: &'a Base,
    facts: &Facts,
    services: std::ops::Range<usize>,
) -> Chunk {
    let mut chunk = Chunk::default();
    for at in services {
        let ix = ServiceIx::from_at(at);
        let head = compile_service(planning, base, facts, ix, &mut chunk);
        chunk.heads.push(head);
    }
    chunk.closed()
}

/// What is not touched is copied: it is as long as ever, and lies where a full compile would put it.
fn recompile_chunk<'a>(
    planning: &mut Planning<'a>,
    base: &'a Base,
    facts: &Facts,
    services: std::ops::Range<usize>,
    old: &Chunk,
    is_touched: impl Fn(ServiceIx) -> bool,
) -> Chunk {
    let mut chunk = Chunk::as_large_as(old);
    for (position, at) in services.enumerate() {
        let ix = ServiceIx::from_at(at);
        let head = match is_touched(ix) {
            true => compile_service(planning, base, facts, ix, &mut chunk),
            false => chunk.copy(old, position),
        };
        chunk.heads.push(head);
    }
    chunk
}

fn compile_service<'a>(
    planning: &mut Planning<'a>,
    base: &'a Base,
    facts: &Facts,
    ix: ServiceIx,
    chunk: &mut Chunk,
) -> Head {
    let service = &base.policy.services[ix.at()];
    chunk.begin_service();
    let first_cell = u32::try_from(chunk.cells.len()).expect("bounded by the outcomes of a chunk");
    let asking = planning.of(ix, standings(service, ix, facts));
    // Of this service: its plans, and the cells of what is alike.
    let mut plans: HashMap<(u32, u32), u32> = HashMap::new();
    let first_slot = base.tallies().slot(ix, EndpointIx(0));
    let mut cells: Vec<Vec<(u32, Cell)>> = vec![Vec::new(); base.stickiness(ix).len()];
    for (location, kind) in base.outcomes(ix) {
        let route = service.policy.route(location.route);
        let circumstances = planning.circumstances(&asking, route);
        let kind = usize::from(*kind);
        let known = cells[kind].iter().find(|(of, _)| *of == circumstances);
        let cell = known.map(|(_, cell)| *cell).unwrap_or_else(|| {
            let ttl = ttl(service, ix, route.region, facts);
            let number = planning.plan(&asking, location, circumstances);
            let plan = *plans
                .entry((number, ttl))
                .or_insert_with(|| add_plan(service, first_slot, ttl, &planning.get(number), chunk));
            let cell = Cell { plan, is_sticky: base.stickiness(ix)[kind] };
            cells[kind].push((circumstances, cell));
            cell
        });
        chunk.cells.push(cell);
    }
    let types = possible_types(service);
    // A service has one SOA for each kind of negative answer, so it has the shortest TTL of all regions'.
    let ttls = service.policy.all_routes().map(|route| ttl(service, ix, route.region, facts));
    let ttl = ttls.min().unwrap_or(service.ttl.as_secs());
    let soa = soa(base, service, ttl, chunk);
    let client_soa = self::soa(base, service, ttl.min(CLIENT_NODATA_TTL_MAX_S), chunk);
    Head { first_cell, types, soa, client_soa }
}

fn add_plan(service: &Service, first_slot: u32, ttl: u32, plan: &Plan, chunk: &mut Chunk) -> u32 {
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
        let mut body = Renderer { service, ttl, records: &mut chunk.records }.body(&variant.endpoints);
        body.slot = first_slot + u32::from(body.endpoint);
        body.first_other = u32::try_from(chunk.others.len()).expect("bounded by the variants of a chunk");
        chunk.others.extend(variant.endpoints.iter().skip(1).map(|(other, _)| first_slot + u32::from(other.0)));
        body.other_count = u16::try_from(variant.endpoints.len().saturating_sub(1)).expect("at most 255");
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
fn soa(base: &Base, service: &Service, ttl_max: u32, chunk: &mut Chunk) -> Span {
    let Find::Node { node } = base.zones.find(service.name.as_wire()) else { return Span::default() };
    let zone = node.zone();
    let ttl = zone.negative_ttl().min(ttl_max);
    let Some((_, rdata)) = zone.soa().records().next() else { return Span::default() };
    let mut rdata = rdata.to_vec();
    let minimum_at = rdata.len().saturating_sub(4);
    rdata[minimum_at..].copy_from_slice(&ttl.to_be_bytes());
    let at = chunk.records.len();
    Compact::render(zone.apex(), rtype::SOA, ttl, &rdata, &mut chunk.records);
    // Two names and some numbers; and a chunk's records are counted with 32 bits throughout.
    Span { at: at as u32, len: (chunk.records.len() - at) as u16, count: 1 }
}

/// What the facts say of each endpoint of a service.
pub fn standings(service: &Service, ix: ServiceIx, facts: &Facts) -> Vec<Standing> {
    service
        .endpoints()
        .map(|(endpoint_ix, endpoint)| {
            let own = facts.endpoints.get(&(ix, endpoint_ix)).copied().unwrap_or_default();
            let whole = facts.datacenters.get(&endpoint.datacenter).copied().unwrap_or_default();
            let forced = facts.forced_endpoints.get(&(ix, endpoint_ix)).copied();
            // What was forced down never answers, neither as a part nor with the whole.
            let forced = match (forced, facts.forced_datacenters.get(&endpoint.datacenter).copied()) {
                (Some(Forced::Down), _) | (_, Some(Forced::Down)) => Some(Forced::Down),
                (own, whole) => own.or(whole),
            };
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
