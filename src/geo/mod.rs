//! Where addresses are.

pub mod build;
pub mod catalogue;
pub mod import;
