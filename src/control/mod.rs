//! The single writer.
//!
//! Everything that changes what is served comes here as an event, one at a time: reload now, health and
//! orders to come. Control owns the inputs, compiles the next table, and publishes it with the next
//! generation number. Nothing outside this room can publish.
//!
//! - [`load`] reads files into a base: all findings at once, and no base when one of them is an error.
//! - [`Control`] is the writer. It runs on a thread of its own, so compiling starves nobody.
//!
//! # Invariants
//! - Bad input never replaces good state: a reload with an error changes nothing and says why.
//! - A published generation is larger than every one before it.

mod load;
mod writer;

pub use load::{Load, Paths, load};
pub use writer::{Control, Event, Reloaded};
