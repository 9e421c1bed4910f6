//! `GET /api/active-dc`: the data centre that a client of no listed region really gets.

use meridian::model::State;
use serde_json::{Value, json};

use super::house::House;

fn fields(body: &Value) -> [Value; 4] {
    ["dc", "id", "source", "ordered"]
        .map(|field| body.get(field).unwrap_or_else(|| panic!("no {field}: {body}")).clone())
}

#[test]
fn policy_names_the_lowest_priority_number_that_is_usable() {
    let house = House::open();
    let now = || fields(&house.get("/api/active-dc").json());
    assert_eq!(now(), [json!("dc1"), json!("dc1_beijing"), json!("policy"), Value::Null]);
    house.see("dc1", State::Down);
    assert_eq!(now(), [json!("dc2"), json!("dc2_beijing"), json!("health"), Value::Null]);
}

#[test]
fn services_that_disagree_are_told_one_by_one() {
    let house = House::open();
    let report = json!({ "state": "down", "service": "b.example.com", "observer": "x" });
    // Two against this node's own.
    for observer in ["x", "y"] {
        let mut report = report.clone();
        report["observer"] = observer.into();
        assert_eq!(house.order("PUT", "/api/health/dc1_beijing/live", &report).status, 200);
    }
    let body = house.get("/api/active-dc").json();
    assert_eq!(fields(&body), [Value::Null, Value::Null, Value::Null, Value::Null], "{body}");
    assert_eq!(body["by_service"]["a.example.com."]["dc"], "dc1");
    assert_eq!(body["by_service"]["b.example.com."]["dc"], "dc2");
    let one = house.get("/api/active-dc?service=b.example.com").json();
    assert_eq!(fields(&one), [json!("dc2"), json!("dc2_beijing"), json!("health"), Value::Null]);
}

#[test]
fn nothing_that_answers_is_still_200() {
    let house = House::open();
    house.see("", State::Down);
    assert_eq!(house.get("/api/active-dc").status, 200);
}

#[test]
fn the_reference_automation_reads_what_it_expects() {
    let house = House::open();
    let script = format!("curl -sf '{}/api/active-dc' | jq -r '.dc'", house.url());
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "dc1\n", "{output:?}");
}
