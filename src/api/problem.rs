//! Errors as problem details (RFC 9457): a stable type, and the fields that a program needs.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use serde_json::{Map, Value, json};

macro_rules! kinds {
    ($($kind:ident $status:literal $slug:literal $title:literal;)*) => {
        /// What kind of problem it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = $title] $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $(Kind::$kind => $status,)* };
                StatusCode::from_u16(status).expect("the statuses above are statuses")
            }

            /// The last part of its `type`, after `/problems/`.
            pub fn slug(self) -> &'static str {
                match self { $(Kind::$kind => $slug,)* }
            }

            /// The same for every problem of the kind.
            pub fn title(self) -> &'static str {
                match self { $(Kind::$kind => $title,)* }
            }
        }
    };
}

kinds! {
    MalformedBody 400 "malformed-body" "The body is not JSON";
    Unauthenticated 401 "unauthenticated" "Credentials are needed";
    BadToken 401 "bad-token" "The token is not good";
    Forbidden 403 "forbidden" "Not allowed with these credentials";
    ForeignOrigin 403 "foreign-origin" "A page of another origin may not give orders";
    UnknownPath 404 "unknown-path" "There is no such path";
    UnknownDc 404 "unknown-dc" "No data centre has that name";
    UnknownService 404 "unknown-service" "No service has that name";
    UnknownEndpoint 404 "unknown-endpoint" "No endpoint has that id";
    UnknownCheck 404 "unknown-check" "No endpoint of that id uses that check";
    NoLog 404 "no-log" "This server keeps no audit log";
    NoDemo 404 "no-demo" "This server does not run the demo";
    MethodNotAllowed 405 "method-not-allowed" "The path does not take that method";
    RequestTimeout 408 "request-timeout" "The request took too long to arrive";
    AmbiguousDc 409 "ambiguous-dc" "Several data centres could be meant";
    Refused 409 "refused" "A rule refuses the order";
    PreconditionFailed 412 "precondition-failed" "The revision is not the expected one";
    BodyTooLarge 413 "body-too-large" "The body is too large";
    UnsupportedMediaType 415 "unsupported-media-type" "The body must be application/json";
    UnknownField 422 "unknown-field" "There is no such field or parameter";
    InvalidValue 422 "invalid-value" "A value is not as it should be";
    InvalidFiles 422 "invalid-files" "The files have errors; what served goes on serving";
    Internal 500 "internal" "A defect of Meridian";
    LogUnreadable 500 "log-unreadable" "The audit log can not be read";
    Busy 503 "busy" "So many do that already";
    NoControl 503 "no-control" "The control thread has ended; the table that serves stays as it is";
    NotTaken 503 "not-taken" "The reports could not be taken";
    NotStored 503 "not-stored" "The order could not be stored; nothing has changed";
    StoreTimeout 503 "store-timeout" "The store did not answer in time; nothing has changed";
    Timeout 503 "timeout" "It took too long";
}

/// An error, as a client gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// What kind.
    pub kind: Kind,
    /// For a person: what is wrong here, and what to do.
    pub detail: String,
    /// What a program needs besides.
    pub fields: Map<String, Value>,
}

impl Problem {
    /// One without more fields.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Problem {
        Problem { kind, detail: detail.into(), fields: Map::new() }
    }

    /// One more field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.fields.insert(name.to_owned(), value.into());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let mut body = Map::new();
        body.insert("type".into(), format!("/problems/{}", self.kind.slug()).into());
        body.insert("title".into(), self.kind.title().into());
        body.insert("status".into(), status.as_u16().into());
        body.insert("detail".into(), self.detail.into());
        body.extend(self.fields);
        let mut response = Response::new(Body::from(format!("{}\n", Value::Object(body))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"meridian\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// What nearly everything answers with: JSON, a newline at the end, not to be kept by anybody.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer(pub(super) Value);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
        (headers, format!("{}\n", self.0)).into_response()
    }
}

/// The one of `known` that `name` was probably meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let plain = |text: &str| text.to_lowercase().replace(['_', '-'], "");
    known
        .into_iter()
        .map(|other| (strsim::damerau_levenshtein(&plain(&name), &plain(other)), other))
        .filter(|(distance, other)| *distance <= 1 + other.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// What is not known, with the nearest name.
pub(super) fn unknown_field(what: &str, name: &str, known: &[&str]) -> Problem {
    let near = nearest(name, known.iter().copied());
    let hint = match (near, known.is_empty()) {
        (Some(near), _) => format!("; did you mean {near:?}?"),
        (None, true) => "; this call takes none".to_owned(),
        (None, false) => format!("; there are {}", known.join(", ")),
    };
    let problem = Problem::new(Kind::UnknownField, format!("there is no {what} {name:?}{hint}")).with("field", name);
    match near {
        Some(near) => problem.with("nearest", near),
        None => problem.with("known", json!(known)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_type_of_its_own() {
        let slugs: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), Kind::ALL.len());
        assert!(Kind::ALL.iter().all(|kind| kind.status().is_client_error() || kind.status().is_server_error()));
    }

    #[test]
    fn the_nearest_name_is_found_whatever_its_writing() {
        let known = ["dry_run", "reason", "actor"];
        assert_eq!(nearest("dryrun", known), Some("dry_run"));
        assert_eq!(nearest("dryRun", known), Some("dry_run"));
        assert_eq!(nearest("resaon", known), Some("reason"));
        assert_eq!(nearest("services", known), None);
    }
}
