//! What may change what is served, and what is answered to those who asked for it.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use super::orders::{Answer, OrderRefused, Request, Sender};
use super::reading::Loaded;
use super::status::Blindness;
use crate::diag::Diagnostic;
use crate::health::TargetId;
use crate::model::{CheckId, DatacenterId, EndpointId, Generation, Name, ObserverId, RegionId, State};
use crate::store::Refusal;

/// Something that may change what is served.
#[derive(Debug)]
pub enum Event {
    /// Read all files again.
    Reload {
        /// Who waits for it.
        reply: oneshot::Sender<Reloaded>,
    },
    /// Files have been read, on a thread of their own.
    Loaded(Box<Loaded>),
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
        submission: Box<Submission>,
        /// When it came: it is answered within 5 s of that.
        arrived: Instant,
        /// Who waits for it.
        reply: oneshot::Sender<Result<Ordered, NotOrdered>>,
    },
    /// A person says that the wall clock is right, after it had jumped.
    AcceptClock {
        /// Who says so.
        by: Sender,
        /// Why.
        reason: String,
        /// Who waits for it.
        reply: oneshot::Sender<ClockAccepted>,
    },
    /// The journal has an order, or refuses it.
    Stored {
        /// Which.
        ticket: u64,
        /// It is durable, or never will be.
        fate: Result<(), Refusal>,
    },
    /// Nothing but time has passed.
    Tick,
    /// End.
    Stop,
}

/// What came of a reload.
#[derive(Clone, Debug)]
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

/// What came of a person's word about the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockAccepted {
    /// How far it had jumped, and whether ahead; `None`: it was believed already.
    pub jumped: Option<(Duration, bool)>,
    /// Standing orders whose time is over by it, and that end now.
    pub due: usize,
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

/// An order as it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// What, by whom, why.
    pub request: Request,
    /// Say what would happen, and do nothing.
    pub is_dry_run: bool,
    /// By which its sender will know it again: the same request under the same key is carried out once. At most
    /// [`crate::limits::IDEMPOTENCY_SCOPED_LEN_MAX`] octets.
    pub key: Option<String>,
}

impl Submission {
    /// To be carried out, however often it comes.
    pub fn of(request: Request) -> Submission {
        Submission { request, is_dry_run: false, key: None }
    }
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

/// An order that was carried out, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// What came of it, or would.
    pub answer: Answer,
    /// The table that serves now.
    pub generation: Generation,
    /// It was asked only what would happen.
    pub is_dry_run: bool,
    /// It was carried out before, under the same key; this is what was answered then.
    pub is_repeated: bool,
    /// A restart does not forget it.
    pub is_durable: bool,
    /// When it took effect, if it has.
    pub applied_at: Option<SystemTime>,
    /// When the last answer given before it has expired at the latest; `None`: no answer is another.
    pub old_answers_until: Option<SystemTime>,
    /// Latches that it ends.
    pub released: Vec<LatchName>,
    /// Latches that it would end if their data centre were up.
    pub kept: Vec<LatchName>,
}

/// Why an order was not carried out. Nothing has changed, and nothing will because of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOrdered {
    /// It is not right, or a rule refuses it.
    #[error(transparent)]
    Refused(#[from] OrderRefused),
    /// The store did not take it.
    #[error("{why}")]
    NotStored {
        /// For a person.
        why: String,
        /// It took too long; else it can not be done.
        is_late: bool,
    },
    /// Its key came with another request before.
    #[error("the idempotency key {0:?} came with another request before: every order needs a key of its own")]
    KeyReused(String),
}

impl NotOrdered {
    /// A panic on the order's way: everything is as it was before.
    pub(super) fn defect() -> NotOrdered {
        NotOrdered::NotStored {
            why: "a defect of Meridian, please report it: the order could not be carried out; nothing has changed"
                .to_owned(),
            is_late: false,
        }
    }

    /// Whoever waits must be told something, and the store is still at it.
    pub(super) fn late() -> NotOrdered {
        Refusal::Timeout.into()
    }
}

impl From<Refusal> for NotOrdered {
    fn from(refusal: Refusal) -> NotOrdered {
        let (is_late, what_of_it) = match &refusal {
            Refusal::Timeout | Refusal::Busy => (true, "nothing has changed, and nothing will"),
            // It says so itself.
            Refusal::Unsure => return NotOrdered::NotStored { why: refusal.to_string(), is_late: true },
            Refusal::Full
            | Refusal::ReadOnly(_)
            | Refusal::Broken(_)
            | Refusal::Locked { .. }
            | Refusal::Newer(_)
            | Refusal::TooLarge
            | Refusal::Closed => (false, "nothing has changed"),
        };
        NotOrdered::NotStored { why: format!("{refusal}; {what_of_it}"), is_late }
    }
}
