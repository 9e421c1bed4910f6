//! From the names that people use to ids: an order becomes a deed.
//!
//! A data centre is named by its id, an alias, a group, or an unambiguous leading word of its id, whatever the case. A
//! switch without services is for all that have an endpoint in its target, present and future; named services are all
//! or nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::order::{Deed, ELSEWHERE, Left, Order, Subject, SwitchMode, Unit, What, Whom};
use super::refused::OrderRefused;
use crate::limits;
use crate::model::{
    DatacenterIx, EndpointIx, Facts, Name, NamedDatacenters, PolicySet, RegionIx, Service, ServiceIx, Ttl, Weight,
    resolve_datacenter,
};
use crate::steer::{self, Plan};
use crate::table::{RoutingTable, standings};

/// An order whose names are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What to do.
    pub deed: Deed,
    /// Services that it may concern.
    pub services: BTreeSet<ServiceIx>,
    /// Services without an endpoint in a switch's target: they stay on policy.
    pub skipped: Vec<ServiceIx>,
    /// Services were named: all or nothing.
    pub is_named: bool,
    /// What names meant, for whoever reloads the files later.
    pub called: BTreeMap<String, BTreeSet<String>>,
}

/// Resolves every name. `table` is the one that answers now: what a switch leaves is read from it.
///
/// # Errors
/// When a name means nothing, or several things; when a named service has no endpoint in the target; when a number is
/// out of its range.
pub fn resolve(order: &Order, table: &RoutingTable, book: &Book) -> Result<Resolved, OrderRefused> {
    let mut names = Names { policy: table.base().policy(), called: BTreeMap::new() };
    let mut resolved = names.order(order, table, book)?;
    resolved.called = names.called;
    Ok(resolved)
}

/// What becomes of standing orders when these files are read in place of those: one sentence for each name that a
/// standing order uses and that means nothing any more, or something else.
pub fn misnamed(book: &Book, policy: &PolicySet) -> Vec<String> {
    let mut found = Vec::new();
    let mut names = Names { policy, called: BTreeMap::new() };
    for standing in book.standing() {
        let mut say = |what: String| {
            let (kind, revision, actor) = (standing.what.as_str(), standing.revision, &standing.by.actor);
            found.push(format!("the {kind} of revision {revision}, by {actor}, {what}"));
        };
        for (name, meant) in &standing.called {
            match names.datacenters(name) {
                Ok(now) if now == *meant => {}
                Ok(now) => say(format!(
                    "says {name:?} and means {}, which would now be {}",
                    super::book::list(meant),
                    super::book::list(&now)
                )),
                Err(error) => say(format!("says {name:?}: {error}")),
            }
        }
        let (datacenters, services, regions, endpoints) = named_in(&standing.what);
        for id in datacenters {
            if names.datacenter_ix(&id).is_none() {
                say(format!("names the data centre {id}, which is gone"));
            }
        }
        for name in services {
            if names.service_ix(&name).is_none() {
                say(format!("names the service {name}, which is gone"));
            }
        }
        for id in regions.into_iter().filter(|id| id != ELSEWHERE) {
            if names.region_ix(&id).is_none() {
                say(format!("names the region {id}, which is gone"));
            }
        }
        for (service, id) in endpoints {
            if names.endpoint_ix(&service, &id).is_none() {
                say(format!("names the endpoint {id} of {service}, which is gone"));
            }
        }
    }
    found
}

type NamedIn = (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>, BTreeSet<(String, String)>);

/// Data centres, services, regions and endpoints that a standing order names. What it left is not among them: that a
/// data centre is gone is no reason to keep it.
fn named_in(what: &What) -> NamedIn {
    let (mut datacenters, mut services, mut regions, mut endpoints) = NamedIn::default();
    let mut add_whom = |whom: &Whom| {
        services.extend(whom.services.iter().flatten().cloned());
        regions.extend(whom.regions.iter().flatten().cloned());
    };
    let mut units: Vec<&Unit> = Vec::new();
    match what {
        What::Switch { to, whom, from, .. } => {
            datacenters.extend(to.iter().chain(from.iter().flatten()).cloned());
            add_whom(whom);
        }
        What::Behind { whom, .. } => add_whom(whom),
        What::Ttl { whom, datacenters: there, .. } => {
            datacenters.extend(there.iter().flatten().cloned());
            add_whom(whom);
        }
        What::Out { units: of } | What::Force { units: of, .. } => units.extend(of),
        What::Weights { values } => units.extend(values.iter().map(|(unit, _)| unit)),
        What::Freeze | What::Gate { .. } => {}
    }
    for unit in units {
        match unit {
            Unit::Datacenter(id) => drop(datacenters.insert(id.clone())),
            Unit::Endpoint(service, id) => drop(endpoints.insert((service.clone(), id.clone()))),
        }
    }
    (datacenters, services, regions, endpoints)
}

/// From names to indices and ids, in one set of files.
pub(super) struct Names<'a> {
    pub(super) policy: &'a PolicySet,
    called: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Names<'a> {
    pub(super) fn of(policy: &'a PolicySet) -> Names<'a> {
        Names { policy, called: BTreeMap::new() }
    }

    pub(super) fn datacenter_ix(&self, id: &str) -> Option<DatacenterIx> {
        let at = self.policy.datacenters.binary_search_by(|dc| dc.id.as_str().cmp(id));
        // In order of ids; should that ever change, slower is better than wrong.
        let at = at.ok().or_else(|| self.policy.datacenters.iter().position(|dc| dc.id.as_str() == id));
        at.map(DatacenterIx::from_at)
    }

    pub(super) fn datacenter_ixs(&self, ids: &BTreeSet<String>) -> BTreeSet<DatacenterIx> {
        ids.iter().filter_map(|id| self.datacenter_ix(id)).collect()
    }

    pub(super) fn service_ix(&self, name: &str) -> Option<ServiceIx> {
        let name = Name::parse(name).ok()?;
        let at = self.policy.services.binary_search_by(|service| service.name.cmp(&name));
        let at = at.ok().or_else(|| self.policy.services.iter().position(|service| service.name == name));
        at.map(ServiceIx::from_at)
    }

    pub(super) fn region_ix(&self, id: &str) -> Option<RegionIx> {
        self.policy.regions.iter().position(|region| region.id.as_str() == id).map(RegionIx::from_at)
    }

    pub(super) fn endpoint_ix(&self, service: &str, id: &str) -> Option<(ServiceIx, EndpointIx)> {
        let service = self.service_ix(service)?;
        let mut endpoints = self.service(service).endpoints();
        Some((service, endpoints.find(|(_, endpoint)| endpoint.id.as_str() == id)?.0))
    }

    pub(super) fn service(&self, ix: ServiceIx) -> &'a Service {
        &self.policy.services[ix.at()]
    }

    pub(super) fn id(&self, ix: DatacenterIx) -> String {
        self.policy.datacenters[ix.at()].id.to_string()
    }

    pub(super) fn name(&self, ix: ServiceIx) -> String {
        self.service(ix).name.to_string()
    }

    pub(super) fn region(&self, ix: Option<RegionIx>) -> String {
        ix.map_or_else(|| ELSEWHERE.to_owned(), |ix| self.policy.regions[ix.at()].id.to_string())
    }

    /// Ids of the data centres that somebody means.
    fn datacenters(&mut self, name: &str) -> Result<BTreeSet<String>, OrderRefused> {
        let ids = match resolve_datacenter(&self.policy.datacenters, &self.policy.groups, name) {
            NamedDatacenters::One(one) => BTreeSet::from([self.id(one)]),
            NamedDatacenters::Group(group) => {
                self.policy.groups[group].members.iter().map(|member| self.id(*member)).collect()
            }
            NamedDatacenters::Ambiguous(candidates) => {
                let candidates = candidates.into_iter().map(|ix| self.id(ix)).collect();
                return Err(OrderRefused::AmbiguousDatacenter { name: name.to_owned(), candidates });
            }
            NamedDatacenters::Unknown => {
                let short = self.policy.datacenters.iter().flat_map(|dc| [dc.id.as_str(), dc.short_name()]);
                let groups = self.policy.groups.iter().map(|group| group.id.as_str());
                let nearest = nearest(name, short.chain(groups));
                return Err(OrderRefused::UnknownDatacenter { name: name.to_owned(), nearest });
            }
        };
        self.called.insert(name.to_lowercase(), ids.clone());
        Ok(ids)
    }

    fn all_datacenters(&mut self, names: &[String]) -> Result<BTreeSet<String>, OrderRefused> {
        let mut all = BTreeSet::new();
        for name in names.iter().flat_map(|name| name.split(',')).map(str::trim).filter(|name| !name.is_empty()) {
            all.extend(self.datacenters(name)?);
        }
        if all.is_empty() { Err(OrderRefused::NamesNothing("data centre")) } else { Ok(all) }
    }

    fn services(&self, names: &BTreeSet<String>) -> Result<BTreeSet<ServiceIx>, OrderRefused> {
        if names.is_empty() {
            return Err(OrderRefused::NamesNothing("service"));
        }
        if names.len() > limits::ORDER_SERVICES_MAX {
            return Err(OrderRefused::TooManyNames(limits::ORDER_SERVICES_MAX));
        }
        names.iter().map(|name| self.one_service(name)).collect()
    }

    fn one_service(&self, name: &str) -> Result<ServiceIx, OrderRefused> {
        self.service_ix(name).ok_or_else(|| OrderRefused::UnknownService(name.to_owned()))
    }

    fn all_services(&self) -> BTreeSet<ServiceIx> {
        (0..self.policy.services.len()).map(ServiceIx::from_at).collect()
    }

    /// Canonical names, and the services meant.
    fn whom(&self, whom: &Whom) -> Result<(Whom, BTreeSet<ServiceIx>), OrderRefused> {
        let services = match &whom.services {
            Some(names) => self.services(names)?,
            None => self.all_services(),
        };
        let names = whom.services.as_ref().map(|_| services.iter().map(|ix| self.name(*ix)).collect());
        let regions = match &whom.regions {
            None => None,
            Some(regions) if regions.is_empty() => return Err(OrderRefused::NamesNothing("region")),
            Some(regions) => {
                let used: BTreeSet<&str> = services
                    .iter()
                    .flat_map(|ix| self.service(*ix).policy.routes.iter().filter_map(|route| route.region))
                    .map(|ix| self.policy.regions[ix.at()].id.as_str())
                    .chain([ELSEWHERE])
                    .collect();
                let one = |name: &String| {
                    let known = used.iter().find(|id| id.to_lowercase() == name.to_lowercase());
                    known.map(|id| (*id).to_owned()).ok_or_else(|| OrderRefused::UnknownRegion {
                        name: name.clone(),
                        nearest: nearest(name, used.iter().copied()),
                    })
                };
                Some(regions.iter().map(one).collect::<Result<BTreeSet<String>, OrderRefused>>()?)
            }
        };
        Ok((Whom { services: names, regions }, services))
    }

    fn units(&mut self, subject: &Subject) -> Result<(BTreeSet<Unit>, BTreeSet<ServiceIx>), OrderRefused> {
        match subject {
            Subject::Datacenters { names, services: None } => {
                let ids = self.all_datacenters(names)?;
                let there = self.there(&ids, &self.all_services());
                Ok((ids.into_iter().map(Unit::Datacenter).collect(), there))
            }
            Subject::Datacenters { names, services: Some(services) } => {
                let ids = self.all_datacenters(names)?;
                let services = self.services(services)?;
                self.must_be_there(&services, &ids, &names.join(", "))?;
                let datacenters = self.datacenter_ixs(&ids);
                let policy = self.policy;
                let of = |ix: ServiceIx| {
                    let service = &policy.services[ix.at()];
                    let there = service.endpoints.iter().filter(|one| datacenters.contains(&one.datacenter));
                    there.map(|one| Unit::Endpoint(service.name.to_string(), one.id.to_string())).collect::<Vec<_>>()
                };
                Ok((services.iter().copied().flat_map(&of).collect(), services))
            }
            Subject::Endpoints { service, endpoints } => {
                let ix = self.one_service(service)?;
                let (this, name) = (self.service(ix), self.name(ix));
                let unit = |id: &str| Unit::Endpoint(name.clone(), id.to_owned());
                for id in endpoints {
                    if !this.endpoints.iter().any(|endpoint| endpoint.id.as_str() == id) {
                        return Err(OrderRefused::UnknownEndpoint { service: name, endpoint: id.clone() });
                    }
                }
                let units = match endpoints.is_empty() {
                    true => this.endpoints.iter().map(|endpoint| unit(endpoint.id.as_str())).collect(),
                    false => endpoints.iter().map(|id| unit(id)).collect(),
                };
                Ok((units, BTreeSet::from([ix])))
            }
        }
    }

    fn is_there(&self, service: ServiceIx, datacenters: &BTreeSet<DatacenterIx>) -> bool {
        self.service(service).endpoints.iter().any(|endpoint| datacenters.contains(&endpoint.datacenter))
    }

    fn there(&self, ids: &BTreeSet<String>, services: &BTreeSet<ServiceIx>) -> BTreeSet<ServiceIx> {
        let datacenters = self.datacenter_ixs(ids);
        services.iter().copied().filter(|ix| self.is_there(*ix, &datacenters)).collect()
    }

    fn must_be_there(
        &self,
        services: &BTreeSet<ServiceIx>,
        ids: &BTreeSet<String>,
        target: &str,
    ) -> Result<(), OrderRefused> {
        let there = self.there(ids, services);
        let absent: Vec<String> = services.difference(&there).map(|ix| self.name(*ix)).collect();
        match absent.is_empty() {
            true => Ok(()),
            false => Err(OrderRefused::NotThere { target: target.to_owned(), services: absent }),
        }
    }

    fn order(&mut self, order: &Order, table: &RoutingTable, book: &Book) -> Result<Resolved, OrderRefused> {
        let mut is_named = false;
        let mut skipped = Vec::new();
        let (deed, services) = match order {
            Order::Switch { to: name, mode, whom, from } => {
                let to = self.all_datacenters(std::slice::from_ref(name))?;
                let from = from.as_ref().map(|from| self.all_datacenters(from)).transpose()?;
                let (whom, meant) = self.whom(whom)?;
                is_named = whom.services.is_some();
                if is_named {
                    self.must_be_there(&meant, &to, name)?;
                }
                let services = self.there(&to, &meant);
                if services.is_empty() {
                    return Err(OrderRefused::NotThere { target: name.clone(), services: vec!["any service".into()] });
                }
                skipped = meant.difference(&services).copied().collect();
                match self.home(&to, &services).filter(|_| *mode == SwitchMode::Prefer && from.is_none()) {
                    Some(home) => (Deed::ClearSwitch { whom, home: Some(home) }, services),
                    None => {
                        let left = left(self, table, book, &to, &services);
                        (Deed::Switch { to, mode: *mode, whom, from, left }, services)
                    }
                }
            }
            Order::ClearSwitch { whom } => {
                let (whom, services) = self.whom(whom)?;
                (Deed::ClearSwitch { whom, home: None }, services)
            }
            Order::Drain { subject } => {
                let (units, services) = self.units(subject)?;
                (Deed::Drain { units }, services)
            }
            Order::Undrain { subject } => {
                let (units, services) = self.units(subject)?;
                self.must_be_whole(&units, book)?;
                (Deed::Undrain { units }, services)
            }
            Order::Force { subject, to } => {
                let (units, services) = self.units(subject)?;
                (Deed::Force { units, to: *to }, services)
            }
            Order::Failback { datacenters, whom } => {
                let datacenters = self.all_datacenters(datacenters)?;
                let (whom, services) = self.whom(whom)?;
                (Deed::Failback { datacenters, whom }, services)
            }
            Order::Weights { values } => self.weights(values)?,
            Order::Ttl { whom, datacenters, seconds } => {
                let (whom, meant) = self.whom(whom)?;
                let datacenters = datacenters.as_ref().map(|names| self.all_datacenters(names)).transpose()?;
                let services = match &datacenters {
                    Some(ids) => self.there(ids, &meant),
                    None => meant,
                };
                if let Some(seconds) = seconds {
                    Ttl::from_secs(u64::from(*seconds))
                        .map_err(|error| OrderRefused::OutOfRange(format!("TTL: {error}")))?;
                }
                (Deed::Ttl { whom, datacenters, seconds: *seconds }, services)
            }
            Order::Freeze => (Deed::Freeze, BTreeSet::new()),
            // What had been held back moves now.
            Order::Unfreeze => (Deed::Unfreeze, self.all_services()),
            Order::Gate { is_open, role } => (Deed::Gate { is_open: *is_open, role: role.clone() }, BTreeSet::new()),
            Order::Undo { revision } => {
                let revision = revision.or_else(|| book.last_past()).ok_or(OrderRefused::NothingToUndo(0))?;
                (Deed::Undo { revision }, self.all_services())
            }
            Order::Expire { revision } => (Deed::Expire { revision: *revision }, self.all_services()),
        };
        Ok(Resolved { deed, services, skipped, is_named, called: BTreeMap::new() })
    }

    fn weights(&mut self, values: &[(Subject, Option<u32>)]) -> Result<(Deed, BTreeSet<ServiceIx>), OrderRefused> {
        let (mut all, mut services) = (BTreeMap::new(), BTreeSet::new());
        for (subject, weight) in values {
            if let Some(weight) = weight {
                Weight::new(u64::from(*weight))
                    .map_err(|error| OrderRefused::OutOfRange(format!("weight: {error}")))?;
            }
            let (units, of) = self.units(subject)?;
            all.extend(units.into_iter().map(|unit| (unit, *weight)));
            services.extend(of);
        }
        match all.is_empty() {
            true => Err(OrderRefused::NamesNothing("weight")),
            false => Ok((Deed::Weights { values: all.into_iter().collect() }, services)),
        }
    }

    /// An endpoint of a data centre that was drained as a whole can not come back alone.
    fn must_be_whole(&self, units: &BTreeSet<Unit>, book: &Book) -> Result<(), OrderRefused> {
        for unit in units {
            let Unit::Endpoint(service, id) = unit else { continue };
            let Some((service, endpoint)) = self.endpoint_ix(service, id) else { continue };
            let datacenter = self.id(self.service(service).endpoint(endpoint).datacenter);
            if let Some(revision) = book.drain_of(&datacenter) {
                return Err(OrderRefused::PartOfWhole { datacenter, revision });
            }
        }
        Ok(())
    }

    /// The target, when it is the one home of all services concerned.
    fn home(&self, to: &BTreeSet<String>, services: &BTreeSet<ServiceIx>) -> Option<String> {
        let only = to.first().filter(|_| to.len() == 1)?;
        let ix = self.datacenter_ix(only)?;
        services.iter().all(|service| self.service(*service).home == Some(ix)).then(|| only.clone())
    }
}

/// What clients of the services concerned leave by a switch: the data centre that is active now, the one that policy
/// would have active were everything well, and what an earlier switch had left.
fn left(
    names: &Names<'_>,
    table: &RoutingTable,
    book: &Book,
    to: &BTreeSet<String>,
    services: &BTreeSet<ServiceIx>,
) -> Left {
    let well = Facts::all_up();
    let mut by: BTreeMap<BTreeSet<String>, BTreeSet<ServiceIx>> = BTreeMap::new();
    for &ix in services {
        let mut left: BTreeSet<String> = BTreeSet::new();
        left.extend(active(table, ix).map(|dc| names.id(dc)));
        left.extend(policys_choice(names.policy, ix, &well).map(|dc| names.id(dc)));
        let name = names.name(ix);
        for standing in book.standing() {
            match &standing.what {
                What::Switch { whom, to, left: before, from: None, .. } if whom.covers(&name, ELSEWHERE) => {
                    left.extend(before.by(&name).iter().chain(to).cloned());
                }
                What::Behind { whom, left: before, .. } if whom.covers(&name, ELSEWHERE) => {
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
    let others = by.into_iter().filter(|(left, _)| *left != common);
    let of = others.flat_map(|(left, services)| services.into_iter().map(move |ix| (ix, left.clone())));
    Left { of: of.take(limits::LEFT_SERVICES_MAX).map(|(ix, left)| (names.name(ix), left)).collect(), common }
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

fn policys_choice(policy: &PolicySet, ix: ServiceIx, well: &Facts) -> Option<DatacenterIx> {
    let service = &policy.services[ix.at()];
    let asked = steer::Asked {
        ix,
        service,
        route: &service.policy.elsewhere,
        nearest: None,
        standings: &standings(service, ix, well),
        datacenters: &policy.datacenters,
        facts: well,
    };
    let Plan::Choose { variants, .. } = steer::plan(&asked, &mut ()) else { return None };
    let endpoints = variants.iter().flat_map(|variant| &variant.endpoints).map(|(endpoint, _)| *endpoint);
    let first = endpoints.min_by_key(|ix| (service.endpoint(*ix).priority, *ix));
    first.map(|endpoint| service.endpoint(endpoint).datacenter)
}

/// The name that differs least, when it is close enough to be meant.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let name = name.to_lowercase();
    let near = known.into_iter().map(|known| (distance(&name, &known.to_lowercase()), known));
    let (distance, known) = near.min()?;
    (distance <= 2.max(name.chars().count() / 3)).then(|| known.to_owned())
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(limits::ID_LEN_MAX).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, one) in a.chars().take(limits::ID_LEN_MAX).enumerate() {
        let mut corner = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in b.iter().enumerate() {
            let change = corner + usize::from(one != *other);
            corner = row[column + 1];
            row[column + 1] = change.min(corner + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}
