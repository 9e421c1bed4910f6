//! Whether clients still come because of an answer of ours.

use std::time::{Duration, Instant};

use meridian::model::Name;
use meridian::table::{Reader, Tally};
use serde_json::{Value, json};

use super::house::House;

/// A worker that answers for a service, now.
fn answers(house: &House, reader: &mut Reader, service: &str, count: usize) {
    let now = house.control.tallied().now().0;
    let (table, mut tallier) = reader.answering(now, count);
    let ix = table.base().service_named(&Name::parse(service).unwrap()).unwrap();
    let client = "192.0.2.200".parse().unwrap();
    for _ in 0..count {
        tallier.turn_to_next(0);
        tallier.asked(ix, &client, 1);
        let view = table.service(ix);
        tallier.given(&view.choose(view.locate(client), client, 0).unwrap());
    }
    reader.rest();
}

fn drain(house: &House, dc: &str) -> Value {
    let reply = house.get(&format!("/api/drain/{dc}"));
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

#[test]
fn a_drain_tells_when_its_last_answer_was_and_when_that_expires() {
    let house = House::open();
    let mut reader = house.control.subscription().reader().unwrap();
    let before = drain(&house, "dc1");
    assert_eq!((&before["dc"], &before["id"], &before["admin"]), (&json!("dc1"), &json!("dc1_beijing"), &json!("in")));
    assert_eq!((&before["answers"], &before["seconds_since_last_answer"]), (&json!(0), &Value::Null));
    // Of the process before nothing is known.
    assert_eq!((&before["expired"], before["unknown_until"].is_string()), (&json!(false), true), "{before}");
    answers(&house, &mut reader, "a.example.com", 3);
    answers(&house, &mut reader, "b.example.com", 1);
    let after = drain(&house, "DC1");
    assert_eq!((&after["answers"], &after["seconds_since_last_answer"]), (&json!(4), &json!(0)));
    assert!(after["last_answer_at"].is_string() && after["last_answer_expires_at"].is_string(), "{after}");
    let left = after["expires_in_s"].as_u64().unwrap();
    assert!((13..=17).contains(&left), "the default TTL is 15 s: {after}");
    assert!(after["note"].as_str().unwrap().contains("honours TTLs"));
    let services: Vec<(&str, u64)> = after["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| (of["service"].as_str().unwrap(), of["answers"].as_u64().unwrap()))
        .collect();
    assert_eq!(services, [("a.example.com.", 3), ("b.example.com.", 1)]);
    let other = drain(&house, "dc3");
    assert_eq!((&other["answers"], &other["services"][0]["last_answer_at"]), (&json!(0), &Value::Null));
    // Counted once a second.
    let start = Instant::now();
    while drain(&house, "dc1")["answers_last_minute"] != 4 {
        assert!(start.elapsed() < Duration::from_secs(30), "{}", drain(&house, "dc1"));
        std::thread::sleep(Duration::from_millis(50));
    }
    house.order("POST", "/api/datacenters/dc1/drain", &json!({}));
    assert_eq!(drain(&house, "dc1")["admin"], "draining");
    let page = house.get("/metrics").text;
    for line in [
        "meridian_answers_total{service=\"a.example.com.\",datacenter=\"dc1\"} 3",
        "meridian_datacenter_answers_total{datacenter=\"dc1\"} 4",
        "meridian_datacenter_answers_total{datacenter=\"dc3\"} 0",
    ] {
        assert!(page.lines().any(|is| is == line), "{line} is not in\n{page}");
    }
}

#[test]
fn a_drain_is_asked_for_by_every_name_of_a_data_centre() {
    let house = House::open();
    let group = drain(&house, "beijing");
    let ids: Vec<&Value> = group["datacenters"].as_array().unwrap().iter().map(|of| &of["id"]).collect();
    assert_eq!(ids, [&json!("dc1_beijing"), &json!("dc2_beijing")]);
    assert!(group["generation"].is_u64());
    assert_eq!(house.get("/api/drain/dc9").problem(), (404, "unknown-dc".to_owned()));
    assert_eq!(house.get("/api/drain/dc").problem(), (404, "unknown-dc".to_owned()));
}

#[test]
fn who_waits_is_answered_when_old_answers_have_expired_or_told_what_is_left() {
    let house = House::open();
    let mut reader = house.control.subscription().reader().unwrap();
    let ttl = |house: &House, ttl: u64| {
        for service in ["a", "b"] {
            let path = format!("/api/services/{service}.example.com/ttl");
            assert_eq!(house.order("PUT", &path, &json!({ "ttl": ttl })).status, 200);
        }
    };
    // Answers of the process before are waited for as well; they lived 15 s.
    let tallied = house.control.tallied().clone();
    let start = Instant::now();
    while tallied.unknown_until(&super::house::id("dc1_beijing")).is_some() {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(100));
    }
    ttl(&house, 1);
    answers(&house, &mut reader, "a.example.com", 1);
    let began = Instant::now();
    let order = json!({ "active_dc": "dc2", "reason": "drill" });
    let reply = house.order("PUT", "/api/switch?wait=expired&wait_s=0", &order);
    assert_eq!((reply.status.as_u16(), &reply.json()["expired"]), (202, &json!(false)), "{}", reply.text);
    let body = reply.json();
    assert!((1..=2).contains(&body["expires_in_s"].as_u64().unwrap()), "{body}");
    assert!(body["last_old_answer_note"].as_str().unwrap().contains("honours TTLs"));
    assert_eq!(house.get("/api/active-dc").json()["dc"], "dc2", "in force at once");
    // The same order again waits for the same.
    let reply = house.order("PUT", "/api/switch?wait=expired", &order);
    let took = began.elapsed();
    assert_eq!((reply.status.as_u16(), &reply.json()["expired"]), (200, &json!(true)), "{}", reply.text);
    assert_eq!((&reply.json()["changed"], &reply.json()["expires_in_s"]), (&json!(false), &json!(0)));
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert_eq!(drain(&house, "dc1")["expired"], true);
    // The command waits by itself, and not for what it would wait an hour.
    let command =
        |arguments: &[&str]| super::commands::run(&[arguments, &["--wait", "--server", &house.url()]].concat());
    answers(&house, &mut reader, "a.example.com", 1);
    let began = Instant::now();
    let (code, _, err) = command(&["switch", "--clear"]);
    assert_eq!((code, err.contains("the last old answer has expired")), (0, true), "{err}");
    assert!(began.elapsed() >= Duration::from_millis(500));
    ttl(&house, 7200);
    answers(&house, &mut reader, "a.example.com", 1);
    let (code, out, err) = command(&["drain", "dc1", "--service", "a.example.com"]);
    assert_eq!((code, err.contains("more than an hour")), (10, true), "{out}{err}");
    // Nothing to wait for.
    let reply = house.order("POST", "/api/freeze?wait=expired", &json!({}));
    assert_eq!((reply.status.as_u16(), &reply.json()["expired"]), (200, &json!(true)));
    for wrong in ["wait=gone", "wait_s=3", "wait=expired&wait_s=301", "wait=expired&wait_s=x"] {
        let reply = house.order("POST", &format!("/api/unfreeze?{wrong}"), &json!({}));
        assert_eq!(reply.problem(), (422, "invalid-value".to_owned()), "{wrong}");
    }
    assert_eq!(house.get("/api/status").json()["well"], false, "still frozen");
}

#[test]
fn an_impact_tells_the_share_of_recent_queries() {
    let house = House::open();
    let mut reader = house.control.subscription().reader().unwrap();
    let dry = json!({ "active_dc": "dc2", "dry_run": true, "services": ["a.example.com"] });
    let impact = house.order("PUT", "/api/switch", &dry).json();
    assert!(impact["impact"].is_object(), "{impact}");
    assert_eq!(impact["impact"]["queries"], Value::Null);
    answers(&house, &mut reader, "a.example.com", 3);
    answers(&house, &mut reader, "b.example.com", 1);
    let queries = &house.order("PUT", "/api/switch", &dry).json()["impact"]["queries"];
    assert_eq!((&queries["moved_ppm"], &queries["sampled"]), (&json!(750_000), &json!(4)), "{queries}");
    assert!(queries["span_s"].is_u64());
    let load = house.get("/api/load").json();
    let samples = load["samples"].as_array().unwrap();
    let of = |name: &str| samples.iter().filter(|sample| sample["service"] == name).count();
    assert_eq!((of("a.example.com."), of("b.example.com."), samples.len()), (3, 1, 4), "{load}");
    assert!(samples[0]["weight"].is_u64() && samples[0]["client"].is_string() && load["span_s"].is_u64(), "{load}");
}
