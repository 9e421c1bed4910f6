//! Orders: reload, failback, and the demo's misbehaviour.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use axum::http::header::IF_MATCH;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::{Asked, Outcome, ambiguous, datacenters_named, service_named};
use crate::api::access::Identity;
use crate::api::context::View;
use crate::api::input::{invalid, list};
use crate::api::problem::{Answer, Kind, Problem, nearest};
use crate::api::view::time;
use crate::control::{LatchName, Order, OrderRefused, Ordered, Unanswered};
use crate::demo::{Mode, SetError};
use crate::diag;
use crate::model::{DatacenterId, DatacenterIx, Generation, Name};

/// Why nobody answered, as the API says it.
pub(super) fn unanswered(why: Unanswered) -> Problem {
    match why {
        Unanswered::Busy => Problem::new(Kind::Timeout, "too many orders wait; nothing has changed"),
        Unanswered::Ended => Problem::new(Kind::NoControl, "restart the server; what was serving goes on serving"),
    }
}

/// Why control did not do it, as the API says it.
fn refused(why: OrderRefused) -> Problem {
    let detail = why.to_string();
    match why {
        OrderRefused::UnknownDatacenter(_) | OrderRefused::NoDatacenter => Problem::new(Kind::UnknownDc, detail),
        OrderRefused::AmbiguousDatacenter { name, candidates } => {
            ambiguous(&name, candidates.iter().map(DatacenterId::as_str))
        }
        OrderRefused::UnknownService(_) => Problem::new(Kind::UnknownService, detail),
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

pub(super) async fn failback(asked: Asked) -> Outcome {
    let view = asked.context.look();
    let mut named: BTreeSet<DatacenterIx> = BTreeSet::new();
    for name in list(asked.path("id")) {
        named.extend(datacenters_named(&view.table, &name)?);
    }
    if named.is_empty() {
        return Err(Problem::new(Kind::UnknownDc, "no data centre is named"));
    }
    let services = services(&asked, &view)?;
    check_revision(&asked, &view)?;
    let policy = view.table.base().policy();
    let ids: BTreeSet<&DatacenterId> = named.iter().map(|ix| &policy.datacenters[ix.at()].id).collect();
    let is_dry_run = asked.fields.flag("dry_run")?;
    let done = match is_dry_run {
        true => would_be(&view, &ids, &services),
        false => {
            let order = Order::Failback {
                datacenters: ids.iter().map(ToString::to_string).collect(),
                services,
                actor: actor(&asked)?,
                reason: asked.fields.text("reason")?.unwrap_or_default(),
            };
            asked.context.control.order(order).await.map_err(unanswered)?.map_err(refused)?
        }
    };
    let shorts: Vec<&str> = named.iter().map(|ix| policy.datacenters[ix.at()].short_name()).collect();
    let mut body = done_body(&asked, &view, &done);
    if let Value::Object(fields) = &mut body {
        fields.insert("datacenters".into(), json!(shorts));
        fields.insert("dry_run".into(), is_dry_run.into());
    }
    Ok(Answer(body).into_response())
}

/// The services that an order is for; empty: all. The caller may act on every one of them.
fn services(asked: &Asked, view: &View) -> Result<Vec<Name>, Problem> {
    let identity = asked.identity()?;
    let services = match asked.fields.texts("services")? {
        None => Vec::new(),
        Some(names) if names.is_empty() => return Err(invalid("services", "is empty: leave it out for all")),
        Some(names) => services_named(view, &names)?,
    };
    if services.is_empty() && identity.services.is_some() {
        let detail = format!("{} may act on some services only: name them in `services`", identity.id);
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    identity.check_services(&services)?;
    Ok(services)
}

/// What a failback would come to: control ends the latches whose data centre is back, and these say whether it is.
fn would_be(view: &View, datacenters: &BTreeSet<&DatacenterId>, services: &[Name]) -> Ordered {
    let latches = view.status.latches.iter().filter(|latch| {
        datacenters.contains(&latch.datacenter) && (services.is_empty() || services.contains(&latch.service))
    });
    let (back, away): (Vec<_>, Vec<_>) = latches.partition(|latch| latch.is_back);
    let names = |latches: Vec<&crate::control::LatchStatus>| {
        let name = |latch: &crate::control::LatchStatus| LatchName {
            service: latch.service.clone(),
            region: latch.region.clone(),
            datacenter: latch.datacenter.clone(),
        };
        latches.into_iter().map(name).collect::<Vec<_>>()
    };
    let (released, kept) = (names(back), names(away));
    Ordered { generation: view.table.generation(), is_changed: !released.is_empty(), released, kept }
}

fn services_named(view: &View, names: &[String]) -> Result<Vec<Name>, Problem> {
    let services = &view.table.base().policy().services;
    names.iter().map(|name| service_named(&view.table, name).map(|ix| services[ix.at()].name.clone())).collect()
}

/// What every order is answered with. `before`: what was served when it came.
fn done_body(asked: &Asked, before: &View, done: &Ordered) -> Value {
    let view = asked.context.look();
    let (node, Generation(generation)) = (&asked.context.node, done.generation);
    let services =
        |latches: &[LatchName]| -> BTreeSet<Name> { latches.iter().map(|latch| latch.service.clone()).collect() };
    let (concerned, kept) = (services(&done.released), services(&done.kept));
    let names = |names: &BTreeSet<Name>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let latches = |latches: &[LatchName]| {
        let latch = |latch: &LatchName| {
            json!({
                "service": latch.service.to_string(),
                "region": latch.region.as_ref().map(|region| region.as_str()),
                "id": latch.datacenter.as_str(),
            })
        };
        latches.iter().map(latch).collect::<Vec<_>>()
    };
    let away: BTreeSet<&DatacenterId> = done.kept.iter().map(|latch| &latch.datacenter).collect();
    let warnings: Vec<String> =
        away.into_iter().map(|id| format!("{id} is not up: clients who left it stay away until it is")).collect();
    let now = SystemTime::now();
    json!({
        "revision": view.status.revision.0,
        "generation": generation,
        "node": node,
        "nodes": [{ "node": node, "generation": generation, "applied_at": time(now) }],
        "changed": done.is_changed,
        // Latches are stored behind the order, not before its answer.
        "durable": false,
        "services": names(&concerned),
        "services_skipped": names(&kept.difference(&concerned).cloned().collect()),
        "released": latches(&done.released),
        "kept": latches(&done.kept),
        "applied_at": time(now),
        "last_old_answer_expires_at": old_answers_until(before, &concerned, now).map(time),
        "warnings": warnings,
    })
}

/// When the last answer given so far has expired at the latest; `None`: nothing has changed.
fn old_answers_until(before: &View, services: &BTreeSet<Name>, now: SystemTime) -> Option<SystemTime> {
    let all = before.table.base().policy().services.iter().filter(|service| services.contains(&service.name));
    let longest = all.map(|service| service.ttl.as_secs()).max()?;
    now.checked_add(Duration::from_secs(u64::from(longest)))
}

/// Refuses when the last order in force is another than the body, or `If-Match`, says.
fn check_revision(asked: &Asked, view: &View) -> Result<(), Problem> {
    let in_body = asked.fields.number("expected_revision")?;
    let in_header = match asked.head.headers.get(IF_MATCH) {
        None => None,
        Some(value) => {
            let text = value.to_str().unwrap_or_default().trim_start_matches("W/").trim_matches('"');
            Some(text.parse::<u64>().map_err(|_| invalid("If-Match", "must be a revision"))?)
        }
    };
    let expected = match (in_body, in_header) {
        (Some(one), Some(other)) if one != other => {
            return Err(invalid("expected_revision", "is another than the one of If-Match"));
        }
        (one, other) => one.or(other),
    };
    let is = view.table.revision().0;
    match expected {
        Some(expected) if expected != is => {
            let detail = format!("the last order in force is revision {is}, not {expected}");
            Err(Problem::new(Kind::PreconditionFailed, detail).with("revision", is))
        }
        Some(_) | None => Ok(()),
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
