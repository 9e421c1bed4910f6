//! How long it takes from a failure to the published change.

use super::super::TargetId;
use super::super::simulated::*;
use crate::model::{CheckSpec, HealthSettings, Moment, State};

/// What a sick target does with probes that start, or are unanswered, after it fell sick.
const WAYS: [(&str, Reply); 5] = [
    ("refuses", REFUSED),
    ("is a black hole", Reply::Silence),
    ("answers 500 at once", Reply::Bad { after_ms: 10 }),
    ("accepts and says nothing", Reply::Silence),
    ("gives a wrong body", Reply::Bad { after_ms: 130 }),
];

/// Fails at `fails_ms` for good; answers take `usual_ms`. The time from failure to the published change.
fn noticed(way: Reply, fails_ms: u64, usual_ms: u64, seed: u64) -> u64 {
    let network = move |target: TargetId, start: Moment| {
        if target.0 == 1 && start + ms(usual_ms) > at(fails_ms) { way } else { Reply::Good { after_ms: usual_ms } }
    };
    let mut world = World::new(&Default::default(), None, seed, network);
    world.set(three());
    world.run(fails_ms);
    assert_eq!(world.state(1), State::Up);
    world.run(fails_ms + 12_000);
    let noticed = world.published(1, State::Down, fails_ms).expect("it is noticed");
    assert_eq!(world.changes.iter().filter(|change| change.at >= at(fails_ms)).count(), 1, "and nothing else");
    assert_eq!(world.holds, []);
    noticed.as_millis() as u64
}

#[test]
fn a_failure_is_noticed_within_nine_and_a_half_seconds_in_every_phase() {
    for (words, way) in WAYS {
        // Answers of 130 ms put the slow mark at its latest, those of 10 ms at its earliest.
        for (usual_ms, slow_mark_ms) in [(130, 500), (10, 100)] {
            let times: Vec<u64> = (0..1000).map(|n| noticed(way, 30_000 + 10 * (n % 500), usual_ms, n / 500)).collect();
            let (min, max) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
            let took_ms = match way {
                Reply::Bad { after_ms } => after_ms,
                _ => 3000,
            };
            let formula = 5000 + slow_mark_ms + 1000 + took_ms;
            println!("{words}, usual {usual_ms} ms: {min} to {max} ms, formula {formula} ms");
            assert!(max <= formula.min(9500), "{words}: {max} ms");
            // Jitter takes up to 250 ms off, and a probe that was out when the failure came fails too.
            assert!(max + 260 + usual_ms >= formula, "{words}: the worst is {max} ms, the formula {formula} ms");
        }
    }
}

#[test]
fn a_threshold_of_one_or_two_is_noticed_by_its_own_formula() {
    for fall in [1_u16, 2, 5] {
        for phase in 0..100 {
            let fails_ms = 30_000 + 50 * phase;
            let check = CheckSpec { fall, ..reference() };
            let network = move |target: TargetId, start: Moment| {
                if target.0 == 1 && start >= at(fails_ms) { Reply::Silence } else { QUICK }
            };
            let mut world = World::new(&HealthSettings::default(), None, phase, network);
            world.set([(1, "dc1"), (2, "dc2")].map(|(id, dc)| target(id, Some(dc), &check)).into());
            world.run(fails_ms + 15_000);
            let noticed = world.published(1, State::Down, fails_ms).expect("it is noticed");
            assert!(noticed <= check.worst_case(), "{fall}: {noticed:?}");
            assert_eq!(world.changes.len(), 3, "both up, one down");
        }
    }
}

#[test]
fn recovery_takes_rise_successes_at_the_normal_interval() {
    for phase in 0..50 {
        let recovers_ms = 60_000 + 100 * phase;
        let network = move |target: TargetId, start: Moment| {
            if target.0 == 1 && (at(20_000)..at(recovers_ms)).contains(&start) { REFUSED } else { QUICK }
        };
        let mut world = World::plain(network);
        world.set(three());
        world.run(recovers_ms);
        assert_eq!(world.state(1), State::Down);
        world.run(recovers_ms + 20_000);
        let took = world.published(1, State::Up, recovers_ms).unwrap();
        assert!((ms(9500)..=ms(15_010)).contains(&took), "three in a row, five seconds apart: {took:?}");
    }
}

#[test]
fn slow_answers_inside_the_timeout_take_nothing_down() {
    let mut world = World::plain(|_, start| if start < at(20_000) { QUICK } else { Reply::Good { after_ms: 2900 } });
    world.set(three());
    world.run(300_000);
    assert_eq!(world.changes.len(), 3, "{:?}", world.changes);
    assert!(world.holds.is_empty());
}

#[test]
fn a_blip_of_a_moment_is_not_even_a_second_failure() {
    for phase in 0..500 {
        let from = 20_000 + 10 * phase;
        let network = move |_: TargetId, start: Moment| {
            if (at(from)..at(from + 90)).contains(&start) { REFUSED } else { QUICK }
        };
        let mut world = World::plain(network);
        world.set(three());
        world.run(40_000);
        assert_eq!(world.changes.len(), 3);
    }
}

#[test]
fn a_target_that_flaps_faster_than_fall_stays_up() {
    let mut starts = 0_u64;
    let mut world = World::plain(move |target, _| {
        starts += u64::from(target.0 == 1);
        if target.0 == 1 && starts % 3 != 1 { REFUSED } else { QUICK }
    });
    world.set(three());
    world.run(120_000);
    assert_eq!(world.changes.len(), 3, "{:?}", world.changes);
}

#[test]
fn a_lost_task_freezes_nothing() {
    let mut world = World::plain(|target, start| match target.0 {
        1 if start > at(20_000) => Reply::Lost,
        _ => QUICK,
    });
    world.set(three());
    world.run(40_000);
    assert_eq!(world.state(1), State::Down);
    let why = &world.changes.last().unwrap().why;
    assert_eq!(why, "no result (3 times in a row)");
    assert!(world.engine.counters().lost >= 3);
}
