//! Decoding a record: the fields that some adapter reads, and no more.
//!
//! A record of a GeoIP database is a tree of maps and lists, and the format lets a small file describe a
//! vast one. So keys that nobody reads are skipped without being followed, every map and list is bounded,
//! and so is the depth. Beyond that every shape is accepted; what it means is the adapters' to say.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::catalogue;
use crate::limits::{GEOIP_RECORD_DEPTH_MAX, GEOIP_RECORD_ENTRIES_MAX, PLACE_TEXT_LEN_MAX};
use crate::model::{Continent, CountryCode};

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

/// Fields that tell a flat record.
pub(super) const FLAT: [&str; 9] =
    ["country_code", "continent_code", "state1", "city", "latitude", "longitude", "region", "state", "province"];

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
    pub(super) fn at(&self, key: &str) -> Option<&Value<'a>> {
        match self {
            Value::Map(entries) => entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value),
            Value::List(first) => first.as_ref()?.at(key),
            Value::Text(_) | Value::Number(_) | Value::Other => None,
        }
    }

    pub(super) fn is_scalar(&self) -> bool {
        matches!(self, Value::Text(_) | Value::Number(_))
    }

    pub(super) fn is_container(&self) -> bool {
        matches!(self, Value::Map(_) | Value::List(_))
    }

    /// A text that is neither empty nor absurdly long.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self {
            Value::Text(text) => Some(text.trim()).filter(|text| !text.is_empty() && text.len() <= PLACE_TEXT_LEN_MAX),
            Value::Number(_) | Value::Map(_) | Value::List(_) | Value::Other => None,
        }
    }

    /// A number, or a text that is one.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Map(_) | Value::List(_) | Value::Other => None,
        }
    }

    /// The name of a nested place: English, else Chinese, else the one that it has.
    pub(super) fn name(&self) -> Option<&'a str> {
        let names = self.at("names");
        ["en", "zh-CN"]
            .into_iter()
            .find_map(|language| names?.at(language)?.text())
            .or_else(|| self.at("name").and_then(Value::text))
    }

    pub(super) fn continent(&self) -> Option<Continent> {
        catalogue::continent_named(self.text()?)
    }

    /// A code as it stands, assigned or not; a name through the catalogue.
    pub(super) fn country(&self) -> Option<CountryCode> {
        let text = self.text()?;
        CountryCode::new(text).or_else(|| catalogue::country(text))
    }

    /// `15169` or `AS15169`; 0 is reserved (RFC 7607) and stands for "none".
    pub(super) fn asn(&self) -> Option<u32> {
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

impl<'de> DeserializeSeed<'de> for AtDepth {
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

    #[test]
    fn records_of_boundless_size_or_depth_are_stopped() {
        let many: serde_json::Map<String, Json> = (0..1000).map(|at| (at.to_string(), json!(at))).collect();
        let text = Json::Object(many).to_string();
        assert!(serde_json::from_str::<Value<'_>>(&text).is_err());
        assert!(serde_json::from_str::<Keys<'_>>(&text).is_err());
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(serde_json::from_str::<Value<'_>>(&deep).is_ok());
    }
}
