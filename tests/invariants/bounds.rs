//! Bounds that only show with all files at hand: they are refused, said once, and hidden by nothing.

use meridian::diag::Diagnostic;
use meridian::limits;
use meridian::model::Settings;

use super::common::Texts;

fn codes(texts: &Texts) -> (bool, Vec<(&'static str, String)>) {
    let (base, found) = texts.load(&Settings::default());
    (base.is_some(), found.iter().map(|found: &Diagnostic| (found.code, found.message.clone())).collect())
}

#[test]
fn one_location_map_too_many_is_refused_once_however_many_warnings_come_before() {
    // Every pair of these regions overlaps, and every pair is a rule set of its own.
    let regions: Vec<String> = (0..40).map(|n| format!("r{n}")).collect();
    let pairs = regions.iter().enumerate().flat_map(|(at, one)| regions[..at].iter().map(move |other| (one, other)));
    let rules: String = regions.iter().map(|region| format!("  {region}: {{ cidr: 10.0.0.0/8 }}\n")).collect();
    let mut texts = Texts::default().and_policy(&format!("regions:\n{rules}"));
    for (at, (one, other)) in pairs.take(limits::MAPS_MAX + 5).enumerate() {
        texts = texts.and_policy(&format!(
            "gslb: {{ domain: s{at:03}.example.com, endpoints: {{ a: {{ ip: 192.0.2.1 }} }}, \
             policies: {{ default: {{ type: geolocation }}, {one}: {{ primary: a }}, {other}: {{ primary: a }} }} }}"
        ));
    }
    let (is_good, found) = codes(&texts);
    assert!(!is_good);
    let errors: Vec<_> = found.iter().filter(|(code, _)| *code == "too-many-maps").collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].1.starts_with(&format!("s{}.example.com. ", limits::MAPS_MAX)), "{errors:?}");
    assert!(found.iter().filter(|(code, _)| *code == "regions-overlap").count() >= limits::DIAGNOSTICS_MAX - 1);
}
