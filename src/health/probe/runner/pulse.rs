//! Whether this process was given its time.
//!
//! A machine that is suspended, migrated, throttled or swapping stops probes in the middle. When it goes on, clocks
//! say that targets took seconds to answer, and those that were about to answer look dead: all of them at once.
//! So a task on the runtime of the probes beats, and what is missing between two beats is remembered as a stall. A
//! probe that took too long is evidence of nothing when at least half of the time that it had was a stall; with the
//! other half to answer in, a target that did not is what it seems.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::words;
use crate::health::Outcome;
use crate::limits::PROBE_STALLS_KEPT;
use crate::model::{CheckSpec, Moment};

/// From beat to beat.
pub(super) const BEAT: Duration = Duration::from_millis(50);

/// A beat that is so late is a stall. Less than that is a busy machine.
pub(super) const STALL: Duration = Duration::from_millis(250);

/// Remembers stalls.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    last: Option<Moment>,
    /// From, until; the oldest first.
    stalls: VecDeque<(Moment, Moment)>,
    count: u64,
}

impl Pulse {
    /// What is under the lock is whole at any moment, whoever panicked.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The heart beats now; for how long it stood still before, if it did.
    pub(super) fn beat(&self, now: Moment) -> Option<Duration> {
        let mut known = self.known();
        let due = known.last.map_or(now, |last| last + BEAT);
        known.last = Some(now);
        let stall = now.since(due);
        if stall < STALL {
            return None;
        }
        known.stalls.push_back((due, now));
        if known.stalls.len() > PROBE_STALLS_KEPT {
            known.stalls.pop_front();
        }
        known.count += 1;
        Some(stall)
    }

    /// Stalls so far.
    pub(super) fn count(&self) -> u64 {
        self.known().count
    }

    /// How much of the time between was a stall; also one that has not ended with a beat yet.
    fn stalled(&self, from: Moment, until: Moment) -> Duration {
        let known = self.known();
        let open = known.last.map(|last| (last + BEAT, until)).filter(|(due, now)| now.since(*due) >= STALL);
        known.stalls.iter().copied().chain(open).map(|(began, ended)| ended.min(until).since(began.max(from))).sum()
    }

    /// What a probe's outcome is worth.
    pub(super) fn judge(&self, check: &CheckSpec, started: Moment, ended: Moment, outcome: Outcome) -> Outcome {
        let Outcome::Bad { found, .. } = &outcome else { return outcome };
        let limit = if found.took >= check.timeout { check.timeout } else { check.max_response };
        if found.took < limit {
            return outcome;
        }
        let stalled = self.stalled(started, ended);
        if stalled < limit / 2 {
            return outcome;
        }
        Outcome::Blind { why: format!("this process stood still for {} meanwhile", words::span(stalled)) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::health::Found;
    use crate::model::{Probe, TcpProbe};

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    /// Beats every 50 ms, but not in between.
    fn pulse(until_ms: u64, still: std::ops::Range<u64>) -> Pulse {
        let pulse = Pulse::default();
        for ms in (0..=until_ms).step_by(50).filter(|ms| !still.contains(ms)) {
            pulse.beat(at(ms));
        }
        pulse
    }

    fn check() -> Arc<CheckSpec> {
        Arc::new(CheckSpec { max_response: Duration::from_secs(1), ..CheckSpec::of(Probe::Tcp(TcpProbe::default())) })
    }

    fn bad(took_ms: u64) -> Outcome {
        let found = Found { took: Duration::from_millis(took_ms), ..Found::default() };
        Outcome::Bad { why: "no answer".into(), found }
    }

    fn is_blind(pulse: &Pulse, from_ms: u64, outcome: Outcome) -> bool {
        let Outcome::Bad { found, .. } = &outcome else { unreachable!("only bad ones are judged") };
        let ended = at(from_ms) + found.took;
        matches!(pulse.judge(&check(), at(from_ms), ended, outcome), Outcome::Blind { .. })
    }

    #[test]
    fn who_had_half_of_the_time_to_answer_and_did_not_is_at_fault() {
        let still = pulse(10_000, 1000..2600);
        assert_eq!(still.count(), 1);
        assert!(is_blind(&still, 500, bad(3000)), "1.6 of its 3 s were a stall");
        assert!(!is_blind(&still, 5000, bad(3000)), "it was over");
        let brief = pulse(10_000, 1000..2300);
        assert!(!is_blind(&brief, 500, bad(3000)), "1.3 of its 3 s were");
        assert!(is_blind(&brief, 500, bad(1800)), "but more than half of the second for a good answer");
    }

    #[test]
    fn a_failure_that_time_has_no_part_in_is_a_failure() {
        let still = pulse(10_000, 1000..9000);
        assert!(!is_blind(&still, 900, bad(10)), "refused");
    }

    #[test]
    fn a_stall_counts_before_the_next_beat_has_come() {
        let pulse = pulse(1000, 0..0);
        assert!(is_blind(&pulse, 1000, bad(3000)));
        assert!(!is_blind(&super::Pulse::default(), 1000, bad(3000)), "a heart that never beat tells nothing");
    }

    #[test]
    fn a_machine_that_is_merely_busy_does_not_stall() {
        let pulse = Pulse::default();
        for ms in (0..10_000).step_by(200) {
            assert_eq!(pulse.beat(at(ms)), None);
        }
        assert!(!is_blind(&pulse, 0, bad(3000)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let pulse = Pulse::default();
        for ms in (0..1_000_000).step_by(1000) {
            pulse.beat(at(ms));
        }
        assert_eq!(pulse.count(), 999);
        assert_eq!(pulse.known().stalls.len(), PROBE_STALLS_KEPT);
    }
}
