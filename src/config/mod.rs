//! Files to validated values.
//!
//! Two formats are read here, both YAML: policy files (`zones/*.yaml`) and the server's configuration
//! (`--config`). Reading goes in four steps, each with a type of its own:
//!
//! ```text
//! SourceFile ──yaml──▶ Node ──form──▶ …Spec ──policy──▶ model::PolicySet
//!   (octets)      (tree with places)  (the format)      (resolved, valid)
//! ```
//!
//! - [`SourceFile`]: a name and octets. Loading is a pure function of these; [`read_dir`] is the one
//!   edge that touches the disk.
//! - `yaml`: YAML 1.2 core as a tree in which every node knows its place. No implicit typing happens
//!   here: a plain `NO` is the text "NO" until a field asks for something else.
//! - `form`: what a field may hold. A table of fields gives the reader *and* the JSON Schema, so the two
//!   can not drift; types, names, documentation and defaults stand once.
//! - `policy`, `server`: references become indices, and everything that can be refused is refused.
//!
//! # What holds
//! - All that is wrong in a load is reported, in all files, not the first alone; each finding has a
//!   stable code, a place, and where possible the nearest name that exists.
//! - What is returned is valid even when something was refused: a service with an error is left out, and
//!   no index leads to nothing. Whoever finds an error among the diagnostics must not publish it.
//! - The result does not depend on the order or the names of the files.
//! - Nothing panics, and memory stays in proportion to the input, on any octets.

mod api;
mod check_spec;
mod dir;
mod form;
mod health;
mod net;
mod orders;
mod policy;
mod policy_test;
mod report;
mod request;
mod scalar;
mod schema;
mod server;
mod source;
mod spec;
mod words;
mod yaml;

#[cfg(test)]
mod format_tests;

pub use api::{Api, ApiTls};
pub use dir::{Listing, read_dir, read_file};
pub use policy::load_policies;
pub use policy_test::{Expect, PolicyTest};
pub use schema::{policy_schema, server_schema};
pub use server::{Dot, Listen, Server, Tcp, load_server};
pub use source::SourceFile;
