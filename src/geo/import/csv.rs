//! CSV with a header line: one network a line, and what is known of it.
//!
//! ```text
//! cidr,country,subdivision,city,asn,isp,lat,lon
//! 127.1.0.0/16,CN,BJ,Beijing,4134,电信,39.90,116.41
//! ```
//!
//! - The network is `cidr` (or `network`), or `start` and `end`; the other columns are optional and in
//!   any order, an empty field says nothing. `lat` may be `latitude`, `lon` `longitude`.
//! - A network inside another takes its place there as a whole: nothing is inherited. Where lines stand
//!   does not matter. The same network twice, or two that overlap in part, is an error.
//! - Countries, subdivisions and providers go through the catalogue: `CN,11`, `China,北京` and `CN,BJ`
//!   are one. A subdivision that it does not know is kept as a name, with a warning. `CN-BJ` needs no
//!   country beside it.
//! - Fields are quoted as in RFC 4180, but end on their line. Blank lines and lines that begin with
//!   `#` are skipped.
//!
//! Every error of a file is found, not the first alone (up to [`limits::DIAGNOSTICS_MAX`]), each with
//! line and column. A file with an error gives no database.

mod line;
mod problem;
mod row;

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use crate::geo::build::{Draft, DraftError, Progress};
use crate::limits;
use line::{Field, split};
pub use problem::Problem;
use row::{Column, Row};

/// What a CSV file became.
#[derive(Debug)]
pub struct Imported {
    /// The .mmdb file; `None` when a finding is an error.
    pub octets: Option<Vec<u8>>,
    /// Lines that name a network.
    pub rows: u64,
    /// What is wrong, in the order of lines.
    pub findings: Vec<Finding>,
    /// Findings beyond [`limits::DIAGNOSTICS_MAX`], not listed.
    pub unlisted: u64,
}

/// Something wrong in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line, from 1.
    pub line: u32,
    /// The character in it, from 1.
    pub column: u32,
    /// How many characters are meant.
    pub len: u32,
    /// The line's text.
    pub line_text: String,
    /// What it is.
    pub problem: Problem,
}

/// Reads a CSV file and makes a database of it. `epoch_s` is the build time to write.
pub fn csv(text: &str, epoch_s: u64, progress: Progress<'_>) -> Result<Imported, DraftError> {
    let mut reading = Reading { findings: Vec::new(), unlisted: 0, failed: false };
    let mut rows = reading.rows(text, progress);
    let count = rows.len() as u64;
    // Containing before contained, so that the narrower has the last word.
    rows.sort_by_key(|row| (row.start, std::cmp::Reverse(row.end)));
    reading.nest(&rows, text);
    reading.findings.sort_by_key(|finding| (finding.line, finding.column));
    let octets = if reading.failed { None } else { Some(draft(&rows, epoch_s)?) };
    Ok(Imported { octets, rows: count, findings: reading.findings, unlisted: reading.unlisted })
}

fn draft(rows: &[Row], epoch_s: u64) -> Result<Vec<u8>, DraftError> {
    let mut draft = Draft::new("Meridian-Import", "Imported from CSV", epoch_s);
    for row in rows {
        match (row.start, row.end) {
            (IpAddr::V4(start), IpAddr::V4(end)) => {
                for net in Ipv4Subnets::new(start, end, 0) {
                    draft.insert(IpNet::V4(net), &row.place)?;
                }
            }
            (IpAddr::V6(start), IpAddr::V6(end)) => {
                for net in Ipv6Subnets::new(start, end, 0) {
                    draft.insert(IpNet::V6(net), &row.place)?;
                }
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
        }
    }
    draft.finish()
}

struct Reading {
    findings: Vec<Finding>,
    unlisted: u64,
    failed: bool,
}

/// A line and where it stands.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: u32,
    text: &'a str,
}

impl Reading {
    fn find(&mut self, line: Line<'_>, field: Option<&Field<'_>>, problem: Problem) {
        self.failed |= !problem.is_warning();
        if self.findings.len() >= limits::DIAGNOSTICS_MAX {
            self.unlisted += 1;
            return;
        }
        let (column, len) = field.map_or((1, line.text.chars().count()), |field| (field.column, field.len));
        self.findings.push(Finding {
            line: line.number,
            column: u32::try_from(column).unwrap_or(u32::MAX),
            len: u32::try_from(len).unwrap_or(u32::MAX),
            line_text: line.text.to_owned(),
            problem,
        });
    }

    fn rows(&mut self, text: &str, progress: Progress<'_>) -> Vec<Row> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut read = 0;
        let mut lines = text.lines().zip(1..).filter_map(|(text, number)| {
            read += text.len() as u64 + 1;
            let blank = text.trim().is_empty() || text.starts_with('#');
            (!blank).then_some((read, Line { number, text }))
        });
        let Some((_, header)) = lines.next() else {
            self.find(Line { number: 1, text: "" }, None, Problem::NoHeader);
            return Vec::new();
        };
        let Some(columns) = self.header(header) else { return Vec::new() };
        let mut rows = Vec::new();
        for (read, line) in lines {
            if rows.len() >= limits::GEOIP_ROWS_MAX {
                self.find(line, None, Problem::TooManyRows);
                break;
            }
            rows.extend(self.row(&columns, line));
            if line.number % 1024 == 0 {
                progress(read, text.len() as u64);
            }
        }
        rows
    }

    fn header(&mut self, line: Line<'_>) -> Option<Vec<Column>> {
        let Some(fields) = split(line.text) else {
            self.find(line, None, Problem::Quotes);
            return None;
        };
        let mut columns = Vec::new();
        for field in &fields {
            match Column::named(&field.text) {
                None => self.find(line, Some(field), Problem::UnknownColumn(field.text.trim().to_owned())),
                Some(column) if columns.contains(&column) => {
                    self.find(line, Some(field), Problem::ColumnTwice(column.name()));
                }
                Some(column) => columns.push(column),
            }
        }
        let has = |column| columns.contains(&column);
        let network = if has(Column::Cidr) {
            !has(Column::Start) && !has(Column::End)
        } else {
            has(Column::Start) && has(Column::End)
        };
        if !network && !self.failed {
            self.find(line, None, Problem::NoNetworkColumn);
        }
        (!self.failed).then_some(columns)
    }

    fn row(&mut self, columns: &[Column], line: Line<'_>) -> Option<Row> {
        let Some(fields) = split(line.text) else {
            self.find(line, None, Problem::Quotes);
            return None;
        };
        let (row, problems) = row::read(columns, &fields, line.number);
        let sound = problems.iter().all(|(_, problem)| problem.is_warning());
        for (field, problem) in problems {
            self.find(line, field, problem);
        }
        row.filter(|_| sound)
    }

    /// Checks that sorted networks lie beside or inside each other.
    fn nest(&mut self, rows: &[Row], text: &str) {
        let mut wrong = HashMap::new();
        let mut around: Vec<&Row> = Vec::new();
        for row in rows {
            while around.pop_if(|outer| outer.end < row.start).is_some() {}
            if let Some(outer) = around.last() {
                if (outer.start, outer.end) == (row.start, row.end) {
                    wrong.insert(row.line.max(outer.line), Problem::Twice(row.line.min(outer.line)));
                } else if outer.end < row.end {
                    wrong.insert(row.line.max(outer.line), Problem::Overlap(row.line.min(outer.line)));
                }
            }
            around.push(row);
        }
        if wrong.is_empty() {
            return;
        }
        for (text, number) in text.lines().zip(1..) {
            if let Some(problem) = wrong.remove(&number) {
                self.find(Line { number, text }, None, problem);
            }
        }
    }
}

#[cfg(test)]
mod tests;
