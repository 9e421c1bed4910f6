//! Disks that are full, read-only, broken, or hang, under the store with its threads.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use meridian::model::Revision;
use meridian::store::{self, Disk, DiskFile, Lock, Mode, OsDisk, Page, Refusal, Store};

use crate::support::{SMALL, ask, errors, note, open, order};

/// What is wrong with a disk, from now on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Script {
    /// Every n-th sync takes this long.
    pub(crate) slow_sync: Option<(u64, Duration)>,
    /// Writes fail so.
    pub(crate) write: Option<io::ErrorKind>,
    /// Syncs fail so.
    pub(crate) sync: Option<io::ErrorKind>,
    /// Files are made, renamed and locked in vain.
    pub(crate) names: Option<io::ErrorKind>,
    /// Syncs do not come back.
    pub(crate) sync_hangs: bool,
    /// Nor does anything else.
    pub(crate) all_hangs: bool,
}

#[derive(Debug)]
struct Inner {
    script: Mutex<Script>,
    changed: Condvar,
    syncs: AtomicU64,
}

/// The machine's disk with a script.
#[derive(Clone, Debug)]
pub(crate) struct Faulty(Arc<Inner>);

impl Faulty {
    pub(crate) fn new(script: Script) -> Faulty {
        Faulty(Arc::new(Inner { script: Mutex::new(script), changed: Condvar::new(), syncs: AtomicU64::new(0) }))
    }

    fn set(&self, script: Script) {
        *self.0.script.lock().unwrap() = script;
        self.0.changed.notify_all();
    }

    fn pass(
        &self,
        fails: impl Fn(&Script) -> Option<io::ErrorKind>,
        hangs: impl Fn(&Script) -> bool,
    ) -> io::Result<()> {
        let script = self.0.script.lock().unwrap();
        let script = self.0.changed.wait_while(script, |script| script.all_hangs || hangs(script)).unwrap();
        fails(&script).map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn names(&self) -> io::Result<()> {
        self.pass(|script| script.names, |_| false)
    }
}

#[derive(Debug)]
struct FaultyFile(Faulty, Arc<dyn DiskFile>);

impl Disk for Faulty {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        OsDisk.make_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.pass(|_| None, |_| false)?;
        OsDisk.list(dir)
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        if mode == Mode::Write {
            self.names()?;
        }
        Ok(Arc::new(FaultyFile(self.clone(), OsDisk.open(path, mode)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.names()?;
        OsDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.names()?;
        OsDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.pass(|script| script.sync, |script| script.sync_hangs)?;
        OsDisk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.names()?;
        OsDisk.lock(path)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.pass(|script| script.write, |_| false)?;
        self.1.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.1.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.1.len()
    }

    fn sync(&self) -> io::Result<()> {
        self.0.pass(|script| script.sync, |script| script.sync_hangs)?;
        let slow = self.0.0.script.lock().unwrap().slow_sync;
        let count = self.0.0.syncs.fetch_add(1, Ordering::Relaxed);
        if let Some((every, long)) = slow
            && count.is_multiple_of(every)
        {
            thread::sleep(long);
        }
        self.1.sync()
    }
}

fn faulty(dir: &Path) -> (Faulty, Store) {
    let disk = Faulty::new(Script::default());
    let (store, _, found) = Store::open_with(dir, Arc::new(disk.clone()), SMALL).unwrap();
    assert_eq!(found, []);
    ask(&store, order(1)).unwrap();
    (disk, store)
}

/// Everything that no caller may wait for; the bound is far above what it takes, and far below a hanging disk.
fn at_once<T>(work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let out = work();
    assert!(began.elapsed() < Duration::from_secs(20), "somebody waited for the disk");
    out
}

#[test]
fn a_read_only_directory_is_read_and_says_so_and_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let (_, store) = faulty(dir.path());
    assert!(store.close());
    let kind = io::ErrorKind::ReadOnlyFilesystem;
    let disk = Faulty::new(Script { names: Some(kind), write: Some(kind), ..Script::default() });
    let (store, restored, found) = Store::open_with(dir.path(), Arc::new(disk), SMALL).unwrap();
    assert_eq!(restored.revision, Revision(1), "what is there is known");
    assert_eq!(errors(&found).len(), 1, "{found:?}");
    assert!(matches!(ask(&store, order(2)), Err(Refusal::ReadOnly(_))));
    store.keep(Page::Latches, Arc::new(vec!["dc1"]));
    assert!(!store.note(note("nobody reads this")));
    assert!(store.close());
}

#[test]
fn a_failed_sync_refuses_its_order_for_good_and_the_next_file_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, store) = faulty(dir.path());
    disk.set(Script { sync: Some(io::ErrorKind::Other), ..Script::default() });
    assert!(matches!(ask(&store, order(2)), Err(Refusal::Broken(_))));
    assert!(matches!(ask(&store, order(3)), Err(Refusal::Broken(_))), "refused outright, until it is tried again");
    assert!(store.status().refusal.is_some());
    disk.set(Script::default());
    // It tries again by itself. Meanwhile no order takes the place of the first or second one.
    let mut revision = 4;
    let deadline = Instant::now() + Duration::from_secs(60);
    while ask(&store, order(revision)).is_err() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(20));
        revision += 8;
    }
    assert!(store.close());
    let report = store::verify(&OsDisk, dir.path()).unwrap();
    assert!(report.is_whole() && report.abandoned > 0, "{report:?}");
    let (_store, restored, found) = open(dir.path());
    assert_eq!(found, []);
    assert_eq!(restored.revision, Revision(revision));
    let standing: Vec<u64> = restored.standing.values().map(|standing| standing.revision.0).collect();
    assert!(!standing.contains(&2) && standing.contains(&1), "{standing:?}");
}

#[test]
fn an_order_that_was_refused_because_the_disk_hung_is_never_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, store) = faulty(dir.path());
    disk.set(Script { sync_hangs: true, ..Script::default() });
    let refused = at_once(|| ask(&store, order(2)));
    assert_eq!(refused, Err(Refusal::Timeout));
    assert_eq!(at_once(|| ask(&store, order(3))), Err(Refusal::Timeout));
    // As a process would find it that is started while this one hangs and is killed.
    let (restored, _) = store::read(dir.path(), &OsDisk);
    assert_eq!(restored.revision, Revision(1));
    // The disk comes back, and the order is done: too late.
    disk.set(Script::default());
    let mut revision = 4;
    while ask(&store, order(revision)).is_err() {
        thread::sleep(Duration::from_millis(20));
        revision += 1;
    }
    assert!(store.close());
    let (_store, restored, _) = open(dir.path());
    assert_eq!(restored.revision, Revision(revision));
    assert!(!restored.standing.values().any(|standing| [2, 3].contains(&standing.revision.0)), "{restored:?}");
    assert!(store::verify(&OsDisk, dir.path()).unwrap().is_whole());
}

#[test]
fn nobody_waits_for_a_disk_on_which_nothing_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, store) = faulty(dir.path());
    disk.set(Script { all_hangs: true, ..Script::default() });
    at_once(|| {
        assert_eq!(ask(&store, order(2)), Err(Refusal::Unsure));
        for _ in 0..10_000 {
            store.note(note("many"));
        }
        store.keep(Page::Latches, Arc::new(vec!["dc1"]));
        store.keep(Page::Latches, Arc::new(vec!["dc1", "dc2"]));
        assert!(store.status().notes_lost > 0, "the queue is bounded");
        let again = Store::open_within(dir.path(), Arc::new(disk.clone()), Duration::from_millis(50));
        assert!(again.is_err() || ask(&again.unwrap().0, order(3)) == Err(Refusal::Timeout));
        assert!(!store.close(), "it says that it could not finish");
    });
    disk.set(Script::default());
}

#[test]
fn a_full_disk_takes_orders_and_refuses_them_clearly_when_its_files_are_full() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, store) = faulty(dir.path());
    // Nothing can be made any more; what is there can be written to.
    disk.set(Script { names: Some(io::ErrorKind::StorageFull), ..Script::default() });
    let mut taken = 0;
    let refusal = loop {
        match ask(&store, order(2 + taken)) {
            Ok(_) => taken += 1,
            Err(refusal) => break refusal,
        }
        assert!(taken < 10_000);
    };
    assert_eq!(refusal, Refusal::Full);
    assert!(taken > 20, "{taken}");
    assert!(store.close());
    let (_store, restored, _) = open(dir.path());
    assert_eq!(restored.revision, Revision(1 + taken));
}
