//! The record types that zones treat specially, and the names of all that presentation format knows.

pub(super) const A: u16 = 1;
pub(super) const AAAA: u16 = 28;
