//! Sequences of results, and what the state machine makes of them.

use proptest::prelude::*;

use super::*;
use crate::model::{FailRatio, Probe, ProbeHost, TcpProbe};

fn at(at_ms: u64) -> Moment {
    Moment(Duration::from_millis(at_ms))
}

fn watch(remembered: Option<State>, edit: impl FnOnce(&mut CheckSpec)) -> Watch {
    let mut check = CheckSpec::of(Probe::Tcp(TcpProbe::default()));
    edit(&mut check);
    let spec = TargetSpec {
        check: Arc::new(check),
        host: ProbeHost::Address("127.0.0.1".parse().unwrap()),
        port: 80,
        service: Arc::from(""),
        query: Arc::from(""),
    };
    Watch::new(Arc::new(spec), remembered, Moment::default())
}

fn outcome(letter: char) -> Outcome {
    match letter {
        '+' => Outcome::Good(Found { took: Duration::from_millis(20), ..Found::default() }),
        '-' => Outcome::Bad { why: "refused".into(), found: Found::default() },
        _ => Outcome::Blind { why: "silent".into() },
    }
}

/// The state after each result, one every five seconds: u, d, or `.` for unknown.
fn states(watch: &mut Watch, results: &str) -> String {
    let mut said = String::new();
    for (n, letter) in (0_u64..).zip(results.chars()) {
        let now = at(n * 5000);
        watch.tick(now);
        watch.start(now, n, false, Duration::from_secs(5));
        watch.done(n, outcome(letter));
        said.push(match watch.state() {
            State::Up => 'u',
            State::Down => 'd',
            State::Unknown => '.',
        });
    }
    said
}

#[test]
fn the_first_result_decides_and_then_only_results_in_a_row_do() {
    for (results, expected) in [
        ("+---++", "uuuddu"),
        ("-+-++", "ddddu"),
        ("+--+--+--+", "uuuuuuuuuu"),
        ("+-+-+-+-+-", "uuuuuuuuuu"),
        ("-+-+-+-+-+", "dddddddddd"),
        ("?-", ".d"),
        ("?+", ".u"),
        ("+-?-?-", "uuuuud"),
        ("+---+?+", "uuudddu"),
    ] {
        assert_eq!(states(&mut watch(None, |_| ()), results), expected, "{results}");
    }
}

#[test]
fn a_remembered_state_takes_a_row_of_results_to_change_and_is_stale_until_one_agrees() {
    for (remembered, results, expected, is_stale) in [
        (State::Up, "", "", true),
        (State::Up, "--", "uu", true),
        (State::Up, "--+", "uuu", false),
        (State::Up, "---", "uud", false),
        (State::Down, "+", "d", true),
        (State::Down, "+-", "dd", false),
        (State::Down, "++", "du", false),
        (State::Unknown, "+", "u", false),
    ] {
        let mut watch = watch(Some(remembered), |_| ());
        assert_eq!(states(&mut watch, results), expected, "{remembered:?} {results}");
        assert_eq!(watch.is_stale(), is_stale, "{remembered:?} {results}");
    }
}

#[test]
fn fail_ratio_takes_down_what_fails_every_third_time_and_only_over_a_full_window() {
    let ratio = |check: &mut CheckSpec| check.fail_ratio = Some(FailRatio { percent: 30, window: 6 });
    let half = |check: &mut CheckSpec| check.fail_ratio = Some(FailRatio { percent: 50, window: 6 });
    assert_eq!(states(&mut watch(None, half), "++-++-++-"), "uuuuuuuuu", "two of six are not half");
    assert_eq!(states(&mut watch(None, ratio), "++-++-++-"), "uuuuuuuud");
    assert_eq!(states(&mut watch(None, ratio), "++-++-++-++"), "uuuuuuuuddu", "and it recovers by rise");
    assert_eq!(states(&mut watch(None, |_| ()), "++-++-++-"), "uuuuuuuuu", "off unless asked for");
}

#[test]
fn silence_is_unknown_in_time_and_down_only_where_asked_for() {
    // Blind since 5 s: 3 × 5 + 3 s later is 23 s.
    assert_eq!(states(&mut watch(None, |_| ()), "+?????"), "uuuuu.");
    assert_eq!(states(&mut watch(None, |_| ()), "+?????+"), "uuuuu.u");
    assert_eq!(states(&mut watch(None, |_| ()), "+?????---"), "uuuuu...d", "a failure does not bring it back");
    assert_eq!(states(&mut watch(None, |_| ()), "-?????++"), "ddddd..u", "nor one success what was down");
    assert_eq!(states(&mut watch(None, |check| check.silence_is_down = true), "+?????++"), "uuuuuddu");
}

#[test]
fn a_probe_that_never_reports_counts_as_failed() {
    let mut watch = watch(None, |_| ());
    watch.start(at(0), 0, false, Duration::from_secs(5));
    assert_eq!(watch.tick(at(3999)).lost, 0);
    assert_eq!(watch.wake(), Some(at(4000)));
    assert_eq!(watch.tick(at(4000)).lost, 1);
    assert_eq!(watch.state(), State::Down);
    assert_eq!(watch.done(0, outcome('+')), None, "too late");
    assert_eq!(watch.state(), State::Down);
}

#[test]
fn a_failure_is_confirmed_after_the_slow_mark_and_then_fast() {
    let mut watch = watch(Some(State::Up), |_| ());
    let gap = Duration::from_secs(5);
    watch.start(at(0), 0, false, gap);
    assert_eq!(watch.planned(), at(500), "unanswered: 500 ms without history");
    watch.done(0, outcome('+'));
    assert_eq!(watch.planned(), at(5000));
    assert_eq!(watch.slow_mark(), Duration::from_millis(100), "four times 20 ms are less than that");
    watch.start(at(5000), 1, false, gap);
    watch.done(1, outcome('-'));
    assert_eq!(watch.planned(), at(5100), "also when it failed at once");
    watch.start(at(5100), 2, false, gap);
    assert_eq!(watch.planned(), at(6100));
    watch.start(at(6100), 3, false, gap);
    assert_eq!(watch.planned(), at(11_100), "three that may fail are enough");
    watch.done(3, outcome('-'));
    assert_eq!(watch.state(), State::Up, "its elder is still out");
    watch.done(2, outcome('+'));
    assert_eq!((watch.state(), watch.counts()), (State::Up, (1, 0)));
    assert_eq!(watch.planned(), at(6200), "the younger failure begins a run of its own");
}

#[test]
fn looks_close_upon_each_other_do_not_count_thrice() {
    let mut watch = watch(Some(State::Up), |_| ());
    for n in 0..8 {
        watch.start(at(100 * n), n, true, Duration::from_secs(5));
        watch.done(n, outcome('-'));
    }
    assert_eq!((watch.state(), watch.counts()), (State::Up, (1, 0)));
    watch.start(at(900), 9, true, Duration::from_secs(5));
    watch.done(9, outcome('+'));
    assert_eq!(watch.counts(), (0, 1), "a success counts");
    let mut watch = self::watch(Some(State::Down), |_| ());
    for n in 0..8 {
        watch.start(at(100 * n), n, true, Duration::from_secs(5));
        watch.done(n, outcome('+'));
    }
    assert_eq!(watch.state(), State::Down, "and does not hurry recovery");
}

proptest! {
    #[test]
    fn folding_does_not_depend_on_who_came_back_first(
        probes in prop::collection::vec((prop::sample::select(vec!['+', '-', '-', '?']), any::<bool>(), any::<u32>()), 1..8),
        fall in 1_u16..4,
        ratio in any::<bool>(),
    ) {
        let run = |order: &[usize]| {
            let mut watch = watch(Some(State::Up), |check| {
                check.fall = fall;
                check.fail_ratio = ratio.then_some(FailRatio { percent: 50, window: 4 });
            });
            for (n, (_, is_look, _)) in (0_u64..).zip(&probes) {
                watch.start(at(n * 100), n, *is_look, Duration::from_secs(5));
            }
            for &n in order {
                watch.done(n as u64, outcome(probes[n].0));
            }
            (watch.state(), watch.counts(), watch.run(), watch.planned(), watch.stats.results())
        };
        let in_order: Vec<usize> = (0..probes.len()).collect();
        let mut shuffled = in_order.clone();
        shuffled.sort_by_key(|&n| probes[n].2);
        prop_assert_eq!(run(&in_order), run(&shuffled));
    }
}

#[test]
fn what_is_merely_unanswered_can_be_calmed_and_what_has_failed_cannot() {
    let gap = Duration::from_secs(5);
    let mut slow = watch(Some(State::Up), |_| ());
    slow.start(at(0), 0, false, gap);
    assert!(slow.is_guess(at(700)));
    slow.calm(at(1200));
    assert_eq!(slow.planned(), at(1200), "in place of 500 ms");
    slow.done(0, outcome('-'));
    assert!(!slow.is_guess(at(700)));
    assert_eq!(slow.planned(), at(500), "it has failed: in a hurry");
    let mut answered = watch(Some(State::Up), |_| ());
    answered.start(at(0), 0, false, gap);
    answered.calm(at(1200));
    answered.done(0, outcome('+'));
    assert_eq!(answered.planned(), at(5000), "and no sooner for having been slow");
}
