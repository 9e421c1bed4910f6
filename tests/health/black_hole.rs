//! Packets to a data centre vanish: nothing is refused, nothing is said. The kernel of another network namespace
//! swallows them; the reference policy's own addresses exist in these namespaces, which lead nowhere else.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::farm::{ANSWERED, Certificates, Nginx, has};
use crate::node::{PATIENCE, Site};

/// The node's namespace, and that of the first data centre. Removed when dropped.
struct Namespaces {
    node: String,
    far: String,
}

impl Namespaces {
    /// `None` where this user may not make any.
    fn new() -> Option<Namespaces> {
        let number = std::process::id();
        let namespaces = Namespaces { node: format!("mrd{number}n"), far: format!("mrd{number}f") };
        let Namespaces { node, far } = &namespaces;
        if !ip(&format!("netns add {node}")) || !ip(&format!("netns add {far}")) {
            eprintln!("no network namespace can be made here: this test is left out");
            return None;
        }
        for step in [
            format!("link add near netns {node} type veth peer name far netns {far}"),
            format!("-n {node} link set lo up"),
            format!("-n {far} link set lo up"),
            format!("-n {node} addr add 10.77.0.1/24 dev near"),
            format!("-n {far} addr add 10.77.0.2/24 dev far"),
            format!("-n {far} addr add 1.1.1.1/32 dev far"),
            format!("-n {node} addr add 1.1.1.2/32 dev lo"),
            format!("-n {node} addr add 2.2.2.1/32 dev lo"),
            format!("-n {node} link set near up"),
            format!("-n {far} link set far up"),
            format!("-n {node} route add 1.1.1.1/32 dev near"),
        ] {
            assert!(ip(&step), "{step}");
        }
        // Whoever lives there: packets go on being sent when nobody does any more.
        let link = Command::new("ip").args(["-n", far, "-br", "link", "show", "far"]).output().unwrap();
        let link = String::from_utf8(link.stdout).unwrap();
        let mac = link.split_whitespace().nth(2).unwrap();
        assert!(ip(&format!("-n {node} neigh replace 1.1.1.1 lladdr {mac} dev near nud permanent")));
        Some(namespaces)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.node));
        ip(&format!("netns del {}", self.far));
    }
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_data_centre_whose_packets_vanish_loses_its_clients_within_the_promise() {
    if !["nginx", "ip", "dig"].iter().all(|program| has(program)) {
        return;
    }
    let Some(namespaces) = Namespaces::new() else { return };
    let certificates = Certificates::new();
    let within = |name: &str| -> [String; 4] { ["ip".into(), "netns".into(), "exec".into(), name.into()] };
    let (near, far) = (within(&namespaces.node), within(&namespaces.far));
    let _centres: Vec<Nginx> = [(0, &far), (1, &near), (2, &near)]
        .map(|(at, within): (usize, &[String; 4])| {
            let within = within.each_ref().map(String::as_str);
            Nginx::start(format!("{}:443", ANSWERED[at]).parse().unwrap(), &certificates, &within)
        })
        .into();
    let site = Site::of_the_reference_policy();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &namespaces.node, env!("CARGO_BIN_EXE_meridian"), "serve"]);
    command.args(["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--state", "state"]);
    command.current_dir(site.path(".")).env("SSL_CERT_FILE", certificates.path("ca.pem"));
    let node = site.start(command);
    let beijing_gets = || {
        let port = node.address.port().to_string();
        let dig = Command::new(&near[0])
            .args(&near[1..])
            .args([
                "dig",
                "@127.0.0.1",
                "-p",
                &port,
                "api.meta-driven.example.com",
                "+short",
                "+subnet=219.141.136.0/24",
            ])
            .output();
        String::from_utf8(dig.unwrap().stdout).unwrap()
    };
    assert_eq!(beijing_gets(), "1.1.1.1\n");

    assert!(ip(&format!("-n {} addr del 1.1.1.1/32 dev far", namespaces.far)));
    let started = Instant::now();
    while beijing_gets() != "1.1.1.2\n" {
        assert!(started.elapsed() < PATIENCE, "clients do not move");
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = started.elapsed();
    eprintln!("noticed after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}
