//! A control whose policy is text, whose eyes are the test's, and whose clock stands still until it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use crate::config::{self, SourceFile};
use crate::control::orders::{Book, Order, Request, Rule, Sender, Subject, SwitchMode, Whom};
use crate::control::status::Now;
use crate::control::{
    ClockAccepted, Control, Event, Eyes, Fate, Journal, Keeper, Load, NotOrdered, Ordered, Paths, Report, Reported,
};
use crate::control::{Restored, Seams, Snapshot, Status, Submission, TimeSource};
use crate::diag::Diagnostic;
use crate::geo::Atlas;
use crate::health::{Target, TargetId};
use crate::model::*;
use crate::store::{self, Answered, Note, Refusal};
use crate::table::{Base, Files};

pub(super) const PLACES: &str = "networks:\n  \
    10.1.0.0/16: { country: CN, subdivision: CN-BJ, city: Beijing }\n  \
    10.2.0.0/16: { country: CN, subdivision: CN-SH, city: Shanghai }\n";

/// The reference deployment's policy, as its network team wrote it.
pub(super) const REFERENCE: &str = include_str!("../../../zones/api.meta-driven.example.com.yaml");

/// A second on the wall when tests begin.
pub(super) const WALL_S: u64 = 1_800_000_000;

/// What is edited in a policy for which the files have no words.
pub(super) type Edit = fn(&mut PolicySet);

pub(super) fn base(text: &str, settings: &Settings, edit: Edit) -> Arc<Base> {
    let mut files = vec![SourceFile::new("places.yaml", PLACES.as_bytes())];
    let texts = text.split("---\n").enumerate();
    files.extend(texts.map(|(at, text)| SourceFile::new(&format!("{at}.yaml"), text.as_bytes())));
    let (atlas, _) = Atlas::load(Vec::new(), &[]);
    let atlas = Arc::new(atlas);
    let (mut policy, _, found) = config::load_policies(&files, &*atlas, settings);
    assert!(!found.iter().any(|found| found.is_error()), "{found:#?}");
    edit(&mut policy);
    let atlas = atlas.with_networks(&policy.networks);
    let files = Files { policy, zones: Vec::new(), atlas, settings: settings.clone(), ns_required: false };
    let (base, found) = Base::build(files);
    base.unwrap_or_else(|| panic!("{found:#?}"))
}

#[derive(Debug, Default)]
struct Outside {
    targets: Vec<Target>,
    kept: Option<Snapshot>,
    /// What clocks show while an event is handled.
    now: Option<(Moment, SystemTime)>,
    /// Keeping something takes so long, once.
    keeps_for: Duration,
    /// Panic once, when something is kept, or is to be watched.
    panics: (bool, bool),
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Outside>>);

impl Keeper for Shared {
    fn keep(&self, snapshot: &Snapshot) {
        let is_time = std::mem::take(&mut self.0.lock().unwrap().panics.0);
        assert!(!is_time, "a defect, for this test");
        let mut outside = self.0.lock().unwrap();
        outside.kept = Some(snapshot.clone());
        let took = std::mem::take(&mut outside.keeps_for);
        outside.now = outside.now.map(|(moment, wall)| (moment + took, wall + took));
    }
}

/// A journal of paper: it takes orders at once, or when it is told to.
#[derive(Clone, Default)]
pub(super) struct Paper(Arc<Mutex<Sheet>>);

#[derive(Default)]
struct Sheet {
    is_slow: bool,
    refusal: Option<Refusal>,
    /// After so many looks at it, it refuses.
    breaks_after: Mutex<Option<usize>>,
    held: Vec<(store::Order, Fate)>,
    lines: Vec<store::Order>,
    notes: Vec<Note>,
}

impl Paper {
    pub(super) fn set_slow(&self, is_slow: bool) {
        self.0.lock().unwrap().is_slow = is_slow;
    }

    pub(super) fn set_refusal(&self, refusal: Option<Refusal>) {
        self.0.lock().unwrap().refusal = refusal;
    }

    pub(super) fn breaks_after_looks(&self, looks: usize) {
        *self.0.lock().unwrap().breaks_after.lock().unwrap() = Some(looks);
    }

    /// Orders that are in its hands.
    pub(super) fn held(&self) -> usize {
        self.0.lock().unwrap().held.len()
    }

    pub(super) fn notes(&self) -> Vec<Note> {
        self.0.lock().unwrap().notes.clone()
    }

    /// Kinds of the orders that it has.
    pub(super) fn kinds(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.iter().map(|line| line.kind.clone()).collect()
    }

    /// Decides about the oldest that is in its hands.
    fn decide(&self, refusal: Option<Refusal>) {
        let mut sheet = self.0.lock().unwrap();
        let (line, fate) = sheet.held.remove(0);
        let number = sheet.lines.len() as u64 + 1;
        if refusal.is_none() {
            sheet.lines.push(line);
        }
        drop(sheet);
        fate(refusal.map_or(Ok(number), Err));
    }

    fn book(&self) -> (Book, Revision) {
        let sheet = self.0.lock().unwrap();
        let mut entries: BTreeMap<&str, &serde_json::Value> = BTreeMap::new();
        for change in sheet.lines.iter().flat_map(|line| &line.changes) {
            match &change.value {
                Some(value) => drop(entries.insert(&change.key, value)),
                None => drop(entries.remove(change.key.as_str())),
            }
        }
        let revision = sheet.lines.last().map_or(Revision(0), |line| line.revision);
        let (book, unread) = Book::of_entries(entries, revision.0);
        assert_eq!(unread, Vec::<String>::new());
        (book, revision)
    }
}

impl Journal for Paper {
    fn submit(&self, order: store::Order, _within: Duration, fate: Fate) {
        let mut sheet = self.0.lock().unwrap();
        sheet.held.push((order, fate));
        let (is_slow, refusal) = (sheet.is_slow, sheet.refusal());
        drop(sheet);
        if !is_slow {
            self.decide(refusal);
        }
    }

    fn note(&self, note: Note) {
        self.0.lock().unwrap().notes.push(note);
    }

    fn answered(&self, key: &str) -> Option<Answered> {
        let sheet = self.0.lock().unwrap();
        let lines = sheet.lines.iter().rev();
        let mut known = lines.filter_map(|line| Some((line.revision, line.idempotency.clone()?)));
        let (revision, idempotency) = known.find(|(_, idempotency)| idempotency.key == key)?;
        Some(Answered { idempotency, revision, at: SystemTime::UNIX_EPOCH })
    }

    fn refusal(&self) -> Option<Refusal> {
        self.0.lock().unwrap().refusal()
    }
}

impl Sheet {
    fn refusal(&self) -> Option<Refusal> {
        let mut breaks_after = self.breaks_after.lock().unwrap();
        match &mut *breaks_after {
            Some(0) => Some(Refusal::Full),
            Some(looks) => {
                *looks -= 1;
                None
            }
            None => self.refusal.clone(),
        }
    }
}

pub(super) fn request(order: Order) -> Request {
    let (identity, actor) = ("ann".to_owned(), "ann".to_owned());
    let sender = Sender { identity, actor, role: "operator".into(), is_robot: false };
    let (reason, force) = ("a test".to_owned(), BTreeSet::new());
    Request { order, sender, reason, expires_in: None, force, expected_revision: None }
}

pub(super) fn switch(to: &str) -> Request {
    request(Order::Switch { to: to.into(), mode: SwitchMode::Prefer, whom: Whom::all(), from: None })
}

/// For an hour, whatever the rules say.
pub(super) fn pin(to: &str) -> Request {
    let mut pin = request(Order::Switch { to: to.into(), mode: SwitchMode::Pin, whom: Whom::all(), from: None });
    pin.expires_in = Some(Duration::from_secs(24 * 3600));
    pin.force = Rule::ALL.into();
    pin
}

pub(super) fn clear() -> Request {
    request(Order::ClearSwitch { whom: Whom::all() })
}

pub(super) fn datacenter(name: &str) -> Subject {
    Subject::Datacenters { names: vec![name.into()], services: None }
}

/// What comes of an order, once it comes.
pub(super) type Answering = oneshot::Receiver<Result<Ordered, NotOrdered>>;

pub(super) struct House {
    pub(super) control: Control,
    pub(super) paper: Paper,
    pub(super) now_s: u64,
    /// What the wall clock is ahead of the other one.
    pub(super) wall_s: u64,
    outside: Shared,
    pub(super) text: String,
    edit: Edit,
    settings: Settings,
}

impl House {
    pub(super) fn new(text: &str) -> House {
        House::with(text, |_| {}, Settings::default())
    }

    pub(super) fn with(text: &str, edit: Edit, settings: Settings) -> House {
        House::restored(text, edit, settings, Restored::default(), WALL_S, Paper::default())
    }

    fn restored(text: &str, edit: Edit, settings: Settings, restored: Restored, wall_s: u64, paper: Paper) -> House {
        let outside = Shared::default();
        let told = outside.clone();
        let eyes = Eyes::new(move |targets| {
            let is_time = std::mem::take(&mut told.0.lock().unwrap().panics.1);
            assert!(!is_time, "a defect, for this test");
            told.0.lock().unwrap().targets = targets;
        });
        let keeper = Box::new(outside.clone());
        let journal = Some(Box::new(paper.clone()) as Box<dyn Journal>);
        let (clock, origin) = (outside.clone(), Instant::now());
        let time = Some(TimeSource::new(move || {
            let now = clock.0.lock().unwrap().now;
            now.unwrap_or_else(|| (Moment(origin.elapsed()), SystemTime::now()))
        }));
        let seams = Seams { eyes: Some(eyes), keeper, journal, restored, origin, time, ..Seams::default() };
        let base = base(text, &settings, edit);
        let paths = Paths { zones: "/nowhere".into(), geoip: vec![], geoip_if_present: true, geoip_required: false };
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(wall_s);
        let control = Control::with_at(Moment::default(), wall, (paths, settings.clone(), false), &base, seams);
        House { control, paper, now_s: 0, wall_s, outside, text: text.to_owned(), edit, settings }
    }

    /// The keeper panics the next time that it is told something.
    pub(super) fn keeper_panics(&self) {
        self.outside.0.lock().unwrap().panics.0 = true;
    }

    /// Whoever watches panics the next time that it is told what.
    pub(super) fn eyes_panic(&self) {
        self.outside.0.lock().unwrap().panics.1 = true;
    }

    /// The keeper takes so long the next time that it is told something.
    pub(super) fn keeper_takes(&self, took: Duration) {
        self.outside.0.lock().unwrap().keeps_for = took;
    }

    /// Everything is up, seen by everybody.
    pub(super) fn well(text: &str) -> House {
        House::new(text).all_up()
    }

    pub(super) fn all_up(mut self) -> House {
        let all: Vec<(TargetId, State)> = self.targets().iter().map(|target| (target.id, State::Up)).collect();
        self.health(all);
        self
    }

    /// Ends the process and begins another one `later_s` seconds later by the wall clock, which may be negative.
    pub(super) fn restart(self, later_s: i64) -> House {
        let kept = self.kept();
        self.restart_with(kept, later_s)
    }

    /// The same when latches and the like were stored as they were then.
    pub(super) fn restart_with(self, kept: Snapshot, later_s: i64) -> House {
        let (book, revisions_to) = self.paper.book();
        let restored = Restored {
            generation: kept.generation,
            book,
            revisions_to,
            kept_to: kept.revision,
            yields: kept.yields.to_vec(),
            latches: kept.latches.to_vec(),
            entered: kept.entered.to_vec(),
            health: kept.addresses.iter().flat_map(|block| block.to_vec()).collect(),
        };
        let wall_s = (self.wall_s + self.now_s).strict_add_signed(later_s);
        House::restored(&self.text, self.edit, self.settings, restored, wall_s, self.paper)
    }

    pub(super) fn kept(&self) -> Snapshot {
        self.outside.0.lock().unwrap().kept.clone().expect("something was kept")
    }

    pub(super) fn targets(&self) -> Vec<Target> {
        self.outside.0.lock().unwrap().targets.clone()
    }

    pub(super) fn now(&self) -> (Moment, SystemTime) {
        let moment = Duration::from_secs(self.now_s);
        (Moment(moment), SystemTime::UNIX_EPOCH + Duration::from_secs(self.wall_s) + moment)
    }

    /// Says how late it is afterwards.
    pub(super) fn handle_at(&mut self, now: Moment, wall: SystemTime, event: Event) -> Moment {
        self.outside.0.lock().unwrap().now = Some((now, wall));
        self.control.handle(now, wall, event);
        self.outside.0.lock().unwrap().now.take().map_or(now, |(later, _)| later)
    }

    pub(super) fn handle(&mut self, event: Event) {
        let (now, wall) = self.now();
        let later = self.handle_at(now, wall, event);
        self.now_s = self.now_s.max(later.0.as_secs());
        // What the journal said meanwhile.
        for event in self.control.inbox.folded() {
            self.handle(event);
        }
    }

    /// The journal decides about the oldest order in its hands.
    pub(super) fn decide(&mut self, refusal: Option<Refusal>) {
        self.paper.decide(refusal);
        for event in self.control.inbox.folded() {
            self.handle(event);
        }
    }

    /// Control hears of the files that are being read.
    pub(super) fn hear_of_files(&mut self) {
        let events = loop {
            let events = self.control.inbox.folded();
            if !events.is_empty() {
                break events;
            }
            std::thread::yield_now();
        };
        events.into_iter().for_each(|event| self.handle(event));
    }

    pub(super) fn health(&mut self, states: Vec<(TargetId, State)>) {
        self.handle(Event::Health(states));
    }

    /// Lets time pass until then, waking control whenever it wants to.
    pub(super) fn at(&mut self, then_s: u64) -> &mut House {
        while let Some(wake) = self.control.next_wake().filter(|wake| wake.0 <= Duration::from_secs(then_s)) {
            self.now_s = self.now_s.max(wake.0.as_millis().div_ceil(1000) as u64);
            self.handle(Event::Tick);
            assert!(self.control.next_wake() != Some(wake), "it wakes for nothing at {wake:?}");
        }
        self.now_s = then_s;
        self
    }

    /// Targets in the data centre whose id begins so, by checks of the endpoints' own.
    pub(super) fn there(&self, datacenter: &str) -> Vec<TargetId> {
        let targets = self.targets();
        let is_there = |target: &&Target| {
            target.datacenter.as_ref().is_some_and(|id| id.as_str().starts_with(datacenter))
                && target.spec.check.host.is_none()
        };
        targets.iter().filter(is_there).map(|target| target.id).collect()
    }

    pub(super) fn see(&mut self, datacenters: &[&str], state: State) -> &mut House {
        let targets: Vec<TargetId> = datacenters.iter().flat_map(|datacenter| self.there(datacenter)).collect();
        assert!(!targets.is_empty());
        self.health(targets.into_iter().map(|target| (target, state)).collect());
        self
    }

    pub(super) fn down(&mut self, datacenters: &[&str]) -> &mut House {
        self.see(datacenters, State::Down)
    }

    pub(super) fn up(&mut self, datacenters: &[&str]) -> &mut House {
        self.see(datacenters, State::Up)
    }

    /// States of the targets of one check.
    pub(super) fn see_check(&mut self, check: &str, datacenter: &str, state: State) -> &mut House {
        let spec = {
            let table = self.control.current();
            let checks = &table.base().policy().checks;
            Arc::clone(&checks.iter().find(|one| one.id.as_str() == check).unwrap().spec)
        };
        let targets = self.targets();
        let meant = targets.iter().filter(|target| {
            let is_there = target.datacenter.as_ref().is_some_and(|id| id.as_str().starts_with(datacenter));
            *target.spec.check == *spec && (is_there || datacenter.is_empty())
        });
        let states: Vec<(TargetId, State)> = meant.map(|target| (target.id, state)).collect();
        assert!(!states.is_empty());
        self.health(states);
        self
    }

    pub(super) fn submit(&mut self, submission: Submission) -> Answering {
        self.submit_aged(submission, Duration::ZERO)
    }

    /// The same of an order that came so long ago.
    pub(super) fn submit_aged(&mut self, submission: Submission, age: Duration) -> Answering {
        let (reply, answer) = oneshot::channel();
        let arrived = Instant::now() - age;
        self.handle(Event::Order { submission: Box::new(submission), arrived, reply });
        answer
    }

    pub(super) fn accept_clock(&mut self) -> ClockAccepted {
        let (reply, mut answer) = oneshot::channel();
        let by = switch("dc1").sender;
        self.handle(Event::AcceptClock { by, reason: "NTP was broken".into(), reply });
        answer.try_recv().expect("answered at once")
    }

    pub(super) fn order(&mut self, request: Request) -> Result<Ordered, NotOrdered> {
        self.submit(Submission::of(request)).try_recv().expect("the journal does not keep anybody waiting")
    }

    pub(super) fn failback(&mut self, datacenter: &str) -> Result<Ordered, NotOrdered> {
        self.order(request(Order::Failback { datacenters: vec![datacenter.into()], whom: Whom::all() }))
    }

    pub(super) fn report(&mut self, batch: Vec<Report>) -> Reported {
        let (reply, mut answer) = oneshot::channel();
        self.handle(Event::Report { batch, reply });
        answer.try_recv().expect("reports are answered at once")
    }

    /// Reads other files.
    pub(super) fn reload(&mut self, text: &str) {
        let found = self.try_reload(text);
        assert!(found.is_empty(), "{found:#?}");
    }

    /// The same; errors are returned.
    pub(super) fn try_reload(&mut self, text: &str) -> Vec<Diagnostic> {
        let base = base(text, &self.settings, self.edit);
        let (moment, wall) = self.now();
        let load =
            |_: &Paths, _: &Settings, _| Load { base: Some(base), has_geoip: false, tests: vec![], found: vec![] };
        let reloaded = self.control.reload_with(load, Now { moment, wall });
        if reloaded.is_new {
            self.text = text.to_owned();
        }
        assert_eq!(reloaded.is_new, reloaded.found.is_empty());
        reloaded.found
    }

    pub(super) fn status(&self) -> Arc<Status> {
        self.control.status()
    }

    pub(super) fn generation(&self) -> u64 {
        self.control.current().generation().0
    }

    /// The data centres that can answer a client there, by the leading words of their ids; `-`: nobody.
    pub(super) fn of(&self, place: &str) -> String {
        self.of_service(place, 0)
    }

    pub(super) fn of_service(&self, place: &str, service: u32) -> String {
        let client: IpAddr = match place {
            "beijing" => [10, 1, 0, 1],
            "shanghai" => [10, 2, 0, 1],
            "elsewhere" => [10, 9, 0, 1],
            other => panic!("no place {other}"),
        }
        .into();
        let table = self.control.current();
        let service = ServiceIx(service);
        let outcome = table.service(service).locate(client).outcome;
        let policy = table.base().policy();
        let names = table.datacenters_of(service, outcome).iter();
        let names: Vec<&str> = names.map(|datacenter| policy.datacenters[datacenter.at()].short_name()).collect();
        if names.is_empty() { "-".into() } else { names.join("+") }
    }

    /// `dc1 beijing` for each latch of the first service, with ` waiting` when it waits for a person.
    pub(super) fn latches(&self) -> BTreeSet<String> {
        let status = self.status();
        let text = |latch: &crate::control::LatchStatus| {
            let region = latch.region.as_ref().map_or("elsewhere", |region| region.as_str());
            let waiting = if latch.is_waiting { " waiting" } else { "" };
            format!("{} {region}{waiting}", leading_words(latch.datacenter.as_str()).next().unwrap())
        };
        status.latches.iter().map(text).collect()
    }

    #[track_caller]
    pub(super) fn expect_latches<const N: usize>(&self, expected: [&str; N]) {
        assert_eq!(self.latches(), expected.map(str::to_owned).into());
    }
}
