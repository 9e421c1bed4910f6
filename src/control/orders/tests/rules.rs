//! Each rule refuses what makes things worse, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::desk::{Desk, REFERENCE, datacenters, drain, pin, request, switch, three};
use crate::control::orders::*;
use crate::model::{EntryState, Generation, State};
use crate::table::RoutingTable;

/// Facts, the order, and the rules that refuse it.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    ("", "switch dc2", ""),
    // The target is worse than what serves.
    ("down dc2", "switch dc2", "target-unhealthy"),
    ("down dc2", "switch dc2 forced", "target-unhealthy"),
    ("down dc2", "pin dc2", "target-unhealthy"),
    ("down dc2", "pin dc2 forced", ""),
    ("unknown dc2", "switch dc2", "target-unhealthy"),
    ("down dc2", "switch beijing", ""),
    ("down dc1; down dc2", "switch beijing", "target-unhealthy"),
    // That several things are broken is no reason.
    ("down dc1; down dc2; down dc3", "switch dc2", ""),
    ("unknown dc1; unknown dc2; unknown dc3", "switch dc2", ""),
    ("down dc1; down dc3; unknown dc2", "switch dc2", ""),
    ("down dc1; unknown dc2; down dc3", "switch dc3", "target-unhealthy"),
    ("out dc1; down dc2; down dc3", "switch dc3", ""),
    // Ordered out is out, whatever else is broken; what is forced is forced.
    ("out dc2", "switch dc2", "target-out"),
    ("out dc2; down dc1; down dc3", "switch dc2", "target-out"),
    ("forced-down dc2", "switch dc2", "target-out"),
    ("out dc2", "switch beijing", ""),
    ("forced-up dc2; down dc2", "switch dc2", ""),
    // A pin to what is out would leave nothing.
    ("out dc2", "pin dc2", "target-out last-dc"),
    ("out dc2", "pin dc2 forced", ""),
    // Forced down is out, whatever part of it was forced up.
    ("forced-up dc2; forced-down dc2", "switch dc2", "target-out"),
    // The last to answer.
    ("", "drain dc1", ""),
    ("", "drain dc1,dc2", ""),
    ("", "drain dc1,dc2,dc3", "last-dc"),
    ("down dc2; down dc3", "drain dc1", "last-dc"),
    ("down dc2; down dc3", "force-down dc1", "last-dc"),
    ("down dc1; down dc2; down dc3", "drain dc1", ""),
    ("down dc1; down dc2; down dc3", "drain dc1,dc2,dc3", "last-dc"),
    ("out dc1; out dc2", "drain dc3", "last-dc"),
    ("out dc1; out dc2", "drain dc3 forced", ""),
    ("down dc1; down dc2", "drain dc1", ""),
    // Clearing makes nothing worse by itself.
    ("switch dc2; down dc1; down dc3", "clear", ""),
    // Contended: another actor, another data centre, just now, and it is usable.
    ("switch dc3 by bob", "switch dc2", "contended"),
    ("switch dc3 by ann", "switch dc2", ""),
    ("switch dc3 by bob; down dc3", "switch dc2", ""),
    ("switch dc3 by bob; wait 300", "switch dc2", ""),
    ("switch dc3 by bob; wait 299", "switch dc2", "contended"),
    ("switch dc3 by bob", "switch dc2 forced", ""),
    ("switch dc3 by bob; switch dc2 by carl forced", "switch dc2", ""),
    ("switch dc3 by bob", "drain dc2", ""),
    // The gate.
    ("gate closed", "switch dc2", ""),
    ("gate closed", "switch dc2 robot", "gate"),
    ("gate closed; gate open", "switch dc2 robot", ""),
    ("gate closed", "gate open robot", "gate"),
    // What stands already is asked nothing.
    ("switch dc2; down dc2; gate closed", "switch dc2 robot", ""),
    ("drain dc3; down dc1; down dc2", "drain dc3", ""),
    // Pins.
    ("", "pin dc2", ""),
    ("", "pin dc2 forever", "pin-needs-expiry"),
    ("", "pin dc2 long", "pin-needs-expiry"),
];

pub(super) fn parse(words: &str) -> Request {
    let words: Vec<&str> = words.split(' ').collect();
    let subject = || datacenters(&[words[1]]);
    let mut made = match words[0] {
        "switch" => switch(words[1]),
        "pin" => pin(words[1]),
        "clear" => request(Order::ClearSwitch { whom: Whom::all() }),
        "drain" | "out" => drain(&[words[1]]),
        "forced-down" | "force-down" => request(Order::Force { subject: subject(), to: Some(Forcing::Down) }),
        "forced-up" => request(Order::Force { subject: subject(), to: Some(Forcing::Up) }),
        "gate" => request(Order::Gate { is_open: words[1] == "open", role: None }),
        other => panic!("no such order: {other}"),
    };
    if let Some(by) = words.iter().position(|word| *word == "by") {
        made = made.by(words[by + 1]);
    }
    for word in words {
        match word {
            "forced" => made.force = Rule::ALL.into(),
            "forever" => made.expires_in = None,
            "long" => made.expires_in = Some(Duration::from_secs(86_401)),
            "robot" => made.sender.is_robot = true,
            _ => {}
        }
    }
    made
}

pub(super) fn prepare(desk: &mut Desk, facts: &str) {
    for fact in facts.split(';').map(str::trim).filter(|fact| !fact.is_empty()) {
        let words: Vec<&str> = fact.split(' ').collect();
        match words[0] {
            "down" => drop(desk.see(&[words[1]], State::Down)),
            "unknown" => drop(desk.see(&[words[1]], State::Unknown)),
            "wait" => drop(desk.at(desk.now_s + words[1].parse::<u64>().unwrap())),
            _ => drop(desk.order(parse(fact)).unwrap()),
        }
    }
}

#[test]
fn every_row_comes_out_as_the_table_says() {
    let mut wrong = Vec::new();
    let text = format!("{REFERENCE}\n---\ngroups:\n  beijing: [dc1, dc2]\n");
    for (facts, order, expected) in TABLE {
        let mut desk = Desk::new(&text);
        prepare(&mut desk, facts);
        let (before, store) = (desk.book.clone(), desk.store.clone());
        let request = parse(order);
        let refused = desk.refused(&request).join(" ");
        if refused != *expected {
            wrong.push(format!("{facts:?}, then {order}: expected {expected:?}, got {refused:?}"));
            continue;
        }
        let done = desk.order(request);
        assert_eq!(done.is_ok(), expected.is_empty());
        if !expected.is_empty() {
            assert_eq!((&desk.book, &desk.store), (&before, &store), "a refused order leaves no trace");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn forcing_names_each_rule_and_is_told() {
    let mut desk = Desk::new(REFERENCE);
    prepare(&mut desk, "out dc2");
    assert_eq!(desk.refused(&pin("dc2").forcing(&[Rule::TargetOut])), ["last-dc"]);
    assert_eq!(desk.refused(&pin("dc2").forcing(&[Rule::LastDc])), ["target-out"]);
    let answer = desk.order(pin("dc2").forcing(&[Rule::LastDc, Rule::TargetOut])).unwrap();
    assert_eq!(answer.forced, [Rule::LastDc, Rule::TargetOut].into());
    assert!(answer.warnings.iter().any(|warning| warning.contains("overridden")), "{:?}", answer.warnings);
    assert_eq!(desk.all(), "- - -", "ordered out is out, by no rule and no force");
    for rule in Rule::ALL {
        assert_eq!(Rule::parse(rule.as_str()), Some(rule));
    }
}

#[test]
fn one_services_sick_endpoint_is_a_warning_unless_the_service_is_named() {
    let mut desk = Desk::new(&three());
    let home = desk.service("home");
    let key = crate::model::AddressKey { service: home, endpoint: crate::model::EndpointIx(1), address: 0 };
    desk.health.health.of.insert(key, crate::model::Verdict::of(State::Down));
    assert_eq!(desk.refused(&switch("dc2")), Vec::<&str>::new());
    let (answer, _) = desk.dry(&switch("dc2")).unwrap();
    assert!(answer.warnings.iter().any(|warning| warning.starts_with("target-unhealthy, for 1 of 2")), "{answer:?}");
    let both = ["home.example.com", "api.meta-driven.example.com"];
    assert_eq!(desk.refused(&switch("dc2").services(&both)), ["target-unhealthy"]);
}

#[test]
fn so_many_data_centres_must_stay_usable() {
    let mut desk = Desk::new(REFERENCE);
    desk.settings.min_datacenters = Some(2);
    assert_eq!(desk.refused(&drain(&["dc1"])), Vec::<&str>::new());
    assert_eq!(desk.refused(&drain(&["dc1,dc2"])), ["min-datacenters"]);
    desk.down(&["dc2", "dc3"]);
    assert_eq!(desk.refused(&drain(&["dc2"])), Vec::<&str>::new(), "it is down already, so no fewer are left");
    assert_eq!(desk.refused(&switch("dc1")), Vec::<&str>::new());
}

#[test]
fn an_unmet_entry_condition_refuses_while_something_better_serves() {
    let text = REFERENCE
        .replace(
            "secondary: dc2_beijing_standby\n      tertiary: dc3_shanghai_dr",
            "tiers: [dc1_beijing_primary, {endpoint: dc2_beijing_standby, after: 20s}, dc3_shanghai_dr]",
        )
        .replacen("      primary: dc1_beijing_primary\n", "", 1);
    let mut desk = Desk::new(&text);
    let beijing = desk.policy().services[0].policy.routes[0].region;
    let key = (desk.service("api"), beijing, 1);
    desk.health.entries.insert(key, EntryState::Unmet("replication lags".into()));
    desk.up(&["dc1"]);
    let mut only = switch("dc2");
    let Order::Switch { whom, .. } = &mut only.order else { panic!() };
    whom.regions = Some(BTreeSet::from(["beijing".to_owned()]));
    assert_eq!(desk.refused(&only), ["target-not-ready"]);
    assert_eq!(desk.refused(&only.clone().forcing(&[Rule::TargetNotReady])), Vec::<&str>::new());
    desk.down(&["dc1", "dc3"]);
    assert_eq!(desk.refused(&only), Vec::<&str>::new(), "nothing else is up");
    desk.up(&["dc1"]).health.entries.insert(key, EntryState::Met);
    desk.up(&["dc1"]);
    assert_eq!(desk.refused(&only), Vec::<&str>::new());
}

#[test]
fn a_geofence_is_not_broken_and_that_is_told() {
    let mut desk = Desk::new(&three());
    let answer = desk.order(switch("dc3").services(&["two.example.com"])).unwrap();
    assert_eq!((desk.of("two", "beijing"), desk.of("two", "elsewhere")), ("dc1".into(), "dc3".into()));
    assert!(answer.warnings.iter().any(|warning| warning.contains("geofence")), "{:?}", answer.warnings);
}

#[test]
fn a_store_that_does_not_take_orders_refuses_unless_that_is_forced() {
    let request = switch("dc2");
    let mut judgement = Judgement::default();
    judgement.add(&request, not_durable(None));
    assert!(judgement.refusals.is_empty());
    judgement.add(&request, not_durable(Some("the disk is full")));
    assert_eq!(judgement.refusals[0].rule, Rule::NotDurable);
    let mut judgement = Judgement::default();
    judgement.add(&request.forcing(&[Rule::NotDurable]), not_durable(Some("the disk is full")));
    assert_eq!((judgement.refusals.len(), judgement.overridden), (0, [Rule::NotDurable].into()));
}

#[test]
fn health_that_moved_while_the_journal_worked_is_judged_again() {
    let desk = Desk::new(REFERENCE);
    let (_, first) = desk.dry(&switch("dc2")).unwrap();
    assert!(first.is_changed());
    let mut later = Desk::new(REFERENCE);
    later.down(&["dc2"]);
    assert_eq!(later.refused(&switch("dc2")), ["target-unhealthy"], "the same order, on the ground as it is then");
    let table = RoutingTable::compile(&desk.base, Arc::new(desk.world()), Generation(1));
    assert!(table.answers_like(&desk.table) || !Arc::ptr_eq(table.base(), desk.table.base()));
}
