//! Latches: a data centre that clients left because it was down stays behind the others until failback.
//!
//! Asked of each route after a change, with the planner's own code: *whom would policy choose if everything were
//! up?* What of that is down while something else answers has been left, or passed over, and is latched, whatever
//! the order in which things failed; then the same is asked again behind the new latch, until nothing more is
//! found. So "the standby died a second before the primary" and "a second after" come to the same. A move that an
//! order made leaves no latch: what is ordered out is nobody's first choice, and a switch is.
//!
//! A latch ends
//! - by order ([`Latches::failback`]), when the data centre is up;
//! - by itself where the policy says `failback: after` or `auto`: up without a break for so long, the cooldown over
//!   since the last move away, and no switch standing;
//! - when clients have to go there because nothing else is usable: then what they leave is latched in its place. What
//!   was only passed over goes before what clients have really left.
//!
//! `auto` on a route without ordered tiers never latches: members come back after their hold-down.
//!
//! Kept by name, and dated by the wall clock, so that latches outlive a restart. Within a process time is counted on
//! the clock that never jumps; across a restart, a wall clock that went back counts as no time at all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::scene::Scene;
use crate::limits;
use crate::model::{
    DatacenterIx, EndpointIx, Facts, Failback, Latch, Method, Moment, OverrideKind, PolicySet, RegionIx, Route, Scope,
    ServiceIx, State, Verdict,
};
use crate::steer::{Floor, Plan, Source, Standing};
use crate::table::RoutingTable;

/// For whom, and which data centre.
pub(super) type LatchKey = (ServiceIx, Option<RegionIx>, DatacenterIx);

/// A latch as it is stored: by names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeptLatch {
    /// The service's name.
    pub service: String,
    /// The region whose clients left; `None`: elsewhere.
    pub region: Option<String>,
    /// The data centre that they left.
    pub datacenter: String,
    /// The endpoints there that would have answered.
    pub endpoints: Vec<String>,
    /// When they left.
    #[serde(with = "crate::store::time")]
    pub since: SystemTime,
    /// Why, for a person.
    pub why: String,
    /// It was down when its turn came: clients have not been there.
    #[serde(default)]
    pub is_passed_over: bool,
}

/// A latch that stands.
#[derive(Clone, Debug)]
pub(super) struct Latched {
    pub(super) since: SystemTime,
    pub(super) why: String,
    /// It was down when its turn came: clients have not been there.
    is_passed_over: bool,
    /// It was this old at that moment.
    age: (Duration, Moment),
    endpoints: BTreeSet<EndpointIx>,
    /// Since when it could take its clients back.
    pub(super) up_since: Option<Moment>,
    /// It is up, if only in its hold-down.
    pub(super) is_back: bool,
    /// When it ends by itself, if nothing intervenes.
    pub(super) returns_at: Option<Moment>,
}

impl Latched {
    fn age(&self, now: Moment) -> Duration {
        self.age.0.saturating_add(now.since(self.age.1))
    }
}

/// The table that served before, if it had the same files; and the time, on both clocks.
pub(super) type Since<'a> = (Option<&'a RoutingTable>, Moment, SystemTime);

/// What a failback came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FailedBack {
    pub(super) released: Vec<LatchKey>,
    /// Their data centres are still down.
    pub(super) kept: Vec<LatchKey>,
}

/// What one look at a service came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Settled {
    pub(super) latched: Vec<LatchKey>,
    /// And why, for a person.
    pub(super) released: Vec<(LatchKey, &'static str)>,
    /// Who answers each route.
    pub(super) chosen: BTreeMap<Option<RegionIx>, Chosen>,
}

/// Who answers a route.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    /// By policy's own choice.
    pub(super) automatic: BTreeSet<EndpointIx>,
    /// Because an order says so.
    pub(super) ordered: BTreeSet<EndpointIx>,
}

/// All latches.
#[derive(Clone, Debug, Default)]
pub(super) struct Latches {
    standing: BTreeMap<LatchKey, Latched>,
    /// About what no file names now: a file that is gone by mistake may come back.
    nameless: Vec<KeptLatch>,
}

impl Latches {
    /// Takes over what was stored, or what stood under another policy.
    pub(super) fn load(&mut self, kept: Vec<KeptLatch>, policy: &PolicySet, now: Moment, wall: SystemTime) {
        let names = Names::of(policy);
        for latch in kept {
            match names.resolve(&latch).filter(|_| self.standing.len() < limits::LATCHES_MAX) {
                Some((key, endpoints)) => {
                    let age = wall.duration_since(latch.since).unwrap_or_default();
                    self.standing.insert(
                        key,
                        Latched {
                            since: latch.since,
                            why: latch.why,
                            is_passed_over: latch.is_passed_over,
                            age: (age, now),
                            endpoints,
                            up_since: None,
                            is_back: false,
                            returns_at: None,
                        },
                    );
                }
                None => self.nameless.push(latch),
            }
        }
        let surplus = (self.standing.len() + self.nameless.len()).saturating_sub(limits::LATCHES_MAX);
        self.nameless.drain(..surplus.min(self.nameless.len()));
    }

    /// Goes over to another policy: by name, with what this process knows of each.
    pub(super) fn carry(&mut self, old: &PolicySet, new: &PolicySet, now: Moment, wall: SystemTime) {
        let names = Names::of(new);
        let mut kept = std::mem::take(&mut self.nameless);
        for (key, latched) in std::mem::take(&mut self.standing) {
            let latch = named(old, key, &latched);
            match names.resolve(&latch) {
                Some((key, endpoints)) => drop(self.standing.insert(key, Latched { endpoints, ..latched })),
                None => kept.push(latch),
            }
        }
        self.load(kept, new, now, wall);
    }

    /// All of them, to be stored.
    pub(super) fn kept(&self, policy: &PolicySet) -> Vec<KeptLatch> {
        let standing = self.standing.iter().map(|(key, latched)| named(policy, *key, latched));
        standing.chain(self.nameless.iter().cloned()).collect()
    }

    /// For the facts of a table: grouped, because every plan looks through them.
    pub(super) fn facts(&self) -> Vec<Latch> {
        let mut groups: BTreeMap<(DatacenterIx, Option<RegionIx>), BTreeSet<ServiceIx>> = BTreeMap::new();
        for (service, region, datacenter) in self.standing.keys() {
            groups.entry((*datacenter, *region)).or_default().insert(*service);
        }
        let latch = |((datacenter, region), services)| Latch {
            datacenter,
            scope: Scope { services: Some(services), regions: Some(BTreeSet::from([region])) },
        };
        groups.into_iter().map(latch).collect()
    }

    /// The latch, if it stands.
    pub(super) fn get(&self, key: LatchKey) -> Option<&Latched> {
        self.standing.get(&key)
    }

    /// Those that stand.
    pub(super) fn standing(&self) -> impl Iterator<Item = (&LatchKey, &Latched)> {
        self.standing.iter()
    }

    /// Services of which something may end by itself at `now`.
    pub(super) fn due(&self, now: Moment) -> BTreeSet<ServiceIx> {
        let due = self.standing.iter().filter(|(_, latched)| latched.returns_at.is_some_and(|at| at <= now));
        due.map(|((service, ..), _)| *service).collect()
    }

    /// When the next one may end by itself.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.standing.values().filter_map(|latched| latched.returns_at).min()
    }

    /// What a failback for those who are `meant` comes to.
    pub(super) fn failback_of(&self, is_meant: impl Fn(&LatchKey) -> bool) -> FailedBack {
        // In its hold-down is good enough: clients follow when that ends.
        let meant = self.standing.iter().filter(|(key, _)| is_meant(key));
        let (back, away): (Vec<_>, Vec<_>) = meant.partition(|(_, latched)| latched.is_back);
        let keys = |latches: Vec<(&LatchKey, &Latched)>| latches.into_iter().map(|(key, _)| *key).collect();
        FailedBack { released: keys(back), kept: keys(away) }
    }

    /// Ends them.
    pub(super) fn end(&mut self, keys: &[LatchKey]) {
        keys.iter().for_each(|key| drop(self.standing.remove(key)));
    }

    /// Makes the latches of one service what they must be now. `facts` are those of the next table; their latches
    /// are overwritten, and their health is not looked at: `standings` are what it comes to. `needs_choice`: who is
    /// chosen matters to somebody even when all is well.
    pub(super) fn settle(
        &mut self,
        scene: &Scene<'_>,
        ix: ServiceIx,
        standings: &[Standing],
        facts: &mut Facts,
        needs_choice: bool,
        (before, now, wall): Since<'_>,
    ) -> Settled {
        let mut settled = Settled::default();
        let first = (ix, None, DatacenterIx(0));
        let has_latches = self.standing.range(first..).next().is_some_and(|((service, ..), _)| *service == ix);
        if !needs_choice && !has_latches && standings.iter().all(|standing| standing.state() != State::Down) {
            return settled;
        }
        let all_up: Vec<Standing> = standings.iter().map(as_if_up).collect();
        for (region, outcomes) in scene.outcomes_by_region(ix) {
            let Some(route) = outcomes.first().map(|(route, _)| *route) else { continue };
            self.follow_health(scene, ix, region, standings, now);
            self.release_what_is_due(scene, ix, route, facts, now, &mut settled);
            let before = before.map(|table| scene.datacenters(table, ix, region));
            // Each turn latches what is down, or ends a latch of what is up: no data centre is met more than once.
            for _ in 0..=scene.policy().datacenters.len() {
                facts.latches = self.of_route(ix, region);
                let mut chosen = Chosen::default();
                let mut left: BTreeMap<DatacenterIx, BTreeSet<EndpointIx>> = BTreeMap::new();
                let mut entered: BTreeSet<DatacenterIx> = BTreeSet::new();
                for (route, nearest) in &outcomes {
                    let actual = scene.plan(ix, route, *nearest, standings, facts);
                    let Some(actual) = automatic(&actual) else {
                        chosen.ordered.extend(endpoints_of(&actual));
                        continue;
                    };
                    entered.extend(self.entered(scene, ix, region, standings, &actual));
                    if !is_free(route) {
                        let wanted = scene.plan(ix, route, *nearest, &all_up, facts);
                        for (datacenter, endpoints) in passed_over(scene, ix, standings, &wanted, &actual) {
                            left.entry(datacenter).or_default().extend(endpoints);
                        }
                    }
                    chosen.automatic.extend(actual);
                }
                let left = (left, before.as_ref());
                let mut is_changed =
                    self.latch(scene, (ix, region), left, &chosen.automatic, (now, wall), &mut settled);
                let ending = self.ending(ix, region, entered);
                for key in ending {
                    self.standing.remove(&key);
                    settled.released.push((key, "nothing else is usable"));
                    is_changed = true;
                }
                settled.chosen.insert(region, chosen);
                if !is_changed {
                    break;
                }
            }
        }
        settled
    }

    /// Latches what was left; true when something was.
    fn latch(
        &mut self,
        scene: &Scene<'_>,
        (ix, region): (ServiceIx, Option<RegionIx>),
        (left, before): (BTreeMap<DatacenterIx, BTreeSet<EndpointIx>>, Option<&BTreeSet<DatacenterIx>>),
        chosen: &BTreeSet<EndpointIx>,
        (now, wall): (Moment, SystemTime),
        settled: &mut Settled,
    ) -> bool {
        let mut is_changed = false;
        for (datacenter, endpoints) in left {
            let key = (ix, region, datacenter);
            if self.standing.contains_key(&key) || self.standing.len() >= limits::LATCHES_MAX {
                continue;
            }
            let ids = |endpoints: &BTreeSet<EndpointIx>| {
                let ids = endpoints.iter().map(|endpoint| scene.service(ix).endpoint(*endpoint).id.to_string());
                ids.collect::<Vec<_>>().join(", ")
            };
            let why = format!("{} down; {} answers", ids(&endpoints), ids(chosen));
            self.standing.insert(
                key,
                Latched {
                    since: wall,
                    why,
                    is_passed_over: before.is_some_and(|before| !before.contains(&datacenter)),
                    age: (Duration::ZERO, now),
                    endpoints,
                    up_since: None,
                    is_back: false,
                    returns_at: None,
                },
            );
            settled.latched.push(key);
            is_changed = true;
        }
        is_changed
    }

    fn of_route(&self, ix: ServiceIx, region: Option<RegionIx>) -> Vec<Latch> {
        let keys = self.range(ix, region);
        keys.map(|(key, _)| Latch { datacenter: key.2, scope: Scope::all() }).collect()
    }

    fn range(&self, ix: ServiceIx, region: Option<RegionIx>) -> impl Iterator<Item = (&LatchKey, &Latched)> {
        self.standing.range((ix, region, DatacenterIx(0))..=(ix, region, DatacenterIx(u16::MAX)))
    }

    /// Latched data centres to which clients are sent although they are latched, and that are up.
    fn entered(
        &self,
        scene: &Scene<'_>,
        ix: ServiceIx,
        region: Option<RegionIx>,
        standings: &[Standing],
        actual: &BTreeSet<EndpointIx>,
    ) -> Vec<DatacenterIx> {
        let up = actual.iter().filter(|endpoint| standings[endpoint.at()].is_usable(Floor::Held));
        let datacenters = up.map(|endpoint| scene.service(ix).endpoint(*endpoint).datacenter);
        datacenters.filter(|datacenter| self.standing.contains_key(&(ix, region, *datacenter))).collect()
    }

    /// Which latches end because clients have to go back to `entered`: those of what was passed over and is up, if
    /// there are any, for then clients need not go back.
    fn ending(&self, ix: ServiceIx, region: Option<RegionIx>, entered: BTreeSet<DatacenterIx>) -> Vec<LatchKey> {
        if entered.is_empty() {
            return Vec::new();
        }
        let passed = self.range(ix, region).filter(|(_, latched)| latched.is_passed_over && latched.is_back);
        let passed: Vec<LatchKey> = passed.map(|(key, _)| *key).collect();
        match passed.is_empty() {
            true => entered.into_iter().map(|datacenter| (ix, region, datacenter)).collect(),
            false => passed,
        }
    }

    /// Since when each latched data centre could take its clients back.
    fn follow_health(
        &mut self,
        scene: &Scene<'_>,
        ix: ServiceIx,
        region: Option<RegionIx>,
        standings: &[Standing],
        now: Moment,
    ) {
        let keys: Vec<LatchKey> = self.range(ix, region).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(latched) = self.standing.get_mut(&key) else { continue };
            let is_there = |endpoint: EndpointIx| match latched.endpoints.is_empty() {
                true => scene.service(ix).endpoint(endpoint).datacenter == key.2,
                false => latched.endpoints.contains(&endpoint),
            };
            let there = scene.service(ix).endpoints().filter(|(endpoint, _)| is_there(*endpoint));
            let there: Vec<&Standing> = there.map(|(endpoint, _)| &standings[endpoint.at()]).collect();
            let is_usable = |floor| there.iter().any(|standing| standing.is_usable(floor));
            latched.is_back = is_usable(Floor::Held);
            latched.up_since = is_usable(Floor::Up).then(|| latched.up_since.unwrap_or(now));
        }
    }

    fn release_what_is_due(
        &mut self,
        scene: &Scene<'_>,
        ix: ServiceIx,
        route: &Route,
        facts: &Facts,
        now: Moment,
        settled: &mut Settled,
    ) {
        let cooldown = scene.settings().health.cooldown;
        let wait = match route.failback {
            Failback::Manual => None,
            Failback::After(wait) => Some(wait),
            Failback::Auto => Some(Duration::ZERO),
        };
        let last_move = self.range(ix, route.region).map(|(_, latched)| latched.age(now)).min().unwrap_or_default();
        let is_switched = facts.overrides.iter().any(|order| match &order.kind {
            OverrideKind::Pin { .. } | OverrideKind::Prefer { .. } => facts.applies(order, ix, route.region),
            OverrideKind::Schedule { .. } | OverrideKind::Weight { .. } | OverrideKind::Ttl(_) => false,
        });
        let keys: Vec<LatchKey> = self.range(ix, route.region).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(latched) = self.standing.get_mut(&key) else { continue };
            if is_free(route) {
                self.standing.remove(&key);
                settled.released.push((key, "the policy says `failback: auto`"));
                continue;
            }
            latched.returns_at = match (wait, latched.up_since) {
                (Some(wait), Some(up_since)) if !is_switched => {
                    Some((up_since + wait).max(now + cooldown.saturating_sub(last_move)))
                }
                _ => None,
            };
            if latched.returns_at.is_some_and(|at| at <= now) {
                self.standing.remove(&key);
                settled.released.push((key, "it has been up for long enough, and the cooldown is over"));
            }
        }
    }
}

/// Comes back by itself, with no more than a hold-down.
fn is_free(route: &Route) -> bool {
    let is_ordered = route.tiers.as_ref().is_some_and(|tiers| tiers.method == Method::Ordered);
    route.failback == Failback::Auto && !is_ordered
}

fn as_if_up(standing: &Standing) -> Standing {
    let addresses = vec![Verdict::of(State::Up); standing.addresses.len()];
    Standing { bar: standing.bar, addresses, min: standing.min }
}

/// Who answers, when nobody ordered it.
fn automatic(plan: &Plan) -> Option<BTreeSet<EndpointIx>> {
    match plan {
        Plan::Choose { source: Source::Pin | Source::Switch | Source::Sorry, .. } | Plan::NoData(_) => None,
        Plan::Choose {
            source:
                Source::Policy | Source::Health | Source::Latch | Source::Schedule | Source::Unknown | Source::FailOpen,
            ..
        } => Some(endpoints_of(plan)),
    }
}

fn endpoints_of(plan: &Plan) -> BTreeSet<EndpointIx> {
    match plan {
        Plan::Choose { variants, .. } => {
            variants.iter().flat_map(|variant| &variant.endpoints).map(|(endpoint, _)| *endpoint).collect()
        }
        Plan::NoData(_) => BTreeSet::new(),
    }
}

/// Of whom policy would choose: the data centres that do not answer, because all of it there is down.
fn passed_over(
    scene: &Scene<'_>,
    ix: ServiceIx,
    standings: &[Standing],
    wanted: &Plan,
    actual: &BTreeSet<EndpointIx>,
) -> BTreeMap<DatacenterIx, BTreeSet<EndpointIx>> {
    let datacenter = |endpoint: &EndpointIx| scene.service(ix).endpoint(*endpoint).datacenter;
    let answering: BTreeSet<DatacenterIx> = actual.iter().map(datacenter).collect();
    let mut left: BTreeMap<DatacenterIx, BTreeSet<EndpointIx>> = BTreeMap::new();
    for endpoint in automatic(wanted).unwrap_or_default() {
        left.entry(datacenter(&endpoint)).or_default().insert(endpoint);
    }
    left.retain(|datacenter, endpoints| {
        let is_down = |endpoint: &EndpointIx| standings[endpoint.at()].state() == State::Down;
        !answering.contains(datacenter) && !actual.is_empty() && endpoints.iter().all(is_down)
    });
    left
}

fn named(policy: &PolicySet, key: LatchKey, latched: &Latched) -> KeptLatch {
    let (service, region, datacenter) = key;
    let service = &policy.services[service.at()];
    KeptLatch {
        service: service.name.to_string(),
        region: region.map(|region| policy.regions[region.at()].id.to_string()),
        datacenter: policy.datacenters[datacenter.at()].id.to_string(),
        endpoints: latched.endpoints.iter().map(|endpoint| service.endpoint(*endpoint).id.to_string()).collect(),
        since: latched.since,
        why: latched.why.clone(),
        is_passed_over: latched.is_passed_over,
    }
}

/// From names to indices.
struct Names<'a> {
    policy: &'a PolicySet,
    services: BTreeMap<String, ServiceIx>,
    regions: BTreeMap<&'a str, RegionIx>,
    datacenters: BTreeMap<&'a str, DatacenterIx>,
}

impl Names<'_> {
    fn of(policy: &PolicySet) -> Names<'_> {
        let services = policy.services.iter().enumerate();
        let regions = policy.regions.iter().enumerate();
        let datacenters = policy.datacenters.iter().enumerate();
        Names {
            policy,
            services: services.map(|(at, service)| (service.name.to_string(), ServiceIx::from_at(at))).collect(),
            regions: regions.map(|(at, region)| (region.id.as_str(), RegionIx::from_at(at))).collect(),
            datacenters: datacenters.map(|(at, dc)| (dc.id.as_str(), DatacenterIx::from_at(at))).collect(),
        }
    }

    /// `None` when the policy has no such service, region or data centre.
    fn resolve(&self, latch: &KeptLatch) -> Option<(LatchKey, BTreeSet<EndpointIx>)> {
        let service = *self.services.get(&latch.service)?;
        let region = match &latch.region {
            Some(region) => Some(*self.regions.get(region.as_str())?),
            None => None,
        };
        let datacenter = *self.datacenters.get(latch.datacenter.as_str())?;
        let of = &self.policy.services[service.at()];
        of.policy.all_routes().find(|route| route.region == region)?;
        let is_meant = |id: &str| latch.endpoints.iter().any(|endpoint| endpoint == id);
        let there = of.endpoints().filter(|(_, endpoint)| endpoint.datacenter == datacenter);
        let endpoints = there.filter(|(_, endpoint)| is_meant(endpoint.id.as_str())).map(|(ix, _)| ix).collect();
        Some(((service, region, datacenter), endpoints))
    }
}
