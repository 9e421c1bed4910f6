//! The writer: events in, tables out.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use super::load::{Load, Paths, load};
use crate::diag::Diagnostic;
use crate::model::{Facts, Generation, Settings};
use crate::table::{Base, Publisher, RoutingTable, Subscription};

/// How long a publication may take to reach every reader before that is worth a warning.
const EVERYWHERE_WITHIN: Duration = Duration::from_millis(10);

/// Something that may change what is served.
#[derive(Debug)]
pub enum Event {
    /// Read all files again. The outcome goes to `reply`.
    Reload {
        /// Who waits for it.
        reply: SyncSender<Reloaded>,
    },
    /// End.
    Stop,
}

/// What came of a reload.
#[derive(Debug)]
pub struct Reloaded {
    /// The generation that serves now: a new one, or after an error the old one.
    pub generation: Generation,
    /// False: an error; nothing has changed.
    pub is_new: bool,
    /// Errors and warnings.
    pub found: Vec<Diagnostic>,
    /// How long reading and compiling took.
    pub took: Duration,
}

/// The single writer.
#[derive(Debug)]
pub struct Control {
    paths: Paths,
    settings: Settings,
    ns_required: bool,
    publisher: Publisher,
    facts: Arc<Facts>,
}

impl Control {
    /// Publishes the first table, from `base`.
    pub fn new(paths: Paths, settings: Settings, ns_required: bool, base: &Arc<Base>) -> Control {
        let facts = Arc::new(Facts::all_up());
        let first = RoutingTable::compile(base, Arc::clone(&facts), Generation(1));
        Control { paths, settings, ns_required, publisher: Publisher::new(first), facts }
    }

    /// For the readers of what it publishes.
    pub fn subscription(&self) -> Subscription {
        self.publisher.subscription()
    }

    /// The table that serves now.
    pub fn current(&self) -> Arc<RoutingTable> {
        self.publisher.current()
    }

    /// Works until [`Event::Stop`], or until nobody can send events any more.
    pub fn run(mut self, events: &Receiver<Event>) {
        while let Ok(event) = events.recv() {
            match event {
                // Who asked may have gone; the reload counts all the same.
                Event::Reload { reply } => drop(reply.send(self.reload())),
                Event::Stop => return,
            }
            self.publisher.reclaim();
        }
    }

    /// Reads all files again and publishes what they say, if there is no error among it.
    pub fn reload(&mut self) -> Reloaded {
        let began = Instant::now();
        let Load { base, has_geoip, found, .. } = load(&self.paths, &self.settings, self.ns_required);
        let is_new = base.is_some();
        self.paths.geoip_required |= is_new && has_geoip;
        if let Some(base) = base {
            let next = Generation(self.publisher.current().generation().0 + 1);
            self.publish(RoutingTable::compile(&base, Arc::clone(&self.facts), next));
        }
        let generation = self.publisher.current().generation();
        Reloaded { generation, is_new, found, took: began.elapsed() }
    }

    fn publish(&mut self, table: RoutingTable) {
        let generation = table.generation();
        self.publisher.publish(table);
        let published = Instant::now();
        while !self.publisher.is_everywhere(generation) {
            if published.elapsed() > EVERYWHERE_WITHIN {
                tracing::warn!(generation = generation.0, "some worker still answers from an older table");
                return;
            }
            std::thread::yield_now();
        }
    }
}
