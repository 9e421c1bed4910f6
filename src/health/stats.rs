//! What people see of a target besides its state. For display only: nothing here steers.
//!
//! Everything is integer arithmetic on two bounded windows: the last
//! [`limits::PROBE_RESULTS_KEPT`] results, and the response times of the last
//! [`limits::PROBE_TIMES_KEPT`] good ones.
//!
//! - **Response time**: an exponentially weighted mean of good answers; the first one sets it, each further
//!   one moves it by an eighth of the difference.
//! - **Percentiles** (50, 90, 99): nearest rank, `times[ceil(n × p / 100) - 1]` of the sorted window.
//! - **Score**, 0 to 100: `share × (50 + speed / 2) / 100`. `share` is the percentage of good results among
//!   the good and bad ones. `speed` is 100 while the mean is at most twice the median, else
//!   `200 × median / mean`: a target that answers, however slowly, keeps half its score.
//! - **Trend**: the good and bad results kept, oldest first, in two halves (the newer one takes the odd
//!   one); of each half the share of good ones and their mean time. *Worsening*: the newer share is lower by
//!   10 points or more, or it is not higher and the newer mean is above the older by a quarter and 5 ms.
//!   *Improving*: the same the other way round. Else *steady*; also with fewer than 8 results.
//! - **Confidence**, 0 to 100: `100 × min(n, 16) / 16` for `n` good and bad results kept; whole until the
//!   last of them is two intervals old, then falling in a straight line to 0 at ten.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Found, Outcome};
use crate::limits;
use crate::model::Moment;

#[cfg(test)]
mod tests;

/// What one result said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Grade {
    Good,
    Bad,
    /// Evidence of nothing.
    Blind,
}

/// One result, as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When the probe started.
    pub started: Moment,
    /// What it said.
    pub grade: Grade,
    /// From the start of the probe to its outcome; zero when it is not known.
    pub took: Duration,
    /// Why it was not good, or a note on a good one.
    pub words: Option<Arc<str>>,
}

/// Where a target is heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Trend {
    Improving,
    Steady,
    Worsening,
}

/// Until when a target's certificate is valid, and whether that is soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// It is valid for longer than the warning threshold.
    Fine(SystemTime),
    /// It expires within the warning threshold.
    Expiring(SystemTime),
    /// It has expired.
    Expired(SystemTime),
}

/// The 50th, 90th and 99th percentile of response times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Percentiles {
    pub p50: Duration,
    pub p90: Duration,
    pub p99: Duration,
}

/// The memory of one target.
#[derive(Debug, Default)]
pub(super) struct Stats {
    results: VecDeque<Seen>,
    times_us: VecDeque<u32>,
    mean_us: Option<u64>,
    expires: Option<SystemTime>,
    last_error: Option<Arc<str>>,
}

fn bounded(words: &str) -> Arc<str> {
    let end = words.char_indices().nth(limits::PROBE_ERROR_LEN_MAX).map_or(words.len(), |(at, _)| at);
    Arc::from(&words[..end])
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Stats {
    /// Remembers the outcome of the probe that started then. Results come in order of their starts.
    pub(super) fn saw(&mut self, started: Moment, outcome: &Outcome) {
        let (grade, found, words) = match outcome {
            Outcome::Good(found) => (Grade::Good, Some(found), found.note.as_deref()),
            Outcome::Bad { why, found } => (Grade::Bad, Some(found), Some(why.as_str())),
            Outcome::Blind { why } => (Grade::Blind, None, Some(why.as_str())),
        };
        let words = words.map(|words| self.words(words));
        if let Some(found) = found {
            self.found(grade, found);
        }
        if grade != Grade::Good {
            self.last_error.clone_from(&words);
        }
        if self.results.len() == limits::PROBE_RESULTS_KEPT {
            self.results.pop_front();
        }
        let took = found.map_or(Duration::ZERO, |found| found.took);
        self.results.push_back(Seen { started, grade, took, words });
    }

    /// The words, sharing memory with the last result that said the same.
    fn words(&self, words: &str) -> Arc<str> {
        let words = bounded(words);
        let last = self.results.back().and_then(|seen| seen.words.as_ref());
        last.into_iter().chain(&self.last_error).find(|last| **last == words).cloned().unwrap_or(words)
    }

    fn found(&mut self, grade: Grade, found: &Found) {
        self.expires = found.certificate_expires.or(self.expires);
        if grade != Grade::Good {
            return;
        }
        let took_us = micros(found.took);
        self.mean_us = Some(match self.mean_us {
            None => took_us,
            Some(mean) if took_us >= mean => mean + (took_us - mean) / 8,
            Some(mean) => mean - (mean - took_us) / 8,
        });
        if self.times_us.len() == limits::PROBE_TIMES_KEPT {
            self.times_us.pop_front();
        }
        self.times_us.push_back(u32::try_from(took_us).unwrap_or(u32::MAX));
    }

    /// The usual response time, once there was a good answer.
    pub(super) fn mean(&self) -> Option<Duration> {
        self.mean_us.map(Duration::from_micros)
    }

    /// What the last result that was not good said.
    pub(super) fn last_error(&self) -> Option<&Arc<str>> {
        self.last_error.as_ref()
    }

    /// The results kept, oldest first.
    pub(super) fn results(&self) -> Vec<Seen> {
        self.results.iter().cloned().collect()
    }

    /// `None` before the first good answer.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let mut times: Vec<u32> = self.times_us.iter().copied().collect();
        times.sort_unstable();
        let rank = |percent: usize| {
            let at = (times.len() * percent).div_ceil(100).checked_sub(1)?;
            times.get(at).map(|&us| Duration::from_micros(u64::from(us)))
        };
        Some(Percentiles { p50: rank(50)?, p90: rank(90)?, p99: rank(99)? })
    }

    /// Until when the certificate that was last seen is valid.
    pub(super) fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The certificate that was last seen, at the time of day `wall`.
    pub(super) fn certificate(&self, warning: Duration, wall: SystemTime) -> Option<Certificate> {
        self.expires.map(|expires| match expires.duration_since(wall) {
            Err(_) => Certificate::Expired(expires),
            Ok(left) if left < warning => Certificate::Expiring(expires),
            Ok(_) => Certificate::Fine(expires),
        })
    }

    fn known(&self) -> Vec<&Seen> {
        self.results.iter().filter(|seen| seen.grade != Grade::Blind).collect()
    }

    /// `None` before the first result that is evidence of something.
    pub(super) fn score(&self) -> Option<u8> {
        let (share, _) = share_and_mean_us(&self.known())?;
        let speed = match (self.mean_us, self.percentiles()) {
            (Some(mean), Some(times)) if mean > 2 * micros(times.p50) => 200 * micros(times.p50) / mean.max(1),
            (Some(_) | None, Some(_) | None) => 100,
        };
        Some(u8::try_from(share * (50 + speed.min(100) / 2) / 100).expect("at most 100"))
    }

    /// Where it is heading.
    pub(super) fn trend(&self) -> Trend {
        let known = self.known();
        let (older, newer) = known.split_at(known.len() / 2);
        let (Some((old, old_us)), Some((new, new_us))) = (share_and_mean_us(older), share_and_mean_us(newer)) else {
            return Trend::Steady;
        };
        let is_slower = |slow: Option<u64>, fast: Option<u64>| match (slow, fast) {
            (Some(slow), Some(fast)) => slow > fast + fast / 4 + 5000,
            (None, _) | (_, None) => false,
        };
        if known.len() < 8 {
            Trend::Steady
        } else if new + 10 <= old || (new <= old && is_slower(new_us, old_us)) {
            Trend::Worsening
        } else if old + 10 <= new || (old <= new && is_slower(old_us, new_us)) {
            Trend::Improving
        } else {
            Trend::Steady
        }
    }

    /// How much the other figures are worth, at `now`.
    pub(super) fn confidence(&self, interval: Duration, now: Moment) -> u8 {
        let known = self.known();
        let Some(last) = known.last() else { return 0 };
        let by_number = 100 * known.len().min(16) as u64 / 16;
        let (age, interval) = (micros(now.since(last.started)), micros(interval).max(1));
        let freshness = match age.saturating_sub(2 * interval) {
            0 => 100,
            over => 100_u64.saturating_sub(100 * (over / 8) / interval),
        };
        u8::try_from(by_number * freshness / 100).expect("at most 100")
    }
}

/// The percentage of good results, and the mean time of those.
fn share_and_mean_us(results: &[&Seen]) -> Option<(u64, Option<u64>)> {
    let good: Vec<u64> =
        results.iter().filter(|seen| seen.grade == Grade::Good).map(|seen| micros(seen.took)).collect();
    let share = (100 * good.len() as u64).checked_div(results.len() as u64)?;
    let mean_us = good.iter().fold(0_u64, |sum, &us| sum.saturating_add(us)).checked_div(good.len() as u64);
    Some((share, mean_us))
}
