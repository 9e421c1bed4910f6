//! What outside observers saw.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::orders::unanswered;
use super::{Asked, Outcome, service_named};
use crate::api::access::Identity;
use crate::api::context::View;
use crate::api::input::{Fields, invalid};
use crate::api::problem::{Answer, Kind, Problem, nearest};
use crate::api::route::{Field, Holds, REPORT};
use crate::api::view::has_address;
use crate::control::{Report, Reported};
use crate::limits::{REPORT_BATCH_MAX, REPORT_TTL_DEFAULT_S, REPORT_TTL_MAX_S, REPORT_TTL_PROBED_MAX_S};
use crate::model::{CheckId, CheckIx, EndpointId, Name, ObserverId, Probe, ServiceIx, State};

/// Who saw it, when neither a token nor the report says.
const UNNAMED: &str = "external";

/// What a report is about, by the files that serve now.
type Read = (Report, Vec<Name>);

pub(super) async fn one(asked: Asked) -> Outcome {
    let view = asked.context.look();
    let (endpoint, check) = (asked.path("endpoint"), asked.path("check"));
    let (read, defaults) = (asked.identity()?, Defaults::of(&asked)?);
    let report = report(&view, read, &defaults, endpoint, check, &asked.fields)?;
    tell(&asked, vec![(0, report)], Vec::new()).await
}

/// One report that makes no sense refuses the batch, with its position; one about what this node does not know is left
/// out, and told of. `observer` and `ttl` beside the
/// list are for those that say nothing else.
pub(super) async fn batch(asked: Asked) -> Outcome {
    let view = asked.context.look();
    let (identity, defaults) = (asked.identity()?, Defaults::of(&asked)?);
    let mut known: Vec<Field> = REPORT.to_vec();
    for (name, about) in [("endpoint", "The endpoint's id."), ("check", "The check's id.")] {
        known.push(Field { name, holds: Holds::Text, about });
    }
    let given = asked.fields.list("reports")?;
    if given.len() > REPORT_BATCH_MAX {
        return Err(invalid("reports", &format!("has more than {REPORT_BATCH_MAX}")));
    }
    let (mut all, mut unknown, mut first_unknown) = (Vec::new(), Vec::new(), None);
    for (at, one) in given.iter().enumerate() {
        let read = || -> Result<Read, Problem> {
            let fields = Fields::of(one.clone(), &known)?;
            let needed = |name: &str| fields.text(name)?.ok_or_else(|| invalid(name, "is missing"));
            report(&view, identity, &defaults, &needed("endpoint")?, &needed("check")?, &fields)
        };
        match read() {
            Ok(report) => all.push((at, report)),
            // Files reach nodes one after the other: what only the observer has heard of costs nothing else.
            Err(problem) if problem.kind.status() == StatusCode::NOT_FOUND => {
                unknown.push((at, problem.detail.clone()));
                first_unknown.get_or_insert(problem);
            }
            Err(problem) => {
                let detail = format!("report {at}: {}", problem.detail);
                return Err(Problem { detail, ..problem.with("report", at) });
            }
        }
    }
    match first_unknown {
        Some(problem) if all.is_empty() => Err(problem),
        Some(_) | None => tell(&asked, all, unknown).await,
    }
}

/// Services named in an answer.
const SERVICES_NAMED: usize = 100;

async fn tell(asked: &Asked, reports: Vec<(usize, Read)>, unknown: Vec<(usize, String)>) -> Outcome {
    let about: BTreeSet<String> = reports.iter().flat_map(|(_, (_, services))| services).map(Name::to_string).collect();
    let (places, batch): (Vec<usize>, Vec<Report>) = reports.into_iter().map(|(at, (report, _))| (at, report)).unzip();
    let (taken, refused) = match batch.is_empty() {
        true => (0, unknown),
        false => {
            let Reported { taken, refused, .. } = asked.context.control.report(batch).await.map_err(unanswered)?;
            let place = |at: usize| places.get(at).copied().unwrap_or(at);
            (taken, refused.into_iter().map(|(at, why)| (place(at), why)).chain(unknown).collect())
        }
    };
    // They made sense when they were read: the files have just changed, or there are too many.
    if let ([(_, why), ..], 0) = (refused.as_slice(), taken) {
        return Err(Problem::new(Kind::NotTaken, why.clone()));
    }
    let refused: Vec<Value> = refused.iter().map(|(at, why)| json!({ "report": at, "detail": why })).collect();
    let about: Vec<String> = about.into_iter().take(SERVICES_NAMED).collect();
    let body = asked.context.look().with(json!({ "taken": taken, "refused": refused, "services": about }));
    Ok(Answer(body).into_response())
}

/// What a report has that does not say it.
struct Defaults {
    observer: Option<String>,
    ttl: Duration,
}

impl Defaults {
    /// As the body says beside, or instead of, a list.
    fn of(asked: &Asked) -> Result<Defaults, Problem> {
        let ttl = asked.fields.duration("ttl")?.unwrap_or(Duration::from_secs(REPORT_TTL_DEFAULT_S));
        Ok(Defaults { observer: asked.fields.text("observer")?, ttl })
    }
}

/// One report, for every service that has an endpoint of that id which uses the check.
fn report(
    view: &View,
    identity: &Identity,
    defaults: &Defaults,
    endpoint: &str,
    check: &str,
    fields: &Fields,
) -> Result<Read, Problem> {
    let state = match fields.text("state")?.as_deref() {
        Some("up") => State::Up,
        Some("down") => State::Down,
        Some("unknown") => State::Unknown,
        Some(other) => return Err(invalid("state", &format!("must be up, down or unknown, not {other:?}"))),
        None => return Err(invalid("state", "is missing: up, down or unknown")),
    };
    let ttl = fields.duration("ttl")?.unwrap_or(defaults.ttl);
    let ttl_max_s = match is_probed_here(view, check) {
        true => REPORT_TTL_PROBED_MAX_S,
        false => REPORT_TTL_MAX_S,
    };
    if ttl.is_zero() || ttl > Duration::from_secs(ttl_max_s) {
        return Err(invalid("ttl", &format!("is more than 0 and at most {ttl_max_s} s for this check")));
    }
    let observer = observer(identity, fields.text("observer")?.or_else(|| defaults.observer.clone()))?;
    if observer == view.node {
        return Err(invalid("observer", "is this node's own name: it sees for itself"));
    }
    let observer = ObserverId::new(&observer).map_err(|error| invalid("observer", &format!("is no id: {error}")))?;
    let address: Option<IpAddr> = match fields.text("address")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| invalid("address", "is no address"))?),
    };
    let only = match fields.text("service")? {
        None => None,
        Some(name) => Some(service_named(&view.table, &name)?),
    };
    let services = concerned(view, only, endpoint, check, address)?;
    identity.check_services(&services)?;
    let report = Report {
        observer,
        service: only.map(|ix| view.table.base().policy().services[ix.at()].name.clone()),
        endpoint: EndpointId::new(endpoint).map_err(|_| unknown_endpoint(view, endpoint))?,
        address,
        check: CheckId::new(check).map_err(|error| invalid(check, &format!("is no check: {error}")))?,
        state,
        detail: fields.text("detail")?,
        ttl,
    };
    Ok((report, services))
}

/// A second opinion on what this node sees for itself must be fresh.
fn is_probed_here(view: &View, check: &str) -> bool {
    let check = view.table.base().policy().checks.iter().find(|other| other.id.as_str() == check);
    check.is_some_and(|check| check.spec.probe != Probe::External)
}

/// Who saw it. Who proves who he is, is one observer: else one token could be the two that confirm each other. The
/// users of this machine, and who comes without a name, say it themselves.
fn observer(identity: &Identity, claimed: Option<String>) -> Result<String, Problem> {
    let is_bound = identity.is_authenticated && !identity.id.starts_with("uid:");
    match claimed {
        Some(name) if is_bound && name != identity.id => {
            let detail = format!(
                "{id} reports as the observer {id}, not as {name:?}: give each observer a token of its name",
                id = identity.id
            );
            Err(Problem::new(Kind::Forbidden, detail))
        }
        Some(name) => Ok(name),
        None if is_bound => Ok(identity.id.clone()),
        None => Ok(UNNAMED.to_owned()),
    }
}

/// The services that a report is about; at least one.
fn concerned(
    view: &View,
    only: Option<ServiceIx>,
    endpoint: &str,
    check: &str,
    address: Option<IpAddr>,
) -> Result<Vec<Name>, Problem> {
    let policy = view.table.base().policy();
    let candidates: Vec<ServiceIx> = match only {
        Some(only) => vec![only],
        None => (0..policy.services.len()).map(ServiceIx::from_at).collect(),
    };
    let id = |check: &CheckIx| policy.checks[usize::from(check.0)].id.as_str();
    let mut found = Vec::new();
    let (mut has_endpoint, mut checks_there) = (false, BTreeSet::new());
    for ix in candidates {
        let service = &policy.services[ix.at()];
        let Some((endpoint_ix, this)) = service.endpoints().find(|(_, other)| other.id.as_str() == endpoint) else {
            continue;
        };
        has_endpoint = true;
        let checks = service.checks_about(endpoint_ix);
        checks_there.extend(checks.iter().map(id));
        let is_used = checks.iter().any(|used| id(used) == check);
        if is_used && address.is_none_or(|address| has_address(&this.data, address)) {
            found.push(service.name.clone());
        }
    }
    match (has_endpoint, checks_there.contains(check), found.is_empty()) {
        (_, _, false) => Ok(found),
        (false, ..) => Err(unknown_endpoint(view, endpoint)),
        (true, false, _) => {
            let known: Vec<&str> = checks_there.iter().copied().take(20).collect();
            let detail = format!("{endpoint} is not checked by {check:?}; its checks are: {}", known.join(", "));
            let problem = Problem::new(Kind::UnknownCheck, detail).with("known", json!(known));
            Err(match nearest(check, known) {
                Some(near) => problem.with("nearest", near),
                None => problem,
            })
        }
        (true, true, true) => Err(invalid("address", "is no address of that endpoint")),
    }
}

fn unknown_endpoint(view: &View, endpoint: &str) -> Problem {
    let services = view.table.base().policy().services.iter().take(2_000);
    let ids: BTreeSet<&str> =
        services.flat_map(|service| service.endpoints.iter().map(|endpoint| endpoint.id.as_str())).collect();
    let problem = Problem::new(Kind::UnknownEndpoint, format!("no endpoint has the id {endpoint:?}"));
    match nearest(endpoint, ids) {
        Some(near) => {
            Problem { detail: format!("{}; did you mean {near}?", problem.detail), ..problem.with("nearest", near) }
        }
        None => problem,
    }
}
