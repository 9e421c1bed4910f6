//! What is planned once for many services.
//!
//! A plan depends on little: what may be chosen from, how endpoints stand, who is nearest, and what orders and latches
//! say of the region. Ten thousand services that are written alike differ in their addresses, which no plan looks at.
//! So one compilation plans each different question once, and remembers the answer for all that ask the same.
//!
//! A pure cache: with it and without it every table is the same. It lives as long as one compilation. Facts about one
//! service alone (a weight, a yielded preference, the condition of a tier) make its questions its own.

use std::collections::HashMap;
use std::sync::Arc;

use super::base::Base;
use super::location::Location;
use crate::model::{Choices, DatacenterIx, Facts, Latch, OverrideKind, RegionIx, Revision, Route, ServiceIx};
use crate::steer::{self, Plan, Standing};

/// A number in place of something long: equal things of one compilation have equal numbers.
type Number = u32;

/// What is the same for all regions of a service: its shape, how its endpoints stand, and whose facts it has when they
/// are about it alone.
type Situation = (Number, Vec<Standing>, Option<ServiceIx>);

/// What facts say of the clients of one region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Circumstances {
    /// Positions of the orders that apply.
    orders: Vec<usize>,
    left: Vec<DatacenterIx>,
    /// Whose conditions of tiers are judged, service by service and region by region.
    doors: Option<(ServiceIx, Option<RegionIx>)>,
}

/// A question: situation, choices, who is nearest, circumstances.
type Question<'a> = (Number, *const Choices, Option<&'a [DatacenterIx]>, Number);

/// The plans of one compilation.
pub(super) struct Planning<'a> {
    base: &'a Base,
    facts: &'a Facts,
    /// Services of which something is said that is about them alone.
    named: Vec<ServiceIx>,
    situations: HashMap<Situation, Number>,
    circumstances: HashMap<Circumstances, Number>,
    answers: HashMap<Question<'a>, Number>,
    numbers: HashMap<Arc<Plan>, Number>,
    plans: Vec<Arc<Plan>>,
}

/// A service whose regions are being planned.
pub(super) struct Asking {
    ix: ServiceIx,
    situation: Number,
    standings: Vec<Standing>,
    /// Positions of the orders that are about some of its clients.
    orders: Vec<usize>,
    /// Positions of the latches that are.
    latches: Vec<usize>,
    /// What facts say of each of its regions, when they say the same of all.
    of_all: Option<Number>,
}

impl<'a> Planning<'a> {
    pub(super) fn new(base: &'a Base, facts: &'a Facts) -> Planning<'a> {
        let yields = facts.yields.iter().map(|(_, service, _)| *service);
        let mut named: Vec<ServiceIx> = yields.chain(facts.left.keys().map(|(_, service)| *service)).collect();
        for order in &facts.overrides {
            if let OverrideKind::Weight { endpoints, .. } = &order.kind {
                named.extend(endpoints.iter().map(|(service, _)| *service));
            }
        }
        named.sort_unstable();
        named.dedup();
        Planning {
            base,
            facts,
            named,
            situations: HashMap::new(),
            circumstances: HashMap::new(),
            answers: HashMap::new(),
            numbers: HashMap::new(),
            plans: Vec::new(),
        }
    }

    /// Begins with a service, whose endpoints stand so.
    pub(super) fn of(&mut self, ix: ServiceIx, standings: Vec<Standing>) -> Asking {
        let facts = self.facts;
        let covers = |services: &Option<std::collections::BTreeSet<ServiceIx>>| {
            services.as_ref().is_none_or(|services| services.contains(&ix))
        };
        let orders = facts.overrides.iter().enumerate().filter(|(_, order)| covers(&order.scope.services));
        let orders: Vec<usize> = orders.map(|(at, _)| at).collect();
        let latches = facts.latches.iter().enumerate().filter(|(_, latch)| covers(&latch.scope.services));
        let latches: Vec<usize> = latches.map(|(at, _)| at).collect();
        let is_excepted = |revision: Revision| facts.excepted.contains_key(&revision);
        let is_regional = |at: &usize| {
            let order = &facts.overrides[*at];
            order.scope.regions.is_some() || is_excepted(order.revision)
        };
        let own = self.named.binary_search(&ix).is_ok().then_some(ix);
        let situation = number(&mut self.situations, (self.base.shape(ix), standings.clone(), own));
        let is_same = latches.is_empty() && !orders.iter().any(is_regional) && !self.base.has_doors(ix);
        let of_all = is_same.then(|| {
            let of_all = Circumstances { orders: orders.clone(), ..Circumstances::default() };
            number(&mut self.circumstances, of_all)
        });
        Asking { ix, situation, standings, orders, latches, of_all }
    }

    /// What facts say of the clients of a route.
    pub(super) fn circumstances(&mut self, asking: &Asking, route: &Route) -> Number {
        if let Some(of_all) = asking.of_all {
            return of_all;
        }
        let (ix, region, facts) = (asking.ix, route.region, self.facts);
        let orders = asking.orders.iter().copied().filter(|at| facts.applies(&facts.overrides[*at], ix, region));
        // They are about the service; of the regions that is not said yet.
        let latches = asking.latches.iter().map(|at| &facts.latches[*at]);
        let is_here = |latch: &&Latch| latch.scope.regions.as_ref().is_none_or(|regions| regions.contains(&region));
        let left = latches.filter(is_here).map(|latch| latch.datacenter);
        let mut tiers = route.tiers.iter().flat_map(|pool| &pool.members);
        let own = Circumstances {
            orders: orders.collect(),
            left: left.collect(),
            doors: tiers.any(|tier| !tier.entry.is_free()).then_some((ix, region)),
        };
        number(&mut self.circumstances, own)
    }

    /// The plan for the clients of a location, by its number.
    pub(super) fn plan(&mut self, asking: &Asking, location: &'a Location, circumstances: Number) -> Number {
        let service = &self.base.policy.services[asking.ix.at()];
        let route = service.policy.route(location.route);
        let nearest = location.nearest.as_deref();
        let question = (asking.situation, Arc::as_ptr(&route.choices), nearest, circumstances);
        if let Some(known) = self.answers.get(&question) {
            return *known;
        }
        let asked = steer::Asked {
            ix: asking.ix,
            service,
            route,
            nearest,
            standings: &asking.standings,
            datacenters: &self.base.policy.datacenters,
            facts: self.facts,
        };
        let plan = Arc::new(steer::plan(&asked, &mut ()));
        let number = number(&mut self.numbers, Arc::clone(&plan));
        if number as usize == self.plans.len() {
            self.plans.push(plan);
        }
        self.answers.insert(question, number);
        number
    }

    /// The plan of that number.
    pub(super) fn get(&self, number: Number) -> Arc<Plan> {
        Arc::clone(&self.plans[number as usize])
    }
}

/// Its number among those that are known, or the next one.
fn number<K: std::hash::Hash + Eq>(known: &mut HashMap<K, Number>, key: K) -> Number {
    let next = Number::try_from(known.len()).expect("bounded by the routes of all services");
    *known.entry(key).or_insert(next)
}
