//! Control on virtual time: events and moments in, answers out. Nothing here has a thread or a clock, but `writer`.

mod conditions;
mod house;
mod invariants;
mod orders;
mod reference;
mod returns;
mod storms;
mod together;
mod world;
mod writer;
