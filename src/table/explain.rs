//! Why a client gets what it gets: the same code as the answer's, with a recorder.

use std::net::IpAddr;

use super::RoutingTable;
pub use super::compile::standings;
use crate::model::{EndpointIx, Place, RegionId, RuleSet, ServiceIx};
use crate::steer::{self, Plan, Reason, Trail};

/// A decision taken apart.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What is known of where the client is.
    pub place: Place,
    /// The region of the service's policy that it is in.
    pub region: Option<RegionId>,
    /// The ECS scope of the answer.
    pub scope: u8,
    /// Why, step by step.
    pub reasons: Vec<Reason>,
    /// What the region gets.
    pub plan: Plan,
    /// The variant that this random number chooses; `None`: no data.
    pub variant: Option<usize>,
    /// The endpoints that it names.
    pub endpoints: Vec<EndpointIx>,
}

/// Explains what `client` gets of a service for a random number.
///
/// The plan is made anew with a recorder; [`Explanation::variant`] is what the table itself picks. That they
/// agree is the promise, and a test holds them to it.
pub fn explain(table: &RoutingTable, service: ServiceIx, client: IpAddr, random: u64) -> Explanation {
    let base = table.base();
    let policy = base.policy();
    let this = &policy.services[service.at()];
    let view = table.service(service);
    let located = view.locate(client);
    let location =
        base.map(service).map(|map| map.outcomes()[usize::from(located.outcome)].clone()).unwrap_or_default();
    let route = this.policy.route(location.route);
    let region = route.region.map(|region| policy.regions[region.at()].id.clone());
    let place = base.atlas().lookup(client).clone();
    let mut reasons: Vec<Reason> = Vec::new();
    reasons.note(|| match &region {
        Some(region) => Reason::InRegion {
            region: region.clone(),
            because: because(table, &this.rule_set(&policy.datacenters), &place, client),
        },
        None => Reason::Elsewhere,
    });
    let standings = standings(this, service, table.facts());
    let asked = steer::Asked {
        ix: service,
        service: this,
        route,
        nearest: location.nearest.as_deref(),
        standings: &standings,
        datacenters: &policy.datacenters,
        facts: table.facts(),
    };
    let plan = steer::plan(&asked, &mut reasons);
    let variant = view.choose(located, client, random).map(|choice| choice.variant());
    let endpoints = match (&plan, variant) {
        (Plan::Choose { variants, .. }, Some(at)) => variants[at].endpoints.iter().map(|(ix, _)| *ix).collect(),
        _ => Vec::new(),
    };
    Explanation { place, region, scope: located.scope, reasons, plan, variant, endpoints }
}

fn because(table: &RoutingTable, rules: &RuleSet, place: &Place, client: IpAddr) -> String {
    let canonical = crate::geo::carried(client);
    let matched = steer::region_of(&table.base().policy().regions, rules, place, canonical);
    match matched.and_then(|matched| matched.because) {
        Some(term) => term.to_string(),
        None => "its rule holds".to_owned(),
    }
}
