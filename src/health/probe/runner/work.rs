//! The prober's own thread: one engine, and what it is told and tells.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;

use super::flight::{Sky, fly};
use super::inbox::{Ask, Batch, Landed, Wanted};
use super::pulse::STALL;
use super::tally::{Group, Numbers, ProberCounters, Spans, Tally};
use super::{Listeners, ProberConfig};
use crate::health::{Cause, Engine, LATE, Start, Target, TargetId};
use crate::limits;
use crate::model::{Moment, State};

/// From one turn to the next at least: what comes meanwhile is dealt with at once, together.
const PACE: Duration = Duration::from_millis(1);

/// So long after a stall outcomes may come in before anything is taken for lost.
const AFTER_STALL: Duration = Duration::from_millis(500);

/// News of a hold that is known come at most this often.
const HOLD_NEWS_EVERY: Duration = Duration::from_millis(100);

/// Late probes are complained of at most this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// After a panic, so long until the next try.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Everything that one thread owns.
pub(super) struct Work {
    pub(super) sky: Arc<Sky>,
    pub(super) runtime: Runtime,
    pub(super) config: ProberConfig,
    pub(super) listeners: Listeners,
    pub(super) shown: Arc<Mutex<ProberCounters>>,
    /// How many probes the standard way of asking saw panic.
    pub(super) panics: Box<dyn Fn() -> u64 + Send>,
    pub(super) kept: Kept,
}

/// What outlives an engine that has panicked.
#[derive(Default)]
pub(super) struct Kept {
    targets: Vec<Target>,
    published: HashMap<TargetId, State>,
    groups: Vec<(Group, Tally)>,
    group_of: HashMap<TargetId, usize>,
    lateness: Spans,
    started: u64,
    late: u64,
    late_at: Option<Moment>,
    restarts: u64,
}

/// One engine and what belongs to its time.
struct Life {
    engine: Engine,
    starts: Vec<Start>,
    /// The hold as it was told last, and when.
    told: Option<(Cause, Moment, usize)>,
    told_at: Moment,
    /// No turn before then.
    rests_until: Moment,
    /// All work was done then.
    idle_since: Moment,
    complained_at: Moment,
    complained_of: u64,
}

impl Work {
    /// Until it is told to stop. A panic costs the engine its memory of results, not the states that are published.
    pub(super) fn run(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.live())).is_err() {
            self.kept.restarts += 1;
            tracing::error!("the engine of health has panicked: please report it. It starts anew");
            std::thread::sleep(RESTART_AFTER);
        }
        self.runtime.shutdown_background();
    }

    fn live(&mut self) {
        let now = self.sky.now();
        let seed = self.config.seed.wrapping_add(self.kept.restarts);
        let mut life = Life {
            engine: Engine::new(&self.config.settings, self.config.datacenter.clone(), seed, now),
            starts: Vec::new(),
            told: None,
            told_at: Moment::default(),
            rests_until: Moment::default(),
            idle_since: now,
            complained_at: Moment::default(),
            complained_of: self.kept.late,
        };
        (self.listeners.blindness)(None);
        if !self.kept.targets.is_empty() {
            let remembered = |target: &Target| {
                let known = self.kept.published.get(&target.id).copied();
                Target { remembered: known.or(target.remembered), ..target.clone() }
            };
            life.engine.set_targets(now, self.kept.targets.iter().map(remembered).collect());
        }
        let mut batch = Batch::default();
        while !batch.stop {
            self.turn(&mut life, &mut batch);
            life.idle_since = self.sky.now();
            std::thread::sleep(PACE);
        }
    }

    /// Waits for what comes next, and does all that there is to do then.
    fn turn(&mut self, life: &mut Life, batch: &mut Batch) {
        let wake = life.wake();
        self.sky.inbox.take(wake.map(|wake| self.sky.origin + wake.0), batch);
        if batch.stop {
            return;
        }
        let now = self.sky.now();
        if wake.is_some_and(|wake| now.since(wake.max(life.idle_since)) >= STALL) {
            life.rests_until = now + AFTER_STALL;
        }
        self.fold(life, batch, now);
        if life.rests_until <= now && life.engine.next_wake().is_some_and(|wake| wake <= now) {
            if life.rests_until != Moment::default() {
                life.engine.was_still(now);
                life.rests_until = Moment::default();
            }
            life.engine.turn(now, &mut life.starts);
            self.launch(life);
        }
        self.publish(life);
        self.tell_hold(life, now);
        self.complain(life, now);
        self.show(&life.engine);
        for ask in batch.asks.drain(..) {
            self.answer(&life.engine, ask, now);
        }
    }

    fn fold(&mut self, life: &mut Life, batch: &mut Batch, now: Moment) {
        if let Some(wanted) = batch.wanted.take() {
            self.watch(&mut life.engine, wanted, now);
        }
        if let Some(is_up) = batch.link.take() {
            life.engine.link(now, is_up);
        }
        if let Some(answers) = batch.resolver.take() {
            life.engine.resolver(now, answers);
        }
        for Landed { life: of, target, number, planned, started, outcome } in batch.landed.drain(..) {
            let lateness = started.since(planned);
            self.kept.lateness.add(lateness);
            let is_late = lateness > LATE;
            self.kept.late += u64::from(is_late);
            self.kept.late_at = if is_late { Some(started) } else { self.kept.late_at };
            if let Some(at) = self.kept.group_of.get(&target) {
                let tally = &mut self.kept.groups[*at].1;
                tally.late += u64::from(is_late);
                tally.ended(&outcome);
            }
            if of == self.kept.restarts {
                life.engine.done(now, target, number, outcome);
            }
        }
    }

    /// Numbers of groups that stay go on.
    fn watch(&mut self, engine: &mut Engine, wanted: Wanted, now: Moment) {
        let Wanted { targets, groups, group_of } = wanted;
        let mut before: HashMap<Group, Tally> = std::mem::take(&mut self.kept.groups).into_iter().collect();
        let tally = |group: Group| {
            let tally = before.remove(&group).unwrap_or_default();
            (group, tally)
        };
        self.kept.groups = groups.into_iter().map(tally).collect();
        self.kept.group_of = group_of;
        self.kept.published.retain(|target, _| self.kept.group_of.contains_key(target));
        self.kept.targets.clone_from(&targets);
        let most = |target: &Target| usize::from(target.spec.check.fall).min(limits::PROBES_PER_TARGET_MAX);
        let needed: usize = targets.iter().map(most).sum();
        let concurrency = self.config.settings.concurrency;
        if needed > concurrency {
            tracing::warn!(
                needed,
                concurrency,
                "if all targets hang at once, probes have to wait for each other: raise `health.concurrency` and the \
                 limit of open files (`ulimit -Hn`, `LimitNOFILE=`)"
            );
        }
        engine.set_targets(now, targets);
    }

    fn launch(&mut self, life: &mut Life) {
        self.kept.started += life.starts.len() as u64;
        for start in life.starts.drain(..) {
            if let Some(at) = self.kept.group_of.get(&start.target) {
                let tally = &mut self.kept.groups[*at].1;
                tally.started += 1;
                tally.in_flight += 1;
            }
            self.runtime.spawn(fly(Arc::clone(&self.sky), self.kept.restarts, start));
        }
    }

    fn publish(&mut self, life: &mut Life) {
        let changes: Vec<(TargetId, State)> = life
            .engine
            .changes()
            .map(|change| {
                tracing::debug!(target_id = change.target.0, state = ?change.state, why = change.why, "a target");
                (change.target, change.state)
            })
            .collect();
        if !changes.is_empty() {
            self.kept.published.extend(changes.iter().copied());
            (self.listeners.states)(changes);
        }
    }

    fn tell_hold(&mut self, life: &mut Life, now: Moment) {
        let held = life.engine.held();
        let is_news = held.is_some() != life.told.is_some();
        if held != life.told && (is_news || life.told_at + HOLD_NEWS_EVERY <= now) {
            (life.told, life.told_at) = (held, now);
            (self.listeners.blindness)(life.engine.hold());
        }
    }

    fn complain(&self, life: &mut Life, now: Moment) {
        if self.kept.late > life.complained_of && life.complained_at + COMPLAIN_EVERY <= now {
            let late = self.kept.late - life.complained_of;
            let latest_ms = self.kept.lateness.max.as_millis() as u64;
            tracing::warn!(
                late,
                latest_ms,
                "probes began late: this machine is too busy, or the limit of probes too low"
            );
            (life.complained_at, life.complained_of) = (now, self.kept.late);
        }
    }

    fn show(&self, engine: &Engine) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = self.counters(engine);
    }

    fn counters(&self, engine: &Engine) -> ProberCounters {
        let of_engine = engine.counters();
        ProberCounters {
            targets: self.kept.targets.len(),
            concurrency: self.config.settings.concurrency,
            in_flight: of_engine.in_flight,
            started: self.kept.started,
            late: self.kept.late,
            lateness_max: self.kept.lateness.max,
            late_at: self.kept.late_at,
            lost: of_engine.lost,
            overran: self.sky.overran.load(Ordering::Relaxed),
            panicked: self.sky.panicked.load(Ordering::Relaxed) + (self.panics)(),
            stalls: self.sky.pulse.count(),
            restarts: self.kept.restarts,
        }
    }

    /// Who asked may have gone: an answer that nobody takes is dropped.
    fn answer(&self, engine: &Engine, ask: Ask, now: Moment) {
        match ask {
            Ask::Reports(targets, reply) => {
                let wall = SystemTime::now();
                drop(reply.try_send(targets.iter().map(|target| engine.report(*target, now, wall)).collect()));
            }
            Ask::Numbers(reply) => {
                let mut groups = self.kept.groups.clone();
                for (target, at) in &self.kept.group_of {
                    let earliest = &mut groups[*at].1.certificate_expires;
                    *earliest = [*earliest, engine.certificate_expires(*target)].into_iter().flatten().min();
                }
                let (counters, lateness) = (self.counters(engine), self.kept.lateness.clone());
                let witnesses = engine.witnesses().collect();
                drop(reply.try_send(Numbers { counters, lateness, groups, witnesses }));
            }
        }
    }
}

impl Life {
    /// When there is something to do, if nothing comes before.
    fn wake(&self) -> Option<Moment> {
        let turn = self.engine.next_wake().map(|wake| wake.max(self.rests_until));
        let news = (self.engine.held() != self.told).then_some(self.told_at + HOLD_NEWS_EVERY);
        turn.into_iter().chain(news).min()
    }
}
