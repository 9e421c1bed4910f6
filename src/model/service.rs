//! Services, their endpoints, and the whole of what the files say.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{
    Check, CheckExpr, CheckIx, Datacenter, DatacenterIx, EndpointId, EndpointIx, Group, Method, Name, Network, Node,
    OrderNeeds, Origin, Policy, Pool, Region, RuleSet, ServiceIx, Site, Ttl, Weight,
};

/// What an endpoint answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Its live addresses; at least one address in all.
    Addresses {
        /// A records, in file order.
        v4: Box<[Ipv4Addr]>,
        /// AAAA records, in file order.
        v6: Box<[Ipv6Addr]>,
        /// How many of them must be usable for the endpoint to be.
        min: u16,
    },
    /// A CNAME: it answers every type.
    Cname(Name),
}

impl Data {
    /// How many addresses, both families: v4 first, then v6. A CNAME counts as one: what is probed is
    /// the name.
    pub fn address_count(&self) -> usize {
        match self {
            Data::Addresses { v4, v6, .. } => v4.len() + v6.len(),
            Data::Cname(_) => 1,
        }
    }

    /// Every address, v4 first; none of a CNAME.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let (v4, v6): (&[Ipv4Addr], &[Ipv6Addr]) = match self {
            Data::Addresses { v4, v6, .. } => (v4, v6),
            Data::Cname(_) => (&[], &[]),
        };
        v4.iter().copied().map(IpAddr::V4).chain(v6.iter().copied().map(IpAddr::V6))
    }

    /// The address at `at`, counted as [`Data::address_count`] does; `None` for a CNAME.
    pub fn address(&self, at: u16) -> Option<IpAddr> {
        let at = usize::from(at);
        match self {
            Data::Addresses { v4, v6, .. } => match v4.get(at) {
                Some(v4) => Some(IpAddr::V4(*v4)),
                None => v6.get(at - v4.len()).copied().map(IpAddr::V6),
            },
            Data::Cname(_) => None,
        }
    }
}

/// Addresses in a data centre, with weight and priority.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Unique in its service.
    pub id: EndpointId,
    /// Where it stands.
    pub datacenter: DatacenterIx,
    /// What it answers with.
    pub data: Data,
    /// Among members chosen at random or by hash.
    pub weight: Weight,
    /// Lower first; read by `priority` and by `/api/active-dc`.
    pub priority: u32,
    /// Its checks; empty: always up.
    pub health: CheckExpr,
    /// Its health is that of another endpoint, which follows nobody itself; then it has no checks.
    pub follows: Option<(ServiceIx, EndpointIx)>,
    /// Where it was written.
    pub origin: Origin,
}

/// Parameters of the HTTPS record of a service (RFC 9460): target `.`, priority 1, hints from the
/// chosen endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Https {
    /// Protocol ids, in order of preference; may be empty.
    pub alpn: Vec<String>,
    /// The port, when it is not 443.
    pub port: Option<u16>,
}

/// A name whose addresses are decided.
#[derive(Clone, Debug)]
pub struct Service {
    /// The name.
    pub name: Name,
    /// The zone that the file says it is in; checked against the zones that are loaded.
    pub zone: Option<Name>,
    /// The TTL of its answers.
    pub ttl: Ttl,
    /// By id, ascending. Not empty.
    pub endpoints: Vec<Endpoint>,
    /// Who gets what.
    pub policy: Policy,
    /// How many endpoints an answer names at most, 1 to [`crate::limits::ANSWERS_MAX`].
    pub max_answers: u8,
    /// The data centre whose switch means "back to policy".
    pub home: Option<DatacenterIx>,
    /// Answers type 65 when present.
    pub https: Option<Https>,
    /// What orders about it must say.
    pub needs: OrderNeeds,
    /// Where its `domain` was written.
    pub origin: Origin,
}

impl Endpoint {
    /// True when its health is somebody's business: it has checks, or follows an endpoint.
    pub fn is_watched(&self) -> bool {
        self.follows.is_some() || !self.health.checks().is_empty()
    }
}

impl Service {
    /// The endpoint.
    pub fn endpoint(&self, ix: EndpointIx) -> &Endpoint {
        &self.endpoints[ix.at()]
    }

    /// Every endpoint with its index.
    pub fn endpoints(&self) -> impl Iterator<Item = (EndpointIx, &Endpoint)> {
        self.endpoints.iter().enumerate().map(|(at, endpoint)| (EndpointIx::from_at(at), endpoint))
    }

    /// The checks that anything about an endpoint depends on: its health, and whether a tier that it is in may be
    /// entered.
    pub fn checks_about(&self, endpoint: EndpointIx) -> BTreeSet<CheckIx> {
        fn entries(pool: &Pool, endpoint: EndpointIx, checks: &mut BTreeSet<CheckIx>) {
            for member in &pool.members {
                let is_inside = match &member.node {
                    Node::Endpoint(own) => *own == endpoint,
                    Node::Pool(below) => {
                        entries(below, endpoint, checks);
                        below.endpoints().contains(&endpoint)
                    }
                };
                if is_inside {
                    checks.extend(&member.entry.when);
                }
            }
        }
        let mut checks: BTreeSet<CheckIx> = self.endpoint(endpoint).health.checks().into_iter().collect();
        for pool in self.policy.all_routes().filter_map(|route| route.tiers.as_ref()) {
            entries(pool, endpoint, &mut checks);
        }
        checks
    }

    /// What its location map is made from. With `nearest` the sites of a pool are those of its members'
    /// data centres that have coordinates.
    pub fn rule_set(&self, datacenters: &[Datacenter]) -> RuleSet {
        let mut sites: Vec<Vec<Arc<[Site]>>> = Vec::new();
        if self.policy.uses(Method::Nearest) {
            // Regions mostly share their fallback: each set of sites is kept once.
            let mut known: BTreeSet<Arc<[Site]>> = BTreeSet::new();
            let mut share = |pool: &Pool| {
                let sites: Arc<[Site]> = self.sites(pool, datacenters).into();
                let shared = known.get(&sites).cloned().unwrap_or(sites);
                known.insert(Arc::clone(&shared));
                shared
            };
            for route in self.policy.all_routes() {
                let pools = route.tiers.iter().chain(&route.fallback).flat_map(|pool| pool.pools(Method::Nearest));
                let mut of_route: Vec<Arc<[Site]>> = pools.map(&mut share).filter(|sites| !sites.is_empty()).collect();
                of_route.sort_unstable();
                of_route.dedup();
                sites.push(of_route);
            }
            if sites.iter().all(Vec::is_empty) {
                sites.clear();
            }
        }
        RuleSet { regions: self.policy.routes.iter().filter_map(|route| route.region).collect(), sites }
    }

    /// Where the members of `pool` stand, as far as that is known; by data centre index, each once.
    pub fn sites(&self, pool: &Pool, datacenters: &[Datacenter]) -> Vec<Site> {
        let mut sites: Vec<Site> = pool
            .endpoints()
            .into_iter()
            .filter_map(|ix| {
                let ix = self.endpoint(ix).datacenter;
                let datacenter = &datacenters[ix.at()];
                Some(Site { datacenter: ix, at: datacenter.at?, bias_km: datacenter.bias_km })
            })
            .collect();
        sites.sort_unstable();
        sites.dedup();
        sites
    }
}

/// Everything that the policy files say, resolved.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    /// By id, ascending.
    pub datacenters: Vec<Datacenter>,
    /// By id, ascending.
    pub groups: Vec<Group>,
    /// Every region that is defined or used. [`super::RegionIx`] points here.
    pub regions: Vec<Region>,
    /// What operators say of networks.
    pub networks: Vec<Network>,
    /// Every health check. [`super::CheckIx`] points here.
    pub checks: Vec<Check>,
    /// By name in canonical order, so that indices do not depend on file names.
    pub services: Vec<Service>,
}
