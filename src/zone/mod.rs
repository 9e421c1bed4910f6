//! Master files and the names in them.
//!
//! This room turns RFC 1035 master files and the names of services into [`Zones`]: an immutable table that
//! says, for any name, what the server knows of it. Two steps:
//!
//! 1. [`parse`] reads one file (and what it includes) into a [`ParsedZone`] and reports everything that is
//!    wrong in it, with file, line and column. An entry that can not be read does not stop the rest from being
//!    read, so that one look shows all mistakes.
//! 2. [`Zones::build`] joins the zones, gives the services their places, checks what can only be seen with
//!    everything at hand (targets, glue, services against static data), and lays out the table.
//!
//! Either step's result may be served only when none of its diagnostics is an error.
//!
//! # Design
//! - Presentation format is split into entries and tokens here, because positions must be exact; record data of
//!   the common types is read here, because a million names must load in seconds, and the rarer types go
//!   through hickory-proto's parser, one entry at a time.
//! - RRsets are stored as they will be sent: whole records, names uncompressed, with the case as written.
//! - The table is arrays and positions ([`Zones`] draws it); looking up neither allocates nor locks.
//!
//! # Invariants
//! - Every zone has one SOA and at least one NS at its apex.
//! - Every ancestor of a name, up to its zone's apex, exists as a node.
//! - A node with a service has no static address, CNAME, or (for services that answer type 65) HTTPS record.
//! - The same files and services give the same table, in whatever order they come.
//!
//! # What it does not do
//! It does not open files (a closure does, so tests need none), does not sign, does not know what a service
//! answers, and does not write messages.

mod ahead;
mod build;
mod check;
mod find;
mod findings;
mod grammar;
mod lex;
mod lint;
mod name;
mod parse;
mod parsed;
mod place;
mod rdata;
mod service;
mod table;

pub use ahead::NameHash;
pub use find::Find;
pub use parse::{Source, parse};
pub use parsed::ParsedZone;
pub use service::{OwnZones, ServiceKind, ServicePlace};
pub use table::{Node, Zone, Zones};

#[cfg(test)]
mod tests;
