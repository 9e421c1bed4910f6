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
use std::time::{Duration, Instant, SystemTime};

use super::entries::{Entries, KeptEntry};
use super::event::{Event, Reloaded, Reported};
use super::eyes::{Eyes, remembering};
use super::handle::{Handle, Inbox};
use super::journal::Journal;
use super::keep::{Forgetful, Keeper, KeptAddress, Restored, Snapshot};
use super::lane::Lane;
use super::load::{Load, Paths, load, too_many_targets};
use super::moves::Latches;
use super::orders::{Frozen, Holds};
use super::pace::Pace;
use super::scene::Scene;
use super::status::{AddressStatus, Blindness, Moved, NotProbed, Now, ReportStatus, Status, Watching};
use super::{reports, story};
use crate::diag::Diagnostic;
use crate::health::{Registry, Targets, TooManyTargets, Transition, Verdicts};
use crate::limits;
use crate::model::{Facts, Generation, Moment, PolicySet, ServiceIx, Settings};
use crate::table::{Base, Publisher, RoutingTable, Subscription, standings};

/// How long a publication may take to reach every reader before that is worth a warning.
const EVERYWHERE_WITHIN: Duration = Duration::from_millis(10);

/// While old tables are held by readers at rest, this long to the next look whether they have let go. UDP workers
/// wake once a second.
pub(super) const RECLAIM_EVERY: Duration = Duration::from_secs(1);

/// A panic cut an event short: so long until everything is looked at again, if nothing happens before.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How often entry conditions and latches of one service are weighed against each other in one event: a tier that
/// opens may end a latch, and what that changes may close another. Two turns settle whatever policies say; what a
/// further one would change waits for the next event.
const TURNS_MAX: usize = 4;

/// With what control begins, besides files.
#[derive(Debug)]
pub struct Seams {
    /// Who watches; `None`: nobody, and everything is up.
    pub eyes: Option<Eyes>,
    /// Who stores what should survive.
    pub keeper: Box<dyn Keeper>,
    /// Who stores orders before they take effect; `None`: nobody does, and a restart forgets them.
    pub journal: Option<Box<dyn Journal>>,
    /// What was stored.
    pub restored: Restored,
    /// The origin of every [`Moment`] in this process.
    pub origin: Instant,
}

impl std::fmt::Debug for dyn Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}

impl Default for Seams {
    fn default() -> Seams {
        Seams {
            eyes: None,
            keeper: Box::new(Forgetful),
            journal: None,
            restored: Restored::default(),
            origin: Instant::now(),
        }
    }
}

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
    paths: Paths,
    settings: Settings,
    ns_required: bool,
    pub(super) publisher: Publisher,
    pub(super) base: Arc<Base>,
    pub(super) generation: Generation,
    /// A panic cut an event short: the next one looks at everything.
    pub(super) is_behind: bool,
    /// What stands by order, and orders on their way.
    pub(super) lane: Lane,
    verdicts: Verdicts,
    pub(super) latches: Latches,
    entries: Entries,
    registry: Registry,
    not_probed: NotProbed,
    pace: Pace,
    /// What health has changed, and no table says yet; and when one may.
    waiting: Option<(Moment, Changes)>,
    pub(super) seams: Seams,
    pub(super) inbox: Inbox,
    blindness: Option<Blindness>,
    moves: Arc<VecDeque<Moved>>,
    moves_total: u64,
    kept_addresses: Vec<Arc<[KeptAddress]>>,
    address_statuses: Vec<Arc<[AddressStatus]>>,
    report_statuses: Vec<Arc<[ReportStatus]>>,
    targets: Watching,
    published_at: SystemTime,
}

/// What an event has changed so far.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Services whose verdicts, entries or latches must be looked at.
    pub(super) touched: BTreeSet<ServiceIx>,
    transitions: Vec<Transition>,
    /// Whether some fact of theirs is another already.
    pub(super) is_new: bool,
    /// An order has published a table already: it should be kept, whatever else is new.
    is_ordered: bool,
    /// Why, when it is not health.
    why: Option<String>,
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
        let generation = restored.generation;
        let lane = Lane::new(restored.book, restored.revisions_to, Now { moment: now, wall });
        // Nobody can look before the first table is published, below.
        let publisher = Publisher::new(RoutingTable::empty());
        let status = story::nothing_yet(base, seams.eyes.is_some());
        let inbox = Inbox::new(status, publisher.subscription());
        let mut control = Control {
            paths,
            settings,
            ns_required,
            publisher,
            base: Arc::clone(base),
            generation,
            is_behind: false,
            lane,
            verdicts: Verdicts::new(),
            latches: Latches::default(),
            entries: Entries::default(),
            registry: Registry::default(),
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
            targets: Watching::default(),
            published_at: wall,
        };
        control.latches.load(restored.latches, base.policy(), now, wall);
        let now = Now { moment: now, wall };
        // Loading has refused files that ask for too much, so this is not met; and if it were, what nobody watches is
        // not known, which serves.
        let targets = control.targets(base).unwrap_or_else(|error| {
            tracing::error!("nothing is watched: {error}");
            Targets::default()
        });
        control.look_at(&PolicySet::default(), &targets, &restored.entered, now);
        let known = reports::known(base, &restored.health);
        control.verdicts.remember(base.policy(), known, now.moment);
        control.lane.look_for_names(base.policy());
        control.lane.holds = Holds::load(&restored.yields, base.policy());
        if control.lane.book.is_frozen() {
            control.lane.frozen = Some(Frozen::hold(&control.live()));
        }
        control.tell_eyes(&targets);
        let all = control.all_services();
        // What was answered by the process before is not known: the worst case.
        let until = now.moment + control.ttl_of(&all).unwrap_or_default();
        control.lane.drain(until, now.moment);
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
        Now { moment: Moment(self.seams.origin.elapsed()), wall: SystemTime::now() }
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
        let wakes = [paced, verdicts, latches, entries, self.lane.next_wake(self.waiting.is_some())];
        wakes.into_iter().flatten().min()
    }

    /// Takes in what happened, at a time that is not before that of the event before.
    pub fn handle(&mut self, now: Moment, wall: SystemTime, event: Event) -> Flow {
        let now = Now { moment: now, wall };
        // What waited for this moment comes first: an event finds the world as it is.
        let mut changes = self.let_time_pass(now);
        match event {
            Event::Stop => {
                // What was held back is known, and the next process should know it.
                self.finish(changes, now);
                return Flow::Stop;
            }
            Event::Tick => self.finish_in_turn(changes, now),
            Event::Reload { reply } => {
                self.finish(changes, now);
                // Who asked may have gone; the reload counts all the same.
                drop(reply.send(self.reload_with(load, now)));
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
                let keeper = &*self.seams.keeper;
                story::tell_blindness(self.blindness.as_ref(), blindness.as_ref(), self.generation, keeper);
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
            Event::Order { submission, reply } => {
                // One generation for the order alone.
                self.finish(changes, now);
                self.order(*submission, Some(reply), now);
            }
            Event::Stored { ticket, fate } => {
                self.finish(changes, now);
                self.stored(ticket, fate, now);
            }
        }
        self.attend(now);
        Flow::Continue
    }

    fn let_time_pass(&mut self, now: Now) -> Changes {
        let mut changes = Changes::default();
        if std::mem::take(&mut self.is_behind) {
            (changes.touched, changes.is_new) = (self.all_services(), true);
        }
        changes.add(self.verdicts.tick(self.base.policy(), now.moment));
        changes.touched.extend(self.latches.due(now.moment));
        changes.touched.extend(self.entries.due(now.moment));
        self.lane.observe(now);
        if self.lane.is_drained(now.moment) {
            self.lane.drain(now.moment, now.moment);
            (changes.touched, changes.is_new) = (self.all_services(), true);
        }
        changes
    }

    /// Reads all files again and publishes what they say, if there is no error among it.
    ///
    /// A panic on the way is a defect of ours; it becomes an error like one in the files, so that the old table
    /// goes on serving and the next reload may succeed.
    pub fn reload(&mut self) -> Reloaded {
        self.reload_with(load, self.now())
    }

    pub(super) fn reload_with(&mut self, load: impl FnOnce(&Paths, &Settings, bool) -> Load, now: Now) -> Reloaded {
        let began = Instant::now();
        // Only reads what is ours, so a panic leaves nothing behind half done.
        let made = catch_unwind(AssertUnwindSafe(|| {
            let Load { base, has_geoip, found, .. } = load(&self.paths, &self.settings, self.ns_required);
            (base, has_geoip, found)
        }));
        let (base, has_geoip, mut found) = made.unwrap_or_else(|_| (None, false, vec![internal()]));
        let base = base.filter(|base| {
            let nameless = self.nameless(base);
            let is_good = nameless.is_empty();
            found.extend(nameless);
            is_good
        });
        let ready = base.and_then(|base| match self.targets(&base) {
            Ok(targets) => Some((base, targets)),
            Err(error) => {
                found.push(too_many_targets(error));
                None
            }
        });
        let is_new = ready.is_some();
        if let Some((base, targets)) = ready {
            self.paths.geoip_required |= has_geoip;
            self.take_over(base, &targets, now);
        }
        let generation = self.publisher.current().generation();
        Reloaded { generation, is_new, found, took: began.elapsed() }
    }

    /// What standing orders name, and these files do not, or mean otherwise.
    fn nameless(&self, base: &Base) -> Vec<Diagnostic> {
        let error = |sentence: String| {
            Diagnostic::error("named-by-order", sentence)
                .help("take the order back first, or let the name mean what it meant")
        };
        self.lane.would_lose(base.policy()).into_iter().map(error).collect()
    }

    /// Goes over to other files: everything that is known stays with what has the same name.
    fn take_over(&mut self, base: Arc<Base>, targets: &Targets, now: Now) {
        let old = std::mem::replace(&mut self.base, base);
        let entered = self.entries.kept(old.policy());
        self.latches.carry(old.policy(), self.base.policy(), now.moment, now.wall);
        self.lane.holds.carry(old.policy(), self.base.policy());
        self.lane.look_for_names(self.base.policy());
        self.look_at(old.policy(), targets, &entered, now);
        self.tell_eyes(targets);
        (self.kept_addresses, self.address_statuses) = (Vec::new(), Vec::new());
        // What is held is of the old files: from now on it is the world as it is, which other files move anyway.
        if self.lane.frozen.is_some() {
            self.lane.frozen = Some(Frozen::hold(&self.live()));
        }
        let changes = Changes { touched: self.all_services(), is_new: true, ..Changes::default() };
        self.finish(changes, now);
    }

    /// What is to be watched of `base`; nothing when nobody watches.
    fn targets(&mut self, base: &Base) -> Result<Targets, TooManyTargets> {
        match &self.seams.eyes {
            Some(eyes) => {
                let settings = &base.settings().health;
                Targets::of(base.policy(), settings, eyes.stand_ins.as_ref(), &mut self.registry)
            }
            None => Ok(Targets::default()),
        }
    }

    /// Goes over to what the files that serve now want watched.
    fn look_at(&mut self, old: &PolicySet, targets: &Targets, entered: &[KeptEntry], now: Now) {
        let policy = self.base.policy();
        if self.seams.eyes.is_some() {
            self.verdicts.load(old, policy, targets.of.clone(), &self.base.settings().health, now.moment);
            self.targets = Arc::new(targets.of.clone());
        }
        self.entries.load(entered, (old, policy), targets.of.keys().copied());
        self.not_probed = Arc::new(targets.refused.clone());
    }

    fn tell_eyes(&mut self, targets: &Targets) {
        if let Some(eyes) = &mut self.seams.eyes {
            (eyes.watch)(remembering(targets, self.base.policy(), &self.verdicts));
        }
    }

    pub(super) fn all_services(&self) -> BTreeSet<ServiceIx> {
        (0..self.base.policy().services.len()).map(ServiceIx::from_at).collect()
    }

    /// The same as [`Control::finish`], when health's next turn has come; until then it waits, and is taken along by
    /// whatever comes first.
    fn finish_in_turn(&mut self, changes: Changes, now: Now) {
        let has_waited = self.waiting.is_some();
        let turn = self.pace.next(now.moment);
        if turn > now.moment && (has_waited || !changes.is_empty()) {
            let (_, waiting) = self.waiting.get_or_insert_with(|| (turn, Changes::default()));
            waiting.join(changes);
            return;
        }
        let before = self.generation;
        self.finish(changes, now);
        if self.generation != before {
            self.pace.spend(now.moment);
        }
    }

    /// Weighs what was touched, publishes a table if anything is another, and tells everyone.
    pub(super) fn finish(&mut self, changes: Changes, now: Now) {
        let mut all = self.waiting.take().map(|(_, waiting)| waiting).unwrap_or_default();
        all.join(changes);
        let mut changes = all;
        changes.touched.extend(changes.transitions.iter().map(|transition| transition.key.service));
        let mut story = story::Story::default();
        let mut facts = self.facts();
        if self.seams.eyes.is_some() {
            changes.is_new |= self.weigh(&mut changes.touched, &mut facts, &mut story, now);
        }
        // While a freeze holds, health is told and moves nobody.
        changes.is_new |= !changes.transitions.is_empty() && self.lane.frozen.is_none();
        let before = self.publisher.current();
        if changes.is_new {
            self.generation = Generation(self.generation.0 + 1);
            self.published_at = now.wall;
            let facts = Arc::new(self.facts());
            match Arc::ptr_eq(before.base(), &self.base) {
                true => {
                    let table = before.recompile(facts, &changes.touched, self.generation);
                    self.note_moves(&before, &table, &changes, now);
                    self.publish(table);
                }
                // Other files: `meridian diff` compares what they serve.
                false => self.publish(RoutingTable::compile(&self.base, facts, self.generation)),
            }
        }
        drop(before);
        self.publisher.reclaim();
        story.tell(self.base.policy(), &changes.transitions, self.generation, &*self.seams.keeper);
        self.tell(&changes, now);
    }

    /// Of the next table.
    pub(super) fn facts(&self) -> Facts {
        self.lane.book.facts(self.base.policy(), &self.world(), &self.lane.drained)
    }

    /// What of that is no order, as routing sees it.
    pub(super) fn world(&self) -> Facts {
        self.lane.world(self.base.policy(), self.live())
    }

    /// The same without a freeze. When nobody watches, everything is up, and no condition is judged.
    pub(super) fn live(&self) -> Facts {
        let (latches, yields) = (self.latches.facts(), self.lane.holds.facts());
        match self.seams.eyes.is_some() {
            true => Facts {
                health: self.verdicts.health().clone(),
                latches,
                yields,
                entries: self.entries.facts(),
                ..Facts::all_up()
            },
            false => Facts { latches, yields, ..Facts::all_up() },
        }
    }

    /// Entry conditions and latches of the services touched, until they agree; true when one is another.
    fn weigh(
        &mut self,
        touched: &mut BTreeSet<ServiceIx>,
        facts: &mut Facts,
        story: &mut story::Story,
        now: Now,
    ) -> bool {
        if self.lane.frozen.is_some() {
            return false;
        }
        let base = Arc::clone(&self.base);
        let scene = Scene::new(&base);
        let of = |ix: ServiceIx| standings(scene.service(ix), ix, facts);
        let hold = scene.settings().orders.switch_hold;
        let yielded = self.lane.holds.settle(base.policy(), facts, of, hold, now.moment);
        if !yielded.is_empty() {
            facts.yields = self.lane.holds.facts();
        }
        let before = self.publisher.current();
        let since = (Some(&*before).filter(|before| Arc::ptr_eq(before.base(), &base)), now.moment, now.wall);
        let mut is_new = !yielded.is_empty();
        touched.extend(yielded);
        for &ix in &*touched {
            let standings = standings(scene.service(ix), ix, facts);
            let has_doors = self.entries.concern(ix);
            for _ in 0..TURNS_MAX {
                if has_doors && self.entries.judge(&scene, &self.verdicts, ix, &standings, now.moment) {
                    is_new = true;
                    facts.entries.extend(self.entries.of_service(ix));
                }
                let settled = self.latches.settle(&scene, ix, &standings, facts, has_doors, since);
                is_new |= !settled.latched.is_empty() || !settled.released.is_empty();
                let has_moved = has_doors && self.entries.note(scene.policy(), ix, &settled.chosen);
                story.add(scene.policy(), settled, &self.latches);
                if !has_moved {
                    break;
                }
            }
        }
        is_new
    }

    /// Notes whose clients the next table moves. While doors wait for the first round of probes there are no clients:
    /// what comes up one by one moves nobody.
    fn note_moves(&mut self, before: &RoutingTable, after: &RoutingTable, changes: &Changes, now: Now) {
        let is_waited_for = !self.inbox.status().is_first_round_complete && self.seams.eyes.is_some();
        if is_waited_for && now.moment.0 < self.base.settings().health.startup_wait {
            return;
        }
        let mut found = Vec::new();
        for &ix in &changes.touched {
            found.extend(story::moves(&self.base, before, after, ix, changes.why.as_deref(), now));
        }
        if found.is_empty() {
            return;
        }
        self.moves_total += found.len() as u64;
        story::tell_moves(&found, &*self.seams.keeper);
        let moves = Arc::make_mut(&mut self.moves);
        moves.extend(found);
        let surplus = moves.len().saturating_sub(limits::MOVES_KEPT);
        moves.drain(..surplus);
    }

    /// Publishes what an order makes.
    pub(super) fn publish_order(&mut self, table: RoutingTable, changes: &Changes, now: Now) {
        let before = self.publisher.current();
        self.generation = table.generation();
        self.published_at = now.wall;
        self.note_moves(&before, &table, changes, now);
        self.publish(table);
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

    fn lane_alarms(&self) -> Vec<String> {
        let refusal = self.seams.journal.as_ref().and_then(|journal| journal.refusal());
        let refusal = refusal.map(|why| format!("nothing can be stored, so orders are refused: {why}"));
        self.lane.alarms().into_iter().chain(refusal).collect()
    }

    /// Publishes the status, and hands what should survive to the keeper.
    fn tell(&mut self, changes: &Changes, now: Now) {
        let services = self.base.policy().services.len();
        let blocks = services.div_ceil(limits::CHUNK_SERVICES);
        let is_first = self.address_statuses.len() != blocks;
        let stale: BTreeSet<usize> = match is_first {
            true => (0..blocks).collect(),
            false => changes.touched.iter().map(|service| service.at() / limits::CHUNK_SERVICES).collect(),
        };
        if is_first {
            self.address_statuses = vec![Arc::default(); blocks];
            self.report_statuses = vec![Arc::default(); blocks];
            self.kept_addresses = vec![Arc::default(); blocks];
        }
        for block in stale {
            let first = block * limits::CHUNK_SERVICES;
            let services = ServiceIx::from_at(first)..ServiceIx::from_at(first + limits::CHUNK_SERVICES);
            self.report_statuses[block] = story::reports(&self.verdicts, services.clone(), now);
            let (statuses, kept) = story::addresses(self.base.policy(), &self.verdicts, services, now);
            self.address_statuses[block] = statuses;
            if *self.kept_addresses[block] != *kept {
                self.kept_addresses[block] = kept;
            }
        }
        let table = self.publisher.current();
        let parts = story::Parts {
            table: &table,
            base: &self.base,
            verdicts: &self.verdicts,
            latches: &self.latches,
            entries: &self.entries,
            is_watching: self.seams.eyes.is_some(),
            blindness: self.blindness.clone(),
            not_probed: Arc::clone(&self.not_probed),
            moves: (Arc::clone(&self.moves), self.moves_total),
            addresses: self.address_statuses.clone(),
            targets: Arc::clone(&self.targets),
            reports: self.report_statuses.clone(),
            published_at: self.published_at,
            book: Arc::clone(&self.lane.book),
            alarms: self.lane_alarms(),
        };
        self.inbox.publish(parts.status(now));
        if changes.is_new || changes.is_ordered {
            self.seams.keeper.keep(&Snapshot {
                generation: table.generation(),
                revision: table.revision(),
                latches: self.latches.kept(self.base.policy()).into(),
                entered: self.entries.kept(self.base.policy()).into(),
                yields: self.lane.holds.kept(self.base.policy()).into(),
                addresses: self.kept_addresses.clone(),
            });
        }
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

    fn is_empty(&self) -> bool {
        !self.is_new && self.touched.is_empty() && self.transitions.is_empty()
    }

    /// Takes in later ones.
    fn join(&mut self, Changes { touched, transitions, is_new, is_ordered, why }: Changes) {
        self.touched.extend(touched);
        self.transitions.extend(transitions);
        self.is_new |= is_new;
        self.is_ordered |= is_ordered;
        self.why = why.or(self.why.take());
    }
}

/// What is found when the program itself is at fault.
fn internal() -> Diagnostic {
    Diagnostic::error("internal", "reading or compiling the files panicked: a defect of Meridian, not of the files")
        .help("please report it, with the message of the panic in the log and the files if you can")
}
