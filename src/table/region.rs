//! What each region of a service is served, and why: the view from above, where `explain` is one client's.

use std::collections::BTreeSet;

use super::compile::standings;
use super::{Location, RoutingTable};
use crate::limits::API_PLACES_MAX;
use crate::model::{DatacenterIx, EndpointIx, RegionIx, ServiceIx};
use crate::steer::{self, Plan, Reason, Standing};

/// What the clients of one region of a service get.
#[derive(Clone, Debug)]
pub struct Served {
    /// The region; `None`: clients of no listed region or of no known place.
    pub region: Option<RegionIx>,
    /// What a client gets of whose place nothing more is known.
    pub plan: Plan,
    /// Why.
    pub reasons: Vec<Reason>,
    /// From where its clients can be answered, wherever in the region they are. With `nearest`, as far as
    /// [`API_PLACES_MAX`] places tell.
    pub datacenters: BTreeSet<DatacenterIx>,
}

impl Served {
    /// Every endpoint that the plan can name.
    pub fn endpoints(&self) -> BTreeSet<EndpointIx> {
        endpoints(&self.plan).collect()
    }
}

/// One for each region that the policy of a service names, in the order of the file, and for elsewhere last.
pub fn regions(table: &RoutingTable, service: ServiceIx) -> Vec<Served> {
    let this = &table.base().policy().services[service.at()];
    let standings = standings(this, service, table.facts());
    let count = this.policy.routes.len();
    (0..count).map(Some).chain([None]).map(|route| served(table, service, route, &standings)).collect()
}

/// The same of elsewhere alone.
pub fn elsewhere(table: &RoutingTable, service: ServiceIx) -> Served {
    let this = &table.base().policy().services[service.at()];
    served(table, service, None, &standings(this, service, table.facts()))
}

fn served(table: &RoutingTable, service: ServiceIx, route: Option<usize>, standings: &[Standing]) -> Served {
    let policy = table.base().policy();
    let this = &policy.services[service.at()];
    let asked = |nearest| steer::Asked {
        ix: service,
        service: this,
        route: this.policy.route(route),
        nearest,
        standings,
        datacenters: &policy.datacenters,
        facts: table.facts(),
    };
    let mut reasons = Vec::new();
    let plan = steer::plan(&asked(None), &mut reasons);
    let of = |plan: &Plan| {
        endpoints(plan).map(|endpoint| this.endpoint(endpoint).datacenter).collect::<BTreeSet<DatacenterIx>>()
    };
    let places: Vec<&[DatacenterIx]> = table.base().map(service).map_or_else(Vec::new, |map| {
        let inside = map.outcomes().iter().filter(|location: &&Location| location.route == route);
        inside.filter_map(|location| location.nearest.as_deref()).take(API_PLACES_MAX).collect()
    });
    let datacenters = match places.as_slice() {
        [] => of(&plan),
        places => places.iter().flat_map(|nearest| of(&steer::plan(&asked(Some(nearest)), &mut ()))).collect(),
    };
    Served { region: this.policy.route(route).region, plan, reasons, datacenters }
}

fn endpoints(plan: &Plan) -> impl Iterator<Item = EndpointIx> {
    let variants = match plan {
        Plan::Choose { variants, .. } => variants.as_slice(),
        Plan::NoData(_) => &[],
    };
    variants.iter().flat_map(|variant| variant.endpoints.iter().map(|(endpoint, _)| *endpoint))
}
