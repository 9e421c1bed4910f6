//! When each target is looked at next: wake times, the queue of due probes, and how they are spread.
//!
//! Nobody marches in step. The first probes of `n` new targets are spread by hash over `n` × 200 µs, at most
//! one interval, so that a start is quick and no herd; targets whose state is remembered have time, and are
//! spread over the whole interval. The second probe of each follows after a part of the interval that is a
//! hash as well, which settles the phase in which the target stays; from then on jitter takes at most a
//! twentieth off each interval, and never adds. All hashes are of the seed, the target and the number of
//! the probe, so a schedule can be repeated.
//!
//! A due probe starts at once while fewer than [`crate::model::HealthSettings::concurrency`] are out; else it
//! waits in the order in which they fell due, looks around before all others. One that starts more than
//! [`LATE`] after its time is counted, for whoever relies on the worst case must know.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::TargetId;
use crate::model::Moment;

/// What each new target adds to the time over which the first probes are spread.
pub(super) const SPREAD_EACH: Duration = Duration::from_micros(200);

/// A probe that starts later than this after its time is late.
pub const LATE: Duration = Duration::from_millis(100);

/// Jitter takes at most this part off an interval.
const JITTER_PART: u64 = 20;

/// What has been done, since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Probes started.
    pub started: u64,
    /// Of these, started more than [`LATE`] after their time.
    pub late: u64,
    /// The latest of all.
    pub lateness_max: Duration,
    /// Probes given up because no result came.
    pub lost: u64,
    /// Probes that are out now.
    pub in_flight: usize,
}

impl Counters {
    /// A probe that was due at `planned` starts now.
    pub(super) fn start(&mut self, planned: Moment, now: Moment) {
        let lateness = now.since(planned);
        self.started += 1;
        self.late += u64::from(lateness > LATE);
        self.lateness_max = self.lateness_max.max(lateness);
        self.in_flight += 1;
    }
}

/// A stable hash of three numbers (the finaliser of SplitMix64, chained).
pub(super) fn hash(seed: u64, target: TargetId, number: u64) -> u64 {
    [target.0, number].into_iter().fold(seed, |state, word| {
        let mut x = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    })
}

/// The part of `width` at which `hash` stands, in whole microseconds; less than `width`.
pub(super) fn part(width: Duration, hash: u64) -> Duration {
    let width_us = u64::try_from(width.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(((u128::from(hash) * u128::from(width_us)) >> 64) as u64)
}

/// Over what the first probes of `count` targets are spread.
pub(super) fn spread(count: usize, interval: Duration) -> Duration {
    SPREAD_EACH.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)).min(interval)
}

/// From the start of a probe to the next: the interval less its jitter.
pub(super) fn gap(interval: Duration, hash: u64) -> Duration {
    let jitter_max_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX) / JITTER_PART;
    interval - part(Duration::from_micros(jitter_max_us + 1), hash)
}

/// From the first probe after a spread to the second: anything up to the interval.
pub(super) fn first_gap(interval: Duration, hash: u64) -> Duration {
    interval - part(interval, hash)
}

/// A probe that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) target: TargetId,
    pub(super) planned: Moment,
    pub(super) is_look: bool,
}

/// Wake times, and who is due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    wakes: BTreeSet<(Moment, TargetId)>,
    looks: VecDeque<Due>,
    due: VecDeque<Due>,
}

impl Schedule {
    /// Moves the target's wake time.
    pub(super) fn wake(&mut self, target: TargetId, before: Option<Moment>, after: Option<Moment>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.wakes.remove(&(before, target));
        }
        if let Some(after) = after {
            self.wakes.insert((after, target));
        }
    }

    /// The next target that wakes by `now`, in order of time.
    pub(super) fn pop_wake(&mut self, now: Moment) -> Option<TargetId> {
        let &(at, target) = self.wakes.first().filter(|(at, _)| *at <= now)?;
        self.wakes.remove(&(at, target));
        Some(target)
    }

    /// The earliest wake time.
    pub(super) fn first_wake(&self) -> Option<Moment> {
        self.wakes.first().map(|&(at, _)| at)
    }

    /// A probe waits for its slot.
    pub(super) fn push(&mut self, due: Due) {
        if due.is_look { self.looks.push_back(due) } else { self.due.push_back(due) }
    }

    /// Whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Due> {
        self.looks.pop_front().or_else(|| self.due.pop_front())
    }

    /// Nobody waits.
    pub(super) fn is_idle(&self) -> bool {
        self.looks.is_empty() && self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_round_is_spread_without_a_herd() {
        let interval = Duration::from_secs(5);
        assert_eq!(spread(10, interval), Duration::from_millis(2));
        assert_eq!(spread(10_000, interval), Duration::from_secs(2));
        assert_eq!(spread(200_000, interval), interval);
        let width = spread(10_000, interval);
        let mut slots = [0_u32; 20];
        for target in 0..10_000 {
            let at = part(width, hash(7, TargetId(target), 0));
            slots[(at.as_millis() / 100) as usize] += 1;
        }
        assert!(slots.iter().all(|slot| (400..600).contains(slot)), "{slots:?}");
    }

    proptest! {
        #[test]
        fn jitter_only_ever_shortens_an_interval(us in 100_000_u64..3_600_000_000, hash: u64) {
            let interval = Duration::from_micros(us);
            let gap = gap(interval, hash);
            prop_assert!(gap <= interval && gap >= interval - interval / 20 - Duration::from_micros(1));
            let first = first_gap(interval, hash);
            prop_assert!(first <= interval && first > Duration::ZERO);
        }
    }

    #[test]
    fn looks_go_before_probes_that_wait() {
        let mut schedule = Schedule::default();
        let due = |target, is_look| Due { target: TargetId(target), planned: Moment::default(), is_look };
        for next in [due(1, false), due(2, false), due(3, true)] {
            schedule.push(next);
        }
        let order: Vec<u64> = std::iter::from_fn(|| schedule.pop()).map(|due| due.target.0).collect();
        assert_eq!(order, [3, 1, 2]);
    }

    #[test]
    fn late_is_more_than_a_tenth_of_a_second() {
        let at = |ms| Moment(Duration::from_millis(ms));
        let mut counters = Counters::default();
        counters.start(at(1000), at(1100));
        assert_eq!((counters.started, counters.late), (1, 0));
        counters.start(at(1000), at(1101));
        assert_eq!((counters.late, counters.lateness_max), (1, Duration::from_millis(101)));
    }
}
