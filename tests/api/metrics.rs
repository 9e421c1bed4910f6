//! The page that is scraped, and its documentation.

use meridian::telemetry::catalogue::{ALL, PROCESS};

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
