//! What each call answers.

use std::fs;
use std::process::Command;
use std::time::Duration;

use meridian::demo::Mode;
use meridian::model::{Moment, State};
use serde_json::{Value, json};

use super::house::{House, POLICY, ailing, id};

#[test]
fn whatever_reflects_routing_carries_node_generation_and_revision() {
    let house = House::open();
    for path in [
        "/readyz",
        "/api/status",
        "/api/datacenters",
        "/api/datacenters/dc1",
        "/api/datacenters/BEIJING",
        "/api/services",
        "/api/services/a.example.com",
        "/api/active-dc",
        "/api/active-dc?service=A.example.com.",
        "/api/explain?name=a.example.com&client=10.1.2.3",
        "/api/facts",
    ] {
        let reply = house.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        assert_eq!(reply.headers["content-type"], "application/json", "{path}");
        assert_eq!(reply.headers["cache-control"], "no-store", "{path}");
        let body = reply.json();
        assert_eq!(
            (&body["node"], &body["generation"], &body["revision"]),
            (&json!("gtm1"), &json!(house.generation()), &json!(0)),
            "{path}"
        );
    }
    assert_eq!(house.get("/livez").json(), json!({ "status": "live" }));
    assert_eq!(house.send("HEAD", "/api/status", &[], None).text, "");
    assert_eq!(house.send("GET", "/livez", &[("host", "any.example")], None).status, 200);
}

#[test]
fn a_node_without_open_sockets_is_not_ready() {
    let mut house = House::open();
    assert_eq!(house.get("/readyz").json()["status"], "ready");
    assert!(house.close());
}

#[test]
fn every_error_is_a_problem() {
    let house = House::open();
    let problem = |method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>| {
        house.send(method, path, headers, body.map(str::to_owned)).problem()
    };
    let is = |status: u16, kind: &str| (status, kind.to_owned());
    let json = [("content-type", "application/json")];
    assert_eq!(problem("GET", "/api/statsu", &[], None), is(404, "unknown-path"));
    assert_eq!(problem("GET", "/api/status/", &[], None), is(404, "unknown-path"));
    assert_eq!(problem("GET", "/", &[], None), is(404, "unknown-path"));
    assert_eq!(problem("DELETE", "/api/status", &[], None), is(405, "method-not-allowed"));
    assert_eq!(problem("POST", "/api/reload", &json, Some("{")), is(400, "malformed-body"));
    assert_eq!(problem("POST", "/api/reload", &json, Some("[]")), is(422, "invalid-value"));
    assert_eq!(problem("POST", "/api/reload", &json, Some(&" ".repeat(70_000))), is(413, "body-too-large"));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(problem("POST", "/api/reload", &form, Some("{}")), is(415, "unsupported-media-type"));
    assert_eq!(problem("POST", "/api/reload", &form, None), is(415, "unsupported-media-type"));
    assert_eq!(problem("POST", "/api/reload", &[], Some("{}")), is(415, "unsupported-media-type"));
    assert_eq!(problem("GET", "/api/status?watch=1", &[], None), is(422, "unknown-field"));
    assert_eq!(problem("GET", "/api/datacenters/dc9", &[], None), is(404, "unknown-dc"));
    assert_eq!(problem("GET", "/api/services/c.example.com", &[], None), is(404, "unknown-service"));
    assert_eq!(problem("GET", "/api/active-dc?service=c.example.com", &[], None), is(404, "unknown-service"));
    assert_eq!(problem("GET", "/api/explain", &[], None), is(422, "invalid-value"));
    assert_eq!(problem("POST", "/api/demo/dc1/fail", &[], None), is(404, "no-demo"));
    let allow = house.send("DELETE", "/api/status", &[], None).headers["allow"].to_str().unwrap().to_owned();
    assert!(allow.contains("GET"), "{allow}");
    let mut gone = House::open();
    gone.end_control();
    assert_eq!(gone.send("POST", "/api/reload", &[], None).problem(), is(503, "no-control"));
    let near = house.get("/api/services/aa.example.com").json();
    assert_eq!(near["nearest"], "a.example.com.");
}

#[test]
fn a_misspelt_dry_run_is_never_a_real_order() {
    let house = House::open();
    house.latch();
    let reply = house.order("POST", "/api/datacenters/dc1/failback", &json!({ "dryrun": true }));
    assert_eq!(reply.problem(), (422, "unknown-field".to_owned()));
    assert_eq!(reply.json()["nearest"], "dry_run");
    assert!(house.status().waiting_for_you().next().is_some(), "nothing was done");
}

#[test]
fn a_dry_run_of_a_failback_changes_nothing_and_says_what_the_deed_does() {
    let house = House::open();
    house.latch();
    let before = house.generation();
    let order = |body: Value| house.order("POST", "/api/datacenters/dc1/failback", &body).json();
    let dry = order(json!({ "dry_run": true }));
    assert_eq!((&dry["dry_run"], &dry["changed"], house.generation()), (&json!(true), &json!(true), before));
    let deed = order(json!({}));
    for field in ["changed", "services", "services_skipped", "released", "kept", "datacenters", "warnings"] {
        assert_eq!(dry[field], deed[field], "{field}");
    }
    assert_eq!(deed["generation"], before + 1);
    assert!(deed["last_old_answer_expires_at"].is_string(), "{deed}");
    let again = order(json!({}));
    assert_eq!((&again["changed"], &again["last_old_answer_expires_at"]), (&json!(false), &Value::Null));
}

#[test]
fn a_failback_names_data_centres_as_people_do_and_is_answered_as_an_order() {
    let house = House::open();
    house.latch();
    let body = json!({ "services": "a.example.com", "reason": "storage is back", "actor": "kim" });
    let json = ("content-type", "application/json; charset=utf-8");
    let send = |path: &str, headers: &[(&str, &str)]| house.send("POST", path, headers, Some(body.to_string()));
    let path = "/api/datacenters/dc1,DC3/failback";
    assert_eq!(send(path, &[json, ("if-match", "\"2\"")]).problem(), (412, "precondition-failed".to_owned()));
    assert_eq!(send(path, &[json, ("if-match", "x")]).problem().0, 422);
    let done = send(path, &[json, ("if-match", "\"0\"")]).json();
    assert_eq!(done["datacenters"], json!(["dc1", "dc3"]));
    assert_eq!((&done["node"], &done["revision"], &done["changed"]), (&json!("gtm1"), &json!(1), &json!(true)));
    assert_eq!(done["services"], json!(["a.example.com."]));
    assert_eq!((&done["nodes"][0]["node"], &done["nodes"][0]["generation"]), (&json!("gtm1"), &done["generation"]));
    assert_eq!(house.status().moves.back().unwrap().why, "failback ordered by kim (loopback)");
}

#[test]
fn a_failback_to_what_is_down_does_nothing_and_says_so() {
    let house = House::open();
    house.see("dc1", State::Down);
    let done = house.order("POST", "/api/datacenters/beijing/failback", &json!({})).json();
    assert_eq!((&done["changed"], done["kept"][0]["id"].as_str()), (&json!(false), Some("dc1_beijing")));
    assert!(done["warnings"][0].as_str().unwrap().starts_with("dc1_beijing is not up"), "{done}");
}

#[test]
fn an_ambiguous_name_comes_back_with_its_candidates() {
    let house = House::open();
    // `dc1` leads to one; `dc` to nothing: words end at `_`.
    let problem = house.get("/api/datacenters/dc");
    assert_eq!(problem.problem(), (404, "unknown-dc".to_owned()));
    let more = "gslb:\n  domain: c.example.com\n  policies: {default: {type: priority}}\n  \
                endpoints: {dc7_a: {ip: 192.0.2.71}, dc7_b: {ip: 192.0.2.72}}\n";
    fs::write(house.dir.path().join("zones/c.yaml"), more).unwrap();
    assert_eq!(house.order("POST", "/api/reload", &json!({})).status, 200);
    for reply in [
        house.get("/api/datacenters/DC7"),
        house.order("PUT", "/api/switch", &json!({ "active_dc": "dc7" })),
        house.order("POST", "/api/datacenters/dc7/drain", &json!({})),
        house.get("/api/explain?name=c.example.com&down=dc7"),
    ] {
        assert_eq!(reply.problem(), (409, "ambiguous-dc".to_owned()));
        let body = reply.json();
        assert_eq!(body["candidates"], json!(["dc7_a", "dc7_b"]));
        assert_eq!((&body["node"], &body["generation"]), (&json!("gtm1"), &json!(house.generation())));
    }
    let group = house.get("/api/datacenters/beijing").json();
    assert_eq!(group["datacenters"].as_array().unwrap().len(), 2);
}

#[test]
fn status_says_first_what_waits_for_a_person() {
    let house = House::open();
    assert_eq!(house.get("/api/status").json()["well"], true, "{}", house.get("/api/status").text);
    house.latch();
    let body = house.get("/api/status").json();
    assert_eq!(body["well"], false);
    let first = &body["waiting"][0];
    assert_eq!(first["what"], "dc1 has recovered, waiting for you to let clients come back");
    assert_eq!((&first["datacenter"], &first["id"]), (&json!("dc1"), &json!("dc1_beijing")));
    assert_eq!((&first["service"], &first["services"]), (&json!("a.example.com."), &json!(["a.example.com."])));
    assert_eq!(first["command"], "meridian failback dc1");
    assert!(first["since"].is_string());
    let latch = &body["datacenters"][0]["latches"][0];
    assert_eq!((&latch["region"], &latch["waiting"], &latch["back"]), (&json!("office"), &json!(true), &json!(true)));
    assert_eq!((&body["moves"][0]["from"], &body["moves"][0]["to"]), (&json!(["dc2"]), &json!(["dc1"])));
    let first: Vec<&String> = body.as_object().unwrap().keys().take(5).collect();
    assert_eq!(first, ["node", "generation", "revision", "well", "waiting"]);
}

#[test]
fn probes_that_begin_late_are_an_alarm_until_a_minute_after_the_last() {
    // The test's probes know 60 s.
    for (late_at, is_told) in [(None, false), (Some(0), false), (Some(1), true), (Some(60), true)] {
        let house = House::open();
        *house.seeing.late_at.lock().unwrap() = late_at.map(|s| Moment(Duration::from_secs(s)));
        let body = house.get("/api/status").json();
        let waiting = body["waiting"].as_array().unwrap();
        assert_eq!((waiting.len(), &body["well"]), (usize::from(is_told), &json!(!is_told)), "{late_at:?}: {body}");
        assert!(waiting.iter().all(|item| item["what"].as_str().unwrap().contains("begin late")), "{body}");
    }
}

#[test]
fn services_come_in_parts() {
    let house = House::open();
    let first = house.get("/api/services?limit=1").json();
    assert_eq!((&first["next"], &first["services_in_all"]), (&json!("a.example.com."), &json!(2)));
    let second = house.get("/api/services?limit=1&after=a.example.com.").json();
    assert_eq!((&second["services"][0]["service"], &second["next"]), (&json!("b.example.com."), &Value::Null));
    assert_eq!(house.get("/api/services?limit=0").problem().0, 422);
}

#[test]
fn a_service_says_what_each_region_is_served_and_why() {
    let house = House::open();
    let body = house.get("/api/services/a.example.com").json();
    let office = &body["regions"][0];
    assert_eq!(
        (&office["region"], &office["dcs"], &office["source"]),
        (&json!("office"), &json!(["dc1"]), &json!("policy"))
    );
    assert!(!office["reasons"].as_array().unwrap().is_empty());
    assert_eq!(body["regions"][1]["region"], Value::Null);
    assert_eq!(body["endpoints"][2]["addresses"][0]["address"], "192.0.2.3");
}

#[test]
fn explain_answers_from_the_running_table_and_under_what_ifs() {
    let house = House::open();
    let now = house.get("/api/explain?name=a.example.com&client=10.1.2.3").json();
    assert_eq!(now["possible"][0]["answers"][0]["data"], "192.0.2.1");
    let assumed = house.get("/api/explain?name=a.example.com&client=10.1.2.3&down=dc1&out=dc2").json();
    assert_eq!(assumed["possible"][0]["answers"][0]["data"], "192.0.2.3");
    assert_eq!(assumed["generation"], house.generation());
    assert_eq!(house.get("/api/explain?name=a.example.com&down=dc7").problem(), (404, "unknown-dc".to_owned()));
}

#[test]
fn what_probes_know_is_shown_by_address_and_check() {
    let house = House::open();
    let target = house.there("dc1")[0];
    house.seeing.reports.lock().unwrap().insert(target, ailing());
    let body = house.get("/api/services/a.example.com").json();
    let address = &body["endpoints"][0]["addresses"][0];
    assert_eq!(
        (&address["address"], &address["state"], &address["stale"]),
        (&json!("192.0.2.1"), &json!("up"), &json!(false))
    );
    let check = &address["checks"][0];
    for (field, expected) in [
        ("check", json!("live")),
        ("observer", json!("gtm1")),
        ("state", json!("up")),
        ("failures", json!(1)),
        ("doubted", json!(true)),
        ("last_error", json!("connection refused")),
        ("response_ms", json!({ "usual": 12.0, "p50": 11.0, "p90": 14.0, "p99": 19.0 })),
        ("score", json!(75)),
        ("trend", json!("worsening")),
        ("confidence", json!(25)),
    ] {
        assert_eq!(check[field], expected, "{field}");
    }
    assert_eq!((&check["certificate"]["state"], &check["certificate"]["days"]), (&json!("expiring"), &json!(10)));
    let newest = &check["results"][0];
    assert_eq!((&newest["result"], &newest["detail"]), (&json!("bad"), &json!("connection refused")));
    let brief = house.get("/api/status").json();
    assert_eq!(brief["services"][0]["endpoints"][0]["addresses"][0]["checks"][0]["results"], Value::Null);
}

#[test]
fn a_report_is_for_every_service_that_has_the_endpoint_and_uses_the_check() {
    let house = House::open();
    let report = json!({ "state": "down", "detail": "no route", "ttl": "1m" });
    let reply = house.order("PUT", "/api/health/dc1_beijing/live", &report);
    assert_eq!((reply.status.as_u16(), &reply.json()["taken"]), (200, &json!(1)), "{}", reply.text);
    assert_eq!(reply.json()["services"], json!(["a.example.com.", "b.example.com."]));
    let checks = |service: &str| {
        let body = house.get(&format!("/api/services/{service}")).json();
        body["endpoints"][0]["addresses"][0]["checks"].clone()
    };
    for service in ["a.example.com", "b.example.com"] {
        let told = checks(service);
        assert_eq!((&told[0]["observer"], &told[0]["state"]), (&json!("external"), &json!("down")), "{told}");
        assert_eq!(told[0]["last_error"], "no route");
    }

    let narrowed = json!({ "state": "up", "service": "b.example.com", "address": "198.51.100.1", "observer": "noc" });
    let reply = house.order("PUT", "/api/health/dc1_beijing/live", &narrowed).json();
    assert_eq!(reply["services"], json!(["b.example.com."]));
    assert_eq!(
        (checks("a.example.com").as_array().unwrap().len(), checks("b.example.com").as_array().unwrap().len()),
        (1, 2)
    );
    for (path, body, kind) in [
        ("dc9/live", json!({ "state": "up" }), "unknown-endpoint"),
        ("dc1_beijing/lief", json!({ "state": "up" }), "unknown-check"),
        ("dc1_beijing/live", json!({}), "invalid-value"),
        ("dc1_beijing/live", json!({ "state": "sideways" }), "invalid-value"),
        ("dc1_beijing/live", json!({ "state": "up", "ttl": "2d" }), "invalid-value"),
        ("dc1_beijing/live", json!({ "state": "up", "ttl": "6m" }), "invalid-value"),
        ("dc1_beijing/live", json!({ "state": "up", "ttl": 0 }), "invalid-value"),
        ("dc1_beijing/live", json!({ "state": "up", "observer": "gtm1" }), "invalid-value"),
        ("dc1_beijing/live", json!({ "state": "up", "address": "192.0.2.99" }), "invalid-value"),
        ("dc1_beijing/live", json!({ "stat": "up" }), "unknown-field"),
    ] {
        assert_eq!(house.order("PUT", &format!("/api/health/{path}"), &body).problem().1, kind, "{path} {body}");
    }
}

#[test]
fn more_observers_than_not_take_an_address_down_and_silence_brings_it_back() {
    let house = House::open();
    let active = || house.get("/api/active-dc").json()["dc"].clone();
    let see = |observer: &str| {
        let reports = json!([{ "endpoint": "dc1_beijing", "check": "live", "state": "down" }]);
        let body = json!({ "observer": observer, "ttl": "2s", "reports": reports });
        assert_eq!(house.order("POST", "/api/observations", &body).json()["taken"], 1);
    };
    see("osaka");
    assert_eq!(active(), "dc1", "one against one");
    see("hanoi");
    assert_eq!(active(), "dc2");
    house.wait(|status| status.addresses().all(|address| address.verdict.state == State::Up));
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let house = House::open();
    let good = json!({ "endpoint": "dc1_beijing", "check": "live", "state": "up" });
    let bad = json!({ "endpoint": "dc1_beijing", "check": "live", "state": "sideways" });
    let reply = house.order("POST", "/api/observations", &json!({ "reports": [good, bad] }));
    assert_eq!((reply.problem().0, &reply.json()["report"]), (422, &json!(1)));
    let reports: usize = house.status().addresses().map(|address| house.status().reports(address.key).len()).sum();
    assert_eq!(reports, 0);
}

#[test]
fn what_a_node_has_not_heard_of_costs_nothing_else_of_a_batch() {
    let house = House::open();
    let about = |endpoint: &str| json!({ "endpoint": endpoint, "check": "live", "state": "up", "observer": "hanoi" });
    let body = json!({ "reports": [about("dc9_new"), about("dc1_beijing")] });
    let reply = house.order("POST", "/api/observations", &body).json();
    assert_eq!((&reply["taken"], &reply["refused"][0]["report"]), (&json!(1), &json!(0)), "{reply}");
    assert_eq!(house.order("POST", "/api/observations", &json!({ "reports": [about("dc9_new")] })).problem().0, 404);
}

#[test]
fn a_reload_with_errors_says_what_check_would_say() {
    let house = House::open();
    let before = house.generation();
    let file = house.dir.path().join("zones/a.yaml");
    fs::write(&file, POLICY.replace("endpoints:", "endpoint:")).unwrap();
    let reply = house.send("POST", "/api/reload", &[], None);
    assert_eq!(reply.problem(), (422, "invalid-files".to_owned()));
    let body = reply.json();
    let codes: Vec<&Value> = body["diagnostics"].as_array().unwrap().iter().map(|found| &found["code"]).collect();
    assert!(codes.contains(&&json!("unknown-field")), "{body}");
    assert_eq!(body["generation"], before);
    fs::write(&file, POLICY).unwrap();
    assert_eq!(house.order("POST", "/api/reload", &json!({ "reason": "new site" })).json()["generation"], before + 1);
}

#[test]
fn the_demo_misbehaves_only_where_it_runs() {
    let house = House::with(|plan, _| plan.is_demo = true);
    let mode = || house.demo.as_ref().unwrap().mode(&id("dc1_beijing"));
    assert_eq!(house.send("POST", "/api/demo/dc1/hang", &[], None).json()["mode"], "hang");
    assert_eq!(mode(), Some(Mode::Hang));
    assert_eq!(house.send("POST", "/api/demo/dc1/hnag", &[], None).json()["nearest"], "hang");
    assert_eq!(house.send("POST", "/api/demo/dc1/recover", &[], None).status, 200);
    assert_eq!(mode(), Some(Mode::Up));
}

/// With `UPDATE_DOCS=1` the file is written anew.
pub(crate) fn compare(file: &str, is: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, is).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == is, "`UPDATE_DOCS=1 cargo test --test api` writes {file} anew");
}

#[test]
fn openapi_names_every_call_and_is_checked_in_as_it_is() {
    let house = House::open();
    let served = house.get("/openapi.json").json();
    assert_eq!(served, meridian::api::openapi());
    compare("docs/openapi.json", &format!("{served:#}\n"));
    let operations: usize =
        served["paths"].as_object().unwrap().values().map(|methods| methods.as_object().unwrap().len()).sum();
    assert!(operations >= 40, "{operations}");
}

#[test]
fn curl_gets_what_it_asks_for() {
    let house = House::open();
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl").args(["-sS", "-m", "20"]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let active: Value = serde_json::from_str(&curl(&[&format!("{}/api/active-dc", house.url())])).unwrap();
    assert_eq!((&active["dc"], &active["id"]), (&json!("dc1"), &json!("dc1_beijing")));
    let put = [
        "-X",
        "PUT",
        "-H",
        "Content-Type: application/json",
        "-d",
        "{\"state\": \"up\"}",
        "-w",
        "%{http_code}",
        "-o",
        "/dev/null",
    ];
    let url = format!("{}/api/health/dc1_beijing/live", house.url());
    assert_eq!(curl(&[&put[..], &[&url]].concat()), "200");
    let large = house.dir.path().join("large");
    fs::write(&large, "x".repeat(1 << 17)).unwrap();
    let file = format!("@{}", large.display());
    let too_large = ["-d", &file, "-H", "Content-Type: application/json", "-w", "%{http_code}", "-o", "/dev/null"];
    assert_eq!(curl(&[&too_large[..], &[&format!("{}/api/reload", house.url())]].concat()), "413");
}
