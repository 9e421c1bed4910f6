//! The way of an order through the writer: see [`super::orders`] for what each step decides.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::event::{LatchName, NotOrdered, Ordered, Submission};
use super::lane::{Parked, Remembered, Reply, Stage, Waiting, fingerprint};
use super::moves::{FailedBack, LatchKey};
use super::orders::{
    Answer, Book, Deed, Draft, ELSEWHERE, Frozen, Ground, Judgement, Order, OrderRefused, Release, Request, Resolved,
    Sample, Samples, answer, assess, draft, expiry, journal, not_durable, note_refusal, overdue, validate,
};
use super::status::Now;
use super::writer::{Changes, Control};
use crate::limits;
use crate::model::{DatacenterIx, Facts, Generation, Moment, OrderSettings, OverrideKind, Revision, ServiceIx};
use crate::steer::Floor;
use crate::store::{self, Refusal};
use crate::table::{RoutingTable, standings};

/// Everything of one moment that an order is judged on.
struct Scenery {
    table: Arc<RoutingTable>,
    book: Arc<Book>,
    world: Facts,
    drained: BTreeSet<u64>,
    rearmed: BTreeSet<u64>,
    wall: SystemTime,
    settings: OrderSettings,
}

impl Scenery {
    fn ground(&self) -> Ground<'_> {
        Ground {
            table: &self.table,
            book: &self.book,
            world: &self.world,
            drained: &self.drained,
            rearmed: &self.rearmed,
            now: self.wall,
            settings: &self.settings,
        }
    }
}

/// An order that was judged.
struct Judged {
    resolved: Resolved,
    draft: Draft,
    judgement: Judgement,
    outcome: Outcome,
}

/// What its sender is told.
struct Outcome {
    answer: Answer,
    latches: FailedBack,
    old_answers_until: Option<SystemTime>,
}

/// Nobody has sampled queries.
fn no_samples() -> Samples<[Sample; 0]> {
    Samples { queries: [], span: Duration::ZERO }
}

fn send(reply: Reply, outcome: Result<Ordered, NotOrdered>) {
    if let Some(reply) = reply {
        // Who asked may have gone; the order counts all the same.
        drop(reply.send(outcome));
    }
}

impl Control {
    /// An order that comes in.
    pub(super) fn order(&mut self, submission: Submission, reply: Reply, now: Now) {
        if submission.is_dry_run {
            let outcome = self.dry_run(&submission.request, now);
            return send(reply, outcome);
        }
        if self.lane.queue.len() >= limits::ORDERS_QUEUED_MAX {
            return send(reply, Err(Refusal::Busy.into()));
        }
        let deadline = now.moment + Duration::from_millis(limits::STORE_ORDER_MS);
        self.lane.queue.push_back(Waiting { submission, reply, deadline });
    }

    /// Sends orders on their way: what time has ordered, then what waits; one at a time.
    pub(super) fn attend(&mut self, now: Now) {
        let (late, queue) =
            std::mem::take(&mut self.lane.queue).into_iter().partition(|waiting| waiting.deadline <= now.moment);
        self.lane.queue = queue;
        for Waiting { reply, .. } in Vec::from(late) {
            send(reply, Err(Refusal::Timeout.into()));
        }
        while self.lane.parked.is_none() {
            if let Some(revision) = self.lane.due_expiry(now) {
                self.expire(revision, now);
            } else if let Some(Waiting { submission, reply, deadline }) = self.lane.queue.pop_front() {
                self.begin(submission, reply, deadline, now);
            } else {
                return;
            }
        }
    }

    fn scenery(&self, wall: SystemTime, rearmed: BTreeSet<u64>) -> Scenery {
        Scenery {
            table: self.publisher.current(),
            book: Arc::clone(&self.lane.book),
            world: self.world(),
            drained: self.lane.drained.clone(),
            rearmed,
            wall,
            settings: self.base.settings().orders.clone(),
        }
    }

    fn dry_run(&self, request: &Request, now: Now) -> Result<Ordered, NotOrdered> {
        let scenery = self.scenery(now.wall, self.lane.holds.rearmed());
        let judged = self.judge(request, &scenery)?;
        let is_durable = self.seams.journal.as_ref().is_some_and(|journal| journal.refusal().is_none());
        Ok(Ordered { is_dry_run: true, ..self.ordered(judged.outcome, is_durable, None) })
    }

    fn judge(&self, request: &Request, scenery: &Scenery) -> Result<Judged, OrderRefused> {
        let resolved = validate(request, &scenery.ground())?;
        self.judge_resolved(request, resolved, self.lane.next_revision(), scenery, false)
    }

    fn judge_resolved(
        &self,
        request: &Request,
        resolved: Resolved,
        revision: Revision,
        scenery: &Scenery,
        is_stored: bool,
    ) -> Result<Judged, OrderRefused> {
        let ground = scenery.ground();
        let draft = draft(request, &resolved, &ground, (revision, Generation(self.generation.0 + 1)))?;
        let mut assessment = assess(request, &resolved, &draft, &ground, no_samples());
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
        if matches!(resolved.deed, Deed::Failback { .. }) {
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

    fn begin(&mut self, submission: Submission, reply: Reply, deadline: Moment, now: Now) {
        if let Some(known) = self.repetition(&submission) {
            return send(reply, known);
        }
        let request = &submission.request;
        let scenery = self.scenery(now.wall, self.lane.holds.rearmed());
        let judged = match self.judge(request, &scenery) {
            Ok(judged) => judged,
            Err(refused) => return self.refuse(&submission, reply, refused, &scenery),
        };
        if !judged.draft.is_changed() {
            self.remember(&submission, &judged.outcome.answer);
            let is_durable = self.seams.journal.is_some();
            return send(reply, Ok(self.ordered(judged.outcome, is_durable, None)));
        }
        if !judged.judgement.refusals.is_empty() {
            let refusals = judged.judgement.refusals;
            return self.refuse(&submission, reply, OrderRefused::Rules { refusals }, &scenery);
        }
        let idempotency = submission.key.as_ref().map(|key| store::Idempotency {
            key: key.clone(),
            request: fingerprint(request),
            answer: serde_json::to_value(&judged.outcome.answer).unwrap_or_default(),
        });
        let mut line =
            journal(request, &judged.resolved, &judged.draft, &judged.judgement, &scenery.ground(), idempotency);
        let revision = line.revision;
        self.lane.give_out(revision);
        line.changes = self.lane.with_owed(line.changes);
        let is_stored = self.seams.journal.as_ref().is_some_and(|journal| journal.refusal().is_none());
        if !is_stored {
            if self.seams.journal.is_some() {
                self.lane.owe(line.changes);
            }
            self.remember(&submission, &judged.outcome.answer);
            let ordered = self.carry_out(&submission.request, judged, false, now);
            return send(reply, Ok(ordered));
        }
        let ticket = self.lane.ticket();
        self.lane.parked = Some(Parked {
            ticket,
            submission,
            reply,
            revision,
            book: judged.draft.applied.book,
            resolved: judged.resolved,
            base: Arc::clone(&self.base),
            wall: scenery.wall,
            rearmed: scenery.rearmed,
            stage: Stage::Storing,
        });
        self.submit(ticket, line, deadline.since(now.moment));
    }

    fn submit(&self, ticket: u64, line: store::Order, within: Duration) {
        let Some(journal) = &self.seams.journal else { return };
        let handle = self.inbox.handle();
        journal.submit(line, within, Box::new(move |fate| handle.stored(ticket, fate.map(drop))));
    }

    /// The journal has the parked order, or refuses it.
    pub(super) fn stored(&mut self, ticket: u64, fate: Result<(), Refusal>, now: Now) {
        let Some(mut parked) = self.lane.parked.take_if(|parked| parked.ticket == ticket) else { return };
        match (std::mem::replace(&mut parked.stage, Stage::Storing), fate) {
            (Stage::Storing, Ok(())) => {
                self.lane.paid();
                self.again(parked, now);
            }
            (Stage::Storing, Err(refusal)) => {
                let (kind, actor) = (parked.submission.request.order.kind(), &parked.submission.request.sender.actor);
                tracing::error!(kind, actor, "an order was not stored, and is not in force: {refusal}");
                if let Order::Expire { revision } = parked.submission.request.order {
                    self.mark_overdue(revision, Some(format!("revision {revision} could not end: {refusal}")));
                }
                send(parked.reply, Err(refusal.into()));
            }
            (Stage::Withdrawing(why, changes), fate) => {
                match fate {
                    Ok(()) => self.lane.paid(),
                    Err(refusal) => {
                        tracing::error!("a refused order is still in the journal: {refusal}");
                        self.lane.owe(changes);
                        self.lane.is_withdrawal_owed = true;
                    }
                }
                send(parked.reply, Err(why));
            }
        }
    }

    /// Judges the order on the ground as it is now, and lets it take effect.
    fn again(&mut self, mut parked: Parked, now: Now) {
        let scenery = self.scenery(parked.wall, std::mem::take(&mut parked.rearmed));
        match self.draft_again(&parked, &scenery) {
            Ok(judged) => {
                let ordered = self.carry_out(&parked.submission.request, judged, true, now);
                send(parked.reply, Ok(ordered));
            }
            Err(refused) => self.withdraw(parked, refused, &scenery),
        }
    }

    fn draft_again(&self, parked: &Parked, scenery: &Scenery) -> Result<Judged, OrderRefused> {
        let (request, ground) = (&parked.submission.request, scenery.ground());
        let resolved = match Arc::ptr_eq(&parked.base, &self.base) {
            true => parked.resolved.clone(),
            // What it does is journalled by name, and stays; whom it concerns is told anew.
            false => {
                let unconditional = Request { expected_revision: None, ..request.clone() };
                Resolved { deed: parked.resolved.deed.clone(), ..validate(&unconditional, &ground)? }
            }
        };
        let judged = self.judge_resolved(request, resolved, parked.revision, scenery, true)?;
        match judged.judgement.refusals.is_empty() {
            true => Ok(judged),
            false => Err(OrderRefused::Rules { refusals: judged.judgement.refusals }),
        }
    }

    /// Takes an order back from the journal that was refused after it had been stored.
    fn withdraw(&mut self, parked: Parked, refused: OrderRefused, scenery: &Scenery) {
        self.tell_refusal(&parked.submission.request, &refused, scenery);
        let revision = self.lane.next_revision();
        self.lane.give_out(revision);
        let inverse = self.lane.book.entries_since(&parked.book);
        let changes: Vec<store::Change> =
            inverse.into_iter().map(|(key, value)| store::Change { key, value }).collect();
        let key = parked.submission.key.clone();
        let line = store::Order {
            revision,
            generation: self.generation,
            kind: "withdrawn".to_owned(),
            actor: "meridian".to_owned(),
            reason: format!("revision {} was refused before it took effect: {refused}", parked.revision.0),
            body: serde_json::json!({ "withdrawn": parked.revision.0, "why": refused.to_string() }),
            changes: changes.clone(),
            // The key is free again: nothing was done under it.
            idempotency: key.map(|key| store::Idempotency {
                key,
                request: String::new(),
                answer: serde_json::Value::Null,
            }),
        };
        let ticket = self.lane.ticket();
        let stage = Stage::Withdrawing(refused.into(), changes);
        self.lane.parked = Some(Parked { ticket, stage, ..parked });
        self.submit(ticket, line, Duration::from_millis(limits::STORE_VOID_GRACE_MS));
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
            self.lane.remember(Remembered { key, request, answer: answer.clone() });
        }
    }

    fn refuse(&mut self, submission: &Submission, reply: Reply, refused: OrderRefused, scenery: &Scenery) {
        self.tell_refusal(&submission.request, &refused, scenery);
        send(reply, Err(refused.into()));
    }

    fn tell_refusal(&self, request: &Request, refused: &OrderRefused, scenery: &Scenery) {
        let (kind, actor) = (request.order.kind(), &request.sender.actor);
        tracing::error!(kind, actor, reason = request.reason, "an order was refused: {refused}");
        if let Some(journal) = &self.seams.journal {
            journal.note(note_refusal(request, refused, &scenery.ground()));
        }
    }

    /// The order takes effect: its table is published, and what it ends is ended.
    fn carry_out(&mut self, request: &Request, judged: Judged, is_durable: bool, now: Now) -> Ordered {
        let (kind, sender) = (request.order.kind(), &request.sender);
        let who = match (sender.actor.as_str(), sender.identity.as_str()) {
            ("", identity) => identity.to_owned(),
            (actor, identity) if actor == identity => identity.to_owned(),
            (actor, identity) => format!("{actor} ({identity})"),
        };
        let why = format!("{kind} ordered by {who}");
        let Judged { draft, outcome, .. } = judged;
        let Draft { applied, table, touched, .. } = draft;
        let revision = applied.book.revision();
        tracing::info!(revision, actor = who, reason = request.reason, is_durable, "{kind}");
        if let Some(release) = &applied.release {
            self.latches.end(&outcome.latches.released);
            self.release_holds(release);
        }
        let was_frozen = self.lane.frozen.is_some();
        if applied.book.is_frozen() && !was_frozen {
            self.lane.frozen = Some(Frozen::hold(&self.live()));
        } else if !applied.book.is_frozen() {
            self.lane.frozen = None;
        }
        self.lane.book = Arc::new(applied.book);
        self.lane.look_for_names(self.base.policy());
        let until = now.moment + self.ttl_of(&self.all_services()).unwrap_or_default();
        self.lane.drain(until, now.moment);
        let mut changes = Changes::of_order(touched, why);
        match table {
            Some(table) => self.publish_order(table, &changes, now),
            None => changes.is_new = true,
        }
        let table = self.publisher.current();
        let facts = self.facts();
        if (&facts.latches, &facts.yields) != (&table.facts().latches, &table.facts().yields) {
            changes.is_new = true;
        }
        drop(table);
        // What a freeze held back moves now.
        if was_frozen && self.lane.frozen.is_none() {
            changes.touched = self.all_services();
            changes.is_new = true;
        }
        self.finish(changes, now);
        self.ordered(outcome, is_durable, Some(now.wall))
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
        let scenery = self.scenery(now.wall, self.lane.holds.rearmed());
        match self.judge(&request, &scenery) {
            Ok(judged) if !judged.judgement.refusals.is_empty() => {
                let why = scenery.book.get(revision).map(|standing| overdue(standing, &judged.judgement));
                self.mark_overdue(revision, why);
            }
            Err(refused) => self.mark_overdue(revision, Some(format!("revision {revision} could not end: {refused}"))),
            Ok(_) => {
                let deadline = now.moment + Duration::from_millis(limits::STORE_ORDER_MS);
                self.begin(Submission::of(request), None, deadline, now);
            }
        }
    }

    fn mark_overdue(&mut self, revision: u64, why: Option<String>) {
        let is_told = self.lane.book.get(revision).is_some_and(|standing| standing.overdue == why);
        if let (Some(why), false) = (&why, is_told) {
            tracing::error!("{why}");
        }
        self.lane.book = Arc::new(self.lane.book.overdue(revision, why));
    }

    /// Latches that a release is about: those that it ends, and those whose data centre is not up.
    fn failed_back(&self, release: &Release) -> FailedBack {
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
        let own = services.iter().map(|ix| policy.services[ix.at()].ttl.as_secs()).max()?;
        let table = self.publisher.current();
        let ordered = table.facts().overrides.iter().filter_map(|order| match &order.kind {
            OverrideKind::Ttl(ttl) => Some(ttl.as_secs()),
            OverrideKind::Pin { .. }
            | OverrideKind::Prefer { .. }
            | OverrideKind::Schedule { .. }
            | OverrideKind::Weight { .. } => None,
        });
        Some(Duration::from_secs(u64::from(ordered.fold(own, u32::max))))
    }
}
