//! No torn answer while orders come: ten a second go to the built server, and clients ask meanwhile. Each debug TXT
//! names its generation and its data centre, and each must be what that generation's order made; so must the address
//! that is asked for between two of them. And who asks after an order was acknowledged never gets an older table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use hickory_proto::rr::RecordType::{A, TXT};
use serde_json::{Value, json};

use crate::http::must;
use crate::node::{Answer, PATIENCE, Site, query};

const POLICY: &str = "\
gslb:
  domain: api.example.com
  policies: {default: {type: priority}}
  endpoints:
    dc1: {ip: 192.0.2.1, priority: 1}
    dc2: {ip: 192.0.2.2, priority: 2}
    dc3: {ip: 192.0.2.3, priority: 3}
";

const ORDERS: usize = 60;
const EVERY: Duration = Duration::from_millis(100);
const CLIENTS: usize = 3;

/// What was seen: generations with the data centre that answered.
type Seen = BTreeSet<(u64, String)>;

struct Client {
    socket: UdpSocket,
    id: u16,
}

impl Client {
    fn of(server: SocketAddr) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { socket, id: 0 }
    }

    /// Three questions at once, in this order; replies to one socket come from one worker, which answers in order.
    fn ask(&mut self) -> [Answer; 3] {
        let first = self.id;
        for (name, rtype) in
            [("_meridian.api.example.com.", TXT), ("api.example.com.", A), ("_meridian.api.example.com.", TXT)]
        {
            let mut octets = query(name, rtype, None);
            octets[..2].copy_from_slice(&self.id.to_be_bytes());
            self.id = self.id.wrapping_add(1);
            self.socket.send(&octets).unwrap();
        }
        let mut answers: [Option<Answer>; 3] = [None, None, None];
        while answers.iter().any(Option::is_none) {
            let mut octets = [0; 4096];
            let len = self.socket.recv(&mut octets).unwrap();
            let message = Message::from_vec(&octets[..len]).unwrap();
            let at = usize::from(message.metadata.id.wrapping_sub(first));
            assert!(answers[at].replace(Answer(message)).is_none(), "one reply to a question");
        }
        answers.map(Option::unwrap)
    }
}

/// Generation and data centre of a debug TXT.
fn named(answer: &Answer) -> (u64, String) {
    let [record] = answer.0.answers.as_slice() else { panic!("{answer:?}") };
    let RData::TXT(text) = &record.data else { panic!("{record}") };
    let facts: Vec<String> = text.txt_data.iter().map(|fact| String::from_utf8(fact.to_vec()).unwrap()).collect();
    let fact = |name: &str| {
        let found = facts.iter().find_map(|fact| fact.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {facts:?}"))
    };
    (fact("generation=").parse().unwrap(), fact("dc=").to_owned())
}

/// What a client saw.
#[derive(Default)]
struct Watched {
    seen: Seen,
    /// Addresses between two debug TXTs of one generation.
    addresses: usize,
    /// Answers from a table older than one that had been acknowledged.
    late: usize,
}

fn watch(server: SocketAddr, acknowledged: &AtomicU64, is_over: &AtomicBool) -> Watched {
    let (mut watched, mut client) = (Watched::default(), Client::of(server));
    while !is_over.load(Ordering::SeqCst) {
        let at_least = acknowledged.load(Ordering::SeqCst);
        let [before, address, after] = client.ask();
        let (before, after) = (named(&before), named(&after));
        watched.late += usize::from(before.0 < at_least);
        assert!(after.0 >= before.0, "generations only grow");
        let [address] = <[String; 1]>::try_from(address.answers()).unwrap();
        if before.0 == after.0 {
            watched.seen.insert((before.0, address.replace("A 192.0.2.", "dc")));
            watched.addresses += 1;
        }
        watched.seen.extend([before, after]);
    }
    watched
}

#[test]
fn while_ten_orders_a_second_run_every_answer_is_that_of_the_generation_that_it_names() {
    let mut node = Site::of_policies(&[("api.yaml", POLICY)]).serve_stored();
    let (server, api) = (node.address, node.api_address());
    let (acknowledged, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut served: BTreeMap<u64, String> =
        BTreeMap::from([(node.status()["generation"].as_u64().unwrap(), "dc1".into())]);
    let endpoint = |verb: &str| format!("/api/services/api.example.com/endpoints/dc1/{verb}");
    let Watched { seen, addresses, late } = thread::scope(|scope| {
        let clients = [(); CLIENTS].map(|()| scope.spawn(|| watch(server, &acknowledged, &is_over)));
        for order in 0..ORDERS {
            let switch = |to: &str| ("PUT", "/api/switch".to_owned(), json!({ "active_dc": to }), to.to_owned());
            // Each makes another data centre answer than the one before.
            let (method, path, body, then): (&str, String, Value, String) = match order % 6 {
                0 => switch("dc2"),
                1 => switch("dc3"),
                2 => ("DELETE", "/api/switch".into(), json!({}), "dc1".into()),
                3 => ("POST", endpoint("drain"), json!({}), "dc2".into()),
                4 => switch("dc3"),
                _ => ("POST", "/api/undo".into(), json!({}), "dc2".into()),
            };
            if order % 6 == 0 && order > 0 {
                let back = must(api, "POST", &endpoint("undrain"), Some(&json!({})));
                served.insert(back.body["generation"].as_u64().unwrap(), "dc1".into());
            }
            let reply = must(api, method, &path, Some(&body));
            assert_eq!((reply.status, &reply.body["changed"]), (200, &json!(true)), "{method} {path}: {reply:?}");
            let generation = reply.body["generation"].as_u64().unwrap();
            assert_eq!(served.insert(generation, then), None, "each order has a generation of its own");
            acknowledged.store(generation, Ordering::SeqCst);
            thread::sleep(EVERY);
        }
        is_over.store(true, Ordering::SeqCst);
        clients.into_iter().map(|client| client.join().unwrap()).fold(Watched::default(), |mut all, more| {
            all.seen.extend(more.seen);
            Watched { addresses: all.addresses + more.addresses, late: all.late + more.late, ..all }
        })
    });
    for (generation, datacenter) in &seen {
        assert_eq!(served.get(generation), Some(datacenter), "generation {generation}");
    }
    let met = seen.iter().map(|(generation, _)| generation).collect::<BTreeSet<_>>().len();
    assert!(met >= ORDERS && addresses > 10 * ORDERS, "{met} generations, {addresses} addresses");
    if late > 0 {
        // Only where the machine kept a worker from working for longer than an acknowledgement waits, which is told.
        node.signal("TERM");
        let told = node.stderr.rest().iter().filter(|line| line.contains("from an older table")).count();
        assert!(told > 0, "{late} answers from tables older than what had been acknowledged");
    }
}
