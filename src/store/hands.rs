//! The hands: jobs of the desk, done on a disk.

use std::io;
use std::path::Path;

use super::Bounds;
use super::desk::{Done, Job};
use super::disk::{Disk, Mode};
use super::segment;

/// A file that is begun while there is no spare.
const NEW: &str = "journal-new";

/// Does a job, however long that takes.
pub(super) fn perform(job: Job, disk: &dyn Disk, dir: &Path, bounds: Bounds) -> Done {
    match job {
        Job::Commit { file, offset, bytes } => {
            if !bytes.is_empty() {
                file.write_all_at(&bytes, offset)?;
            }
            file.sync()?;
            Ok(None)
        }
        Job::Void { file, offset, bytes, .. } => file.write_all_at(&bytes, offset).map(|()| None),
        Job::Turn { number, bytes, spare_is_ready } => {
            let path = dir.join(if spare_is_ready { segment::SPARE } else { NEW });
            let file = disk.open(&path, Mode::Write)?;
            if !spare_is_ready {
                segment::blank(&*file, 0..bounds.segment_len)?;
            }
            file.set_len(bounds.segment_len)?;
            file.write_all_at(&bytes, 0)?;
            file.sync()?;
            disk.rename(&path, &dir.join(segment::name(number)))?;
            disk.sync_dir(dir)?;
            Ok(Some(file))
        }
        Job::Keep(kept) => kept.write(disk, dir).map(|()| None),
        Job::Spare => {
            // One that a turn left behind half written is blanked in place: its blocks are ours already.
            let file = disk.open(&dir.join(segment::SPARE), Mode::Write)?;
            segment::blank(&*file, 0..bounds.segment_len)?;
            file.set_len(bounds.segment_len)?;
            file.sync()?;
            disk.sync_dir(dir)?;
            Ok(None)
        }
        Job::Tidy { closed, aside, keep_from, shed_before } => {
            let done = [
                set_aside(disk, dir, &aside),
                cut_off(disk, dir, &closed),
                remove_old(disk, dir, keep_from, shed_before),
            ];
            done.into_iter().collect::<io::Result<Vec<()>>>().map(|_| None)
        }
    }
}

fn set_aside(disk: &dyn Disk, dir: &Path, numbers: &[u64]) -> io::Result<()> {
    for number in numbers {
        disk.rename(&dir.join(segment::name(*number)), &dir.join(segment::damaged_name(*number)))?;
    }
    disk.sync_dir(dir)
}

/// Gives back the blank space behind the last line of files that nobody writes to any more.
fn cut_off(disk: &dyn Disk, dir: &Path, closed: &[(u64, u64)]) -> io::Result<()> {
    for (number, len) in closed {
        let file = disk.open(&dir.join(segment::name(*number)), Mode::Write)?;
        if *len < file.len()? {
            file.set_len(*len)?;
        }
    }
    Ok(())
}

fn remove_old(disk: &dyn Disk, dir: &Path, keep_from: u64, shed_before: Option<u64>) -> io::Result<()> {
    let files = segment::all(disk, dir)?;
    let oldest = files.first().map(|(number, _)| *number);
    for (number, path) in files {
        let is_shed = oldest == Some(number) && shed_before.is_some_and(|before| number < before);
        if number < keep_from || is_shed {
            disk.remove(&path)?;
        }
    }
    Ok(())
}
