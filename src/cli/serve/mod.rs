//! `meridian serve`: the server.
//!
//! Here the rooms meet; each of the files beside this one sets up one of them:
//!
//! ```text
//! files ─▶ base ─┐
//! memory ────────┼─▶ control ─▶ doors (DNS)
//! watching ──────┘      └─────▶ api
//! ```
//!
//! Addresses of doors and API are taken before anything is probed, so that a second server by mistake does nothing.
//! Doors open when every target has been heard of once, or is remembered, and at the latest after `startup_wait`.
//! It ends in the opposite order: who asks is told that it ends, then doors close, then probes, control and store.

mod memory;
mod signals;
mod watching;
mod web;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use self::memory::Memory;
use self::signals::Signals;
use self::watching::Watching;
pub(super) use self::watching::own_datacenter;
use self::web::Web;
use super::check::{FileArgs, ns_required};
use super::greeting::Greeting;
use super::show;
use crate::api::Reread;
use crate::config::{self, Listen};
use crate::control::{self, Control, Load, Loader, Paths, Seams};
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::Settings;
use crate::serve::{ClosedDoors, DoorsConfig, DotConfig};
use crate::sys;

/// Arguments of `meridian serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Where to listen for DNS, UDP and TCP [default: 127.0.0.1:5300 and, where there is IPv6, [::1]:5300].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// Where to listen for the HTTP API [default: 127.0.0.1:8053, or as configured].
    #[arg(long, value_name = "ADDR:PORT")]
    api: Option<SocketAddr>,
    /// Everything durable is kept in this directory [default: .meridian, or as configured; with --demo: nothing is
    /// kept].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// UDP threads for each address [default: one a processor].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Probe stand-in data centres on loopback in place of the policies' addresses: nothing leaves this machine.
    /// Implied when nothing at all is given.
    #[arg(long)]
    demo: bool,
}

impl ServeArgs {
    fn is_demo(&self) -> bool {
        let ServeArgs { files, listen, api, state, threads, demo } = self;
        let FileArgs { config, zones, geoip } = files;
        let is_bare = config.is_none() && zones.is_none() && geoip.is_empty();
        *demo || (is_bare && listen.is_empty() && api.is_none() && state.is_none() && threads.is_none())
    }

    /// The configuration, with what the command line says over it.
    fn server(&self) -> Result<(config::Server, Vec<Diagnostic>), Vec<Diagnostic>> {
        let (mut server, found) = self.files.server()?;
        if !self.listen.is_empty() {
            server.listen = self.listen.iter().map(|addr| Listen { addr: *addr, if_present: false }).collect();
        }
        if let Some(threads) = self.threads {
            server.threads = Some(threads.get());
        }
        if let Some(api) = self.api {
            server.api.listen = api;
        }
        if let Some(state) = &self.state {
            server.state.clone_from(state);
        }
        Ok((server, found))
    }

    /// Reads everything again: the files, and of the configuration what may change while it serves.
    fn loader(&self) -> Loader {
        let files = self.files.clone();
        Loader::new(move |paths, settings, ns_required| {
            // This thread is the reading's own. Answers come first, and so do orders and health.
            if let Err(error) = sys::give_way(limits::RELOAD_NICENESS) {
                tracing::warn!(%error, "files are read with the priority of everything else");
            }
            match files.server() {
                Ok((server, mut found)) => {
                    let settings = Settings { orders: server.settings.orders, ..settings.clone() };
                    let load = control::load(paths, &settings, ns_required);
                    if load.base.is_none() {
                        // Otherwise whoever lets go of the files before these does it, with the priority of others.
                        sys::give_memory_back();
                    }
                    found.extend(load.found);
                    Load { found, ..load }
                }
                Err(found) => Load { base: None, has_geoip: false, tests: Vec::new(), found },
            }
        })
    }
}

/// 0 after a clean stop, 1 when start-up is refused.
pub fn run(args: &ServeArgs) -> ExitCode {
    start_log();
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refused::Findings(found)) => {
            show::findings(&found);
            show::err("error: nothing is served: the files above have errors\n");
            ExitCode::FAILURE
        }
        Err(Refused::Other(message)) => {
            show::err(&format!("error: {message}\n"));
            ExitCode::FAILURE
        }
    }
}

enum Refused {
    Findings(Vec<Diagnostic>),
    Other(String),
}

impl<E: std::error::Error> From<E> for Refused {
    fn from(error: E) -> Refused {
        Refused::Other(error.to_string())
    }
}

/// Threads for what may wait: the API, the demo's stand-ins, signals.
const EDGE_THREADS: usize = 2;

fn serve(args: &ServeArgs) -> Result<(), Refused> {
    // Before there is much to free: what a reload leaves behind is the system's again.
    sys::return_freed_memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(EDGE_THREADS)
        .thread_name("edge")
        .enable_all()
        .build()?;
    let _inside = runtime.enter();
    // Before anything that takes its time: a reload that is asked for meanwhile comes after it. A stop that is
    // asked for while files are read needs no care; once addresses are taken it is a clean one.
    let hangup = signal(SignalKind::hangup())?;
    let (server, mut found) = args.server().map_err(Refused::Findings)?;
    let mut paths = Paths::of(&server);
    let Load { base, has_geoip, found: more, .. } = control::load(&paths, &server.settings, ns_required(&server));
    // Reading takes several times the room of what is kept.
    sys::give_memory_back();
    found.extend(more);
    let Some(base) = base else { return Err(Refused::Findings(found)) };
    show::findings(&found);
    paths.geoip_required = has_geoip;

    let origin = Instant::now();
    let doors = ClosedDoors::hang(&doors_config(&server))?;
    let mut signals = Signals::catch(hangup)?;
    let mut memory = if args.is_demo() && args.state.is_none() { Memory::none() } else { Memory::open(&server.state) };
    let mut watching = Watching::prepare(&server, &base, args.is_demo(), runtime.handle(), origin)?;
    let seams = Seams {
        eyes: Some(watching.eyes()),
        keeper: memory.keeper(),
        journal: memory.journal(),
        restored: memory.restored(),
        loader: args.loader(),
        origin,
        time: None,
    };
    let files: Reread = {
        let (paths, settings, is_required) = (paths.clone(), server.settings.clone(), ns_required(&server));
        Arc::new(move || control::load(&paths, &settings, is_required))
    };
    let control = Control::with(paths, server.settings.clone(), ns_required(&server), &base, seams);
    // Control goes over to other files; the first ones are not to stay for ever.
    drop(base);
    let handle = control.talk();
    let web = Web::open(&server, &handle, &watching, &memory, files, runtime.handle())?;
    watching.start(&handle)?;
    let subscription = control.subscription();
    let (alive, ended) = oneshot::channel();
    let writer = thread::Builder::new().name("control".into()).spawn(move || {
        // Dropped with the thread, however that ends.
        let _alive: oneshot::Sender<()> = alive;
        control.run();
    })?;

    let is_stopped = runtime.block_on(async {
        tokio::select! {
            () = signals.stopped() => true,
            () = handle.first_round() => false,
            () = tokio::time::sleep(server.settings.health.startup_wait) => false,
        }
    });
    let mut in_time = true;
    if !is_stopped {
        let doors = doors.open(subscription)?;
        web.doors_are_open(&doors);
        show::out(
            &Greeting {
                table: &handle.table(),
                dns: doors.local_addresses(),
                api: &web.url(),
                stand_ins: watching.stand_ins().map(|stand_ins| &**stand_ins),
            }
            .to_string(),
        );
        runtime.block_on(signals.watch(&handle, ended, &doors, &web));
        tracing::info!("stopping");
        in_time &= runtime.block_on(web.close()) & doors.close();
    }
    in_time &= watching.stop();
    handle.stop();
    let has_panicked = writer.join().is_err();
    in_time &= memory.close();
    if !in_time {
        tracing::warn!("some connections, probes or writes were cut off");
    }
    if has_panicked {
        return Err(Refused::Other("the control thread had panicked: a defect, please report it".into()));
    }
    Ok(())
}

fn doors_config(server: &config::Server) -> DoorsConfig {
    // A default address that the machine does not have is nobody's mistake.
    let present = server.listen.iter().filter(|listen| !listen.if_present || sys::is_on_this_host(listen.addr.ip()));
    let mut doors = DoorsConfig::new(present.map(|listen| listen.addr).collect());
    doors.threads = server.threads.and_then(NonZeroUsize::new);
    doors.pin_threads = server.pin_threads;
    doors.busy_poll = server.busy_poll;
    doors.udp_response_len_max = server.settings.udp_response_len_max;
    doors.stream.connections_max = server.tcp.connections;
    doors.stream.connections_per_client_max = server.tcp.connections_per_client;
    doors.stream.idle = server.tcp.idle;
    doors.dot = server.dot.as_ref().map(|dot| DotConfig {
        listen: dot.listen.clone(),
        certificate: dot.cert.clone(),
        key: dot.key.clone(),
    });
    doors
}

/// Unless `MERIDIAN_LOG` says otherwise. hickory-server tells of every message at `info`.
const LOG_FILTER: &str = "info,hickory_server=warn";

/// Logs go to standard error; `MERIDIAN_LOG` filters them.
pub(super) fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MERIDIAN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG_FILTER));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(show::colour_on_stderr())
        .with_target(false)
        .init();
}
