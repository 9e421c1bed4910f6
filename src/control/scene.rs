//! What moves and entry conditions are judged against: files, and the planner's own code.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{DatacenterIx, Facts, PolicySet, RegionIx, Route, Service, ServiceIx, Settings};
use crate::steer::{self, Plan, Standing};
use crate::table::{Base, RoutingTable};

/// A route, and the data centres by distance for some of its clients.
pub(super) type Outcome<'a> = (&'a Route, Option<&'a [DatacenterIx]>);

/// The files that serve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    base: &'a Base,
}

impl<'a> Scene<'a> {
    pub(super) fn new(base: &'a Base) -> Scene<'a> {
        Scene { base }
    }

    pub(super) fn policy(&self) -> &'a PolicySet {
        self.base.policy()
    }

    pub(super) fn settings(&self) -> &'a Settings {
        self.base.settings()
    }

    pub(super) fn service(&self, ix: ServiceIx) -> &'a Service {
        &self.policy().services[ix.at()]
    }

    /// What the service's map tells apart, by region; a service without a map has one outcome, elsewhere.
    pub(super) fn outcomes_by_region(&self, ix: ServiceIx) -> BTreeMap<Option<RegionIx>, Vec<Outcome<'a>>> {
        let service = self.service(ix);
        let mut by_region: BTreeMap<Option<RegionIx>, Vec<Outcome<'a>>> = BTreeMap::new();
        match self.base.map(ix) {
            Some(map) => {
                for location in map.outcomes() {
                    let route = service.policy.route(location.route);
                    by_region.entry(route.region).or_default().push((route, location.nearest.as_deref()));
                }
            }
            None => {
                let route = service.policy.route(None);
                by_region.insert(route.region, vec![(route, None)]);
            }
        }
        by_region
    }

    /// Who can answer the clients of a region from `table`, which has the same files.
    pub(super) fn datacenters(
        &self,
        table: &RoutingTable,
        ix: ServiceIx,
        region: Option<RegionIx>,
    ) -> BTreeSet<DatacenterIx> {
        let policy = &self.service(ix).policy;
        let regions: Vec<Option<RegionIx>> = match self.base.map(ix) {
            Some(map) => map.outcomes().iter().map(|location| policy.route(location.route).region).collect(),
            None => vec![policy.route(None).region],
        };
        let outcomes = (0..).zip(regions).filter(|(_, of)| *of == region).map(|(outcome, _)| outcome);
        outcomes.flat_map(|outcome| table.datacenters_of(ix, outcome)).copied().collect()
    }

    /// What the clients of an outcome get.
    pub(super) fn plan(
        &self,
        ix: ServiceIx,
        route: &Route,
        nearest: Option<&[DatacenterIx]>,
        standings: &[Standing],
        facts: &Facts,
    ) -> Plan {
        let service = self.service(ix);
        let datacenters = &self.policy().datacenters;
        steer::plan(&steer::Asked { ix, service, route, nearest, standings, datacenters, facts }, &mut ())
    }
}
