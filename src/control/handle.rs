//! How the rest of the program talks to control.
//!
//! Orders, reports and reloads wait in a bounded inbox and are answered; when it is full they are refused at once.
//! Health, what became of orders in the journal, and files that were read wait beside it, so that they are never
//! refused: the states that have come since control last looked are one event.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};

use super::event::{ClockAccepted, Event, NotOrdered, Ordered, Reloaded, Report, Reported, Submission};
use super::feed::Feed;
use super::orders::Sender;
use super::reading::Loaded;
use super::status::{Blindness, Status};
use super::tallied::Tallied;
use crate::health::TargetId;
use crate::limits;
use crate::model::State;
use crate::store::Refusal;
use crate::table::{RoutingTable, Subscription};

/// Why control did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Too many wait already.
    #[error("control has too much to do; try again")]
    Busy,
    /// Its thread has ended.
    #[error("control has ended")]
    Ended,
}

/// Changes of health, and fates of orders, that control has not looked at.
#[derive(Debug, Default)]
struct Waiting {
    states: Vec<(TargetId, State)>,
    blindness: Option<Option<Blindness>>,
    /// Of orders that the journal had: as many as control gave it, which is one at a time.
    fates: Vec<(u64, Result<(), Refusal>)>,
    /// Files that were read: one reading is under way at a time.
    loaded: Option<Box<Loaded>>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.states.is_empty() && self.blindness.is_none() && self.fates.is_empty() && self.loaded.is_none()
    }

    /// Without bound only if control stood still: then the newest state of each target is all that is kept.
    fn add(&mut self, states: Vec<(TargetId, State)>) {
        self.states.extend(states);
        if self.states.len() > 2 * limits::TARGETS_MAX {
            let newest: BTreeMap<TargetId, State> = self.states.drain(..).collect();
            self.states.extend(newest);
        }
    }
}

/// Talks to control, from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    events: SyncSender<Option<Event>>,
    waiting: Arc<Mutex<Waiting>>,
    status: Arc<ArcSwap<Status>>,
    first_round: watch::Receiver<bool>,
    subscription: Subscription,
    feed: Arc<Feed>,
    tallied: Arc<Tallied>,
}

impl Handle {
    /// The table that serves now.
    pub fn table(&self) -> Arc<RoutingTable> {
        self.subscription.current()
    }

    /// For the readers of what control publishes.
    pub fn subscription(&self) -> Subscription {
        self.subscription.clone()
    }

    /// What was answered.
    pub fn tallied(&self) -> &Arc<Tallied> {
        &self.tallied
    }

    /// How it all stands.
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// What happens.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Returns once every target has been heard of, or control has ended. Whoever opens doors waits for it, but no
    /// longer than `startup_wait`.
    pub async fn first_round(&self) {
        let mut first_round = self.first_round.clone();
        // An error: control has ended.
        drop(first_round.wait_for(|is_complete| *is_complete).await);
    }

    /// States of targets. Never waits, and is never refused.
    pub fn health(&self, states: Vec<(TargetId, State)>) {
        self.wake_with(|waiting| waiting.add(states));
    }

    /// The engine believes no falls for a while, or does again. Never waits, and is never refused.
    pub fn blindness(&self, blindness: Option<Blindness>) {
        self.wake_with(|waiting| waiting.blindness = Some(blindness));
    }

    fn wake_with(&self, add: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = waiting.is_empty();
        add(&mut waiting);
        if was_empty {
            // Full: control is awake, and looks here before it waits again. Ended: nobody looks any more.
            drop(self.events.try_send(None));
        }
    }

    /// Reads all files again.
    pub async fn reload(&self) -> Result<Reloaded, Unanswered> {
        self.ask(|reply| Event::Reload { reply }).await
    }

    /// Tells what others see.
    pub async fn report(&self, batch: Vec<Report>) -> Result<Reported, Unanswered> {
        self.ask(|reply| Event::Report { batch, reply }).await
    }

    /// Orders. The answer comes once the order is durable and in force, or refused.
    pub async fn order(&self, submission: Submission) -> Result<Result<Ordered, NotOrdered>, Unanswered> {
        self.order_since(submission, Instant::now()).await
    }

    /// The same of an order that has been here for a while: it is answered in time reckoned from then, and is in force
    /// only if that can be answered.
    pub async fn order_since(
        &self,
        submission: Submission,
        arrived: Instant,
    ) -> Result<Result<Ordered, NotOrdered>, Unanswered> {
        self.ask(|reply| Event::Order { submission: Box::new(submission), arrived, reply }).await
    }

    /// Says that the wall clock is right: what waited for that ends by it.
    pub async fn accept_clock(&self, by: Sender, reason: String) -> Result<ClockAccepted, Unanswered> {
        self.ask(|reply| Event::AcceptClock { by, reason, reply }).await
    }

    /// What became of an order in the journal. Never waits, and is never refused.
    pub(super) fn stored(&self, ticket: u64, fate: Result<(), Refusal>) {
        self.wake_with(|waiting| waiting.fates.push((ticket, fate)));
    }

    /// Files have been read. Never waits, and is never refused.
    pub(super) fn loaded(&self, loaded: Loaded) {
        self.wake_with(|waiting| waiting.loaded = Some(Box::new(loaded)));
    }

    /// Ends control, after what waits already.
    pub fn stop(&self) {
        // A full inbox is soon empty; an error means that it has ended.
        drop(self.events.send(Some(Event::Stop)));
    }

    async fn ask<T>(&self, event: impl FnOnce(oneshot::Sender<T>) -> Event) -> Result<T, Unanswered> {
        let (reply, answer) = oneshot::channel();
        match self.events.try_send(Some(event(reply))) {
            Ok(()) => answer.await.map_err(|_| Unanswered::Ended),
            Err(TrySendError::Full(_)) => Err(Unanswered::Busy),
            Err(TrySendError::Disconnected(_)) => Err(Unanswered::Ended),
        }
    }
}

/// Control's end.
#[derive(Debug)]
pub(super) struct Inbox {
    events: Receiver<Option<Event>>,
    waiting: Arc<Mutex<Waiting>>,
    status: Arc<ArcSwap<Status>>,
    first_round: watch::Sender<bool>,
    handle: Handle,
}

impl Inbox {
    pub(super) fn new(status: Status, subscription: Subscription) -> Inbox {
        let (sender, events) = sync_channel(limits::CONTROL_INBOX_LEN);
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let (first_round, is_complete) = watch::channel(status.is_first_round_complete);
        let status = Arc::new(ArcSwap::from_pointee(status));
        let handle = Handle {
            events: sender,
            waiting: Arc::clone(&waiting),
            status: Arc::clone(&status),
            first_round: is_complete,
            tallied: Arc::new(Tallied::new(subscription.clone())),
            subscription,
            feed: Arc::new(Feed::new()),
        };
        Inbox { events, waiting, status, first_round, handle }
    }

    pub(super) fn tallied(&self) -> &Arc<Tallied> {
        &self.handle.tallied
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.handle.feed
    }

    pub(super) fn publish(&self, status: Status) {
        let is_complete = status.is_first_round_complete;
        self.status.store(Arc::new(status));
        self.first_round.send_if_modified(|was| !std::mem::replace(was, *was || is_complete) && is_complete);
    }

    pub(super) fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// The next events: health first, and all of it at once. [`Event::Tick`] when `patience` is over first.
    pub(super) fn next(&self, patience: Option<Duration>) -> Vec<Event> {
        let folded = self.folded();
        let event = match (folded.is_empty(), patience) {
            (false, _) => self.events.try_recv().map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            }),
            (true, Some(patience)) => self.events.recv_timeout(patience),
            (true, None) => self.events.recv().map_err(RecvTimeoutError::from),
        };
        let mut events = folded;
        match event {
            // What came meanwhile is older than the event that woke us, or came with it.
            Ok(None) => events.extend(self.folded()),
            Ok(Some(event)) => {
                events.extend(self.folded());
                events.push(event);
            }
            Err(RecvTimeoutError::Timeout) if events.is_empty() => events.push(Event::Tick),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => events.push(Event::Stop),
        }
        events
    }

    pub(super) fn folded(&self) -> Vec<Event> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { states, blindness, fates, loaded } = std::mem::take(&mut *waiting);
        let states = Some(states).filter(|states| !states.is_empty()).map(Event::Health);
        let fates = fates.into_iter().map(|(ticket, fate)| Event::Stored { ticket, fate });
        let loaded = loaded.map(Event::Loaded);
        // An order is judged again on the newest health.
        blindness.map(Event::Blindness).into_iter().chain(states).chain(fates).chain(loaded).collect()
    }
}
