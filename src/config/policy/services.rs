//! Services and their endpoints.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::pools::Cast;
use super::sharing::Sharing;
use super::{ServicePart, World, routes};
use crate::config::form::{At, Either};
use crate::config::orders;
use crate::config::report::Report;
use crate::config::source::Span;
use crate::config::spec::{ChecksSpec, EndpointSpec, HttpsSpec};
use crate::config::yaml::quote;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{
    CheckExpr, Data, DatacenterIx, Endpoint, EndpointId, Https, Name, NamedDatacenters, Service, Ttl, Weight,
};

/// The service, unless something in it is refused: then that is reported, as far as it can be seen.
pub(super) fn resolve(
    part: &ServicePart,
    sharing: &mut Sharing,
    world: &World<'_>,
    report: &mut Report,
) -> Option<Service> {
    let before = report.errors();
    let spec = &part.spec;
    let name = &part.name.value;
    let health = health(part, world, report);
    let (endpoints, whole) = endpoints(part, health.as_ref(), world, report);
    let home = spec.home.as_ref().and_then(|home| world.directory.one(home, report));
    if let Some(home) = &spec.home
        && let Some(ix) = world.datacenter_named(&home.value)
        && !endpoints.iter().any(|endpoint| endpoint.datacenter == ix)
    {
        let warning =
            Diagnostic::warning("home-without-endpoint", format!("no endpoint stands in {}", quote(&home.value)));
        report.at(home.at, warning.help("`home` names a data centre that this service is in"));
    }
    if let Some(zone) = &spec.zone
        && !name.is_within(&zone.value)
    {
        let error = Diagnostic::error("outside-zone", format!("`{name}` is not in the zone `{}`", zone.value));
        report.at(zone.at, error.expected(format!("`{name}` or a name above it")));
    }
    let https = spec.https.as_ref().map(|https| self::https(https, report));
    let policy =
        if endpoints.is_empty() { None } else { routes::resolve(spec, Cast { endpoints: &endpoints }, world, report) };
    let mut service = Service {
        name: name.clone(),
        zone: spec.zone.as_ref().map(|zone| zone.value.clone()),
        ttl: spec.ttl.as_ref().map_or(Ttl::DEFAULT, |ttl| ttl.value),
        endpoints,
        policy: policy?,
        max_answers: spec.max_answers.as_ref().and_then(|n| u8::try_from(n.value.0).ok()).unwrap_or(1),
        home,
        https,
        needs: orders::of_service(spec.orders.as_ref(), report),
        origin: report.sources.origin(part.name.at),
    };
    rename(&mut service);
    (part.clean && whole && health.is_some() && report.errors() == before).then(|| sharing.share(service))
}

/// Gives the name of the file a copy for the service: the one so far lies beside the file's text, most of whose page
/// it would keep.
fn rename(service: &mut Service) {
    let file: Arc<str> = Arc::from(&*service.origin.file);
    for origin in service.endpoints.iter_mut().map(|endpoint| &mut endpoint.origin) {
        origin.file = Arc::clone(&file);
    }
    service.origin.file = file;
}

impl World<'_> {
    /// What `name` means, when that is one data centre; says nothing otherwise.
    fn datacenter_named(&self, name: &str) -> Option<DatacenterIx> {
        match self.directory.named(name) {
            NamedDatacenters::One(ix) => Some(ix),
            NamedDatacenters::Group(_) | NamedDatacenters::Ambiguous(_) | NamedDatacenters::Unknown => None,
        }
    }
}

/// The checks of endpoints that name none of their own; `None`: refused, and reported.
fn health(part: &ServicePart, world: &World<'_>, report: &mut Report) -> Option<CheckExpr> {
    let spec = &part.spec;
    match (&spec.health_check, &spec.checks) {
        (Some(own), Some(_)) => {
            let error = Diagnostic::error("exclusive-fields", "`health_check` beside `checks`")
                .expected("one of the two")
                .help("move the health check to `health_checks` and name it in `checks`");
            report.at(own.0.at, error);
            None
        }
        (Some(_), None) => world.checks.own(&part.name.value).map(CheckExpr::Check),
        (None, Some(checks)) => Some(world.checks.expr(checks, report)),
        (None, None) => Some(CheckExpr::All(Vec::new())),
    }
}

/// By id; false when one was refused. It is there all the same, so that references to it are told apart from
/// references to nothing; the service is left out in the end.
fn endpoints(
    part: &ServicePart,
    health: Option<&CheckExpr>,
    world: &World<'_>,
    report: &mut Report,
) -> (Vec<Endpoint>, bool) {
    let spec = &part.spec;
    let Some(entries) = spec.endpoints.as_ref() else { return (Vec::new(), false) };
    if entries.0.is_empty() && part.clean {
        report.at(part.name.at, Diagnostic::error("empty-list", "the service has no endpoints"));
    }
    if entries.0.len() > limits::ENDPOINTS_MAX {
        let error = Diagnostic::error("too-many", format!("{} endpoints", entries.0.len()));
        report.at(part.name.at, error.expected(format!("at most {}", limits::ENDPOINTS_MAX)));
        return (Vec::new(), false);
    }
    let mut whole = true;
    let mut endpoints = Vec::with_capacity(entries.0.len());
    for (id, spec) in &entries.0 {
        match endpoint(id, spec, &part.name.value, health, world, report) {
            Some(endpoint) => endpoints.push(endpoint),
            None => {
                whole = false;
                endpoints.push(stand_in(id, spec, report));
            }
        }
    }
    warn_of_shared_addresses(&endpoints, report);
    endpoints.sort_by(|a, b| a.id.cmp(&b.id));
    (endpoints, whole)
}

/// For an endpoint that was refused.
fn stand_in(id: &At<EndpointId>, spec: &EndpointSpec, report: &Report) -> Endpoint {
    let data = match &spec.cname {
        Some(_) => Data::Cname(Name::root()),
        None => Data::Addresses { v4: Box::default(), v6: Box::default(), min: 1 },
    };
    Endpoint {
        id: id.value.clone(),
        datacenter: DatacenterIx(0),
        data,
        weight: Weight::ONE,
        priority: u32::MAX,
        health: CheckExpr::All(Vec::new()),
        follows: None,
        origin: report.sources.origin(id.at),
    }
}

fn endpoint(
    id: &At<EndpointId>,
    spec: &EndpointSpec,
    service: &Name,
    health: Option<&CheckExpr>,
    world: &World<'_>,
    report: &mut Report,
) -> Option<Endpoint> {
    let datacenter = match &spec.datacenter {
        Some(name) => world.directory.one(name, report),
        None => world.datacenter_named(id.value.as_str()),
    };
    if let (Some(follows), Some(checks)) = (&spec.follows, &spec.checks) {
        let first = report.related(place(checks), "it has checks here");
        let message = format!("`{}` follows another endpoint and has checks of its own", id.value);
        let error = Diagnostic::error("exclusive-fields", message).expected("`follows`, or `checks`");
        report.at(follows.at, error.related(first));
        return None;
    }
    let health = match &spec.checks {
        _ if spec.follows.is_some() => CheckExpr::All(Vec::new()),
        Some(checks) => world.checks.expr(checks, report),
        None => health.cloned().unwrap_or(CheckExpr::All(Vec::new())),
    };
    let data = data(id, spec, service, report);
    Some(Endpoint {
        id: id.value.clone(),
        datacenter: datacenter?,
        data: data?,
        weight: spec.weight.as_ref().map_or(Weight::ONE, |weight| weight.value),
        priority: spec.priority.as_ref().and_then(|priority| u32::try_from(priority.value.0).ok()).unwrap_or(u32::MAX),
        health,
        follows: None,
        origin: report.sources.origin(id.at),
    })
}

/// Where checks were written.
fn place(checks: &ChecksSpec) -> Span {
    match checks {
        Either::Short(names) => names.at,
        Either::Mapping(combination) => combination.at,
    }
}

/// Addresses or a name, not both and not neither.
fn data(id: &At<EndpointId>, spec: &EndpointSpec, service: &Name, report: &mut Report) -> Option<Data> {
    let mut addresses: Vec<(IpAddr, Span)> = Vec::new();
    let any = spec.ip.iter().flat_map(|list| list.items.iter().map(|ip| (ip.value, ip.at)));
    let v4 = spec.ipv4.iter().flat_map(|list| list.items.iter().map(|ip| (IpAddr::V4(ip.value), ip.at)));
    let v6 = spec.ipv6.iter().flat_map(|list| list.items.iter().map(|ip| (IpAddr::V6(ip.value), ip.at)));
    addresses.extend(any.chain(v4).chain(v6));
    let by_family = spec.ipv4.is_some() || spec.ipv6.is_some();
    match (&spec.cname, spec.ip.is_some(), by_family) {
        (Some(cname), false, false) => return self::cname(cname, spec, service, report),
        (Some(cname), _, _) => {
            let error = Diagnostic::error("exclusive-fields", format!("`{}` has a name and addresses", id.value))
                .expected("`cname`, or addresses")
                .help("make two endpoints of it");
            report.at(cname.at, error);
            return None;
        }
        (None, true, true) => {
            let error =
                Diagnostic::error("exclusive-fields", format!("`{}` has `ip` beside `ipv4` or `ipv6`", id.value))
                    .expected("`ip`, or `ipv4` and `ipv6`")
                    .help("`ip` takes addresses of both families");
            report.at(id.at, error);
            return None;
        }
        (None, false, false) if !spec.clean => return None,
        (None, false, false) => {
            let error = Diagnostic::error("missing-field", format!("`{}` has nothing to answer with", id.value))
                .expected("`ip`, `ipv4` and `ipv6`, or `cname`");
            report.at(spec.at, error);
            return None;
        }
        (None, true, false) | (None, false, true) => {}
    }
    let before = report.errors();
    if let [_, _, ..] = *addresses {
        let mut seen: HashMap<IpAddr, Span> = HashMap::new();
        for (address, at) in &addresses {
            if let Some(first) = seen.insert(*address, *at) {
                let first = report.related(first, "first given here");
                let error = Diagnostic::error("duplicate-address", format!("`{address}` is given twice"));
                report.at(*at, error.related(first));
            }
        }
    }
    let v4: Box<[Ipv4Addr]> = addresses
        .iter()
        .filter_map(|(address, _)| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        })
        .collect();
    let v6: Box<[Ipv6Addr]> = addresses
        .iter()
        .filter_map(|(address, _)| match address {
            IpAddr::V6(v6) => Some(*v6),
            IpAddr::V4(_) => None,
        })
        .collect();
    let most = v4.len().max(v6.len());
    if most > limits::ENDPOINT_ADDRESSES_MAX {
        let error = Diagnostic::error("too-many", format!("`{}` has {most} addresses of one family", id.value));
        report.at(id.at, error.expected(format!("at most {}", limits::ENDPOINT_ADDRESSES_MAX)));
    }
    let min = spec.min_addresses.as_ref()?;
    let count = v4.len() + v6.len();
    if count == 0 {
        // Each list was empty, or what it held was refused.
        report.at(id.at, Diagnostic::error("empty-list", format!("`{}` has no address", id.value)));
    } else if min.value.0 > count as u64 {
        let message = format!("`min_addresses` cannot be {}: the endpoint has {count}", min.value.0);
        let error = Diagnostic::error("out-of-range", message);
        report.at(min.at, error.expected(format!("a whole number from 1 to {count}")));
    }
    let min = u16::try_from(min.value.0).ok()?;
    (report.errors() == before).then_some(Data::Addresses { v4, v6, min })
}

fn cname(cname: &At<Name>, spec: &EndpointSpec, service: &Name, report: &mut Report) -> Option<Data> {
    if let Some(min) = &spec.min_addresses
        && min.given
    {
        let error = Diagnostic::error("exclusive-fields", "`min_addresses` beside `cname`");
        report.at(min.at, error.help("a name has no addresses to count"));
        return None;
    }
    if cname.value == *service {
        let error = Diagnostic::error("cname-loop", "the service would be an alias of itself");
        report.at(cname.at, error.expected("another name"));
        return None;
    }
    Some(Data::Cname(cname.value.clone()))
}

fn warn_of_shared_addresses(endpoints: &[Endpoint], report: &mut Report) {
    let mut all: Vec<IpAddr> = endpoints.iter().flat_map(|endpoint| endpoint.data.addresses()).collect();
    all.sort_unstable();
    if all.windows(2).all(|pair| pair[0] != pair[1]) {
        return;
    }
    let mut seen: HashMap<IpAddr, &Endpoint> = HashMap::new();
    for endpoint in endpoints {
        for address in endpoint.data.addresses() {
            if let Some(first) = seen.insert(address, endpoint) {
                let message = format!("`{}` and `{}` both have {address}", first.id, endpoint.id);
                let warning = Diagnostic::warning("shared-address", message)
                    .help("each endpoint should stand for servers of its own");
                report.at_origin(&endpoint.origin, endpoint.id.as_str(), warning);
            }
        }
    }
}

fn https(spec: &HttpsSpec, report: &mut Report) -> Https {
    /// Octets of one protocol id (RFC 7301 §3.1), and of all with their lengths (RFC 9460 §7.1.1).
    const ALPN_LEN_MAX: usize = 255;
    const ALPNS_MAX: usize = 16;
    let alpn = spec.alpn.as_ref().map(|list| list.items.as_slice()).unwrap_or_default();
    if alpn.len() > ALPNS_MAX {
        let error = Diagnostic::error("too-many", format!("{} protocols", alpn.len()));
        report.at(spec.at, error.expected(format!("at most {ALPNS_MAX}")));
    }
    for (at, id) in alpn.iter().enumerate() {
        if id.value.len() > ALPN_LEN_MAX || !id.value.bytes().all(|byte| byte.is_ascii_graphic()) {
            let error = Diagnostic::error("bad-alpn", format!("{} is no protocol id", quote(&id.value)));
            report.at(id.at, error.expected("printable ASCII such as `h2` or `h3`, at most 255 octets"));
        }
        if alpn[..at].iter().any(|other| other.value == id.value) {
            report.at(id.at, Diagnostic::error("duplicate-alpn", format!("{} is given twice", quote(&id.value))));
        }
    }
    Https {
        alpn: alpn.iter().map(|id| id.value.clone()).collect(),
        port: spec.port.as_ref().and_then(|port| u16::try_from(port.value.0).ok()),
    }
}
