//! A preference holds through a dip: its target must be down for `switch_hold` before it yields.
//!
//! ```text
//!            down                    for the hold                      up, and the policy brings clients back
//!  (nothing) ────▶ Dip{since, …} ──────────────▶ Yielded{up_since, …} ─────────────────────────▶ (nothing)
//!            ◀──── up  (unknown: as before)              └─ failback or another order ─▶ (nothing)
//! ```
//!
//! A target that is up again is seen to be only after `rise` results of its checks, so for so much longer than the hold
//! nothing is decided: a dip that was shorter moves nobody, though its end was seen after the hold.
//!
//! Told endpoint by endpoint, because a target may be several data centres, and a service's endpoint may be down where
//! others are up. A dip is counted from when it is seen while the preference stands. Who has yielded does so until a
//! person says otherwise, or until the policy's own `failback` does: clients that were moved away from a target that
//! was down for long do not come back to it by accident.
//!
//! Pure; kept by name, so that a restart brings nobody back either.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::book::Release;
use super::names::Names;
use super::order::ELSEWHERE;
use super::time;
use crate::model::{
    DatacenterIx, Endpoint, EndpointIx, Facts, Failback, Moment, OverrideKind, PolicySet, Revision, ServiceIx, State,
};
use crate::steer::{Floor, Standing};

type Key = (Revision, ServiceIx, EndpointIx);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// `before`: for how long it had been down already when the process began, and since when by the wall clock.
    Dip {
        since: Moment,
        before: Duration,
        since_wall: SystemTime,
    },
    Yielded {
        up_since: Option<Moment>,
    },
}

/// An endpoint to which a preference no longer leads, or soon will not, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeptYield {
    /// Of the preference.
    pub revision: u64,
    /// The service's name.
    pub service: String,
    /// The endpoint's id.
    pub endpoint: String,
    /// It has not yielded yet: it dips, since then.
    #[serde(default, with = "super::time::option", skip_serializing_if = "Option::is_none")]
    pub dips_since: Option<SystemTime>,
}

/// How the targets of all standing preferences fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    phases: BTreeMap<Key, Phase>,
    next: Option<Moment>,
}

impl Holds {
    /// As they were stored. A dip goes on where it was; but it does not end before it could be seen again whether its
    /// target is up.
    pub fn load(kept: &[KeptYield], policy: &PolicySet, (now, wall): (Moment, SystemTime)) -> Holds {
        let names = Names::of(policy);
        let one = |kept: &KeptYield| {
            let (service, endpoint) = names.endpoint_ix(&kept.service, &kept.endpoint)?;
            let phase = match kept.dips_since {
                None => Phase::Yielded { up_since: None },
                Some(since_wall) => {
                    let before = wall.duration_since(since_wall).unwrap_or_default();
                    Phase::Dip { since: now, before, since_wall }
                }
            };
            Some(((Revision(kept.revision), service, endpoint), phase))
        };
        Holds { phases: kept.iter().filter_map(one).collect(), next: None }
    }

    /// To be stored.
    pub fn kept(&self, policy: &PolicySet) -> Vec<KeptYield> {
        let names = Names::of(policy);
        let one = |((revision, service, endpoint), phase): (&Key, &Phase)| KeptYield {
            revision: revision.0,
            service: names.name(*service),
            endpoint: names.service(*service).endpoint(*endpoint).id.to_string(),
            dips_since: match phase {
                Phase::Yielded { .. } => None,
                Phase::Dip { since_wall, .. } => Some(time::rounded(*since_wall)),
            },
        };
        self.phases.iter().map(one).collect()
    }

    /// For the facts of a table.
    pub fn facts(&self) -> BTreeSet<(Revision, ServiceIx, EndpointIx)> {
        let yielded = self.phases.iter().filter(|(_, phase)| matches!(phase, Phase::Yielded { .. }));
        yielded.map(|(key, _)| *key).collect()
    }

    /// When time alone will change something, if it is not looked at before.
    pub fn next_wake(&self) -> Option<Moment> {
        self.next
    }

    /// Looks at the targets of all preferences in `facts`: of the services in `touched`, of which something may be
    /// another, and of those that are away from their target. Services whose answers may be others now are returned.
    pub fn settle(
        &mut self,
        policy: &PolicySet,
        facts: &Facts,
        touched: &BTreeSet<ServiceIx>,
        standings: impl Fn(ServiceIx) -> Vec<Standing>,
        hold: Duration,
        now: (Moment, SystemTime),
    ) -> BTreeSet<ServiceIx> {
        let mut after: BTreeMap<Key, Phase> = BTreeMap::new();
        let mut changed = BTreeSet::new();
        self.next = None;
        let mut known: BTreeMap<ServiceIx, Vec<Standing>> = BTreeMap::new();
        let looked_at: BTreeSet<ServiceIx> =
            self.phases.keys().map(|(_, service, _)| *service).chain(touched.iter().copied()).collect();
        for order in &facts.overrides {
            let OverrideKind::Prefer { to, .. } = &order.kind else { continue };
            for &ix in &looked_at {
                let service = &policy.services[ix.at()];
                if order.scope.services.as_ref().is_some_and(|services| !services.contains(&ix)) {
                    continue;
                }
                let there = service.endpoints().filter(|(_, endpoint)| to.contains(&endpoint.datacenter));
                for (endpoint, target) in there {
                    let hold = Hold { hold, rising: rising(policy, target) };
                    let key = (order.revision, ix, endpoint);
                    let standing = &known.entry(ix).or_insert_with(|| standings(ix))[endpoint.at()];
                    let wait = failback(policy, ix, |region| facts.applies(order, ix, region));
                    let (phase, wake) = step(self.phases.get(&key).copied(), standing, hold, wait, now);
                    self.next = self.next.into_iter().chain(wake).min();
                    let is_yielded = |phase: Option<&Phase>| matches!(phase, Some(Phase::Yielded { .. }));
                    if is_yielded(self.phases.get(&key)) != is_yielded(phase.as_ref()) {
                        changed.insert(ix);
                    }
                    if let Some(phase) = phase {
                        after.insert(key, phase);
                    }
                }
            }
        }
        self.phases = after;
        changed
    }

    /// A person lets clients go back: preferences lead to these data centres again where they are up. True when some
    /// had yielded.
    pub fn release(
        &mut self,
        policy: &PolicySet,
        release: &Release,
        is_up: impl Fn(ServiceIx, DatacenterIx) -> bool,
    ) -> bool {
        let names = Names::of(policy);
        let datacenters = names.datacenter_ixs(&release.datacenters);
        let before = self.phases.len();
        self.phases.retain(|(revision, service, endpoint), phase| {
            let of = names.service(*service);
            let datacenter = of.endpoint(*endpoint).datacenter;
            let is_meant = datacenters.contains(&datacenter) && release.frees(&names, *revision, *service);
            !(is_meant && matches!(phase, Phase::Yielded { .. }) && is_up(*service, datacenter))
        });
        self.phases.len() != before
    }

    /// What an order ended that was given after these were stored.
    pub fn end(&mut self, policy: &PolicySet, release: &Release) {
        let names = Names::of(policy);
        self.phases.retain(|(revision, service, endpoint), _| {
            let datacenter = names.id(names.service(*service).endpoint(*endpoint).datacenter);
            !(release.frees(&names, *revision, *service)
                && release.ended(&names.name(*service), ELSEWHERE, &datacenter))
        });
    }

    /// Preferences that have yielded although all that they lead to is up again: ordered anew, they lead there again. One
    /// that has yielded to what is still down somewhere is what it was: failback leads to what is up of it.
    pub fn rearmed(&self) -> BTreeSet<u64> {
        let (mut up, mut away) = (BTreeSet::new(), BTreeSet::new());
        for ((revision, ..), phase) in &self.phases {
            match phase {
                Phase::Yielded { up_since: Some(_) } => drop(up.insert(revision.0)),
                Phase::Yielded { up_since: None } => drop(away.insert(revision.0)),
                Phase::Dip { .. } => {}
            }
        }
        &up - &away
    }

    /// Goes over to other files: by name.
    pub fn carry(&mut self, old: &PolicySet, new: &PolicySet) {
        let (before, after) = (Names::of(old), Names::of(new));
        let one = |((revision, service, endpoint), phase): (Key, Phase)| {
            let id = before.service(service).endpoint(endpoint).id.as_str();
            let (service, endpoint) = after.endpoint_ix(&before.name(service), id)?;
            Some(((revision, service, endpoint), phase))
        };
        self.phases = std::mem::take(&mut self.phases).into_iter().filter_map(one).collect();
    }
}

/// How long it takes at most to see that an endpoint is up again: the longest of its checks, or of those that it follows.
fn rising(policy: &PolicySet, endpoint: &Endpoint) -> Duration {
    let watched = endpoint.follows.map_or(endpoint, |(ix, of)| policy.services[ix.at()].endpoint(of));
    let checks = watched.health.checks().into_iter().map(|check| &policy.checks[usize::from(check.0)].spec);
    checks.map(|spec| spec.interval.saturating_mul(spec.rise.into())).max().unwrap_or_default()
}

/// How long the policy waits before clients come back by themselves: the longest of its routes; `None`: for a person.
fn failback(
    policy: &PolicySet,
    ix: ServiceIx,
    covers: impl Fn(Option<crate::model::RegionIx>) -> bool,
) -> Option<Duration> {
    let routes = policy.services[ix.at()].policy.all_routes().filter(|route| covers(route.region));
    let waits = routes.map(|route| match route.failback {
        Failback::Manual => None,
        Failback::After(wait) => Some(wait),
        Failback::Auto => Some(Duration::ZERO),
    });
    waits.collect::<Option<Vec<Duration>>>().map(|waits| waits.into_iter().max().unwrap_or_default())
}

/// How long a target must be seen to be down.
#[derive(Clone, Copy)]
struct Hold {
    hold: Duration,
    /// And so much longer, because it takes that to see that it is up.
    rising: Duration,
}

impl Hold {
    /// When it is over of a dip that had lasted for so long before.
    fn ends(self, since: Moment, before: Duration) -> Moment {
        since + self.hold.saturating_sub(before) + self.rising
    }
}

fn step(
    before: Option<Phase>,
    standing: &Standing,
    hold: Hold,
    failback: Option<Duration>,
    (now, wall): (Moment, SystemTime),
) -> (Option<Phase>, Option<Moment>) {
    let is_up = standing.is_usable(Floor::Up);
    // What is ordered out is nobody's dip: whether it may answer is asked first.
    let is_down = standing.bar.is_none() && standing.state() == State::Down;
    match before {
        None if is_down => {
            let phase = Phase::Dip { since: now, before: Duration::ZERO, since_wall: wall };
            (Some(phase), Some(hold.ends(now, Duration::ZERO)))
        }
        None => (None, None),
        Some(Phase::Dip { since, before: earlier, .. }) if is_down => match now >= hold.ends(since, earlier) {
            true => (Some(Phase::Yielded { up_since: None }), None),
            false => (before, Some(hold.ends(since, earlier))),
        },
        // What is not known ends no dip, and no dip ends in it.
        Some(Phase::Dip { .. }) if standing.bar.is_none() && standing.state() == State::Unknown => (before, None),
        Some(Phase::Dip { .. }) => (None, None),
        Some(Phase::Yielded { .. }) if !is_up => (Some(Phase::Yielded { up_since: None }), None),
        Some(Phase::Yielded { up_since }) => {
            let since = up_since.unwrap_or(now);
            let back = failback.map(|wait| since + wait);
            match back.is_some_and(|at| at <= now) {
                true => (None, None),
                false => (Some(Phase::Yielded { up_since: Some(since) }), back),
            }
        }
    }
}
