//! What the table, control and the probes know, as metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use tokio::sync::Semaphore;

use super::admission::Admission;
use super::sightings::Sightings;
use super::view;
use crate::control::orders::OrderRefused;
use crate::control::{Handle, NotOrdered, Ordered, Status, Unanswered};
use crate::health::TargetId;
use crate::limits::EVENT_STREAMS_MAX;
use crate::model::{Admin, CheckIx, DatacenterId, DatacenterIx, OverrideKind, ServiceIx, State};
use crate::table::RoutingTable;
use crate::telemetry::{IntCounterVec, Page, Registry, Source, Summary, catalogue as the};

const STATES: [&str; 3] = ["up", "down", "unknown"];
const ADMIN: [&str; 3] = ["in", "draining", "out"];

/// Table, data centres, endpoints, latches, probes.
pub(super) struct RoutingSource {
    pub(super) control: Handle,
    pub(super) sightings: Option<Arc<dyn Sightings>>,
}

impl Source for RoutingSource {
    fn write(&self, page: &mut Page) {
        let (table, status) = (self.control.table(), self.control.status());
        let (policy, facts) = (table.base().policy(), table.facts());
        page.count(&the::GENERATION, &[], table.generation().0);
        page.count(&the::REVISION, &[], table.revision().0);
        page.count(&the::SERVICES, &[], policy.services.len() as u64);
        let age = SystemTime::now().duration_since(status.published_at).unwrap_or_default();
        page.set(&the::GENERATION_AGE, &[], age.as_secs_f64());
        page.count(&the::MOVES, &[], status.moves_total);
        let mut overrides: BTreeMap<&str, u64> = BTreeMap::new();
        for standing in &facts.overrides {
            *overrides.entry(kind(&standing.kind)).or_default() += 1;
        }
        for (kind, count) in overrides {
            page.count(&the::OVERRIDES, &[kind], count);
        }
        for (at, counted) in view::count_datacenters(&table).iter().enumerate() {
            let name = policy.datacenters[at].short_name();
            page.state(&the::DATACENTER_STATE, &[name], &STATES, counted.state().as_str());
            for (state, count) in
                [(State::Up, counted.up), (State::Down, counted.down), (State::Unknown, counted.unknown)]
            {
                page.count(&the::DATACENTER_ENDPOINTS, &[name, state.as_str()], count as u64);
            }
            page.count(&the::DATACENTER_HELD, &[name], counted.held as u64);
            let admin = facts.datacenters.get(&DatacenterIx::from_at(at)).copied().unwrap_or(Admin::In);
            page.state(&the::DATACENTER_ADMIN, &[name], &ADMIN, view::admin(admin));
            let latches = facts.latches.iter().filter(|latch| latch.datacenter.at() == at).count();
            page.count(&the::LATCHES, &[name], latches as u64);
        }
        for (at, service) in policy.services.iter().enumerate() {
            let standings = crate::table::standings(service, ServiceIx::from_at(at), facts);
            let name = service.name.to_string();
            for ((_, endpoint), standing) in service.endpoints().zip(&standings) {
                let datacenter = policy.datacenters[endpoint.datacenter.at()].short_name();
                let labels = [name.as_str(), endpoint.id.as_str(), datacenter];
                page.state(&the::ENDPOINT_STATE, &labels, &STATES, standing.state().as_str());
            }
        }
        answers(page, &self.control, &table);
        page.set(&the::BLIND, &[], f64::from(u8::from(status.blindness.is_some())));
        page.count(&the::FALLS_HELD, &[], status.blindness.as_ref().map_or(0, |blindness| blindness.held as u64));
        page.count(&the::ALARMS, &[], status.alarms.len() as u64);
        if let Some(sightings) = &self.sightings {
            probes(page, &status, &**sightings);
        }
    }
}

/// What workers have tallied. Services that were never answered have no series.
fn answers(page: &mut Page, control: &Handle, table: &RoutingTable) {
    let datacenters = &table.base().policy().datacenters;
    let mut of_datacenter: BTreeMap<DatacenterId, u64> = BTreeMap::new();
    let short = |id: &DatacenterId| {
        let known = datacenters.iter().find(|datacenter| datacenter.id == *id);
        known.map_or_else(|| id.to_string(), |datacenter| datacenter.short_name().to_owned())
    };
    for (service, counts) in control.tallied().counts() {
        for (datacenter, count) in counts {
            page.count(&the::ANSWERS, &[&service, &short(&datacenter)], count);
            *of_datacenter.entry(datacenter).or_default() += count;
        }
    }
    for datacenter in datacenters {
        let count = of_datacenter.get(&datacenter.id).copied().unwrap_or_default();
        page.count(&the::DATACENTER_ANSWERS, &[datacenter.short_name()], count);
    }
}

fn kind(kind: &OverrideKind) -> &'static str {
    match kind {
        OverrideKind::Pin { .. } => "pin",
        OverrideKind::Prefer { .. } => "switch",
        OverrideKind::Schedule { .. } => "schedule",
        OverrideKind::Weight { .. } => "weight",
        OverrideKind::Ttl(_) => "ttl",
    }
}

fn probes(page: &mut Page, status: &Status, sightings: &dyn Sightings) {
    let policy = status.base.policy();
    // Each target once for a data centre and check, whatever the number of its addresses.
    let mut targets: BTreeMap<(DatacenterIx, CheckIx), BTreeSet<TargetId>> = BTreeMap::new();
    for (key, check, target) in status.targets() {
        let datacenter = policy.services[key.service.at()].endpoint(key.endpoint).datacenter;
        targets.entry((datacenter, check)).or_default().insert(target);
    }
    for ((datacenter, check), targets) in targets {
        let labels =
            [policy.datacenters[datacenter.at()].short_name(), policy.checks[usize::from(check.0)].id.as_str()];
        page.count(&the::TARGETS, &labels, targets.len() as u64);
    }
    // No time to tell: a page without it is better than one that waits.
    let Some(numbers) = sightings.numbers() else { return };
    let all = numbers.counters;
    page.count(&the::PROBES_STARTED, &[], all.started);
    page.count(&the::PROBES_LATE, &[], all.late);
    page.count(&the::PROBES_LOST, &[], all.lost);
    page.count(&the::PROBES_IN_FLIGHT, &[], all.in_flight as u64);
    page.set(&the::PROBE_LATENESS_MAX, &[], all.lateness_max.as_secs_f64());
    for (group, tally) in &numbers.groups {
        let named = policy.datacenters.iter().find(|datacenter| Some(&datacenter.id) == group.datacenter.as_ref());
        // One thing that is done may have several names: the first.
        let Some(check) = policy.checks.iter().find(|check| check.spec == group.check) else { continue };
        let labels = [named.map_or("-", |datacenter| datacenter.short_name()), check.id.as_str()];
        let good = tally.took.count.saturating_sub(tally.failed);
        for (result, count) in [("good", good), ("bad", tally.failed), ("blind", tally.blind)] {
            page.count(&the::PROBE_RESULTS, &[labels[0], labels[1], result], count);
        }
        let quantile = |(of, permille)| Some((of, tally.took.quantile(permille)?.as_secs_f64()));
        let quantiles = QUANTILES.into_iter().filter_map(quantile).collect();
        let summary = Summary { count: tally.took.count, sum: tally.took.sum.as_secs_f64(), quantiles };
        page.summary(&the::PROBE_DURATION, &labels, &summary);
        if let Some(expires) = tally.certificate_expires.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            page.set(&the::CERTIFICATE_EXPIRES, &labels, expires.as_secs_f64());
        }
    }
}

/// Of response times, and the same in thousandths.
const QUANTILES: [(f64, u64); 3] = [(0.5, 500), (0.9, 900), (0.99, 990)];

/// Connections of the API.
pub(super) struct ConnectionSource(pub(super) Weak<Admission>);

impl Source for ConnectionSource {
    fn write(&self, page: &mut Page) {
        let Some(admission) = self.0.upgrade() else { return };
        let (open, refused) = admission.count();
        page.count(&the::API_CONNECTIONS, &[], open as u64);
        page.count(&the::API_REFUSED, &[], refused);
    }
}

/// Followers of events: places that are taken.
pub(super) struct StreamSource(pub(super) Arc<Semaphore>);

impl Source for StreamSource {
    fn write(&self, page: &mut Page) {
        page.count(&the::EVENT_STREAMS, &[], EVENT_STREAMS_MAX.saturating_sub(self.0.available_permits()) as u64);
    }
}

/// Orders over the API, by what came of them.
pub(super) struct OrderCounters {
    orders: IntCounterVec,
    refusals: IntCounterVec,
    forced: IntCounterVec,
}

impl OrderCounters {
    pub(super) fn new(registry: &Registry) -> OrderCounters {
        OrderCounters {
            orders: registry.counter(&the::ORDERS),
            refusals: registry.counter(&the::ORDER_REFUSALS),
            forced: registry.counter(&the::ORDERS_FORCED),
        }
    }

    /// Counts one order; a dry run is none that could be refused or forced.
    pub(super) fn count(&self, order: &str, is_dry_run: bool, done: &Result<Result<Ordered, NotOrdered>, Unanswered>) {
        let outcome = match done {
            _ if is_dry_run => "dry-run",
            Ok(Ok(done)) if done.is_repeated => "repeated",
            Ok(Ok(done)) if done.answer.changed => "applied",
            Ok(Ok(_)) => "unchanged",
            Ok(Err(NotOrdered::Refused(_) | NotOrdered::KeyReused(_))) => "refused",
            Ok(Err(NotOrdered::NotStored { .. })) | Err(_) => "failed",
        };
        self.orders.with_label_values(&[order, outcome]).inc();
        match done {
            Ok(Err(NotOrdered::Refused(OrderRefused::Rules { refusals }))) if !is_dry_run => {
                refusals.iter().for_each(|refusal| self.refusals.with_label_values(&[refusal.rule.as_str()]).inc());
            }
            Ok(Err(NotOrdered::Refused(_) | NotOrdered::KeyReused(_))) if !is_dry_run => {
                self.refusals.with_label_values(&["invalid"]).inc();
            }
            Ok(Ok(done)) if outcome == "applied" => {
                done.answer.forced.iter().for_each(|rule| self.forced.with_label_values(&[rule.as_str()]).inc());
            }
            Ok(Ok(_) | Err(_)) | Err(_) => {}
        }
    }
}
