//! What control tells everyone who looks: one immutable value, published beside each table.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::orders::Book;
use crate::health::TargetId;
use crate::limits::CHUNK_SERVICES;
use crate::model::{
    AddressKey, CheckIx, DatacenterId, Failback, Generation, Name, ObserverId, RegionId, Revision, State, Verdict,
};
use crate::table::Base;

/// A latch, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatchStatus {
    /// The service whose clients left.
    pub service: Name,
    /// Of which region; `None`: elsewhere.
    pub region: Option<RegionId>,
    /// The data centre that they left.
    pub datacenter: DatacenterId,
    /// When.
    pub since: SystemTime,
    /// Why.
    pub why: String,
    /// How it ends.
    pub failback: Failback,
    /// A failback would end it now: it is up again, perhaps in its hold-down still.
    pub is_back: bool,
    /// It is up again, and not in its hold-down, since then.
    pub up_since: Option<SystemTime>,
    /// It ends by itself then, if nothing intervenes.
    pub returns_at: Option<SystemTime>,
    /// Recovered, waiting for you.
    pub is_waiting: bool,
}

/// The verdict on an address, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressStatus {
    /// Which.
    pub key: AddressKey,
    /// What counts.
    pub verdict: Verdict,
    /// Since when the state is this one.
    pub since: SystemTime,
    /// Until when it waits in its hold-down.
    pub held_until: Option<SystemTime>,
    /// Nobody says so any more: it is the last thing that was known.
    pub is_stale: bool,
    /// It counts as down because too little of its data centre is up.
    pub is_withheld: bool,
}

/// What somebody else says of a check of an address, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportStatus {
    /// Of which address.
    pub key: AddressKey,
    /// By which check.
    pub check: CheckIx,
    /// Who.
    pub observer: ObserverId,
    /// What counts.
    pub state: State,
    /// For a person: why.
    pub detail: Option<Arc<str>>,
    /// When it ends, or ended.
    pub expires_at: SystemTime,
    /// Nobody renewed it; it counts as down, because the check says that silence does.
    pub is_silent: bool,
}

/// A tier that may not be entered now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingTier {
    /// Of which service.
    pub service: Name,
    /// For clients of which region; `None`: elsewhere.
    pub region: Option<RegionId>,
    /// Its position, from 0.
    pub tier: u16,
    /// For what it waits.
    pub why: String,
    /// No earlier tier is usable: clients would be there now.
    pub is_needed: bool,
    /// When it opens by itself, if nothing intervenes.
    pub opens_at: Option<SystemTime>,
}

/// Clients were moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// When.
    pub at: SystemTime,
    /// By which table.
    pub generation: Generation,
    /// Those who ask for this service …
    pub service: Name,
    /// … from this region; `None`: elsewhere.
    pub region: Option<RegionId>,
    /// Who could answer them before.
    pub from: BTreeSet<DatacenterId>,
    /// Who can now.
    pub to: BTreeSet<DatacenterId>,
    /// Why.
    pub why: String,
}

/// This node may be blind, so falls are not believed for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blindness {
    /// Since when.
    pub since: SystemTime,
    /// Until when at most.
    pub until: SystemTime,
    /// What makes it think so, for a person.
    pub cause: String,
    /// How many targets would be down otherwise.
    pub held: usize,
}

/// What is not probed in a demonstration, and why.
pub type NotProbed = Arc<BTreeMap<(AddressKey, CheckIx), String>>;

/// How it all stands. Everything is of one generation.
#[derive(Clone, Debug)]
pub struct Status {
    /// The table that serves.
    pub generation: Generation,
    /// When that was published.
    pub published_at: SystemTime,
    /// The last order in force.
    pub revision: Revision,
    /// When control last looked.
    pub at: SystemTime,
    /// Whose names and indices these are.
    pub base: Arc<Base>,
    /// Somebody watches the endpoints at all.
    pub is_watching: bool,
    /// Every target has been heard of.
    pub is_first_round_complete: bool,
    /// All of them; those that wait for a person first.
    pub latches: Arc<[LatchStatus]>,
    /// Tiers that may not be entered now; those that are needed first.
    pub waiting_tiers: Arc<[WaitingTier]>,
    /// Data centres all of which counts as down because too little is up.
    pub withheld: Vec<DatacenterId>,
    /// Set while falls are not believed.
    pub blindness: Option<Blindness>,
    /// Checks that no stand-in of this demonstration can answer: they read as unknown.
    pub not_probed: NotProbed,
    /// The last moves, the oldest first.
    pub moves: Arc<VecDeque<Moved>>,
    /// How many moves there were since the start.
    pub moves_total: u64,
    /// What somebody should look at now, in sentences.
    pub alarms: Vec<String>,
    /// What stands by order.
    pub book: Arc<Book>,
    pub(super) addresses: Vec<Arc<[AddressStatus]>>,
    pub(super) targets: Arc<Watching>,
    pub(super) reports: Vec<Arc<[ReportStatus]>>,
}

/// Which target watches an address by a check.
pub type Watching = BTreeMap<(AddressKey, CheckIx), TargetId>;

impl Status {
    /// The verdict on every watched address, by key.
    pub fn addresses(&self) -> impl Iterator<Item = &AddressStatus> {
        self.addresses.iter().flat_map(|block| block.iter())
    }

    /// The verdict on one address; `None`: nobody watches it.
    pub fn address(&self, key: AddressKey) -> Option<&AddressStatus> {
        let block = self.addresses.get(key.service.at() / CHUNK_SERVICES)?;
        block.binary_search_by_key(&key, |status| status.key).ok().map(|at| &block[at])
    }

    /// What others say of an address. Some may have expired since control last looked.
    pub fn reports(&self, key: AddressKey) -> &[ReportStatus] {
        let Some(block) = self.reports.get(key.service.at() / CHUNK_SERVICES) else { return &[] };
        let first = block.partition_point(|report| report.key < key);
        let last = block.partition_point(|report| report.key <= key);
        &block[first..last]
    }

    /// This node's target for a check of an address; `None`: this node does not probe it.
    pub fn target(&self, key: AddressKey, check: CheckIx) -> Option<TargetId> {
        self.targets.get(&(key, check)).copied()
    }

    /// The list of all targets: the same for as long as nothing else is to be probed.
    pub fn watching(&self) -> &Arc<Watching> {
        &self.targets
    }

    /// What all targets are for.
    pub fn targets(&self) -> impl Iterator<Item = (AddressKey, CheckIx, TargetId)> {
        self.targets.iter().map(|((key, check), target)| (*key, *check, *target))
    }

    /// Latches whose data centre has recovered and waits for a person.
    pub fn waiting_for_you(&self) -> impl Iterator<Item = &LatchStatus> {
        self.latches.iter().filter(|latch| latch.is_waiting)
    }
}

/// Both clocks at one instant, to tell one's times in the other's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) moment: crate::model::Moment,
    pub(super) wall: SystemTime,
}

impl Now {
    /// The time on the wall at `moment`, past or to come.
    pub(super) fn wall_at(self, moment: crate::model::Moment) -> SystemTime {
        let ahead: Duration = moment.since(self.moment);
        let ago: Duration = self.moment.since(moment);
        let wall = self.wall.checked_add(ahead).unwrap_or(self.wall);
        wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}
