//! Scalars: what single values may be, and what is said when they are not.

use std::time::Duration;

use serde_json::{Value, json};

use super::form::{Defs, Form, refuse};
use super::report::Report;
use super::yaml::{Kind, Node};
use crate::limits;
use crate::model::{CheckId, DatacenterId, EndpointId, GroupId, IdError, Name, RegionId, Ttl, Weight};

/// Why a scalar was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) help: Option<String>,
    /// Words that would have been taken.
    words: &'static [&'static str],
}

impl Refusal {
    pub(super) fn new(code: &'static str) -> Refusal {
        Refusal { code, help: None, words: &[] }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Refusal {
        Refusal { help: Some(help.into()), ..self }
    }

    /// None of `words`.
    pub(super) fn word(words: &'static [&'static str]) -> Refusal {
        Refusal { code: "unknown-word", help: None, words }
    }
}

/// A form that is one scalar.
pub(super) trait Scalar: Sized {
    /// As the end of "expected …".
    fn expected() -> String;

    /// From the text of a scalar that is not empty; `plain` when it stood without quotes.
    fn parse(text: &str, plain: bool) -> Result<Self, Refusal>;

    /// In JSON Schema.
    fn schema() -> Value;
}

impl<T: Scalar> Form for T {
    fn expected() -> String {
        <T as Scalar>::expected()
    }

    fn takes(node: &Node) -> bool {
        matches!(node.kind, Kind::Scalar { .. }) && !node.is_null()
    }

    fn read(node: &Node, report: &mut Report) -> Option<T> {
        let Kind::Scalar { text, plain } = &node.kind else {
            refuse(node, "wrong-type", <T as Scalar>::expected(), None, report);
            return None;
        };
        if node.is_null() {
            refuse(node, "wrong-type", <T as Scalar>::expected(), None, report);
            return None;
        }
        match T::parse(text, *plain) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let near = report.did_you_mean(text, refusal.words.iter().copied());
                refuse(node, refusal.code, <T as Scalar>::expected(), refusal.help.or(near), report);
                None
            }
        }
    }

    fn schema(_defs: &mut Defs) -> Value {
        <T as Scalar>::schema()
    }
}

/// Any text. `NO`, `off` and `012` are text here, with and without quotes.
impl Scalar for String {
    fn expected() -> String {
        "a name".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<String, Refusal> {
        if text.is_empty() { Err(Refusal::new("wrong-type")) } else { Ok(text.to_owned()) }
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number", "boolean"] })
    }
}

/// Only what YAML 1.2 calls true and false (§10.3.2).
impl Scalar for bool {
    fn expected() -> String {
        "`true` or `false`".to_owned()
    }

    fn parse(text: &str, plain: bool) -> Result<bool, Refusal> {
        match text {
            "true" | "True" | "TRUE" if plain => Ok(true),
            "false" | "False" | "FALSE" if plain => Ok(false),
            "true" | "false" => Err(Refusal::new("wrong-type").help("remove the quotes")),
            "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Err(Refusal::new("wrong-type").help("write `true`")),
            "no" | "No" | "NO" | "off" | "Off" | "OFF" => Err(Refusal::new("wrong-type").help("write `false`")),
            _ => Err(Refusal::new("wrong-type")),
        }
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

/// A whole number as it must be written: decimal digits, without quotes, sign or leading zero.
pub(super) fn whole(text: &str, plain: bool) -> Result<u64, Refusal> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.is_empty() {
        let sign = text.strip_prefix(['-', '+']);
        let numeric = sign.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
        return Err(Refusal::new(if numeric { "out-of-range" } else { "wrong-type" }));
    }
    if !plain {
        return Err(Refusal::new("wrong-type").help("remove the quotes"));
    }
    if text.len() > 1 && text.starts_with('0') {
        let decimal = text.trim_start_matches('0');
        let decimal = if decimal.is_empty() { "0" } else { decimal };
        return Err(Refusal::new("wrong-type")
            .help(format!("write `{decimal}`: a leading zero means octal to some and nothing to others")));
    }
    text.parse().map_err(|_| Refusal::new("out-of-range"))
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole<const MIN: u64, const MAX: u64>(pub(super) u64);

impl<const MIN: u64, const MAX: u64> Scalar for Whole<MIN, MAX> {
    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn parse(text: &str, plain: bool) -> Result<Whole<MIN, MAX>, Refusal> {
        let value = whole(text, plain)?;
        if (MIN..=MAX).contains(&value) { Ok(Whole(value)) } else { Err(Refusal::new("out-of-range")) }
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A whole number from -`MAX` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signed<const MAX: i32>(pub(super) i32);

impl<const MAX: i32> Scalar for Signed<MAX> {
    fn expected() -> String {
        format!("a whole number from -{MAX} to {MAX}")
    }

    fn parse(text: &str, plain: bool) -> Result<Signed<MAX>, Refusal> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let value = i32::try_from(whole(digits, plain)?).map_err(|_| Refusal::new("out-of-range"))?;
        if value > MAX {
            return Err(Refusal::new("out-of-range"));
        }
        Ok(Signed(if negative { -value } else { value }))
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": -MAX, "maximum": MAX })
    }
}

/// Degrees from -`MAX` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Degrees<const MAX: i32>(pub(super) f64);

impl<const MAX: i32> Scalar for Degrees<MAX> {
    fn expected() -> String {
        format!("degrees from -{MAX} to {MAX}, such as 39.9")
    }

    fn parse(text: &str, plain: bool) -> Result<Degrees<MAX>, Refusal> {
        let shape = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
        let value: f64 = match text.parse() {
            Ok(value) if text.chars().all(shape) => value,
            _ => return Err(Refusal::new("wrong-type")),
        };
        if !plain {
            return Err(Refusal::new("wrong-type").help("remove the quotes"));
        }
        let max = f64::from(MAX);
        if (-max..=max).contains(&value) { Ok(Degrees(value)) } else { Err(Refusal::new("out-of-range")) }
    }

    fn schema() -> Value {
        json!({ "type": "number", "minimum": -MAX, "maximum": MAX })
    }
}

impl Scalar for Weight {
    fn expected() -> String {
        format!("a whole number from 0 to {}", limits::WEIGHT_MAX)
    }

    fn parse(text: &str, plain: bool) -> Result<Weight, Refusal> {
        Weight::new(whole(text, plain)?).map_err(|_| Refusal::new("out-of-range"))
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 0, "maximum": limits::WEIGHT_MAX })
    }
}

/// Digits and a unit.
fn duration_ms(text: &str) -> Result<u64, Refusal> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor_ms = match unit {
        _ if digits == 0 => return Err(Refusal::new("bad-duration")),
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => {
            return Err(
                Refusal::new("bad-duration").help(format!("say which unit: `{number}s`, `{number}ms`, `{number}m`"))
            );
        }
        _ => return Err(Refusal::new("bad-duration").help("units are ms, s, m, h and d, directly behind the number")),
    };
    let number: u64 = number.parse().map_err(|_| Refusal::new("out-of-range"))?;
    number.checked_mul(factor_ms).ok_or(Refusal::new("out-of-range"))
}

const DURATION_PATTERN: &str = "^[0-9]+(ms|s|m|h|d)$";

/// As people write it: `90s`, `5m`.
pub(super) fn show_ms(ms: u64) -> String {
    match ms {
        0 => "0s".to_owned(),
        ms if ms % 86_400_000 == 0 => format!("{}d", ms / 86_400_000),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

/// A duration from `MIN_MS` to `MAX_MS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lasting<const MIN_MS: u64, const MAX_MS: u64>(pub(super) Duration);

impl<const MIN_MS: u64, const MAX_MS: u64> Scalar for Lasting<MIN_MS, MAX_MS> {
    fn expected() -> String {
        format!("a duration from {} to {}, such as 500ms, 5s or 2m", show_ms(MIN_MS), show_ms(MAX_MS))
    }

    fn parse(text: &str, _plain: bool) -> Result<Self, Refusal> {
        let ms = duration_ms(text)?;
        if (MIN_MS..=MAX_MS).contains(&ms) {
            Ok(Lasting(Duration::from_millis(ms)))
        } else {
            Err(Refusal::new("out-of-range"))
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": DURATION_PATTERN })
    }
}

/// Seconds, or a duration in whole seconds.
impl Scalar for Ttl {
    fn expected() -> String {
        format!("seconds from 0 to {}, or a duration such as 15s or 5m", limits::TTL_MAX_S)
    }

    fn parse(text: &str, plain: bool) -> Result<Ttl, Refusal> {
        let seconds = if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            whole(text, plain)?
        } else {
            let ms = duration_ms(text)?;
            if !ms.is_multiple_of(1000) {
                return Err(Refusal::new("bad-duration").help("a time to live has whole seconds"));
            }
            ms / 1000
        };
        Ttl::from_secs(seconds).map_err(|_| Refusal::new("out-of-range"))
    }

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": limits::TTL_MAX_S },
            { "type": "string", "pattern": DURATION_PATTERN },
        ] })
    }
}

impl Scalar for Name {
    fn expected() -> String {
        "a domain name such as api.example.com".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Name, Refusal> {
        if text.chars().any(char::is_whitespace) {
            return Err(Refusal::new("bad-name").help("a domain name holds no spaces"));
        }
        Name::parse(text).map_err(|error| Refusal::new("bad-name").help(error.to_string()))
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

macro_rules! id_forms {
    ($($id:ident),+) => { $(
        impl Scalar for $id {
            fn expected() -> String {
                "an id: letters, digits, `_`, `-` and `.`".to_owned()
            }

            fn parse(text: &str, _plain: bool) -> Result<$id, Refusal> {
                $id::new(text).map_err(|error: IdError| Refusal::new("bad-id").help(error.to_string()))
            }

            fn schema() -> Value {
                json!({ "type": ["string", "number", "boolean"] })
            }
        }
    )+ };
}
id_forms!(DatacenterId, EndpointId, GroupId, RegionId, CheckId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_plain_and_without_leading_zeros() {
        type Number = Whole<0, 20>;
        let code = |text: &str, plain| Number::parse(text, plain).unwrap_err().code;
        assert_eq!(Number::parse("12", true), Ok(Whole(12)));
        assert_eq!(code("12", false), "wrong-type");
        assert_eq!(code("21", true), "out-of-range");
        assert_eq!(code("-1", true), "out-of-range");
        assert_eq!(code("99999999999999999999999", true), "out-of-range");
        for text in ["x", "0x10", "1.0", "1e3", "1_000", "-", ""] {
            assert_eq!(code(text, true), "wrong-type", "{text}");
        }
        assert!(Number::parse("012", true).unwrap_err().help.unwrap().contains("`12`"));
    }

    #[test]
    fn a_switch_is_true_or_false_and_no_other_word() {
        assert_eq!(<bool as Scalar>::parse("true", true), Ok(true));
        assert_eq!(<bool as Scalar>::parse("no", true).unwrap_err().help.unwrap(), "write `false`");
        assert!(<bool as Scalar>::parse("1", true).is_err());
    }

    #[test]
    fn durations_have_a_unit() {
        type Delay = Lasting<0, 3_600_000>;
        let ms = |text| Delay::parse(text, true).map(|delay| delay.0.as_millis());
        assert_eq!([ms("5s"), ms("500ms"), ms("2m"), ms("1h")], [Ok(5000), Ok(500), Ok(120_000), Ok(3_600_000)]);
        assert!(ms("5").unwrap_err().help.unwrap().contains("`5s`"));
        assert_eq!(ms("2h").unwrap_err().code, "out-of-range");
        assert_eq!(ms("99999999999999999999d").unwrap_err().code, "out-of-range");
        for text in ["s", "1.5s", "5 s", "5sec", "-5s", "5S", "é"] {
            assert_eq!(ms(text).unwrap_err().code, "bad-duration", "{text}");
        }
        assert_eq!(<Ttl as Scalar>::parse("5m", true), Ttl::from_secs(300).map_err(|_| unreachable!()));
        assert!(<Ttl as Scalar>::parse("1500ms", true).is_err());
        assert!(<Ttl as Scalar>::parse("8d", true).is_err());
    }
}
