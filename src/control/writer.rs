//! The writer: events in, tables out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use super::load::{Load, Paths, load};
use crate::diag::Diagnostic;
use crate::model::{Facts, Generation, Settings};
use crate::table::{Base, Publisher, RoutingTable, Subscription};

/// How long a publication may take to reach every reader before that is worth a warning.
const EVERYWHERE_WITHIN: Duration = Duration::from_millis(10);

/// While old tables are held by readers at rest, this long to the next look whether they have let go. UDP workers
/// wake once a second.
const RECLAIM_EVERY: Duration = Duration::from_secs(1);

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
        loop {
            let event = match self.patience() {
                Some(patience) => events.recv_timeout(patience),
                None => events.recv().map_err(RecvTimeoutError::from),
            };
            match event {
                // Who asked may have gone; the reload counts all the same.
                Ok(Event::Reload { reply }) => drop(reply.send(self.reload())),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Frees what can be freed; says how long to wait before the next try, if anything is left. A table may be
    /// large: it should not wait for the next event, which may be weeks away.
    fn patience(&mut self) -> Option<Duration> {
        (self.publisher.reclaim() > 0).then_some(RECLAIM_EVERY)
    }

    /// Reads all files again and publishes what they say, if there is no error among it.
    ///
    /// A panic on the way is a defect of ours; it becomes an error like one in the files, so that the old table
    /// goes on serving and the next reload may succeed.
    pub fn reload(&mut self) -> Reloaded {
        self.reload_with(load)
    }

    fn reload_with(&mut self, load: impl FnOnce(&Paths, &Settings, bool) -> Load) -> Reloaded {
        let began = Instant::now();
        let next = Generation(self.publisher.current().generation().0 + 1);
        // Only reads what is ours, so a panic leaves nothing behind half done.
        let made = catch_unwind(AssertUnwindSafe(|| {
            let Load { base, has_geoip, found, .. } = load(&self.paths, &self.settings, self.ns_required);
            let table = base.map(|base| RoutingTable::compile(&base, Arc::clone(&self.facts), next));
            (table, has_geoip, found)
        }));
        let (table, has_geoip, found) = made.unwrap_or_else(|_| (None, false, vec![internal()]));
        let is_new = table.is_some();
        if let Some(table) = table {
            self.paths.geoip_required |= has_geoip;
            self.publish(table);
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

/// What is found when the program itself is at fault.
fn internal() -> Diagnostic {
    Diagnostic::error("internal", "reading or compiling the files panicked: a defect of Meridian, not of the files")
        .help("please report it, with the message of the panic in the log and the files if you can")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A control whose base nobody else holds, and how to see that base go.
    fn control(dir: &std::path::Path) -> (Control, std::sync::Weak<Base>) {
        let paths = Paths { zones: dir.to_owned(), geoip: Vec::new(), geoip_if_present: true, geoip_required: false };
        let base = Arc::new(Base::empty());
        let control = Control::new(paths, Settings::default(), false, &base);
        (control, Arc::downgrade(&base))
    }

    #[test]
    fn an_old_base_is_freed_without_another_event_once_its_last_reader_moves_on() {
        let dir = tempfile::tempdir().unwrap();
        let (mut control, old) = control(dir.path());
        let mut reader = control.subscription().reader().unwrap();
        reader.work();
        reader.rest();
        let reloaded = control.reload();
        assert!(reloaded.is_new, "{:?}", reloaded.found);
        assert_eq!(control.patience(), Some(RECLAIM_EVERY), "a reader at rest holds the old table");
        assert!(old.upgrade().is_some());

        let (events, inbox) = mpsc::channel();
        let writer = std::thread::spawn(move || control.run(&inbox));
        reader.work();
        reader.rest();
        // Reached only when the test fails.
        let deadline = Instant::now() + Duration::from_secs(60);
        while old.strong_count() > 0 {
            assert!(Instant::now() < deadline, "the old base is still held");
            std::thread::sleep(Duration::from_millis(5));
        }
        events.send(Event::Stop).unwrap();
        writer.join().unwrap();
    }

    #[test]
    fn with_nothing_to_free_it_waits_for_events_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut control, old) = control(dir.path());
        assert_eq!(control.patience(), None);
        assert!(control.reload().is_new);
        assert_eq!((control.patience(), old.strong_count()), (None, 0), "no reader ever held it");
    }

    #[test]
    fn a_panic_in_a_reload_changes_nothing_and_the_next_one_works() {
        let dir = tempfile::tempdir().unwrap();
        let (mut control, old) = control(dir.path());
        let reloaded = control.reload_with(|_, _, _| panic!("a defect, for this test"));
        assert_eq!((reloaded.generation, reloaded.is_new), (Generation(1), false));
        assert_eq!(
            reloaded.found.iter().map(|found| (found.code, found.is_error())).collect::<Vec<_>>(),
            [("internal", true)]
        );
        assert_eq!(control.current().generation(), Generation(1));
        assert!(old.upgrade().is_some(), "the old table goes on serving");
        let reloaded = control.reload();
        assert_eq!((reloaded.generation, reloaded.is_new), (Generation(2), true));
    }
}
