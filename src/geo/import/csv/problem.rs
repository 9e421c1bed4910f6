//! What can be wrong in a CSV file of networks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::row::COLUMNS;
use crate::limits;
use crate::model::CountryCode;

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
