//! Orders: what operators and their automation may say, and what comes of it. The pure half of the switch API.
//!
//! Nothing here does I/O, looks at a clock, or keeps state of its own: books, tables, times and revisions go in, and
//! come out changed. What is durable is by name, so that a reload moves no order to something else.
//!
//! - `order`: what can be said ([`Order`]), the same resolved ([`Deed`]), what stands because of it ([`Standing`]).
//! - `names`: from names to ids; what a switch leaves; what a reload would make nameless ([`misnamed`]).
//! - `book`: all that stands ([`Book`]), and the next one. Undo and expiry are orders like any other.
//! - `facts`: what the book means for the planner.
//! - `holds`: a preference holds through a dip, and yields when its target has been down for long ([`Holds`]).
//! - `rules`: what may refuse an order, each a pure function of before, after and the order.
//! - `impact`: what changes for clients, in a dry run as for the deed.
//! - `clock`: whether expiries may believe the wall clock ([`Clocks`]).
//! - `flow`: the way of an order, step by step.
//!
//! # Invariants
//! - A dry run is the deed without the journal: the same functions, on the same values.
//! - An order is all or nothing, and one revision.
//! - A repetition changes nothing, and is asked nothing.
//! - What is ordered out is in no target that answers, and no expiry, undo or switch lets clients back by accident to
//!   what a switch had left.

mod book;
mod clock;
mod facts;
mod flow;
mod holds;
mod impact;
mod names;
mod order;
mod refused;
mod rules;
mod time;

#[cfg(test)]
mod tests;

pub use book::{Applied, Book, Entry, Release, Stamp};
pub use clock::{Clock, Clocks};
pub use flow::{
    Answer, Assessment, Draft, Frozen, Ground, answer, assess, draft, expiry, journal, judge_again, note_refusal,
    overdue, restore, touched, validate,
};
pub use holds::{Holds, KeptYield};
pub use impact::{Change, Impact, QueryShare, Sample, Samples, impact};
pub use names::{Resolved, active, misnamed, resolve};
pub use order::{
    Deed, ELSEWHERE, Forcing, Left, Order, Request, Sender, Standing, Subject, SwitchMode, Unit, What, Whom,
};
pub use refused::OrderRefused;
pub use rules::{Case, Judgement, Refusal, Rule, Verdict, judge, not_durable};
