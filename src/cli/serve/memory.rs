//! What the process remembers of the ones before, and leaves to the next.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::control::{self, Forgetful, Journal, Keeper, Restored};
use crate::limits;
use crate::store::{Disk, Finding, OsDisk, Severity};

/// The state directory; or none.
pub(super) struct Memory(Option<control::Memory>);

impl Memory {
    /// Nothing is remembered, and nothing is kept.
    pub(super) fn none() -> Memory {
        Memory(None)
    }

    /// Opens a directory and says what was found there. One that cannot be used costs what it would have remembered,
    /// never answers.
    pub(super) fn open(dir: &Path) -> Memory {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        let memory = control::Memory::open(dir, &disk, Duration::from_millis(limits::STORE_OPEN_MS));
        for Finding { severity, what, did } in &memory.found {
            match severity {
                Severity::Note => tracing::info!("state: {what}: {did}"),
                Severity::Warning => tracing::warn!("state: {what}: {did}"),
                Severity::Error => tracing::error!("state: {what}: {did}"),
            }
        }
        Memory(Some(memory))
    }

    /// Takes what should survive.
    pub(super) fn keeper(&self) -> Box<dyn Keeper> {
        self.0.as_ref().map_or_else(|| Box::new(Forgetful) as Box<dyn Keeper>, control::Memory::keeper)
    }

    /// Takes orders before they take effect; `None`: nothing is kept.
    pub(super) fn journal(&self) -> Option<Box<dyn Journal>> {
        self.0.as_ref().map(control::Memory::journal)
    }

    /// What has survived. A second time it is nothing.
    pub(super) fn restored(&mut self) -> Restored {
        self.0.as_mut().map(|memory| std::mem::take(&mut memory.restored)).unwrap_or_default()
    }

    /// Writes what waits, once the keeper is gone; false when the disk did not let it end in time.
    pub(super) fn close(self) -> bool {
        // Whoever still holds it ends it when he lets go.
        self.0.and_then(|memory| Arc::into_inner(memory.store)).is_none_or(|store| store.close())
    }
}
