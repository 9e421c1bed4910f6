//! One file a command.

pub mod geo;
