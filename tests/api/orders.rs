//! The switch API, call by call.

use std::process::Command;

use meridian::model::{Role, State};
use serde_json::{Value, json};

use super::house::{House, access, token};

/// A house whose orders are stored.
fn stored() -> House {
    House::with(|plan, _| plan.is_stored = true)
}

fn active(house: &House, service: &str) -> Value {
    house.get(&format!("/api/active-dc?service={service}")).json()["dc"].clone()
}

/// An order that must be carried out.
#[track_caller]
fn done(house: &House, method: &str, path: &str, body: Value) -> Value {
    let reply = house.order(method, path, &body);
    assert_eq!(reply.status, 200, "{method} {path} {body}: {}", reply.text);
    reply.json()
}

#[test]
fn the_two_calls_of_the_reference_automation_byte_for_byte() {
    let house = stored();
    let sh = |line: &str| {
        let output = Command::new("sh").args(["-c", line]).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let url = house.url();
    let put = format!(
        r#"curl -X PUT "{url}/api/switch" -H "Content-Type: application/json" -d "{{\"active_dc\": \"dc2\"}}" 2>/dev/null"#
    );
    let answer: Value = serde_json::from_str(&sh(&put)).unwrap();
    assert_eq!((&answer["changed"], &answer["durable"], &answer["revision"]), (&json!(true), &json!(true), &json!(1)));
    let again: Value = serde_json::from_str(&sh(&put)).unwrap();
    assert_eq!((&again["changed"], &again["revision"]), (&json!(false), &json!(1)));
    assert_eq!(sh(&format!(r#"curl -sf "{url}/api/active-dc" | jq -r '.dc'"#)), "dc2\n");
}

#[test]
fn a_switch_is_answered_with_all_that_is_promised() {
    let house = stored();
    let before = house.generation();
    let order = json!({ "active_dc": "DC2", "reason": "drill", "actor": "kim", "expires_in": "2h" });
    let body = done(&house, "PUT", "/api/switch", order);
    for (field, expected) in [
        ("revision", json!(1)),
        ("generation", json!(before + 1)),
        ("node", json!("gtm1")),
        ("changed", json!(true)),
        ("durable", json!(true)),
        ("active_dc", json!("dc2")),
        ("previous_dc", json!("dc1")),
        ("services", json!(["a.example.com.", "b.example.com."])),
        ("services_skipped", json!([])),
    ] {
        assert_eq!(body[field], expected, "{field} of {body}");
    }
    assert_eq!((&body["nodes"][0]["node"], &body["nodes"][0]["generation"]), (&json!("gtm1"), &body["generation"]));
    assert!(body["applied_at"].is_string() && body["last_old_answer_expires_at"].is_string(), "{body}");
    assert_eq!(body["impact"]["changes"][0]["to"], json!(["dc2_beijing"]), "{body}");
    let standing = house.get("/api/switch").json();
    let switch = &standing["switches"][0];
    assert_eq!((&switch["active_dc"], &switch["revision"]), (&json!("dc2"), &json!(1)));
    assert_eq!((&switch["actor"], &switch["identity"]), (&json!("kim"), &json!("loopback")));
    assert!(switch["expires_at"].is_string());
    let body = done(&house, "DELETE", "/api/switch", json!({}));
    assert_eq!((&body["active_dc"], &body["previous_dc"]), (&json!("dc1"), &json!("dc2")));
    assert_eq!(house.get("/api/switch").json()["switches"], json!([]));
    let body = done(&house, "POST", "/api/switch", json!({ "active_dc": "dc3", "actor": "kim" }));
    assert_eq!(body["services_skipped"], json!(["b.example.com."]));
}

#[test]
fn forced_down_is_out_whichever_endpoint_was_forced_up_before() {
    let house = stored();
    done(&house, "POST", "/api/services/b.example.com/endpoints/dc1_beijing/force-up", json!({}));
    done(&house, "POST", "/api/datacenters/dc1/force-down", json!({}));
    assert_eq!((active(&house, "a.example.com"), active(&house, "b.example.com")), (json!("dc2"), json!("dc2")));
    done(&house, "POST", "/api/datacenters/dc1/force-auto", json!({}));
    assert_eq!(active(&house, "b.example.com"), "dc1");
}

#[test]
fn every_order_has_its_call() {
    let house = stored();
    let order = |method: &str, path: &str, body: Value| done(&house, method, path, body);
    let a = || active(&house, "a.example.com");
    let b = || active(&house, "b.example.com");
    let body = order("POST", "/api/datacenters/dc1/drain", json!({ "reason": "power" }));
    assert_eq!((a(), b(), &body["datacenters"]), (json!("dc2"), json!("dc2"), &json!(["dc1"])));
    assert_eq!(house.get("/api/datacenters/dc1").json()["admin"], "draining");
    order("POST", "/api/datacenters/dc1/undrain", json!({}));
    assert_eq!(a(), "dc1");
    order("POST", "/api/datacenters/beijing/drain", json!({ "services": "a.example.com" }));
    assert_eq!((a(), b()), (json!("dc3"), json!("dc1")));
    order("POST", "/api/undo", json!({}));
    assert_eq!(a(), "dc1");
    order("POST", "/api/datacenters/dc1/force-down", json!({}));
    assert_eq!(a(), "dc2");
    order("POST", "/api/datacenters/dc1/force-up", json!({}));
    assert_eq!(a(), "dc1");
    order("POST", "/api/datacenters/dc1/force-auto", json!({}));
    let endpoint = |verb: &str| format!("/api/services/b.example.com/endpoints/dc1_beijing/{verb}");
    order("POST", &endpoint("drain"), json!({}));
    assert_eq!((a(), b()), (json!("dc1"), json!("dc2")));
    order("POST", &endpoint("undrain"), json!({}));
    order("POST", &endpoint("force-down"), json!({}));
    assert_eq!((a(), b()), (json!("dc1"), json!("dc2")));
    order("POST", &endpoint("force-up"), json!({}));
    assert_eq!(b(), "dc1");
    assert_eq!(order("POST", &endpoint("force-auto"), json!({}))["changed"], true);
    order("PUT", "/api/services/a.example.com/weights", json!({ "weights": { "dc1": 10, "dc3_shanghai": 20 } }));
    assert_eq!(order("DELETE", "/api/services/a.example.com/weights", json!({}))["changed"], true);
    order("PUT", "/api/services/a.example.com/ttl", json!({ "ttl": "7s" }));
    assert_eq!(order("DELETE", "/api/services/a.example.com/ttl", json!({}))["changed"], true);
    order("POST", "/api/freeze", json!({ "expires_in": 3600 }));
    assert_eq!(house.get("/api/status").json()["well"], false);
    order("POST", "/api/unfreeze", json!({}));
    order("PUT", "/api/gate", json!({ "gate": "closed", "automated": false }));
    let robot = house.order("PUT", "/api/switch", &json!({ "active_dc": "dc2" }));
    assert_eq!((robot.problem().0, &robot.json()["rule"]), (409, &json!("gate")));
    order("PUT", "/api/switch", json!({ "active_dc": "dc2", "automated": false }));
    order("PUT", "/api/gate", json!({ "gate": "open", "automated": false }));
    let body =
        order("POST", "/api/undo", json!({ "revision": house.get("/api/switch").json()["switches"][0]["revision"] }));
    assert_eq!((a(), &body["durable"]), (json!("dc1"), &json!(true)));
}

#[test]
fn what_is_wrong_with_an_order_has_a_type_of_its_own() {
    let house = stored();
    let switch = |body: Value| house.order("PUT", "/api/switch", &body);
    for (body, expected) in [
        (json!({ "active_dc": "dc9" }), (404, "unknown-dc")),
        (json!({ "active_dc": "dc2", "services": ["c.example.com"] }), (404, "unknown-service")),
        (json!({ "active_dc": "dc3", "services": ["b.example.com"] }), (404, "unknown-endpoint")),
        (json!({ "active_dc": "dc2", "regions": ["moon"] }), (422, "invalid-value")),
        (json!({ "active_dc": "dc2", "force": ["everything"] }), (422, "invalid-value")),
        (json!({ "active_dc": "dc2", "expires_in": 0 }), (422, "invalid-value")),
        (json!({ "active_dc": "dc2", "expires_in": "3651d" }), (422, "invalid-value")),
        (json!({ "active_dc": "dc2", "mode": "pinn" }), (422, "invalid-value")),
        (json!({ "active_dc": "dc2", "dryrun": true }), (422, "unknown-field")),
        (json!({ "active_dc": "dc2", "expected_revision": 7 }), (412, "precondition-failed")),
        (json!({ "active_dc": "dc2", "mode": "pin" }), (409, "refused")),
        (json!({}), (422, "invalid-value")),
    ] {
        let reply = switch(body.clone());
        assert_eq!(reply.problem(), (expected.0, expected.1.to_owned()), "{body}");
        assert_eq!((active(&house, "a.example.com"), reply.json()["revision"].clone()).0, "dc1", "{body}");
    }
    let undo = house.order("POST", "/api/undo", &json!({}));
    assert_eq!(undo.problem(), (409, "refused".to_owned()));
    house.see("dc2", State::Down);
    let refused = switch(json!({ "active_dc": "dc2" })).json();
    assert_eq!((&refused["rule"], &refused["node"]), (&json!("target-unhealthy"), &json!("gtm1")));
    let dry = done(&house, "PUT", "/api/switch", json!({ "active_dc": "dc2", "dry_run": true }));
    assert_eq!(dry["impact"]["refused_by"][0]["rule"], "target-unhealthy");
    assert_eq!((&dry["revision"], house.status().revision.0), (&json!(0), 0));
    assert_eq!(dry["expected_revision"], 0);
}

#[test]
fn a_retry_with_its_key_is_the_same_order_and_the_key_with_another_is_a_mistake() {
    let house = stored();
    let headers = [("content-type", "application/json"), ("idempotency-key", "run-17")];
    let put = |dc: &str| house.send("PUT", "/api/switch", &headers, Some(json!({ "active_dc": dc }).to_string()));
    let first = put("dc2").json();
    done(&house, "PUT", "/api/switch", json!({ "active_dc": "dc1" }));
    let again = put("dc2").json();
    for field in ["revision", "changed", "active_dc", "services", "impact"] {
        assert_eq!(first[field], again[field], "{field}");
    }
    assert_eq!(
        (&first["repeated"], &again["repeated"], &again["durable"]),
        (&json!(false), &json!(true), &json!(true))
    );
    assert_eq!(active(&house, "a.example.com"), "dc1");
    let reused = put("dc3");
    assert_eq!(reused.problem(), (422, "invalid-value".to_owned()));
    assert!(reused.json()["detail"].as_str().unwrap().contains("key \"run-17\" came"), "{}", reused.text);
}

#[test]
fn keys_of_two_senders_are_never_the_same() {
    let mut secrets = Vec::new();
    let house = House::with(|plan, dir| {
        plan.is_stored = true;
        for id in ["ann", "bob"] {
            let (file, made) = token(dir, id, Role::Operator, &[]);
            plan.access = access(file);
            secrets.push(format!("Bearer {made}"));
        }
    });
    let put = |who: usize, dc: &str| {
        let headers = [
            ("authorization", secrets[who].as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", "run-17"),
        ];
        house.send("PUT", "/api/switch", &headers, Some(json!({ "active_dc": dc, "force": "contended" }).to_string()))
    };
    let first = put(0, "dc2").json();
    let other = put(1, "dc3").json();
    assert_eq!((&first["revision"], &other["revision"]), (&json!(1), &json!(2)), "{other}");
    let again = put(0, "dc2").json();
    assert_eq!((&again["revision"], &again["repeated"]), (&json!(1), &json!(true)));
}

#[test]
fn null_makes_no_dry_run_real_and_no_order_wider() {
    let house = stored();
    for field in ["dry_run", "services", "regions", "from"] {
        let reply = house.order("PUT", "/api/switch", &json!({ "active_dc": "dc2", field: null }));
        assert_eq!(reply.problem(), (422, "invalid-value".to_owned()), "{field}");
    }
    assert_eq!(house.status().revision.0, 0);
}

#[test]
fn an_undo_says_what_it_takes_back() {
    let house = stored();
    done(&house, "POST", "/api/datacenters/dc3/drain", json!({}));
    let dry = done(&house, "POST", "/api/undo", json!({ "dry_run": true }));
    assert_eq!(dry["undone"], json!({ "revision": 1, "kind": "drain" }));
    assert_eq!(done(&house, "POST", "/api/undo", json!({}))["undone"], dry["undone"]);
}

#[test]
fn a_switch_of_some_clients_is_not_said_to_be_ordered_for_the_others() {
    let house = stored();
    // Elsewhere policy has dc1; whom it gives dc3 moves.
    done(&house, "PUT", "/api/switch", json!({ "active_dc": "dc2", "from": "dc3" }));
    let body = house.get("/api/active-dc?service=a.example.com").json();
    assert_eq!((&body["dc"], &body["source"], &body["ordered"]), (&json!("dc1"), &json!("policy"), &Value::Null));
}

#[test]
fn without_a_store_orders_are_carried_out_and_said_to_be_forgotten() {
    let house = House::open();
    let body = done(&house, "PUT", "/api/switch", json!({ "active_dc": "dc2" }));
    assert_eq!((&body["durable"], active(&house, "a.example.com")), (&json!(false), json!("dc2")));
    let warnings = body["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning.as_str().unwrap().contains("a restart forgets")), "{body}");
}

#[test]
fn a_token_for_some_services_orders_no_others_and_nothing_that_is_about_all() {
    let mut secret = String::new();
    let house = House::with(|plan, dir| {
        let (file, made) = token(dir, "ci", Role::Operator, &["b.example.com"]);
        (plan.access, secret) = (access(file), format!("Bearer {made}"));
    });
    let order = |method: &str, path: &str, body: Value| {
        let headers = [("authorization", secret.as_str()), ("content-type", "application/json")];
        house.send(method, path, &headers, Some(body.to_string())).status.as_u16()
    };
    assert_eq!(order("PUT", "/api/switch", json!({ "active_dc": "dc2" })), 403);
    assert_eq!(order("PUT", "/api/switch", json!({ "active_dc": "dc2", "services": "b.example.com" })), 200);
    assert_eq!(order("POST", "/api/services/a.example.com/endpoints/dc1_beijing/drain", json!({})), 403);
    assert_eq!(order("PUT", "/api/services/b.example.com/ttl", json!({ "ttl": 9 })), 200);
    for path in ["/api/freeze", "/api/unfreeze", "/api/undo", "/api/reload", "/api/clock/accept"] {
        assert_eq!(order("POST", path, json!({})), 403, "{path}");
    }
    assert_eq!(order("PUT", "/api/gate", json!({ "gate": "closed" })), 403);
    assert_eq!(order("POST", "/api/reload", json!({})), 403, "files are of all services");
    assert_eq!(order("POST", "/api/reload", json!({ "dry_run": true })), 403);
}

#[test]
fn a_dry_run_says_which_revision_its_deed_would_expect_also_where_nothing_would_change() {
    let house = stored();
    done(&house, "PUT", "/api/switch", json!({ "active_dc": "dc2" }));
    done(&house, "POST", "/api/datacenters/dc3/drain", json!({}));
    let dry = done(&house, "PUT", "/api/switch", json!({ "active_dc": "dc2", "dry_run": true }));
    assert_eq!((&dry["changed"], &dry["revision"], &dry["expected_revision"]), (&json!(false), &json!(1), &json!(2)));
    let deed = json!({ "active_dc": "dc2", "expected_revision": dry["expected_revision"] });
    let deed = done(&house, "PUT", "/api/switch", deed);
    assert_eq!(
        (&deed["changed"], &deed["revision"], &deed["expected_revision"]),
        (&json!(false), &json!(1), &Value::Null)
    );
}
