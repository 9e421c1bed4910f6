//! Reload, and the demo's misbehaviour.

use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{Asked, Outcome, datacenters_named};
use crate::api::access::Identity;
use crate::api::input::list;
use crate::api::problem::{Answer, Kind, Problem, nearest};
use crate::control::Unanswered;
use crate::demo::{Mode, SetError};
use crate::diag;

/// Why nobody answered, as the API says it.
pub(super) fn unanswered(why: Unanswered) -> Problem {
    match why {
        Unanswered::Busy => Problem::new(Kind::Timeout, "too many orders wait; nothing has changed"),
        Unanswered::Ended => Problem::new(Kind::NoControl, "restart the server; what was serving goes on serving"),
    }
}

pub(super) async fn reload(asked: Asked) -> Outcome {
    let actor = actor(&asked)?;
    let reason = asked.fields.text("reason")?.unwrap_or_default();
    let done = asked.context.control.reload().await.map_err(unanswered)?;
    tracing::info!(actor, reason, is_new = done.is_new, generation = done.generation.0, "a reload was ordered");
    let found: Vec<Value> = done.found.iter().map(diag::to_json).collect();
    let took_ms = u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX);
    if !done.is_new {
        let detail = "the files have errors; the table that served goes on serving";
        let head = asked.context.look().head();
        let mut problem = Problem::new(Kind::InvalidFiles, detail).with("diagnostics", found);
        problem.fields.extend(head);
        return Err(problem);
    }
    let body = asked.context.look().with(json!({
        "generation": done.generation.0,
        "took_ms": took_ms,
        "diagnostics": found,
    }));
    Ok(Answer(body).into_response())
}

/// Who orders: as claimed, with whom we know it to be when that is another.
fn actor(asked: &Asked) -> Result<String, Problem> {
    let Identity { id, .. } = asked.identity()?;
    Ok(match asked.fields.text("actor")? {
        Some(claimed) if claimed != *id && !claimed.is_empty() => format!("{claimed} ({id})"),
        Some(_) | None => id.clone(),
    })
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
