//! The HTTP API: what automation, dashboards and people ask and order.
//!
//! ```text
//! TCP, TLS, Unix socket ─▶ server (bounds, deadlines) ─▶ router ─▶ guard ─▶ handler ─▶ control::Handle
//!                                                                  │          └─▶ published table, status, Sightings
//!                                                        route table: role, query, body of each call
//! ```
//!
//! - [`Server`] listens. Everything that a client can take is bounded: connections in all and by address,
//!   header and body sizes, and the time for each; who is slow is cut off.
//! - `route` is the one table of calls: path, role, query parameters, body fields. Router, authorisation,
//!   input checks and `openapi.json` are all made from it, so none can forget a call that another has.
//! - `guard` runs before any work: it knows the caller ([`Identity`]) before a body is read.
//! - Handlers read the published table and control's [`Status`](crate::control::Status), and hand orders and
//!   reports to its [`Handle`](crate::control::Handle). What probes know besides comes through [`Sightings`], the audit
//!   log through [`AuditLog`]. This room never publishes, probes or stores.
//!
//! # What holds
//! - No credentials that are not good do any work: they get 401, slowly, and a line in the log.
//! - On an address that is not loopback nothing is served without tokens or a grant in so many words.
//! - An unknown field or parameter is refused with the nearest name: `dryrun` must not be a real order.
//! - Every error is a problem (RFC 9457), the framework's own included; there is never a redirect.
//! - Whatever reflects routing carries `node`, `generation` and `revision`.
//!
//! # What it deliberately does not do
//! HTTP/2: a few dozen clients gain nothing from it, and it would bring bounds of its own. Believe
//! `X-Forwarded-For`: a proxy should bring a token. Sessions, cookies, CORS: no page of another origin has
//! business here.

mod access;
mod admission;
mod audit;
mod context;
mod evidence;
mod guard;
mod input;
mod metrics;
mod openapi;
mod problem;
mod route;
mod routes;
mod server;
mod sightings;
mod stream;
mod throttle;
pub mod tokens;
mod view;

pub use access::{Access, AccessConfig, Identity};
pub use audit::{AuditLog, AuditPage};
pub use context::Context;
pub use input::duration;
pub use openapi::document as openapi;
pub use problem::{Kind, Problem};
pub use route::Call;
pub use routes::Reread;
pub use server::{ApiConfig, Server, StartError};
pub use sightings::Sightings;
