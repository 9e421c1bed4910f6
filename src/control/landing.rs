//! How an order lands: from the journal's hands into force, or nowhere.
//!
//! ```text
//! parked ─▶ stored ─▶ judged again ─▶ in force, answered
//!    │         │            └ refused, or a panic: taken back from the journal ─▶ answered
//!    │         └ its sender was told that it is not in force: taken back
//!    └ no word in time: answered as not in force, which stays true
//! ```
//!
//! A panic on the way is a defect of ours. It leaves everything as it was before the order, in the table and in the
//! journal, and its sender is told.

use std::sync::Arc;
use std::time::Duration;

use super::event::{ClockAccepted, NotOrdered, Ordered};
use super::lane::{Parked, Stage};
use super::ordering::{Judged, Scenery, send, sound};
use super::orders::{ELSEWHERE, Order, OrderRefused, Request, Resolved, Sender, validate};
use super::status::Now;
use super::writer::{Changes, Control};
use crate::limits;
use crate::model::Revision;
use crate::store::{self, Refusal};

impl Control {
    pub(super) fn submit(&self, ticket: u64, line: store::Order, within: Duration) {
        let Some(journal) = &self.seams.journal else { return };
        let handle = self.inbox.handle();
        journal.submit(line, within, Box::new(move |fate| handle.stored(ticket, fate.map(drop))));
    }

    /// Answers who waits for an order of which the store says nothing, while it is still in time.
    pub(super) fn answer_in_time(&mut self, now: Now) {
        let is_late = |parked: &&mut Parked| parked.answer_by <= now.moment && !parked.is_given_up;
        let Some(parked) = self.lane.parked.as_mut().filter(is_late) else { return };
        parked.is_given_up = true;
        let why = match &parked.stage {
            Stage::Storing => NotOrdered::late(),
            Stage::Withdrawing(why, _) => why.clone(),
        };
        let revision = parked.revision.0;
        tracing::error!(revision, "the store did not answer in time; the order is not in force, and will not be");
        send(parked.reply.take(), Err(why));
    }

    /// The journal has the parked order, or refuses it.
    pub(super) fn stored(&mut self, ticket: u64, fate: Result<(), Refusal>, now: Now) {
        if self.lane.settling.take_if(|settling| *settling == ticket).is_some() {
            return match fate {
                Ok(()) => self.lane.paid(),
                Err(refusal) => tracing::error!("what is in force is still not stored: {refusal}"),
            };
        }
        let Some(mut parked) = self.lane.parked.take_if(|parked| parked.ticket == ticket) else { return };
        match (std::mem::replace(&mut parked.stage, Stage::Storing), fate) {
            (Stage::Storing, Ok(())) => {
                self.lane.paid();
                match parked.is_given_up || parked.answer_by <= now.moment {
                    true => self.withdraw(parked, NotOrdered::late()),
                    false => self.again(parked, now),
                }
            }
            (Stage::Storing, Err(refusal)) => {
                let (kind, actor) = (parked.submission.request.order.kind(), &parked.submission.request.sender.actor);
                self.tell_failure(format!("{kind} by {actor} was not stored, and is not in force: {refusal}"), now);
                if let Order::Expire { revision } = parked.submission.request.order {
                    self.mark_overdue(revision, Some(format!("revision {revision} could not end: {refusal}")), now);
                }
                send(parked.reply, Err(refusal.into()));
            }
            (Stage::Withdrawing(why, changes), fate) => {
                match fate {
                    Ok(()) => self.lane.paid(),
                    Err(refusal) => {
                        tracing::error!("an order that is not in force is still in the journal: {refusal}");
                        self.lane.owe(changes);
                        self.lane.is_withdrawal_owed = true;
                    }
                }
                send(parked.reply, Err(why));
            }
        }
    }

    /// Latches and yielded preferences are stored beside the journal, later than the orders that end them: at a start
    /// such orders of the journal end them again.
    pub(super) fn end_what_was_released(&mut self, kept_to: Revision) {
        let (base, book) = (Arc::clone(&self.base), Arc::clone(&self.lane.book));
        let policy = base.policy();
        for (_, release) in book.released().filter(|(revision, _)| *revision > kept_to.0) {
            let ended = self.latches.failback_of(|(service, region, datacenter)| {
                let name = policy.services[service.at()].name.to_string();
                let region = region.map_or(ELSEWHERE, |region| policy.regions[region.at()].id.as_str());
                release.ended(&name, region, policy.datacenters[datacenter.at()].id.as_str())
            });
            // Whether they are up is not known yet; the order knew.
            self.latches.end(&ended.released);
            self.latches.end(&ended.kept);
            self.lane.holds.end(policy, release);
        }
    }

    /// A person says that the wall clock is right.
    pub(super) fn accept_clock(&mut self, by: &Sender, reason: String, now: Now) -> ClockAccepted {
        let jumped = self.lane.accept_clock(now);
        let due = self.lane.book.due(now.wall).len();
        let Some((far, is_ahead)) = jumped else { return ClockAccepted { jumped, due } };
        let way = if is_ahead { "ahead" } else { "back" };
        tracing::warn!(
            actor = by.actor,
            reason,
            "the wall clock, which jumped {way} by {} s, is accepted",
            far.as_secs()
        );
        if let Some(journal) = &self.seams.journal {
            journal.note(store::Note {
                kind: "clock-accepted".to_owned(),
                revision: Revision(self.lane.book.revision()),
                generation: self.generation,
                actor: by.actor.clone(),
                reason,
                body: serde_json::json!({ "by": by, "jumped_s": far.as_secs(), "ahead": is_ahead, "due": due }),
            });
        }
        ClockAccepted { jumped, due }
    }

    /// What is in force and not stored, or stored and not in force, is set right as soon as the store takes it.
    pub(super) fn settle_what_is_owed(&mut self, now: Now) {
        let Some(journal) = &self.seams.journal else { return };
        if !self.lane.is_free() || !self.lane.is_settling_due(now.moment) || journal.refusal().is_some() {
            return;
        }
        let (revision, ticket) = (self.lane.next_revision(), self.lane.ticket());
        self.lane.give_out(revision);
        let line = store::Order {
            revision,
            generation: self.generation,
            kind: store::SETTLED.to_owned(),
            actor: "meridian".to_owned(),
            reason: "what could not be stored before: the journal says again what is in force".to_owned(),
            body: serde_json::Value::Null,
            changes: self.lane.with_owed(Vec::new()),
            idempotency: None,
        };
        self.lane.settling = Some(ticket);
        self.submit(ticket, line, Duration::from_millis(limits::STORE_ORDER_MS));
    }

    /// Judges the order on the ground as it is now, and lets it take effect.
    fn again(&mut self, mut parked: Parked, now: Now) {
        let judged = match parked.judged.take().filter(|(version, _)| *version == self.version()) {
            // Nothing has changed since: neither has what it is.
            Some((_, judged)) => Ok(Ok(*judged)),
            None => {
                let rearmed = std::mem::take(&mut parked.rearmed);
                sound("judging an order again", || {
                    let scenery = self.scenery(parked.wall, rearmed);
                    let judged = self.draft_again(&parked, &scenery);
                    if let Err(refused) = &judged {
                        self.tell_refusal(&parked.submission.request, refused, &scenery);
                    }
                    judged
                })
            }
        };
        // Whoever is answered too late has been told that it is not in force. From here on it is.
        let now = self.later(now);
        let ordered = match judged {
            Ok(Ok(_)) if parked.answer_by <= now.moment => Err(NotOrdered::late()),
            Ok(Ok(judged)) => self.take_effect(&parked.submission.request, judged, true, now),
            Ok(Err(refused)) => Err(refused.into()),
            Err(defect) => Err(defect),
        };
        match ordered {
            Ok(ordered) => send(parked.reply, Ok(ordered)),
            Err(why) => self.withdraw(parked, why),
        }
    }

    fn draft_again(&self, parked: &Parked, scenery: &Scenery) -> Result<Judged, OrderRefused> {
        let request = &parked.submission.request;
        let resolved = match Arc::ptr_eq(&parked.base, &self.base) {
            true => parked.resolved.clone(),
            // What it does is journalled by name, and stays; whom it concerns is told anew.
            false => {
                let unconditional = Request { expected_revision: None, ..request.clone() };
                Resolved { deed: parked.resolved.deed.clone(), ..validate(&unconditional, &scenery.ground(self))? }
            }
        };
        let judged = self.judge_resolved(request, resolved, parked.revision, scenery, true)?;
        match judged.judgement.refusals.is_empty() {
            true => Ok(judged),
            false => Err(OrderRefused::Rules { refusals: judged.judgement.refusals }),
        }
    }

    /// The order takes effect, wholly; after a panic everything is as it was before.
    pub(super) fn take_effect(
        &mut self,
        request: &Request,
        judged: Judged,
        is_durable: bool,
        now: Now,
    ) -> Result<Ordered, NotOrdered> {
        let (book, holds) = (Arc::clone(&self.lane.book), self.lane.holds.clone());
        let frozen = self.lane.frozen.clone();
        let latches = judged.draft.applied.release.is_some().then(|| self.latches.clone());
        let revision = judged.draft.applied.book.revision();
        let done = sound("an order that took effect", || self.carry_out(request, judged, is_durable, now));
        if done.is_err() {
            (self.lane.book, self.lane.holds, self.lane.frozen) = (book, holds, frozen);
            self.latches = latches.unwrap_or_else(|| std::mem::take(&mut self.latches));
            self.lane.defect = Some(revision);
            // It may be in the table already.
            let back = sound("going back to before an order", || {
                self.lane.look_for_names(self.base.policy());
                let until = now.moment + self.ttl_of_all();
                self.lane.drain(until, now.moment);
                self.finish(Changes { touched: self.all_services(), is_new: true, ..Changes::default() }, now);
            });
            self.is_behind |= back.is_err();
        } else {
            self.lane.defect = None;
        }
        done
    }

    /// Takes an order back from the journal that is not in force.
    fn withdraw(&mut self, parked: Parked, why: NotOrdered) {
        let revision = self.lane.next_revision();
        self.lane.give_out(revision);
        let inverse = self.lane.book.entries_since(&parked.book);
        let changes: Vec<store::Change> =
            inverse.into_iter().map(|(key, value)| store::Change { key, value }).collect();
        let key = parked.submission.key.clone();
        let line = store::Order {
            revision,
            generation: self.generation,
            kind: store::WITHDRAWN.to_owned(),
            actor: "meridian".to_owned(),
            reason: format!("revision {} was refused before it took effect: {why}", parked.revision.0),
            body: serde_json::json!({ "withdrawn": parked.revision.0, "why": why.to_string() }),
            changes: changes.clone(),
            // The key is free again: nothing was done under it.
            idempotency: key.map(|key| store::Idempotency {
                key,
                request: String::new(),
                answer: serde_json::Value::Null,
            }),
        };
        let ticket = self.lane.ticket();
        let stage = Stage::Withdrawing(why, changes);
        self.lane.parked = Some(Parked { ticket, stage, ..parked });
        self.submit(ticket, line, Duration::from_millis(limits::STORE_VOID_GRACE_MS));
    }
}
