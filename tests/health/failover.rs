//! The whole failover, in a network namespace of the test's own: a data centre dies; what detects it, promotes the data
//! and calls the switch API are the reference automation, call for call, and the script of `deploy/examples`. Real
//! Meridian with the unchanged reference policy, whose addresses exist in the namespace alone, which leads nowhere; real
//! data centres (nginx), real DNS clients (dig); kubectl, redis-cli and Alertmanager are stand-ins that keep a record.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::farm::{ANSWERED, Certificates, Nginx, has, signal};
use crate::node::{Node, PATIENCE, Site};

const SERVICE: &str = "api.meta-driven.example.com";

/// Clients of Beijing, of Shanghai, and of no listed region.
const CLIENTS: [&str; 3] = ["219.141.136.0/24", "202.96.209.0/24", "8.8.8.0/24"];

const HOSTS: &str = "127.0.0.1 localhost\n10.77.0.53 gslb-controller config-center\n10.77.0.54 alertmanager\n";

/// What the reference automation is granted, and nothing more; what is new has a token.
const CONFIG: &str = "\
ns: [ns1.example.com, ns2.example.com]
dns: {listen: 10.77.0.53:53}
health: {hold_down: 5s}
api:
  listen: 10.77.0.53:80
  tokens: tokens
  anonymous:
    - {from: 10.77.0.0/24, role: operator, calls: [PUT /api/switch, GET /api/active-dc], actor: failover-controller}
";

/// The reference automation: it promotes the data, calls once without looking at the answer, restarts the target's
/// pods, and reads which data centre is active. Its two calls are byte for byte.
const REFERENCE: &str = r#"
redis-cli -h redis.dc2 REPLICAOF NO ONE
curl -X PUT "http://gslb-controller/api/switch" -H "Content-Type: application/json" -d "{\"active_dc\": \"dc2\"}"
kubectl --context dc2 rollout restart deployment --all
curl -sf "http://config-center/api/active-dc" | jq -r '.dc'
curl -s -X POST "http://alertmanager:9093/api/v2/alerts" -H "Content-Type: application/json" -d '[{"labels":{"alertname":"failover"}}]'
"#;

/// A network namespace with the reference policy's addresses, removed when dropped.
struct Namespace(String);

impl Namespace {
    /// `None` where this user may not make any.
    fn new(suffix: &str) -> Option<Namespace> {
        let namespace = Namespace(format!("mrd{}{suffix}", std::process::id()));
        let name = &namespace.0;
        let ip = |arguments: &str| {
            Command::new("ip").args(arguments.split(' ')).output().is_ok_and(|output| output.status.success())
        };
        if !ip(&format!("netns add {name}")) {
            eprintln!("no network namespace can be made here: this test is left out");
            return None;
        }
        for address in ANSWERED.iter().chain(&["10.77.0.53", "10.77.0.54"]) {
            assert!(ip(&format!("-n {name} addr add {address}/32 dev lo")));
        }
        assert!(ip(&format!("-n {name} link set lo up")));
        Some(namespace)
    }

    fn within(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.0]
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

/// Everybody who takes part.
struct Theatre {
    node: Node,
    centres: [Nginx; 3],
    alertmanager: Alertmanager,
    dir: TempDir,
    token: String,
    namespace: Namespace,
    _certificates: Certificates,
}

/// An nginx that takes alerts and logs them.
struct Alertmanager(Child, PathBuf);

impl Alertmanager {
    fn start(namespace: &Namespace, dir: &TempDir) -> Alertmanager {
        let here = dir.path().display();
        let log = dir.path().join("alerts");
        // What is logged of a body is what is handed on.
        let config = format!(
            "daemon off; master_process off; pid {here}/a.pid; error_log {here}/a.err; events {{ worker_connections 64; }}\n\
             http {{ log_format told escape=none '$request $request_body'; client_body_temp_path {here}/b; \
               proxy_temp_path {here}/p; fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n\
               server {{ listen 10.77.0.54:9093; access_log {} told; location / {{ proxy_pass http://10.77.0.54:9094; }} }}\n\
               server {{ listen 10.77.0.54:9094; access_log off; location / {{ return 200; }} }} }}\n",
            log.display()
        );
        let file = dir.path().join("alertmanager.conf");
        fs::write(&file, config).unwrap();
        let [ip, words @ ..] = namespace.within();
        let child = Command::new(ip).args(words).args(["nginx", "-p", &here.to_string(), "-c"]).arg(&file).spawn();
        Alertmanager(child.unwrap(), log)
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.1).unwrap_or_default()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Theatre {
    fn new(suffix: &str) -> Option<Theatre> {
        // `has` names what is missing.
        if !["nginx", "ip", "dig", "jq", "curl", "mount"].iter().all(|program| has(program)) {
            return None;
        }
        let namespace = Namespace::new(suffix)?;
        let certificates = Certificates::new();
        let centres = ANSWERED
            .map(|address| Nginx::start(format!("{address}:443").parse().unwrap(), &certificates, &namespace.within()));
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("hosts"), HOSTS).unwrap();
        let theatre_dir = dir.path().display();
        for stand_in in ["kubectl", "redis-cli"] {
            let text = format!("#!/bin/sh\necho \"{stand_in} $*\" >>{theatre_dir}/calls\n");
            stand_in_at(&dir, stand_in, &text);
        }
        let alertmanager = Alertmanager::start(&namespace, &dir);
        let site = Site::of_the_reference_policy();
        fs::write(site.path("node.yaml"), CONFIG).unwrap();
        let token = site.run(&["token", "create", "failover", "--role", "operator", "--tokens", "tokens"]);
        let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
        let [ip, words @ ..] = namespace.within();
        let mut command = Command::new(ip);
        command.args(words).arg(env!("CARGO_BIN_EXE_meridian"));
        command.args(["serve", "--config", "node.yaml", "--state", "state"]);
        command.current_dir(site.path(".")).env("SSL_CERT_FILE", certificates.path("ca.pem"));
        let node = site.start(command);
        Some(Theatre { node, centres, alertmanager, dir, token, namespace, _certificates: certificates })
    }

    /// Shell in the namespace, with its hosts and its stand-ins.
    fn shell(&self, line: &str) -> Command {
        let here = self.dir.path().display();
        let [ip, words @ ..] = self.namespace.within();
        let mut command = Command::new(ip);
        let enter = format!("mount --bind {here}/hosts /etc/hosts; PATH={here}/bin:$PATH; exec sh -c \"$0\"");
        command.args(words).args(["sh", "-ec", &enter, line]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn sh(&self, line: &str) -> Output {
        self.shell(line).output().unwrap()
    }

    /// The script of `deploy/examples`.
    fn script(&self, arguments: &str, environment: &str) -> Child {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/failover.sh");
        let token = self.dir.path().join("token");
        fs::write(&token, &self.token).unwrap();
        let line = format!(
            "TOKEN_FILE={} SERVICE={SERVICE} CLIENT=219.141.136.10 DNS=10.77.0.53 ALERTMANAGER=http://alertmanager:9093 \
             HOOK_PROMOTE='redis-cli promote' HOOK_RESTART='kubectl rollout restart --context' {environment} {script} {arguments}",
            token.display()
        );
        self.shell(&line).spawn().unwrap()
    }

    /// What the API says to who has a token.
    fn page(&self, path: &str) -> Value {
        let line = format!("curl -sf -H 'Authorization: Bearer {}' http://gslb-controller{path}", self.token);
        let output = self.sh(&line);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{path}: {error}: {output:?}"))
    }

    /// It is seen to be up, and its hold-down is over.
    fn is_up(&self, datacenter: &str) -> bool {
        let page = self.page(&format!("/api/datacenters/{datacenter}"));
        page["state"] == "up" && page["endpoints"]["held"] == 0
    }

    /// What each of [`CLIENTS`] gets.
    fn served(&self) -> [String; 3] {
        CLIENTS.map(|client| {
            let line = format!("dig @10.77.0.53 +short +time=5 +tries=1 +subnet={client} {SERVICE}");
            String::from_utf8(self.sh(&line).stdout).unwrap().trim().to_owned()
        })
    }

    /// Asks again and again until `is_so`; clients get nothing but this meanwhile, and one more time afterwards.
    #[track_caller]
    fn nobody_moves_until(&self, expected: [&str; 3], what: &str, is_so: impl Fn(&Theatre) -> bool) {
        let began = Instant::now();
        loop {
            let is_over = is_so(self);
            assert_eq!(self.served(), expected, "while waiting until {what}");
            if is_over {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        }
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is_so: impl Fn(&Theatre) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "in vain: {what}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

fn stand_in_at(dir: &TempDir, name: &str, text: &str) {
    let bin = dir.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join(name), text).unwrap();
    fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

const TO_DC2: [&str; 3] = ["1.1.1.2", "1.1.1.2", "1.1.1.2"];

#[test]
fn the_reference_automation_moves_everybody_and_nothing_brings_them_back_but_an_order() {
    let Some(mut theatre) = Theatre::new("r") else { return };
    assert_eq!(theatre.served()[..2], ["1.1.1.1", "2.2.2.1"]);

    // The primary dies, and is noticed.
    theatre.centres[0].die();
    let died = Instant::now();
    theatre.wait_until("clients are moved by health", |theatre| theatre.served()[0] == "1.1.1.2");
    assert!(died.elapsed() < Duration::from_secs(10), "{:?}", died.elapsed());

    // The automation.
    let ran = theatre.sh(REFERENCE);
    let (said, error) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let mut lines = said.lines();
    let answer: Value =
        serde_json::from_str(lines.next().unwrap()).unwrap_or_else(|why| panic!("{why}: {said}{error}"));
    for (field, expected) in [("changed", true), ("durable", true)] {
        assert_eq!(answer[field], expected, "{answer:#}");
    }
    assert_eq!((&answer["active_dc"], lines.next()), (&Value::from("dc2"), Some("dc2")), "{said}");
    assert_eq!(
        theatre.calls(),
        ["redis-cli -h redis.dc2 REPLICAOF NO ONE", "kubectl --context dc2 rollout restart deployment --all"]
    );
    assert!(
        theatre.alertmanager.told().contains(r#"POST /api/v2/alerts HTTP/1.1 [{"labels":{"alertname":"failover"}}]"#)
    );
    assert_eq!(theatre.served(), TO_DC2, "everybody, whatever geography says");

    // Its pods restart: it is seen to be down, and up again, and nobody moves.
    theatre.centres[1].die();
    theatre.nobody_moves_until(TO_DC2, "the target's dip is seen", |theatre| {
        theatre.page("/api/datacenters/dc2")["state"] == "down"
    });
    let again = theatre.sh(REFERENCE);
    let again = String::from_utf8_lossy(&again.stdout).into_owned();
    let again: Value = serde_json::from_str(again.lines().next().unwrap()).unwrap();
    assert_eq!((&again["changed"], &again["revision"]), (&Value::from(false), &answer["revision"]), "{again:#}");
    theatre.centres[1].rise();
    // The old primary recovers meanwhile.
    theatre.centres[0].rise();
    theatre.nobody_moves_until(TO_DC2, "both are up again", |theatre| theatre.is_up("dc1") && theatre.is_up("dc2"));

    // Back by order.
    let node = env!("CARGO_BIN_EXE_meridian");
    let server =
        format!("--server http://gslb-controller:80 --token-file {}", theatre.dir.path().join("token").display());
    fs::write(theatre.dir.path().join("token"), &theatre.token).unwrap();
    let back = theatre.sh(&format!("{node} failback dc1 --yes {server}"));
    assert_eq!(back.status.code(), Some(0), "{back:?}");
    assert_eq!(theatre.served(), TO_DC2, "the switch stands");
    let back = theatre.sh(&format!("{node} switch --clear --yes {server}"));
    assert_eq!(back.status.code(), Some(0), "{back:?}");
    assert_eq!(theatre.served()[..2], ["1.1.1.1", "2.2.2.1"]);
}

/// Loses the first answer to an order that is meant: the order was given, and nobody knows.
const FORGETFUL_CURL: &str = r#"#!/bin/sh
case "$*" in
*dry_run*) ;;
*'-X PUT'*)
    if mkdir "$(dirname "$0")/lost" 2>/dev/null; then
        PATH=${PATH#*:} curl "$@" >/dev/null 2>&1
        printf 000
        exit 28
    fi
    ;;
esac
PATH=${PATH#*:} exec curl "$@"
"#;

fn end(mut child: Child) -> (Option<i32>, String) {
    let began = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if began.elapsed() > 2 * PATIENCE => panic!("the script does not end"),
            None => thread::sleep(Duration::from_millis(50)),
        }
    };
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code(), said)
}

#[test]
fn the_script_of_the_examples_fails_over_and_back_though_an_answer_is_lost_and_the_alarm_hangs() {
    let Some(mut theatre) = Theatre::new("s") else { return };
    assert_eq!(theatre.served()[..2], ["1.1.1.1", "2.2.2.1"]);
    let gate = |word: &str| {
        let line = format!(
            "curl -sf -X PUT -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' \
             -d '{{\"gate\": \"{word}\", \"automated\": false}}' http://gslb-controller/api/gate",
            theatre.token
        );
        assert!(theatre.sh(&line).status.success());
    };

    // What would be refused is found out before the data are touched.
    gate("closed");
    let (code, said) = end(theatre.script("away dc1", ""));
    assert!(code == Some(1) && said.contains("gate") && theatre.calls().is_empty(), "{code:?}: {said}");
    gate("open");

    // The primary dies; the script does not wait until health has seen it.
    stand_in_at(&theatre.dir, "curl", FORGETFUL_CURL);
    theatre.wait_until("the alarm is told of the refusal", |theatre| theatre.alertmanager.told().contains("critical"));
    signal("STOP", theatre.alertmanager.0.id());
    theatre.centres[0].die();
    let (code, said) = end(theatre.script("away dc1", "INCIDENT=drill-7"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("sent again under the same key") && said.contains("10.77.0.53 answers 1.1.1.2"), "{said}");
    assert_eq!(theatre.calls(), ["redis-cli promote dc2", "kubectl rollout restart --context dc2"]);
    assert_eq!(theatre.served(), TO_DC2);
    let log = theatre.node.site.run(&["history", "--state", "state"]);
    let log = String::from_utf8(log.stdout).unwrap();
    assert_eq!(log.matches("drill-7: dc1 is lost").count(), 1, "once, though it was sent twice: {log}");
    signal("CONT", theatre.alertmanager.0.id());
    theatre.wait_until("the alarm is told of the end", |theatre| {
        theatre.alertmanager.told().contains("done, dc2 answers")
    });

    // Back, which is not done while the old primary is seen to be down.
    theatre.wait_until("its death is seen", |theatre| theatre.page("/api/datacenters/dc1")["state"] == "down");
    let (code, said) = end(theatre.script("back dc1", "INCIDENT=drill-7"));
    assert!(code == Some(1) && said.contains("dc1 is down: nobody is sent there"), "{code:?}: {said}");
    theatre.centres[0].rise();
    theatre.nobody_moves_until(TO_DC2, "the old primary is up", |theatre| theatre.is_up("dc1"));
    let (code, said) = end(theatre.script("back dc1", "INCIDENT=drill-7"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(theatre.served()[..2], ["1.1.1.1", "2.2.2.1"]);

    // All of Beijing is lost: the next one is another, which no line of the script says.
    theatre.centres[0].die();
    theatre.centres[1].die();
    theatre.wait_until("clients are moved by health", |theatre| theatre.served()[0] == "2.2.2.1");
    let (code, said) = end(theatre.script("away dc1", "INCIDENT=drill-8"));
    assert!(code == Some(0) && said.contains("dc3 takes over from dc1"), "{code:?}: {said}");
    assert_eq!(theatre.served(), ["2.2.2.1"; 3]);
    assert!(theatre.calls().contains(&"redis-cli promote dc3".to_owned()));
}

#[test]
fn the_script_of_the_examples_is_clean_by_shellcheck() {
    if !has("shellcheck") {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/failover.sh");
    let output = Command::new("shellcheck").args(["-s", "sh", script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
