//! From policy to what is probed: every check of every endpoint address, with all settled that depends on
//! service and endpoint, and equal ones made one.
//!
//! - The address is the endpoint's own, or the check's `host` in its place; then the server's `address_map` has
//!   its say. A CNAME endpoint is probed by its name.
//! - What a probe does not use is left empty, so that two services which differ in nothing else share a
//!   target: the service's name is there only where Host, `:authority`, SNI or a question takes it.
//! - `prometheus` is asked at its URL: host and port stay empty, and its query has its variables filled in.
//!   `external` is asked nowhere: it makes no target, and evidence comes from reporters alone.
//! - The `when` checks of a tier are made at each address of its endpoints, like their own.
//! - In a demonstration a [`StandInMap`] has its say instead of the `address_map`: every probe goes to the stand-in of
//!   its endpoint's data centre, or nowhere.
//!
//! A target stands in the data centre of the endpoints that it is for, when that is one; what is asked of a
//! Prometheus server stands in none, for its answer proves nothing about where it was sent from.
//!
//! Ids come from a [`Registry`], which lives as long as the process: a spec that stays keeps its id. Whoever has it
//! says which are still in use: [`Registry::keep`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Target, TargetId};
use crate::limits;
use crate::model::{
    AddressKey, Check, CheckIx, CheckSpec, Data, DatacenterIx, Endpoint, EndpointIx, HealthSettings, Name, PolicySet,
    Probe, ProbeHost, Service, ServiceIx, StandInMap, TargetSpec, TlsParams,
};

#[cfg(test)]
mod tests;

/// More distinct targets than one node probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policies ask for {count} distinct probes; at most {} are made", limits::TARGETS_MAX)]
pub struct TooManyTargets {
    /// How many.
    pub count: usize,
}

/// The ids of target specs.
#[derive(Debug, Default)]
pub struct Registry {
    ids: HashMap<TargetSpec, TargetId>,
    next: u64,
}

/// What is probed, and for whom.
#[derive(Debug, Default)]
pub struct Targets {
    /// Distinct, by id ascending. Nothing is remembered of any: that is for who has a memory to fill in.
    pub targets: Vec<Target>,
    /// Which target watches an address by a check: of its endpoint, or of a tier that the endpoint is in.
    pub of: BTreeMap<(AddressKey, CheckIx), TargetId>,
    /// What is not probed in this demonstration, and why.
    pub refused: BTreeMap<(AddressKey, CheckIx), String>,
}

/// The data centres that a target is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    In(DatacenterIx),
    Nowhere,
}

/// An endpoint of a service.
#[derive(Clone, Copy)]
struct Site<'a> {
    policy: &'a PolicySet,
    service: &'a Service,
    endpoint: &'a Endpoint,
}

struct Building<'a> {
    policy: &'a PolicySet,
    settings: &'a HealthSettings,
    stand_ins: Option<&'a StandInMap>,
    found: HashMap<Arc<TargetSpec>, (TargetId, Standing)>,
    registry: &'a mut Registry,
    /// Ids from this one on are new.
    first_new: u64,
    targets: Targets,
}

impl Targets {
    /// Everything that `policy` wants probed; in a demonstration at its stand-ins.
    pub fn of(
        policy: &PolicySet,
        settings: &HealthSettings,
        stand_ins: Option<&StandInMap>,
        registry: &mut Registry,
    ) -> Result<Targets, TooManyTargets> {
        let first_new = registry.next;
        let (found, targets) = (HashMap::new(), Targets::default());
        let mut building = Building { policy, settings, stand_ins, found, registry, first_new, targets };
        for (at, service) in policy.services.iter().enumerate() {
            let ix = ServiceIx::from_at(at);
            let tiers = service.policy.all_routes().filter_map(|route| route.tiers.as_ref());
            let conditions: BTreeSet<(EndpointIx, CheckIx)> = tiers.flat_map(|tiers| tiers.conditions()).collect();
            for (endpoint_ix, endpoint) in service.endpoints() {
                let asked = conditions.range((endpoint_ix, CheckIx(0))..=(endpoint_ix, CheckIx(u16::MAX)));
                let asked = asked.map(|(_, check)| *check);
                let checks: BTreeSet<CheckIx> = endpoint.health.checks().into_iter().chain(asked).collect();
                building.endpoint(ix, endpoint_ix, &checks, Site { policy, service, endpoint });
            }
        }
        building.finish()
    }
}

impl Building<'_> {
    fn endpoint(&mut self, service: ServiceIx, ix: EndpointIx, checks: &BTreeSet<CheckIx>, site: Site<'_>) {
        if checks.is_empty() {
            return;
        }
        for (address, host) in (0_u16..).zip(site.hosts()) {
            for &check in checks {
                let key = (AddressKey { service, endpoint: ix, address }, check);
                match self.target(check, site, &host) {
                    Some(Ok(target)) => drop(self.targets.of.insert(key, target)),
                    Some(Err(why)) => drop(self.targets.refused.insert(key, why)),
                    None => {}
                }
            }
        }
    }

    /// The target of a check at one address of an endpoint; `None` when nothing is ever probed, an error in words
    /// when nothing is in this demonstration.
    fn target(&mut self, check: CheckIx, site: Site<'_>, host: &ProbeHost) -> Option<Result<TargetId, String>> {
        let check: &Check = self.policy.checks.get(usize::from(check.0))?;
        let standing = match check.spec.probe {
            Probe::External => return None,
            Probe::Prometheus(_) => Standing::Nowhere,
            Probe::Http(_) | Probe::Tcp(_) | Probe::Tls(_) | Probe::Dns(_) | Probe::Grpc(_) | Probe::Icmp => {
                Standing::In(site.endpoint.datacenter)
            }
        };
        let spec = match self.stand_ins {
            None => settle(&check.spec, site, host, self.settings),
            Some(stand_ins) => match stood_in(&check.spec, site, stand_ins) {
                Ok(spec) => spec,
                Err(why) => return Some(Err(why)),
            },
        };
        if let Some((id, known)) = self.found.get_mut(&spec) {
            if *known != standing {
                *known = Standing::Nowhere;
            }
            return Some(Ok(*id));
        }
        let id = self.registry.id(&spec);
        self.found.insert(Arc::new(spec), (id, standing));
        Some(Ok(id))
    }

    fn finish(self) -> Result<Targets, TooManyTargets> {
        let Building { policy, found, registry, first_new, mut targets, .. } = self;
        if found.len() > limits::TARGETS_MAX {
            registry.ids.retain(|_, id| id.0 < first_new);
            return Err(TooManyTargets { count: found.len() });
        }
        let all = found.into_iter().map(|(spec, (id, standing))| {
            let datacenter = match standing {
                Standing::In(ix) => policy.datacenters.get(ix.at()).map(|datacenter| datacenter.id.clone()),
                Standing::Nowhere => None,
            };
            Target { id, spec, datacenter, remembered: None }
        });
        targets.targets = all.collect();
        targets.targets.sort_unstable_by_key(|target| target.id);
        Ok(targets)
    }
}

impl Registry {
    /// Forgets all but these. What files ask for that are not taken over in the end must not cost an id that serves.
    pub fn keep(&mut self, ids: &BTreeSet<TargetId>) {
        self.ids.retain(|_, id| ids.contains(id));
    }

    /// The spec's id: the one that it has, or one that none ever had.
    fn id(&mut self, spec: &TargetSpec) -> TargetId {
        if let Some(id) = self.ids.get(spec) {
            return *id;
        }
        let id = TargetId(self.next);
        self.next += 1;
        self.ids.insert(spec.clone(), id);
        id
    }
}

impl Site<'_> {
    /// What is answered: v4 in file order, then v6; or the name of a CNAME.
    fn hosts(&self) -> Vec<ProbeHost> {
        match &self.endpoint.data {
            Data::Addresses { v4, v6, .. } => {
                let v4 = v4.iter().map(|&address| IpAddr::V4(address));
                let v6 = v6.iter().map(|&address| IpAddr::V6(address));
                v4.chain(v6).map(ProbeHost::Address).collect()
            }
            Data::Cname(name) => vec![ProbeHost::Name(name.clone())],
        }
    }

    /// The query with the endpoint's own in place of its variables. An unknown variable stays: PromQL has none.
    fn fill(&self, query: &str, host: &ProbeHost) -> String {
        let datacenter = self.policy.datacenters.get(self.endpoint.datacenter.at());
        let known = [
            ("datacenter", datacenter.map(|datacenter| datacenter.id.to_string()).unwrap_or_default()),
            ("endpoint", self.endpoint.id.to_string()),
            ("service", host_name(&self.service.name)),
            ("address", shown(host)),
        ];
        let mut filled = String::with_capacity(query.len());
        let mut rest = query;
        while let Some((before, after)) = rest.split_once('$') {
            filled.push_str(before);
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
            let (word, left) = after.split_at(end);
            match known.iter().find(|(name, _)| *name == word) {
                Some((_, value)) => filled.push_str(value),
                None => {
                    filled.push('$');
                    filled.push_str(word);
                }
            }
            rest = left;
        }
        filled.push_str(rest);
        filled
    }
}

/// Settles where a stand-in answers.
fn stood_in(check: &Arc<CheckSpec>, site: Site<'_>, stand_ins: &StandInMap) -> Result<TargetSpec, String> {
    let datacenter = site.policy.datacenters.get(site.endpoint.datacenter.at());
    let datacenter = datacenter.ok_or("it stands in no data centre")?;
    let placed = stand_ins.place(&datacenter.id, check)?;
    Ok(TargetSpec {
        host: ProbeHost::Address(placed.at.ip()),
        port: placed.at.port(),
        service: service_of(&placed.check.probe, site),
        query: Arc::from(""),
        check: placed.check,
    })
}

/// Settles what depends on service, endpoint and the server's configuration.
fn settle(check: &Arc<CheckSpec>, site: Site<'_>, own: &ProbeHost, settings: &HealthSettings) -> TargetSpec {
    let empty: Arc<str> = Arc::from("");
    if let Probe::Prometheus(prometheus) = &check.probe {
        let query = Arc::from(site.fill(&prometheus.query, own));
        let host = ProbeHost::Name(Name::root());
        return TargetSpec { check: Arc::clone(check), host, port: 0, service: empty, query };
    }
    let host = check.host.as_ref().unwrap_or(own);
    let (host, port) = mapped(host, check.port, settings);
    let service = service_of(&check.probe, site);
    TargetSpec { check: Arc::clone(check), host, port: port.unwrap_or(0), service, query: empty }
}

/// The service's name, where the probe takes it for something.
fn service_of(probe: &Probe, site: Site<'_>) -> Arc<str> {
    match uses_service(probe) {
        true => Arc::from(host_name(&site.service.name)),
        false => Arc::from(""),
    }
}

/// Where `address_map` sends a probe: an entry for the port wins over one for any.
fn mapped(host: &ProbeHost, port: Option<u16>, settings: &HealthSettings) -> (ProbeHost, Option<u16>) {
    let ProbeHost::Address(address) = host else { return (host.clone(), port) };
    let of = |port: Option<u16>| settings.address_map.get(&(*address, port));
    match port.and_then(|port| of(Some(port))).or_else(|| of(None)) {
        // A protocol without ports has none afterwards either.
        Some((to, to_port)) => (ProbeHost::Address(*to), port.map(|port| to_port.unwrap_or(port))),
        None => (host.clone(), port),
    }
}

/// True when the probe takes the service's name for something that the check does not say.
fn uses_service(probe: &Probe) -> bool {
    let sni = |tls: &Option<TlsParams>| tls.as_ref().is_some_and(|tls| tls.sni.is_none());
    match probe {
        Probe::Http(http) => http.host.is_none() || sni(&http.tls),
        Probe::Grpc(grpc) => grpc.host.is_none() || sni(&grpc.tls),
        Probe::Tls(tls) => tls.sni.is_none(),
        Probe::Dns(dns) => dns.name.is_none(),
        Probe::Tcp(_) | Probe::Icmp | Probe::Prometheus(_) | Probe::External => false,
    }
}

/// Without the final dot.
fn host_name(name: &Name) -> String {
    let name = name.to_string();
    name.strip_suffix('.').unwrap_or(&name).to_owned()
}

fn shown(host: &ProbeHost) -> String {
    match host {
        ProbeHost::Address(address) => address.to_string(),
        ProbeHost::Name(name) => host_name(name),
    }
}
