//! The writer: events in, tables out.
//!
//! [`Control::handle`] is a state machine: what happened and when go in; a table, a [`Status`], a [`Snapshot`], the
//! engine's targets and the replies come out. [`Control::run`] drives it with real clocks. An event goes
//!
//! ```text
//! event ─▶ evidence ─▶ verdicts ─▶ of the services touched: entry conditions ⇄ latches ─▶ facts
//!                                                     │ nothing is another: no new generation
//!                                                     └▶ recompile the chunks touched ─▶ publish ─▶ status, keeper
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::entries::Entries;
use super::event::{Event, Reported};
use super::handle::{Handle, Inbox};
use super::keep::KeptAddress;
use super::lane::Lane;
use super::load::Paths;
use super::minutes::Counting;
use super::moves::Latches;
use super::orders::{Frozen, Holds};
use super::pace::Pace;
use super::reading::Reading;
use super::seams::Seams;
use super::status::{AddressStatus, Blindness, Moved, NotProbed, Now, ReportStatus, Status, Watching};
use super::{reports, story};
use crate::health::{Targets, Transition, Verdicts};
use crate::model::{Generation, Moment, PolicySet, ServiceIx, Settings};
use crate::table::{Base, Publisher, RoutingTable, Subscription};

/// While old tables are held by readers at rest, this long to the next look whether they have let go. UDP workers
/// wake once a second.
pub(super) const RECLAIM_EVERY: Duration = Duration::from_secs(1);

/// A panic cut an event short: so long until everything is looked at again, if nothing happens before.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Whether there is more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is.
    Continue,
    /// Control has been told to stop.
    Stop,
}

/// The single writer.
#[derive(Debug)]
pub struct Control {
    pub(super) paths: Paths,
    pub(super) settings: Settings,
    pub(super) ns_required: bool,
    pub(super) publisher: Publisher,
    pub(super) base: Arc<Base>,
    pub(super) generation: Generation,
    /// Events so far that may have changed what orders are judged on.
    pub(super) changes: u64,
    /// A panic cut an event short: the next one looks at everything.
    pub(super) is_behind: bool,
    /// What stands by order, and orders on their way.
    pub(super) lane: Lane,
    pub(super) verdicts: Verdicts,
    pub(super) latches: Latches,
    pub(super) entries: Entries,
    pub(super) reading: Reading,
    pub(super) not_probed: NotProbed,
    pub(super) pace: Pace,
    /// What health has changed, and no table says yet; and when one may.
    pub(super) waiting: Option<(Moment, Changes)>,
    pub(super) seams: Seams,
    pub(super) inbox: Inbox,
    pub(super) blindness: Option<Blindness>,
    pub(super) moves: Arc<VecDeque<Moved>>,
    pub(super) moves_total: u64,
    pub(super) kept_addresses: Vec<Arc<[KeptAddress]>>,
    pub(super) address_statuses: Vec<Arc<[AddressStatus]>>,
    pub(super) report_statuses: Vec<Arc<[ReportStatus]>>,
    pub(super) targets: Arc<Watching>,
    pub(super) published_at: SystemTime,
}

/// What an event has changed so far.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Services whose verdicts, entries or latches must be looked at.
    pub(super) touched: BTreeSet<ServiceIx>,
    pub(super) transitions: Vec<Transition>,
    /// Whether some fact of theirs is another already.
    pub(super) is_new: bool,
    /// An order has published a table already: it should be kept, whatever else is new.
    pub(super) is_ordered: bool,
    /// Why, when it is not health.
    pub(super) why: Option<String>,
}

impl Control {
    /// Publishes the first table, from `base`. Nobody watches: everything is up.
    pub fn new(paths: Paths, settings: Settings, ns_required: bool, base: &Arc<Base>) -> Control {
        Control::with(paths, settings, ns_required, base, Seams::default())
    }

    /// The same, with eyes and a memory; begins at the origin of the seams' clock.
    pub fn with(paths: Paths, settings: Settings, ns_required: bool, base: &Arc<Base>, seams: Seams) -> Control {
        let now = Moment(seams.origin.elapsed());
        Control::with_at(now, SystemTime::now(), (paths, settings, ns_required), base, seams)
    }

    /// The same at any time.
    pub fn with_at(
        now: Moment,
        wall: SystemTime,
        (paths, settings, ns_required): (Paths, Settings, bool),
        base: &Arc<Base>,
        mut seams: Seams,
    ) -> Control {
        let restored = std::mem::take(&mut seams.restored);
        let loader = std::mem::take(&mut seams.loader);
        let generation = restored.generation;
        let lane = Lane::new(restored.book, restored.revisions_to, Now { moment: now, wall });
        // Nobody can look before the first table is published, below.
        let publisher = Publisher::since(seams.origin, RoutingTable::empty());
        let status = story::nothing_yet(base, seams.eyes.is_some());
        let inbox = Inbox::new(status, publisher.subscription());
        let mut control = Control {
            paths,
            settings,
            ns_required,
            publisher,
            base: Arc::clone(base),
            generation,
            changes: 0,
            is_behind: false,
            lane,
            verdicts: Verdicts::new(),
            latches: Latches::default(),
            entries: Entries::default(),
            reading: Reading::new(loader),
            not_probed: NotProbed::default(),
            pace: Pace::new(),
            waiting: None,
            seams,
            inbox,
            blindness: None,
            moves: Arc::default(),
            moves_total: 0,
            kept_addresses: Vec::new(),
            address_statuses: Vec::new(),
            report_statuses: Vec::new(),
            targets: Arc::default(),
            published_at: wall,
        };
        control.latches.load(restored.latches, base.policy(), now, wall);
        let now = Now { moment: now, wall };
        // Loading has refused files that ask for too much, so this is not met; and if it were, what nobody watches is
        // not known, which serves.
        let targets = control.targets_now().unwrap_or_else(|error| {
            tracing::error!("nothing is watched: {error}");
            Targets::default()
        });
        control.look_at(&PolicySet::default(), &targets, &restored.entered, now);
        let known = reports::known(base, &restored.health);
        control.verdicts.remember(base.policy(), known, now.moment);
        control.lane.look_for_names(base.policy());
        control.lane.holds = Holds::load(&restored.yields, base.policy(), (now.moment, now.wall));
        control.end_what_was_released(restored.kept_to);
        if control.lane.book.is_frozen() {
            control.lane.frozen = Some(Arc::new(Frozen::hold(&control.live())));
        }
        control.tell_eyes(&targets);
        let all = control.all_services();
        // What was answered by the process before is not known: the worst case.
        let until = now.moment + control.ttl_of_all();
        control.lane.drain(until, now.moment);
        control.tallies_begin(now);
        control.finish(Changes { touched: all, is_new: true, ..Changes::default() }, now);
        control
    }

    /// For the readers of what it publishes.
    pub fn subscription(&self) -> Subscription {
        self.publisher.subscription()
    }

    /// How the rest of the program talks to it.
    pub fn talk(&self) -> Handle {
        self.inbox.handle()
    }

    /// The table that serves now.
    pub fn current(&self) -> Arc<RoutingTable> {
        self.publisher.current()
    }

    /// How it all stands.
    pub fn status(&self) -> Arc<Status> {
        self.inbox.status()
    }

    /// Works until [`Event::Stop`].
    pub fn run(mut self) {
        let _counting = Counting::start(self.inbox.tallied());
        loop {
            let patience = self.patience(self.now());
            for event in self.inbox.next(patience) {
                let Now { moment, wall } = self.now();
                match catch_unwind(AssertUnwindSafe(|| self.handle(moment, wall, event))) {
                    Ok(Flow::Continue) => {}
                    Ok(Flow::Stop) => return,
                    Err(_) => {
                        tracing::error!("an event panicked: a defect of Meridian, please report it; the table stays");
                        self.is_behind = true;
                    }
                }
            }
        }
    }

    pub(super) fn now(&self) -> Now {
        let (moment, wall) = match &self.seams.time {
            Some(time) => time.look(),
            None => (Moment(self.seams.origin.elapsed()), SystemTime::now()),
        };
        Now { moment, wall }
    }

    /// How late it has become since `now`: what was done meanwhile may have taken long.
    pub(super) fn later(&self, now: Now) -> Now {
        let is = self.now();
        if is.moment > now.moment { is } else { now }
    }

    /// Does what comes before an event that comes only once: a panic of that, which is a defect of ours, must not
    /// cost the event.
    fn sheltered<T>(&mut self, work: impl FnOnce(&mut Control) -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        if done.is_err() {
            tracing::error!("what came before an event panicked: a defect of Meridian, please report it");
            self.is_behind = true;
        }
        done.ok()
    }

    /// Frees what can be freed; says how long to wait for events at most: until time itself changes something, or
    /// until the next try to free. A table may be large: it should not wait for the next event, which may be weeks
    /// away.
    pub(super) fn patience(&mut self, now: Now) -> Option<Duration> {
        let reclaim = (self.publisher.reclaim() > 0).then_some(RECLAIM_EVERY);
        let wake = self.next_wake().map(|at| at.since(now.moment));
        let again = self.is_behind.then_some(AGAIN_AFTER);
        reclaim.into_iter().chain(wake).chain(again).min()
    }

    /// When time itself will change something: [`Event::Tick`] then.
    pub fn next_wake(&self) -> Option<Moment> {
        let paced = self.waiting.as_ref().map(|(at, _)| *at);
        // Latches and entries are weighed with what waits, not before.
        let weighed = |wake: Option<Moment>| wake.map(|at| paced.map_or(at, |paced| at.max(paced)));
        let (latches, entries) = (weighed(self.latches.next_wake()), weighed(self.entries.next_wake()));
        let verdicts = self.verdicts.next_wake();
        let lane = self.lane.next_wake(self.waiting.is_some());
        let wakes = [paced, verdicts, latches, entries, lane, self.reading.next_wake(self.lane.seen().moment)];
        wakes.into_iter().flatten().min()
    }

    /// Takes in what happened, at a time that is not before that of the event before.
    pub fn handle(&mut self, now: Moment, wall: SystemTime, event: Event) -> Flow {
        let now = Now { moment: now, wall };
        // What waited for this moment comes first: an event finds the world as it is.
        let mut changes = match &event {
            Event::Loaded(_) | Event::Stored { .. } => {
                self.sheltered(|control| control.let_time_pass(now)).unwrap_or_default()
            }
            Event::Reload { .. }
            | Event::Health(_)
            | Event::Blindness(_)
            | Event::Report { .. }
            | Event::Order { .. }
            | Event::AcceptClock { .. }
            | Event::Tick
            | Event::Stop => self.let_time_pass(now),
        };
        self.changes += u64::from(!changes.is_empty());
        self.changes += match &event {
            Event::Loaded(_) | Event::Health(_) | Event::Blindness(_) | Event::Report { .. } => 1,
            Event::AcceptClock { .. } => 1,
            Event::Reload { .. } | Event::Order { .. } | Event::Stored { .. } | Event::Tick | Event::Stop => 0,
        };
        match event {
            Event::Stop => {
                // What was held back is known, and the next process should know it.
                self.finish(changes, now);
                return Flow::Stop;
            }
            Event::Tick => self.finish_in_turn(changes, now),
            Event::Reload { reply } => {
                self.finish_in_turn(changes, now);
                self.ask_to_read(reply, now);
            }
            Event::Loaded(loaded) => {
                self.sheltered(|control| control.finish(changes, now));
                self.loaded(*loaded, now);
            }
            Event::Health(states) => {
                for (key, check) in states.iter().flat_map(|(target, _)| self.verdicts.users(*target)) {
                    changes.touched.insert(key.service);
                    changes.touched.extend(self.entries.asking_for(*check));
                }
                let transitions = self.verdicts.observe(self.base.policy(), &states, now.moment);
                changes.add(transitions);
                self.finish_in_turn(changes, now);
            }
            Event::Blindness(blindness) => {
                let (was, is) = (self.blindness.as_ref(), blindness.as_ref());
                story::tell_blindness(was, is, self.generation, self.ears(now));
                self.blindness = blindness;
                self.finish_in_turn(changes, now);
            }
            Event::Report { batch, reply } => {
                let (found, mut refused) = reports::resolve(&self.base, batch);
                for (_, report) in &found {
                    changes.touched.insert(report.key.service);
                    changes.touched.extend(self.entries.asking_for(report.key.check));
                }
                let mut taken: BTreeSet<usize> = found.iter().map(|(at, _)| *at).collect();
                for (at, report) in found {
                    let (transitions, surplus) = self.verdicts.report(self.base.policy(), [report], now.moment);
                    changes.add(transitions);
                    if surplus > 0 && taken.remove(&at) {
                        refused.push((at, "too many reports are kept already".into()));
                    }
                }
                self.finish(changes, now);
                let generation = self.publisher.current().generation();
                drop(reply.send(Reported { generation, taken: taken.len(), refused }));
            }
            Event::Order { submission, arrived, reply } => {
                // One generation for the order alone.
                self.finish(changes, now);
                self.order(*submission, arrived.elapsed(), Some(reply), now);
            }
            Event::AcceptClock { by, reason, reply } => {
                self.finish_in_turn(changes, now);
                drop(reply.send(self.accept_clock(&by, reason, now)));
            }
            Event::Stored { ticket, fate } => {
                // An order is judged on the newest health.
                if self.waiting.is_some() {
                    self.sheltered(|control| control.finish(Changes::default(), now));
                }
                self.stored(ticket, fate, self.later(now));
                // What time has changed may be the whole table. Nobody waits for that.
                self.finish(changes, now);
            }
        }
        self.attend(self.later(now));
        Flow::Continue
    }

    fn let_time_pass(&mut self, now: Now) -> Changes {
        let mut changes = Changes::default();
        self.lane.observe(now);
        if std::mem::take(&mut self.is_behind) {
            (changes.touched, changes.is_new) = (self.all_services(), true);
        }
        changes.add(self.verdicts.tick(self.base.policy(), now.moment));
        changes.touched.extend(self.latches.due(now.moment));
        changes.touched.extend(self.entries.due(now.moment));
        if self.lane.is_drained(now.moment) {
            self.lane.drain(now.moment, now.moment);
            (changes.touched, changes.is_new) = (self.all_services(), true);
        }
        changes
    }
}

impl Changes {
    /// Those of an order whose table is published.
    pub(super) fn of_order(touched: BTreeSet<ServiceIx>, why: String) -> Changes {
        Changes { touched, is_ordered: true, why: Some(why), ..Changes::default() }
    }

    fn add(&mut self, transitions: Vec<Transition>) {
        self.transitions.extend(transitions);
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_new && self.touched.is_empty() && self.transitions.is_empty()
    }

    /// Takes in later ones.
    pub(super) fn join(&mut self, Changes { touched, transitions, is_new, is_ordered, why }: Changes) {
        self.touched.extend(touched);
        self.transitions.extend(transitions);
        self.is_new |= is_new;
        self.is_ordered |= is_ordered;
        self.why = why.or(self.why.take());
    }
}
