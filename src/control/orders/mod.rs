//! Orders: what operators and their automation may say, and what comes of it. The pure half of the switch API.
//!
//! Nothing here does I/O, looks at a clock, or keeps state of its own: books, tables, times and revisions go in, and
//! come out changed. What is durable is by name, so that a reload moves no order to something else.
//!
//! - `order`: what can be said ([`Order`]), the same resolved ([`Deed`]), what stands because of it ([`Standing`]);
//!   `whom`: for whom ([`Whom`]).
//! - `names`: from names to ids; `left`: what a switch leaves; what a reload would make nameless ([`misnamed()`]).
//! - `book`: all that stands ([`Book`]), and `entries`: as the store has it. `turn` makes the next one: `switches`;
//!   `units`, for what is of data centres and endpoints; `past`, for undo and expiry, which are orders like any other.
//! - `facts`: what the book means for the planner.
//! - `holds`: a preference holds through a dip, and yields when its target has been down for long ([`Holds`]).
//! - `rules`: what may refuse an order, each a pure function of before, after and the order; `scene`: what they look at.
//! - `impact`: what changes for clients, in a dry run as for the deed.
//! - `clock`: whether expiries may believe the wall clock ([`Clocks`]).
//! - `flow`: the way of an order, step by step; `told`: what is told of it.
//! - `frozen`: what is held while nothing moves by itself ([`Frozen`]).
//!
//! # Invariants
//! - A dry run is the deed without the journal: the same functions, on the same values.
//! - An order is all or nothing, and one revision.
//! - A repetition changes nothing, and is asked nothing.
//! - What is ordered out is in no target that answers, and no expiry, undo or switch lets clients back by accident to
//!   what a switch had left.

mod book;
mod clock;
mod entries;
mod facts;
mod flow;
mod frozen;
mod holds;
mod impact;
mod left;
mod misnamed;
mod names;
mod order;
mod past;
mod refused;
mod rules;
mod scene;
mod switches;
mod time;
mod told;
mod turn;
mod units;
mod whom;

#[cfg(test)]
mod tests;

pub use book::{Applied, Book, Entry, Release, Stamp};
pub use clock::{Clock, Clocks};
pub use flow::{
    Assessment, Draft, Followed, Ground, Moved, Settling, TierKey, Unsettled, assess, draft, expiry, judge_again,
    overdue, restore, touched, validate,
};
pub use frozen::Frozen;
pub use holds::{Holds, KeptYield};
pub use impact::{Change, Impact, QueryShare, Sample, Samples, impact};
pub use left::{active, policys_choice_elsewhere};
pub use misnamed::misnamed;
pub use names::{Resolved, resolve};
pub use order::{
    Deed, ELSEWHERE, Forcing, Left, Order, Request, Sender, Standing, Subject, SwitchMode, Unit, What, Whom,
};
pub use refused::OrderRefused;
pub use rules::{Case, Judgement, Refusal, Rule, Verdict, judge, not_durable};
pub use told::{Answer, Undone, answer, journal, note_refusal};
