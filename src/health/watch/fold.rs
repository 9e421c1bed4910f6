//! What results make of a target's state.

use super::super::Outcome;
use super::{Run, Watch};
use crate::limits;
use crate::model::Moment;

impl Watch {
    pub(super) fn fold(&mut self) {
        while let Some(flight) = self.flights.pop_front_if(|flight| flight.outcome.is_some()) {
            let Some(outcome) = flight.outcome else { continue };
            self.stats.saw(flight.started, &outcome);
            match outcome {
                Outcome::Good(_) => self.good(flight.is_look),
                Outcome::Bad { .. } => self.bad(flight.started, flight.is_look),
                Outcome::Blind { .. } => {
                    self.blind_since.get_or_insert(flight.started);
                }
            }
        }
    }

    fn good(&mut self, is_look: bool) {
        self.blind_since = None;
        (self.failures, self.run) = (0, None);
        if is_look && self.is_up == Some(false) {
            return;
        }
        self.successes = self.successes.saturating_add(1);
        self.remember(false);
        if self.is_up != Some(false) || self.successes >= u32::from(self.check().rise) {
            self.decide(true);
        }
    }

    fn bad(&mut self, started: Moment, is_look: bool) {
        self.blind_since = None;
        if started < self.floor || (is_look && self.failures > 0) {
            return;
        }
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        self.run = Some(match self.run {
            None => Run { first: started, second: started, last: started },
            Some(run) if run.first == run.last => Run { second: started, last: started, ..run },
            Some(run) => Run { last: started, ..run },
        });
        self.remember(true);
        let is_enough = self.failures >= u32::from(self.check().fall) || self.fails_too_often();
        if self.is_up != Some(true) || is_enough {
            self.decide(false);
        }
    }

    /// Also when it is decided already: then a result has agreed.
    fn decide(&mut self, is_up: bool) {
        if self.is_up != Some(is_up) {
            self.recent.clear();
        }
        (self.is_up, self.is_stale, self.is_silent) = (Some(is_up), false, false);
    }

    pub(super) fn fall_silent(&mut self, now: Moment) {
        if !self.check().silence_is_down {
            self.is_silent = true;
        } else if let Some(since) = self.blind_since.take() {
            self.run = Some(Run { first: since, second: since, last: now });
            self.successes = 0;
            self.decide(false);
        }
    }

    fn window(&self) -> usize {
        self.check().fail_ratio.map_or(0, |ratio| usize::from(ratio.window).min(limits::FAIL_RATIO_WINDOW_MAX))
    }

    fn remember(&mut self, is_failure: bool) {
        self.recent.push_back(is_failure);
        while self.recent.len() > self.window() {
            self.recent.pop_front();
        }
    }

    /// Judged over a full window only.
    fn fails_too_often(&self) -> bool {
        let failures = self.recent.iter().filter(|&&failed| failed).count();
        let is_full = self.recent.len() == self.window();
        self.check().fail_ratio.is_some_and(|ratio| {
            is_full && failures > 0 && failures * 100 >= usize::from(ratio.percent) * self.recent.len()
        })
    }
}
