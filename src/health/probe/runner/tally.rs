//! What became of probes, in numbers: by check and data centre, and how late they began.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::health::Outcome;
use crate::model::{CheckSpec, DatacenterId, Moment, State};

/// Of what a [`Tally`] is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// Where the targets stand; `None`: nowhere, or in several.
    pub datacenter: Option<DatacenterId>,
    /// What is done. Policies may give it several names.
    pub check: Arc<CheckSpec>,
}

/// All of it, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// How much there was to do, and what went wrong here.
    pub counters: ProberCounters,
    /// How much later than planned probes began.
    pub lateness: Spans,
    /// What became of them. A group is there as long as it has a target.
    pub groups: Vec<(Group, Tally)>,
    /// Addresses that belong to no data centre, and whether each answers.
    pub witnesses: Vec<(SocketAddr, State)>,
}

/// How much there was to do, and what went wrong here, since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProberCounters {
    /// Targets that are watched.
    pub targets: usize,
    /// Probes that may be out at once.
    pub concurrency: usize,
    /// Probes that are out.
    pub in_flight: usize,
    /// Probes begun.
    pub started: u64,
    /// Of these, begun more than [`crate::health::LATE`] after their time.
    pub late: u64,
    /// The latest of all.
    pub lateness_max: Duration,
    /// When one last began so late.
    pub late_at: Option<Moment>,
    /// Probes given up because no result came, of the engine that runs now.
    pub lost: u64,
    /// Probes that did not keep their time limit.
    pub overran: u64,
    /// Probes that have panicked: each is a defect of ours.
    pub panicked: u64,
    /// How often this process stood still for [`super::STALL`] or longer.
    pub stalls: u64,
    /// How often the engine was started anew after a panic.
    pub restarts: u64,
}

/// Probes of one check in one data centre, since the start of the process.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Begun.
    pub started: u64,
    /// With a bad outcome.
    pub failed: u64,
    /// Without any.
    pub blind: u64,
    /// Begun more than [`crate::health::LATE`] after their time.
    pub late: u64,
    /// Begun and not ended.
    pub in_flight: u64,
    /// From the start to a good or bad outcome.
    pub took: Spans,
    /// When the first of the certificates that the targets showed last expires.
    pub certificate_expires: Option<SystemTime>,
}

impl Tally {
    pub(super) fn ended(&mut self, outcome: &Outcome) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            Outcome::Good(found) => self.took.add(found.took),
            Outcome::Bad { found, .. } => {
                self.failed += 1;
                self.took.add(found.took);
            }
            Outcome::Blind { .. } => self.blind += 1,
        }
    }
}

/// Each doubling of time is cut into so many parts, so a quantile is at most a ninth too large.
const PARTS: usize = 8;

/// From 1 µs to over an hour.
const BUCKETS: usize = 32 * PARTS;

/// Spans of time: their count, their sum, their greatest, and quantiles within a ninth.
#[derive(Clone)]
pub struct Spans {
    /// How many.
    pub count: u64,
    /// Together.
    pub sum: Duration,
    /// The longest.
    pub max: Duration,
    buckets: Box<[u64; BUCKETS]>,
}

impl Default for Spans {
    fn default() -> Spans {
        Spans { count: 0, sum: Duration::ZERO, max: Duration::ZERO, buckets: Box::new([0; BUCKETS]) }
    }
}

impl std::fmt::Debug for Spans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spans").field("count", &self.count).field("sum", &self.sum).field("max", &self.max).finish()
    }
}

/// The bucket of a span: itself below [`PARTS`], then as a floating-point number with 3 bits of mantissa.
fn bucket(us: u64) -> usize {
    let bits = PARTS.trailing_zeros();
    if us < PARTS as u64 {
        return us as usize;
    }
    let exponent = us.ilog2();
    let part = (us >> (exponent - bits)) as usize - PARTS;
    ((exponent - bits + 1) as usize * PARTS + part).min(BUCKETS - 1)
}

/// The longest span of a bucket.
fn longest_us(bucket: usize) -> u64 {
    let (octave, part) = (bucket / PARTS, bucket % PARTS);
    if octave == 0 {
        return part as u64;
    }
    let shift = octave - 1;
    (((PARTS + part + 1) as u64) << shift) - 1
}

impl Spans {
    pub(super) fn add(&mut self, span: Duration) {
        self.count += 1;
        self.sum += span;
        self.max = self.max.max(span);
        self.buckets[bucket(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))] += 1;
    }

    /// What `permille` of 1000 spans do not exceed; at most a ninth too large. `None`: there are no spans.
    pub fn quantile(&self, permille: u64) -> Option<Duration> {
        let rank = (u128::from(self.count) * u128::from(permille)).div_ceil(1000).max(1);
        let mut seen = 0_u128;
        let at = self.buckets.iter().position(|count| {
            seen += u128::from(*count);
            seen >= rank
        })?;
        Some(Duration::from_micros(longest_us(at)).min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_span_has_a_bucket_that_is_not_much_longer() {
        let mut before = None;
        for us in (0..5000).chain((11..31).map(|shift| 3 << shift)) {
            let at = bucket(us);
            assert!(longest_us(at) >= us && longest_us(at) as f64 <= us as f64 * 9.0 / 8.0, "{us} is in {at}");
            assert!(us > 5000 || before.is_none_or(|before| at == before || at == before + 1), "{us} is in {at}");
            before = Some(at);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_spans(
            mut us in prop::collection::vec(0_u64..100_000_000, 1..200), permille in 1_u64..=1000,
        ) {
            let mut spans = Spans::default();
            us.iter().for_each(|us| spans.add(Duration::from_micros(*us)));
            us.sort_unstable();
            let exact = us[(us.len() * permille as usize).div_ceil(1000) - 1];
            let told = spans.quantile(permille).unwrap().as_micros() as u64;
            prop_assert!(told >= exact && told as f64 <= exact as f64 * 9.0 / 8.0 + 1.0, "{told} for {exact}");
        }
    }

    #[test]
    fn of_nothing_nothing_is_told() {
        assert_eq!(Spans::default().quantile(500), None);
    }
}
