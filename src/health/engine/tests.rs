//! The promises of the engine, on virtual time.

mod blindness;
mod noticing;
mod running;
