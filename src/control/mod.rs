//! The single writer.
//!
//! Everything that changes what is served comes here as an event, one at a time: reloads, health, reports of other
//! observers, orders, the passing of time. Control owns the inputs, compiles the next table, and publishes it with
//! the next generation number. Nothing outside this room can publish.
//!
//! - [`orders`] is what may be ordered, what stands, and what an order changes: the pure half of the switch API.
//! - `lane` is where orders wait for the journal, one at a time; `ordering` takes them through, and
//!   `landing` into force; [`Journal`] is who
//!   stores them.
//! - [`load`] reads files into a base: all findings at once, and no base when one of them is an error. `reading` does
//!   so again on a thread of its own, and takes over what was read.
//! - [`crate::health::Targets`] says what is watched, [`Eyes`] watch it; [`crate::health::Verdicts`] says what is up; `moves` keeps latches; `entries`
//!   judges the conditions of tiers. All are pure.
//! - [`Tallied`] knows what was answered, by names and across reloads; `leaving` says by it when the last answer has
//!   expired that an order made old.
//! - [`Control`] is the writer: `settle` draws what follows from an event, `publish` tells it. It runs on a thread of its own, so compiling starves nobody; [`Handle`] talks to it.
//! - [`Seams`] are what it leans on.
//! - [`Status`] is what it tells everyone who looks, [`Feed`] what happened, for those who follow; a [`Keeper`] stores what should outlive the process: [`Stored`],
//!   of a [`Memory`].
//!
//! # Invariants
//! - Bad input never replaces good state: a reload with an error changes nothing and says why.
//! - A published generation is larger than every one before it, also across restarts.
//! - Health that waits is one event, however much it is, and a storm of it is a few generations (`pace`); an order is
//!   one generation of its own.
//! - Nothing here waits for a disk: orders are parked, and files are read elsewhere.

mod entries;
mod event;
mod eyes;
mod feed;
mod handle;
mod journal;
mod keep;
mod landing;
mod lane;
mod leaving;
mod load;
mod minutes;
mod moves;
mod ordering;
pub mod orders;
mod pace;
mod publish;
mod reading;
mod reports;
mod scene;
mod seams;
mod settle;
mod status;
mod stored;
mod story;
mod tallied;
mod writer;

#[cfg(test)]
mod tests;

pub use entries::KeptEntry;
pub use event::{ClockAccepted, Event, LatchName, NotOrdered, Ordered, Reloaded, Report, Reported, Submission};
pub use eyes::{Eyes, Watch};
pub use feed::{Feed, Happened, Heard, Told};
pub use handle::{Handle, Unanswered};
pub use journal::{Fate, Journal};
pub use keep::{Forgetful, Keeper, KeptAddress, Noted, Restored, Snapshot};
pub use load::{Load, Paths, load};
pub use moves::KeptLatch;
pub use reading::{Loaded, Loader};
pub use seams::{Seams, TimeSource};
pub use status::{
    AddressStatus, Blindness, LatchStatus, Moved, NotProbed, ReportStatus, Status, WaitingTier, Watching,
};
pub use stored::{Memory, Stored};
pub use tallied::{Answers, GivenOf, Tallied, There};
pub use writer::{Control, Flow};
