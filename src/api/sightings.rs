//! What this node's probes know beyond states, for people and for metrics.

use crate::health::probe::runner::Numbers;
use crate::health::{TargetId, TargetReport};
use crate::model::Moment;

/// What this node's probes know. Whoever runs [`crate::health::Engine`] implements it. Nothing here may wait for a
/// probe: it is asked while a page is made.
pub trait Sightings: Send + Sync {
    /// Now, on the clock of every [`Moment`] in a report.
    fn now(&self) -> Moment;

    /// The targets as they stand, each `None` when it is not probed (any more), or when there is no time to tell.
    fn reports(&self, targets: &[TargetId]) -> Vec<Option<TargetReport>>;

    /// When a probe last began so late that what it finds comes too late; `None`: none has.
    fn late_at(&self) -> Option<Moment>;

    /// What became of probes; `None`: there is no time to tell.
    fn numbers(&self) -> Option<Numbers>;
}
