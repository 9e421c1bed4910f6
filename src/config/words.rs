//! Words: what fields may say that know a handful of answers.

use std::time::Duration;

use serde_json::{Value, json};

use super::form::words;
use super::scalar::{Lasting, Refusal, Scalar};
use crate::limits;
use crate::model::{Continent, Failback, Method, Protocol};

words! {
    /// What a service's policy goes by.
    TypeWord {
        /// By the region of the client.
        Geolocation = "geolocation",
        /// At random, in proportion to weight.
        Weighted = "weighted",
        /// Another name for `weighted`.
        RoundRobin = "round_robin",
        /// The lowest `priority` number that is usable.
        Priority = "priority",
        /// The nearest data centre that is usable.
        Nearest = "nearest",
        /// In proportion to weight, the same client always to the same endpoint.
        Sticky = "sticky",
    }
}

words! {
    /// How a pool chooses.
    MethodWord {
        /// At random, in proportion to weight.
        Weighted = "weighted",
        /// Another name for `weighted`.
        RoundRobin = "round_robin",
        /// The lowest `priority` number that is usable.
        Priority = "priority",
        /// The nearest data centre that is usable.
        Nearest = "nearest",
        /// In proportion to weight, the same client always to the same member.
        Sticky = "sticky",
    }
}

words! {
    /// How to choose among all endpoints when nothing else applies.
    FallbackWord {
        /// At random, in proportion to weight.
        Weighted = "weighted",
        /// Another name for `weighted`.
        RoundRobin = "round_robin",
        /// The lowest `priority` number that is usable.
        Priority = "priority",
        /// The nearest data centre that is usable.
        Nearest = "nearest",
        /// In proportion to weight, the same client always to the same endpoint.
        Sticky = "sticky",
        /// Not at all.
        None = "none",
    }
}

words! {
    /// Whether a tier may be chosen by itself.
    EnterWord {
        /// Whenever its turn comes.
        Auto = "auto",
        /// Only by an order.
        Manual = "manual",
    }
}

words! {
    /// What an order must say.
    NeedWord {
        /// Why.
        Reason = "reason",
        /// Until when, if something stands because of it.
        ExpiresIn = "expires_in",
    }
}

words! {
    /// What a probe speaks.
    ProtocolWord {
        /// An HTTP request.
        Http = "http",
        /// An HTTP request over TLS.
        Https = "https",
        /// A TCP connection is opened, and something said over it perhaps.
        Tcp = "tcp",
        /// A TLS handshake.
        Tls = "tls",
        /// A DNS question.
        Dns = "dns",
        /// grpc.health.v1.
        Grpc = "grpc",
        /// An ICMP echo.
        Icmp = "icmp",
        /// A query to a Prometheus server, and a comparison.
        Prometheus = "prometheus",
        /// Nothing is asked: somebody else reports to the API.
        External = "external",
    }
}

words! {
    /// How certificates are verified.
    VerifyWord {
        /// By the system's certificate authorities.
        System = "system",
        /// Not at all.
        Off = "off",
    }
}

words! {
    /// How a DNS question travels.
    TransportWord {
        /// In a datagram.
        Udp = "udp",
        /// Over a connection.
        Tcp = "tcp",
    }
}

words! {
    /// What silence means.
    OnSilenceWord {
        /// Nothing is known.
        Unknown = "unknown",
        /// It is down.
        Down = "down",
    }
}

words! {
    /// What a caller of the API may do.
    RoleWord {
        /// Look.
        Viewer = "viewer",
        /// Look, and give orders.
        Operator = "operator",
        /// Everything.
        Admin = "admin",
    }
}

words! {
    /// Continents as GeoIP data names them.
    ContinentWord {
        /// Africa.
        Africa = "AF",
        /// Antarctica.
        Antarctica = "AN",
        /// Asia.
        Asia = "AS",
        /// Europe.
        Europe = "EU",
        /// North America.
        NorthAmerica = "NA",
        /// Oceania.
        Oceania = "OC",
        /// South America.
        SouthAmerica = "SA",
    }
}

words! {
    /// Response codes (RFC 1035 §4.1.1).
    RcodeWord {
        /// No error.
        NoError = "NOERROR",
        /// The query was malformed.
        FormErr = "FORMERR",
        /// The server failed.
        ServFail = "SERVFAIL",
        /// The name does not exist.
        NxDomain = "NXDOMAIN",
        /// The server does not do that.
        NotImp = "NOTIMP",
        /// The server does not serve that name.
        Refused = "REFUSED",
    }
}

impl TypeWord {
    /// How to choose among all endpoints; `None`: by region.
    pub(super) fn method(self) -> Option<Method> {
        match self {
            TypeWord::Geolocation => None,
            TypeWord::Weighted | TypeWord::RoundRobin => Some(Method::Weighted),
            TypeWord::Priority => Some(Method::Priority),
            TypeWord::Nearest => Some(Method::Nearest),
            TypeWord::Sticky => Some(Method::Sticky),
        }
    }
}

impl MethodWord {
    pub(super) fn method(self) -> Method {
        match self {
            MethodWord::Weighted | MethodWord::RoundRobin => Method::Weighted,
            MethodWord::Priority => Method::Priority,
            MethodWord::Nearest => Method::Nearest,
            MethodWord::Sticky => Method::Sticky,
        }
    }
}

impl FallbackWord {
    pub(super) fn method(self) -> Option<Method> {
        match self {
            FallbackWord::Weighted | FallbackWord::RoundRobin => Some(Method::Weighted),
            FallbackWord::Priority => Some(Method::Priority),
            FallbackWord::Nearest => Some(Method::Nearest),
            FallbackWord::Sticky => Some(Method::Sticky),
            FallbackWord::None => None,
        }
    }
}

impl ProtocolWord {
    pub(super) fn protocol(self) -> Protocol {
        match self {
            ProtocolWord::Http => Protocol::Http,
            ProtocolWord::Https => Protocol::Https,
            ProtocolWord::Tcp => Protocol::Tcp,
            ProtocolWord::Tls => Protocol::Tls,
            ProtocolWord::Dns => Protocol::Dns,
            ProtocolWord::Grpc => Protocol::Grpc,
            ProtocolWord::Icmp => Protocol::Icmp,
            ProtocolWord::Prometheus => Protocol::Prometheus,
            ProtocolWord::External => Protocol::External,
        }
    }
}

impl ContinentWord {
    pub(super) fn continent(self) -> Continent {
        match self {
            ContinentWord::Africa => Continent::Africa,
            ContinentWord::Antarctica => Continent::Antarctica,
            ContinentWord::Asia => Continent::Asia,
            ContinentWord::Europe => Continent::Europe,
            ContinentWord::NorthAmerica => Continent::NorthAmerica,
            ContinentWord::Oceania => Continent::Oceania,
            ContinentWord::SouthAmerica => Continent::SouthAmerica,
        }
    }
}

impl RcodeWord {
    /// RFC 1035 §4.1.1.
    pub(super) fn code(self) -> u8 {
        match self {
            RcodeWord::NoError => 0,
            RcodeWord::FormErr => 1,
            RcodeWord::ServFail => 2,
            RcodeWord::NxDomain => 3,
            RcodeWord::NotImp => 4,
            RcodeWord::Refused => 5,
        }
    }
}

/// When clients come back: `manual`, `auto`, or a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailbackWord(pub(super) Failback);

type Delay = Lasting<0, { limits::DELAY_MAX_MS }>;

impl Scalar for FailbackWord {
    fn expected() -> String {
        format!("`manual`, `auto`, or {}", <Delay as Scalar>::expected())
    }

    fn parse(text: &str, plain: bool) -> Result<FailbackWord, Refusal> {
        Ok(FailbackWord(match text {
            "manual" => Failback::Manual,
            "auto" => Failback::Auto,
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => match Delay::parse(text, plain)?.0 {
                Duration::ZERO => Failback::Auto,
                delay => Failback::After(delay),
            },
            _ => return Err(Refusal::word(&["manual", "auto"])),
        }))
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "enum": ["manual", "auto"] }, <Delay as Scalar>::schema()] })
    }
}

/// The type of a record, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordType(pub(super) u16);

/// Types that people ask for by name (IANA "DNS Parameters").
const RECORD_TYPES: [(&str, u16); 16] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DS", 43),
    ("TLSA", 52),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("ANY", 255),
    ("CAA", 257),
];

impl Scalar for RecordType {
    fn expected() -> String {
        "a record type such as A, AAAA, HTTPS or TYPE65".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<RecordType, Refusal> {
        let upper = text.to_ascii_uppercase();
        let known = RECORD_TYPES.iter().find(|(word, _)| *word == upper).map(|(_, number)| *number);
        let numbered = || upper.strip_prefix("TYPE").and_then(|number| number.parse().ok());
        known.or_else(numbered).map(RecordType).ok_or(Refusal::word(&["A", "AAAA", "HTTPS", "CNAME"]))
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9]*$" })
    }
}
