//! Master files and the names in them.
