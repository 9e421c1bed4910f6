//! The planner: one decision at work.
//!
//! [`super::plan`]'s documentation says which rung comes before which; this file follows it from top to bottom.

use std::collections::{BTreeMap, BTreeSet};

use super::pick::Mode;
use super::plan::{Asked, NoData, Plan, Source, Variant};
use super::pool::{Draw, Lens, Substitute};
use super::sample::samples;
use super::standing::{Floor, Standing};
use super::trail::{Reason, Trail};
use crate::limits;
use crate::model::{
    AllDown, Data, DatacenterIx, EndpointId, EndpointIx, EntryState, Member, Method, Node, Override, OverrideKind,
    Pool, State, Weight,
};

static NOBODY: BTreeSet<EndpointIx> = BTreeSet::new();

/// A standing switch that applies here.
struct Switch<'a> {
    order: &'a Override,
    is_pin: bool,
    /// Its target's endpoints inside the fence; not empty.
    reach: Vec<EndpointIx>,
    from: Option<&'a BTreeSet<DatacenterIx>>,
}

impl Switch<'_> {
    fn what(&self) -> &'static str {
        if self.is_pin { "pin" } else { "switch" }
    }
}

pub(super) struct Planner<'a> {
    asked: &'a Asked<'a>,
    /// Whom the geofence lets through; `None`: everyone.
    fence: Option<BTreeSet<EndpointIx>>,
    /// Positions of the tiers that may not be entered automatically, and why.
    closed: BTreeMap<usize, String>,
    /// Endpoints that stand only in such tiers.
    guarded: BTreeSet<EndpointIx>,
    /// Data centres that go last.
    left: BTreeSet<DatacenterIx>,
    /// Weights by order.
    weights: BTreeMap<EndpointIx, Weight>,
}

/// Which of the data centres a pass looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    All,
    WithoutLeft,
    OnlyLeft,
}

impl<'a> Planner<'a> {
    pub(super) fn new(asked: &'a Asked<'a>) -> Planner<'a> {
        let route = asked.route;
        let fence = match (&route.tiers, route.geofence) {
            (Some(tiers), true) => Some(tiers.endpoints().into_iter().collect()),
            _ => None,
        };
        let latches = asked.facts.latches.iter().filter(|latch| latch.scope.covers(asked.ix, route.region));
        let mut planner = Planner {
            asked,
            fence,
            closed: BTreeMap::new(),
            guarded: BTreeSet::new(),
            left: latches.map(|latch| latch.datacenter).collect(),
            weights: BTreeMap::new(),
        };
        planner.close_tiers();
        planner.weigh();
        planner
    }

    fn close_tiers(&mut self) {
        let Some(Pool { method: Method::Ordered, members }) = &self.asked.route.tiers else { return };
        let endpoints = |member: &Member| match &member.node {
            Node::Endpoint(endpoint) => vec![*endpoint],
            Node::Pool(pool) => pool.endpoints(),
        };
        let mut open = BTreeSet::new();
        for (at, tier) in members.iter().enumerate() {
            match self.entry(tier, at) {
                EntryState::Met => open.extend(endpoints(tier)),
                EntryState::ByOrder(why) | EntryState::Unmet(why) => {
                    self.closed.insert(at, why);
                    self.guarded.extend(endpoints(tier));
                }
            }
        }
        self.guarded.retain(|endpoint| !open.contains(endpoint));
    }

    fn entry(&self, tier: &Member, at: usize) -> EntryState {
        if tier.entry.is_free() {
            return EntryState::Met;
        }
        let key = (self.asked.ix, self.asked.route.region, u16::try_from(at).unwrap_or(u16::MAX));
        match self.asked.facts.entries.get(&key) {
            Some(state) => state.clone(),
            None if tier.entry.manual => EntryState::ByOrder("it is entered by order only".into()),
            None if !tier.entry.when.is_empty() => EntryState::Unmet("nothing is known of its condition".into()),
            None => EntryState::Met,
        }
    }

    /// Weight orders: the narrower scope wins, then the later revision, so they apply from the weakest on.
    fn weigh(&mut self) {
        let mut orders: Vec<&Override> = self.standing_orders().collect();
        orders.sort_by_key(|order| (order.scope.narrowness(), order.revision));
        for order in orders {
            if let OverrideKind::Weight { endpoints, weight } = &order.kind {
                let of_service = endpoints.iter().filter(|(service, _)| *service == self.asked.ix);
                self.weights.extend(of_service.map(|(_, endpoint)| (*endpoint, *weight)));
            }
        }
    }

    fn standing_orders(&self) -> impl Iterator<Item = &'a Override> + use<'a> {
        let (ix, region, facts) = (self.asked.ix, self.asked.route.region, self.asked.facts);
        facts.overrides.iter().filter(move |order| facts.applies(order, ix, region))
    }

    pub(super) fn run(mut self, trail: &mut impl Trail) -> Plan {
        if self.fence.is_some() {
            trail.note(|| Reason::Fenced);
        }
        for (at, standing) in self.asked.standings.iter().enumerate() {
            if let Some(bar) = standing.bar {
                trail.note(|| Reason::Barred { endpoint: self.id(EndpointIx::from_at(at)), bar });
            }
        }
        let mut substitutes: Vec<Substitute> = Vec::new();
        for is_pin in [true, false] {
            for switch in self.switches(is_pin, trail) {
                trail.note(|| self.ordered(switch.what(), switch.order, switch.reach.iter()));
                match (self.target(&switch.reach), switch.from) {
                    (Some(draw), None) if substitutes.is_empty() => {
                        let source = if is_pin { Source::Pin } else { Source::Switch };
                        return self.finish(&draw, source, switch.what(), trail);
                    }
                    (Some(draw), from) => substitutes.push(Substitute { from: from.cloned(), to: draw }),
                    (None, None) if is_pin => return self.nothing(NoData::PinnedOut, trail),
                    (None, _) => {
                        trail.note(|| Reason::OrderBarred { what: switch.what(), revision: switch.order.revision });
                        self.leave(switch.order);
                    }
                }
            }
        }
        for Substitute { from, to } in &substitutes {
            trail.note(|| Reason::Substituted {
                from: from.iter().flatten().map(|dc| self.datacenter(*dc)).collect(),
                to: to.members.iter().map(|(endpoint, _)| self.id(*endpoint).to_string()).collect(),
            });
        }
        self.by_policy(&substitutes, trail)
    }

    /// What a switch's target comes down to: policy inside the target, with as much health as there is. An
    /// order needs no entry condition. `None`: all of it is ordered out.
    fn target(&self, reach: &[EndpointIx]) -> Option<Draw> {
        [Floor::Up, Floor::Held, Floor::Unknown, Floor::Any]
            .into_iter()
            .find_map(|floor| self.within(reach, &self.lens(floor, &NOBODY)))
            // Nothing is there but the sorry site.
            .or_else(|| self.lens(Floor::Any, &NOBODY).endpoints(reach))
    }

    /// Policy's choice among `reach` alone: by the region's tiers, else by fallback, else by weight.
    fn within(&self, reach: &[EndpointIx], lens: &Lens<'_>) -> Option<Draw> {
        let service = self.asked.service;
        let hidden = service.endpoints().map(|(ix, _)| ix).filter(|ix| !reach.contains(ix)).collect();
        let lens = Lens { hidden: &hidden, ..*lens };
        let is_sorry = |endpoint: EndpointIx| self.asked.route.all_down == AllDown::Sorry(endpoint);
        let is_name = |endpoint: EndpointIx| matches!(service.endpoint(endpoint).data, Data::Cname(_));
        let (names, addresses): (Vec<EndpointIx>, Vec<EndpointIx>) =
            reach.iter().copied().filter(|endpoint| !is_sorry(*endpoint)).partition(|endpoint| is_name(*endpoint));
        None.or_else(|| lens.tiers(self.asked.route.tiers.as_ref()?, &BTreeSet::new()))
            .or_else(|| lens.flatten(self.asked.route.fallback.as_ref()?))
            // Chance chooses among addresses or among names, never between the two.
            .or_else(|| lens.endpoints(&addresses))
            .or_else(|| lens.endpoints(&names))
    }

    /// What a switch that can not be followed left goes to the end.
    fn leave(&mut self, order: &Override) {
        match &order.kind {
            OverrideKind::Prefer { left, from, .. } => {
                let left = self.asked.facts.left.get(&(order.revision, self.asked.ix)).unwrap_or(left);
                self.left.extend(left.iter().chain(from.iter().flatten()));
            }
            OverrideKind::Pin { from, .. } => self.left.extend(from.iter().flatten()),
            OverrideKind::Schedule { .. } | OverrideKind::Weight { .. } | OverrideKind::Ttl(_) => {}
        }
    }

    /// The standing pins, or the standing preferences, that apply to this service and region, the strongest first:
    /// those that move some clients, and at the end the one that moves all the others, behind which no other counts.
    fn switches(&mut self, is_pin: bool, trail: &mut impl Trail) -> Vec<Switch<'a>> {
        let switches = self.standing_orders().filter_map(|order| match &order.kind {
            OverrideKind::Pin { to, from } if is_pin => Some((order, to, from, false)),
            OverrideKind::Prefer { to, from, yielded, .. } if !is_pin => Some((order, to, from, *yielded)),
            _ => None,
        });
        // A switch is for services that have an endpoint in its target; the others stay on policy.
        let ours = switches.filter(|(_, to, ..)| {
            self.asked.service.endpoints.iter().any(|endpoint| to.contains(&endpoint.datacenter))
        });
        let mut ours: Vec<_> = ours.collect();
        ours.sort_by_key(|(order, ..)| std::cmp::Reverse((order.scope.narrowness(), order.revision)));
        let of_everyone = ours.iter().position(|(_, _, from, _)| from.is_none());
        ours.truncate(of_everyone.map_or(ours.len(), |at| at + 1));
        let mut followed = Vec::new();
        for (order, to, from, yielded) in ours {
            let reach = self.reach(to);
            if yielded || self.has_yielded(order, is_pin, &reach) {
                trail.note(|| Reason::SwitchYielded { revision: order.revision });
                self.leave(order);
                continue;
            }
            let switch = Switch { order, is_pin, reach, from: from.as_ref() };
            match switch.reach.is_empty() {
                true => {
                    trail.note(|| Reason::OrderDoesNotReach { what: switch.what(), revision: order.revision });
                }
                false => followed.push(switch),
            }
        }
        followed
    }

    /// All of the target that may answer here has been down for the whole of the hold.
    fn has_yielded(&self, order: &Override, is_pin: bool, reach: &[EndpointIx]) -> bool {
        let yields = &self.asked.facts.yields;
        let mut may_answer =
            reach.iter().filter(|endpoint| self.asked.standings[endpoint.at()].bar.is_none()).peekable();
        !is_pin
            && may_answer.peek().is_some()
            && may_answer.all(|endpoint| yields.contains(&(order.revision, self.asked.ix, *endpoint)))
    }

    /// The endpoints in `datacenters` that the fence lets through.
    fn reach(&self, datacenters: &BTreeSet<DatacenterIx>) -> Vec<EndpointIx> {
        let endpoints = self.asked.service.endpoints();
        let there =
            endpoints.filter(|(ix, endpoint)| datacenters.contains(&endpoint.datacenter) && self.is_inside(*ix));
        there.map(|(ix, _)| ix).collect()
    }

    fn is_inside(&self, endpoint: EndpointIx) -> bool {
        self.fence.as_ref().is_none_or(|fence| fence.contains(&endpoint))
    }

    fn lens<'l>(&'l self, floor: Floor, excluded: &'l BTreeSet<EndpointIx>) -> Lens<'l> {
        Lens {
            service: self.asked.service,
            standings: self.asked.standings,
            floor,
            excluded,
            hidden: &NOBODY,
            weights: &self.weights,
            nearest: self.asked.nearest,
            substitutes: &[],
        }
    }

    fn by_policy(&self, moving: &[Substitute], trail: &mut impl Trail) -> Plan {
        self.note_what_is_amiss(trail);
        // What was left comes behind all others, also those of which nothing is known yet: a reload that gives the
        // standby a new address must not send its clients back.
        for side in [Side::WithoutLeft, Side::OnlyLeft] {
            for floor in [Floor::Up, Floor::Held, Floor::Unknown] {
                if side == Side::WithoutLeft
                    && (floor != Floor::Held || self.asked.standings.iter().any(Standing::is_held))
                {
                    trail.note(|| Reason::Considering { floor });
                }
                if let Some((draw, rung)) = self.rungs(floor, side, moving) {
                    let source = self.source(&draw, rung, floor, side, moving);
                    return self.finish(&draw, source, rung.as_str(), trail);
                }
            }
        }
        self.all_down(moving, trail)
    }

    fn all_down(&self, moving: &[Substitute], trail: &mut impl Trail) -> Plan {
        match self.asked.route.all_down {
            AllDown::Open => {
                trail.note(|| Reason::Considering { floor: Floor::Any });
                for side in [Side::WithoutLeft, Side::OnlyLeft] {
                    if let Some((draw, rung)) = self.rungs(Floor::Any, side, moving) {
                        return self.finish(&draw, Source::FailOpen, rung.as_str(), trail);
                    }
                }
                self.nothing(NoData::AllOut, trail)
            }
            AllDown::Closed => self.nothing(NoData::Closed, trail),
            AllDown::Sorry(site) => {
                let site = Some(site).filter(|site| self.is_inside(*site));
                let draw = site.and_then(|site| self.lens(Floor::Any, &NOBODY).endpoints(&[site]));
                match draw {
                    Some(draw) => self.finish(&draw, Source::Sorry, "the sorry site", trail),
                    None => self.nothing(NoData::AllOut, trail),
                }
            }
        }
    }

    /// Schedule, tiers, fallback: the first that has anything on this side at this floor.
    fn rungs(&self, floor: Floor, side: Side, moving: &[Substitute]) -> Option<(Draw, Rung)> {
        let excluded: BTreeSet<EndpointIx> = self
            .asked
            .service
            .endpoints()
            .filter(|(_, endpoint)| {
                let is_left = self.left.contains(&endpoint.datacenter);
                match side {
                    Side::All => false,
                    Side::WithoutLeft => is_left,
                    Side::OnlyLeft => !is_left,
                }
            })
            .map(|(ix, _)| ix)
            .collect();
        let lens = Lens { substitutes: moving, ..self.lens(floor, &excluded) };
        let closed: BTreeSet<usize> = self.closed.keys().copied().collect();
        let automatic = Lens { hidden: &self.guarded, ..lens };
        let route = self.asked.route;
        None.or_else(|| Some((self.within(&self.schedule()?, &lens)?, Rung::Schedule)))
            .or_else(|| Some((lens.tiers(route.tiers.as_ref()?, &closed)?, Rung::Tiers)))
            .or_else(|| {
                Some((automatic.flatten(route.fallback.as_ref().filter(|_| self.fence.is_none())?)?, Rung::Fallback))
            })
    }

    fn schedule(&self) -> Option<Vec<EndpointIx>> {
        let planned = self.standing_orders().filter_map(|order| match &order.kind {
            OverrideKind::Schedule { to } => Some((order, to)),
            _ => None,
        });
        let (_, to) = planned.max_by_key(|(order, _)| (order.scope.narrowness(), order.revision))?;
        Some(self.reach(to))
    }

    /// Which rung of the order decided, as status and API say it.
    fn source(&self, draw: &Draw, rung: Rung, floor: Floor, side: Side, moving: &[Substitute]) -> Source {
        match (floor, rung) {
            (Floor::Unknown | Floor::Any, _) => Source::Unknown,
            (Floor::Up | Floor::Held, _) if draw.is_substituted => Source::Switch,
            (Floor::Up | Floor::Held, Rung::Schedule) => Source::Schedule,
            (Floor::Up | Floor::Held, Rung::Tiers | Rung::Fallback) => {
                let is = |floor: Floor| self.rungs(floor, Side::All, moving).is_some_and(|(other, _)| other == *draw);
                if is(Floor::Any) {
                    Source::Policy
                } else if side == Side::OnlyLeft || is(floor) {
                    Source::Health
                } else {
                    Source::Latch
                }
            }
        }
    }

    fn finish(&self, draw: &Draw, source: Source, what: &'static str, trail: &mut impl Trail) -> Plan {
        trail.note(|| Reason::Chose {
            what: what.to_owned(),
            members: draw.members.iter().map(|(endpoint, weight)| (self.id(*endpoint), *weight)).collect(),
        });
        let live = |endpoint: &EndpointIx| {
            let live = self.asked.standings[endpoint.at()].live(Floor::Any).unwrap_or_default();
            (*endpoint, live)
        };
        let variants: Vec<Variant> = samples(draw, self.answers_max(draw))
            .iter()
            .take(limits::PLAN_VARIANTS_MAX)
            .map(|(endpoints, weight)| Variant {
                endpoints: endpoints.iter().map(live).collect(),
                weight: u32::try_from(*weight).unwrap_or(u32::MAX),
            })
            .collect();
        let mode = if variants.len() == 1 { Mode::One } else { draw.mode };
        Plan::Choose { mode, variants, source }
    }

    /// How many endpoints an answer names: beside a CNAME there can be nothing (RFC 1034 §3.6.2).
    fn answers_max(&self, draw: &Draw) -> usize {
        let is_name = |ix: EndpointIx| matches!(self.asked.service.endpoint(ix).data, Data::Cname(_));
        match draw.members.iter().any(|(endpoint, _)| is_name(*endpoint)) {
            true => 1,
            false => usize::from(self.asked.service.max_answers),
        }
    }

    fn nothing(&self, why: NoData, trail: &mut impl Trail) -> Plan {
        trail.note(|| Reason::Nothing { why: why.as_str() });
        Plan::NoData(why)
    }

    fn note_what_is_amiss(&self, trail: &mut impl Trail) {
        for (ix, endpoint) in self.asked.service.endpoints() {
            let standing = &self.asked.standings[ix.at()];
            if standing.bar.is_none() && standing.state() != State::Up {
                trail.note(|| Reason::NotUsable {
                    endpoint: endpoint.id.clone(),
                    state: standing.state(),
                    usable: standing.up_count(),
                    min: standing.min,
                });
            }
            if standing.bar.is_none() && standing.is_held() {
                trail.note(|| Reason::Held { endpoint: endpoint.id.clone() });
            }
            if self.left.contains(&endpoint.datacenter) {
                trail.note(|| Reason::Latched { endpoint: endpoint.id.clone() });
            }
        }
        for (at, why) in &self.closed {
            trail.note(|| Reason::EntryUnmet { tier: self.tier_name(*at), why: why.clone() });
        }
        let uses_nearest = self.asked.route.tiers.as_ref().is_some_and(|pool| pool.uses(Method::Nearest));
        if uses_nearest && self.asked.nearest.is_none() {
            trail.note(|| Reason::Unlocated);
        }
    }

    fn tier_name(&self, at: usize) -> String {
        let tier = self.asked.route.tiers.as_ref().and_then(|tiers| tiers.members.get(at));
        match tier.and_then(|tier| tier.word) {
            Some(word) => format!("tier {}", word.as_str()),
            None => format!("tier {}", at + 1),
        }
    }

    fn ordered<'e>(&self, what: &'static str, order: &Override, to: impl Iterator<Item = &'e EndpointIx>) -> Reason {
        Reason::Ordered {
            what,
            revision: order.revision,
            to: to.map(|endpoint| self.id(*endpoint).to_string()).collect(),
            actor: order.actor.clone(),
            reason: order.reason.clone(),
        }
    }

    fn id(&self, endpoint: EndpointIx) -> EndpointId {
        self.asked.service.endpoint(endpoint).id.clone()
    }

    fn datacenter(&self, ix: DatacenterIx) -> String {
        self.asked.datacenters.get(ix.at()).map_or_else(|| format!("#{}", ix.0), |dc| dc.id.to_string())
    }
}

/// Where policy's order stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rung {
    Schedule,
    Tiers,
    Fallback,
}

impl Rung {
    fn as_str(self) -> &'static str {
        match self {
            Rung::Schedule => "schedule",
            Rung::Tiers => "the region's tiers",
            Rung::Fallback => "fallback",
        }
    }
}
