//! The thread around control: freeing, panics, the handle.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::house::{House, REFERENCE, switch};
use crate::control::orders::OrderRefused;
use crate::control::writer::RECLAIM_EVERY;
use crate::control::{Control, Paths, Submission, Unanswered};
use crate::model::{Generation, Settings, State};
use crate::table::Base;

/// A control whose base nobody else holds, and how to see that base go.
fn control(dir: &std::path::Path) -> (Control, Weak<Base>) {
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
    assert_eq!(control.patience(control.now()), Some(RECLAIM_EVERY), "a reader at rest holds the old table");
    assert!(old.upgrade().is_some());

    let handle = control.talk();
    let writer = std::thread::spawn(move || control.run());
    reader.work();
    reader.rest();
    // Reached only when the test fails.
    let deadline = Instant::now() + Duration::from_secs(60);
    while old.strong_count() > 0 {
        assert!(Instant::now() < deadline, "the old base is still held");
        std::thread::sleep(Duration::from_millis(5));
    }
    handle.stop();
    writer.join().unwrap();
}

#[test]
fn with_nothing_to_free_it_waits_for_events_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut control, old) = control(dir.path());
    assert_eq!(control.patience(control.now()), None);
    assert!(control.reload().is_new);
    assert_eq!(control.patience(control.now()), None);
    // What was answered from it is looked at once a second, for the last time.
    control.talk().tallied().count(control.now().moment);
    assert_eq!(old.strong_count(), 0, "no reader ever held it");
}

#[test]
fn a_panic_in_a_reload_changes_nothing_and_the_next_one_works() {
    let dir = tempfile::tempdir().unwrap();
    let (mut control, old) = control(dir.path());
    let now = control.now();
    let reloaded = control.reload_with(|_, _, _| panic!("a defect, for this test"), now);
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

#[test]
fn the_handle_talks_to_the_thread_and_notices_when_it_is_no_more() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let house = House::new(REFERENCE);
    let targets = house.targets();
    let handle = house.control.talk();
    let writer = std::thread::spawn(move || house.control.run());
    // Everything comes up while nobody waits; the first round is told.
    for target in &targets {
        handle.health(vec![(target.id, State::Up)]);
    }
    runtime.block_on(handle.first_round());
    assert!(handle.status().is_first_round_complete);
    let before = handle.table().generation();
    handle.health(targets.iter().map(|target| (target.id, State::Down)).collect());
    let refused = runtime.block_on(handle.order(Submission::of(switch("dc77_x"))));
    let unknown = OrderRefused::UnknownDatacenter { name: "dc77_x".into(), nearest: None };
    assert_eq!(refused, Ok(Err(unknown.into())));
    assert_eq!(handle.table().generation().0, before.0 + 1, "health that waited came first, in one generation");
    handle.stop();
    writer.join().unwrap();
    let refused = runtime.block_on(handle.reload());
    assert_eq!(refused.map(|reloaded| reloaded.generation), Err(Unanswered::Ended));
    handle.health(vec![(targets[0].id, State::Up)]);
}
