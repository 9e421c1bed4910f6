//! Another observer looks at the same servers, and tells the node.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::farm::{Farm, has};
use crate::node::Node;

/// Ended when dropped.
struct Observer(Child);

impl Drop for Observer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `observer` says of an endpoint of the reference service.
fn says(node: &Node, observer: &str, endpoint: &str) -> Option<String> {
    let service: Value = serde_json::from_str(&node.page("/api/services/api.meta-driven.example.com")).unwrap();
    let endpoints = service["endpoints"].as_array()?;
    let endpoint = endpoints.iter().find(|one| one["endpoint"] == endpoint || one["id"] == endpoint)?;
    let addresses = endpoint["addresses"].as_array()?;
    let mut checks = addresses.iter().flat_map(|address| address["checks"].as_array().into_iter().flatten());
    Some(checks.find(|check| check["observer"] == observer)?["state"].as_str()?.to_owned())
}

#[test]
fn what_another_observer_sees_is_evidence_until_it_falls_silent() {
    if !has("nginx") {
        return;
    }
    let mut farm = Farm::new();
    let node = farm.serve("");
    let arguments = ["observe", "--config", "node.yaml", "--observer", "hanoi", "--report-to", &node.api];
    let mut command = node.site.meridian(&arguments);
    command.env("SSL_CERT_FILE", farm.certificates.path("ca.pem")).env_remove("SSL_CERT_DIR");
    let observer = Observer(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let dc1 = |node: &Node| says(node, "hanoi", "dc1_beijing_primary");
    node.wait_until("it says up", |node| dc1(node).as_deref() == Some("up"));
    farm.centres[0].die();
    node.wait_until("it says down", |node| dc1(node).as_deref() == Some("down"));
    node.wait_until("both together are believed", |node| {
        node.status()["datacenters"].as_array().unwrap().iter().any(|dc| dc["dc"] == "dc1" && dc["state"] == "down")
    });
    drop(observer);
    node.wait_until("who is silent says nothing", |node| dc1(node).is_none());
}
