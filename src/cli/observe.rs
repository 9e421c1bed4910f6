//! `meridian observe`: looks from here, and tells nodes elsewhere what it sees.
//!
//! The same files, the same checks, the same engine as in a server; but nothing is answered and nothing is decided
//! here. A node takes what is reported as another observer's evidence. Each report holds for little more than two
//! rounds of reporting, less than a fall takes to be noticed: an observer that falls silent, because it dies with the
//! data centre that it stands in, does not keep that alive. One that may itself be blind takes back what it said.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::check::{FileArgs, ns_required};
use super::client::{Client, ServerArgs, exit_of, problem, usage};
use super::serve::own_datacenter;
use super::show;
use crate::config;
use crate::control::{self, Load, Paths};
use crate::health::probe::resolve::{Resolver, Sources};
use crate::health::probe::runner::{Listeners, Prober, ProberConfig};
use crate::health::{Registry, TargetId, Targets};
use crate::limits;
use crate::model::{AddressKey, CheckIx, ObserverId, State};
use crate::table::Base;

/// Arguments of `meridian observe`.
#[derive(Debug, Args)]
pub struct ObserveArgs {
    #[command(flatten)]
    files: FileArgs,
    /// A node to report to; repeat it for several.
    #[arg(long, value_name = "URL", required = true, value_delimiter = ',')]
    report_to: Vec<String>,
    /// A file with the token to show. MERIDIAN_TOKEN may also hold the token itself (`mrd_…`).
    #[arg(long, value_name = "FILE", env = "MERIDIAN_TOKEN", hide_env_values = true)]
    token_file: Option<std::path::PathBuf>,
    /// For https: the certificate authorities to believe, in PEM [default: the system's].
    #[arg(long, value_name = "FILE")]
    ca: Option<std::path::PathBuf>,
    /// What this observer is called; each needs a name of its own [default: `node.name` of the configuration, else
    /// the machine's].
    #[arg(long, value_name = "NAME")]
    observer: Option<String>,
}

/// What has happened.
enum Event {
    Seen(Vec<(TargetId, State)>),
    /// This observer may be blind, or is not any more.
    Blind(bool),
    Reload,
    Stop,
}

/// So often everything is reported, besides each change at once.
const EVERY: Duration = Duration::from_secs(3);

/// So long a report holds.
const HOLDS: &str = "8s";

/// Changes that come together are one report.
const TOGETHER: Duration = Duration::from_millis(20);

/// 0 after a clean stop, 1 when the files have errors, 2 wrong usage.
pub fn run(args: &ObserveArgs) -> ExitCode {
    super::serve::start_log();
    let servers = ServerArgs::of(args.report_to.clone(), args.token_file.clone(), args.ca.clone());
    let client = match Client::new(&servers) {
        Ok(client) => client,
        Err(message) => return usage(&message),
    };
    match observe(args, &client) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            show::err(&format!("error: {message}\n"));
            ExitCode::FAILURE
        }
    }
}

fn observe(args: &ObserveArgs, client: &Client) -> Result<(), String> {
    let (server, found) = args.files.server().map_err(|found| refused(&found))?;
    show::findings(&found);
    let name = args.observer.clone().unwrap_or_else(|| server.node_name());
    let observer = ObserverId::new(&name).map_err(|error| format!("{name:?} is no name for an observer: {error}"))?;
    let mut registry = Registry::default();
    let mut aims = Aims::read(&server, &mut registry)?;

    let (sender, events) = channel();
    let settings = server.settings.health.clone();
    let resolver = Arc::new(Resolver::new(Sources::of_system(settings.resolver)));
    let datacenter = own_datacenter(aims.base.policy(), settings.node_datacenter.as_ref());
    let mut config = ProberConfig::new(settings, resolver, Instant::now());
    config.datacenter = datacenter;
    let prober = Prober::new();
    prober.set_targets(aims.targets.targets.clone());
    let (seen, blind) = (sender.clone(), sender.clone());
    // An error: the loop below has ended.
    let listeners = Listeners {
        states: Box::new(move |changes| drop(seen.send(Event::Seen(changes)))),
        blindness: Box::new(move |hold| drop(blind.send(Event::Blind(hold.is_some())))),
    };
    prober.start(config, listeners).map_err(|error| format!("the prober does not start: {error}"))?;
    listen(sender)?;

    let mut reporting =
        Reporting { client, observer, states: BTreeMap::new(), is_blind: false, is_told: BTreeMap::new() };
    show::out(&format!(
        "meridian {} observes {} targets as {name}, and reports to {}\n",
        env!("CARGO_PKG_VERSION"),
        aims.targets.targets.len(),
        args.report_to.join(", ")
    ));
    let mut due = Instant::now() + EVERY;
    loop {
        let mut has_changed = false;
        let mut next = wait(&events, due);
        while let Some(event) = next {
            match event {
                Event::Stop => {
                    prober.stop(Duration::from_millis(limits::PROBER_CLOSE_MS));
                    return Ok(());
                }
                Event::Seen(changes) => {
                    reporting.states.extend(changes);
                    has_changed = true;
                }
                Event::Blind(is_blind) => (reporting.is_blind, has_changed) = (is_blind, true),
                Event::Reload => match args.files.server().map_err(|found| refused(&found)) {
                    Ok((server, _)) => match Aims::read(&server, &mut registry) {
                        Ok(new) => {
                            aims = new;
                            prober.set_targets(aims.targets.targets.clone());
                            tracing::info!(targets = aims.targets.targets.len(), "reloaded");
                        }
                        Err(why) => tracing::error!("not reloaded: {why}"),
                    },
                    Err(why) => tracing::error!("not reloaded: {why}"),
                },
            }
            next = wait(&events, Instant::now() + TOGETHER);
        }
        if has_changed || Instant::now() >= due {
            reporting.report(&aims);
            due = Instant::now() + EVERY;
        }
    }
}

fn wait(events: &Receiver<Event>, until: Instant) -> Option<Event> {
    match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(event) => Some(event),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(Event::Stop),
    }
}

/// Signals, on a thread of their own: asking servers blocks.
fn listen(events: Sender<Event>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let signals = {
        let _inside = runtime.enter();
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal)
    };
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = signals else {
        return Err("signals can not be caught".to_owned());
    };
    let work = move || {
        runtime.block_on(async move {
            loop {
                let event = tokio::select! {
                    _ = terminate.recv() => Event::Stop,
                    _ = interrupt.recv() => Event::Stop,
                    _ = hangup.recv() => Event::Reload,
                };
                if events.send(event).is_err() {
                    return;
                }
            }
        });
    };
    thread::Builder::new().name("signals".into()).spawn(work).map(drop).map_err(|error| error.to_string())
}

fn refused(found: &[crate::diag::Diagnostic]) -> String {
    show::findings(found);
    "nothing is observed: the files above have errors".to_owned()
}

/// What is looked at, and what each result is about.
struct Aims {
    base: Arc<Base>,
    targets: Targets,
}

impl Aims {
    fn read(server: &config::Server, registry: &mut Registry) -> Result<Aims, String> {
        let Load { base, found, .. } = control::load(&Paths::of(server), &server.settings, ns_required(server));
        let Some(base) = base else { return Err(refused(&found)) };
        let targets = Targets::of(base.policy(), &server.settings.health, None, registry);
        let targets = targets.map_err(|error| error.to_string())?;
        registry.keep(&targets.targets.iter().map(|target| target.id).collect());
        Ok(Aims { targets, base })
    }
}

struct Reporting<'a> {
    client: &'a Client,
    observer: ObserverId,
    states: BTreeMap<TargetId, State>,
    is_blind: bool,
    /// By server, whether it took the last report.
    is_told: BTreeMap<usize, bool>,
}

impl Reporting<'_> {
    /// Tells each server everything that is known, all at once: one that does not answer delays no other.
    fn report(&mut self, aims: &Aims) {
        let reports = self.reports(aims);
        let (client, observer) = (self.client, self.observer.as_str());
        let outcomes: Vec<Result<(), String>> = thread::scope(|scope| {
            let tell = |server| {
                let reports = &reports;
                scope.spawn(move || tell(client, server, observer, reports))
            };
            let telling: Vec<_> = (0..client.len()).map(tell).collect();
            let ended = telling.into_iter().map(|thread| thread.join());
            ended.map(|outcome| outcome.unwrap_or_else(|_| Err("a defect, please report it".into()))).collect()
        });
        for (server, outcome) in outcomes.into_iter().enumerate() {
            // Once when it begins and once when it ends, not at each round.
            match (&outcome, self.is_told.insert(server, outcome.is_ok())) {
                (Err(why), None | Some(true)) => tracing::error!("not reported: {why}; tried again every 3 s"),
                (Ok(()), None | Some(false)) => {
                    tracing::info!(reports = reports.len(), server = client.name(server), "reported");
                }
                (Err(_), Some(false)) | (Ok(()), Some(true)) => {}
            }
        }
    }

    fn reports(&self, aims: &Aims) -> Vec<Value> {
        let policy = aims.base.policy();
        let about = |((key, check), target): (&(AddressKey, CheckIx), &TargetId)| {
            let state = self.states.get(target).filter(|state| **state != State::Unknown)?;
            // Who may be blind takes back what he said.
            let state = if self.is_blind { State::Unknown } else { *state };
            let service = &policy.services[key.service.at()];
            let endpoint = service.endpoint(key.endpoint);
            let mut report = json!({
                "service": service.name.to_string(),
                "endpoint": endpoint.id.as_str(),
                "check": policy.checks[usize::from(check.0)].id.as_str(),
                "state": state.as_str(),
            });
            if let Some(address) = endpoint.data.address(key.address) {
                report["address"] = json!(address.to_string());
            }
            Some(report)
        };
        aims.targets.of.iter().filter_map(about).collect()
    }
}

/// The first thing that went wrong, if anything did; what comes after it is told all the same.
fn tell(client: &Client, server: usize, observer: &str, reports: &[Value]) -> Result<(), String> {
    let mut outcome = Ok(());
    for part in reports.chunks(REPORTS_AT_ONCE) {
        let body = json!({ "observer": observer, "ttl": HOLDS, "reports": part });
        let told = match client.ask(server, "POST", "/api/observations", Some(&body)) {
            Ok(reply) if exit_of(&reply) == 0 => Ok(()),
            Ok(reply) => Err(problem(&client.name(server), &reply).trim_end().to_owned()),
            // It does not answer: the other parts would wait as long.
            Err(why) => return Err(why),
        };
        outcome = outcome.and(told);
    }
    outcome
}

/// Well within what a node takes in one request.
const REPORTS_AT_ONCE: usize = 2_000;

const _: () = assert!(REPORTS_AT_ONCE <= limits::REPORT_BATCH_MAX);
