//! What control tells: log lines, and the status.
//!
//! Every transition, latch, release and move is one line with names; of one kind and one event at most
//! [`limits::LOG_LINES_PER_EVENT`], the rest in one sum.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::entries::Entries;
use super::feed::{Feed, Happened};
use super::keep::{Keeper, KeptAddress, Noted};
use super::moves::{LatchKey, Latches, Settled};
use super::orders::Book;
use super::status::{
    AddressStatus, Blindness, LatchStatus, Moved, NotProbed, Now, ReportStatus, Status, WaitingTier, Watching,
};
use crate::health::{Kept, Transition, Verdicts};
use crate::limits;
use crate::model::{
    AddressKey, DatacenterId, DatacenterIx, EntryState, Failback, Generation, PolicySet, RegionId, RegionIx, Revision,
    ServiceIx, State, Verdict,
};
use crate::steer::{NoData, Source};
use crate::table::{Base, RoutingTable};

/// Who is told: the audit log, and those who follow.
#[derive(Clone, Copy)]
pub(super) struct Ears<'a> {
    pub(super) keeper: &'a dyn Keeper,
    pub(super) feed: &'a Feed,
    pub(super) revision: Revision,
    pub(super) now: Now,
}

impl Ears<'_> {
    fn tell(self, what: Happened, generation: Generation, text: String, body: Value) {
        self.keeper.note(Noted { kind: said(what), generation, text: text.clone() });
        self.feed.tell(what, self.now.wall, (generation, self.revision), text, body);
    }
}

/// As logs say it.
fn said(what: Happened) -> &'static str {
    match what {
        Happened::LatchEnded => "latch ended",
        Happened::SeesAgain => "sees again",
        Happened::Health
        | Happened::Latched
        | Happened::Moved
        | Happened::Blind
        | Happened::Generation
        | Happened::Ordered
        | Happened::Refused
        | Happened::Failed => what.as_str(),
    }
}

/// A sentence, and the same for programs.
type Line = (String, Value);

/// What one event did to latches.
#[derive(Debug, Default)]
pub(super) struct Story {
    latched: Vec<Line>,
    released: Vec<Line>,
}

impl Story {
    pub(super) fn add(&mut self, policy: &PolicySet, settled: Settled, latches: &Latches) {
        for key in &settled.latched {
            let why = latches.get(*key).map_or("", |latched| latched.why.as_str());
            self.latched.push(latch_line(policy, *key, why));
        }
        self.released.extend(settled.released.iter().map(|(key, why)| latch_line(policy, *key, why)));
    }

    pub(super) fn tell(&self, policy: &PolicySet, transitions: &[Transition], generation: Generation, ears: Ears<'_>) {
        let line = |transition: &Transition| {
            let Transition { key, from, to } = transition;
            let service = &policy.services[key.service.at()];
            let endpoint = service.endpoint(key.endpoint);
            let address = endpoint.data.address(key.address);
            let shown = address.map(|address| format!(" {address}")).unwrap_or_default();
            let text = format!("{} {}{shown}: {} → {}", service.name, endpoint.id, state_text(*from), state_text(*to));
            let body = json!({
                "service": service.name.to_string(),
                "endpoint": endpoint.id.as_str(),
                "id": policy.datacenters[endpoint.datacenter.at()].id.as_str(),
                "address": address.map(|address| address.to_string()),
                "from": from.state.as_str(),
                "to": to.state.as_str(),
                "held": to.is_held,
            });
            (text, body)
        };
        let mut transitions = transitions.iter().map(line);
        tell(ears, Happened::Health, generation, transitions.len(), &mut transitions);
        tell(ears, Happened::Latched, generation, self.latched.len(), &mut self.latched.iter().cloned());
        tell(ears, Happened::LatchEnded, generation, self.released.len(), &mut self.released.iter().cloned());
    }
}

/// To the log, to the audit log, and to those who follow.
fn tell(ears: Ears<'_>, what: Happened, generation: Generation, count: usize, lines: &mut dyn Iterator<Item = Line>) {
    for (text, body) in lines.take(limits::LOG_LINES_PER_EVENT) {
        tracing::info!(generation = generation.0, "{}: {text}", said(what));
        ears.tell(what, generation, text, body);
    }
    if count > limits::LOG_LINES_PER_EVENT {
        let more = count - limits::LOG_LINES_PER_EVENT;
        let text = format!("and {more} more in the same event");
        tracing::info!(generation = generation.0, "{}: {text}", said(what));
        ears.tell(what, generation, text, json!({ "more": more }));
    }
}

fn state_text(verdict: Verdict) -> String {
    format!("{}{}", verdict.state.as_str(), if verdict.is_held { " (hold-down)" } else { "" })
}

fn region_text(region: Option<&RegionId>) -> &str {
    region.map_or("elsewhere", RegionId::as_str)
}

fn region(policy: &PolicySet, region: Option<RegionIx>) -> Option<RegionId> {
    region.map(|region| policy.regions[region.at()].id.clone())
}

fn latch_line(policy: &PolicySet, (service, of, datacenter): LatchKey, why: &str) -> Line {
    let (service, datacenter) = (&policy.services[service.at()].name, &policy.datacenters[datacenter.at()].id);
    let region = region(policy, of);
    let text = format!("{datacenter} for {service}, region {}: {why}", region_text(region.as_ref()));
    let region = region.as_ref().map(RegionId::as_str);
    (text, json!({ "service": service.to_string(), "region": region, "id": datacenter.as_str(), "why": why }))
}

pub(super) fn tell_blindness(
    before: Option<&Blindness>,
    after: Option<&Blindness>,
    generation: Generation,
    ears: Ears<'_>,
) {
    match (before, after) {
        (None, Some(blindness)) => {
            tracing::warn!(held = blindness.held, "this node may be blind, no fall is believed: {}", blindness.cause);
            let text = format!("this node may be blind, no fall is believed: {}", blindness.cause);
            ears.tell(Happened::Blind, generation, text, json!({ "cause": blindness.cause, "held": blindness.held }));
        }
        (Some(_), None) => {
            tracing::info!("this node sees again");
            ears.tell(Happened::SeesAgain, generation, "falls are believed again".into(), Value::Null);
        }
        (None, None) | (Some(_), Some(_)) => {}
    }
}

pub(super) fn tell_moves(moves: &[Moved], ears: Ears<'_>) {
    let ids = |ids: &BTreeSet<DatacenterId>| match ids.is_empty() {
        true => "nobody".to_owned(),
        false => ids.iter().map(DatacenterId::as_str).collect::<Vec<_>>().join("+"),
    };
    let line = |moved: &Moved| {
        let region = region_text(moved.region.as_ref());
        let text =
            format!("{}, region {region}: {} → {} ({})", moved.service, ids(&moved.from), ids(&moved.to), moved.why);
        let list = |ids: &BTreeSet<DatacenterId>| ids.iter().map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
        let body = json!({
            "service": moved.service.to_string(),
            "region": moved.region.as_ref().map(RegionId::as_str),
            "from": list(&moved.from),
            "to": list(&moved.to),
            "why": moved.why,
        });
        (text, body)
    };
    if let Some(first) = moves.first() {
        tell(ears, Happened::Moved, first.generation, moves.len(), &mut moves.iter().map(line));
    }
}

/// Whose clients a table moves, for one service.
pub(super) fn moves(
    base: &Base,
    before: &RoutingTable,
    after: &RoutingTable,
    ix: ServiceIx,
    why: Option<&str>,
    now: Now,
) -> Vec<Moved> {
    let policy = base.policy();
    let service = &policy.services[ix.at()];
    let regions: Vec<Option<RegionIx>> = match base.map(ix) {
        Some(map) => map.outcomes().iter().map(|location| service.policy.route(location.route).region).collect(),
        None => vec![service.policy.route(None).region],
    };
    type Change = (BTreeSet<DatacenterIx>, BTreeSet<DatacenterIx>, Result<Source, NoData>);
    let mut changed: BTreeMap<Option<RegionIx>, Change> = BTreeMap::new();
    for (outcome, of) in regions.into_iter().enumerate() {
        let outcome = u16::try_from(outcome).expect("limits bound the outcomes of a map");
        let (was, is) = (before.datacenters_of(ix, outcome), after.datacenters_of(ix, outcome));
        if was != is {
            let verdict = after.service(ix).verdict_of(outcome);
            let (from, to, _) = changed.entry(of).or_insert_with(|| (BTreeSet::new(), BTreeSet::new(), verdict));
            from.extend(was);
            to.extend(is);
        }
    }
    let ids = |of: BTreeSet<DatacenterIx>| of.into_iter().map(|ix| policy.datacenters[ix.at()].id.clone()).collect();
    let moved = |(of, (from, to, verdict)): (Option<RegionIx>, Change)| Moved {
        at: now.wall,
        generation: after.generation(),
        service: service.name.clone(),
        region: region(policy, of),
        from: ids(from),
        to: ids(to),
        why: why.map_or_else(|| because(verdict).to_owned(), str::to_owned),
    };
    changed.into_iter().map(moved).collect()
}

fn because(verdict: Result<Source, NoData>) -> &'static str {
    match verdict {
        Ok(source) => source.as_str(),
        Err(why) => why.as_str(),
    }
}

/// What is told, and what is stored, of the addresses of some services.
pub(super) fn addresses(
    policy: &PolicySet,
    verdicts: &Verdicts,
    services: Range<ServiceIx>,
    now: Now,
) -> (Arc<[AddressStatus]>, Arc<[KeptAddress]>) {
    let (mut statuses, mut kept) = (Vec::new(), Vec::new());
    for (key, verdict) in verdicts.addresses(services) {
        statuses.push(AddressStatus {
            key,
            verdict: verdict.verdict,
            since: now.wall_at(verdict.since),
            held_until: verdict.held_until.map(|until| now.wall_at(until)),
            is_stale: verdict.is_stale,
            is_withheld: verdict.is_withheld,
        });
        let service = &policy.services[key.service.at()];
        let endpoint = service.endpoint(key.endpoint);
        let state = verdicts.last_known(key);
        if state != State::Unknown {
            kept.push(KeptAddress {
                service: service.name.to_string(),
                endpoint: endpoint.id.to_string(),
                address: endpoint.data.address(key.address),
                is_up: state == State::Up,
            });
        }
    }
    (statuses.into(), kept.into())
}

/// Before anything is known.
pub(super) fn nothing_yet(base: &Arc<Base>, is_watching: bool) -> Status {
    Status {
        generation: Generation(0),
        published_at: SystemTime::UNIX_EPOCH,
        revision: crate::model::Revision(0),
        at: SystemTime::UNIX_EPOCH,
        base: Arc::clone(base),
        is_watching,
        is_first_round_complete: false,
        latches: Arc::default(),
        waiting_tiers: Arc::default(),
        withheld: Vec::new(),
        blindness: None,
        not_probed: NotProbed::default(),
        moves: Arc::default(),
        moves_total: 0,
        alarms: Vec::new(),
        book: Arc::default(),
        addresses: Vec::new(),
        targets: Arc::default(),
        reports: Vec::new(),
    }
}

/// What others say of these services.
pub(super) fn reports(verdicts: &Verdicts, services: Range<ServiceIx>, now: Now) -> Arc<[ReportStatus]> {
    let report = |kept: Kept<'_>| ReportStatus {
        key: AddressKey { service: kept.key.service, endpoint: kept.key.endpoint, address: kept.key.address },
        check: kept.key.check,
        observer: kept.key.observer.clone(),
        state: kept.state,
        detail: kept.detail.cloned(),
        expires_at: now.wall_at(kept.expires),
        is_silent: kept.is_silent,
    };
    verdicts.reports(services).map(report).collect()
}

/// From what a status is made.
pub(super) struct Parts<'a> {
    pub(super) table: &'a RoutingTable,
    pub(super) base: &'a Arc<Base>,
    pub(super) verdicts: &'a Verdicts,
    pub(super) latches: &'a Latches,
    pub(super) entries: &'a Entries,
    pub(super) is_watching: bool,
    pub(super) blindness: Option<Blindness>,
    pub(super) not_probed: NotProbed,
    pub(super) moves: (Arc<VecDeque<Moved>>, u64),
    pub(super) addresses: Vec<Arc<[AddressStatus]>>,
    pub(super) targets: Arc<Watching>,
    pub(super) reports: Vec<Arc<[ReportStatus]>>,
    pub(super) published_at: SystemTime,
    pub(super) book: Arc<Book>,
    pub(super) alarms: Vec<String>,
}

impl Parts<'_> {
    pub(super) fn status(self, now: Now) -> Status {
        let policy = self.base.policy();
        let latches = self.latch_statuses(policy, now);
        let waiting_tiers = self.waiting_tiers(policy, now);
        let withheld: Vec<DatacenterId> =
            self.verdicts.withheld().iter().map(|ix| policy.datacenters[ix.at()].id.clone()).collect();
        let mut alarms = alarms(&withheld, self.blindness.as_ref(), &waiting_tiers);
        alarms.extend(self.alarms);
        let (moves, moves_total) = self.moves;
        Status {
            generation: self.table.generation(),
            published_at: self.published_at,
            revision: self.table.revision(),
            at: now.wall,
            base: Arc::clone(self.base),
            is_watching: self.is_watching,
            is_first_round_complete: !self.is_watching || self.verdicts.is_complete(),
            latches: latches.into(),
            waiting_tiers: waiting_tiers.into(),
            withheld,
            blindness: self.blindness,
            not_probed: self.not_probed,
            moves,
            moves_total,
            alarms,
            book: self.book,
            addresses: self.addresses,
            targets: self.targets,
            reports: self.reports,
        }
    }

    fn latch_statuses(&self, policy: &PolicySet, now: Now) -> Vec<LatchStatus> {
        let mut latches: Vec<LatchStatus> = self
            .latches
            .standing()
            .map(|((ix, of, datacenter), latched)| {
                let service = &policy.services[ix.at()];
                let route = service.policy.all_routes().find(|route| route.region == *of);
                let failback = route.map_or(Failback::Manual, |route| route.failback);
                LatchStatus {
                    service: service.name.clone(),
                    region: region(policy, *of),
                    datacenter: policy.datacenters[datacenter.at()].id.clone(),
                    since: latched.since,
                    why: latched.why.clone(),
                    failback,
                    is_back: latched.is_back,
                    up_since: latched.up_since.map(|since| now.wall_at(since)),
                    returns_at: latched.returns_at.map(|at| now.wall_at(at)),
                    is_waiting: failback == Failback::Manual && latched.up_since.is_some(),
                }
            })
            .collect();
        latches.sort_by_key(|latch| !latch.is_waiting);
        latches
    }

    fn waiting_tiers(&self, policy: &PolicySet, now: Now) -> Vec<WaitingTier> {
        let mut waiting: Vec<WaitingTier> = self
            .entries
            .doors()
            .filter_map(|((service, of, tier), door)| match &door.state {
                EntryState::Met => None,
                EntryState::ByOrder(why) | EntryState::Unmet(why) => Some(WaitingTier {
                    service: policy.services[service.at()].name.clone(),
                    region: region(policy, *of),
                    tier: *tier,
                    why: why.clone(),
                    is_needed: door.is_asked,
                    opens_at: door.opens_at.map(|at| now.wall_at(at)),
                }),
            })
            .collect();
        waiting.sort_by_key(|tier| Reverse(tier.is_needed));
        waiting
    }
}

fn alarms(withheld: &[DatacenterId], blindness: Option<&Blindness>, waiting: &[WaitingTier]) -> Vec<String> {
    let mut alarms: Vec<String> = Vec::new();
    alarms.extend(blindness.map(|blindness| {
        format!("this node may be blind: {}; {} falls are not believed", blindness.cause, blindness.held)
    }));
    alarms.extend(withheld.iter().map(|id| format!("too little of {id} is up: all of it counts as down")));
    let needed = waiting.iter().filter(|tier| tier.is_needed);
    let sentences = needed.clone().take(limits::LOG_LINES_PER_EVENT).map(|tier| {
        let region = region_text(tier.region.as_ref());
        format!("{}, region {region}: tier {} is needed and stays closed: {}", tier.service, tier.tier + 1, tier.why)
    });
    alarms.extend(sentences);
    let more = needed.count().saturating_sub(limits::LOG_LINES_PER_EVENT);
    if more > 0 {
        alarms.push(format!("and {more} more tiers are needed and stay closed"));
    }
    alarms
}
