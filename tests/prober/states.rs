//! What a target does, and what becomes of its state.

use meridian::health::{Target, TargetId};
use meridian::model::State;

use super::servers::{Mode, Server};
use super::watching::{Watching, actuator, config, impatient, target};

/// Up, then down by `mode`, then up again; another data centre stays up throughout.
fn falls_and_rises(mode: Mode) {
    let (server, steady) = (Server::start(Mode::Well), Server::start(Mode::Well));
    let targets = vec![target(1, "dc1", impatient(actuator()), &server), target(2, "dc2", actuator(), &steady)];
    let watching = Watching::start(config(), targets);
    watching.until_is(1, State::Up);
    watching.until_is(2, State::Up);
    server.turn(mode);
    watching.until_is(1, State::Down);
    let report = watching.report(1);
    assert_eq!(report.state, State::Down);
    assert!(report.last_error.is_some());
    server.turn(Mode::Well);
    watching.until_is(1, State::Up);
    assert_eq!(watching.told(|told| told.of(2)), [State::Up], "{mode:?} is nobody else's");
}

#[test]
fn who_refuses_is_down_until_it_answers() {
    falls_and_rises(Mode::Refuse);
}

#[test]
fn who_accepts_and_says_nothing_is_down_until_it_answers() {
    falls_and_rises(Mode::Hang);
}

#[test]
fn who_answers_500_is_down_until_it_answers_well() {
    falls_and_rises(Mode::Status500);
}

#[test]
fn who_says_something_else_is_down_until_it_says_what_is_expected() {
    falls_and_rises(Mode::WrongBody);
}

#[test]
fn who_says_an_octet_a_second_is_down_until_it_answers() {
    falls_and_rises(Mode::Trickle);
}

#[test]
fn a_reload_keeps_what_is_known_of_targets_that_stay() {
    let (old, new) = (Server::start(Mode::Well), Server::start(Mode::Well));
    let stays = target(1, "dc1", actuator(), &old);
    let watching = Watching::start(config(), vec![stays.clone()]);
    watching.until_seen("some results", |prober| {
        prober.reports(&[TargetId(1)])[0].as_ref().is_some_and(|report| report.results.len() >= 3)
    });
    let before = watching.report(1);
    watching.prober.set_targets(vec![stays, target(2, "dc2", actuator(), &new)]);
    watching.until_is(2, State::Up);
    let after = watching.report(1);
    assert_eq!(after.since, before.since);
    assert!(after.results.contains(&before.results[0]) || after.results.len() >= 30, "its history goes on");
    assert_eq!(watching.told(|told| told.of(1)), [State::Up], "and nothing is told anew");
    watching.prober.set_targets(vec![target(2, "dc2", actuator(), &new)]);
    watching.until_seen("the end of 1", |prober| prober.reports(&[TargetId(1)])[0].is_none());
    assert_eq!(watching.told(|told| told.of(2)), [State::Up]);
}

#[test]
fn what_is_remembered_stands_and_is_confirmed() {
    let server = Server::start(Mode::Well);
    let mut remembered: Target = target(1, "dc1", actuator(), &server);
    remembered.remembered = Some(State::Up);
    let watching = Watching::start(config(), vec![remembered]);
    watching.until_is(1, State::Up);
    assert!(!watching.report(1).is_stale);
    assert_eq!(watching.told(|told| told.of(1)), [State::Up], "once, though nothing has changed");
}

#[test]
fn what_became_of_probes_is_counted_by_check_and_data_centre() {
    let (good, bad) = (Server::start(Mode::Well), Server::start(Mode::Status500));
    let targets = vec![
        target(1, "dc1", actuator(), &good),
        target(2, "dc2", actuator(), &good),
        target(3, "dc2", actuator(), &bad),
    ];
    let watching = Watching::start(config(), targets);
    watching.until_is(1, State::Up);
    watching.until_is(2, State::Up);
    watching.until_is(3, State::Down);
    let numbers = watching.prober.numbers().expect("it runs");
    assert_eq!(numbers.groups.len(), 2, "two data centres, one check");
    let of = |id: &str| {
        let found =
            numbers.groups.iter().find(|(group, _)| group.datacenter.as_ref().is_some_and(|dc| dc.as_str() == id));
        found.map(|(_, tally)| tally.clone()).expect("it is counted")
    };
    let (dc1, dc2) = (of("dc1"), of("dc2"));
    assert!(dc1.started > 0 && dc1.failed == 0 && dc2.failed > 0 && dc2.started > dc2.failed);
    assert_eq!(dc1.started, dc1.in_flight + dc1.took.count);
    assert_eq!(numbers.counters.targets, 3);
    assert_eq!(numbers.lateness.count + numbers.counters.in_flight as u64, numbers.counters.started);
}
