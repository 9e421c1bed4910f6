//! A served API around a real control, in whose place the test sees; and a client for it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use meridian::api::{Access, AccessConfig, ApiConfig, AuditLog, Context, Server, Sightings};
use meridian::cli::audit::Log;
use meridian::control::{self, Control, Eyes, Handle, Memory, Paths, Seams, Status};
use meridian::demo::StandIns;
use meridian::health::probe::runner::{Group, Numbers, ProberCounters, Spans, Tally};
use meridian::health::stats::{Certificate, Grade, Percentiles, Seen, Trend};
use meridian::health::{Target, TargetId, TargetReport};
use meridian::model::{DatacenterId, HealthSettings, Moment, Role, Settings, State};
use meridian::store::{Disk, OsDisk};
use meridian::table::Base;
use meridian::telemetry::Registry;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Three data centres; `b` has no endpoint in dc3, so the two services can disagree.
pub(crate) const POLICY: &str = "\
gslb:
  domain: a.example.com
  checks: live
  policies:
    default: {type: geolocation, fallback: priority}
    office: {primary: dc1_beijing, secondary: dc2_beijing, tertiary: dc3_shanghai}
  endpoints:
    dc1_beijing: {ip: 192.0.2.1, priority: 1}
    dc2_beijing: {ip: 192.0.2.2, priority: 2}
    dc3_shanghai: {ip: 192.0.2.3, priority: 3}
";
const POLICY_B: &str = "\
gslb:
  domain: b.example.com
  checks: live
  policies:
    default: {type: priority}
  endpoints:
    dc1_beijing: {ip: 198.51.100.1, priority: 1}
    dc2_beijing: {ip: 198.51.100.2, priority: 2}
";
const SHARED: &str = "\
health_checks:
  live: {protocol: tcp, port: 443}
regions:
  office: {cidr: 10.1.0.0/16}
groups:
  beijing: [dc1_beijing, dc2_beijing]
";

/// Nobody waits in a hold-down.
fn settings() -> Settings {
    let health = HealthSettings { hold_down: Duration::ZERO, ..HealthSettings::default() };
    Settings { health, ..Settings::default() }
}

fn base(paths: &Paths) -> Arc<Base> {
    let loaded = control::load(paths, &settings(), false);
    loaded.base.unwrap_or_else(|| panic!("{:#?}", loaded.found))
}

/// What the test's probes know.
#[derive(Debug, Default)]
pub(crate) struct Seeing {
    pub(crate) reports: Mutex<BTreeMap<TargetId, TargetReport>>,
    pub(crate) late_at: Mutex<Option<Moment>>,
    targets: Arc<Mutex<Vec<Target>>>,
}

impl Sightings for Seeing {
    fn now(&self) -> Moment {
        Moment(Duration::from_secs(60))
    }

    fn reports(&self, targets: &[TargetId]) -> Vec<Option<TargetReport>> {
        let reports = self.reports.lock().unwrap();
        targets.iter().map(|target| reports.get(target).cloned()).collect()
    }

    fn late_at(&self) -> Option<Moment> {
        *self.late_at.lock().unwrap()
    }

    fn numbers(&self) -> Option<Numbers> {
        let counters = ProberCounters { started: 55, late: 3, in_flight: 4, ..ProberCounters::default() };
        let first = self.targets.lock().unwrap().first().cloned()?;
        let group = Group { datacenter: first.datacenter, check: Arc::clone(&first.spec.check) };
        let mut took = Spans::default();
        (took.count, took.sum) = (17, Duration::from_secs(1));
        let groups = vec![(group, Tally { failed: 1, blind: 4, took, ..Tally::default() })];
        Some(Numbers { counters, groups, ..Numbers::default() })
    }
}

/// A target that answered three times and then did not.
pub(crate) fn ailing() -> TargetReport {
    let ms = Duration::from_millis;
    let seen = |s, grade, words: Option<&str>| Seen {
        started: Moment(Duration::from_secs(s)),
        grade,
        took: ms(12),
        words: words.map(Arc::from),
    };
    TargetReport {
        state: State::Up,
        since: Moment(Duration::from_secs(30)),
        is_stale: false,
        is_waiting: true,
        is_held: false,
        failures: 1,
        successes: 0,
        in_flight: 1,
        last_error: Some("connection refused".into()),
        response: Some(ms(12)),
        percentiles: Some(Percentiles { p50: ms(11), p90: ms(14), p99: ms(19) }),
        results: vec![seen(45, Grade::Good, None), seen(50, Grade::Bad, Some("connection refused"))],
        certificate: Some(Certificate::Expiring(std::time::SystemTime::now() + Duration::from_secs(10 * 86_400 + 60))),
        score: Some(75),
        trend: Trend::Worsening,
        confidence: 25,
    }
}

/// A running API.
pub(crate) struct House {
    pub(crate) control: Handle,
    pub(crate) seeing: Arc<Seeing>,
    pub(crate) address: SocketAddr,
    pub(crate) registry: Registry,
    pub(crate) dir: TempDir,
    pub(crate) server: Option<Server>,
    pub(crate) demo: Option<Arc<StandIns>>,
    targets: Arc<Mutex<Vec<Target>>>,
    writing: Option<JoinHandle<()>>,
    /// A control that nobody runs.
    _idle: Option<Control>,
    runtime: Runtime,
    client: Runtime,
}

/// What a server answered.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        assert!(self.text.ends_with('\n') && !self.text.ends_with("\n\n"), "a newline at the end: {:?}", self.text);
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The problem's type and its status, which must be the response's own.
    pub(crate) fn problem(&self) -> (u16, String) {
        let body = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], self.status.as_u16());
        assert!(!body["detail"].as_str().unwrap().is_empty() && !body["title"].as_str().unwrap().is_empty());
        (self.status.as_u16(), body["type"].as_str().unwrap().trim_start_matches("/problems/").to_owned())
    }
}

/// How long a test waits for what must come. Reached only when it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a house differs from the plain one.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) api: ApiConfig,
    pub(crate) access: AccessConfig,
    pub(crate) is_demo: bool,
    /// Control is there, and does nothing.
    pub(crate) is_stuck: bool,
    /// Orders are stored, in `state` of the house's directory.
    pub(crate) is_stored: bool,
    /// In place of the log there.
    pub(crate) audit: Option<Arc<dyn AuditLog>>,
}

impl House {
    /// On loopback, with nothing configured, and everything up.
    pub(crate) fn open() -> House {
        House::with(|_, _| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Plan, &TempDir)) -> House {
        let dir = tempfile::tempdir().unwrap();
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let mut plan = Plan { api: ApiConfig { listen, ..ApiConfig::default() }, ..Plan::default() };
        change(&mut plan, &dir);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();

        let zones = dir.path().join("zones");
        std::fs::create_dir(&zones).unwrap();
        for (file, text) in [("a.yaml", POLICY), ("b.yaml", POLICY_B), ("shared.yaml", SHARED)] {
            std::fs::write(zones.join(file), text).unwrap();
        }
        let paths = Paths { zones, geoip: Vec::new(), geoip_if_present: true, geoip_required: false };
        let targets: Arc<Mutex<Vec<Target>>> = Arc::default();
        let told = Arc::clone(&targets);
        let eyes = Eyes::new(move |targets| *told.lock().unwrap() = targets);
        let base = base(&paths);
        let mut seams = Seams { eyes: Some(eyes), ..Seams::default() };
        if plan.is_stored {
            let memory = Memory::open(&dir.path().join("state"), &(Arc::new(OsDisk) as Arc<dyn Disk>), PATIENCE);
            seams = Seams { keeper: memory.keeper(), journal: Some(memory.journal()), ..seams };
            seams.restored = memory.restored;
        }
        let files = paths.clone();
        let control = Control::with(paths, settings(), false, &base, seams);
        let handle = control.talk();
        let (writing, idle) = match plan.is_stuck {
            true => (None, Some(control)),
            false => (Some(thread::spawn(move || control.run())), None),
        };

        let seeing = Arc::new(Seeing { targets: Arc::clone(&targets), ..Seeing::default() });
        let registry = Registry::new();
        let access = Access::new(&plan.access).unwrap();
        let sightings = Arc::clone(&seeing) as Arc<dyn Sightings>;
        let mut context = Context::new(handle.clone(), Some(sightings), access, "gtm1", registry.clone());
        let demo = plan.is_demo.then(|| {
            let ids = base.policy().datacenters.iter().map(|datacenter| datacenter.id.clone()).collect();
            Arc::new(StandIns::start(ids, runtime.handle()).unwrap())
        });
        context = context.with_files(Arc::new(move || control::load(&files, &settings(), false)));
        let log = plan.is_stored.then(|| Arc::new(Log::of(dir.path().join("state"))) as Arc<dyn AuditLog>);
        if let Some(log) = plan.audit.take().or(log) {
            context = context.with_audit(log);
        }
        if let Some(demo) = &demo {
            context = context.with_demo(Arc::clone(demo));
        }
        context.readiness().store(true, std::sync::atomic::Ordering::Relaxed);
        let server = Server::start(&plan.api, Arc::new(context), runtime.handle()).unwrap();
        let address = server.local_addresses()[0];
        let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let house = House {
            control: handle,
            seeing,
            address,
            registry,
            dir,
            server: Some(server),
            demo,
            targets,
            writing,
            _idle: idle,
            runtime,
            client,
        };
        if !plan.is_stuck {
            house.see("", State::Up);
        }
        house
    }

    pub(crate) fn status(&self) -> Arc<Status> {
        self.control.status()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.control.table().generation().0
    }

    /// Targets in the data centre whose id begins so.
    pub(crate) fn there(&self, datacenter: &str) -> Vec<TargetId> {
        let targets = self.targets.lock().unwrap();
        let is_there =
            |target: &&Target| target.datacenter.as_ref().is_some_and(|id| id.as_str().starts_with(datacenter));
        targets.iter().filter(is_there).map(|target| target.id).collect()
    }

    /// All of a data centre's targets have that state; returns when status says so.
    pub(crate) fn see(&self, datacenter: &str, state: State) {
        let there = self.there(datacenter);
        assert!(!there.is_empty());
        self.control.health(there.iter().map(|target| (*target, state)).collect());
        self.wait(|status| {
            status.targets().filter(|(.., target)| there.contains(target)).all(|(key, ..)| {
                status.address(key).is_some_and(|address| address.verdict.state == state && !address.verdict.is_held)
            })
        });
    }

    /// Until status and table are as they should be.
    pub(crate) fn wait(&self, mut is_so: impl FnMut(&Status) -> bool) {
        let start = Instant::now();
        while !is_so(&self.status()) || self.status().generation != self.control.table().generation() {
            assert!(start.elapsed() < Duration::from_secs(30), "{:#?}", self.status());
            thread::yield_now();
        }
    }

    /// Clients of the offices left dc1, which was down and is back.
    pub(crate) fn latch(&self) {
        self.see("dc1", State::Down);
        self.see("dc1", State::Up);
        self.wait(|status| status.waiting_for_you().next().is_some());
    }

    /// Ends control, as a defect would.
    pub(crate) fn end_control(&mut self) {
        self.control.stop();
        self.writing.take().unwrap().join().unwrap();
    }

    pub(crate) fn close(&mut self) -> bool {
        self.runtime.block_on(self.server.take().unwrap().close())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], None)
    }

    /// With a JSON body.
    pub(crate) fn order(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.send(method, path, &[("content-type", "application/json")], Some(body.to_string()))
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Reply {
        self.send_from(Ipv4Addr::LOCALHOST, method, path, headers, body)
    }

    /// From another address of loopback: who is refused often waits.
    pub(crate) fn send_from(
        &self,
        from: Ipv4Addr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default()))).unwrap();
        self.client.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((from, 0).into()).unwrap();
            let stream = socket.connect(self.address).await.unwrap();
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let response = sender.send_request(request).await.unwrap();
            let (status, headers) = (response.status(), response.headers().clone());
            // A stream has no end.
            let is_stream = headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
            if is_stream {
                return Reply { status, headers, text: String::new() };
            }
            let octets = response.into_body().collect().await.unwrap().to_bytes();
            Reply { status, headers, text: String::from_utf8(octets.to_vec()).unwrap() }
        })
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(writing) = self.writing.take() {
            self.control.stop();
            let _ = writing.join();
        }
    }
}

/// A token file in `dir` with one token, and its secret.
pub(crate) fn token(dir: &TempDir, id: &str, role: Role, services: &[&str]) -> (PathBuf, String) {
    let names: Vec<_> = services.iter().map(|name| meridian::model::Name::parse(name).unwrap()).collect();
    let services = Some(names).filter(|names| !names.is_empty());
    let (token, secret) = meridian::api::tokens::Token::create(id, role, services).unwrap();
    let path = dir.path().join("tokens");
    meridian::api::tokens::add(&path, &token).unwrap();
    (path, secret)
}

pub(crate) fn access(tokens: PathBuf) -> AccessConfig {
    AccessConfig { tokens: Some(tokens), ..AccessConfig::default() }
}

pub(crate) fn id(text: &str) -> DatacenterId {
    DatacenterId::new(text).unwrap()
}
