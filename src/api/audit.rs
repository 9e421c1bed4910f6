//! What the API shows of the audit log: a seam for whoever keeps it.

use std::time::SystemTime;

use serde_json::Value;

/// The audit log, as whoever keeps it reads it. Everything here blocks while the disk works; each call is bounded in
/// what it reads at once.
pub trait AuditLog: Send + Sync {
    /// Entries since a time and behind a cursor, the oldest first; `limit` at most. The error is for a person.
    fn page(&self, since: Option<SystemTime>, limit: usize, cursor: Option<u64>) -> Result<AuditPage, String>;

    /// Looks through all of it: `whole`, and what is wrong where. The error is for a person.
    fn verify(&self) -> Result<Value, String>;
}

/// A part of the audit log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditPage {
    /// The oldest first.
    pub entries: Vec<Value>,
    /// Where to go on; `None`: this is the end, for now.
    pub next: Option<u64>,
    /// The number of the last entry here; `None`: there is none.
    pub last: Option<u64>,
}
