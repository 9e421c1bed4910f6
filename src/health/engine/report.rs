//! What people are told of a target.

use std::time::SystemTime;

use super::super::stats::{Certificate, Percentiles, Seen, Trend};
use super::*;

/// One target, as it stands. The figures' formulas are in the docs of [`super::super::stats`].
#[derive(Clone, Debug)]
pub struct TargetReport {
    /// As published.
    pub state: State,
    /// Since when it is published.
    pub since: Moment,
    /// It is remembered from before, and no result has agreed yet.
    pub is_stale: bool,
    /// Results say down, and it is not published: proof of sight may still come, or it is held.
    pub is_waiting: bool,
    /// The fall is held: this node may be blind.
    pub is_held: bool,
    /// Bad results in a row.
    pub failures: u32,
    /// Good results in a row.
    pub successes: u32,
    /// Probes that are out.
    pub in_flight: usize,
    /// What the last result that was not good said.
    pub last_error: Option<Arc<str>>,
    /// The usual response time.
    pub response: Option<Duration>,
    /// Of response times.
    pub percentiles: Option<Percentiles>,
    /// The last results, oldest first.
    pub results: Vec<Seen>,
    /// The certificate last seen.
    pub certificate: Option<Certificate>,
    /// 0 to 100.
    pub score: Option<u8>,
    /// Where it is heading.
    pub trend: Trend,
    /// 0 to 100: how much the other figures are worth.
    pub confidence: u8,
}

impl Entry {
    /// Why its state is what it is.
    pub(super) fn words(&self) -> String {
        let (failures, successes) = self.watch.counts();
        let error = self.watch.stats.last_error().map_or("no result", |words| words);
        match self.watch.state() {
            State::Up if successes == 1 => "answers".into(),
            State::Up => format!("answered {successes} times in a row"),
            State::Down if failures == 1 => error.into(),
            State::Down => format!("{error} ({failures} times in a row)"),
            State::Unknown => format!("nothing is known: {error}"),
        }
    }
}

impl Engine {
    /// The target as it stands now; `wall` is the time of day, for its certificate.
    pub fn report(&self, target: TargetId, now: Moment, wall: SystemTime) -> Option<TargetReport> {
        let entry = self.entries.get(&target)?;
        let (watch, stats) = (&entry.watch, &entry.watch.stats);
        let warning = watch.check().probe.tls().map_or(Duration::ZERO, |tls| tls.expiry_warning);
        let (failures, successes) = watch.counts();
        Some(TargetReport {
            state: entry.published,
            since: entry.since,
            is_stale: watch.is_stale(),
            is_waiting: self.sight.waits(target),
            is_held: self.sight.is_held(target),
            failures,
            successes,
            in_flight: watch.in_flight().count(),
            last_error: stats.last_error().cloned(),
            response: stats.mean(),
            percentiles: stats.percentiles(),
            results: stats.results(),
            certificate: stats.certificate(warning, wall),
            score: stats.score(),
            trend: stats.trend(),
            confidence: stats.confidence(watch.check().interval, now),
        })
    }

    /// Until when the certificate that the target showed last is valid.
    pub fn certificate_expires(&self, target: TargetId) -> Option<SystemTime> {
        self.entries.get(&target)?.watch.stats.expires()
    }

    /// The state that is published.
    pub fn state(&self, target: TargetId) -> Option<State> {
        self.entries.get(&target).map(|entry| entry.published)
    }
}
