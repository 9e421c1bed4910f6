//! Times as they are journalled: RFC 3339 in UTC, to the millisecond.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de};

/// As it will be read back: without what is finer than a millisecond.
pub(super) fn rounded(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(since.as_millis()).unwrap_or(0))
}

/// What is beyond the year 9999 ends with it: later than anybody who ordered it will mind, and never at once.
pub(super) fn text(time: SystemTime) -> String {
    let stamp = Timestamp::try_from(time).unwrap_or(Timestamp::MAX);
    format!("{stamp:.3}")
}

pub(super) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(*time))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
    let stamp: Timestamp = String::deserialize(from)?.parse().map_err(|_| de::Error::custom("not an RFC 3339 time"))?;
    Ok(SystemTime::from(stamp))
}

/// The same where there may be none.
pub(super) mod option {
    use super::{Deserialize, Deserializer, Serializer, SystemTime, text};

    pub(in super::super) fn serialize<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.serialize_some(&text(*time)),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
        #[derive(Deserialize)]
        struct Time(#[serde(with = "super")] SystemTime);
        Ok(Option::<Time>::deserialize(from)?.map(|Time(time)| time))
    }
}
