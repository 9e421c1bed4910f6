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

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::csv_line::{Field, split};
use crate::geo::build::{Draft, DraftError, Progress};
use crate::geo::catalogue;
use crate::limits;
use crate::model::{Coordinates, CountryCode, Place};

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

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum Problem {
    #[error("there is no header line")]
    NoHeader,
    #[error("no column is called `{0}`")]
    UnknownColumn(String),
    #[error("the column `{0}` stands twice")]
    ColumnTwice(&'static str),
    #[error("the header names no network")]
    NoNetworkColumn,
    #[error("{found} fields where the header names {expected}")]
    FieldCount { found: usize, expected: usize },
    #[error("a quoted field does not end on its line, or is followed by text")]
    Quotes,
    #[error("`{0}` is not a network")]
    Network(String),
    #[error("`{network}` has bits set beyond its prefix; its network is {trimmed}")]
    HostBits { network: String, trimmed: IpNet },
    #[error("`{0}` is not an address")]
    Address(String),
    #[error("the range from {start} to {end} is of two families, or ends before it begins")]
    Range { start: IpAddr, end: IpAddr },
    #[error("{0} holds addresses that carry IPv4 inside (6to4, Teredo or v4-mapped)")]
    CarriesV4(IpAddr),
    #[error("`{0}` is not a country")]
    Country(String),
    #[error("a subdivision without a country")]
    SubdivisionAlone,
    #[error("`{code}` is not in {country}")]
    SubdivisionElsewhere { code: String, country: CountryCode },
    #[error("the catalogue does not know `{name}` in {country}; it is kept as a name")]
    SubdivisionUnknown { name: String, country: CountryCode },
    #[error("`{0}` is not the number of an autonomous system")]
    Asn(String),
    #[error("`{0}` is not a place on the globe")]
    Degrees(String),
    #[error("latitude and longitude go together")]
    CoordinatesAlone,
    #[error("the line says nothing of its network")]
    Nothing,
    #[error("the same network as in line {0}")]
    Twice(u32),
    #[error("overlaps in part with line {0}")]
    Overlap(u32),
    #[error("more than {} lines", limits::GEOIP_ROWS_MAX)]
    TooManyRows,
}

impl Problem {
    /// True when the file becomes a database in spite of it.
    pub fn is_warning(&self) -> bool {
        matches!(self, Problem::SubdivisionUnknown { .. })
    }

    /// Stable, in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            Problem::NoHeader => "csv-no-header",
            Problem::UnknownColumn(_) => "csv-unknown-column",
            Problem::ColumnTwice(_) => "csv-column-twice",
            Problem::NoNetworkColumn => "csv-no-network-column",
            Problem::FieldCount { .. } => "csv-field-count",
            Problem::Quotes => "csv-quotes",
            Problem::Network(_) => "csv-network",
            Problem::HostBits { .. } => "csv-host-bits",
            Problem::Address(_) => "csv-address",
            Problem::Range { .. } => "csv-range",
            Problem::CarriesV4(_) => "csv-carries-ipv4",
            Problem::Country(_) => "csv-country",
            Problem::SubdivisionAlone => "csv-subdivision-alone",
            Problem::SubdivisionElsewhere { .. } => "csv-subdivision-elsewhere",
            Problem::SubdivisionUnknown { .. } => "csv-subdivision-unknown",
            Problem::Asn(_) => "csv-asn",
            Problem::Degrees(_) => "csv-degrees",
            Problem::CoordinatesAlone => "csv-coordinates-alone",
            Problem::Nothing => "csv-nothing-said",
            Problem::Twice(_) => "csv-network-twice",
            Problem::Overlap(_) => "csv-overlap",
            Problem::TooManyRows => "csv-too-many-rows",
        }
    }

    /// What was expected there, where that can be said.
    pub fn expected(&self) -> Option<String> {
        match self {
            Problem::NoHeader | Problem::UnknownColumn(_) => Some(format!("columns among {}", COLUMNS.join(", "))),
            Problem::NoNetworkColumn => Some("`cidr`, or `start` and `end`".to_owned()),
            Problem::Network(_) => Some("an IPv4 or IPv6 network such as 192.0.2.0/24 or 2001:db8::/32".to_owned()),
            Problem::HostBits { trimmed, .. } => Some(trimmed.to_string()),
            Problem::Address(_) => Some("an IPv4 or IPv6 address".to_owned()),
            Problem::CarriesV4(_) => Some("the IPv4 network that they carry".to_owned()),
            Problem::Country(_) => Some("an ISO 3166-1 code such as CN, or a country's name".to_owned()),
            Problem::SubdivisionAlone => Some("a country beside it, or a full code such as CN-BJ".to_owned()),
            Problem::Asn(_) => Some("a number such as 4134 or AS4134".to_owned()),
            Problem::Degrees(_) => Some("degrees: latitude from -90 to 90, longitude from -180 to 180".to_owned()),
            Problem::ColumnTwice(_)
            | Problem::FieldCount { .. }
            | Problem::Quotes
            | Problem::Range { .. }
            | Problem::SubdivisionElsewhere { .. }
            | Problem::SubdivisionUnknown { .. }
            | Problem::CoordinatesAlone
            | Problem::Nothing
            | Problem::Twice(_)
            | Problem::Overlap(_)
            | Problem::TooManyRows => None,
        }
    }
}

/// What a column holds; indices into [`COLUMNS`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Column {
    Cidr,
    Start,
    End,
    Country,
    Subdivision,
    City,
    Asn,
    Isp,
    Latitude,
    Longitude,
}

const COLUMNS: [&str; 10] = ["cidr", "start", "end", "country", "subdivision", "city", "asn", "isp", "lat", "lon"];

impl Column {
    fn named(name: &str) -> Option<Column> {
        match name.trim().to_ascii_lowercase().as_str() {
            "cidr" | "network" => Some(Column::Cidr),
            "start" => Some(Column::Start),
            "end" => Some(Column::End),
            "country" => Some(Column::Country),
            "subdivision" => Some(Column::Subdivision),
            "city" => Some(Column::City),
            "asn" => Some(Column::Asn),
            "isp" => Some(Column::Isp),
            "lat" | "latitude" => Some(Column::Latitude),
            "lon" | "longitude" => Some(Column::Longitude),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        COLUMNS[self as usize]
    }
}

/// A line that was understood.
struct Row {
    start: IpAddr,
    end: IpAddr,
    place: Place,
    line: u32,
}

/// Reads a CSV file and makes a database of it. `epoch_s` is the build time to write.
pub fn csv(text: &str, epoch_s: u64, progress: Progress<'_>) -> Result<Imported, DraftError> {
    let mut reading = Reading { findings: Vec::new(), unlisted: 0, failed: false };
    let mut rows = reading.rows(text, progress);
    let count = rows.len() as u64;
    // Containing before contained, so that the narrower has the last word.
    rows.sort_by(|a, b| (a.start, std::cmp::Reverse(a.end)).cmp(&(b.start, std::cmp::Reverse(b.end))));
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

/// The part of an IPv6 tree in which IPv4 shows; a database can not say anything else there.
fn carries_v4(start: IpAddr, end: IpAddr) -> bool {
    let (IpAddr::V6(start), IpAddr::V6(end)) = (start, end) else { return false };
    ["::/96", "::ffff:0:0/96", "2001::/32", "2002::/16"].iter().any(|net| {
        let net: ipnet::Ipv6Net = net.parse().expect("a network");
        start <= net.broadcast() && net.network() <= end
    })
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
        if fields.len() != columns.len() {
            self.find(line, None, Problem::FieldCount { found: fields.len(), expected: columns.len() });
            return None;
        }
        let fields: HashMap<Column, Field<'_>> = columns.iter().copied().zip(fields).collect();
        let given = |column| fields.get(&column).filter(|field: &&Field<'_>| !field.text.trim().is_empty());
        let network = self.network(line, &fields);
        let place = self.place(line, given);
        let ((start, end), place) = (network?, place?);
        if carries_v4(start, end) {
            self.find(line, fields.get(&Column::Cidr).or(fields.get(&Column::Start)), Problem::CarriesV4(start));
            return None;
        }
        if place.is_unknown() {
            self.find(line, None, Problem::Nothing);
            return None;
        }
        Some(Row { start, end, place, line: line.number })
    }

    fn network(&mut self, line: Line<'_>, fields: &HashMap<Column, Field<'_>>) -> Option<(IpAddr, IpAddr)> {
        if let Some(field) = fields.get(&Column::Cidr) {
            let text = field.text.trim();
            let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
            let Some(net) = text.parse::<IpNet>().ok().or_else(host) else {
                self.find(line, Some(field), Problem::Network(text.to_owned()));
                return None;
            };
            if net.trunc() != net {
                let problem = Problem::HostBits { network: text.to_owned(), trimmed: net.trunc() };
                self.find(line, Some(field), problem);
                return None;
            }
            return Some((net.network(), net.broadcast()));
        }
        let mut address = |column| {
            let field = fields.get(&column)?;
            let parsed = field.text.trim().parse::<IpAddr>().ok();
            if parsed.is_none() {
                self.find(line, Some(field), Problem::Address(field.text.trim().to_owned()));
            }
            parsed
        };
        let (start, end) = (address(Column::Start), address(Column::End));
        let (start, end) = (start?, end?);
        if start.is_ipv4() != end.is_ipv4() || start > end {
            self.find(line, fields.get(&Column::Start), Problem::Range { start, end });
            return None;
        }
        Some((start, end))
    }

    fn place<'f>(&mut self, line: Line<'_>, given: impl Fn(Column) -> Option<&'f Field<'f>>) -> Option<Place> {
        let text = |field: &Field<'_>| field.text.trim().to_owned();
        let mut place = Place::default();
        let mut sound = true;
        let mut find = |field: Option<&Field<'_>>, problem: Problem| {
            sound &= problem.is_warning();
            self.find(line, field, problem);
        };
        if let Some(field) = given(Column::Country) {
            place.country = catalogue::country(&field.text);
            if place.country.is_none() {
                find(Some(field), Problem::Country(text(field)));
            }
        }
        if let Some(field) = given(Column::Subdivision) {
            let full = field.text.trim().split_once('-').and_then(|(country, _)| {
                let country = catalogue::country(country).filter(|_| country.len() == 2)?;
                Some((country, catalogue::subdivision(country, &field.text)?))
            });
            match (place.country, full) {
                (Some(country), Some((other, _))) if country != other => {
                    find(Some(field), Problem::SubdivisionElsewhere { code: text(field), country });
                }
                (None, None) if given(Column::Country).is_none() => find(Some(field), Problem::SubdivisionAlone),
                (None, None) => {}
                (_, Some((country, code))) => {
                    place.country = Some(country);
                    place.subdivision = Some(code.into());
                }
                (Some(country), None) => match catalogue::subdivision(country, &field.text) {
                    Some(code) => place.subdivision = Some(code.into()),
                    None => {
                        place.subdivision = Some(field.text.trim().into());
                        find(Some(field), Problem::SubdivisionUnknown { name: text(field), country });
                    }
                },
            }
        }
        place.continent = place.country.and_then(catalogue::continent);
        place.city = given(Column::City).map(|field| field.text.trim().into());
        place.isp = given(Column::Isp).map(|field| {
            let name = field.text.trim();
            catalogue::isp_alias(name).unwrap_or(name).into()
        });
        if let Some(field) = given(Column::Asn) {
            let name = field.text.trim();
            let digits = name.get(..2).filter(|head| head.eq_ignore_ascii_case("AS")).map_or(name, |_| &name[2..]);
            place.asn = Some(digits).filter(|digits| !digits.starts_with('+')).and_then(|digits| digits.parse().ok());
            if place.asn.is_none() {
                find(Some(field), Problem::Asn(text(field)));
            }
        }
        match (given(Column::Latitude), given(Column::Longitude)) {
            (None, None) => {}
            (Some(field), None) | (None, Some(field)) => find(Some(field), Problem::CoordinatesAlone),
            (Some(latitude), Some(longitude)) => {
                let degrees = |field: &Field<'_>| field.text.trim().parse::<f64>().ok();
                let south_north = degrees(latitude).filter(|degrees| (-90.0..=90.0).contains(degrees));
                let west_east = degrees(longitude).filter(|degrees| (-180.0..=180.0).contains(degrees));
                if south_north.is_none() {
                    find(Some(latitude), Problem::Degrees(text(latitude)));
                }
                if west_east.is_none() {
                    find(Some(longitude), Problem::Degrees(text(longitude)));
                }
                place.coordinates =
                    south_north.zip(west_east).and_then(|(lat, lon)| Coordinates::from_degrees(lat, lon));
            }
        }
        sound.then_some(place)
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
