//! Where addresses are.
//!
//! From files to the two things that the rest of the program asks: what place a client is in, and, for one
//! rule set, which outcome an address has and how far around it that holds.
//!
//! ```text
//! .mmdb files ──▶ Database ─┐
//!   (walked once, records   ├─▶ Atlas ──project──▶ Map ──▶ (outcome, ECS scope)
//!    decoded once)          │   address → Place    address → leaf of the disjoint tree
//! operator networks ────────┘
//! ```
//!
//! - [`Database`]: one GeoIP file, read whole and checked whole; [`Schema`] says how its records are
//!   laid out.
//! - [`Atlas`]: all layers and the operators' networks, swept into disjoint segments of interned places.
//!   It is also the [`crate::model::Gazetteer`]: the names of places.
//! - [`Map`]: for one rule set the outcome of every address, with the scope that EDNS Client Subnet
//!   (RFC 7871) may carry. This alone is read when queries are answered.
//! - [`distance_km`], [`nearest`]: the great circle, in integers.
//! - [`catalogue`]: what places are called, whatever data is loaded.
//! - [`build`], [`import`]: making databases; nothing that serves uses them.
//!
//! Invariants: a map's leaf never covers an address with another outcome, and no shorter block around an
//! address has that property; an address that carries IPv4 is that IPv4 address everywhere; the same files
//! give the same maps. The room knows places and addresses, not regions: what a rule makes of a place is a
//! function that the caller passes in.

mod atlas;
pub mod build;
mod canonical;
pub mod catalogue;
mod database;
mod distance;
mod files;
mod gazetteer;
pub mod import;
mod map;
mod networks;
mod record;
mod segments;
mod value;
mod walk;

pub use atlas::{Atlas, Note};
pub use canonical::carried;
pub use database::{Database, DatabaseError, DatabaseFault};
pub use distance::{NO_SITE, distance_km, nearest, nearest_of_each};
pub use files::database_files;
pub use map::{Leaf, Map, MapError};
pub use record::Schema;
pub use walk::TreeError;
