//! Everything that stands because somebody ordered it.
//!
//! The [`Book`] is a value: [`Book::apply`] makes the next one and leaves this one as it is, so that a dry run is the
//! deed without the journal. It is stored as the store's standing entries, one for each standing order, by name.
//!
//! - A switch takes the place of those for the same clients, or for some of them at the same width; what is narrower
//!   goes on standing, because the narrower scope wins, and that is told.
//! - Out, forced states and weights are of *units* (a data centre as a whole, or one endpoint): a later order takes
//!   its units from the earlier ones, so of each kind a unit is in one standing order at most.
//! - Repeating what stands changes nothing, but for an expiry that the repetition names.
//! - For the last [`limits::ORDERS_PAST_KEPT`] orders the book knows what stood before, so that they can be undone.
//! - It is bounded in octets. To take something back is possible always: what it takes to undo old orders goes first.
//!
//! What an order does to it is in `turn`, `switches`, `units` and `past`, by what it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entries::Len;
use super::names::Names;
use super::order::{Deed, Sender, Standing, Unit, What, Whom};
use super::past::Shared;
use super::refused::OrderRefused;
use super::rules::Rule;
use super::switches::Recent;
use super::turn::Turn;
use crate::limits;
use crate::model::{DatacenterIx, Revision, ServiceIx};

/// What an order becomes when it stands: by whom, when, until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The revision that it gets.
    pub revision: u64,
    /// Who.
    pub by: Sender,
    /// Why.
    pub reason: String,
    /// By the wall clock.
    pub now: SystemTime,
    /// How long it is to stand, if it says so.
    pub expires_in: Option<Duration>,
    /// Rules that it overrides.
    pub forced: BTreeSet<Rule>,
    /// Preferences that had yielded, and whose target is up again: ordering one anew is no repetition.
    pub rearmed: BTreeSet<u64>,
    /// What its sender called data centres.
    pub called: BTreeMap<String, BTreeSet<String>>,
}

/// Whose latches and yielded preferences an order ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Of these data centres.
    pub datacenters: BTreeSet<String>,
    /// For them.
    #[serde(default)]
    pub whom: Whom,
    /// But not these preferences: they are for clients of more regions than are named, and have yielded for all of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub held: BTreeSet<u64>,
    /// But not those of these services, by data centre: they were not up there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub except: BTreeMap<String, BTreeSet<String>>,
}

impl Release {
    pub(super) fn new(datacenters: BTreeSet<String>, whom: Whom) -> Release {
        Release { datacenters, whom, held: BTreeSet::new(), except: BTreeMap::new() }
    }

    /// Some clients of the service are meant.
    pub(super) fn concerns(&self, names: &Names<'_>, ix: ServiceIx) -> bool {
        self.whom.services.as_ref().is_none_or(|services| services.contains(&names.name(ix)))
    }

    /// The yielded preference of that revision leads clients of the service there again: all of them are meant.
    pub(super) fn frees(&self, names: &Names<'_>, revision: Revision, ix: ServiceIx) -> bool {
        self.concerns(names, ix) && !self.held.contains(&revision.0)
    }

    /// True when it ended what was kept about clients of `region` that ask for `service`.
    pub fn ended(&self, service: &str, region: &str, datacenter: &str) -> bool {
        self.datacenters.contains(datacenter)
            && self.whom.covers(service, region)
            && !self.except.get(datacenter).is_some_and(|services| services.contains(service))
    }

    /// Leaves out what is not up.
    pub(super) fn leave_out(&mut self, names: &Names<'_>, is_up: impl Fn(ServiceIx, DatacenterIx) -> bool) {
        let there = names.datacenter_ixs(&self.datacenters);
        for (at, service) in names.policy.services.iter().enumerate() {
            let ix = ServiceIx::from_at(at);
            let away = there.iter().copied().filter(|datacenter| {
                let is_there = service.endpoints.iter().any(|endpoint| endpoint.datacenter == *datacenter);
                is_there && !is_up(ix, *datacenter)
            });
            let away: Vec<DatacenterIx> = away.collect();
            if !self.concerns(names, ix) {
                continue;
            }
            for datacenter in away {
                self.except.entry(names.id(datacenter)).or_default().insert(names.name(ix));
            }
        }
    }
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The book after it.
    pub book: Book,
    /// False: it stood like that already. (What `release` ends is not counted: whoever keeps latches knows.)
    pub is_changed: bool,
    /// Its revision; when nothing has changed, the revision of what stood already.
    pub revision: u64,
    /// What else ends with it.
    pub release: Option<Release>,
    /// What its sender should know.
    pub warnings: Vec<String>,
}

/// One entry of the store that is set, or cleared.
pub type Entry = (String, Option<Value>);

/// All standing orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    pub(super) standing: BTreeMap<u64, Standing>,
    pub(super) recent: BTreeMap<u64, Recent>,
    pub(super) past: BTreeMap<u64, Shared>,
    pub(super) released: BTreeMap<u64, Release>,
    pub(super) revision: u64,
}

impl Book {
    /// The last order in force.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What stands, the oldest first.
    pub fn standing(&self) -> impl DoubleEndedIterator<Item = &Standing> {
        self.standing.values()
    }

    /// The standing drain of a data centre as a whole.
    pub(super) fn drain_of(&self, datacenter: &str) -> Option<u64> {
        let whole = Unit::Datacenter(datacenter.to_owned());
        let is_meant = |standing: &&Standing| matches!(&standing.what, What::Out { units } if units.contains(&whole));
        self.standing.values().find(is_meant).map(|standing| standing.revision)
    }

    /// Orders that ended latches and yielded preferences, the oldest first: who keeps those may have stored them before.
    pub fn released(&self) -> impl Iterator<Item = (u64, &Release)> {
        self.released.iter().map(|(revision, release)| (*revision, release))
    }

    /// What the order of that revision ended, once it is known; too much is not kept.
    pub(super) fn note_release(&mut self, revision: u64, release: &Release) {
        let exceptions: usize = release.except.values().map(BTreeSet::len).sum();
        match exceptions <= limits::RELEASE_EXCEPTIONS_MAX {
            true => drop(self.released.insert(revision, release.clone())),
            false => drop(self.released.remove(&revision)),
        }
        while self.released.len() > limits::RELEASES_KEPT {
            self.released.pop_first();
        }
        self.fits();
    }

    /// The standing order of that revision.
    pub fn get(&self, revision: u64) -> Option<&Standing> {
        self.standing.get(&revision)
    }

    /// Nothing moves by itself.
    pub fn is_frozen(&self) -> bool {
        self.standing.values().any(|standing| matches!(standing.what, What::Freeze))
    }

    /// The order that closed the gate to robots of this role.
    pub fn gate(&self, role: &str) -> Option<&Standing> {
        self.standing.values().find(|standing| match &standing.what {
            What::Gate { role: closed } => closed.as_ref().is_none_or(|closed| closed == role),
            What::Switch { .. }
            | What::Behind { .. }
            | What::Out { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Ttl { .. }
            | What::Freeze => false,
        })
    }

    /// Carries out a deed. The book stays as it is; the next one is in what is returned.
    ///
    /// # Errors
    /// When there is nothing to undo or to expire, when part of a whole is taken back, or when too much stands.
    pub fn apply(&self, deed: &Deed, stamp: &Stamp) -> Result<Applied, OrderRefused> {
        let mut turn = Turn { book: self.clone(), stamp, release: None, warnings: Vec::new(), stood: None };
        turn.carry_out(deed)?;
        let Turn { mut book, mut release, warnings, stood, .. } = turn;
        if let Some(release) = &mut release {
            release.held = book.for_more_regions(&release.whom);
        }
        let is_changed = book.standing != self.standing;
        if book.standing.len() > limits::STANDING_ORDERS_MAX && book.standing.len() > self.standing.len() {
            return Err(OrderRefused::TooMany);
        }
        let is_new = is_changed || release.is_some() || book.recent != self.recent;
        if is_new {
            book.revision = stamp.revision;
            book.remember(self, deed, stamp.revision);
            if let Some(release) = &release {
                book.note_release(stamp.revision, release);
            }
            if !book.fits() && Len::of(&book.standing) > Len::of(&self.standing) {
                return Err(OrderRefused::TooMany);
            }
        }
        let revision = stood.filter(|_| !is_changed).unwrap_or(if is_new { stamp.revision } else { self.revision });
        Ok(Applied { book, is_changed, revision, release, warnings })
    }

    /// Forgets how to undo orders, the oldest first, and then what old ones released, until the book is not too long.
    /// False: what stands is too long by itself.
    fn fits(&mut self) -> bool {
        let mut surplus = self.len().saturating_sub(limits::BOOK_LEN_MAX);
        while surplus > 0 {
            let freed = if self.past.len() > 1 {
                self.past.pop_first().map_or(0, |(at, past)| Len::of_past(at, &past))
            } else if let Some((at, last)) = self.past.iter_mut().find(|(_, past)| past.is_known()) {
                let len = Len::of_past(*at, last);
                last.forget();
                len - Len::of_past(*at, last)
            } else if self.released.len() > 1 {
                self.released.pop_first().map_or(0, |(at, release)| Len::of_release(at, &release))
            } else {
                return false;
            };
            surplus = surplus.saturating_sub(freed);
        }
        true
    }

    /// Standing orders whose time is over at `now`, the oldest first; those that stand although it is over are in it
    /// too. A freeze holds all but its own end.
    pub fn due(&self, now: SystemTime) -> Vec<u64> {
        let is_frozen = self.is_frozen();
        let due = self.standing.values().filter(|standing| standing.expires.is_some_and(|at| at <= now));
        due.filter(|standing| !is_frozen || matches!(standing.what, What::Freeze)).map(|one| one.revision).collect()
    }

    /// When the next one is over that is not over at `now`.
    pub fn next_expiry(&self, now: SystemTime) -> Option<SystemTime> {
        self.standing.values().filter_map(|standing| standing.expires).filter(|at| *at > now).min()
    }

    /// The same book with the reason why an order could not expire, for status and alarms. It is not an order, and
    /// need not be durable: it will be found out again.
    pub fn overdue(&self, revision: u64, why: Option<String>) -> Book {
        let mut book = self.clone();
        if let Some(standing) = book.standing.get_mut(&revision) {
            standing.overdue = why;
        }
        book
    }
}

pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
