//! What outlives the process: a seam for whoever stores it.
//!
//! Control hands over a [`Snapshot`] after every change that should survive, and goes on at once: health never waits
//! for a disk. What a [`Keeper`] has not written when the process dies is lost, and costs no more than starting with
//! older knowledge. Everything is by name; what no file names any more is passed over when it comes back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entries::KeptEntry;
use super::moves::KeptLatch;
use super::orders::{Book, KeptYield};
use crate::model::{Generation, Revision};

/// Takes what should survive.
pub trait Keeper: Send {
    /// Called by control, after publishing. Must not block: writing is for another thread, and only the newest
    /// snapshot matters.
    fn keep(&self, snapshot: &Snapshot);

    /// An entry for the audit log: something that health did by itself. Must not block, and may lose it.
    fn note(&self, noted: Noted) {
        drop(noted);
    }
}

/// Something that health did by itself, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// What it is: `health`, `latched`, `moved`, …
    pub kind: &'static str,
    /// The table that came of it, or that served.
    pub generation: Generation,
    /// What happened, for a person, with names.
    pub text: String,
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetful;

impl Keeper for Forgetful {
    fn keep(&self, _snapshot: &Snapshot) {}
}

/// The last known state of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeptAddress {
    /// The service's name.
    pub service: String,
    /// The endpoint's id.
    pub endpoint: String,
    /// The address; `None`: the endpoint is a name.
    pub address: Option<std::net::IpAddr>,
    /// True: up; false: down. What is not known is not kept.
    pub is_up: bool,
}

/// Everything that should survive, as it is now.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The table that serves.
    pub generation: Generation,
    /// The last order in force.
    pub revision: Revision,
    /// All latches.
    pub latches: Arc<[KeptLatch]>,
    /// All tiers with a condition that clients have entered.
    pub entered: Arc<[KeptEntry]>,
    /// Where preferences have yielded, or are about to.
    pub yields: Arc<[KeptYield]>,
    /// The last known state of every watched address, by blocks of services. A block that is the same pointer as in
    /// the snapshot before has not changed.
    pub addresses: Vec<Arc<[KeptAddress]>>,
}

/// What was kept, when the process begins.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Published generations begin after this one.
    pub generation: Generation,
    /// Standing orders, and the last order in force.
    pub book: Book,
    /// The highest revision that was ever given out.
    pub revisions_to: Revision,
    /// The last order in force when latches and yielded preferences were stored: what later ones ended is among them
    /// still.
    pub kept_to: Revision,
    /// Latches.
    pub latches: Vec<KeptLatch>,
    /// Entered tiers.
    pub entered: Vec<KeptEntry>,
    /// Where preferences have yielded, or are about to.
    pub yields: Vec<KeptYield>,
    /// Last known states.
    pub health: Vec<KeptAddress>,
}
