//! Switches: standing, taken back, given back; and those of the last minutes, which another actor may not contradict.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::book::{Book, Release, list};
use super::order::{Left, Sender, Standing, SwitchMode, What, Whom};
use super::time;
use super::turn::Turn;
use crate::limits;

/// A switch of the last minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recent {
    pub(super) to: BTreeSet<String>,
    /// `None`: for whom the standing order of the same revision is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whom: Option<Whom>,
    pub(super) by: Sender,
    #[serde(with = "time")]
    pub(super) at: SystemTime,
}

impl Recent {
    /// How long ago it was. A clock that was set back makes it as long ago as it seems to lie ahead: not new for ever.
    pub(super) fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.at).unwrap_or_else(|error| error.duration())
    }
}

impl Turn<'_> {
    pub(super) fn switch(
        &mut self,
        to: &BTreeSet<String>,
        mode: SwitchMode,
        whom: &Whom,
        from: Option<&BTreeSet<String>>,
        left: &Left,
    ) {
        let wanted = (to, mode, whom, from);
        let stands = self.book.standing.values().find(|standing| match &standing.what {
            What::Switch { to, mode, whom, from, except, .. } => {
                (to, *mode, whom, from.as_ref()) == wanted && except.is_empty()
            }
            What::Behind { .. }
            | What::Out { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Ttl { .. }
            | What::Freeze
            | What::Gate { .. } => false,
        });
        if let Some(revision) = stands.map(|standing| standing.revision)
            && !self.stamp.rearmed.contains(&revision)
            && !self.book.is_outdone(revision)
        {
            return self.repeat(revision);
        }
        let mut stronger: Vec<String> = Vec::new();
        self.book.standing.retain(|_, standing| match &mut standing.what {
            What::Switch { whom: theirs, from: of, mode: how, to: there, .. } => {
                let is_covered = whom.holds(theirs) && whom.width() == theirs.width();
                let is_outdone = from.is_none_or(|from| of.as_ref().is_some_and(|of| of.is_subset(from)));
                let is_replaced = is_covered && is_outdone;
                let wins = *how > mode || (*how == mode && theirs.width() > whom.width());
                if !is_replaced && theirs.meets(whom) && wins {
                    stronger.push(format!(
                        "the {} to {} of revision {} goes on standing, and wins where both apply",
                        how.as_str(),
                        list(&*there),
                        standing.revision
                    ));
                }
                !is_replaced
            }
            What::Behind { left, whom: theirs, .. } if from.is_none() && whom.holds(theirs) => {
                // A switch says anew what is left; but one of everybody does not know what single regions had left.
                let knows = whom.regions.is_some() || theirs.regions.is_none();
                left.forgets(to);
                !knows && !left.is_empty()
            }
            What::Behind { .. }
            | What::Out { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Ttl { .. }
            | What::Freeze
            | What::Gate { .. } => true,
        });
        let more = stronger.len().saturating_sub(limits::WARNING_NAMES_MAX);
        self.warnings.extend(stronger.into_iter().take(limits::WARNING_NAMES_MAX));
        if more > 0 {
            self.warnings.push(format!("{more} more switches go on standing, and win where both apply"));
        }
        self.stand(What::Switch {
            to: to.clone(),
            mode,
            whom: whom.clone(),
            from: from.cloned(),
            left: left.clone(),
            except: Vec::new(),
        });
        self.note_recent(to, None);
    }

    /// `whom`: where nothing stands that says it.
    fn note_recent(&mut self, to: &BTreeSet<String>, whom: Option<Whom>) {
        let now = time::rounded(self.stamp.now);
        self.book.recent.retain(|_, recent| recent.age(now) < Duration::from_secs(limits::CONTENDED_S));
        self.book
            .recent
            .insert(self.stamp.revision, Recent { to: to.clone(), whom, by: self.stamp.by.clone(), at: now });
        while self.book.recent.len() > limits::RECENT_SWITCHES_MAX {
            self.book.recent.pop_first();
        }
        self.forget_what_is_gone();
    }

    /// What was replaced was overruled: nobody need contend it any more.
    fn forget_what_is_gone(&mut self) {
        let standing = &self.book.standing;
        self.book.recent.retain(|revision, recent| {
            recent.whom.is_some() || standing.get(revision).is_some_and(|one| one.what.switched().is_some())
        });
    }

    /// The switch of that revision is taken back. Who takes back his own contends with nobody; that of another is still
    /// his word, and for whom it was must not be forgotten with it.
    pub(super) fn take_back_recent(&mut self, revision: u64) {
        let whom = self.book.standing.get(&revision).and_then(|standing| standing.what.switched()).map(Whom::roughly);
        let Some(recent) = self.book.recent.get_mut(&revision) else { return };
        if recent.by.is_same_as(&self.stamp.by) {
            self.book.recent.remove(&revision);
        } else if recent.whom.is_none() {
            recent.whom = whom;
        }
    }

    pub(super) fn clear_switch(&mut self, whom: &Whom, home: Option<&str>, skipped: &BTreeSet<String>) {
        let mut is_any = false;
        let gone: Vec<u64> = self
            .book
            .standing
            .values()
            .filter(|standing| {
                standing.what.switched().is_some_and(|theirs| whom.holds(theirs) && !meets(theirs, skipped))
            })
            .map(|standing| standing.revision)
            .collect();
        for revision in gone {
            is_any = true;
            self.take_back_recent(revision);
            self.book.standing.remove(&revision);
        }
        for standing in self.book.standing.values_mut() {
            let (What::Switch { whom: theirs, except, .. } | What::Behind { whom: theirs, except, .. }) =
                &mut standing.what
            else {
                continue;
            };
            let Some(part) = whom.within(theirs, skipped) else { continue };
            if let Ok(Some(rest)) = theirs.without(&part) {
                is_any = true;
                *theirs = rest;
            } else if !except.iter().any(|excepted| excepted.holds(&part)) {
                is_any = true;
                except.retain(|excepted| !part.holds(excepted));
                except.push(part);
            }
        }
        if home.is_some() || is_any {
            self.take_back_recents_of_homes(whom);
        }
        if let Some(home) = home {
            let home = BTreeSet::from([home.to_owned()]);
            if is_any {
                self.note_recent(&home, Some(whom.roughly()));
            }
            self.release = Some(Release::new(home, whom.clone()));
        }
        if !is_any {
            self.stood = Some(self.book.revision);
        }
    }

    /// A switch to a home leaves nothing standing; who takes all of it back himself contends with nobody.
    fn take_back_recents_of_homes(&mut self, whom: &Whom) {
        let by = &self.stamp.by;
        self.book.recent.retain(|_, recent| {
            let is_taken_back = recent.whom.as_ref().is_some_and(|theirs| whom.holds(theirs));
            !(is_taken_back && recent.by.is_same_as(by))
        });
    }

    /// Clients may go back to these: nothing that stands keeps them away any more.
    pub(super) fn failback(&mut self, datacenters: &BTreeSet<String>, whom: &Whom) {
        let mut kept: BTreeSet<u64> = BTreeSet::new();
        self.book.standing.retain(|revision, standing| match &mut standing.what {
            What::Behind { left, whom: theirs, except } => {
                if whom.holds(theirs) {
                    left.forgets(datacenters);
                    return !left.is_empty();
                }
                let is_meant = left.clone().forgets(datacenters);
                if let Some(part) = whom.within(theirs, &BTreeSet::new()).filter(|_| is_meant)
                    && !except.iter().any(|excepted| excepted.holds(&part))
                {
                    except.push(part);
                }
                true
            }
            What::Switch { left, whom: theirs, .. } => {
                if whom.holds(theirs) {
                    left.forgets(datacenters);
                } else if whom.meets(theirs) && left.clone().forgets(datacenters) {
                    kept.insert(*revision);
                }
                true
            }
            What::Out { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Ttl { .. }
            | What::Freeze
            | What::Gate { .. } => true,
        });
        for revision in kept.iter().take(limits::WARNING_NAMES_MAX) {
            self.warnings.push(format!(
                "the switch of revision {revision} is for more clients than are named, and keeps all of them from {}: \
                 fail back for all, or take it back for these",
                list(datacenters)
            ));
        }
        self.release = Some(Release::new(datacenters.clone(), whom.clone()));
    }
}

/// Some of the services that it names are among these.
fn meets(whom: &Whom, services: &BTreeSet<String>) -> bool {
    whom.services.as_ref().is_some_and(|named| !named.is_disjoint(services))
}

impl Book {
    /// Switches of the last minutes, the oldest first, by revision, and for whom they were.
    pub(super) fn recent(&self) -> impl DoubleEndedIterator<Item = (u64, &Recent, &Whom)> {
        self.recent.iter().filter_map(|(revision, recent)| {
            let standing = || self.standing.get(revision)?.what.switched();
            Some((*revision, recent, recent.whom.as_ref().or_else(standing)?))
        })
    }

    /// Preferences for clients of more regions than these.
    pub(super) fn for_more_regions(&self, whom: &Whom) -> BTreeSet<u64> {
        let all = |regions: &Option<BTreeSet<String>>| Whom { services: None, regions: regions.clone() };
        let is_for_more = |standing: &&Standing| match &standing.what {
            What::Switch { whom: theirs, .. } => !all(&whom.regions).holds(&all(&theirs.regions)),
            What::Behind { .. }
            | What::Out { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Ttl { .. }
            | What::Freeze
            | What::Gate { .. } => false,
        };
        self.standing.values().filter(is_for_more).map(|standing| standing.revision).collect()
    }

    /// A later switch for clients of this one's, of the same width, wins over it: repeating it means something.
    fn is_outdone(&self, revision: u64) -> bool {
        let Some(Standing { what: What::Switch { whom, .. }, .. }) = self.standing.get(&revision) else { return false };
        self.standing.range(revision + 1..).any(|(_, later)| match &later.what {
            What::Switch { whom: theirs, .. } => theirs.meets(whom) && theirs.width() == whom.width(),
            What::Behind { .. }
            | What::Out { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Ttl { .. }
            | What::Freeze
            | What::Gate { .. } => false,
        })
    }
}

impl What {
    /// For whom it is, if it is a switch or what has become of one.
    fn switched(&self) -> Option<&Whom> {
        self.leaves().map(|(_, whom)| whom)
    }
}
