//! What must always hold, and what this version could break: each invariant has a test that fails when it is
//! broken. Where there is chance, its seeds are fixed: a failure comes back.

#[path = "../common/mod.rs"]
mod common;

mod bad_input;
mod bounds;
mod comparing;
mod decisions;
mod deterministic;
mod nearest;
mod recompile;
mod scopes;
mod shares;
mod tallies;
mod torn;
mod worlds;
