//! Joining zones and services into the table.

use crate::diag::Diagnostic;

use super::find::Index;
use super::{OwnZones, ParsedZone, ServicePlace, Zones};

impl Zones {
    /// Joins `zones` and gives `services` their places. Serve the result only when no diagnostic is an error.
    pub fn build(
        _zones: Vec<ParsedZone>,
        _services: &[ServicePlace<'_>],
        _own: &OwnZones<'_>,
    ) -> (Zones, Vec<Diagnostic>) {
        let zones = Zones {
            names: Box::default(),
            nodes: Box::default(),
            sets: Box::default(),
            records: Box::default(),
            zones: Box::default(),
            enclosing: Box::default(),
            index: Index::build(&[], &[], |_| true),
        };
        (zones, Vec::new())
    }
}
