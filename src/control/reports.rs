//! From names to indices: what others report, and what was known before.

use std::collections::HashMap;
use std::sync::Arc;

use super::event::Report;
use super::keep::KeptAddress;
use crate::health::ObserverReport;
use crate::limits;
use crate::model::{
    AddressKey, CheckIx, Endpoint, EndpointId, EndpointIx, EvidenceKey, Name, Service, ServiceIx, State,
};
use crate::table::Base;

/// What each report of a batch is about, with its position; and which are about nothing, with why.
pub(super) type Resolved = (Vec<(usize, ObserverReport)>, Vec<(usize, String)>);

/// Resolves a batch. One report may be about several addresses.
pub(super) fn resolve(base: &Base, batch: Vec<Report>) -> Resolved {
    let policy = base.policy();
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    let mut anywhere: Option<HashMap<&EndpointId, Vec<(ServiceIx, EndpointIx)>>> = None;
    for (at, report) in batch.into_iter().enumerate() {
        if at >= limits::REPORT_BATCH_MAX {
            refused.push((at, format!("a batch has at most {} reports", limits::REPORT_BATCH_MAX)));
            break;
        }
        let Some(check) = policy.checks.iter().position(|check| check.id == report.check) else {
            refused.push((at, format!("there is no check {}", report.check)));
            continue;
        };
        let check = CheckIx(u16::try_from(check).expect("limits bound the checks"));
        let endpoints = match &report.service {
            Some(name) => base.service_named(name).and_then(|ix| Some((ix, endpoint(base, ix, &report.endpoint)?))),
            None => None,
        };
        let endpoints = match &report.service {
            Some(_) => endpoints.into_iter().collect(),
            None => {
                let index = anywhere.get_or_insert_with(|| by_id(&policy.services));
                index.get(&report.endpoint).cloned().unwrap_or_default()
            }
        };
        let detail = report.detail.as_deref().map(Arc::<str>::from);
        let before = found.len();
        for (service, endpoint) in endpoints {
            let of = &policy.services[service.at()];
            if !is_used(of, of.endpoint(endpoint), check) {
                continue;
            }
            let count = u16::try_from(of.endpoint(endpoint).data.address_count()).unwrap_or(u16::MAX);
            let is_meant = |address: &u16| {
                report.address.is_none() || of.endpoint(endpoint).data.address(*address) == report.address
            };
            found.extend((0..count).filter(is_meant).map(|address| {
                let key = EvidenceKey { service, endpoint, address, check, observer: report.observer.clone() };
                (at, ObserverReport { key, state: report.state, detail: detail.clone(), ttl: report.ttl })
            }));
        }
        if found.len() == before {
            refused.push((at, format!("nothing called {} is checked by {}", report.endpoint, report.check)));
        }
    }
    (found, refused)
}

/// Its own checks, and those that open a tier.
fn is_used(service: &Service, endpoint: &Endpoint, check: CheckIx) -> bool {
    let mut members =
        service.policy.all_routes().filter_map(|route| route.tiers.as_ref()).flat_map(|pool| &pool.members);
    endpoint.health.checks().contains(&check) || members.any(|tier| tier.entry.when.contains(&check))
}

fn by_id(services: &[Service]) -> HashMap<&EndpointId, Vec<(ServiceIx, EndpointIx)>> {
    let mut index: HashMap<&EndpointId, Vec<(ServiceIx, EndpointIx)>> = HashMap::new();
    for (at, service) in services.iter().enumerate() {
        for (ix, endpoint) in service.endpoints() {
            index.entry(&endpoint.id).or_default().push((ServiceIx::from_at(at), ix));
        }
    }
    index
}

fn endpoint(base: &Base, service: ServiceIx, id: &EndpointId) -> Option<EndpointIx> {
    let endpoints = &base.policy().services[service.at()].endpoints;
    endpoints.iter().position(|endpoint| endpoint.id == *id).map(EndpointIx::from_at)
}

/// What was known of addresses before, as far as files still name them.
pub(super) fn known(base: &Base, kept: &[KeptAddress]) -> Vec<(AddressKey, State)> {
    let resolve = |kept: &KeptAddress| {
        let service = base.service_named(&Name::parse(&kept.service).ok()?)?;
        let of = &base.policy().services[service.at()];
        let endpoint = endpoint(base, service, &EndpointId::new(&kept.endpoint).ok()?)?;
        let data = &of.endpoint(endpoint).data;
        let count = u16::try_from(data.address_count()).ok()?;
        let address = (0..count).find(|address| data.address(*address) == kept.address)?;
        let state = if kept.is_up { State::Up } else { State::Down };
        Some((AddressKey { service, endpoint, address }, state))
    };
    kept.iter().filter_map(resolve).collect()
}
