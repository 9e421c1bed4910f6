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

mod bring;
mod fetch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::disk::DiskFile;
use super::kept::{Kept, Page};
use super::record::{Link, Note, Order};
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
    /// Writes to the journal that failed.
    journal_failures: u64,
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
            journal_failures: 0,
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
        if key_len > limits::IDEMPOTENCY_SCOPED_LEN_MAX || !self.state.has_room_for(order) {
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
            journal_failures: self.journal_failures,
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
            let is_owed = match &flying.stage {
                Stage::Alive | Stage::Voided => false,
                Stage::Failed(_) | Stage::Doomed(_) | Stage::Voiding(_) => true,
            };
            if is_owed
                && flying.deadline + grace <= now.instant
                && let Some(reply) = flying.reply.take()
            {
                // What takes it back is in nobody's hands but ours.
                self.outbox.push((reply, Err(Refusal::Unsure)));
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
}
