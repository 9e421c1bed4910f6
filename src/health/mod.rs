//! Health: what probes see, and what is made of it.
//!
//! - [`verdict`]: observers and checks combine into one verdict on an address, in three-valued logic.
//! - [`probe`]: asks a target, once; the one part of this room that knows of sockets and clocks.
//! - [`Target`], [`Outcome`]: what is probed, and what comes of it.

pub mod probe;
mod target;
mod verdict;

pub use target::{Found, Outcome, Target, TargetId};
pub use verdict::{combine, verdict, verdicts};
