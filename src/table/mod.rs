//! The routing table: compiled from files and facts, immutable, published with one pointer.

mod publish;

use crate::model::Generation;

pub use publish::{Publisher, Reader, Subscription};

/// Everything that an answer needs, of one generation.
#[derive(Debug)]
pub struct RoutingTable {
    generation: Generation,
}

impl RoutingTable {
    /// A table that serves nothing: every question is refused.
    pub fn empty() -> RoutingTable {
        RoutingTable { generation: Generation(0) }
    }

    /// Its number.
    pub fn generation(&self) -> Generation {
        self.generation
    }
}
