//! Where addresses are.

pub mod catalogue;
