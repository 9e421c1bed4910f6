//! The durable store, on the machine's own disk: by itself, and under the built server.
//!
//! - `files`, `faults`, `crash`: the store alone.
//! - `kills`: the server under a storm of orders, killed again and again.
//! - `through`: disks that are full, read-only, frozen or corrupted, under a server that goes on answering.

#[path = "../common/http.rs"]
mod http;
#[path = "../common/node.rs"]
mod node;

mod crash;
mod faults;
mod files;
mod kills;
mod support;
mod through;
