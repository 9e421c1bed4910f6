//! What hands fetch: batches, new files, what takes orders back, and the chores of the house.

use std::time::{Duration, SystemTime};

use super::{Desk, Flight, Flying, Hand, Job, Now, Open, Stage, Task, Waiting};
use crate::limits;
use crate::store::Refusal;
use crate::store::kept::Page;
use crate::store::record::{self, FORMAT, Head, Link, Note, Record};

impl Desk {
    /// The next job of a hand; `None`: nothing for now.
    pub(in crate::store) fn next(&mut self, hand: Hand, now: Now) -> Option<Task> {
        self.tick(now);
        let job = match hand {
            Hand::Commit => self.next_commit(now),
            Hand::Void => self.next_void(now),
            Hand::House => self.next_house(now),
        }?;
        Some(Task { kind: job.kind(), job })
    }

    fn next_commit(&mut self, now: Now) -> Option<Job> {
        if self.flight.is_some() || self.turning.is_some() || self.voiding {
            return None;
        }
        if let Some(broken) = &self.broken {
            let is_time = broken.retry_at.is_some_and(|at| at <= now.instant);
            return (is_time && !self.is_closing).then(|| self.turn("writing is tried again after a failure", now));
        }
        if let Some(why) = self.heal.clone() {
            return Some(self.turn(&why, now));
        }
        self.batch(now)
    }

    /// A new file: the state as acknowledged, and nothing else.
    fn turn(&mut self, why: &str, now: Now) -> Job {
        let number = self.number_max + 1;
        self.number_max = number;
        let carried: Vec<Record> = self.voids_again().into_iter().chain(self.state.carried()).collect();
        let head = Head {
            format: FORMAT,
            segment: number,
            prev_seq: self.durable.seq,
            revision: self.state.revision,
            revisions_to: self.state.revisions_to,
            generations_to: self.state.generations_to,
            carried: carried.len() as u64,
            why: why.to_owned(),
        };
        let mut bytes = Vec::new();
        let mut link = self.durable;
        for record in std::iter::once(Record::Head(head)).chain(carried) {
            self.seq_max += 1;
            link = record::write(&mut bytes, link, self.durable.seq, self.seq_max, now.wall, record);
        }
        self.turning = Some((link, bytes.len() as u64));
        self.hand_since = now.instant;
        Job::Turn { number, bytes, spare_is_ready: std::mem::take(&mut self.spare_is_ready) }
    }

    /// Takes back once more what stands in the file before as if it counted.
    fn voids_again(&self) -> Vec<Record> {
        let doubtful = self.doubtful.iter().map(|flying| flying.seq);
        let all = self.voids_due.iter().chain(&self.voids_unsynced).copied().chain(doubtful);
        // What stands behind that line is given up with the file.
        let orders: Vec<u64> = all.filter(|seq| *seq <= self.durable.seq).collect();
        let records = orders.chunks(limits::JOURNAL_BATCH_ORDERS_MAX);
        records.map(|orders| Record::Void { orders: orders.to_vec() }).collect()
    }

    fn batch(&mut self, now: Now) -> Option<Job> {
        let Open { file, len, .. } = self.file.clone()?;
        let (offset, end) = (self.tail, len.saturating_sub(limits::JOURNAL_VOID_LEN));
        let mut batch = Batch {
            bytes: Vec::new(),
            durable: self.durable.seq,
            last: self.last,
            seq: self.seq_max,
            offset,
            at: now.wall,
        };
        let voids_due = self.voids_due.len().min(limits::JOURNAL_BATCH_ORDERS_MAX);
        if voids_due > 0 {
            let orders = self.voids_due[..voids_due].to_vec();
            if batch.add(Record::Void { orders }, len).is_err() {
                return Some(self.turn("there was no room to take back orders", now));
            }
        }
        let mut generations_to = self.generations_to;
        if self.start_due || self.generations_used + limits::GENERATIONS_RESERVED / 2 > generations_to {
            generations_to = generations_to.max(self.generations_used) + limits::GENERATIONS_RESERVED;
            let record = if self.start_due {
                Record::Start { version: env!("CARGO_PKG_VERSION").to_owned(), generations_to }
            } else {
                Record::Generations { generations_to }
            };
            if batch.add(record, end).is_err() {
                return Some(self.turn("the file is full", now));
            }
        }
        let mut orders = Vec::new();
        while orders.len() < limits::JOURNAL_BATCH_ORDERS_MAX && batch.bytes.len() < limits::JOURNAL_BATCH_LEN_MAX {
            let Some(Waiting { order, deadline, reply }) = self.waiting.pop_front() else { break };
            match batch.add(Record::Order(order.clone()), end) {
                Ok(seq) => {
                    let at = crate::store::time::rounded(now.wall);
                    orders.push(Flying { seq, order, at, deadline, reply: Some(reply), stage: Stage::Alive });
                }
                Err(Misfit::Long) => self.outbox.push((reply, Err(Refusal::TooLarge))),
                // No new file would have more room.
                Err(Misfit::Full) if offset == self.begun_len && batch.bytes.is_empty() => {
                    self.outbox.push((reply, Err(Refusal::Full)));
                }
                Err(Misfit::Full) => {
                    self.waiting.push_front(Waiting { order, deadline, reply });
                    if batch.bytes.is_empty() {
                        return Some(self.turn("the file is full", now));
                    }
                    break;
                }
            }
        }
        let every = Duration::from_millis(limits::STORE_NOTES_EVERY_MS);
        let notes_are_due = self.notes_since.is_some_and(|since| since + every <= now.instant) || self.is_closing;
        let mut notes = 0;
        if (notes_are_due || !orders.is_empty())
            && let Some(job) = self.add_notes(&mut batch, end, &mut notes, now)
        {
            return Some(job);
        }
        if batch.bytes.is_empty() && self.voids_unsynced.is_empty() {
            return None;
        }
        let mut voids: Vec<u64> = self.voids_due.drain(..voids_due).collect();
        voids.append(&mut self.voids_unsynced);
        self.tail = offset + batch.bytes.len() as u64;
        (self.last, self.seq_max) = (batch.last, batch.seq);
        let start = std::mem::take(&mut self.start_due);
        self.generations_to = generations_to;
        self.flight = Some(Flight { orders, voids, notes, end: batch.last, start, generations_to });
        self.hand_since = now.instant;
        Some(Job::Commit { file, offset, bytes: batch.bytes })
    }

    /// Entries of the audit log fill up a batch, as long as the room for orders is not touched.
    fn add_notes(&mut self, batch: &mut Batch, end: u64, notes: &mut u64, now: Now) -> Option<Job> {
        while batch.bytes.len() < limits::JOURNAL_BATCH_LEN_MAX {
            let Some((at, note)) = self.notes.front() else { break };
            let left = end.saturating_sub(batch.offset + batch.bytes.len() as u64);
            let keeps_reserve = self.spare_is_ready || left > self.bounds.reserve_len;
            let added =
                if keeps_reserve { batch.add_at(*at, Record::Note(note.clone()), end) } else { Err(Misfit::Full) };
            match added {
                Ok(_) => *notes += 1,
                Err(Misfit::Full) if self.spare_is_ready && batch.offset > self.begun_len => {
                    if batch.bytes.is_empty() {
                        return Some(self.turn("the file is full", now));
                    }
                    return None;
                }
                // The next file is being made.
                Err(Misfit::Full) if !self.spare_is_ready && self.spare_not_before.is_none() && !self.is_closing => {
                    break;
                }
                // Logs give way first.
                Err(Misfit::Full | Misfit::Long) => self.notes_lost += 1,
            }
            self.notes.pop_front();
        }
        self.notes_since = (!self.notes.is_empty()).then_some(now.instant);
        if self.notes_lost > self.notes_lost_told && self.spare_is_ready {
            let lost = self.notes_lost - self.notes_lost_told;
            let note = Note {
                kind: "lost".to_owned(),
                revision: self.state.last_revision(),
                generation: crate::model::Generation(self.generations_used),
                actor: "meridian".to_owned(),
                reason: "entries of this log that there was no room or no time for".to_owned(),
                body: lost.into(),
            };
            if batch.add(Record::Note(note), end).is_ok() {
                self.notes_lost_told = self.notes_lost;
            }
        }
        None
    }

    fn next_void(&mut self, now: Now) -> Option<Job> {
        if self.voiding {
            return None;
        }
        let Open { file, len, number } = self.file.clone()?;
        let in_flight = self.flight.iter_mut().flat_map(|flight| &mut flight.orders);
        let doomed: Vec<&mut Flying> =
            in_flight.chain(&mut self.doubtful).filter(|flying| matches!(flying.stage, Stage::Doomed(_))).collect();
        if doomed.is_empty() {
            return None;
        }
        let orders = doomed.iter().map(|flying| flying.seq).take(limits::JOURNAL_BATCH_ORDERS_MAX).collect();
        let mut batch = Batch {
            bytes: Vec::new(),
            durable: self.durable.seq,
            last: self.last,
            seq: self.seq_max,
            offset: self.tail,
            at: now.wall,
        };
        // Without room they are taken back by the turn that comes next.
        batch.add(Record::Void { orders }, len).ok()?;
        for flying in doomed.into_iter().take(limits::JOURNAL_BATCH_ORDERS_MAX) {
            if let Stage::Doomed(refusal) = &flying.stage {
                flying.stage = Stage::Voiding(refusal.clone());
            }
        }
        let offset = self.tail;
        self.tail += batch.bytes.len() as u64;
        (self.last, self.seq_max) = (batch.last, batch.seq);
        self.voiding = true;
        Some(Job::Void { file, offset, bytes: batch.bytes, number })
    }

    fn next_house(&mut self, now: Now) -> Option<Job> {
        // A desk that was never given a directory keeps nothing.
        if self.house_since.is_some() || self.broken.as_ref().is_some_and(|broken| broken.retry_at.is_none()) {
            return None;
        }
        let job = self.house_job(now)?;
        self.house_since = Some(now.instant);
        Some(job)
    }

    fn house_job(&mut self, now: Now) -> Option<Job> {
        for page in Page::ALL {
            let slot = &mut self.kept[page.at()];
            let is_time = slot.not_before.is_none_or(|at| at <= now.instant);
            if slot.next.is_some() && !is_time {
                // No page overtakes one before it.
                break;
            }
            if let Some(kept) = slot.next.take() {
                slot.now = Some(kept.clone());
                return Some(Job::Keep(kept));
            }
        }
        let number = self.file.as_ref().map(|open| open.number).filter(|_| !self.is_closing)?;
        if std::mem::take(&mut self.tidy_due) {
            return Some(Job::Tidy {
                closed: std::mem::take(&mut self.closed),
                aside: std::mem::take(&mut self.aside),
                keep_from: (number + 1).saturating_sub(self.bounds.segments_kept),
                // Never the file in use, nor the one before it.
                shed_before: std::mem::take(&mut self.shed).then_some(number - 1),
            });
        }
        // A turn that found the spare ready is using it.
        if !self.spare_is_ready
            && self.turning.is_none()
            && self.broken.is_none()
            && self.spare_not_before.is_none_or(|at| at <= now.instant)
        {
            self.spare_not_before = None;
            return Some(Job::Spare);
        }
        None
    }
}

enum Misfit {
    /// The file has no room for it.
    Full,
    /// No file would.
    Long,
}

/// Lines that are written together.
struct Batch {
    bytes: Vec<u8>,
    durable: u64,
    last: Link,
    seq: u64,
    offset: u64,
    at: SystemTime,
}

impl Batch {
    fn add(&mut self, record: Record, end: u64) -> Result<u64, Misfit> {
        self.add_at(self.at, record, end)
    }

    /// The line's number.
    fn add_at(&mut self, at: SystemTime, record: Record, end: u64) -> Result<u64, Misfit> {
        let start = self.bytes.len();
        let link = record::write(&mut self.bytes, self.last, self.durable, self.seq + 1, at, record);
        let len = self.bytes.len() - start;
        let misfit = if len > limits::JOURNAL_LINE_LEN_MAX {
            Misfit::Long
        } else if self.offset + self.bytes.len() as u64 > end {
            Misfit::Full
        } else {
            (self.last, self.seq) = (link, link.seq);
            return Ok(link.seq);
        };
        self.bytes.truncate(start);
        Err(misfit)
    }
}
