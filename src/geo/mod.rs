//! Where addresses are.
