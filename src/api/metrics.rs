//! What the table, control and the probes know, as metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use super::admission::Admission;
use super::sightings::Sightings;
use super::view;
use crate::control::{Handle, Status};
use crate::health::TargetId;
use crate::model::{Admin, CheckIx, DatacenterIx, OverrideKind, ServiceIx, State};
use crate::telemetry::{Page, Source, Summary, catalogue as the};

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
        page.set(&the::BLIND, &[], f64::from(u8::from(status.blindness.is_some())));
        page.count(&the::FALLS_HELD, &[], status.blindness.as_ref().map_or(0, |blindness| blindness.held as u64));
        page.count(&the::ALARMS, &[], status.alarms.len() as u64);
        if let Some(sightings) = &self.sightings {
            probes(page, &status, &**sightings);
        }
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
