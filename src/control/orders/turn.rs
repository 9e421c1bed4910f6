//! One order at work on the book: what stands because of it, and what it repeats.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::book::{Book, Release, Stamp};
use super::order::{Deed, Standing, Unit, What, Whom};
use super::refused::OrderRefused;
use super::time;
use super::units::Kind;

/// Expiries that are less apart come from the same request, sent twice.
const SAME_EXPIRY: Duration = Duration::from_secs(60);

/// One order at work.
pub(super) struct Turn<'a> {
    pub(super) book: Book,
    pub(super) stamp: &'a Stamp,
    pub(super) release: Option<Release>,
    pub(super) warnings: Vec<String>,
    /// It stood already, since this revision.
    pub(super) stood: Option<u64>,
}

impl Turn<'_> {
    pub(super) fn carry_out(&mut self, deed: &Deed) -> Result<(), OrderRefused> {
        match deed {
            Deed::Switch { to, mode, whom, from, left } => self.switch(to, *mode, whom, from.as_ref(), left),
            Deed::ClearSwitch { whom, home, skipped } => self.clear_switch(whom, home.as_deref(), skipped),
            Deed::Drain { units } => self.put(What::Out { units: units.clone() }),
            Deed::Undrain { units } => self.without(units, Kind::Out),
            Deed::Force { units, to: Some(to) } => self.put(What::Force { units: units.clone(), to: *to }),
            Deed::Force { units, to: None } => self.without(units, Kind::Force),
            Deed::Failback { datacenters, whom } => self.failback(datacenters, whom),
            Deed::Weights { values } => {
                let (set, cleared): (Vec<_>, Vec<_>) = values.iter().partition(|(_, weight)| weight.is_some());
                let cleared: BTreeSet<Unit> = cleared.into_iter().map(|(unit, _)| unit.clone()).collect();
                self.without(&cleared, Kind::Weights);
                let values: Vec<(Unit, u32)> =
                    set.into_iter().filter_map(|(unit, weight)| Some((unit.clone(), (*weight)?))).collect();
                if !values.is_empty() {
                    self.put(What::Weights { values });
                }
            }
            Deed::Ttl { whom, datacenters, seconds } => self.ttl(whom, datacenters.as_ref(), *seconds),
            Deed::Freeze => self.put(What::Freeze),
            Deed::Unfreeze => self.book.standing.retain(|_, standing| !matches!(standing.what, What::Freeze)),
            Deed::Gate { is_open: false, role } => self.put(What::Gate { role: role.clone() }),
            Deed::Gate { is_open: true, role } => self.open_gate(role.as_deref()),
            Deed::Undo { revision } => self.undo(*revision)?,
            Deed::Expire { revision } => self.expire(*revision)?,
        }
        if self.stamp.expires_in.is_some() && !deed.stands() {
            let kind = deed.kind();
            self.warnings.push(format!("nothing stands because of this order ({kind}), so expires_in means nothing"));
        }
        Ok(())
    }

    pub(super) fn expires(&self) -> Option<SystemTime> {
        Some(time::rounded(self.stamp.now.checked_add(self.stamp.expires_in?)?))
    }

    pub(super) fn stand(&mut self, what: What) {
        let standing = Standing {
            revision: self.stamp.revision,
            what,
            by: self.stamp.by.clone(),
            reason: self.stamp.reason.clone(),
            created: time::rounded(self.stamp.now),
            expires: self.expires(),
            forced: self.stamp.forced.clone(),
            called: self.stamp.called.clone(),
            overdue: None,
        };
        self.book.standing.insert(standing.revision, standing);
    }

    /// It stands already since `revision`: nothing changes but an expiry that was named.
    pub(super) fn repeat(&mut self, revision: u64) {
        self.stood = Some(revision);
        let expires = self.expires();
        let Some(standing) = self.book.standing.get_mut(&revision) else { return };
        if is_other(standing.expires, expires) {
            (standing.expires, standing.overdue) = (expires, None);
        }
    }

    fn ttl(&mut self, whom: &Whom, datacenters: Option<&BTreeSet<String>>, seconds: Option<u32>) {
        let is_same = |what: &What| matches!(what, What::Ttl { whom: theirs, datacenters: there, .. } if theirs == whom && there.as_ref() == datacenters);
        let stands = self.book.standing.values().find(|standing| is_same(&standing.what));
        let stands = stands.map(|standing| (standing.revision, standing.what.clone()));
        if let (Some((revision, What::Ttl { seconds: stood, .. })), Some(seconds)) = (&stands, seconds)
            && *stood == seconds
        {
            return self.repeat(*revision);
        }
        match seconds {
            Some(seconds) => {
                self.book.standing.retain(|_, standing| !is_same(&standing.what));
                self.stand(What::Ttl { whom: whom.clone(), datacenters: datacenters.cloned(), seconds });
            }
            None => self.clear_ttl(whom, datacenters),
        }
    }

    fn clear_ttl(&mut self, whom: &Whom, datacenters: Option<&BTreeSet<String>>) {
        let warnings = &mut self.warnings;
        self.book.standing.retain(|_, standing| match &mut standing.what {
            What::Ttl { whom: theirs, datacenters: there, .. } => {
                if !whom.meets(theirs) || datacenters.is_some_and(|ids| there.as_ref() != Some(ids)) {
                    return true;
                }
                match theirs.without(whom) {
                    Ok(None) => return false,
                    Ok(Some(rest)) => *theirs = rest,
                    Err(()) => warnings.push(format!(
                        "the TTL of revision {} is for more clients than are named, and stays as it is: take it back \
                         as a whole, and order it again for the others",
                        standing.revision
                    )),
                }
                true
            }
            What::Switch { .. }
            | What::Behind { .. }
            | What::Out { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Freeze
            | What::Gate { .. } => true,
        });
    }

    fn open_gate(&mut self, role: Option<&str>) {
        self.book.standing.retain(|_, standing| match &standing.what {
            What::Gate { role: closed } => role.is_some() && closed.as_deref() != role,
            What::Switch { .. }
            | What::Behind { .. }
            | What::Out { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Ttl { .. }
            | What::Freeze => true,
        });
        if let (Some(role), Some(closed)) = (role, role.and_then(|role| self.book.gate(role))) {
            self.warnings.push(format!(
                "the gate stays closed to robots of role {role}: revision {} closed it to all",
                closed.revision
            ));
        }
    }
}

/// True when an expiry is named and is another. The same request again, a moment later, names the same one.
pub(super) fn is_other(stood: Option<SystemTime>, named: Option<SystemTime>) -> bool {
    let apart = |a: SystemTime, b: SystemTime| a.duration_since(b).unwrap_or_else(|error| error.duration());
    named.is_some_and(|at| stood.is_none_or(|stood| apart(at, stood) >= SAME_EXPIRY))
}
