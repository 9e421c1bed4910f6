//! What was answered: the tallies of all workers, of the files that serve and of those before them, by name.
//!
//! Workers count where nobody reads them but this: [`crate::table::Tallies`]. Numbers there are those of one set of
//! files, so here they are put together by names:
//!
//! ```text
//! the base that serves ─┐
//! bases before it ──────┼─▶ given of (service, endpoint) ─▶ when the last old answer expires, metrics, drains
//! folded: past ─────────┘
//! ```
//!
//! A base before is read for as long as somebody may answer from it; when nobody has it any more its numbers are
//! folded into the past, by name. So a reload loses no answer, and neither a count nor an expiry goes back.
//!
//! What the process before this one has answered is not known. Until its longest TTL has passed the worst case counts:
//! that it answered with everything until this one began.
//!
//! Once a second [`super::minutes::Counting`] looks how many answers named each data centre.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::minutes::Minutes;
use super::orders::{Sample, Samples};
use crate::limits::{ANSWERS_REMEMBERED, RECENT_BASES_MAX, RECENT_QUERIES_JUDGED, RECENT_QUERIES_S};
use crate::model::{DatacenterId, DatacenterIx, EndpointId, EndpointIx, Moment, Name, ServiceIx};
use crate::sys;
use crate::table::{Base, Given, Subscription};

/// Answers that named one data centre.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenOf {
    /// By service, also those that have never been answered with it.
    pub services: BTreeMap<String, Given>,
    /// In the last minute, of all services.
    pub last_minute: u64,
}

impl GivenOf {
    /// Of all services.
    pub fn all(&self) -> Given {
        self.services.values().copied().sum()
    }
}

/// Of which data centre answers were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There<'a> {
    /// One of the files that serve.
    Of(DatacenterIx),
    /// One that they do not name any more.
    Gone(&'a DatacenterId),
}

/// What was answered when it was asked for, and a little later.
#[derive(Debug)]
pub struct Answers(Files);

impl Answers {
    /// Whose indices they are.
    pub fn base(&self) -> &Arc<Base> {
        &self.0.base
    }

    /// Tells each service that was ever answered, once, with how often which data centre was named.
    pub fn each(&self, mut tell: impl FnMut(&Name, &[(There<'_>, u64)])) {
        let (policy, tallies) = (self.base().policy(), self.base().tallies());
        // One look at each block for all services: most places have none.
        let blocks: Vec<_> = tallies.blocks().map(|(_, block)| block).filter(|block| block.has_worked()).collect();
        let mut earlier = self.earlier();
        let mut counts: Vec<(There<'_>, u64)> = Vec::new();
        for (at, service) in policy.services.iter().enumerate() {
            counts.clear();
            for slot in tallies.slots(ServiceIx::from_at(at)) {
                let count = blocks.iter().map(|block| block.count_of(slot)).sum();
                add_to(&mut counts, There::Of(tallies.datacenters()[slot as usize]), count);
            }
            if !earlier.is_empty() {
                let earlier = earlier.remove(&service.name).into_iter().flatten();
                earlier.for_each(|(there, count)| add_to(&mut counts, there, count));
            }
            if !counts.is_empty() {
                tell(&service.name, &counts);
            }
        }
        earlier.iter().for_each(|(service, counts)| tell(service, counts));
    }

    /// By files before those that serve.
    fn earlier(&self) -> HashMap<&Name, Vec<(There<'_>, u64)>> {
        let datacenters = self.base().policy().datacenters.iter().enumerate();
        let known: HashMap<&DatacenterId, There<'_>> =
            datacenters.map(|(at, datacenter)| (&datacenter.id, There::Of(DatacenterIx::from_at(at)))).collect();
        let mut earlier: HashMap<&Name, Vec<(There<'_>, u64)>> = HashMap::new();
        self.0.each_earlier(|service, _, datacenter, given| {
            if given.count > 0 {
                let there = known.get(datacenter).copied().unwrap_or(There::Gone(datacenter));
                add_to(earlier.entry(service).or_default(), there, given.count);
            }
        });
        earlier
    }
}

fn add_to<'a>(counts: &mut Vec<(There<'a>, u64)>, there: There<'a>, count: u64) {
    match counts.iter_mut().find(|(other, _)| *other == there) {
        _ if count == 0 => {}
        Some((_, sum)) => *sum += count,
        None => counts.push((there, count)),
    }
}

/// Reads what was answered, from any thread. Nobody who reads much holds a lock meanwhile: control may come.
#[derive(Debug)]
pub struct Tallied {
    subscription: Subscription,
    /// Of the clock of answers.
    origin: Instant,
    files: Mutex<Files>,
    minutes: Mutex<Minutes>,
    /// Of the last orders, by revision: for who asks again.
    ordered: Mutex<VecDeque<(u64, SystemTime)>>,
}

/// Whose numbers there are. Its clones are cheap.
#[derive(Clone, Debug)]
struct Files {
    /// Those that serve.
    base: Arc<Base>,
    /// From which somebody may still answer.
    before: Vec<Arc<Base>>,
    /// What was given by bases that nobody has any more.
    past: Arc<HashMap<Name, Vec<Past>>>,
    /// For services of bases before: which one of the base that serves it is now. The newest last.
    moved: VecDeque<Moved>,
    /// Until when answers of the process before may be left.
    unknown: Arc<HashMap<Name, Moment>>,
}

/// By the number of a base: for each of its services which one it is now.
type Moved = (u32, Arc<[Option<ServiceIx>]>);

#[derive(Clone, Debug)]
struct Past {
    endpoint: EndpointId,
    datacenter: DatacenterId,
    given: Given,
}

impl Tallied {
    pub(super) fn new(subscription: Subscription) -> Tallied {
        let files = Files {
            base: Arc::clone(subscription.current().base()),
            before: Vec::new(),
            past: Arc::default(),
            moved: VecDeque::new(),
            unknown: Arc::default(),
        };
        let (minutes, ordered) = (Mutex::default(), Mutex::default());
        let origin = subscription.origin().unwrap_or_else(Instant::now);
        Tallied { subscription, origin, files: Mutex::new(files), minutes, ordered }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn minutes(&self) -> MutexGuard<'_, Minutes> {
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same instant by the clock of answers and by the one on the wall.
    pub fn now(&self) -> (Moment, SystemTime) {
        (Moment(self.origin.elapsed()), SystemTime::now())
    }

    /// The process before may have answered with every service until now, each answer for its `ttl`.
    pub(super) fn begin(&self, base: &Base, now: Moment, ttl: impl Fn(ServiceIx) -> Duration) {
        let services = base.policy().services.iter().enumerate();
        let until = services.map(|(at, service)| (service.name.clone(), now + ttl(ServiceIx::from_at(at))));
        let until = Arc::new(until.collect());
        self.files().unknown = until;
    }

    /// `base` is about to serve.
    pub(super) fn serves(&self, base: &Arc<Base>) {
        let mut files = self.files();
        if Arc::ptr_eq(&files.base, base) {
            return;
        }
        let old = std::mem::replace(&mut files.base, Arc::clone(base));
        let moved: Arc<[Option<ServiceIx>]> =
            old.policy().services.iter().map(|service| base.service_named(&service.name)).collect();
        for (_, before) in &mut files.moved {
            *before = before.iter().map(|ix| moved[(*ix)?.at()]).collect();
        }
        files.moved.push_back((old.tallies().base(), moved));
        let surplus = files.moved.len().saturating_sub(RECENT_BASES_MAX);
        files.moved.drain(..surplus);
        files.before.push(old);
        // Files that come back after a defect in those that were to follow them: they count once.
        files.before.retain(|one| !Arc::ptr_eq(one, base));
        files.moved.retain(|(number, _)| *number != base.tallies().base());
    }

    /// When none is left in caches of the answers that named these endpoints of the base that serves; `None`: there
    /// were none.
    pub(super) fn last_expires(&self, endpoints: &[(ServiceIx, EndpointIx)]) -> Option<Moment> {
        let files = self.files().clone();
        let tallies = files.base.tallies();
        let slots: Vec<u32> = endpoints.iter().map(|(service, endpoint)| tallies.slot(*service, *endpoint)).collect();
        let mut given = Given::default();
        // A block at a time: in the order in which they lie.
        for (_, block) in tallies.blocks().filter(|(_, block)| block.has_worked()) {
            given = slots.iter().fold(given, |given, slot| given.and(block.given_of(*slot)));
        }
        let mut last = None;
        if !files.before.is_empty() || !files.past.is_empty() || !files.unknown.is_empty() {
            for (service, endpoint) in endpoints {
                let service = &files.base.policy().services[service.at()];
                given = given.and(files.earlier(&service.name, &service.endpoint(*endpoint).id));
                last = last.max(files.unknown.get(&service.name).copied());
            }
        }
        last.max((given.count > 0).then_some(expires(given)))
    }

    /// Answers that named a data centre, of all services that have an endpoint there or had one.
    pub fn of(&self, datacenter: &DatacenterId) -> GivenOf {
        let files = self.files().clone();
        let mut of = GivenOf { services: BTreeMap::new(), last_minute: self.minutes().last(datacenter) };
        files.each(|service, _, there, given| {
            if there == datacenter {
                let of_service = of.services.entry(service.to_string()).or_default();
                *of_service = of_service.and(given);
            }
        });
        of
    }

    /// When none is left in caches of the answers that named one of these data centres, whatever service, and whether or
    /// not files still know it; `None`: there were none.
    pub(super) fn last_of(&self, datacenters: &BTreeSet<&str>) -> Option<Moment> {
        let mut given = Given::default();
        let mut ids: BTreeSet<DatacenterId> = BTreeSet::new();
        self.files().clone().each(|_, _, there, of| {
            if datacenters.contains(there.as_str()) {
                given = given.and(of);
                if !ids.contains(there) {
                    ids.insert(there.clone());
                }
            }
        });
        let unknown = ids.iter().filter_map(|id| self.unknown_until(id)).max();
        unknown.max((given.count > 0).then_some(expires(given)))
    }

    /// Until when answers of the process before may be left that named a data centre; `None`: none are any more.
    pub fn unknown_until(&self, datacenter: &DatacenterId) -> Option<Moment> {
        let files = self.files().clone();
        let now = self.now().0;
        let policy = files.base.policy();
        let is_there = |name: &Name| {
            let service = files.base.service_named(name).map(|ix| &policy.services[ix.at()]);
            service.is_none_or(|service| {
                service.endpoints.iter().any(|one| policy.datacenters[one.datacenter.at()].id == *datacenter)
            })
        };
        let until = files.unknown.iter().filter(|(name, until)| **until > now && is_there(name));
        until.map(|(_, until)| *until).max()
    }

    /// Answers by service and data centre, since the process began.
    pub fn answers(&self) -> Answers {
        Answers(self.files().clone())
    }

    /// Queries of the recent past, for services that are served now.
    pub fn samples(&self, now: Moment) -> Samples<Vec<Sample>> {
        let rings = self.subscription.recent(RECENT_QUERIES_JUDGED);
        let files = self.files().clone();
        let now_s = u32::try_from(now.0.as_secs()).unwrap_or(u32::MAX);
        // What a busy worker no longer has, an idle one must not tell alone. The place of the oldest is the next to be
        // written to: what is read there may be the newest.
        let full = rings.iter().filter(|(_, is_full)| *is_full);
        let forgotten = full.filter_map(|(ring, _)| ring.iter().map(|query| query.at_s).min());
        let oldest = now_s.saturating_sub(RECENT_QUERIES_S as u32); // a quarter of an hour
        let oldest = forgotten.fold(oldest, u32::max);
        let mut since_s = now_s;
        let mut queries = Vec::new();
        for query in rings.iter().flat_map(|(ring, _)| ring).filter(|query| query.at_s >= oldest) {
            let service = match query.base == files.base.tallies().base() {
                true => Some(query.service),
                false => {
                    let moved = files.moved.iter().find(|(base, _)| *base == query.base);
                    moved.and_then(|(_, now)| *now.get(query.service.at())?)
                }
            };
            let Some(service) = service else { continue };
            since_s = since_s.min(query.at_s);
            queries.push(Sample { service, client: query.client, rtype: query.rtype, weight: query.weight });
        }
        Samples { queries, span: Duration::from_secs(u64::from(now_s - since_s)) }
    }

    /// Remembers what an order was told of the last old answer.
    pub(super) fn remember(&self, revision: u64, until: SystemTime) {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        ordered.retain(|(other, _)| *other != revision);
        ordered.push_back((revision, until));
        let surplus = ordered.len().saturating_sub(ANSWERS_REMEMBERED);
        ordered.drain(..surplus);
    }

    /// When the last answer has expired that the order of that revision made old, as it was told; `None`: there was
    /// none, or it is not known any more.
    pub fn old_answers_until(&self, revision: u64) -> Option<SystemTime> {
        let ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        ordered.iter().find(|(other, _)| *other == revision).map(|(_, until)| *until)
    }

    /// Looks at all that was answered until `now`. By one thread at a time.
    pub(super) fn count(&self, now: Moment) {
        if self.fold(now) {
            // What they held was read into gaps and has left others.
            sys::give_memory_back();
        }
        let files = self.files().clone();
        let bases: Vec<&Arc<Base>> = std::iter::once(&files.base).chain(&files.before).collect();
        let past = files.past.values().flatten().map(|past| (&past.datacenter, past.given.count));
        self.minutes().count(&bases, past, now);
    }

    /// Bases that nobody has any more become the past; what of that no file names, and no cache has, is forgotten.
    /// This frees them; true when there were some.
    fn fold(&self, now: Moment) -> bool {
        let (files, over) = {
            let mut files = self.files();
            if files.unknown.values().any(|until| *until <= now) {
                Arc::make_mut(&mut files.unknown).retain(|_, until| *until > now);
            }
            // Nobody can take another reference to one that only we have, to answer from it.
            let over = files.before.iter().filter(|base| Arc::strong_count(base) == 1).cloned();
            let over: Vec<Arc<Base>> = over.collect();
            // Whoever let go of one has counted before, and that is seen from here on.
            fence(Ordering::Acquire);
            (files.clone(), over)
        };
        if over.is_empty() {
            return false;
        }
        let mut past = HashMap::clone(&files.past);
        for base in &over {
            each(base, &mut |service, endpoint, datacenter, given| {
                if given.count > 0 {
                    add(past.entry(service.clone()).or_default(), endpoint, datacenter, given);
                }
            });
        }
        let policy = files.base.policy();
        past.retain(|name, endpoints| {
            let service = files.base.service_named(name).map(|ix| &policy.services[ix.at()]);
            let is_named = |past: &Past| {
                service.is_some_and(|service| service.endpoints.iter().any(|one| one.id == past.endpoint))
            };
            endpoints.retain(|past| expires(past.given) > now || is_named(past));
            !endpoints.is_empty()
        });
        let is_over = |base: &Arc<Base>| over.iter().any(|one| Arc::ptr_eq(one, base));
        let mut files = self.files();
        files.past = Arc::new(past);
        files.before.retain(|base| !is_over(base));
        true
    }
}

fn add(endpoints: &mut Vec<Past>, endpoint: &EndpointId, datacenter: &DatacenterId, given: Given) {
    match endpoints.iter_mut().find(|past| past.endpoint == *endpoint && past.datacenter == *datacenter) {
        Some(past) => past.given = past.given.and(given),
        None => endpoints.push(Past { endpoint: endpoint.clone(), datacenter: datacenter.clone(), given }),
    }
}

/// When the last of them has expired.
fn expires(given: Given) -> Moment {
    Moment(Duration::from_secs(given.expires_s.into()))
}

impl Files {
    /// What was given of an endpoint by tables that had other files.
    fn earlier(&self, service: &Name, endpoint: &EndpointId) -> Given {
        let past = self.past.get(service).into_iter().flatten().filter(|past| past.endpoint == *endpoint);
        let before = self.before.iter().filter_map(|base| {
            let ix = base.service_named(service)?;
            let at = base.policy().services[ix.at()].endpoints.iter().position(|one| one.id == *endpoint)?;
            Some(base.tallies().given(ix, EndpointIx::from_at(at)))
        });
        past.map(|past| past.given).chain(before).sum()
    }

    /// Every service's every endpoint, of all files that serve or served.
    fn each(&self, mut tell: impl FnMut(&Name, &EndpointId, &DatacenterId, Given)) {
        each(&self.base, &mut tell);
        self.each_earlier(tell);
    }

    /// The same of files that served before.
    fn each_earlier<'a>(&'a self, mut tell: impl FnMut(&'a Name, &'a EndpointId, &'a DatacenterId, Given)) {
        for base in &self.before {
            each(base, &mut tell);
        }
        for (service, endpoints) in &*self.past {
            endpoints.iter().for_each(|past| tell(service, &past.endpoint, &past.datacenter, past.given));
        }
    }
}

fn each<'a>(base: &'a Base, tell: &mut impl FnMut(&'a Name, &'a EndpointId, &'a DatacenterId, Given)) {
    let (policy, tallies) = (base.policy(), base.tallies());
    for (at, service) in policy.services.iter().enumerate() {
        for (ix, endpoint) in service.endpoints() {
            let datacenter = &policy.datacenters[endpoint.datacenter.at()].id;
            tell(&service.name, &endpoint.id, datacenter, tallies.given(ServiceIx::from_at(at), ix));
        }
    }
}
