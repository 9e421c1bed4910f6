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

/// An endpoint, by names.
type Named = (Name, EndpointId);

/// Who follows whom.
#[derive(Default)]
pub(super) struct Following {
    all: Vec<Pair>,
    /// Services of which some endpoint follows nobody that there is.
    refused: BTreeSet<Name>,
}

struct Pair {
    who: Named,
    whom: Named,
}

impl Following {
    /// As the files say it; what refers to nothing is reported.
    pub(super) fn read(parts: &[ServicePart], report: &mut Report) -> Following {
        let mut following = Following::default();
        if parts.iter().all(|part| followers(part).next().is_none()) {
            return following;
        }
        let by_name: HashMap<&Name, &ServicePart> = parts.iter().map(|part| (&part.name.value, part)).collect();
        for part in parts {
            for (id, text) in followers(part) {
                match whom(part, id, text, &by_name, report) {
                    Some(whom) => following.all.push(Pair { who: (part.name.value.clone(), id.value.clone()), whom }),
                    None => _ = following.refused.insert(part.name.value.clone()),
                }
            }
        }
        following
    }

    /// Settles `follows` in `services`; one that refers to nothing, or to what does not stand, is left out.
    pub(super) fn settle(self, services: Vec<Service>) -> Vec<Service> {
        let Following { all, refused } = self;
        if all.is_empty() && refused.is_empty() {
            return services;
        }
        let services = standing(services, &all, refused);
        link(services, &all)
    }
}

/// The endpoints that follow, and whom.
fn followers(part: &ServicePart) -> impl Iterator<Item = (&At<EndpointId>, &At<String>)> {
    let endpoints = part.spec.endpoints.iter().flat_map(|entries| &entries.0);
    endpoints.filter_map(|(id, spec)| Some((id, spec.follows.as_ref()?)))
}

/// The endpoint that `text` names.
fn whom(
    part: &ServicePart,
    id: &At<EndpointId>,
    text: &At<String>,
    by_name: &HashMap<&Name, &ServicePart>,
    report: &mut Report,
) -> Option<Named> {
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
fn standing(mut services: Vec<Service>, all: &[Pair], mut refused: BTreeSet<Name>) -> Vec<Service> {
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

fn link(mut services: Vec<Service>, all: &[Pair]) -> Vec<Service> {
    let find = |services: &[Service], (name, id): &Named| {
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
