//! Files of the journal: their names, their blank space, and reading them whatever they hold.
//!
//! A file is filled with line feeds from its first moment and overwritten from the front. So its blocks are
//! allocated, a full disk cannot refuse the lines to come, and `grep` sees text.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, Mode};
use super::record::{self, Digest, Line, Record};

/// The next file, filled and waiting.
pub(super) const SPARE: &str = "journal-spare";

static BLANK: [u8; 64 << 10] = [b'\n'; 64 << 10];

/// `journal-00000007.jsonl`.
pub(super) fn name(number: u64) -> String {
    format!("journal-{number:08}.jsonl")
}

/// A file that was damaged, and is no longer written to.
pub(super) fn damaged_name(number: u64) -> String {
    format!("damaged-{number:08}.jsonl")
}

/// The number in a name that [`name`] or [`damaged_name`] made.
pub(super) fn number(name: &str) -> Option<u64> {
    let rest = name.strip_prefix("journal-").or_else(|| name.strip_prefix("damaged-"))?;
    rest.strip_suffix(".jsonl")?.parse().ok()
}

/// The journal's files in order, the damaged ones among them.
pub(super) fn all(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found: Vec<(u64, PathBuf)> =
        disk.list(dir)?.into_iter().filter_map(|name| Some((number(&name)?, dir.join(name)))).collect();
    found.sort();
    Ok(found)
}

/// Fills a range of a file with line feeds.
pub(super) fn blank(file: &dyn DiskFile, range: Range<u64>) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(BLANK.len() as u64);
        file.write_all_at(&BLANK[..usize::try_from(len).unwrap_or(BLANK.len())], at)?;
        at += len;
    }
    Ok(())
}

/// All of a file, up to a bound.
pub(super) fn read_whole(file: &dyn DiskFile, len_max: u64) -> io::Result<Vec<u8>> {
    let len = file.len()?.min(len_max);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Opens and reads one file of the journal.
pub(super) fn load(disk: &dyn Disk, path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    read_whole(&*disk.open(path, Mode::Read)?, len_max)
}

/// One piece of a file.
#[derive(Debug)]
pub(super) enum Piece {
    /// A line that is as it was written.
    Line(Box<Line>, Digest),
    /// Octets that are not.
    Bad(&'static str),
}

/// A piece and where it stands.
#[derive(Debug)]
pub(super) struct Placed {
    /// Octets from the beginning, its line feed left out.
    pub(super) range: Range<usize>,
    /// The number of the line, from 1.
    pub(super) line: u64,
    /// Blank lines stand before it, where nothing should be blank.
    pub(super) after_gap: bool,
    pub(super) piece: Piece,
}

impl Placed {
    /// The line, if it is one.
    pub(super) fn line(&self) -> Option<&Line> {
        match &self.piece {
            Piece::Line(line, _) => Some(line),
            Piece::Bad(_) => None,
        }
    }
}

/// What of a file has ever been written: up to the line feed behind its last line. The rest, mostly all of it, is blank,
/// and is compared in large parts: a start shall not look at every octet of it.
fn written(bytes: &[u8]) -> &[u8] {
    let mut end = bytes.len();
    while end >= BLANK.len() && bytes[end - BLANK.len()..end] == BLANK {
        end -= BLANK.len();
    }
    let blank = bytes[..end].iter().rev().take_while(|octet| **octet == b'\n').count();
    &bytes[..bytes.len().min(end - blank + 1)]
}

/// The pieces of a file, blank lines left out.
pub(super) fn pieces(bytes: &[u8]) -> impl Iterator<Item = Placed> {
    let bytes = written(bytes);
    let mut at = 0;
    let mut line = 0;
    let mut blanks = false;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            let len = bytes[start..].iter().position(|octet| *octet == b'\n').unwrap_or(bytes.len() - start);
            at = start + len + 1;
            line += 1;
            if len == 0 {
                blanks = true;
                // Most of a young file is blank: whole blocks of it are passed over at once.
                while bytes[at..].starts_with(&BLANK) {
                    at += BLANK.len();
                    line += BLANK.len() as u64;
                }
                continue;
            }
            let is_ended = at <= bytes.len();
            let text = &bytes[start..start + len];
            let (piece, len) = match record::read(text) {
                Ok((line, hash)) if is_ended => (Piece::Line(Box::new(line), hash), len),
                Ok(_) => (Piece::Bad("it is not ended"), len),
                Err(why) => unjoined(text).unwrap_or((Piece::Bad(why), len)),
            };
            let after_gap = std::mem::take(&mut blanks);
            let range = start..start + len;
            if range.end + 1 < at {
                // The rest of it comes next, and is no line of its own.
                at = range.end;
                line -= 1;
                return Some(Placed { range, line: line + 1, after_gap, piece });
            }
            return Some(Placed { range, line, after_gap, piece });
        }
        None
    })
}

/// The first piece of octets that are no line, where another line begins among them: a damaged line feed must
/// not cost the lines on both sides of it.
fn unjoined(text: &[u8]) -> Option<(Piece, usize)> {
    let next = text.windows(BEGINNING.len()).skip(1).position(|window| window == BEGINNING)? + 1;
    match record::read(&text[..next - 1]) {
        Ok((line, hash)) => Some((Piece::Line(Box::new(line), hash), next - 1)),
        Err(_) => Some((Piece::Bad("it is no record"), next)),
    }
}

const BEGINNING: &[u8] = b"{\"seq\":";

/// The lines that are taken back in a file. Only what looks like taking back is read.
pub(super) fn voided(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let bytes = written(bytes);
    let tags = bytes.windows(VOID_TAG.len()).enumerate().filter(|(_, window)| *window == VOID_TAG);
    tags.flat_map(|(at, _)| {
        // Number and time stand before it.
        let before = &bytes[at.saturating_sub(96)..at];
        let start = before.windows(BEGINNING.len()).rposition(|window| window == BEGINNING);
        let start = at - before.len() + start.unwrap_or(before.len());
        let len = bytes[start..].iter().position(|octet| *octet == b'\n').unwrap_or(0);
        match record::read(&bytes[start..start + len]) {
            Ok((Line { record: Record::Void { orders }, .. }, _)) => orders,
            Ok(_) | Err(_) => Vec::new(),
        }
    })
}

const VOID_TAG: &[u8] = b"\"record\":\"void\"";

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::record::Link;
    use super::*;

    #[test]
    fn names_are_numbers_and_back() {
        assert_eq!(number(&name(7)), Some(7));
        assert_eq!(number(&damaged_name(123_456_789)), Some(123_456_789));
        assert_eq!(number(SPARE), None);
        assert_eq!(number("journal-7"), None);
    }

    #[test]
    fn pieces_are_found_around_gaps_and_garbage() {
        let mut bytes = Vec::new();
        let void = |orders: &[u64]| Record::Void { orders: orders.to_vec() };
        let first = record::write(&mut bytes, Link::default(), 0, 1, SystemTime::UNIX_EPOCH, void(&[5]));
        bytes.extend_from_slice(b"garbage\n\n\n");
        record::write(&mut bytes, first, 1, 2, SystemTime::UNIX_EPOCH, void(&[6, 7]));
        bytes.extend_from_slice(b"\n\n{\"torn");
        let found: Vec<(u64, bool, bool)> = pieces(&bytes)
            .map(|placed| (placed.line, placed.after_gap, matches!(placed.piece, Piece::Line(..))))
            .collect();
        assert_eq!(found, [(1, false, true), (2, false, false), (5, true, true), (8, true, false)]);
        assert_eq!(voided(&bytes).collect::<Vec<_>>(), [5, 6, 7]);
    }

    #[test]
    fn what_has_been_written_ends_with_its_last_line_feed() {
        for blanks in [0, 1, 2, BLANK.len() - 1, BLANK.len(), BLANK.len() + 1, 3 * BLANK.len()] {
            for text in ["", "{}", "{}\n\n{}"] {
                let mut bytes = text.as_bytes().to_vec();
                bytes.resize(text.len() + blanks, b'\n');
                assert_eq!(written(&bytes), &bytes[..bytes.len().min(text.len() + 1)], "{text:?}, {blanks} blanks");
            }
        }
    }

    #[test]
    fn a_damaged_line_feed_costs_neither_line() {
        let mut bytes = Vec::new();
        let void = || Record::Void { orders: vec![] };
        let first = record::write(&mut bytes, Link::default(), 0, 1, SystemTime::UNIX_EPOCH, void());
        let end = bytes.len() - 1;
        record::write(&mut bytes, first, 1, 2, SystemTime::UNIX_EPOCH, void());
        record::write(&mut bytes, first, 1, 3, SystemTime::UNIX_EPOCH, void());
        bytes[end] = b'*';
        let found: Vec<(u64, Option<u64>)> =
            pieces(&bytes).map(|placed| (placed.line, placed.line().map(|line| line.seq))).collect();
        assert_eq!(found, [(1, Some(1)), (1, None), (1, Some(2)), (2, Some(3))]);
    }
}
