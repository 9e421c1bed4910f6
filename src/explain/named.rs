//! Facts by name, so that they can travel: to another process, or to files that number things otherwise.
//!
//! [`NamedFacts::of`] says everything that a table was compiled with besides its files; [`NamedFacts::facts`] reads it
//! for any files. What these do not have is passed over. An address that is not told of is up: what is new in the
//! files is shown as it will be once it is probed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::model::{
    AddressKey, Admin, Data, DatacenterIx, EndpointIx, EntryState, Facts, Forced, Health, Latch, Override,
    OverrideKind, PolicySet, RegionIx, Revision, Scope, ServiceIx, State, Ttl, Verdict, Weight,
};

/// An endpoint of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedEndpoint {
    service: String,
    endpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NamedAddress {
    #[serde(flatten)]
    endpoint: NamedEndpoint,
    /// An address, or the name that the endpoint stands for.
    address: String,
    state: Word,
    held: bool,
}

/// One word for each state of every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Up,
    Down,
    Unknown,
    In,
    Draining,
    Out,
}

impl Word {
    fn of_state(state: State) -> Word {
        match state {
            State::Up => Word::Up,
            State::Down => Word::Down,
            State::Unknown => Word::Unknown,
        }
    }

    fn of_admin(admin: Admin) -> Word {
        match admin {
            Admin::In => Word::In,
            Admin::Draining => Word::Draining,
            Admin::Out => Word::Out,
        }
    }

    fn of_forced(forced: Forced) -> Word {
        match forced {
            Forced::Up => Word::Up,
            Forced::Down => Word::Down,
        }
    }

    fn state(self) -> State {
        match self {
            Word::Up | Word::In => State::Up,
            Word::Down | Word::Out => State::Down,
            Word::Unknown | Word::Draining => State::Unknown,
        }
    }

    fn admin(self) -> Admin {
        match self {
            Word::Up | Word::In | Word::Unknown => Admin::In,
            Word::Draining => Admin::Draining,
            Word::Out | Word::Down => Admin::Out,
        }
    }

    fn forced(self) -> Forced {
        match self {
            Word::Up | Word::In | Word::Unknown => Forced::Up,
            Word::Down | Word::Out | Word::Draining => Forced::Down,
        }
    }
}

/// For whom; `null` is all, and inside the regions everyone else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct NamedScope {
    services: Option<BTreeSet<String>>,
    regions: Option<BTreeSet<Option<String>>>,
}

type Ids = BTreeSet<String>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum NamedKind {
    Pin { to: Ids, from: Option<Ids> },
    Prefer { to: Ids, from: Option<Ids>, yielded: bool, left: Ids },
    Schedule { to: Ids },
    Weight { endpoints: BTreeSet<NamedEndpoint>, weight: u32 },
    Ttl { seconds: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NamedOverride {
    #[serde(flatten)]
    kind: NamedKind,
    scope: NamedScope,
    revision: u64,
    actor: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NamedEntry {
    service: String,
    region: Option<String>,
    tier: u16,
    state: NamedState,
}

/// Whether a tier may be entered, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum NamedState {
    Met,
    ByOrder(String),
    Unmet(String),
}

/// Everything that compile takes besides files, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedFacts {
    addresses: Vec<NamedAddress>,
    datacenters: BTreeMap<String, Word>,
    endpoints: Vec<(NamedEndpoint, Word)>,
    forced_datacenters: BTreeMap<String, Word>,
    forced_endpoints: Vec<(NamedEndpoint, Word)>,
    latches: Vec<(String, NamedScope)>,
    overrides: Vec<NamedOverride>,
    entries: Vec<NamedEntry>,
    yields: Vec<(u64, NamedEndpoint)>,
    left: Vec<(u64, String, Ids)>,
    excepted: Vec<(u64, Vec<NamedScope>)>,
    in_force: u64,
}

impl NamedFacts {
    /// What is known of these files, by name. What is plainly up is not told of.
    pub fn of(policy: &PolicySet, facts: &Facts) -> NamedFacts {
        let named = Naming(policy);
        let addresses = policy.services.iter().enumerate().flat_map(|(at, service)| {
            let named = &named;
            service.endpoints().flat_map(move |(ix, endpoint)| {
                let texts = addresses(&endpoint.data).into_iter().enumerate();
                texts.filter_map(move |(address, text)| {
                    let service = ServiceIx::from_at(at);
                    let key = AddressKey { service, endpoint: ix, address: u16::try_from(address).ok()? };
                    let verdict = facts.health.verdict(key, !endpoint.health.checks().is_empty());
                    let is_plain = verdict == Verdict::of(State::Up);
                    (!is_plain).then(|| NamedAddress {
                        endpoint: named.endpoint(service, ix),
                        address: text,
                        state: Word::of_state(verdict.state),
                        held: verdict.is_held,
                    })
                })
            })
        });
        NamedFacts {
            addresses: addresses.collect(),
            datacenters: facts.datacenters.iter().map(|(ix, is)| (named.id(*ix), Word::of_admin(*is))).collect(),
            endpoints: facts
                .endpoints
                .iter()
                .map(|((s, e), is)| (named.endpoint(*s, *e), Word::of_admin(*is)))
                .collect(),
            forced_datacenters: facts
                .forced_datacenters
                .iter()
                .map(|(ix, is)| (named.id(*ix), Word::of_forced(*is)))
                .collect(),
            forced_endpoints: facts
                .forced_endpoints
                .iter()
                .map(|((s, e), is)| (named.endpoint(*s, *e), Word::of_forced(*is)))
                .collect(),
            latches: facts
                .latches
                .iter()
                .map(|latch| (named.id(latch.datacenter), named.scope(&latch.scope)))
                .collect(),
            overrides: facts.overrides.iter().map(|order| named.order(order)).collect(),
            entries: facts
                .entries
                .iter()
                .map(|((service, region, tier), state)| NamedEntry {
                    service: named.service(*service),
                    region: region.map(|region| named.region(region)),
                    tier: *tier,
                    state: match state {
                        EntryState::Met => NamedState::Met,
                        EntryState::ByOrder(why) => NamedState::ByOrder(why.clone()),
                        EntryState::Unmet(why) => NamedState::Unmet(why.clone()),
                    },
                })
                .collect(),
            yields: facts.yields.iter().map(|(revision, s, e)| (revision.0, named.endpoint(*s, *e))).collect(),
            left: facts
                .left
                .iter()
                .map(|((revision, service), left)| (revision.0, named.service(*service), named.ids(left)))
                .collect(),
            excepted: facts
                .excepted
                .iter()
                .map(|(revision, scopes)| (revision.0, scopes.iter().map(|scope| named.scope(scope)).collect()))
                .collect(),
            in_force: facts.revision.0,
        }
    }

    /// The same for `policy`.
    pub fn facts(&self, policy: &PolicySet) -> Facts {
        let index = Index::of(policy);
        let mut health = Health::all_up();
        for told in &self.addresses {
            let Some((service, endpoint)) = index.endpoint(&told.endpoint) else { continue };
            let texts = addresses(&policy.services[service.at()].endpoint(endpoint).data);
            let at = texts.iter().position(|text| *text == told.address).and_then(|at| u16::try_from(at).ok());
            if let Some(address) = at {
                let verdict = Verdict { state: told.state.state(), is_held: told.held };
                health.of.insert(AddressKey { service, endpoint, address }, verdict);
            }
        }
        let of_endpoint = |(endpoint, word): &(NamedEndpoint, Word)| Some((index.endpoint(endpoint)?, *word));
        let of_datacenter = |(id, word): (&String, &Word)| Some((index.datacenter(id)?, *word));
        Facts {
            health,
            datacenters: self.datacenters.iter().filter_map(of_datacenter).map(|(ix, is)| (ix, is.admin())).collect(),
            endpoints: self.endpoints.iter().filter_map(of_endpoint).map(|(key, is)| (key, is.admin())).collect(),
            forced_datacenters: self
                .forced_datacenters
                .iter()
                .filter_map(of_datacenter)
                .map(|(ix, is)| (ix, is.forced()))
                .collect(),
            forced_endpoints: self
                .forced_endpoints
                .iter()
                .filter_map(of_endpoint)
                .map(|(key, is)| (key, is.forced()))
                .collect(),
            latches: self
                .latches
                .iter()
                .filter_map(|(id, scope)| Some(Latch { datacenter: index.datacenter(id)?, scope: index.scope(scope)? }))
                .collect(),
            overrides: self.overrides.iter().filter_map(|order| index.order(order)).collect(),
            entries: self
                .entries
                .iter()
                .filter_map(|entry| {
                    let region = match &entry.region {
                        Some(region) => Some(index.region(region)?),
                        None => None,
                    };
                    let state = match &entry.state {
                        NamedState::Met => EntryState::Met,
                        NamedState::ByOrder(why) => EntryState::ByOrder(why.clone()),
                        NamedState::Unmet(why) => EntryState::Unmet(why.clone()),
                    };
                    Some(((index.service(&entry.service)?, region, entry.tier), state))
                })
                .collect(),
            yields: self
                .yields
                .iter()
                .filter_map(|(revision, endpoint)| {
                    let (service, endpoint) = index.endpoint(endpoint)?;
                    Some((Revision(*revision), service, endpoint))
                })
                .collect(),
            left: self
                .left
                .iter()
                .filter_map(|(revision, service, ids)| {
                    Some(((Revision(*revision), index.service(service)?), index.ids(ids)))
                })
                .collect(),
            excepted: self
                .excepted
                .iter()
                .map(|(revision, scopes)| {
                    (Revision(*revision), scopes.iter().filter_map(|scope| index.scope(scope)).collect())
                })
                .collect(),
            revision: Revision(self.in_force),
        }
    }
}

/// As files have them, v4 before v6.
fn addresses(data: &Data) -> Vec<String> {
    match data {
        Data::Addresses { v4, v6, .. } => {
            v4.iter().map(ToString::to_string).chain(v6.iter().map(ToString::to_string)).collect()
        }
        Data::Cname(name) => vec![name.to_string()],
    }
}

/// From indices to names.
struct Naming<'a>(&'a PolicySet);

impl Naming<'_> {
    fn service(&self, ix: ServiceIx) -> String {
        self.0.services[ix.at()].name.to_string()
    }

    fn id(&self, ix: DatacenterIx) -> String {
        self.0.datacenters[ix.at()].id.to_string()
    }

    fn ids(&self, all: &BTreeSet<DatacenterIx>) -> Ids {
        all.iter().map(|ix| self.id(*ix)).collect()
    }

    fn region(&self, ix: RegionIx) -> String {
        self.0.regions[ix.at()].id.to_string()
    }

    fn endpoint(&self, service: ServiceIx, endpoint: EndpointIx) -> NamedEndpoint {
        let endpoint = self.0.services[service.at()].endpoint(endpoint).id.to_string();
        NamedEndpoint { service: self.service(service), endpoint }
    }

    fn scope(&self, scope: &Scope) -> NamedScope {
        let region = |region: &Option<RegionIx>| region.map(|region| self.region(region));
        NamedScope {
            services: scope.services.as_ref().map(|all| all.iter().map(|ix| self.service(*ix)).collect()),
            regions: scope.regions.as_ref().map(|all| all.iter().map(region).collect()),
        }
    }

    fn order(&self, order: &Override) -> NamedOverride {
        let from = |from: &Option<BTreeSet<DatacenterIx>>| from.as_ref().map(|from| self.ids(from));
        NamedOverride {
            kind: match &order.kind {
                OverrideKind::Pin { to, from: of } => NamedKind::Pin { to: self.ids(to), from: from(of) },
                OverrideKind::Prefer { to, from: of, yielded, left } => {
                    NamedKind::Prefer { to: self.ids(to), from: from(of), yielded: *yielded, left: self.ids(left) }
                }
                OverrideKind::Schedule { to } => NamedKind::Schedule { to: self.ids(to) },
                OverrideKind::Weight { endpoints, weight } => NamedKind::Weight {
                    endpoints: endpoints.iter().map(|(service, ix)| self.endpoint(*service, *ix)).collect(),
                    weight: weight.value(),
                },
                OverrideKind::Ttl(ttl) => NamedKind::Ttl { seconds: ttl.as_secs() },
            },
            scope: self.scope(&order.scope),
            revision: order.revision.0,
            actor: order.actor.clone(),
            reason: order.reason.clone(),
        }
    }
}

/// And back.
struct Index<'a> {
    policy: &'a PolicySet,
    services: BTreeMap<String, ServiceIx>,
    datacenters: BTreeMap<&'a str, DatacenterIx>,
    regions: BTreeMap<&'a str, RegionIx>,
}

impl<'a> Index<'a> {
    fn of(policy: &'a PolicySet) -> Index<'a> {
        let services = policy.services.iter().enumerate();
        let datacenters = policy.datacenters.iter().enumerate();
        let regions = policy.regions.iter().enumerate();
        Index {
            policy,
            services: services.map(|(at, one)| (one.name.to_string(), ServiceIx::from_at(at))).collect(),
            datacenters: datacenters.map(|(at, one)| (one.id.as_str(), DatacenterIx::from_at(at))).collect(),
            regions: regions.map(|(at, one)| (one.id.as_str(), RegionIx::from_at(at))).collect(),
        }
    }

    fn service(&self, name: &str) -> Option<ServiceIx> {
        self.services.get(name).copied()
    }

    fn datacenter(&self, id: &str) -> Option<DatacenterIx> {
        self.datacenters.get(id).copied()
    }

    fn ids(&self, ids: &Ids) -> BTreeSet<DatacenterIx> {
        ids.iter().filter_map(|id| self.datacenter(id)).collect()
    }

    fn region(&self, id: &str) -> Option<RegionIx> {
        self.regions.get(id).copied()
    }

    fn endpoint(&self, named: &NamedEndpoint) -> Option<(ServiceIx, EndpointIx)> {
        let service = self.service(&named.service)?;
        let mut endpoints = self.policy.services[service.at()].endpoints();
        let (endpoint, _) = endpoints.find(|(_, endpoint)| endpoint.id.as_str() == named.endpoint)?;
        Some((service, endpoint))
    }

    /// `None`: nobody is left of it.
    fn scope(&self, scope: &NamedScope) -> Option<Scope> {
        let services: Option<BTreeSet<ServiceIx>> =
            scope.services.as_ref().map(|all| all.iter().filter_map(|name| self.service(name)).collect());
        let region = |region: &Option<String>| match region {
            Some(id) => self.region(id).map(Some),
            None => Some(None),
        };
        let regions: Option<BTreeSet<Option<RegionIx>>> =
            scope.regions.as_ref().map(|all| all.iter().filter_map(region).collect());
        let is_empty =
            services.as_ref().is_some_and(BTreeSet::is_empty) || regions.as_ref().is_some_and(BTreeSet::is_empty);
        (!is_empty).then_some(Scope { services, regions })
    }

    fn order(&self, order: &NamedOverride) -> Option<Override> {
        let some = |ids: BTreeSet<DatacenterIx>| Some(ids).filter(|ids| !ids.is_empty());
        let from = |from: &Option<Ids>| from.as_ref().map(|from| self.ids(from));
        let kind = match &order.kind {
            NamedKind::Pin { to, from: of } => OverrideKind::Pin { to: some(self.ids(to))?, from: from(of) },
            NamedKind::Prefer { to, from: of, yielded, left } => OverrideKind::Prefer {
                to: some(self.ids(to))?,
                from: from(of),
                yielded: *yielded,
                left: self.ids(left),
            },
            NamedKind::Schedule { to } => OverrideKind::Schedule { to: some(self.ids(to))? },
            NamedKind::Weight { endpoints, weight } => OverrideKind::Weight {
                endpoints: endpoints.iter().filter_map(|endpoint| self.endpoint(endpoint)).collect(),
                weight: Weight::new(u64::from(*weight)).ok()?,
            },
            NamedKind::Ttl { seconds } => OverrideKind::Ttl(Ttl::from_secs(u64::from(*seconds)).ok()?),
        };
        Some(Override {
            kind,
            scope: self.scope(&order.scope)?,
            revision: Revision(order.revision),
            actor: order.actor.clone(),
            reason: order.reason.clone(),
            expires_at: None::<SystemTime>,
        })
    }
}
