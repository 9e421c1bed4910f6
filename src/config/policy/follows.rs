//! Endpoints whose health is that of another endpoint.
//!
//! They refer across services, so they are settled when every service stands. One step, never a chain: whom
//! another follows is probed itself, so a state always has one source that a person can look at.

use std::collections::{BTreeSet, HashMap};

use super::ServicePart;
use crate::config::form::At;
use crate::config::report::{Report, with_help};
use crate::config::spec::EndpointSpec;
use crate::config::yaml::quote;
use crate::diag::Diagnostic;
use crate::model::{EndpointId, EndpointIx, Name, Service, ServiceIx};

/// Who follows whom, by name.
struct Following {
    who: (Name, EndpointId),
    whom: (Name, EndpointId),
}

/// Settles `follows` in `services`; one that refers to nothing, or to what does not stand, is left out.
pub(super) fn settle(parts: &[&ServicePart], services: Vec<Service>, report: &mut Report) -> Vec<Service> {
    let mut all: Vec<Following> = Vec::new();
    let mut refused: BTreeSet<Name> = BTreeSet::new();
    let by_name: HashMap<&Name, &ServicePart> = parts.iter().map(|part| (&part.name.value, *part)).collect();
    for part in parts {
        let endpoints = part.spec.endpoints.iter().flat_map(|entries| &entries.0);
        for (id, text) in endpoints.filter_map(|(id, spec)| Some((id, spec.follows.as_ref()?))) {
            match whom(part, id, text, &by_name, report) {
                Some(whom) => all.push(Following { who: (part.name.value.clone(), id.value.clone()), whom }),
                None => _ = refused.insert(part.name.value.clone()),
            }
        }
    }
    if all.is_empty() && refused.is_empty() {
        return services;
    }
    let services = standing(services, &all, refused);
    link(services, &all)
}

/// The endpoint that `text` names.
fn whom(
    part: &ServicePart,
    id: &At<EndpointId>,
    text: &At<String>,
    by_name: &HashMap<&Name, &ServicePart>,
    report: &mut Report,
) -> Option<(Name, EndpointId)> {
    // Ids hold no slash; a service's name may.
    let (service, endpoint) = match text.value.rsplit_once('/') {
        None => (part, text.value.as_str()),
        Some((service, endpoint)) => match Name::parse(service).ok().and_then(|name| by_name.get(&name).copied()) {
            Some(part) => (part, endpoint),
            None => {
                let names: Vec<String> =
                    by_name.keys().map(|name| name.to_string().trim_end_matches('.').to_owned()).collect();
                let near = report.did_you_mean(service.trim_end_matches('.'), names.iter().map(String::as_str));
                let error = Diagnostic::error("unknown-service", format!("there is no service {}", quote(service)))
                    .expected("the name of a service, a slash, and the id of one of its endpoints");
                report.at(text.at, with_help(error, near));
                return None;
            }
        },
    };
    let known = || service.spec.endpoints.iter().flat_map(|entries| &entries.0);
    let found = known().find(|(id, _)| id.value.as_str() == endpoint);
    let Some((whom, spec)): Option<&(At<EndpointId>, EndpointSpec)> = found else {
        let near = report.did_you_mean(endpoint, known().map(|(id, _)| id.value.as_str()));
        let error = Diagnostic::error("unknown-endpoint", format!("there is no endpoint {}", quote(endpoint)))
            .expected(format!("the id of an endpoint of `{}`", service.name.value));
        report.at(text.at, with_help(error, near));
        return None;
    };
    if std::ptr::eq(service, part) && whom.value == id.value {
        let error = Diagnostic::error("follows-itself", format!("`{}` would follow itself", id.value));
        report.at(text.at, error.expected("another endpoint"));
        return None;
    }
    if let Some(further) = &spec.follows {
        let first = report.related(further.at, "it follows another itself");
        let error = Diagnostic::error("follows-a-follower", format!("`{}` has no health of its own", whom.value))
            .expected("an endpoint that is probed itself")
            .help(format!("write `follows: {}` here too", further.value));
        report.at(text.at, error.related(first));
        return None;
    }
    Some((service.name.value.clone(), whom.value.clone()))
}

/// The services whose followed endpoints are there as well.
fn standing(mut services: Vec<Service>, all: &[Following], mut refused: BTreeSet<Name>) -> Vec<Service> {
    loop {
        services.retain(|service| !refused.contains(&service.name));
        let names: BTreeSet<&Name> = services.iter().map(|service| &service.name).collect();
        let lost =
            all.iter().filter(|following| names.contains(&following.who.0) && !names.contains(&following.whom.0));
        refused = lost.map(|following| following.who.0.clone()).collect();
        if refused.is_empty() {
            return services;
        }
    }
}

fn link(mut services: Vec<Service>, all: &[Following]) -> Vec<Service> {
    let find = |services: &[Service], (name, id): &(Name, EndpointId)| {
        let service = services.binary_search_by(|service| service.name.cmp(name)).ok()?;
        let endpoint = services[service].endpoints.binary_search_by(|endpoint| endpoint.id.cmp(id)).ok()?;
        Some((service, endpoint))
    };
    for following in all {
        if let (Some(who), Some(whom)) = (find(&services, &following.who), find(&services, &following.whom)) {
            services[who.0].endpoints[who.1].follows = Some((ServiceIx::from_at(whom.0), EndpointIx::from_at(whom.1)));
        }
    }
    services
}
