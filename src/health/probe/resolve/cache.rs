//! What is known of names, and until when: pure, with time as an argument.
//!
//! ```text
//!            addresses           TTL over                 silence, an hour
//!   nothing ──────────▶ fresh ──────────▶ ask, meanwhile ─────────────────▶ nothing
//!                         ▲ addresses       known is used
//!                         └──────────────────────┘
//! ```

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Addresses, Learnt, ResolveError};
use crate::limits::{
    RESOLVED_NAMES_MAX, RESOLVED_NEGATIVE_S, RESOLVED_STALE_S, RESOLVED_TTL_MAX_S, RESOLVED_TTL_MIN_S,
    RESOLVER_FAILING_S,
};
use crate::model::Name;

/// Names and their addresses; at most [`RESOLVED_NAMES_MAX`], the least lately wanted make room.
#[derive(Debug, Default)]
pub(super) struct Cache {
    of: HashMap<Name, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The last addresses, and when the resolver gave them.
    known: Option<(Addresses, Instant)>,
    /// What came last, when it was no addresses.
    failure: Option<ResolveError>,
    /// Nothing is asked before.
    settled_until: Instant,
    /// When it was last wanted.
    wanted: Instant,
}

/// What to do about a name.
#[derive(Debug, PartialEq)]
pub(super) enum Look {
    /// Take this.
    Fresh(Result<Addresses, ResolveError>),
    /// Ask, and make do with what there is.
    Ask { meanwhile: Option<Addresses> },
}

impl Entry {
    /// Addresses that are not too old.
    fn usable(&self, now: Instant) -> Option<Addresses> {
        let (addresses, at) = self.known.as_ref()?;
        let age = now.saturating_duration_since(*at);
        (age < Duration::from_secs(RESOLVED_STALE_S)).then(|| addresses.clone())
    }
}

impl Cache {
    pub(super) fn look(&mut self, name: &Name, now: Instant) -> Look {
        let Some(entry) = self.of.get_mut(name) else { return Look::Ask { meanwhile: None } };
        entry.wanted = now;
        let usable = entry.usable(now);
        if now >= entry.settled_until {
            return Look::Ask { meanwhile: usable };
        }
        match (usable, &entry.failure) {
            (Some(addresses), _) => Look::Fresh(Ok(addresses)),
            (None, Some(failure)) => Look::Fresh(Err(failure.clone())),
            (None, None) => Look::Ask { meanwhile: None },
        }
    }

    /// Takes in what was learnt.
    pub(super) fn fold(&mut self, name: Name, learnt: Learnt, now: Instant) {
        let negative = now + Duration::from_secs(RESOLVED_NEGATIVE_S);
        if !self.of.contains_key(&name) {
            self.make_room();
        }
        let entry =
            self.of.entry(name).or_insert(Entry { known: None, failure: None, settled_until: negative, wanted: now });
        match learnt {
            Ok((addresses, ttl)) => {
                let ttl = ttl.clamp(Duration::from_secs(RESOLVED_TTL_MIN_S), Duration::from_secs(RESOLVED_TTL_MAX_S));
                *entry = Entry { known: Some((addresses, now)), failure: None, settled_until: now + ttl, ..*entry };
            }
            Err(failure) => {
                if failure.is_answer() {
                    entry.known = None;
                }
                entry.failure = Some(failure);
                entry.settled_until = negative;
            }
        }
    }

    fn make_room(&mut self) {
        if self.of.len() < RESOLVED_NAMES_MAX {
            return;
        }
        let least = self.of.iter().min_by_key(|(_, entry)| entry.wanted).map(|(name, _)| name.clone());
        if let Some(name) = least {
            self.of.remove(&name);
        }
    }
}

/// Whether the resolvers answer at all.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    answered: Option<Instant>,
    failed: Option<Instant>,
}

impl Attempts {
    pub(super) fn record(&mut self, answered: bool, now: Instant) {
        let last = if answered { &mut self.answered } else { &mut self.failed };
        *last = Some(now);
    }

    /// Every attempt of the last [`RESOLVER_FAILING_S`] failed, and there was one.
    pub(super) fn is_failing(&self, now: Instant) -> bool {
        let lately = |at: Option<Instant>| {
            at.is_some_and(|at| now.saturating_duration_since(at) <= Duration::from_secs(RESOLVER_FAILING_S))
        };
        lately(self.failed) && !lately(self.answered)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn addresses(text: &str) -> Addresses {
        [text.parse::<IpAddr>().unwrap()].into()
    }

    fn silence() -> ResolveError {
        ResolveError::Silent { name: name("a.test"), why: "no answer".to_owned() }
    }

    fn ok(text: &str, ttl_s: u64) -> Learnt {
        Ok((addresses(text), Duration::from_secs(ttl_s)))
    }

    #[test]
    fn addresses_are_fresh_for_their_ttl_within_bounds() {
        for (ttl_s, fresh_s) in [(0, 1), (7, 7), (86_400, 60)] {
            let (mut cache, start) = (Cache::default(), Instant::now());
            let at = |ms: u64| start + Duration::from_millis(ms);
            assert_eq!(cache.look(&name("a.test"), start), Look::Ask { meanwhile: None });
            cache.fold(name("a.test"), ok("192.0.2.1", ttl_s), start);
            let fresh = Look::Fresh(Ok(addresses("192.0.2.1")));
            assert_eq!(cache.look(&name("A.TEST."), at(fresh_s * 1000 - 1)), fresh);
            let ask = Look::Ask { meanwhile: Some(addresses("192.0.2.1")) };
            assert_eq!(cache.look(&name("a.test"), at(fresh_s * 1000)), ask);
        }
    }

    #[test]
    fn on_silence_the_last_addresses_are_used_for_an_hour_and_then_no_more() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        let at = |s: u64| start + Duration::from_secs(s);
        cache.fold(name("a.test"), ok("192.0.2.1", 60), start);
        cache.fold(name("a.test"), Err(silence()), at(60));
        assert_eq!(cache.look(&name("a.test"), at(61)), Look::Fresh(Ok(addresses("192.0.2.1"))), "not asked at once");
        assert_eq!(cache.look(&name("a.test"), at(62)), Look::Ask { meanwhile: Some(addresses("192.0.2.1")) });
        cache.fold(name("a.test"), Err(silence()), at(3599));
        assert_eq!(cache.look(&name("a.test"), at(3599)), Look::Fresh(Ok(addresses("192.0.2.1"))));
        assert_eq!(cache.look(&name("a.test"), at(3600)), Look::Fresh(Err(silence())));
        assert_eq!(cache.look(&name("a.test"), at(3601)), Look::Ask { meanwhile: None });
        cache.fold(name("a.test"), ok("192.0.2.2", 60), at(3602));
        assert_eq!(cache.look(&name("a.test"), at(3602)), Look::Fresh(Ok(addresses("192.0.2.2"))));
    }

    #[test]
    fn that_a_name_is_gone_is_an_answer_and_believed_briefly() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        let gone = ResolveError::NoSuchName(name("a.test"));
        cache.fold(name("a.test"), ok("192.0.2.1", 5), start);
        cache.fold(name("a.test"), Err(gone.clone()), start + Duration::from_secs(5));
        assert_eq!(cache.look(&name("a.test"), start + Duration::from_secs(6)), Look::Fresh(Err(gone)));
        assert_eq!(cache.look(&name("a.test"), start + Duration::from_secs(7)), Look::Ask { meanwhile: None });
    }

    #[test]
    fn the_least_lately_wanted_name_makes_room() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        for n in 0..RESOLVED_NAMES_MAX {
            cache.fold(name(&format!("n{n}.test")), ok("192.0.2.1", 60), start + Duration::from_micros(n as u64));
        }
        let later = start + Duration::from_secs(1);
        cache.look(&name("n0.test"), later);
        cache.fold(name("one-more.test"), ok("192.0.2.1", 60), later);
        assert_eq!(cache.of.len(), RESOLVED_NAMES_MAX);
        assert!(cache.of.contains_key(&name("n0.test")) && !cache.of.contains_key(&name("n1.test")));
    }

    #[test]
    fn resolvers_fail_when_every_attempt_of_late_did_and_there_was_one() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut attempts = Attempts::default();
        assert!(!attempts.is_failing(start), "nothing was asked");
        attempts.record(true, start);
        attempts.record(false, at(3));
        assert!(!attempts.is_failing(at(4)), "an answer four seconds ago");
        attempts.record(false, at(6));
        assert!(attempts.is_failing(at(6)));
        attempts.record(true, at(7));
        assert!(!attempts.is_failing(at(7)));
        attempts.record(false, at(13));
        assert!(attempts.is_failing(at(13)));
        assert!(!attempts.is_failing(at(19)), "old news: nothing is asked any more");
    }
}
