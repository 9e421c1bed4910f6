//! Times as the store writes them, and whoever keeps pages in it: RFC 3339 in UTC, to the millisecond.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de};

/// `2026-11-21T12:20:00.123Z`. A time that no calendar knows is written as the epoch.
pub(super) fn text(time: SystemTime) -> String {
    let stamp = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}

/// Reads what [`text`] writes, and any other RFC 3339 time.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let stamp: Timestamp = text.parse().ok()?;
    Some(SystemTime::from(stamp))
}

/// As it will be read back: without what is finer than a millisecond.
pub(super) fn rounded(time: SystemTime) -> SystemTime {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(since.as_millis()).unwrap_or(0)),
        Err(_) => SystemTime::UNIX_EPOCH,
    }
}

/// For `#[serde(with = "…")]`.
pub fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text(*time))
}

/// For `#[serde(with = "…")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_being_written() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_263_600_123);
        assert_eq!(text(time), "2026-11-21T12:20:00.123Z");
        assert_eq!(parse(&text(time)), Some(time));
        assert_eq!(rounded(time + Duration::from_nanos(17)), time);
        assert_eq!(parse("yesterday"), None);
    }
}
