//! Starts, reloads, storms, bounds.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::super::Change;
use super::super::simulated::*;
use crate::health::{Target, TargetId};
use crate::model::{CheckSpec, HealthSettings, Moment, State};

#[test]
fn the_first_round_is_quick_and_the_rounds_after_it_are_even() {
    let mut world = World::plain(|_, _| QUICK);
    world.set((0..5000).map(|id| target(id, Some("dc1"), &reference())).collect());
    world.run(1010);
    assert_eq!(world.changes.len(), 5000, "5 000 × 200 µs");
    world.run(60_000);
    let mut load = [0_u32; 50];
    for (_, start) in world.started.iter().filter(|(_, start)| *start >= at(50_000) && *start < at(55_000)) {
        load[start.since(at(50_000)).as_millis() as usize / 100] += 1;
    }
    assert!(load.iter().all(|load| (60..150).contains(load)), "about 105 each tenth of a second: {load:?}");
    let counters = world.engine.counters();
    assert_eq!((counters.late, counters.lateness_max), (0, Duration::ZERO));
}

#[test]
fn no_interval_is_longer_than_asked_for() {
    let mut world = World::plain(|_, _| QUICK);
    world.set((0..50).map(|id| target(id, Some("dc1"), &reference())).collect());
    world.run(100_000);
    for id in 0..50 {
        let starts: Vec<Moment> =
            world.started.iter().filter(|(of, _)| *of == TargetId(id)).map(|(_, start)| *start).collect();
        assert!(starts.len() > 19);
        assert!(starts.windows(2).all(|pair| pair[1].since(pair[0]) <= ms(5000)));
    }
}

#[test]
fn remembered_states_stand_and_are_spread_over_the_interval() {
    let mut world = World::plain(|_, _| QUICK);
    let remember = |id: u64, state| Target { remembered: Some(state), ..target(id, Some("dc1"), &reference()) };
    world.set((0..100).map(|id| remember(id, if id < 50 { State::Up } else { State::Down })).collect());
    let stale = |world: &World, id| world.engine.report(TargetId(id), world.now, UNIX_EPOCH).unwrap().is_stale;
    assert_eq!([0, 99].map(|id| world.state(id)), [State::Up, State::Down]);
    assert!(stale(&world, 0) && stale(&world, 99));
    world.run(2500);
    assert!((30..70).contains(&world.started.len()), "{}", world.started.len());
    world.run(5100);
    assert!(!stale(&world, 0), "a success confirms up");
    assert!(stale(&world, 99), "and not down");
    let is_confirmation = |change: &Change| change.target.0 < 50 && change.state == State::Up;
    assert_eq!(world.changes.len(), 50);
    assert!(world.changes.iter().all(is_confirmation), "one success confirms, and resurrects nobody");
    world.run(20_000);
    assert_eq!(world.changes.len(), 100, "three do");
}

#[test]
fn a_restart_into_a_dead_network_is_never_an_all_down() {
    let mut world = World::plain(|_, _| REFUSED);
    world.set(three().into_iter().map(|target| Target { remembered: Some(State::Up), ..target }).collect());
    world.run(60_000);
    assert!(world.changes.is_empty() && world.engine.hold().is_some());
}

#[test]
fn a_reload_keeps_the_state_of_what_stays() {
    let mut world = World::plain(|target, start| match target.0 {
        1 if start > at(20_000) => Reply::Silence,
        _ => QUICK,
    });
    world.set(three());
    world.run(28_000);
    let count = |world: &World| world.engine.report(TargetId(2), world.now, UNIX_EPOCH).unwrap().results.len();
    let before = count(&world);
    let mut targets = three();
    targets.remove(2);
    targets.push(target(4, Some("dc3"), &reference()));
    world.set(targets);
    assert_eq!((count(&world), world.engine.state(TargetId(3))), (before, None));
    world.run(29_500);
    assert_eq!(world.published(1, State::Down, 20_000).map(|took| took <= ms(9500)), Some(true), "probes stayed out");
    assert_eq!(world.state(4), State::Up);
    world.run(40_000);
    assert_eq!(world.changes.iter().filter(|change| change.target == TargetId(2)).count(), 1);
}

#[test]
fn probes_of_targets_that_are_gone_hold_their_slots_until_they_end() {
    let settings = HealthSettings { concurrency: 2, ..HealthSettings::default() };
    let mut world = World::new(&settings, None, 1, |target, _| if target.0 < 10 { Reply::Lost } else { QUICK });
    world.set(vec![target(1, None, &reference()), target(2, None, &reference())]);
    world.run(10);
    world.set(vec![target(11, None, &reference())]);
    world.run(3000);
    assert_eq!((world.engine.counters().in_flight, world.state(11)), (2, State::Unknown));
    world.run(5000);
    assert_eq!(world.state(11), State::Up);
    assert!(world.engine.counters().late > 0, "it had to wait, and that is counted");
}

#[test]
fn a_storm_is_noticed_in_time_and_costs_a_few_looks() {
    let network = |target: TargetId, start: Moment| {
        if target.0 < 2000 && start >= at(30_000) { REFUSED } else { QUICK }
    };
    let mut world = World::plain(network);
    let mut targets: Vec<Target> = (0..2000).map(|id| target(id, Some("dc1"), &reference())).collect();
    targets.extend((2000..2010).map(|id| target(id, Some("dc2"), &reference())));
    world.set(targets);
    world.run(30_000);
    let before = world.started.len();
    world.run(39_500);
    let down = world.changes.iter().filter(|change| change.state == State::Down).count();
    assert_eq!((down, world.holds.len()), (2000, 0));
    let asked = world.started[before..].iter().filter(|(id, _)| id.0 >= 2000).count();
    assert!(asked < 400, "two each tenth of a second, not one for each failure: {asked}");
    assert_eq!(world.engine.counters().late, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The world asserts the bounds at every turn.
    #[test]
    fn no_bound_is_exceeded_whatever_the_network_does(
        concurrency in 1_usize..40,
        replies in prop::collection::vec(0_u8..6, 64),
        fall in 1_u16..9,
        fast_ms in 100_u64..1000,
        seed: u64,
    ) {
        let settings = HealthSettings { concurrency, ..HealthSettings::default() };
        let mut turn = 0;
        let mut world = World::new(&settings, None, seed, move |_, _| {
            turn += 1;
            match replies[turn * 7 % 64] {
                0 | 1 => QUICK,
                2 => REFUSED,
                3 => Reply::Silence,
                4 => Reply::Blind,
                _ => Reply::Lost,
            }
        });
        let check = CheckSpec { fall, fast_interval: ms(fast_ms), ..reference() };
        let of = |ids: std::ops::Range<u64>| ids.map(|id| target(id, Some("dc1"), &check)).collect::<Vec<_>>();
        for (ids, until) in [(0..20, 30_000), (10..40, 60_000), (0..5, 90_000)] {
            world.set(of(ids));
            world.run(until);
        }
        world.set(Vec::new());
        world.run(100_000);
        prop_assert_eq!(world.engine.counters().in_flight, 0);
        prop_assert!(world.in_flight_max <= concurrency);
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule(seed: u64) {
        let run = || {
            let mut world = World::new(&HealthSettings::default(), None, seed, |target, start| {
                if target.0 == 1 && start > at(10_000) { REFUSED } else { QUICK }
            });
            world.set(three());
            world.run(40_000);
            (world.started, world.changes)
        };
        prop_assert_eq!(run(), run());
    }
}
