//! Meridian: a global traffic manager.
//!
//! An authoritative DNS server that decides, for every query, which data centre a client should use.
//! `docs/architecture.md` is the map of the rooms below; arrows between them go one way, and
//! `tests/architecture.rs` fails when one runs back:
//!
//! ```text
//! limits → model → {wire, geo, steer, diag, sys} → zone → table → answer → serve
//!           {config, store} → control (single writer) → api                cli on top
//!                   telemetry: a leaf that the edges use
//! ```

pub mod answer;
pub mod api;
pub mod cli;
pub mod config;
pub mod control;
pub mod demo;
pub mod diag;
pub mod explain;
pub mod geo;
pub mod health;
pub mod limits;
pub mod model;
pub mod serve;
pub mod steer;
pub mod store;
pub mod sys;
pub mod table;
pub mod telemetry;
pub mod wire;
pub mod zone;
