//! One probe on its way: whatever happens to it, it reports, once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::inbox::{Inbox, Landed};
use super::pulse::Pulse;
use crate::health::{Outcome, Start, TargetId};
use crate::model::{Moment, TargetSpec};

/// Asks a target once: [`super::super::probe`], or what a test puts in its place.
pub type Asking = Arc<dyn Fn(Arc<TargetSpec>) -> Asked + Send + Sync>;

/// What an [`Asking`] gives back.
pub type Asked = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A probe keeps its time limit itself. One that does not is ended so much later, before the engine takes it for
/// lost.
const GUARD: Duration = Duration::from_millis(500);

/// What all flights share.
pub(super) struct Sky {
    pub(super) asking: Asking,
    pub(super) inbox: Arc<Inbox>,
    pub(super) pulse: Pulse,
    pub(super) origin: Instant,
    /// Probes that have panicked outside of [`super::super::probe`], which counts its own.
    pub(super) panicked: AtomicU64,
    /// Probes that did not end by themselves.
    pub(super) overran: AtomicU64,
}

impl Sky {
    pub(super) fn new(asking: Asking, inbox: Arc<Inbox>, pulse: Pulse, origin: Instant) -> Sky {
        Sky { asking, inbox, pulse, origin, panicked: AtomicU64::new(0), overran: AtomicU64::new(0) }
    }

    pub(super) fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }
}

/// The probe's ticket home: dropped before it is used, by a panic or because the runtime ends, it reports all the
/// same.
struct Ticket {
    sky: Arc<Sky>,
    life: u64,
    target: TargetId,
    number: u64,
    planned: Moment,
    started: Option<Moment>,
    is_used: bool,
}

/// Does what a start says, as a task on the runtime of the probes.
pub(super) async fn fly(sky: Arc<Sky>, life: u64, start: Start) {
    let Start { target, number, planned, spec } = start;
    let mut ticket = Ticket { sky: Arc::clone(&sky), life, target, number, planned, started: None, is_used: false };
    let started = sky.now();
    ticket.started = Some(started);
    let check = Arc::clone(&spec.check);
    let outcome = timeout(check.timeout + GUARD, (sky.asking)(spec)).await.unwrap_or_else(|_| {
        sky.overran.fetch_add(1, Ordering::Relaxed);
        Outcome::Blind { why: "the probe did not keep its time limit".into() }
    });
    let outcome = sky.pulse.judge(&check, started, sky.now(), outcome);
    ticket.land(outcome);
}

impl Ticket {
    fn land(&mut self, outcome: Outcome) {
        self.is_used = true;
        let Ticket { life, target, number, planned, .. } = *self;
        let started = self.started.unwrap_or(planned);
        let landed = Landed { life, target, number, planned, started, outcome };
        self.sky.inbox.tell(|waiting| waiting.landed.push(landed));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        let is_panic = std::thread::panicking();
        if is_panic {
            self.sky.panicked.fetch_add(1, Ordering::Relaxed);
            tracing::error!(target_id = self.target.0, "a probe has panicked: please report it");
        }
        let why = if is_panic { "the probe itself failed. Please report it" } else { "the prober ends" };
        self.land(Outcome::Blind { why: why.into() });
    }
}
