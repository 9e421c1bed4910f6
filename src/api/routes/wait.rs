//! `?wait=expired`: an order's answer that comes when no old answer is left.
//!
//! The order is carried out first, and is in force whatever becomes of the waiting: who hangs up, or is told 202,
//! has ordered all the same. The status says which it was (RFC 9110 §15.3.3): 200 when the last old answer has
//! expired, 202 when the time that the client has for it was over before, with the time that is left.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use serde_json::{Map, Value};

use super::Asked;
use crate::api::context::Context;
use crate::api::input::invalid;
use crate::api::problem::{Answer, Kind, Problem};
use crate::limits::{API_WAIT_MAX_S, API_WAIT_S, API_WAITING_MAX};

/// For how long a client wants to wait; `None`: not at all. Refused before anything is done where too many wait.
pub(super) fn patience(asked: &Asked) -> Result<Option<Duration>, Problem> {
    let seconds = asked.query.number("wait_s")?;
    match asked.query.get("wait") {
        None if seconds.is_some() => return Err(invalid("wait_s", "needs `wait=expired`")),
        None => return Ok(None),
        Some("expired") => {}
        Some(_) => return Err(invalid("wait", "must be `expired`")),
    }
    let seconds = seconds.map_or(API_WAIT_S, |seconds| seconds as u64);
    if seconds > API_WAIT_MAX_S {
        return Err(invalid("wait_s", &format!("is at most {API_WAIT_MAX_S}; GET /api/drain/{{dc}} tells the rest")));
    }
    if asked.context.waiting.available_permits() == 0 {
        let detail = format!("{API_WAITING_MAX} requests wait already, and nothing was done: order without waiting");
        return Err(Problem::new(Kind::Timeout, detail));
    }
    Ok(Some(Duration::from_secs(seconds)))
}

/// The answer, at once or when `until` has come.
pub(super) async fn answered(
    context: &Arc<Context>,
    mut body: Map<String, Value>,
    until: Option<SystemTime>,
    patience: Option<Duration>,
) -> Response {
    let Some(patience) = patience else { return Answer(Value::Object(body)).into_response() };
    let left = until.and_then(|until| until.duration_since(SystemTime::now()).ok()).unwrap_or_default();
    // What was promised is kept also when others came between: then this one is told what is left.
    let held = context.waiting.try_acquire();
    let waited = if held.is_ok() { left.min(patience) } else { Duration::ZERO };
    tokio::time::sleep(waited).await;
    let left = left - waited;
    body.insert("expired".into(), left.is_zero().into());
    body.insert("expires_in_s".into(), u64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u64::MAX).into());
    let status = if left.is_zero() { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, Answer(Value::Object(body))).into_response()
}
