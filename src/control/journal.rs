//! Where orders are stored before they take effect: a seam for whoever stores them.

use std::sync::Arc;
use std::time::Duration;

use crate::store::{Answered, Note, Order, Refusal, Store};

/// How the fate of an order is told: once, on any thread, perhaps at once.
pub type Fate = Box<dyn FnOnce(Result<u64, Refusal>) + Send>;

/// Takes orders. Nothing here blocks.
pub trait Journal: Send {
    /// Stores an order. Its fate is told soon after `within` at the latest: durable, or never in force.
    fn submit(&self, order: Order, within: Duration, fate: Fate);

    /// An entry of the audit log; it may be lost.
    fn note(&self, note: Note);

    /// What was answered to the request with this key.
    fn answered(&self, key: &str) -> Option<Answered>;

    /// Why orders are refused now; `None`: they are not.
    fn refusal(&self) -> Option<Refusal>;
}

impl std::fmt::Debug for dyn Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

impl Journal for Arc<Store> {
    fn submit(&self, order: Order, within: Duration, fate: Fate) {
        Store::submit(self, order, within, fate);
    }

    fn note(&self, note: Note) {
        // What is lost is counted there.
        Store::note(self, note);
    }

    fn answered(&self, key: &str) -> Option<Answered> {
        Store::answered(self, key)
    }

    fn refusal(&self) -> Option<Refusal> {
        self.status().refusal
    }
}
