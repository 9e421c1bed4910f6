//! What is kept beside the journal: pages that are written anew as a whole, the newest state alone.
//!
//! A first line with the count and the SHA-256 of the rest, then one JSON object a line. What the objects say is
//! for whoever keeps them; they are made on a thread of the store.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::disk::{Disk, Mode};
use super::record::{Digest, FORMAT};
use super::{Finding, segment};
use crate::limits;

/// What is kept in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// What health has decided and only people undo. Written as soon as the disk lets it.
    Latches,
    /// Last known health: written at most every [`limits::STORE_KEEP_EVERY_MS`], and never before the latches that
    /// were kept with it. So a start never finds a data centre dead without the latch that came of its death.
    Health,
}

impl Page {
    pub(super) const ALL: [Page; 2] = [Page::Latches, Page::Health];

    /// Where it stands among all.
    pub(super) fn at(self) -> usize {
        match self {
            Page::Latches => 0,
            Page::Health => 1,
        }
    }

    pub(super) fn file_name(self) -> &'static str {
        match self {
            Page::Latches => "latches.jsonl",
            Page::Health => "health.jsonl",
        }
    }
}

/// The entries of a page.
pub trait Lines: Send + Sync + fmt::Debug {
    /// Writes each of them. Called on a thread of the store, again when writing failed.
    fn write_to(&self, out: &mut LinesWriter);
}

impl<T: Serialize + Send + Sync + fmt::Debug> Lines for Vec<T> {
    fn write_to(&self, out: &mut LinesWriter) {
        self.iter().for_each(|entry| out.line(entry));
    }
}

/// Takes the entries of a page.
#[derive(Debug, Default)]
pub struct LinesWriter {
    bytes: Vec<u8>,
    entries: usize,
}

impl LinesWriter {
    /// One entry. What JSON has no words for, such as a map whose keys are no strings, is left out.
    pub fn line<T: Serialize + ?Sized>(&mut self, entry: &T) {
        let start = self.bytes.len();
        match serde_json::to_writer(&mut self.bytes, entry) {
            Ok(()) => {
                self.bytes.push(b'\n');
                self.entries += 1;
            }
            Err(_) => self.bytes.truncate(start),
        }
    }
}

/// A page as it is to be.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) page: Page,
    pub(super) lines: Arc<dyn Lines>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    kept: String,
    format: u32,
    entries: usize,
    sha256: String,
}

impl Kept {
    /// Writes it in place of what was there: whole or not at all.
    pub(super) fn write(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        let name = self.page.file_name();
        let bytes = text(name, &*self.lines);
        if bytes.len() as u64 > limits::KEPT_FILE_LEN_MAX {
            return Err(io::Error::other("more than a file of kept state may hold"));
        }
        let path = dir.join(name);
        let new = dir.join(format!("{name}.new"));
        let file = disk.open(&new, Mode::Write)?;
        file.set_len(0)?;
        file.write_all_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(&new, &path)?;
        disk.sync_dir(dir)
    }
}

fn text(name: &str, lines: &dyn Lines) -> Vec<u8> {
    let mut rest = LinesWriter::default();
    lines.write_to(&mut rest);
    let LinesWriter { bytes: mut rest, entries } = rest;
    let sha256 = Digest::of(&rest).to_string();
    let head = Head { kept: name.to_owned(), format: FORMAT, entries, sha256 };
    let mut out = serde_json::to_vec(&head).expect("strings and numbers are always JSON");
    out.push(b'\n');
    out.append(&mut rest);
    out
}

/// What a page holds. A damaged one gives the entries that can be read: a latch too many does no harm, and
/// health is confirmed anyway before it is believed.
pub(super) fn read(disk: &dyn Disk, dir: &Path, page: Page, found: &mut Vec<Finding>) -> Vec<Value> {
    let path = dir.join(page.file_name());
    let bytes = match segment::load(disk, &path, limits::KEPT_FILE_LEN_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            found.push(Finding::error(format!("{} can not be read: {error}", path.display()), "went on without it"));
            return Vec::new();
        }
    };
    let head_len = bytes.iter().position(|octet| *octet == b'\n').map_or(bytes.len(), |at| at + 1);
    let (head, rest) = bytes.split_at(head_len);
    let is_whole = serde_json::from_slice::<Head>(head)
        .is_ok_and(|head| head.format == FORMAT && head.sha256 == Digest::of(rest).to_string());
    let lines = rest.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
    let entries: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    if !is_whole {
        found.push(Finding::error(
            format!("{} is damaged: its checksum is not that of its text", path.display()),
            format!("used the {} entries in it that can be read", entries.len()),
        ));
    }
    entries
}
