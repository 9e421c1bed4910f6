//! What a newcomer does with the stand-ins.

use std::fs;

use hickory_proto::rr::RecordType::A;

use crate::node::{Node, Site};

const API: &str = "api.meta-driven.example.com.";
const BEIJING: Option<&str> = Some("219.141.136.0/24");

/// The demo on copies of the shipped files, with short hold-downs.
fn serve() -> Node {
    let site = Site::new();
    fs::write(site.path("node.yaml"), "health: {hold_down: 1s}\n").unwrap();
    site.serve_with(&["--listen", "127.0.0.1:0", "--config", "node.yaml"])
}

fn beijing_gets(node: &Node, address: &str) -> bool {
    node.ask(API, A, BEIJING).answers() == [format!("A {address}")]
}

#[track_caller]
fn told(node: &Node, arguments: &[&str]) {
    let output = node.command(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
}

#[test]
fn its_first_lines_say_that_nothing_real_is_probed() {
    let mut node = serve();
    node.stdout.until(|line| line.starts_with("try")).unwrap();
    let said = node.stdout.seen[..3].join("\n");
    assert!(said.contains("stand-in") && said.contains("127.0.0.11"), "{said}");
}

#[track_caller]
fn dies_and_comes_back(mode: &str) {
    let node = serve();
    assert!(beijing_gets(&node, "1.1.1.1"), "all is well before doors open");
    let page = node.command(&["status"]);
    assert_eq!(page.status.code(), Some(0), "{}", String::from_utf8_lossy(&page.stdout));

    told(&node, &["demo", mode, "dc1"]);
    node.wait_until("Beijing's clients move to the standby", |node| beijing_gets(node, "1.1.1.2"));
    assert_eq!(node.command(&["status"]).status.code(), Some(3), "something is down");

    told(&node, &["demo", "recover", "dc1"]);
    let waits = |node: &Node| node.status()["waiting"].as_array().is_some_and(|waiting| !waiting.is_empty());
    node.wait_until("status says what waits for a person", waits);
    let page = String::from_utf8(node.command(&["status"]).stdout).unwrap();
    let first = page.lines().take(2).collect::<Vec<_>>().join("\n");
    assert!(first.contains("recovered, waiting for you"), "{page}");
    assert!(first.contains("meridian failback dc1"), "{page}");
    assert!(beijing_gets(&node, "1.1.1.2"), "nothing comes back by accident");

    told(&node, &["failback", "dc1", "--reason", "it is well"]);
    node.wait_until("Beijing's clients come back", |node| beijing_gets(node, "1.1.1.1"));
    assert_eq!(node.command(&["demo", "fail", "dc9"]).status.code(), Some(5), "there is no such stand-in");
}

#[test]
fn one_that_refuses_connections_loses_its_clients_until_they_are_sent_back() {
    dies_and_comes_back("fail");
}

#[test]
fn one_that_says_nothing_loses_its_clients_until_they_are_sent_back() {
    dies_and_comes_back("hang");
}

#[test]
fn one_that_says_that_it_is_down_loses_its_clients_until_they_are_sent_back() {
    dies_and_comes_back("lie");
}
