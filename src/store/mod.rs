//! The durable store, and the audit log that is its journal.
//!
//! What must outlive the process is here: orders with their revisions and idempotency keys, the generations
//! that have been used, latches, and the last known health. It knows names, not indices, and does not look
//! into what an order says.
//!
//! # Design
//! - **One file is both.** A line of the journal is an entry of the audit log: JSON, hash-chained, greppable
//!   (`record`). An order is in force when its line is durable, and by nothing else; so the log cannot say other
//!   than what happened.
//! - **A file stands for itself.** Each begins with the standing orders and answered requests (`state`), so a
//!   start reads the newest alone, and a file that cannot be trusted is left behind by beginning the next.
//!   There is no second database whose agreement with the log would have to be proved: an embedded one (redb, say)
//!   would make two writes of each order, and its own file could not be read with `grep` at 3 a.m.
//! - **The space is there beforehand** (`segment`): a file is filled when it is begun, and a spare stands ready.
//! - **Nobody waits for the disk** but the hands (`hands`), each a thread. The desk (`desk`), which decides, is
//!   pure and never blocks; a clock thread looks at deadlines whatever the hands are doing.
//! - Latches and health are small files beside it (`kept`), replaced whole, the newest state alone.
//!
//! # Invariants
//! - A reply of success comes after the order is durable; a refused order is not in force, now or after a
//!   restart. (One case is beyond any single disk: it hangs, the order is refused for that, and *then the power
//!   fails* with the order on the platter and what takes it back not. A killed process has no such case, unless the
//!   disk hung so thoroughly that what takes the order back could not even be handed to the system, for as long as
//!   [`limits::STORE_VOID_GRACE_MS`] and until the kill. Its idempotency key tells which it was.)
//!   Where even that can not be handed over in time, the refusal says so ([`Refusal::Unsure`]).
//! - After a failed write or sync nothing more is written to that file but what takes orders back.
//! - Neither revisions nor generations are given out twice while the directory can be read and written.
//! - What is found wrong at a start is told ([`Finding`]), kept, and never overwritten in place, except a torn
//!   last record, of which a copy is kept.
//!
//! What it deliberately does not do: decide whether an order is right, render, serve, know a runtime.

mod desk;
mod disk;
mod hands;
mod history;
mod kept;
mod open;
mod record;
mod recover;
mod segment;
mod state;
#[cfg(test)]
mod tests;
pub mod time;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

pub use disk::{Disk, DiskFile, Lock, Mode, OsDisk};
pub use history::{Break, Entry, History, HistoryError, VerifyReport, history, verify};
pub use kept::{Lines, LinesWriter, Page};
pub use open::{OpenError, read};
pub use record::{Answered, Change, Digest, Idempotency, Link, Note, Order, SETTLED, Standing, WITHDRAWN};
pub use state::{carried_len, len_of};

use serde_json::Value;

use crate::limits;
use crate::model::{Generation, Revision};
use desk::{Desk, Hand, Now};
use kept::Kept;

/// How large things are on disk; the default is that of [`limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Octets of a file of the journal.
    pub segment_len: u64,
    /// Octets that are left to orders when space runs out.
    pub reserve_len: u64,
    /// Files that are kept.
    pub segments_kept: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            segment_len: limits::JOURNAL_SEGMENT_LEN,
            reserve_len: limits::JOURNAL_ORDERS_RESERVED * limits::JOURNAL_ORDER_LEN,
            segments_kept: limits::JOURNAL_SEGMENTS_KEPT,
        }
    }
}

/// Why an order was not stored. It is not in force, and will not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No space.
    #[error("the disk is full")]
    Full,
    /// The directory or its file system may not be written to.
    #[error("the state directory can not be written to: {0}")]
    ReadOnly(String),
    /// The disk did not answer in time.
    #[error("the disk did not answer in time")]
    Timeout,
    /// The disk did not answer in time, and does not take the order back either.
    #[error(
        "the disk does not answer, not even to take the order back: it is not in force, and comes into force only if \
         Meridian is killed before the disk answers; its Idempotency-Key tells then"
    )]
    Unsure,
    /// The disk failed.
    #[error("the disk failed: {0}")]
    Broken(String),
    /// Another process has the directory.
    #[error("another process{} uses the state directory", pid.map(|pid| format!(" ({pid})")).unwrap_or_default())]
    Locked {
        /// Its id, when it could be read.
        pid: Option<u32>,
    },
    /// A newer version wrote the directory.
    #[error("the state is of format {0}, and this version knows up to {known}", known = record::FORMAT)]
    Newer(u32),
    /// Too many orders wait already.
    #[error("too many orders are waiting to be stored")]
    Busy,
    /// It is longer than an order, or all standing orders together, may be.
    #[error("the order, or all standing orders with it, are larger than the store holds")]
    TooLarge,
    /// The store is closing, or was never opened.
    #[error("the store is closed")]
    Closed,
}

impl Refusal {
    fn of(error: &io::Error) -> Refusal {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Refusal::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Refusal::ReadOnly(error.to_string()),
            _ => Refusal::Broken(error.to_string()),
        }
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something to know.
    Note,
    /// Something was amiss, and nothing that counted is lost.
    Warning,
    /// Something may be lost, or writes are refused.
    Error,
}

/// What a start found, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was found, with file and place.
    pub what: String,
    /// What was done about it.
    pub did: String,
}

impl Finding {
    fn new(severity: Severity, what: impl Into<String>, did: impl Into<String>) -> Finding {
        Finding { severity, what: what.into(), did: did.into() }
    }

    fn note(what: impl Into<String>, did: impl Into<String>) -> Finding {
        Finding::new(Severity::Note, what, did)
    }

    fn warning(what: impl Into<String>, did: impl Into<String>) -> Finding {
        Finding::new(Severity::Warning, what, did)
    }

    fn error(what: impl Into<String>, did: impl Into<String>) -> Finding {
        Finding::new(Severity::Error, what, did)
    }
}

/// What was there at a start.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// The entries of [`Page::Latches`].
    pub latches: Vec<Value>,
    /// The entries of [`Page::Health`].
    pub health: Vec<Value>,
    /// Standing orders by key.
    pub standing: BTreeMap<String, Standing>,
    /// The last order in force.
    pub revision: Revision,
    /// The highest revision ever written, of refused orders too: the next order takes one above it.
    pub revisions_to: Revision,
    /// Generations that this process may use: none of them was used before.
    pub generations: Range<u64>,
    /// Answered requests of the last day, the oldest first.
    pub answered: Vec<Answered>,
}

impl Default for Restored {
    fn default() -> Restored {
        Restored {
            latches: Vec::new(),
            health: Vec::new(),
            standing: BTreeMap::new(),
            revision: Revision(0),
            revisions_to: Revision(0),
            generations: 1..1 + limits::GENERATIONS_RESERVED,
            answered: Vec::new(),
        }
    }
}

/// How the store fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Why orders are refused now; `None`: they are not.
    pub refusal: Option<Refusal>,
    /// The last durable line.
    pub head: Link,
    /// The last order in force.
    pub revision: Revision,
    /// Generations below this one are reserved.
    pub generations_to: u64,
    /// Orders that were not answered yet.
    pub orders_waiting: usize,
    /// Entries of the audit log that are lost, since the start.
    pub notes_lost: u64,
    /// Failures to write the journal, since the start.
    pub journal_failures: u64,
    /// Failures to write latches or health, since the start.
    pub keep_failures: u64,
    /// How long the last write to the journal took.
    pub last_commit: Option<Duration>,
}

/// The store. Dropping it closes it.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    desk: Mutex<Desk>,
    /// Something at the desk has changed.
    changed: Condvar,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    bounds: Bounds,
    /// Held until the last hand is done.
    lock: Mutex<Option<Box<dyn Lock>>>,
}

fn now() -> Now {
    Now { instant: Instant::now(), wall: SystemTime::now() }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing at the desk calls out, so a panic there is a defect, and refusing forever would add to it.
        self.desk.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Does something at the desk, then tells who waits for replies or for work.
    fn with<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> T {
        let mut desk = self.desk();
        let out = work(&mut desk);
        let replies = desk.take_replies();
        drop(desk);
        self.changed.notify_all();
        for (reply, fate) in replies {
            reply(fate);
        }
        out
    }

    /// A hand at work until the store is closed.
    fn run(&self, hand: Hand) {
        loop {
            let mut desk = self.desk();
            let task = loop {
                let task = desk.next(hand, now());
                let replies = desk.take_replies();
                if !replies.is_empty() {
                    drop(desk);
                    replies.into_iter().for_each(|(reply, fate)| reply(fate));
                    desk = self.desk();
                }
                if let Some(task) = task {
                    break task;
                }
                if desk.is_finished() {
                    self.changed.notify_all();
                    return;
                }
                // The clock thread wakes everybody when it is time for something.
                desk = self.changed.wait(desk).unwrap_or_else(std::sync::PoisonError::into_inner);
            };
            drop(desk);
            let done = hands::perform(task.job, &*self.disk, &self.dir, self.bounds);
            self.with(|desk| desk.done(task.kind, done, now()));
        }
    }

    /// Looks at deadlines, and never at a disk.
    fn watch(&self) {
        loop {
            let mut desk = self.desk();
            desk.tick(now());
            if desk.is_finished() {
                return;
            }
            let wake_at = desk.wake_at(Instant::now());
            let replies = desk.take_replies();
            if !replies.is_empty() {
                drop(desk);
                replies.into_iter().for_each(|(reply, fate)| reply(fate));
                continue;
            }
            match wake_at {
                Some(at) => {
                    let patience = at.saturating_duration_since(Instant::now());
                    let (guard, timeout) =
                        self.changed.wait_timeout(desk, patience).unwrap_or_else(std::sync::PoisonError::into_inner);
                    desk = guard;
                    if timeout.timed_out() {
                        desk.tick(now());
                        self.changed.notify_all();
                    }
                }
                None => desk = self.changed.wait(desk).unwrap_or_else(std::sync::PoisonError::into_inner),
            }
            drop(desk);
        }
    }
}

impl Store {
    /// Gives an order to the journal; returns at once. `reply` is called once, on a thread of the store (or on
    /// this one, when the order is refused outright): with the number of its line when it is durable, else with
    /// the reason, after which it will never be in force. It should come within `within`, and at the latest
    /// [`limits::STORE_VOID_GRACE_MS`] later. It must not block.
    pub fn submit(&self, order: Order, within: Duration, reply: impl FnOnce(Result<u64, Refusal>) + Send + 'static) {
        self.shared.with(|desk| desk.submit(order, within, Box::new(reply), now()));
    }

    /// An entry of the audit log; returns at once. False: it is lost, and counted.
    pub fn note(&self, note: Note) -> bool {
        self.shared.with(|desk| desk.note(note, now()))
    }

    /// A page as it is now, in place of what it was before; returns at once.
    pub fn keep(&self, page: Page, lines: Arc<dyn Lines>) {
        self.shared.with(|desk| desk.keep(Kept { page, lines }));
    }

    /// A generation was published. More are reserved long before those in reserve are used up.
    pub fn used(&self, generation: Generation) {
        self.shared.with(|desk| desk.used(generation.0));
    }

    /// What was answered to the request with this key, within the last day.
    pub fn answered(&self, key: &str) -> Option<Answered> {
        self.shared.desk().state().answered(key, SystemTime::now()).cloned()
    }

    /// How it fares.
    pub fn status(&self) -> Status {
        self.shared.desk().status(now())
    }

    /// Writes what waits and ends; false when the disk did not let it end in time. What waits is refused then.
    /// From then on it refuses everything.
    pub fn close(&self) -> bool {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if threads.is_empty() {
            return true;
        }
        self.shared.with(Desk::close);
        let deadline = Instant::now() + Duration::from_millis(limits::STORE_CLOSE_MS);
        let mut desk = self.shared.desk();
        while !desk.is_finished() && Instant::now() < deadline {
            let patience = deadline.saturating_duration_since(Instant::now());
            (desk, _) =
                self.shared.changed.wait_timeout(desk, patience).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        let in_time = desk.is_finished();
        drop(desk);
        if !in_time {
            self.shared.with(Desk::give_up);
        }
        if in_time {
            threads.into_iter().for_each(|thread| drop(thread.join()));
            // Nobody works in the directory any more: another process may.
            *self.shared.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        }
        in_time
    }

    fn start(shared: Arc<Shared>) -> io::Result<Store> {
        let mut threads = Vec::new();
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| thread::Builder::new().name(name.into()).spawn(work);
        for (name, hand) in [("journal", Hand::Commit), ("journal-void", Hand::Void), ("store-house", Hand::House)] {
            let shared = Arc::clone(&shared);
            threads.push(spawn(name, Box::new(move || shared.run(hand)))?);
        }
        let clock = Arc::clone(&shared);
        threads.push(spawn("store-clock", Box::new(move || clock.watch()))?);
        Ok(Store { shared, threads: Mutex::new(threads) })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}
