//! The only unsafe code: batched datagrams and socket options.
//!
//! A DNS server lives from small datagrams, and the cost of one is mostly the system call that moves it.
//! So datagrams are moved by the batch, with `recvmmsg` and `sendmmsg`, which no safe crate offers in the
//! form that a server needs: with buffers made once, and with the address that each query was sent to.
//!
//! # Structure
//!
//! - [`UdpSocket`]: one bound socket with the options of a DNS server.
//! - [`Batch`]: the buffers of up to [`crate::limits::BATCH_LEN`] queries and their replies.
//! - [`bind_stream`]: a listening TCP socket with the same rules about addresses.
//! - `name` and `control`: socket addresses and control messages as bytes. No unsafe code, though they
//!   read what the kernel wrote: every length is checked as if a stranger had sent it.
//! - [`pin_to_cpu`], [`allowed_cpus`], [`raise_open_files`], [`return_freed_memory`],
//!   [`give_memory_back`], [`prefer_large_pages`], [`prefetch`], [`ticks`], [`give_way`].
//!
//! # Invariants of the unsafe blocks
//!
//! - **FRESH**: every pointer that the kernel gets was made in the same function, from an exclusive (or,
//!   where the kernel only reads, a shared) borrow that lasts until after the call. No pointer is kept
//!   between two calls, so nothing here refers to itself, and moving a [`Batch`] is harmless.
//! - **EXACT**: the length handed over beside a pointer is that of the very array that it points to, set
//!   anew before every call: the kernel overwrites lengths with what it used.
//! - **ZERO**: the C structures here consist of integers and pointers; all zero is a value of each.
//!
//! What it deliberately does not do: look into datagrams, decide what to answer, log.

#![allow(unsafe_code, reason = "the room for it; the invariants are named above")]

mod affinity;
mod batch;
mod clock;
mod control;
mod files;
mod memory;
mod name;
mod priority;
mod socket;

pub use affinity::{allowed_cpus, pin_to_cpu};
pub use batch::{Batch, Query, ReplySlot, Sent, Wait};
pub use clock::ticks;
pub use control::Local;
pub use files::raise_open_files;
pub use memory::{give_memory_back, prefer_large_pages, prefetch, return_freed_memory};
pub use priority::give_way;
pub use socket::{UdpSocket, bind_stream, is_on_this_host};
