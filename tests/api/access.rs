//! Who may do what.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use meridian::api::{Access, AccessConfig, ApiConfig, Context, Server, StartError};
use meridian::demo::Mode;
use meridian::model::{Grant, Role};
use meridian::telemetry::Registry;
use serde_json::json;

use super::house::{House, access, token};

/// A house with a token, and the token.
fn with_token(role: Role, services: &[&str]) -> (House, String) {
    let mut secret = String::new();
    let house = House::with(|plan, dir| {
        let (file, made) = token(dir, "ci", role, services);
        plan.access = access(file);
        plan.is_demo = true;
        secret = format!("Bearer {made}");
    });
    (house, secret)
}

/// The table of routes itself is walked: its document names each call with its role.
#[test]
fn every_call_has_a_rule_and_the_rule_holds() {
    let document = meridian::api::openapi();
    let (viewers, viewer) = with_token(Role::Viewer, &[]);
    let mut guarded = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let concrete =
            path.replace("{id}", "dc1").replace("{name}", "a.example.com").replace("{endpoint}", "dc1_beijing");
        let concrete = concrete.replace("{check}", "live").replace("{dc}", "dc1").replace("{mode}", "fail");
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            // Each from an address of its own: who is refused often waits.
            let from = Ipv4Addr::new(127, 0, 9, 1 + guarded);
            let stranger = viewers.send_from(from, &method, &concrete, &[], None);
            let known = viewers.send_from(from, &method, &concrete, &[("authorization", &viewer)], None);
            let (is_open, is_readable) = match operation["x-role"].as_str() {
                None => (true, true),
                Some("viewer") => (false, true),
                Some("operator" | "admin") => (false, false),
                Some(other) => panic!("{method} {path} has the role {other:?}"),
            };
            guarded += u8::from(!is_open);
            assert_eq!(stranger.status == 401, !is_open, "{method} {path}: {}", stranger.text);
            assert_eq!(known.status == 403, !is_readable, "{method} {path}: {}", known.text);
        }
    }
    assert!(guarded >= 35);
    let dc1 = meridian::model::DatacenterId::new("dc1_beijing").unwrap();
    assert_eq!(viewers.demo.as_ref().unwrap().mode(&dc1), Some(Mode::Up), "nothing was done");
}

#[test]
fn a_token_opens_what_its_role_may_and_a_bad_one_nothing() {
    let (house, operator) = with_token(Role::Operator, &[]);
    assert_eq!(house.get("/api/status").problem(), (401, "unauthenticated".to_owned()));
    let refused = house.send("GET", "/api/status", &[("authorization", "Bearer mrd_00")], None);
    assert_eq!(refused.problem(), (401, "bad-token".to_owned()));
    assert!(refused.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    assert_eq!(house.send("GET", "/api/status", &[("authorization", &operator)], None).status, 200);
    house.latch();
    let done = house.send("POST", "/api/datacenters/dc1/failback", &[("authorization", &operator)], None);
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(house.status().moves.back().unwrap().why, "failback ordered by ci");
    assert!(house.registry.text().contains("meridian_api_authentication_failures_total{reason=\"bad-token\"} 1"));
}

#[test]
fn a_token_for_some_services_orders_those_alone() {
    let (house, operator) = with_token(Role::Operator, &["b.example.com"]);
    let headers = [("authorization", operator.as_str()), ("content-type", "application/json")];
    let order = |body: serde_json::Value| {
        house.send("POST", "/api/datacenters/dc1/failback", &headers, Some(body.to_string())).status.as_u16()
    };
    assert_eq!(order(json!({})), 403, "for all");
    let reload = house.send("POST", "/api/reload", &headers, Some("{}".to_owned()));
    assert_eq!(reload.problem(), (403, "forbidden".to_owned()), "files are about all");
    assert_eq!(order(json!({ "services": ["a.example.com"] })), 403);
    assert_eq!(order(json!({ "services": ["b.example.com"] })), 200);
    let report = json!({ "state": "down" }).to_string();
    let told = house.send("PUT", "/api/health/dc1_beijing/live", &headers, Some(report));
    assert_eq!(told.problem(), (403, "forbidden".to_owned()), "it would concern a, too");
    let report = json!({ "state": "down", "service": "b.example.com" }).to_string();
    assert_eq!(house.send("PUT", "/api/health/dc1_beijing/live", &headers, Some(report)).status, 200);
    let other = json!({ "state": "down", "service": "b.example.com", "observer": "hanoi" }).to_string();
    let told = house.send("PUT", "/api/health/dc1_beijing/live", &headers, Some(other));
    assert_eq!(told.problem(), (403, "forbidden".to_owned()), "one token is one observer");
    let body = house.send("GET", "/api/services/b.example.com", &headers[..1], None).json();
    let checks = &body["endpoints"][0]["addresses"][0]["checks"];
    assert_eq!((&checks[0]["observer"], &checks[0]["state"]), (&json!("ci"), &json!("down")), "{body}");
    assert_eq!(checks.as_array().unwrap().len(), 1, "{body}");
}

#[test]
fn pages_of_other_origins_and_rebound_names_give_no_orders() {
    let house = House::with(|plan, _| plan.is_demo = true);
    let own = house.url();
    let order = |headers: &[(&str, &str)]| house.send("POST", "/api/demo/dc1/fail", headers, None).status.as_u16();
    assert_eq!(order(&[("origin", &own)]), 200);
    assert_eq!(order(&[("origin", "http://evil.example")]), 403);
    assert_eq!(order(&[("origin", "null")]), 403);
    assert_eq!(order(&[("origin", "http://evil.example"), ("host", "evil.example")]), 403);
}

#[test]
fn without_tokens_or_a_grant_only_loopback_is_served() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let house = House::open();
    let start = |access: AccessConfig| {
        let config = ApiConfig { listen: vec!["0.0.0.0:0".parse().unwrap()], ..ApiConfig::default() };
        let gate = Access::new(&access).unwrap();
        let context = Context::new(house.control.clone(), None, gate, "gtm1", Registry::new());
        Server::start(&config, context.into(), runtime.handle())
    };
    assert!(matches!(start(AccessConfig::default()), Err(StartError::Unprotected(_))));
    let from = vec!["192.0.2.0/24".parse().unwrap()];
    let grant = Grant { from, role: Role::Viewer, calls: Vec::new(), actor: None };
    assert!(start(AccessConfig { anonymous: vec![grant], ..AccessConfig::default() }).is_ok());
}

#[test]
fn the_unix_socket_is_for_the_group_and_root_is_admin_there() {
    let mut house = House::with(|plan, dir| {
        plan.api.unix = Some(dir.path().join("api.sock"));
        let (file, _) = token(dir, "ci", Role::Viewer, &[]);
        plan.access = access(file);
    });
    house.latch();
    let socket = house.dir.path().join("api.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let output = Command::new("curl")
        .args(["-sS", "-m", "20", "--unix-socket", socket.to_str().unwrap(), "http://x/api/datacenters/dc1/failback"])
        .args(["-X", "POST"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"changed\":true"), "{output:?}");
    assert!(house.status().moves.back().unwrap().why.starts_with("failback ordered by uid:"));
    assert!(house.close());
    assert!(!socket.exists(), "nothing is left behind");
}
