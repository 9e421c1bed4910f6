//! The compiled services of one chunk, and how they are looked at.
//!
//! Everything is in arrays, addressed by 32-bit positions: heads (one a service), cells (one an outcome of
//! the service's map), plans, variants (two arrays: what [`pick`] reads lies apart from what an answer
//! copies), and one arena of finished records.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::location::LocationMap;
use crate::model::{DatacenterIx, EndpointIx, ServiceIx};
use crate::steer::{Mode, NoData, Source, Weighted, client_hash, hashed_len, pick};
use crate::wire::types::rtype;
use crate::wire::{Compact, RrsetRef};

/// Records in the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) at: u32,
    pub(super) len: u16,
    pub(super) count: u16,
}

/// One service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) first_cell: u32,
    /// Types that some variant of some plan answers.
    pub(super) types: Types,
    /// SOA for negative answers that every client gets, compressed.
    pub(super) soa: Span,
    /// SOA for negative answers that depend on the client, compressed.
    pub(super) client_soa: Span,
}

/// What a service can answer, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types(pub(super) u8);

impl Types {
    pub(super) const A: Types = Types(1);
    pub(super) const AAAA: Types = Types(2);
    pub(super) const HTTPS: Types = Types(4);
    pub(super) const CNAME: Types = Types(8);

    pub(super) fn with(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    fn has(self, other: Types) -> bool {
        self.0 & other.0 != 0
    }
}

/// What an outcome of the map gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) plan: u32,
    /// The route may choose by client hash: the scope is at least what is hashed, whatever is up now.
    pub(super) is_sticky: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlanEntry {
    pub(super) mode: Mode,
    /// Of its answers.
    pub(super) ttl: u32,
    pub(super) first_variant: u32,
    /// 0: no data.
    pub(super) variant_count: u32,
    pub(super) first_datacenter: u32,
    pub(super) datacenter_count: u16,
    pub(super) verdict: Result<Source, NoData>,
}

/// A finished answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) a: Span,
    pub(super) aaaa: Span,
    pub(super) https: Span,
    /// Set: it answers every type.
    pub(super) cname: Span,
    /// The endpoint named first.
    pub(super) endpoint: u16,
    /// How many more are named.
    pub(super) other_count: u16,
    /// The slot of the first.
    pub(super) slot: u32,
    /// Where those of the others are.
    pub(super) first_other: u32,
}

impl Body {
    /// Where the first of its records begins.
    pub(super) fn first_record(&self) -> u32 {
        let spans = [self.a, self.aaaa, self.https, self.cname];
        spans.iter().filter(|span| span.count > 0).map(|span| span.at).min().unwrap_or(0)
    }
}

/// Up to [`crate::limits::CHUNK_SERVICES`] services.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Chunk {
    pub(super) heads: Vec<Head>,
    /// Where each service begins, for whoever copies it: no answer looks there.
    begins: Vec<Extent>,
    pub(super) cells: Vec<Cell>,
    pub(super) plans: Vec<PlanEntry>,
    /// Those that each plan can answer with, ascending.
    pub(super) datacenters: Vec<DatacenterIx>,
    pub(super) weights: Vec<Weighted>,
    pub(super) bodies: Vec<Body>,
    /// Slots of endpoints that a body names beside its first.
    pub(super) others: Vec<u32>,
    pub(super) records: Vec<u8>,
}

/// Where a service's parts lie in each array of its chunk: one behind the other, in the order of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    cells: u32,
    plans: u32,
    datacenters: u32,
    variants: u32,
    others: u32,
    records: u32,
}

impl Span {
    fn moved(self, from: u32, to: u32) -> Span {
        if self.count == 0 { self } else { Span { at: self.at - from + to, ..self } }
    }
}

impl Chunk {
    /// Empty, with room for as much.
    pub(super) fn as_large_as(other: &Chunk) -> Chunk {
        Chunk {
            heads: Vec::with_capacity(other.heads.len()),
            begins: Vec::with_capacity(other.begins.len()),
            cells: Vec::with_capacity(other.cells.len()),
            plans: Vec::with_capacity(other.plans.len()),
            datacenters: Vec::with_capacity(other.datacenters.len()),
            weights: Vec::with_capacity(other.weights.len()),
            bodies: Vec::with_capacity(other.bodies.len()),
            others: Vec::with_capacity(other.others.len()),
            records: Vec::with_capacity(other.records.len()),
        }
    }

    /// The same, without room for more.
    pub(super) fn closed(mut self) -> Chunk {
        self.heads.shrink_to_fit();
        self.begins.shrink_to_fit();
        self.cells.shrink_to_fit();
        self.plans.shrink_to_fit();
        self.datacenters.shrink_to_fit();
        self.weights.shrink_to_fit();
        self.bodies.shrink_to_fit();
        self.others.shrink_to_fit();
        self.records.shrink_to_fit();
        self
    }

    /// A service begins here.
    pub(super) fn begin_service(&mut self) {
        let begin = self.end();
        self.begins.push(begin);
    }

    /// Where what is added next begins.
    fn end(&self) -> Extent {
        let len = |len: usize| u32::try_from(len).expect("positions in a chunk fit, or it would not have been made");
        Extent {
            cells: len(self.cells.len()),
            plans: len(self.plans.len()),
            datacenters: len(self.datacenters.len()),
            variants: len(self.weights.len()),
            others: len(self.others.len()),
            records: len(self.records.len()),
        }
    }

    /// Where the service at `position` begins.
    fn begin(&self, position: usize) -> Extent {
        self.begins.get(position).copied().unwrap_or_else(|| self.end())
    }

    /// Adds what the service at `position` of `old` has there; returns its head here.
    pub(super) fn copy(&mut self, old: &Chunk, position: usize) -> Head {
        let (from, until, to) = (old.begin(position), old.begin(position + 1), self.end());
        let range = |from: u32, until: u32| from as usize..until as usize;
        let cells = old.cells[range(from.cells, until.cells)].iter();
        self.cells.extend(cells.map(|cell| Cell { plan: cell.plan - from.plans + to.plans, ..*cell }));
        let plans = old.plans[range(from.plans, until.plans)].iter();
        self.plans.extend(plans.map(|plan| PlanEntry {
            first_variant: plan.first_variant - from.variants + to.variants,
            first_datacenter: plan.first_datacenter - from.datacenters + to.datacenters,
            ..*plan
        }));
        self.datacenters.extend_from_slice(&old.datacenters[range(from.datacenters, until.datacenters)]);
        self.weights.extend_from_slice(&old.weights[range(from.variants, until.variants)]);
        let moved = |span: Span| span.moved(from.records, to.records);
        let bodies = old.bodies[range(from.variants, until.variants)].iter();
        self.bodies.extend(bodies.map(|body| Body {
            a: moved(body.a),
            aaaa: moved(body.aaaa),
            https: moved(body.https),
            cname: moved(body.cname),
            first_other: body.first_other - from.others + to.others,
            ..*body
        }));
        self.others.extend_from_slice(&old.others[range(from.others, until.others)]);
        self.records.extend_from_slice(&old.records[range(from.records, until.records)]);
        let head = &old.heads[position];
        self.begins.push(to);
        Head { first_cell: to.cells, soa: moved(head.soa), client_soa: moved(head.client_soa), ..*head }
    }

    pub(super) fn memory_len(&self) -> usize {
        size_of_val(&*self.heads)
            + size_of_val(&*self.begins)
            + size_of_val(&*self.cells)
            + size_of_val(&*self.plans)
            + size_of_val(&*self.datacenters)
            + size_of_val(&*self.weights)
            + size_of_val(&*self.bodies)
            + size_of_val(&*self.others)
            + self.records.len()
    }

    #[inline(always)] // 10 instructions of each answer's
    fn rrset(&self, rtype: u16, ttl: u32, span: Span) -> Option<RrsetRef<'_>> {
        if span.count == 0 {
            return None;
        }
        let at = span.at as usize;
        let records = &self.records[at..at + usize::from(span.len)];
        Some(RrsetRef { rtype, ttl, count: span.count, records })
    }
}

/// Where a client is, as a service's map sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// An outcome of the map; 0 without a map.
    pub outcome: u16,
    /// The shortest ECS scope for which the set of possible answers is the same; 0 only when the policy
    /// never looks at the client.
    pub scope: u8,
}

/// A service of a table.
#[derive(Clone, Copy, Debug)]
pub struct ServiceView<'a> {
    pub(super) ix: ServiceIx,
    pub(super) head: &'a Head,
    pub(super) chunk: &'a Chunk,
    pub(super) map: Option<&'a LocationMap>,
}

impl<'a> ServiceView<'a> {
    /// Its index in [`crate::model::PolicySet::services`].
    pub fn ix(&self) -> ServiceIx {
        self.ix
    }

    /// True when some client could get an answer of that type: no data for others then depends on the
    /// client.
    pub fn may_answer(&self, rtype: u16) -> bool {
        let types = self.head.types;
        types.has(Types::CNAME)
            || match rtype {
                rtype::A => types.has(Types::A),
                rtype::AAAA => types.has(Types::AAAA),
                rtype::HTTPS => types.has(Types::HTTPS),
                _ => false,
            }
    }

    /// True when the answer is the same wherever the client is: location is not looked at, nor hashed.
    pub fn is_same_everywhere(&self) -> bool {
        self.map.is_none() && !self.chunk.cells[self.head.first_cell as usize].is_sticky
    }

    /// Where `client` is, for this service.
    #[inline(always)] // 30 instructions of each answer's
    pub fn locate(&self, client: IpAddr) -> Located {
        let (outcome, mut scope) = match self.map {
            Some(map) => {
                let leaf = map.find(client);
                (leaf.outcome, leaf.scope)
            }
            None => (0, 0),
        };
        if self.cell(outcome).is_sticky {
            scope = scope.max(sticky_scope(client));
        }
        Located { outcome, scope }
    }

    /// What a client there gets, by a random number; `client` is read for sticky choices alone. `None`: no
    /// data.
    #[inline(always)] // 30 instructions of each answer's
    pub fn choose(&self, located: Located, client: IpAddr, random: u64) -> Option<Choice<'a>> {
        let plan = self.plan(located.outcome);
        let first = plan.first_variant as usize;
        let weights = &self.chunk.weights[first..first + plan.variant_count as usize];
        if weights.is_empty() {
            return None;
        }
        let value = match plan.mode {
            Mode::One | Mode::Random => random,
            Mode::Hash => hash_of(client),
        };
        let variant = pick(plan.mode, weights, value);
        Some(Choice { chunk: self.chunk, ttl: plan.ttl, variant, body: &self.chunk.bodies[first + variant] })
    }

    /// One random number for each answer that chance could give a client there, in the order of the
    /// variants: what tests and previews ask with.
    pub fn randoms(&self, located: Located) -> Vec<u64> {
        let plan = self.plan(located.outcome);
        let first = plan.first_variant as usize;
        let weights = &self.chunk.weights[first..first + plan.variant_count as usize];
        match (plan.mode, weights.last()) {
            (Mode::Random, Some(last)) => {
                let middle = |weight: &Weighted| u128::from(weight.cumulative) * 2 - u128::from(weight.weight);
                let random = |weight| (middle(weight) << 63) / u128::from(last.cumulative);
                weights.iter().map(|weight| u64::try_from(random(weight)).unwrap_or(u64::MAX)).collect()
            }
            (Mode::One | Mode::Random | Mode::Hash, _) => vec![0],
        }
    }

    /// Why there is an answer, or none.
    pub fn verdict(&self, located: Located) -> Result<Source, NoData> {
        self.verdict_of(located.outcome)
    }

    /// The same, for all clients of an outcome.
    pub fn verdict_of(&self, outcome: u16) -> Result<Source, NoData> {
        self.plan(outcome).verdict
    }

    /// The data centres from which clients of an outcome can be answered, ascending; empty: no data.
    pub fn datacenters(&self, outcome: u16) -> &'a [DatacenterIx] {
        let plan = self.plan(outcome);
        let first = plan.first_datacenter as usize;
        &self.chunk.datacenters[first..first + usize::from(plan.datacenter_count)]
    }

    /// What clients of an outcome can be answered with: every endpoint that a variant names, with the variant's weight.
    /// One that several variants name comes several times.
    pub fn members(&self, outcome: u16) -> impl Iterator<Item = (EndpointIx, u32)> + use<'a> {
        let plan = self.plan(outcome);
        let first = plan.first_variant as usize;
        let range = first..first + plan.variant_count as usize;
        let (weights, bodies, others) =
            (&self.chunk.weights[range.clone()], &self.chunk.bodies[range], &self.chunk.others);
        weights.iter().zip(bodies).flat_map(move |(weighted, body)| {
            let first_other = body.first_other as usize;
            let others = &others[first_other..first_other + usize::from(body.other_count)];
            // Slots of a service follow each other as its endpoints do.
            let first_slot = body.slot - u32::from(body.endpoint);
            let endpoint = move |slot: &u32| u16::try_from(slot - first_slot).expect("a slot of this service");
            let named = std::iter::once(body.endpoint).chain(others.iter().map(endpoint));
            named.map(|endpoint| (EndpointIx(endpoint), weighted.weight))
        })
    }

    /// The plan of an outcome: those with the same number have the same.
    pub fn plan_number(&self, outcome: u16) -> u32 {
        self.cell(outcome).plan
    }

    /// The TTL of the answers to clients of an outcome, in seconds.
    pub fn ttl(&self, outcome: u16) -> u32 {
        self.plan(outcome).ttl
    }

    /// The SOA of a negative answer; `depends_on_client`: another client might get data.
    pub fn soa(&self, depends_on_client: bool) -> Option<Compact<'a>> {
        let span = if depends_on_client { self.head.client_soa } else { self.head.soa };
        let at = span.at as usize;
        Compact::read(&self.chunk.records[at..at + usize::from(span.len)])
    }

    /// Where the cell of a client is.
    pub(super) fn cell_at(&self, client: IpAddr) -> u32 {
        self.head.first_cell + u32::from(self.map.map_or(0, |map| map.find(client).outcome))
    }

    fn cell(&self, outcome: u16) -> &'a Cell {
        &self.chunk.cells[self.head.first_cell as usize + usize::from(outcome)]
    }

    fn plan(&self, outcome: u16) -> &'a PlanEntry {
        &self.chunk.plans[self.cell(outcome).plan as usize]
    }
}

/// The hash by which sticky choices are made.
#[inline(always)] // else the address is copied for every choice
fn hash_of(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(v4) => hash_of_v4(v4),
        IpAddr::V6(v6) => hash_of_v6(v6),
    }
}

#[inline(never)] // most choices are not sticky
fn hash_of_v4(client: Ipv4Addr) -> u64 {
    client_hash(&client.octets())
}

#[inline(never)]
fn hash_of_v6(client: Ipv6Addr) -> u64 {
    match client.to_ipv4_mapped() {
        Some(v4) => hash_of_v4(v4),
        None => client_hash(&client.octets()),
    }
}

/// The scope that a sticky answer has at least: what is hashed, in the bits of the address as it was given.
#[inline(always)] // as above
fn sticky_scope(client: IpAddr) -> u8 {
    match client {
        IpAddr::V4(_) => hashed_len(true),
        IpAddr::V6(v6) => sticky_scope_v6(v6),
    }
}

#[inline(never)]
fn sticky_scope_v6(client: Ipv6Addr) -> u8 {
    match client.to_ipv4_mapped() {
        Some(_) => 96 + hashed_len(true),
        None => hashed_len(false),
    }
}

/// A chosen variant.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    chunk: &'a Chunk,
    ttl: u32,
    variant: usize,
    body: &'a Body,
}

impl<'a> Choice<'a> {
    /// Its position among the plan's variants.
    pub fn variant(&self) -> usize {
        self.variant
    }

    /// The endpoint that it names first.
    pub fn endpoint(&self) -> EndpointIx {
        EndpointIx(self.body.endpoint)
    }

    /// The TTL of its answers, in seconds.
    #[inline]
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Where answers that name that endpoint are tallied: [`super::Tallies::slot`].
    #[inline]
    pub(super) fn slot(&self) -> u32 {
        self.body.slot
    }

    /// The same for all others that it names.
    #[inline]
    pub(super) fn other_slots(&self) -> &'a [u32] {
        match self.body.other_count {
            0 => &[],
            count => {
                let first = self.body.first_other as usize;
                &self.chunk.others[first..first + usize::from(count)]
            }
        }
    }

    /// Its CNAME, which answers every type.
    #[inline]
    pub fn cname(&self) -> Option<RrsetRef<'a>> {
        self.chunk.rrset(rtype::CNAME, self.ttl, self.body.cname)
    }

    /// Its records of a type, if the service decides that type.
    #[inline]
    pub fn rrset(&self, rtype: u16) -> Option<RrsetRef<'a>> {
        let span = match rtype {
            rtype::A => self.body.a,
            rtype::AAAA => self.body.aaaa,
            rtype::HTTPS => self.body.https,
            _ => return None,
        };
        self.chunk.rrset(rtype, self.ttl, span)
    }
}
