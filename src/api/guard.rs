//! Before any work: who asks, may they, and by when must it be done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::{Identity, Peer};
use super::context::Context;
use super::problem::{Kind, Problem};
use super::route::Route;
use super::server::Shown;
use crate::limits::{API_REQUEST_S, API_WAIT_MAX_S};

/// State of the guard of one route.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) context: Arc<Context>,
    pub(super) route: &'static Route,
}

/// When a request came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived(pub(super) Instant);

/// Runs around every handler.
pub(super) async fn guard(State(guarded): State<Guarded>, mut request: Request<Body>, next: Next) -> Response {
    let Guarded { context, route } = guarded;
    request.extensions_mut().insert(Arrived(Instant::now()));
    let peer = request.extensions().get::<Peer>().copied();
    let response = match admit(&context, route, peer, &mut request).await {
        Ok(()) => match tokio::time::timeout(within(route, &request), next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                let detail = format!("{} took too long", route.name());
                Problem::new(Kind::Timeout, detail).into_response()
            }
        },
        Err(problem) => problem.into_response(),
    };
    let status = response.status().as_u16().to_string();
    context.requests.with_label_values(&[route.method, route.path, &status]).inc();
    if route.is_write() {
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        tracing::info!(%peer, status, "{}", route.name());
    }
    response
}

/// How long it may take. What is to wait for caches is answered as late as it asks for, and orders no later than others.
fn within(route: &Route, request: &Request<Body>) -> Duration {
    let waits = route.query.iter().any(|field| field.name == "wait")
        && request.uri().query().is_some_and(|query| query.split('&').any(|part| part.starts_with("wait=")));
    Duration::from_secs(API_REQUEST_S + if waits { API_WAIT_MAX_S } else { 0 })
}

async fn admit(
    context: &Context,
    route: &Route,
    peer: Option<Peer>,
    request: &mut Request<Body>,
) -> Result<(), Problem> {
    let Some(peer) = peer else {
        return Err(Problem::new(Kind::Internal, "a connection without a peer"));
    };
    if route.role.is_none() {
        return Ok(());
    }
    let shown = request.extensions().get::<Shown>().and_then(|shown| shown.0.as_deref());
    let identity = match context.access.admit(route, request.uri().path(), peer, shown, request.headers()) {
        Ok(identity) => identity,
        Err(refusal) => {
            context.failures.with_label_values(&[refusal.reason()]).inc();
            let (count, wait) = context.access.failed(peer);
            // A flood of attempts is not also a flood of lines.
            if count.is_power_of_two() {
                tracing::warn!(%peer, count, reason = refusal.reason(), "{}: refused", route.name());
            }
            tokio::time::sleep(wait).await;
            return Err(refusal.problem(route));
        }
    };
    if route.is_write() {
        check_origin(request.headers(), &identity)?;
    }
    request.extensions_mut().insert(identity);
    Ok(())
}

/// A page in a browser may order something only when it comes from here: its origin is the host that it asks. By
/// name that alone proves nothing, since a page can have its own name lead to this machine after it was loaded
/// (DNS rebinding); so whoever is let in for his address must have asked for an address, or for `localhost`.
fn check_origin(headers: &HeaderMap, identity: &Identity) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let text = |value: &axum::http::HeaderValue| value.to_str().map(str::to_ascii_lowercase).unwrap_or_default();
    let (origin, host) = (text(origin), headers.get(HOST).map(text).unwrap_or_default());
    let from = origin.split_once("://").map(|(_, authority)| authority).unwrap_or_default();
    let name = name_of(&host);
    let is_address = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok();
    if !from.is_empty() && from == host && (identity.is_authenticated || is_address) {
        return Ok(());
    }
    let detail = format!("orders from pages of {origin:?} are refused here; pages of this server's own address may");
    Err(Problem::new(Kind::ForeignOrigin, detail).with("origin", origin))
}

/// The host of `host[:port]`, without brackets.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    #[test]
    fn pages_of_other_origins_give_no_orders() {
        let by = |is_authenticated| Identity { id: "x".into(), role: Role::Operator, services: None, is_authenticated };
        let check = |origin: Option<&str>, host: &str, is_authenticated| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            check_origin(&headers, &by(is_authenticated)).is_ok()
        };
        assert!(check(None, "anything.example", false), "no browser");
        assert!(check(Some("http://127.0.0.1:8053"), "127.0.0.1:8053", false));
        assert!(check(Some("http://[::1]:8053"), "[::1]:8053", false));
        assert!(check(Some("http://LocalHost:8053"), "localhost:8053", false));
        assert!(!check(Some("http://evil.example"), "127.0.0.1:8053", true), "another site");
        assert!(!check(Some("http://127.0.0.1:9999"), "127.0.0.1:8053", true), "another port");
        assert!(!check(Some("null"), "127.0.0.1:8053", true), "a sandboxed page");
        assert!(!check(Some("http://evil.example:8053"), "evil.example:8053", false), "a rebound name");
        assert!(check(Some("https://gtm.example.com"), "gtm.example.com", true), "a console with a token");
    }
}
