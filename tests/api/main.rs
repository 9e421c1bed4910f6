//! The HTTP API over real sockets, and the client commands against it.

mod access;
mod active_dc;
mod bounds;
mod calls;
mod commands;
mod door;
mod drain;
mod dry_run;
mod events;
mod history;
mod house;
mod metrics;
mod orders;
