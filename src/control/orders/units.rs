//! What is of units (a data centre as a whole, or one endpoint): of each kind a unit is in one standing order at most.

use std::collections::BTreeSet;

use super::book::Book;
use super::order::{Unit, What};
use super::turn::{Turn, is_other};

impl Turn<'_> {
    /// Makes something of units stand, or what there is one of at most.
    pub(super) fn put(&mut self, what: What) {
        let stands = self.book.standing.values().filter(|standing| standing.what.says(&what));
        let holders: Vec<u64> = stands.map(|standing| standing.revision).collect();
        match holders.iter().max() {
            Some(newest) if self.book.says_all(&what) => self.renew(&what, &holders, *newest),
            Some(_) | None => self.put_anew(what),
        }
    }

    fn put_anew(&mut self, what: What) {
        if let Some((units, kind)) = units_of(&what) {
            self.without(&units, kind);
        }
        self.stand(what);
    }

    /// All of it stands already, in these orders. An expiry that is named is for what is named, and for nothing else that
    /// was once ordered with it: a whole order gets the new one, and of what is named in part that part stands anew.
    fn renew(&mut self, what: &What, holders: &[u64], newest: u64) {
        self.stood = Some(newest);
        let expires = self.expires();
        let is_renewed =
            |at: &&u64| self.book.standing.get(at).is_some_and(|standing| is_other(standing.expires, expires));
        let renewed: Vec<u64> = holders.iter().filter(is_renewed).copied().collect();
        let mut parts: BTreeSet<Unit> = BTreeSet::new();
        for at in renewed {
            let Some(standing) = self.book.standing.get(&at) else { continue };
            match (units_of(&standing.what), units_of(what)) {
                (Some((theirs, _)), Some((named, _))) if !theirs.is_subset(&named) => {
                    parts.extend(theirs.intersection(&named).cloned());
                }
                (Some(_) | None, Some(_) | None) => self.repeat(at),
            }
        }
        if !parts.is_empty() {
            self.put_anew(what.only(&parts));
        }
    }

    /// Takes units out of whatever stands of a kind.
    pub(super) fn without(&mut self, units: &BTreeSet<Unit>, kind: Kind) {
        self.book.standing.retain(|_, standing| {
            if units_of(&standing.what).is_none_or(|(_, of)| of != kind) {
                return true;
            }
            match &mut standing.what {
                What::Out { units: theirs } | What::Force { units: theirs, .. } => {
                    theirs.retain(|unit| !units.contains(unit));
                    !theirs.is_empty()
                }
                What::Weights { values } => {
                    values.retain(|(unit, _)| !units.contains(unit));
                    !values.is_empty()
                }
                What::Switch { .. } | What::Behind { .. } | What::Ttl { .. } | What::Freeze | What::Gate { .. } => true,
            }
        });
    }
}

impl Book {
    /// Every unit of it, or the thing itself, stands already as it says.
    pub(super) fn says_all(&self, what: &What) -> bool {
        let standing = || self.standing.values().map(|standing| &standing.what);
        match what {
            What::Out { units } => units
                .iter()
                .all(|unit| standing().any(|other| matches!(other, What::Out { units } if units.contains(unit)))),
            What::Force { units, to } => units.iter().all(|unit| {
                standing().any(
                    |other| matches!(other, What::Force { units, to: state } if state == to && units.contains(unit)),
                )
            }),
            What::Weights { values } => values.iter().all(|value| {
                standing().any(|other| matches!(other, What::Weights { values } if values.contains(value)))
            }),
            What::Freeze | What::Gate { .. } => standing().any(|other| other == what),
            What::Switch { .. } | What::Behind { .. } | What::Ttl { .. } => false,
        }
    }
}

impl What {
    /// The same of these units alone.
    fn only(&self, units: &BTreeSet<Unit>) -> What {
        let mut what = self.clone();
        match &mut what {
            What::Out { units: ours } | What::Force { units: ours, .. } => ours.retain(|unit| units.contains(unit)),
            What::Weights { values } => values.retain(|(unit, _)| units.contains(unit)),
            What::Switch { .. } | What::Behind { .. } | What::Ttl { .. } | What::Freeze | What::Gate { .. } => {}
        }
        what
    }

    /// It holds part of what `other` says.
    fn says(&self, other: &What) -> bool {
        match (self, other) {
            (What::Out { units }, What::Out { units: theirs }) => !units.is_disjoint(theirs),
            (What::Force { units, to }, What::Force { units: theirs, to: state }) => {
                to == state && !units.is_disjoint(theirs)
            }
            (What::Weights { values }, What::Weights { values: theirs }) => {
                values.iter().any(|value| theirs.contains(value))
            }
            (What::Freeze, What::Freeze) => true,
            (What::Gate { role }, What::Gate { role: other }) => role == other,
            (
                What::Switch { .. }
                | What::Behind { .. }
                | What::Out { .. }
                | What::Force { .. }
                | What::Weights { .. }
                | What::Ttl { .. }
                | What::Freeze
                | What::Gate { .. },
                _,
            ) => false,
        }
    }
}

/// Of what kind orders about units are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Out,
    Force,
    Weights,
}

pub(super) fn units_of(what: &What) -> Option<(BTreeSet<Unit>, Kind)> {
    match what {
        What::Out { units } => Some((units.clone(), Kind::Out)),
        What::Force { units, .. } => Some((units.clone(), Kind::Force)),
        What::Weights { values } => Some((values.iter().map(|(unit, _)| unit.clone()).collect(), Kind::Weights)),
        What::Switch { .. } | What::Behind { .. } | What::Ttl { .. } | What::Freeze | What::Gate { .. } => None,
    }
}
