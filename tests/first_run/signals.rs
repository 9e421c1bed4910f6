//! Reload and stop.

use std::fs;

use hickory_proto::rr::RecordType::A;

use crate::node::{Node, Site};

const API: &str = "api.meta-driven.example.com.";
const FILE: &str = "zones/api.meta-driven.example.com.yaml";
const BEIJING: Option<&str> = Some("219.141.136.0/24");

fn reload(node: &mut Node) -> String {
    node.signal("HUP");
    let before = node.stderr.seen.len();
    node.stderr.until(|line| line.contains("reloaded")).expect("an outcome");
    node.stderr.seen[before..].join("\n")
}

/// The generation that a reload's outcome names.
fn generation(said: &str) -> u64 {
    let (_, after) = said.rsplit_once("generation=").expect("a generation");
    after.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn a_good_change_takes_effect_on_sighup() {
    let mut node = Site::new().serve();
    assert_eq!(node.ask(API, A, BEIJING).answers(), ["A 1.1.1.1"]);
    node.site.edit(FILE, "primary: dc1_beijing_primary", "primary: dc2_beijing_standby");
    node.site.edit(FILE, "secondary: dc2_beijing_standby", "secondary: dc1_beijing_primary");
    assert_eq!(node.ask(API, A, BEIJING).answers(), ["A 1.1.1.1"], "not before it is told to");
    let said = reload(&mut node);
    assert!(said.contains("INFO") && generation(&said) > 1, "{said}");
    assert_eq!(node.ask(API, A, BEIJING).answers(), ["A 1.1.1.2"]);
}

#[test]
fn a_broken_file_changes_nothing_and_the_log_says_where_and_why() {
    let mut node = Site::new().serve();
    node.site.edit(FILE, "weight: 100", "wieght: 100");
    let said = reload(&mut node);
    assert!(said.contains("error[unknown-field]: an endpoint has no field `wieght`"), "{said}");
    assert!(said.contains("api.meta-driven.example.com.yaml:33:7"), "{said}");
    assert!(said.contains("did you mean `weight`?"), "{said}");
    assert!(said.contains("not reloaded"), "{said}");
    let before = generation(&said);
    assert_eq!(node.ask(API, A, BEIJING).answers(), ["A 1.1.1.1"]);

    node.site.edit(FILE, "wieght: 100", "weight: 100");
    node.site.edit(FILE, "ip: 1.1.1.1", "ip: 1.1.1.9");
    assert!(generation(&reload(&mut node)) > before);
    assert_eq!(node.ask(API, A, BEIJING).answers(), ["A 1.1.1.9"]);
}

#[test]
fn databases_that_are_gone_or_broken_do_not_replace_those_that_serve() {
    let mut node = Site::new().serve();
    fs::rename(node.site.path("geoip"), node.site.path("geoip.away")).unwrap();
    let said = reload(&mut node);
    assert!(said.contains("not reloaded") && said.contains("error[geoip]"), "{said}");
    assert_eq!(node.ask(API, A, BEIJING).answers(), ["A 1.1.1.1"]);

    fs::rename(node.site.path("geoip.away"), node.site.path("geoip")).unwrap();
    fs::write(node.site.path("geoip/10-sample.mmdb"), b"no database").unwrap();
    let said = reload(&mut node);
    assert!(said.contains("not reloaded") && said.contains("10-sample.mmdb"), "{said}");
    assert_eq!(node.ask(API, A, BEIJING).answers(), ["A 1.1.1.1"]);
}

#[test]
fn a_zones_directory_that_is_gone_does_not_replace_what_serves() {
    let mut node = Site::new().serve();
    fs::rename(node.site.path("zones"), node.site.path("zones.away")).unwrap();
    assert!(reload(&mut node).contains("not reloaded"));
    assert_eq!(node.ask(API, A, BEIJING).answers(), ["A 1.1.1.1"]);
}

#[test]
fn it_stops_cleanly_when_it_is_told_to() {
    for signal in ["TERM", "INT"] {
        // Straight after its first words: nothing is lost between them and the first look for signals.
        let mut node = Site::new().serve();
        node.signal(signal);
        assert_eq!(node.wait().code(), Some(0), "SIG{signal}");
        let said = node.stderr.rest().join("\n");
        assert!(said.contains("stopping"), "{said}");
    }
}

#[test]
fn a_reload_straight_after_its_first_words_is_not_its_end() {
    let mut node = Site::new().serve();
    assert!(generation(&reload(&mut node)) > 1);
    assert_eq!(node.ask(API, A, BEIJING).answers(), ["A 1.1.1.1"]);
}
