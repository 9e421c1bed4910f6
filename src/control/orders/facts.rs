//! What the book means for the planner: names become the indices of the files that serve.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::names::Names;
use super::order::{ELSEWHERE, Left, Standing, SwitchMode, Unit, What, Whom};
use crate::model::{
    Admin, DatacenterIx, EndpointIx, Facts, Failback, Latch, Override, OverrideKind, PolicySet, RegionIx, Revision,
    Scope, ServiceIx, Ttl, Weight,
};

impl Book {
    /// The facts of a table: those of `world` (health, latches, entry conditions, yielded preferences), and what the
    /// book says. `drained` are the orders out of which no old answer is left.
    ///
    /// A preference that does not stand has not yielded, whatever `world` holds of it.
    ///
    /// What no file names is passed over; [`super::misnamed`] says what that is, before the files are taken.
    pub fn facts(&self, policy: &PolicySet, world: &Facts, drained: &BTreeSet<u64>) -> Facts {
        let mut facts = Facts { revision: Revision(self.revision()), ..world.clone() };
        facts.datacenters.clear();
        facts.endpoints.clear();
        facts.forced_datacenters.clear();
        facts.forced_endpoints.clear();
        facts.overrides.clear();
        facts.left.clear();
        facts.excepted.clear();
        let mut writing = Writing { names: Names::of(policy), facts };
        for standing in self.standing() {
            writing.add(standing, drained.contains(&standing.revision));
        }
        let mut facts = writing.facts;
        let prefers = facts.overrides.iter().filter(|order| matches!(order.kind, OverrideKind::Prefer { .. }));
        let prefers: BTreeSet<Revision> = prefers.map(|order| order.revision).collect();
        facts.yields.retain(|(revision, ..)| prefers.contains(revision));
        facts
    }
}

struct Writing<'a> {
    names: Names<'a>,
    facts: Facts,
}

impl Writing<'_> {
    fn add(&mut self, standing: &Standing, is_drained: bool) {
        let revision = Revision(standing.revision);
        match &standing.what {
            What::Switch { to, mode, whom, from, left, except } => {
                let (Some(scope), to) = (self.scope(whom), self.names.datacenter_ixs(to)) else { return };
                let from = from.as_ref().map(|from| self.names.datacenter_ixs(from));
                self.except(revision, except);
                let kind = match mode {
                    SwitchMode::Pin => OverrideKind::Pin { to, from },
                    SwitchMode::Prefer => {
                        self.leave(revision, left);
                        let left = self.names.datacenter_ixs(&left.common);
                        OverrideKind::Prefer { to, from, yielded: false, left }
                    }
                };
                self.order(standing, kind, scope);
            }
            What::Behind { left, whom, except } => self.stay_behind(left, whom, except),
            What::Out { units } => {
                let admin = if is_drained { Admin::Out } else { Admin::Draining };
                for unit in units {
                    match self.unit(unit) {
                        Some(Of::Datacenter(ix)) => drop(self.facts.datacenters.insert(ix, admin)),
                        Some(Of::Endpoint(key)) => drop(self.facts.endpoints.insert(key, admin)),
                        None => {}
                    }
                }
            }
            What::Force { units, to } => {
                for unit in units {
                    match self.unit(unit) {
                        Some(Of::Datacenter(ix)) => drop(self.facts.forced_datacenters.insert(ix, to.state())),
                        Some(Of::Endpoint(key)) => drop(self.facts.forced_endpoints.insert(key, to.state())),
                        None => {}
                    }
                }
            }
            What::Weights { values } => self.weigh(standing, values),
            What::Ttl { whom, datacenters, seconds } => {
                let (Some(mut scope), Ok(ttl)) = (self.scope(whom), Ttl::from_secs(u64::from(*seconds))) else {
                    return;
                };
                if let Some(ids) = datacenters {
                    let there = self.names.datacenter_ixs(ids);
                    let services = self.names.policy.services.iter().enumerate();
                    let ours = services.filter(|(_, service)| {
                        service.endpoints.iter().any(|endpoint| there.contains(&endpoint.datacenter))
                    });
                    let ours: BTreeSet<ServiceIx> = ours.map(|(at, _)| ServiceIx::from_at(at)).collect();
                    scope.services = Some(match scope.services {
                        Some(named) => named.intersection(&ours).copied().collect(),
                        None => ours,
                    });
                }
                self.order(standing, OverrideKind::Ttl(ttl), scope);
            }
            What::Freeze | What::Gate { .. } => {}
        }
    }

    fn order(&mut self, standing: &Standing, kind: OverrideKind, scope: Scope) {
        self.facts.overrides.push(Override {
            kind,
            scope,
            revision: Revision(standing.revision),
            actor: standing.by.actor.clone(),
            reason: standing.reason.clone(),
            expires_at: standing.expires,
        });
    }

    /// `None`: nothing that it names is there.
    fn scope(&self, whom: &Whom) -> Option<Scope> {
        let services = whom
            .services
            .as_ref()
            .map(|names| names.iter().filter_map(|name| self.names.service_ix(name)).collect::<BTreeSet<ServiceIx>>());
        let region = |id: &String| match id.as_str() {
            ELSEWHERE => Some(None),
            id => self.names.region_ix(id).map(Some),
        };
        let regions =
            whom.regions.as_ref().map(|ids| ids.iter().filter_map(region).collect::<BTreeSet<Option<RegionIx>>>());
        let is_about_nobody =
            services.as_ref().is_some_and(BTreeSet::is_empty) || regions.as_ref().is_some_and(BTreeSet::is_empty);
        (!is_about_nobody).then_some(Scope { services, regions })
    }

    fn except(&mut self, revision: Revision, except: &[Whom]) {
        let scopes: Vec<Scope> = except.iter().filter_map(|whom| self.scope(whom)).collect();
        if !scopes.is_empty() {
            self.facts.excepted.insert(revision, scopes);
        }
    }

    fn leave(&mut self, revision: Revision, left: &Left) {
        for (service, ids) in &left.of {
            if let Some(service) = self.names.service_ix(service) {
                self.facts.left.insert((revision, service), self.names.datacenter_ixs(ids));
            }
        }
    }

    /// As latches, where policy does not let clients come back by themselves.
    fn stay_behind(&mut self, left: &Left, whom: &Whom, except: &[Whom]) {
        let mut groups: BTreeMap<(DatacenterIx, BTreeSet<Option<RegionIx>>), BTreeSet<ServiceIx>> = BTreeMap::new();
        for (at, service) in self.names.policy.services.iter().enumerate() {
            let ix = ServiceIx::from_at(at);
            let name = service.name.to_string();
            let routes = service.policy.all_routes().filter(|route| {
                let region = self.names.region(route.region);
                route.failback != Failback::Auto
                    && whom.covers(&name, &region)
                    && !except.iter().any(|except| except.covers(&name, &region))
            });
            let regions: BTreeSet<Option<RegionIx>> = routes.map(|route| route.region).collect();
            if regions.is_empty() {
                continue;
            }
            for datacenter in self.names.datacenter_ixs(left.by(&name)) {
                groups.entry((datacenter, regions.clone())).or_default().insert(ix);
            }
        }
        let latches = groups.into_iter().map(|((datacenter, regions), services)| Latch {
            datacenter,
            scope: Scope { services: Some(services), regions: Some(regions) },
        });
        self.facts.latches.extend(latches);
    }

    /// One order for each weight: for whole data centres of every service, for single endpoints of theirs, so that
    /// the narrower wins.
    fn weigh(&mut self, standing: &Standing, values: &[(Unit, u32)]) {
        for (unit, weight) in values {
            let (Some(of), Ok(weight)) = (self.unit(unit), Weight::new(u64::from(*weight))) else { continue };
            let (endpoints, scope) = match of {
                Of::Endpoint(key) => {
                    (BTreeSet::from([key]), Scope { services: Some(BTreeSet::from([key.0])), regions: None })
                }
                Of::Datacenter(datacenter) => {
                    let services = self.names.policy.services.iter().enumerate();
                    let there = services.flat_map(|(at, service)| {
                        let there = service.endpoints().filter(|(_, endpoint)| endpoint.datacenter == datacenter);
                        there.map(move |(ix, _)| (ServiceIx::from_at(at), ix)).collect::<Vec<_>>()
                    });
                    (there.collect(), Scope::all())
                }
            };
            self.order(standing, OverrideKind::Weight { endpoints, weight }, scope);
        }
    }

    fn unit(&self, unit: &Unit) -> Option<Of> {
        match unit {
            Unit::Datacenter(id) => self.names.datacenter_ix(id).map(Of::Datacenter),
            Unit::Endpoint(service, id) => self.names.endpoint_ix(service, id).map(Of::Endpoint),
        }
    }
}

enum Of {
    Datacenter(DatacenterIx),
    Endpoint((ServiceIx, EndpointIx)),
}

/// Takes the latches that a release ends out of facts, where their data centres are up: what a dry run shows. Who
/// keeps latches ends them by the same names once the order is durable.
pub(super) fn release(
    policy: &PolicySet,
    facts: &mut Facts,
    release: &super::book::Release,
    is_up: impl Fn(ServiceIx, DatacenterIx) -> bool,
) -> bool {
    let names = Names::of(policy);
    let datacenters = names.datacenter_ixs(&release.datacenters);
    let mut is_changed = false;
    let mut kept = Vec::with_capacity(facts.latches.len());
    for latch in std::mem::take(&mut facts.latches) {
        if !datacenters.contains(&latch.datacenter) {
            kept.push(latch);
            continue;
        }
        let services: Vec<ServiceIx> = match &latch.scope.services {
            Some(services) => services.iter().copied().collect(),
            None => (0..policy.services.len()).map(ServiceIx::from_at).collect(),
        };
        let mut stays: BTreeMap<BTreeSet<Option<RegionIx>>, BTreeSet<ServiceIx>> = BTreeMap::new();
        for ix in services {
            let name = names.name(ix);
            let routes = policy.services[ix.at()].policy.all_routes().map(|route| route.region);
            let latched = routes.filter(|region| latch.scope.covers(ix, *region));
            let ends = |region: &Option<RegionIx>| {
                release.whom.covers(&name, &names.region(*region)) && is_up(ix, latch.datacenter)
            };
            let (ended, stay): (Vec<_>, Vec<_>) = latched.partition(ends);
            is_changed |= !ended.is_empty();
            if !stay.is_empty() {
                stays.entry(stay.into_iter().collect()).or_default().insert(ix);
            }
        }
        kept.extend(stays.into_iter().map(|(regions, services)| Latch {
            datacenter: latch.datacenter,
            scope: Scope { services: Some(services), regions: Some(regions) },
        }));
    }
    facts.latches = kept;
    is_changed
}
