//! From a record of a GeoIP database to a [`Place`]: one adapter for each schema in use.
//!
//! What a file calls itself (`database_type`) says little: publishers copy it, converters make it up. So
//! the [`Schema`] is told from the shape of sampled records. Only the fields that an adapter reads are
//! decoded; everything about their shape is forgiven (a number for a text, a list for a map: the field
//! counts as missing), and everything about their size is bounded.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::catalogue;
use crate::limits::{GEOIP_RECORD_DEPTH_MAX, GEOIP_RECORD_ENTRIES_MAX, PLACE_TEXT_LEN_MAX};
use crate::model::{Continent, Coordinates, CountryCode};

/// How the records of a database are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Schema {
    /// Nested, as MaxMind's GeoIP2 and GeoLite2 (City, Country, Enterprise, ASN, ISP):
    /// `country.iso_code`, `subdivisions[0].iso_code`, `location.latitude`, `autonomous_system_number`.
    GeoIp2,
    /// Flat, as DB-IP's and the ip-location-db project's files: `country_code`, `state1`, `city`,
    /// `latitude`, `longitude`.
    Flat,
    /// Flat, as IPinfo's files: `country`, `region`, `city`, `lat`, `lng`, `asn` (`AS15169`), `as_name`.
    IpInfo,
}

impl Schema {
    /// As messages name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Schema::GeoIp2 => "GeoIP2 (nested)",
            Schema::Flat => "flat",
            Schema::IpInfo => "IPinfo (flat)",
        }
    }

    /// The schema of which this record shows a sure sign; `None` when it has no field that we read.
    pub(super) fn of(record: &Value<'_>) -> Option<Schema> {
        let nested = ["country", "registered_country", "continent", "city", "subdivisions", "location", "traits"];
        let scalar = |key: &str| record.at(key).is_some_and(Value::is_scalar);
        if nested.iter().any(|key| record.at(key).is_some_and(Value::is_container)) {
            Some(Schema::GeoIp2)
        } else if ["country", "asn", "as_name", "lat", "lng"].into_iter().any(scalar) {
            Some(Schema::IpInfo)
        } else if FLAT.into_iter().any(scalar) {
            Some(Schema::Flat)
        } else if ["autonomous_system_number", "autonomous_system_organization", "isp"].into_iter().any(scalar) {
            Some(Schema::GeoIp2)
        } else {
            None
        }
    }

    /// What the record says, in this schema.
    pub(super) fn read<'a>(self, record: &Value<'a>) -> Reading<'a> {
        match self {
            Schema::GeoIp2 => geoip2(record),
            Schema::Flat => flat(record),
            Schema::IpInfo => ipinfo(record),
        }
    }
}

/// Fields that tell a flat record.
const FLAT: [&str; 9] =
    ["country_code", "continent_code", "state1", "city", "latitude", "longitude", "region", "state", "province"];

/// What a record says, before names are brought to one form.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading<'a> {
    pub(super) continent: Option<Continent>,
    pub(super) country: Option<CountryCode>,
    /// The subdivision's code, as far as the data has one, and its name.
    pub(super) subdivision_code: Option<&'a str>,
    pub(super) subdivision_name: Option<&'a str>,
    pub(super) city: Option<&'a str>,
    pub(super) asn: Option<u32>,
    pub(super) isp: Option<&'a str>,
    pub(super) coordinates: Option<Coordinates>,
}

fn geoip2<'a>(record: &Value<'a>) -> Reading<'a> {
    // The country where a network is registered stands in for one that is not known.
    let country =
        ["country", "registered_country"].into_iter().find_map(|key| record.at(key)?.at("iso_code")?.country());
    let subdivision = record.at("subdivisions");
    let network = |key: &str| record.at(key).or_else(|| record.at("traits")?.at(key));
    Reading {
        continent: record.at("continent").and_then(|continent| continent.at("code")?.continent()),
        country,
        subdivision_code: subdivision.and_then(|subdivision| subdivision.at("iso_code")?.text()),
        subdivision_name: subdivision.and_then(Value::name),
        city: record.at("city").and_then(Value::name),
        asn: network("autonomous_system_number").and_then(Value::asn),
        isp: ["isp", "autonomous_system_organization"].into_iter().find_map(|key| network(key)?.text()),
        coordinates: record.at("location").and_then(|at| coordinates(at.at("latitude")?, at.at("longitude")?)),
    }
}

fn flat<'a>(record: &Value<'a>) -> Reading<'a> {
    let first = |keys: &[&str]| keys.iter().find_map(|key| record.at(key)?.text());
    Reading {
        continent: ["continent_code", "continent"].into_iter().find_map(|key| record.at(key)?.continent()),
        country: record.at("country_code").and_then(Value::country),
        subdivision_code: first(&["region_code"]),
        subdivision_name: first(&["state1", "state", "region", "province"]),
        city: first(&["city"]),
        asn: ["autonomous_system_number", "asn"].into_iter().find_map(|key| record.at(key)?.asn()),
        isp: first(&["isp", "autonomous_system_organization"]),
        coordinates: record
            .at("latitude")
            .zip(record.at("longitude"))
            .and_then(|(latitude, longitude)| coordinates(latitude, longitude)),
    }
}

fn ipinfo<'a>(record: &Value<'a>) -> Reading<'a> {
    let first = |keys: &[&str]| keys.iter().find_map(|key| record.at(key)?.text());
    let number = |keys: &[&str]| keys.iter().find_map(|key| record.at(key));
    Reading {
        continent: ["continent_code", "continent"].into_iter().find_map(|key| record.at(key)?.continent()),
        country: ["country_code", "country"].into_iter().find_map(|key| record.at(key)?.country()),
        subdivision_code: first(&["region_code"]),
        subdivision_name: first(&["region"]),
        city: first(&["city"]),
        asn: record.at("asn").and_then(Value::asn),
        isp: first(&["isp", "as_name"]),
        coordinates: number(&["lat", "latitude"])
            .zip(number(&["lng", "longitude"]))
            .and_then(|(latitude, longitude)| coordinates(latitude, longitude)),
    }
}

fn coordinates(latitude: &Value<'_>, longitude: &Value<'_>) -> Option<Coordinates> {
    Coordinates::from_degrees(latitude.number()?, longitude.number()?)
}

/// A record, as far as some adapter reads it.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(f64),
    /// The entries whose keys some adapter reads.
    Map(Vec<(&'a str, Value<'a>)>),
    /// Of a list (the subdivisions) the first is read.
    List(Option<Box<Value<'a>>>),
    /// Nothing that is read: truth values, octets, what lies too deep.
    Other,
}

/// Keys that some adapter reads, at any depth; all others are skipped without decoding.
fn is_read(key: &str) -> bool {
    FLAT.contains(&key)
        || matches!(
            key,
            "continent"
                | "country"
                | "registered_country"
                | "subdivisions"
                | "location"
                | "traits"
                | "names"
                | "name"
                | "en"
                | "zh-CN"
                | "code"
                | "iso_code"
                | "region_code"
                | "lat"
                | "lng"
                | "autonomous_system_number"
                | "autonomous_system_organization"
                | "asn"
                | "as_name"
                | "isp"
        )
}

impl<'a> Value<'a> {
    /// The entry of that key, of a map or of a list's first map.
    fn at(&self, key: &str) -> Option<&Value<'a>> {
        match self {
            Value::Map(entries) => entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value),
            Value::List(first) => first.as_ref()?.at(key),
            Value::Text(_) | Value::Number(_) | Value::Other => None,
        }
    }

    fn is_scalar(&self) -> bool {
        matches!(self, Value::Text(_) | Value::Number(_))
    }

    fn is_container(&self) -> bool {
        matches!(self, Value::Map(_) | Value::List(_))
    }

    /// A text that is neither empty nor absurdly long.
    fn text(&self) -> Option<&'a str> {
        match self {
            Value::Text(text) => Some(text.trim()).filter(|text| !text.is_empty() && text.len() <= PLACE_TEXT_LEN_MAX),
            Value::Number(_) | Value::Map(_) | Value::List(_) | Value::Other => None,
        }
    }

    /// A number, or a text that is one.
    fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Map(_) | Value::List(_) | Value::Other => None,
        }
    }

    /// The name of a nested place: English, else Chinese, else the one that it has.
    fn name(&self) -> Option<&'a str> {
        let names = self.at("names");
        ["en", "zh-CN"]
            .into_iter()
            .find_map(|language| names?.at(language)?.text())
            .or_else(|| self.at("name").and_then(Value::text))
    }

    fn continent(&self) -> Option<Continent> {
        catalogue::continent_named(self.text()?)
    }

    /// A code as it stands, assigned or not; a name through the catalogue.
    fn country(&self) -> Option<CountryCode> {
        let text = self.text()?;
        CountryCode::new(text).or_else(|| catalogue::country(text))
    }

    /// `15169` or `AS15169`; 0 is reserved (RFC 7607) and stands for "none".
    fn asn(&self) -> Option<u32> {
        let number = match self {
            Value::Text(text) => {
                let text = text.trim();
                let digits =
                    text.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("as")).map_or(text, |_| &text[2..]);
                digits.parse().ok()?
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a whole u32")]
            Value::Number(number) if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number) => {
                *number as u32
            }
            Value::Number(_) | Value::Map(_) | Value::List(_) | Value::Other => return None,
        };
        Some(number).filter(|&number| number != 0)
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Value<'de>, D::Error> {
        decoder.deserialize_any(AtDepth(0))
    }
}

/// Decodes what stands so deep in a record.
struct AtDepth(usize);

impl<'de> serde::de::DeserializeSeed<'de> for AtDepth {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<Value<'de>, D::Error> {
        if self.0 > GEOIP_RECORD_DEPTH_MAX {
            return decoder.deserialize_ignored_any(IgnoredAny).map(|_| Value::Other);
        }
        decoder.deserialize_any(self)
    }
}

/// Refuses the entry after the last that is allowed.
fn count<E: serde::de::Error>(entries: &mut usize) -> Result<(), E> {
    *entries += 1;
    if *entries > GEOIP_RECORD_ENTRIES_MAX {
        return Err(E::custom(format_args!(
            "a map or list of a record has more than {GEOIP_RECORD_ENTRIES_MAX} entries"
        )));
    }
    Ok(())
}

impl<'de> Visitor<'de> for AtDepth {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(text))
    }

    fn visit_str<E>(self, _: &str) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(i32::try_from(number).map_or(Value::Other, |number| Value::Number(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(u32::try_from(number).map_or(Value::Other, |number| Value::Number(number.into())))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut entries = 0;
        let mut read = Vec::new();
        while let Some(key) = map.next_key::<&str>()? {
            count(&mut entries)?;
            if is_read(key) {
                read.push((key, map.next_value_seed(AtDepth(self.0 + 1))?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Value::Map(read))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value<'de>, A::Error> {
        let first = list.next_element_seed(AtDepth(self.0 + 1))?;
        let mut entries = 1;
        while list.next_element::<IgnoredAny>()?.is_some() {
            count(&mut entries)?;
        }
        Ok(Value::List(first.map(Box::new)))
    }
}

/// The keys of a record's outermost map, for saying what was found where nothing was understood.
pub(super) struct Keys<'a>(pub(super) Vec<&'a str>);

impl<'de> Deserialize<'de> for Keys<'de> {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Keys<'de>, D::Error> {
        decoder.deserialize_map(KeysVisitor)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<'de>, A::Error> {
        let mut keys = Vec::new();
        let mut entries = 0;
        while let Some(key) = map.next_key()? {
            count(&mut entries)?;
            keys.push(key);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(Keys(keys))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn reading(text: &str) -> Option<(Schema, Reading<'_>)> {
        let record: Value<'_> = serde_json::from_str(text).unwrap();
        let schema = Schema::of(&record)?;
        Some((schema, schema.read(&record)))
    }

    fn degrees(latitude: f64, longitude: f64) -> Option<Coordinates> {
        Coordinates::from_degrees(latitude, longitude)
    }

    fn code(code: &str) -> Option<CountryCode> {
        CountryCode::new(code)
    }

    #[test]
    fn nested_geoip2_records_are_read() {
        let text = json!({
            "city": {"geoname_id": 1816670, "names": {"de": "Peking", "en": "Beijing", "zh-CN": "北京"}},
            "continent": {"code": "AS"},
            "country": {"iso_code": "CN", "names": {"en": "China"}},
            "location": {"latitude": 39.9, "longitude": 116.4, "time_zone": "Asia/Shanghai"},
            "subdivisions": [{"iso_code": "BJ", "names": {"zh-CN": "北京市"}}, {"iso_code": "XX"}],
            "traits": {"autonomous_system_number": 4847, "isp": "China Telecom"}
        })
        .to_string();
        let (schema, reading) = reading(&text).unwrap();
        assert_eq!(schema, Schema::GeoIp2);
        let expected = Reading {
            continent: Some(Continent::Asia),
            country: code("CN"),
            subdivision_code: Some("BJ"),
            subdivision_name: Some("北京市"),
            city: Some("Beijing"),
            asn: Some(4847),
            isp: Some("China Telecom"),
            coordinates: degrees(39.9, 116.4),
        };
        assert_eq!(reading, expected);
    }

    #[test]
    fn flat_records_are_read() {
        let text = json!({"country_code": "CN", "state1": "Shanghai", "state2": null, "city": "Shanghai (Pudong)",
            "latitude": 31.2, "longitude": 121.5, "postcode": ""});
        let text = without_nulls(text).to_string();
        let (schema, reading) = reading(&text).unwrap();
        assert_eq!(schema, Schema::Flat);
        assert_eq!((reading.country, reading.subdivision_name), (code("CN"), Some("Shanghai")));
        assert_eq!((reading.city, reading.coordinates), (Some("Shanghai (Pudong)"), degrees(31.2, 121.5)));
    }

    #[test]
    fn ipinfo_records_are_read_with_codes_or_names() {
        let lite = json!({"asn": "AS15169", "as_name": "Google LLC", "country": "United States",
            "country_code": "US", "continent": "North America", "continent_code": "NA"})
        .to_string();
        let (schema, read) = reading(&lite).unwrap();
        assert_eq!(schema, Schema::IpInfo);
        assert_eq!((read.country, read.asn, read.isp), (code("US"), Some(15169), Some("Google LLC")));
        assert_eq!(read.continent, Some(Continent::NorthAmerica));
        let location =
            json!({"city": "Mountain View", "region": "California", "country": "US", "lat": "37.4", "lng": "-122.08"})
                .to_string();
        let (_, read) = reading(&location).unwrap();
        assert_eq!((read.country, read.subdivision_name), (code("US"), Some("California")));
        assert_eq!(read.coordinates, degrees(37.4, -122.08));
    }

    #[test]
    fn provider_files_are_told_by_their_root_fields() {
        let text = json!({"autonomous_system_number": 64496, "autonomous_system_organization": "Example", "isp": "Ex"});
        let text = text.to_string();
        let (schema, reading) = reading(&text).unwrap();
        assert_eq!((schema, reading.asn, reading.isp), (Schema::GeoIp2, Some(64496), Some("Ex")));
    }

    #[test]
    fn fields_of_the_wrong_shape_count_as_missing() {
        let text = json!({"country": {"iso_code": 7}, "city": [], "location": {"latitude": "north", "longitude": 3},
            "subdivisions": {"iso_code": ["x"]}, "autonomous_system_number": -1, "isp": "  "});
        let text = text.to_string();
        assert_eq!(reading(&text), Some((Schema::GeoIp2, Reading::default())));
        assert_eq!(reading(r#"{"connection_type": "Cable/DSL"}"#), None);
        assert_eq!(reading(r#""text""#), None);
    }

    #[test]
    fn the_country_of_registration_stands_in_for_an_unknown_one() {
        let text = json!({"registered_country": {"iso_code": "FR"}}).to_string();
        assert_eq!(reading(&text).unwrap().1.country, code("FR"));
    }

    #[test]
    fn records_of_boundless_size_or_depth_are_stopped() {
        let many: serde_json::Map<String, Json> = (0..1000).map(|at| (at.to_string(), json!(at))).collect();
        let text = Json::Object(many).to_string();
        assert!(serde_json::from_str::<Value<'_>>(&text).is_err());
        assert!(serde_json::from_str::<Keys<'_>>(&text).is_err());
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(serde_json::from_str::<Value<'_>>(&deep).is_ok());
    }

    /// .mmdb has no null.
    fn without_nulls(mut value: Json) -> Json {
        if let Json::Object(map) = &mut value {
            map.retain(|_, value| !value.is_null());
        }
        value
    }
}
