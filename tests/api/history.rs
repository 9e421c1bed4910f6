//! `GET /api/history`: the audit log over the API, and from the shell.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use meridian::api::{AuditLog, AuditPage};
use meridian::limits::API_HISTORY_READERS_MAX;
use meridian::model::State;
use serde_json::{Value, json};

use super::house::House;

fn stored() -> House {
    House::with(|plan, _| plan.is_stored = true)
}

fn switch(house: &House, to: &str) {
    let body = json!({ "active_dc": to, "actor": "kim", "reason": format!("to {to}") });
    let reply = house.order("PUT", "/api/switch", &body);
    assert_eq!(reply.status, 200, "{}", reply.text);
}

fn page(house: &House, query: &str) -> Value {
    let reply = house.get(&format!("/api/history{query}"));
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

fn orders(page: &Value) -> Vec<u64> {
    let entries = page["entries"].as_array().unwrap().iter();
    entries.filter(|entry| entry["is_order"] == true).map(|entry| entry["revision"].as_u64().unwrap()).collect()
}

#[test]
fn pages_follow_each_other_and_a_cursor_stays_where_it_was() {
    let house = stored();
    for to in ["dc2", "dc1", "dc2", "dc1"] {
        switch(&house, to);
    }
    let all = page(&house, "");
    assert_eq!(orders(&all), [1, 2, 3, 4], "the oldest first: {all}");
    assert_eq!((&all["node"], &all["revision"], &all["next"]), (&json!("gtm1"), &json!(4), &Value::Null));
    let (mut cursor, mut found) = (String::from("?limit=1"), Vec::new());
    loop {
        let one = page(&house, &cursor);
        found.extend(one["entries"].as_array().unwrap().clone());
        match one["next"].as_u64() {
            Some(next) => cursor = format!("?limit=1&cursor={next}"),
            None => break,
        }
    }
    // What health notes meanwhile comes behind.
    let known = all["entries"].as_array().unwrap();
    assert_eq!(&found[..known.len()], &known[..]);
    let last = all["last"].as_u64().unwrap();
    switch(&house, "dc3");
    assert_eq!(orders(&page(&house, &format!("?cursor={last}"))), [5]);
    let entry = known.iter().find(|entry| entry["revision"] == 1 && entry["is_order"] == true).unwrap();
    assert_eq!(
        (&entry["kind"], &entry["actor"], &entry["reason"]),
        (&json!("switch"), &json!("kim"), &json!("to dc2"))
    );
    assert_eq!(orders(&page(&house, "?since=2100-01-01T00:00:00Z")), [0; 0]);
}

#[test]
fn refusals_stand_in_the_log_and_first_on_the_status_page_until_an_order_is_done() {
    let house = stored();
    house.see("dc2", State::Down);
    let refused = house.order("PUT", "/api/switch", &json!({ "active_dc": "dc2", "actor": "script" }));
    assert_eq!(refused.status, 409);
    let status = house.get("/api/status").json();
    let first = status["waiting"][0]["what"].as_str().unwrap();
    assert!(first.starts_with("an order was REFUSED: switch by script: "), "{first}");
    assert_eq!(status["waiting"][0]["command"], "meridian history --since 1h");
    let mut is_logged = false;
    // Notes wait for company before they are written.
    for _ in 0..200 {
        let all = page(&house, "");
        is_logged = all["entries"].as_array().unwrap().iter().any(|entry| entry["kind"] == "refused");
        if is_logged {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(is_logged);
    switch(&house, "dc1");
    switch(&house, "dc3");
    let status = house.get("/api/status").json();
    assert!(!status["waiting"].to_string().contains("REFUSED"), "{status}");
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let house = stored();
    let problem = |query: &str| house.get(&format!("/api/history{query}")).problem();
    for query in ["?since=yesterday", "?limit=0", "?limit=1001", "?cursor=x", "?verify=maybe", "?verify=true&limit=1"] {
        assert_eq!(problem(query), (422, "invalid-value".to_owned()), "{query}");
    }
    assert_eq!(problem("?after=1"), (422, "unknown-field".to_owned()));
    assert_eq!(House::open().get("/api/history").problem(), (404, "no-log".to_owned()));
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command.args(arguments).env("TZ", "UTC").env_remove("MERIDIAN_SERVER").env_remove("MERIDIAN_CONFIG");
    let output = command.output().unwrap();
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_shell_reads_it_over_the_api_as_from_the_directory() {
    let house = stored();
    let (url, dir) = (house.url(), house.dir.path().join("state"));
    switch(&house, "dc2");
    let (code, by_api, err) = run(&["history", "--server", &url]);
    assert_eq!(code, 0, "{err}");
    assert!(by_api.contains("switch r1 g") && by_api.contains("by kim: to dc2"), "{by_api}");
    let (code, by_file, _) = run(&["history", "--state", dir.to_str().unwrap()]);
    // What health notes may come behind.
    let first = |text: &str| text.lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((code, first(&by_file)), (0, first(&by_api)));
    // What health notes may come between the two.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (code, out, _) = run(&["history", "--server", &url, "--verify"]);
        assert!(code == 0 && out.starts_with("whole: ") && out.contains("head: line "), "{code} {out}");
        let verify = page(&house, "?verify=true")["verify"].clone();
        if out.contains(verify["head"]["hash"].as_str().unwrap()) {
            break;
        }
        assert!(Instant::now() < deadline, "{out} {verify}");
    }
    assert_eq!(run(&["history", "--server", "http://127.0.0.1:1"]).0, 6);
    assert_eq!(run(&["history", "--server", &url, "--since", "yesterday"]).0, 2);

    // One octet of the first order.
    let file = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let file = file.filter(|path| path.to_str().unwrap().contains("/journal-0")).min().unwrap();
    let mut octets = std::fs::read(&file).unwrap();
    let at = octets.windows(6).position(|octets| octets == b"to dc2").unwrap();
    octets[at] = b'T';
    std::fs::write(&file, octets).unwrap();
    let (code, out, _) = run(&["history", "--server", &url, "--verify"]);
    assert!(code == 1 && out.starts_with("BROKEN: "), "{code} {out}");
    let (code, out, _) = run(&["history", "--state", dir.to_str().unwrap(), "--verify"]);
    assert!(code == 1 && out.starts_with("BROKEN: "), "{code} {out}");
}

/// A disk that does not answer until it is told to.
#[derive(Default)]
struct Hanging {
    entered: AtomicUsize,
    is_mended: Mutex<bool>,
    mended: Condvar,
}

impl AuditLog for Hanging {
    fn page(&self, _: Option<SystemTime>, _: usize, _: Option<u64>) -> Result<AuditPage, String> {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let is_mended = self.is_mended.lock().unwrap();
        drop(self.mended.wait_while(is_mended, |is_mended| !*is_mended).unwrap());
        Ok(AuditPage::default())
    }

    fn verify(&self) -> Result<Value, String> {
        Err("it is not there".into())
    }
}

#[test]
fn a_disk_that_hangs_costs_the_readers_of_the_log_and_nobody_else() {
    let log = Arc::new(Hanging::default());
    let seen = Arc::clone(&log);
    let house = House::with(|plan, _| plan.audit = Some(seen));
    for _ in 0..=API_HISTORY_READERS_MAX {
        let reply = house.get("/api/history");
        assert_eq!(reply.problem(), (503, "timeout".to_owned()));
        assert!(reply.text.contains("--state DIR"), "{}", reply.text);
    }
    assert_eq!(log.entered.load(Ordering::SeqCst), API_HISTORY_READERS_MAX, "no more of them wait for the disk");
    let started = Instant::now();
    assert_eq!(house.get("/api/status").status, 200);
    assert_eq!(house.order("PUT", "/api/switch", &json!({ "active_dc": "dc2" })).status, 200);
    assert!(started.elapsed() < Duration::from_secs(4), "nobody else waits");
    *log.is_mended.lock().unwrap() = true;
    log.mended.notify_all();
    assert_eq!(house.get("/api/history").status, 200, "and it is read again");
    assert_eq!(house.get("/api/history?verify=true").problem(), (500, "log-unreadable".to_owned()));
}
