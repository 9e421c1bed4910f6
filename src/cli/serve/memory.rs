//! What the process remembers of the ones before, and leaves to the next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::api::AuditLog;
use crate::cli::audit::Log;
use crate::control::{self, Forgetful, Journal, Keeper, Restored};
use crate::limits;
use crate::store::{Disk, Finding, OsDisk, Severity, Store};
use crate::telemetry::{Page, Registry, catalogue as the};

/// The state directory; or none.
pub(super) struct Memory(Option<(control::Memory, PathBuf)>);

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
        Memory(Some((memory, dir.to_owned())))
    }

    /// Takes what should survive.
    pub(super) fn keeper(&self) -> Box<dyn Keeper> {
        self.0.as_ref().map_or_else(|| Box::new(Forgetful) as Box<dyn Keeper>, |(memory, _)| memory.keeper())
    }

    /// Takes orders before they take effect; `None`: nothing is kept.
    pub(super) fn journal(&self) -> Option<Box<dyn Journal>> {
        self.0.as_ref().map(|(memory, _)| memory.journal())
    }

    /// What the API shows of it.
    pub(super) fn audit(&self) -> Option<Arc<dyn AuditLog>> {
        self.0.as_ref().map(|(_, dir)| Arc::new(Log::of(dir)) as Arc<dyn AuditLog>)
    }

    /// What is measured of it.
    pub(super) fn meter(&self, registry: &Registry) {
        if let Some((memory, _)) = &self.0 {
            // Who scrapes must not keep it open.
            let store = Arc::downgrade(&memory.store);
            registry.add(move |page: &mut Page| store.upgrade().iter().for_each(|store| write(page, store)));
        }
    }

    /// What has survived. A second time it is nothing.
    pub(super) fn restored(&mut self) -> Restored {
        self.0.as_mut().map(|(memory, _)| std::mem::take(&mut memory.restored)).unwrap_or_default()
    }

    /// Writes what waits, once the keeper is gone; false when the disk did not let it end in time.
    pub(super) fn close(self) -> bool {
        // Whoever still holds it ends it when he lets go.
        self.0.and_then(|(memory, _)| Arc::into_inner(memory.store)).is_none_or(|store| store.close())
    }
}

fn write(page: &mut Page, store: &Store) {
    let status = store.status();
    page.count(&the::STORE_ERRORS, &["journal"], status.journal_failures);
    page.count(&the::STORE_ERRORS, &["keep"], status.keep_failures);
    page.count(&the::STORE_ERRORS, &["note"], status.notes_lost);
    page.set(&the::STORE_REFUSING, &[], f64::from(u8::from(status.refusal.is_some())));
    page.count(&the::STORE_WAITING, &[], status.orders_waiting as u64);
    if let Some(took) = status.last_commit {
        page.set(&the::STORE_COMMIT, &[], took.as_secs_f64());
    }
}
