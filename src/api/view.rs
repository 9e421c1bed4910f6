//! What answers show of table and health: the one place where they become JSON.

mod waiting;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::context::View;
use crate::control::AddressStatus;
use crate::control::orders::{self, SwitchMode, What, policys_choice_elsewhere};
use crate::model::{
    AddressKey, Admin, Data, Datacenter, DatacenterId, DatacenterIx, EndpointIx, Failback, Forced, Override,
    OverrideKind, Scope, Service, ServiceIx, State,
};
use crate::steer::{Bar, Plan, Standing};
use crate::table::{RoutingTable, Served, elsewhere, regions, standings};

/// Endpoints of a data centre, over all services, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) up: usize,
    pub(super) down: usize,
    pub(super) unknown: usize,
    /// Of those that are up.
    pub(super) held: usize,
}

impl Counted {
    /// Up when some endpoint is; down when all are.
    pub(super) fn state(&self) -> State {
        match self {
            Counted { up: 1.., .. } => State::Up,
            Counted { unknown: 1.., .. } => State::Unknown,
            Counted { down: 1.., .. } => State::Down,
            Counted { .. } => State::Unknown,
        }
    }

    /// Those and these.
    pub(super) fn join(&mut self, other: &Counted) {
        self.up += other.up;
        self.down += other.down;
        self.unknown += other.unknown;
        self.held += other.held;
    }

    /// One more.
    pub(super) fn add(&mut self, standing: &Standing) {
        match standing.state() {
            State::Up => self.up += 1,
            State::Down => self.down += 1,
            State::Unknown => self.unknown += 1,
        }
        self.held += usize::from(standing.is_held());
    }
}

/// One for each data centre, by index.
pub(super) fn count_datacenters(table: &RoutingTable) -> Vec<Counted> {
    let policy = table.base().policy();
    let mut counted = vec![Counted::default(); policy.datacenters.len()];
    for (at, service) in policy.services.iter().enumerate() {
        let standings = standings(service, ServiceIx::from_at(at), table.facts());
        for ((_, endpoint), standing) in service.endpoints().zip(&standings) {
            counted[endpoint.datacenter.at()].add(standing);
        }
    }
    counted
}

pub(super) fn admin(admin: Admin) -> &'static str {
    match admin {
        Admin::In => "in",
        Admin::Draining => "draining",
        Admin::Out => "out",
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(super) fn time(at: SystemTime) -> Value {
    match Timestamp::try_from(at).and_then(|at| at.round(jiff::Unit::Millisecond)) {
        Ok(at) => at.to_string().into(),
        Err(_) => Value::Null,
    }
}

/// Services, latches and tiers that are named one by one where many could be meant.
const SERVICES_NAMED: usize = 100;

pub(super) fn time_or_null(at: Option<SystemTime>) -> Value {
    at.map_or(Value::Null, time)
}

impl View {
    /// What every answer about routing begins with.
    pub(super) fn head(&self) -> Map<String, Value> {
        let mut head = Map::new();
        head.insert("node".into(), self.node.clone().into());
        head.insert("generation".into(), self.table.generation().0.into());
        head.insert("revision".into(), self.table.revision().0.into());
        head
    }

    /// The same with more behind it.
    pub(super) fn with(&self, more: Value) -> Value {
        let mut all = self.head();
        if let Value::Object(more) = more {
            all.extend(more);
        }
        Value::Object(all)
    }

    fn datacenter(&self, ix: DatacenterIx) -> &Datacenter {
        &self.table.base().policy().datacenters[ix.at()]
    }

    fn short(&self, ix: DatacenterIx) -> &str {
        self.datacenter(ix).short_name()
    }

    /// Of a data centre that files may no longer name.
    fn short_of<'a>(&'a self, id: &'a DatacenterId) -> &'a str {
        let datacenter = self.table.base().policy().datacenters.iter().find(|dc| dc.id == *id);
        datacenter.map_or(id.as_str(), Datacenter::short_name)
    }

    /// The same for an id as orders hold it.
    pub(super) fn short_of_id<'a>(&'a self, id: &'a str) -> &'a str {
        let datacenter = self.table.base().policy().datacenters.iter().find(|dc| dc.id.as_str() == id);
        datacenter.map_or(id, Datacenter::short_name)
    }

    fn shorts<'a>(&self, all: impl IntoIterator<Item = &'a DatacenterIx>) -> Vec<String> {
        all.into_iter().map(|ix| self.short(*ix).to_owned()).collect()
    }

    fn services_of(&self, scope: &Scope) -> Value {
        let services = &self.table.base().policy().services;
        match &scope.services {
            None => Value::Null,
            Some(named) => named.iter().map(|ix| services[ix.at()].name.to_string()).collect::<Vec<_>>().into(),
        }
    }

    /// While this node believes no falls: why, and until when.
    pub(super) fn blindness(&self) -> Value {
        match &self.status.blindness {
            None => Value::Null,
            Some(blindness) => json!({
                "cause": blindness.cause,
                "since": time(blindness.since),
                "until": time(blindness.until),
                "held": blindness.held,
            }),
        }
    }

    /// Tiers that may not be entered now; those where clients would be otherwise first.
    pub(super) fn closed_tiers(&self) -> Vec<Value> {
        let tiers = self.status.waiting_tiers.iter().take(SERVICES_NAMED);
        tiers
            .map(|tier| {
                json!({
                    "service": tier.service.to_string(),
                    "region": tier.region.as_ref().map(|region| region.as_str()),
                    "tier": tier.tier + 1,
                    "why": tier.why,
                    "needed": tier.is_needed,
                    "opens_at": time_or_null(tier.opens_at),
                })
            })
            .collect()
    }

    /// The last moves of clients, the newest first.
    pub(super) fn moves(&self) -> Vec<Value> {
        let ids = |ids: &BTreeSet<DatacenterId>| ids.iter().map(|id| self.short_of(id).to_owned()).collect::<Vec<_>>();
        let moves = self.status.moves.iter().rev().take(SERVICES_NAMED);
        moves
            .map(|moved| {
                json!({
                    "at": time(moved.at),
                    "generation": moved.generation.0,
                    "service": moved.service.to_string(),
                    "region": moved.region.as_ref().map(|region| region.as_str()),
                    "from": ids(&moved.from),
                    "to": ids(&moved.to),
                    "why": moved.why,
                })
            })
            .collect()
    }

    /// A data centre, in short.
    pub(super) fn datacenter_brief(&self, ix: DatacenterIx, counted: &Counted) -> Value {
        let (table, datacenter) = (&self.table, self.datacenter(ix));
        let facts = table.facts();
        let groups = table.base().policy().groups.iter().filter(|group| group.members.contains(&ix));
        let latches: Vec<Value> = self
            .status
            .latches
            .iter()
            .filter(|latch| latch.datacenter == datacenter.id)
            .take(SERVICES_NAMED)
            .map(|latch| {
                json!({
                    "service": latch.service.to_string(),
                    "region": latch.region.as_ref().map(|region| region.as_str()),
                    "since": time(latch.since),
                    "why": latch.why,
                    "back": latch.is_back,
                    "up_since": time_or_null(latch.up_since),
                    "failback": failback(latch.failback),
                    "returns_at": time_or_null(latch.returns_at),
                    "waiting": latch.is_waiting,
                })
            })
            .collect();
        let latch_count = facts.latches.iter().filter(|latch| latch.datacenter == ix).count();
        json!({
            "dc": datacenter.short_name(),
            "id": datacenter.id.as_str(),
            "aliases": datacenter.aliases.iter().map(|alias| alias.as_str()).collect::<Vec<_>>(),
            "groups": groups.map(|group| group.id.as_str()).collect::<Vec<_>>(),
            "state": counted.state().as_str(),
            "endpoints": {
                "up": counted.up,
                "down": counted.down,
                "unknown": counted.unknown,
                "held": counted.held,
            },
            "admin": admin(facts.datacenters.get(&ix).copied().unwrap_or_default()),
            "forced": facts.forced_datacenters.get(&ix).copied().map(forced),
            "latch_count": latch_count,
            "latches": latches,
        })
    }

    /// A service with what each region is served; with `is_full` also the health of each address.
    pub(super) fn service(&self, ix: ServiceIx, is_full: bool) -> Value {
        let service = &self.table.base().policy().services[ix.at()];
        let standings = standings(service, ix, self.table.facts());
        let regions: Vec<Value> =
            regions(&self.table, ix).iter().map(|served| self.region(service, served, is_full)).collect();
        let endpoints: Vec<Value> = service
            .endpoints()
            .zip(&standings)
            .map(|((endpoint, _), standing)| self.endpoint(ix, endpoint, standing, is_full))
            .collect();
        let mut value = json!({
            "service": service.name.to_string(),
            "active_dc": self.active(ix).datacenter.map(|dc| self.short(dc).to_owned()),
            "needs_attention": needs_attention(&standings),
            "regions": regions,
            "endpoints": endpoints,
        });
        if is_full && let Value::Object(fields) = &mut value {
            fields.insert("ttl".into(), service.ttl.as_secs().into());
            fields.insert("origin".into(), format!("{}:{}", service.origin.file, service.origin.line).into());
        }
        value
    }

    fn region(&self, service: &Service, served: &Served, is_full: bool) -> Value {
        let region = served.region.map(|ix| self.table.base().policy().regions[ix.at()].id.to_string());
        let (source, why) = match &served.plan {
            Plan::Choose { source, .. } => (Some(source.as_str()), None),
            Plan::NoData(why) => (None, Some(why.as_str())),
        };
        let endpoints: Vec<&str> =
            served.endpoints().into_iter().map(|endpoint| service.endpoint(endpoint).id.as_str()).collect();
        let mut value = json!({
            "region": region,
            "dcs": self.shorts(&served.datacenters),
            "endpoints": endpoints,
            "source": source,
        });
        if let Value::Object(fields) = &mut value {
            if let Some(why) = why {
                fields.insert("no_data".into(), why.into());
            }
            if is_full {
                let reasons: Vec<String> = served.reasons.iter().map(ToString::to_string).collect();
                fields.insert("reasons".into(), reasons.into());
            }
        }
        value
    }

    /// One endpoint; with `is_full` what each observer says of each address.
    pub(super) fn endpoint(&self, ix: ServiceIx, endpoint: EndpointIx, standing: &Standing, is_full: bool) -> Value {
        let service = &self.table.base().policy().services[ix.at()];
        let this = service.endpoint(endpoint);
        let facts = self.table.facts();
        let addresses: Vec<Value> = addresses(&this.data)
            .into_iter()
            .zip(&standing.addresses)
            .enumerate()
            .map(|(at, (address, verdict))| {
                let at = u16::try_from(at).expect("bounded by the addresses of an endpoint");
                let key = AddressKey { service: ix, endpoint, address: at };
                let mut value = json!({
                    "address": address,
                    "state": verdict.state.as_str(),
                    "held": verdict.is_held,
                });
                if let (Some(known), Value::Object(fields)) = (self.known(key), &mut value) {
                    fields.insert("since".into(), time(known.since));
                    fields.insert("stale".into(), known.is_stale.into());
                    fields.insert("withheld".into(), known.is_withheld.into());
                    fields.insert("held_until".into(), time_or_null(known.held_until));
                    fields.insert("checks".into(), self.checks(service, key, is_full).into());
                }
                value
            })
            .collect();
        json!({
            "endpoint": this.id.as_str(),
            "dc": self.short(this.datacenter),
            "id": self.datacenter(this.datacenter).id.as_str(),
            "state": standing.state().as_str(),
            "watched": this.is_watched(),
            "held": standing.is_held(),
            "admin": standing.bar.map_or("in", |bar| match bar {
                Bar::Draining => "draining",
                Bar::Out => "out",
                Bar::ForcedDown => "in",
            }),
            "forced": facts.forced_endpoints.get(&(ix, endpoint)).copied().map(forced),
            "weight": this.weight.value(),
            "priority": this.priority,
            "addresses": addresses,
        })
    }

    /// The verdict on an address; `None`: nobody watches it, or the files have just changed.
    fn known(&self, key: AddressKey) -> Option<&AddressStatus> {
        let is_same = Arc::ptr_eq(&self.status.base, self.table.base());
        self.status.address(key).filter(|_| is_same)
    }

    /// Switches that stand, the latest first, and what expired ones have left behind.
    pub(super) fn switches(&self) -> Vec<Value> {
        let shorts = |ids: &BTreeSet<String>| ids.iter().map(|id| self.short_of_id(id).to_owned()).collect::<Vec<_>>();
        let switch = |standing: &orders::Standing| {
            let (mode, to, whom, from, except) = match &standing.what {
                What::Switch { to, mode: SwitchMode::Prefer, whom, from, except, .. } => {
                    ("prefer", Some(to), whom, from.as_ref(), except)
                }
                What::Switch { to, mode: SwitchMode::Pin, whom, from, except, .. } => {
                    ("pin", Some(to), whom, from.as_ref(), except)
                }
                What::Behind { whom, except, .. } => ("expired", None, whom, None, except),
                What::Out { .. }
                | What::Force { .. }
                | What::Weights { .. }
                | What::Ttl { .. }
                | What::Freeze
                | What::Gate { .. } => return None,
            };
            Some(json!({
                "revision": standing.revision,
                "mode": mode,
                "active_dc": to.map(|to| shorts(to).join(",")),
                "ids": to,
                "services": whom.services,
                "regions": whom.regions,
                "from": from.map(shorts),
                "except": except,
                "actor": standing.by.actor,
                "identity": standing.by.identity,
                "reason": standing.reason,
                "created": time(standing.created),
                "expires_at": time_or_null(standing.expires),
                "overdue": standing.overdue,
            }))
        };
        self.status.book.standing().rev().filter_map(switch).collect()
    }

    /// A standing order.
    pub(super) fn order(&self, order: &Override) -> Value {
        let (kind, to) = match &order.kind {
            OverrideKind::Pin { to, .. } => ("pin", Some(to)),
            OverrideKind::Prefer { to, .. } => ("switch", Some(to)),
            OverrideKind::Schedule { to } => ("schedule", Some(to)),
            OverrideKind::Weight { .. } => ("weight", None),
            OverrideKind::Ttl(_) => ("ttl", None),
        };
        json!({
            "kind": kind,
            "to": to.map(|to| self.shorts(to)),
            "services": self.services_of(&order.scope),
            "revision": order.revision.0,
            "actor": order.actor,
            "reason": order.reason,
            "expires_at": time_or_null(order.expires_at),
        })
    }

    /// The data centre that a client of no listed region gets of a service.
    pub(super) fn active(&self, ix: ServiceIx) -> Active {
        let service = &self.table.base().policy().services[ix.at()];
        let served = elsewhere(&self.table, ix);
        // What can be answered, by the lowest priority number; at equal ones by id, which is the order of endpoints.
        let first = served.endpoints().into_iter().min_by_key(|endpoint| service.endpoint(*endpoint).priority);
        let datacenter = first.map(|endpoint| service.endpoint(endpoint).datacenter);
        let ordered = self.switch_of(ix).filter(|to| !datacenter.is_some_and(|dc| to.contains(&dc))).cloned();
        let source = match served.plan {
            Plan::Choose { source, .. } => source.as_str(),
            Plan::NoData(_) => "none",
        };
        Active { datacenter, source, ordered }
    }

    /// Where the standing switch for elsewhere of a service leads: the narrowest, then the latest.
    fn switch_of(&self, ix: ServiceIx) -> Option<&BTreeSet<DatacenterIx>> {
        let facts = self.table.facts();
        let service = &self.table.base().policy().services[ix.at()];
        let has = |to: &BTreeSet<DatacenterIx>| service.endpoints.iter().any(|one| to.contains(&one.datacenter));
        let switches = facts.overrides.iter().filter(|order| facts.applies(order, ix, None));
        let switches = switches.filter_map(|order| match &order.kind {
            OverrideKind::Pin { to, from } => Some((1, order, to, from)),
            OverrideKind::Prefer { to, from, .. } => Some((0, order, to, from)),
            OverrideKind::Schedule { .. } | OverrideKind::Weight { .. } | OverrideKind::Ttl(_) => None,
        });
        // Who has no endpoint there stays on policy; so do clients whom policy gives something else than `from`.
        let switches = switches.filter(|(_, _, to, from)| {
            let is_meant = |from: &BTreeSet<DatacenterIx>| {
                policys_choice_elsewhere(&self.table, ix).is_some_and(|dc| from.contains(&dc))
            };
            has(to) && from.as_ref().is_none_or(is_meant)
        });
        switches
            .max_by_key(|(is_pin, order, ..)| (*is_pin, order.scope.narrowness(), order.revision))
            .map(|(_, _, to, _)| to)
    }

    /// Services that a standing switch covers; all when none stands.
    pub(super) fn concerned(&self) -> Vec<ServiceIx> {
        let all: Vec<ServiceIx> = (0..self.table.base().policy().services.len()).map(ServiceIx::from_at).collect();
        let covered: Vec<ServiceIx> = all.iter().copied().filter(|ix| self.is_switched(*ix)).collect();
        if covered.is_empty() { all } else { covered }
    }

    /// A switch stands for elsewhere of the service, and the service has an endpoint where it leads.
    fn is_switched(&self, ix: ServiceIx) -> bool {
        self.switch_of(ix).is_some()
    }

    pub(super) fn active_fields(&self, active: &Active) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("dc".into(), active.datacenter.map(|dc| self.short(dc)).into());
        fields.insert("id".into(), active.datacenter.map(|dc| self.datacenter(dc).id.as_str()).into());
        fields.insert("source".into(), active.source.into());
        let ordered = active.ordered.as_ref().map(|to| self.shorts(to).join(","));
        fields.insert("ordered".into(), ordered.into());
        fields
    }
}

/// What really serves a client of no listed region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Active {
    pub(super) datacenter: Option<DatacenterIx>,
    pub(super) source: &'static str,
    /// Where a standing switch leads, when that is not what answers.
    pub(super) ordered: Option<BTreeSet<DatacenterIx>>,
}

fn forced(forced: Forced) -> &'static str {
    match forced {
        Forced::Up => "up",
        Forced::Down => "down",
    }
}

/// Some endpoint is not plainly up, or is barred.
pub(super) fn needs_attention(standings: &[Standing]) -> bool {
    standings.iter().any(|standing| standing.bar.is_some() || standing.is_held() || standing.state() != State::Up)
}

/// The addresses of an endpoint, in the order of its verdicts.
pub(super) fn addresses(data: &Data) -> Vec<String> {
    match data {
        Data::Addresses { v4, v6, .. } => {
            v4.iter().map(ToString::to_string).chain(v6.iter().map(ToString::to_string)).collect()
        }
        Data::Cname(name) => vec![name.to_string()],
    }
}

/// True when an endpoint has that address.
pub(super) fn has_address(data: &Data, address: IpAddr) -> bool {
    match (data, address) {
        (Data::Addresses { v4, .. }, IpAddr::V4(address)) => v4.contains(&address),
        (Data::Addresses { v6, .. }, IpAddr::V6(address)) => v6.contains(&address),
        (Data::Cname(_), _) => false,
    }
}

fn failback(failback: Failback) -> String {
    match failback {
        Failback::Manual => "manual".to_owned(),
        Failback::Auto => "auto".to_owned(),
        Failback::After(wait) => format!("{}s", wait.as_secs()),
    }
}
