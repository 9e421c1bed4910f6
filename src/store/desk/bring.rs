//! What hands bring back, and what is answered because of it.

use std::time::Duration;

use super::{Broken, Desk, Done, Kind, Now, Open, Stage};
use crate::limits;
use crate::store::Refusal;
use crate::store::kept::Page;

impl Desk {
    pub(in crate::store) fn done(&mut self, kind: Kind, done: Done, now: Now) {
        match kind {
            Kind::Commit => self.committed(done.map(drop), now),
            Kind::Turn => self.turned(done, now),
            Kind::Void(number) => self.voided(&done.map(drop), number),
            Kind::Keep(page) => self.kept_written(page, done.is_ok(), now),
            Kind::Spare => {
                self.house_since = None;
                self.spare_is_ready = done.is_ok();
                if done.is_err() {
                    let left = self.file.as_ref().map_or(0, |open| open.len.saturating_sub(self.tail));
                    self.shed = left <= self.bounds.reserve_len;
                    self.tidy_due = self.shed;
                    self.spare_not_before = Some(now.instant + Duration::from_millis(limits::STORE_RETRY_MS));
                }
            }
            Kind::Tidy => self.house_since = None,
        }
        self.tick(now);
    }

    fn committed(&mut self, done: std::io::Result<()>, now: Now) {
        let Some(flight) = self.flight.take() else { return };
        self.last_commit = Some(now.instant.saturating_duration_since(self.hand_since));
        match done {
            Ok(()) => {
                self.durable = flight.end;
                self.state.generations_to = self.state.generations_to.max(flight.generations_to);
                for mut flying in flight.orders {
                    match (&flying.stage, flying.reply.take()) {
                        (Stage::Alive | Stage::Doomed(_), Some(reply)) => {
                            self.state.apply(flying.order, flying.at);
                            self.outbox.push((reply, Ok(flying.seq)));
                        }
                        (Stage::Voiding(_), reply) => {
                            flying.reply = reply;
                            self.doubtful.push(flying);
                        }
                        (Stage::Voided, _) => self.state.seen(flying.order.revision.0, flying.order.generation.0),
                        (Stage::Alive | Stage::Doomed(_) | Stage::Failed(_), _) => {
                            self.state.seen(flying.order.revision.0, flying.order.generation.0);
                            self.voids_due.push(flying.seq);
                        }
                    }
                }
            }
            Err(error) => {
                self.journal_failures += 1;
                let refusal = Refusal::of(&error);
                self.heal = Some(format!("a write had failed: {error}"));
                self.start_due |= flight.start;
                self.voids_due.extend(flight.voids);
                self.notes_lost += flight.notes;
                for mut flying in flight.orders {
                    self.state.seen(flying.order.revision.0, flying.order.generation.0);
                    if let Stage::Alive | Stage::Doomed(_) = flying.stage {
                        flying.stage = Stage::Failed(refusal.clone());
                    }
                    if !matches!(flying.stage, Stage::Voided) {
                        self.doubtful.push(flying);
                    }
                }
            }
        }
    }

    fn turned(&mut self, done: Done, now: Now) {
        let Some((link, len)) = self.turning.take() else { return };
        match done.and_then(|file| {
            let file = file.ok_or_else(|| std::io::Error::other("no file"))?;
            Ok(Open { len: file.len()?, file, number: self.number_max })
        }) {
            Ok(open) => {
                if let Some(old) = self.file.replace(open) {
                    self.closed.push((old.number, self.tail));
                }
                self.tidy_due = true;
                self.tail = len;
                self.begun_len = len;
                self.last = link;
                self.durable = link;
                self.heal = None;
                self.broken = None;
                self.voids_due.clear();
                self.voids_unsynced.clear();
                // What is not carried over is not in force.
                for mut flying in std::mem::take(&mut self.doubtful) {
                    if let (Some(reply), Stage::Failed(refusal) | Stage::Doomed(refusal) | Stage::Voiding(refusal)) =
                        (flying.reply.take(), flying.stage)
                    {
                        self.outbox.push((reply, Err(refusal)));
                    }
                }
            }
            Err(error) => {
                self.journal_failures += 1;
                let refusal = Refusal::of(&error);
                let retry_at = Some(now.instant + Duration::from_millis(limits::STORE_RETRY_MS));
                self.refuse_waiting(&refusal);
                self.broken = Some(Broken { refusal, retry_at });
                for flying in &mut self.doubtful {
                    if let Stage::Failed(refusal) = &flying.stage {
                        flying.stage = Stage::Doomed(refusal.clone());
                    }
                }
            }
        }
    }

    pub(super) fn refuse_waiting(&mut self, refusal: &Refusal) {
        for waiting in std::mem::take(&mut self.waiting) {
            self.outbox.push((waiting.reply, Err(refusal.clone())));
        }
    }

    fn voided(&mut self, done: &std::io::Result<()>, number: u64) {
        self.voiding = false;
        let is_same_file = self.file.as_ref().is_some_and(|open| open.number == number);
        if is_same_file {
            match done {
                Ok(()) => {}
                Err(error) => self.heal = Some(format!("taking back orders had failed: {error}")),
            }
        }
        let in_flight = self.flight.iter_mut().flat_map(|flight| &mut flight.orders);
        for flying in in_flight.chain(&mut self.doubtful) {
            if let Stage::Voiding(refusal) = &flying.stage {
                if done.is_ok() && is_same_file {
                    self.voids_unsynced.push(flying.seq);
                }
                if done.is_ok()
                    && let Some(reply) = flying.reply.take()
                {
                    self.outbox.push((reply, Err(refusal.clone())));
                }
                flying.stage = if done.is_ok() { Stage::Voided } else { Stage::Failed(refusal.clone()) };
            }
        }
        self.doubtful.retain(|flying| !matches!(flying.stage, Stage::Voided));
    }

    fn kept_written(&mut self, page: Page, is_ok: bool, now: Now) {
        let took = self.house_since.take().map_or(Duration::ZERO, |since| now.instant.saturating_duration_since(since));
        let slot = &mut self.kept[page.at()];
        let tried = slot.now.take();
        // A slow disk is busy with it a fifth of the time at most.
        let mut pause = match page {
            Page::Latches => took * 4,
            Page::Health => (took * 4).max(Duration::from_millis(limits::STORE_KEEP_EVERY_MS)),
        };
        if !is_ok {
            slot.failures += 1;
            pause = Duration::from_millis(limits::STORE_RETRY_MS);
            if !self.is_closing && slot.next.is_none() {
                slot.next = tried;
            }
        }
        slot.not_before = (!self.is_closing).then_some(now.instant + pause);
    }
}
