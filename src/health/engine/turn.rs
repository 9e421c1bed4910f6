//! One turn: what is due by now.

use super::super::schedule::{LATE, first_gap, gap, hash, part, spread};
use super::super::sight::{Fall, Ruling};
use super::*;
use crate::model::{CheckSpec, ProbeHost};

/// A probe that may bring proof has at least so long, whatever the timeout of the target that fell.
const LOOK_PATIENCE: Duration = Duration::from_secs(3);

impl Engine {
    /// Does what is due by `now`; adds the probes to start.
    pub fn turn(&mut self, now: Moment, starts: &mut Vec<Start>) {
        self.give_up_orphans(now);
        let mut woken = Vec::new();
        while let Some(target) = self.schedule.pop_wake(now) {
            woken.push(target);
        }
        for target in woken {
            self.wake(now, target);
        }
        self.judge(now);
        self.look(now);
        while self.counters.in_flight < self.concurrency {
            let Some(due) = self.schedule.pop() else { break };
            starts.extend(self.start(now, due));
        }
    }

    fn give_up_orphans(&mut self, now: Moment) {
        let before = self.orphans.len();
        self.orphans.retain(|_, given_up| *given_up > now);
        let lost = before - self.orphans.len();
        self.counters.in_flight -= lost;
        self.counters.lost += lost as u64;
    }

    fn wake(&mut self, now: Moment, target: TargetId) {
        let Some(entry) = self.entries.get_mut(&target) else { return };
        entry.wake = None;
        let before = entry.watch.state();
        let ticked = entry.watch.tick(now);
        self.counters.in_flight -= ticked.lost;
        self.counters.lost += ticked.lost as u64;
        if ticked.wants_look {
            self.looks.want(now);
        }
        let planned = entry.watch.planned();
        if planned <= now && entry.watch.has_room() && !entry.is_due {
            entry.is_due = true;
            self.schedule.push(Due { target, planned, is_look: false });
        }
        self.follow(now, target, before);
    }

    fn look(&mut self, now: Moment) {
        let entries = &self.entries;
        let can_answer = |target| entries.get(&target).is_some_and(|entry| entry.watch.can_be_looked_at(now));
        for target in self.looks.take(now, can_answer) {
            self.schedule.push(Due { target, planned: now, is_look: true });
        }
    }

    fn start(&mut self, now: Moment, due: Due) -> Option<Start> {
        let Due { target, planned, is_look } = due;
        let entry = self.entries.get_mut(&target)?;
        if !is_look {
            // It may have become superfluous while it waited; or it belongs to an earlier life of the target.
            if !std::mem::take(&mut entry.is_due) || entry.watch.planned() > now {
                self.reschedule(target);
                return None;
            }
            // What is slow when we are slow may be we. Twice the probes would make us slower still, and more of them
            // doubtful: so it is let time, unless a probe has failed.
            if now.since(planned) > LATE && entry.watch.is_guess(now) {
                entry.watch.calm(now + CheckSpec::SLOW_MARK_MAX);
                self.reschedule(target);
                return None;
            }
        }
        if !entry.watch.has_room() || (is_look && !entry.watch.has_room_for_looks()) {
            self.reschedule(target);
            return None;
        }
        let number = self.next_number;
        self.next_number += 1;
        let interval = entry.watch.check().interval;
        let hash = hash(self.seed, target, number);
        let gap = if std::mem::take(&mut entry.is_spread) { first_gap(interval, hash) } else { gap(interval, hash) };
        entry.watch.start(now, number, is_look, gap);
        self.counters.start(planned, now);
        if !is_look && entry.watch.is_confirming() {
            self.looks.want(now);
        }
        let spec = Arc::clone(entry.watch.spec());
        self.reschedule(target);
        Some(Start { target, number, planned, spec })
    }

    /// Moves the wake time of the target to where its watch wants it.
    pub(super) fn reschedule(&mut self, target: TargetId) {
        let Some(entry) = self.entries.get_mut(&target) else { return };
        let planned = (!entry.is_due && entry.watch.has_room()).then(|| entry.watch.planned());
        let wake = planned.into_iter().chain(entry.watch.wake()).min();
        self.schedule.wake(target, entry.wake, wake);
        entry.wake = wake;
    }

    /// After something happened to the target's watch, whose state was `before`.
    pub(super) fn follow(&mut self, now: Moment, target: TargetId, before: State) {
        self.reschedule(target);
        let Some(entry) = self.entries.get_mut(&target) else { return };
        let state = entry.watch.state();
        if state == before {
            if entry.is_unsaid && state == entry.published && !entry.watch.is_stale() {
                self.say(now, target, None);
            }
            return;
        }
        let check = entry.watch.check();
        match (state, &entry.source, entry.watch.run()) {
            (State::Down, Source::Target(datacenter), Some(run)) if entry.published != State::Down => {
                let patience = check.timeout.max(LOOK_PATIENCE);
                let fall = Fall {
                    run,
                    datacenter: datacenter.clone(),
                    is_named: matches!(entry.watch.spec().host, ProbeHost::Name(_)),
                    interval: check.interval,
                    look_until: run.first + CheckSpec::SLOW_MARK_MAX + patience,
                };
                self.sight.fall(target, fall);
            }
            (State::Up | State::Down | State::Unknown, ..) => {
                self.sight.forget(target);
                self.publish(now, target, None);
            }
        }
    }

    fn judge(&mut self, now: Moment) {
        let rulings = self.sight.judge(now);
        let doubted = rulings.iter().filter(|(_, ruling)| *ruling == Ruling::Doubt).count();
        for (target, ruling) in rulings {
            match ruling {
                Ruling::Publish { was_held } => self.publish(now, target, was_held),
                Ruling::Doubt => {
                    let seed = self.seed;
                    let Some(entry) = self.entries.get_mut(&target) else { continue };
                    let width = spread(doubted, entry.watch.check().interval);
                    let next = now + part(width, hash(seed, target, u64::MAX));
                    entry.watch.doubt(now, entry.published, next);
                    entry.is_spread = true;
                    self.reschedule(target);
                }
            }
        }
    }

    /// Publishes what the target's watch says.
    fn publish(&mut self, now: Moment, target: TargetId, was_held: Option<Cause>) {
        let Some(entry) = self.entries.get_mut(&target) else { return };
        let state = entry.watch.state();
        if state == entry.published {
            return;
        }
        (entry.published, entry.since) = (state, now);
        self.say(now, target, was_held);
    }

    /// Tells what is published of the target.
    fn say(&mut self, now: Moment, target: TargetId, was_held: Option<Cause>) {
        let Some(entry) = self.entries.get_mut(&target) else { return };
        entry.is_unsaid = false;
        if entry.source == Source::Witness {
            return;
        }
        let mut why = entry.words();
        if let Some(cause) = was_held {
            why.push_str(&format!("; held until now, because {cause}"));
        }
        self.changes.push(Change { target, state: entry.published, why, at: now });
    }
}
