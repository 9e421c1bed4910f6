//! Many at once.

use std::time::Duration;

use meridian::health::TargetId;
use meridian::health::probe::runner::Prober;
use meridian::health::stats::Grade;
use meridian::model::{CheckSpec, State};

use super::servers::{Mode, Server, black_hole};
use super::watching::{DEADLINE, Watching, actuator, at, config, ms, target};

const HOLES: u64 = 2000;

fn patient(check: CheckSpec) -> CheckSpec {
    let (interval, timeout) = (Duration::from_secs(60), Duration::from_secs(60));
    CheckSpec { interval, timeout, max_response: timeout, ..check }
}

#[test]
fn black_holes_delay_nobody() {
    let (_listener, hole) = black_hole();
    let steady = Server::start(Mode::Well);
    let mut targets: Vec<_> = (1..=20).map(|id| target(id, "dc2", actuator(), &steady)).collect();
    targets.extend((1000..1000 + HOLES).map(|id| at(id, "dc1", patient(actuator()), hole)));
    let watching = Watching::start(config(), targets);
    watching.until_seen("all of them hang", |prober| prober.counters().in_flight >= HOLES as usize);
    let ids: Vec<TargetId> = (1..=20).map(TargetId).collect();
    let newest = |prober: &Prober| {
        let reports = prober.reports(&ids);
        let of = |report: &Option<meridian::health::TargetReport>| Some(report.as_ref()?.results.last()?.started);
        reports.iter().map(of).min().flatten()
    };
    let before = newest(&watching.prober);
    watching.until_seen("ten rounds of those that are well", |prober| {
        newest(prober).zip(before).is_some_and(|(now, before)| now.since(before) > ms(2000))
    });
    assert!(watching.prober.counters().in_flight >= HOLES as usize, "they still hang");
    for id in 1..=20 {
        assert_eq!(watching.told(|told| told.of(id)), [State::Up]);
    }
}

#[test]
fn a_first_round_is_spread_and_each_target_is_asked_in_it() {
    let server = Server::start(Mode::Well);
    let targets = (1..=300).map(|id| target(id, "dc1", patient(actuator()), &server)).collect();
    let watching = Watching::start(config(), targets);
    watching.until("every target", |told| (told.states.len() == 300).then_some(()));
    let ids: Vec<TargetId> = (1..=300).map(TargetId).collect();
    let starts: std::collections::BTreeSet<_> =
        watching.prober.reports(&ids).into_iter().flatten().map(|report| report.results[0].started).collect();
    assert!(starts.len() > 10, "300 targets over 60 ms are not one herd: {}", starts.len());
}

#[test]
fn a_stop_waits_for_no_target() {
    let (_listener, hole) = black_hole();
    let targets = (1..=200).map(|id| at(id, "dc1", patient(actuator()), hole)).collect();
    let watching = Watching::start(config(), targets);
    watching.until_seen("all of them hang", |prober| prober.counters().in_flight >= 200);
    // A probe has 60 s, and the stop less than half of that.
    assert!(watching.prober.stop(Duration::from_secs(25)));
    let told = watching.told(|told| told.states.len());
    assert_eq!(told, 0);
    assert!(watching.prober.numbers().is_none(), "nobody answers any more");
    assert!(watching.prober.stop(DEADLINE), "a second time changes nothing");
}

#[test]
fn a_prober_that_never_started_stops_as_well() {
    let prober = Prober::new();
    assert!(prober.reports(&[TargetId(1)])[0].is_none());
    assert!(prober.stop(DEADLINE));
}

/// Runs itself in a process that may open few files.
#[test]
fn no_file_left_is_blindness_and_never_death() {
    let status = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 96 && exec \"$0\" --ignored --exact storms::with_few_files"])
        .arg(std::env::current_exe().unwrap())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "another test runs it, in a process of its own"]
fn with_few_files() {
    let server = Server::start(Mode::Well);
    let watching = Watching::start(config(), vec![target(1, "dc1", actuator(), &server)]);
    watching.until_is(1, State::Up);
    let concurrency = watching.prober.counters().concurrency;
    assert!(concurrency < 96, "no more probes than files: {concurrency}");
    let graded = |prober: &Prober, wanted: Grade| {
        let report = prober.reports(&[TargetId(1)]).remove(0);
        report.is_some_and(|report| report.results.iter().rev().take(3).all(|seen| seen.grade == wanted))
    };
    let mut hoard = Vec::new();
    watching.until_seen("three blind probes", |prober| {
        // Also what a probe gives back meanwhile.
        while let Ok(file) = std::fs::File::open("/dev/null") {
            hoard.push(file);
        }
        graded(prober, Grade::Blind)
    });
    drop(hoard);
    watching.until_seen("three good ones", |prober| graded(prober, Grade::Good));
    assert_eq!(watching.told(|told| told.of(1)).last(), Some(&State::Up));
    assert!(!watching.told(|told| told.of(1).contains(&State::Down)));
}
