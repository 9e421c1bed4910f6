//! Each way in which a data centre dies, and what DNS answers then.

use std::time::Duration;

use hickory_proto::rr::RecordType::A;

use crate::farm::{ANSWERED, Farm, has};
use crate::node::Node;

const API: &str = "api.meta-driven.example.com.";
const BEIJING: Option<&str> = Some("219.141.136.0/24");
const SHANGHAI: Option<&str> = Some("202.96.209.0/24");

/// What the reference file promises: a fall is in the answers within so long.
const PROMISE: Duration = Duration::from_secs(10);

fn gets(node: &Node, client: Option<&str>, datacenter: usize) -> bool {
    node.ask(API, A, client).answers() == [format!("A {}", ANSWERED[datacenter - 1])]
}

/// dc1 dies as `death` says; its clients move to dc2 within the promise, nobody else's do, and nothing comes back.
#[track_caller]
fn dies(death: impl FnOnce(&mut Farm)) {
    if !has("nginx") {
        return;
    }
    let mut farm = Farm::new();
    let node = farm.serve("  hold_down: 1s\n");
    assert!(gets(&node, BEIJING, 1) && gets(&node, SHANGHAI, 3), "{:#}", node.status());
    death(&mut farm);
    let took = node.wait_until("clients move", |node| gets(node, BEIJING, 2));
    assert!(took < PROMISE, "{took:?}");
    assert!(gets(&node, SHANGHAI, 3));
}

#[test]
fn connections_are_refused() {
    dies(|farm| farm.centres[0].die());
}

#[test]
fn connections_are_accepted_and_nothing_is_said() {
    dies(|farm| farm.centres[0].hang());
}

#[test]
fn every_answer_is_a_500() {
    dies(|farm| {
        farm.centres[0].says(500, "oops");
        farm.centres[0].reread();
    });
}

#[test]
fn the_actuator_says_down() {
    dies(|farm| {
        farm.centres[0].says(200, "{\"status\":\"DOWN\"}");
        farm.centres[0].reread();
    });
}

#[test]
fn all_of_beijing_dies_and_its_clients_go_to_shanghai() {
    if !has("nginx") {
        return;
    }
    let mut farm = Farm::new();
    let node = farm.serve("");
    farm.centres[0].die();
    farm.centres[1].die();
    let took = node.wait_until("clients move", |node| gets(node, BEIJING, 3));
    assert!(took < PROMISE, "{took:?}");
}

#[test]
fn a_data_centre_that_comes_back_waits_for_a_person() {
    if !has("nginx") {
        return;
    }
    let mut farm = Farm::new();
    let node = farm.serve("  hold_down: 1s\n");
    farm.centres[0].die();
    node.wait_until("clients move", |node| gets(node, BEIJING, 2));
    farm.centres[0].rise();
    node.wait_until("it waits", |node| !node.status()["waiting"].as_array().unwrap().is_empty());
    assert!(gets(&node, BEIJING, 2));
    let metrics = node.page("/metrics");
    let up = r#"meridian_endpoint_state{service="api.meta-driven.example.com.",endpoint="dc1_beijing_primary",datacenter="dc1",state="up"} 1"#;
    assert!(metrics.lines().any(|line| line == up), "{metrics}");
    assert_eq!(node.command(&["failback", "dc1"]).status.code(), Some(0));
    node.wait_until("clients come back", |node| gets(node, BEIJING, 1));
}
