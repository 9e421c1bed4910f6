//! A simulated network on virtual time: minutes of probing in microseconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::sight::Hold;
use super::super::{Found, Outcome, Target, TargetId};
use super::{Change, Engine, Start};
use crate::limits;
use crate::model::{CheckSpec, DatacenterId, HealthSettings, Moment, Probe, ProbeHost, State, TargetSpec, TcpProbe};

/// What the network does with a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Good {
        after_ms: u64,
    },
    Bad {
        after_ms: u64,
    },
    Blind,
    /// The runner reports a timeout.
    Silence,
    /// The runner reports nothing at all.
    Lost,
}

pub(super) const QUICK: Reply = Reply::Good { after_ms: 10 };
pub(super) const REFUSED: Reply = Reply::Bad { after_ms: 1 };

/// Of a target at a time.
type Network = Box<dyn FnMut(TargetId, Moment) -> Reply>;

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now: Moment,
    pub(super) changes: Vec<Change>,
    pub(super) started: Vec<(TargetId, Moment)>,
    pub(super) in_flight_max: usize,
    /// Every state of the hold that was seen.
    pub(super) holds: Vec<Hold>,
    network: Network,
    replies: BTreeMap<(Moment, u64), (TargetId, Outcome)>,
    of_target: BTreeMap<TargetId, usize>,
    concurrency: usize,
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn at(at_ms: u64) -> Moment {
    Moment(ms(at_ms))
}

/// The reference file's check.
pub(super) fn reference() -> CheckSpec {
    CheckSpec { rise: 3, ..CheckSpec::of(Probe::Tcp(TcpProbe::default())) }
}

pub(super) fn dc(id: &str) -> DatacenterId {
    DatacenterId::new(id).unwrap()
}

pub(super) fn target(id: u64, datacenter: Option<&str>, check: &CheckSpec) -> Target {
    let spec = TargetSpec {
        check: Arc::new(check.clone()),
        host: ProbeHost::Address("127.0.0.1".parse().unwrap()),
        port: 443,
        service: Arc::from(""),
        query: Arc::from(""),
    };
    Target { id: TargetId(id), spec: Arc::new(spec), datacenter: datacenter.map(dc), remembered: None }
}

/// The reference deployment: targets 1, 2, 3 in dc1, dc2 (Beijing) and dc3 (Shanghai).
pub(super) fn three() -> Vec<Target> {
    [(1, "dc1"), (2, "dc2"), (3, "dc3")].map(|(id, dc)| target(id, Some(dc), &reference())).into()
}

impl World {
    pub(super) fn new(
        settings: &HealthSettings,
        own: Option<&str>,
        seed: u64,
        network: impl FnMut(TargetId, Moment) -> Reply + 'static,
    ) -> World {
        World {
            engine: Engine::new(settings, own.map(dc), seed, Moment::default()),
            now: Moment::default(),
            changes: Vec::new(),
            started: Vec::new(),
            in_flight_max: 0,
            holds: Vec::new(),
            network: Box::new(network),
            replies: BTreeMap::new(),
            of_target: BTreeMap::new(),
            concurrency: settings.concurrency,
        }
    }

    /// Without settings of its own, outside all data centres.
    pub(super) fn plain(network: impl FnMut(TargetId, Moment) -> Reply + 'static) -> World {
        World::new(&HealthSettings::default(), None, 1, network)
    }

    pub(super) fn set(&mut self, targets: Vec<Target>) {
        self.engine.set_targets(self.now, targets);
    }

    pub(super) fn run(&mut self, until_ms: u64) {
        let until = at(until_ms);
        loop {
            let reply = self.replies.first_key_value().map(|((at, _), _)| *at);
            let next = [self.engine.next_wake(), reply].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.deliver();
            self.turn();
        }
        self.now = until;
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.replies.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let number = entry.key().1;
            let (target, outcome) = entry.remove();
            if let Some(count) = self.of_target.get_mut(&target) {
                *count -= 1;
            }
            self.engine.done(self.now, target, number, outcome);
        }
    }

    fn turn(&mut self) {
        let mut starts = Vec::new();
        self.engine.turn(self.now, &mut starts);
        for Start { target, number, spec, .. } in starts {
            self.started.push((target, self.now));
            let timeout = spec.check.timeout;
            let bad = |took, why: &str| Outcome::Bad { why: why.into(), found: Found { took, ..Found::default() } };
            let (after, outcome) = match (self.network)(target, self.now) {
                Reply::Good { after_ms } => {
                    (ms(after_ms), Outcome::Good(Found { took: ms(after_ms), ..Found::default() }))
                }
                Reply::Bad { after_ms } => (ms(after_ms), bad(ms(after_ms), "connection refused")),
                Reply::Blind => (ms(1), Outcome::Blind { why: "the source is silent".into() }),
                Reply::Silence => (timeout, bad(timeout, "no answer within 3 s")),
                Reply::Lost => continue,
            };
            let count = self.of_target.entry(target).or_default();
            *count += 1;
            assert!(*count <= limits::PROBES_PER_TARGET_MAX, "too many probes of {target:?}");
            self.replies.insert((self.now + after, number), (target, outcome));
        }
        let in_flight = self.engine.counters().in_flight;
        assert!(in_flight <= self.concurrency && self.replies.len() <= in_flight);
        self.in_flight_max = self.in_flight_max.max(in_flight);
        self.changes.extend(self.engine.changes());
        if let Some(hold) = self.engine.hold()
            && self.holds.last() != Some(&hold)
        {
            self.holds.push(hold);
        }
    }

    pub(super) fn state(&self, target: u64) -> State {
        self.engine.state(TargetId(target)).expect("it is watched")
    }

    /// When the target was published as `state` for the first time after `after_ms`.
    pub(super) fn published(&self, target: u64, state: State, after_ms: u64) -> Option<Duration> {
        let is =
            |change: &&Change| change.target == TargetId(target) && change.state == state && change.at >= at(after_ms);
        self.changes.iter().find(is).map(|change| change.at.since(at(after_ms)))
    }
}
