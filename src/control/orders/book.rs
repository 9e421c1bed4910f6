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

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::order::{Deed, Forcing, Left, Sender, Standing, SwitchMode, Unit, What, Whom};
use super::refused::OrderRefused;
use super::rules::Rule;
use super::time;
use crate::limits;

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

/// A switch of the last minutes, whether or not it still stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recent {
    pub(super) revision: u64,
    pub(super) to: BTreeSet<String>,
    #[serde(default)]
    pub(super) whom: Whom,
    pub(super) by: Sender,
    #[serde(with = "time")]
    pub(super) at: SystemTime,
}

/// One standing order that an order changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PastChange {
    revision: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Standing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Standing>,
}

/// What an order of the past changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Past {
    kind: String,
    changes: Vec<PastChange>,
}

/// Whose latches and yielded preferences an order ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Of these data centres.
    pub datacenters: BTreeSet<String>,
    /// For them.
    pub whom: Whom,
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
    standing: BTreeMap<u64, Standing>,
    recent: Vec<Recent>,
    past: BTreeMap<u64, Past>,
    revision: u64,
}

/// Expiries that are less apart come from the same request, sent twice.
const SAME_EXPIRY: Duration = Duration::from_secs(60);

const STANDING: &str = "order/";
const PAST: &str = "past/";
const RECENT: &str = "recent";

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

    /// The order that can be undone last.
    pub(super) fn last_past(&self) -> Option<u64> {
        self.past.keys().next_back().copied()
    }

    /// The standing order of that revision.
    pub fn get(&self, revision: u64) -> Option<&Standing> {
        self.standing.get(&revision)
    }

    pub(super) fn recent(&self) -> &[Recent] {
        &self.recent
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

    /// The book that the store's standing entries hold, and what in them could not be read.
    pub fn of_entries<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a Value)>,
        revision: u64,
    ) -> (Book, Vec<String>) {
        let (mut book, mut unread) = (Book { revision, ..Book::default() }, Vec::new());
        for (key, value) in entries {
            let read = if let Some(number) = key.strip_prefix(STANDING).and_then(|at| at.parse::<u64>().ok()) {
                Standing::deserialize(value).map(|standing| drop(book.standing.insert(number, standing)))
            } else if let Some(number) = key.strip_prefix(PAST).and_then(|at| at.parse::<u64>().ok()) {
                Past::deserialize(value).map(|past| drop(book.past.insert(number, past)))
            } else if key == RECENT {
                Vec::<Recent>::deserialize(value).map(|recent| book.recent = recent)
            } else {
                unread.push(format!("{key}: not a kind of entry that this version knows"));
                continue;
            };
            if let Err(error) = read {
                unread.push(format!("{key}: {error}"));
            }
        }
        (book, unread)
    }

    /// The store's entries that turn `before` into this book.
    pub fn entries_since(&self, before: &Book) -> Vec<Entry> {
        fn differing<V: PartialEq + Serialize>(
            prefix: &str,
            before: &BTreeMap<u64, V>,
            after: &BTreeMap<u64, V>,
        ) -> Vec<Entry> {
            let gone = before.keys().filter(|at| !after.contains_key(at)).map(|at| (format!("{prefix}{at}"), None));
            let new = after.iter().filter(|(at, value)| before.get(at) != Some(value));
            gone.chain(new.map(|(at, value)| (format!("{prefix}{at}"), Some(json(value))))).collect()
        }
        let mut entries = differing(STANDING, &before.standing, &self.standing);
        entries.extend(differing(PAST, &before.past, &self.past));
        if before.recent != self.recent {
            entries.push((RECENT.into(), (!self.recent.is_empty()).then(|| json(&self.recent))));
        }
        entries
    }

    /// Carries out a deed. The book stays as it is; the next one is in what is returned.
    ///
    /// # Errors
    /// When there is nothing to undo or to expire, when part of a whole is taken back, or when too much stands.
    pub fn apply(&self, deed: &Deed, stamp: &Stamp) -> Result<Applied, OrderRefused> {
        let mut turn = Turn { book: self.clone(), stamp, release: None, warnings: Vec::new(), stood: None };
        turn.carry_out(deed)?;
        let Turn { mut book, release, warnings, stood, .. } = turn;
        let is_changed = book.standing != self.standing;
        if book.standing.len() > limits::STANDING_ORDERS_MAX && book.standing.len() > self.standing.len() {
            return Err(OrderRefused::TooMany);
        }
        let is_new = is_changed || release.is_some() || book.recent != self.recent;
        if is_new {
            book.revision = stamp.revision;
            book.remember(self, deed, stamp.revision);
        }
        let revision = stood.filter(|_| !is_changed).unwrap_or(if is_new { stamp.revision } else { self.revision });
        Ok(Applied { book, is_changed, revision, release, warnings })
    }

    /// Keeps what it takes to undo the order.
    fn remember(&mut self, before: &Book, deed: &Deed, revision: u64) {
        let touched: BTreeSet<u64> = before.standing.keys().chain(self.standing.keys()).copied().collect();
        let change = |at: u64| PastChange {
            revision: at,
            before: before.standing.get(&at).cloned(),
            after: self.standing.get(&at).cloned(),
        };
        let changes: Vec<PastChange> =
            touched.into_iter().map(change).filter(|change| change.before != change.after).collect();
        let past = Past { kind: deed_kind(deed).to_owned(), changes };
        // What is very large can not be undone: the journal's lines are bounded.
        if json(&past).to_string().len() <= limits::ORDER_PAST_LEN_MAX {
            self.past.insert(revision, past);
        }
        while self.past.len() > limits::ORDERS_PAST_KEPT {
            self.past.pop_first();
        }
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

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("names, numbers and times are always JSON")
}

pub(super) fn deed_kind(deed: &Deed) -> &'static str {
    match deed {
        Deed::Switch { mode: SwitchMode::Prefer, .. } => "switch",
        Deed::Switch { mode: SwitchMode::Pin, .. } => "pin",
        Deed::ClearSwitch { .. } => "clear-switch",
        Deed::Drain { .. } => "drain",
        Deed::Undrain { .. } => "undrain",
        Deed::Force { to: Some(Forcing::Up), .. } => "force-up",
        Deed::Force { to: Some(Forcing::Down), .. } => "force-down",
        Deed::Force { to: None, .. } => "force-auto",
        Deed::Failback { .. } => "failback",
        Deed::Weights { .. } => "weights",
        Deed::Ttl { .. } => "ttl",
        Deed::Freeze => "freeze",
        Deed::Unfreeze => "unfreeze",
        Deed::Gate { .. } => "gate",
        Deed::Undo { .. } => "undo",
        Deed::Expire { .. } => "expire",
    }
}

/// One order at work.
struct Turn<'a> {
    book: Book,
    stamp: &'a Stamp,
    release: Option<Release>,
    warnings: Vec<String>,
    /// It stood already, since this revision.
    stood: Option<u64>,
}

impl Turn<'_> {
    fn carry_out(&mut self, deed: &Deed) -> Result<(), OrderRefused> {
        match deed {
            Deed::Switch { to, mode, whom, from, left } => self.switch(to, *mode, whom, from.as_ref(), left),
            Deed::ClearSwitch { whom, home } => self.clear_switch(whom, home.as_deref()),
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
        Ok(())
    }

    fn expires(&self) -> Option<SystemTime> {
        Some(time::rounded(self.stamp.now.checked_add(self.stamp.expires_in?)?))
    }

    fn stand(&mut self, what: What) {
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
    fn repeat(&mut self, revision: u64) {
        self.stood = Some(revision);
        let expires = self.expires();
        let Some(standing) = self.book.standing.get_mut(&revision) else { return };
        // The same request again, a moment later, names the same expiry.
        let apart = |a: SystemTime, b: SystemTime| a.duration_since(b).unwrap_or_else(|error| error.duration());
        let is_same = |at: SystemTime| standing.expires.is_some_and(|stood| apart(at, stood) < SAME_EXPIRY);
        if expires.is_some_and(|at| !is_same(at)) {
            (standing.expires, standing.overdue) = (expires, None);
        }
    }

    fn switch(
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
            _ => false,
        });
        if let Some(revision) = stands.map(|standing| standing.revision)
            && !self.stamp.rearmed.contains(&revision)
            && !self.book.is_outdone(revision)
        {
            return self.repeat(revision);
        }
        self.note_recent(to, whom);
        let width = |whom: &Whom| (whom.services.is_some(), whom.regions.is_some());
        let warnings = &mut self.warnings;
        self.book.standing.retain(|_, standing| match &standing.what {
            What::Switch { whom: theirs, from: of, mode: how, to: there, .. } => {
                let is_covered = whom.holds(theirs) && width(whom) == width(theirs);
                let is_outdone = from.is_none_or(|from| of.as_ref().is_some_and(|of| of.is_subset(from)));
                let is_replaced = is_covered && is_outdone;
                let wins = *how > mode || (*how == mode && width(theirs) > width(whom));
                if !is_replaced && theirs.meets(whom) && wins {
                    warnings.push(format!(
                        "the {} to {} of revision {} goes on standing, and wins where both apply",
                        standing.what.as_str(),
                        list(there),
                        standing.revision
                    ));
                }
                !is_replaced
            }
            // A switch by order says anew who is left.
            What::Behind { whom: theirs, .. } => !(from.is_none() && whom.holds(theirs)),
            _ => true,
        });
        self.stand(What::Switch {
            to: to.clone(),
            mode,
            whom: whom.clone(),
            from: from.cloned(),
            left: left.clone(),
            except: Vec::new(),
        });
    }

    fn note_recent(&mut self, to: &BTreeSet<String>, whom: &Whom) {
        let now = time::rounded(self.stamp.now);
        self.book.recent.retain(|recent| {
            now.duration_since(recent.at).unwrap_or_default() < Duration::from_secs(limits::CONTENDED_S)
        });
        let surplus = (self.book.recent.len() + 1).saturating_sub(limits::RECENT_SWITCHES_MAX);
        self.book.recent.drain(..surplus);
        self.book.recent.push(Recent {
            revision: self.stamp.revision,
            to: to.clone(),
            whom: whom.clone(),
            by: self.stamp.by.clone(),
            at: now,
        });
    }

    fn clear_switch(&mut self, whom: &Whom, home: Option<&str>) {
        let mut is_any = false;
        self.book.standing.retain(|_, standing| match &mut standing.what {
            What::Switch { whom: theirs, except, .. } | What::Behind { whom: theirs, except, .. } => {
                if whom.holds(theirs) {
                    is_any = true;
                    return false;
                }
                if whom.meets(theirs) && !except.iter().any(|excepted| excepted.holds(whom)) {
                    is_any = true;
                    except.retain(|excepted| !whom.holds(excepted));
                    except.push(whom.clone());
                }
                true
            }
            _ => true,
        });
        if let Some(home) = home {
            let home = BTreeSet::from([home.to_owned()]);
            if is_any {
                self.note_recent(&home, whom);
            }
            self.release = Some(Release { datacenters: home, whom: whom.clone() });
        }
        if !is_any {
            self.stood = Some(self.book.revision);
        }
    }

    fn failback(&mut self, datacenters: &BTreeSet<String>, whom: &Whom) {
        self.book.standing.retain(|_, standing| match &mut standing.what {
            What::Behind { left, whom: theirs, except } => {
                if whom.holds(theirs) {
                    left.forgets(datacenters);
                    return !left.is_empty();
                }
                let is_meant = datacenters.iter().any(|id| left.clone().forgets(&BTreeSet::from([id.clone()])));
                if is_meant && whom.meets(theirs) && !except.iter().any(|excepted| excepted.holds(whom)) {
                    except.push(whom.clone());
                }
                true
            }
            _ => true,
        });
        self.release = Some(Release { datacenters: datacenters.clone(), whom: whom.clone() });
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
            None => self.book.standing.retain(|_, standing| match &standing.what {
                What::Ttl { whom: theirs, datacenters: there, .. } => {
                    !(whom.holds(theirs) && (datacenters.is_none() || there.as_ref() == datacenters))
                }
                _ => true,
            }),
        }
    }

    fn open_gate(&mut self, role: Option<&str>) {
        self.book.standing.retain(|_, standing| match &standing.what {
            What::Gate { role: closed } => role.is_some() && closed.as_deref() != role,
            _ => true,
        });
        if let (Some(role), Some(closed)) = (role, role.and_then(|role| self.book.gate(role))) {
            self.warnings.push(format!(
                "the gate stays closed to robots of role {role}: revision {} closed it to all",
                closed.revision
            ));
        }
    }

    /// Makes something of units stand, or what there is one of at most.
    fn put(&mut self, what: What) {
        let stands = self.book.standing.values().filter(|standing| standing.what.says(&what));
        if let Some(revision) = stands.map(|standing| standing.revision).max()
            && self.book.says_all(&what)
        {
            return self.repeat(revision);
        }
        if let Some((units, kind)) = units_of(&what) {
            self.without(&units, kind);
        }
        self.stand(what);
    }

    /// Takes units out of whatever stands of a kind.
    fn without(&mut self, units: &BTreeSet<Unit>, kind: Kind) {
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

    /// The inverse, as an order of its own.
    fn undo(&mut self, revision: u64) -> Result<(), OrderRefused> {
        let past = self.book.past.get(&revision).ok_or(OrderRefused::NothingToUndo(revision))?.clone();
        if past.changes.is_empty() {
            return Err(OrderRefused::NothingToUndo(revision));
        }
        for PastChange { revision: at, before, after } in past.changes {
            let now = self.book.standing.get(&at);
            // An expiry may be another, and what kept it standing.
            let is_as_left = match (now, &after) {
                (Some(now), Some(after)) => now.what == after.what,
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !is_as_left {
                return Err(OrderRefused::ChangedSince { revision, standing: at });
            }
            self.book.standing.remove(&at);
            match before {
                Some(before) if before.expires.is_some_and(|at| at <= self.stamp.now) => self.warnings.push(format!(
                    "the {} of revision {at} is not brought back: its time was over",
                    before.what.as_str()
                )),
                Some(before) => drop(self.book.standing.insert(at, before)),
                None => {}
            }
        }
        Ok(())
    }

    fn expire(&mut self, revision: u64) -> Result<(), OrderRefused> {
        let mut standing = self.book.standing.remove(&revision).ok_or(OrderRefused::NotStanding(revision))?;
        (standing.expires, standing.overdue) = (None, None);
        match standing.what {
            What::Switch { to, mode: SwitchMode::Pin, whom, from, left, except } => {
                standing.what = What::Switch { to, mode: SwitchMode::Prefer, whom, from, left, except };
                self.book.standing.insert(revision, standing);
            }
            What::Switch { mode: SwitchMode::Prefer, whom, from, mut left, except, .. } => {
                left.common.extend(from.iter().flatten().cloned());
                left.of.values_mut().for_each(|of| of.extend(from.iter().flatten().cloned()));
                if !left.is_empty() {
                    standing.what = What::Behind { left, whom, except };
                    self.book.standing.insert(revision, standing);
                }
            }
            What::Behind { .. }
            | What::Out { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Ttl { .. }
            | What::Freeze
            | What::Gate { .. } => {}
        }
        Ok(())
    }
}

impl Book {
    /// A later switch for clients of this one's, of the same width, wins over it: repeating it means something.
    fn is_outdone(&self, revision: u64) -> bool {
        let Some(Standing { what: What::Switch { whom, .. }, .. }) = self.standing.get(&revision) else { return false };
        self.standing.range(revision + 1..).any(|(_, later)| match &later.what {
            What::Switch { whom: theirs, .. } => {
                theirs.meets(whom)
                    && (theirs.services.is_some(), theirs.regions.is_some())
                        == (whom.services.is_some(), whom.regions.is_some())
            }
            _ => false,
        })
    }

    /// Every unit of it, or the thing itself, stands already as it says.
    fn says_all(&self, what: &What) -> bool {
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
            _ => false,
        }
    }
}

/// Of what kind orders about units are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Out,
    Force,
    Weights,
}

fn units_of(what: &What) -> Option<(BTreeSet<Unit>, Kind)> {
    match what {
        What::Out { units } => Some((units.clone(), Kind::Out)),
        What::Force { units, .. } => Some((units.clone(), Kind::Force)),
        What::Weights { values } => Some((values.iter().map(|(unit, _)| unit.clone()).collect(), Kind::Weights)),
        What::Switch { .. } | What::Behind { .. } | What::Ttl { .. } | What::Freeze | What::Gate { .. } => None,
    }
}

pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
