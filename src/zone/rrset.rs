pub use crate::wire::RrsetRef;
