//! What the process is told by the system: stop, reload, say what was counted.

use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::web::Web;
use crate::cli::show;
use crate::control::{Handle, Reloaded, Unanswered};
use crate::serve::{Certificate, Doors, DoorsCount, WorkerCount};

/// What the process listens for.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    user: Signal,
}

impl Signals {
    /// From here on a stop waits for [`Signals::watch`].
    pub(super) fn catch(hangup: Signal) -> std::io::Result<Signals> {
        Ok(Signals {
            hangup,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Until SIGTERM or SIGINT: for what waits before there are doors.
    pub(super) async fn stopped(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Until SIGTERM or SIGINT; SIGHUP reloads, SIGUSR1 logs what was counted.
    /// `ended` resolves when the control thread is no more: what is served then stays as it is.
    pub(super) async fn watch(&mut self, control: &Handle, mut ended: oneshot::Receiver<()>, doors: &Doors, web: &Web) {
        let mut is_controlled = true;
        // Each reload is a task of its own: a stop waits for none.
        let mut reloads = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    for (certificate, whose) in [(web.certificate(), "the API"), (doors.certificate(), "DNS over TLS")] {
                        // Files may hang, which a stop waits for neither.
                        certificate.map(|certificate| thread::spawn(move || reload_certificate(&certificate, whose)));
                    }
                    reloads.spawn(reload(control.clone()));
                }
                Some(_) = reloads.join_next() => {}
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

/// Reads it from its files again; after an error the one before goes on serving.
fn reload_certificate(certificate: &Certificate, whose: &str) {
    if let Err(error) = certificate.reload() {
        tracing::error!("the certificate of {whose} is not reloaded, the old one goes on serving: {error}");
    }
}

async fn reload(control: Handle) {
    let Reloaded { generation, is_new, found, took } = match control.reload().await {
        Ok(reloaded) => reloaded,
        Err(Unanswered::Ended) => return tracing::error!("not reloaded: {CONTROL_ENDED}"),
        Err(Unanswered::Busy) => return tracing::error!("not reloaded: {}", Unanswered::Busy),
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
