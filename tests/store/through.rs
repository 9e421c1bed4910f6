//! A server on a disk that is full, read-only, frozen, corrupted, or another's: names go on being answered, health still
//! moves them, orders are refused in so many words or done without being stored where that is asked for by name, and
//! the start says what it found and what it did.
//!
//! What needs mounts makes them in a mount namespace of its own, and is left out, with a line, where that is not allowed.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType::A;
use serde_json::{Value, json};

use crate::http::{Reply, call, must};
use crate::node::{Node, PATIENCE, Site};

const API: &str = "api.example.com.";

/// Three data centres on loopback that accept connections.
struct Centres([Option<TcpListener>; 3]);

impl Centres {
    fn new() -> Centres {
        loop {
            let first = TcpListener::bind("127.0.9.1:0").unwrap();
            let port = first.local_addr().unwrap().port();
            let others = ["127.0.9.2", "127.0.9.3"].map(|address| TcpListener::bind((address, port)).ok());
            if let [Some(second), Some(third)] = others {
                return Centres([Some(first), Some(second), Some(third)]);
            }
        }
    }

    fn port(&self) -> u16 {
        self.0.iter().flatten().next().unwrap().local_addr().unwrap().port()
    }

    fn site(&self) -> Site {
        let policy = format!(
            "gslb:\n  domain: api.example.com\n  \
             health_check: {{ protocol: tcp, port: {}, interval: 1s, timeout: 500ms, threshold: 2 }}\n  \
             policies: {{ default: {{ type: priority }} }}\n  endpoints:\n    dc1: {{ ip: 127.0.9.1, priority: 1 }}\n    \
             dc2: {{ ip: 127.0.9.2, priority: 2 }}\n    dc3: {{ ip: 127.0.9.3, priority: 3 }}\n",
            self.port()
        );
        Site::of_policies(&[("api.yaml", &policy)])
    }

    /// One of them dies, and its clients get another.
    fn die(&mut self, node: &Node, dead: usize, then: &str) {
        self.0[dead - 1] = None;
        node.wait_until("health moves clients", |node| serves(node) == then);
    }
}

/// The address that clients get.
fn serves(node: &Node) -> String {
    node.ask(API, A, None).answers().join(" ").trim_start_matches("A 127.0.9.").to_owned()
}

fn switch(node: &Node, to: &str) -> Reply {
    put(node, json!({ "active_dc": to }))
}

fn put(node: &Node, body: Value) -> Reply {
    must(node.api_address(), "PUT", "/api/switch", Some(&body))
}

#[track_caller]
fn is_stored(reply: &Reply) {
    let told = (reply.status, &reply.body["durable"]);
    assert_eq!(told, (200, &json!(true)), "{reply:?}");
}

/// Refused for the store alone, in words that name why; and done, unstored, where that is asked for by name.
#[track_caller]
fn orders_are_refused(node: &Node, why: &str) {
    let before = serves(node);
    let refused = switch(node, "dc3");
    assert_eq!((refused.status, &refused.body["rule"]), (409, &json!("not-durable")), "{refused:?}");
    assert!(refused.body["detail"].as_str().unwrap().contains(why), "{refused:?}");
    assert_eq!(serves(node), before);
    let forced = put(node, json!({ "active_dc": "dc3", "force": ["not-durable"] }));
    assert_eq!((forced.status, &forced.body["durable"]), (200, &json!(false)), "{forced:?}");
    assert_eq!(serves(node), "3", "it is in force, until a restart");
    let back = json!({ "force": ["not-durable"] });
    assert_eq!(must(node.api_address(), "DELETE", "/api/switch", Some(&back)).status, 200);
}

/// A line of the log that the start has written.
#[track_caller]
fn says(node: &mut Node, what: &str) -> String {
    let line = node.stderr.until(|line| line.contains("state: ") && line.contains(what));
    line.unwrap_or_else(|| panic!("it does not say {what:?}: {:#?}", node.stderr.seen))
}

/// Serves after `before`, a line of shell, in a mount namespace of its own.
fn serve_behind(site: Site, before: &str) -> Node {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &format!("mkdir -p state; {before}; exec \"$@\""), "sh"]);
    command.arg(env!("CARGO_BIN_EXE_meridian"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--state", "state"]);
    command.current_dir(site.path("."));
    site.start(command)
}

/// Whether this line of shell works in a mount namespace of its own, in an empty directory.
fn may(line: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-ec", &format!("mkdir state; {line}")]).current_dir(&dir);
    let is_allowed = command.output().is_ok_and(|output| output.status.success());
    if !is_allowed {
        eprintln!("`{line}` is not possible here: this test is left out");
    }
    is_allowed
}

/// The state directory as the server sees it.
fn seen_by(node: &Node) -> PathBuf {
    let inside = fs::canonicalize(node.site.path("state")).unwrap();
    Path::new("/proc").join(node.id().to_string()).join("root").join(inside.strip_prefix("/").unwrap())
}

#[test]
fn a_second_process_on_the_directory_serves_and_leaves_it_alone() {
    let mut centres = Centres::new();
    let first = centres.site().serve_stored();
    is_stored(&switch(&first, "dc2"));
    let site = centres.site();
    let state = first.site.path("state");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--state", state.to_str().unwrap()];
    let command = site.meridian(&arguments);
    let mut second = site.start(command);
    says(&mut second, "another process");
    assert_eq!(serves(&second), "2", "what stands there is in force here");
    orders_are_refused(&second, "another process");
    is_stored(&must(first.api_address(), "DELETE", "/api/switch", Some(&json!({}))));
    centres.die(&second, 1, "2");
    first.wait_until("health moves the other's clients", |first| serves(first) == "2");
    is_stored(&switch(&first, "dc3"));
    let verified = first.site.run(&["history", "--state", "state", "--verify"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
}

#[test]
fn a_read_only_directory_is_in_force_and_takes_nothing() {
    let lock = "mount --bind state state; mount -o remount,ro,bind state";
    if !may(lock) {
        return;
    }
    let mut centres = Centres::new();
    let node = centres.site().serve_stored();
    is_stored(&switch(&node, "dc2"));
    let mut node = serve_behind(node.kill(), lock);
    assert_eq!(serves(&node), "2");
    says(&mut node, "ead-only");
    orders_are_refused(&node, "can not be written to");
    centres.die(&node, 1, "2");
    // On a directory that can be written to again, what was stored is what stands.
    let node = node.kill().serve_stored();
    assert_eq!(serves(&node), "2");
    is_stored(&switch(&node, "dc3"));
}

#[test]
fn a_disk_that_fills_up_takes_orders_all_the_same_and_one_that_is_full_from_the_start_says_so_and_recovers() {
    if !may("mount -t tmpfs -o size=1m none state") {
        return;
    }
    let mut centres = Centres::new();
    // Room for the journal and its spare, and little else.
    let node = serve_behind(centres.site(), "mount -t tmpfs -o size=52m none state");
    is_stored(&switch(&node, "dc2"));
    let mut filler = fs::File::create(seen_by(&node).join("filler")).unwrap();
    let full = std::iter::repeat_with(|| filler.write_all(&[7; 4096])).take(100_000).find_map(Result::err);
    assert_eq!(full.map(|error| error.kind()), Some(std::io::ErrorKind::StorageFull));
    for to in ["dc3", "dc1", "dc2"] {
        is_stored(&switch(&node, to));
    }
    drop(node);

    let mut node = serve_behind(centres.site(), "mount -t tmpfs -o size=4m none state");
    says(&mut node, "full");
    orders_are_refused(&node, "the disk is full");
    centres.die(&node, 1, "2");
    let inside = node.site.path("state");
    let grow = format!("mount -o remount,size=64m {}", inside.display());
    let id = node.id().to_string();
    assert!(Command::new("nsenter").args(["-t", &id, "-m", "sh", "-c", &grow]).status().unwrap().success());
    node.wait_until("it takes orders again by itself", |node| switch(node, "dc3").status == 200);
    assert_eq!(serves(&node), "3");
}

/// A disk of its own that outlives the server, with this much room; the rest is a file that is in the way.
fn nearly_full(room: &str) -> String {
    format!(
        "test -e image || {{ truncate -s 128M image; mkfs.ext4 -q -m 0 image; }}; mount -o loop image state; \
         test -e state/filler || {{ fallocate -l {room} state/room; cat /dev/zero >state/filler 2>/dev/null || true; rm state/room; }}"
    )
}

const DISK: &str = "mount -o loop image state";

#[test]
fn what_was_forced_while_the_disk_was_full_is_stored_when_it_is_not_and_only_then_called_durable() {
    let full = nearly_full("1M");
    if !may(&full) {
        return;
    }
    let centres = Centres::new();
    let node = serve_behind(centres.site(), &full);
    let forced = put(&node, json!({ "active_dc": "dc2", "force": ["not-durable"] }));
    assert_eq!((forced.status, &forced.body["durable"]), (200, &json!(false)), "{forced:?}");
    let again = switch(&node, "dc2");
    assert_ne!(
        (again.status, &again.body["durable"]),
        (200, &json!(true)),
        "a repetition is no more durable: {again:?}"
    );
    fs::remove_file(seen_by(&node).join("filler")).unwrap();
    node.wait_until("a repetition is durable", |node| switch(node, "dc2").body["durable"] == true);
    let node = serve_behind(node.kill(), DISK);
    assert_eq!(serves(&node), "2", "durable is durable");
}

/// A file system that hangs until this is dropped.
struct Frozen(PathBuf);

impl Frozen {
    fn new(node: &Node) -> Frozen {
        let dir = seen_by(node);
        assert!(Command::new("fsfreeze").arg("-f").arg(&dir).status().unwrap().success());
        Frozen(dir)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).status();
    }
}

#[test]
fn on_a_disk_that_hangs_an_order_is_answered_in_time_and_never_done_later() {
    let disk = "truncate -s 128M image; mkfs.ext4 -q image; mount -o loop image state";
    if !may(&format!("{disk}; fsfreeze -f state; fsfreeze -u state")) {
        return;
    }
    let mut centres = Centres::new();
    let node = serve_behind(centres.site(), disk);
    is_stored(&switch(&node, "dc2"));
    let frozen = Frozen::new(&node);
    let asked = Instant::now();
    let late = call(
        node.api_address(),
        "PUT",
        "/api/switch",
        &[("idempotency-key", "late")],
        Some(&json!({ "active_dc": "dc3" })),
    );
    let late = late.unwrap();
    assert_eq!((late.status, &late.body["type"]), (503, &json!("/problems/store-timeout")), "{late:?}");
    assert!(asked.elapsed() < Duration::from_secs(5), "every order is answered within 5 s: {:?}", asked.elapsed());
    assert_eq!(serves(&node), "2");
    let again = switch(&node, "dc3");
    assert!([409, 503].contains(&again.status), "{again:?}");
    let forced = json!({ "force": ["not-durable"] });
    let forced = must(node.api_address(), "DELETE", "/api/switch", Some(&forced));
    assert_eq!((forced.status, &forced.body["durable"]), (200, &json!(false)), "{forced:?}");
    assert_eq!(serves(&node), "1");
    centres.die(&node, 1, "2");
    drop(frozen);
    let ttl = || must(node.api_address(), "PUT", "/api/services/api.example.com/ttl", Some(&json!({ "ttl": 33 })));
    let began = Instant::now();
    while ttl().status != 200 {
        assert!(began.elapsed() < PATIENCE, "it takes orders again by itself");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(serves(&node), "2", "what was answered 503 is not done later");
    let node = serve_behind(node.kill(), "mount -o loop image state");
    node.wait_until("health is seen", |node| serves(node) == "2");
    assert_eq!(node.ask(API, A, None).0.answers[0].ttl, 33);
    let standing = must(node.api_address(), "GET", "/api/switch", None).body;
    assert_eq!(standing["switches"], json!([]), "nor after a restart; and what was forced went along with the next");
}

/// Five orders under keys, and the file that they are in.
fn five(centres: &Centres) -> (Site, PathBuf) {
    let node = centres.site().serve_stored();
    let ttl = "/api/services/api.example.com/ttl";
    for (at, (path, body)) in [
        ("/api/switch", json!({ "active_dc": "dc3" })),
        (ttl, json!({ "ttl": 33 })),
        ("/api/switch", json!({ "active_dc": "dc2" })),
        (ttl, json!({ "ttl": 44 })),
        ("/api/switch", json!({ "active_dc": "dc3" })),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key{}", at + 1);
        is_stored(&call(node.api_address(), "PUT", path, &[("idempotency-key", &key)], Some(&body)).unwrap());
    }
    let site = node.kill();
    let journal = site.path("state/journal-00000001.jsonl");
    (site, journal)
}

/// Where the line of an order begins and ends, by its key.
fn line(journal: &Path, key: &str) -> std::ops::Range<usize> {
    let bytes = fs::read(journal).unwrap();
    // Behind whose it is.
    let needle = format!("{key}\"");
    let at = bytes.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap();
    let start = bytes[..at].iter().rposition(|octet| *octet == b'\n').unwrap() + 1;
    let len = bytes[start..].iter().position(|octet| *octet == b'\n').unwrap();
    start..start + len
}

fn overwrite(journal: &Path, octets: &[u8], at: usize) {
    let file = OpenOptions::new().write(true).open(journal).unwrap();
    file.write_all_at(octets, at as u64).unwrap();
}

#[test]
fn a_corrupted_byte_costs_its_order_alone_and_is_told_and_kept() {
    let mut centres = Centres::new();
    let (site, journal) = five(&centres);
    let fourth = line(&journal, "key4");
    overwrite(&journal, b"#", fourth.start + fourth.len() / 2);
    let mut node = site.serve_stored();
    let told = says(&mut node, "is damaged");
    assert!(
        told.contains(&format!("at octet {}", fourth.start)) && told.contains("every other line is in force"),
        "{told}"
    );
    assert_eq!(serves(&node), "3");
    assert_eq!(node.ask(API, A, None).0.answers[0].ttl, 33, "the fourth is lost, and the second stands");
    let verified = node.site.run(&["history", "--state", "state", "--verify"]);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    is_stored(&must(node.api_address(), "DELETE", "/api/switch", Some(&json!({}))));
    centres.die(&node, 1, "2");
    let node = node.kill().serve_stored();
    assert_eq!(must(node.api_address(), "GET", "/api/switch", None).body["switches"], json!([]));
}

#[test]
fn a_torn_last_record_is_cut_off_and_its_key_tells() {
    let mut centres = Centres::new();
    let (site, journal) = five(&centres);
    let fifth = line(&journal, "key5");
    let half = fifth.len() / 2;
    overwrite(&journal, &vec![b'\n'; fifth.len() - half], fifth.start + half);
    let mut node = site.serve_stored();
    let told = says(&mut node, "is torn");
    assert!(told.contains("cut off, and a copy kept"), "{told}");
    assert_eq!((serves(&node).as_str(), node.ask(API, A, None).0.answers[0].ttl), ("2", 44));
    let send = |node: &Node, key: &str, body: Value| {
        call(node.api_address(), "PUT", "/api/switch", &[("idempotency-key", key)], Some(&body)).unwrap()
    };
    let third = send(&node, "key3", json!({ "active_dc": "dc2" }));
    assert_eq!((&third.body["repeated"], &third.body["revision"]), (&json!(true), &json!(3)), "{third:?}");
    let fifth = send(&node, "key5", json!({ "active_dc": "dc3" }));
    assert_eq!((&fifth.body["repeated"], &fifth.body["changed"]), (&json!(false), &json!(true)), "{fifth:?}");
    assert_eq!(serves(&node), "3");
    let verified = node.site.run(&["history", "--state", "state", "--verify"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    is_stored(&must(node.api_address(), "DELETE", "/api/switch", Some(&json!({}))));
    centres.die(&node, 1, "2");
}
