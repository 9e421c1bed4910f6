//! Why a client gets what it gets, from end to end: `meridian explain`, `GET /api/explain`, policy tests.
//!
//! [`crate::table::explain`] explains a service's decision. Here a whole question is followed: through the
//! aliases that master files set ([`alias`]), through the answer path itself, as octets ([`ask()`]), and under
//! facts that somebody assumes ([`what_if`]). [`diff`] compares two sets of files, under the facts of a running server
//! ([`named`]). Nothing here decides anything; it asks the code that answers.

pub mod alias;
mod ask;
pub mod diff;
mod explained;
pub mod named;
pub mod what_if;

pub use ask::{Reply, ask, randoms};
pub use explained::{Error, Explained, Question, as_json, explained, text};
