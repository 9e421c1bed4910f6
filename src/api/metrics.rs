//! What the table, control and the probes know, as metrics.

mod endpoints;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use tokio::sync::Semaphore;

use self::endpoints::Endpoints;
use super::admission::Admission;
use super::sightings::Sightings;
use super::view;
use crate::control::orders::OrderRefused;
use crate::control::{Handle, NotOrdered, Ordered, Status, There, Unanswered, Watching};
use crate::health::TargetId;
use crate::limits::EVENT_STREAMS_MAX;
use crate::model::{Admin, CheckIx, DatacenterIx, OverrideKind, PolicySet, State};
use crate::telemetry::{IntCounterVec, Page, Registry, Source, Summary, catalogue as the};

const STATES: [&str; 3] = ["up", "down", "unknown"];
const ADMIN: [&str; 3] = ["in", "draining", "out"];

/// Table, data centres, endpoints, latches, probes.
pub(super) struct RoutingSource {
    control: Handle,
    sightings: Option<Arc<dyn Sightings>>,
    /// One page at a time is made of these.
    known: Mutex<Known>,
}

/// What holds from page to page.
#[derive(Default)]
struct Known {
    endpoints: Endpoints,
    /// How many targets there are of a data centre and check, and of which list of targets that is so.
    targets: (Weak<Watching>, Vec<(DatacenterIx, CheckIx, u64)>),
}

impl RoutingSource {
    pub(super) fn new(control: Handle, sightings: Option<Arc<dyn Sightings>>) -> RoutingSource {
        RoutingSource { control, sightings, known: Mutex::default() }
    }
}

impl Source for RoutingSource {
    fn write(&self, page: &mut Page) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
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
        let counted = known.endpoints.write(page.family(&the::ENDPOINT_STATE), &table);
        for (at, counted) in counted.iter().enumerate() {
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
        answers(page, &self.control);
        page.set(&the::BLIND, &[], f64::from(u8::from(status.blindness.is_some())));
        page.count(&the::FALLS_HELD, &[], status.blindness.as_ref().map_or(0, |blindness| blindness.held as u64));
        page.count(&the::ALARMS, &[], status.alarms.len() as u64);
        if let Some(sightings) = &self.sightings {
            targets(page, &status, &mut known.targets);
            probes(page, status.base.policy(), &**sightings);
        }
    }
}

/// What workers have tallied. Services that were never answered have no series.
fn answers(page: &mut Page, control: &Handle) {
    let answers = control.tallied().answers();
    let datacenters = &answers.base().policy().datacenters;
    let mut of_datacenter = vec![0; datacenters.len()];
    let (family, mut name) = (page.family(&the::ANSWERS), String::new());
    answers.each(|service, counts| {
        let mut of_label = Vec::with_capacity(counts.len());
        for (there, count) in counts {
            let label = match there {
                There::Of(ix) => {
                    of_datacenter[ix.at()] += count;
                    datacenters[ix.at()].short_name()
                }
                There::Gone(id) => id.as_str(),
            };
            add_to(&mut of_label, label, *count);
        }
        if family.room() == 0 {
            return family.omit(of_label.len());
        }
        name.clear();
        let _ = write!(name, "{service}");
        for (label, count) in &of_label {
            family.count(&[&name, label], *count);
        }
    });
    let mut of_label = Vec::with_capacity(datacenters.len());
    for (datacenter, count) in datacenters.iter().zip(of_datacenter) {
        add_to(&mut of_label, datacenter.short_name(), count);
    }
    for (label, count) in &of_label {
        page.count(&the::DATACENTER_ANSWERS, &[label], *count);
    }
}

/// Data centres may be called alike, one that is gone and its successor above all: no series comes twice.
fn add_to<'a>(counts: &mut Vec<(&'a str, u64)>, label: &'a str, count: u64) {
    match counts.iter_mut().find(|(other, _)| *other == label) {
        Some((_, sum)) => *sum += count,
        None => counts.push((label, count)),
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

/// Each target once for a data centre and check, whatever the number of its addresses.
fn targets(page: &mut Page, status: &Status, known: &mut (Weak<Watching>, Vec<(DatacenterIx, CheckIx, u64)>)) {
    let policy = status.base.policy();
    if !std::ptr::eq(known.0.as_ptr(), Arc::as_ptr(status.watching())) {
        let datacenter_of = |key: crate::model::AddressKey| policy.services[key.service.at()].endpoint(key.endpoint);
        let of = status.targets().map(|(key, check, target)| (datacenter_of(key).datacenter, check, target));
        let mut of: Vec<(DatacenterIx, CheckIx, TargetId)> = of.collect();
        of.sort_unstable();
        of.dedup();
        let groups = of.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1));
        let counts = groups.map(|group| (group[0].0, group[0].1, group.len() as u64)).collect();
        *known = (Arc::downgrade(status.watching()), counts);
    }
    for (datacenter, check, count) in &known.1 {
        let labels =
            [policy.datacenters[datacenter.at()].short_name(), policy.checks[usize::from(check.0)].id.as_str()];
        page.count(&the::TARGETS, &labels, *count);
    }
}

fn probes(page: &mut Page, policy: &PolicySet, sightings: &dyn Sightings) {
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
