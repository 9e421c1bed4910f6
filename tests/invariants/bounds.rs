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

/// A service with `regions` regions, 256 endpoints, and `addresses` of each family at each of them.
fn wide(regions: usize, addresses: usize) -> Texts {
    let endpoints: String = (0..limits::ENDPOINTS_MAX)
        .map(|at| {
            let v4: Vec<String> = (0..addresses).map(|n| format!("10.{n}.0.{at}")).collect();
            let v6: Vec<String> = (0..addresses).map(|n| format!("'2001:db8:{n}::{at:x}'")).collect();
            format!("    e{at}: {{ ip: [{}, {}], datacenter: one }}\n", v4.join(", "), v6.join(", "))
        })
        .collect();
    let rules: String = (1..=regions).map(|n| format!("  r{n}: {{ asn: {n} }}\n")).collect();
    let routes: String = (1..=regions).map(|n| format!("    r{n}: {{ primary: e0 }}\n")).collect();
    Texts::default().and_policy(&format!(
        "datacenters: {{ one: }}\nregions:\n{rules}gslb:\n  domain: wide.example.com\n  max_answers: 8\n  \
         https: {{ alpn: h2 }}\n  policies:\n    default: {{ type: geolocation }}\n{routes}  endpoints:\n{endpoints}"
    ))
}

#[test]
fn a_service_whose_answers_would_not_fit_a_chunk_is_refused_by_name() {
    let (is_good, found) = codes(&wide(20, 16));
    assert!(!is_good);
    let found: Vec<_> = found.iter().filter(|(code, _)| *code == "service-too-large").collect();
    assert!(found.len() == 1 && found[0].1.contains("wide.example.com"), "{found:?}");
    assert!(codes(&wide(20, 1)).0, "what is merely large loads");
}

#[test]
fn names_beside_addresses_are_told_and_a_deliberate_closed_is_not() {
    let text = |other: &str| {
        Texts::policy(&format!(
            "gslb:\n  domain: x.example.com\n  all_down: closed\n  policies: {{ default: {{ type: geolocation, \
             fallback: none }}, beijing: {{ primary: a, secondary: b }} }}\n  endpoints: {{ a: {{ ip: [192.0.2.1, \
             '2001:db8::1'] }}, b: {{ {other} }} }}\n"
        ))
        .and_zone(
            "example.com",
            "$ORIGIN example.com.\n$TTL 300\n@ SOA ns1 h 1 7200 900 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n",
        )
    };
    let told = |texts: &Texts| codes(texts).1.iter().filter(|(code, _)| *code == "client-dependent-nodata").count();
    assert_eq!(told(&text("cname: b.example.net")), 1);
    assert_eq!(told(&text("ip: [192.0.2.2, '2001:db8::2']")), 0);
}
