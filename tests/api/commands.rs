//! The client commands, as a shell runs them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use meridian::model::State;
use meridian::serve::Certificate;
use serde_json::{Value, json};

use super::house::{House, access};

fn meridian(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command.args(arguments).stdin(Stdio::null()).env("USER", "kim").env("TZ", "UTC");
    for variable in ["MERIDIAN_SERVER", "MERIDIAN_TOKEN", "MERIDIAN_CONFIG", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = meridian(arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn status_exits_as_it_stands() {
    let house = House::open();
    let url = house.url();
    let (code, out, err) = run(&["status", "--server", &url]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let head = format!("all is well\nnode gtm1   generation {}   revision 0   http://127.0.0.1:", house.generation());
    assert!(out.starts_with(&head), "{out}");
    assert!(!out.contains('\x1b'), "no colours in a pipe");
    for line in ["dc1  up     2   0     0        dc1_beijing", "a.example.com  office     dc1        policy"] {
        assert!(out.lines().any(|is| is == line), "{line:?} is not in\n{out}");
    }
    house.see("dc1", State::Down);
    let (code, out, _) = run(&["status", "--server", &url]);
    assert_eq!(code, 3, "{out}");
    let (code, out, _) = run(&["status", "--server", &url, "--output", "json"]);
    let body: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &body["server"], &body["well"]), (3, &json!(url), &json!(false)));
    let (code, _, err) = run(&["status", "--server", "http://127.0.0.1:1"]);
    assert!(code == 6 && err.contains("http://127.0.0.1:1: not reached"), "{code} {err}");
    let (code, ..) = run(&["status", "--server", "http://127.0.0.1:1", "--server", &url]);
    assert_eq!(code, 6, "the worst of all nodes");
    assert_eq!(run(&["status", "--server", "ftp://x"]).0, 2);
}

#[test]
fn watching_tells_each_change_in_a_line() {
    let house = House::open();
    let mut watching =
        meridian(&["status", "--watch", "--server", &house.url()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("server: answers")));
    house.see("dc1", State::Down);
    assert!(lines.any(|line| line.ends_with("a.example.com. dc1_beijing 192.0.2.1: up → down")));
    assert!(lines.any(|line| line.ends_with("a.example.com. office: dc1 → dc2")));
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn status_begins_with_what_waits_and_the_command_that_it_says_works() {
    let house = House::with(|plan, _| plan.is_stored = true);
    let url = house.url();
    house.latch();
    let (code, out, _) = run(&["status", "--server", &url]);
    let mut lines = out.lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("dc1 has recovered, waiting for you to let clients come back (since "), "{out}");
    let command = lines.next().unwrap().trim().strip_prefix("→ meridian ").unwrap().to_owned();
    assert_eq!((code, command.as_str()), (3, format!("failback dc1 --server {url}").as_str()));
    let words: Vec<&str> = command.split(' ').collect();
    let (code, out, err) = run(&[&words[..], &["--reason", "it is back", "--dry-run"]].concat());
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "gtm1: clients would come back to dc1\n  services: a.example.com.\n", "")
    );
    let (code, out, _) = run(&words);
    assert_eq!(
        (code, out),
        (
            0,
            format!("gtm1: clients come back to dc1 (generation {})\n  services: a.example.com.\n", house.generation())
        )
    );
    assert_eq!(house.status().moves.back().unwrap().why, "failback ordered by kim (loopback)");
    assert_eq!(run(&["status", "--server", &url]).0, 0);
}

#[test]
fn orders_are_told_with_what_they_move_and_how_to_take_them_back() {
    let house = House::with(|plan, _| plan.is_stored = true);
    let url = house.url();
    let order = |arguments: &[&str]| run(&[arguments, &["--server", &url]].concat());
    let (code, out, _) = order(&["switch", "dc2", "--dry-run"]);
    assert!(code == 0 && out.starts_with("gtm1: switch to dc2: this would happen\n"), "{out}");
    let (code, out, err) = order(&["switch", "dc2", "--reason", "drill"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("gtm1: switch to dc2: done (revision 1, generation "), "{out}");
    for line in [
        "  a.example.com.  office   dc1_beijing  dc2_beijing",
        "  100.0 % of all addresses move",
        "  to take it back: meridian undo 1",
    ] {
        assert!(out.lines().any(|is| is == line), "{line:?} is not in\n{out}");
    }
    let (code, out, _) = order(&["switch", "dc2"]);
    assert!(code == 0 && out.contains("it stands like that already (revision 1)"), "{out}");
    let (code, out, _) = order(&["undo", "1"]);
    assert!(code == 0 && out.contains("undo revision 1: done (revision 2"), "{out}");
    for arguments in [
        &["drain", "dc1"][..],
        &["undrain", "dc1"],
        &["force", "dc2,dc3", "down"],
        &["force", "beijing", "auto"],
        &["freeze", "--expires", "1h"],
        &["unfreeze"],
        &["switch", "--clear"],
    ] {
        let (code, out, err) = order(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    }
    let (code, out, _) = order(&["switch", "dc2", "--output", "json"]);
    let body: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &body["server"], &body["active_dc"]), (0, &json!(url), &json!("dc2")));
}

#[test]
fn orders_exit_as_they_went() {
    let mut house = House::with(|plan, _| plan.is_stored = true);
    let url = house.url();
    let order = |arguments: &[&str]| run(&[arguments, &["--server", &url]].concat());
    for (arguments, expected) in [
        (&["switch", "dc9"][..], 5),
        (&["switch", "dc3", "--service", "b.example.com"], 5),
        (&["switch", "dc2", "--pin"], 4),
        (&["switch", "dc2", "--pin", "--dry-run"], 4),
        (&["switch", "dc2", "--expected-revision", "7"], 8),
        (&["switch"], 2),
        (&["switch", "dc2", "--clear"], 2),
        (&["force", "dc1", "sideways"], 2),
        (&["undo"], 4),
        (&["gate", "closed"], 0),
        (&["switch", "dc2"], 4),
        (&["switch", "dc2", "--force", "gate"], 0),
        (&["gate", "open", "--force", "gate"], 0),
    ] {
        let (code, out, err) = order(arguments);
        assert_eq!(code, expected, "{arguments:?}: {out}{err}");
    }
    let (_, _, err) = order(&["switch", "dc1", "--pin"]);
    assert!(err.contains("(rule pin-needs-expiry)") && err.contains("--force pin-needs-expiry"), "{err}");
    let (code, ..) = order(&["drain", "dc1", "--server", "http://127.0.0.1:1"]);
    assert_eq!(code, 6, "some took it, some did not");
    house.end_control();
    assert_eq!(run(&["drain", "dc3", "--server", &url]).0, 6);
}

#[test]
fn failback_exits_as_the_order_went() {
    let mut house = House::open();
    let url = house.url();
    let (code, out, _) = run(&["failback", "dc1", "--service", "b.example.com", "--server", &url]);
    assert_eq!((code, out.as_str()), (0, "gtm1: nothing to do: no client was kept away from dc1\n"));
    let (code, _, err) = run(&["failback", "dc9", "--server", &url]);
    assert!(code == 5 && err.contains("[unknown-dc]"), "{code} {err}");
    assert_eq!(run(&["failback", "dc1", "--service", "c.example.com", "--server", &url]).0, 5);
    assert_eq!(run(&["failback", "--server", &url]).0, 2);
    house.end_control();
    assert_eq!(run(&["failback", "dc1", "--server", &url]).0, 6);
}

#[test]
fn demo_orders_the_stand_ins() {
    let house = House::with(|plan, _| plan.is_demo = true);
    let (code, out, _) = run(&["demo", "slow", "dc2", "--server", &house.url()]);
    assert_eq!((code, out), (0, format!("dc2: slow; watch with `meridian status --watch --server {}`\n", house.url())));
    let other = House::open();
    assert_eq!(run(&["demo", "fail", "dc1", "--server", &other.url()]).0, 5);
}

#[test]
fn a_token_is_made_used_and_revoked_from_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    let file = tokens.to_str().unwrap();
    let made = run(&["token", "create", "ci", "--role", "operator", "--expires", "90d", "--tokens", file]);
    assert_eq!(made.0, 0, "{}", made.2);
    let secret = made.1.trim().to_owned();
    assert!(secret.starts_with("mrd_") && !fs::read_to_string(&tokens).unwrap().contains(&secret));
    assert_eq!(run(&["token", "create", "ci", "--tokens", file]).0, 1);
    let listed = run(&["token", "list", "--tokens", file]).1;
    assert!(listed.lines().nth(1).unwrap().starts_with("ci  operator  all"), "{listed}");

    let house = House::with(|plan, _| plan.access = access(tokens.clone()));
    let url = house.url();
    assert_eq!(run(&["status", "--server", &url]).0, 7);
    let kept = dir.path().join("secret");
    fs::write(&kept, format!("{secret}\n")).unwrap();
    assert_eq!(run(&["status", "--server", &url, "--token-file", kept.to_str().unwrap()]).0, 0);
    let by_variable = meridian(&["status", "--server", &url]).env("MERIDIAN_TOKEN", &secret).output().unwrap();
    assert_eq!(by_variable.status.code(), Some(0));

    assert_eq!(run(&["token", "revoke", "ci", "--tokens", file]).0, 0);
    // The server looks at the file once a second.
    let refused = || run(&["status", "--server", &url, "--token-file", kept.to_str().unwrap()]).0 == 7;
    assert!((0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        refused()
    }));
}

#[test]
fn commands_speak_over_tls_and_over_the_socket() {
    let house = House::with(|plan, dir| {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        fs::write(&cert, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let certificate = Arc::new(Certificate::load(&cert, &key).unwrap());
        plan.api.tls = Some(Arc::new(certificate.server_config(&[b"http/1.1"], None).unwrap()));
        plan.api.listen_tls = std::mem::take(&mut plan.api.listen);
        plan.api.unix = Some(dir.path().join("api.sock"));
    });
    let path = |file: &str| Path::new(house.dir.path()).join(file).to_str().unwrap().to_owned();
    let url = format!("https://{}", house.address);
    let (code, out, err) = run(&["status", "--server", &url, "--ca", &path("cert.pem")]);
    assert_eq!(code, 0, "{out}{err}");
    let (code, _, err) = run(&["status", "--server", &url]);
    assert!(matches!(code, 2 | 6), "not by the system's authorities: {err}");
    assert_eq!(run(&["status", "--server", &format!("unix:{}", path("api.sock"))]).0, 0);
}
