//! Health: what probes see, and what is made of it.
//!
//! - [`verdict`]: observers and checks combine into one verdict on an address, in three-valued logic.
//! - [`Target`], [`Outcome`]: what is probed, and what comes of it.

mod target;
mod verdict;

pub use target::{Found, Outcome, Target, TargetId};
pub use verdict::{combine, verdict, verdicts};
