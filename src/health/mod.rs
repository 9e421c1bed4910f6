//! Health: what probes see, and what is made of it.
//!
//! - [`Target`], [`Outcome`]: what is probed, and what comes of it.
//! - [`Targets`]: from policy to what is probed.
//! - [`probe`]: asks a target, once; the one part of this room that knows of sockets and clocks.
//! - [`Engine`]: which probe starts when, and what each target's results make of its state. It ties together
//!   `schedule` (when), `watch` (one target's state machine), `sight` (being blind is not seeing death),
//!   `looks` (probes that bring proof of sight) and [`stats`] (for people).
//! - [`verdict`]: observers and checks combine into one verdict on an address, in three-valued logic.
//! - [`Verdicts`]: what is made of all that over time: the last verdict is kept when there is none, hold-downs damp
//!   flaps, endpoints follow others, and data centres may ask for a minimum.

mod engine;
mod hold_down;
mod looks;
pub mod probe;
mod schedule;
mod sight;
pub mod stats;
mod target;
mod targets;
mod verdict;
mod verdicts;
mod watch;

pub use engine::{Change, Engine, Start, TargetReport};
pub use hold_down::HoldDown;
pub use schedule::{Counters, LATE};
pub use sight::{Cause, Hold};
pub use target::{Found, Outcome, Target, TargetId};
pub use targets::{Registry, Targets, TooManyTargets};
pub use verdict::{combine, majority, verdict, verdicts};
pub use verdicts::{AddressVerdict, Kept, ObserverReport, Transition, Verdicts};
