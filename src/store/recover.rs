//! What the files say at a start. Reads only; nothing here changes a file.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Finding;
use super::disk::Disk;
use super::record::{self, Digest, FORMAT, Head, Line, Link, Record};
use super::segment::{self, Piece, Placed};
use super::state::State;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) state: State,
    /// The last line that can be trusted.
    pub(super) last: Link,
    /// The highest number of any line.
    pub(super) seq_max: u64,
    /// The highest number of any file.
    pub(super) number_max: u64,
    /// The file to go on with.
    pub(super) newest: Option<Newest>,
    /// Orders that were taken back.
    pub(super) voided: usize,
    pub(super) found: Vec<Finding>,
}

/// The newest file.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Behind the last line that is known to be durable: what follows is seen, which proves nothing when the
    /// process before it died of a failed sync.
    pub(super) doubtful: u64,
    /// Behind its last line.
    pub(super) tail: u64,
    pub(super) len: u64,
    /// What stands behind the last line and is no line: a record that was torn.
    pub(super) torn: Option<Range<u64>>,
    /// Something before its last line is wrong: it is kept as it is, and a new file begun.
    pub(super) is_damaged: bool,
    /// Whole lines stand behind what is torn: the file is left as it is, and a new one begun.
    pub(super) has_lines_behind: bool,
}

/// Why nothing may be read, or changed.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// A newer version wrote it.
    Newer(u32),
    Io(io::Error),
}

struct File {
    number: u64,
    path: PathBuf,
    bytes: Vec<u8>,
    head: Option<Head>,
    /// The head and all lines that it carries over can be trusted: nothing before is needed.
    is_base: bool,
}

impl File {
    fn load(disk: &dyn Disk, number: u64, path: PathBuf, len_max: u64, found: &mut Vec<Finding>) -> File {
        let bytes = segment::load(disk, &path, len_max).unwrap_or_else(|error| {
            found.push(Finding::error(format!("{} can not be read: {error}", path.display()), "went on without it"));
            Vec::new()
        });
        let mut lines = segment::pieces(&bytes).map_while(|placed| match placed.piece {
            Piece::Line(line, _) if !placed.after_gap => Some(line.record),
            Piece::Line(..) | Piece::Bad(_) => None,
        });
        let head = match lines.next() {
            Some(Record::Head(head)) => Some(head),
            _ => None,
        };
        let carried = head.as_ref().map_or(0, |head| head.carried);
        let there = lines.take(usize::try_from(carried).unwrap_or(usize::MAX)).count() as u64;
        let is_base = head.is_some() && there == carried;
        File { number, path, bytes, head, is_base }
    }

    /// The format that its first line names. Another version may reckon hashes otherwise, so the line need not be whole
    /// in our eyes; but where others of the file are, it is damage that speaks.
    fn format(&self) -> Option<u32> {
        let mut lines = self.bytes.split(|octet| *octet == b'\n');
        let first = lines.next()?;
        let value: serde_json::Value = serde_json::from_slice(first).ok()?;
        let format = u32::try_from(value.get("format")?.as_u64()?).ok()?;
        let mut is_damaged = || record::checked(first).is_err() && lines.any(|line| record::read(line).is_ok());
        (format <= FORMAT || !is_damaged()).then_some(format)
    }
}

/// Reads the journal.
pub(super) fn recover(disk: &dyn Disk, dir: &Path, len_max: u64) -> Result<Recovered, Unreadable> {
    let mut out = Recovered::default();
    let names = segment::all(disk, dir).map_err(Unreadable::Io)?;
    out.number_max = names.last().map_or(0, |(number, _)| *number);
    let mut files: Vec<File> = Vec::new();
    for (number, path) in names.into_iter().rev() {
        let file = File::load(disk, number, path, len_max, &mut out.found);
        if let Some(format) = file.format().filter(|format| *format > FORMAT) {
            return Err(Unreadable::Newer(format));
        }
        let is_base = file.is_base;
        files.push(file);
        if is_base {
            break;
        }
    }
    files.reverse();
    if let Some(first) = files.first().filter(|file| !file.is_base) {
        out.found.push(Finding::error(
            format!("the beginning of {} is damaged, and no file before it is whole", first.path.display()),
            "standing orders from before are lost; all later ones that can be read are in force",
        ));
    }
    let voided: BTreeSet<u64> = files.iter().flat_map(|file| segment::voided(&file.bytes)).collect();
    for at in 0..files.len() {
        // Behind the line at which the next file begins, this one was given up.
        let until = files[at + 1..].iter().find_map(|file| file.head.as_ref()).map_or(u64::MAX, |head| head.prev_seq);
        let is_newest = at + 1 == files.len();
        fold(&mut out, &files[at], &voided, until, is_newest);
    }
    Ok(out)
}

fn fold(out: &mut Recovered, file: &File, voided: &BTreeSet<u64>, until: u64, is_newest: bool) {
    let pieces: Vec<Placed> = segment::pieces(&file.bytes).collect();
    let breaks = breaks(&pieces);
    let cut = if is_newest { cut(&pieces, &breaks) } else { pieces.len() };
    for (at, why) in breaks.iter().filter(|(at, _)| *at < cut) {
        let (line, offset) = (pieces[*at].line, pieces[*at].range.start);
        out.found.push(Finding::error(
            format!("{}: line {line}, at octet {offset}, is damaged: {why}", file.path.display()),
            "what it said is lost; every other line is in force. The file is kept as it is, and a new one begun",
        ));
    }
    if is_newest {
        out.newest = Some(newest(out, file, &pieces, cut, breaks.first().is_some_and(|(at, _)| *at < cut)));
    }
    for (at, placed) in pieces.into_iter().enumerate() {
        let Piece::Line(line, hash) = placed.piece else { continue };
        out.seq_max = out.seq_max.max(line.seq);
        if at < cut && line.seq <= until {
            out.last = Link { seq: line.seq, hash };
            apply(out, *line, voided, file);
        } else if let Record::Order(order) = &line.record {
            out.state.seen(order.revision.0, order.generation.0);
        }
    }
}

/// The pieces that are not what should stand there, and why.
fn breaks(pieces: &[Placed]) -> Vec<(usize, &'static str)> {
    let mut out = Vec::new();
    let mut before: Option<Digest> = None;
    for (at, placed) in pieces.iter().enumerate() {
        match &placed.piece {
            Piece::Bad(why) => {
                out.push((at, *why));
                // The line behind it is not to blame.
                before = None;
            }
            Piece::Line(line, hash) => {
                if placed.after_gap && at > 0 && before.is_some() {
                    out.push((at, "there is blank space before it"));
                } else if before.is_some_and(|before| before.to_string() != line.prev) {
                    out.push((at, "it does not follow the line before"));
                }
                before = Some(*hash);
            }
        }
    }
    out
}

/// The first piece that does not count. What was written last, and never acknowledged, may have come to the disk
/// in parts: then only what stands before the first missing part does. A missing part is blank, or the last.
fn cut(pieces: &[Placed], breaks: &[(usize, &'static str)]) -> usize {
    let durable = durable(pieces);
    let reached = |at: usize| pieces[..at].iter().rev().find_map(Placed::line).map_or(0, |line| line.seq);
    let Some((first, _)) = breaks.iter().find(|(at, _)| reached(*at) >= durable) else { return pieces.len() };
    let rest = &pieces[*first..];
    let is_torn = rest.iter().any(|placed| placed.after_gap) || rest.iter().all(|placed| placed.line().is_none());
    if is_torn { *first } else { pieces.len() }
}

/// The last line that some line knows to be durable.
fn durable(pieces: &[Placed]) -> u64 {
    pieces.iter().filter_map(Placed::line).map(|line| line.durable).max().unwrap_or(0)
}

fn newest(out: &mut Recovered, file: &File, pieces: &[Placed], cut: usize, is_damaged: bool) -> Newest {
    let (kept, torn) = pieces.split_at(cut);
    let end = |of: Option<&Placed>| of.map_or(0, |placed| placed.range.end as u64 + 1);
    let tail = end(kept.iter().rev().find(|placed| placed.line().is_some()));
    let durable = durable(pieces);
    let doubtful = end(kept.iter().rev().find(|placed| placed.line().is_some_and(|line| line.seq <= durable)));
    let lost = torn.first().zip(torn.last()).map(|(first, last)| first.range.start as u64..last.range.end as u64);
    if let Some(lost) = &lost {
        out.found.push(Finding::warning(
            format!(
                "{}: the last record, at octet {}, is torn ({} octets)",
                file.path.display(),
                lost.start,
                lost.end - lost.start
            ),
            "it was never acknowledged, unless the disk has damaged it since; cut off, and a copy kept",
        ));
    }
    Newest {
        number: file.number,
        path: file.path.clone(),
        doubtful,
        tail,
        len: file.bytes.len() as u64,
        torn: lost,
        is_damaged: is_damaged || !file.is_base || !file.path.ends_with(segment::name(file.number)),
        // Among them may be what takes back an order that counts, so none may be blanked.
        has_lines_behind: torn.iter().any(|placed| placed.line().is_some()),
    }
}

fn apply(out: &mut Recovered, line: Line, voided: &BTreeSet<u64>, file: &File) {
    match line.record {
        Record::Head(head) => {
            let generations_to = out.state.generations_to.max(head.generations_to);
            if file.is_base {
                out.state = State::default();
            }
            out.state.revision = out.state.revision.max(head.revision);
            out.state.revisions_to = out.state.revisions_to.max(head.revisions_to);
            out.state.generations_to = generations_to;
        }
        Record::Standing { key, standing } => out.state.stand(key, standing),
        Record::Answered(answered) => out.state.answer(answered),
        Record::Start { generations_to, .. } | Record::Generations { generations_to } => {
            out.state.generations_to = out.state.generations_to.max(generations_to);
        }
        Record::Order(order) if voided.contains(&line.seq) => {
            out.voided += 1;
            out.state.seen(order.revision.0, order.generation.0);
        }
        Record::Order(order) => out.state.apply(order, line.time),
        Record::Note(note) => out.state.seen(0, note.generation.0),
        Record::Void { .. } => {}
    }
}
