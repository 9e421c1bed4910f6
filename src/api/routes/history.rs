//! `GET /api/history`: the audit log, by pages.
//!
//! The oldest first, as the log is written: a cursor is the number of an entry, leads to the same place whatever is
//! written or removed meanwhile, and at the end of the log is where to ask again later. It is read from the disk, on a
//! thread that may block; so few at once that a disk which hangs costs nobody else anything.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::response::IntoResponse;
use jiff::Timestamp;
use serde_json::json;

use super::{Asked, Outcome, internal};
use crate::api::audit::{AuditLog, AuditPage};
use crate::api::input::{duration, invalid};
use crate::api::problem::{Answer, Kind, Problem};
use crate::api::view::time_or_null;
use crate::limits::{API_HISTORY_MAX, API_REQUEST_S};

/// Without `since` and `cursor`: what somebody who is called at night has not seen.
const SINCE: Duration = Duration::from_secs(86_400);

pub(super) async fn history(asked: Asked) -> Outcome {
    let Some(log) = asked.context.audit.clone() else {
        return Err(Problem::new(Kind::NoLog, "nothing is kept here: start the server with --state DIR"));
    };
    let query = &asked.query;
    if query.flag("verify")? {
        if ["since", "limit", "cursor"].iter().any(|name| query.get(name).is_some()) {
            return Err(invalid("verify", "is about the whole log: leave since, limit and cursor out"));
        }
        let verdict = read(&asked, log, |log| log.verify()).await?;
        return Ok(Answer(asked.context.look().with(json!({ "verify": verdict }))).into_response());
    }
    let limit = query.number("limit")?.unwrap_or(API_HISTORY_MAX);
    if !(1..=API_HISTORY_MAX).contains(&limit) {
        return Err(invalid("limit", &format!("is from 1 to {API_HISTORY_MAX}")));
    }
    let cursor = query.number("cursor")?.map(|cursor| cursor as u64);
    let now = SystemTime::now();
    let since = match query.get("since") {
        Some(text) => Some(since(text, now).ok_or_else(|| {
            invalid("since", "must be a time ago such as 24h or 30d, or a time such as 2026-11-21T12:00:00Z")
        })?),
        None if cursor.is_some() => None,
        None => now.checked_sub(SINCE),
    };
    let AuditPage { entries, next, last } = read(&asked, log, move |log| log.page(since, limit, cursor)).await?;
    let body = json!({ "since": time_or_null(since), "entries": entries, "next": next, "last": last.or(cursor) });
    Ok(Answer(asked.context.look().with(body)).into_response())
}

/// Where it may block. Who waits for that gives up with the request; the reader keeps his place until the disk answers.
async fn read<T: Send + 'static>(
    asked: &Asked,
    log: Arc<dyn AuditLog>,
    work: impl FnOnce(&dyn AuditLog) -> Result<T, String> + Send + 'static,
) -> Result<T, Problem> {
    let readers = Arc::clone(&asked.context.log_readers);
    let reading = async move {
        let place = readers.acquire_owned().await.map_err(|_| internal())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&*log);
            drop(place);
            done
        });
        done.await.map_err(|_| internal())
    };
    // Sooner than the request's own end, to say what to do.
    let patience = Duration::from_millis(API_REQUEST_S * 1_000 - 500);
    match tokio::time::timeout(patience, reading).await {
        Ok(done) => done?.map_err(|why| Problem::new(Kind::LogUnreadable, format!("the log can not be read: {why}"))),
        Err(_) => {
            let detail = "reading the log takes too long here; `meridian history --state DIR` reads it on its machine";
            Err(Problem::new(Kind::Timeout, detail))
        }
    }
}

/// A time ago, or a time.
fn since(text: &str, now: SystemTime) -> Option<SystemTime> {
    match duration(text) {
        // What is longer ago than the calendar goes is everything.
        Some(ago) => Some(now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::UNIX_EPOCH)),
        None => text.parse::<Timestamp>().ok().map(SystemTime::from),
    }
}
