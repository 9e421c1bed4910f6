//! A database in the making: networks and places in, the octets of an .mmdb out.
//!
//! The schema is the nested one of GeoIP2, so that every tool of the trade reads what we write:
//! `country.iso_code`, `continent.code`, `subdivisions[0].iso_code` and `.names`, `city.names`,
//! `location.latitude` and `.longitude`, `traits.autonomous_system_number` and `traits.isp`.

use std::time::{Duration, UNIX_EPOCH};

use ipnet::IpNet;
use mmdb_writer::{Value, Writer};

use crate::geo::catalogue;
use crate::model::Place;

/// Why a database can not be written.
#[derive(Debug, thiserror::Error)]
#[error("the database can not be written: {0}")]
pub struct DraftError(#[from] mmdb_writer::Error);

/// A database in the making. The same calls in the same order give the same octets.
#[derive(Debug)]
pub struct Draft {
    writer: Writer,
}

impl Draft {
    /// An empty one. `epoch_s` is the build time to write, in seconds since 1970; what
    /// lies beyond 2106 is written as the last second before.
    pub fn new(kind: &str, description: &str, epoch_s: u64) -> Draft {
        // Sources may claim any time, and `SystemTime` can not add them all.
        let epoch = UNIX_EPOCH + Duration::from_secs(epoch_s.min(u64::from(u32::MAX)));
        Draft { writer: Writer::builder(kind).description(&[("en", description)]).build_epoch(epoch).build() }
    }

    /// Says of a network where it is. A later word about a part of it replaces this one there.
    ///
    /// What lies in `::ffff:0:0/96`, `2002::/16` or `2001::/32` is refused: there the database shows
    /// the IPv4 networks that those carry.
    pub fn insert(&mut self, net: IpNet, place: &Place) -> Result<(), DraftError> {
        Ok(self.writer.insert_value(net, record(place))?)
    }

    /// The .mmdb file.
    pub fn finish(self) -> Result<Vec<u8>, DraftError> {
        Ok(self.writer.to_bytes()?)
    }
}

/// A place as a record of the database.
fn record(place: &Place) -> Value {
    let mut fields: Vec<(&str, Value)> = Vec::new();
    if let Some(country) = place.country {
        fields.push(("country", Value::map([("iso_code", country.as_str())])));
    }
    if let Some(continent) = place.continent.or_else(|| place.country.and_then(catalogue::continent)) {
        fields.push(("continent", Value::map([("code", continent.code())])));
    }
    if let Some(subdivision) = &place.subdivision {
        fields.push(("subdivisions", Value::array([subdivision_record(subdivision)])));
    }
    if let Some(city) = &place.city {
        fields.push(("city", Value::map([("names", names(city))])));
    }
    if let Some(at) = place.coordinates {
        let degrees = |centideg: i16| f64::from(centideg) / 100.0;
        let location = [("latitude", degrees(at.latitude_centideg)), ("longitude", degrees(at.longitude_centideg))];
        fields.push(("location", Value::map(location)));
    }
    let mut traits: Vec<(&str, Value)> = Vec::new();
    traits.extend(place.asn.map(|asn| ("autonomous_system_number", Value::from(asn))));
    traits.extend(place.isp.as_deref().map(|isp| ("isp", Value::from(isp))));
    if !traits.is_empty() {
        fields.push(("traits", Value::map(traits)));
    }
    Value::map(fields)
}

/// A known subdivision by code and name, another by its name alone.
fn subdivision_record(code_or_name: &str) -> Value {
    match (catalogue::subdivision_name(code_or_name), code_or_name.split_once('-')) {
        (Some(name), Some((_, code))) => {
            Value::map([("iso_code", Value::from(code)), ("names", Value::map([("en", name)]))])
        }
        _ => Value::map([("names", names(code_or_name))]),
    }
}

/// A name under the language in which it seems to be.
fn names(name: &str) -> Value {
    let han = |c: char| matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}');
    let language = if name.contains(han) { "zh-CN" } else { "en" };
    Value::map([(language, name)])
}
