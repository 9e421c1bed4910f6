//! The engine: which probe starts when, and what is published of what comes back. Pure: time comes as an
//! argument, and the same calls give the same starts and changes.
//!
//! ```text
//!   set_targets ─▶ schedule ─▶ turn: Start{target, number} ─▶ the runner probes
//!                     ▲                                             │
//!   changes ◀─ sight ◀┴─ watch (one a target) ◀──── done(target, number, outcome)
//! ```
//!
//! The runner calls [`Engine::turn`] when [`Engine::next_wake`] has come, and after each [`Engine::done`] as
//! soon as `next_wake` says so; it starts what it is told, reports each outcome by its number, and reads
//! [`Engine::changes`]. A number is never used twice. A probe whose outcome never comes counts as failed one
//! second after its timeout, so a lost task freezes nothing.
//!
//! What is *published* follows the results of a target with one exception: a fall is published when sight
//! believes it. Witnesses are targets of the engine's own, with ids from the top: they are probed and
//! reported, and never published.
//!
//! # Invariants
//! - No more probes are out than `concurrency` in all, those of targets that are gone included until they
//!   end, and [`crate::limits::PROBES_PER_TARGET_MAX`] of one target.
//! - Work of one turn is O(n log n) in the targets that have something to do, and O(n) in those whose fall
//!   waits; its changes come as one batch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::looks::Looks;
use super::schedule::{Counters, Due, Schedule};
use super::sight::{Cause, Hold, Sight, Source};
use super::watch::Watch;
use super::{Outcome, TargetId};
use crate::model::{DatacenterId, HealthSettings, Moment, State, TargetSpec};

mod members;
mod report;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
mod turn;

pub use report::TargetReport;

/// A probe to be started now.
#[derive(Clone, Debug)]
pub struct Start {
    /// Whose.
    pub target: TargetId,
    /// By which its outcome is reported.
    pub number: u64,
    /// When it was due.
    pub planned: Moment,
    /// What is done.
    pub spec: Arc<TargetSpec>,
}

/// A state that is now published; or that was remembered, and is confirmed by a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub target: TargetId,
    /// The new state.
    pub state: State,
    /// Why, for a person.
    pub why: String,
    /// When.
    pub at: Moment,
}

/// One target, or a witness.
#[derive(Debug)]
struct Entry {
    watch: Watch,
    source: Source,
    published: State,
    since: Moment,
    /// Its place among the wake times.
    wake: Option<Moment>,
    /// Its next probe waits for a slot.
    is_due: bool,
    /// The probe that starts next follows a spread: the one after it settles the phase.
    is_spread: bool,
    /// It is remembered from before, and nothing was said of it yet.
    is_unsaid: bool,
}

/// Schedules probes and makes states of their results.
#[derive(Debug)]
pub struct Engine {
    seed: u64,
    concurrency: usize,
    witnesses: Vec<(SocketAddr, TargetId)>,
    /// Apart from the tree, whose nodes are half empty.
    entries: BTreeMap<TargetId, Box<Entry>>,
    /// Probes of targets that are gone, and when each is given up.
    orphans: BTreeMap<u64, Moment>,
    schedule: Schedule,
    looks: Looks,
    sight: Sight,
    counters: Counters,
    changes: Vec<Change>,
    next_number: u64,
}

impl Engine {
    /// An engine without targets. `node_datacenter` is the id of the data centre that the node stands in.
    pub fn new(settings: &HealthSettings, node_datacenter: Option<DatacenterId>, seed: u64, now: Moment) -> Engine {
        let mut engine = Engine {
            seed,
            concurrency: settings.concurrency.max(1),
            witnesses: Vec::new(),
            entries: BTreeMap::new(),
            orphans: BTreeMap::new(),
            schedule: Schedule::default(),
            looks: Looks::default(),
            sight: Sight::new(node_datacenter, !settings.witnesses.is_empty(), settings.hold_max),
            counters: Counters::default(),
            changes: Vec::new(),
            next_number: 0,
        };
        engine.add_witnesses(&settings.witnesses, now);
        engine
    }

    /// The outcome of a probe. Unknown targets and numbers are ignored: they were given up.
    pub fn done(&mut self, now: Moment, target: TargetId, number: u64, outcome: Outcome) {
        if self.orphans.remove(&number).is_some() {
            self.counters.in_flight -= 1;
            return;
        }
        let Some(entry) = self.entries.get_mut(&target) else { return };
        let is_good = match outcome {
            Outcome::Good(_) => Some(true),
            Outcome::Bad { .. } => Some(false),
            Outcome::Blind { .. } => None,
        };
        let before = entry.watch.state();
        let Some(started) = entry.watch.done(number, outcome) else { return };
        self.counters.in_flight -= 1;
        match is_good {
            Some(true) => self.sight.good(&entry.source, started),
            Some(false) => self.sight.bad(&entry.source, started),
            None => {}
        }
        self.follow(now, target, before);
    }

    /// The node's link is up or down.
    pub fn link(&mut self, now: Moment, is_up: bool) {
        self.sight.link(now, is_up);
        self.looks.want(now);
    }

    /// The node's resolver answers, or does not.
    pub fn resolver(&mut self, now: Moment, answers: bool) {
        self.sight.resolver(now, answers);
        self.looks.want(now);
    }

    /// When [`Engine::turn`] has something to do, if nothing happens before. May be in the past: then now.
    pub fn next_wake(&self) -> Option<Moment> {
        let has_slot = self.counters.in_flight < self.concurrency && !self.schedule.is_idle();
        let slot = has_slot.then_some(Moment::default());
        let orphans = self.orphans.values().min().copied();
        let changes = (!self.changes.is_empty()).then_some(Moment::default());
        [slot, orphans, changes, self.schedule.first_wake(), self.looks.due(), self.sight.wake()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The states published since the last call, in order. A target whose state is remembered is told of also
    /// when a result first agrees with that.
    pub fn changes(&mut self) -> std::vec::Drain<'_, Change> {
        self.changes.drain(..)
    }

    /// Falls that are held, if any. Lists them; [`Engine::held`] only counts.
    pub fn hold(&self) -> Option<Hold> {
        self.sight.hold()
    }

    /// Why falls are held, since when, and how many; `None`: none is.
    pub fn held(&self) -> Option<(Cause, Moment, usize)> {
        self.sight.held()
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}
