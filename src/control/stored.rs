//! The store as control's memory: a [`Keeper`] that writes, and what a start finds.
//!
//! Nothing that control does may wait, so a snapshot or a note is left in a letter box, and a thread of its own takes
//! it to the store. Of snapshots only the newest counts. What has not changed since the one before is not written
//! again, and health at most every [`limits::STORE_KEEP_EVERY_MS`]: the store sees to that.
//!
//! [`Memory::open`] always gives something to go on with. A directory that cannot be opened costs latches, last known
//! health and orders, never answers: DNS is served and health moves it, [`Memory::alarm`] says what is amiss, and
//! every order is refused with the reason.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entries::KeptEntry;
use super::journal::Journal;
use super::keep::{Forgetful, Keeper, KeptAddress, Noted, Restored, Snapshot};
use super::moves::KeptLatch;
use super::orders::{self, KeptYield};
use crate::limits;
use crate::model::{Generation, Revision};
use crate::store::{self, Disk, Finding, Lines, LinesWriter, Note, Page, Severity, Store};

/// A state directory, open as far as it lets itself be.
#[derive(Debug)]
pub struct Memory {
    /// For orders, and to say how it fares.
    pub store: Arc<Store>,
    /// What was kept, for [`Seams`](super::Seams).
    pub restored: Restored,
    /// What was found, and done about it: to be told at the start.
    pub found: Vec<Finding>,
}

impl Memory {
    /// Opens a directory, for at most `patience`; never fails.
    pub fn open(dir: &Path, disk: &Arc<dyn Disk>, patience: Duration) -> Memory {
        let (store, mut orders, mut found) = match Store::open_within(dir, Arc::clone(disk), patience) {
            Ok(opened) => opened,
            Err(error) => {
                let what = format!("{}: {error}", dir.display());
                let did = "read what is there; nothing is kept, and orders are refused until a restart".to_owned();
                let mut found = vec![Finding { severity: Severity::Error, what, did }];
                let (orders, more) = store::read(dir, &**disk);
                found.extend(more);
                (Store::refusing(error.refusal()), orders, found)
            }
        };
        let restored = restored(&mut orders, &mut found);
        Memory { store: Arc::new(store), restored, found }
    }

    /// For [`Seams`](super::Seams): one that keeps nothing when there is no thread to be had.
    pub fn keeper(&self) -> Box<dyn Keeper> {
        match Stored::new(Arc::clone(&self.store)) {
            Ok(stored) => Box::new(stored),
            Err(error) => {
                tracing::error!("nothing is kept for the next start, no thread can be started for it: {error}");
                Box::new(Forgetful)
            }
        }
    }

    /// For [`Seams`](super::Seams): where orders are stored before they take effect.
    pub fn journal(&self) -> Box<dyn Journal> {
        Box::new(Arc::clone(&self.store))
    }

    /// What a person should do something about: orders are refused now.
    pub fn alarm(&self) -> Option<String> {
        let refusal = self.store.status().refusal?;
        Some(format!("nothing can be stored, so orders are refused and a restart forgets: {refusal}"))
    }
}

/// A line of [`Page::Latches`].
#[derive(Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "lowercase")]
enum Line<Latch, Entry, Yield> {
    Latch(Latch),
    Entered(Entry),
    Yielded(Yield),
    /// Of a kind of its own: whoever does not know it must not take it for the other.
    Dips(Yield),
    /// After the order of this revision.
    After {
        revision: u64,
    },
}

fn restored(from: &mut store::Restored, found: &mut Vec<Finding>) -> Restored {
    // Published generations begin after this one.
    let generation = Generation(from.generations.start.saturating_sub(1));
    let (book, unread) = orders::restore(from);
    found.extend(unread.into_iter().map(|what| Finding {
        severity: Severity::Error,
        what: format!("a standing order can not be read: {what}"),
        did: "it is not in force".to_owned(),
    }));
    let mut restored = Restored { generation, book, revisions_to: from.revisions_to, ..Restored::default() };
    let mut strange = 0;
    for line in std::mem::take(&mut from.latches) {
        match serde_json::from_value::<Line<KeptLatch, KeptEntry, KeptYield>>(line) {
            Ok(Line::Latch(latch)) => restored.latches.push(latch),
            Ok(Line::Entered(entry)) => restored.entered.push(entry),
            Ok(Line::Yielded(kept) | Line::Dips(kept)) => restored.yields.push(kept),
            Ok(Line::After { revision }) => restored.kept_to = Revision(revision),
            Err(_) => strange += 1,
        }
    }
    for line in std::mem::take(&mut from.health) {
        match serde_json::from_value::<KeptAddress>(line) {
            Ok(address) => restored.health.push(address),
            Err(_) => strange += 1,
        }
    }
    if strange > 0 {
        found.push(Finding {
            severity: Severity::Warning,
            what: format!("{strange} entries of latches and health are of a kind that this version does not know"),
            did: "passed over them".to_owned(),
        });
    }
    restored
}

#[derive(Debug)]
struct LatchLines {
    revision: Revision,
    latches: Arc<[KeptLatch]>,
    entered: Arc<[KeptEntry]>,
    yields: Arc<[KeptYield]>,
}

type LineRef<'a> = Line<&'a KeptLatch, &'a KeptEntry, &'a KeptYield>;

impl Lines for LatchLines {
    fn write_to(&self, out: &mut LinesWriter) {
        out.line(&LineRef::After { revision: self.revision.0 });
        self.latches.iter().for_each(|latch| out.line(&LineRef::Latch(latch)));
        self.entered.iter().for_each(|entry| out.line(&LineRef::Entered(entry)));
        self.yields.iter().for_each(|kept| match kept.dips_since {
            None => out.line(&LineRef::Yielded(kept)),
            Some(_) => out.line(&LineRef::Dips(kept)),
        });
    }
}

#[derive(Debug)]
struct HealthLines(Vec<Arc<[KeptAddress]>>);

impl Lines for HealthLines {
    fn write_to(&self, out: &mut LinesWriter) {
        self.0.iter().flat_map(|block| block.iter()).for_each(|address| out.line(address));
    }
}

/// Takes what control hands over to the store. Dropping it waits until all of it is there, which no disk delays.
#[derive(Debug)]
pub struct Stored {
    post: Arc<Post>,
    carrier: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Post {
    letters: Mutex<Letters>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Letters {
    snapshot: Option<Snapshot>,
    notes: VecDeque<Noted>,
    notes_lost: u64,
    is_closing: bool,
}

impl Letters {
    fn is_empty(&self) -> bool {
        self.snapshot.is_none() && self.notes.is_empty()
    }
}

impl Stored {
    /// Fails when no thread can be started.
    pub fn new(store: Arc<Store>) -> io::Result<Stored> {
        let post = Arc::new(Post { letters: Mutex::default(), arrived: Condvar::new() });
        let carried = Arc::clone(&post);
        let carrier = thread::Builder::new().name("keeper".into()).spawn(move || carry(&carried, &store))?;
        Ok(Stored { post, carrier: Some(carrier) })
    }

    fn drop_in(&self, letter: impl FnOnce(&mut Letters)) {
        letter(&mut self.post.letters());
        self.post.arrived.notify_one();
    }
}

impl Keeper for Stored {
    fn keep(&self, snapshot: &Snapshot) {
        self.drop_in(|letters| letters.snapshot = Some(snapshot.clone()));
    }

    fn note(&self, noted: Noted) {
        self.drop_in(|letters| {
            if letters.notes.len() < limits::STORE_NOTES_WAITING_MAX {
                letters.notes.push_back(noted);
            } else {
                letters.notes_lost += 1;
            }
        });
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.drop_in(|letters| letters.is_closing = true);
        if let Some(carrier) = self.carrier.take() {
            // A panic there has been told; there is nothing left to wait for.
            drop(carrier.join());
        }
    }
}

impl Post {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was handed to the store last.
#[derive(Default)]
struct Handed {
    revision: Revision,
    latches: Option<Arc<[KeptLatch]>>,
    entered: Option<Arc<[KeptEntry]>>,
    yields: Option<Arc<[KeptYield]>>,
    addresses: Option<Vec<Arc<[KeptAddress]>>>,
}

fn carry(post: &Post, store: &Store) {
    let mut handed = Handed::default();
    loop {
        let letters = post.letters();
        let waits = |letters: &mut Letters| letters.is_empty() && !letters.is_closing;
        let mut letters = post.arrived.wait_while(letters, waits).unwrap_or_else(PoisonError::into_inner);
        if letters.is_empty() {
            return;
        }
        let snapshot = letters.snapshot.take();
        let notes = std::mem::take(&mut letters.notes);
        let notes_lost = std::mem::take(&mut letters.notes_lost);
        drop(letters);
        handed.revision = snapshot.as_ref().map_or(handed.revision, |snapshot| snapshot.revision);
        let generation = notes.back().map_or(Generation::default(), |noted| noted.generation);
        for noted in notes {
            store.note(note(noted, handed.revision));
        }
        if notes_lost > 0 {
            let text = format!("{notes_lost} entries of this log came too fast to be kept");
            store.note(note(Noted { kind: "lost", generation, text }, handed.revision));
        }
        if let Some(snapshot) = snapshot {
            handed.hand(snapshot, store);
        }
    }
}

fn note(Noted { kind, generation, text }: Noted, revision: Revision) -> Note {
    Note { kind: kind.to_owned(), revision, generation, actor: "meridian".to_owned(), reason: text, body: Value::Null }
}

impl Handed {
    fn hand(&mut self, snapshot: Snapshot, store: &Store) {
        store.used(snapshot.generation);
        let Snapshot { revision, latches, entered, yields, addresses, .. } = snapshot;
        let is_same = self.latches.as_ref() == Some(&latches)
            && self.entered.as_ref() == Some(&entered)
            && self.yields.as_ref() == Some(&yields);
        if !is_same {
            let (latches, entered, yields) = (Arc::clone(&latches), Arc::clone(&entered), Arc::clone(&yields));
            store.keep(Page::Latches, Arc::new(LatchLines { revision, latches, entered, yields }));
        }
        (self.latches, self.entered, self.yields) = (Some(latches), Some(entered), Some(yields));
        let is_kept = |before: &Vec<Arc<[KeptAddress]>>| {
            before.len() == addresses.len() && before.iter().zip(&addresses).all(|(was, is)| Arc::ptr_eq(was, is))
        };
        if !self.addresses.as_ref().is_some_and(is_kept) {
            store.keep(Page::Health, Arc::new(HealthLines(addresses.clone())));
            self.addresses = Some(addresses);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::store::{OpenError, OsDisk};

    fn latch(datacenter: &str) -> KeptLatch {
        KeptLatch {
            service: "api.example.com.".into(),
            region: Some("north".into()),
            datacenter: datacenter.into(),
            endpoints: vec!["a".into()],
            since: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_263_600_123),
            why: "it was down".into(),
            is_passed_over: true,
        }
    }

    fn snapshot() -> Snapshot {
        let entry = KeptEntry { service: "api.example.com.".into(), region: None, endpoints: vec!["b".into()] };
        let address = |is_up| KeptAddress {
            service: "api.example.com.".into(),
            endpoint: "a".into(),
            address: Some([192, 0, 2, 1].into()),
            is_up,
        };
        let kept_yield = |dips_since| KeptYield {
            revision: 3,
            service: "api.example.com.".into(),
            endpoint: "a".into(),
            dips_since,
        };
        Snapshot {
            generation: Generation(7),
            revision: Revision(0),
            latches: [latch("dc1"), latch("dc2")].into(),
            entered: [entry].into(),
            yields: [kept_yield(None), kept_yield(Some(latch("dc1").since))].into(),
            addresses: vec![[address(true)].into(), [address(false)].into()],
        }
    }

    fn open(dir: &Path) -> Memory {
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        Memory::open(dir, &disk, Duration::from_secs(60))
    }

    #[test]
    fn what_control_keeps_is_there_after_a_restart_and_what_it_notes_is_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let kept = snapshot();
        let memory = open(dir.path());
        assert_eq!((memory.found.len(), memory.alarm()), (0, None));
        let keeper = memory.keeper();
        keeper.note(Noted { kind: "latched", generation: Generation(7), text: "dc1 is left".into() });
        keeper.keep(&Snapshot { latches: Arc::default(), ..kept.clone() });
        keeper.keep(&kept);
        drop(keeper);
        assert!(memory.store.close());

        let again = open(dir.path());
        assert_eq!(again.found, []);
        assert_eq!(again.restored.latches, *kept.latches);
        assert_eq!(again.restored.entered, *kept.entered);
        assert_eq!(again.restored.yields, *kept.yields);
        assert_eq!(again.restored.health, kept.addresses.concat());
        assert!(again.restored.generation > kept.generation, "no generation comes again");
        let log = store::history(&OsDisk, dir.path(), None, 100, None).unwrap();
        let noted: Vec<_> = log.entries.iter().filter(|entry| entry.kind == "latched").collect();
        assert_eq!((noted.len(), noted[0].reason.as_str()), (1, "dc1 is left"));
    }

    #[test]
    fn a_directory_that_another_process_has_is_read_and_alarmed_and_nothing_of_it_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path());
        let keeper = first.keeper();
        keeper.keep(&snapshot());
        drop(keeper);
        // Written behind our back; its end is the only sign of that.
        assert!(first.store.close());
        let (locking, ..) = Store::open(dir.path(), Arc::new(OsDisk)).unwrap();
        assert!(matches!(Store::open(dir.path(), Arc::new(OsDisk)), Err(OpenError::Locked { .. })));
        let second = open(dir.path());
        assert_eq!(second.found[0].severity, Severity::Error);
        assert_eq!(second.restored.latches.len(), 2, "what is there is known");
        assert!(second.alarm().is_some_and(|alarm| alarm.contains("another process")));
        let keeper = second.keeper();
        keeper.keep(&Snapshot::default());
        drop(keeper);
        drop(second);
        drop(locking);
        assert_eq!(open(dir.path()).restored.latches.len(), 2);
    }
}
