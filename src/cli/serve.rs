//! `meridian serve`: the server.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::thread;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::check::{FileArgs, ns_required};
use super::{greeting, show};
use crate::config::{self, Listen};
use crate::control::{self, Control, Event, Load, Paths, Reloaded};
use crate::diag::Diagnostic;
use crate::serve::{Doors, DoorsConfig, DoorsCount, DotConfig, WorkerCount};
use crate::sys;

/// Arguments of `meridian serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Where to listen for DNS, UDP and TCP [default: 127.0.0.1:5300 and, where there is IPv6, [::1]:5300].
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// UDP threads for each address [default: one a processor].
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
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

fn serve(args: &ServeArgs) -> Result<(), Refused> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    // Before anything that takes its time: a reload that is asked for meanwhile comes after it. A stop that is
    // asked for while files are read needs no care; once doors open it is a clean one.
    let hangup = signal(SignalKind::hangup())?;
    let (mut server, mut found) = args.files.server().map_err(Refused::Findings)?;
    if !args.listen.is_empty() {
        server.listen = args.listen.iter().map(|addr| Listen { addr: *addr, if_present: false }).collect();
    }
    if let Some(threads) = args.threads {
        server.threads = Some(threads.get());
    }
    let mut paths = Paths::of(&server);
    let Load { base, has_geoip, found: more, .. } = control::load(&paths, &server.settings, ns_required(&server));
    found.extend(more);
    let Some(base) = base else { return Err(Refused::Findings(found)) };
    show::findings(&found);
    paths.geoip_required = has_geoip;

    let control = Control::new(paths, server.settings.clone(), ns_required(&server), &base);
    let table = control.current();
    let mut signals = Signals::catch(hangup)?;
    let doors = Doors::open(&doors_config(&server), control.subscription())?;
    let (events, inbox) = mpsc::channel();
    let (alive, ended) = oneshot::channel();
    let writer = thread::Builder::new().name("control".into()).spawn(move || {
        // Dropped with the thread, however that ends.
        let _alive: oneshot::Sender<()> = alive;
        control.run(&inbox);
    })?;
    show::out(&greeting::text(&table, doors.local_addresses()));

    runtime.block_on(signals.watch(&events, ended, &doors));
    tracing::info!("stopping");
    let in_time = doors.close();
    let _ = events.send(Event::Stop);
    let has_panicked = writer.join().is_err();
    if !in_time {
        tracing::warn!("some connections were cut off");
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

/// What the process listens for.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    user: Signal,
}

impl Signals {
    /// From here on a stop waits for [`Signals::watch`].
    fn catch(hangup: Signal) -> std::io::Result<Signals> {
        Ok(Signals {
            hangup,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Until SIGTERM or SIGINT; SIGHUP reloads, SIGUSR1 logs what was counted.
    /// `ended` resolves when the control thread is no more: what is served then stays as it is.
    async fn watch(&mut self, events: &Sender<Event>, mut ended: oneshot::Receiver<()>, doors: &Doors) {
        let mut is_controlled = true;
        loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(events, doors).await,
                _ = self.user.recv() => log_counters(doors),
                _ = &mut ended, if is_controlled => {
                    is_controlled = false;
                    tracing::error!("{CONTROL_ENDED}");
                }
            }
        }
    }
}

/// What the doors counted since they opened, queries that the kernel dropped included.
fn log_counters(doors: &Doors) {
    let DoorsCount { udp, tcp, connections, tls, tls_connections } = doors.counters();
    for WorkerCount { address, count, kernel_drops } in udp {
        tracing::info!(%address, ?count, ?kernel_drops, "UDP worker");
    }
    tracing::info!(count = ?tcp, ?connections, "TCP");
    tracing::info!(count = ?tls, connections = tls_connections, "TLS");
}

async fn reload(events: &Sender<Event>, doors: &Doors) {
    if let Err(error) = doors.reload_certificate() {
        tracing::error!("the certificate of DNS over TLS is not reloaded, the old one goes on serving: {error}");
    }
    let Some(Reloaded { generation, is_new, found, took }) = ask_control(events).await else {
        tracing::error!("not reloaded: {CONTROL_ENDED}");
        return;
    };
    show::findings(&found);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if is_new {
        tracing::info!(generation = generation.0, took_ms, "reloaded");
    } else {
        tracing::error!(generation = generation.0, "not reloaded: there are errors; the old table goes on serving");
    }
}

/// Said when it is found out, and on every reload after that.
const CONTROL_ENDED: &str = "the control thread has ended; the table that serves stays as it is until a restart";

/// Has control reload; `None` when it is no more.
async fn ask_control(events: &Sender<Event>) -> Option<Reloaded> {
    let (reply, outcome) = mpsc::sync_channel(1);
    events.send(Event::Reload { reply }).ok()?;
    // Compiling may take seconds; signals that arrive meanwhile wait.
    tokio::task::spawn_blocking(move || outcome.recv()).await.ok()?.ok()
}

/// Unless `MERIDIAN_LOG` says otherwise. hickory-server tells of every message at `info`.
const LOG_FILTER: &str = "info,hickory_server=warn";

/// Logs go to standard error; `MERIDIAN_LOG` filters them.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MERIDIAN_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG_FILTER));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(show::colour_on_stderr())
        .with_target(false)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_that_is_no_more_is_noticed_whether_it_ended_before_or_after_it_was_asked() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (events, inbox) = mpsc::channel();
        // It takes the event and ends without a word, as a panic would.
        let dying = thread::spawn(move || drop(inbox.recv()));
        assert!(runtime.block_on(ask_control(&events)).is_none());
        dying.join().unwrap();
        assert!(runtime.block_on(ask_control(&events)).is_none());
    }
}
