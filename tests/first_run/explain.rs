//! What `explain` and policy tests say, beyond the answer itself.

use std::fs;

use crate::node::Site;

const BEIJING: &str = "219.141.136.0/24";

/// Two services of the zone that is shipped, one of them without checks, and names around them.
fn site() -> Site {
    let site = Site::new();
    let zone = "zones/meta-driven.example.com.zone";
    site.edit(
        zone,
        "www         300 IN  CNAME  shop",
        "www         300 IN  CNAME  shop\n\
         even2       IN CNAME even1\neven1 IN CNAME even\n\
         gone        IN CNAME nothing\naway IN CNAME www.elsewhere.test.\n\
         round1      IN CNAME round2\nround2 IN CNAME round1\n\
         old         IN DNAME sub\neven.sub IN CNAME even",
    );
    fs::write(
        site.path("zones/even.meta-driven.example.com.yaml"),
        "gslb:\n  domain: even.meta-driven.example.com\n  policies: { default: { type: weighted } }\n  \
         endpoints: { a: { ip: 192.0.2.1, weight: 3 }, b: { ip: 192.0.2.2 } }\n",
    )
    .unwrap();
    fs::write(
        site.path("zones/sticky.meta-driven.example.com.yaml"),
        "gslb:\n  domain: sticky.meta-driven.example.com\n  policies: { default: { type: sticky } }\n  \
         endpoints: { a: { ip: 192.0.2.1, weight: 3 }, b: { ip: 192.0.2.2, weight: 7 } }\n",
    )
    .unwrap();
    site
}

#[track_caller]
fn explain(site: &Site, label: &str, more: &[&str]) -> String {
    let name = if label.contains("elsewhere") { label.to_owned() } else { format!("{label}.meta-driven.example.com") };
    let output = site.run(&[&["explain", &name, "--offline"], more].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_alias_of_a_service_is_explained_as_the_service_with_every_answer() {
    let site = site();
    for (alias, count) in [("even1", 1), ("even2", 2), ("even.old", 2)] {
        let said = explain(&site, alias, &[]);
        for part in [
            "is an alias of even.meta-driven.example.com.: a resolver asks for even.meta-driven.example.com. by itself",
            "A 192.0.2.1   3 of 4",
            "A 192.0.2.2   1 of 4",
            "source   policy",
        ] {
            assert!(said.contains(part), "{alias}: {said}");
        }
        assert_eq!(said.matches("is an alias of").count(), count, "{said}");
        assert!(!said.contains("static data"), "{said}");
    }
    let said = explain(&site, "www", &["--client", BEIJING]);
    assert!(said.contains("A 192.0.2.11") && said.contains("region   "), "{said}");
    let said = explain(&site, "even1", &["--type", "CNAME"]);
    assert!(said.contains("static data: no policy decides this name"), "the alias itself: {said}");
    let json: serde_json::Value = serde_json::from_str(&explain(&site, "even1", &["--output", "json"])).unwrap();
    assert_eq!(json["name"], "even1.meta-driven.example.com.");
    assert_eq!(json["alias_of"], serde_json::json!(["even.meta-driven.example.com."]));
    assert_eq!(json["possible"].as_array().unwrap().len(), 2);
}

#[test]
fn what_no_policy_decides_is_told_apart() {
    let site = site();
    for (label, why) in [
        ("mx1", "static data: no policy decides this name"),
        ("round1", "static data: no policy decides this name"),
        ("nothing", "no such name: our zone has no nothing.meta-driven.example.com."),
        ("gone", "no such name: our zone has no nothing.meta-driven.example.com."),
        ("www.elsewhere.test", "refused: www.elsewhere.test. is in none of our zones"),
        ("away", "an alias of www.elsewhere.test., which is in none of our zones"),
        ("host.lab", "host.lab.meta-driven.example.com. is delegated"),
    ] {
        let said = explain(&site, label, &[]);
        assert!(said.contains(why), "{label}: {said}");
    }
}

#[test]
fn a_sticky_choice_has_its_own_weight() {
    let site = site();
    let mut seen = std::collections::BTreeSet::new();
    for net in 0..32 {
        let client = format!("198.51.{net}.0/24");
        let json: serde_json::Value =
            serde_json::from_str(&explain(&site, "sticky", &["--output", "json", "--client", &client])).unwrap();
        let one = &json["possible"][0];
        let weight = if one["endpoints"][0] == "a" { 3 } else { 7 };
        assert_eq!(one["weight"], weight, "{json:#}");
        seen.insert(weight);
    }
    assert_eq!(seen.len(), 2, "both were chosen");
}

#[test]
fn down_says_when_nobody_would_see_it() {
    let site = site();
    let said = explain(&site, "even", &["--down", "a"]);
    assert!(
        said.contains("has no health checks for even.meta-driven.example.com.: nobody would see it down"),
        "{said}"
    );
    let said = explain(&site, "api", &["--down", "dc1_beijing_primary"]);
    assert!(!said.contains("nobody would see"), "{said}");
}

#[test]
fn policy_tests_see_through_aliases() {
    let site = site();
    let test = |addresses: &str| {
        let text = format!(
            "tests:\n  - name: through the alias\n    service: even2.meta-driven.example.com\n    client: {BEIJING}\n    \
             expect: {{addresses: {addresses}}}\n"
        );
        fs::write(site.path("zones/more-tests.yaml"), text).unwrap();
        let output = site.run(&["check"]);
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (is_good, said) = test("[192.0.2.1, 192.0.2.2]");
    assert!(is_good, "{said}");
    let (is_good, said) = test("[192.0.2.1]");
    assert!(!is_good && said.contains("192.0.2.1, 192.0.2.2"), "{said}");
}
