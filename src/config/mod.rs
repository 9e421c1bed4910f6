//! Files to validated values.
