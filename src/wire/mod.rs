//! DNS messages as bytes.
//!
//! The answer path reads one query and writes one reply, some hundred thousand times a second on each
//! core, so this room knows two things well and nothing else: how to look at a query without copying
//! more than its name, and how to put finished records into a reply. Everything a query can reach works
//! in fixed buffers on the stack: no `Vec`, no `String`, no `Box`.
//!
//! # The way through
//!
//! ```text
//! datagram ──Query::parse──▶ Query ─── qname(), qtype, edns … ──▶ (look-up, elsewhere)
//!                │                                                      │ RrsetRef
//!                └─Reject: Drop, or ErrorReply::write                   ▼
//!                                       Writer::new → reserve → rrset … → finish ──▶ reply
//! ```
//!
//! - [`Query`]: a well-formed question. What is malformed never becomes one; [`Reject`] says what to do
//!   with it, and [`query`](Query::parse) which peers decide likewise.
//! - [`RrsetRef`]: an RRset as it will stand in a message, so that most answers are one copy.
//!   [`RrsetBuf`] renders one when a table is compiled, and may allocate.
//! - [`Compact`]: a record of a zone's apex, compressed beforehand.
//! - [`Writer`]: sections in order, each RRset whole or not at all, names compressed, room for OPT set
//!   aside first.
//! - [`name`], [`rdata`], [`types`]: what is to know about uncompressed names, about where names lie in
//!   RDATA, and about the numbers of the protocol and what people call them.
//!
//! # Invariants
//!
//! - No input makes anything here panic, loop or allocate on the answer path.
//! - What [`Writer::finish`] leaves behind is a well-formed message not longer than the limit given to
//!   [`Writer::new`], and its counts are right, whatever did not fit on the way.
//! - The question is returned octet for octet as it came, letters' case included: resolvers hide a nonce
//!   in it.
//!
//! # What it does not do
//!
//! It has never heard of zones, policies or clients. It does not verify TSIG, parse presentation format
//! or read replies.

mod compact;
mod compress;
mod ecs;
mod edns;
pub mod name;
mod qname;
mod query;
pub mod rdata;
mod reject;
mod rrset;
pub mod types;
mod writer;

#[cfg(test)]
mod tests;

pub use compact::Compact;
pub use ecs::{Ecs, EcsFamily};
pub use edns::{Ede, Edns, OptReply};
pub use name::NameBuf;
pub use qname::QName;
pub use query::{Flags, Query};
pub use rdata::RdataError;
pub use reject::{ErrorReply, Reject};
pub use rrset::{Records, RrsetBuf, RrsetRef, push_record};
pub use writer::{Full, Owner, Section, Writer};

/// Octets in a message's header (RFC 1035 §4.1.1).
pub const HEADER_LEN: usize = 12;
