//! What is made of each fall, and when.

use super::super::TargetId;
use super::super::watch::Run;
use super::{Cause, Fall, LOOK_WITHIN, Means, Proofs, Ruling, Seen, Sight};
use crate::model::{CheckSpec, DatacenterId, Moment};

/// How a fall stands to what was seen.
enum Standing {
    Proven,
    /// Nothing seen speaks for it yet.
    Unproven,
    /// Too late for proof, but this node sees again.
    SeesAgain,
}

impl Sight {
    /// When something is to be judged, if no event comes before.
    pub(in crate::health) fn wake(&self) -> Option<Moment> {
        let new = (!self.new.is_empty()).then_some(Moment::default());
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        let hold = self.hold.map(|(_, since)| since + self.hold_max);
        [new, self.review_at, deadline, hold].into_iter().flatten().min()
    }

    /// Judges what is new, what is due, and, when there were successes, what waits. In order of targets.
    pub(in crate::health) fn judge(&mut self, now: Moment) -> Vec<(TargetId, Ruling)> {
        let mut rulings = Vec::new();
        if self.hold.is_some_and(|(_, since)| since + self.hold_max <= now) {
            self.spend(now, &mut rulings);
        }
        let mut asked = std::mem::take(&mut self.new);
        while let Some(&(at, target)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.deadlines.remove(&(at, target));
            asked.push(target);
        }
        if self.review_at.is_some_and(|at| at <= now) {
            self.review_at = None;
            self.reviewed = now;
            asked = self.waiting.keys().copied().collect();
        }
        asked.sort_unstable();
        asked.dedup();
        for target in asked {
            if let Some(ruling) = self.ruling(now, target) {
                self.forget(target);
                rulings.push((target, ruling));
            }
        }
        rulings
    }

    /// The hold has lasted long enough.
    fn spend(&mut self, now: Moment, rulings: &mut Vec<(TargetId, Ruling)>) {
        let held: Vec<TargetId> = self.held.iter().copied().collect();
        for target in held {
            let was_held = self.waiting.get(&target).and_then(|waiting| waiting.held);
            self.forget(target);
            rulings.push((target, Ruling::Publish { was_held }));
        }
        self.spent_at = Some(now);
    }

    fn ruling(&mut self, now: Moment, target: TargetId) -> Option<Ruling> {
        let waiting = self.waiting.get(&target)?;
        let sees_again = match (self.standing(&waiting.fall), waiting.held) {
            (Standing::Proven, was_held) => return Some(Ruling::Publish { was_held }),
            (Standing::SeesAgain, Some(_)) => return Some(Ruling::Doubt),
            (Standing::Unproven, Some(_)) => return None,
            (Standing::SeesAgain, None) => true,
            (Standing::Unproven, None) => false,
        };
        let cause = match (self.spent_at, self.cause(&waiting.fall)) {
            (Some(_), _) | (_, None) => return Some(Ruling::Publish { was_held: None }),
            (None, Some(cause)) => cause,
        };
        let look_until = waiting.fall.look_until;
        if now < look_until {
            self.deadlines.insert((look_until, target));
            return None;
        }
        if sees_again {
            return Some(Ruling::Doubt);
        }
        if let Some(waiting) = self.waiting.get_mut(&target) {
            waiting.held = Some(cause);
        }
        self.held.insert(target);
        self.hold.get_or_insert((cause, now));
        None
    }

    fn standing(&self, fall: &Fall) -> Standing {
        let is_home = fall.datacenter.is_some() && fall.datacenter == self.own && !fall.is_named;
        let means: &[Means] = if fall.is_named { &[self.link, self.resolver] } else { &[self.link] };
        if means.iter().any(|means| !means.is_good) {
            return Standing::Unproven;
        }
        let restored = means.iter().filter_map(|means| means.failed_until).max();
        let from = restored.map_or(fall.run.second, |restored| restored.max(fall.run.second));
        let to = match fall.run {
            Run { first, last, .. } if first == last => first + CheckSpec::SLOW_MARK_MAX + LOOK_WITHIN,
            Run { second, last, .. } => last.max(second + LOOK_WITHIN),
        };
        let speaks = |says: &dyn Fn(&Proofs) -> bool| says(&self.abroad) || (is_home && says(&self.home));
        if speaks(&|proofs| proofs.within(from, to)) {
            Standing::Proven
        } else if speaks(&|proofs| proofs.after(to.max(from))) {
            Standing::SeesAgain
        } else {
            Standing::Unproven
        }
    }

    /// Why the node may be blind, if no proof comes.
    fn cause(&self, fall: &Fall) -> Option<Cause> {
        let first = fall.run.first;
        if self.link.failed_since(first) {
            return Some(Cause::Link);
        }
        if fall.is_named && self.resolver.failed_since(first) {
            return Some(Cause::Resolver);
        }
        if self.has_witnesses {
            return Some(Cause::Witnesses);
        }
        let own = self.own.as_ref().and_then(|own| self.datacenters.get(own));
        let own_answers = own.is_some_and(|seen| seen.good.is_some() && seen.failing_since.is_none());
        if own_answers && fall.datacenter != self.own {
            return Some(Cause::OnlyOwn);
        }
        // Data centres that were up, and do not answer: that of the target; those that fail since then, or
        // that nobody has asked.
        let lately = |since: Moment| since + fall.interval >= first;
        let is_failing = |(id, seen): &(&DatacenterId, &Seen)| {
            let is_its_own = fall.datacenter.as_ref() == Some(id);
            seen.good.is_some() && (is_its_own || seen.failing_since.is_none_or(lately))
        };
        (self.datacenters.iter().filter(is_failing).count() >= 2).then_some(Cause::Common)
    }
}
