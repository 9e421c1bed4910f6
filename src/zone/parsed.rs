//! One zone as it was read.

use crate::model::Name;

/// One zone as it was read: its names in canonical order with their RRsets in stored form, and where each
/// record was written.
#[derive(Debug)]
pub struct ParsedZone {
    pub(super) apex: Name,
}

impl ParsedZone {
    /// The owner of its SOA; without one, the default origin.
    pub fn apex(&self) -> &Name {
        &self.apex
    }
}
