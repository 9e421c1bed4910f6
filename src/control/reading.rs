//! Files read anew, on a thread of their own.
//!
//! Reading and checking files takes seconds when there are many, and for ever on a file system that hangs. Control
//! waits for neither: health, orders and a stop pass while files are read.
//!
//! ```text
//! asked ─▶ reading ─▶ Loaded ─▶ taken over, answered
//!    └ while one is read: wait ─▶ exactly one more reading, which answers all that came meanwhile
//! ```
//!
//! What is read is taken over by control alone, in one event. A panic on the way, in reading or in taking over, is a
//! defect of ours: it becomes an error like one in the files, and everything stays as it was.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::entries::{Entries, KeptEntry};
use super::event::Reloaded;
use super::eyes::remembering;
use super::load::{Load, Paths, load, too_many_targets};
use super::moves::Latches;
use super::orders::{Frozen, Holds};
use super::status::{NotProbed, Now, Watching};
use super::writer::{Changes, Control};
use crate::diag::Diagnostic;
use crate::health::{Registry, Targets, TooManyTargets, Verdicts};
use crate::limits;
use crate::model::{Moment, PolicySet, Settings, StandInMap};
use crate::table::Base;

/// Who reads files: [`load`], or whoever stands in for it. Called on a thread of its own; may take its time.
#[derive(Clone)]
pub struct Loader(Arc<LoadFn>);

type LoadFn = dyn Fn(&Paths, &Settings, bool) -> Load + Send + Sync;

impl Loader {
    /// Reads by this function.
    pub fn new(load: impl Fn(&Paths, &Settings, bool) -> Load + Send + Sync + 'static) -> Loader {
        Loader(Arc::new(load))
    }
}

impl Default for Loader {
    fn default() -> Loader {
        Loader::new(load)
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loader")
    }
}

type Reply = oneshot::Sender<Reloaded>;

/// What is being read, and for whom.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) loader: Loader,
    /// The ids of targets: whoever reads counts what is to be watched.
    registry: Arc<Mutex<Registry>>,
    under_way: Option<UnderWay>,
    /// Who came while files were read, some of which may have changed since.
    next: Vec<Reply>,
    count: u64,
}

#[derive(Debug)]
struct UnderWay {
    number: u64,
    since: Moment,
    replies: Vec<Reply>,
}

impl Reading {
    pub(super) fn new(loader: Loader) -> Reading {
        let registry = Arc::new(Mutex::new(Registry::default()));
        Reading { loader, registry, under_way: None, next: Vec::new(), count: 0 }
    }

    /// When what is being read will have taken so long that somebody should know.
    pub(super) fn next_wake(&self, now: Moment) -> Option<Moment> {
        let at = self.under_way.as_ref()?.since + Duration::from_millis(limits::RELOAD_SLOW_MS);
        (at > now).then_some(at)
    }

    /// What somebody should look at.
    pub(super) fn alarm(&self, now: Moment) -> Option<String> {
        let took = now.since(self.under_way.as_ref()?.since);
        (took >= Duration::from_millis(limits::RELOAD_SLOW_MS)).then(|| {
            format!(
                "a reload has been reading files for {} s: the file system may hang. What was serving goes on serving, \
                 and health and orders go on moving it",
                took.as_secs()
            )
        })
    }
}

/// What files came to.
struct Read {
    /// `None` when something in `found` is an error.
    ready: Option<(Arc<Base>, Targets)>,
    has_geoip: bool,
    found: Vec<Diagnostic>,
}

/// What one reading came to, for control to take over.
pub struct Loaded {
    number: u64,
    read: Read,
    began: Instant,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("number", &self.number).finish_non_exhaustive()
    }
}

/// One reading.
struct Job {
    paths: Paths,
    settings: Settings,
    ns_required: bool,
    /// What the demonstration probes, if anybody watches at all.
    eyes: Option<Option<StandInMap>>,
    registry: Arc<Mutex<Registry>>,
    /// What is watched now.
    watched: Arc<Watching>,
}

impl Job {
    fn read(&self, load: impl FnOnce(&Paths, &Settings, bool) -> Load) -> Read {
        let made = catch_unwind(AssertUnwindSafe(|| {
            let Load { base, has_geoip, mut found, .. } = load(&self.paths, &self.settings, self.ns_required);
            let ready = base.and_then(|base| match self.targets(&base) {
                Ok(targets) => Some((base, targets)),
                Err(error) => {
                    found.push(too_many_targets(error));
                    None
                }
            });
            Read { ready, has_geoip, found }
        }));
        made.unwrap_or_else(|_| Read { ready: None, has_geoip: false, found: vec![internal()] })
    }

    fn targets(&self, base: &Base) -> Result<Targets, TooManyTargets> {
        let Some(stand_ins) = &self.eyes else { return Ok(Targets::default()) };
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // What was read before these files is taken over by now, or never will be.
        registry.keep(&self.watched.values().copied().collect());
        Targets::of(base.policy(), &base.settings().health, stand_ins.as_ref(), &mut registry)
    }
}

/// What taking over changes, as it was before.
struct AsItWas {
    base: Arc<Base>,
    latches: Latches,
    entries: Entries,
    verdicts: Verdicts,
    holds: Holds,
    frozen: Option<Arc<Frozen>>,
    targets: Arc<Watching>,
    not_probed: NotProbed,
}

impl Control {
    /// Reads all files again, waits for it, and publishes what they say, if there is no error among it.
    pub fn reload(&mut self) -> Reloaded {
        let loader = self.reading.loader.clone();
        self.reload_with(|paths, settings, ns_required| (loader.0)(paths, settings, ns_required), self.now())
    }

    pub(super) fn reload_with(&mut self, load: impl FnOnce(&Paths, &Settings, bool) -> Load, now: Now) -> Reloaded {
        let began = Instant::now();
        let read = self.job().read(load);
        self.take_in(read, began, now)
    }

    fn job(&self) -> Job {
        Job {
            paths: self.paths.clone(),
            settings: self.settings.clone(),
            ns_required: self.ns_required,
            eyes: self.seams.eyes.as_ref().map(|eyes| eyes.stand_ins.clone()),
            registry: Arc::clone(&self.reading.registry),
            watched: Arc::clone(&self.targets),
        }
    }

    /// Somebody wants files read again.
    pub(super) fn ask_to_read(&mut self, reply: Reply, now: Now) {
        if self.reading.next.len() >= limits::RELOADS_WAITING_MAX {
            let error = Diagnostic::error("reload-waits", "too many reloads wait for one that is still reading files")
                .help("look whether the file system hangs; what was serving goes on serving");
            return drop(reply.send(self.not_reloaded(vec![error], Duration::ZERO)));
        }
        self.reading.next.push(reply);
        self.read_if_asked(now);
    }

    /// Begins a reading for all who wait, unless one is under way.
    fn read_if_asked(&mut self, now: Now) {
        if self.reading.under_way.is_some() || self.reading.next.is_empty() {
            return;
        }
        self.reading.count += 1;
        let number = self.reading.count;
        let (job, loader, handle) = (self.job(), self.reading.loader.clone(), self.inbox.handle());
        let replies = std::mem::take(&mut self.reading.next);
        let began = Instant::now();
        // It is not waited for, at a stop either: it changes nothing by itself.
        let spawned = thread::Builder::new().name("reload".into()).spawn(move || {
            let read = job.read(|paths, settings, ns_required| (loader.0)(paths, settings, ns_required));
            handle.loaded(Loaded { number, read, began });
        });
        match spawned {
            Ok(_) => self.reading.under_way = Some(UnderWay { number, since: now.moment, replies }),
            Err(error) => {
                let error = Diagnostic::error("internal", format!("no thread could be started to read files: {error}"));
                for reply in replies {
                    drop(reply.send(self.not_reloaded(vec![error.clone()], Duration::ZERO)));
                }
            }
        }
    }

    /// Files have been read.
    pub(super) fn loaded(&mut self, loaded: Loaded, now: Now) {
        let Loaded { number, read, began } = loaded;
        let Some(UnderWay { replies, .. }) = self.reading.under_way.take_if(|one| one.number == number) else { return };
        let taken = catch_unwind(AssertUnwindSafe(|| self.take_in(read, began, now)));
        let reloaded = taken.unwrap_or_else(|_| self.not_reloaded(vec![internal()], began.elapsed()));
        for reply in replies {
            // Who asked may have gone; the reload counts all the same.
            drop(reply.send(reloaded.clone()));
        }
        self.read_if_asked(now);
    }

    fn not_reloaded(&self, found: Vec<Diagnostic>, took: Duration) -> Reloaded {
        Reloaded { generation: self.publisher.current().generation(), is_new: false, found, took }
    }

    /// Publishes what was read, if there is no error among it.
    fn take_in(&mut self, read: Read, began: Instant, now: Now) -> Reloaded {
        let Read { ready, has_geoip, mut found } = read;
        let mut is_new = false;
        if let Some((base, targets)) = ready {
            let nameless = self.nameless(&base);
            is_new = nameless.is_empty();
            found.extend(nameless);
            if is_new && !self.take_over(base, &targets, now) {
                found.push(internal());
                is_new = false;
            }
            self.paths.geoip_required |= has_geoip && is_new;
        }
        Reloaded { is_new, ..self.not_reloaded(found, began.elapsed()) }
    }

    /// What standing orders name, and these files do not, or mean otherwise.
    fn nameless(&self, base: &Base) -> Vec<Diagnostic> {
        let error = |sentence: String| {
            Diagnostic::error("named-by-order", sentence)
                .help("take the order back first, or let the name mean what it meant")
        };
        self.lane.would_lose(base.policy()).into_iter().map(error).collect()
    }

    /// Goes over to other files, or stays with those that serve: false after a panic.
    fn take_over(&mut self, base: Arc<Base>, targets: &Targets, now: Now) -> bool {
        let before = AsItWas {
            base: Arc::clone(&self.base),
            latches: self.latches.clone(),
            entries: self.entries.clone(),
            verdicts: self.verdicts.clone(),
            holds: self.lane.holds.clone(),
            frozen: self.lane.frozen.clone(),
            targets: Arc::clone(&self.targets),
            not_probed: Arc::clone(&self.not_probed),
        };
        if catch_unwind(AssertUnwindSafe(|| self.go_over_to(base, targets, now))).is_ok() {
            return true;
        }
        tracing::error!(
            "taking over files panicked: a defect of Meridian, please report it; the files before serve on"
        );
        let AsItWas { base, latches, entries, verdicts, holds, frozen, targets, not_probed } = before;
        (self.base, self.latches, self.entries, self.verdicts) = (base, latches, entries, verdicts);
        (self.lane.holds, self.lane.frozen) = (holds, frozen);
        (self.targets, self.not_probed) = (targets, not_probed);
        self.lane.look_for_names(self.base.policy());
        self.forget_statuses();
        self.is_behind = true;
        // Who watches may have been told of the others already.
        let again = catch_unwind(AssertUnwindSafe(|| {
            if let Ok(targets) = self.job().targets(&self.base) {
                self.tell_eyes(&targets);
            }
        }));
        if again.is_err() {
            tracing::error!("who watches could not be told of the files before either");
        }
        false
    }

    /// Everything that is known stays with what has the same name.
    fn go_over_to(&mut self, base: Arc<Base>, targets: &Targets, now: Now) {
        let old = std::mem::replace(&mut self.base, base);
        let entered = self.entries.kept(old.policy());
        self.latches.carry(old.policy(), self.base.policy(), now.moment, now.wall);
        self.lane.holds.carry(old.policy(), self.base.policy());
        self.lane.look_for_names(self.base.policy());
        self.look_at(old.policy(), targets, &entered, now);
        self.tell_eyes(targets);
        self.forget_statuses();
        if let Some(frozen) = &self.lane.frozen {
            let carried = frozen.carry(old.policy(), self.base.policy(), &self.live());
            self.lane.frozen = Some(Arc::new(carried));
        }
        let changes = Changes { touched: self.all_services(), is_new: true, ..Changes::default() };
        self.finish(changes, now);
    }

    /// What is to be watched of the files that serve; nothing when nobody watches.
    pub(super) fn targets_now(&self) -> Result<Targets, TooManyTargets> {
        self.job().targets(&self.base)
    }

    /// Goes over to what the files that serve now want watched.
    pub(super) fn look_at(&mut self, old: &PolicySet, targets: &Targets, entered: &[KeptEntry], now: Now) {
        let policy = self.base.policy();
        if self.seams.eyes.is_some() {
            self.verdicts.load(old, policy, targets.of.clone(), &self.base.settings().health, now.moment);
            self.targets = Arc::new(targets.of.clone());
        }
        self.entries.load(entered, (old, policy), targets.of.keys().copied());
        self.not_probed = Arc::new(targets.refused.clone());
    }

    pub(super) fn tell_eyes(&mut self, targets: &Targets) {
        if let Some(eyes) = &mut self.seams.eyes {
            (eyes.watch)(remembering(targets, self.base.policy(), &self.verdicts));
        }
    }
}

/// What is found when the program itself is at fault.
fn internal() -> Diagnostic {
    Diagnostic::error("internal", "reading or compiling the files panicked: a defect of Meridian, not of the files")
        .help("please report it, with the message of the panic in the log and the files if you can")
}
