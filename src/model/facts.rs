//! What the world says: health, admin states, latches, overrides.
//!
//! Facts are an input of compile like the policy. "Down" and "ordered out" are different facts and stay
//! so: health is a verdict on addresses, admin state is an order about data centres and endpoints.
//! [`Evidence`] is what verdicts are made from, by the health room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::{CheckIx, DatacenterIx, EndpointIx, ObserverId, RegionIx, Revision, ServiceIx, Ttl, Weight};

/// Health, as a probe or a combination of probes sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum State {
    Up,
    Down,
    Unknown,
}

impl State {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Down => "down",
            State::Unknown => "unknown",
        }
    }
}

/// What one piece of evidence is about, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceKey {
    /// The service.
    pub service: ServiceIx,
    /// Its endpoint.
    pub endpoint: EndpointIx,
    /// Which of its addresses: v4 in file order, then v6; 0 for a CNAME.
    pub address: u16,
    /// The check.
    pub check: CheckIx,
    /// Who looked.
    pub observer: ObserverId,
}

/// Health evidence. What is not in it reads as `default`.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// For a check of which nothing is known.
    pub default: State,
    /// What observers reported.
    pub states: BTreeMap<EvidenceKey, State>,
}

impl Evidence {
    /// Nobody has looked: every check counts as up.
    pub fn all_up() -> Evidence {
        Evidence { default: State::Up, states: BTreeMap::new() }
    }

    /// What each observer says of one address and check, in the order of their ids.
    pub fn observed(
        &self,
        service: ServiceIx,
        endpoint: EndpointIx,
        address: u16,
        check: CheckIx,
    ) -> impl Iterator<Item = (&ObserverId, State)> {
        // Observer ids are not empty, so no key sorts before this one.
        let first = (service, endpoint, address, check);
        self.states
            .range(Self::range(first)..)
            .take_while(move |(key, _)| (key.service, key.endpoint, key.address, key.check) == first)
            .map(|(key, state)| (&key.observer, *state))
    }

    fn range((service, endpoint, address, check): (ServiceIx, EndpointIx, u16, CheckIx)) -> EvidenceKey {
        EvidenceKey { service, endpoint, address, check, observer: ObserverId::first() }
    }
}

/// One address of one endpoint of one service: what a verdict is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressKey {
    /// The service.
    pub service: ServiceIx,
    /// Its endpoint.
    pub endpoint: EndpointIx,
    /// Which of its addresses: v4 in file order, then v6; 0 for a CNAME.
    pub address: u16,
}

/// What is made of all evidence about one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// It is in its hold-down: it recovered, and is used only when nothing else is up.
    pub is_held: bool,
}

impl Verdict {
    /// Nothing is held.
    pub fn of(state: State) -> Verdict {
        Verdict { state, is_held: false }
    }
}

/// The health of every address, as routing sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Of an address that is not in `of` and whose endpoint has checks. Without checks it is up.
    pub default: State,
    /// By address.
    pub of: BTreeMap<AddressKey, Verdict>,
}

impl Health {
    /// Everything is up.
    pub fn all_up() -> Health {
        Health { default: State::Up, of: BTreeMap::new() }
    }

    /// The verdict on one address; `has_checks`: its endpoint's health is somebody's business.
    pub fn verdict(&self, key: AddressKey, has_checks: bool) -> Verdict {
        self.of.get(&key).copied().unwrap_or(Verdict::of(if has_checks { self.default } else { State::Up }))
    }
}

/// Whether operators let something answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Admin {
    /// It may answer.
    #[default]
    In,
    /// Ordered out; old answers have not all expired.
    Draining,
    /// Ordered out; no old answer is left.
    Out,
}

/// A health state that an operator forced, over what probes see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Forced {
    Up,
    Down,
}

/// Which services and regions something is about. `None` is all, present and future.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Scope {
    /// These services.
    pub services: Option<BTreeSet<ServiceIx>>,
    /// Clients of these regions; `None` inside the set is elsewhere.
    pub regions: Option<BTreeSet<Option<RegionIx>>>,
}

impl Scope {
    /// Everything.
    pub fn all() -> Scope {
        Scope::default()
    }

    /// True when it is about clients of `region` asking for `service`.
    pub fn covers(&self, service: ServiceIx, region: Option<RegionIx>) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(&service))
            && self.regions.as_ref().is_none_or(|regions| regions.contains(&region))
    }

    /// How narrow it is: the narrower wins. A scope that names services is narrower than one that does
    /// not; among equals, one that names regions.
    pub fn narrowness(&self) -> u8 {
        2 * u8::from(self.services.is_some()) + u8::from(self.regions.is_some())
    }
}

/// What a standing order says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OverrideKind {
    /// These data centres answer even when they are down, and nothing else does.
    Pin {
        /// One, or the members of a group.
        to: BTreeSet<DatacenterIx>,
        /// Only clients whom policy would give one of these move.
        from: Option<BTreeSet<DatacenterIx>>,
    },
    /// These data centres answer before any geography.
    Prefer {
        /// One, or the members of a group.
        to: BTreeSet<DatacenterIx>,
        /// Only clients whom policy would give one of these move.
        from: Option<BTreeSet<DatacenterIx>>,
        /// The target has been down for the whole of `switch_hold`: policy's order applies again, with
        /// `left` at the end.
        yielded: bool,
        /// The data centres that clients were moved away from.
        left: BTreeSet<DatacenterIx>,
    },
    /// A planned preference: before the region's tiers, but behind the latch, and without a hold.
    Schedule {
        /// One, or the members of a group.
        to: BTreeSet<DatacenterIx>,
    },
    /// Another weight.
    Weight {
        /// Of these endpoints, by service.
        endpoints: BTreeSet<(ServiceIx, EndpointIx)>,
        /// In place of the one that policy gives.
        weight: Weight,
    },
    /// Another TTL.
    Ttl(Ttl),
}

/// A standing order, with whom, why and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// What it says.
    pub kind: OverrideKind,
    /// For whom.
    pub scope: Scope,
    /// Its place in the log of orders: also its identity.
    pub revision: Revision,
    /// Who gave it, as claimed.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub expires_at: Option<SystemTime>,
}

/// A data centre that clients left because it was down: it stays behind the others until failback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latch {
    /// Which.
    pub datacenter: DatacenterIx,
    /// For whom.
    pub scope: Scope,
}

/// Whether a tier's entry condition holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// It may be chosen.
    Met,
    /// Not by itself, and why; an order may enter.
    ByOrder(String),
    /// Not even by order, unless nothing better serves: a check that it asks for is not up. And why.
    Unmet(String),
}

/// Everything that compile takes besides files.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Health.
    pub health: Health,
    /// Data centres that are not simply in.
    pub datacenters: BTreeMap<DatacenterIx, Admin>,
    /// Endpoints that are not simply in.
    pub endpoints: BTreeMap<(ServiceIx, EndpointIx), Admin>,
    /// Forced states of whole data centres.
    pub forced_datacenters: BTreeMap<DatacenterIx, Forced>,
    /// Forced states of single endpoints. Down wins, whether it is an endpoint's or its data centre's.
    pub forced_endpoints: BTreeMap<(ServiceIx, EndpointIx), Forced>,
    /// Latched data centres.
    pub latches: Vec<Latch>,
    /// Standing orders.
    pub overrides: Vec<Override>,
    /// Entry conditions by (service, region, position of the tier). What is missing reads as met when
    /// the condition is only a delay, else as unmet.
    pub entries: BTreeMap<(ServiceIx, Option<RegionIx>, u16), EntryState>,
    /// Endpoints in the target of a preference that have been down for the whole of `switch_hold`: where nothing else
    /// of the target may answer, the preference has yielded, as if its order said so.
    pub yields: BTreeSet<(Revision, ServiceIx, EndpointIx)>,
    /// What a preference moved the clients of one service away from, in place of what its order says for all.
    pub left: BTreeMap<(Revision, ServiceIx), BTreeSet<DatacenterIx>>,
    /// For whom an order no longer holds, although its scope covers them.
    pub excepted: BTreeMap<Revision, Vec<Scope>>,
    /// The last order in force.
    pub revision: Revision,
}

impl Facts {
    /// True when `order` is about clients of `region` asking for `service`, and was not taken back for them.
    pub fn applies(&self, order: &Override, service: ServiceIx, region: Option<RegionIx>) -> bool {
        order.scope.covers(service, region)
            && !self
                .excepted
                .get(&order.revision)
                .is_some_and(|scopes| scopes.iter().any(|s| s.covers(service, region)))
    }

    /// No orders, and everything up.
    pub fn all_up() -> Facts {
        Facts {
            health: Health::all_up(),
            datacenters: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            forced_datacenters: BTreeMap::new(),
            forced_endpoints: BTreeMap::new(),
            latches: Vec::new(),
            overrides: Vec::new(),
            entries: BTreeMap::new(),
            yields: BTreeSet::new(),
            left: BTreeMap::new(),
            excepted: BTreeMap::new(),
            revision: Revision(0),
        }
    }
}
