//! A disk that fails when it is told to, and forgets what was not synced when its power is cut.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::store::disk::{Disk, DiskFile, Lock, Mode};

/// What a power cut tears apart.
const SECTOR_LEN: usize = 512;

/// Small, repeatable random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The operation ends half done, and nothing works after it: the process or the power is gone.
    Gone,
    /// No space, after half of a write; goes on for this many operations that need space.
    Full(u64),
    /// A sync or write fails, and what was written may or may not be on the disk.
    Failure,
}

#[derive(Debug, Default)]
struct Inode {
    /// As the system shows it.
    seen: Vec<u8>,
    /// As it would be after a power cut, if nothing of `pending` had come to the disk.
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone, Debug)]
enum Pending {
    Write(usize, Vec<u8>),
    Len(usize),
}

#[derive(Clone, Debug)]
enum NameOp {
    Set(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Debug)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<NameOp>,
    random: Random,
    fault: Option<(u64, Fault)>,
    full_for: u64,
    is_gone: bool,
}

/// The disk.
#[derive(Clone, Debug)]
pub(super) struct Sim(Arc<Mutex<World>>);

fn apply(bytes: &mut Vec<u8>, change: &Pending) {
    match change {
        Pending::Write(at, new) => {
            if bytes.len() < at + new.len() {
                bytes.resize(at + new.len(), 0);
            }
            bytes[*at..at + new.len()].copy_from_slice(new);
        }
        Pending::Len(len) => bytes.resize(*len, 0),
    }
}

fn apply_name(names: &mut BTreeMap<PathBuf, usize>, op: &NameOp) {
    match op {
        NameOp::Set(path, inode) => drop(names.insert(path.clone(), *inode)),
        NameOp::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        NameOp::Remove(path) => drop(names.remove(path)),
    }
}

impl Inode {
    fn change(&mut self, change: Pending) {
        apply(&mut self.seen, &change);
        self.pending.push(change);
    }

    /// Any of what is pending comes to the disk, sector by sector, in any order.
    fn settle(&mut self, random: &mut Random) {
        let share = random.below(101);
        for change in std::mem::take(&mut self.pending) {
            match &change {
                Pending::Len(_) if random.chance(share) => apply(&mut self.durable, &change),
                Pending::Len(_) => {}
                Pending::Write(at, bytes) => {
                    let mut from = 0;
                    while from < bytes.len() {
                        let to = ((at + from) / SECTOR_LEN + 1) * SECTOR_LEN - at;
                        let to = to.min(bytes.len());
                        if random.chance(share) {
                            apply(&mut self.durable, &Pending::Write(at + from, bytes[from..to].to_vec()));
                        }
                        from = to;
                    }
                }
            }
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the process is gone")
}

impl Sim {
    pub(super) fn new(seed: u64) -> Sim {
        Sim(Arc::new(Mutex::new(World {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            random: Random(seed),
            fault: None,
            full_for: 0,
            is_gone: false,
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// After this many more operations something goes wrong.
    pub(super) fn plan(&self, after: u64, fault: Fault) {
        self.world().fault = Some((after, fault));
    }

    pub(super) fn is_gone(&self) -> bool {
        self.world().is_gone
    }

    /// The process was killed and another one starts: what was written is seen.
    pub(super) fn restart(&self) {
        let mut world = self.world();
        world.is_gone = false;
        world.fault = None;
        world.full_for = 0;
    }

    /// The power was cut and comes back: what was not synced is lost, or not, or in part.
    pub(super) fn cut_power(&self) {
        self.restart();
        let mut world = self.world();
        let World { inodes, names, durable_names, pending_names, random, .. } = &mut *world;
        for inode in inodes.iter_mut() {
            inode.settle(random);
            inode.seen.clone_from(&inode.durable);
        }
        let done = random.below(pending_names.len() as u64 + 1);
        for op in pending_names.drain(..).take(usize::try_from(done).unwrap()) {
            apply_name(durable_names, &op);
        }
        names.clone_from(durable_names);
    }

    /// Flips one bit of a file, both as seen and as durable.
    pub(super) fn corrupt(&self, path: &Path, bit: usize) {
        let mut world = self.world();
        let inode = world.names[path];
        let inode = &mut world.inodes[inode];
        inode.seen[bit / 8] ^= 1 << (bit % 8);
        inode.durable.clone_from(&inode.seen);
        inode.pending.clear();
    }

    pub(super) fn bytes(&self, path: &Path) -> Vec<u8> {
        let world = self.world();
        world.inodes[world.names[path]].seen.clone()
    }
}

impl World {
    /// Before every operation that changes something; what goes wrong with it.
    fn step(&mut self, needs_space: bool) -> Result<Option<Fault>, io::Error> {
        if self.is_gone {
            return Err(gone());
        }
        if needs_space && self.full_for > 0 {
            self.full_for -= 1;
            return Ok(Some(Fault::Full(0)));
        }
        match &mut self.fault {
            Some((0, Fault::Full(count))) => {
                self.full_for = *count;
                self.fault = None;
                if needs_space { self.step(true) } else { Ok(None) }
            }
            Some((0, fault)) => {
                let fault = *fault;
                match fault {
                    Fault::Gone => self.is_gone = true,
                    Fault::Full(_) | Fault::Failure => {}
                }
                self.fault = None;
                Ok(Some(fault))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    fn names_op(&mut self, op: NameOp) -> io::Result<()> {
        match self.step(false)? {
            Some(Fault::Gone) => Err(gone()),
            Some(_) => Err(io::Error::other("input/output error")),
            None => {
                apply_name(&mut self.names, &op);
                self.pending_names.push(op);
                Ok(())
            }
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: Sim,
    inode: usize,
}

#[derive(Debug)]
struct SimLock;

impl Lock for SimLock {}

impl Disk for Sim {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        let inside = world.names.keys().filter_map(|path| path.strip_prefix(dir).ok());
        Ok(inside.map(|name| name.to_str().unwrap().to_owned()).collect())
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        let inode = match world.names.get(path) {
            Some(inode) => *inode,
            None if mode == Mode::Read => return Err(io::ErrorKind::NotFound.into()),
            None => {
                let inode = world.inodes.len();
                world.inodes.push(Inode::default());
                world.names_op(NameOp::Set(path.to_owned(), inode))?;
                inode
            }
        };
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world().names_op(NameOp::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.world().names_op(NameOp::Remove(path.to_owned()))
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut world = self.world();
        match world.step(false)? {
            Some(Fault::Gone) => return Err(gone()),
            Some(_) => return Err(io::Error::other("input/output error")),
            None => {}
        }
        let World { durable_names, pending_names, .. } = &mut *world;
        pending_names.drain(..).for_each(|op| apply_name(durable_names, &op));
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        Ok(Some(Box::new(SimLock)))
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.disk.world();
        let seen = &world.inodes[self.inode].seen;
        let from = seen.len().min(usize::try_from(offset).unwrap());
        let len = buffer.len().min(seen.len() - from);
        buffer[..len].copy_from_slice(&seen[from..from + len]);
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        let offset = usize::try_from(offset).unwrap();
        let grows = world.inodes[self.inode].seen.len() < offset + bytes.len();
        let fault = world.step(grows)?;
        let len = match fault {
            Some(_) => usize::try_from(world.random.below(bytes.len() as u64 + 1)).unwrap(),
            None => bytes.len(),
        };
        world.inodes[self.inode].change(Pending::Write(offset, bytes[..len].to_vec()));
        match fault {
            None => Ok(()),
            Some(Fault::Gone) => Err(gone()),
            Some(Fault::Full(_)) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Failure) => Err(io::Error::other("input/output error")),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        if let Some(fault) = world.step(false)? {
            return Err(if fault == Fault::Gone { gone() } else { io::Error::other("input/output error") });
        }
        world.inodes[self.inode].change(Pending::Len(usize::try_from(len).unwrap()));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.world().inodes[self.inode].seen.len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        let fault = world.step(false)?;
        let World { inodes, random, .. } = &mut *world;
        let inode = &mut inodes[self.inode];
        match fault {
            None => {
                inode.pending.clear();
                inode.durable.clone_from(&inode.seen);
                Ok(())
            }
            Some(fault) => {
                // The system goes on to show what it could not write, and takes it for written.
                inode.settle(random);
                Err(if fault == Fault::Gone { gone() } else { io::Error::other("input/output error") })
            }
        }
    }
}
