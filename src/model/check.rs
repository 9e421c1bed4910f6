//! Health checks as policies define them, and how an endpoint's checks combine.
//!
//! A [`Check`] is a definition with a name; its [`CheckSpec`] is what is done, and two checks with equal
//! specs are one probe for the same target. Every field is resolved: defaults are filled in, except those
//! that depend on the service (host name) or the endpoint (address), which [`TargetSpec`] settles.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{CheckId, Name, Origin};

/// A health check in [`super::PolicySet::checks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckIx(pub u16);

/// What a probe speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Protocol {
    Http,
    Https,
    Tcp,
    Tls,
    Dns,
    Grpc,
    Icmp,
    Prometheus,
    External,
}

impl Protocol {
    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
            Protocol::Dns => "dns",
            Protocol::Grpc => "grpc",
            Protocol::Icmp => "icmp",
            Protocol::Prometheus => "prometheus",
            Protocol::External => "external",
        }
    }

    /// The port that is probed unless the check names another. Those without one need it, or have none.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Protocol::Http => Some(80),
            Protocol::Https | Protocol::Tls => Some(443),
            Protocol::Dns => Some(53),
            Protocol::Tcp | Protocol::Grpc | Protocol::Icmp | Protocol::Prometheus | Protocol::External => None,
        }
    }
}

/// What a probe asks, and what it takes for a good answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// An HTTP request, over TLS when there are [`TlsParams`].
    Http(HttpProbe),
    /// A TCP connection.
    Tcp(TcpProbe),
    /// A TLS handshake.
    Tls(TlsParams),
    /// A DNS question.
    Dns(DnsProbe),
    /// grpc.health.v1.Health/Check; SERVING is good.
    Grpc(GrpcProbe),
    /// An ICMP echo.
    Icmp,
    /// An instant query to a Prometheus server; not to the endpoint.
    Prometheus(PrometheusProbe),
    /// Nothing is asked: reporters tell by `PUT /api/health/{endpoint}/{check}`.
    External,
}

impl Probe {
    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        match self {
            Probe::Http(HttpProbe { tls: None, .. }) => Protocol::Http,
            Probe::Http(HttpProbe { tls: Some(_), .. }) => Protocol::Https,
            Probe::Tcp(_) => Protocol::Tcp,
            Probe::Tls(_) => Protocol::Tls,
            Probe::Dns(_) => Protocol::Dns,
            Probe::Grpc(_) => Protocol::Grpc,
            Probe::Icmp => Protocol::Icmp,
            Probe::Prometheus(_) => Protocol::Prometheus,
            Probe::External => Protocol::External,
        }
    }

    /// The files that it reads: certificates and keys.
    pub fn files(&self) -> Vec<&Path> {
        let verify = match self {
            Probe::Prometheus(prometheus) => Some(&prometheus.verify),
            other => other.tls().map(|tls| &tls.verify),
        };
        let ca = verify.and_then(|verify| match verify {
            Verify::Ca(file) => Some(file.as_path()),
            Verify::System | Verify::Off => None,
        });
        let client = self.tls().and_then(|tls| tls.client.as_ref());
        ca.into_iter().chain(client.into_iter().flat_map(|(cert, key)| [cert.as_path(), key.as_path()])).collect()
    }

    /// Its TLS parameters, if it speaks TLS to the endpoint.
    pub fn tls(&self) -> Option<&TlsParams> {
        match self {
            Probe::Http(http) => http.tls.as_ref(),
            Probe::Tls(tls) => Some(tls),
            Probe::Grpc(grpc) => grpc.tls.as_ref(),
            Probe::Tcp(_) | Probe::Dns(_) | Probe::Icmp | Probe::Prometheus(_) | Probe::External => None,
        }
    }
}

/// An HTTP request and the answer that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    /// `None`: in the clear.
    pub tls: Option<TlsParams>,
    /// HTTP/2 with prior knowledge (in the clear) or by ALPN (over TLS); else HTTP/1.1.
    pub http2: bool,
    /// Such as `GET`.
    pub method: String,
    /// The request target, in origin form.
    pub path: String,
    /// `Host` or `:authority`; `None`: the service's name.
    pub host: Option<String>,
    /// More header fields, checked: in the order written.
    pub headers: Vec<(String, String)>,
    /// Status codes that are good.
    pub status: Vec<RangeInclusive<u16>>,
    /// What the body must contain.
    pub contains: Option<String>,
    /// What the body must match; checked that it compiles within bounds.
    pub regex: Option<String>,
    /// What fields of a JSON body must be: JSON Pointer (RFC 6901) and the value as JSON text.
    pub json: Vec<(String, String)>,
    /// Redirects followed, to the same address only. 0: a redirect is an answer like any other.
    pub redirects: u8,
}

impl HttpProbe {
    /// What a check that says nothing but a path asks: GET over HTTP/1.1 in the clear, good when the status is 2xx.
    pub fn get(path: &str) -> HttpProbe {
        HttpProbe {
            tls: None,
            http2: false,
            method: "GET".to_owned(),
            path: path.to_owned(),
            host: None,
            headers: Vec::new(),
            status: vec![200..=299],
            contains: None,
            regex: None,
            json: Vec::new(),
            redirects: 0,
        }
    }
}

/// A TCP connection, and what is said over it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct TcpProbe {
    /// Sent once connected.
    pub send: Option<Vec<u8>>,
    /// Must come back, anywhere in what the peer says first.
    pub expect: Option<Vec<u8>>,
}

/// How a probe does TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsParams {
    /// The server name; `None`: the service's name.
    pub sni: Option<String>,
    /// Against what certificates are verified.
    pub verify: Verify,
    /// Certificate chain and key of the client, PEM files.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Warn when the certificate expires sooner than this.
    pub expiry_warning: Duration,
    /// An expired certificate is good enough.
    pub allow_expired: bool,
}

/// Against what certificates are verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verify {
    /// The system's certificate authorities.
    System,
    /// Those in a PEM file.
    Ca(PathBuf),
    /// Not at all.
    Off,
}

/// A question to a DNS server, and the answer that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsProbe {
    /// What is asked for; `None`: the service's name.
    pub name: Option<Name>,
    /// The type asked for.
    pub rtype: u16,
    /// Over TCP.
    pub tcp: bool,
    /// The response code that is good.
    pub rcode: u16,
    /// One of the answers must be this, in presentation format.
    pub answer: Option<String>,
}

/// grpc.health.v1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrpcProbe {
    /// `None`: in the clear.
    pub tls: Option<TlsParams>,
    /// The service asked about; empty: the whole server.
    pub service: String,
    /// `:authority`; `None`: the service's name.
    pub host: Option<String>,
}

/// An instant query and the comparison that is good.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PrometheusProbe {
    /// Of the Prometheus server: `http://prometheus.example:9090`.
    pub url: String,
    /// PromQL. `$datacenter`, `$endpoint`, `$service` and `$address` stand for the endpoint's own.
    pub query: String,
    /// With what the value is compared, and how.
    pub up_when: Comparison,
    /// How its certificate is verified, for `https` URLs.
    pub verify: Verify,
}

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Comparison {
    /// How.
    pub is: Relation,
    /// With what.
    pub to: Number,
}

impl Comparison {
    /// True when `value` compares so.
    pub fn holds(self, value: f64) -> bool {
        let to = self.to.value();
        match self.is {
            Relation::Less => value < to,
            Relation::AtMost => value <= to,
            Relation::Greater => value > to,
            Relation::AtLeast => value >= to,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.is {
            Relation::Less => "<",
            Relation::AtMost => "<=",
            Relation::Greater => ">",
            Relation::AtLeast => ">=",
        };
        write!(f, "{sign} {}", self.to.value())
    }
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Relation {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A finite number that can be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Number(u64);

impl Number {
    /// `None` for what is no finite number. -0 is 0.
    pub fn new(value: f64) -> Option<Number> {
        value.is_finite().then(|| Number((value + 0.0).to_bits()))
    }

    /// The number.
    pub fn value(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// An address or a name that is probed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeHost {
    /// An address.
    Address(IpAddr),
    /// A name, resolved for each probe.
    Name(Name),
}

impl fmt::Display for ProbeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeHost::Address(address) => address.fmt(f),
            ProbeHost::Name(name) => name.fmt(f),
        }
    }
}

/// Down when so large a part of the last results are failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailRatio {
    /// Percent of the window, 1 to 100.
    pub percent: u8,
    /// How many results are looked at.
    pub window: u16,
}

/// What is done to find out whether something is up. Two checks with equal specs are one probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckSpec {
    /// What is asked.
    pub probe: Probe,
    /// Probed in place of the address that is answered.
    pub host: Option<ProbeHost>,
    /// The port probed; `None` only where the protocol has none, or its URL says it.
    pub port: Option<u16>,
    /// From the start of one probe to the start of the next, at most.
    pub interval: Duration,
    /// The same between the probes that confirm a failure.
    pub fast_interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// A good answer that takes longer than this is a failure. At most `timeout`, which is the default.
    pub max_response: Duration,
    /// Consecutive failures until an address is down. At least 1.
    pub fall: u16,
    /// Consecutive successes until it is up. At least 1.
    pub rise: u16,
    /// Also down when too large a part of the last results are failures.
    pub fail_ratio: Option<FailRatio>,
    /// `prometheus` and `external`: silence counts as down; else it is unknown.
    pub silence_is_down: bool,
}

impl CheckSpec {
    /// The longest mark after which an unanswered probe starts the next, in ms; what holds without history.
    pub const SLOW_MARK_MAX: Duration = Duration::from_millis(500);

    /// The shortest such mark.
    pub const SLOW_MARK_MIN: Duration = Duration::from_millis(100);

    /// What is done by a check that says nothing but what is asked: the defaults of a policy file.
    pub fn of(probe: Probe) -> CheckSpec {
        CheckSpec {
            probe,
            host: None,
            port: None,
            interval: Duration::from_secs(5),
            fast_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(3),
            max_response: Duration::from_secs(3),
            fall: 3,
            rise: 2,
            fail_ratio: None,
            silence_is_down: false,
        }
    }

    /// The longest time from a failure, in the worst phase of the schedule, to the verdict "down":
    /// `interval`, then the slow mark, then `fall - 2` fast intervals, then `timeout`.
    pub fn worst_case(&self) -> Duration {
        WorstCase::of(self).total()
    }
}

/// What the worst case of a check is made of. As text, the sum spelled out:
/// `5s interval + 0.5s slow mark + 1s fast + 3s timeout = 9.5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorstCase {
    interval: Duration,
    slow_mark: Duration,
    fast_interval: Duration,
    /// How many fast intervals.
    fast: u32,
    timeout: Duration,
}

/// A summand of a [`WorstCase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Summand {
    Interval,
    SlowMark,
    Fast,
    Timeout,
}

impl WorstCase {
    /// Of a check.
    pub fn of(check: &CheckSpec) -> WorstCase {
        WorstCase {
            interval: check.interval,
            slow_mark: if check.fall > 1 { CheckSpec::SLOW_MARK_MAX } else { Duration::ZERO },
            fast_interval: check.fast_interval,
            fast: u32::from(check.fall).saturating_sub(2),
            timeout: check.timeout,
        }
    }

    /// The sum.
    pub fn total(self) -> Duration {
        self.summands().into_iter().map(|(_, time)| time).sum()
    }

    /// The summands, in the order of the sum.
    pub fn summands(self) -> [(Summand, Duration); 4] {
        [
            (Summand::Interval, self.interval),
            (Summand::SlowMark, self.slow_mark),
            (Summand::Fast, self.fast_interval * self.fast),
            (Summand::Timeout, self.timeout),
        ]
    }
}

impl fmt::Display for WorstCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} interval", show_seconds(self.interval))?;
        if !self.slow_mark.is_zero() {
            write!(f, " + {} slow mark", show_seconds(self.slow_mark))?;
        }
        match self.fast {
            0 => {}
            1 => write!(f, " + {} fast", show_seconds(self.fast_interval))?,
            fast => write!(f, " + {fast} × {} fast", show_seconds(self.fast_interval))?,
        }
        write!(f, " + {} timeout = {}", show_seconds(self.timeout), show_seconds(self.total()))
    }
}

/// Seconds as people write them, whole or with at most three decimals: `5s`, `0.5s`.
pub fn show_seconds(time: Duration) -> String {
    let (seconds, ms) = (time.as_secs(), time.subsec_millis());
    match ms {
        0 => format!("{seconds}s"),
        _ => format!("{}s", format!("{seconds}.{ms:03}").trim_end_matches('0')),
    }
}

/// A check with its name.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its id: as defined under `health_checks`, or the service's name for a check of its own.
    pub id: CheckId,
    /// What is done.
    pub spec: Arc<CheckSpec>,
    /// Where it was written.
    pub origin: Origin,
}

/// One thing that is probed: a check with everything settled that depends on service and endpoint. Equal
/// targets are probed once, whatever the number of services.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetSpec {
    /// What is done.
    pub check: Arc<CheckSpec>,
    /// Where: the address answered, or the one that stands in its place.
    pub host: ProbeHost,
    /// The port; 0 where the protocol has none.
    pub port: u16,
    /// The service's name as a host name, without the final dot; empty where the probe does not need it.
    pub service: Arc<str>,
    /// The query with its variables filled in, for `prometheus`; else empty.
    pub query: Arc<str>,
}

/// How the checks of an endpoint combine into one verdict, in three-valued logic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckExpr {
    /// The verdict of one check.
    Check(CheckIx),
    /// Up when all are, down when one is. Empty: up, for an endpoint without checks is up.
    All(Vec<CheckExpr>),
    /// Up when one is, down when all are.
    Any(Vec<CheckExpr>),
    /// Up when at least `n` are, down when so many are down that `n` can not be reached.
    AtLeast {
        /// How many.
        n: usize,
        /// Of which.
        of: Vec<CheckExpr>,
    },
}

impl CheckExpr {
    /// Every check that the verdict depends on.
    pub fn checks(&self) -> Vec<CheckIx> {
        match self {
            CheckExpr::Check(check) => vec![*check],
            CheckExpr::All(of) | CheckExpr::Any(of) | CheckExpr::AtLeast { of, .. } => {
                of.iter().flat_map(CheckExpr::checks).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_check_notices_within_nine_and_a_half_seconds() {
        let spec = |fall| CheckSpec { fall, ..CheckSpec::of(Probe::Icmp) };
        let worst = [1, 2, 3, 5].map(|fall| spec(fall).worst_case().as_millis());
        assert_eq!(worst, [8000, 8500, 9500, 11500]);
        let sum = [1, 2, 3, 5].map(|fall| WorstCase::of(&spec(fall)).to_string());
        assert_eq!(
            sum,
            [
                "5s interval + 3s timeout = 8s",
                "5s interval + 0.5s slow mark + 3s timeout = 8.5s",
                "5s interval + 0.5s slow mark + 1s fast + 3s timeout = 9.5s",
                "5s interval + 0.5s slow mark + 3 × 1s fast + 3s timeout = 11.5s",
            ]
        );
    }

    #[test]
    fn numbers_compare_as_written() {
        let lag = Comparison { is: Relation::AtMost, to: Number::new(2.5).unwrap() };
        assert_eq!([2.5, 2.6].map(|value| lag.holds(value)), [true, false]);
        assert!(!lag.holds(f64::NAN), "what is no number never holds");
        assert_eq!(lag.to_string(), "<= 2.5");
        assert_eq!(Number::new(-0.0), Number::new(0.0));
        assert_eq!(Number::new(f64::INFINITY), None);
    }
}
