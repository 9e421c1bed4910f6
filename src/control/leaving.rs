//! Whom clients leave, and when the last answer has expired that still names him.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use super::orders::{Sample, Samples, Unit};
use super::status::Now;
use super::tallied::Tallied;
use super::writer::Control;
use crate::model::{EndpointIx, Moment, Name, ServiceIx};
use crate::table::{Base, RoutingTable, ServiceView};

/// Endpoints of which some clients get fewer answers from `after` than they got from `before`, or the same for
/// another time. Both have the same files.
pub(super) fn left(
    before: &RoutingTable,
    after: &RoutingTable,
    services: &BTreeSet<ServiceIx>,
) -> Vec<(ServiceIx, EndpointIx)> {
    let mut left = Vec::new();
    for &ix in services {
        let outcomes = before.base().map(ix).map_or(1, |map| map.outcomes().len());
        let (was, is) = (before.service(ix), after.service(ix));
        // Most outcomes have a plan in common.
        let mut pairs: Vec<(u32, u32, u16)> = (0..u16::try_from(outcomes).unwrap_or(u16::MAX))
            .map(|outcome| (was.plan_number(outcome), is.plan_number(outcome), outcome))
            .collect();
        pairs.sort_unstable();
        pairs.dedup_by_key(|(was, is, _)| (*was, *is));
        let of_service = pairs.iter().flat_map(|(.., outcome)| left_by(&was, &is, *outcome));
        left.extend(of_service.collect::<BTreeSet<EndpointIx>>().into_iter().map(|endpoint| (ix, endpoint)));
    }
    left
}

fn left_by(was: &ServiceView<'_>, is: &ServiceView<'_>, outcome: u16) -> Vec<EndpointIx> {
    let is_same_ttl = was.ttl(outcome) == is.ttl(outcome);
    if is_same_ttl && was.members(outcome).eq(is.members(outcome)) {
        return Vec::new();
    }
    let (before, after) = (shares(was, outcome), shares(is, outcome));
    let total = |view: &ServiceView<'_>| view.members(outcome).map(|(_, weight)| u128::from(weight)).sum::<u128>();
    let (all_before, all_after) = (total(was), total(is));
    let has_less = |endpoint: &EndpointIx, weight: u128| {
        after.get(endpoint).is_none_or(|after| weight * all_after > after * all_before)
    };
    let left = before.into_iter().filter(|(endpoint, weight)| !is_same_ttl || has_less(endpoint, *weight));
    left.map(|(endpoint, _)| endpoint).collect()
}

/// How often each endpoint is named.
fn shares(view: &ServiceView<'_>, outcome: u16) -> BTreeMap<EndpointIx, u128> {
    let mut shares: BTreeMap<EndpointIx, u128> = BTreeMap::new();
    for (endpoint, weight) in view.members(outcome) {
        *shares.entry(endpoint).or_default() += u128::from(weight);
    }
    shares
}

/// When the last answer has expired that names something of an order out; also what files no longer name in a data
/// centre. `None`: there is none.
fn last_of(tallied: &Tallied, base: &Base, units: &BTreeSet<Unit>) -> Option<Moment> {
    let mut datacenters: BTreeSet<&str> = BTreeSet::new();
    let mut endpoints: Vec<(ServiceIx, EndpointIx)> = Vec::new();
    for unit in units {
        match unit {
            Unit::Datacenter(id) => drop(datacenters.insert(id)),
            Unit::Endpoint(name, id) => {
                let ix = Name::parse(name).ok().and_then(|name| base.service_named(&name));
                let Some(ix) = ix else { continue };
                let of = base.policy().services[ix.at()].endpoints();
                endpoints
                    .extend(of.filter(|(_, endpoint)| endpoint.id.as_str() == id).map(|(endpoint, _)| (ix, endpoint)));
            }
        }
    }
    let of_datacenters = (!datacenters.is_empty()).then(|| tallied.last_of(&datacenters)).flatten();
    of_datacenters.max((!endpoints.is_empty()).then(|| tallied.last_expires(&endpoints)).flatten())
}

impl Control {
    /// What the process before answered with is not known; its answers lived as long as ours do.
    pub(super) fn tallies_begin(&self, now: Now) {
        let ttl = |ix| self.ttl_of(&BTreeSet::from([ix])).unwrap_or_default();
        self.inbox.tallied().begin(&self.base, now.moment, ttl);
    }

    /// Queries of the recent past.
    pub(super) fn samples(&self) -> Samples<Vec<Sample>> {
        let tallied = self.inbox.tallied();
        tallied.samples(tallied.now().0)
    }

    /// When the last answer has expired that `before` gave and the table that serves now would not give; `None`: there
    /// is no such answer. Until some worker has gone over to the newer table that is not known: `at_worst`.
    ///
    /// Drains learn the same of what they are about.
    pub(super) fn last_old_answer(
        &mut self,
        before: &RoutingTable,
        touched: &BTreeSet<ServiceIx>,
        at_worst: Option<SystemTime>,
        now: Now,
    ) -> Option<SystemTime> {
        let after = self.publisher.current();
        let until = match Arc::ptr_eq(before.base(), after.base()) && self.publisher.is_everywhere(after.generation()) {
            true => self.last_left(before, &after, touched, now),
            false => at_worst,
        };
        if let Some(until) = until {
            self.inbox.tallied().remember(self.lane.book.revision(), until);
        }
        until
    }

    fn last_left(
        &mut self,
        before: &RoutingTable,
        after: &RoutingTable,
        touched: &BTreeSet<ServiceIx>,
        now: Now,
    ) -> Option<SystemTime> {
        let tallied = Arc::clone(self.inbox.tallied());
        let last = |endpoints: &[(ServiceIx, EndpointIx)]| tallied.last_expires(endpoints).unwrap_or(now.moment);
        let base = &self.base;
        self.lane.retime(|units| last_of(&tallied, base, units).unwrap_or(now.moment).max(now.moment));
        let left = left(before, after, touched);
        (!left.is_empty()).then(|| now.wall_at(last(&left).max(now.moment)))
    }
}
