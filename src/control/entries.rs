//! Entry conditions: what must hold before a tier may be entered automatically.
//!
//! A condition is asked at the door. Once clients are in a tier, by choice or by order, it stays open to them, whatever
//! becomes of the condition, until they have gone elsewhere: a dip of its `when` check, or an earlier tier that has
//! recovered and waits for failback, throws nobody back.
//!
//! - `manual` is never met: orders enter without asking, as they do not ask for a delay or for confirmation. The
//!   checks of `when` they are asked for ([`EntryState::Unmet`]): those say whether the tier can serve.
//! - `after`: the earlier tiers have been unusable for so long. Unusable is down, ordered out, or closed by a
//!   condition of their own; what is merely not known is not unusable. When all of them are ordered out the delay
//!   has no purpose, and is none.
//! - `when`: each check is up at every endpoint of the tier that may answer; a check with a host of its own, anywhere.
//! - `confirm: n`: at least `n` observers each see every endpoint of the earlier tiers down, by their own evidence.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::moves::Chosen;
use super::orders::TierKey;
use super::scene::Scene;
use crate::health::Verdicts;
use crate::model::{
    AddressKey, CheckIx, EndpointIx, EntryState, Member, Method, Moment, Node, ObserverId, PolicySet, RegionIx, Route,
    ServiceIx, State,
};
use crate::steer::{Floor, Standing};

/// A tier that clients have entered, as it is stored: by names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeptEntry {
    /// The service's name.
    pub service: String,
    /// The region whose clients are there; `None`: elsewhere.
    pub region: Option<String>,
    /// The tier's endpoints, in the order written.
    pub endpoints: Vec<String>,
}

/// What is kept of a tier with a condition.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// Since when no earlier tier is usable.
    unusable_since: Option<Moment>,
    /// Clients are there.
    is_entered: bool,
    /// When it opens by itself.
    pub(super) opens_at: Option<Moment>,
    pub(super) state: EntryState,
    /// No earlier tier is usable: what keeps this one closed matters now.
    pub(super) is_asked: bool,
}

/// The conditions of all tiers that have one.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    doors: BTreeMap<TierKey, Door>,
    by_check: HashMap<CheckIx, BTreeSet<ServiceIx>>,
    /// Every address where somebody looks by a check with a host of its own, by check.
    anywhere: HashMap<CheckIx, Vec<AddressKey>>,
}

impl Entries {
    /// Goes over to another policy: who has been entered stays so, by name.
    pub(super) fn load(
        &mut self,
        kept: &[KeptEntry],
        (old, policy): (&PolicySet, &PolicySet),
        looked_at: impl Iterator<Item = (AddressKey, CheckIx)>,
    ) {
        let entered: BTreeSet<&KeptEntry> = kept.iter().collect();
        let unusable = self.unusable(old);
        *self = Entries::default();
        for (at, service) in policy.services.iter().enumerate() {
            let ix = ServiceIx::from_at(at);
            for route in service.policy.all_routes() {
                for (at, tier) in tiers(route).iter().enumerate().filter(|(_, tier)| !tier.entry.is_free()) {
                    let key = (ix, route.region, position(at));
                    let name = named(policy, key, tier);
                    let is_entered = entered.contains(&name);
                    let door = Door {
                        // A reload does not begin a delay anew.
                        unusable_since: unusable.get(&name).copied(),
                        is_entered,
                        opens_at: None,
                        // Who is inside stays inside, also while nothing is judged.
                        state: match is_entered {
                            true => EntryState::Met,
                            false => EntryState::Unmet("nothing is known yet".into()),
                        },
                        is_asked: false,
                    };
                    self.doors.insert(key, door);
                    for check in &tier.entry.when {
                        self.by_check.entry(*check).or_default().insert(ix);
                    }
                }
            }
        }
        for (key, check) in looked_at {
            let has_host = policy.checks.get(usize::from(check.0)).is_some_and(|check| check.spec.host.is_some());
            if has_host && self.by_check.contains_key(&check) {
                self.anywhere.entry(check).or_default().push(key);
            }
        }
    }

    /// Since when what comes before each tier is not usable, by name.
    fn unusable(&self, policy: &PolicySet) -> BTreeMap<KeptEntry, Moment> {
        let since = self.doors.iter().filter_map(|(key, door)| Some((key, door.unusable_since?)));
        since.filter_map(|(key, since)| Some((named(policy, *key, tier_of(policy, *key)?), since))).collect()
    }

    /// The same, of these services alone.
    pub(super) fn of_services(&self, services: &BTreeSet<ServiceIx>) -> Entries {
        let doors = self.doors.iter().filter(|((service, ..), _)| services.contains(service));
        Entries {
            doors: doors.map(|(key, door)| (*key, door.clone())).collect(),
            by_check: HashMap::new(),
            anywhere: self.anywhere.clone(),
        }
    }

    /// The tiers that clients have entered, to be stored.
    pub(super) fn kept(&self, policy: &PolicySet) -> Vec<KeptEntry> {
        let entered = self.doors.iter().filter(|(_, door)| door.is_entered);
        entered.filter_map(|(key, _)| Some(named(policy, *key, tier_of(policy, *key)?))).collect()
    }

    /// True when some tier of the service has a condition.
    pub(super) fn concern(&self, service: ServiceIx) -> bool {
        self.of(service).next().is_some()
    }

    /// Services with a tier that asks for this check.
    pub(super) fn asking_for(&self, check: CheckIx) -> impl Iterator<Item = ServiceIx> + use<'_> {
        self.by_check.get(&check).into_iter().flatten().copied()
    }

    /// Every tier with a condition.
    pub(super) fn doors(&self) -> impl Iterator<Item = (&TierKey, &Door)> {
        self.doors.iter()
    }

    /// For the facts of a table.
    pub(super) fn facts(&self) -> BTreeMap<TierKey, EntryState> {
        self.doors.iter().map(|(key, door)| (*key, door.state.clone())).collect()
    }

    /// The same, of one service.
    pub(super) fn of_service(&self, service: ServiceIx) -> impl Iterator<Item = (TierKey, EntryState)> + use<'_> {
        self.of(service).map(|(key, door)| (*key, door.state.clone()))
    }

    /// Services of which something may open at `now`.
    pub(super) fn due(&self, now: Moment) -> BTreeSet<ServiceIx> {
        let due = self.doors.iter().filter(|(_, door)| door.opens_at.is_some_and(|at| at <= now));
        due.map(|((service, ..), _)| *service).collect()
    }

    /// When the next tier may open by itself.
    pub(super) fn next_wake(&self) -> Option<Moment> {
        self.doors.values().filter_map(|door| door.opens_at).min()
    }

    fn of(&self, service: ServiceIx) -> impl Iterator<Item = (&TierKey, &Door)> + use<'_> {
        self.doors.range((service, None, 0)..).take_while(move |((of, ..), _)| *of == service)
    }

    /// Judges the conditions of one service anew; `true` when one has another outcome than before.
    pub(super) fn judge(
        &mut self,
        scene: &Scene<'_>,
        verdicts: &Verdicts,
        ix: ServiceIx,
        standings: &[Standing],
        now: Moment,
    ) -> bool {
        let mut is_changed = false;
        for (key, door) in self.weighed(scene, verdicts, ix, standings, now) {
            let is_same = self.doors.get(&key).is_some_and(|before| before.state == door.state);
            is_changed |= !is_same;
            self.doors.insert(key, door);
        }
        is_changed
    }

    /// What they would come to if its endpoints stood like this. Nothing changes.
    pub(super) fn judged(
        &self,
        scene: &Scene<'_>,
        verdicts: &Verdicts,
        ix: ServiceIx,
        standings: &[Standing],
        now: Moment,
    ) -> impl Iterator<Item = (TierKey, EntryState)> + use<> {
        self.weighed(scene, verdicts, ix, standings, now).into_iter().map(|(key, door)| (key, door.state))
    }

    fn weighed(
        &self,
        scene: &Scene<'_>,
        verdicts: &Verdicts,
        ix: ServiceIx,
        standings: &[Standing],
        now: Moment,
    ) -> BTreeMap<TierKey, Door> {
        let mut weighed: BTreeMap<TierKey, Door> = BTreeMap::new();
        for route in scene.service(ix).policy.all_routes() {
            let members = tiers(route);
            for (at, tier) in members.iter().enumerate().filter(|(_, tier)| !tier.entry.is_free()) {
                let key = (ix, route.region, position(at));
                let Some(mut door) = self.doors.get(&key).cloned() else { continue };
                let earlier = self.earlier(key, members, standings, &weighed);
                let closed = self.closed(scene.policy(), verdicts, (ix, tier), standings);
                let mut unmet = self.unmet(scene.policy(), verdicts, (ix, tier), &earlier);
                door.is_asked = earlier.is_unusable;
                door.unusable_since = earlier.is_unusable.then(|| door.unusable_since.unwrap_or(now));
                door.opens_at = None;
                let waited = door.unusable_since.map(|since| now.since(since));
                let needed = if earlier.is_ordered { Duration::ZERO } else { tier.entry.after };
                if waited.is_none_or(|waited| waited < needed) {
                    unmet.push(format!("the tiers before it have not been unusable for {needed:?}"));
                    door.opens_at = door.unusable_since.map(|since| since + needed);
                }
                let why = |unmet: &[String]| closed.iter().chain(unmet).cloned().collect::<Vec<_>>().join("; ");
                door.state = match (door.is_entered, closed.is_empty(), unmet.is_empty()) {
                    (true, ..) | (false, true, true) => EntryState::Met,
                    (false, true, false) => EntryState::ByOrder(why(&unmet)),
                    (false, false, _) => EntryState::Unmet(why(&unmet)),
                };
                if door.is_entered {
                    door.opens_at = None;
                }
                weighed.insert(key, door);
            }
        }
        weighed
    }

    fn earlier(
        &self,
        (service, region, tier): TierKey,
        members: &[Member],
        standings: &[Standing],
        weighed: &BTreeMap<TierKey, Door>,
    ) -> Earlier {
        let (mut blocking, mut is_unusable, mut is_ordered) = (Vec::new(), true, true);
        for (at, member) in members.iter().enumerate().take(usize::from(tier)) {
            let key = (service, region, position(at));
            let door = weighed.get(&key).or_else(|| self.doors.get(&key));
            let is_open = door.is_none_or(|door| door.state == EntryState::Met);
            for endpoint in endpoints(member) {
                let standing = &standings[endpoint.at()];
                let is_barred = standing.bar.is_some();
                is_unusable &= !is_open || !standing.is_usable(Floor::Unknown);
                is_ordered &= is_barred;
                if is_open && !is_barred {
                    blocking.push(endpoint);
                }
            }
        }
        Earlier { blocking, is_unusable, is_ordered }
    }

    /// Checks that it asks for and that are not up.
    fn closed(
        &self,
        policy: &PolicySet,
        verdicts: &Verdicts,
        (ix, tier): (ServiceIx, &Member),
        standings: &[Standing],
    ) -> Vec<String> {
        let mut closed = Vec::new();
        for check in &tier.entry.when {
            let spec = policy.checks.get(usize::from(check.0));
            let is_up = match spec.is_some_and(|check| check.spec.host.is_some()) {
                true => self.is_up_anywhere(verdicts, *check),
                false => is_up_there(policy, verdicts, (ix, tier), standings, *check),
            };
            if !is_up {
                closed.push(format!("check {} is not up there", spec.map_or("?", |check| check.id.as_str())));
            }
        }
        closed
    }

    /// What of the other conditions, the delay left out, does not hold.
    fn unmet(
        &self,
        policy: &PolicySet,
        verdicts: &Verdicts,
        (ix, tier): (ServiceIx, &Member),
        earlier: &Earlier,
    ) -> Vec<String> {
        let mut unmet = Vec::new();
        if tier.entry.manual {
            unmet.push("it is entered by order only".to_owned());
        }
        if tier.entry.confirm > 1 && !earlier.is_ordered {
            let agree = earlier.blocking.iter().map(|endpoint| verdicts.confirmations(policy, ix, *endpoint));
            let agree: Option<BTreeSet<Option<ObserverId>>> = agree.reduce(|all, these| &all & &these);
            let count = agree.map_or(usize::MAX, |agree| agree.len());
            if count < usize::from(tier.entry.confirm) {
                let needed = tier.entry.confirm;
                unmet.push(format!("{count} of {needed} observers see the tiers before it down"));
            }
        }
        unmet
    }

    fn is_up_anywhere(&self, verdicts: &Verdicts, check: CheckIx) -> bool {
        let places = self.anywhere.get(&check).map_or(&[][..], Vec::as_slice);
        places.iter().any(|key| verdicts.check(*key, check) == State::Up)
    }

    /// Takes note of who answers the clients of each route; `true` when that opens or closes
    /// a door.
    pub(super) fn note(
        &mut self,
        policy: &PolicySet,
        ix: ServiceIx,
        chosen: &BTreeMap<Option<RegionIx>, Chosen>,
    ) -> bool {
        let mut is_changed = false;
        let keys: Vec<TierKey> = self.of(ix).map(|(key, _)| *key).collect();
        for key in keys {
            let (Some(chosen), Some(tier)) = (chosen.get(&key.1), tier_of(policy, key)) else { continue };
            let are_in = |who: &BTreeSet<EndpointIx>| endpoints(tier).iter().any(|endpoint| who.contains(endpoint));
            let Some(door) = self.doors.get_mut(&key) else { continue };
            let is_open = door.state == EntryState::Met;
            let is_entered = (is_open && are_in(&chosen.automatic)) || are_in(&chosen.ordered);
            is_changed |= std::mem::replace(&mut door.is_entered, is_entered) != is_entered;
        }
        is_changed
    }
}

/// What the tiers before one come to.
struct Earlier {
    /// Their endpoints that are not ordered out, and could be entered.
    blocking: Vec<EndpointIx>,
    is_unusable: bool,
    /// All of them are ordered out.
    is_ordered: bool,
}

fn is_up_there(
    policy: &PolicySet,
    verdicts: &Verdicts,
    (ix, tier): (ServiceIx, &Member),
    standings: &[Standing],
    check: CheckIx,
) -> bool {
    let mut there = endpoints(tier);
    there.retain(|endpoint| standings[endpoint.at()].is_usable(Floor::Unknown));
    let is_up = |endpoint: &EndpointIx| {
        let count = policy.services[ix.at()].endpoint(*endpoint).data.address_count();
        (0..u16::try_from(count).unwrap_or(u16::MAX))
            .any(|address| verdicts.check(AddressKey { service: ix, endpoint: *endpoint, address }, check) == State::Up)
    };
    !there.is_empty() && there.iter().all(is_up)
}

fn tiers(route: &Route) -> &[Member] {
    match &route.tiers {
        Some(pool) if pool.method == Method::Ordered => &pool.members,
        Some(_) | None => &[],
    }
}

fn tier_of(policy: &PolicySet, (service, region, tier): TierKey) -> Option<&Member> {
    let mut routes = policy.services.get(service.at())?.policy.all_routes();
    tiers(routes.find(|route| route.region == region)?).get(usize::from(tier))
}

fn endpoints(member: &Member) -> Vec<EndpointIx> {
    match &member.node {
        Node::Endpoint(endpoint) => vec![*endpoint],
        Node::Pool(pool) => pool.endpoints(),
    }
}

fn position(at: usize) -> u16 {
    u16::try_from(at).expect("limits bound the tiers of a region")
}

/// What a tier is called, whatever its position.
pub(super) fn name_of(policy: &PolicySet, key: TierKey) -> Option<KeptEntry> {
    Some(named(policy, key, tier_of(policy, key)?))
}

fn named(policy: &PolicySet, (service, region, _): TierKey, tier: &Member) -> KeptEntry {
    let service = &policy.services[service.at()];
    KeptEntry {
        service: service.name.to_string(),
        region: region.map(|region| policy.regions[region.at()].id.to_string()),
        endpoints: endpoints(tier).iter().map(|endpoint| service.endpoint(*endpoint).id.to_string()).collect(),
    }
}
