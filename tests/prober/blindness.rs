//! Being blind is not seeing death.

use std::fs;
use std::path::Path;

use meridian::health::Cause;
use meridian::model::State;

use super::servers::{Mode, Server};
use super::watching::{Watching, actuator, config, impatient, target};

fn link(dir: &Path, state: &str) {
    let interface = dir.join("eth0");
    fs::create_dir_all(&interface).unwrap();
    fs::write(interface.join("flags"), "0x1003\n").unwrap();
    fs::write(interface.join("operstate"), state).unwrap();
}

#[test]
fn without_a_link_no_fall_is_believed_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    link(dir.path(), "down\n");
    let (dead, alive) = (Server::start(Mode::Refuse), Server::start(Mode::Well));
    let mut config = config();
    config.links = dir.path().into();
    let mut was_up = target(1, "dc1", impatient(actuator()), &dead);
    was_up.remembered = Some(State::Up);
    let watching = Watching::start(config, vec![was_up, target(2, "dc2", actuator(), &alive)]);
    let hold = watching.until("a hold", |told| told.holds.iter().flatten().next().cloned());
    assert_eq!(hold.cause, Cause::Link);
    assert_eq!(watching.told(|told| told.of(1)), [], "the last state stands");
    assert!(watching.report(1).is_held);
    link(dir.path(), "up\n");
    watching.until_is(1, State::Down);
    watching.until("the end of the hold", |told| told.holds.last().is_some_and(Option::is_none).then_some(()));
    assert_eq!(watching.told(|told| told.of(2)), [State::Up]);
}

#[test]
fn with_witnesses_none_of_which_answers_nothing_falls() {
    let (server, other) = (Server::start(Mode::Well), Server::start(Mode::Well));
    let witness = Server::start(Mode::Well);
    let mut config = config();
    config.settings.witnesses = vec![witness.address];
    let targets =
        vec![target(1, "dc1", impatient(actuator()), &server), target(2, "dc2", impatient(actuator()), &other)];
    let watching = Watching::start(config, targets);
    watching.until_is(1, State::Up);
    watching.until_is(2, State::Up);
    watching.until_seen("the witness", |prober| {
        prober.numbers().is_some_and(|numbers| numbers.witnesses == [(witness.address, State::Up)])
    });
    for dead in [&witness, &server, &other] {
        dead.turn(Mode::Refuse);
    }
    let hold = watching.until("a hold", |told| told.holds.iter().flatten().next().cloned());
    assert_eq!(hold.cause, Cause::Witnesses);
    witness.turn(Mode::Well);
    watching.until_is(1, State::Down);
    watching.until_is(2, State::Down);
}
