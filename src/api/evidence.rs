//! What probes and reporters say of an address, as answers show it.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::context::View;
use super::view::time;
use crate::control::ReportStatus;
use crate::health::stats::{Certificate, Grade, Seen, Trend};
use crate::health::{TargetId, TargetReport};
use crate::model::{AddressKey, CheckIx, Moment, Service, State};

impl View {
    /// What this node and others say of an address, by check.
    pub(super) fn checks(&self, service: &Service, key: AddressKey, is_full: bool) -> Vec<Value> {
        let checks = &self.table.base().policy().checks;
        let id = |check: CheckIx| checks[usize::from(check.0)].id.as_str();
        let watched = service.checks_about(key.endpoint);
        let wall = SystemTime::now();
        let aimed = watched.into_iter().filter_map(|check| Some((check, self.status.target(key, check)?)));
        let (aimed, targets): (Vec<CheckIx>, Vec<TargetId>) = aimed.unzip();
        let sightings = self.sightings.as_ref().filter(|_| !targets.is_empty());
        let reports = sightings.map(|sightings| (sightings.now(), sightings.reports(&targets)));
        let own = reports.into_iter().flat_map(|(now, reports)| {
            let told = aimed.iter().zip(reports).filter_map(|(check, report)| Some((check, report?)));
            let shown = told.map(|(check, report)| self.own_check(id(*check), &report, now, wall, is_full));
            shown.collect::<Vec<Value>>()
        });
        let others = self.status.reports(key).iter().filter(|report| report.is_silent || report.expires_at > wall);
        own.chain(others.map(|report| others_check(id(report.check), report))).collect()
    }

    /// What this node's probes say.
    fn own_check(&self, id: &str, report: &TargetReport, now: Moment, wall: SystemTime, is_full: bool) -> Value {
        let at = |moment: Moment| wall.checked_sub(now.since(moment)).map_or(Value::Null, time);
        let expires = report.certificate.map(|certificate| match certificate {
            Certificate::Fine(at) => (at, "fine"),
            Certificate::Expiring(at) => (at, "expiring"),
            Certificate::Expired(at) => (at, "expired"),
        });
        let mut value = json!({
            "check": id,
            "observer": self.node,
            "state": report.state.as_str(),
            "since": at(report.since),
            "stale": report.is_stale,
            // Results say down, and nobody believes it yet, or because this node may be blind.
            "doubted": report.is_waiting,
            "disbelieved": report.is_held,
            "successes": report.successes,
            "failures": report.failures,
            "last_error": report.last_error.as_deref(),
            "response_ms": report.response.map(|usual| json!({
                "usual": ms(usual),
                "p50": report.percentiles.map(|percentiles| ms(percentiles.p50)),
                "p90": report.percentiles.map(|percentiles| ms(percentiles.p90)),
                "p99": report.percentiles.map(|percentiles| ms(percentiles.p99)),
            })),
            "score": report.score,
            "trend": match report.trend {
                Trend::Improving => "improving",
                Trend::Steady => "steady",
                Trend::Worsening => "worsening",
            },
            "confidence": report.confidence,
            "certificate": expires.map(|(at, state)| json!({
                "state": state,
                "expires": time(at),
                "days": days_until(at, wall),
            })),
        });
        if is_full && let Value::Object(fields) = &mut value {
            let result = |seen: &Seen| {
                json!({
                    "at": at(seen.started),
                    "result": grade(seen.grade),
                    "ms": (seen.grade != Grade::Blind).then(|| ms(seen.took)),
                    "detail": seen.words.as_deref(),
                })
            };
            fields.insert("in_flight".into(), report.in_flight.into());
            fields.insert("results".into(), report.results.iter().rev().map(result).collect());
        }
        value
    }
}

/// What another observer, or a reporter, says.
fn others_check(id: &str, report: &ReportStatus) -> Value {
    json!({
        "check": id,
        "observer": report.observer.as_str(),
        "state": report.state.as_str(),
        "last_error": report.detail.as_deref().filter(|_| report.state != State::Up),
        "detail": report.detail.as_deref(),
        "silent": report.is_silent,
        "expires_at": time(report.expires_at),
    })
}

fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Good => "good",
        Grade::Bad => "bad",
        Grade::Blind => "blind",
    }
}

fn ms(time: Duration) -> Value {
    let us = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    json!(f64::from(us) / 1000.0)
}

/// Whole days; negative once it is over.
fn days_until(at: SystemTime, now: SystemTime) -> i64 {
    let days = |time: Duration| i64::try_from(time.as_secs() / 86_400).unwrap_or(i64::MAX);
    match at.duration_since(now) {
        Ok(left) => days(left),
        Err(over) => -1 - days(over.duration()),
    }
}
