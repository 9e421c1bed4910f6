//! What is probed, and what comes of it: the words that schedule, probes and verdicts share.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::model::{DatacenterId, State, TargetSpec};

/// Names a target for as long as the process lives: equal specs have equal ids, also after a reload, and an
/// id is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u64);

/// Something that is probed.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub id: TargetId,
    /// What is done.
    pub spec: Arc<TargetSpec>,
    /// The data centre in which it stands, for telling a dead data centre from a blind node. `None`: none,
    /// or several.
    pub datacenter: Option<DatacenterId>,
    /// Its state when this process, or the one before, last knew: it stands, marked stale, until results in a row
    /// say otherwise.
    pub remembered: Option<State>,
}

/// What came of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was good.
    Good(Found),
    /// It was not, or there was none in time.
    Bad {
        /// Why, for a person; at most [`crate::limits::PROBE_ERROR_LEN_MAX`] characters.
        why: String,
        /// What was seen all the same.
        found: Found,
    },
    /// The probe could not be made, or whoever was asked did not know: evidence of nothing.
    Blind {
        /// Why, for a person.
        why: String,
    },
}

/// What a probe saw besides good and bad.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Found {
    /// From the start of the probe to its outcome.
    pub took: Duration,
    /// Until when the certificate of the target is valid.
    pub certificate_expires: Option<SystemTime>,
    /// For a person, such as a value that was compared.
    pub note: Option<String>,
}
