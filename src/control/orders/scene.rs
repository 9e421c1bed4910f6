//! The two sides of an order that is judged, looked at once: whom it moves, from what to what.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::book::list;
use super::impact::{Shift, shifts};
use super::left::policys_choice;
use super::names::Names;
use super::order::{Deed, Whom};
use super::rules::{Case, Rule, Verdict, refuse};
use crate::limits;
use crate::model::{DatacenterIx, EndpointIx, Facts, Override, OverrideKind, Route, ServiceIx, State};
use crate::steer::Standing;
use crate::table::{RoutingTable, standings};

/// How well something is served, or could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Not at all.
    Nothing,
    Down,
    Unknown,
    Up,
}

impl Rank {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Rank::Nothing => "ordered out",
            Rank::Down => "down",
            Rank::Unknown => "not known to be up",
            Rank::Up => "up",
        }
    }
}

pub(super) fn rank(standing: &Standing) -> Rank {
    match (standing.bar, standing.state()) {
        (Some(_), _) => Rank::Nothing,
        (None, State::Down) => Rank::Down,
        (None, State::Unknown) => Rank::Unknown,
        (None, State::Up) => Rank::Up,
    }
}

/// Both sides of a case, looked at once.
pub(super) struct Scene<'a> {
    pub(super) case: &'a Case<'a>,
    pub(super) names: Names<'a>,
    /// Of each service: before, after.
    pub(super) standings: BTreeMap<ServiceIx, (Vec<Standing>, Vec<Standing>)>,
    pub(super) shifts: Vec<Shift>,
    /// Standing switches that win over the one that is ordered, where both apply.
    stronger: Vec<&'a Override>,
    /// Whom the order names as the one to answer.
    pub(super) target: Option<Target<'a>>,
    /// Positions of the shifts of those whom the order sends to its target.
    sent: OnceCell<Vec<usize>>,
}

pub(super) struct Target<'a> {
    pub(super) ids: BTreeSet<String>,
    datacenters: BTreeSet<DatacenterIx>,
    pub(super) whom: &'a Whom,
    /// Only clients whom policy would give one of these move.
    from: Option<BTreeSet<DatacenterIx>>,
    is_home: bool,
}

impl<'a> Scene<'a> {
    pub(super) fn new(case: &'a Case<'a>) -> Scene<'a> {
        let policy = case.before.base().policy();
        let names = Names::of(policy);
        let known = |facts: &'a Facts| match case.live {
            Some(live) => Cow::Owned(Facts { health: live.clone(), ..facts.clone() }),
            None => Cow::Borrowed(facts),
        };
        let (before, after) = (known(case.before.facts()), known(case.after.facts()));
        let both = |ix: ServiceIx| {
            let service = &policy.services[ix.at()];
            (standings(service, ix, &before), standings(service, ix, &after))
        };
        let of: BTreeSet<ServiceIx> = case.touched.union(&case.resolved.services).copied().collect();
        let standings = of.iter().map(|ix| (*ix, both(*ix))).collect();
        let target = |ids: BTreeSet<String>, whom: &'a Whom, from: Option<&BTreeSet<String>>, is_home: bool| Target {
            datacenters: names.datacenter_ixs(&ids),
            ids,
            whom,
            from: from.map(|from| names.datacenter_ixs(from)),
            is_home,
        };
        let target = match &case.resolved.deed {
            Deed::Switch { to, whom, from, .. } => Some(target(to.clone(), whom, from.as_ref(), false)),
            Deed::ClearSwitch { whom, home: Some(id), .. } => Some(target([id.clone()].into(), whom, None, true)),
            Deed::ClearSwitch { home: None, .. }
            | Deed::Drain { .. }
            | Deed::Undrain { .. }
            | Deed::Force { .. }
            | Deed::Failback { .. }
            | Deed::Weights { .. }
            | Deed::Ttl { .. }
            | Deed::Freeze
            | Deed::Unfreeze
            | Deed::Gate { .. }
            | Deed::Undo { .. }
            | Deed::Expire { .. } => None,
        };
        let shifts = shifts(case.before, case.after, case.touched).collect();
        let stronger = stronger(case);
        Scene { case, names, standings, shifts, stronger, target, sent: OnceCell::new() }
    }

    pub(super) fn route(&self, shift: &Shift) -> &'a Route {
        let policy = &self.names.service(shift.service).policy;
        policy.all_routes().find(|route| route.region == shift.region).unwrap_or(&policy.elsewhere)
    }

    /// The best of what serves the clients of an outcome.
    pub(super) fn serving(&self, table: &RoutingTable, standings: &[Standing], shift: &Shift) -> Rank {
        let members = table.service(shift.service).members(shift.outcome);
        members.map(|(endpoint, _)| rank(&standings[endpoint.at()])).max().unwrap_or(Rank::Nothing)
    }

    /// The target's endpoints that may answer the clients of an outcome; a geofence bounds them.
    pub(super) fn reach(&self, target: &Target<'_>, shift: &Shift) -> Vec<EndpointIx> {
        let route = self.route(shift);
        let fence = route.tiers.as_ref().filter(|_| route.geofence).map(|tiers| tiers.endpoints());
        let endpoints = self.names.service(shift.service).endpoints();
        let there = endpoints.filter(|(ix, endpoint)| {
            target.datacenters.contains(&endpoint.datacenter) && fence.as_ref().is_none_or(|fence| fence.contains(ix))
        });
        there.map(|(ix, _)| ix).collect()
    }

    /// Clients whom the order sends to its target, and who are not there already. Where another order decides, this one
    /// sends nobody.
    pub(super) fn sent<'s>(&'s self, target: &'s Target<'_>) -> impl Iterator<Item = &'s Shift> {
        // Several rules ask.
        let sent = self.sent.get_or_init(|| {
            let sent = self.shifts.iter().enumerate().filter(|(_, shift)| self.is_sent(target, shift));
            sent.map(|(at, _)| at).collect()
        });
        sent.iter().map(|at| &self.shifts[*at])
    }

    fn is_meant(&self, target: &Target<'_>, shift: &Shift) -> bool {
        let covers = |whom: &Whom| whom.covers(&self.names.name(shift.service), &self.names.region(shift.region));
        self.case.resolved.services.contains(&shift.service) && (target.whom.is_everybody() || covers(target.whom))
    }

    fn is_sent(&self, target: &Target<'_>, shift: &Shift) -> bool {
        if !self.is_meant(target, shift) || self.reach(target, shift).is_empty() {
            return false;
        }
        let well = Facts::all_up();
        let policys = || policys_choice(&self.names, shift.service, &self.names.region(shift.region), &well);
        match &target.from {
            // Some of them move, if policy would give them one of those.
            Some(_) if shift.from != shift.to => true,
            Some(from) => policys().is_some_and(|dc| from.contains(&dc)) && self.moves(target, shift),
            // Back home go those who are at home there; the others, to where policy has them.
            None if target.is_home => {
                policys().is_some_and(|dc| target.datacenters.contains(&dc)) && !self.is_at(target, shift)
            }
            None => self.moves(target, shift),
        }
    }

    fn is_at(&self, target: &Target<'_>, shift: &Shift) -> bool {
        !shift.from.is_empty() && shift.from.is_subset(&target.datacenters)
    }

    fn moves(&self, target: &Target<'_>, shift: &Shift) -> bool {
        !self.is_at(target, shift) && !self.is_decided(shift)
    }

    /// Another switch wins there, and leads somewhere.
    fn is_decided(&self, shift: &Shift) -> bool {
        let facts = self.case.after.facts();
        let service = self.names.service(shift.service);
        self.stronger.iter().any(|order| {
            let (to, is_pin) = match &order.kind {
                OverrideKind::Pin { to, .. } => (to, true),
                OverrideKind::Prefer { to, .. } => (to, false),
                OverrideKind::Schedule { .. } | OverrideKind::Weight { .. } | OverrideKind::Ttl(_) => return false,
            };
            let mut there = service.endpoints().filter(|(_, endpoint)| to.contains(&endpoint.datacenter));
            let leads = |endpoint: EndpointIx| {
                let standing = &self.standings[&shift.service].1[endpoint.at()];
                let has_yielded = facts.yields.contains(&(order.revision, shift.service, endpoint));
                is_pin || (standing.bar.is_none() && !has_yielded)
            };
            facts.applies(order, shift.service, shift.region) && there.any(|(endpoint, _)| leads(endpoint))
        })
    }

    /// What a rule says when the target is not good enough for these of all services that are sent there: an order
    /// that names services is all or nothing; else the sick endpoint of a few is a warning.
    pub(super) fn weigh(&self, rule: Rule, bad: BTreeMap<ServiceIx, String>, sent: usize) -> Verdict {
        if bad.is_empty() {
            return Verdict::Allow;
        }
        let shown: Vec<String> = bad.values().take(limits::WARNING_NAMES_MAX).cloned().collect();
        let more = bad.len().saturating_sub(shown.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let text = format!("{}{more}", shown.join("; "));
        match self.case.resolved.is_named || bad.len() * 2 > sent {
            true => refuse(rule, text),
            false => Verdict::Warn(format!("{rule}, for {} of {sent} services: {text}", bad.len())),
        }
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let Some(target) = &self.target else { return warnings };
        let mut lost: BTreeSet<String> = BTreeSet::new();
        let mut fenced: BTreeSet<String> = BTreeSet::new();
        let mut left_up: BTreeSet<String> = BTreeSet::new();
        for shift in &self.shifts {
            if !self.is_meant(target, shift) {
                continue;
            }
            let region = || self.names.region(shift.region);
            if self.reach(target, shift).is_empty() {
                fenced.insert(format!("{} of {}", region(), self.names.name(shift.service)));
                continue;
            }
            if shift.from == shift.to {
                continue;
            }
            if !target.is_home && shift.region.is_some() {
                lost.insert(region());
            }
            let before = &self.standings[&shift.service].0;
            for (endpoint, _) in self.case.before.service(shift.service).members(shift.outcome) {
                let datacenter = self.names.service(shift.service).endpoint(endpoint).datacenter;
                if !shift.to.contains(&datacenter) && rank(&before[endpoint.at()]) == Rank::Up {
                    left_up.insert(self.names.id(datacenter));
                }
            }
        }
        let some = |names: &BTreeSet<String>| {
            let more = names.len().saturating_sub(limits::WARNING_NAMES_MAX);
            let shown = list(names.iter().take(limits::WARNING_NAMES_MAX));
            if more > 0 { format!("{shown} and {more} more") } else { shown }
        };
        if !left_up.is_empty() {
            warnings.push(format!("{} looks up, and clients leave it", some(&left_up)));
        }
        if !lost.is_empty() {
            warnings.push(format!(
                "clients of {} lose their geography: {} answers them all",
                some(&lost),
                list(&target.ids)
            ));
        }
        if !fenced.is_empty() {
            warnings.push(format!("a geofence keeps {} on policy", some(&fenced)));
        }
        warnings
    }

    /// Something of it is up for a service that the order concerns.
    pub(super) fn is_usable(&self, ids: &BTreeSet<String>) -> bool {
        let datacenters = self.names.datacenter_ixs(ids);
        self.standings.iter().any(|(ix, (before, _))| {
            let there = self.names.service(*ix).endpoints();
            there
                .filter(|(_, endpoint)| datacenters.contains(&endpoint.datacenter))
                .any(|(endpoint, _)| rank(&before[endpoint.at()]) == Rank::Up)
        })
    }
}

/// Switches of everybody concerned that win over the order's own, where both apply: pins, narrower ones.
fn stronger<'a>(case: &Case<'a>) -> Vec<&'a Override> {
    let strength = |order: &Override| {
        let (is_pin, is_whole) = match &order.kind {
            OverrideKind::Pin { from, .. } => (true, from.is_none()),
            OverrideKind::Prefer { from, .. } => (false, from.is_none()),
            OverrideKind::Schedule { .. } | OverrideKind::Weight { .. } | OverrideKind::Ttl(_) => return None,
        };
        Some((is_whole, (is_pin, order.scope.narrowness(), order.revision)))
    };
    let overrides = &case.after.facts().overrides;
    let own = overrides.iter().find(|order| order.revision == case.revision).and_then(strength);
    let Some((_, own)) = own else { return Vec::new() };
    overrides
        .iter()
        .filter(|order| strength(order).is_some_and(|(is_whole, theirs)| is_whole && theirs > own))
        .collect()
}
