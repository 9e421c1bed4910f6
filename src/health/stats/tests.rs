//! The figures follow their formulas.

use super::*;

fn good(ms: u64) -> Outcome {
    Outcome::Good(Found { took: Duration::from_millis(ms), ..Found::default() })
}

fn bad() -> Outcome {
    Outcome::Bad { why: "refused".into(), found: Found::default() }
}

fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Stats {
    let mut stats = Stats::default();
    for (at, outcome) in outcomes.into_iter().enumerate() {
        stats.saw(Moment(Duration::from_secs(5 * at as u64)), &outcome);
    }
    stats
}

#[test]
fn mean_and_percentiles_follow_their_formulas() {
    assert_eq!(of([]).percentiles(), None);
    assert_eq!(of([good(80), good(160)]).mean(), Some(Duration::from_millis(90)));
    assert_eq!(of([good(80), good(0)]).mean(), Some(Duration::from_millis(70)));
    let ms = Duration::from_millis;
    let all = of((1..=200).map(good)).percentiles();
    assert_eq!(all, Some(Percentiles { p50: ms(150), p90: ms(190), p99: ms(199) }), "of the last hundred");
    assert_eq!(of([good(7)]).percentiles(), Some(Percentiles { p50: ms(7), p90: ms(7), p99: ms(7) }));
}

#[test]
fn score_is_the_share_of_successes_and_half_of_it_speed() {
    assert_eq!(of([]).score(), None);
    assert_eq!(of([Outcome::Blind { why: String::new() }]).score(), None);
    assert_eq!(of([good(10), bad(), good(10), good(10)]).score(), Some(75));
    assert_eq!(of([bad()]).score(), Some(0));
    // Median 10 ms, mean 10 + 790 / 8 = 108 ms and a bit: speed 18.
    assert_eq!(of([good(10), good(10), good(10), good(800)]).score(), Some(59));
}

#[test]
fn trend_compares_the_newer_half_with_the_older() {
    let eight =
        |old: fn() -> Outcome, new: fn() -> Outcome| of((0..8).map(|at| if at < 4 { old() } else { new() })).trend();
    assert_eq!(eight(|| good(10), || good(10)), Trend::Steady);
    assert_eq!(eight(|| good(10), bad), Trend::Worsening);
    assert_eq!(eight(bad, || good(10)), Trend::Improving);
    assert_eq!(eight(|| good(10), || good(100)), Trend::Worsening);
    assert_eq!(eight(|| good(100), || good(10)), Trend::Improving);
    assert_eq!(eight(|| good(1), || good(4)), Trend::Steady, "milliseconds are noise");
    assert_eq!(of((0..7).map(|_| bad())).trend(), Trend::Steady, "too few");
}

#[test]
fn confidence_grows_with_results_and_fades_with_age() {
    let interval = Duration::from_secs(5);
    let at = |stats: &Stats, secs| stats.confidence(interval, Moment(Duration::from_secs(secs)));
    assert_eq!(at(&of([]), 0), 0);
    assert_eq!(at(&of([good(1), good(1), good(1), good(1)]), 15), 25);
    let full = of((0..20).map(|_| good(1)));
    assert_eq!([95, 105, 125, 145, 500].map(|secs| at(&full, secs)), [100, 100, 50, 0, 0]);
}

#[test]
fn a_certificate_is_fine_then_expiring_then_expired() {
    let day = Duration::from_secs(86_400);
    let expires = SystemTime::UNIX_EPOCH + 100 * day;
    let found = Found { certificate_expires: Some(expires), ..Found::default() };
    let stats = of([Outcome::Good(found), bad()]);
    let on = |days: u32| stats.certificate(14 * day, SystemTime::UNIX_EPOCH + days * day);
    assert_eq!(on(50), Some(Certificate::Fine(expires)));
    assert_eq!(on(90), Some(Certificate::Expiring(expires)));
    assert_eq!(on(101), Some(Certificate::Expired(expires)));
    assert_eq!(of([good(1)]).certificate(day, SystemTime::UNIX_EPOCH), None);
}

#[test]
fn whatever_a_target_says_memory_is_bounded_and_equal_words_are_kept_once() {
    let long = "é".repeat(10_000);
    let stats = of((0..1000).map(|_| Outcome::Bad { why: long.clone(), found: Found::default() }));
    let results = stats.results();
    assert_eq!(results.len(), limits::PROBE_RESULTS_KEPT);
    let words: Vec<&Arc<str>> = results.iter().filter_map(|seen| seen.words.as_ref()).collect();
    assert_eq!(words[0].chars().count(), limits::PROBE_ERROR_LEN_MAX);
    assert!(words.iter().all(|other| Arc::ptr_eq(words[0], other)));
}
