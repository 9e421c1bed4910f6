//! Engines for streams: what it takes to answer one message, and a small pool of them.
//!
//! There are thousands of connections and few threads, and answering never waits. So a connection borrows
//! an [`Engine`] for the moment of answering, and there are as many as the runtime has threads: nobody
//! waits for one, and the number of readers of the table stays small and known.

use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::clock::Clock;
use super::counters::{Counters, Snapshot};
use super::random::Random;
use super::udp::note_panic;
use crate::answer::{Asked, Outcome, Transport, answer_tallying};
use crate::limits::{MESSAGE_LEN_MAX, STREAM_WRITE_S};
use crate::table::{Reader, RoutingTable, Subscription, Tallier};

/// What it takes to answer one message.
#[derive(Debug)]
pub(super) struct Engine {
    reader: Reader,
    random: Random,
    clock: Clock,
    counters: Arc<Counters>,
    out: Box<[u8]>,
}

impl Engine {
    /// The reply to `query`, at most [`MESSAGE_LEN_MAX`] octets; `None` when there is to be none.
    pub(super) fn answer(&mut self, query: &[u8], client: IpAddr, transport: Transport) -> Option<&[u8]> {
        self.answer_with(query, client, transport, answer_tallying)
    }

    fn answer_with(
        &mut self,
        query: &[u8],
        client: IpAddr,
        transport: Transport,
        answer: impl FnOnce(&[u8], &Asked, &RoutingTable, &mut Tallier<'_>, &mut [u8]) -> Outcome,
    ) -> Option<&[u8]> {
        let asked = Asked { client, transport, random: self.random.next_u64() };
        let (table, tallier) = self.reader.answering(self.clock.now(), 1);
        // The peer of a stream may be slow to take what it asked for.
        let mut tallier = tallier.sent_within(STREAM_WRITE_S as u32); // a few seconds
        tallier.turn_to_next(asked.random);
        // A panic can leave behind a half-written reply, which is not used.
        let outcome = catch_unwind(AssertUnwindSafe(|| answer(query, &asked, table, &mut tallier, &mut self.out)));
        self.reader.rest();
        self.counters.received.add(1);
        match outcome {
            Ok(Outcome::Reply(len)) => {
                self.counters.answered.add(1);
                let reply = self.out.get(..len);
                self.counters.count_reply(reply.unwrap_or_default());
                reply
            }
            Ok(Outcome::Drop) => {
                self.counters.dropped.add(1);
                None
            }
            Err(_) => {
                note_panic(&self.counters, query);
                None
            }
        }
    }

    /// What this engine counts; it alone writes there.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// A pool of engines, as many as there are threads to use them.
#[derive(Debug)]
pub(super) struct Engines {
    idle: Mutex<Vec<Engine>>,
    returned: Condvar,
    counters: Vec<Arc<Counters>>,
}

impl Engines {
    /// `count` of them; `None` when the table has no room for so many readers.
    pub(super) fn new(subscription: &Subscription, count: usize) -> Option<Engines> {
        let mut idle = Vec::with_capacity(count);
        for _ in 0..count {
            let reader = subscription.reader()?;
            idle.push(Engine {
                clock: Clock::since(reader.origin()),
                reader,
                random: Random::from_os(),
                counters: Arc::default(),
                out: vec![0; MESSAGE_LEN_MAX].into_boxed_slice(),
            });
        }
        let counters = idle.iter().map(|engine| Arc::clone(&engine.counters)).collect();
        Some(Engines { idle: Mutex::new(idle), returned: Condvar::new(), counters })
    }

    /// One of them, until it is dropped. Do not keep it across an `.await`: a thread that finds none waits.
    pub(super) fn take(&self) -> Taken<'_> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(engine) = idle.pop() {
                return Taken { engine: Some(engine), engines: self };
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets idle engines go of a table that is no longer the newest.
    pub(super) fn refresh(&self) {
        for engine in self.idle.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            engine.reader.work();
            engine.reader.rest();
        }
    }

    /// What all of them counted.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.counters.iter().map(|counters| counters.snapshot()).sum()
    }
}

/// An engine in hand.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    /// `None` only while it is being given back.
    engine: Option<Engine>,
    engines: &'a Engines,
}

impl Deref for Taken<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        self.engine.as_ref().expect("only `drop` takes it")
    }
}

impl DerefMut for Taken<'_> {
    fn deref_mut(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("only `drop` takes it")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.engines.idle.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
            self.engines.returned.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::WORKERS_MAX;
    use crate::table::Publisher;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_panic_costs_the_message_and_not_the_engine() {
        let publisher = Publisher::new(RoutingTable::empty());
        let engines = Engines::new(&publisher.subscription(), 1).unwrap();
        let mut engine = engines.take();
        assert!(engine.answer_with(b"?", CLIENT, Transport::Tcp, |_, _, _, _, _| panic!("on purpose")).is_none());
        let reply = engine.answer_with(b"?", CLIENT, Transport::Tcp, |query, _, _, _, out| {
            out[..query.len()].copy_from_slice(query);
            Outcome::Reply(query.len())
        });
        assert_eq!(reply, Some(&b"?"[..]));
        drop(engine);
        let counted = engines.snapshot();
        assert_eq!((counted.received, counted.answered, counted.panics), (2, 1, 1));
    }

    #[test]
    fn idle_engines_let_go_of_old_tables() {
        let mut publisher = Publisher::new(RoutingTable::empty());
        let engines = Engines::new(&publisher.subscription(), 2).unwrap();
        publisher.publish(RoutingTable::empty());
        assert_eq!(publisher.reclaim(), 1, "idle engines still hold the first table");
        engines.refresh();
        assert_eq!(publisher.reclaim(), 0);
    }

    #[test]
    fn more_engines_than_readers_are_refused() {
        let publisher = Publisher::new(RoutingTable::empty());
        assert!(Engines::new(&publisher.subscription(), WORKERS_MAX + 1).is_none());
        assert!(Engines::new(&publisher.subscription(), WORKERS_MAX).is_some(), "places return");
    }
}
