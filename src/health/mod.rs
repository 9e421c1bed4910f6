//! Health: what probes see, and what is made of it.
//!
//! - [`probe`]: asks a target, once; the one part of this room that knows of sockets and clocks.
//! - [`Target`], [`Outcome`]: what is probed, and what comes of it.
//! - [`Targets`]: from policy to what is probed.
//! - [`Engine`]: which probe starts when, and what each target's results make of its state. It ties together
//!   `schedule` (when), `watch` (one target's state machine), `sight` (being blind is not seeing death),
//!   `looks` (probes that bring proof of sight) and [`stats`] (for people).
//! - [`verdict`]: observers and checks combine into one verdict on an address, in three-valued logic.

mod engine;
mod looks;
pub mod probe;
mod schedule;
mod sight;
pub mod stats;
mod target;
mod targets;
mod verdict;
mod watch;

pub use engine::{Change, Engine, Start, TargetReport};
pub use schedule::{Counters, LATE};
pub use sight::{Cause, Hold};
pub use target::{Found, Outcome, Target, TargetId};
pub use targets::{Registry, Targets, TierKey, TooManyTargets};
pub use verdict::{combine, verdict, verdicts};
