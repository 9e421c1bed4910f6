//! Taking back: what orders changed, so that they can be undone, and what becomes of what is over.
//!
//! - To undo is an order like any other, on what stands now: when a later order has said something about the same, it
//!   is refused.
//! - What was to be over meanwhile comes back as what its end would have made of it: a pin as a preference, and a
//!   preference as what keeps its clients from what they had left. Nothing comes back by an undo that would not have
//!   come back by itself.
//! - What time has ended nobody ordered, so nobody can undo it.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::book::Book;
use super::entries::json;
use super::order::{Deed, Standing, SwitchMode, What};
use super::refused::OrderRefused;
use super::turn::Turn;
use super::units::units_of;
use crate::limits;

/// One standing order that an order changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PastChange {
    revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Standing>,
    /// What it then said, in short: it is only compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// What an order of the past changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Past {
    kind: String,
    /// `None`: more than is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<PastChange>>,
}

/// What an order of the past changed, which books have in common with those before them, and how long it is.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<(Past, OnceLock<usize>)>);

impl Shared {
    fn of(past: Past) -> Shared {
        Shared(Arc::new((past, OnceLock::new())))
    }

    /// Its length in the store, reckoned by `reckon` the first time.
    pub(super) fn len(&self, reckon: impl FnOnce(&Past) -> usize) -> usize {
        *self.0.1.get_or_init(|| reckon(&self.0.0))
    }

    /// That there was such an order stays known.
    pub(super) fn forget(&mut self) {
        *self = Shared::of(Past { kind: self.kind.clone(), changes: None });
    }
}

impl Deref for Shared {
    type Target = Past;

    fn deref(&self) -> &Past {
        &self.0.0
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Shared) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || **self == **other
    }
}

impl Eq for Shared {}

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shared, D::Error> {
        Past::deserialize(deserializer).map(Shared::of)
    }
}

impl Past {
    pub(super) fn is_known(&self) -> bool {
        self.changes.is_some()
    }

    fn is_expiry(&self) -> bool {
        self.kind == Deed::Expire { revision: 0 }.kind()
    }
}

fn in_short(what: &What) -> String {
    let text = json(what).to_string();
    digest(&SHA256, text.as_bytes()).as_ref().iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

impl Book {
    /// Keeps what it takes to undo the order.
    pub(super) fn remember(&mut self, before: &Book, deed: &Deed, revision: u64) {
        let touched: BTreeSet<u64> = before.standing.keys().chain(self.standing.keys()).copied().collect();
        let changes = touched.into_iter().filter_map(|at| {
            let (before, after) = (before.standing.get(&at), self.standing.get(&at));
            (before != after).then(|| PastChange {
                revision: at,
                before: before.cloned(),
                after: after.map(|standing| in_short(&standing.what)),
            })
        });
        let mut past = Past { kind: deed.kind().to_owned(), changes: Some(changes.collect()) };
        // The journal's lines are bounded.
        if json(&past).to_string().len() > limits::ORDER_PAST_LEN_MAX {
            past.changes = None;
        }
        self.past.insert(revision, Shared::of(past));
        while self.past.len() > limits::ORDERS_PAST_KEPT {
            self.past.pop_first();
        }
    }

    /// What the order of that revision was, if it is known.
    pub(super) fn past_kind(&self, revision: u64) -> Option<&str> {
        self.past.get(&revision).map(|past| past.kind.as_str())
    }

    /// The order that an undo means which names none: the last one.
    ///
    /// # Errors
    /// When there was none, or nobody ordered it, or it can not be undone: an older one is taken back only by name.
    pub(super) fn last_to_undo(&self) -> Result<u64, OrderRefused> {
        let (revision, past) = self.past.last_key_value().ok_or(OrderRefused::NothingToUndo(self.revision))?;
        self.check_undo(*revision, past).map(|()| *revision)
    }

    fn check_undo(&self, revision: u64, past: &Past) -> Result<(), OrderRefused> {
        if past.is_expiry() {
            let ordered = self.past.range(..revision).rev().find(|(_, past)| !past.is_expiry());
            let before = ordered.map(|(at, past)| (*at, past.kind.clone()));
            return Err(OrderRefused::EndedByTime { revision, before });
        }
        match past.changes.as_deref() {
            None | Some([]) => Err(OrderRefused::NothingToUndo(revision)),
            Some([_, ..]) => Ok(()),
        }
    }

    /// What has come after the order that is undone in the place of what it would bring back.
    fn in_place_of(&self, before: &Standing, undone: u64) -> Option<u64> {
        let units = units_of(&before.what);
        let is_later = |standing: &Standing| standing.revision > undone;
        let is_there = |other: &&Standing| match (&before.what, &other.what) {
            (
                What::Switch { whom, .. } | What::Behind { whom, .. },
                What::Switch { whom: theirs, .. } | What::Behind { whom: theirs, .. },
            ) => is_later(other) && theirs.meets(whom) && theirs.width() == whom.width(),
            (What::Ttl { whom, datacenters, .. }, What::Ttl { whom: theirs, datacenters: there, .. }) => {
                is_later(other) && (whom, datacenters) == (theirs, there)
            }
            (What::Freeze, What::Freeze) => true,
            (What::Gate { role }, What::Gate { role: closed }) => role == closed,
            (What::Out { .. } | What::Force { .. } | What::Weights { .. }, what) => match (&units, units_of(what)) {
                (Some((ours, kind)), Some((theirs, of))) => *kind == of && !ours.is_disjoint(&theirs),
                (None, _) | (_, None) => false,
            },
            (
                What::Switch { .. } | What::Behind { .. } | What::Ttl { .. } | What::Freeze | What::Gate { .. },
                What::Switch { .. }
                | What::Behind { .. }
                | What::Out { .. }
                | What::Force { .. }
                | What::Weights { .. }
                | What::Ttl { .. }
                | What::Freeze
                | What::Gate { .. },
            ) => false,
        };
        self.standing.values().find(is_there).map(|standing| standing.revision)
    }
}

impl Turn<'_> {
    /// The inverse, as an order of its own.
    pub(super) fn undo(&mut self, revision: u64) -> Result<(), OrderRefused> {
        let past = self.book.past.get(&revision).ok_or(OrderRefused::NothingToUndo(revision))?.clone();
        self.book.check_undo(revision, &past)?;
        let changes = past.changes.as_deref().unwrap_or_default();
        for change in changes {
            let now = self.book.standing.get(&change.revision).map(|standing| in_short(&standing.what));
            // An expiry may be another, and what kept it standing.
            if now != change.after {
                return Err(OrderRefused::ChangedSince { revision, standing: change.revision });
            }
        }
        self.take_back_recent(revision);
        for change in changes {
            self.book.standing.remove(&change.revision);
        }
        let mut back = Vec::new();
        for before in changes.iter().filter_map(|change| change.before.clone()) {
            let Some(before) = self.as_of_now(before) else { continue };
            if let Some(standing) = self.book.in_place_of(&before, revision) {
                return Err(OrderRefused::ChangedSince { revision, standing });
            }
            back.push(before);
        }
        self.book.standing.extend(back.into_iter().map(|standing| (standing.revision, standing)));
        Ok(())
    }

    /// What stood once, as it would stand now.
    fn as_of_now(&mut self, before: Standing) -> Option<Standing> {
        if before.expires.is_none_or(|at| at > self.stamp.now) {
            return Some(before);
        }
        let (kind, revision) = (before.what.as_str(), before.revision);
        let now = ended(before);
        self.warnings.push(match &now {
            Some(now) => format!(
                "the time of the {kind} of revision {revision} was over: it comes back as {}",
                now.what.as_str()
            ),
            None => format!("the {kind} of revision {revision} is not brought back: its time was over"),
        });
        now
    }

    pub(super) fn expire(&mut self, revision: u64) -> Result<(), OrderRefused> {
        let standing = self.book.standing.remove(&revision).ok_or(OrderRefused::NotStanding(revision))?;
        if let Some(now) = ended(standing) {
            self.book.standing.insert(revision, now);
        }
        Ok(())
    }
}

/// What becomes of a standing order when its time is over: a pin becomes a preference, and a preference what keeps its
/// clients from coming back to what they had left.
fn ended(mut standing: Standing) -> Option<Standing> {
    (standing.expires, standing.overdue) = (None, None);
    match standing.what {
        What::Switch { to, mode: SwitchMode::Pin, whom, from, left, except } => {
            standing.what = What::Switch { to, mode: SwitchMode::Prefer, whom, from, left, except };
            Some(standing)
        }
        What::Switch { mode: SwitchMode::Prefer, whom, left, except, .. } => {
            let is_any = !left.is_empty();
            standing.what = What::Behind { left, whom, except };
            is_any.then_some(standing)
        }
        What::Behind { .. }
        | What::Out { .. }
        | What::Force { .. }
        | What::Weights { .. }
        | What::Ttl { .. }
        | What::Freeze
        | What::Gate { .. } => None,
    }
}
