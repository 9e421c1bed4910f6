//! The demo's misbehaviour, and why nobody answered.

use axum::response::IntoResponse;
use serde_json::json;

use super::{Asked, Outcome, datacenters_named};
use crate::api::input::list;
use crate::api::problem::{Answer, Kind, Problem, nearest};
use crate::control::Unanswered;
use crate::demo::{Mode, SetError};

/// Why nobody answered, as the API says it.
pub(super) fn unanswered(why: Unanswered) -> Problem {
    match why {
        Unanswered::Busy => Problem::new(Kind::Timeout, "too many orders wait; nothing has changed"),
        Unanswered::Ended => Problem::new(Kind::NoControl, "restart the server; what was serving goes on serving"),
    }
}

pub(super) async fn demo(asked: Asked) -> Outcome {
    let Some(demo) = &asked.context.demo else {
        return Err(Problem::new(Kind::NoDemo, "there are no stand-ins here: start the server with --demo"));
    };
    let word = asked.path("mode");
    let mode: Mode = word.parse().map_err(|error: crate::demo::UnknownMode| {
        let problem = Problem::new(Kind::InvalidValue, error.to_string());
        match nearest(word, Mode::ALL.map(Mode::as_str)) {
            Some(near) => problem.with("nearest", near),
            None => problem,
        }
    })?;
    let view = asked.context.look();
    let datacenters = &view.table.base().policy().datacenters;
    let mut done = Vec::new();
    for name in list(asked.path("dc")) {
        for ix in datacenters_named(&view.table, &name)? {
            let datacenter = &datacenters[ix.at()];
            demo.set(&datacenter.id, mode).await.map_err(|error| {
                let kind = match error {
                    SetError::Unknown(_) => Kind::UnknownDc,
                    SetError::Late(_) => Kind::Timeout,
                };
                Problem::new(kind, error.to_string())
            })?;
            done.push(datacenter.short_name());
        }
    }
    Ok(Answer(view.with(json!({ "datacenters": done, "mode": mode.as_str() }))).into_response())
}
