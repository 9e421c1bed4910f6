//! What standing orders name, looked for in files that are to be read.

use std::collections::BTreeSet;

use super::book::{Book, list};
use super::names::Names;
use super::order::{ELSEWHERE, Unit, What, Whom};
use crate::model::PolicySet;

/// What becomes of standing orders when these files are read in place of those: one sentence for each name that a
/// standing order uses and that means nothing any more, or something else.
pub fn misnamed(book: &Book, policy: &PolicySet) -> Vec<String> {
    let mut found = Vec::new();
    let mut names = Names::of(policy);
    for standing in book.standing() {
        let mut say = |what: String| {
            let (kind, revision, actor) = (standing.what.as_str(), standing.revision, &standing.by.actor);
            found.push(format!("the {kind} of revision {revision}, by {actor}, {what}"));
        };
        for (name, meant) in &standing.called {
            match names.datacenters(name) {
                Ok(now) if now == *meant => {}
                Ok(now) => say(format!("says {name:?} and means {}, which would now be {}", list(meant), list(&now))),
                Err(error) => say(format!("says {name:?}: {error}")),
            }
        }
        let (datacenters, services, regions, endpoints) = named_in(&standing.what);
        for id in datacenters {
            if names.datacenter_ix(&id).is_none() {
                say(format!("names the data centre {id}, which is gone"));
            }
        }
        for name in services {
            if names.service_ix(&name).is_none() {
                say(format!("names the service {name}, which is gone"));
            }
        }
        for id in regions.into_iter().filter(|id| id != ELSEWHERE) {
            if names.region_ix(&id).is_none() {
                say(format!("names the region {id}, which is gone"));
            }
        }
        for (service, id) in endpoints {
            if names.endpoint_ix(&service, &id).is_none() {
                say(format!("names the endpoint {id} of {service}, which is gone"));
            }
        }
    }
    found
}

type NamedIn = (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>, BTreeSet<(String, String)>);

/// Data centres, services, regions and endpoints that a standing order names. What it left is not among them: that a
/// data centre is gone is no reason to keep it.
fn named_in(what: &What) -> NamedIn {
    let (mut datacenters, mut services, mut regions, mut endpoints) = NamedIn::default();
    let mut add_whom = |whom: &Whom| {
        services.extend(whom.services.iter().flatten().cloned());
        regions.extend(whom.regions.iter().flatten().cloned());
    };
    let mut units: Vec<&Unit> = Vec::new();
    match what {
        What::Switch { to, whom, from, .. } => {
            datacenters.extend(to.iter().chain(from.iter().flatten()).cloned());
            add_whom(whom);
        }
        What::Behind { whom, .. } => add_whom(whom),
        What::Ttl { whom, datacenters: there, .. } => {
            datacenters.extend(there.iter().flatten().cloned());
            add_whom(whom);
        }
        What::Out { units: of } | What::Force { units: of, .. } => units.extend(of),
        What::Weights { values } => units.extend(values.iter().map(|(unit, _)| unit)),
        What::Freeze | What::Gate { .. } => {}
    }
    for unit in units {
        match unit {
            Unit::Datacenter(id) => drop(datacenters.insert(id.clone())),
            Unit::Endpoint(service, id) => drop(endpoints.insert((service.clone(), id.clone()))),
        }
    }
    (datacenters, services, regions, endpoints)
}
