//! The built server under a storm of orders, killed at any instant, again and again.
//!
//! Several clients order at once, each on a service of its own and one order after the other, each order under a key of
//! its own. So for every client it is known what stands: everything that was acknowledged, nothing that was refused,
//! and of the one order whose acknowledgement was lost either all or nothing, which its key tells. What stands is read
//! where it counts, in DNS answers.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use hickory_proto::rr::RecordType::A;
use meridian::limits;
use meridian::store::{self, OsDisk};
use serde_json::{Value, json};

use crate::http::{Reply, call, must};
use crate::node::{Node, Site};

/// How often it is killed; `MERIDIAN_KILLS` says otherwise.
const KILLS: u64 = 200;
const CLIENTS: u64 = 4;

/// SplitMix64: the same storm on every run, but for when it is cut off.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }
}

/// What stands for one service: what DNS and the API show of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    /// 1 is policy's own choice.
    datacenter: u64,
    ttl_s: u32,
    /// Its endpoint in dc3 is ordered out.
    is_third_out: bool,
}

const POLICY: Standing = Standing { datacenter: 1, ttl_s: 15, is_third_out: false };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Switch(u64),
    Clear,
    Ttl(u32),
    TtlClear,
    Drain,
    Undrain,
}

impl Order {
    fn of(dice: &mut Dice) -> Order {
        match dice.roll(10) {
            0..=3 => Order::Switch(1 + dice.roll(2)),
            4 => Order::Clear,
            5 | 6 => Order::Ttl(20 + dice.roll(40) as u32),
            7 => Order::TtlClear,
            8 => Order::Drain,
            _ => Order::Undrain,
        }
    }

    fn after(self, before: Standing) -> Standing {
        match self {
            Order::Switch(datacenter) => Standing { datacenter, ..before },
            Order::Clear => Standing { datacenter: POLICY.datacenter, ..before },
            Order::Ttl(ttl_s) => Standing { ttl_s, ..before },
            Order::TtlClear => Standing { ttl_s: POLICY.ttl_s, ..before },
            Order::Drain => Standing { is_third_out: true, ..before },
            Order::Undrain => Standing { is_third_out: false, ..before },
        }
    }

    fn call(self, service: &str) -> (&'static str, String, Value) {
        let named = json!({ "services": [service], "reason": "storm" });
        let endpoint = |verb: &str| format!("/api/services/{service}/endpoints/third/{verb}");
        match self {
            Order::Switch(to) => {
                ("PUT", "/api/switch".into(), json!({ "active_dc": format!("dc{to}"), "services": [service] }))
            }
            Order::Clear => ("DELETE", "/api/switch".into(), named),
            Order::Ttl(ttl_s) => ("PUT", format!("/api/services/{service}/ttl"), json!({ "ttl": ttl_s })),
            Order::TtlClear => ("DELETE", format!("/api/services/{service}/ttl"), json!({})),
            Order::Drain => ("POST", endpoint("drain"), json!({})),
            Order::Undrain => ("POST", endpoint("undrain"), json!({})),
        }
    }

    fn send(self, server: SocketAddr, service: &str, key: &str) -> io::Result<Reply> {
        let (method, path, body) = self.call(service);
        call(server, method, &path, &[("idempotency-key", key)], Some(&body))
    }
}

/// A client, and what it knows.
struct Client {
    service: String,
    dice: Dice,
    orders: u64,
    stands: Standing,
    /// Its acknowledgement did not come.
    lost: Option<(Order, String)>,
    /// The last one that was acknowledged and changed something.
    last: Option<(Order, String, u64)>,
    acknowledged: BTreeSet<u64>,
    refused: u64,
    generation: u64,
}

impl Client {
    fn new(number: u64, seed: u64) -> Client {
        Client {
            service: format!("s{number}.example.com"),
            dice: Dice(seed << 32 | number),
            orders: 0,
            stands: POLICY,
            lost: None,
            last: None,
            acknowledged: BTreeSet::new(),
            refused: 0,
            generation: 0,
        }
    }

    /// Orders until the server is gone.
    fn storm(&mut self, server: SocketAddr) {
        loop {
            if self.dice.roll(4) == 0 && self.is_refused(server).is_err() {
                return;
            }
            self.orders += 1;
            let (order, key) = (Order::of(&mut self.dice), format!("{} {}", self.service, self.orders));
            match order.send(server, &self.service, &key) {
                Ok(reply) => self.took(order, key, &reply),
                Err(_) => {
                    self.lost = Some((order, key));
                    return;
                }
            }
        }
    }

    fn took(&mut self, order: Order, key: String, reply: &Reply) {
        assert_eq!(reply.status, 200, "{order:?}: {reply:?}");
        let body = &reply.body;
        assert_eq!(body["durable"], true, "{reply:?}");
        let is_new = order.after(self.stands) != self.stands;
        let (changed, revision) = (body["changed"] == true, body["revision"].as_u64().unwrap());
        // Back to policy's own choice by name is an order that stands, though nobody moves.
        assert!(changed || !is_new, "{order:?} on {:?}: {reply:?}", self.stands);
        self.stands = order.after(self.stands);
        self.generation = self.generation.max(body["generation"].as_u64().unwrap());
        if changed {
            assert!(self.acknowledged.insert(revision), "a revision comes once: {reply:?}");
            self.last = Some((order, key, revision));
        }
    }

    /// Orders that are wrong, each in its way.
    fn is_refused(&mut self, server: SocketAddr) -> io::Result<()> {
        let (body, status) = match self.dice.roll(3) {
            0 => (json!({ "active_dc": "dc9" }), 404),
            1 => (json!({ "active_dc": "dc2", "mode": "pin" }), 409),
            _ => (json!({ "active_dc": "dc2", "expected_revision": 999_999_999_u64 }), 412),
        };
        let reply = call(server, "PUT", "/api/switch", &[], Some(&body))?;
        assert_eq!(reply.status, status, "{reply:?}");
        self.refused += 1;
        Ok(())
    }

    /// What the server shows.
    fn read(&self, node: &Node) -> Standing {
        let answer = node.ask(&format!("{}.", self.service), A, None);
        let [record] = answer.0.answers.as_slice() else { panic!("{answer:?}") };
        let datacenter = record.data.to_string().rsplit('.').next().unwrap().parse().unwrap();
        let service = must(node.api_address(), "GET", &format!("/api/services/{}", self.service), None).body;
        let endpoints = service["endpoints"].as_array().unwrap();
        let third = endpoints.iter().find(|endpoint| endpoint["endpoint"] == "third").unwrap();
        Standing { datacenter, ttl_s: record.ttl, is_third_out: third["admin"] != "in" }
    }

    /// After a restart: everything that was acknowledged stands, and of what was lost all or nothing.
    fn examine(&mut self, node: &Node) -> bool {
        let found = self.read(node);
        let server = node.api_address();
        let mut was_lost_in_force = false;
        if let Some((order, key)) = self.lost.take() {
            let reply = order.send(server, &self.service, &key).unwrap();
            let expected = match reply.body["repeated"] == true {
                true => order.after(self.stands),
                false => self.stands,
            };
            assert_eq!(found, expected, "{}: {order:?} under {key:?}: {reply:?}", self.service);
            was_lost_in_force = reply.body["repeated"] == true;
            match was_lost_in_force {
                true => {
                    self.stands = expected;
                    self.acknowledged.insert(reply.body["revision"].as_u64().unwrap());
                }
                false => self.took(order, key, &reply),
            }
            assert_eq!(self.read(node), self.stands, "{}: after {order:?} was repeated", self.service);
        } else {
            assert_eq!(found, self.stands, "{}", self.service);
        }
        // A retry of what was acknowledged long ago is answered as it was, and does nothing.
        if let Some((order, key, revision)) = &self.last {
            let again = order.send(server, &self.service, key).unwrap();
            assert_eq!(
                (&again.body["repeated"], &again.body["revision"]),
                (&json!(true), &json!(revision)),
                "{again:?}"
            );
            assert_eq!(self.read(node), self.stands);
        }
        was_lost_in_force
    }
}

fn site() -> Site {
    let policy = |number: u64| {
        format!(
            "gslb:\n  domain: s{number}.example.com\n  ttl: 15s\n  policies: {{ default: {{ type: priority }} }}\n  endpoints:\n    \
             first: {{ datacenter: dc1, ip: 192.0.2.1, priority: 1 }}\n    second: {{ datacenter: dc2, ip: 192.0.2.2, priority: 2 }}\n    \
             third: {{ datacenter: dc3, ip: 192.0.2.3, priority: 3 }}\n"
        )
    };
    let mut policies: Vec<(String, String)> =
        (0..CLIENTS).map(|number| (format!("s{number}.yaml"), policy(number))).collect();
    policies.push(("datacenters.yaml".into(), "datacenters: {dc1: {}, dc2: {}, dc3: {}}\n".into()));
    let policies: Vec<(&str, &str)> = policies.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
    Site::of_policies(&policies)
}

/// Revisions of orders that the log says were in force since `cursor`; old files are removed, so it is read each time.
fn logged(site: &Site, cursor: &mut Option<u64>) -> BTreeSet<u64> {
    let mut in_force = BTreeSet::new();
    loop {
        let page = store::history(&OsDisk, &site.path("state"), None, limits::HISTORY_ENTRIES_MAX, *cursor).unwrap();
        *cursor = page.entries.last().map(|entry| entry.seq).or(*cursor);
        in_force.extend(page.entries.iter().filter(|entry| entry.in_force).filter_map(|entry| entry.revision));
        if page.next.is_none() {
            return in_force;
        }
    }
}

/// What a storm came to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    in_force: usize,
    refused: u64,
    lost: usize,
    lost_in_force: usize,
}

/// One server with its clients, killed so often.
fn storm(seed: u64, kills: u64) -> Tally {
    let mut clients: Vec<Client> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
    let mut dice = Dice(seed);
    let mut node = site().serve_stored();
    let (mut revision, mut generation, mut cursor) = (0, 0, None);
    let mut tally = Tally::default();
    let mut in_force = BTreeSet::new();
    for kill in 0..kills {
        let server = node.api_address();
        let site = thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(move || client.storm(server));
            }
            // Any instant will do; none is waited for.
            thread::sleep(Duration::from_micros(dice.roll(60_000)));
            node.kill()
        });
        if kill % 10 == 0 {
            // Somewhere in a start, too.
            let serve = ["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--state", "state"];
            let mut child = site.meridian(&serve).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_micros(dice.roll(150_000)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // The log keeps all of it, so it need not be read every time.
        if kill % 4 == 0 {
            let report = store::verify(&OsDisk, &site.path("state")).unwrap();
            assert!(report.is_whole(), "kill {kill}: {report:?}");
            in_force.extend(logged(&site, &mut cursor));
            for client in &clients {
                let missing: Vec<&u64> = client.acknowledged.difference(&in_force).collect();
                assert!(missing.is_empty(), "kill {kill}: acknowledged, and not in the log: {missing:?}");
            }
        }
        node = site.serve_stored();
        let status = must(node.api_address(), "GET", "/api/status", None).body;
        let now = |field: &str| status[field].as_u64().unwrap();
        let acknowledged = clients.iter().filter_map(|client| client.acknowledged.last()).max().copied();
        assert!(now("revision") >= acknowledged.unwrap_or(0).max(revision), "kill {kill}: revisions do not go back");
        let seen = clients.iter().map(|client| client.generation).max().unwrap().max(generation);
        assert!(now("generation") > seen, "kill {kill}: generations do not come again");
        (revision, generation) = (now("revision"), now("generation"));
        tally.lost += clients.iter().filter(|client| client.lost.is_some()).count();
        tally.lost_in_force += clients.iter_mut().map(|client| client.examine(&node)).filter(|was| *was).count();
    }
    let site = node.kill();
    let verified = site.run(&["history", "--state", "state", "--verify"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    in_force.extend(logged(&site, &mut cursor));
    let known: BTreeSet<u64> = clients.iter().flat_map(|client| client.acknowledged.iter().copied()).collect();
    assert_eq!(known, in_force, "every order in force is one that somebody gave");
    tally.in_force = known.len();
    tally.refused = clients.iter().map(|client| client.refused).sum();
    tally
}

#[test]
fn a_server_that_is_killed_at_any_instant_of_a_storm_keeps_what_it_acknowledged_and_nothing_else() {
    let kills = std::env::var("MERIDIAN_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number of kills"));
    // Two at once: each mostly waits for a disk.
    let tallies = thread::scope(|scope| {
        let storms = [1, 2].map(|seed| scope.spawn(move || storm(seed, kills.div_ceil(2))));
        storms.map(|storm| storm.join().unwrap())
    });
    eprintln!("{kills} kills: {tallies:#?}");
    for Tally { in_force, refused, lost, lost_in_force } in tallies {
        assert!(in_force as u64 > kills && refused > kills / 4 && lost as u64 > kills / 4, "it was a storm");
        assert!(lost_in_force > 0 && lost_in_force < lost, "of both kinds");
    }
}
