//! The desk and the recovery on a simulated disk: whatever fails and wherever it stops, what was acknowledged is
//! there and what was refused is not.

mod sim;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use serde_json::json;

use super::desk::{Desk, Hand, Job, Now, Task};
use super::disk::Disk;
use super::kept::{Kept, Page};
use super::open::{Begun, begin};
use super::record::Record;
use super::{Bounds, Change, Idempotency, Note, Order, Refusal, hands, history, segment, verify};
use crate::limits;
use crate::model::{Generation, Revision};
use sim::{Fault, Random, Sim};

const BOUNDS: Bounds = Bounds { segment_len: 40 << 10, reserve_len: 8 << 10, segments_kept: 1000 };

fn dir() -> &'static Path {
    Path::new("/state")
}

fn order(revision: u64) -> Order {
    Order {
        revision: Revision(revision),
        generation: Generation(revision),
        kind: "switch".into(),
        actor: "test".into(),
        reason: "r".repeat(usize::try_from(revision % 700).unwrap()),
        body: json!(null),
        changes: vec![Change { key: format!("slot{}", revision % 16), value: Some(revision.into()) }],
        idempotency: Some(Idempotency { key: "one".into(), request: "d".into(), answer: revision.into() }),
    }
}

fn note() -> Note {
    Note {
        kind: "health".into(),
        revision: Revision(0),
        generation: Generation(1),
        actor: "meridian".into(),
        reason: "n".repeat(90),
        body: json!(null),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    Power,
}

type Fates = Arc<Mutex<Vec<(u64, Result<u64, Refusal>)>>>;

/// One world, over many lives of the process.
struct Trial {
    disk: Sim,
    random: Random,
    next: u64,
    /// In force: acknowledged, or found after a crash before anybody was answered.
    in_force: BTreeSet<u64>,
    absent: BTreeSet<u64>,
    generations_to: u64,
}

/// One life.
struct Life<'a> {
    trial: &'a mut Trial,
    desk: Desk,
    now: Now,
    fates: Fates,
    /// Refused after they may have come to the disk, with the highest number of a line at that moment.
    refused_late: BTreeMap<u64, u64>,
    /// The lines of orders.
    seqs: BTreeMap<u64, u64>,
    asked: BTreeSet<u64>,
    /// Fetched by the commit hand, which hangs; whether the write itself is done.
    hanging: Option<(Task, bool)>,
}

impl Trial {
    fn new(seed: u64) -> Trial {
        Trial {
            disk: Sim::new(seed),
            random: Random(seed ^ 0x5eed),
            next: 1,
            in_force: BTreeSet::new(),
            absent: BTreeSet::new(),
            generations_to: 1,
        }
    }

    /// Opens, perhaps with further crashes on the way, until it is open and well; checks what stands.
    fn reopen(&mut self, end: End, unknown: &BTreeSet<u64>, exempt: &BTreeSet<u64>) -> Desk {
        let crashes = self.random.below(3);
        for _ in 0..crashes {
            let after = self.random.below(12);
            self.disk.plan(after, Fault::Gone);
            drop(begin(dir(), &self.disk, BOUNDS));
            match end {
                End::Kill => self.disk.restart(),
                End::Power => self.disk.cut_power(),
            }
        }
        self.disk.restart();
        let Begun { desk, lock, restored, found } = begin(dir(), &self.disk, BOUNDS).unwrap();
        assert!(lock.is_some() && desk.status(now()).refusal.is_none(), "{found:?}");
        assert!(found.iter().all(|finding| finding.severity != super::Severity::Error), "{found:?}");
        let report = verify(&self.disk, dir()).unwrap();
        assert!(report.is_whole(), "{report:?} after {end:?}");

        // Every order that the log says is in force, and no other.
        let mut logged = BTreeSet::new();
        let mut cursor = None;
        loop {
            let log = history(&self.disk, dir(), None, limits::HISTORY_ENTRIES_MAX, cursor).unwrap();
            for entry in log.entries.iter().filter(|entry| entry.in_force) {
                assert!(logged.insert(entry.revision.unwrap()), "each once");
            }
            assert!(log.next.is_none() || log.next > cursor, "pages lead on");
            cursor = log.next;
            if cursor.is_none() {
                break;
            }
        }
        for revision in &self.in_force {
            assert!(logged.contains(revision), "acknowledged order {revision} is lost after {end:?}: {found:?}");
        }
        for revision in self.absent.difference(exempt) {
            assert!(!logged.contains(revision), "refused order {revision} is in force after {end:?}");
        }
        // Unanswered ones are one or the other, and stay so.
        for revision in unknown.union(exempt) {
            self.absent.remove(revision);
            if logged.contains(revision) {
                self.in_force.insert(*revision);
            } else {
                self.absent.insert(*revision);
            }
        }
        assert_eq!(logged, self.in_force);
        // And what stands is what they come to.
        let mut standing = BTreeMap::new();
        for revision in &self.in_force {
            standing.insert(format!("slot{}", revision % 16), *revision);
        }
        let got: BTreeMap<String, u64> =
            restored.standing.iter().map(|(key, standing)| (key.clone(), standing.value.as_u64().unwrap())).collect();
        assert_eq!(got, standing);
        let last = self.in_force.last().copied().unwrap_or(0);
        assert_eq!(restored.revision, Revision(last));
        assert_eq!(restored.answered.iter().map(|answered| answered.revision.0).max().unwrap_or(0), last);
        assert!(restored.generations.start >= self.generations_to, "a generation would come again");
        self.generations_to = restored.generations.end - 1;
        desk
    }
}

fn now() -> Now {
    Now { instant: Instant::now(), wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000) }
}

impl<'a> Life<'a> {
    fn new(trial: &'a mut Trial, desk: Desk) -> Life<'a> {
        Life {
            trial,
            desk,
            now: now(),
            fates: Fates::default(),
            refused_late: BTreeMap::new(),
            seqs: BTreeMap::new(),
            asked: BTreeSet::new(),
            hanging: None,
        }
    }

    fn settle(&mut self) {
        for (reply, fate) in self.desk.take_replies() {
            reply(fate);
        }
        for (revision, fate) in std::mem::take(&mut *self.fates.lock().unwrap()) {
            assert!(self.asked.remove(&revision), "order {revision} is answered twice");
            match fate {
                Ok(_) => self.trial.in_force.insert(revision),
                Err(_) => {
                    self.refused_late.insert(revision, self.desk.seq_max());
                    self.trial.absent.insert(revision)
                }
            };
        }
    }

    fn submit(&mut self) {
        let revision = self.trial.next;
        self.trial.next += 1;
        self.asked.insert(revision);
        let fates = Arc::clone(&self.fates);
        let reply = Box::new(move |fate| fates.lock().unwrap().push((revision, fate)));
        self.desk.submit(order(revision), Duration::from_millis(3000), reply, self.now);
    }

    fn work(&mut self, hand: Hand) {
        let Some(task) = self.desk.next(hand, self.now) else { return };
        if let Job::Commit { bytes, .. } = &task.job {
            let lines = segment::pieces(bytes);
            self.seqs.extend(lines.filter_map(|placed| match &placed.line()?.record {
                Record::Order(order) => Some((placed.line()?.seq, order.revision.0)),
                _ => None,
            }));
        }
        if hand == Hand::Commit && self.trial.random.chance(25) {
            // It hangs: before the write, or between that and the sync.
            let mut written = false;
            if let (Job::Commit { file, offset, bytes }, true) = (&task.job, self.trial.random.chance(60)) {
                written = file.write_all_at(bytes, *offset).is_ok();
            }
            self.hanging = Some((task, written));
            return;
        }
        self.perform(task);
    }

    fn perform(&mut self, task: Task) {
        let done = hands::perform(task.job, &self.trial.disk, dir(), BOUNDS);
        if !self.trial.disk.is_gone() {
            self.desk.done(task.kind, done, self.now);
        }
    }

    fn come_back(&mut self) {
        let Some((task, written)) = self.hanging.take() else { return };
        match task.job {
            Job::Commit { file, .. } if written => {
                let done = file.sync();
                if !self.trial.disk.is_gone() {
                    self.desk.done(task.kind, done.map(|()| None), self.now);
                }
            }
            job => self.perform(Task { job, ..task }),
        }
    }

    /// Steps until the disk is gone, or enough; says what nobody was told, and what may be in force although it was
    /// refused: after a kill, and after a loss of power.
    fn run(mut self, steps: u64) -> (BTreeSet<u64>, BTreeSet<u64>, BTreeSet<u64>) {
        for _ in 0..steps {
            match self.trial.random.below(14) {
                0..=3 => self.submit(),
                4 => drop(self.desk.note(note(), self.now)),
                5 => {
                    let page = Page::ALL[self.trial.random.below(2) as usize];
                    self.desk.keep(Kept { page, lines: Arc::new(vec![json!({"datacenter": "dc1"})]) });
                }
                6 | 7 => {
                    // The hand that takes orders back is hardly ever kept from it.
                    if self.trial.random.chance(80) {
                        self.work(Hand::Void);
                    }
                    let passed = Duration::from_millis([1, 50, 250, 1100, 3000][self.trial.random.below(5) as usize]);
                    self.now.instant += passed;
                    self.now.wall += passed;
                    self.desk.tick(self.now);
                }
                8..=10 if self.hanging.is_some() => {
                    if self.trial.random.chance(40) {
                        self.come_back();
                    }
                }
                8..=10 => self.work(Hand::Commit),
                11 => self.work(Hand::Void),
                12 => self.work(Hand::House),
                _ => {
                    let after = self.trial.random.below(30);
                    let fault = match self.trial.random.below(10) {
                        0 => Some(Fault::Failure),
                        1 => Some(Fault::Full(self.trial.random.below(6))),
                        2 => Some(Fault::Gone),
                        _ => None,
                    };
                    if let Some(fault) = fault {
                        self.trial.disk.plan(after, fault);
                    }
                }
            }
            if self.trial.disk.is_gone() {
                break;
            }
            self.settle();
        }
        let durable = self.desk.status(self.now).head.seq;
        let owed: BTreeSet<u64> = self.desk.voids_owed().iter().map(|seq| self.seqs[seq]).collect();
        let late = self.refused_late.iter().filter(|(_, seq)| **seq >= durable).map(|(revision, _)| *revision);
        let late = late.chain(owed.iter().copied()).collect();
        (std::mem::take(&mut self.asked), owed, late)
    }
}

fn lives(seed: u64) {
    let mut trial = Trial::new(seed);
    let none = BTreeSet::new();
    let mut desk = trial.reopen(End::Kill, &none, &none);
    for _ in 0..4 {
        let steps = 20 + trial.random.below(300);
        let (unknown, owed, late) = Life::new(&mut trial, desk).run(steps);
        let end = if trial.random.chance(50) { End::Kill } else { End::Power };
        desk = match end {
            End::Kill => {
                trial.disk.restart();
                trial.reopen(end, &unknown, &owed)
            }
            End::Power => {
                trial.disk.cut_power();
                trial.reopen(end, &unknown, &late)
            }
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_and_wherever_it_ends_acknowledged_is_in_force_and_refused_is_not(seed in any::<u64>()) {
        lives(seed);
    }

    #[test]
    fn one_wrong_bit_costs_one_order_at_most_and_is_told(seed in any::<u64>(), place in any::<prop::sample::Index>()) {
        let mut trial = Trial::new(seed);
        let none = BTreeSet::new();
        let desk = trial.reopen(End::Kill, &none, &none);
        let mut life = Life::new(&mut trial, desk);
        for _ in 0..12 {
            life.submit();
            while let Some(task) = life.desk.next(Hand::Commit, life.now) {
                life.perform(task);
            }
            life.settle();
        }
        let path = segment::all(&trial.disk, dir()).unwrap().pop().unwrap().1;
        let bytes = trial.disk.bytes(&path);
        let text_len = bytes.iter().rposition(|octet| *octet != b'\n').unwrap() + 1;
        trial.disk.corrupt(&path, place.index(text_len * 8));
        let Begun { restored, found, desk, .. } = begin(dir(), &trial.disk, BOUNDS).unwrap();
        prop_assert!(!found.is_empty(), "it is told");
        prop_assert!(restored.standing.len() >= 11, "{:?}", restored.standing);
        prop_assert!(desk.status(now()).refusal.is_none());
    }
}

#[test]
fn a_wrong_bit_in_the_number_of_the_format_is_damage_and_no_newer_format() {
    let mut trial = Trial::new(1);
    let none = BTreeSet::new();
    let desk = trial.reopen(End::Kill, &none, &none);
    let mut life = Life::new(&mut trial, desk);
    for _ in 0..3 {
        life.submit();
        while let Some(task) = life.desk.next(Hand::Commit, life.now) {
            life.perform(task);
        }
        life.settle();
    }
    let path = segment::all(&trial.disk, dir()).unwrap().pop().unwrap().1;
    let bytes = trial.disk.bytes(&path);
    let field = b"\"format\":";
    let digit = bytes.windows(field.len()).position(|window| window == field).unwrap() + field.len();
    assert_eq!(bytes[digit], b'1');
    trial.disk.corrupt(&path, digit * 8 + 2);
    assert_eq!(trial.disk.bytes(&path)[digit], b'5');
    let Begun { found, .. } = begin(dir(), &trial.disk, BOUNDS).unwrap();
    assert!(!found.is_empty(), "it is told");
}

#[test]
fn ten_thousand_orders_find_room_on_a_full_disk() {
    let disk = Sim::new(1);
    let mut desk = begin(dir(), &disk, Bounds::default()).unwrap().desk;
    let now = now();
    disk.plan(0, Fault::Full(u64::MAX));
    while let Some(task) = desk.next(Hand::House, now) {
        let done = hands::perform(task.job, &disk, dir(), Bounds::default());
        desk.done(task.kind, done, now);
    }
    let accepted = Arc::new(Mutex::new(0));
    let mut notes = 0;
    let mut padded = order(699);
    padded.reason = "x".repeat(700);
    for revision in 1..=limits::JOURNAL_ORDERS_RESERVED {
        for _ in 0..4 {
            notes += u64::from(desk.note(note(), now));
        }
        let accepted = Arc::clone(&accepted);
        let order = Order { revision: Revision(revision), ..padded.clone() };
        let reply = Box::new(move |fate: Result<u64, Refusal>| *accepted.lock().unwrap() += u64::from(fate.is_ok()));
        desk.submit(order, Duration::from_secs(3), reply, now);
        if revision % 100 == 0 {
            while let Some(task) = desk.next(Hand::Commit, now) {
                let done = hands::perform(task.job, &disk, dir(), Bounds::default());
                desk.done(task.kind, done, now);
            }
            desk.take_replies().into_iter().for_each(|(reply, fate)| reply(fate));
        }
    }
    assert_eq!(*accepted.lock().unwrap(), limits::JOURNAL_ORDERS_RESERVED);
    let lost = desk.status(now).notes_lost;
    assert!(lost > 0 && lost < notes, "logs gave way: {lost} of {notes}");
    assert!(disk.list(dir()).unwrap().iter().all(|name| !name.contains("00000002")), "in the first file");
}

#[test]
fn a_cursor_leads_to_the_same_place_when_files_were_begun_and_removed_meanwhile() {
    let mut trial = Trial::new(7);
    let none = BTreeSet::new();
    let desk = trial.reopen(End::Kill, &none, &none);
    let mut life = Life::new(&mut trial, desk);
    let write = |life: &mut Life<'_>, orders: usize| {
        for _ in 0..orders {
            life.now.wall += Duration::from_secs(60);
            life.now.instant += Duration::from_secs(60);
            life.submit();
            for hand in [Hand::House, Hand::Commit, Hand::House] {
                while let Some(task) = life.desk.next(hand, life.now) {
                    life.perform(task);
                }
            }
            life.settle();
        }
    };
    let pages = |disk: &Sim, since: Option<SystemTime>, from: Option<u64>| {
        let (mut cursor, mut seqs, mut empty) = (from, Vec::new(), 0);
        loop {
            let page = history(disk, dir(), since, 7, cursor).unwrap();
            empty += usize::from(page.entries.is_empty());
            seqs.extend(page.entries.iter().map(|entry| entry.seq));
            cursor = page.next;
            if cursor.is_none() {
                return (seqs, empty);
            }
        }
    };
    write(&mut life, 400);
    let began = life.now.wall;
    let files = |disk: &Sim| segment::all(disk, dir()).unwrap();
    assert!(files(&life.trial.disk).len() > 5, "{:?}", files(&life.trial.disk));
    let (before, _) = pages(&life.trial.disk, None, None);
    assert!(before.len() > 400 && before.is_sorted(), "{}", before.len());
    let middle = before[before.len() / 2];
    let rest: Vec<u64> = before.iter().copied().filter(|seq| *seq > middle).collect();
    write(&mut life, 50);
    let oldest = files(&life.trial.disk)[0].1.clone();
    life.trial.disk.remove(&oldest).unwrap();
    let (after, _) = pages(&life.trial.disk, None, Some(middle));
    assert_eq!(after[..rest.len()], rest[..], "the same, and what is new behind it");
    assert_eq!(after.len(), rest.len() + 50);
    let (left, _) = pages(&life.trial.disk, None, Some(1));
    assert!(left.len() < before.len() + 50 && left[0] > 1, "what is removed is passed over");
    // Of what is young only young files are read, and those that a clock that was set back could have filled.
    let (young, empty) = pages(&life.trial.disk, Some(began + Duration::from_secs(1)), None);
    assert!(young.len() == 50 && empty < 2, "{} {empty}", young.len());
}
