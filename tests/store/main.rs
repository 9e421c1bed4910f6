//! The durable store, on the machine's own disk.

mod crash;
mod faults;
mod files;
mod support;
