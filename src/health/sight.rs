//! Being blind is not seeing death: whether a fall that a target's results say is believed.
//!
//! **Proof.** A fall is published when this node demonstrably saw while the target failed: some success
//! *started* between the second failing probe of the run and the last, or at most [`LOOK_WITHIN`] after the
//! second. (One failure alone: between its start and the slow mark, and that much after.) Not earlier and not
//! later: a success on either side of a blackout says nothing about what was in the dark. What counts:
//! - a success of a witness, or of a target in a data centre other than the node's own;
//! - without `node.datacenter`, a success of any target;
//! - for a target in the node's own data centre, also that of another target there.
//!
//! A success that started before the node's link came back is no proof; nor is one for a target that is
//! probed by name, before the resolver came back.
//!
//! **Without proof**, and while a probe that could bring it may still be out, the fall waits, until
//! [`Fall::look_until`]. Then it is *held* when one of these is so, the first that is:
//! 1. the node's link fails, or did since the run began; for a target probed by name, its resolver;
//! 2. there are witnesses, so none has answered;
//! 3. `node.datacenter` is set, and only the node's own data centre answers;
//! 4. at least two data centres were up, and all fail within one interval: a common dependency.
//!
//! Otherwise it is published, as when the last data centre that lived dies alone.
//!
//! **The end of a hold.** A later success of the kind that is proof shows that the node sees again, but not
//! that the held targets are dead: their failures were in the dark. So they are doubted: each goes back to
//! its published state and is probed at once, and falls anew, seen, or turns out to live. At the latest
//! `hold_max` after the first held fall all that is held is published, and nothing is held again until such
//! a success.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::TargetId;
use super::watch::Run;
use crate::limits;
use crate::model::{DatacenterId, Moment};

mod ruling;

/// So long after it is wanted a look around starts, at the latest: looks are apart, and may wait for a slot.
const LOOK_WITHIN: Duration = Duration::from_millis(250);

/// New successes are held against what waits at most this often.
const REVIEW_EVERY: Duration = Duration::from_millis(10);

/// Why falls are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// This node has no link, or had none.
    Link,
    /// Names do not resolve here.
    Resolver,
    /// There are witnesses, and none answers.
    Witnesses,
    /// Only the data centre that this node stands in answers.
    OnlyOwn,
    /// Every data centre failed within one interval.
    Common,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Link => "this node's link is or was down",
            Cause::Resolver => "this node's resolver does not answer",
            Cause::Witnesses => "no witness answers",
            Cause::OnlyOwn => "only this node's own data centre answers",
            Cause::Common => "every data centre fails within one interval: a common dependency",
        })
    }
}

/// Falls that are not published, because this node may be blind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Why, as found at the first of them.
    pub cause: Cause,
    /// Since when.
    pub since: Moment,
    /// When all is published at the latest.
    pub until: Moment,
    /// Whose falls are held, ascending.
    pub targets: Vec<TargetId>,
}

/// Who gave a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Witness,
    Target(Option<DatacenterId>),
}

/// A target's fall that asks for belief.
#[derive(Clone, Debug)]
pub(super) struct Fall {
    pub(super) run: Run,
    pub(super) datacenter: Option<DatacenterId>,
    /// The target is probed by name.
    pub(super) is_named: bool,
    pub(super) interval: Duration,
    /// So long a probe that could bring proof may be out.
    pub(super) look_until: Moment,
}

/// What is made of a fall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It is believed; or not believed, but held long enough.
    Publish { was_held: Option<Cause> },
    /// This node sees again: the fall is to be seen anew.
    Doubt,
}

/// Whether something that this node needs in order to see is there.
#[derive(Clone, Copy, Debug)]
struct Means {
    is_good: bool,
    /// When it last was not.
    failed_until: Option<Moment>,
}

impl Means {
    fn set(&mut self, now: Moment, is_good: bool) {
        if !self.is_good || !is_good {
            self.failed_until = Some(now);
        }
        self.is_good = is_good;
    }

    /// It failed at or after that time.
    fn failed_since(self, since: Moment) -> bool {
        !self.is_good || self.failed_until.is_some_and(|until| until >= since)
    }
}

/// Starts of successes, the latest of each 10 ms.
#[derive(Debug, Default)]
struct Proofs {
    by_tick: BTreeMap<u64, Moment>,
    latest: Option<Moment>,
}

impl Proofs {
    fn tick(at: Moment) -> u64 {
        u64::try_from(at.0.as_millis() / 10).unwrap_or(u64::MAX)
    }

    fn add(&mut self, at: Moment) {
        let kept = self.by_tick.entry(Self::tick(at)).or_insert(at);
        *kept = at.max(*kept);
        self.latest = self.latest.max(Some(at));
        if self.by_tick.len() > limits::PROOFS_KEPT {
            self.by_tick.pop_first();
        }
    }

    fn within(&self, from: Moment, to: Moment) -> bool {
        from <= to && self.by_tick.range(Self::tick(from)..=Self::tick(to)).any(|(_, at)| (from..=to).contains(at))
    }

    fn after(&self, at: Moment) -> bool {
        self.latest.is_some_and(|latest| latest > at)
    }
}

/// What was seen of a data centre as a whole.
#[derive(Debug, Default)]
struct Seen {
    /// The start of the latest success.
    good: Option<Moment>,
    /// The start of the first failure after it.
    failing_since: Option<Moment>,
}

/// A fall that is not published yet.
#[derive(Debug)]
struct Waiting {
    fall: Fall,
    /// `None` while proof may still come.
    held: Option<Cause>,
}

/// The judge of falls.
#[derive(Debug)]
pub(super) struct Sight {
    own: Option<DatacenterId>,
    has_witnesses: bool,
    hold_max: Duration,
    link: Means,
    resolver: Means,
    datacenters: BTreeMap<DatacenterId, Seen>,
    /// Successes that prove sight of everything.
    abroad: Proofs,
    /// Successes in the node's own data centre.
    home: Proofs,
    /// Falls that were not judged yet.
    new: Vec<TargetId>,
    waiting: BTreeMap<TargetId, Waiting>,
    held: BTreeSet<TargetId>,
    deadlines: BTreeSet<(Moment, TargetId)>,
    hold: Option<(Cause, Moment)>,
    /// The last hold ran out then, and no success has come since.
    spent_at: Option<Moment>,
    /// There are successes that what waits was not held against; reviewed not before then.
    review_at: Option<Moment>,
    reviewed: Moment,
}

impl Sight {
    pub(super) fn new(own: Option<DatacenterId>, has_witnesses: bool, hold_max: Duration) -> Sight {
        let good = Means { is_good: true, failed_until: None };
        Sight {
            own,
            has_witnesses,
            hold_max,
            link: good,
            resolver: good,
            datacenters: BTreeMap::new(),
            abroad: Proofs::default(),
            home: Proofs::default(),
            new: Vec::new(),
            waiting: BTreeMap::new(),
            held: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            hold: None,
            spent_at: None,
            review_at: None,
            reviewed: Moment::default(),
        }
    }

    pub(super) fn link(&mut self, now: Moment, is_up: bool) {
        self.link.set(now, is_up);
    }

    pub(super) fn resolver(&mut self, now: Moment, answers: bool) {
        self.resolver.set(now, answers);
    }

    /// Forgets data centres that are not watched any more.
    pub(super) fn retain(&mut self, datacenters: &BTreeSet<DatacenterId>) {
        self.datacenters.retain(|id, _| datacenters.contains(id));
    }

    /// A state is remembered: that data centre was up.
    pub(super) fn was_up(&mut self, now: Moment, datacenter: &DatacenterId) {
        self.datacenters.entry(datacenter.clone()).or_default().good.get_or_insert(now);
    }

    /// A probe that started then has succeeded.
    pub(super) fn good(&mut self, source: &Source, started: Moment) {
        let (is_abroad, datacenter) = match source {
            Source::Witness => (true, None),
            Source::Target(datacenter) => match (&self.own, datacenter) {
                (None, Some(of)) => (true, Some(of)),
                (Some(own), Some(of)) => (own != of, Some(of)),
                // Asked nobody knows where, perhaps on this very machine: proof of nothing.
                (_, None) => return,
            },
        };
        if let Some(id) = datacenter {
            let seen = self.datacenters.entry(id.clone()).or_default();
            seen.good = seen.good.max(Some(started));
            seen.failing_since = seen.failing_since.filter(|since| *since > started);
        }
        if !is_abroad {
            self.home.add(started);
        } else {
            self.abroad.add(started);
            self.spent_at = self.spent_at.filter(|spent| *spent >= started);
        }
        if !self.waiting.is_empty() {
            self.review_at.get_or_insert(self.reviewed + REVIEW_EVERY);
        }
    }

    /// A probe that started then has failed.
    pub(super) fn bad(&mut self, source: &Source, started: Moment) {
        if let Source::Target(Some(id)) = source {
            let seen = self.datacenters.entry(id.clone()).or_default();
            if seen.good.is_none_or(|good| good < started) {
                seen.failing_since = Some(seen.failing_since.map_or(started, |since| since.min(started)));
            }
        }
    }

    /// A target's results say that it is down. The next [`Sight::judge`] says what is made of it, if not a
    /// later one.
    pub(super) fn fall(&mut self, target: TargetId, fall: Fall) {
        self.forget(target);
        self.waiting.insert(target, Waiting { fall, held: None });
        self.new.push(target);
    }

    /// There is no such fall any more.
    pub(super) fn forget(&mut self, target: TargetId) {
        if let Some(waiting) = self.waiting.remove(&target) {
            self.deadlines.remove(&(waiting.fall.look_until, target));
            self.held.remove(&target);
            self.hold = self.hold.filter(|_| !self.held.is_empty());
        }
    }

    /// The fall waits, or is held.
    pub(super) fn waits(&self, target: TargetId) -> bool {
        self.waiting.contains_key(&target)
    }

    pub(super) fn is_held(&self, target: TargetId) -> bool {
        self.held.contains(&target)
    }

    pub(super) fn held(&self) -> Option<(Cause, Moment, usize)> {
        self.hold.map(|(cause, since)| (cause, since, self.held.len()))
    }

    pub(super) fn hold(&self) -> Option<Hold> {
        let (cause, since) = self.hold?;
        Some(Hold { cause, since, until: since + self.hold_max, targets: self.held.iter().copied().collect() })
    }
}
