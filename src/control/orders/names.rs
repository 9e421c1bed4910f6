//! From the names that people use to ids: an order becomes a deed.
//!
//! A data centre is named by its id, an alias, a group, or an unambiguous leading word of its id, whatever the case. A
//! switch without services is for all that have an endpoint in its target, present and future; named services are all
//! or nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::left::left;
use super::order::{Deed, ELSEWHERE, Left, Order, Subject, SwitchMode, Unit, What, Whom};
use super::refused::OrderRefused;
use crate::limits;
use crate::model::{
    DatacenterIx, EndpointIx, Name, NamedDatacenters, PolicySet, RegionIx, Service, ServiceIx, Ttl, Weight,
    resolve_datacenter,
};
use crate::table::RoutingTable;

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
    /// What its sender should know.
    pub warnings: Vec<String>,
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
    pub(super) fn datacenters(&mut self, name: &str) -> Result<BTreeSet<String>, OrderRefused> {
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
        let (mut skipped, mut warnings) = (Vec::new(), Vec::new());
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
                    Some(home) => {
                        let skipped = skipped.iter().map(|ix| self.name(*ix)).collect();
                        (Deed::ClearSwitch { whom, home: Some(home), skipped }, services)
                    }
                    None => {
                        let left = match &from {
                            // Nobody else moves.
                            Some(from) => Left { common: from.difference(&to).cloned().collect(), ..Left::default() },
                            None => left(self, table, book, (&to, &whom), &services),
                        };
                        (Deed::Switch { to, mode: *mode, whom, from, left }, services)
                    }
                }
            }
            Order::ClearSwitch { whom } => {
                let (whom, services) = self.whom(whom)?;
                (Deed::ClearSwitch { whom, home: None, skipped: BTreeSet::new() }, services)
            }
            Order::Drain { subject } => {
                let (units, services) = self.units(subject)?;
                (Deed::Drain { units }, services)
            }
            Order::Undrain { subject } => {
                let (units, services) = self.units(subject)?;
                self.must_be_whole(&units, book)?;
                warnings.extend(self.still_out(&units, book));
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
                let revision = revision.map_or_else(|| book.last_to_undo(), Ok)?;
                (Deed::Undo { revision }, self.all_services())
            }
            Order::Expire { revision } => (Deed::Expire { revision: *revision }, self.all_services()),
        };
        Ok(Resolved { deed, services, skipped, is_named, called: BTreeMap::new(), warnings })
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

    /// Endpoints that stay out when their data centre is let in again: they were drained by themselves.
    fn still_out(&self, units: &BTreeSet<Unit>, book: &Book) -> Option<String> {
        let whole: BTreeSet<DatacenterIx> = units
            .iter()
            .filter_map(|unit| match unit {
                Unit::Datacenter(id) => self.datacenter_ix(id),
                Unit::Endpoint(..) => None,
            })
            .collect();
        let outs = book.standing().filter_map(|standing| match &standing.what {
            What::Out { units } => Some((standing.revision, units)),
            What::Switch { .. }
            | What::Behind { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Ttl { .. }
            | What::Freeze
            | What::Gate { .. } => None,
        });
        let is_there = |unit: &&Unit| match unit {
            Unit::Datacenter(_) => false,
            Unit::Endpoint(service, id) => self
                .endpoint_ix(service, id)
                .is_some_and(|(ix, endpoint)| whole.contains(&self.service(ix).endpoint(endpoint).datacenter)),
        };
        let (mut shown, mut count) = (Vec::new(), 0_usize);
        for (revision, theirs) in outs {
            for unit in theirs.iter().filter(is_there).filter(|unit| !units.contains(unit)) {
                count += 1;
                if shown.len() < limits::WARNING_NAMES_MAX {
                    shown.push(format!("{unit} (revision {revision})"));
                }
            }
        }
        let more = count - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (count > 0).then(|| {
            format!("drained by themselves, and still out: {}{more}; undrain them for their services", shown.join(", "))
        })
    }

    /// The target, when it is the one home of all services concerned.
    fn home(&self, to: &BTreeSet<String>, services: &BTreeSet<ServiceIx>) -> Option<String> {
        let only = to.first().filter(|_| to.len() == 1)?;
        let ix = self.datacenter_ix(only)?;
        services.iter().all(|service| self.service(*service).home == Some(ix)).then(|| only.clone())
    }
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
