//! A prober, what it watches, and what it tells.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use meridian::health::probe::runner::{Asking, Listeners, Prober, ProberConfig};
use meridian::health::probe::{Resolve, Unresolved};
use meridian::health::{Hold, Target, TargetId, TargetReport};
use meridian::model::{
    CheckSpec, DatacenterId, HealthSettings, HttpProbe, Name, Probe, ProbeHost, State, TargetSpec, TlsParams, Verify,
};

use super::servers::Server;

/// No busy machine needs so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Everything that was told, in order.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) states: Vec<(TargetId, State)>,
    pub(crate) holds: Vec<Option<Hold>>,
}

impl Told {
    pub(crate) fn last(&self, target: u64) -> Option<State> {
        self.states.iter().rev().find(|(id, _)| *id == TargetId(target)).map(|(_, state)| *state)
    }

    pub(crate) fn of(&self, target: u64) -> Vec<State> {
        self.states.iter().filter(|(id, _)| *id == TargetId(target)).map(|(_, state)| *state).collect()
    }
}

pub(crate) struct Watching {
    pub(crate) prober: Prober,
    told: Arc<(Mutex<Told>, Condvar)>,
}

/// A resolver that must not be asked.
pub(crate) struct Nobody;

#[async_trait]
impl Resolve for Nobody {
    async fn resolve(&self, name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
        panic!("nobody is to resolve {name}");
    }
}

pub(crate) fn config() -> ProberConfig {
    let mut config = ProberConfig::new(HealthSettings::default(), Arc::new(Nobody), Instant::now());
    // This machine's own link is not the test's concern.
    config.links = PathBuf::from("/nonexistent");
    config
}

impl Watching {
    pub(crate) fn start(config: ProberConfig, targets: Vec<Target>) -> Watching {
        Watching::launch(config, targets, None)
    }

    pub(crate) fn start_asking(config: ProberConfig, targets: Vec<Target>, asking: Asking) -> Watching {
        Watching::launch(config, targets, Some(asking))
    }

    fn launch(config: ProberConfig, targets: Vec<Target>, asking: Option<Asking>) -> Watching {
        let told = Arc::new((Mutex::new(Told::default()), Condvar::new()));
        let (of_states, of_holds) = (Arc::clone(&told), Arc::clone(&told));
        let listeners = Listeners {
            states: Box::new(move |states| {
                of_states.0.lock().unwrap().states.extend(states);
                of_states.1.notify_all();
            }),
            blindness: Box::new(move |hold| {
                of_holds.0.lock().unwrap().holds.push(hold);
                of_holds.1.notify_all();
            }),
        };
        let prober = Prober::new();
        prober.set_targets(targets);
        match asking {
            Some(asking) => prober.start_asking(config, listeners, asking).unwrap(),
            None => prober.start(config, listeners).unwrap(),
        }
        Watching { prober, told }
    }

    /// Waits until what was told is so, and says what is made of it.
    pub(crate) fn until<T>(&self, what: &str, mut is_so: impl FnMut(&Told) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut told = self.told.0.lock().unwrap();
        loop {
            if let Some(found) = is_so(&told) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} never came; told: {:?} {:?}", told.states, told.holds);
            told = self.told.1.wait_timeout(told, left.min(Duration::from_secs(1))).unwrap().0;
        }
    }

    pub(crate) fn until_is(&self, target: u64, state: State) {
        self.until(&format!("{state:?} of {target}"), |told| (told.last(target) == Some(state)).then_some(()));
    }

    /// Waits until the prober itself, asked again and again, says so.
    pub(crate) fn until_seen(&self, what: &str, mut is_so: impl FnMut(&Prober) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_so(&self.prober) {
            assert!(Instant::now() < deadline, "{what} never came: {:?}", self.prober);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn report(&self, target: u64) -> TargetReport {
        self.prober.reports(&[TargetId(target)]).remove(0).expect("it is watched")
    }

    pub(crate) fn told<T>(&self, look: impl FnOnce(&Told) -> T) -> T {
        look(&self.told.0.lock().unwrap())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let has_ended = self.prober.stop(DEADLINE);
        assert!(has_ended || std::thread::panicking(), "it does not stop");
    }
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An actuator's question, quick enough for a test to wait for.
pub(crate) fn actuator() -> CheckSpec {
    let probe = Probe::Http(HttpProbe {
        json: vec![("/status".into(), "\"UP\"".into())],
        ..HttpProbe::get("/actuator/health")
    });
    check(probe)
}

/// A busy machine must not make a good server look bad: time to answer is ample, and failures in a row are many.
pub(crate) fn check(probe: Probe) -> CheckSpec {
    CheckSpec { interval: ms(200), fast_interval: ms(100), ..CheckSpec::of(probe) }
}

/// For those that are to time out.
pub(crate) fn impatient(check: CheckSpec) -> CheckSpec {
    CheckSpec { timeout: ms(500), max_response: ms(500), ..check }
}

pub(crate) fn tls() -> TlsParams {
    TlsParams { sni: None, verify: Verify::Off, client: None, expiry_warning: Duration::ZERO, allow_expired: false }
}

pub(crate) fn dc(id: &str) -> DatacenterId {
    DatacenterId::new(id).unwrap()
}

pub(crate) fn at(id: u64, datacenter: &str, check: CheckSpec, address: SocketAddr) -> Target {
    let host = ProbeHost::Address(address.ip());
    let (service, query) = ("api.example".into(), "".into());
    let spec = TargetSpec { check: Arc::new(check), host, port: address.port(), service, query };
    Target { id: TargetId(id), spec: Arc::new(spec), datacenter: Some(dc(datacenter)), remembered: None }
}

pub(crate) fn target(id: u64, datacenter: &str, check: CheckSpec, server: &Server) -> Target {
    at(id, datacenter, check, server.address)
}
