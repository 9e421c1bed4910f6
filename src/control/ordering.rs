//! The way of an order through the writer: see [`super::orders`] for what each step decides.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::event::{LatchName, NotOrdered, Ordered, Submission};
use super::feed::Happened;
use super::lane::{Parked, Remembered, Reply, Stage, Version, Waiting, fingerprint};
use super::moves::{FailedBack, LatchKey};
use super::orders::{
    Answer, Book, Deed, Draft, ELSEWHERE, Frozen, Ground, Judgement, OrderRefused, Release, Request, Resolved, Rule,
    Settling, answer, assess, draft, expiry, journal, not_durable, note_refusal, overdue, validate,
};
use super::status::Now;
use super::writer::{Changes, Control};
use crate::limits;
use crate::model::{DatacenterIx, Facts, Generation, OrderSettings, OverrideKind, Revision, ServiceIx, Ttl};
use crate::steer::Floor;
use crate::store::{self, Refusal};
use crate::table::{RoutingTable, standings};

/// Everything of one moment that an order is judged on.
pub(super) struct Scenery {
    table: Arc<RoutingTable>,
    book: Arc<Book>,
    world: Facts,
    /// Without the freeze that holds.
    thawed: Option<Facts>,
    drained: BTreeSet<u64>,
    rearmed: BTreeSet<u64>,
    wall: SystemTime,
    settings: OrderSettings,
}

impl Scenery {
    pub(super) fn ground<'a>(&'a self, settling: &'a dyn Settling) -> Ground<'a> {
        Ground {
            table: &self.table,
            book: &self.book,
            world: &self.world,
            drained: &self.drained,
            rearmed: &self.rearmed,
            settling,
            thawed: self.thawed.as_ref(),
            now: self.wall,
            settings: &self.settings,
        }
    }
}

/// An order that was judged.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) resolved: Resolved,
    pub(super) draft: Draft,
    pub(super) judgement: Judgement,
    pub(super) outcome: Outcome,
}

/// What its sender is told.
#[derive(Debug)]
pub(super) struct Outcome {
    answer: Answer,
    latches: FailedBack,
    old_answers_until: Option<SystemTime>,
}

pub(super) fn send(reply: Reply, outcome: Result<Ordered, NotOrdered>) {
    if let Some(reply) = reply {
        // Who asked may have gone; the order counts all the same.
        drop(reply.send(outcome));
    }
}

/// Does it; a panic is a defect of ours, which is told, and its sender need not guess.
pub(super) fn sound<T>(what: &str, work: impl FnOnce() -> T) -> Result<T, NotOrdered> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        tracing::error!("{what} panicked: a defect of Meridian, please report it");
        NotOrdered::defect()
    })
}

impl Control {
    /// An order that comes in.
    pub(super) fn order(&mut self, submission: Submission, age: Duration, reply: Reply, now: Now) {
        if submission.is_dry_run {
            let outcome = self.dry_run(&submission.request, now);
            return send(reply, outcome);
        }
        if self.lane.queue.len() >= limits::ORDERS_QUEUED_MAX {
            return send(reply, Err(Refusal::Busy.into()));
        }
        let left = |ms: u64| Duration::from_millis(ms).saturating_sub(age);
        let answer_by = now.moment + left(limits::ORDER_ANSWER_MS);
        let store_by = now.moment + left(limits::ORDER_ANSWER_MS - limits::STORE_VOID_GRACE_MS);
        let deadline = store_by.min(now.moment + Duration::from_millis(limits::STORE_ORDER_MS));
        self.lane.queue.push_back(Waiting { submission, reply, deadline, answer_by });
    }

    /// Refuses what has waited for so long that its sender has gone.
    fn refuse_late(&mut self, now: Now) {
        let is_late = |waiting: &Waiting| waiting.deadline <= now.moment;
        if !self.lane.queue.iter().any(is_late) {
            return;
        }
        let (late, queue) = std::mem::take(&mut self.lane.queue).into_iter().partition(is_late);
        self.lane.queue = queue;
        for Waiting { reply, .. } in Vec::from(late) {
            send(reply, Err(Refusal::Timeout.into()));
        }
    }

    /// Sends orders on their way: what time has ordered, then what waits; one at a time.
    pub(super) fn attend(&mut self, now: Now) {
        self.answer_in_time(now);
        self.refuse_late(now);
        self.settle_what_is_owed(now);
        // One for each look at the clock: what waits behind a slow one may be late by then. Orders and expiries take
        // turns.
        if !self.lane.is_free() {
            return;
        }
        let is_expiry_first = std::mem::take(&mut self.lane.is_expiry_next) || self.lane.queue.is_empty();
        if is_expiry_first && let Some(revision) = self.lane.due_expiry(now) {
            self.expire(revision, now);
        } else if let Some(waiting) = self.lane.queue.pop_front() {
            self.lane.is_expiry_next = true;
            self.begin(waiting, now);
        }
    }

    /// Of what an order is judged on.
    pub(super) fn version(&self) -> Version {
        Version { generation: self.generation, changes: self.changes }
    }

    pub(super) fn scenery(&self, wall: SystemTime, rearmed: BTreeSet<u64>) -> Scenery {
        Scenery {
            table: self.publisher.current(),
            book: Arc::clone(&self.lane.book),
            world: self.world(),
            thawed: self.lane.frozen.is_some().then(|| self.live()),
            drained: self.lane.drained.clone(),
            rearmed,
            wall,
            settings: self.base.settings().orders.clone(),
        }
    }

    fn dry_run(&self, request: &Request, now: Now) -> Result<Ordered, NotOrdered> {
        let scenery = self.scenery(self.lane.wall(now), self.lane.holds.rearmed());
        let judged = sound("a dry run", || self.judge(request, &scenery))??;
        let is_durable = self.seams.journal.as_ref().is_some_and(|journal| journal.refusal().is_none());
        Ok(Ordered { is_dry_run: true, ..self.ordered(judged.outcome, is_durable, None) })
    }

    fn judge(&self, request: &Request, scenery: &Scenery) -> Result<Judged, OrderRefused> {
        let resolved = validate(request, &scenery.ground(self))?;
        self.judge_resolved(request, resolved, self.lane.next_revision(), scenery, false)
    }

    pub(super) fn judge_resolved(
        &self,
        request: &Request,
        resolved: Resolved,
        revision: Revision,
        scenery: &Scenery,
        is_stored: bool,
    ) -> Result<Judged, OrderRefused> {
        let ground = scenery.ground(self);
        let draft = draft(request, &resolved, &ground, (revision, Generation(self.generation.0 + 1)))?;
        let mut assessment = assess(request, &resolved, &draft, &ground, self.samples());
        match &self.seams.journal {
            _ if !draft.is_changed() || is_stored => {}
            Some(journal) => {
                let refusal = journal.refusal().map(|refusal| refusal.to_string());
                assessment.judgement.add(request, not_durable(refusal.as_deref()));
                assessment.impact.refused_by.clone_from(&assessment.judgement.refusals);
            }
            None => {
                let warning = "nothing is stored here: a restart forgets this order";
                assessment.judgement.warnings.push(warning.to_owned());
            }
        }
        let latches = draft.applied.release.as_ref().map(|release| self.failed_back(release)).unwrap_or_default();
        if matches!(resolved.deed, Deed::Failback { .. } | Deed::ClearSwitch { home: Some(_), .. }) {
            let away: BTreeSet<DatacenterIx> = latches.kept.iter().map(|(.., datacenter)| *datacenter).collect();
            assessment.judgement.warnings.extend(away.into_iter().map(|datacenter| {
                let id = &self.base.policy().datacenters[datacenter.at()].id;
                format!("{id} is not up: clients who left it stay away until it is")
            }));
        }
        let mut answer = answer(&resolved, &draft, &assessment, &ground);
        let mut old_answers_until = None;
        if draft.is_changed() {
            old_answers_until = self.ttl_of(&draft.touched).and_then(|ttl| scenery.wall.checked_add(ttl));
        } else {
            // Never one that is not in force.
            answer.revision = answer.revision.min(scenery.book.revision());
        }
        let outcome = Outcome { answer, latches, old_answers_until };
        Ok(Judged { resolved, draft, judgement: assessment.judgement, outcome })
    }

    fn ordered(&self, outcome: Outcome, is_durable: bool, applied_at: Option<SystemTime>) -> Ordered {
        let names = |keys: &[LatchKey]| keys.iter().map(|key| self.latch_name(*key)).collect::<Vec<_>>();
        Ordered {
            generation: self.publisher.current().generation(),
            is_dry_run: false,
            is_repeated: false,
            is_durable,
            applied_at,
            old_answers_until: outcome.old_answers_until,
            released: names(&outcome.latches.released),
            kept: names(&outcome.latches.kept),
            answer: outcome.answer,
        }
    }

    fn begin(&mut self, waiting: Waiting, now: Now) {
        let Waiting { submission, reply, deadline, answer_by } = waiting;
        if let Some(known) = self.repetition(&submission) {
            return send(reply, known);
        }
        let request = &submission.request;
        let scenery = self.scenery(self.lane.wall(now), self.lane.holds.rearmed());
        let judged = match sound("judging an order", || self.judge(request, &scenery)) {
            Ok(Ok(judged)) => judged,
            Ok(Err(refused)) => return self.refuse(&submission, reply, refused, &scenery),
            Err(defect) => return send(reply, Err(defect)),
        };
        if !judged.judgement.refusals.is_empty() {
            let refusals = judged.judgement.refusals;
            return self.refuse(&submission, reply, OrderRefused::Rules { refusals }, &scenery);
        }
        if !judged.draft.is_changed() {
            self.remember(&submission, &judged.outcome.answer);
            let is_durable = self.seams.journal.is_some() && self.lane.owed.is_empty();
            return send(reply, Ok(self.ordered(judged.outcome, is_durable, None)));
        }
        let idempotency = submission.key.as_ref().map(|key| store::Idempotency {
            key: key.clone(),
            request: fingerprint(request),
            answer: serde_json::to_value(judged.outcome.answer.bounded()).unwrap_or_default(),
        });
        let mut line =
            journal(request, &judged.resolved, &judged.draft, &judged.judgement, &scenery.ground(self), idempotency);
        let revision = line.revision;
        self.lane.give_out(revision);
        line.changes = self.lane.with_owed(line.changes);
        // By the judgement, not by another look at the store: what nobody forced is not carried out without it.
        if self.seams.journal.is_none() || judged.judgement.overridden.contains(&Rule::NotDurable) {
            let now = self.later(now);
            if answer_by <= now.moment {
                return send(reply, Err(NotOrdered::late()));
            }
            let answer = judged.outcome.answer.clone();
            let ordered = self.take_effect(&submission.request, judged, false, now);
            if ordered.is_ok() {
                self.remember(&submission, &answer);
                if self.seams.journal.is_some() {
                    self.lane.owe(line.changes);
                }
            }
            return send(reply, ordered);
        }
        let ticket = self.lane.ticket();
        self.lane.parked = Some(Parked {
            ticket,
            submission,
            reply,
            revision,
            book: judged.draft.applied.book.clone(),
            resolved: judged.resolved.clone(),
            judged: Some((self.version(), Box::new(judged))),
            base: Arc::clone(&self.base),
            wall: scenery.wall,
            rearmed: scenery.rearmed,
            stage: Stage::Storing,
            answer_by,
            is_given_up: false,
        });
        self.submit(ticket, line, deadline.since(now.moment));
    }

    /// What was answered to the same request before.
    fn repetition(&self, submission: &Submission) -> Option<Result<Ordered, NotOrdered>> {
        let key = submission.key.as_ref()?;
        let stored = self.seams.journal.as_ref().and_then(|journal| journal.answered(key));
        let stored = stored.and_then(|answered| {
            let answer: Answer = serde_json::from_value(answered.idempotency.answer).ok()?;
            Some((answered.idempotency.request, answer, Some(answered.at)))
        });
        let remembered = || {
            let remembered = self.lane.remembered(key)?;
            Some((remembered.request.clone(), remembered.answer.clone(), None))
        };
        let (request, answer, at) = stored.or_else(remembered)?;
        if request != fingerprint(&submission.request) {
            return Some(Err(NotOrdered::KeyReused(key.clone())));
        }
        Some(Ok(Ordered {
            answer,
            generation: self.publisher.current().generation(),
            is_dry_run: false,
            is_repeated: true,
            is_durable: at.is_some(),
            applied_at: at,
            old_answers_until: None,
            released: Vec::new(),
            kept: Vec::new(),
        }))
    }

    fn remember(&mut self, submission: &Submission, answer: &Answer) {
        if let Some(key) = &submission.key {
            let (key, request) = (key.clone(), fingerprint(&submission.request));
            self.lane.remember(Remembered { key, request, answer: answer.bounded() });
        }
    }

    fn refuse(&mut self, submission: &Submission, reply: Reply, refused: OrderRefused, scenery: &Scenery) {
        self.tell_refusal(&submission.request, &refused, scenery);
        send(reply, Err(refused.into()));
    }

    pub(super) fn tell_refusal(&self, request: &Request, refused: &OrderRefused, scenery: &Scenery) {
        let (kind, actor) = (request.order.kind(), &request.sender.actor);
        tracing::error!(kind, actor, reason = request.reason, "an order was refused: {refused}");
        let note = note_refusal(request, refused, &scenery.ground(self));
        let text = format!("{kind} by {actor}: {refused}");
        let numbers = (note.generation, note.revision);
        // What was said in full stands in the audit log: a follower is not sent two thousand names.
        let body = serde_json::json!({
            "order": kind,
            "actor": actor,
            "identity": request.sender.identity,
            "reason": request.reason,
            "rules": note.body["rules"],
            "force": note.body["force"],
        });
        self.inbox.feed().tell(Happened::Refused, scenery.wall, numbers, text, body);
        if let Some(journal) = &self.seams.journal {
            journal.note(note);
        }
    }

    /// An order failed, for no fault of its own.
    pub(super) fn tell_failure(&self, why: String, now: Now) {
        tracing::error!("{why}");
        let numbers = (self.generation, Revision(self.lane.book.revision()));
        self.inbox.feed().tell(Happened::Failed, now.wall, numbers, why, serde_json::Value::Null);
    }

    /// The order takes effect: its table is published, and what it ends is ended.
    pub(super) fn carry_out(&mut self, request: &Request, judged: Judged, is_durable: bool, now: Now) -> Ordered {
        let (kind, sender) = (request.order.kind(), &request.sender);
        let who = match (sender.actor.as_str(), sender.identity.as_str()) {
            ("", identity) => identity.to_owned(),
            (actor, identity) if actor == identity => identity.to_owned(),
            (actor, identity) => format!("{actor} ({identity})"),
        };
        let why = format!("{kind} ordered by {who}");
        self.changes += 1;
        let Judged { draft, outcome, .. } = judged;
        let Draft { applied, table, touched, .. } = draft;
        let revision = applied.book.revision();
        tracing::info!(revision, actor = who, reason = request.reason, is_durable, "{kind}");
        if let Some(release) = &applied.release {
            self.latches.end(&outcome.latches.released);
            self.release_holds(release);
        }
        if applied.book.is_frozen() && self.lane.frozen.is_none() {
            self.lane.frozen = Some(Arc::new(Frozen::hold(&self.live())));
        } else if !applied.book.is_frozen() {
            self.lane.frozen = None;
        } else if let (Some(frozen), Some(table)) = (&mut self.lane.frozen, &table) {
            let entries = table.facts().entries.iter().filter(|((service, ..), _)| touched.contains(service));
            Arc::make_mut(frozen).enter(entries.map(|(key, state)| (*key, state.clone())));
        }
        self.lane.book = Arc::new(applied.book);
        self.lane.look_for_names(self.base.policy());
        let until = now.moment + self.ttl_of_all();
        self.lane.drain(until, now.moment);
        let mut changes = Changes::of_order(touched, why);
        let (before, about) = (self.publisher.current(), changes.touched.clone());
        match table {
            Some(table) => self.publish_order(table, &changes, now),
            None => changes.is_new = true,
        }
        self.finish(changes, now);
        self.tell_order(request, &outcome.answer, (revision, is_durable), now);
        let old_answers_until = self.last_old_answer(&before, &about, outcome.old_answers_until, now);
        let outcome = Outcome { old_answers_until, ..outcome };
        self.ordered(outcome, is_durable, Some(now.wall))
    }

    fn tell_order(&self, request: &Request, answer: &Answer, (revision, is_durable): (u64, bool), now: Now) {
        let (kind, sender) = (request.order.kind(), &request.sender);
        let why = if request.reason.is_empty() { String::new() } else { format!(": {}", request.reason) };
        let text = format!("{kind} by {}, revision {revision}{why}", sender.actor);
        let body = serde_json::json!({
            "order": kind,
            "actor": sender.actor,
            "identity": sender.identity,
            "reason": request.reason,
            "durable": is_durable,
            "id": answer.active_dc,
            "previous_id": answer.previous_dc,
            "services_changed": answer.impact.services,
            "forced": answer.forced,
        });
        let generation = self.publisher.current().generation();
        self.inbox.feed().tell(Happened::Ordered, now.wall, (generation, Revision(revision)), text, body);
    }

    fn release_holds(&mut self, release: &Release) {
        let facts = self.facts();
        let base = Arc::clone(&self.base);
        let is_up = |ix: ServiceIx, datacenter: DatacenterIx| {
            let service = &base.policy().services[ix.at()];
            let standings = standings(service, ix, &facts);
            let mut there = service.endpoints().filter(|(_, endpoint)| endpoint.datacenter == datacenter);
            there.any(|(endpoint, _)| standings[endpoint.at()].is_usable(Floor::Held))
        };
        self.lane.holds.release(base.policy(), release, is_up);
    }

    fn expire(&mut self, revision: u64, now: Now) {
        let request = expiry(revision);
        let scenery = self.scenery(self.lane.wall(now), self.lane.holds.rearmed());
        let could_not = |why: &dyn std::fmt::Display| Some(format!("revision {revision} could not end: {why}"));
        match sound("judging an expiry", || self.judge(&request, &scenery)) {
            Ok(Ok(judged)) if !judged.judgement.refusals.is_empty() => {
                let why = scenery.book.get(revision).map(|standing| overdue(standing, &judged.judgement));
                self.mark_overdue(revision, why, now);
            }
            Ok(Err(refused)) => self.mark_overdue(revision, could_not(&refused), now),
            Err(defect) => self.mark_overdue(revision, could_not(&defect), now),
            Ok(Ok(_)) => {
                let deadline = now.moment + Duration::from_millis(limits::STORE_ORDER_MS);
                let answer_by = now.moment + Duration::from_millis(limits::ORDER_ANSWER_MS);
                self.begin(Waiting { submission: Submission::of(request), reply: None, deadline, answer_by }, now);
            }
        }
    }

    pub(super) fn mark_overdue(&mut self, revision: u64, why: Option<String>, now: Now) {
        let is_told = self.lane.book.get(revision).is_some_and(|standing| standing.overdue == why);
        if let (Some(why), false) = (&why, is_told) {
            self.tell_failure(why.clone(), now);
        }
        self.lane.book = Arc::new(self.lane.book.overdue(revision, why));
        self.changes += 1;
    }

    /// Latches that a release is about: those that it ends, and those whose data centre is not up.
    pub(super) fn failed_back(&self, release: &Release) -> FailedBack {
        let policy = self.base.policy();
        self.latches.failback_of(|(service, region, datacenter)| {
            let name = policy.services[service.at()].name.to_string();
            let region = region.map_or(ELSEWHERE, |region| policy.regions[region.at()].id.as_str());
            release.datacenters.contains(policy.datacenters[datacenter.at()].id.as_str())
                && release.whom.covers(&name, region)
        })
    }

    fn latch_name(&self, (service, region, datacenter): LatchKey) -> LatchName {
        let policy = self.base.policy();
        LatchName {
            service: policy.services[service.at()].name.clone(),
            region: region.map(|region| policy.regions[region.at()].id.clone()),
            datacenter: policy.datacenters[datacenter.at()].id.clone(),
        }
    }

    /// The longest time for which an answer about one of these services may be kept; `None`: there are none.
    pub(super) fn ttl_of(&self, services: &BTreeSet<ServiceIx>) -> Option<Duration> {
        let policy = self.base.policy();
        Some(self.ttl_from(services.iter().map(|ix| policy.services[ix.at()].ttl).max()?))
    }

    /// The same about any service.
    pub(super) fn ttl_of_all(&self) -> Duration {
        self.base.ttl_max().map(|own| self.ttl_from(own)).unwrap_or_default()
    }

    /// What orders make of a TTL at most.
    fn ttl_from(&self, own: Ttl) -> Duration {
        let table = self.publisher.current();
        let ordered = table.facts().overrides.iter().filter_map(|order| match &order.kind {
            OverrideKind::Ttl(ttl) => Some(ttl.as_secs()),
            OverrideKind::Pin { .. }
            | OverrideKind::Prefer { .. }
            | OverrideKind::Schedule { .. }
            | OverrideKind::Weight { .. } => None,
        });
        Duration::from_secs(u64::from(ordered.fold(own.as_secs(), u32::max)))
    }
}
