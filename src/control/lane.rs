//! Where orders wait: the state beside the table that they need.
//!
//! ```text
//! order ─▶ (queue) ─▶ judged ─▶ parked: in the journal's hands ─▶ judged again ─▶ in force
//!             └ late: refused        └ refused there, or withdrawn: never in force
//! ```
//!
//! One order at a time is in the journal's hands, so that the book that is journalled is the book that comes into
//! force. What else comes meanwhile waits here, no longer than its sender does; health passes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, digest};
use serde_json::Value;
use tokio::sync::oneshot;

use super::event::{NotOrdered, Ordered, Submission};
use super::ordering::Judged;
use super::orders::{Answer, Book, Clock, Clocks, Frozen, Holds, Request, Resolved, Unit, What, misnamed};
use super::status::Now;
use crate::limits;
use crate::model::{Facts, Generation, Moment, PolicySet, Revision};
use crate::store;
use crate::table::Base;

/// Who waits for an order; nobody does for what time has ordered.
pub(super) type Reply = Option<oneshot::Sender<Result<Ordered, NotOrdered>>>;

/// An order that nothing has been done about.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) submission: Submission,
    pub(super) reply: Reply,
    /// Afterwards its sender has gone.
    pub(super) deadline: Moment,
    /// Until then it is answered, whatever the disk does.
    pub(super) answer_by: Moment,
}

/// An order in the journal's hands.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) ticket: u64,
    pub(super) submission: Submission,
    pub(super) reply: Reply,
    pub(super) resolved: Resolved,
    /// What it was judged to be, as long as nothing has changed since.
    pub(super) judged: Option<(Version, Box<Judged>)>,
    /// Of the indices in `resolved`.
    pub(super) base: Arc<Base>,
    pub(super) revision: Revision,
    /// What is journalled: the book after it.
    pub(super) book: Book,
    /// When it was judged, and on what: it is drafted again on the same, so that it is the same.
    pub(super) wall: SystemTime,
    pub(super) rearmed: BTreeSet<u64>,
    pub(super) stage: Stage,
    /// Until then it is answered, whatever the disk does.
    pub(super) answer_by: Moment,
    /// It was answered as not in force: it never will be.
    pub(super) is_given_up: bool,
}

/// What an order was judged on: while it is the same, so is the judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) generation: Generation,
    /// Events that may have changed what no table says yet.
    pub(super) changes: u64,
}

/// What the journal does with the parked order.
#[derive(Debug)]
pub(super) enum Stage {
    Storing,
    /// It was refused after it had been stored; this takes it back. What does is owed if it fails.
    Withdrawing(NotOrdered, Vec<store::Change>),
}

/// What was answered to a request with a key, where the journal does not know it.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) key: String,
    pub(super) request: String,
    pub(super) answer: Answer,
}

/// The lane, and all that stands.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) book: Arc<Book>,
    pub(super) holds: Holds,
    /// What is held while nothing moves by itself.
    pub(super) frozen: Option<Arc<Frozen>>,
    /// Drains out of which no old answer is left.
    pub(super) drained: BTreeSet<u64>,
    /// When that will be so of the others.
    draining: BTreeMap<u64, Moment>,
    /// Of these, those whose time is still the worst case.
    untimed: BTreeSet<u64>,
    clocks: Clocks,
    pub(super) clock: Clock,
    pub(super) parked: Option<Parked>,
    pub(super) queue: VecDeque<Waiting>,
    /// Entries that the journal does not have as they are: the next order takes them along.
    pub(super) owed: BTreeMap<String, Option<Value>>,
    /// An order that was refused would be in force after a restart: until the journal takes what is owed.
    pub(super) is_withdrawal_owed: bool,
    /// What is owed is in the journal's hands.
    pub(super) settling: Option<u64>,
    /// When that was tried last.
    settled_at: Option<Moment>,
    /// Orders and expiries take turns.
    pub(super) is_expiry_next: bool,
    /// The order that a panic kept from taking effect, until another one does.
    pub(super) defect: Option<u64>,
    remembered: VecDeque<Remembered>,
    revisions_to: u64,
    tickets: u64,
    /// What standing orders name and the files that serve do not: sentences.
    nameless: BTreeSet<String>,
    /// Orders whose time is over and that could not end, by when that was tried.
    tried: BTreeMap<u64, Moment>,
    seen: Now,
}

impl Lane {
    pub(super) fn new(book: Book, revisions_to: Revision, now: Now) -> Lane {
        Lane {
            revisions_to: revisions_to.0.max(book.revision()),
            book: Arc::new(book),
            holds: Holds::default(),
            frozen: None,
            drained: BTreeSet::new(),
            draining: BTreeMap::new(),
            untimed: BTreeSet::new(),
            clocks: Clocks::new(now.moment, now.wall),
            clock: Clock::Steady,
            parked: None,
            queue: VecDeque::new(),
            owed: BTreeMap::new(),
            is_withdrawal_owed: false,
            settling: None,
            settled_at: None,
            is_expiry_next: false,
            defect: None,
            remembered: VecDeque::new(),
            nameless: BTreeSet::new(),
            tickets: 0,
            tried: BTreeMap::new(),
            seen: now,
        }
    }

    /// When it was last looked at the clocks.
    pub(super) fn seen(&self) -> Now {
        self.seen
    }

    /// Looks at the clocks.
    pub(super) fn observe(&mut self, now: Now) {
        self.seen = now;
        self.clock = self.clocks.observe(now.moment, now.wall);
    }

    /// Nothing is in the journal's hands.
    pub(super) fn is_free(&self) -> bool {
        self.parked.is_none() && self.settling.is_none()
    }

    /// Something is owed, and it is time to try again; notes that it is tried.
    pub(super) fn is_settling_due(&mut self, now: Moment) -> bool {
        let retry = Duration::from_millis(limits::STORE_RETRY_MS);
        let is_due = !self.owed.is_empty() && self.settled_at.is_none_or(|at| at + retry <= now);
        if is_due {
            self.settled_at = Some(now);
        }
        is_due
    }

    /// The wall clock, as far as it is believed: orders given after a jump end when they should.
    pub(super) fn wall(&self, now: Now) -> SystemTime {
        match self.clock {
            Clock::Steady => now.wall,
            Clock::Jumped { by, is_ahead: true } => now.wall.checked_sub(by).unwrap_or(now.wall),
            Clock::Jumped { by, is_ahead: false } => now.wall.checked_add(by).unwrap_or(now.wall),
        }
    }

    /// A person says that the wall clock is right; by how much it had jumped, if it had.
    pub(super) fn accept_clock(&mut self, now: Now) -> Option<(Duration, bool)> {
        let jumped = match self.clock {
            Clock::Steady => None,
            Clock::Jumped { by, is_ahead } => Some((by, is_ahead)),
        };
        self.clocks.accept(now.moment, now.wall);
        self.clock = Clock::Steady;
        jumped
    }

    /// Above all that were ever given out, of refused orders too.
    pub(super) fn next_revision(&self) -> Revision {
        Revision(self.revisions_to + 1)
    }

    pub(super) fn give_out(&mut self, revision: Revision) {
        self.revisions_to = self.revisions_to.max(revision.0);
    }

    pub(super) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// The facts that are no orders, as routing sees them.
    pub(super) fn world(&self, live: Facts) -> Facts {
        match &self.frozen {
            Some(frozen) => frozen.world(&live),
            None => live,
        }
    }

    /// Begins to count for new drains, each `until` no old answer is left; true when some have come to that.
    pub(super) fn drain(&mut self, until: Moment, now: Moment) -> bool {
        let outs = self.book.standing().filter(|standing| matches!(standing.what, What::Out { .. }));
        let standing: BTreeSet<u64> = outs.map(|standing| standing.revision).collect();
        self.draining.retain(|revision, _| standing.contains(revision));
        self.drained.retain(|revision| standing.contains(revision));
        for revision in standing {
            if !self.drained.contains(&revision)
                && let Entry::Vacant(new) = self.draining.entry(revision)
            {
                new.insert(until);
                self.untimed.insert(revision);
            }
        }
        let done: Vec<u64> =
            self.draining.iter().filter(|(_, until)| **until <= now).map(|(revision, _)| *revision).collect();
        self.draining.retain(|_, until| *until > now);
        self.drained.extend(&done);
        !done.is_empty()
    }

    /// Says of new drains when no answer is left of what they are about, in place of the worst case. Nothing is answered
    /// with what is drained, so that is final.
    pub(super) fn retime(&mut self, until: impl Fn(&BTreeSet<Unit>) -> Moment) {
        for revision in std::mem::take(&mut self.untimed) {
            let Some(at) = self.draining.get_mut(&revision) else { continue };
            if let Some(What::Out { units }) = self.book.get(revision).map(|standing| &standing.what) {
                *at = until(units);
            }
        }
    }

    /// Some drain is over.
    pub(super) fn is_drained(&self, now: Moment) -> bool {
        self.draining.values().any(|until| *until <= now)
    }

    /// A standing order whose time is over, and that is not known to be unable to end.
    pub(super) fn due_expiry(&mut self, now: Now) -> Option<u64> {
        let due = self.book.due(now.wall);
        self.tried.retain(|revision, _| due.contains(revision));
        if self.clock != Clock::Steady {
            return None;
        }
        let retry = Duration::from_millis(limits::EXPIRY_RETRY_MS);
        let revision = due
            .into_iter()
            .find(|revision| self.tried.get(revision).is_none_or(|tried| *tried + retry <= now.moment))?;
        self.tried.insert(revision, now.moment);
        Some(revision)
    }

    /// When time alone will change something. While health waits for its turn, holds wait with it.
    pub(super) fn next_wake(&self, is_health_waiting: bool) -> Option<Moment> {
        let holds = self.holds.next_wake().filter(|_| self.frozen.is_none() && !is_health_waiting);
        let drains = self.draining.values().min().copied();
        let queue = self.queue.iter().map(|waiting| waiting.deadline).min();
        let next = (self.is_free() && !self.queue.is_empty()).then_some(self.seen.moment);
        let retry = Duration::from_millis(limits::STORE_RETRY_MS);
        let owed = (!self.owed.is_empty() && self.is_free())
            .then(|| self.settled_at.map_or(self.seen.moment + retry, |at| (at + retry).max(self.seen.moment)));
        let parked = self.parked.as_ref().filter(|parked| !parked.is_given_up).map(|parked| parked.answer_by);
        let retry = Duration::from_millis(limits::EXPIRY_RETRY_MS);
        let tried = self
            .tried
            .values()
            .min()
            .map(|tried| *tried + retry)
            .filter(|_| self.is_free() && self.clock == Clock::Steady);
        let expiry = match self.clock {
            Clock::Steady => {
                let at = self.book.next_expiry(self.seen.wall);
                at.map(|at| self.seen.moment + at.duration_since(self.seen.wall).unwrap_or_default())
            }
            // Perhaps it is right again.
            Clock::Jumped { .. } => {
                let is_any = self.book.standing().any(|standing| standing.expires.is_some());
                is_any.then(|| self.seen.moment + Duration::from_secs(limits::CLOCK_JUMP_S))
            }
        };
        [holds, drains, queue, next, owed, parked, tried, expiry].into_iter().flatten().min()
    }

    pub(super) fn remember(&mut self, remembered: Remembered) {
        self.remembered.push_back(remembered);
        let surplus = self.remembered.len().saturating_sub(limits::ANSWERS_REMEMBERED);
        self.remembered.drain(..surplus);
    }

    pub(super) fn remembered(&self, key: &str) -> Option<&Remembered> {
        self.remembered.iter().rev().find(|remembered| remembered.key == key)
    }

    /// What is to be journalled with the changes of an order.
    pub(super) fn with_owed(&self, changes: Vec<store::Change>) -> Vec<store::Change> {
        let new: BTreeSet<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        let owed = self.owed.iter().filter(|(key, _)| !new.contains(key.as_str()));
        let owed: Vec<store::Change> =
            owed.map(|(key, value)| store::Change { key: key.clone(), value: value.clone() }).collect();
        owed.into_iter().chain(changes).collect()
    }

    /// What the journal does not have is for the next order to take along.
    pub(super) fn owe(&mut self, changes: Vec<store::Change>) {
        self.owed.extend(changes.into_iter().map(|change| (change.key, change.value)));
    }

    /// Everything that was owed is durable.
    pub(super) fn paid(&mut self) {
        self.owed.clear();
        (self.is_withdrawal_owed, self.settled_at) = (false, None);
    }

    /// What standing orders, or the one in the journal's hands, would name in vain if these files served, and do not now.
    pub(super) fn would_lose(&self, policy: &PolicySet) -> Vec<String> {
        let parked = self.parked.as_ref().map(|parked| &parked.book);
        let books = [Some(&*self.book), parked].into_iter().flatten();
        let lost: BTreeSet<String> = books.flat_map(|book| misnamed(book, policy)).collect();
        lost.difference(&self.nameless).cloned().collect()
    }

    /// Looks for what standing orders name and these files do not.
    pub(super) fn look_for_names(&mut self, policy: &PolicySet) {
        self.nameless = misnamed(&self.book, policy).into_iter().collect();
    }

    /// What somebody should look at.
    pub(super) fn alarms(&self) -> Vec<String> {
        let mut alarms: Vec<String> = self.book.standing().filter_map(|standing| standing.overdue.clone()).collect();
        alarms.extend(self.nameless.iter().cloned());
        if let Clock::Jumped { by, is_ahead } = self.clock {
            let way = if is_ahead { "ahead" } else { "back" };
            alarms.push(format!(
                "the clock of this machine jumped {way} by {} s: nothing expires until it is back, or somebody says \
                 that it is right now: `meridian clock accept`",
                by.as_secs()
            ));
        }
        if let Some(revision) = self.defect {
            alarms.push(format!(
                "the order of revision {revision} could not be carried out and was taken back: a defect of Meridian, \
                 please report it"
            ));
        }
        if !self.owed.is_empty() && !self.is_withdrawal_owed {
            alarms.push(
                "orders are in force that are not stored: a restart would forget them; they are stored as soon as the \
                 store takes them"
                    .to_owned(),
            );
        }
        if self.is_withdrawal_owed {
            alarms.push(
                "an order was refused after it had been stored, and the store did not take that back: a restart before \
                 it does would bring it into force; it is tried again"
                    .to_owned(),
            );
        }
        for standing in self.book.standing() {
            let word = match &standing.what {
                What::Freeze => "frozen: nothing moves by itself",
                What::Gate { .. } => "the gate is closed: robots give no orders",
                What::Switch { .. }
                | What::Behind { .. }
                | What::Out { .. }
                | What::Force { .. }
                | What::Weights { .. }
                | What::Ttl { .. } => continue,
            };
            alarms.push(format!("{word} (revision {}, by {})", standing.revision, standing.by.actor));
        }
        alarms
    }
}

/// By what the repetition of a request is known: everything that it asks for.
pub(super) fn fingerprint(request: &Request) -> String {
    let text = serde_json::to_vec(&(
        &request.order,
        (&request.sender.identity, &request.sender.actor, request.sender.is_robot),
        &request.reason,
        request.expires_in.map(|time| time.as_millis()),
        &request.force,
    ))
    .unwrap_or_default();
    digest(&SHA256, &text).as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}
