//! What handlers work with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use super::Reread;
use super::access::Access;
use super::audit::AuditLog;
use super::metrics::{OrderCounters, RoutingSource, StreamSource};
use super::sightings::Sightings;
use crate::control::{Feed, Handle, Status};
use crate::demo::StandIns;
use crate::limits::{API_HISTORY_READERS_MAX, API_WAITING_MAX, EVENT_STREAMS_MAX};
use crate::table::RoutingTable;
use crate::telemetry::{IntCounterVec, Registry, catalogue};

/// What handlers work with.
pub struct Context {
    pub(super) control: Handle,
    pub(super) sightings: Option<Arc<dyn Sightings>>,
    pub(super) access: Access,
    pub(super) node: String,
    pub(super) registry: Registry,
    pub(super) requests: IntCounterVec,
    pub(super) failures: IntCounterVec,
    pub(super) orders: OrderCounters,
    pub(super) is_ready: Arc<AtomicBool>,
    pub(super) demo: Option<Arc<StandIns>>,
    /// Answers that take time to make: a few at once, so that they leave the processors to others.
    pub(super) heavy: Semaphore,
    /// The audit log, if there is one.
    pub(super) audit: Option<Arc<dyn AuditLog>>,
    pub(super) log_readers: Arc<Semaphore>,
    /// Places for followers of events.
    pub(super) streams: Arc<Semaphore>,
    /// Reads the files that a reload would read.
    pub(super) reread: Option<Reread>,
    /// One comparison of files at a time.
    pub(super) comparing: Arc<Semaphore>,
    /// Requests that wait until answers have expired.
    pub(super) waiting: Semaphore,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("node", &self.node).finish_non_exhaustive()
    }
}

/// How many heavy answers are made at once.
const HEAVY_MAX: usize = 2;

impl Context {
    /// `node`: the name of this node; `sightings`: what its probes know, `None` when it has none. The metrics of the
    /// API, of routing and of health are added to `registry`.
    pub fn new(
        control: Handle,
        sightings: Option<Arc<dyn Sightings>>,
        access: Access,
        node: &str,
        registry: Registry,
    ) -> Context {
        let (requests, failures) =
            (registry.counter(&catalogue::API_REQUESTS), registry.counter(&catalogue::API_AUTH_FAILURES));
        registry.add(RoutingSource::new(control.clone(), sightings.clone()));
        let streams = Arc::new(Semaphore::new(EVENT_STREAMS_MAX));
        registry.add(StreamSource(Arc::clone(&streams)));
        let orders = OrderCounters::new(&registry);
        Context {
            control,
            sightings,
            access,
            node: node.to_owned(),
            registry,
            requests,
            failures,
            orders,
            is_ready: Arc::default(),
            demo: None,
            heavy: Semaphore::new(HEAVY_MAX),
            audit: None,
            log_readers: Arc::new(Semaphore::new(API_HISTORY_READERS_MAX)),
            streams,
            reread: None,
            comparing: Arc::new(Semaphore::new(1)),
            waiting: Semaphore::new(API_WAITING_MAX),
        }
    }

    /// With the audit log.
    pub fn with_audit(mut self, audit: Arc<dyn AuditLog>) -> Context {
        self.audit = Some(audit);
        self
    }

    /// With the demo's stand-ins.
    pub fn with_demo(mut self, demo: Arc<StandIns>) -> Context {
        self.demo = Some(demo);
        self
    }

    /// With the files that it serves.
    pub fn with_files(mut self, reread: Reread) -> Context {
        self.reread = Some(reread);
        self
    }

    /// To be set once the DNS sockets are open, and cleared before they close: `/readyz` says so.
    pub fn readiness(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_ready)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    pub(super) fn look(&self) -> View {
        View {
            table: self.control.table(),
            status: self.control.status(),
            sightings: self.sightings.clone(),
            feed: Arc::clone(self.control.feed()),
            node: self.node.clone(),
        }
    }

    /// Runs `work` where it keeps nobody waiting.
    pub(super) async fn heavily<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _permit = self.heavy.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }
}

/// What is shown: a table and what is known beside it. While control publishes, the status may still be that of the
/// table before: names in it are good all the same, indices when both have the same base.
#[derive(Clone)]
pub(super) struct View {
    pub(super) table: Arc<RoutingTable>,
    pub(super) status: Arc<Status>,
    pub(super) sightings: Option<Arc<dyn Sightings>>,
    pub(super) feed: Arc<Feed>,
    pub(super) node: String,
}
