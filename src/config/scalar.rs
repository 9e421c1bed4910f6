//! Scalars: what single values may be, and what is said when they are not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};

use super::form::{Defs, Form, refuse};
use super::report::Report;
use super::yaml::{Kind, Node};
use crate::limits;
use crate::model::{CheckId, DatacenterId, EndpointId, GroupId, IdError, Name, RegionId, Ttl, Weight};

/// Why a scalar was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    code: &'static str,
    help: Option<String>,
    /// Words that would have been taken.
    words: &'static [&'static str],
}

impl Refusal {
    fn new(code: &'static str) -> Refusal {
        Refusal { code, help: None, words: &[] }
    }

    fn help(self, help: impl Into<String>) -> Refusal {
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
fn whole(text: &str, plain: bool) -> Result<u64, Refusal> {
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

/// Why no server can be reached at `address`, if so.
fn unusable(address: IpAddr) -> Option<&'static str> {
    let v4_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_unspecified() {
        Some("no server has the unspecified address")
    } else if address.is_multicast() || v4_broadcast {
        Some("no single server has a multicast or broadcast address")
    } else if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        Some("write the IPv4 address itself")
    } else {
        None
    }
}

fn address<T: std::str::FromStr + Copy + Into<IpAddr>>(text: &str) -> Result<T, Refusal> {
    let address: T = text.parse().map_err(|_| {
        let refusal = Refusal::new("bad-address");
        match (text.parse::<IpAddr>(), text.split_once('/')) {
            (Ok(IpAddr::V4(_)), _) => refusal.help("this is an IPv4 address"),
            (Ok(IpAddr::V6(_)), _) => refusal.help("this is an IPv6 address"),
            (Err(_), Some(_)) => refusal.help("an endpoint has addresses, not networks"),
            (Err(_), None) if text.parse::<SocketAddr>().is_ok() => {
                refusal.help("without the port; the port that is probed belongs into the health check")
            }
            (Err(_), None) if Name::parse(text).is_ok() && text.contains(|c: char| c.is_ascii_alphabetic()) => {
                refusal.help("a name is written as `cname`")
            }
            (Err(_), None) => refusal,
        }
    })?;
    match unusable(address.into()) {
        Some(why) => Err(Refusal::new("bad-address").help(why)),
        None => Ok(address),
    }
}

macro_rules! address_forms {
    ($($type:ident, $expected:literal;)+) => { $(
        impl Scalar for $type {
            fn expected() -> String {
                $expected.to_owned()
            }

            fn parse(text: &str, _plain: bool) -> Result<$type, Refusal> {
                address(text)
            }

            fn schema() -> Value {
                json!({ "type": "string", "minLength": 2 })
            }
        }
    )+ };
}
address_forms! {
    IpAddr, "an IPv4 or IPv6 address";
    Ipv4Addr, "an IPv4 address";
    Ipv6Addr, "an IPv6 address";
}

/// `net` as the IPv4 network it carries, when it lies in `::ffff:0:0/96` or in 6to4 (RFC 3056 §2).
pub(super) fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let octets = v6.network().octets();
    let (skipped, v4) = if octets[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] && v6.prefix_len() >= 96 {
        (96, [octets[12], octets[13], octets[14], octets[15]])
    } else if octets[..2] == [0x20, 0x02] && v6.prefix_len() >= 16 {
        (16, [octets[2], octets[3], octets[4], octets[5]])
    } else {
        return net;
    };
    let len = (v6.prefix_len() - skipped).min(32);
    Ipv4Net::new(Ipv4Addr::from(v4), len).map_or(net, |v4| IpNet::V4(v4.trunc()))
}

/// A network or a single address, as written.
fn network(text: &str) -> Result<IpNet, Refusal> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    text.parse().map_err(|_| Refusal::new("bad-network"))
}

/// A network without host bits, canonical.
impl Scalar for IpNet {
    fn expected() -> String {
        "a network such as 192.0.2.0/24 or 2001:db8::/32".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<IpNet, Refusal> {
        let net = network(text)?;
        if net.trunc() != net {
            return Err(Refusal::new("host-bits").help(format!("the network is `{}`", net.trunc())));
        }
        Ok(canonical(net))
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 2 })
    }
}

/// A client: an address, or a network whose host bits do not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client(pub(super) IpNet);

impl Scalar for Client {
    fn expected() -> String {
        "a client's address or network, such as 192.0.2.7 or 192.0.2.0/24".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Client, Refusal> {
        Ok(Client(canonical(network(text)?.trunc())))
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 2 })
    }
}

impl Scalar for SocketAddr {
    fn expected() -> String {
        "an address and a port, such as 192.0.2.1:53 or [2001:db8::1]:53".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<SocketAddr, Refusal> {
        text.parse().map_err(|_| {
            let refusal = Refusal::new("bad-address");
            match text.parse::<IpAddr>() {
                Ok(IpAddr::V4(v4)) => refusal.help(format!("write `{v4}:53`")),
                Ok(IpAddr::V6(v6)) => refusal.help(format!("write `[{v6}]:53`, in quotes")),
                Err(_) => refusal,
            }
        })
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 3 })
    }
}

/// An autonomous system: `4134` or `AS4134`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asn(pub(super) u32);

impl Scalar for Asn {
    fn expected() -> String {
        "the number of an autonomous system, such as 4134 or AS4134".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Asn, Refusal> {
        let digits =
            if text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("as")) { &text[2..] } else { text };
        let number = u32::try_from(whole(digits, true)?).map_err(|_| Refusal::new("out-of-range"))?;
        Ok(Asn(number))
    }

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            { "type": "string", "pattern": "^[Aa][Ss][0-9]+$" },
        ] })
    }
}

/// The target of an HTTP request: an absolute path, with a query perhaps (RFC 9112 §3.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target(pub(super) String);

impl Scalar for Target {
    fn expected() -> String {
        "a path such as /health".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Target, Refusal> {
        let refusal = Refusal::new("bad-path");
        if !text.starts_with('/') {
            return Err(refusal.help("begin it with `/`"));
        }
        if text.len() > 2048 || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(refusal.help("at most 2048 printable ASCII characters, without spaces and `#`; others as %XX"));
        }
        Ok(Target(text.to_owned()))
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^/" })
    }
}

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

    #[test]
    fn networks_are_without_host_bits_and_canonical() {
        let net = |text| <IpNet as Scalar>::parse(text, true).map(|net| net.to_string());
        assert_eq!(net("10.0.0.0/8"), Ok("10.0.0.0/8".into()));
        assert_eq!(net("10.0.0.1"), Ok("10.0.0.1/32".into()));
        assert_eq!(net("::ffff:10.0.0.0/104"), Ok("10.0.0.0/8".into()));
        assert_eq!(net("2002:a00::/24"), Ok("10.0.0.0/8".into()));
        assert_eq!(net("2002:a00:1:7::/64"), Ok("10.0.0.1/32".into()));
        assert_eq!(net("::/0"), Ok("::/0".into()));
        let refusal = net("10.1.2.3/8").unwrap_err();
        assert_eq!((refusal.code, refusal.help.unwrap().as_str()), ("host-bits", "the network is `10.0.0.0/8`"));
    }

    #[test]
    fn addresses_that_no_server_has_are_refused() {
        let ok = |text| <IpAddr as Scalar>::parse(text, true).is_ok();
        assert!(ok("192.0.2.1") && ok("2001:db8::1") && ok("127.0.0.1"));
        for text in
            ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:1.2.3.4", "1.2.3.4/32", "1.2.3"]
        {
            assert!(!ok(text), "{text}");
        }
    }

    #[test]
    fn systems_are_written_with_and_without_their_letters() {
        assert_eq!(Asn::parse("AS4134", true), Ok(Asn(4134)));
        assert_eq!(Asn::parse("4134", true), Ok(Asn(4134)));
        assert!(Asn::parse("ASX", true).is_err());
        assert!(Asn::parse("é1", true).is_err());
    }
}
