//! Files that are read while everything else goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use super::house::{self, House, REFERENCE, datacenter, request, switch};
use crate::control::orders::Order;
use crate::control::{Handle, Load, Loader, Reloaded, Submission};
use crate::model::{Settings, State};
use crate::table::Base;

/// Reads when it is let; says how often it has begun.
struct Gate {
    open: Sender<Option<Arc<Base>>>,
    begun: Arc<AtomicUsize>,
}

impl Gate {
    fn before(house: &mut House) -> Gate {
        let (open, wait) = channel::<Option<Arc<Base>>>();
        let (wait, begun) = (Mutex::new(wait), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&begun);
        house.control.reading.loader = Loader::new(move |_, _, _| {
            count.fetch_add(1, Ordering::SeqCst);
            // Ended: the file system hangs for ever.
            let base = wait.lock().unwrap().recv().unwrap_or_default();
            Load { base, has_geoip: false, tests: Vec::new(), found: Vec::new() }
        });
        Gate { open, begun }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    fn read(&self) {
        self.open.send(Some(house::base(REFERENCE, &Settings::default(), |_| {}))).unwrap();
    }
}

/// Asked once, and known to be in control's hands.
async fn ask(handle: &Handle) -> tokio::task::JoinHandle<Reloaded> {
    let asked = handle.clone();
    let reload = tokio::spawn(async move { asked.reload().await.unwrap() });
    tokio::task::yield_now().await;
    // What comes after it is answered after it.
    handle.report(Vec::new()).await.unwrap();
    reload
}

#[tokio::test]
async fn a_reading_that_hangs_leaves_health_orders_and_a_stop_going() {
    let mut house = House::well(REFERENCE);
    let gate = Gate::before(&mut house);
    let (handle, dc1) = (house.control.talk(), house.there("dc1"));
    let writer = std::thread::spawn(move || house.control.run());
    let reload = ask(&handle).await;
    let before = handle.table().generation();
    handle.health(dc1.iter().map(|target| (*target, State::Down)).collect());
    let ordered = handle.order(Submission::of(switch("dc2"))).await.unwrap().unwrap();
    assert!(ordered.answer.changed);
    assert_eq!(handle.table().generation().0, before.0 + 2, "health moved, then the order");
    assert!(!reload.is_finished());
    handle.stop();
    writer.join().unwrap();
    assert!(reload.await.is_err(), "nobody is left to answer");
    drop(gate);
}

#[tokio::test]
async fn who_asks_while_files_are_read_is_answered_by_exactly_one_more_reading() {
    let mut house = House::well(REFERENCE);
    let gate = Gate::before(&mut house);
    let handle = house.control.talk();
    let writer = std::thread::spawn(move || house.control.run());
    let before = handle.table().generation().0;
    let first = ask(&handle).await;
    let others = [ask(&handle).await, ask(&handle).await, ask(&handle).await];
    gate.read();
    let reloaded = first.await.unwrap();
    assert_eq!((reloaded.is_new, reloaded.generation.0), (true, before + 1), "{:?}", reloaded.found);
    gate.read();
    for other in others {
        let reloaded = other.await.unwrap();
        assert_eq!((reloaded.is_new, reloaded.generation.0), (true, before + 2));
    }
    assert_eq!(gate.begun(), 2);
    // And the next one is one of its own.
    let last = ask(&handle).await;
    gate.read();
    assert_eq!(last.await.unwrap().generation.0, before + 3);
    assert_eq!(gate.begun(), 3);
    handle.stop();
    writer.join().unwrap();
}

#[tokio::test]
async fn a_reading_that_takes_very_long_is_alarmed() {
    let mut house = House::well(REFERENCE);
    let gate = Gate::before(&mut house);
    let (reply, _answer) = tokio::sync::oneshot::channel();
    let (now, wall) = house.now();
    house.handle_at(now, wall, crate::control::Event::Reload { reply });
    let is_alarmed = |house: &House| house.status().alarms.iter().any(|alarm| alarm.contains("reading files"));
    house.at(29).up(&["dc1"]);
    assert!(!is_alarmed(&house));
    house.at(31);
    assert!(is_alarmed(&house));
    drop(gate);
}

#[test]
fn a_panic_while_files_are_taken_over_leaves_those_before_with_all_that_is_known() {
    let mut house = House::well(REFERENCE);
    house.order(switch("dc2")).unwrap();
    house.down(&["dc2"]).at(100);
    house.up(&["dc2"]);
    assert_eq!(house.of("shanghai"), "dc3", "the switch has yielded");
    let (latches, before) = (house.latches(), house.control.current());
    house.eyes_panic();
    let other = REFERENCE.replace("domain: api.", "domain: aaa.");
    let both = format!("{other}---\n{REFERENCE}");
    let found = house.try_reload(&both);
    assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), ["internal"]);
    assert_eq!(house.latches(), latches);
    house.at(200).down(&["dc3"]);
    assert!(Arc::ptr_eq(house.control.current().base(), before.base()), "the files before serve on");
    let moved = house.of("shanghai");
    assert_ne!(moved, "dc3", "and health moves them");
    house.up(&["dc3"]);
    // The next reload works, and knows what was known.
    house.reload(&both);
    assert_eq!(house.of_service("shanghai", 1), moved);
}

#[test]
fn a_panic_before_files_that_were_read_are_taken_over_costs_neither_them_nor_the_next() {
    let mut house = House::well(REFERENCE);
    let gate = Gate::before(&mut house);
    let before = house.control.current();
    let (reply, mut answer) = tokio::sync::oneshot::channel();
    house.handle(crate::control::Event::Reload { reply });
    let (reply, mut later) = tokio::sync::oneshot::channel();
    house.handle(crate::control::Event::Reload { reply });
    // Health waits for its turn, and what takes it along breaks.
    while house.control.waiting.is_none() {
        house.down(&["dc1"]).up(&["dc1"]);
    }
    gate.read();
    house.keeper_panics();
    house.hear_of_files();
    let reloaded = answer.try_recv().unwrap();
    assert!(reloaded.is_new, "{:?}", reloaded.found);
    assert!(!Arc::ptr_eq(house.control.current().base(), before.base()));
    gate.read();
    house.hear_of_files();
    assert!(later.try_recv().unwrap().is_new);
    assert_eq!(gate.begun(), 2);
}

#[test]
fn files_that_are_refused_cost_no_target_what_is_known_of_it() {
    let mut house = House::well(REFERENCE);
    house.order(request(Order::Drain { subject: datacenter("dc3") })).unwrap();
    let ids = |house: &House| house.targets().iter().map(|target| target.id).collect::<Vec<_>>();
    let before = ids(&house);
    let found = house.try_reload(&REFERENCE.replace("dc3_shanghai", "dc9_shanghai").replace("2.2.2.1", "2.2.2.9"));
    assert_eq!(found[0].code, "named-by-order", "{found:#?}");
    house.reload(REFERENCE);
    assert_eq!(ids(&house), before);
}
