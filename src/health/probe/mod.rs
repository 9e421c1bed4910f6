//! Probes: one question to one target, and what came of it.
//!
//! [`probe`] asks as a [`TargetSpec`] says and turns whatever happens into an [`Outcome`]. It is the only door;
//! behind it stands one file a protocol, over common ground:
//!
//! ```text
//! probe ─▶ http ────────▶ exchange (hyper, one connection a request) ─┐
//!          grpc ────────▶ exchange                                    ├─▶ tls ─▶ connect ─▶ Resolve
//!          prometheus ──▶ exchange                                    │
//!          tcp, tls ──────────────────────────────────────────────────┘
//!          dns ─────────▶ question (UDP, TCP)
//!          icmp
//! ```
//!
//! What holds for every protocol, whatever a target does:
//!
//! - **One probe costs one slot.** The time limit stands here and nowhere else, and a probe is one future: no
//!   task is spawned that could outlive it, so dropping it takes back its socket and its memory. Every read
//!   has a bound in [`limits`]. A target that sends a gigabyte, an endless header or one octet a second gets
//!   what the bound or the time limit leaves, and no other probe notices.
//! - **What is known to be ours is not held against the target.** No route, no descriptors, a silent resolver,
//!   an unreadable CA file are [`Outcome::Blind`]; what the target or the network says is [`Outcome::Bad`].
//!   [`failure`] draws the line, in one table. A Prometheus server is a witness, not the target: its failures
//!   are always blindness.
//! - **Nothing is set up twice.** Trust stores, client certificates and regular expressions live in the
//!   [`Context`], made once and looked at again when their files change.
//! - **Connections are never reused**: a pool would probe the health of yesterday's connection. They are closed
//!   without TIME_WAIT ([`connect`] says how).
//! - **Words are for 3 a.m.**: what was expected, what came, and how far the probe got.
//! - **A panic in a probe is a defect of ours**, and evidence of nothing.

mod body;
mod connect;
mod dns;
mod exchange;
mod failure;
mod files;
mod grpc;
mod http;
mod icmp;
pub mod link;
mod progress;
mod prometheus;
mod question;
pub mod resolve;
pub mod runner;
mod stream;
mod tcp;
mod tls;
mod verifier;
mod words;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::{Found, Outcome};
use crate::model::{Name, Probe, TargetSpec};

use body::Regexes;
use failure::Failure;
use progress::Progress;
pub use tls::TlsClients;

#[cfg(doc)]
use crate::limits;

/// What probes share. One is enough for a process.
pub struct Context {
    /// Turns names of targets into addresses.
    pub resolver: Arc<dyn Resolve>,
    /// Whom probes trust, and the certificates that they show.
    pub tls: TlsClients,
    regexes: Regexes,
    /// Probes that have panicked.
    panics: AtomicU64,
}

impl Context {
    /// With nothing read yet: what a probe needs is read when the first one needs it.
    pub fn new(resolver: Arc<dyn Resolve>, tls: TlsClients) -> Context {
        Context { resolver, tls, regexes: Regexes::default(), panics: AtomicU64::new(0) }
    }

    /// How many probes have panicked: each is a defect of ours.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

/// Turns names into addresses.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of a name, in the order in which they should be tried.
    async fn resolve(&self, name: &Name) -> Result<Vec<IpAddr>, Unresolved>;

    /// True while nobody answers who is asked: then this node, not its targets, has lost something.
    fn is_failing(&self) -> bool {
        false
    }
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The resolver could not be asked, did not answer, or failed: evidence of nothing.
    #[error("{0}")]
    Silent(String),
    /// It says that there is no such name, or no address.
    #[error("{0}")]
    Absent(String),
}

/// What a protocol makes of its target: a note for a person, or why not.
type Asked = Result<Option<String>, Failure>;

/// Asks a target once. Takes at most `spec.check.timeout`; never panics; dropping the future ends the probe at
/// once.
pub async fn probe(spec: &TargetSpec, context: &Context) -> Outcome {
    let started = Instant::now();
    let progress = Progress::new(started, spec.check.timeout);
    // Boxed: the futures of all protocols in one are large, and would be copied from frame to frame.
    let asked =
        timeout_at(progress.deadline(), contained(Box::pin(ask(spec, context, &progress)), spec, context)).await;
    let asked = asked.unwrap_or_else(|_| Err(progress.ran_out()));
    let took = started.elapsed();
    let found = |note| Found { took, certificate_expires: progress.certificate_expires(), note };
    let asked = match (&spec.check.probe, asked) {
        (Probe::Prometheus(_), Err(Failure::Bad(why))) if !progress.is_judged() => Err(Failure::Blind(why)),
        // How long the witness takes says nothing about the target.
        (Probe::Prometheus(_), asked) => asked,
        (_, Ok(_)) if took > spec.check.max_response => Err(Failure::Bad(format!(
            "good, but after {}; `max_response` is {}",
            words::span(took),
            words::span(spec.check.max_response)
        ))),
        (_, asked) => asked,
    };
    match asked {
        Ok(note) => Outcome::Good(found(note.map(|note| words::bounded(&note)))),
        Err(Failure::Bad(why)) => Outcome::Bad { why: words::bounded(&why), found: found(progress.note()) },
        Err(Failure::Blind(why)) => Outcome::Blind { why: words::bounded(&why) },
    }
}

async fn ask(spec: &TargetSpec, context: &Context, progress: &Progress) -> Asked {
    match &spec.check.probe {
        Probe::Http(probe) => http::ask(spec, probe, context, progress).await,
        Probe::Tcp(probe) => tcp::ask(spec, probe, context, progress).await,
        Probe::Tls(params) => tls::ask(spec, params, context, progress).await,
        Probe::Grpc(probe) => grpc::ask(spec, probe, context, progress).await,
        Probe::Prometheus(probe) => prometheus::ask(spec, probe, context, progress).await,
        Probe::Dns(probe) => dns::ask(spec, probe, context, progress).await,
        Probe::Icmp => icmp::ask(spec, context, progress).await,
        Probe::External => Err(Failure::Blind("an `external` check asks nobody from here".into())),
    }
}

/// Runs what asks, and catches what it must not throw.
async fn contained(
    mut asking: Pin<Box<dyn Future<Output = Asked> + Send + '_>>,
    spec: &TargetSpec,
    context: &Context,
) -> Asked {
    poll_fn(|cx| {
        // A future that has panicked is not polled again, so nobody sees what it left half done.
        catch_unwind(AssertUnwindSafe(|| asking.as_mut().poll(cx))).unwrap_or_else(|_| {
            context.panics.fetch_add(1, Ordering::Relaxed);
            let protocol = spec.check.probe.protocol().as_str();
            tracing::error!(protocol, host = %spec.host, port = spec.port, "a probe has panicked: please report it");
            std::task::Poll::Ready(Err(Failure::Blind("the probe itself failed. Please report it".into())))
        })
    })
    .await
}
