//! One target: probes in flight, and what their results make of its state.
//!
//! Results are *folded* in the order in which their probes started, whatever the order in which they come
//! back: what is made of them does not depend on who was slow. A result whose elder is still out waits.
//!
//! ```text
//!              first good                         fall × bad in a row, or fail_ratio
//!   undecided ───────────▶ up ──────────────────────────────────────────────▶ down
//!       │ first bad         ▲                    rise × good in a row            │
//!       └─────────────────▶ └─────────────────────────────────────────────────────┘
//! ```
//!
//! - A state that is *remembered* from before counts as decided, but is stale until a result agrees with it.
//! - `Blind` is evidence of nothing: counts stay. Blind for longer than `fall × interval + timeout`, the
//!   state is unknown until a result confirms what was decided or decides anew; or the target is down at
//!   once, where `silence_is_down`.
//! - While a target is not down, a failing probe, or one that is unanswered at the *slow mark* S, is
//!   confirmed in a hurry: the second starts S after the first, each further one `fast_interval` after the
//!   last, side by side, until `fall` failures are had or may be had from those that are out. So a black hole
//!   costs `fall` open probes, not more. S is 4 × the usual response time, within 100 and 500 ms.
//! - A *look* is a probe out of turn, to see whether this node sees. Looks may come close upon each other, so
//!   they must not hurry a verdict: a failure counts only when it is the first in a row, that a blip of a
//!   moment does not count thrice, and a success does not count towards recovery.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::stats::Stats;
use super::{Found, Outcome};
use crate::limits;
use crate::model::{CheckSpec, Moment, State, TargetSpec};

mod fold;
#[cfg(test)]
mod tests;

/// After its timeout a probe has so long to report; then it is lost, and counts as failed.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(1);

/// A probe that has started and is not folded yet.
#[derive(Debug)]
struct Flight {
    number: u64,
    started: Moment,
    is_look: bool,
    outcome: Option<Outcome>,
}

/// Failures in a row: when which probe of them started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first.
    pub(super) first: Moment,
    /// The second; the first when it is alone.
    pub(super) second: Moment,
    /// The last.
    pub(super) last: Moment,
}

/// The state machine of one target.
#[derive(Debug)]
pub(super) struct Watch {
    spec: Arc<TargetSpec>,
    /// What results have decided: true is up.
    is_up: Option<bool>,
    is_stale: bool,
    is_silent: bool,
    failures: u32,
    successes: u32,
    run: Option<Run>,
    /// For `fail_ratio`: true is a failure.
    recent: VecDeque<bool>,
    flights: VecDeque<Flight>,
    /// The next probe starts then, unless a failure hurries it.
    regular: Moment,
    blind_since: Option<Moment>,
    /// Failures of probes that started earlier count for nothing.
    floor: Moment,
    /// The doubtful probe for which a look around was asked for.
    looked_for: Option<Moment>,
    /// What is merely unanswered hurries nothing until then.
    calm_until: Moment,
    /// What people see.
    pub(super) stats: Stats,
}

/// What passing time brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ticked {
    /// Probes given up as lost.
    pub(super) lost: usize,
    /// There is doubt: somebody should see whether this node sees.
    pub(super) wants_look: bool,
}

impl Watch {
    /// Begins to watch; the first probe starts at `first`.
    pub(super) fn new(spec: Arc<TargetSpec>, remembered: Option<State>, first: Moment) -> Watch {
        let is_up = match remembered {
            Some(State::Up) => Some(true),
            Some(State::Down) => Some(false),
            Some(State::Unknown) | None => None,
        };
        Watch {
            spec,
            is_up,
            is_stale: is_up.is_some(),
            is_silent: false,
            failures: 0,
            successes: 0,
            run: None,
            recent: VecDeque::new(),
            // Mostly there is one.
            flights: VecDeque::with_capacity(1),
            regular: first,
            blind_since: None,
            floor: Moment::default(),
            looked_for: None,
            calm_until: Moment::default(),
            stats: Stats::default(),
        }
    }

    pub(super) fn check(&self) -> &CheckSpec {
        &self.spec.check
    }

    pub(super) fn spec(&self) -> &Arc<TargetSpec> {
        &self.spec
    }

    /// What its results say.
    pub(super) fn state(&self) -> State {
        match (self.is_silent, self.is_up) {
            (true, _) | (_, None) => State::Unknown,
            (false, Some(true)) => State::Up,
            (false, Some(false)) => State::Down,
        }
    }

    /// It is remembered from before, and no result has agreed yet.
    pub(super) fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Failures and successes in a row; one of them is 0.
    pub(super) fn counts(&self) -> (u32, u32) {
        (self.failures, self.successes)
    }

    /// The failures that it is down for, or would be.
    pub(super) fn run(&self) -> Option<Run> {
        self.run
    }

    /// The numbers of the probes that are out.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = u64> + '_ {
        self.flights.iter().filter(|flight| flight.outcome.is_none()).map(|flight| flight.number)
    }

    /// One more may be out.
    pub(super) fn has_room(&self) -> bool {
        self.flights.len() < limits::PROBE_RESULTS_KEPT && self.in_flight().count() < limits::PROBES_PER_TARGET_MAX
    }

    /// Looks take at most half of that room: they must never keep a failure from being confirmed.
    pub(super) fn has_room_for_looks(&self) -> bool {
        self.in_flight().count() < limits::PROBES_PER_TARGET_MAX / 2
    }

    /// It can be expected to answer: it answered last, and nothing of it is doubtful.
    pub(super) fn can_be_looked_at(&self, now: Moment) -> bool {
        let (_, first, _) = self.suspected();
        let has_answered = self.is_up == Some(true) || self.successes > 0;
        has_answered && self.failures == 0 && first.is_none_or(|first| first + self.slow_mark() > now)
    }

    /// Unanswered for so long, a probe is doubtful.
    pub(super) fn slow_mark(&self) -> Duration {
        let usual = self.stats.mean().unwrap_or(CheckSpec::SLOW_MARK_MAX);
        usual.saturating_mul(4).clamp(CheckSpec::SLOW_MARK_MIN, CheckSpec::SLOW_MARK_MAX)
    }

    /// As if all that are out had failed: how many in a row, and when the first and the last of them started.
    fn suspected(&self) -> (u32, Option<Moment>, Moment) {
        let mut count = self.failures;
        let mut first = self.run.map(|run| run.first);
        let mut last = self.run.map_or(Moment::default(), |run| run.last);
        for flight in &self.flights {
            match &flight.outcome {
                Some(Outcome::Good(_)) => (count, first) = (0, None),
                Some(Outcome::Blind { .. }) => {}
                Some(Outcome::Bad { .. }) | None => {
                    if flight.started >= self.floor && !(flight.is_look && count > 0) {
                        count += 1;
                        first = first.or(Some(flight.started));
                        last = flight.started;
                    }
                }
            }
        }
        (count, first, last)
    }

    /// Probes now confirm a failure.
    pub(super) fn is_confirming(&self) -> bool {
        self.is_up == Some(true) && self.suspected().0 > 1
    }

    /// When the next probe is due.
    pub(super) fn planned(&self) -> Moment {
        if self.is_up != Some(true) {
            return self.regular;
        }
        let hurried = match self.suspected() {
            (count, ..) if count >= u32::from(self.check().fall) => return self.regular,
            (0, ..) | (_, None, _) => return self.regular,
            (1, Some(first), _) => first + self.slow_mark(),
            (_, Some(_), last) => last + self.check().fast_interval,
        };
        let calm_until = if self.failures == 0 { self.calm_until } else { Moment::default() };
        self.regular.min(hurried.max(calm_until))
    }

    /// The next probe is early because one is unanswered; none has failed.
    pub(super) fn is_guess(&self, now: Moment) -> bool {
        self.is_up == Some(true) && self.failures == 0 && self.regular > now
    }

    /// Lets what is unanswered hurry nothing until then: whoever starts probes is late himself.
    pub(super) fn calm(&mut self, until: Moment) {
        self.calm_until = until;
    }

    /// When a look around is wanted, if nothing comes before.
    fn doubtful(&self) -> Option<Moment> {
        let (_, first, _) = self.suspected();
        let first = first.filter(|first| self.is_up != Some(false) && self.looked_for != Some(*first))?;
        let is_answered = self.failures > 0;
        Some(if is_answered { first } else { first + self.slow_mark() })
    }

    fn silent_at(&self) -> Option<Moment> {
        let check = self.check();
        let since = self.blind_since.filter(|_| !self.is_silent)?;
        Some(since + check.interval * u32::from(check.fall) + check.timeout)
    }

    fn lost_at(&self, flight: &Flight) -> Moment {
        flight.started + self.check().timeout + LOST_AFTER
    }

    /// When time alone changes something here, besides the next probe.
    pub(super) fn wake(&self) -> Option<Moment> {
        let eldest = self.flights.iter().find(|flight| flight.outcome.is_none());
        let lost = eldest.map(|flight| self.lost_at(flight));
        [lost, self.doubtful(), self.silent_at()].into_iter().flatten().min()
    }

    /// A probe starts. The next regular one comes `gap` later.
    pub(super) fn start(&mut self, now: Moment, number: u64, is_look: bool, gap: Duration) {
        self.regular = now + gap;
        self.flights.push_back(Flight { number, started: now, is_look, outcome: None });
    }

    /// The outcome of a probe; when it started, or `None` when no such probe is out.
    pub(super) fn done(&mut self, number: u64, outcome: Outcome) -> Option<Moment> {
        let flight = self.flights.iter_mut().find(|flight| flight.number == number && flight.outcome.is_none())?;
        flight.outcome = Some(outcome);
        let started = flight.started;
        self.fold();
        Some(started)
    }

    /// Time passes.
    pub(super) fn tick(&mut self, now: Moment) -> Ticked {
        let mut ticked = Ticked::default();
        let patience = self.check().timeout + LOST_AFTER;
        for flight in self.flights.iter_mut().filter(|flight| flight.outcome.is_none()) {
            if flight.started + patience > now {
                break;
            }
            let found = Found { took: patience, ..Found::default() };
            flight.outcome = Some(Outcome::Bad { why: "no result".into(), found });
            ticked.lost += 1;
        }
        self.fold();
        if self.silent_at().is_some_and(|at| at <= now) {
            self.fall_silent(now);
        }
        if self.doubtful().is_some_and(|at| at <= now) {
            self.looked_for = self.suspected().1;
            ticked.wants_look = true;
        }
        ticked
    }

    /// What it was down for is to be seen anew: `published` stands again, and only probes from now on count.
    pub(super) fn doubt(&mut self, now: Moment, published: State, next: Moment) {
        self.is_up = match published {
            State::Up => Some(true),
            State::Down => Some(false),
            State::Unknown => None,
        };
        (self.failures, self.successes, self.run) = (0, 0, None);
        self.recent.clear();
        self.floor = now;
        self.regular = self.regular.min(next);
    }
}
