//! `GET /api/events`: what happens, as it happens.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use meridian::limits::EVENT_STREAMS_MAX;
use meridian::model::State;
use serde_json::{Value, json};

use super::house::House;

/// Reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A follower.
struct Follower {
    lines: BufReader<TcpStream>,
}

/// One event.
#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Follower {
    fn new(house: &House, last: Option<&str>) -> Follower {
        let mut stream = TcpStream::connect(house.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        write!(stream, "GET /api/events HTTP/1.1\r\nHost: x\r\n{last}\r\n").unwrap();
        let mut follower = Follower { lines: BufReader::new(stream) };
        assert!(follower.line().starts_with("HTTP/1.1 200"));
        follower
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "the stream ended");
        line.trim_end().to_owned()
    }

    /// The next event; lengths of chunks, comments and blank lines are passed over.
    fn next(&mut self) -> Event {
        let (mut name, mut id) = (String::new(), String::new());
        loop {
            let line = self.line();
            if let Some(is) = line.strip_prefix("event: ") {
                is.clone_into(&mut name);
            } else if let Some(is) = line.strip_prefix("id: ") {
                is.clone_into(&mut id);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Event { name, id, data: serde_json::from_str(data).unwrap() };
            }
        }
    }

    fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next();
            if event.name == name {
                return event;
            }
        }
    }
}

#[test]
fn health_moves_generations_orders_and_refusals_are_told() {
    let house = House::with(|plan, _| plan.is_stored = true);
    let mut follower = Follower::new(&house, None);
    let begin = follower.next();
    assert_eq!((begin.name.as_str(), &begin.data["generation"]), ("begin", &json!(house.generation())));
    house.see("dc1", State::Down);
    let generation = follower.until("generation");
    assert_eq!(
        (&generation.data["node"], &generation.data["generation"]),
        (&json!("gtm1"), &json!(house.generation()))
    );
    let health = follower.until("health").data;
    assert_eq!(
        (&health["endpoint"], &health["from"], &health["to"]),
        (&json!("dc1_beijing"), &json!("up"), &json!("down"))
    );
    assert_eq!((&health["severity"], &health["id"]), (&json!("notice"), &json!("dc1_beijing")));
    assert_eq!(house.order("PUT", "/api/switch", &json!({ "active_dc": "dc1", "actor": "kim" })).status, 409);
    let refused = follower.until("refused").data;
    assert_eq!((&refused["severity"], &refused["rules"]), (&json!("critical"), &json!(["target-unhealthy"])));
    assert!(refused["text"].as_str().unwrap().starts_with("switch by kim: "), "{refused}");
    assert_eq!(house.order("PUT", "/api/switch", &json!({ "active_dc": "dc2", "reason": "drill" })).status, 200);
    let order = follower.until("order");
    assert_eq!((&order.data["revision"], &order.data["order"]), (&json!(1), &json!("switch")));
    assert_eq!((&order.data["durable"], &order.data["reason"]), (&json!(true), &json!("drill")));
}

#[test]
fn a_stream_goes_on_behind_the_last_event_that_its_client_has() {
    let house = House::open();
    let mut follower = Follower::new(&house, None);
    follower.next();
    house.see("dc1", State::Down);
    let seen = follower.until("health");
    let after = follower.next();
    drop(follower);
    let mut again = Follower::new(&house, Some(&seen.id));
    assert_eq!(again.next().name, "begin");
    let resumed = again.next();
    assert_eq!((resumed.name, resumed.id, resumed.data), (after.name, after.id, after.data));
}

#[test]
fn who_comes_from_another_process_is_told_of_a_gap_and_gets_what_is_kept() {
    let house = House::open();
    house.see("dc1", State::Down);
    for last in ["1f-17", "rubbish", "0-999999"] {
        let mut follower = Follower::new(&house, Some(last));
        assert_eq!(follower.next().name, "begin");
        let gap = follower.next();
        assert_eq!((gap.name.as_str(), &gap.data["lost"]), ("gap", &Value::Null), "{last}");
        assert!(gap.data["text"].as_str().unwrap().contains("/api/status"), "{gap:?}");
        assert_eq!(follower.next().name, "generation", "the first that is kept");
    }
}

#[test]
fn streams_are_bounded_and_their_places_come_free() {
    let house = House::open();
    let mut followers: Vec<Follower> = (0..EVENT_STREAMS_MAX).map(|_| Follower::new(&house, None)).collect();
    assert_eq!(house.get("/api/events").problem(), (503, "busy".to_owned()));
    assert!(house.registry.text().contains(&format!("meridian_event_streams {EVENT_STREAMS_MAX}\n")));
    followers.pop();
    let started = std::time::Instant::now();
    while house.get("/api/events").status != 200 {
        assert!(started.elapsed() < PATIENCE, "no place comes free");
        std::thread::yield_now();
    }
}

#[test]
fn a_stream_ends_with_the_server_at_once() {
    let mut house = House::open();
    let mut follower = Follower::new(&house, None);
    follower.next();
    let started = std::time::Instant::now();
    assert!(house.close());
    assert!(started.elapsed() < Duration::from_secs(5), "it was not waited for");
}

#[test]
fn a_quiet_stream_shows_that_it_lives() {
    let house = House::open();
    let mut follower = Follower::new(&house, None);
    follower.next();
    while follower.line() != ": still here" {}
}
