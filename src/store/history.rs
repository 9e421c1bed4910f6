//! Reading the audit log: for people, and to prove that nobody has changed it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use super::disk::Disk;
use super::record::{Digest, Link, Order, Record};
use super::segment::{self, Piece};
use super::time;
use crate::limits;

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its number: also the cursor that leads to the one after it.
    pub seq: u64,
    /// When it was written.
    #[serde(serialize_with = "time::serialize")]
    pub time: SystemTime,
    /// What it is: `switch`, `drain`, `refused`, `health`, `start`, …
    pub kind: String,
    /// The order's revision, or the one that was in force.
    pub revision: Option<u64>,
    /// The generation that served.
    pub generation: Option<u64>,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What else there is.
    pub body: Value,
    /// It is an order; everything else only tells.
    pub is_order: bool,
    /// It is, or was, in force: an order that was not taken back.
    pub in_force: bool,
}

/// A page of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct History {
    /// The oldest first.
    pub entries: Vec<Entry>,
    /// Give this as `cursor` for what comes next; `None`: this is the end, for now.
    pub next: Option<u64>,
}

/// The log could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}", path = path.display())]
pub struct HistoryError {
    /// Which file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// The beginning of one file.
#[derive(Clone, Debug)]
struct Opening {
    path: PathBuf,
    /// The number of the line before its first one.
    prev_seq: Option<u64>,
    /// When it was begun: no line of the files before is younger, while clocks go forward.
    begun: Option<SystemTime>,
}

/// One file of the log, read.
struct File {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The number of the line before its first one.
    prev_seq: Option<u64>,
}

fn len_max() -> u64 {
    limits::JOURNAL_SEGMENT_LEN
}

/// A head, and what it takes back of the files before, are shorter than this.
const OPENING_LEN: u64 = 64 << 10;

/// The files with the numbers at which each begins, and the orders that they take back of those before; only the
/// first lines are read.
fn outline(disk: &dyn Disk, dir: &Path) -> Result<(Vec<Opening>, BTreeSet<u64>), HistoryError> {
    let files = segment::all(disk, dir).map_err(|source| HistoryError { path: dir.to_owned(), source })?;
    let mut voided = BTreeSet::new();
    let outline = files.into_iter().map(|(_, path)| {
        let opening = segment::load(disk, &path, OPENING_LEN).unwrap_or_default();
        let mut records = segment::pieces(&opening).map_while(|placed| match placed.piece {
            Piece::Line(line, _) => Some((line.time, line.record)),
            Piece::Bad(_) => None,
        });
        let head = match records.next() {
            Some((begun, Record::Head(head))) => Some((head.prev_seq, begun)),
            _ => None,
        };
        for (_, record) in records {
            let Record::Void { orders } = record else { break };
            voided.extend(orders);
        }
        Opening { path, prev_seq: head.map(|(prev_seq, _)| prev_seq), begun: head.map(|(_, begun)| begun) }
    });
    let outline = outline.collect();
    Ok((outline, voided))
}

fn load(disk: &dyn Disk, Opening { path, prev_seq, .. }: Opening) -> Result<File, HistoryError> {
    match segment::load(disk, &path, len_max()) {
        Ok(bytes) => Ok(File { path, bytes, prev_seq }),
        Err(source) => Err(HistoryError { path, source }),
    }
}

/// Entries since a time and behind a cursor, the oldest first; at most `limit`, which is bounded by
/// [`limits::HISTORY_ENTRIES_MAX`]. Of [`limits::HISTORY_FILES_MAX`] files and [`limits::HISTORY_LEN_MAX`] octets at
/// most: fewer entries than `limit`, even none, are no end while there is a `next`. A cursor leads to the same place
/// whatever was written, begun or removed meanwhile. May be called while a store writes. Blocks while the disk works.
pub fn history(
    disk: &dyn Disk,
    dir: &Path,
    since: Option<SystemTime>,
    limit: usize,
    cursor: Option<u64>,
) -> Result<History, HistoryError> {
    let (files, voided_later) = outline(disk, dir)?;
    let limit = limit.clamp(1, limits::HISTORY_ENTRIES_MAX);
    let after = cursor.unwrap_or(0);
    let (mut out, mut files_read, mut octets) = (History::default(), 0, 0);
    let slack = Duration::from_secs(limits::HISTORY_CLOCK_SLACK_S);
    for at in 0..files.len() {
        // Behind the line at which the next file begins, this one was given up.
        let until = files[at + 1..].iter().find_map(|opening| opening.prev_seq).unwrap_or(u64::MAX);
        let younger = files[at + 1..].iter().find_map(|opening| opening.begun);
        let is_old = younger.zip(since).is_some_and(|(younger, since)| younger + slack < since);
        if until <= after || is_old {
            continue;
        }
        if let Some(before) =
            files[at].prev_seq.filter(|before| files_read == limits::HISTORY_FILES_MAX && *before > after)
        {
            out.next = Some(before);
            return Ok(out);
        }
        files_read += 1;
        let file = match load(disk, files[at].clone()) {
            // Removed for its age since the directory was read.
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => continue,
            loaded => loaded?,
        };
        let voided: BTreeSet<u64> = segment::voided(&file.bytes).chain(voided_later.iter().copied()).collect();
        for placed in segment::pieces(&file.bytes) {
            let Piece::Line(line, _) = placed.piece else { continue };
            let is_asked = line.seq > after && line.seq <= until && since.is_none_or(|since| line.time >= since);
            let Some(entry) = is_asked.then(|| entry(line.seq, line.time, line.record, &voided)).flatten() else {
                continue;
            };
            if out.entries.len() == limit || octets > limits::HISTORY_LEN_MAX {
                out.next = out.entries.last().map(|entry| entry.seq);
                return Ok(out);
            }
            octets += placed.range.len();
            out.entries.push(entry);
        }
    }
    Ok(out)
}

fn entry(seq: u64, time: SystemTime, record: Record, voided: &BTreeSet<u64>) -> Option<Entry> {
    let own = |kind: &str, reason: String, body: Value| Entry {
        seq,
        time,
        kind: kind.to_owned(),
        revision: None,
        generation: None,
        actor: "meridian".to_owned(),
        reason,
        body,
        is_order: false,
        in_force: false,
    };
    match record {
        // What is carried over has been told.
        Record::Head(_) | Record::Standing { .. } | Record::Answered(_) | Record::Generations { .. } => None,
        Record::Start { version, .. } => Some(own("start", format!("version {version}"), Value::Null)),
        Record::Void { orders } => Some(own("void", "these orders had been refused in time".into(), orders.into())),
        Record::Order(Order { revision, generation, kind, actor, reason, body, .. }) => Some(Entry {
            seq,
            time,
            kind,
            revision: Some(revision.0),
            generation: Some(generation.0),
            actor,
            reason,
            body,
            is_order: true,
            in_force: !voided.contains(&seq),
        }),
        Record::Note(note) => Some(Entry {
            seq,
            time,
            kind: note.kind,
            revision: Some(note.revision.0),
            generation: Some(note.generation.0),
            actor: note.actor,
            reason: note.reason,
            body: note.body,
            is_order: false,
            in_force: false,
        }),
    }
}

/// Where the chain is broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u64,
    /// Where the line begins, in octets.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What came of looking through the whole log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    /// Files that were read.
    pub files: usize,
    /// Lines whose hashes are right.
    pub lines: u64,
    /// When the first of them was written: older files have been removed for their age.
    pub since: Option<SystemTime>,
    /// The last line: who notes its hash elsewhere will notice if the end of the log is ever cut off.
    pub head: Link,
    /// The first thing that is wrong.
    pub first_break: Option<Break>,
    /// All of them.
    pub breaks: u64,
    /// Lines of orders that failed on their way to the disk, before a new file was begun; not in force.
    pub abandoned: u64,
}

impl VerifyReport {
    /// Nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.breaks == 0
    }

    fn broken(&mut self, file: &Path, line: u64, offset: usize, what: &str) {
        self.breaks += 1;
        self.first_break.get_or_insert_with(|| Break {
            file: file.to_owned(),
            line,
            offset: offset as u64,
            what: what.to_owned(),
        });
    }
}

/// Checks every hash, and that each line follows the one before. May be called while a store writes; what it
/// is writing just then is not counted. Blocks while the disk works.
pub fn verify(disk: &dyn Disk, dir: &Path) -> Result<VerifyReport, HistoryError> {
    let (files, _) = outline(disk, dir)?;
    let mut report = VerifyReport {
        files: files.len(),
        lines: 0,
        since: None,
        head: Link::default(),
        first_break: None,
        breaks: 0,
        abandoned: 0,
    };
    for at in 0..files.len() {
        let until = files[at + 1..].iter().find_map(|opening| opening.prev_seq);
        let file = load(disk, files[at].clone())?;
        verify_file(&mut report, &file, until, at == 0, at + 1 == files.len());
    }
    Ok(report)
}

fn verify_file(report: &mut VerifyReport, file: &File, until: Option<u64>, is_first: bool, is_last: bool) {
    let before = report.head;
    // Within this file, abandoned lines included.
    let mut last: Option<Link> = None;
    let mut pieces = segment::pieces(&file.bytes).peekable();
    if file.prev_seq.is_none() {
        report.broken(&file.path, 1, 0, "it does not begin with the first line of a file");
    }
    while let Some(placed) = pieces.next() {
        let (offset, line_number) = (placed.range.start, placed.line);
        let is_end = pieces.peek().is_none();
        match placed.piece {
            Piece::Bad(why) => {
                // What was given up may be torn; and the last line of all may be on its way.
                let given_up = until.is_some_and(|until| last.is_some_and(|last| last.seq >= until));
                if given_up {
                    report.abandoned += 1;
                } else if !(is_last && is_end) {
                    report.broken(&file.path, line_number, offset, why);
                }
            }
            Piece::Line(line, hash) => {
                let follows = match last {
                    Some(last) => !placed.after_gap && line.prev == last.hash.to_string() && line.seq > last.seq,
                    // The very first follows nothing; files before another one may have been removed for their age.
                    None if is_first => line.seq > 1 || line.prev == Digest::default().to_string(),
                    // Of the lines before, those that count.
                    None => line.prev == before.hash.to_string() && line.seq > before.seq,
                };
                let is_given_up = until.is_some_and(|until| line.seq > until);
                if is_given_up {
                    report.abandoned += 1;
                } else if !follows {
                    report.broken(&file.path, line_number, offset, "it does not follow the line before");
                }
                let link = Link { seq: line.seq, hash };
                last = Some(link);
                if !is_given_up {
                    report.lines += 1;
                    report.since.get_or_insert(line.time);
                    report.head = link;
                }
            }
        }
    }
}
