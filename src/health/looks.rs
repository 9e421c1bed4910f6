//! Looks around: who is asked, when there is doubt, whether this node still sees.
//!
//! One look asks every witness, and in each data centre, at most [`limits::LOOK_DATACENTERS_MAX`] in turn,
//! [`limits::LOOK_TARGETS`] targets that answered last. A single success is proof enough, so it does not matter who
//! answers. However many targets fail at once, looks are [`APART`]: they are a few probes, not a storm of
//! their own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::TargetId;
use crate::limits;
use crate::model::{DatacenterId, Moment};

/// From one look to the next.
const APART: Duration = Duration::from_millis(100);

/// Whom to ask, and when.
#[derive(Debug, Default)]
pub(super) struct Looks {
    witnesses: Vec<TargetId>,
    datacenters: Vec<Members>,
    /// The data centre with which the next look begins.
    turn: usize,
    due: Option<Moment>,
    last: Option<Moment>,
}

#[derive(Debug)]
struct Members {
    targets: Vec<TargetId>,
    turn: usize,
}

impl Looks {
    pub(super) fn set_witnesses(&mut self, witnesses: Vec<TargetId>) {
        self.witnesses = witnesses;
    }

    /// Who can be asked in each data centre.
    pub(super) fn set_targets(&mut self, by_datacenter: BTreeMap<&DatacenterId, Vec<TargetId>>) {
        self.datacenters = by_datacenter.into_values().map(|targets| Members { targets, turn: 0 }).collect();
    }

    /// There is doubt.
    pub(super) fn want(&mut self, now: Moment) {
        let soonest = self.last.map_or(now, |last| now.max(last + APART));
        self.due.get_or_insert(soonest);
    }

    /// When the next look is due, if one is wanted.
    pub(super) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// Whom the look that is due by now asks. `can_answer` says who can be expected to.
    pub(super) fn take(&mut self, now: Moment, can_answer: impl Fn(TargetId) -> bool) -> Vec<TargetId> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        (self.due, self.last) = (None, Some(now));
        let mut asked = self.witnesses.clone();
        let count = self.datacenters.len();
        for _ in 0..count.min(limits::LOOK_DATACENTERS_MAX) {
            self.turn = (self.turn + 1) % count;
            asked.extend(self.datacenters[self.turn].take(&can_answer));
        }
        asked
    }
}

impl Members {
    fn take(&mut self, can_answer: &impl Fn(TargetId) -> bool) -> Vec<TargetId> {
        let mut found = Vec::new();
        for _ in 0..self.targets.len().min(limits::LOOK_SEARCH_MAX) {
            self.turn = (self.turn + 1) % self.targets.len();
            let target = self.targets[self.turn];
            if can_answer(target) {
                found.push(target);
            }
            if found.len() == limits::LOOK_TARGETS {
                break;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks() -> Looks {
        let mut looks = Looks::default();
        looks.set_witnesses(vec![TargetId(9)]);
        let ids = ["dc1", "dc2"].map(|id| DatacenterId::new(id).unwrap());
        let of = |from: u64| (from..from + 3).map(TargetId).collect::<Vec<_>>();
        looks.set_targets(ids.iter().zip([of(10), of(20)]).collect());
        looks
    }

    #[test]
    fn a_look_asks_witnesses_and_some_of_each_data_centre_that_are_up() {
        let mut looks = looks();
        let now = Moment::default();
        assert_eq!(looks.take(now, |_| true), [], "nobody wants one");
        looks.want(now);
        let asked = looks.take(now, |target| target != TargetId(11) && target.0 < 20);
        assert_eq!(asked, [TargetId(9), TargetId(12), TargetId(10)]);
    }

    #[test]
    fn however_many_want_to_look_looks_are_apart() {
        let mut looks = looks();
        let mut taken = 0;
        for ms in 0..1000 {
            let now = Moment(Duration::from_millis(ms));
            looks.want(now);
            taken += usize::from(!looks.take(now, |_| true).is_empty());
        }
        assert_eq!(taken, 10);
    }
}
