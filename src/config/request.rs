//! Scalars of health checks: what a probe asks, and what it wants to hear.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use regex::bytes::RegexBuilder;
use serde_json::{Value, json};

use super::form::{Defs, Form, refuse};
use super::report::Report;
use super::scalar::{Refusal, Scalar};
use super::yaml::{Kind, Node, quote};
use crate::limits;
use crate::model::{Comparison, Name, Number, ProbeHost, Relation};

/// Any text that is not empty, in bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl Scalar for Text {
    fn expected() -> String {
        format!("a text of at most {} octets", limits::PROBE_TEXT_LEN_MAX)
    }

    fn parse(text: &str, _plain: bool) -> Result<Text, Refusal> {
        match text.len() {
            0 => Err(Refusal::new("wrong-type")),
            len if len > limits::PROBE_TEXT_LEN_MAX => Err(Refusal::new("out-of-range")),
            _ => Ok(Text(text.to_owned())),
        }
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number", "boolean"] })
    }
}

/// True for a character of a token (RFC 9110 §5.6.2).
fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A method (RFC 9110 §9.1). Letters count as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token(pub(super) String);

impl Scalar for Token {
    fn expected() -> String {
        "a method such as GET, HEAD or POST".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Token, Refusal> {
        const METHOD_LEN_MAX: usize = 32;
        let refusal = Refusal::new("bad-method");
        let upper = text.to_ascii_uppercase();
        if text.is_empty() || text.len() > METHOD_LEN_MAX || !text.bytes().all(in_token) {
            Err(refusal)
        } else if upper == "CONNECT" {
            Err(refusal.help("a probe asks a server, not a proxy"))
        } else if upper != text && ["GET", "HEAD", "POST", "PUT", "OPTIONS"].contains(&&*upper) {
            Err(refusal.help(format!("write `{upper}`: the case of a method matters")))
        } else {
            Ok(Token(text.to_owned()))
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// The name of a header field (RFC 9110 §5.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldName(pub(super) String);

/// What a client says itself: connection by connection, or of the body.
const OWN_FIELDS: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

impl Scalar for FieldName {
    fn expected() -> String {
        "the name of a header field such as Accept".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<FieldName, Refusal> {
        const NAME_LEN_MAX: usize = 256;
        let refusal = Refusal::new("bad-header");
        let lower = text.to_ascii_lowercase();
        if text.is_empty() || text.len() > NAME_LEN_MAX || !text.bytes().all(in_token) {
            Err(refusal.help("letters, digits and hyphens, without a colon"))
        } else if lower == "host" {
            Err(refusal.help("write `host` as a field of the health check"))
        } else if OWN_FIELDS.contains(&&*lower) {
            Err(refusal.help("the probe says that itself"))
        } else {
            Ok(FieldName(lower))
        }
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

/// The value of a header field: visible ASCII, with spaces and tabs inside (RFC 9110 §5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldValue(pub(super) String);

impl Scalar for FieldValue {
    fn expected() -> String {
        format!("a header field's value: at most {} printable ASCII characters", limits::PROBE_TEXT_LEN_MAX)
    }

    fn parse(text: &str, _plain: bool) -> Result<FieldValue, Refusal> {
        let visible = text.bytes().all(|byte| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic());
        if !visible || text.trim_matches([' ', '\t']) != text || text.len() > limits::PROBE_TEXT_LEN_MAX {
            return Err(Refusal::new("bad-header").help("no line breaks, and no spaces at its ends"));
        }
        Ok(FieldValue(text.to_owned()))
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number", "boolean"] })
    }
}

/// A host name, without the final dot; `None` when it is none. The last label must not look like a part of an
/// address.
fn host_name(text: &str) -> Option<Name> {
    let name = Name::parse(text).ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let last = name.labels().next_back()?;
    let is_host = name.labels().all(|label| label.iter().copied().all(plain)) && !last.iter().all(u8::is_ascii_digit);
    is_host.then_some(name)
}

/// An address or a name that is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProbeAddress(pub(super) ProbeHost);

impl Scalar for ProbeAddress {
    fn expected() -> String {
        "an address or a host name such as 192.0.2.1 or db.example.com".to_owned()
    }

    fn parse(text: &str, plain: bool) -> Result<ProbeAddress, Refusal> {
        if text.parse::<IpAddr>().is_ok() {
            return <IpAddr as Scalar>::parse(text, plain).map(|address| ProbeAddress(ProbeHost::Address(address)));
        }
        match host_name(text) {
            Some(name) => Ok(ProbeAddress(ProbeHost::Name(name))),
            None if text.contains(':') => Err(Refusal::new("bad-address").help("the port is written as `port`")),
            None => Err(Refusal::new("bad-address")),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A host name or an address, with a port perhaps: what `Host` says (RFC 9110 §7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority(pub(super) String);

impl Authority {
    /// The host, without brackets, and the port.
    fn parts(text: &str) -> Option<(&str, Option<u16>)> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, rest)
            }
            None => match text.find(':') {
                Some(at) => (&text[..at], &text[at..]),
                None => (text, ""),
            },
        };
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            None if port.is_empty() => None,
            Some(_) | None => return None,
        };
        (host.parse::<IpAddr>().is_ok() || host_name(host).is_some()).then_some((host, port))
    }

    /// True when it says a port.
    pub(super) fn has_port(&self) -> bool {
        Authority::parts(&self.0).is_some_and(|(_, port)| port.is_some())
    }
}

impl Scalar for Authority {
    fn expected() -> String {
        "a host name such as www.example.com".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Authority, Refusal> {
        match Authority::parts(text) {
            Some(_) => Ok(Authority(text.trim_end_matches('.').to_ascii_lowercase())),
            None => Err(Refusal::new("bad-name")),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// HTTP status codes: `200`, `200-299`, `2xx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StatusCodes(pub(super) RangeInclusive<u16>);

impl Scalar for StatusCodes {
    fn expected() -> String {
        "a status code or a range of them, from 100 to 599, such as 200, 200-299 or 2xx".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<StatusCodes, Refusal> {
        let code = |text: &str| {
            let code = text.parse::<u16>().ok().filter(|_| text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()));
            code.filter(|code| (100..=599).contains(code)).ok_or(Refusal::new("bad-status"))
        };
        let (from, to) = match (text.strip_suffix("xx"), text.split_once('-')) {
            (Some(class), _) => (code(&format!("{class}00"))?, code(&format!("{class}99"))?),
            (None, Some((from, to))) => (code(from.trim())?, code(to.trim())?),
            (None, None) => (code(text)?, code(text)?),
        };
        if from > to {
            return Err(Refusal::new("bad-status").help(format!("write `{to}-{from}`")));
        }
        Ok(StatusCodes(from..=to))
    }

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^[1-5]([0-9]{2}( *- *[1-5][0-9]{2})?|xx)$" },
        ] })
    }
}

/// A regular expression, compiled once within bounds to see that it can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(pub(super) String);

impl Scalar for Pattern {
    fn expected() -> String {
        "a regular expression (the syntax of Rust's `regex`)".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Pattern, Refusal> {
        if text.is_empty() || text.len() > limits::PROBE_TEXT_LEN_MAX {
            return Err(Refusal::new("bad-regex").help(format!("at most {} octets", limits::PROBE_TEXT_LEN_MAX)));
        }
        match RegexBuilder::new(text).size_limit(limits::PROBE_REGEX_LEN_MAX).build() {
            Ok(_) => Ok(Pattern(text.to_owned())),
            Err(error) => Err(Refusal::new("bad-regex").help(regex_error(&error))),
        }
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number"], "minLength": 1 })
    }
}

/// The parser's words and, in a pattern of one line, the place that it points at.
fn regex_error(error: &regex::Error) -> String {
    let text = match error {
        regex::Error::CompiledTooBig(limit) => return format!("it compiles to more than {limit} octets"),
        other => other.to_string(),
    };
    let words = text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it does not compile");
    // Below the pattern, which stands four columns in, a line of carets.
    let carets = text.lines().find(|line| line.contains('^') && line.chars().all(|c| c == ' ' || c == '^'));
    match carets.and_then(|line| line.chars().position(|c| c == '^')).and_then(|at| at.checked_sub(4)) {
        Some(at) => format!("at character {}: {words}", at + 1),
        None => words.to_owned(),
    }
}

/// A field of a JSON document: a JSON Pointer (RFC 6901), or the name of a field of the outermost object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonField(pub(super) String);

impl Scalar for JsonField {
    fn expected() -> String {
        "the name of a field such as status, or a JSON Pointer such as /components/db/status".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<JsonField, Refusal> {
        let refusal = Refusal::new("bad-pointer");
        if text.is_empty() || text.len() > limits::PROBE_TEXT_LEN_MAX {
            return Err(refusal);
        }
        if !text.starts_with('/') {
            return match text.contains(['/', '~']) {
                true => Err(refusal.help(format!("as a pointer it is {}", quote(&format!("/{text}"))))),
                false => Ok(JsonField(format!("/{text}"))),
            };
        }
        if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(refusal.help("in a JSON Pointer `~` is written as `~0`, and `/` inside a name as `~1`"));
        }
        Ok(JsonField(text.to_owned()))
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// A JSON value that is no list and no object, as JSON text: YAML's plain numbers, `true`, `false` and `null`
/// are those of JSON, and anything else is a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonValue(pub(super) String);

impl Form for JsonValue {
    fn expected() -> String {
        "a text, a number, `true`, `false` or `null`".to_owned()
    }

    fn takes(node: &Node) -> bool {
        matches!(node.kind, Kind::Scalar { .. })
    }

    fn read(node: &Node, report: &mut Report) -> Option<JsonValue> {
        match &node.kind {
            Kind::Scalar { text, .. } if text.len() > limits::PROBE_TEXT_LEN_MAX => {
                let expected = format!("at most {} octets", limits::PROBE_TEXT_LEN_MAX);
                refuse(node, "out-of-range", expected, None, report);
                None
            }
            Kind::Scalar { .. } if node.is_null() => Some(JsonValue("null".to_owned())),
            Kind::Scalar { text, plain } => {
                let literal = serde_json::from_str::<Value>(text).ok().filter(|value| *plain && !value.is_string());
                let value = literal.unwrap_or_else(|| Value::String(text.to_string()));
                Some(JsonValue(value.to_string()))
            }
            Kind::List(_) | Kind::Mapping(_) => {
                refuse(node, "wrong-type", Self::expected(), None, report);
                None
            }
        }
    }

    fn schema(_defs: &mut Defs) -> Value {
        json!({ "type": ["string", "number", "boolean", "null"] })
    }
}

/// The base of a Prometheus server's URLs (RFC 3986): scheme, host, port and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Without the final slash.
    pub(super) text: String,
    pub(super) is_https: bool,
}

impl Scalar for Url {
    fn expected() -> String {
        "a URL such as http://prometheus.example:9090".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Url, Refusal> {
        const URL_LEN_MAX: usize = 2048;
        let refusal = Refusal::new("bad-url");
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(refusal.help("begin it with `http://` or `https://`"));
        };
        let is_https = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(refusal.help("begin it with `http://` or `https://`")),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err(refusal.help("without user and password"));
        }
        if path.contains(['?', '#']) || authority.contains(['?', '#']) {
            return Err(refusal.help("only the server's URL; the query is written as `query`"));
        }
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic());
        if text.len() > URL_LEN_MAX || !is_path || Authority::parts(authority).is_none() {
            return Err(refusal);
        }
        Ok(Url { text: text.trim_end_matches('/').to_owned(), is_https })
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^https?://" })
    }
}

/// A comparison with a number: `> 10`, `<= 2.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compared(pub(super) Comparison);

impl Scalar for Compared {
    fn expected() -> String {
        "a comparison in quotes, such as \"> 10\" or \"<= 2.5\"".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Compared, Refusal> {
        const SIGNS: [(&str, Relation); 4] =
            [("<=", Relation::AtMost), (">=", Relation::AtLeast), ("<", Relation::Less), (">", Relation::Greater)];
        let refusal = Refusal::new("bad-comparison");
        let found = SIGNS.into_iter().find_map(|(sign, is)| Some((is, text.strip_prefix(sign)?)));
        let Some((is, number)) = found else { return Err(refusal.help("begin it with `<`, `<=`, `>` or `>=`")) };
        let number = number.trim();
        let shape = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
        let number = number.parse().ok().filter(|_| number.chars().all(shape)).and_then(Number::new);
        number.map(|to| Compared(Comparison { is, to })).ok_or(refusal)
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[<>]=? *[-+]?[0-9.]" })
    }
}

/// A share of all: `30%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Percent(pub(super) u8);

impl Scalar for Percent {
    fn expected() -> String {
        "a percentage from 1% to 100%".to_owned()
    }

    fn parse(text: &str, plain: bool) -> Result<Percent, Refusal> {
        let Some(digits) = text.strip_suffix('%') else {
            return Err(Refusal::new("bad-percentage").help("write it with its sign, such as `30%`"));
        };
        let percent = super::scalar::whole(digits, plain || !digits.is_empty())?;
        match u8::try_from(percent) {
            Ok(percent @ 1..=100) => Ok(Percent(percent)),
            Ok(_) | Err(_) => Err(Refusal::new("out-of-range")),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[0-9]{1,3}%$" })
    }
}

/// How many, or which share: `2`, `50%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountOrShare {
    Count(u32),
    Share(u8),
}

impl Scalar for CountOrShare {
    fn expected() -> String {
        format!("a number from 1 to {}, or a percentage from 1% to 100%", u16::MAX)
    }

    fn parse(text: &str, plain: bool) -> Result<CountOrShare, Refusal> {
        if text.ends_with('%') {
            return Percent::parse(text, plain).map(|percent| CountOrShare::Share(percent.0));
        }
        match u16::try_from(super::scalar::whole(text, plain)?) {
            Ok(count @ 1..) => Ok(CountOrShare::Count(count.into())),
            Ok(_) | Err(_) => Err(Refusal::new("out-of-range")),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": u16::MAX },
            <Percent as Scalar>::schema(),
        ] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_are_codes_ranges_and_classes() {
        let codes = |text| StatusCodes::parse(text, true).map(|codes| codes.0);
        assert_eq!(codes("204"), Ok(204..=204));
        assert_eq!(codes("200-299"), Ok(200..=299));
        assert_eq!(codes("3xx"), Ok(300..=399));
        assert_eq!(codes("299-200").unwrap_err().help.unwrap(), "write `200-299`");
        for text in ["99", "600", "20", "2000", "+20", "200-", "-200", "9xx", "xx", "é"] {
            assert_eq!(codes(text).unwrap_err().code, "bad-status", "{text}");
        }
    }

    #[test]
    fn a_regular_expression_is_refused_with_the_parsers_words_and_place() {
        let help = |text: &str| Pattern::parse(text, true).unwrap_err().help.unwrap();
        assert!(Pattern::parse(r#""status"\s*:\s*"UP""#, true).is_ok());
        assert_eq!(help("ab(c"), "at character 3: unclosed group");
        assert_eq!(help("é[z-a]"), "at character 3: invalid character class range, the start must be <= the end");
        assert!(help("(?:a{1000}){1000}").contains("more than 1048576 octets"));
        assert!(help("a(?=b)").contains("look-around"));
    }

    #[test]
    fn comparisons_have_a_sign_and_a_number() {
        let text = |text| Compared::parse(text, false).map(|compared| compared.0.to_string());
        assert_eq!(text("> 10"), Ok("> 10".into()));
        assert_eq!(text("<=2.5"), Ok("<= 2.5".into()));
        assert_eq!(text(">= -1e3"), Ok(">= -1000".into()));
        for bad in ["10", "= 1", "> ", "> x", "> inf", "> NaN", "> 1e999", "< 1 2"] {
            assert_eq!(text(bad).unwrap_err().code, "bad-comparison", "{bad}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port_perhaps() {
        let ok = |text| Authority::parse(text, true).is_ok();
        for text in ["www.example.com", "localhost", "a_b.example:8080", "192.0.2.1:80", "[2001:db8::1]:443"] {
            assert!(ok(text), "{text}");
        }
        for text in ["", "a b", "a/b", "a@b", "a:x", "a:99999", "1.2.3", "[::1", "[x]:1", "a:+1", "é"] {
            assert!(!ok(text), "{text}");
        }
        let url = |text| Url::parse(text, true).map(|url| url.text);
        assert_eq!(url("https://prometheus.example/prom/"), Ok("https://prometheus.example/prom".into()));
        for text in ["prometheus:9090", "ftp://a", "http://", "http://u:p@a", "http://a/?q=1", "http://a/ b"] {
            assert_eq!(url(text).unwrap_err().code, "bad-url", "{text}");
        }
    }

    #[test]
    fn header_fields_that_the_probe_says_itself_are_refused() {
        assert_eq!(FieldName::parse("X-Probe", true), Ok(FieldName("x-probe".into())));
        for name in ["Host", "Content-Length", "transfer-encoding", "a:b", "", "a b", "é"] {
            assert_eq!(FieldName::parse(name, true).unwrap_err().code, "bad-header", "{name}");
        }
        for value in ["a\r\nb: c", " a", "é", "\u{0}"] {
            assert_eq!(FieldValue::parse(value, true).unwrap_err().code, "bad-header", "{value:?}");
        }
    }

    #[test]
    fn fields_of_json_are_pointers_or_names() {
        let field = |text| JsonField::parse(text, true).map(|field| field.0);
        assert_eq!(field("status"), Ok("/status".into()));
        assert_eq!(field("/components/db~1main/status"), Ok("/components/db~1main/status".into()));
        assert!(field("components/db").unwrap_err().help.unwrap().contains("`/components/db`"));
        assert_eq!(field("/a~2").unwrap_err().code, "bad-pointer");
    }
}
