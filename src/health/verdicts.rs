//! Verdicts over time: from what all observers say to what routing believes.
//!
//! Evidence is this node's own (the states of its targets) and what other observers and external reporters told
//! (each report until it expires). For every address that somebody watches:
//!
//! ```text
//! evidence ──majority of observers, then CheckExpr──▶ seen ──min_healthy of the data centre──▶ counts as
//!               │ unknown keeps the last one, stale         │ not met: all watched ones are down
//!               └ follows: the followed endpoint's          └▶ falls at once; rises into a hold-down
//! ```
//!
//! # Invariants
//! - Silence is not death: evidence that goes away, or says "unknown", changes no state that was known.
//! - A fall counts at once. A hold-down only marks what came back, and ends by itself.
//! - [`Verdicts::health`] holds an entry only for what is not plainly up.
//!
//! Time is an argument; nothing here looks at a clock. The policy is one too: this room keeps indices into it, and
//! [`Verdicts::load`] moves everything over, by name, when it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::verdict::{combine, majority};
use super::{HoldDown, TargetId};
use crate::limits;
use crate::model::{
    AddressKey, CheckExpr, CheckId, CheckIx, Data, DatacenterIx, Endpoint, EndpointId, EndpointIx, EvidenceKey, Health,
    HealthSettings, Moment, Name, ObserverId, PolicySet, ServiceIx, State, Verdict,
};

/// What another observer, or an external reporter, says of one check of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserverReport {
    /// What it is about, and whose it is.
    pub key: EvidenceKey,
    /// What they saw.
    pub state: State,
    /// For a person: why.
    pub detail: Option<Arc<str>>,
    /// How long it counts.
    pub ttl: Duration,
}

/// A report that is kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// What it is about, and whose it is.
    pub key: &'a EvidenceKey,
    /// What counts.
    pub state: State,
    /// For a person: why.
    pub detail: Option<&'a Arc<str>>,
    /// When it ends, or ended.
    pub expires: Moment,
    /// Nobody renewed it; it counts as down, because the check says that silence does.
    pub is_silent: bool,
}

/// A verdict that is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Of which address.
    pub key: AddressKey,
    /// What it was.
    pub from: Verdict,
    /// What it is.
    pub to: Verdict,
}

/// A verdict with what people want to know about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressVerdict {
    /// What counts.
    pub verdict: Verdict,
    /// Since when the state is this one.
    pub since: Moment,
    /// Until when it waits in its hold-down.
    pub held_until: Option<Moment>,
    /// Nobody says so any more: it is the last thing that was known.
    pub is_stale: bool,
    /// It counts as down because too little of its data centre is up.
    pub is_withheld: bool,
}

/// What is kept of one watched address.
#[derive(Clone, Debug)]
struct Memory {
    /// The last state that was known.
    seen: State,
    is_stale: bool,
    /// What counts: `seen`, unless its data centre has too little.
    counts_as: State,
    since: Moment,
    hold: HoldDown,
}

impl Memory {
    fn new(now: Moment) -> Memory {
        Memory {
            seen: State::Unknown,
            is_stale: false,
            counts_as: State::Unknown,
            since: now,
            hold: HoldDown::default(),
        }
    }

    fn verdict(&self) -> Verdict {
        Verdict { state: self.counts_as, is_held: self.counts_as == State::Up && self.hold.until().is_some() }
    }
}

#[derive(Clone, Debug)]
struct KeptReport {
    state: State,
    detail: Option<Arc<str>>,
    expires: Moment,
    /// Nobody renewed it; it counts as down, because the check says that silence does.
    is_silent: bool,
}

/// All evidence, and the verdicts on it.
#[derive(Clone, Debug)]
pub struct Verdicts {
    settings: HealthSettings,
    of: BTreeMap<(AddressKey, CheckIx), TargetId>,
    users: HashMap<TargetId, Vec<(AddressKey, CheckIx)>>,
    own: HashMap<TargetId, State>,
    unheard: HashSet<TargetId>,
    reports: BTreeMap<EvidenceKey, KeptReport>,
    expiries: BTreeSet<(Moment, EvidenceKey)>,
    followers: BTreeMap<(ServiceIx, EndpointIx), Vec<(ServiceIx, EndpointIx)>>,
    /// The watched endpoints of each data centre that asks for a minimum.
    members: BTreeMap<DatacenterIx, Vec<(ServiceIx, EndpointIx)>>,
    withheld: BTreeSet<DatacenterIx>,
    memory: BTreeMap<AddressKey, Memory>,
    holds: BTreeSet<(Moment, AddressKey)>,
    health: Health,
}

impl Verdicts {
    /// Nothing is watched yet.
    pub fn new() -> Verdicts {
        Verdicts {
            settings: HealthSettings::default(),
            of: BTreeMap::new(),
            users: HashMap::new(),
            own: HashMap::new(),
            unheard: HashSet::new(),
            reports: BTreeMap::new(),
            expiries: BTreeSet::new(),
            followers: BTreeMap::new(),
            members: BTreeMap::new(),
            withheld: BTreeSet::new(),
            memory: BTreeMap::new(),
            holds: BTreeSet::new(),
            health: Health::all_up(),
        }
    }

    /// Goes over from the policy `old` to `new`. `of` says which target tells of a check of an address; external
    /// checks have none. States, hold-downs and reports stay with what has the same name, and an address that is
    /// listed elsewhere in its endpoint is still the same one.
    pub fn load(
        &mut self,
        old: &PolicySet,
        new: &PolicySet,
        of: BTreeMap<(AddressKey, CheckIx), TargetId>,
        settings: &HealthSettings,
        now: Moment,
    ) {
        self.settings = settings.clone();
        self.carry_memory(old, new, now);
        self.carry_reports(old, new);
        self.users.clear();
        for ((key, check), target) in &of {
            self.users.entry(*target).or_default().push((*key, *check));
        }
        self.of = of;
        let users = &self.users;
        self.own.retain(|target, _| users.contains_key(target));
        self.unheard = users.keys().copied().filter(|target| !self.own.contains_key(target)).collect();
        (self.followers, self.members) = (BTreeMap::new(), BTreeMap::new());
        for (service, ix, endpoint) in endpoints(new) {
            if let Some(followed) = endpoint.follows {
                self.followers.entry(followed).or_default().push((service, ix));
            }
            let needs_some = new.datacenters[endpoint.datacenter.at()].min_healthy.is_some();
            if needs_some && endpoint.is_watched() {
                self.members.entry(endpoint.datacenter).or_default().push((service, ix));
            }
        }
        self.withheld.retain(|datacenter| self.members.contains_key(datacenter));
        self.health = Health::all_up();
        let all: BTreeSet<AddressKey> = self.memory.keys().copied().collect();
        for (key, memory) in &self.memory {
            show(&mut self.health, *key, memory.verdict());
        }
        let datacenters = self.members.keys().copied().collect();
        self.settle_in(new, all, datacenters, now);
        self.count_as_heard();
    }

    /// Targets all of whose addresses are known already keep nobody waiting.
    fn count_as_heard(&mut self) {
        let Verdicts { unheard, users, memory, .. } = self;
        let is_known = |key: &AddressKey| memory.get(key).is_none_or(|memory| memory.seen != State::Unknown);
        unheard.retain(|target| users.get(target).is_some_and(|users| !users.iter().all(|(key, _)| is_known(key))));
    }

    fn carry_memory(&mut self, old: &PolicySet, new: &PolicySet, now: Moment) {
        let mut known: HashMap<AddressName<'_>, Memory> = HashMap::new();
        for (key, memory) in std::mem::take(&mut self.memory) {
            known.extend(AddressName::of(old, key).map(|name| (name, memory)));
        }
        for (service, ix, endpoint) in endpoints(new).filter(|(_, _, endpoint)| endpoint.is_watched()) {
            for key in keys(service, ix, endpoint) {
                let name = AddressName::of(new, key);
                let memory = name.and_then(|name| known.remove(&name));
                self.memory.insert(key, memory.unwrap_or_else(|| Memory::new(now)));
            }
        }
        let ends = |(key, memory): (&AddressKey, &Memory)| Some((memory.hold.until()?, *key));
        self.holds = self.memory.iter().filter_map(ends).collect();
    }

    fn carry_reports(&mut self, old: &PolicySet, new: &PolicySet) {
        let reports = std::mem::take(&mut self.reports);
        self.expiries.clear();
        if reports.is_empty() {
            return;
        }
        let mut keys_now: HashMap<AddressName<'_>, AddressKey> = HashMap::new();
        for (service, ix, endpoint) in endpoints(new) {
            let named = keys(service, ix, endpoint).filter_map(|key| Some((AddressName::of(new, key)?, key)));
            keys_now.extend(named);
        }
        let checks: HashMap<&CheckId, usize> =
            new.checks.iter().enumerate().map(|(at, check)| (&check.id, at)).collect();
        for (key, report) in reports {
            let name = AddressName::of(old, address_of(&key));
            let Some(to) = name.and_then(|name| keys_now.get(&name)) else { continue };
            let check = old.checks.get(usize::from(key.check.0)).and_then(|check| checks.get(&check.id));
            let Some(check) = check.and_then(|at| u16::try_from(*at).ok()) else { continue };
            let key = EvidenceKey {
                service: to.service,
                endpoint: to.endpoint,
                address: to.address,
                check: CheckIx(check),
                observer: key.observer,
            };
            if !report.is_silent {
                self.expiries.insert((report.expires, key.clone()));
            }
            self.reports.insert(key, report);
        }
    }

    /// What was known before this process began: it holds, marked stale, until somebody says otherwise.
    pub fn remember(&mut self, policy: &PolicySet, known: impl IntoIterator<Item = (AddressKey, State)>, now: Moment) {
        let mut touched = BTreeSet::new();
        for (key, state) in known {
            if let Some(memory) = self.memory.get_mut(&key).filter(|memory| memory.seen == State::Unknown) {
                (memory.seen, memory.is_stale) = (state, state != State::Unknown);
                touched.insert(key);
            }
        }
        self.settle(policy, touched, now);
        self.count_as_heard();
    }

    /// Takes in the states of this node's targets. Targets that nobody knows are passed over.
    pub fn observe(&mut self, policy: &PolicySet, states: &[(TargetId, State)], now: Moment) -> Vec<Transition> {
        let mut touched = BTreeSet::new();
        for (target, state) in states {
            let Some(users) = self.users.get(target) else { continue };
            touched.extend(users.iter().map(|(key, _)| *key));
            self.own.insert(*target, *state);
            self.unheard.remove(target);
        }
        self.settle(policy, touched, now)
    }

    /// Takes in what others report: "unknown" takes back what its observer said before. Says how many were not taken: about what the policy does not name, or beyond
    /// [`limits::REPORTS_MAX`].
    pub fn report(
        &mut self,
        policy: &PolicySet,
        reports: impl IntoIterator<Item = ObserverReport>,
        now: Moment,
    ) -> (Vec<Transition>, usize) {
        let (mut touched, mut refused) = (BTreeSet::new(), 0);
        for ObserverReport { key, state, detail, ttl } in reports {
            let is_new = !self.reports.contains_key(&key);
            let is_named = is_in(policy, address_of(&key)) && usize::from(key.check.0) < policy.checks.len();
            if !is_named || (is_new && self.reports.len() >= limits::REPORTS_MAX) {
                refused += 1;
                continue;
            }
            touched.insert(address_of(&key));
            if state == State::Unknown {
                // Who does not know takes back what he said; so his silence later says nothing.
                if let Some(old) = self.reports.remove(&key) {
                    self.expiries.remove(&(old.expires, key));
                }
                continue;
            }
            let expires = now + ttl.min(Duration::from_secs(limits::REPORT_TTL_MAX_S));
            self.expiries.insert((expires, key.clone()));
            let old = self.reports.insert(key.clone(), KeptReport { state, detail, expires, is_silent: false });
            if let Some(old) = old.filter(|old| old.expires != expires) {
                self.expiries.remove(&(old.expires, key));
            }
        }
        (self.settle(policy, touched, now), refused)
    }

    /// Lets end what ends by itself: hold-downs, and reports that nobody renewed.
    pub fn tick(&mut self, policy: &PolicySet, now: Moment) -> Vec<Transition> {
        let mut touched = BTreeSet::new();
        while let Some((expires, key)) = self.expiries.first().cloned().filter(|(expires, _)| *expires <= now) {
            self.expiries.remove(&(expires, key.clone()));
            touched.insert(address_of(&key));
            let check = policy.checks.get(usize::from(key.check.0));
            if !check.is_some_and(|check| check.spec.silence_is_down) {
                self.reports.remove(&key);
            } else if let Some(report) = self.reports.get_mut(&key) {
                (report.state, report.is_silent) = (State::Down, true);
            }
        }
        let mut transitions = self.settle(policy, touched, now);
        while let Some((end, key)) = self.holds.first().copied().filter(|(end, _)| *end <= now) {
            self.holds.remove(&(end, key));
            let Some(memory) = self.memory.get_mut(&key) else { continue };
            let from = memory.verdict();
            if memory.hold.end(now) {
                show(&mut self.health, key, memory.verdict());
                transitions.push(Transition { key, from, to: memory.verdict() });
            }
        }
        transitions
    }

    /// When [`Verdicts::tick`] has something to do next.
    pub fn next_wake(&self) -> Option<Moment> {
        let hold = self.holds.first().map(|(at, _)| *at);
        hold.into_iter().chain(self.expiries.first().map(|(at, _)| *at)).min()
    }

    /// For the facts of a table.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// True when every target has said something since it is watched, or is remembered.
    pub fn is_complete(&self) -> bool {
        self.unheard.is_empty()
    }

    /// What a target tells of.
    pub fn users(&self, target: TargetId) -> &[(AddressKey, CheckIx)] {
        self.users.get(&target).map_or(&[], Vec::as_slice)
    }

    /// Data centres all of whose endpoints count as down because too few are up.
    pub fn withheld(&self) -> &BTreeSet<DatacenterIx> {
        &self.withheld
    }

    /// The verdict on every watched address of these services.
    pub fn addresses(
        &self,
        services: std::ops::Range<ServiceIx>,
    ) -> impl Iterator<Item = (AddressKey, AddressVerdict)> + use<'_> {
        let key = |service| AddressKey { service, endpoint: EndpointIx(0), address: 0 };
        self.memory.range(key(services.start)..key(services.end)).map(|(key, memory)| {
            let verdict = AddressVerdict {
                verdict: memory.verdict(),
                since: memory.since,
                held_until: memory.hold.until(),
                is_stale: memory.is_stale,
                is_withheld: memory.counts_as != memory.seen,
            };
            (*key, verdict)
        })
    }

    /// What others say of these services, by address and check.
    pub fn reports(&self, services: std::ops::Range<ServiceIx>) -> impl Iterator<Item = Kept<'_>> + use<'_> {
        let first = |service| least(AddressKey { service, endpoint: EndpointIx(0), address: 0 }, CheckIx(0));
        self.reports.range(first(services.start)..first(services.end)).map(|(key, report)| Kept {
            key,
            state: report.state,
            detail: report.detail.as_ref(),
            expires: report.expires,
            is_silent: report.is_silent,
        })
    }

    /// The state of an address as it was last known, whatever its data centre makes of it: what outlives the
    /// process.
    pub fn last_known(&self, key: AddressKey) -> State {
        self.memory.get(&key).map_or(State::Unknown, |memory| memory.seen)
    }

    /// What all observers together say of one check of an address, now.
    pub fn check(&self, key: AddressKey, check: CheckIx) -> State {
        let own = self.of.get(&(key, check)).and_then(|target| self.own.get(target)).copied();
        let others = self.reports_of(key, check).map(|(_, report)| report.state);
        majority(own.into_iter().chain(others)).unwrap_or(State::Unknown)
    }

    /// How many observers, this node included, each see the endpoint down, by their own evidence alone. Silence
    /// confirms nothing.
    pub fn confirmations(
        &self,
        policy: &PolicySet,
        service: ServiceIx,
        endpoint: EndpointIx,
    ) -> BTreeSet<Option<ObserverId>> {
        let of = policy.services[service.at()].endpoint(endpoint);
        let (service, endpoint) = of.follows.unwrap_or((service, endpoint));
        let of = policy.services[service.at()].endpoint(endpoint);
        let first = AddressKey { service, endpoint, address: 0 };
        let told = self.reports.range(least(first, CheckIx(0))..);
        let told = told.take_while(|(key, _)| (key.service, key.endpoint) == (service, endpoint));
        let others: BTreeSet<&ObserverId> = told.map(|(key, _)| &key.observer).collect();
        let own = |key, check| self.of.get(&(key, check)).and_then(|target| self.own.get(target)).copied();
        let mut agree = BTreeSet::new();
        if endpoint_state(of, keys(service, endpoint, of).map(|key| sees(&of.health, |check| own(key, check))))
            == State::Down
        {
            agree.insert(None);
        }
        for observer in others {
            let said = |key, check| {
                let mut reports = self.reports_of(key, check);
                let (_, report) = reports.find(|(by, report)| *by == observer && !report.is_silent)?;
                Some(report.state)
            };
            let states = keys(service, endpoint, of).map(|key| sees(&of.health, |check| said(key, check)));
            if endpoint_state(of, states) == State::Down {
                agree.insert(Some(observer.clone()));
            }
        }
        agree
    }

    fn reports_of(&self, of: AddressKey, check: CheckIx) -> impl Iterator<Item = (&ObserverId, &KeptReport)> {
        self.reports
            .range(least(of, check)..)
            .take_while(move |(key, _)| address_of(key) == of && key.check == check)
            .map(|(key, report)| (&key.observer, report))
    }

    /// Makes the verdicts on `touched` anew, and on all that depends on them.
    fn settle(&mut self, policy: &PolicySet, touched: BTreeSet<AddressKey>, now: Moment) -> Vec<Transition> {
        self.settle_in(policy, touched, BTreeSet::new(), now)
    }

    /// The same, counting the endpoints of `recounted` whatever has changed.
    fn settle_in(
        &mut self,
        policy: &PolicySet,
        touched: BTreeSet<AddressKey>,
        recounted: BTreeSet<DatacenterIx>,
        now: Moment,
    ) -> Vec<Transition> {
        let mut changed: BTreeSet<AddressKey> = BTreeSet::new();
        let mut seen_anew: BTreeSet<(ServiceIx, EndpointIx)> = BTreeSet::new();
        let mut following: BTreeSet<(ServiceIx, EndpointIx)> = BTreeSet::new();
        for key in touched {
            let endpoint = policy.services[key.service.at()].endpoint(key.endpoint);
            if endpoint.follows.is_some() {
                following.insert((key.service, key.endpoint));
                continue;
            }
            let state = combine(&endpoint.health, &|check| self.check(key, check));
            if self.see(key, state) {
                seen_anew.insert((key.service, key.endpoint));
            }
            following.extend(self.followers.get(&(key.service, key.endpoint)).into_iter().flatten());
            changed.insert(key);
        }
        for (service, ix) in following {
            let endpoint = policy.services[service.at()].endpoint(ix);
            let Some((of_service, of_ix)) = endpoint.follows else { continue };
            let followed = policy.services[of_service.at()].endpoint(of_ix);
            let state = match followed.is_watched() {
                true => self.seen(of_service, of_ix, followed),
                false => State::Up,
            };
            for key in keys(service, ix, endpoint) {
                if self.see(key, state) {
                    seen_anew.insert((service, ix));
                }
                changed.insert(key);
            }
        }
        let datacenters: BTreeSet<DatacenterIx> = seen_anew
            .iter()
            .map(|(service, endpoint)| policy.services[service.at()].endpoint(*endpoint).datacenter)
            .filter(|datacenter| self.members.contains_key(datacenter))
            .chain(recounted)
            .collect();
        for datacenter in datacenters {
            changed.extend(self.recount(policy, datacenter));
        }
        changed.into_iter().filter_map(|key| self.conclude(policy, key, now)).collect()
    }

    /// True when the state that is known is another than before.
    fn see(&mut self, key: AddressKey, state: State) -> bool {
        let Some(memory) = self.memory.get_mut(&key) else { return false };
        if state == State::Unknown {
            memory.is_stale = memory.seen != State::Unknown;
            return false;
        }
        memory.is_stale = false;
        std::mem::replace(&mut memory.seen, state) != state
    }

    fn seen(&self, service: ServiceIx, ix: EndpointIx, endpoint: &Endpoint) -> State {
        endpoint_state(endpoint, keys(service, ix, endpoint).map(|key| self.last_known(key)))
    }

    /// Counts the endpoints of a data centre that are up; if that makes a difference, all of its addresses are
    /// concerned. While something is unknown it may be up: silence is not death.
    fn recount(&mut self, policy: &PolicySet, datacenter: DatacenterIx) -> Vec<AddressKey> {
        let (Some(needed), Some(members)) =
            (policy.datacenters[datacenter.at()].min_healthy, self.members.get(&datacenter))
        else {
            return Vec::new();
        };
        let endpoint = |(service, ix): &(ServiceIx, EndpointIx)| policy.services[service.at()].endpoint(*ix);
        let may_be_up = members.iter().filter(|member| self.seen(member.0, member.1, endpoint(member)) != State::Down);
        let is_met = needed.is_met(may_be_up.count(), members.len());
        if is_met != self.withheld.contains(&datacenter) {
            return Vec::new();
        }
        let concerned = members.iter().flat_map(|member| keys(member.0, member.1, endpoint(member))).collect();
        match is_met {
            true => self.withheld.remove(&datacenter),
            false => self.withheld.insert(datacenter),
        };
        concerned
    }

    /// What counts now, with falls and hold-downs.
    fn conclude(&mut self, policy: &PolicySet, key: AddressKey, now: Moment) -> Option<Transition> {
        let datacenter = policy.services[key.service.at()].endpoint(key.endpoint).datacenter;
        let memory = self.memory.get_mut(&key)?;
        let state = if self.withheld.contains(&datacenter) { State::Down } else { memory.seen };
        let from = memory.verdict();
        if state == memory.counts_as {
            return None;
        }
        if let Some(until) = memory.hold.until() {
            self.holds.remove(&(until, key));
        }
        match (memory.counts_as, state) {
            (_, State::Down) => memory.hold.fall(now, &self.settings),
            (State::Down, State::Up) => {
                self.holds.extend(memory.hold.rise(now, &self.settings).map(|until| (until, key)));
            }
            (State::Down | State::Up | State::Unknown, _) => {}
        }
        (memory.counts_as, memory.since) = (state, now);
        show(&mut self.health, key, memory.verdict());
        Some(Transition { key, from, to: memory.verdict() })
    }
}

impl Default for Verdicts {
    fn default() -> Verdicts {
        Verdicts::new()
    }
}

/// An address by names that outlive an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct AddressName<'a> {
    service: &'a Name,
    endpoint: &'a EndpointId,
    /// `None`: it is a name.
    address: Option<IpAddr>,
}

impl AddressName<'_> {
    fn of(policy: &PolicySet, key: AddressKey) -> Option<AddressName<'_>> {
        let service = policy.services.get(key.service.at())?;
        let endpoint = service.endpoints.get(key.endpoint.at())?;
        Some(AddressName {
            service: &service.name,
            endpoint: &endpoint.id,
            address: endpoint.data.address(key.address),
        })
    }
}

fn endpoints(policy: &PolicySet) -> impl Iterator<Item = (ServiceIx, EndpointIx, &Endpoint)> {
    policy
        .services
        .iter()
        .enumerate()
        .flat_map(|(at, service)| service.endpoints().map(move |(ix, endpoint)| (ServiceIx::from_at(at), ix, endpoint)))
}

fn keys(service: ServiceIx, endpoint: EndpointIx, of: &Endpoint) -> impl Iterator<Item = AddressKey> + use<> {
    let count = u16::try_from(of.data.address_count()).expect("bounded by the addresses of an endpoint");
    (0..count).map(move |address| AddressKey { service, endpoint, address })
}

fn address_of(key: &EvidenceKey) -> AddressKey {
    AddressKey { service: key.service, endpoint: key.endpoint, address: key.address }
}

/// Also where nobody watches: the check may be a tier's condition.
fn is_in(policy: &PolicySet, key: AddressKey) -> bool {
    let service = policy.services.get(key.service.at());
    let endpoint = service.and_then(|service| service.endpoints.get(key.endpoint.at()));
    endpoint.is_some_and(|endpoint| usize::from(key.address) < endpoint.data.address_count())
}

/// The key before every report on one check of an address.
fn least(of: AddressKey, check: CheckIx) -> EvidenceKey {
    let AddressKey { service, endpoint, address } = of;
    EvidenceKey { service, endpoint, address, check, observer: ObserverId::first() }
}

fn sees(checks: &CheckExpr, evidence: impl Fn(CheckIx) -> Option<State>) -> State {
    combine(checks, &|check| evidence(check).unwrap_or(State::Unknown))
}

/// One word for an endpoint from those for its addresses.
fn endpoint_state(endpoint: &Endpoint, addresses: impl Iterator<Item = State>) -> State {
    let (mut up, mut unknown) = (0, 0);
    for state in addresses {
        match state {
            State::Up => up += 1,
            State::Unknown => unknown += 1,
            State::Down => {}
        }
    }
    let min = match &endpoint.data {
        Data::Addresses { min, .. } => usize::from(*min).max(1),
        Data::Cname(_) => 1,
    };
    match (up >= min, up + unknown >= min) {
        (true, _) => State::Up,
        (false, true) => State::Unknown,
        (false, false) => State::Down,
    }
}

/// Only what is not plainly up has an entry.
fn show(health: &mut Health, key: AddressKey, verdict: Verdict) {
    match verdict == Verdict::of(State::Up) {
        true => health.of.remove(&key),
        false => health.of.insert(key, verdict),
    };
}

#[cfg(test)]
#[path = "verdicts_tests.rs"]
mod tests;
