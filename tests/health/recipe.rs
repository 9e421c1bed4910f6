//! "Down only if probe and request rate say so", with nginx, and a Prometheus that says what the test wants.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use hickory_proto::rr::RecordType::A;

use crate::farm::{Farm, has};
use crate::node::{Node, Site};

/// Answers every instant query with one value.
fn prometheus(value: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It ends with the test program.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(len @ 1..) => request.extend_from_slice(&part[..len]),
                    Ok(_) | Err(_) => break,
                }
            }
            let value = value.load(Ordering::Relaxed);
            let body = format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1795263600,"{value}"]}}]}}}}"#
            );
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

fn gets(node: &Node, address: &str) -> bool {
    node.ask("agreed.example.com.", A, None).answers() == [format!("A {address}")]
}

#[test]
fn a_dead_probe_moves_nobody_while_requests_are_served() {
    if !has("nginx") {
        return;
    }
    let mut farm = Farm::new();
    let rate = Arc::new(AtomicU64::new(100));
    let prometheus = prometheus(Arc::clone(&rate));
    let site = Site::of_the_reference_policy();
    let policy = format!(
        "health_checks:\n\
         \x20 web: {{protocol: https, path: /actuator/health, tls: {{sni: api.meta-driven.example.com}}, interval: 1s, timeout: 1s, fall: 2}}\n\
         \x20 traffic:\n    protocol: prometheus\n    url: 'http://{prometheus}'\n    interval: 1s\n    timeout: 1s\n    fall: 2\n\
         \x20   query: 'sum(rate(http_requests_total{{datacenter=\"$datacenter\"}}[1m]))'\n    up_when: '> 10'\n\
         gslb:\n  domain: agreed.example.com\n  checks: {{any: [web, traffic]}}\n  policies: {{default: {{type: priority}}}}\n\
         \x20 endpoints:\n    dc1_beijing_primary: {{ip: 1.1.1.1, priority: 1}}\n    dc3_shanghai_dr: {{ip: 2.2.2.1, priority: 2}}\n"
    );
    fs::write(site.path("zones/agreed.yaml"), policy).unwrap();
    let node = farm.serve_in(site, "");
    assert!(gets(&node, "1.1.1.1"), "{:#}", node.status());

    farm.centres[0].die();
    // By the reference policy, whose check is the probe alone, dc1 has died.
    let api =
        |node: &Node| node.ask("api.meta-driven.example.com.", A, Some("219.141.136.0/24")).answers() == ["A 1.1.1.2"];
    node.wait_until("the probe's fall is believed", api);
    assert!(gets(&node, "1.1.1.1"), "the request rate says that it serves");
    rate.store(3, Ordering::Relaxed);
    node.wait_until("both say that it is down", |node| gets(node, "2.2.2.1"));
}
