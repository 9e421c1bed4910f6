//! What a node knows when it comes back.

use hickory_proto::rr::RecordType::A;

use crate::farm::{ANSWERED, Farm, has};
use crate::node::Node;

const API: &str = "api.meta-driven.example.com.";
const BEIJING: Option<&str> = Some("219.141.136.0/24");

fn gets(node: &Node, datacenter: usize) -> bool {
    node.ask(API, A, BEIJING).answers() == [format!("A {}", ANSWERED[datacenter - 1])]
}

#[test]
fn a_dead_data_centre_stays_dead_and_a_latch_stays_a_latch() {
    if !has("nginx") {
        return;
    }
    let mut farm = Farm::new();
    let node = farm.serve("");
    farm.centres[0].die();
    node.wait_until("clients move", |node| gets(node, 2));
    let generation = node.status()["generation"].as_u64().unwrap();
    let is_kept = |node: &Node| std::fs::read_dir(node.site.path("state")).is_ok_and(|dir| dir.count() > 1);
    node.wait_until("it is written down", is_kept);
    // Latches and health are written behind; give the last of it the time that the store promises.
    std::thread::sleep(std::time::Duration::from_secs(1));

    // Dead as a killed process, and dead the data centre is when it comes back: the first answer knows.
    let node = farm.serve_in(node.kill(), "");
    assert!(gets(&node, 2), "the first answer sends nobody to a dead data centre: {:#}", node.status());
    assert!(node.status()["generation"].as_u64().unwrap() > generation, "generations do not go back");

    // Recovered while nobody looked: the latch still keeps clients away.
    let site = node.kill();
    farm.centres[0].rise();
    let node = farm.serve_in(site, "");
    assert!(gets(&node, 2), "{:#}", node.status());
    node.wait_until("it waits for a person", |node| !node.status()["waiting"].as_array().unwrap().is_empty());
    assert!(gets(&node, 2), "{:#}", node.status());
}

#[test]
fn a_restart_of_a_well_node_answers_by_policy_at_once() {
    if !has("nginx") {
        return;
    }
    let farm = Farm::new();
    let site = farm.serve("").kill();
    let node = farm.serve_in(site, "");
    assert!(gets(&node, 1), "{:#}", node.status());
}
