//! The routing table: compiled from files and facts, immutable, published with one pointer.
//!
//! Two steps, because files change seldom and facts change with every flap:
//!
//! 1. [`Base::build`] joins what comes from files: zones, policies, location maps. It is where everything is
//!    refused that can only be seen with all files at hand.
//! 2. [`RoutingTable::compile`] adds the facts: it asks [`crate::steer::plan`] what every region of every
//!    service gets, renders the answers, and numbers the result. It touches no map and no zone.
//!
//! ```text
//! name ──zones──▶ service ──map──▶ outcome ──cell──▶ plan ──pick──▶ variant ──▶ records
//!                          (address)  (region × nearest)    (random or hash)
//! ```
//!
//! Inside a block everything is an index; `Arc`s stand only between blocks: the base, and chunks of
//! [`crate::limits::CHUNK_SERVICES`] services. Looking things up allocates nothing and cannot fail.
//!
//! A reader gets the table through [`Reader`]; [`Publisher`] is the single writer's. What it answers it tallies in a
//! block of its own ([`Tallies`]), and a sample of what it is asked goes into a ring of its own ([`Recent`]).

mod ahead;
mod alike;
mod base;
mod chunk;
mod compile;
mod explain;
mod extent;
mod location;
mod planning;
mod publish;
mod region;
mod render;
mod samples;
mod tally;

pub use base::{Base, Files};
pub use chunk::{Choice, Located, ServiceView};
pub use compile::{Mark, RoutingTable};
pub use explain::{Explanation, explain, standings};
pub use location::{Location, LocationMap};
pub use publish::{Publisher, Reader, Subscription};
pub use region::{Served, elsewhere, regions};
pub use samples::Recent;
pub use tally::{Block, Given, Tallier, Tallies, Tally};
