//! The journal's desk: decides what is written, when, and what is answered. Without files, threads or clock.
//!
//! Three hands fetch jobs here ([`Desk::next`]), do them on the disk, however long that takes, and bring back
//! what came of them ([`Desk::done`]):
//!
//! - the *commit* hand writes batches and makes them durable, and begins new files;
//! - the *void* hand takes back orders whose time ran out while the commit hand hangs;
//! - the *house* hand writes latches and health, fills the spare file, and clears up.
//!
//! # An order's way
//! ```text
//! waiting ──commit begins──▶ in flight ──durable──▶ applied, answered
//!    │ deadline                 │ deadline
//!    ▼                          ▼ doomed ──void written──▶ refused     (durable in time after all: answered)
//! refused, never written        └── void cannot be written either: refused after a grace, void follows
//! ```
//! A commit that fails leaves a file that nobody can trust. A new file is begun (a *turn*), whose first lines
//! carry over what was acknowledged and nothing else, and take back again what the file before may not say that it
//! took back; then the failed orders are refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::disk::DiskFile;
use super::kept::{Kept, Page};
use super::record::{self, FORMAT, Head, Link, Note, Order, Record};
use super::state::State;
use super::{Bounds, Refusal, Status};
use crate::limits;

/// How an order's fate is told, by its line's number or the refusal; called once, on a thread of the store.
pub(super) type ReplyFn = Box<dyn FnOnce(Result<u64, Refusal>) + Send>;

/// Both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) wall: SystemTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hand {
    Commit,
    Void,
    House,
}

/// Something to do on the disk.
#[derive(Debug)]
pub(super) enum Job {
    /// Write and make durable.
    Commit { file: Arc<dyn DiskFile>, offset: u64, bytes: Vec<u8> },
    /// Begin a file with these lines.
    Turn { number: u64, bytes: Vec<u8>, spare_is_ready: bool },
    /// Write; durable it becomes with the next commit.
    Void { file: Arc<dyn DiskFile>, offset: u64, bytes: Vec<u8>, number: u64 },
    /// Write latches or health.
    Keep(Kept),
    /// Fill the spare file.
    Spare,
    /// Cut closed files off behind their last line, set damaged ones aside, remove the oldest.
    Tidy { closed: Vec<(u64, u64)>, aside: Vec<u64>, keep_from: u64, shed_before: Option<u64> },
}

impl Job {
    fn kind(&self) -> Kind {
        match self {
            Job::Commit { .. } => Kind::Commit,
            Job::Turn { .. } => Kind::Turn,
            Job::Void { number, .. } => Kind::Void(*number),
            Job::Keep(kept) => Kind::Keep(kept.page),
            Job::Spare => Kind::Spare,
            Job::Tidy { .. } => Kind::Tidy,
        }
    }
}

/// What a job was, when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Turn,
    Void(u64),
    Keep(Page),
    Spare,
    Tidy,
}

/// A job that a hand has fetched.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) kind: Kind,
    pub(super) job: Job,
}

/// What came of a job: the file that a turn began.
pub(super) type Done = std::io::Result<Option<Arc<dyn DiskFile>>>;

/// The file that is written to.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) number: u64,
    pub(super) len: u64,
}

enum Stage {
    /// Its time is not up.
    Alive,
    /// The commit failed; it is refused when a new file is begun.
    Failed(Refusal),
    /// To be taken back, which nobody has begun.
    Doomed(Refusal),
    /// Being taken back.
    Voiding(Refusal),
    Voided,
}

struct Flying {
    seq: u64,
    order: Order,
    at: SystemTime,
    deadline: Instant,
    reply: Option<ReplyFn>,
    stage: Stage,
}

struct Waiting {
    order: Order,
    deadline: Instant,
    reply: ReplyFn,
}

struct Flight {
    orders: Vec<Flying>,
    /// Orders that it takes back, or whose taking back it makes durable.
    voids: Vec<u64>,
    notes: u64,
    end: Link,
    start: bool,
    generations_to: u64,
}

#[derive(Default)]
struct Slot {
    next: Option<Kept>,
    /// Being written.
    now: Option<Kept>,
    not_before: Option<Instant>,
    failures: u64,
}

struct Broken {
    refusal: Refusal,
    retry_at: Option<Instant>,
}

pub(super) struct Desk {
    bounds: Bounds,
    state: State,
    file: Option<Open>,
    /// Behind the last line that was given to a hand.
    tail: u64,
    /// Where the first line stands that the file did not begin with; 0 for one of an earlier start.
    begun_len: u64,
    last: Link,
    seq_max: u64,
    number_max: u64,
    durable: Link,
    waiting: VecDeque<Waiting>,
    notes: VecDeque<(SystemTime, Note)>,
    notes_since: Option<Instant>,
    notes_lost: u64,
    notes_lost_told: u64,
    flight: Option<Flight>,
    /// When the commit hand fetched what it is doing.
    hand_since: Instant,
    /// The last line of the file that is being begun, and its length.
    turning: Option<(Link, u64)>,
    /// Out of flight, and not yet known to be taken back.
    doubtful: Vec<Flying>,
    voiding: bool,
    /// To be taken back, which has not been written, or not for certain.
    voids_due: Vec<u64>,
    /// Taken back in writing, which is not durable yet.
    voids_unsynced: Vec<u64>,
    heal: Option<String>,
    broken: Option<Broken>,
    start_due: bool,
    generations_used: u64,
    generations_to: u64,
    kept: [Slot; 2],
    house_since: Option<Instant>,
    spare_is_ready: bool,
    spare_not_before: Option<Instant>,
    closed: Vec<(u64, u64)>,
    aside: Vec<u64>,
    shed: bool,
    tidy_due: bool,
    is_closing: bool,
    outbox: Vec<(ReplyFn, Result<u64, Refusal>)>,
    last_commit: Option<Duration>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("durable", &self.durable).field("tail", &self.tail).finish_non_exhaustive()
    }
}

/// Where a desk begins.
pub(super) struct Beginning {
    pub(super) state: State,
    pub(super) last: Link,
    pub(super) seq_max: u64,
    pub(super) number_max: u64,
    /// The file to go on with, and where.
    pub(super) open: Option<(Open, u64)>,
    /// A new file must be begun, because of this.
    pub(super) turn: Option<String>,
    /// A damaged file that is set aside then.
    pub(super) aside: Option<u64>,
}

impl Desk {
    pub(super) fn new(bounds: Bounds, from: Beginning, now: Now) -> Desk {
        let Beginning { state, last, seq_max, number_max, open, turn, aside } = from;
        // Generation 0 is no generation.
        let generations_to = state.generations_to.max(1);
        let (file, tail) = open.map_or((None, 0), |(open, tail)| (Some(open), tail));
        Desk {
            bounds,
            state,
            file,
            tail,
            begun_len: 0,
            last,
            seq_max,
            number_max,
            durable: last,
            waiting: VecDeque::new(),
            notes: VecDeque::new(),
            notes_since: None,
            notes_lost: 0,
            notes_lost_told: 0,
            flight: None,
            hand_since: now.instant,
            turning: None,
            doubtful: Vec::new(),
            voiding: false,
            voids_due: Vec::new(),
            voids_unsynced: Vec::new(),
            heal: turn,
            broken: None,
            start_due: true,
            generations_used: generations_to,
            generations_to,
            kept: [Slot::default(), Slot::default()],
            house_since: None,
            spare_is_ready: false,
            spare_not_before: None,
            closed: Vec::new(),
            aside: aside.into_iter().collect(),
            shed: false,
            tidy_due: true,
            is_closing: false,
            outbox: Vec::new(),
            last_commit: None,
        }
    }

    /// A desk that refuses everything.
    pub(super) fn refusing(bounds: Bounds, refusal: Refusal, now: Now) -> Desk {
        let beginning = Beginning {
            state: State::default(),
            last: Link::default(),
            seq_max: 0,
            number_max: 0,
            open: None,
            turn: None,
            aside: None,
        };
        let mut desk = Desk::new(bounds, beginning, now);
        desk.broken = Some(Broken { refusal, retry_at: None });
        desk.start_due = false;
        desk.tidy_due = false;
        desk
    }

    // What callers bring.

    /// An order. Its reply is called exactly once.
    pub(super) fn submit(&mut self, order: Order, within: Duration, reply: ReplyFn, now: Now) {
        match self.refusal(&order, now) {
            Some(refusal) => self.outbox.push((reply, Err(refusal))),
            None => self.waiting.push_back(Waiting { order, deadline: now.instant + within, reply }),
        }
    }

    fn refusal(&self, order: &Order, now: Now) -> Option<Refusal> {
        if self.is_closing {
            return Some(Refusal::Closed);
        }
        if let Some(broken) = &self.broken {
            return Some(broken.refusal.clone());
        }
        if self.hangs(now) {
            return Some(Refusal::Timeout);
        }
        if self.waiting.len() >= limits::STORE_ORDERS_WAITING_MAX {
            return Some(Refusal::Busy);
        }
        let key_len = order.idempotency.as_ref().map_or(0, |idempotency| idempotency.key.len());
        if key_len > limits::IDEMPOTENCY_KEY_LEN_MAX || !self.state.has_room_for(order) {
            return Some(Refusal::TooLarge);
        }
        None
    }

    /// The commit hand has been away for so long that an order behind it would time out as well.
    fn hangs(&self, now: Now) -> bool {
        let patience = Duration::from_millis(limits::STORE_ORDER_MS);
        let is_away = self.flight.is_some() || self.turning.is_some();
        is_away && now.instant.saturating_duration_since(self.hand_since) >= patience
    }

    /// An entry of the audit log; false when it is lost.
    pub(super) fn note(&mut self, note: Note, now: Now) -> bool {
        let is_lost = self.is_closing
            || self.notes.len() >= limits::STORE_NOTES_WAITING_MAX
            || self.broken.as_ref().is_some_and(|broken| broken.retry_at.is_none());
        if is_lost {
            self.notes_lost += 1;
            return false;
        }
        self.notes_since.get_or_insert(now.instant);
        self.notes.push_back((now.wall, note));
        true
    }

    /// Latches or health, in place of what waits.
    pub(super) fn keep(&mut self, kept: Kept) {
        let slot = &mut self.kept[kept.page.at()];
        slot.next = Some(kept);
    }

    /// A generation was published.
    pub(super) fn used(&mut self, generation: u64) {
        self.generations_used = self.generations_used.max(generation);
    }

    /// What waits is still written, nothing more is taken.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
        for slot in &mut self.kept {
            slot.not_before = None;
        }
    }

    /// Refuses what still waits: the disk does not come back.
    pub(super) fn give_up(&mut self) {
        self.is_closing = true;
        self.broken = Some(Broken { refusal: Refusal::Closed, retry_at: None });
        self.refuse_waiting(&Refusal::Closed);
    }

    /// Closing, and nothing is left to do.
    pub(super) fn is_finished(&self) -> bool {
        let is_writable = self.broken.is_none();
        self.is_closing
            && self.flight.is_none()
            && self.turning.is_none()
            && !self.voiding
            && self.house_since.is_none()
            && self.waiting.is_empty()
            && (!is_writable || (self.notes.is_empty() && self.kept.iter().all(|slot| slot.next.is_none())))
    }

    /// Replies that are due; to be called without holding the desk.
    pub(super) fn take_replies(&mut self) -> Vec<(ReplyFn, Result<u64, Refusal>)> {
        std::mem::take(&mut self.outbox)
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The highest number of a line.
    #[cfg(test)]
    pub(super) fn seq_max(&self) -> u64 {
        self.seq_max
    }

    pub(super) fn status(&self, now: Now) -> Status {
        let refusal = self.broken.as_ref().map(|broken| broken.refusal.clone());
        Status {
            refusal: refusal.or_else(|| self.hangs(now).then_some(Refusal::Timeout)),
            head: self.durable,
            revision: self.state.last_revision(),
            generations_to: self.state.generations_to,
            orders_waiting: self.waiting.len() + self.flight.as_ref().map_or(0, |flight| flight.orders.len()),
            notes_lost: self.notes_lost,
            keep_failures: self.kept.iter().map(|slot| slot.failures).sum(),
            last_commit: self.last_commit,
        }
    }

    /// Orders that may have been refused and are not taken back in writing yet.
    #[cfg(test)]
    pub(super) fn voids_owed(&self) -> Vec<u64> {
        let in_flight = self.flight.iter().flat_map(|flight| &flight.orders).chain(&self.doubtful);
        let owed = in_flight.filter(|flying| !matches!(flying.stage, Stage::Voided)).map(|flying| flying.seq);
        let again = self.flight.iter().flat_map(|flight| &flight.voids);
        owed.chain(self.voids_due.iter().copied()).chain(again.copied()).collect()
    }

    // Time.

    /// Looks at the deadlines. Never touches a disk, so it is right however the hands hang.
    pub(super) fn tick(&mut self, now: Now) {
        let mut at = 0;
        while at < self.waiting.len() {
            if self.waiting[at].deadline <= now.instant
                && let Some(late) = self.waiting.remove(at)
            {
                self.outbox.push((late.reply, Err(Refusal::Timeout)));
            } else {
                at += 1;
            }
        }
        let grace = Duration::from_millis(limits::STORE_VOID_GRACE_MS);
        let in_flight = self.flight.iter_mut().flat_map(|flight| &mut flight.orders);
        for flying in in_flight.chain(&mut self.doubtful) {
            if matches!(flying.stage, Stage::Alive) && flying.deadline <= now.instant {
                flying.stage = Stage::Doomed(Refusal::Timeout);
            }
            let refusal = match &flying.stage {
                Stage::Alive | Stage::Voided => continue,
                Stage::Failed(refusal) | Stage::Doomed(refusal) | Stage::Voiding(refusal) => refusal.clone(),
            };
            if flying.deadline + grace <= now.instant
                && let Some(reply) = flying.reply.take()
            {
                self.outbox.push((reply, Err(refusal)));
            }
        }
    }

    /// When something will have to be looked at although nobody calls.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let grace = Duration::from_millis(limits::STORE_VOID_GRACE_MS);
        let waiting = self.waiting.iter().map(|waiting| waiting.deadline);
        let flying = self.flight.iter().flat_map(|flight| &flight.orders).chain(&self.doubtful);
        let flying = flying.filter(|flying| flying.reply.is_some()).map(|flying| match flying.stage {
            Stage::Alive => flying.deadline,
            Stage::Failed(_) | Stage::Doomed(_) | Stage::Voiding(_) | Stage::Voided => flying.deadline + grace,
        });
        let notes = self.notes_since.map(|since| since + Duration::from_millis(limits::STORE_NOTES_EVERY_MS));
        let kept = self.kept.iter().filter(|slot| slot.next.is_some()).filter_map(|slot| slot.not_before);
        let retry = self.broken.as_ref().and_then(|broken| broken.retry_at);
        let spare = self.spare_not_before;
        // What is past was looked at, or waits for a hand to come back.
        waiting.chain(flying).chain(notes).chain(kept).chain(retry).chain(spare).filter(|at| *at > now).min()
    }

    // What hands fetch.

    /// The next job of a hand; `None`: nothing for now.
    pub(super) fn next(&mut self, hand: Hand, now: Now) -> Option<Task> {
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
                    let at = super::time::rounded(now.wall);
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

    // What hands bring back.

    pub(super) fn done(&mut self, kind: Kind, done: Done, now: Now) {
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

    fn refuse_waiting(&mut self, refusal: &Refusal) {
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
