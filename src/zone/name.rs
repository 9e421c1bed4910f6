//! Names in wire form, as slices: what the table's arenas hold.

use crate::model::Name;

/// In presentation form, for messages. `wire` is well-formed wherever this is used; otherwise `?`.
pub(super) fn show(wire: &[u8]) -> String {
    Name::from_wire(wire).map_or_else(|_| "?".into(), |name| name.to_string())
}
