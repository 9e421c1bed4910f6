//! An order, a killed process, and what the next one knows.

use std::process::Command;

use hickory_proto::rr::RecordType::A;
use serde_json::Value;

use crate::node::{Node, Site};

const API: &str = "api.meta-driven.example.com.";
const SHANGHAI: Option<&str> = Some("202.96.209.0/24");

fn serve(site: Site) -> Node {
    site.serve_with(&["--listen", "127.0.0.1:0", "--state", "state"])
}

fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The calls of the reference automation, but for the host.
fn put(node: &Node, datacenter: &str) -> Value {
    let body = format!(r#"{{\"active_dc\": \"{datacenter}\"}}"#);
    let url = &node.api;
    let text =
        sh(&format!(r#"curl -X PUT "{url}/api/switch" -H "Content-Type: application/json" -d "{body}" 2>/dev/null"#));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn active(node: &Node) -> String {
    sh(&format!(r#"curl -sf "{}/api/active-dc" | jq -r '.dc'"#, node.api))
}

#[test]
fn an_order_that_was_acknowledged_outlives_a_killed_process() {
    let node = serve(Site::new());
    let answer = put(&node, "dc2");
    assert_eq!((&answer["changed"], &answer["durable"]), (&Value::Bool(true), &Value::Bool(true)), "{answer}");
    assert_eq!(active(&node), "dc2\n");
    assert_eq!(node.ask(API, A, SHANGHAI).answers(), ["A 1.1.1.2"]);
    let metrics = node.page("/metrics");
    for line in [
        "meridian_store_errors_total{what=\"journal\"} 0",
        "meridian_store_errors_total{what=\"keep\"} 0",
        "meridian_store_errors_total{what=\"note\"} 0",
        "meridian_store_refusing 0",
        "meridian_orders_total{order=\"switch\",outcome=\"applied\"} 1",
        "meridian_dns_questions_total{transport=\"udp\",type=\"A\"} 1",
        "meridian_dns_replies_total{transport=\"udp\",rcode=\"NOERROR\"} 1",
    ] {
        assert!(metrics.lines().any(|is| is == line), "{line} is not in\n{metrics}");
    }
    for name in
        ["meridian_store_last_commit_seconds ", "meridian_dns_kernel_drops_total{", "meridian_generation_age_seconds "]
    {
        assert!(metrics.lines().any(|is| is.starts_with(name)), "{name} is not in\n{metrics}");
    }
    let generation = answer["generation"].as_u64().unwrap();

    let node = serve(node.kill());
    assert_eq!(active(&node), "dc2\n");
    assert_eq!(node.ask(API, A, SHANGHAI).answers(), ["A 1.1.1.2"], "from the first answer on");
    let status = node.status();
    assert_eq!(status["revision"], answer["revision"]);
    assert!(status["generation"].as_u64().unwrap() > generation, "generations do not go back");
    let again = put(&node, "dc2");
    assert_eq!((&again["changed"], &again["revision"]), (&Value::Bool(false), &answer["revision"]));

    let undone = node.command(&["undo"]);
    assert_eq!(undone.status.code(), Some(0), "{undone:?}");
    let node = serve(node.kill());
    assert_eq!(node.ask(API, A, SHANGHAI).answers(), ["A 2.2.2.1"]);
    let log = node.site.run(&["history", "--state", "state"]);
    let log = String::from_utf8(log.stdout).unwrap();
    assert!(log.contains("switch r1") && log.contains("undo r2"), "{log}");
    assert_eq!(node.site.run(&["history", "--state", "state", "--verify"]).status.code(), Some(0));
}
