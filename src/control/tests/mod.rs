//! Control on virtual time: events and moments in, answers out. Nothing here has a thread or a clock, but `writer`.

mod conditions;
mod durable;
mod frozen;
mod house;
mod invariants;
mod matrix;
mod orders;
mod reading;
mod reference;
mod replay;
mod returns;
mod storms;
mod tallies;
mod together;
mod world;
mod writer;
