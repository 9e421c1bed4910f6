//! Recent load: who asked for what, a sample.
//!
//! Each reader has a [`Ring`] of its own, of [`RECENT_QUERIES`] queries, that anybody may read while it is written.
//!
//! *Which queries.* A reader may take one in [`RECENT_QUERY_EVERY_MS`], and saves up as many as a batch has. So at
//! low load every query is in the ring, and at full load it holds the last minute. When there may be fewer than the
//! batch has, each of the batch is as likely as any other to be taken (selection sampling: Knuth, TAOCP 3.4.2, S).
//! An entry says how many queries it stands for, so that a busy reader and an idle one can be added up.
//!
//! *Reading.* Every entry has a version that is odd while it is written. Who reads looks at it before and after, and
//! passes over what changed meanwhile: a torn entry is never returned.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::limits::{BATCH_LEN, RECENT_QUERIES, RECENT_QUERY_EVERY_MS};
use crate::model::{Moment, ServiceIx};

/// A query of the recent past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// The service asked for, in the base of that number: [`super::Tallies::base`].
    pub service: ServiceIx,
    /// Which base.
    pub base: u32,
    /// The client's network: a /24, or a /56.
    pub client: IpAddr,
    /// The type asked for.
    pub rtype: u16,
    /// In which second of the process' own clock.
    pub at_s: u32,
    /// For how many queries it stands.
    pub weight: u32,
}

/// Client, service and type, base and second, weight and version.
#[derive(Debug, Default)]
struct Entry([AtomicU64; 4]);

/// The recent queries of one reader. It begins on a pair of cache lines of its own.
#[derive(Debug)]
pub(super) struct Ring {
    lines: Box<[Line]>,
    written: Box<Written>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([Entry; ENTRIES_OF_LINE]);

/// How many entries were ever written.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Written(AtomicU64);

const ENTRIES_OF_LINE: usize = 128 / size_of::<Entry>();

const IS_V6: u64 = 1 << 56;

impl Ring {
    pub(super) fn new() -> Ring {
        let lines = (0..RECENT_QUERIES / ENTRIES_OF_LINE).map(|_| Line::default()).collect();
        Ring { lines, written: Box::default() }
    }

    fn entry(&self, number: u64) -> &[AtomicU64; 4] {
        let at = (number % RECENT_QUERIES as u64) as usize; // below RECENT_QUERIES
        &self.lines[at / ENTRIES_OF_LINE].0[at % ENTRIES_OF_LINE].0
    }

    /// By the ring's reader alone.
    fn push(&self, query: &Recent) {
        let number = self.written.0.load(Ordering::Relaxed);
        let [client, what, when, version] = self.entry(number);
        let before = version.load(Ordering::Relaxed) & !0xffff_ffff;
        let odd = before.wrapping_add(1 << 32);
        version.store(odd, Ordering::Relaxed);
        // Whoever sees one of the words below sees the odd version, too.
        fence(Ordering::Release);
        client.store(network_to_bits(query.client), Ordering::Relaxed);
        what.store(u64::from(query.service.0) << 16 | u64::from(query.rtype), Ordering::Relaxed);
        when.store(u64::from(query.base) << 32 | u64::from(query.at_s), Ordering::Relaxed);
        version.store(odd.wrapping_add(1 << 32) | u64::from(query.weight), Ordering::Release);
        self.written.0.store(number + 1, Ordering::Release);
    }

    /// One entry; `None`: it is being written, or never was.
    fn read(&self, number: u64) -> Option<Recent> {
        let [client, what, when, version] = self.entry(number);
        let before = version.load(Ordering::Acquire);
        if before >> 32 == 0 || before >> 32 & 1 == 1 {
            return None;
        }
        let (client, what) = (client.load(Ordering::Relaxed), what.load(Ordering::Relaxed));
        let when = when.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        if version.load(Ordering::Relaxed) != before {
            return None;
        }
        Some(Recent {
            service: ServiceIx((what >> 16) as u32), // the halves that `push` put together
            base: (when >> 32) as u32,
            client: bits_to_network(client),
            rtype: what as u16,
            at_s: when as u32,
            weight: before as u32,
        })
    }

    /// True when older queries have made way for newer ones.
    pub(super) fn is_full(&self) -> bool {
        self.written.0.load(Ordering::Acquire) >= RECENT_QUERIES as u64
    }

    /// How many it holds.
    pub(super) fn len(&self) -> usize {
        let written = self.written.0.load(Ordering::Acquire);
        written.min(RECENT_QUERIES as u64) as usize // just bounded
    }

    /// Every so many-th entry, from the oldest on.
    pub(super) fn every(&self, step: usize) -> impl Iterator<Item = Recent> + '_ {
        let written = self.written.0.load(Ordering::Acquire);
        let oldest = written.saturating_sub(RECENT_QUERIES as u64);
        (oldest..written).step_by(step.max(1)).filter_map(|number| self.read(number))
    }
}

/// A /24 in 24 bits, or a /56 in 56.
fn network_to_bits(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (v6.to_bits() >> 72) as u64 | IS_V6, // 56 bits are left
    }
}

fn bits_to_network(bits: u64) -> IpAddr {
    match bits & IS_V6 {
        0 => IpAddr::V4(Ipv4Addr::from_bits((bits as u32) << 8)), // 24 bits
        _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(bits & !IS_V6) << 72)),
    }
}

/// How many samples a reader may take, and how many queries it has seen since the last one.
#[derive(Debug)]
pub(super) struct Allowance {
    saved_ms: u64,
    at_ms: u64,
    unsampled: u32,
}

/// For one batch.
const SAVED_MAX_MS: u64 = BATCH_LEN as u64 * RECENT_QUERY_EVERY_MS;

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance { saved_ms: SAVED_MAX_MS, at_ms: 0, unsampled: 0 }
    }
}

impl Allowance {
    /// For a batch of `queries` at `now`.
    pub(super) fn open<'a>(&'a mut self, ring: &'a Ring, base: u32, now: Moment, queries: usize) -> Sampling<'a> {
        let now_ms = u64::try_from(now.0.as_millis()).unwrap_or(u64::MAX);
        let earned_ms = now_ms.saturating_sub(self.at_ms);
        self.saved_ms = self.saved_ms.saturating_add(earned_ms).min(SAVED_MAX_MS);
        self.at_ms = self.at_ms.max(now_ms);
        let left = u32::try_from(queries).unwrap_or(u32::MAX);
        let wanted = u32::try_from(self.saved_ms / RECENT_QUERY_EVERY_MS).unwrap_or(u32::MAX).min(left);
        Sampling { ring, allowance: self, base, wanted, left, is_wanted: false }
    }
}

/// Chooses among the queries of one batch.
#[derive(Debug)]
pub(super) struct Sampling<'a> {
    ring: &'a Ring,
    allowance: &'a mut Allowance,
    base: u32,
    /// How many more may be taken, of how many that are left.
    wanted: u32,
    left: u32,
    is_wanted: bool,
}

impl Sampling<'_> {
    #[inline]
    pub(super) fn turn_to_next(&mut self, random: u64) {
        self.is_wanted = false;
        if self.wanted > 0 {
            // The low half: the high one chooses the answer.
            let draw = ((random & 0xffff_ffff) * u64::from(self.left)) >> 32;
            self.is_wanted = draw < u64::from(self.wanted);
            self.wanted -= u32::from(self.is_wanted);
            self.left = self.left.saturating_sub(1);
        }
    }

    #[inline(always)]
    pub(super) fn asked(&mut self, service: ServiceIx, client: &IpAddr, rtype: u16, at_s: u32) {
        self.allowance.unsampled = self.allowance.unsampled.wrapping_add(1);
        if self.is_wanted {
            self.take(service, client, rtype, at_s);
        }
    }

    #[inline(never)] // a hundred times a second
    fn take(&mut self, service: ServiceIx, client: &IpAddr, rtype: u16, at_s: u32) {
        self.is_wanted = false;
        let weight = std::mem::take(&mut self.allowance.unsampled);
        self.allowance.saved_ms = self.allowance.saved_ms.saturating_sub(RECENT_QUERY_EVERY_MS);
        self.ring.push(&Recent { service, base: self.base, client: *client, rtype, at_s, weight });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::*;

    fn query(number: u32) -> Recent {
        let client = match number % 2 {
            0 => IpAddr::V4(Ipv4Addr::from_bits(number << 8)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(u128::from(number) << 72)),
        };
        let (service, rtype) = (ServiceIx(number), number as u16);
        Recent { service, base: !number, client, rtype, at_s: number ^ 0x5555_5555, weight: number.wrapping_mul(7) }
    }

    #[test]
    fn what_goes_in_comes_out_and_the_oldest_make_way() {
        let ring = Ring::new();
        assert_eq!((ring.len(), ring.is_full(), ring.every(1).count()), (0, false, 0));
        let written = RECENT_QUERIES as u32 + 5;
        (0..written).for_each(|number| ring.push(&query(number)));
        let all: Vec<Recent> = ring.every(1).collect();
        assert_eq!((all.len(), ring.len(), ring.is_full()), (RECENT_QUERIES, RECENT_QUERIES, true));
        assert_eq!(all, (5..written).map(query).collect::<Vec<_>>());
        assert_eq!(ring.every(1000).count(), RECENT_QUERIES.div_ceil(1000));
    }

    #[test]
    fn clients_are_kept_as_networks() {
        let kept = |text: &str| bits_to_network(network_to_bits(text.parse().unwrap())).to_string();
        assert_eq!(kept("203.0.113.77"), "203.0.113.0");
        assert_eq!(kept("::ffff:203.0.113.77"), "203.0.113.0");
        assert_eq!(kept("2001:db8:1:2345:6789::1"), "2001:db8:1:2300::");
        assert_eq!(kept("::1"), "::");
    }

    #[test]
    fn no_torn_entry_is_read_while_the_ring_is_written() {
        let ring = Arc::new(Ring::new());
        let stop = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (ring, stop) = (Arc::clone(&ring), Arc::clone(&stop));
            move || {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) || number < 3 * RECENT_QUERIES as u32 {
                    ring.push(&query(number));
                    number += 1;
                }
            }
        });
        let mut seen = 0;
        while seen < 400_000 {
            for read in ring.every(1) {
                assert_eq!(read, query(read.service.0));
                seen += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    }

    fn taken(allowance: &mut Allowance, ring: &Ring, now_ms: u64, queries: u32, mut random: impl FnMut() -> u64) {
        let now = Moment(Duration::from_millis(now_ms));
        let mut sampling = allowance.open(ring, 0, now, queries as usize);
        for number in 0..queries {
            sampling.turn_to_next(random());
            sampling.asked(ServiceIx(number), &IpAddr::V4(Ipv4Addr::LOCALHOST), 1, 0);
        }
    }

    #[test]
    fn at_low_load_every_query_is_taken_and_each_stands_for_itself() {
        let (ring, mut allowance) = (Ring::new(), Allowance::default());
        for batch in 1..=100 {
            taken(&mut allowance, &ring, batch * 3 * RECENT_QUERY_EVERY_MS, 3, || u64::MAX);
        }
        assert_eq!(ring.len(), 300);
        assert!(ring.every(1).all(|query| query.weight == 1));
    }

    #[test]
    fn at_full_load_no_place_in_a_batch_is_preferred_and_weights_add_up_to_all_queries() {
        let (ring, mut allowance) = (Ring::new(), Allowance::default());
        let mut state = 7_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 16
        };
        let batches = 40 * RECENT_QUERY_EVERY_MS * 50;
        let mut seen = 0;
        // Forty batches in each interval.
        for batch in 0..batches {
            taken(&mut allowance, &ring, 10_000 + batch / 40, 64, &mut random);
            seen += 64;
        }
        let all: Vec<Recent> = ring.every(1).collect();
        let expected = 64 + batches / 40 / RECENT_QUERY_EVERY_MS;
        assert!((expected - 2..=expected).contains(&(all.len() as u64)), "{} of {expected}", all.len());
        let weights: u64 = all.iter().map(|query| u64::from(query.weight)).sum();
        assert!(seen - weights <= 64 * 40 * RECENT_QUERY_EVERY_MS, "{weights} of {seen}");
        // What was saved up takes a whole batch; the others are chosen.
        let late = all.iter().skip(64).filter(|query| query.service.0 >= 32).count();
        assert!((10..=40).contains(&late), "{late} of 50 in the second half");
    }
}
