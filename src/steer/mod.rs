//! Pure decisions: in which region is a client, what does the region get, which of it does this query get.
//!
//! Three functions, and nothing else in the program decides:
//!
//! 1. [`region_of`] says which of a service's regions a place is in. It runs when a location map is built,
//!    never for a query.
//! 2. [`plan`] says what one region of one service gets, from policy, health and orders. It runs when a
//!    table is compiled. "Who wins when facts disagree" is written here, once: [`Standing`] answers *may
//!    it answer at all*, `plan` answers *in which order*. What remains is a flat list of [`Variant`]s
//!    with weights and one [`Mode`].
//! 3. [`pick`] chooses a variant for one query, by a random number or by a hash of the client. It is all
//!    that the answer path runs.
//!
//! Each takes everything as arguments: no clock, no randomness, no I/O, no floating point. The same code
//! explains itself: reasons go to a [`Trail`], which is `()` while compiling for real and a list for
//! `explain` and tests.
//!
//! This room has never heard of bytes on a wire or of how a table is laid out.

mod pick;
mod plan;
mod planner;
mod pool;
mod region;
mod sample;
mod standing;
mod trail;

#[cfg(test)]
mod who_wins;

pub use pick::{Mode, Weighted, client_hash, hashed_len, member_key, pick};
pub use plan::{Asked, NoData, Plan, Shape, Source, Variant, plan};
pub use region::{Match, Rank, region_of};
pub use standing::{Bar, Floor, Standing};
pub use trail::{Reason, Trail};
