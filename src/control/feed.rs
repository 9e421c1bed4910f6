//! What happens, for whoever listens: a ring that control fills and never waits for.
//!
//! Control writes, alone; any number of readers follow, each at its own pace. A reader that is slower than the ring is
//! long has lost what was overwritten, and is told how much: nothing here is kept for anybody. What must not be lost
//! is in the audit log.
//!
//! Writing is two atomic stores and a word to those who sleep; it takes no lock that a reader could hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::sync::Notify;

use crate::limits;
use crate::model::{Generation, Revision};

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    /// The verdict on an address is another.
    Health,
    /// Clients left a data centre, and stay away from it.
    Latched,
    /// They may come back.
    LatchEnded,
    /// Clients of a service and region are answered from elsewhere.
    Moved,
    /// This node may be blind, and believes no falls.
    Blind,
    /// It believes them again.
    SeesAgain,
    /// Another table serves.
    Generation,
    /// An order took effect.
    Ordered,
    /// An order was refused.
    Refused,
    /// An order was not stored, or can not end as it should.
    Failed,
}

impl Happened {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Happened::Health => "health",
            Happened::Latched => "latched",
            Happened::LatchEnded => "latch-ended",
            Happened::Moved => "moved",
            Happened::Blind => "blind",
            Happened::SeesAgain => "sees-again",
            Happened::Generation => "generation",
            Happened::Ordered => "order",
            Happened::Refused => "refused",
            Happened::Failed => "failed",
        }
    }

    /// Somebody should look at once: the sender of an order that was refused may not have looked.
    pub fn is_critical(self) -> bool {
        match self {
            Happened::Refused | Happened::Failed | Happened::Blind => true,
            Happened::Health
            | Happened::Latched
            | Happened::LatchEnded
            | Happened::Moved
            | Happened::SeesAgain
            | Happened::Generation
            | Happened::Ordered => false,
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Its number in this process, from 1, without gaps.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: Happened,
    /// The table that came of it, or that served.
    pub generation: Generation,
    /// The last order in force.
    pub revision: Revision,
    /// For a person, with names.
    pub text: String,
    /// The same for a program: an object, or null.
    pub body: Value,
}

/// What a reader gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// How much it has lost before that.
    pub lost: u64,
    /// In order, without gaps; empty: nothing is new.
    pub told: Vec<Arc<Told>>,
}

/// The last [`limits::EVENTS_KEPT`] things that happened.
#[derive(Debug)]
pub struct Feed {
    slots: Box<[ArcSwapOption<Told>]>,
    /// The number of the next one.
    next: AtomicU64,
    changed: Notify,
    started: SystemTime,
}

impl Feed {
    pub(super) fn new() -> Feed {
        let slots = (0..limits::EVENTS_KEPT).map(|_| ArcSwapOption::empty()).collect();
        Feed { slots, next: AtomicU64::new(1), changed: Notify::new(), started: SystemTime::now() }
    }

    /// Tells it; a long text is cut. Control's thread alone may; never waits.
    pub(super) fn tell(
        &self,
        what: Happened,
        at: SystemTime,
        (generation, revision): (Generation, Revision),
        mut text: String,
        body: Value,
    ) {
        if let Some((end, _)) = text.char_indices().nth(limits::EVENT_TEXT_LEN_MAX) {
            text.truncate(end);
            text.push('…');
        }
        let number = self.next.load(Ordering::Relaxed);
        self.slot(number).store(Some(Arc::new(Told { number, at, what, generation, revision, text, body })));
        self.next.store(number + 1, Ordering::Release);
        self.changed.notify_waiters();
    }

    fn slot(&self, number: u64) -> &ArcSwapOption<Told> {
        let at = number % limits::EVENTS_KEPT as u64;
        &self.slots[usize::try_from(at).expect("below the length of the ring")]
    }

    /// When this process began to count.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// The number that the next thing will have.
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// What has happened from `number` on, at most `max` of it.
    pub fn since(&self, number: u64, max: usize) -> Heard {
        let next = self.next();
        let first = number.max(next.saturating_sub(limits::EVENTS_KEPT as u64)).max(1);
        let mut heard = Heard { lost: first.saturating_sub(number.max(1)), told: Vec::new() };
        for number in first..next.min(first.saturating_add(max as u64)) {
            match self.slot(number).load_full().filter(|told| told.number == number) {
                Some(told) => heard.told.push(told),
                // Overwritten while we read. What was read before it is older, and goes with it.
                None => {
                    heard.lost += heard.told.len() as u64 + 1;
                    heard.told.clear();
                }
            }
        }
        heard
    }

    /// Returns once there is something with `number`, or above it.
    pub async fn reached(&self, number: u64) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no word is missed.
            changed.as_mut().enable();
            if self.next() > number {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(feed: &Feed, count: u64) {
        for at in 0..count {
            let numbers = (Generation(at), Revision(0));
            feed.tell(Happened::Generation, SystemTime::UNIX_EPOCH, numbers, String::new(), Value::Null);
        }
    }

    #[test]
    fn who_is_slower_than_the_ring_is_told_how_much_is_lost() {
        let feed = Feed::new();
        assert_eq!((feed.next(), feed.since(1, 10)), (1, Heard::default()));
        fill(&feed, 3);
        let heard = feed.since(2, 10);
        assert_eq!((heard.lost, heard.told.iter().map(|told| told.number).collect::<Vec<_>>()), (0, vec![2, 3]));
        let kept = limits::EVENTS_KEPT as u64;
        fill(&feed, kept + 7);
        let heard = feed.since(2, 5);
        // 1 to 10 are gone; who had seen 1 has lost nine.
        assert_eq!((heard.lost, heard.told[0].number, heard.told.len()), (9, 11, 5));
        assert_eq!(feed.since(1, usize::MAX).told.len() as u64, kept);
        assert_eq!(feed.since(feed.next(), 5), Heard::default());
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let feed = Feed::new();
        let text = "北".repeat(2 * limits::EVENT_TEXT_LEN_MAX);
        feed.tell(Happened::Refused, SystemTime::UNIX_EPOCH, (Generation(1), Revision(0)), text, Value::Null);
        let told = &feed.since(1, 1).told[0];
        assert_eq!(told.text.chars().count(), limits::EVENT_TEXT_LEN_MAX + 1);
    }

    #[test]
    fn readers_beside_the_writer_see_every_number_once_or_as_lost() {
        let feed = Arc::new(Feed::new());
        let count = 20 * limits::EVENTS_KEPT as u64;
        let writing = {
            let feed = Arc::clone(&feed);
            std::thread::spawn(move || fill(&feed, count))
        };
        let (mut at, mut seen, mut lost) = (1, 0, 0);
        while at <= count {
            let heard = feed.since(at, 64);
            if let Some(first) = heard.told.first() {
                assert_eq!(first.number, at + heard.lost);
                assert!(heard.told.windows(2).all(|pair| pair[1].number == pair[0].number + 1));
            }
            seen += heard.told.len() as u64;
            lost += heard.lost;
            at += heard.lost + heard.told.len() as u64;
        }
        writing.join().unwrap();
        assert_eq!(seen + lost, count);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_sleeps_is_woken() {
        let feed = Arc::new(Feed::new());
        let sleeping = {
            let feed = Arc::clone(&feed);
            tokio::spawn(async move { feed.reached(2).await })
        };
        tokio::task::yield_now().await;
        fill(&feed, 1);
        tokio::task::yield_now().await;
        assert!(!sleeping.is_finished());
        fill(&feed, 1);
        sleeping.await.unwrap();
    }
}
