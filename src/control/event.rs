//! What may change what is served, and what is answered to those who asked for it.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::oneshot;

use super::status::Blindness;
use crate::diag::Diagnostic;
use crate::health::TargetId;
use crate::model::{CheckId, DatacenterId, EndpointId, Generation, Name, ObserverId, RegionId, State};

/// Something that may change what is served.
#[derive(Debug)]
pub enum Event {
    /// Read all files again.
    Reload {
        /// Who waits for it.
        reply: oneshot::Sender<Reloaded>,
    },
    /// States of this node's targets, as the engine publishes them. The first result of a target comes even
    /// when it says what was remembered.
    Health(Vec<(TargetId, State)>),
    /// The engine believes no falls for a while, or does again.
    Blindness(Option<Blindness>),
    /// Other observers, or external reporters, tell what they see.
    Report {
        /// At most [`crate::limits::REPORT_BATCH_MAX`].
        batch: Vec<Report>,
        /// Who waits for it.
        reply: oneshot::Sender<Reported>,
    },
    /// An operator orders.
    Order {
        /// What.
        order: Order,
        /// Who waits for it.
        reply: oneshot::Sender<Result<Ordered, OrderRefused>>,
    },
    /// Nothing but time has passed.
    Tick,
    /// End.
    Stop,
}

/// What came of a reload.
#[derive(Debug)]
pub struct Reloaded {
    /// The generation that serves now: a new one, or after an error the old one.
    pub generation: Generation,
    /// False: an error; nothing has changed.
    pub is_new: bool,
    /// Errors and warnings.
    pub found: Vec<Diagnostic>,
    /// How long reading and compiling took.
    pub took: Duration,
}

/// One result of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Who saw it.
    pub observer: ObserverId,
    /// Of which service's endpoint; `None`: of every service that has one of that id with that check.
    pub service: Option<Name>,
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Which address; `None`: all of the endpoint.
    pub address: Option<IpAddr>,
    /// By which check.
    pub check: CheckId,
    /// What was seen.
    pub state: State,
    /// For a person: why.
    pub detail: Option<String>,
    /// How long it counts unless it is renewed.
    pub ttl: Duration,
}

/// What came of a batch of reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The generation that serves now.
    pub generation: Generation,
    /// How many of the batch were taken.
    pub taken: usize,
    /// Which were not, by position, and why.
    pub refused: Vec<(usize, String)>,
}

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Clients may go back to what they left because it was down.
    Failback {
        /// Data centres or groups, as people name them.
        datacenters: Vec<String>,
        /// Only for clients of these services; empty: all.
        services: Vec<Name>,
        /// Who orders, as claimed.
        actor: String,
        /// Why.
        reason: String,
    },
}

/// For whom a latch is, by names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LatchName {
    /// The service.
    pub service: Name,
    /// The region; `None`: elsewhere.
    pub region: Option<RegionId>,
    /// The data centre.
    pub datacenter: DatacenterId,
}

/// An order that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The table that serves now.
    pub generation: Generation,
    /// False: it stood like that already, and nothing has changed.
    pub is_changed: bool,
    /// Latches that it ended.
    pub released: Vec<LatchName>,
    /// Latches that it left, because their data centre is not up.
    pub kept: Vec<LatchName>,
}

/// Why an order was not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefused {
    /// Nothing is called so.
    #[error("no data centre or group is called {0:?}")]
    UnknownDatacenter(String),
    /// Several are.
    #[error("{name:?} may be any of {}", candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    AmbiguousDatacenter {
        /// As it was given.
        name: String,
        /// What it may be.
        candidates: Vec<DatacenterId>,
    },
    /// No file names such a service.
    #[error("there is no service {0}")]
    UnknownService(Name),
    /// It names no data centre.
    #[error("the order names no data centre")]
    NoDatacenter,
}
