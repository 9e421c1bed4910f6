//! `GET /api/drain/{dc}`: whether anybody can still come because of an answer of ours.

use std::time::{Duration, SystemTime};

use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{Asked, Outcome, datacenters_named, internal};
use crate::api::context::View;
use crate::api::problem::Answer;
use crate::api::view::{admin, time, time_or_null};
use crate::control::Tallied;
use crate::limits::API_SERVICES_MAX;
use crate::model::{Admin, DatacenterIx, Moment};
use crate::table::Given;

/// What the time of the last answer's expiry does not promise.
pub(super) const LAST_OLD_ANSWER: &str = "no cache that honours TTLs gives an older answer out after this; some \
                                          resolvers and clients keep answers longer, and open connections stay";

pub(super) async fn progress(asked: Asked) -> Outcome {
    let view = asked.context.look();
    let named = datacenters_named(&view.table, asked.path("dc"))?;
    let control = asked.context.control.clone();
    let body = asked.context.heavily(move || {
        let tallied = control.tallied();
        let mut all: Vec<Value> = named.iter().map(|ix| of_one(&view, tallied, *ix)).collect();
        match all.len() {
            1 => view.with(all.remove(0)),
            _ => view.with(json!({ "datacenters": all })),
        }
    });
    Ok(Answer(body.await.ok_or_else(internal)?).into_response())
}

/// Both clocks at one instant.
struct Clocks(Moment, SystemTime);

impl Clocks {
    fn wall(&self, at: Moment) -> SystemTime {
        self.1 + at.since(self.0) - self.0.since(at).min(Duration::from_secs(u64::from(u32::MAX)))
    }

    fn of(&self, given: Given) -> (Value, Value, Value) {
        let at = |second: u32| Moment(Duration::from_secs(second.into()));
        match given.count {
            0 => (Value::Null, Value::Null, Value::Null),
            _ => (
                self.0.since(at(given.last_s)).as_secs().into(),
                time(self.wall(at(given.last_s))),
                time(self.wall(at(given.expires_s))),
            ),
        }
    }
}

fn of_one(view: &View, tallied: &Tallied, ix: DatacenterIx) -> Value {
    let datacenter = &view.table.base().policy().datacenters[ix.at()];
    let given = tallied.of(&datacenter.id);
    let (moment, wall) = tallied.now();
    let clocks = Clocks(moment, wall);
    let all = given.all();
    let (since, last, expires) = clocks.of(all);
    let unknown = tallied.unknown_until(&datacenter.id);
    let last_expires = (all.count > 0).then(|| Moment(Duration::from_secs(all.expires_s.into())));
    let until = last_expires.max(unknown);
    let mut services: Vec<(&String, &Given)> = given.services.iter().collect();
    // Those whose answers live longest first; those of which nothing is known last.
    services.sort_by_key(|(name, given)| (given.count == 0, std::cmp::Reverse(given.expires_s), *name));
    let omitted = services.len().saturating_sub(API_SERVICES_MAX);
    let services: Vec<Value> = services
        .into_iter()
        .take(API_SERVICES_MAX)
        .map(|(name, given)| {
            let (since, last, expires) = clocks.of(*given);
            json!({
                "service": name,
                "answers": given.count,
                "seconds_since_last_answer": since,
                "last_answer_at": last,
                "last_answer_expires_at": expires,
            })
        })
        .collect();
    let state = view.table.facts().datacenters.get(&ix).copied().unwrap_or(Admin::In);
    json!({
        "dc": datacenter.short_name(),
        "id": datacenter.id.as_str(),
        "admin": admin(state),
        "now": time(wall),
        "seconds_since_last_answer": since,
        "last_answer_at": last,
        "last_answer_expires_at": until.map_or(expires, |until| time(clocks.wall(until))),
        "expired": until.is_none_or(|until| until <= moment),
        "expires_in_s": until.map_or(0, |until| until.since(moment).as_millis().div_ceil(1000) as u64),
        "unknown_until": time_or_null(unknown.map(|until| clocks.wall(until))),
        "answers": all.count,
        "answers_last_minute": given.last_minute,
        "note": LAST_OLD_ANSWER,
        "services": services,
        "omitted": omitted,
    })
}
