//! Targets that do their worst cost their own slots, and nobody else notices.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use meridian::health::TargetId;
use meridian::health::probe::runner::Asking;
use meridian::health::{Found, Outcome};
use meridian::model::{HttpProbe, Name, Probe, ProbeHost, State, TargetSpec};

use super::servers::{Mode, Server};
use super::watching::{Watching, actuator, at, check, config, impatient, ms, target, tls};

/// `PROBES_PER_TARGET_MAX`.
const SLOTS: usize = 8;

#[test]
fn each_costs_its_own_probe_slot_and_no_more() {
    let steady = Server::start(Mode::Well);
    let mut targets: Vec<_> = (100..120).map(|id| target(id, "dc2", actuator(), &steady)).collect();
    let modes = [Mode::Trickle, Mode::Gigabyte, Mode::EndlessHeader, Mode::Bomb, Mode::Hang, Mode::Garbage];
    for (id, mode) in (1..).zip(modes) {
        let server = Server::start(mode);
        targets.push(target(id, "dc1", impatient(actuator()), &server));
    }
    let garbage = Server::start(Mode::Garbage);
    let secure = HttpProbe { tls: Some(tls()), ..http() };
    targets.push(target(7, "dc1", impatient(check(Probe::Http(secure))), &garbage));
    targets.push(target(8, "dc1", impatient(check(Probe::Tls(tls()))), &garbage));
    let watching = Watching::start(config(), targets);
    for id in 1..=8 {
        watching.until_is(id, State::Down);
    }
    watching.until_seen("thirty results of each that is well", |prober| {
        let ids: Vec<TargetId> = (100..120).map(TargetId).collect();
        prober.reports(&ids).iter().flatten().all(|report| report.results.len() >= 30)
    });
    for id in 100..120 {
        assert_eq!(watching.told(|told| told.of(id)), [State::Up]);
        assert_eq!(watching.report(id).failures, 0);
    }
    for id in 1..=8 {
        let report = watching.report(id);
        assert!(report.in_flight <= SLOTS && report.state == State::Down, "{report:?}");
    }
}

fn http() -> HttpProbe {
    match actuator().probe {
        Probe::Http(http) => http,
        _ => unreachable!("it asks by HTTP"),
    }
}

fn good(took_ms: u64) -> Outcome {
    Outcome::Good(Found { took: ms(took_ms), ..Found::default() })
}

fn port(spec: &TargetSpec) -> u16 {
    spec.port
}

/// Asks nobody: port 1 panics, port 2 never ends, all others are well.
fn wild() -> Asking {
    Arc::new(|spec| {
        Box::pin(async move {
            match port(&spec) {
                1 => panic!("a probe panics, as this test wants"),
                2 => std::future::pending().await,
                _ => good(1),
            }
        })
    })
}

#[test]
fn a_probe_that_panics_or_never_ends_is_evidence_of_nothing() {
    let to = |port: u16| (IpAddr::from([127, 0, 0, 1]), port).into();
    let quick = || impatient(actuator());
    let targets = vec![at(1, "dc1", quick(), to(1)), at(2, "dc1", quick(), to(2)), at(3, "dc1", quick(), to(3))];
    let watching = Watching::start_asking(config(), targets, wild());
    watching.until_is(3, State::Up);
    watching.until_seen("three of each", |prober| {
        let counters = prober.counters();
        counters.panicked >= 3 && counters.overran >= 3
    });
    watching.until_seen("results of both", |prober| {
        let reports = prober.reports(&[TargetId(1), TargetId(2)]);
        reports.iter().flatten().all(|report| report.results.len() >= 3)
    });
    watching.told(|told| {
        assert_eq!((told.of(1), told.of(2)), (vec![], vec![]), "neither up nor down");
        assert_eq!(told.of(3), [State::Up]);
    });
    assert_eq!(watching.prober.counters().lost, 0, "each has reported");
    assert_eq!(watching.prober.counters().restarts, 0);
}

#[test]
fn a_panic_inside_of_a_real_probe_is_counted_as_well() {
    let steady = Server::start(Mode::Well);
    let mut named = target(1, "dc1", actuator(), &steady);
    let mut spec = TargetSpec::clone(&named.spec);
    spec.host = ProbeHost::Name(Name::parse("panics.example").unwrap());
    named.spec = Arc::new(spec);
    let watching = Watching::start(config(), vec![named, target(2, "dc2", actuator(), &steady)]);
    watching.until_is(2, State::Up);
    watching.until_seen("a panic", |prober| prober.counters().panicked > 0);
    assert_eq!(watching.told(|told| told.of(1)), []);
    assert_eq!(watching.report(1).state, State::Unknown);
}

#[test]
fn a_listener_that_panics_costs_no_more_than_a_second() {
    use meridian::health::probe::runner::{Listeners, Prober};
    use std::sync::atomic::{AtomicU64, Ordering};
    let (told, calls) = (Arc::new(AtomicU64::new(0)), AtomicU64::new(0));
    let counted = Arc::clone(&told);
    let listeners = Listeners {
        states: Box::new(move |_| {
            assert!(calls.fetch_add(1, Ordering::SeqCst) > 0, "the first call panics, as this test wants");
            counted.fetch_add(1, Ordering::SeqCst);
        }),
        blindness: Box::new(|_| {}),
    };
    let prober = Prober::new();
    prober.set_targets(vec![at(3, "dc1", actuator(), "127.0.0.1:3".parse().unwrap())]);
    let mut config = config();
    config.links = PathBuf::from("/nonexistent");
    prober.start_asking(config, listeners, wild()).unwrap();
    let deadline = std::time::Instant::now() + super::watching::DEADLINE;
    while told.load(Ordering::SeqCst) == 0 {
        assert!(std::time::Instant::now() < deadline, "it was never told again: {prober:?}");
        std::thread::sleep(ms(10));
    }
    assert_eq!(prober.counters().restarts, 1);
    assert!(prober.stop(super::watching::DEADLINE));
}
