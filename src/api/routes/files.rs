//! Reload, and what a reload would change.

use std::sync::Arc;

use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::orders::unanswered;
use super::switch::of_all;
use super::{Asked, Outcome, internal};
use crate::api::access::Identity;
use crate::api::context::View;
use crate::api::problem::{Answer, Kind, Problem};
use crate::control::orders::misnamed;
use crate::control::{Handle, Load};
use crate::diag::{self, Diagnostic};
use crate::explain::diff::{self, diff};
use crate::explain::named::NamedFacts;
use crate::sys;
use crate::table::RoutingTable;

/// Reads the files that a reload would read.
pub type Reread = Arc<dyn Fn() -> Load + Send + Sync>;

/// `GET /api/facts`.
pub(super) async fn facts(asked: Asked) -> Outcome {
    let view = asked.context.look();
    let made = asked.context.heavily(move || {
        let named = NamedFacts::of(view.table.base().policy(), view.table.facts());
        view.with(json!({ "facts": named }))
    });
    Ok(Answer(made.await.ok_or_else(internal)?).into_response())
}

/// `GET /api/load`: who asked for what of late. What a network asks for is told to nobody who may only look.
pub(super) async fn load(asked: Asked) -> Outcome {
    let view = asked.context.look();
    let control = asked.context.control.clone();
    let made = asked.context.heavily(move || {
        let recent = recent(&control, &view);
        let samples = recent.queries.iter().map(
            |query| json!({ "service": query.service, "client": query.client.to_string(), "weight": query.weight }),
        );
        let samples: Vec<Value> = samples.collect();
        view.with(json!({ "span_s": recent.span.as_secs(), "samples": samples }))
    });
    Ok(Answer(made.await.ok_or_else(internal)?).into_response())
}

/// The same, for whoever compares tables.
fn recent(control: &Handle, view: &View) -> diff::Load {
    let (now, _) = control.tallied().now();
    let samples = control.tallied().samples(now);
    let services = &view.table.base().policy().services;
    // Files may have changed since they were taken.
    let named = samples.queries.into_iter().filter_map(|sample| {
        let service = services.get(sample.service.at())?.name.to_string();
        Some(diff::Asked { service, client: sample.client, weight: sample.weight })
    });
    diff::Load { queries: named.collect(), span: samples.span }
}

pub(super) async fn reload(asked: Asked) -> Outcome {
    // Files are of all services.
    of_all(&asked)?;
    let actor = actor(&asked)?;
    let reason = asked.fields.text("reason")?.unwrap_or_default();
    if asked.fields.flag("dry_run")? {
        return dry_run(asked).await;
    }
    of_all(&asked)?;
    let done = asked.context.control.reload().await.map_err(unanswered)?;
    tracing::info!(actor, reason, is_new = done.is_new, generation = done.generation.0, "a reload was ordered");
    let took_ms = u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX);
    let view = asked.context.look();
    if !done.is_new {
        return Err(invalid_files(&view, &done.found));
    }
    let body = view.with(json!({
        "generation": done.generation.0,
        "took_ms": took_ms,
        "diagnostics": findings(&done.found),
    }));
    Ok(Answer(body).into_response())
}

fn findings(found: &[Diagnostic]) -> Vec<Value> {
    found.iter().map(diag::to_json).collect()
}

fn invalid_files(view: &View, found: &[Diagnostic]) -> Problem {
    let detail = "the files have errors; the table that served goes on serving";
    let mut problem = Problem::new(Kind::InvalidFiles, detail).with("diagnostics", findings(found));
    problem.fields.extend(view.head());
    problem
}

/// Who orders: as claimed, with whom we know it to be when that is another.
fn actor(asked: &Asked) -> Result<String, Problem> {
    let Identity { id, .. } = asked.identity()?;
    Ok(match asked.fields.text("actor")? {
        Some(claimed) if claimed != *id && !claimed.is_empty() => format!("{claimed} ({id})"),
        Some(_) | None => id.clone(),
    })
}

/// Reads the files, and says what they would change; under the facts that there are now. What is new counts as up.
async fn dry_run(asked: Asked) -> Outcome {
    let Some(reread) = asked.context.reread.clone() else {
        return Err(Problem::new(Kind::Internal, "this server does not know its files"));
    };
    // Whoever gives up waiting has not stopped it, so no second one begins beside it.
    let Ok(place) = Arc::clone(&asked.context.comparing).try_acquire_owned() else {
        return Err(Problem::new(Kind::Busy, "files are being compared already; ask again when that is done"));
    };
    let (view, control) = (asked.context.look(), asked.context.control.clone());
    let made = tokio::task::spawn_blocking(move || {
        let made = compare(&view, &recent(&control, &view), &reread());
        // Of the files only the difference is kept.
        sys::give_memory_back();
        drop(place);
        made
    });
    Ok(Answer(made.await.map_err(|_| internal())??).into_response())
}

fn compare(view: &View, recent: &diff::Load, Load { base, found, .. }: &Load) -> Result<Value, Problem> {
    let Some(base) = base else { return Err(invalid_files(view, found)) };
    let policy = view.table.base().policy();
    let known = misnamed(&view.status.book, policy);
    let mut lost = misnamed(&view.status.book, base.policy());
    lost.retain(|sentence| !known.contains(sentence));
    let facts = NamedFacts::of(policy, view.table.facts());
    // Both under the same facts: an address of which nothing is known yet counts as up on both sides.
    let before = RoutingTable::compile(view.table.base(), Arc::new(facts.facts(policy)), view.table.generation());
    let after = RoutingTable::compile(base, Arc::new(facts.facts(base.policy())), view.table.generation());
    let difference = diff(&before, &after, recent);
    Ok(view.with(json!({
        "dry_run": true,
        "refused_because": lost,
        "diagnostics": findings(found),
        "difference": difference,
    })))
}
