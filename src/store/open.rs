//! Starting: lock, read, repair, and say what was found.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::desk::{Beginning, Desk, Hand, Open};
use super::disk::{Disk, DiskFile, Lock, Mode};
use super::kept::{self, Page};
use super::recover::{Newest, Recovered, Unreadable, recover};
use super::{Bounds, Finding, Refusal, Restored, Shared, Store, hands, now, segment};
use crate::limits;

const LOCK: &str = "lock";

/// Why a directory was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the state directory is in use by another process{}", pid.map(|pid| format!(" ({pid})")).unwrap_or_default())]
    Locked {
        /// Its id, when it could be read.
        pid: Option<u32>,
    },
    /// A newer version wrote it.
    #[error("the state directory is of format {0}, which this version does not know; nothing was changed")]
    Newer(u32),
    /// A thread could not be started.
    #[error("a thread of the store can not be started: {0}")]
    Thread(#[from] io::Error),
}

impl OpenError {
    /// How a store refuses that is used all the same.
    pub fn refusal(&self) -> Refusal {
        match self {
            OpenError::Locked { pid } => Refusal::Locked { pid: *pid },
            OpenError::Newer(format) => Refusal::Newer(*format),
            OpenError::Thread(error) => Refusal::Broken(error.to_string()),
        }
    }
}

/// What a directory holds, without a lock and without changing anything; for a process that goes on although
/// another one, or a newer version, has it. The other process may be writing: its last order may be missing.
pub fn read(dir: &Path, disk: &dyn Disk) -> (Restored, Vec<Finding>) {
    match recover(disk, dir, Bounds::default().segment_len) {
        Ok(mut recovered) => {
            let mut found = std::mem::take(&mut recovered.found);
            (restored(disk, dir, &recovered, &mut found), found)
        }
        Err(error) => (Restored::default(), vec![unreadable(dir, &error)]),
    }
}

fn unreadable(dir: &Path, error: &Unreadable) -> Finding {
    let what = match error {
        Unreadable::Newer(format) => {
            format!("{} is of format {format}, which is newer than this version", dir.display())
        }
        Unreadable::Io(error) => format!("{} can not be read: {error}", dir.display()),
    };
    Finding::error(what, "started without latches, last known health and standing orders; orders are refused")
}

fn restored(disk: &dyn Disk, dir: &Path, recovered: &Recovered, found: &mut Vec<Finding>) -> Restored {
    let state = &recovered.state;
    let first = state.generations_to.max(1);
    Restored {
        latches: kept::read(disk, dir, Page::Latches, found),
        health: kept::read(disk, dir, Page::Health, found),
        standing: state.standing(),
        revision: state.last_revision(),
        revisions_to: crate::model::Revision(state.revisions_to),
        generations: first..first + limits::GENERATIONS_RESERVED,
        answered: state.all_answered(),
    }
}

impl Store {
    /// Opens a state directory, and makes it when it is not there.
    ///
    /// Whatever it holds, or does not let itself be written, comes out as findings and, where writing is
    /// impossible, as a store that refuses orders with the reason (and tries again every
    /// [`limits::STORE_RETRY_MS`] where that may help). Blocks while the disk works; [`Store::open_within`] bounds that.
    pub fn open(dir: &Path, disk: Arc<dyn Disk>) -> Result<(Store, Restored, Vec<Finding>), OpenError> {
        Store::open_with(dir, disk, Bounds::default())
    }

    /// As [`Store::open`], for at most this long: a disk that hangs gives a store that refuses.
    pub fn open_within(
        dir: &Path,
        disk: Arc<dyn Disk>,
        patience: Duration,
    ) -> Result<(Store, Restored, Vec<Finding>), OpenError> {
        let (tell, outcome) = mpsc::sync_channel(1);
        let path = dir.to_owned();
        thread::Builder::new().name("store-open".into()).spawn(move || {
            // Nobody may be waiting any more; then what was opened is closed again.
            drop(tell.send(Store::open(&path, disk)));
        })?;
        outcome.recv_timeout(patience).unwrap_or_else(|_| {
            let found = Finding::error(
                format!("{}: the disk does not answer", dir.display()),
                "started without latches, last known health and standing orders; orders are refused until a restart",
            );
            Ok((Store::refusing(Refusal::Timeout), Restored::default(), vec![found]))
        })
    }

    /// A store that refuses everything, for a process that goes on without one.
    pub fn refusing(refusal: Refusal) -> Store {
        let bounds = Bounds::default();
        let shared = Shared {
            desk: Mutex::new(Desk::refusing(bounds, refusal, now())),
            changed: Condvar::new(),
            disk: Arc::new(super::OsDisk),
            dir: std::path::PathBuf::new(),
            bounds,
            lock: Mutex::default(),
        };
        Store { shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// As [`Store::open`], with other sizes.
    pub fn open_with(
        dir: &Path,
        disk: Arc<dyn Disk>,
        bounds: Bounds,
    ) -> Result<(Store, Restored, Vec<Finding>), OpenError> {
        let Begun { desk, lock, restored, found } = begin(dir, &*disk, bounds)?;
        let is_refusing = lock.is_none();
        let desk = Mutex::new(desk);
        let shared = Arc::new(Shared {
            desk,
            changed: Condvar::new(),
            disk,
            dir: dir.to_owned(),
            bounds,
            lock: Mutex::new(lock),
        });
        let store = if is_refusing { Store { shared, threads: Mutex::default() } } else { Store::start(shared)? };
        Ok((store, restored, found))
    }
}

/// A directory that is open, with nobody at work in it yet.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) desk: Desk,
    /// `None`: it refuses everything.
    pub(super) lock: Option<Box<dyn Lock>>,
    pub(super) restored: Restored,
    pub(super) found: Vec<Finding>,
}

/// Locks, reads, repairs, and writes the first line.
pub(super) fn begin(dir: &Path, disk: &dyn Disk, bounds: Bounds) -> Result<Begun, OpenError> {
    let mut found = Vec::new();
    let lock = match disk.make_dir(dir).and_then(|()| disk.lock(&dir.join(LOCK))) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => return Err(OpenError::Locked { pid: pid(disk, dir) }),
        Err(error) => {
            found.push(Finding::error(
                format!("{} can not be locked: {error}", dir.display()),
                "read what is there; orders are refused until a restart",
            ));
            Err(Refusal::of(&error))
        }
    };
    let mut recovered = match recover(disk, dir, bounds.segment_len) {
        Ok(recovered) => recovered,
        Err(Unreadable::Newer(format)) => return Err(OpenError::Newer(format)),
        Err(error @ Unreadable::Io(_)) => {
            found.push(unreadable(dir, &error));
            let refusal = lock.err().unwrap_or_else(|| Refusal::Broken("the directory can not be read".into()));
            let desk = Desk::refusing(bounds, refusal, now());
            return Ok(Begun { desk, lock: None, restored: Restored::default(), found });
        }
    };
    found.append(&mut recovered.found);
    if recovered.voided > 0 {
        found.push(Finding::note(
            format!("{} refused orders had been written before their time was up", recovered.voided),
            "they are not in force",
        ));
    }
    let restored = restored(disk, dir, &recovered, &mut found);
    let lock = match lock {
        Ok(lock) => lock,
        Err(refusal) => return Ok(Begun { desk: Desk::refusing(bounds, refusal, now()), lock: None, restored, found }),
    };
    let mut desk = Desk::new(bounds, beginning(disk, dir, recovered, &mut found), now());
    // The first commit, here and now: it reserves generations, makes durable what was read, and shows whether
    // the disk can be written to.
    while let Some(task) = desk.next(Hand::Commit, now()) {
        let done = hands::perform(task.job, disk, dir, bounds);
        desk.done(task.kind, done, now());
    }
    if let Some(refusal) = desk.status(now()).refusal {
        found.push(Finding::error(
            format!("{} can not be written to: {refusal}", dir.display()),
            "orders are refused; writing is tried again every few seconds. Until it succeeds, a restart may give \
             out the same generations again",
        ));
    }
    Ok(Begun { desk, lock: Some(lock), restored, found })
}

fn pid(disk: &dyn Disk, dir: &Path) -> Option<u32> {
    let bytes = segment::load(disk, &dir.join(LOCK), 32).ok()?;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
}

/// Goes on with the newest file where that is whole, else with a new one.
fn beginning(disk: &dyn Disk, dir: &Path, recovered: Recovered, found: &mut Vec<Finding>) -> Beginning {
    let Recovered { state, last, seq_max, number_max, newest, .. } = recovered;
    let mut beginning = Beginning { state, last, seq_max, number_max, open: None, turn: None, aside: None };
    let Some(newest) = newest else {
        beginning.turn = Some("the store is new".to_owned());
        return beginning;
    };
    if newest.is_damaged || newest.has_lines_behind {
        let why = if newest.is_damaged { "the file before is damaged" } else { "the end of the file before is torn" };
        beginning.turn = Some(why.to_owned());
        // Once set aside it keeps that name.
        let has_own_name = newest.path.ends_with(segment::name(newest.number));
        beginning.aside = (newest.is_damaged && has_own_name).then_some(newest.number);
        // The next file says that it follows these lines: they must not vanish from before it.
        if let Err(error) = settled(disk, &newest) {
            found.push(Finding::warning(
                format!("{} can not be written to: {error}", newest.path.display()),
                "a new file is begun all the same",
            ));
        }
        return beginning;
    }
    match take_up(disk, dir, &newest) {
        Ok(open) => beginning.open = Some((open, newest.tail)),
        Err(error) => {
            found.push(Finding::warning(
                format!("{} can not be written to: {error}", newest.path.display()),
                "a new file is begun",
            ));
            beginning.turn = Some(format!("the file before could not be written to: {error}"));
        }
    }
    beginning
}

/// What can be read may still not be on the disk: after a failed sync the system takes it for written. So the last
/// lines are written once more.
fn settled(disk: &dyn Disk, newest: &Newest) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.open(&newest.path, Mode::Write)?;
    file.write_all_at(&read_range(&*file, newest.doubtful..newest.tail)?, newest.doubtful)?;
    file.sync()?;
    Ok(file)
}

/// Opens a file for writing behind its last line, and blanks what is torn there.
fn take_up(disk: &dyn Disk, dir: &Path, newest: &Newest) -> io::Result<Open> {
    let file = settled(disk, newest)?;
    if let Some(torn) = &newest.torn {
        let copy = disk.open(&dir.join("torn.jsonl"), Mode::Write)?;
        copy.set_len(0)?;
        copy.write_all_at(&read_range(&*file, torn.clone())?, 0)?;
        copy.sync()?;
        segment::blank(&*file, torn.clone())?;
        file.sync()?;
    }
    // Its name, too, may be known to the system alone.
    disk.sync_dir(dir)?;
    Ok(Open { file, number: newest.number, len: newest.len })
}

fn read_range(file: &dyn DiskFile, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
    let len = file.read_at(&mut bytes, range.start)?;
    bytes.truncate(len);
    Ok(bytes)
}
