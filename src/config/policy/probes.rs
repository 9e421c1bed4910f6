//! One health check: from what the file says to what is done.
//!
//! A check has one mapping of fields for all protocols; [`FIELDS`] says which protocol takes which, and a field
//! of another protocol is refused. What remains is filled in with defaults, so that two checks that do the
//! same are equal, however they were written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::check_spec::{Consecutive, HealthCheckSpec, TlsSpec};
use crate::config::form::{At, Entries, OneOrMany};
use crate::config::report::{Report, with_help};
use crate::config::request::{JsonField, JsonValue};
use crate::config::source::Span;
use crate::config::words::{OnSilenceWord, ProtocolWord, RcodeWord, TransportWord, VerifyWord};
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{
    CheckSpec, DnsProbe, FailRatio, GrpcProbe, HttpProbe, Name, Probe, PrometheusProbe, Protocol, TcpProbe, TlsParams,
    Verify,
};

/// Something that may have been written.
trait Written {
    /// Where; `None` for a default.
    fn written(&self) -> Option<Span>;
}

impl<T> Written for Option<At<T>> {
    fn written(&self) -> Option<Span> {
        self.as_ref().filter(|field| field.given).map(|field| field.at)
    }
}

impl<T> Written for Option<OneOrMany<T>> {
    fn written(&self) -> Option<Span> {
        self.as_ref().map(|list| list.at)
    }
}

impl Written for Option<TlsSpec> {
    fn written(&self) -> Option<Span> {
        self.as_ref().map(|tls| tls.at)
    }
}

/// A field of a health check, and who takes it.
pub(in crate::config) struct Taken {
    pub(in crate::config) field: &'static str,
    written: fn(&HealthCheckSpec) -> Option<Span>,
    pub(in crate::config) by: &'static [Protocol],
}

/// Fields with those who take them.
macro_rules! taken {
    ($($name:literal $field:ident by $by:expr;)+) => {
        [$(Taken { field: $name, written: |spec| spec.$field.written(), by: $by }),+]
    };
}

const WEB: &[Protocol] = &[Protocol::Http, Protocol::Https];
const PROBED: &[Protocol] = &[
    Protocol::Http,
    Protocol::Https,
    Protocol::Tcp,
    Protocol::Tls,
    Protocol::Dns,
    Protocol::Grpc,
    Protocol::Icmp,
    Protocol::Prometheus,
];
const ADDRESSED: &[Protocol] =
    &[Protocol::Http, Protocol::Https, Protocol::Tcp, Protocol::Tls, Protocol::Dns, Protocol::Grpc, Protocol::Icmp];
const WITH_PORT: &[Protocol] =
    &[Protocol::Http, Protocol::Https, Protocol::Tcp, Protocol::Tls, Protocol::Dns, Protocol::Grpc];

/// Which protocol takes which field. `protocol` itself is not here.
pub(in crate::config) const FIELDS: [Taken; 34] = taken! {
    "address" address by ADDRESSED;
    "port" port by WITH_PORT;
    "method" method by WEB;
    "path" path by WEB;
    "host" host by &[Protocol::Http, Protocol::Https, Protocol::Grpc];
    "headers" headers by WEB;
    "status" status by WEB;
    "contains" contains by WEB;
    "regex" regex by WEB;
    "json" json by WEB;
    "http2" http2 by WEB;
    "redirects" redirects by WEB;
    "tls" tls by &[Protocol::Https, Protocol::Tls, Protocol::Grpc, Protocol::Prometheus];
    "send" send by &[Protocol::Tcp];
    "expect" expect by &[Protocol::Tcp];
    "question" question by &[Protocol::Dns];
    "type" r#type by &[Protocol::Dns];
    "rcode" rcode by &[Protocol::Dns];
    "answer" answer by &[Protocol::Dns];
    "transport" transport by &[Protocol::Dns];
    "service" service by &[Protocol::Grpc];
    "url" url by &[Protocol::Prometheus];
    "query" query by &[Protocol::Prometheus];
    "up_when" up_when by &[Protocol::Prometheus];
    "on_silence" on_silence by &[Protocol::Prometheus, Protocol::External];
    "interval" interval by PROBED;
    "fast_interval" fast_interval by PROBED;
    "timeout" timeout by PROBED;
    "max_response" max_response by PROBED;
    "threshold" threshold by PROBED;
    "fall" fall by PROBED;
    "rise" rise by PROBED;
    "fail_ratio" fail_ratio by PROBED;
    "window" window by PROBED;
};

/// What is done, and where the file says how long that takes.
pub(super) struct Resolved {
    pub(super) spec: CheckSpec,
    pub(super) times: Times,
}

/// Where the file says what the worst case is made of; `None` for what it leaves to the defaults.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) interval: Option<Span>,
    /// `fall`, `threshold` or `fast_interval`.
    pub(super) fast: Option<Span>,
    pub(super) timeout: Option<Span>,
}

/// The check, unless something in it is refused: then that is reported.
pub(super) fn resolve(spec: &HealthCheckSpec, report: &mut Report) -> Option<Resolved> {
    let before = report.errors();
    let word = spec.protocol.as_ref();
    if let Some(word) = word {
        refuse_fields_of_others(spec, word.value, report);
    }
    let timing = timing(spec, report);
    let word = word?.value;
    let probe = probe(spec, word.protocol(), report);
    let port = port(spec, word.protocol(), report);
    let (timing, probe) = (timing?, probe?);
    // A report is a verdict: it is believed at once, either way.
    let (fall, rise) = if word == ProtocolWord::External { (1, 1) } else { (timing.fall, timing.rise) };
    let done = CheckSpec {
        host: spec.address.as_ref().map(|address| address.value.0.clone()),
        port,
        interval: timing.interval,
        fast_interval: timing.fast_interval,
        timeout: timing.timeout,
        max_response: timing.max_response,
        fall,
        rise,
        fail_ratio: timing.fail_ratio,
        silence_is_down: spec.on_silence.as_ref().is_some_and(|word| word.value == OnSilenceWord::Down),
        probe,
    };
    (report.errors() == before).then_some(Resolved { spec: done, times: timing.times })
}

fn refuse_fields_of_others(spec: &HealthCheckSpec, word: ProtocolWord, report: &mut Report) {
    let protocol = word.protocol();
    for Taken { field, written, by } in &FIELDS {
        if by.contains(&protocol) {
            continue;
        }
        let Some(at) = written(spec) else { continue };
        let by: Vec<String> = by.iter().map(|protocol| format!("`{}`", protocol.as_str())).collect();
        let message = format!("a check with `protocol: {}` takes no `{field}`", protocol.as_str());
        let error = Diagnostic::error("field-of-another-protocol", message);
        report.at(at, error.help(format!("remove it; it is for {}", by.join(", "))));
    }
}

struct Timing {
    interval: Duration,
    fast_interval: Duration,
    timeout: Duration,
    max_response: Duration,
    fall: u16,
    rise: u16,
    fail_ratio: Option<FailRatio>,
    times: Times,
}

/// Once the interval is longer than this, failures are confirmed faster.
const FAST_INTERVAL: Duration = Duration::from_secs(1);

fn timing(spec: &HealthCheckSpec, report: &mut Report) -> Option<Timing> {
    if let (Some(threshold), true) = (&spec.threshold, spec.fall.written().is_some() && spec.rise.written().is_some()) {
        let error = Diagnostic::error("exclusive-fields", "`threshold` means nothing beside both `fall` and `rise`");
        report.at(threshold.at, error.help("remove one of them"));
    }
    if let (Some(window), Some(at), None) = (&spec.window, spec.window.written(), &spec.fail_ratio)
        && spec.clean
    {
        let message = format!("a `window` of {} results, and no `fail_ratio` that looks at them", window.value.0);
        report.at(at, Diagnostic::error("missing-field", message).expected("`fail_ratio`, such as 30%"));
    }
    let (interval_field, timeout_field) = (spec.interval.as_ref()?, spec.timeout.as_ref()?);
    let (interval, timeout) = (interval_field.value.0, timeout_field.value.0);
    if timeout > interval {
        let (at, expected) = match timeout_field.given {
            true => (timeout_field.at, "a duration of at most the interval"),
            false => (interval_field.at, "at least the timeout, which is 3s unless it is given"),
        };
        let error = Diagnostic::error("timeout-over-interval", "a probe would still run when the next one starts");
        report.at(at, error.expected(expected));
    }
    let fast_interval = match &spec.fast_interval {
        Some(fast) => {
            if fast.value.0 > interval {
                let error = Diagnostic::error("out-of-range", "`fast_interval` is slower than `interval`");
                report
                    .at(fast.at, error.expected("a duration of at most the interval, which is 5s unless it is given"));
            }
            fast.value.0
        }
        None => FAST_INTERVAL.min(interval),
    };
    if let Some(max) = &spec.max_response
        && max.value.0 > timeout
    {
        let warning = Diagnostic::warning("max-response-over-timeout", "`max_response` is longer than the timeout")
            .help("no answer takes that long: shorten `max_response`, or remove it");
        report.at(max.at, warning);
    }
    let threshold = |field: &Option<At<Consecutive>>| {
        let field = field.as_ref()?;
        let count = if field.given { field } else { spec.threshold.as_ref().unwrap_or(field) };
        u16::try_from(count.value.0).ok()
    };
    let window = spec.window.as_ref().and_then(|window| u16::try_from(window.value.0).ok());
    let fail_ratio = spec.fail_ratio.as_ref().zip(window);
    Some(Timing {
        interval,
        fast_interval,
        timeout,
        max_response: spec.max_response.as_ref().map_or(timeout, |max| max.value.0.min(timeout)),
        fall: threshold(&spec.fall)?,
        rise: threshold(&spec.rise)?,
        fail_ratio: fail_ratio.map(|(percent, window)| FailRatio { percent: percent.value.0, window }),
        times: Times {
            interval: spec.interval.written(),
            fast: spec.fall.written().or(spec.threshold.written()).or(spec.fast_interval.written()),
            timeout: spec.timeout.written(),
        },
    })
}

fn port(spec: &HealthCheckSpec, protocol: Protocol, report: &mut Report) -> Option<u16> {
    let port = spec.port.as_ref().and_then(|port| u16::try_from(port.value.0).ok()).or(protocol.default_port());
    if port.is_none() && WITH_PORT.contains(&protocol) && spec.clean {
        let message = format!("a check with `protocol: {}` has no `port`", protocol.as_str());
        report.at(spec.at, Diagnostic::error("missing-field", message).expected("`port`: the port probed"));
    }
    port
}

fn probe(spec: &HealthCheckSpec, protocol: Protocol, report: &mut Report) -> Option<Probe> {
    match protocol {
        Protocol::Http => http(spec, None, report).map(Probe::Http),
        Protocol::Https => {
            let tls = tls(spec.tls.as_ref(), report);
            http(spec, Some(tls), report).map(Probe::Http)
        }
        Protocol::Tcp => Some(Probe::Tcp(TcpProbe {
            send: spec.send.as_ref().map(|text| text.value.0.clone().into_bytes()),
            expect: spec.expect.as_ref().map(|text| text.value.0.clone().into_bytes()),
        })),
        Protocol::Tls => Some(Probe::Tls(tls(spec.tls.as_ref(), report))),
        Protocol::Dns => dns(spec, report).map(Probe::Dns),
        Protocol::Grpc => Some(Probe::Grpc(GrpcProbe {
            tls: spec.tls.as_ref().map(|spec| tls(Some(spec), report)),
            service: spec.service.as_ref().map(|name| name.value.0.clone()).unwrap_or_default(),
            host: spec.host.as_ref().map(|host| host.value.0.clone()),
        })),
        Protocol::Icmp => Some(Probe::Icmp),
        Protocol::Prometheus => prometheus(spec, report).map(Probe::Prometheus),
        Protocol::External => Some(Probe::External),
    }
}

fn http(spec: &HealthCheckSpec, tls: Option<TlsParams>, report: &mut Report) -> Option<HttpProbe> {
    let (method, path) = (&spec.method.as_ref()?.value.0, &spec.path.as_ref()?.value.0);
    let about_body = [spec.contains.written(), spec.regex.written(), spec.json.written()];
    if let ("HEAD", Some(at)) = (method.as_str(), about_body.into_iter().flatten().min()) {
        let error = Diagnostic::error("exclusive-fields", "the answer to HEAD has no body");
        report.at(at, error.help("ask with GET, or say nothing of the body"));
    }
    let is_actuator = path.split('?').next().is_some_and(|path| path.ends_with("/actuator/health"));
    let json = match &spec.json {
        Some(fields) => json(fields, report),
        // Spring Boot's actuator answers so; see the field's description.
        None if is_actuator && method != "HEAD" && about_body == [None; 3] => {
            vec![("/status".to_owned(), "\"UP\"".to_owned())]
        }
        None => Vec::new(),
    };
    Some(HttpProbe {
        tls,
        http2: spec.http2.as_ref().is_some_and(|http2| http2.value),
        method: method.clone(),
        path: path.clone(),
        host: spec.host.as_ref().map(|host| host.value.0.clone()),
        headers: headers(spec, report),
        status: status(spec, report),
        contains: spec.contains.as_ref().map(|text| text.value.0.clone()),
        regex: spec.regex.as_ref().map(|pattern| pattern.value.0.clone()),
        json,
        redirects: spec.redirects.as_ref().and_then(|n| u8::try_from(n.value.0).ok())?,
    })
}

fn too_many(count: usize, max: usize, what: &str, at: Span, report: &mut Report) {
    if count > max {
        report.at(at, Diagnostic::error("too-many", format!("{count} {what}")).expected(format!("at most {max}")));
    }
}

fn headers(spec: &HealthCheckSpec, report: &mut Report) -> Vec<(String, String)> {
    let Some(headers) = &spec.headers else { return Vec::new() };
    let entries = &headers.value.0;
    too_many(entries.len(), limits::PROBE_HEADERS_MAX, "header fields", headers.at, report);
    for (at, (name, _)) in entries.iter().enumerate() {
        if let Some((first, _)) = entries[..at].iter().find(|(other, _)| other.value == name.value) {
            let first = report.related(first.at, "first given here");
            let error = Diagnostic::error("duplicate-header", format!("`{}` is given twice", name.value.0));
            report.at(name.at, error.help("the case of a header field's name means nothing").related(first));
        }
    }
    entries.iter().map(|(name, value)| (name.value.0.clone(), value.value.0.clone())).collect()
}

/// Sorted, so that equal sets are equal.
fn status(spec: &HealthCheckSpec, report: &mut Report) -> Vec<std::ops::RangeInclusive<u16>> {
    let Some(list) = &spec.status else { return vec![200..=299] };
    too_many(list.items.len(), limits::PROBE_CONDITIONS_MAX, "status codes", list.at, report);
    if list.items.is_empty() {
        let error = Diagnostic::error("empty-list", "no status code would be good");
        report.at(list.at, error.help("without `status` those from 200 to 299 are"));
    }
    let mut codes: Vec<_> = list.items.iter().map(|codes| codes.value.0.clone()).collect();
    codes.sort_by_key(|codes| (*codes.start(), *codes.end()));
    codes.dedup();
    codes
}

fn json(fields: &At<Entries<JsonField, At<JsonValue>>>, report: &mut Report) -> Vec<(String, String)> {
    too_many(fields.value.0.len(), limits::PROBE_CONDITIONS_MAX, "JSON fields", fields.at, report);
    let mut json: Vec<(String, String)> =
        fields.value.0.iter().map(|(field, value)| (field.value.0.clone(), value.value.0.clone())).collect();
    json.sort_unstable();
    json
}

/// What a client's TLS does when the file says nothing.
fn tls_defaults() -> TlsParams {
    TlsParams {
        sni: None,
        verify: Verify::System,
        client: None,
        expiry_warning: Duration::from_secs(14 * 86_400),
        allow_expired: false,
    }
}

fn tls(spec: Option<&TlsSpec>, report: &mut Report) -> TlsParams {
    let mut params = tls_defaults();
    let Some(spec) = spec else { return params };
    if let Some(sni) = &spec.sni {
        if sni.value.has_port() {
            let error = Diagnostic::error("bad-name", "a server name has no port");
            report.at(sni.at, error.help("the port that is probed is written as `port`"));
        }
        params.sni = Some(sni.value.0.clone());
    }
    params.verify = verify(spec, report);
    match (&spec.cert, &spec.key) {
        (Some(cert), Some(key)) => params.client = Some((beside(cert, report), beside(key, report))),
        (None, None) => {}
        (Some(cert), None) => half(cert.at, "a certificate without its key", "`key`", spec, report),
        (None, Some(key)) => half(key.at, "a key without its certificate", "`cert`", spec, report),
    }
    if let Some(before) = &spec.expiry_warning {
        params.expiry_warning = before.value.0;
    }
    params.allow_expired = spec.allow_expired.as_ref().is_some_and(|allow| allow.value);
    params
}

fn half(at: Span, what: &str, missing: &str, spec: &TlsSpec, report: &mut Report) {
    if spec.clean {
        report.at(at, Diagnostic::error("missing-field", what).expected(format!("{missing} too")));
    }
}

fn verify(spec: &TlsSpec, report: &mut Report) -> Verify {
    if let (Some(ca), Some(at)) = (&spec.ca, spec.verify.written()) {
        let first = report.related(ca.at, "it is said here already");
        let error = Diagnostic::error("exclusive-fields", "`verify` means nothing beside `ca`").related(first);
        report.at(at, error.help("remove one of them"));
    }
    match (&spec.ca, spec.verify.as_ref().map(|word| word.value)) {
        (Some(ca), _) => Verify::Ca(beside(ca, report)),
        (None, Some(VerifyWord::Off)) => Verify::Off,
        (None, Some(VerifyWord::System) | None) => Verify::System,
    }
}

/// A file that a policy file names, relative to that policy file.
fn beside(path: &At<String>, report: &Report) -> PathBuf {
    let origin = report.sources.origin(path.at);
    match Path::new(&*origin.file).parent() {
        Some(dir) => dir.join(&path.value),
        None => PathBuf::from(&path.value),
    }
}

fn dns(spec: &HealthCheckSpec, report: &mut Report) -> Option<DnsProbe> {
    const TYPE_A: u16 = 1;
    const TYPE_CNAME: u16 = 5;
    const TYPE_AAAA: u16 = 28;
    let (rtype, rcode) = (spec.r#type.as_ref()?.value.0, spec.rcode.as_ref()?);
    if let Some(answer) = &spec.answer {
        if rcode.value != RcodeWord::NoError {
            let error = Diagnostic::error("exclusive-fields", "an `answer` beside an `rcode` that comes without one");
            report.at(answer.at, error.help("remove one of them"));
        }
        let text = &answer.value.0;
        let (is_one, expected) = match rtype {
            TYPE_A => (text.parse::<std::net::Ipv4Addr>().is_ok(), "an IPv4 address"),
            TYPE_AAAA => (text.parse::<std::net::Ipv6Addr>().is_ok(), "an IPv6 address"),
            TYPE_CNAME => (Name::parse(text).is_ok(), "a domain name"),
            _ => (true, ""),
        };
        if !is_one {
            let error = Diagnostic::error("bad-address", "this is not what an answer of that type says");
            report.at(answer.at, error.expected(expected));
        }
    }
    Some(DnsProbe {
        name: spec.question.as_ref().map(|name| name.value.clone()),
        rtype,
        tcp: spec.transport.as_ref()?.value == TransportWord::Tcp,
        rcode: rcode.value.code().into(),
        answer: spec.answer.as_ref().map(|answer| answer.value.0.clone()),
    })
}

/// What a query may leave to be filled in.
const VARIABLES: [&str; 4] = ["datacenter", "endpoint", "service", "address"];

fn prometheus(spec: &HealthCheckSpec, report: &mut Report) -> Option<PrometheusProbe> {
    let missing = [
        ("`url`: the Prometheus server", spec.url.is_none()),
        ("`query`: what it is asked", spec.query.is_none()),
        ("`up_when`: the comparison that means up", spec.up_when.is_none()),
    ];
    for (field, _) in missing.into_iter().filter(|(_, missing)| *missing && spec.clean) {
        let error = Diagnostic::error("missing-field", "a check with `protocol: prometheus` is not complete");
        report.at(spec.at, error.expected(field));
    }
    if let Some(query) = &spec.query {
        check_variables(query.at, &query.value.0, report);
    }
    let verify = spec.tls.as_ref().map(|tls| {
        let others = [
            tls.sni.written(),
            tls.cert.written(),
            tls.key.written(),
            tls.expiry_warning.written(),
            tls.allow_expired.written(),
        ];
        for at in others.into_iter().flatten() {
            let error = Diagnostic::error("field-of-another-protocol", "a query to Prometheus takes no such field");
            report.at(at, error.expected("`verify` or `ca`"));
        }
        verify(tls, report)
    });
    let url = spec.url.as_ref()?;
    if let (Some(tls), false) = (&spec.tls, url.value.is_https) {
        let error = Diagnostic::error("exclusive-fields", "`tls` for a server that is asked in the clear");
        report.at(tls.at, error.help("remove it, or ask an `https://` URL"));
    }
    Some(PrometheusProbe {
        url: url.value.text.clone(),
        query: spec.query.as_ref()?.value.0.clone(),
        up_when: spec.up_when.as_ref()?.value.0,
        verify: verify.unwrap_or(Verify::System),
    })
}

/// PromQL itself has no `$`, but regular expressions in it do: only names are looked at.
fn check_variables(at: Span, query: &str, report: &mut Report) {
    for rest in query.split('$').skip(1) {
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        if name.is_empty() || VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let help = report.did_you_mean(&name, VARIABLES).map(|help| help.replace('`', "").replace("mean ", "mean $"));
        let known: Vec<String> = VARIABLES.iter().map(|name| format!("`${name}`")).collect();
        let message = format!("nothing is filled in for `${name}`");
        let error = Diagnostic::error("unknown-variable", message).expected(format!("one of {}", known.join(", ")));
        report.at(at, with_help(error, help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_fields_is_complete() {
        let named: Vec<&str> = FIELDS.iter().map(|taken| taken.field).collect();
        let known: Vec<&str> = HealthCheckSpec::TABLE.fields.iter().map(|field| field.name()).collect();
        assert_eq!(known[0], "protocol");
        assert_eq!(named, known[1..]);
    }
}
