//! What each call does.

mod active;
mod drain;
mod events;
mod explain;
mod files;
mod history;
mod orders;
mod reports;
mod status;
mod switch;
mod wait;

pub use files::Reread;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use hyper::StatusCode;
use serde_json::json;

use super::access::Identity;
use super::context::Context;
use super::guard::{Guarded, guard};
use super::input::{Fields, Query, invalid};
use super::openapi;
use super::problem::{Answer, Kind, Problem, nearest};
use super::route::{Call, ROUTES, Route};
use crate::limits::API_BODY_S;
use crate::model::{DatacenterIx, Name, NamedDatacenters, ServiceIx, resolve_datacenter};
use crate::table::RoutingTable;

/// A request that was let in, read and found well-formed.
pub(super) struct Asked {
    context: Arc<Context>,
    identity: Option<Identity>,
    path: Vec<(String, String)>,
    query: Query,
    fields: Fields,
    head: Parts,
}

impl Asked {
    /// A part of the path that the route names.
    fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    fn identity(&self) -> Result<&Identity, Problem> {
        self.identity.as_ref().ok_or_else(|| Problem::new(Kind::Internal, "a call without a caller"))
    }
}

type Outcome = Result<Response, Problem>;

/// Every route behind its guard, and problems for everything else.
pub(super) fn router(context: &Arc<Context>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, method(route, context));
    }
    let lost = Arc::clone(context);
    router.fallback(move |request: Request<Body>| no_path(lost, request)).method_not_allowed_fallback({
        let lost = Arc::clone(context);
        move |request: Request<Body>| no_method(lost, request)
    })
}

fn method(route: &'static Route, context: &Arc<Context>) -> MethodRouter {
    let filter = match route.method {
        "GET" => MethodFilter::GET,
        "PUT" => MethodFilter::PUT,
        "POST" => MethodFilter::POST,
        "DELETE" => MethodFilter::DELETE,
        other => unreachable!("no route has the method {other}"),
    };
    let handling = Arc::clone(context);
    let handler = move |request: Request<Body>| async move {
        let outcome = run(Arc::clone(&handling), route, request).await;
        outcome.unwrap_or_else(|problem| with_head(&handling, route, problem).into_response())
    };
    on(filter, handler).layer(from_fn_with_state(Guarded { context: Arc::clone(context), route }, guard))
}

async fn run(context: Arc<Context>, route: &'static Route, request: Request<Body>) -> Outcome {
    let (mut head, body) = request.into_parts();
    let path = RawPathParams::from_request_parts(&mut head, &())
        .await
        .map_err(|_| invalid(head.uri.path(), "is not percent-encoded UTF-8"))?;
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let query = Query::read(route, head.uri.query())?;
    let fields = match route.is_write() {
        true => read(route, Request::from_parts(head.clone(), body)).await?,
        false => Fields::default(),
    };
    let identity = head.extensions.get::<Identity>().cloned();
    let asked = Asked { context, identity, path, query, fields, head };
    match route.call {
        Call::Livez => Ok(Answer(json!({ "status": "live" })).into_response()),
        Call::Readyz => Ok(readyz(&asked.context)),
        Call::Metrics => metrics(asked).await,
        Call::OpenApi => Ok(Answer(openapi::document()).into_response()),
        Call::Status => status::status(asked).await,
        Call::Datacenters => status::datacenters(asked).await,
        Call::Datacenter => status::datacenter(asked).await,
        Call::Services => status::services(asked).await,
        Call::Service => status::service(asked).await,
        Call::ActiveDc => active::active(asked).await,
        Call::Explain => explain::explain(asked).await,
        Call::Facts => files::facts(asked).await,
        Call::Load => files::load(asked).await,
        Call::History => history::history(asked).await,
        Call::Events => events::events(asked).await,
        Call::Reload => files::reload(asked).await,
        Call::ClockAccept => switch::accept_clock(asked).await,
        Call::DrainProgress => drain::progress(asked).await,
        Call::Switches => switch::standing(asked),
        Call::Switch
        | Call::SwitchByPost
        | Call::SwitchClear
        | Call::Drain
        | Call::Undrain
        | Call::ForceUp
        | Call::ForceDown
        | Call::ForceAuto
        | Call::Failback
        | Call::EndpointDrain
        | Call::EndpointUndrain
        | Call::EndpointForceUp
        | Call::EndpointForceDown
        | Call::EndpointForceAuto
        | Call::Weights
        | Call::WeightsClear
        | Call::Ttl
        | Call::TtlClear
        | Call::Undo
        | Call::Freeze
        | Call::Unfreeze
        | Call::Gate => switch::order(asked, route.call).await,
        Call::Health => reports::one(asked).await,
        Call::Observations => reports::batch(asked).await,
        Call::Demo => orders::demo(asked).await,
    }
}

/// What is wrong may depend on what is served here: whose word it is, and of which table.
fn with_head(context: &Context, route: &Route, mut problem: Problem) -> Problem {
    if route.role.is_some() {
        for (name, value) in context.look().head() {
            problem.fields.entry(name).or_insert(value);
        }
    }
    problem
}

/// A body that does not arrive is the client's fault, and told so before the call's own time is over.
async fn read(route: &Route, request: Request<Body>) -> Result<Fields, Problem> {
    let patience = Duration::from_secs(API_BODY_S);
    let reading = tokio::time::timeout(patience, Fields::read(route, request));
    reading.await.unwrap_or_else(|_| {
        Err(Problem::new(Kind::RequestTimeout, format!("the body did not arrive within {API_BODY_S} s")))
    })
}

/// Ready when a table is published and the sockets are open: nothing else may take a node out of service.
fn readyz(context: &Context) -> Response {
    let view = context.look();
    let has_table = view.table.generation().0 > 0;
    let is_ready = has_table && context.is_ready();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = match (has_table, is_ready) {
        (_, true) => "ready",
        (false, _) => "no table is published",
        (true, _) => "the DNS sockets are not open",
    };
    (status, Answer(view.with(json!({ "status": word })))).into_response()
}

async fn metrics(asked: Asked) -> Outcome {
    let registry = asked.context.registry.clone();
    let text = asked.context.heavily(move || registry.text()).await.ok_or_else(internal)?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn internal() -> Problem {
    Problem::new(Kind::Internal, "please report it, with the log of this moment")
}

async fn no_path(context: Arc<Context>, request: Request<Body>) -> Response {
    let path = request.uri().path();
    let problem = Problem::new(Kind::UnknownPath, format!("there is no {path:?}"));
    let known = ROUTES.iter().map(|route| route.path);
    let problem = match nearest(path, known) {
        Some(near) => {
            Problem { detail: format!("{}; did you mean {near}?", problem.detail), ..problem.with("nearest", near) }
        }
        None => problem,
    };
    refused(&context, request.method().as_str(), problem)
}

async fn no_method(context: Arc<Context>, request: Request<Body>) -> Response {
    let (method, path) = (request.method().as_str(), request.uri().path());
    let problem = Problem::new(Kind::MethodNotAllowed, format!("{path} does not take {method}"));
    refused(&context, method, problem)
}

/// Counted without what the client wrote, which could be anything.
fn refused(context: &Context, method: &str, problem: Problem) -> Response {
    let method = ["GET", "HEAD", "PUT", "POST", "DELETE"].into_iter().find(|known| *known == method).unwrap_or("other");
    let status = problem.kind.status().as_u16().to_string();
    context.requests.with_label_values(&[method, "other", &status]).inc();
    problem.into_response()
}

fn ambiguous<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Problem {
    let candidates: Vec<&str> = candidates.collect();
    let detail = format!("{name:?} could be {}", candidates.join(" or "));
    Problem::new(Kind::AmbiguousDc, detail).with("candidates", json!(candidates))
}

/// The data centre, or those of a group, that somebody means.
fn datacenters_named(table: &RoutingTable, name: &str) -> Result<Vec<DatacenterIx>, Problem> {
    let policy = table.base().policy();
    let short = |ix: &DatacenterIx| policy.datacenters[ix.at()].short_name();
    match resolve_datacenter(&policy.datacenters, &policy.groups, name) {
        NamedDatacenters::One(one) => Ok(vec![one]),
        NamedDatacenters::Group(group) => Ok(policy.groups[group].members.clone()),
        NamedDatacenters::Ambiguous(several) => {
            Err(ambiguous(name, several.iter().map(|ix| policy.datacenters[ix.at()].id.as_str())))
        }
        NamedDatacenters::Unknown => {
            let all: Vec<DatacenterIx> = (0..policy.datacenters.len()).map(DatacenterIx::from_at).collect();
            let names = policy.datacenters.iter().map(|dc| dc.id.as_str()).chain(all.iter().map(short));
            let near = nearest(name, names.chain(policy.groups.iter().map(|group| group.id.as_str())));
            let known: Vec<&str> = policy.datacenters.iter().take(20).map(|dc| dc.id.as_str()).collect();
            let hint = near
                .map_or_else(|| format!("; there are {}", known.join(", ")), |near| format!("; did you mean {near}?"));
            let problem = Problem::new(Kind::UnknownDc, format!("no data centre is called {name:?}{hint}"));
            Err(match near {
                Some(near) => problem.with("nearest", near),
                None => problem,
            })
        }
    }
}

/// The service of that name.
fn service_named(table: &RoutingTable, text: &str) -> Result<ServiceIx, Problem> {
    let services = &table.base().policy().services;
    let name = Name::parse(text).map_err(|error| invalid(text, &format!("is no domain name: {error}")))?;
    if let Some(at) = services.iter().position(|service| service.name == name) {
        return Ok(ServiceIx::from_at(at));
    }
    // A few thousand comparisons are enough for a hint.
    let names: Vec<String> = services.iter().take(2_000).map(|service| service.name.to_string()).collect();
    let problem = Problem::new(Kind::UnknownService, format!("no service is called {name}"));
    Err(match nearest(&name.to_string(), names.iter().map(String::as_str)) {
        Some(near) => {
            Problem { detail: format!("{}; did you mean {near}?", problem.detail), ..problem.with("nearest", near) }
        }
        None => problem,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::Role;

    #[test]
    fn every_call_has_one_route_and_only_three_are_open_to_everybody() {
        let calls: BTreeSet<Call> = ROUTES.iter().map(|route| route.call).collect();
        assert_eq!(calls.len(), ROUTES.len());
        let open: Vec<&str> = ROUTES.iter().filter(|route| route.role.is_none()).map(|route| route.path).collect();
        assert_eq!(open, ["/livez", "/readyz", "/openapi.json"]);
        for route in ROUTES.iter().filter(|route| route.is_write()) {
            assert!(route.role >= Some(Role::Operator), "{} changes something", route.name());
            assert!(route.body_len_max > 0, "{} has no bound", route.name());
        }
    }
}
