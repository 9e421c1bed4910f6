//! The page that is scraped, and its documentation.

use meridian::model::State;
use meridian::telemetry::catalogue::{ALL, PROCESS};
use serde_json::json;

use super::calls::compare;
use super::house::House;

#[test]
fn the_page_shows_routing_health_and_requests_and_nothing_undocumented() {
    let house = House::open();
    house.get("/api/status");
    house.get("/nowhere");
    let page = house.get("/metrics");
    assert_eq!(page.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        &format!("meridian_generation {}", house.generation()),
        "meridian_services 2",
        "meridian_datacenter_state{datacenter=\"dc1\",state=\"up\"} 1",
        "meridian_datacenter_endpoints{datacenter=\"dc1\",state=\"up\"} 2",
        "meridian_datacenter_admin{datacenter=\"dc3\",state=\"in\"} 1",
        "meridian_endpoint_state{service=\"b.example.com.\",endpoint=\"dc2_beijing\",datacenter=\"dc2\",state=\"down\"} 0",
        "meridian_api_requests_total{method=\"GET\",route=\"/api/status\",status=\"200\"} 1",
        "meridian_api_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 1",
        "meridian_blind 0",
        "meridian_probes_started_total 55",
        "meridian_probes_late_total 3",
        "meridian_targets{datacenter=\"dc1\",check=\"live\"} 2",
        "meridian_probe_results_total{datacenter=\"dc1\",check=\"live\",result=\"blind\"} 4",
        "meridian_probe_duration_seconds_sum{datacenter=\"dc1\",check=\"live\"} 1",
    ] {
        assert!(page.text.lines().any(|is| is == line), "{line} is not in\n{}", page.text);
    }
    // Those of the requests before may not have ended yet.
    let connections = page.text.lines().find_map(|line| line.strip_prefix("meridian_api_connections "));
    assert!(connections.is_some_and(|count| count.parse::<u32>().unwrap() >= 1), "{connections:?}");
    for line in page.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let known = ALL.iter().chain(PROCESS).find(|metric| metric.name == name);
        assert_eq!(known.map(|metric| metric.kind.as_str()), Some(kind), "{name}");
    }
}

#[test]
fn orders_are_counted_by_what_came_of_them_and_refusals_by_rule() {
    let house = House::with(|plan, _| plan.is_stored = true);
    let switch = |body: serde_json::Value| house.order("PUT", "/api/switch", &body).status.as_u16();
    assert_eq!(switch(json!({ "active_dc": "dc2", "dry_run": true })), 200);
    assert_eq!(switch(json!({ "active_dc": "dc2" })), 200);
    assert_eq!(switch(json!({ "active_dc": "dc2" })), 200);
    assert_eq!(switch(json!({ "active_dc": "dc9" })), 404);
    assert_eq!(switch(json!({ "active_dc": "dc3", "actor": "another" })), 409);
    house.see("dc3", State::Down);
    assert_eq!(switch(json!({ "active_dc": "dc3", "force": ["contended"] })), 409);
    assert_eq!(house.order("PUT", "/api/gate", &json!({ "gate": "closed" })).status, 200);
    assert_eq!(switch(json!({ "active_dc": "dc1", "force": ["gate"] })), 200);
    let key = [("content-type", "application/json"), ("idempotency-key", "k")];
    let drain =
        || house.send("POST", "/api/datacenters/dc3/drain", &key, Some(json!({ "force": ["gate"] }).to_string()));
    assert_eq!((drain().status.as_u16(), drain().status.as_u16()), (200, 200));
    let text = house.get("/metrics").text;
    for line in [
        "meridian_orders_total{order=\"switch\",outcome=\"dry-run\"} 1",
        "meridian_orders_total{order=\"switch\",outcome=\"applied\"} 2",
        "meridian_orders_total{order=\"switch\",outcome=\"unchanged\"} 1",
        "meridian_orders_total{order=\"switch\",outcome=\"refused\"} 3",
        "meridian_orders_total{order=\"drain\",outcome=\"repeated\"} 1",
        "meridian_order_refusals_total{rule=\"invalid\"} 1",
        "meridian_order_refusals_total{rule=\"contended\"} 1",
        "meridian_order_refusals_total{rule=\"target-unhealthy\"} 1",
        "meridian_orders_forced_total{rule=\"gate\"} 2",
    ] {
        assert!(text.lines().any(|is| is == line), "{line} is not in\n{text}");
    }
}

#[test]
fn every_metric_is_documented() {
    let mut page = String::from(
        "# Metrics\n\n`GET /metrics`, in the Prometheus text format. A test compares this page with the program.\n\n\
         | metric | kind | labels | |\n|---|---|---|---|\n",
    );
    for metric in ALL.iter().chain(PROCESS) {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind) = (metric.name, metric.kind.as_str());
        page.push_str(&format!("| `{name}` | {kind} | {} | {} |\n", labels.join(", "), metric.help));
    }
    compare("docs/metrics.md", &page);
}
