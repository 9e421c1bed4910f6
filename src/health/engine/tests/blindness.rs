//! Being blind is not seeing death.

use proptest::prelude::*;

use super::super::simulated::*;
use super::super::{Hold, TargetId};
use crate::health::Cause;
use crate::model::{HealthSettings, Moment, State};

/// When something happens in these tests.
const THEN_MS: u64 = 30_000;

/// The first witness' id.
const WITNESS: u64 = u64::MAX;

const HOLD_MAX_MS: u64 = 300_000;

fn settings(witness: bool) -> HealthSettings {
    let witnesses = if witness { vec!["127.0.0.9:7".parse().unwrap()] } else { Vec::new() };
    HealthSettings { witnesses, ..HealthSettings::default() }
}

/// The reference deployment; `silent` are black holes from [`THEN_MS`] on.
fn world(own: Option<&str>, witness: bool, silent: &'static [u64]) -> World {
    let network = move |target: TargetId, start: Moment| {
        if start >= at(THEN_MS) && silent.contains(&target.0) { Reply::Silence } else { QUICK }
    };
    let mut world = World::new(&settings(witness), own, 5, network);
    world.set(three());
    world.run(THEN_MS);
    assert_eq!([1, 2, 3].map(|id| world.state(id)), [State::Up; 3]);
    world
}

/// These are published as down in time, and nothing is held.
fn moves(mut world: World, dead: &[u64]) {
    world.run(THEN_MS + 9500);
    for id in [1, 2, 3] {
        let expected = if dead.contains(&id) { State::Down } else { State::Up };
        assert_eq!(world.state(id), expected, "target {id}");
    }
    world.run(THEN_MS + 400_000);
    assert_eq!(world.changes.len(), 3 + dead.len());
    assert_eq!(world.holds, []);
}

/// All that fails is held for that cause until the hold has lasted long enough.
fn holds(mut world: World, dead: &[u64], cause: Cause) {
    world.run(THEN_MS + 20_000);
    assert_eq!([1, 2, 3].map(|id| world.state(id)), [State::Up; 3]);
    let Hold { cause: found, since, until, targets } = world.engine.hold().expect("a hold");
    assert_eq!((found, targets), (cause, dead.iter().map(|id| TargetId(*id)).collect()));
    assert_eq!(until, since + ms(HOLD_MAX_MS));
    assert!(world.engine.report(targets_first(dead), world.now, std::time::UNIX_EPOCH).unwrap().is_held);
    world.run(THEN_MS + HOLD_MAX_MS);
    assert_eq!([1, 2, 3].map(|id| world.state(id)), [State::Up; 3]);
    world.run(THEN_MS + HOLD_MAX_MS + 15_000);
    for id in dead {
        assert_eq!(world.state(*id), State::Down, "hold_max is over");
    }
    assert_eq!(world.engine.hold(), None);
    let why = &world.changes.last().unwrap().why;
    assert!(why.contains(&format!("held until now, because {cause}")), "{why}");
}

fn targets_first(dead: &[u64]) -> TargetId {
    TargetId(dead[0])
}

#[test]
fn beijing_dead_moves_traffic_from_wherever_shanghai_is_another_or_a_witness_answers() {
    for witness in [false, true] {
        moves(world(Some("dc1"), witness, &[1, 2]), &[1, 2]);
        moves(world(Some("dc2"), witness, &[1, 2]), &[1, 2]);
        moves(world(None, witness, &[1, 2]), &[1, 2]);
    }
    moves(world(Some("dc3"), true, &[1, 2]), &[1, 2]);
    holds(world(Some("dc3"), false, &[1, 2]), &[1, 2], Cause::OnlyOwn);
}

#[test]
fn the_link_between_the_cities_cut_is_seen_from_each_side_as_far_as_that_can_be() {
    for witness in [false, true] {
        moves(world(Some("dc1"), witness, &[3]), &[3]);
        moves(world(Some("dc2"), witness, &[3]), &[3]);
        moves(world(None, witness, &[]), &[]);
    }
    // From Shanghai it looks as if Beijing were dead; a witness that answers says that it is not our link.
    holds(world(Some("dc3"), false, &[1, 2]), &[1, 2], Cause::OnlyOwn);
    moves(world(Some("dc3"), true, &[1, 2]), &[1, 2]);
}

#[test]
fn one_data_centre_dead_is_published_from_everywhere() {
    const EACH: [&[u64]; 3] = [&[1], &[2], &[3]];
    for own in [None, Some("dc1"), Some("dc2"), Some("dc3")] {
        for dead in EACH {
            for witness in [false, true] {
                moves(world(own, witness, dead), dead);
            }
        }
    }
}

#[test]
fn everything_at_once_is_a_common_dependency_and_says_that_word() {
    for own in [None, Some("dc1"), Some("dc3")] {
        holds(world(own, false, &[1, 2, 3]), &[1, 2, 3], Cause::Common);
    }
    assert!(Cause::Common.to_string().contains("common dependency"));
}

#[test]
fn with_witnesses_everything_dead_moves_and_no_witness_holds() {
    moves(world(None, true, &[1, 2, 3]), &[1, 2, 3]);
    for own in [None, Some("dc1")] {
        holds(world(own, true, &[1, 2, 3, WITNESS]), &[1, 2, 3], Cause::Witnesses);
    }
}

#[test]
fn without_a_link_everything_is_held_and_its_return_publishes_only_what_is_dead() {
    for dies in [false, true] {
        let network = move |target: TargetId, start: Moment| match start {
            _ if start < at(THEN_MS) => QUICK,
            _ if start < at(THEN_MS + 60_000) => REFUSED,
            _ if dies && target.0 == 1 => REFUSED,
            _ => QUICK,
        };
        let mut world = World::new(&settings(false), Some("dc1"), 5, network);
        world.set(three());
        world.run(THEN_MS);
        world.engine.link(world.now, false);
        world.run(THEN_MS + 60_000);
        assert_eq!(world.engine.hold().map(|hold| hold.cause), Some(Cause::Link));
        assert_eq!(world.changes.len(), 3);
        world.engine.link(world.now, true);
        world.run(THEN_MS + 70_000);
        assert_eq!(world.state(1), if dies { State::Down } else { State::Up });
        assert_eq!(world.changes.len(), 3 + usize::from(dies), "{:?}", world.changes);
        assert_eq!(world.engine.hold(), None);
    }
}

#[test]
fn a_hold_ends_with_another_data_centre_or_a_witness() {
    for (own, witness, returns) in [(None, false, 3), (Some("dc1"), false, 3), (None, true, WITNESS)] {
        let network = move |target: TargetId, start: Moment| {
            let back = target.0 == returns && start >= at(THEN_MS + 60_000);
            if start >= at(THEN_MS) && !back { Reply::Silence } else { QUICK }
        };
        let mut world = World::new(&settings(witness), own, 5, network);
        world.set(three());
        world.run(THEN_MS + 60_000);
        assert!(world.engine.hold().is_some());
        assert_eq!(world.changes.len(), 3);
        // At most an interval until it is asked, and a run of failures seen.
        world.run(THEN_MS + 60_000 + 5000 + 9500);
        let expected = if returns == 3 { [State::Down, State::Down, State::Up] } else { [State::Down; 3] };
        assert_eq!([1, 2, 3].map(|id| world.state(id)), expected);
        assert_eq!(world.engine.hold(), None);
    }
}

#[test]
fn the_last_living_data_centre_that_dies_alone_is_published() {
    for own in [None, Some("dc1")] {
        let network = |target: TargetId, start: Moment| {
            let dies = if target.0 == 3 { THEN_MS + 60_000 } else { THEN_MS };
            if start >= at(dies) { Reply::Silence } else { QUICK }
        };
        let mut world = World::new(&settings(false), own, 5, network);
        world.set(three());
        world.run(THEN_MS + 60_000 + 9500);
        assert_eq!([1, 2, 3].map(|id| world.state(id)), [State::Down; 3]);
        assert_eq!(world.holds, []);
    }
}

#[test]
fn a_single_data_centre_is_published_as_any_other() {
    for own in [None, Some("dc1")] {
        let network = |_: TargetId, start: Moment| if start >= at(THEN_MS) { Reply::Silence } else { QUICK };
        let mut world = World::new(&settings(false), own, 5, network);
        world.set(vec![target(1, Some("dc1"), &reference()), target(2, Some("dc1"), &reference())]);
        world.run(THEN_MS + 9500);
        assert_eq!([1, 2].map(|id| world.state(id)), [State::Down; 2]);
    }
}

#[test]
fn a_target_probed_by_name_waits_for_the_resolver() {
    let network = |target: TargetId, start: Moment| {
        if target.0 == 1 && start >= at(THEN_MS) { REFUSED } else { QUICK }
    };
    let mut world = World::new(&settings(false), None, 5, network);
    let mut targets = three();
    let mut spec = (*targets[0].spec).clone();
    spec.host = crate::model::ProbeHost::Name(crate::model::Name::parse("api.example.").unwrap());
    targets[0].spec = std::sync::Arc::new(spec);
    world.set(targets);
    world.run(THEN_MS);
    world.engine.resolver(world.now, false);
    world.run(THEN_MS + 30_000);
    assert_eq!(world.engine.hold().map(|hold| hold.cause), Some(Cause::Resolver));
    world.engine.resolver(world.now, true);
    world.run(THEN_MS + 40_000);
    assert_eq!((world.state(1), world.engine.hold()), (State::Down, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever its length and phase, and wherever the node stands: when all is dark for a while, nothing is
    /// published.
    #[test]
    fn a_blackout_changes_nothing(
        from_ms in 20_000_u64..30_000,
        length_ms in 1_u64..100_000,
        own in prop::sample::select(vec![None, Some("dc1"), Some("dc3")]),
        witness: bool,
        refuses in prop::collection::vec(any::<bool>(), 16),
        each in 1_u64..4,
        seed: u64,
    ) {
        let dark = at(from_ms)..at(from_ms + length_ms);
        let network = move |target: TargetId, start: Moment| match start {
            _ if !dark.contains(&start) && !dark.contains(&(start + ms(10))) => QUICK,
            _ if refuses[target.0 as usize % 16] => REFUSED,
            _ => Reply::Silence,
        };
        let mut world = World::new(&settings(witness), own, seed, network);
        let dcs = ["dc1", "dc2", "dc3"];
        let all: Vec<_> = (0..3 * each).map(|id| target(id, Some(dcs[id as usize % 3]), &reference())).collect();
        let count = all.len();
        world.set(all);
        world.run(from_ms + length_ms + 40_000);
        prop_assert_eq!(world.changes.len(), count, "{:?} {:?}", world.changes.last(), world.holds);
        prop_assert_eq!(world.engine.hold(), None);
    }

    /// A fall is published only when somebody else answered a probe that started while the target failed, or
    /// when nobody else had been answering for long, or after a hold of full length.
    #[test]
    fn nothing_is_published_as_down_without_proof(
        outages in prop::collection::vec((0_u64..3, 20_000_u64..200_000, 1000_u64..60_000), 1..8),
        seed: u64,
    ) {
        let network = move |target: TargetId, start: Moment| {
            let is_out = |&(id, from, length): &(u64, u64, u64)| {
                id == target.0 && (at(from)..at(from + length)).contains(&start)
            };
            if outages.iter().any(is_out) { Reply::Silence } else { QUICK }
        };
        let answers = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let seen = std::rc::Rc::clone(&answers);
        let mut world = World::new(&settings(false), None, seed, move |target, start| {
            let reply = network(target, start);
            if reply == QUICK {
                seen.borrow_mut().push((target, start));
            }
            reply
        });
        world.set((0..3).map(|id| target(id, Some(["dc1", "dc2", "dc3"][id as usize]), &reference())).collect());
        world.run(300_000);
        for change in world.changes.iter().filter(|change| change.state == State::Down) {
            let before = |span_ms| {
                let from = Moment(change.at.0 - ms(span_ms));
                answers.borrow().iter().any(|(id, start)| *id != change.target && *start >= from && *start <= change.at)
            };
            // The run began at most 4.6 s before; a common dependency is one within an interval of that.
            prop_assert!(before(4600) || !before(9500), "{:?} {:?}", change, world.holds);
        }
    }
}
