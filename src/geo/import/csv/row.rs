//! One line of CSV as a network and a place.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use super::line::Field;
use super::problem::Problem;
use crate::geo::catalogue;
use crate::model::{Coordinates, CountryCode, Place};

/// What a column holds; indices into [`COLUMNS`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Column {
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

/// The columns as they are called.
pub(super) const COLUMNS: [&str; 10] =
    ["cidr", "start", "end", "country", "subdivision", "city", "asn", "isp", "lat", "lon"];

impl Column {
    /// The column of that name, any case.
    pub(super) fn named(name: &str) -> Option<Column> {
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

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        COLUMNS[self as usize]
    }
}

/// A line that was understood.
pub(super) struct Row {
    pub(super) start: IpAddr,
    pub(super) end: IpAddr,
    pub(super) place: Place,
    pub(super) line: u32,
}

/// What is wrong, and with which field; `None` for the line as a whole.
type Problems<'f> = Vec<(Option<&'f Field<'f>>, Problem)>;

/// A line's fields under the header's columns. Without an error among the problems there is a row.
pub(super) fn read<'f>(columns: &[Column], fields: &'f [Field<'f>], line: u32) -> (Option<Row>, Problems<'f>) {
    if fields.len() != columns.len() {
        let problem = Problem::FieldCount { found: fields.len(), expected: columns.len() };
        return (None, vec![(None, problem)]);
    }
    let mut reader = RowReader { columns, fields, problems: Vec::new() };
    let network = reader.network();
    let place = reader.place();
    let row = network.map(|(start, end)| Row { start, end, place, line });
    if let Some(row) = &row
        && reader.problems.is_empty()
        && row.place.is_unknown()
    {
        reader.problems.push((None, Problem::Nothing));
    }
    (row, reader.problems)
}

/// The part of an IPv6 tree in which IPv4 shows; a database can not say anything else there.
fn carries_v4(start: IpAddr, end: IpAddr) -> bool {
    let (IpAddr::V6(start), IpAddr::V6(end)) = (start, end) else { return false };
    ["::/96", "::ffff:0:0/96", "2001::/32", "2002::/16"].iter().any(|net| {
        let net: Ipv6Net = net.parse().expect("a network");
        start <= net.broadcast() && net.network() <= end
    })
}

struct RowReader<'a, 'f> {
    columns: &'a [Column],
    fields: &'f [Field<'f>],
    problems: Problems<'f>,
}

impl<'f> RowReader<'_, 'f> {
    /// The field in a column, with its text trimmed; `None` when there is no such column.
    fn field(&self, column: Column) -> Option<(&'f Field<'f>, &'f str)> {
        let at = self.columns.iter().position(|&named| named == column)?;
        let field = &self.fields[at];
        Some((field, field.text.trim()))
    }

    /// The field in a column, when it says something.
    fn given(&self, column: Column) -> Option<(&'f Field<'f>, &'f str)> {
        self.field(column).filter(|(_, text)| !text.is_empty())
    }

    fn find(&mut self, field: &'f Field<'f>, problem: Problem) {
        self.problems.push((Some(field), problem));
    }

    fn network(&mut self) -> Option<(IpAddr, IpAddr)> {
        let (field, (start, end)) = match self.field(Column::Cidr) {
            Some((field, text)) => (field, self.cidr(field, text)?),
            None => (self.field(Column::Start)?.0, self.range()?),
        };
        if carries_v4(start, end) {
            self.find(field, Problem::CarriesV4(start));
            return None;
        }
        Some((start, end))
    }

    fn cidr(&mut self, field: &'f Field<'f>, text: &str) -> Option<(IpAddr, IpAddr)> {
        let host = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let Some(net) = text.parse::<IpNet>().ok().or_else(host) else {
            self.find(field, Problem::Network(text.to_owned()));
            return None;
        };
        if net.trunc() != net {
            self.find(field, Problem::HostBits { network: text.to_owned(), trimmed: net.trunc() });
            return None;
        }
        Some((net.network(), net.broadcast()))
    }

    fn range(&mut self) -> Option<(IpAddr, IpAddr)> {
        let mut address = |column| {
            let (field, text) = self.field(column)?;
            let parsed = text.parse::<IpAddr>().ok();
            if parsed.is_none() {
                self.find(field, Problem::Address(text.to_owned()));
            }
            Some((field, parsed))
        };
        let (start, end) = (address(Column::Start), address(Column::End));
        let ((field, start), (_, end)) = (start?, end?);
        let (start, end) = (start?, end?);
        if start.is_ipv4() != end.is_ipv4() || start > end {
            self.find(field, Problem::Range { start, end });
            return None;
        }
        Some((start, end))
    }

    fn place(&mut self) -> Place {
        let mut place = Place::default();
        if let Some((field, text)) = self.given(Column::Country) {
            place.country = catalogue::country(text);
            if place.country.is_none() {
                self.find(field, Problem::Country(text.to_owned()));
            }
        }
        self.subdivision(&mut place);
        place.continent = place.country.and_then(catalogue::continent);
        place.city = self.given(Column::City).map(|(_, text)| text.into());
        place.isp = self.given(Column::Isp).map(|(_, text)| catalogue::isp_alias(text).unwrap_or(text).into());
        if let Some((field, text)) = self.given(Column::Asn) {
            place.asn = asn(text);
            if place.asn.is_none() {
                self.find(field, Problem::Asn(text.to_owned()));
            }
        }
        place.coordinates = self.coordinates();
        place
    }

    fn subdivision(&mut self, place: &mut Place) {
        let Some((field, text)) = self.given(Column::Subdivision) else { return };
        match (place.country, full_code(text)) {
            (Some(country), Some((other, _))) if country != other => {
                self.find(field, Problem::SubdivisionElsewhere { code: text.to_owned(), country });
            }
            (_, Some((country, code))) => {
                place.country = Some(country);
                place.subdivision = Some(code.into());
            }
            (Some(country), None) => match catalogue::subdivision(country, text) {
                Some(code) => place.subdivision = Some(code.into()),
                None => {
                    place.subdivision = Some(text.into());
                    self.find(field, Problem::SubdivisionUnknown { name: text.to_owned(), country });
                }
            },
            (None, None) => {
                // Beside a country that is none, one error is enough.
                if self.given(Column::Country).is_none() {
                    self.find(field, Problem::SubdivisionAlone);
                }
            }
        }
    }

    fn coordinates(&mut self) -> Option<Coordinates> {
        let (latitude, longitude) = match (self.given(Column::Latitude), self.given(Column::Longitude)) {
            (None, None) => return None,
            (Some((field, _)), None) | (None, Some((field, _))) => {
                self.find(field, Problem::CoordinatesAlone);
                return None;
            }
            (Some(latitude), Some(longitude)) => (latitude, longitude),
        };
        let mut degrees = |(field, text): (&'f Field<'f>, &str), most: f64| {
            let degrees = text.parse::<f64>().ok().filter(|degrees| (-most..=most).contains(degrees));
            if degrees.is_none() {
                self.find(field, Problem::Degrees(text.to_owned()));
            }
            degrees
        };
        let (latitude, longitude) = (degrees(latitude, 90.0), degrees(longitude, 180.0));
        Coordinates::from_degrees(latitude?, longitude?)
    }
}

/// `CN-BJ` and its like: a country's letters, a hyphen, and a subdivision of it.
fn full_code(text: &str) -> Option<(CountryCode, &'static str)> {
    let (country, _) = text.split_once('-')?;
    let country = CountryCode::new(country)?;
    Some((country, catalogue::subdivision(country, text)?))
}

/// `4134` or `AS4134`.
fn asn(text: &str) -> Option<u32> {
    let prefixed = text.get(..2).is_some_and(|head| head.eq_ignore_ascii_case("AS"));
    let digits = if prefixed { &text[2..] } else { text };
    // `parse` would take a sign.
    digits.parse().ok().filter(|_| digits.starts_with(|c: char| c.is_ascii_digit()))
}
