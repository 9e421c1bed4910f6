//! The reference deployment on virtual time: what dies, who sees it from where, and when answers change.

use std::time::{Duration, SystemTime};

use super::house::{REFERENCE, WALL_S};
use super::world::{Death, World, ms, settings};
use crate::model::State;

/// When something happens.
const THEN_MS: u64 = 30_000;

const WELL: [&str; 3] = ["dc1", "dc3", "dc1+dc2+dc3"];

fn world(own: Option<&str>, has_witness: bool, dead: &'static [&'static str], until_ms: u64) -> World {
    let network = move |place: &str, at| {
        let is_dead = dead.contains(&place) && at >= ms(THEN_MS) && at < ms(until_ms);
        is_dead.then_some(Death::BlackHole)
    };
    let mut world = World::new(REFERENCE, own, settings(has_witness), 5, network);
    world.run(THEN_MS);
    assert_eq!(world.answers(), WELL);
    world
}

/// Traffic is moved in time, and no fall is held.
fn moves(mut world: World, expected: [&str; 3]) {
    world.run(THEN_MS + 9750);
    assert_eq!(world.answers(), expected);
    world.run(THEN_MS + 400_000);
    assert_eq!(world.answers(), expected);
    assert_eq!(world.holds, [""; 0]);
}

/// Nothing moves while the hold lasts, and somebody is told.
fn holds(mut world: World, cause: &str) -> World {
    let before = world.house.generation();
    world.run(THEN_MS + 20_000);
    let status = world.house.status();
    let blindness = status.blindness.as_ref().expect("a hold");
    assert!(blindness.cause.contains(cause), "{blindness:?}");
    assert!(status.alarms.iter().any(|alarm| alarm.contains(cause)), "{:?}", status.alarms);
    assert!(status.addresses().all(|address| address.verdict.state == State::Up));
    world.run(THEN_MS + 299_000);
    assert_eq!((world.answers(), world.house.generation()), (WELL.map(str::to_owned), before));
    world
}

const BEIJING: &[&str] = &["dc1", "dc2"];
const TO_SHANGHAI: [&str; 3] = ["dc3", "dc3", "dc3"];
const ALWAYS: u64 = u64::MAX;

#[test]
fn a_dead_beijing_moves_traffic_wherever_the_node_can_tell() {
    for has_witness in [false, true] {
        // What dies in Beijing need not take the node there with it.
        moves(world(Some("dc1"), has_witness, BEIJING, ALWAYS), TO_SHANGHAI);
        moves(world(Some("dc2"), has_witness, BEIJING, ALWAYS), TO_SHANGHAI);
        moves(world(None, has_witness, BEIJING, ALWAYS), TO_SHANGHAI);
    }
    moves(world(Some("dc3"), true, BEIJING, ALWAYS), TO_SHANGHAI);
}

#[test]
fn a_node_in_shanghai_without_a_witness_cannot_tell_a_dead_beijing_from_a_cut_link_and_leaves_it_to_an_order() {
    let mut held = holds(world(Some("dc3"), false, BEIJING, ALWAYS), "only this node's own data centre answers");
    // At the latest after `hold_max` policy decides.
    held.run(THEN_MS + 320_000);
    assert_eq!(held.answers(), TO_SHANGHAI);
    assert_eq!(held.house.status().blindness, None);
    // The link comes back in time: nobody was moved, and there is nothing to go back from.
    let mut mended = holds(world(Some("dc3"), false, BEIJING, THEN_MS + 299_000), "only this node's own");
    mended.run(THEN_MS + 330_000);
    assert_eq!(mended.answers(), WELL);
    assert_eq!(mended.house.status().blindness, None);
    mended.house.expect_latches([]);
}

#[test]
fn with_the_link_between_the_cities_cut_beijing_goes_on_as_before() {
    for (own, has_witness) in [("dc1", false), ("dc2", false), ("dc1", true), ("dc2", true)] {
        // The other data centre in Beijing answers, so this node is not blind: Shanghai looks dead from here, and its
        // clients are sent to who answers.
        let mut world = world(Some(own), has_witness, &["dc3"], ALWAYS);
        world.run(THEN_MS + 400_000);
        assert_eq!(world.answers(), ["dc1", "dc1", "dc1+dc2"]);
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(WALL_S) + ms(THEN_MS).0;
        let status = world.house.status();
        let mut moved = status.moves.iter().filter(|moved| moved.at >= then).peekable();
        assert!(moved.peek().is_some());
        assert!(moved.all(|moved| moved.region.as_ref().is_none_or(|region| region.as_str() != "beijing")));
    }
    // Outside nothing is seen of it.
    moves(world(None, false, &[], ALWAYS), WELL);
}

#[test]
fn a_common_dependency_is_called_by_its_name_and_moves_nobody() {
    for own in [None, Some("dc1")] {
        holds(world(own, false, &["dc1", "dc2", "dc3"], ALWAYS), "a common dependency");
    }
}

#[test]
fn every_way_to_die_changes_the_answers_within_ten_seconds_in_every_phase_of_the_schedule() {
    let mut longest = Vec::new();
    for death in Death::ALL {
        let mut worst = 0;
        for phase in 0..50 {
            let then = ms(THEN_MS + 100 * phase);
            let network = move |place: &str, at| (place == "dc1" && at >= then).then_some(death);
            let mut world = World::new(REFERENCE, None, settings(false), 5 + phase % 3, network);
            world.run(THEN_MS);
            assert_eq!(world.answers(), WELL);
            let before = world.tables.len();
            world.run(THEN_MS + 100 * phase + 10_000);
            assert_eq!(world.answers(), ["dc2", "dc3", "dc2+dc3"], "{death:?}, phase {phase}");
            assert_eq!(world.tables.len(), before + 1, "{death:?}: one death, one generation");
            worst = worst.max(world.tables[before].since(then).as_millis());
        }
        longest.push((death, worst));
    }
    assert!(longest.iter().all(|(_, worst)| *worst <= 9500), "{longest:?}");
    assert!(longest.iter().any(|(_, worst)| *worst > 9000), "phases were missed: {longest:?}");
}

#[test]
fn a_restart_amid_a_dead_data_centre_raises_nobody_and_confirms_what_it_remembers() {
    let settings = settings(false);
    let mut before = world(None, false, &["dc1"], ALWAYS);
    before.run(THEN_MS + 60_000);
    assert_eq!(before.answers(), ["dc2", "dc3", "dc2+dc3"]);
    let mut after = before.restart(None, &settings.health, 9);
    assert_eq!(after.answers(), ["dc2", "dc3", "dc2+dc3"], "from the first table on");
    let stale = |world: &World| world.house.status().addresses().filter(|address| address.is_stale).count();
    assert_eq!(stale(&after), 3);
    assert!(after.house.status().is_first_round_complete);
    for second in 1..30 {
        after.run(1000 * second);
        assert_eq!(after.answers(), ["dc2", "dc3", "dc2+dc3"], "after {second} s");
    }
    assert_eq!(stale(&after), 0, "confirmed, though nothing is another");
    after.house.expect_latches(["dc1 beijing"]);
}

#[test]
fn a_target_that_recovers_answers_again_after_its_hold_down_and_waits_for_a_person_where_policy_says_so() {
    let mut world = world(None, false, &["dc1"], THEN_MS + 60_000);
    world.run(THEN_MS + 60_000);
    assert_eq!(world.answers(), ["dc2", "dc3", "dc2+dc3"]);
    // Rise: 3 × 5 s; hold-down: 30 s.
    world.run(THEN_MS + 60_000 + 29_000);
    assert_eq!(world.answers(), ["dc2", "dc3", "dc2+dc3"]);
    world.run(THEN_MS + 60_000 + 15_000 + 31_000);
    assert_eq!(world.answers(), ["dc2", "dc3", "dc1+dc2+dc3"]);
    world.house.expect_latches(["dc1 beijing waiting"]);
}
