//! Health checks: shared ones, those of single services, and how they combine.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Parts, ServicePart, defined_twice};
use crate::config::form::{At, Either, OneOrMany};
use crate::config::report::{Report, with_help};
use crate::config::scalar::Whole;
use crate::config::source::Span;
use crate::config::spec::{CheckRefSpec, ChecksSpec, CombinationSpec, HealthCheckSpec};
use crate::config::words::ProtocolWord;
use crate::config::yaml::quote;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{
    Check, CheckExpr, CheckId, CheckIx, CheckSpec, HttpProbe, Name, Probe, Protocol, TcpProbe, TlsParams, Verify,
};

/// Every health check.
pub(super) struct Checks {
    /// By id.
    pub(super) all: Vec<Check>,
    by_id: HashMap<String, CheckIx>,
    /// Defined, and refused: naming one is no second mistake.
    refused: HashSet<String>,
}

impl Checks {
    pub(super) fn new(parts: &Parts, services: &[&ServicePart], report: &mut Report) -> Checks {
        let mut checks: BTreeMap<CheckId, (Span, Check)> = BTreeMap::new();
        let mut refused = HashSet::new();
        let own = services.iter().filter_map(|part| {
            let spec = part.spec.health_check.as_ref()?;
            Some((own_id(&part.name.value)?, part.name.at, spec))
        });
        let shared = parts.health_checks.iter().map(|(id, spec)| (id.value.clone(), id.at, spec));
        for (id, at, spec) in shared.chain(own) {
            if let Some((first, _)) = checks.get(&id) {
                defined_twice(report, "duplicate-check", "health check", id.as_str(), *first, at);
            } else if let Some(check) = resolve(&id, at, spec, report) {
                checks.insert(id, (at, check));
            } else {
                refused.insert(id.as_str().to_owned());
            }
        }
        let all: Vec<Check> = checks.into_values().map(|(_, check)| check).collect();
        let bounded = all.len().min(limits::CHECKS_MAX);
        let by_id = all[..bounded]
            .iter()
            .enumerate()
            .filter_map(|(at, check)| Some((check.id.as_str().to_owned(), CheckIx(u16::try_from(at).ok()?))))
            .collect();
        Checks { all, by_id, refused }
    }

    /// The check that a service defined for itself.
    pub(super) fn own(&self, service: &Name) -> Option<CheckIx> {
        self.by_id.get(own_id(service)?.as_str()).copied()
    }

    /// The check called `name`; if there is none, that is reported.
    pub(super) fn named(&self, name: &At<String>, report: &mut Report) -> Option<CheckIx> {
        if let Some(check) = self.by_id.get(&name.value) {
            return Some(*check);
        }
        if self.refused.contains(&name.value) {
            return None;
        }
        let near = report.did_you_mean(&name.value, self.all.iter().map(|check| check.id.as_str()));
        let error = Diagnostic::error("unknown-check", format!("there is no health check {}", quote(&name.value)))
            .expected("the id of a check under `health_checks`");
        report.at(name.at, with_help(error, near));
        None
    }

    /// How checks combine; a name that leads to nothing is left out, and reported.
    pub(super) fn expr(&self, spec: &ChecksSpec, report: &mut Report) -> CheckExpr {
        match spec {
            Either::Short(names) => match self.list(names, 1, report) {
                mut one if names.items.len() == 1 => one.pop().unwrap_or(CheckExpr::All(Vec::new())),
                all => CheckExpr::All(all),
            },
            Either::Mapping(combination) => self.combination(combination, 1, report),
        }
    }

    fn list(&self, specs: &OneOrMany<CheckRefSpec>, depth: usize, report: &mut Report) -> Vec<CheckExpr> {
        let one = |spec: &CheckRefSpec| match spec {
            Either::Short(name) => self.named(name, report).map(CheckExpr::Check),
            Either::Mapping(combination) => Some(self.combination(combination, depth + 1, report)),
        };
        specs.items.iter().filter_map(one).collect()
    }

    fn combination(&self, spec: &CombinationSpec, depth: usize, report: &mut Report) -> CheckExpr {
        if depth > limits::NESTING_MAX {
            let message = format!("checks nest deeper than {} levels", limits::NESTING_MAX);
            report.at(spec.at, Diagnostic::error("too-deep", message));
            return CheckExpr::All(Vec::new());
        }
        match (&spec.all, &spec.any, &spec.at_least, &spec.of) {
            (Some(all), None, None, None) => CheckExpr::All(self.list(all, depth, report)),
            (None, Some(any), None, None) if !any.items.is_empty() => CheckExpr::Any(self.list(any, depth, report)),
            (None, None, Some(n), Some(of)) => {
                let needed = usize::try_from(n.value.0).unwrap_or(usize::MAX);
                if needed > of.items.len() {
                    let message = format!("`at_least` cannot be {needed}: `of` has {} items", of.items.len());
                    let error = Diagnostic::error("out-of-range", message);
                    report.at(n.at, error.expected(format!("a whole number from 1 to {}", of.items.len())));
                }
                CheckExpr::AtLeast { n: needed, of: self.list(of, depth, report) }
            }
            (None, Some(any), None, None) => {
                report.at(any.at, Diagnostic::error("empty-list", "`any` of nothing is never up"));
                CheckExpr::All(Vec::new())
            }
            _ if !spec.clean => CheckExpr::All(Vec::new()),
            _ => {
                let error = Diagnostic::error("exclusive-fields", "this says no single combination")
                    .expected("one of `all`, `any`, or `at_least` with `of`");
                report.at(spec.at, error);
                CheckExpr::All(Vec::new())
            }
        }
    }
}

/// A service's own check is called as the service, in the letters that an id takes.
fn own_id(name: &Name) -> Option<CheckId> {
    let text = name.to_string();
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' };
    let id: Vec<char> = text.trim_end_matches('.').chars().map(plain).collect();
    // A name may be longer than an id; its beginning tells services apart, and if not, two checks with
    // one id are refused.
    let id: String = id.into_iter().take(limits::ID_LEN_MAX).collect();
    CheckId::new(if id.is_empty() { "_" } else { &id }).ok()
}

fn resolve(id: &CheckId, at: Span, spec: &HealthCheckSpec, report: &mut Report) -> Option<Check> {
    let before = report.errors();
    let protocol = spec.protocol.as_ref();
    if let (Some(threshold), true) = (&spec.threshold, spec.fall.is_some() && spec.rise.is_some())
        && threshold.given
    {
        let error = Diagnostic::error("exclusive-fields", "`threshold` means nothing beside both `fall` and `rise`")
            .help("remove one of them");
        report.at(threshold.at, error);
    }
    if let (Some(interval), Some(timeout)) = (&spec.interval, &spec.timeout)
        && timeout.value.0 > interval.value.0
    {
        let (at, expected) = match timeout.given {
            true => (timeout.at, "a duration of at most the interval"),
            false => (interval.at, "at least the timeout, which is 3s unless it is given"),
        };
        let error = Diagnostic::error("timeout-over-interval", "a probe would still run when the next one starts");
        report.at(at, error.expected(expected));
    }
    if let (Some(path), Some(ProtocolWord::Tcp)) = (&spec.path, protocol.map(|protocol| protocol.value))
        && path.given
    {
        report.at(path.at, Diagnostic::error("exclusive-fields", "a `tcp` check asks for no path").help("remove it"));
    }
    let protocol = protocol?;
    let port = spec.port.as_ref().and_then(|port| u16::try_from(port.value.0).ok());
    let port = port.or_else(|| protocol.value.protocol().default_port());
    if port.is_none() && spec.clean {
        let error =
            Diagnostic::error("missing-field", "a `tcp` check has no `port`").expected("`port`: the port probed");
        report.at(spec.at, error);
    }
    let count = |given: &Option<At<Whole<1, { limits::CHECK_THRESHOLD_MAX }>>>| {
        u16::try_from(given.as_ref().or(spec.threshold.as_ref())?.value.0).ok()
    };
    let protocol = protocol.value.protocol();
    let path = spec.path.as_ref()?.value.0.clone();
    let probe = match protocol {
        Protocol::Tcp => Probe::Tcp(TcpProbe::default()),
        _ => Probe::Http(HttpProbe {
            tls: (protocol == Protocol::Https).then(|| TlsParams {
                sni: None,
                verify: Verify::System,
                client: None,
                expiry_warning: Duration::from_secs(14 * 86_400),
                allow_expired: false,
            }),
            http2: false,
            method: "GET".into(),
            path,
            host: None,
            headers: Vec::new(),
            status: vec![200..=299],
            contains: None,
            regex: None,
            json: Vec::new(),
            redirects: 0,
        }),
    };
    let timeout = spec.timeout.as_ref()?.value.0;
    let interval = spec.interval.as_ref()?.value.0;
    let done = CheckSpec {
        probe,
        host: None,
        port: Some(port?),
        interval,
        fast_interval: Duration::from_secs(1).min(interval),
        timeout,
        max_response: timeout,
        fall: count(&spec.fall)?,
        rise: count(&spec.rise)?,
        fail_ratio: None,
        silence_is_down: false,
    };
    let check = Check { id: id.clone(), spec: Arc::new(done), origin: report.sources.origin(at) };
    (report.errors() == before).then_some(check)
}
