//! The prober: the engine, which knows no sockets, joined to probes, which know no schedule.
//!
//! ```text
//!   control ── set_targets ─▶ ┌───────┐     take      ┌─ thread "prober" ─┐ spawn  ┌─ threads "probe" ─┐
//!   api ────── reports, … ──▶ │ inbox │ ────────────▶ │ Engine: turn      │ ─────▶ │ one task a probe  │
//!   senses: link, resolver ─▶ └───────┘               └───────────────────┘        └─────────┬─────────┘
//!                                 ▲                      │ states, blindness                │
//!                                 └──── Landed ──────────┼───────────────────────────────────┘
//!                                                        ▼ control
//! ```
//!
//! - One thread owns the engine and everything that it remembers: no lock is held while it thinks. It works in
//!   turns, at most one a millisecond, each with all that has come meanwhile.
//! - Probes run on a small runtime of their own, so neither a storm of queries nor one of handshakes is in the
//!   other's way.
//! - Telling the prober never waits; what it tells is told on its own thread, to functions that must not wait
//!   either. Questions are answered between two turns, a bounded part at a time.
//!
//! # Invariants
//! - Every probe that starts reports exactly once, whatever happens to it: [`flight`]. A panic is counted, logged,
//!   and evidence of nothing.
//! - What took too long while this process stood still is evidence of nothing either: [`pulse`].
//! - A panic of the engine costs what it remembered of results. Published states go on as remembered ones.
//! - No more probes are out than there are files to open for them.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use super::{Context, Resolve, TlsClients, link, probe};
use crate::health::{Hold, Target, TargetId, TargetReport};
use crate::limits;
use crate::model::{DatacenterId, HealthSettings, State};
use crate::sys;

mod flight;
mod inbox;
mod pulse;
mod senses;
mod tally;
mod work;

use flight::Sky;
use inbox::{Ask, Inbox, Wanted};
use pulse::{BEAT, Pulse};
use senses::Senses;
use work::{Kept, Work};

pub use flight::{Asked, Asking};
pub use tally::{Group, Numbers, ProberCounters, Spans, Tally};

/// A pause of this process that is so long is a stall.
pub const STALL: Duration = pulse::STALL;

/// So long an answer of the prober is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// With what a prober begins.
pub struct ProberConfig {
    /// How this node watches: witnesses, `hold_max`, `concurrency`.
    pub settings: HealthSettings,
    /// The id of the data centre that this node stands in.
    pub datacenter: Option<DatacenterId>,
    /// Certificate authorities that are trusted besides those that a check names.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Turns names of targets into addresses.
    pub resolver: Arc<dyn Resolve>,
    /// The origin of every [`crate::model::Moment`] in this process.
    pub origin: Instant,
    /// Threads that carry probes; at least 1, at most [`limits::PROBE_THREADS_MAX`].
    pub threads: usize,
    /// Where the state of this node's link is read: [`link::INTERFACES`].
    pub links: PathBuf,
    /// Of all hashes that spread probes. Nodes should differ, so that they do not march in step.
    pub seed: u64,
}

impl ProberConfig {
    /// With what is usual: as many threads as there are processors, within the limit, and a seed from the clock.
    pub fn new(settings: HealthSettings, resolver: Arc<dyn Resolve>, origin: Instant) -> ProberConfig {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        ProberConfig {
            settings,
            datacenter: None,
            extra_roots: Vec::new(),
            resolver,
            origin,
            threads,
            links: link::INTERFACES.into(),
            seed: u64::from(wall.subsec_nanos()) << 32 ^ wall.as_secs() ^ u64::from(std::process::id()),
        }
    }
}

/// Is told of states.
pub type OnStates = Box<dyn Fn(Vec<(TargetId, State)>) + Send>;

/// Whom the prober tells. Called on its thread: they must not wait.
pub struct Listeners {
    /// States that are published from now on. A state that is remembered is told again when a result first agrees.
    pub states: OnStates,
    /// Falls are held, because this node may be blind; or none is any more. Told at the start too.
    pub blindness: Box<dyn FnMut(Option<Hold>) + Send>,
}

/// Talks to the prober, from any thread. Cheap to clone; the last one that goes ends it.
#[derive(Clone)]
pub struct Prober {
    shared: Arc<Shared>,
}

struct Shared {
    inbox: Arc<Inbox>,
    shown: Arc<Mutex<ProberCounters>>,
    thread: Mutex<Thread>,
}

enum Thread {
    NotStarted,
    /// Nothing ever comes: the sender goes when the thread ends.
    Running(JoinHandle<()>, Receiver<()>),
    Ended,
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl Default for Prober {
    fn default() -> Prober {
        Prober::new()
    }
}

impl Prober {
    /// One that has not started: it can be told already what to watch.
    pub fn new() -> Prober {
        let thread = Mutex::new(Thread::NotStarted);
        Prober { shared: Arc::new(Shared { inbox: Arc::default(), shown: Arc::default(), thread }) }
    }

    /// Begins to probe. An error: this machine has no thread or no runtime for it, or it was started before.
    pub fn start(&self, mut config: ProberConfig, listeners: Listeners) -> io::Result<()> {
        let tls = TlsClients::new(std::mem::take(&mut config.extra_roots));
        let context = Arc::new(Context::new(Arc::clone(&config.resolver), tls));
        let counted = Arc::clone(&context);
        let asking: Asking = Arc::new(move |spec| {
            let context = Arc::clone(&context);
            Box::pin(async move { probe(&spec, &context).await })
        });
        self.launch(config, listeners, asking, Box::new(move || counted.panics()))
    }

    /// The same with another way to ask targets.
    pub fn start_asking(&self, config: ProberConfig, listeners: Listeners, asking: Asking) -> io::Result<()> {
        self.launch(config, listeners, asking, Box::new(|| 0))
    }

    fn launch(
        &self,
        mut config: ProberConfig,
        listeners: Listeners,
        asking: Asking,
        panics: Box<dyn Fn() -> u64 + Send>,
    ) -> io::Result<()> {
        let mut thread = self.shared.thread();
        if !matches!(*thread, Thread::NotStarted) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        config.settings.concurrency = concurrency(config.settings.concurrency);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("probe")
            .worker_threads(config.threads.clamp(1, limits::PROBE_THREADS_MAX))
            .max_blocking_threads(limits::PROBE_BLOCKING_THREADS_MAX)
            .enable_all()
            .build()?;
        let inbox = Arc::clone(&self.shared.inbox);
        let senses = Senses::start(Arc::clone(&inbox), config.links.clone(), Arc::clone(&config.resolver))?;
        let sky = Arc::new(Sky::new(asking, inbox, Pulse::default(), config.origin));
        runtime.spawn(beat(Arc::clone(&sky)));
        let shown = Arc::clone(&self.shared.shown);
        let work = Work { sky, runtime, config, listeners, shown, panics, kept: Kept::default() };
        let (alive, ended) = channel::<()>();
        let run = move || {
            let _belongs_to_it = (alive, senses);
            work.run();
        };
        let handle = std::thread::Builder::new().name("prober".into()).spawn(run)?;
        *thread = Thread::Running(handle, ended);
        Ok(())
    }

    /// Watches these targets from now on; the newest list wins. Those whose ids stay keep their state and
    /// history. Does not wait.
    pub fn set_targets(&self, targets: Vec<Target>) {
        let mut groups = Vec::new();
        let mut known: HashMap<Group, usize> = HashMap::new();
        let mut group_of = HashMap::with_capacity(targets.len());
        for target in &targets {
            let group = Group { datacenter: target.datacenter.clone(), check: Arc::clone(&target.spec.check) };
            let at = *known.entry(group).or_insert_with_key(|group| {
                groups.push(group.clone());
                groups.len() - 1
            });
            group_of.insert(target.id, at);
        }
        self.shared.inbox.tell(|waiting| waiting.wanted = Some(Wanted { targets, groups, group_of }));
    }

    /// How these targets stand, each `None` when it is not watched, or when the prober has no time to tell. Waits for
    /// it, two seconds in all.
    pub fn reports(&self, targets: &[TargetId]) -> Vec<Option<TargetReport>> {
        let deadline = Instant::now() + PATIENCE;
        let mut reports = Vec::with_capacity(targets.len());
        for part in targets.chunks(limits::PROBER_REPORTS_AT_ONCE) {
            let (reply, answer) = sync_channel(1);
            let Some(told) = self.ask(Ask::Reports(part.to_vec(), reply), &answer, deadline) else { break };
            reports.extend(told);
        }
        reports.resize_with(targets.len(), || None);
        reports
    }

    /// What became of probes. Waits for it, two seconds at most; `None`: the prober has no time to tell.
    pub fn numbers(&self) -> Option<Numbers> {
        let (reply, answer) = sync_channel(1);
        self.ask(Ask::Numbers(reply), &answer, Instant::now() + PATIENCE)
    }

    fn ask<T>(&self, ask: Ask, answer: &Receiver<T>, deadline: Instant) -> Option<T> {
        // First whether it is stopped: who stops it holds on to the thread for a while.
        let is_running = !self.shared.inbox.is_stopped() && matches!(*self.shared.thread(), Thread::Running(..));
        if !is_running || !self.shared.inbox.ask(ask) {
            return None;
        }
        answer.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }

    /// The counts as of the last turn. Does not wait.
    pub fn counters(&self) -> ProberCounters {
        *self.shared.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it, and waits for that, `patience` at most; false: it has not ended by then. Probes that are out are
    /// dropped, and nothing is told any more once it has ended.
    pub fn stop(&self, patience: Duration) -> bool {
        self.shared.stop();
        let mut thread = self.shared.thread();
        let Thread::Running(handle, ended) = std::mem::replace(&mut *thread, Thread::Ended) else { return true };
        match ended.recv_timeout(patience) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => handle.join().is_ok(),
            Err(RecvTimeoutError::Timeout) => {
                *thread = Thread::Running(handle, ended);
                false
            }
        }
    }
}

impl Shared {
    fn thread(&self) -> MutexGuard<'_, Thread> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        self.inbox.tell(|waiting| waiting.stop = true);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells whether this process gets its time.
async fn beat(sky: Arc<Sky>) {
    loop {
        if let Some(stall) = sky.pulse.beat(sky.now()) {
            let stall_ms = stall.as_millis() as u64;
            tracing::warn!(stall_ms, "this process stood still: what probes met meanwhile is not held against targets");
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// How many probes may be out: as configured, as far as there are files to open for them.
fn concurrency(configured: usize) -> usize {
    let configured = configured.clamp(1, limits::PROBES_IN_FLIGHT_MAX);
    match sys::raise_open_files() {
        Ok(files) => {
            let left = files.saturating_sub(limits::PROBES_LEAVE_FILES).max(files / 2).max(1);
            configured.min(usize::try_from(left).unwrap_or(usize::MAX))
        }
        Err(error) => {
            tracing::warn!(%error, "the limit of open files is not known: probes are not bounded by it");
            configured
        }
    }
}
