//! The audit log of a state directory, for the API.

use std::path::PathBuf;
use std::time::SystemTime;

use super::history;
use crate::api::{AuditLog, AuditPage};
use crate::store::{self, OsDisk};

/// The log in a state directory. It is read beside whoever writes it.
#[derive(Clone, Debug)]
pub struct Log {
    dir: PathBuf,
}

impl Log {
    /// Of that directory.
    pub fn of(dir: impl Into<PathBuf>) -> Log {
        Log { dir: dir.into() }
    }
}

impl AuditLog for Log {
    fn page(&self, since: Option<SystemTime>, limit: usize, cursor: Option<u64>) -> Result<AuditPage, String> {
        let page = store::history(&OsDisk, &self.dir, since, limit, cursor).map_err(|error| error.to_string())?;
        let last = page.entries.last().map(|entry| entry.seq);
        let entries = page.entries.iter().map(|entry| serde_json::to_value(entry).unwrap_or_default()).collect();
        Ok(AuditPage { entries, next: page.next, last: last.max(page.next) })
    }

    fn verify(&self) -> Result<serde_json::Value, String> {
        store::verify(&OsDisk, &self.dir).map(|report| history::as_json(&report)).map_err(|error| error.to_string())
    }
}
