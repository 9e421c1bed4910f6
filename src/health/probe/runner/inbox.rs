//! What the prober is told: outcomes, targets, questions. Telling never waits.
//!
//! No channel: of targets only the newest list counts, and everything that has come is taken at once, so that 2 000
//! outcomes a second are not 2 000 wake-ups. The bounds: a probe reports once, and no more than
//! [`crate::limits::PROBES_IN_FLIGHT_MAX`] are out; questions are refused beyond [`PROBER_ASKS_MAX`].

use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::tally::{Group, Numbers};
use crate::health::{Outcome, Target, TargetId, TargetReport};
use crate::limits::PROBER_ASKS_MAX;
use crate::model::Moment;

/// The end of a probe.
#[derive(Debug)]
pub(super) struct Landed {
    /// Of the engine that started it.
    pub(super) life: u64,
    pub(super) target: TargetId,
    pub(super) number: u64,
    /// When it was due.
    pub(super) planned: Moment,
    /// When it began in fact.
    pub(super) started: Moment,
    pub(super) outcome: Outcome,
}

/// What is to be watched.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) targets: Vec<Target>,
    pub(super) groups: Vec<Group>,
    /// Positions in `groups`.
    pub(super) group_of: HashMap<TargetId, usize>,
}

/// A question, and where the answer goes. Nobody may wait for it any more.
#[derive(Debug)]
pub(super) enum Ask {
    /// At most [`crate::limits::PROBER_REPORTS_AT_ONCE`].
    Reports(Vec<TargetId>, SyncSender<Vec<Option<TargetReport>>>),
    Numbers(SyncSender<Numbers>),
}

/// Everything that has come and was not looked at yet.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) landed: Vec<Landed>,
    pub(super) wanted: Option<Wanted>,
    pub(super) asks: Vec<Ask>,
    /// This node's link is up.
    pub(super) link: Option<bool>,
    /// Its resolver answers.
    pub(super) resolver: Option<bool>,
    pub(super) stop: bool,
}

impl Batch {
    fn is_empty(&self) -> bool {
        let Batch { landed, wanted, asks, link, resolver, stop } = self;
        let nothing_said = link.is_none() && resolver.is_none() && wanted.is_none();
        landed.is_empty() && asks.is_empty() && nothing_said && !stop
    }
}

/// Where it waits.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Batch>,
    filled: Condvar,
}

impl Inbox {
    /// What is under the lock is whole at any moment, whoever panicked.
    fn waiting(&self) -> MutexGuard<'_, Batch> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, add: impl FnOnce(&mut Batch)) {
        let mut waiting = self.waiting();
        let was_empty = waiting.is_empty();
        add(&mut waiting);
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// False when too many wait already, or nobody is going to answer.
    pub(super) fn ask(&self, ask: Ask) -> bool {
        let mut is_taken = false;
        self.tell(|waiting| {
            is_taken = !waiting.stop && waiting.asks.len() < PROBER_ASKS_MAX;
            if is_taken {
                waiting.asks.push(ask);
            }
        });
        is_taken
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.waiting().stop
    }

    /// Waits until there is something, or it is `until`; swaps what there is with `batch`, which is emptied, and
    /// keeps its buffers. Who has been stopped stays so.
    pub(super) fn take(&self, until: Option<Instant>, batch: &mut Batch) {
        let mut waiting = self.waiting();
        while waiting.is_empty() {
            let patience = until.map(|until| until.saturating_duration_since(Instant::now()));
            waiting = match patience {
                Some(patience) if patience.is_zero() => break,
                Some(patience) => self.filled.wait_timeout(waiting, patience).unwrap_or_else(PoisonError::into_inner).0,
                None => self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
        batch.landed.clear();
        batch.asks.clear();
        std::mem::swap(&mut batch.landed, &mut waiting.landed);
        std::mem::swap(&mut batch.asks, &mut waiting.asks);
        batch.wanted = waiting.wanted.take();
        (batch.link, batch.resolver) = (waiting.link.take(), waiting.resolver.take());
        batch.stop = waiting.stop;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn of_targets_only_the_newest_list_counts() {
        let inbox = Inbox::default();
        for count in [1, 2, 3] {
            let groups = vec![];
            let group_of = (0..count).map(|at| (TargetId(at), 0)).collect();
            inbox.tell(|waiting| waiting.wanted = Some(Wanted { targets: vec![], groups, group_of }));
        }
        let mut batch = Batch::default();
        inbox.take(None, &mut batch);
        assert_eq!(batch.wanted.as_ref().map(|wanted| wanted.group_of.len()), Some(3));
        inbox.take(Some(Instant::now()), &mut batch);
        assert!(batch.is_empty());
    }

    #[test]
    fn questions_are_bounded_and_end_with_the_prober() {
        let inbox = Inbox::default();
        let (reply, _answer) = sync_channel(1);
        let ask = || Ask::Reports(vec![], reply.clone());
        assert_eq!((0..1000).filter(|_| inbox.ask(ask())).count(), PROBER_ASKS_MAX);
        inbox.take(None, &mut Batch::default());
        assert!(inbox.ask(ask()));
        inbox.tell(|waiting| waiting.stop = true);
        assert!(!inbox.ask(ask()));
        assert!(inbox.is_stopped());
    }

    #[test]
    fn outcomes_of_others_wake_who_waits() {
        let inbox = Inbox::default();
        std::thread::scope(|scope| {
            let seen = scope.spawn(|| {
                let mut batch = Batch::default();
                inbox.take(None, &mut batch);
                batch.link
            });
            inbox.tell(|waiting| waiting.link = Some(false));
            assert_eq!(seen.join().unwrap(), Some(false));
        });
    }
}
