//! From a record of a GeoIP database to a [`Place`]: one adapter for each schema in use.
//!
//! What a file calls itself (`database_type`) says little: publishers copy it, converters make it up. So
//! the [`Schema`] is told from the shape of sampled records. Adapters forgive every shape: a number for a
//! text, a list for a map, and the field counts as missing.

use super::value::{FLAT, Value};
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

    /// .mmdb has no null.
    fn without_nulls(mut value: Json) -> Json {
        if let Json::Object(map) = &mut value {
            map.retain(|_, value| !value.is_null());
        }
        value
    }
}
