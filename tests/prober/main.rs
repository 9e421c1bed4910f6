//! The prober with real sockets, against servers of its own on loopback that behave, and that do not.
//!
//! Nothing here asserts how long anything took: what is waited for has a deadline that no busy machine reaches.

mod blindness;
mod hostile;
mod servers;
mod states;
mod storms;
mod watching;
