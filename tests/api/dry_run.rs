//! What a dry run is answered with over HTTP is what the deed is answered with, for every call that orders; and nothing
//! is another after it.

use meridian::model::State;
use serde_json::{Value, json};

use super::house::House;

/// What a deed has, and a dry run can not have.
const OF_THE_DEED: [&str; 9] = [
    "generation",
    "revision",
    "nodes",
    "dry_run",
    "durable",
    "applied_at",
    "last_old_answer_expires_at",
    "last_old_answer_note",
    "node",
];

fn told(mut body: Value) -> Value {
    let fields = body.as_object_mut().unwrap();
    for field in OF_THE_DEED {
        assert!(fields.remove(field).is_some(), "no {field}");
    }
    // Said before the deed alone.
    fields.remove("expected_revision");
    body
}

/// Status without what waits for a person, among which refusals are told.
fn routing(mut status: Value) -> Value {
    let fields = status.as_object_mut().unwrap();
    fields.remove("waiting");
    fields.remove("well");
    status
}

/// Dry, then for real; what was done.
#[track_caller]
fn both_ways(house: &House, method: &str, path: &str, body: Value) -> Value {
    let before = house.get("/api/status").json();
    let mut dry = body.clone();
    dry["dry_run"] = true.into();
    let dry = house.order(method, path, &dry);
    assert_eq!(dry.status, 200, "{method} {path} {body}: {}", dry.text);
    let dry = dry.json();
    assert_eq!((&dry["dry_run"], &dry["applied_at"]), (&json!(true), &Value::Null));
    assert_eq!(house.get("/api/status").json(), before, "{method} {path} {body}: a dry run changes nothing");
    let deed = house.order(method, path, &body);
    let refused_by = dry["impact"]["refused_by"].as_array().unwrap();
    if !refused_by.is_empty() {
        let rules: Vec<&Value> = refused_by.iter().map(|refusal| &refusal["rule"]).collect();
        let refused = deed.json();
        let names: Vec<&Value> = refused["rules"].as_array().unwrap().iter().map(|rule| &rule["rule"]).collect();
        assert_eq!((deed.status.as_u16(), rules), (409, names), "{method} {path} {body}: {}", deed.text);
        let after = house.get("/api/status").json();
        assert_eq!(routing(after), routing(before), "{method} {path} {body}: a refusal changes nothing");
        return refused;
    }
    assert_eq!(deed.status, 200, "{method} {path} {body}: {}", deed.text);
    let deed = deed.json();
    assert_eq!(told(dry.clone()), told(deed.clone()), "{method} {path} {body}");
    // What was really answered is never later than the worst that a dry run can think of.
    let expires = |body: &Value| body["last_old_answer_expires_at"].as_str().map(str::to_owned);
    assert!(expires(&deed).is_none() || expires(&dry).is_some(), "{deed}");
    deed
}

#[test]
fn every_call_that_orders_is_answered_dry_as_it_is_answered_for_real() {
    let house = House::with(|plan, _| plan.is_stored = true);
    let order = |method: &str, path: &str, body: Value| both_ways(&house, method, path, body);
    let a = "/api/services/a.example.com";
    for round in 0..2 {
        order("PUT", "/api/switch", json!({ "active_dc": "dc2", "expires_in": "2h" }));
        order("PUT", "/api/switch", json!({ "active_dc": "dc2" }));
        order("POST", "/api/switch", json!({ "active_dc": "dc3", "services": "a.example.com", "regions": "office" }));
        order("PUT", "/api/switch", json!({ "active_dc": "dc1", "mode": "pin", "expires_in": "1h", "from": "dc2" }));
        let refused = order("PUT", "/api/switch", json!({ "active_dc": "dc2", "mode": "pin" }));
        assert_eq!(refused["rule"], "pin-needs-expiry");
        order("DELETE", "/api/switch", json!({}));
        for (verb, back) in [("drain", "undrain"), ("force-down", "force-auto"), ("force-up", "force-auto")] {
            order("POST", &format!("/api/datacenters/dc1/{verb}"), json!({ "reason": "power" }));
            order("POST", &format!("/api/datacenters/dc1/{back}"), json!({}));
            order("POST", &format!("{a}/endpoints/dc2_beijing/{verb}"), json!({ "expires_in": "1h" }));
            order("POST", &format!("{a}/endpoints/dc2_beijing/{back}"), json!({}));
        }
        order("PUT", &format!("{a}/weights"), json!({ "weights": { "dc1": 10, "dc3_shanghai": 20 } }));
        order("DELETE", &format!("{a}/weights"), json!({}));
        order("PUT", &format!("{a}/ttl"), json!({ "ttl": "7s" }));
        order("DELETE", &format!("{a}/ttl"), json!({}));
        order("POST", "/api/freeze", json!({ "expires_in": 3600 }));
        order("POST", "/api/unfreeze", json!({}));
        order("PUT", "/api/gate", json!({ "gate": "closed", "automated": false }));
        assert_eq!(order("PUT", "/api/switch", json!({ "active_dc": "dc2" }))["rule"], "gate");
        order("PUT", "/api/gate", json!({ "gate": "open", "automated": false }));
        order("POST", "/api/datacenters/dc3/drain", json!({}));
        order("POST", "/api/undo", json!({}));
        // Clients left dc1, which is back: its latches end, or nothing does.
        order("POST", "/api/datacenters/dc1/failback", json!({}));
        if round == 0 {
            house.latch();
            let back = order("POST", "/api/datacenters/dc1/failback", json!({}));
            assert_eq!(back["changed"], true, "{back}");
            // The other round on sick ground.
            house.see("dc2", State::Down);
            assert_eq!(order("PUT", "/api/switch", json!({ "active_dc": "dc2" }))["rule"], "target-unhealthy");
            house.see("dc2", State::Up);
            house.see("dc3", State::Down);
        }
    }
}
