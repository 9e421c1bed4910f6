//! The switch API: every order about routing.
//!
//! Each call becomes one [`Order`]; what it means, which names it may use and which rules refuse it is control's to
//! say. Here it is only read, given to control, and answered.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use axum::http::header::IF_MATCH;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::drain::LAST_OLD_ANSWER;
use super::orders::unanswered;
use super::wait;
use super::{Asked, Outcome, ambiguous, datacenters_named, service_named};
use crate::api::access::Identity;
use crate::api::context::View;
use crate::api::guard::Arrived;
use crate::api::input::{invalid, list};
use crate::api::problem::{Answer, Kind, Problem, nearest};
use crate::api::route::Call;
use crate::api::view::{time, time_or_null};
use crate::control::orders::{Forcing, Order, OrderRefused, Request, Rule, Sender, Subject, SwitchMode, Whom};
use crate::control::{LatchName, NotOrdered, Ordered, Submission};
use crate::limits::{IDEMPOTENCY_KEY_LEN_MAX, ORDER_EXPIRY_MAX_S};
use crate::model::{DatacenterIx, Name, OverrideKind};

/// `GET /api/switch`.
pub(super) fn standing(asked: Asked) -> Outcome {
    let view = asked.context.look();
    let switches = view.switches();
    Ok(Answer(view.with(json!({ "switches": switches }))).into_response())
}

/// Every call that orders.
pub(super) async fn order(asked: Asked, call: Call) -> Outcome {
    let patience = wait::patience(&asked)?;
    let view = asked.context.look();
    let order = read(&asked, &view, call)?;
    let is_dry_run = asked.fields.flag("dry_run")?;
    let request = Request {
        order,
        sender: sender(&asked)?,
        reason: asked.fields.text("reason")?.unwrap_or_default(),
        expires_in: asked.fields.duration("expires_in")?,
        force: rules(&asked)?,
        expected_revision: expected(&asked)?,
    };
    let bounds = Duration::from_nanos(1)..=Duration::from_secs(ORDER_EXPIRY_MAX_S);
    if request.expires_in.is_some_and(|time| !bounds.contains(&time)) {
        let days = ORDER_EXPIRY_MAX_S / 86_400;
        return Err(invalid("expires_in", &format!("must be more than 0 and at most {days} d; leave it out for ever")));
    }
    let submission = Submission { request, is_dry_run, key: key(&asked)? };
    let kind = submission.request.order.kind();
    let arrived = asked.head.extensions.get::<Arrived>().map_or_else(Instant::now, |arrived| arrived.0);
    let done = asked.context.control.order_since(submission, arrived).await;
    asked.context.orders.count(kind, is_dry_run, &done);
    let done = done.map_err(unanswered)?;
    // The head is that of what serves now.
    let view = asked.context.look();
    let done = done.map_err(|why| refused(&view, why))?;
    let mut body = done_body(&view, &done, call);
    // Who asks again waits for what he waited for before.
    let asked_before = || asked.context.control.tallied().old_answers_until(done.answer.revision);
    let until = match (is_dry_run, done.is_repeated || !done.answer.changed) {
        (true, _) => None,
        (false, false) => done.old_answers_until,
        // What is not known any more is taken for the worst.
        (false, true) => done.old_answers_until.or_else(asked_before).or_else(|| worst_case(&view)),
    };
    if let Some(datacenters) = datacenters(&asked, &view, call) {
        body.insert("datacenters".into(), datacenters.into());
    }
    Ok(wait::answered(&asked.context, body, until, patience).await)
}

/// When no cache has an answer any more that was given until now.
fn worst_case(view: &View) -> Option<SystemTime> {
    let (base, facts) = (view.table.base(), view.table.facts());
    let ordered = facts.overrides.iter().filter_map(|order| match &order.kind {
        OverrideKind::Ttl(ttl) => Some(ttl.as_secs()),
        OverrideKind::Pin { .. }
        | OverrideKind::Prefer { .. }
        | OverrideKind::Schedule { .. }
        | OverrideKind::Weight { .. } => None,
    });
    let ttl = base.policy().services.iter().map(|service| service.ttl.as_secs()).chain(ordered).max()?;
    SystemTime::now().checked_add(Duration::from_secs(ttl.into()))
}

/// A person says that the wall clock is right.
pub(super) async fn accept_clock(asked: Asked) -> Outcome {
    of_all(&asked)?;
    let reason = asked.fields.text("reason")?.unwrap_or_default();
    let accepted = asked.context.control.accept_clock(sender(&asked)?, reason).await.map_err(unanswered)?;
    let jumped_s = accepted.jumped.map(|(far, is_ahead)| {
        let seconds = i64::try_from(far.as_secs()).unwrap_or(i64::MAX);
        if is_ahead { seconds } else { -seconds }
    });
    let body = json!({ "changed": jumped_s.is_some(), "jumped_s": jumped_s, "due": accepted.due });
    Ok(Answer(asked.context.look().with(body)).into_response())
}

fn sender(asked: &Asked) -> Result<Sender, Problem> {
    let identity = asked.identity()?;
    let claimed = asked.fields.text("actor")?.filter(|actor| !actor.is_empty());
    Ok(Sender {
        actor: claimed.unwrap_or_else(|| identity.id.clone()),
        identity: identity.id.clone(),
        role: identity.role.as_str().to_owned(),
        is_robot: asked.fields.flag_or_true("automated")?,
    })
}

fn rules(asked: &Asked) -> Result<BTreeSet<Rule>, Problem> {
    let names = asked.fields.texts("force")?.unwrap_or_default();
    let rule = |name: &String| {
        Rule::parse(name).ok_or_else(|| {
            let near = nearest(name, Rule::ALL.map(Rule::as_str));
            let hint = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            let problem = Problem::new(Kind::InvalidValue, format!("there is no rule {name:?}{hint}"));
            let problem = problem.with("field", "force");
            near.map_or(problem.clone(), |near| problem.with("nearest", near))
        })
    };
    names.iter().map(rule).collect()
}

/// The revision that must be the last in force: of the body, or of `If-Match`.
fn expected(asked: &Asked) -> Result<Option<u64>, Problem> {
    let in_body = asked.fields.number("expected_revision")?;
    let in_header = match asked.head.headers.get(IF_MATCH) {
        None => None,
        Some(value) => {
            let text = value.to_str().unwrap_or_default().trim_start_matches("W/").trim_matches('"');
            Some(text.parse::<u64>().map_err(|_| invalid("If-Match", "must be a revision"))?)
        }
    };
    match (in_body, in_header) {
        (Some(one), Some(other)) if one != other => {
            Err(invalid("expected_revision", "is another than the one of If-Match"))
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// Between an identity and its key; in neither of them.
const SCOPE_END: char = '\t';

/// The key, under the identity that sent it: keys of two senders are never the same.
fn key(asked: &Asked) -> Result<Option<String>, Problem> {
    let Some(value) = asked.head.headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().map(str::trim).unwrap_or_default();
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_LEN_MAX || key.contains(SCOPE_END) {
        let why = format!("must be 1 to {IDEMPOTENCY_KEY_LEN_MAX} visible characters");
        return Err(invalid("Idempotency-Key", &why));
    }
    Ok(Some(format!("{}{SCOPE_END}{key}", asked.identity()?.id)))
}

/// What is ordered. The caller may act on every service concerned.
fn read(asked: &Asked, view: &View, call: Call) -> Result<Order, Problem> {
    let subject = |asked: &Asked| -> Result<Subject, Problem> {
        Ok(Subject::Datacenters { names: list(asked.path("id")), services: services(asked, view)? })
    };
    let force = |subject, to| Order::Force { subject, to };
    Ok(match call {
        Call::Switch | Call::SwitchByPost => {
            let Some(to) = asked.fields.text("active_dc")?.filter(|to| !to.trim().is_empty()) else {
                return Err(invalid("active_dc", "is missing: the data centre that is to answer"));
            };
            let mode = match asked.fields.text("mode")?.as_deref() {
                None | Some("prefer") => SwitchMode::Prefer,
                Some("pin") => SwitchMode::Pin,
                Some(_) => return Err(invalid("mode", "must be prefer or pin")),
            };
            Order::Switch { to, mode, whom: whom(asked, view)?, from: asked.fields.texts("from")? }
        }
        Call::SwitchClear => Order::ClearSwitch { whom: whom(asked, view)? },
        Call::Drain => Order::Drain { subject: subject(asked)? },
        Call::Undrain => Order::Undrain { subject: subject(asked)? },
        Call::ForceUp => force(subject(asked)?, Some(Forcing::Up)),
        Call::ForceDown => force(subject(asked)?, Some(Forcing::Down)),
        Call::ForceAuto => force(subject(asked)?, None),
        Call::Failback => Order::Failback { datacenters: list(asked.path("id")), whom: whom(asked, view)? },
        Call::EndpointDrain => Order::Drain { subject: endpoints(asked, view)? },
        Call::EndpointUndrain => Order::Undrain { subject: endpoints(asked, view)? },
        Call::EndpointForceUp => force(endpoints(asked, view)?, Some(Forcing::Up)),
        Call::EndpointForceDown => force(endpoints(asked, view)?, Some(Forcing::Down)),
        Call::EndpointForceAuto => force(endpoints(asked, view)?, None),
        Call::Weights => {
            let service = service(asked, view)?;
            let weights = asked.fields.numbers("weights")?;
            if weights.is_empty() {
                return Err(invalid("weights", "is missing: a number for each endpoint or data centre"));
            }
            let values = weights.into_iter();
            Order::Weights { values: values.map(|(id, weight)| (of(view, &service, &[id]), Some(weight))).collect() }
        }
        Call::WeightsClear => {
            let service = service(asked, view)?;
            let ids = asked.fields.texts("endpoints")?.unwrap_or_default();
            let all = Subject::Endpoints { service: service.to_string(), endpoints: BTreeSet::new() };
            let values = match ids.is_empty() {
                true => vec![(all, None)],
                false => ids.into_iter().map(|id| (of(view, &service, &[id]), None)).collect(),
            };
            Order::Weights { values }
        }
        Call::Ttl => {
            let Some(ttl) = asked.fields.duration("ttl")? else {
                return Err(invalid("ttl", "is missing"));
            };
            let whole = u32::try_from(ttl.as_secs()).ok().filter(|_| ttl.subsec_nanos() == 0);
            let seconds = whole.ok_or_else(|| invalid("ttl", "must be whole seconds"))?;
            Order::Ttl { whom: whom_of(asked, view)?, datacenters: None, seconds: Some(seconds) }
        }
        Call::TtlClear => Order::Ttl { whom: whom_of(asked, view)?, datacenters: None, seconds: None },
        Call::Undo => {
            of_all(asked)?;
            Order::Undo { revision: asked.fields.number("revision")? }
        }
        Call::Freeze => {
            of_all(asked)?;
            Order::Freeze
        }
        Call::Unfreeze => {
            of_all(asked)?;
            Order::Unfreeze
        }
        Call::Gate => {
            of_all(asked)?;
            let is_open = match asked.fields.text("gate")?.as_deref() {
                Some("open") => true,
                Some("closed") => false,
                Some(_) | None => return Err(invalid("gate", "must be open or closed")),
            };
            let role = asked.fields.text("role")?;
            if role.as_deref().is_some_and(|role| !["operator", "admin"].contains(&role)) {
                return Err(invalid("role", "must be operator or admin: who may order at all"));
            }
            Order::Gate { is_open, role }
        }
        Call::Livez
        | Call::Readyz
        | Call::Metrics
        | Call::OpenApi
        | Call::Status
        | Call::Datacenters
        | Call::Datacenter
        | Call::Services
        | Call::Service
        | Call::ActiveDc
        | Call::DrainProgress
        | Call::Explain
        | Call::Facts
        | Call::Load
        | Call::History
        | Call::Events
        | Call::Reload
        | Call::ClockAccept
        | Call::Switches
        | Call::Health
        | Call::Observations
        | Call::Demo => return Err(Problem::new(Kind::Internal, "no order")),
    })
}

fn whom(asked: &Asked, view: &View) -> Result<Whom, Problem> {
    Ok(Whom { services: services(asked, view)?, regions: regions(asked)? })
}

/// The same where the path names the service.
fn whom_of(asked: &Asked, view: &View) -> Result<Whom, Problem> {
    let service = service(asked, view)?;
    Ok(Whom { services: Some(BTreeSet::from([service.to_string()])), regions: regions(asked)? })
}

fn regions(asked: &Asked) -> Result<Option<BTreeSet<String>>, Problem> {
    Ok(asked.fields.texts("regions")?.map(|regions| regions.into_iter().collect()))
}

/// The services that an order is for; `None`: all. The caller may act on every one of them.
fn services(asked: &Asked, view: &View) -> Result<Option<BTreeSet<String>>, Problem> {
    let identity = asked.identity()?;
    let names: Option<Vec<Name>> = match asked.fields.texts("services")? {
        None => None,
        Some(names) if names.is_empty() => return Err(invalid("services", "is empty: leave it out for all")),
        Some(names) => Some(names.iter().map(|name| named(view, name)).collect::<Result<_, Problem>>()?),
    };
    match &names {
        None if identity.services.is_some() => return Err(for_some_only(identity)),
        None => {}
        Some(names) => identity.check_services(names)?,
    }
    Ok(names.map(|names| names.iter().map(ToString::to_string).collect()))
}

fn for_some_only(identity: &Identity) -> Problem {
    let detail = format!("{} may act on some services only: name them in `services`", identity.id);
    Problem::new(Kind::Forbidden, detail)
}

fn named(view: &View, name: &str) -> Result<Name, Problem> {
    let ix = service_named(&view.table, name)?;
    Ok(view.table.base().policy().services[ix.at()].name.clone())
}

/// The service that the path names.
fn service(asked: &Asked, view: &View) -> Result<Name, Problem> {
    let name = named(view, asked.path("name"))?;
    asked.identity()?.check_services([&name])?;
    Ok(name)
}

fn endpoints(asked: &Asked, view: &View) -> Result<Subject, Problem> {
    let service = service(asked, view)?;
    let ids = list(asked.path("id"));
    if ids.is_empty() {
        return Err(Problem::new(Kind::UnknownEndpoint, "no endpoint is named"));
    }
    Ok(of(view, &service, &ids))
}

/// Endpoints by their ids; else those of data centres.
fn of(view: &View, service: &Name, ids: &[String]) -> Subject {
    let services = &view.table.base().policy().services;
    let known = services.iter().find(|one| one.name == *service);
    let is_endpoint =
        |id: &String| known.is_some_and(|one| one.endpoints.iter().any(|endpoint| endpoint.id.as_str() == id));
    match ids.iter().all(is_endpoint) {
        true => Subject::Endpoints { service: service.to_string(), endpoints: ids.iter().cloned().collect() },
        false => Subject::Datacenters { names: ids.to_vec(), services: Some(BTreeSet::from([service.to_string()])) },
    }
}

/// The data centres that the path names, in short.
fn datacenters(asked: &Asked, view: &View, call: Call) -> Option<Vec<String>> {
    let is_about = matches!(
        call,
        Call::Drain | Call::Undrain | Call::ForceUp | Call::ForceDown | Call::ForceAuto | Call::Failback
    );
    let mut named: BTreeSet<DatacenterIx> = BTreeSet::new();
    for name in list(asked.path("id")).iter().filter(|_| is_about) {
        named.extend(datacenters_named(&view.table, name).ok()?);
    }
    let datacenters = &view.table.base().policy().datacenters;
    is_about.then(|| named.iter().map(|ix| datacenters[ix.at()].short_name().to_owned()).collect())
}

/// Why an order was not carried out, as the API says it.
fn refused(view: &View, why: NotOrdered) -> Problem {
    let detail = why.to_string();
    let near = |problem: Problem, nearest: Option<String>| match nearest {
        Some(nearest) => problem.with("nearest", nearest),
        None => problem,
    };
    let mut problem = match why {
        NotOrdered::NotStored { is_late: true, .. } => Problem::new(Kind::StoreTimeout, detail),
        NotOrdered::NotStored { is_late: false, .. } => Problem::new(Kind::NotStored, detail),
        NotOrdered::KeyReused(key) => {
            let key = key.split_once(SCOPE_END).map_or(key.as_str(), |(_, key)| key);
            let detail = NotOrdered::KeyReused(key.to_owned()).to_string();
            Problem::new(Kind::InvalidValue, detail).with("field", "Idempotency-Key")
        }
        NotOrdered::Refused(refused) => match refused {
            OrderRefused::UnknownDatacenter { nearest, .. } => near(Problem::new(Kind::UnknownDc, detail), nearest),
            OrderRefused::AmbiguousDatacenter { name, candidates } => {
                ambiguous(&name, candidates.iter().map(String::as_str))
            }
            OrderRefused::UnknownService(_) => Problem::new(Kind::UnknownService, detail),
            OrderRefused::UnknownRegion { nearest, .. } => {
                near(Problem::new(Kind::InvalidValue, detail).with("field", "regions"), nearest)
            }
            OrderRefused::UnknownEndpoint { .. } => Problem::new(Kind::UnknownEndpoint, detail),
            OrderRefused::NotThere { services, .. } => {
                Problem::new(Kind::UnknownEndpoint, detail).with("services", services)
            }
            OrderRefused::NamesNothing("data centre") => Problem::new(Kind::UnknownDc, detail),
            OrderRefused::NamesNothing(_)
            | OrderRefused::TooManyNames(_)
            | OrderRefused::OutOfRange(_)
            | OrderRefused::Missing(_) => Problem::new(Kind::InvalidValue, detail),
            OrderRefused::TooMany
            | OrderRefused::PartOfWhole { .. }
            | OrderRefused::NothingToUndo(_)
            | OrderRefused::EndedByTime { .. }
            | OrderRefused::ChangedSince { .. }
            | OrderRefused::NotStanding(_) => Problem::new(Kind::Refused, detail),
            OrderRefused::Revision(_) => Problem::new(Kind::PreconditionFailed, detail),
            OrderRefused::Rules { refusals } => {
                let first = refusals.first().map(|refusal| refusal.rule.as_str());
                let all: Vec<Value> = refusals
                    .iter()
                    .map(|refusal| json!({ "rule": refusal.rule.as_str(), "detail": refusal.detail }))
                    .collect();
                Problem::new(Kind::Refused, detail).with("rule", first).with("rules", all)
            }
        },
    };
    problem.fields.extend(view.head());
    problem
}

/// What every order is answered with.
fn done_body(view: &View, done: &Ordered, call: Call) -> Map<String, Value> {
    let answer = &done.answer;
    let mut body = view.head();
    let revision = match done.is_dry_run && answer.changed {
        // What would be expected of the deed.
        true => view.table.revision().0,
        false => answer.revision,
    };
    let applied_at = time_or_null(done.applied_at.or_else(|| {
        let standing = view.status.book.get(answer.revision).filter(|_| !done.is_dry_run);
        standing.map(|standing| standing.created)
    }));
    let (mut services, mut skipped) = (answer.services.clone(), answer.services_skipped.clone());
    let undone = answer.undone.as_ref().map(|undone| json!({ "revision": undone.revision, "kind": undone.kind }));
    if call == Call::Failback {
        // Those whose clients come back, and those whose clients can not.
        let names = |latches: &[LatchName]| latches.iter().map(|one| one.service.to_string()).collect::<BTreeSet<_>>();
        let (released, kept) = (names(&done.released), names(&done.kept));
        skipped = kept.difference(&released).cloned().collect();
        services = released.into_iter().collect();
    }
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
    let fields = json!({
        "revision": revision,
        "generation": done.generation.0,
        "nodes": [{ "node": view.node, "generation": done.generation.0, "applied_at": applied_at }],
        "changed": answer.changed,
        "durable": done.is_durable,
        "dry_run": done.is_dry_run,
        "repeated": done.is_repeated,
        "active_dc": answer.active_dc.as_deref().map(|id| view.short_of_id(id)),
        "active_id": answer.active_dc,
        "previous_dc": answer.previous_dc.as_deref().map(|id| view.short_of_id(id)),
        "previous_id": answer.previous_dc,
        "services": services,
        "services_omitted": answer.services_omitted,
        "services_skipped": skipped,
        "services_skipped_omitted": answer.services_skipped_omitted,
        "undone": undone,
        "applied_at": applied_at,
        "last_old_answer_expires_at": done.old_answers_until.map_or(Value::Null, |at: SystemTime| time(at)),
        "last_old_answer_note": done.old_answers_until.map(|_| LAST_OLD_ANSWER),
        "impact": answer.impact,
        "forced": answer.forced,
        "released": latches(&done.released),
        "kept": latches(&done.kept),
        "warnings": answer.warnings,
    });
    if let Value::Object(fields) = fields {
        body.extend(fields);
    }
    if done.is_dry_run {
        // Of the deed, if no other order is to come between; the revision of what stands already is another one.
        body.insert("expected_revision".into(), view.table.revision().0.into());
    }
    body
}

/// For what concerns every service.
pub(super) fn of_all(asked: &Asked) -> Result<(), Problem> {
    let identity = asked.identity()?;
    match identity.services {
        None => Ok(()),
        Some(_) => {
            let detail = format!("{} may act on some services only, and this is about all", identity.id);
            Err(Problem::new(Kind::Forbidden, detail))
        }
    }
}
