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

pub(super) fn run(arguments: &[&str]) -> (i32, String, String) {
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
        &format!("  to take it back: meridian undo 1 --server {url}"),
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

/// In a directory.
fn run_in(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = meridian(arguments).current_dir(dir).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn diff_says_what_a_reload_would_change_and_changes_nothing() {
    let house = House::open();
    let (url, dir) = (house.url(), house.dir.path());
    let (code, out, err) = run(&["diff", "--server", &url]);
    let head = format!("nothing would change (by health and orders of gtm1, generation {})\n", house.generation());
    assert_eq!((code, out, err.as_str()), (0, head, ""));
    let file = dir.join("zones/b.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("priority: 1", "priority: 9")).unwrap();
    let before = house.generation();
    let (code, out, _) = run(&["diff", "--server", &url]);
    assert_eq!((code, house.generation()), (3, before), "{out}");
    for line in [
        "  b.example.com.  default  dc1_beijing  dc2_beijing  100.00 %",
        "  dc1_beijing  100.00 %     50.00 %",
        "50.00 % of all addresses move; of recent queries nothing is known (by health and orders of gtm1, generation ",
    ] {
        assert!(out.lines().any(|is| is.starts_with(line)), "{line:?} is not in\n{out}");
    }
    house.see("dc2", State::Down);
    assert_eq!(run(&["diff", "--server", &url]).0, 0, "dc1 is all that there is");
    house.order("POST", "/api/datacenters/dc1/drain", &json!({ "services": "b.example.com", "force": ["last-dc"] }));
    assert_eq!(run(&["diff", "--server", &url]).0, 0, "and ordered out is out");
    fs::write(&file, "gslb: 1\n").unwrap();
    let (code, _, err) = run(&["diff", "--server", &url]);
    assert!(code == 2 && err.contains("[invalid-files]"), "{code} {err}");
    assert_eq!(run(&["diff", "--server", "http://127.0.0.1:1"]).0, 6);
    assert_eq!(run(&["diff", "--offline"]).0, 2);
}

#[test]
fn diff_compares_files_under_what_a_server_knows_or_with_everything_up() {
    let house = House::open();
    let (url, dir) = (house.url(), house.dir.path());
    let new = dir.join("new");
    fs::create_dir(&new).unwrap();
    for entry in fs::read_dir(dir.join("zones")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        // The offices would go to dc3 first.
        let text = text
            .replace("primary: dc1_beijing", "primary: dc3_shanghai")
            .replace("tertiary: dc3_shanghai", "tertiary: dc1_beijing");
        fs::write(new.join(path.file_name().unwrap()), text).unwrap();
    }
    let (code, out, err) = run_in(dir, &["diff", "--zones", "new", "--offline"]);
    assert_eq!((code, err.as_str()), (3, ""), "{out}");
    assert!(out.contains("  a.example.com.  office  dc1_beijing  dc3_shanghai  0.00 %"), "{out}");
    assert!(out.ends_with("(with everything up and nothing ordered: no server was asked)\n"), "{out}");
    house.see("dc3", State::Down);
    let (code, out, _) = run_in(dir, &["diff", "--zones", "new", "--server", &url]);
    assert!(code == 3 && out.contains("  a.example.com.  office  dc1_beijing  dc2_beijing"), "{code} {out}");
    house.see("dc2", State::Down);
    let (code, out, _) = run_in(dir, &["diff", "--zones", "new", "--server", &url]);
    assert!(code == 0 && out.starts_with("nothing would change (by health and orders of gtm1"), "{code} {out}");
    let (code, out, _) = run_in(dir, &["diff", "--zones", "new", "--offline", "--output", "json"]);
    let body: Value = serde_json::from_str(&out).unwrap();
    let first = &body["difference"]["moves"]["first"][0];
    assert_eq!((code, &first["addresses_ppm"], &body["facts_of"]), (3, &json!(15), &Value::Null), "{body}");
    let (code, _, err) = run_in(dir, &["diff", "--zones", "new", "--server", "http://127.0.0.1:1"]);
    assert!(code == 6 && err.contains("not reached"), "{err}");
    fs::write(new.join("b.yaml"), "gslb: 1\n").unwrap();
    assert_eq!(run_in(dir, &["diff", "--zones", "new", "--offline"]).0, 1);
}

#[test]
fn explain_asks_the_running_server_and_files_only_when_told_so() {
    let house = House::open();
    let (url, dir) = (house.url(), house.dir.path());
    let explain = |more: &[&str]| run_in(dir, &[&["explain", "a.example.com", "--client", "10.1.2.3"], more].concat());
    let (code, out, err) = explain(&["--server", &url]);
    assert_eq!((code, err.as_str()), (0, ""));
    let from = format!("  from     gtm1, generation {}", house.generation());
    for line in ["  answer   15 A 192.0.2.1   (dc1)", "  region   office", "  source   policy", &from] {
        assert!(out.lines().any(|is| is == line), "{line:?} is not in\n{out}");
    }
    let (_, offline, _) = explain(&["--offline"]);
    assert_eq!(out.replace(&format!("{from}\n"), ""), offline, "in the same words");
    house.see("dc1", State::Down);
    assert!(explain(&["--server", &url]).1.contains("A 192.0.2.2   (dc2)"));
    assert!(explain(&["--server", &url, "--out", "dc2", "--switch", "dc3"]).1.contains("A 192.0.2.3   (dc3)"));
    assert!(explain(&["--offline"]).1.contains("A 192.0.2.1   (dc1)"), "files know nothing of health");
    assert!(explain(&["--zones", "zones"]).1.contains("A 192.0.2.1   (dc1)"));
    let (code, out, _) = explain(&["--server", &url, "--output", "json"]);
    let body: Value = serde_json::from_str(&out).unwrap();
    let first = &body["possible"][0];
    assert_eq!((code, &first["dcs"], &first["ids"]), (0, &json!(["dc2"]), &json!(["dc2_beijing"])));
    assert_eq!((&body["node"], &body["server"]), (&json!("gtm1"), &json!(url)));
    let (code, _, err) = explain(&["--server", "http://127.0.0.1:1"]);
    assert!(code == 6 && err.contains("--offline"), "{err}");
    assert_eq!(explain(&["--server", &url, "--down", "dc9"]).0, 5);
    assert_eq!(explain(&["--server", &url, "--type", "NONSENSE"]).0, 2);
}

/// Passes requests on to the house; of the first it swallows the answer.
fn lossy(house: &House) -> std::net::SocketAddr {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, behind) = (listener.local_addr().unwrap(), house.address);
    std::thread::spawn(move || {
        for (at, client) in listener.incoming().enumerate() {
            let mut client = client.unwrap();
            let mut server = TcpStream::connect(behind).unwrap();
            let mut request = Vec::new();
            let mut octets = [0; 4096];
            // An order is small: its body comes with its head, or right behind it.
            while !request.ends_with(b"}") {
                let len = client.read(&mut octets).unwrap();
                request.extend(&octets[..len]);
            }
            server.write_all(&request).unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"}\n") {
                let len = server.read(&mut octets).unwrap();
                answer.extend(&octets[..len]);
            }
            if at > 0 {
                client.write_all(&answer).unwrap();
            }
        }
    });
    address
}

#[test]
fn an_order_whose_answer_is_lost_is_given_again_and_carried_out_once() {
    let house = House::with(|plan, _| plan.is_stored = true);
    let url = format!("http://{}", lossy(&house));
    let (code, out, err) = run(&["switch", "dc2", "--server", &url, "--output", "json"]);
    let body: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    assert_eq!((code, &body["repeated"], &body["revision"]), (0, &json!(true), &json!(1)), "{body}");
    assert_eq!(house.status().revision.0, 1);
}

#[test]
fn a_server_that_is_not_reached_was_given_no_order_and_the_others_are_told_apart() {
    let house = House::with(|plan, _| plan.is_stored = true);
    let url = house.url();
    let (code, _, err) = run(&["drain", "dc1", "--server", "http://127.0.0.1:1"]);
    assert_eq!(code, 6);
    assert!(err.contains("not reached") && err.contains("the order was not given there"), "{err}");
    assert!(err.contains("→ meridian drain dc1 --server http://127.0.0.1:1 --idempotency-key cli-"), "{err}");
    let (code, out, err) = run(&["drain", "dc1", "--server", &url, "--server", "http://127.0.0.1:1"]);
    assert!(code == 6 && out.contains("drain dc1: done"), "{code} {out}{err}");
    assert!(err.contains("1 of 2 nodes have done it, http://127.0.0.1:1 not: "), "{err}");
    // Typed again for both it is done once: the key is the same.
    let key = err.rsplit("--idempotency-key ").next().unwrap().trim();
    let (code, out, _) = run(&["drain", "dc1", "--server", &url, "--idempotency-key", key, "--output", "json"]);
    let body: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &body["repeated"], &body["revision"]), (0, &json!(true), &json!(1)));
    let (_, out, _) = run(&["drain", "dc1", "--server", "http://127.0.0.1:1", "--output", "json"]);
    let body: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(body["outcome"], "not-sent", "{body}");
}

/// On a terminal, whose keys are `typed`; what it shows, and the exit code.
fn on_a_terminal(arguments: &[&str], typed: &str) -> (i32, String) {
    use std::io::Write;
    let words: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
    let line = format!("{} {}", env!("CARGO_BIN_EXE_meridian"), words.join(" "));
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_remove("MERIDIAN_SERVER")
        .env("TZ", "UTC")
        .env("USER", "kim")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = script.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let shown = std::io::read_to_string(script.stdout.take().unwrap()).unwrap();
    drop(stdin);
    (script.wait().unwrap().code().unwrap(), shown.replace("\r\n", "\n"))
}

#[test]
fn on_a_terminal_the_impact_is_shown_and_nothing_is_done_without_a_yes() {
    let house = House::with(|plan, _| plan.is_stored = true);
    let url = house.url();
    let (code, shown) = on_a_terminal(&["switch", "dc2", "--server", &url], "n\n");
    assert_eq!((code, house.status().revision.0), (1, 0), "{shown}");
    let order: Vec<Option<usize>> =
        ["this would happen", "dc2_beijing", "% of all addresses move", "do it? [y/N]", "nothing was done"]
            .iter()
            .map(|part| shown.find(part))
            .collect();
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?} {shown}");
    let (code, shown) = on_a_terminal(&["switch", "dc2", "--server", &url], "y\n");
    assert!(code == 0 && shown.contains("switch to dc2: done (revision 1,"), "{code} {shown}");
    let (code, shown) = on_a_terminal(&["switch", "--clear", "--yes", "--server", &url], "");
    assert!(code == 0 && !shown.contains("[y/N]") && shown.contains("done (revision 2,"), "{code} {shown}");
    // A person passes a gate that is closed to robots.
    assert_eq!(run(&["gate", "closed", "--server", &url]).0, 0);
    assert_eq!(run(&["drain", "dc3", "--server", &url]).0, 4);
    assert_eq!(on_a_terminal(&["drain", "dc3", "--yes", "--server", &url], "").0, 0);
    // A node that is down with what is moved away from keeps nobody from telling the others.
    let both = ["undrain", "dc3", "--server", "http://127.0.0.1:1", "--server", &url];
    let (code, shown) = on_a_terminal(&both, "y\n");
    assert!(code == 6 && shown.contains("1 of 2 servers answered") && shown.contains("undrain dc3: done"), "{shown}");
    let (code, shown) = on_a_terminal(&["undrain", "dc3", "--server", "http://127.0.0.1:1"], "y\n");
    assert!(code == 6 && !shown.contains("[y/N]"), "{code} {shown}");
    house.see("dc2", State::Down);
    let (code, shown) = on_a_terminal(&["switch", "dc2", "--server", &url], "y\n");
    assert!(code == 4 && shown.contains("it would be REFUSED by target-unhealthy"), "{code} {shown}");
}

#[test]
fn every_order_of_the_shell_goes_there_and_back() {
    let house = House::with(|plan, _| plan.is_stored = true);
    let url = house.url();
    for (words, revision) in [
        (&["force", "dc1", "down"][..], 1),
        (&["force", "dc1", "auto"], 2),
        (&["force", "dc3", "up"], 3),
        (&["force", "dc3", "auto"], 4),
        (&["freeze", "--reason", "a holiday"], 5),
        (&["unfreeze"], 6),
        (&["gate", "closed", "--role", "operator"], 7),
        (&["gate", "open", "--role", "operator", "--force", "gate"], 8),
        (&["switch", "dc2", "--region", "office", "--service", "a.example.com", "--expires", "2h"], 9),
        (&["undo", "9"], 10),
        (&["switch", "dc2", "--from", "dc1"], 11),
        (&["switch", "--clear"], 12),
        (&["drain", "dc3", "--service", "a.example.com"], 13),
        (&["undrain", "dc3", "--service", "a.example.com"], 14),
        (&["switch", "dc3", "--pin", "--expires", "10m"], 15),
        (&["undo"], 16),
    ] {
        let (code, out, err) = run(&[words, &["--server", &url, "--output", "json"]].concat());
        let body: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{words:?} {error}: {out}{err}"));
        assert_eq!(
            (code, &body["changed"], &body["revision"]),
            (0, &json!(true), &json!(revision)),
            "{words:?} {body}"
        );
    }
    let status = house.get("/api/status").json();
    assert_eq!((&status["well"], &status["revision"]), (&json!(true), &json!(16)), "{status}");
}
