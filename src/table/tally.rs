//! What was answered: counts, and until when caches may keep it.
//!
//! A base numbers its endpoints: [`Tallies::slot`]. Each reader of a table has a [`Block`] of its own in the base
//! that the table is of, with one slot for each number. So a number means the same for as long as any table that
//! names it lives, and whoever answers from an older table tallies in that table's base.
//!
//! ```text
//! Base ── Tallies ─┬─ block of reader 0: [count, expires, last] [count, expires, last] …
//!                  ├─ block of reader 1: …
//!                  └─ (made when a reader first works with the base, or by the publisher before)
//! ```
//!
//! # Invariants
//! - A block has one writer. It loads and stores and never locks; whoever reads sees each number whole, and one
//!   perhaps an answer ahead of another.
//! - A block begins and ends with a pair of cache lines: no two readers ever write to the same.
//! - Times are whole seconds of the process' own clock, which never jumps; an expiry is rounded up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::chunk::Choice;
use super::samples::Sampling;
use crate::limits::WORKERS_MAX;
use crate::model::{DatacenterIx, EndpointIx, PolicySet, ServiceIx};
use crate::sys;

use std::net::IpAddr;
use std::time::Duration;

/// Who is told of answers while they are made; `()` is nobody, and costs nothing.
pub trait Tally {
    /// `client` asked for the service, and is looked at.
    fn asked(&mut self, service: ServiceIx, client: &IpAddr, rtype: u16);

    /// Records of the choice are in the reply.
    fn given(&mut self, choice: &Choice<'_>);
}

impl Tally for () {
    #[inline(always)]
    fn asked(&mut self, _: ServiceIx, _: &IpAddr, _: u16) {}

    #[inline(always)]
    fn given(&mut self, _: &Choice<'_>) {}
}

/// What one reader has counted for one endpoint.
#[derive(Debug, Default)]
struct Slot {
    count: AtomicU64,
    expires_s: AtomicU32,
    last_s: AtomicU32,
}

/// Slots on a pair of cache lines of their own: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([Slot; SLOTS_OF_LINE]);

const SLOTS_OF_LINE: usize = 128 / size_of::<Slot>();

/// When a reader last worked, and how much later than it said it has ever given an answer; on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Pulse {
    worked_at_s: AtomicU32,
    late_s: AtomicU32,
}

/// What one reader counts.
#[derive(Debug)]
pub struct Block {
    lines: Box<[Line]>,
    pulse: Box<Pulse>,
}

impl Block {
    fn new(slots: usize) -> Block {
        let lines = (0..slots.div_ceil(SLOTS_OF_LINE)).map(|_| Line::default()).collect();
        Block { lines, pulse: Box::default() }
    }

    #[inline]
    fn slot(&self, slot: u32) -> Option<&Slot> {
        let at = slot as usize;
        Some(&self.lines.get(at / SLOTS_OF_LINE)?.0[at % SLOTS_OF_LINE])
    }

    /// An answer at `now_s`, of which nothing is left after `expires_s`. By the block's reader alone.
    #[inline(always)] // of each answer's
    pub(super) fn given(&self, slot: u32, now_s: u32, expires_s: u32) {
        let Some(slot) = self.slot(slot) else { return };
        slot.count.store(slot.count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        slot.last_s.store(now_s, Ordering::Relaxed);
        if slot.expires_s.load(Ordering::Relaxed) < expires_s {
            slot.expires_s.store(expires_s, Ordering::Relaxed);
        }
    }

    /// The reader works at `now_s`.
    #[inline]
    fn beat(&self, now_s: u32) {
        // 0: never.
        self.pulse.worked_at_s.store(now_s.max(1), Ordering::Relaxed);
    }

    /// Answers were given so much later than was counted. By the block's reader alone, before it rests: until then
    /// nobody takes the numbers for final.
    pub fn late(&self, late: Duration) {
        let late_s = u32::try_from(late.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        if self.pulse.late_s.load(Ordering::Relaxed) < late_s {
            self.pulse.late_s.store(late_s, Ordering::Relaxed);
        }
    }

    /// False: nobody has ever answered by it.
    pub fn has_worked(&self) -> bool {
        self.worked_at_s() > 0
    }

    /// The second in which its reader last worked.
    pub fn worked_at_s(&self) -> u32 {
        self.pulse.worked_at_s.load(Ordering::Relaxed)
    }

    /// How many answers it has for a slot.
    pub fn count_of(&self, slot: u32) -> u64 {
        self.slot(slot).map_or(0, |slot| slot.count.load(Ordering::Relaxed))
    }

    /// What it has for a slot.
    pub fn given_of(&self, slot: u32) -> Given {
        let Some(slot) = self.slot(slot) else { return Given::default() };
        Given {
            count: slot.count.load(Ordering::Relaxed),
            last_s: slot.last_s.load(Ordering::Relaxed),
            expires_s: slot.expires_s.load(Ordering::Relaxed).wrapping_add(self.pulse.late_s.load(Ordering::Relaxed)),
        }
    }
}

/// Answers that were given. The seconds mean nothing while `count` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// How many.
    pub count: u64,
    /// When the last one was.
    pub last_s: u32,
    /// When none of them is left in a cache that honours TTLs.
    pub expires_s: u32,
}

impl Given {
    /// These and those.
    pub fn and(self, other: Given) -> Given {
        Given {
            count: self.count + other.count,
            last_s: self.last_s.max(other.last_s),
            expires_s: self.expires_s.max(other.expires_s),
        }
    }
}

impl std::iter::Sum for Given {
    fn sum<I: Iterator<Item = Given>>(all: I) -> Given {
        all.fold(Given::default(), Given::and)
    }
}

/// The numbers of a base's endpoints, and what readers have counted for them.
#[derive(Debug)]
pub struct Tallies {
    /// Tells bases apart.
    base: u32,
    /// Of each service its first slot, and behind the last how many there are.
    first: Box<[u32]>,
    /// Of each slot.
    datacenters: Box<[DatacenterIx]>,
    blocks: Box<[OnceLock<Block>]>,
}

impl Tallies {
    /// For all endpoints of `policy`; nobody counts yet.
    pub(super) fn of(policy: &PolicySet) -> Tallies {
        static BASES: AtomicU32 = AtomicU32::new(0);
        let mut first = Vec::with_capacity(policy.services.len() + 1);
        let mut datacenters = Vec::new();
        for service in &policy.services {
            first.push(u32::try_from(datacenters.len()).expect("limits bound services and their endpoints"));
            datacenters.extend(service.endpoints.iter().map(|endpoint| endpoint.datacenter));
        }
        first.push(u32::try_from(datacenters.len()).expect("limits bound services and their endpoints"));
        Tallies {
            base: BASES.fetch_add(1, Ordering::Relaxed),
            first: first.into(),
            datacenters: datacenters.into(),
            blocks: (0..WORKERS_MAX).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Tells the base from every other of this process.
    pub fn base(&self) -> u32 {
        self.base
    }

    /// The number of an endpoint.
    pub fn slot(&self, service: ServiceIx, endpoint: EndpointIx) -> u32 {
        self.first[service.at()] + u32::from(endpoint.0)
    }

    /// The numbers of a service's endpoints.
    pub fn slots(&self, service: ServiceIx) -> std::ops::Range<u32> {
        self.first[service.at()]..self.first[service.at() + 1]
    }

    /// The data centre of each number.
    pub fn datacenters(&self) -> &[DatacenterIx] {
        &self.datacenters
    }

    /// What all readers together have given of an endpoint.
    pub fn given(&self, service: ServiceIx, endpoint: EndpointIx) -> Given {
        let slot = self.slot(service, endpoint);
        self.blocks().filter(|(_, block)| block.has_worked()).map(|(_, block)| block.given_of(slot)).sum()
    }

    /// The blocks that there are, each with the place of its reader.
    pub fn blocks(&self) -> impl Iterator<Item = (usize, &Block)> {
        self.blocks.iter().enumerate().filter_map(|(place, block)| Some((place, block.get()?)))
    }

    /// The block of the reader at `place`. Made on the first call, which is the publisher's: so that no reader
    /// allocates while somebody waits for an answer.
    pub(super) fn block(&self, place: usize) -> &Block {
        self.blocks[place].get_or_init(|| Block::new(self.datacenters.len()))
    }
}

/// Tallies for one reader, while it answers one batch of queries at one time.
#[derive(Debug)]
pub struct Tallier<'a> {
    block: &'a Block,
    now_s: u32,
    /// In which second the last answer of the batch is on its way.
    sent_s: u32,
    sampling: Sampling<'a>,
}

impl<'a> Tallier<'a> {
    pub(super) fn new(block: &'a Block, now_s: u32, sampling: Sampling<'a>) -> Tallier<'a> {
        block.beat(now_s);
        Tallier { block, now_s, sent_s: now_s, sampling }
    }

    /// Answers may be on their way only so many seconds later.
    pub fn sent_within(mut self, seconds: u32) -> Tallier<'a> {
        self.sent_s = self.now_s.wrapping_add(seconds);
        self
    }

    /// Where it is counted.
    pub fn block(&self) -> &'a Block {
        self.block
    }

    /// The next query is looked at; `random` decides whether it is sampled. Once for each query of the batch.
    #[inline]
    pub fn turn_to_next(&mut self, random: u64) {
        self.sampling.turn_to_next(random);
    }

    /// An answer will likely be tallied in that slot.
    pub(super) fn look_ahead(&self, slot: u32) {
        if let Some(slot) = self.block.slot(slot) {
            sys::prefetch(slot);
        }
    }
}

impl Tally for Tallier<'_> {
    #[inline(always)]
    fn asked(&mut self, service: ServiceIx, client: &IpAddr, rtype: u16) {
        self.sampling.asked(service, client, rtype, self.now_s);
    }

    #[inline(always)]
    fn given(&mut self, choice: &Choice<'_>) {
        // The second may be nearly over.
        let expires_s = self.sent_s.wrapping_add(1).wrapping_add(choice.ttl());
        self.block.given(choice.slot(), self.now_s, expires_s);
        for slot in choice.other_slots() {
            self.block.given(*slot, self.now_s, expires_s);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_blocks_have_a_cache_line_in_common() {
        // A number of slots that fills no line exactly, as most do not.
        let blocks: Vec<Block> = (0..9).map(|_| Block::new(3 * SLOTS_OF_LINE + 1)).collect();
        let mut ranges = Vec::new();
        for block in &blocks {
            let lines = block.lines.as_ptr_range();
            ranges.push((lines.start.addr(), lines.end.addr()));
            let pulse = std::ptr::from_ref(&*block.pulse).addr();
            ranges.push((pulse, pulse + size_of::<Pulse>()));
            let first = std::ptr::from_ref(block.slot(0).unwrap()).addr();
            let last = std::ptr::from_ref(block.slot(3 * SLOTS_OF_LINE as u32).unwrap()).addr();
            assert!(lines.start.addr() <= first && last + size_of::<Slot>() <= lines.end.addr());
        }
        assert!(ranges.iter().all(|(from, to)| from % 128 == 0 && to % 128 == 0 && to > from), "{ranges:x?}");
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ranges:x?}");
    }

    #[test]
    fn a_slot_keeps_the_latest_expiry_and_not_the_last() {
        let block = Block::new(2);
        block.given(1, 10, 26);
        block.given(1, 11, 17);
        block.given(7, 1, 1);
        assert_eq!(block.given_of(1), Given { count: 2, last_s: 11, expires_s: 26 });
        assert_eq!(block.given_of(0), Given::default());
        block.late(Duration::from_millis(1001));
        block.late(Duration::from_millis(30));
        assert_eq!(block.given_of(1).expires_s, 28, "what was sent late expires late");
        block.pulse.late_s.store(0, Ordering::Relaxed);
        let all = [Given { count: 1, last_s: 40, expires_s: 41 }, block.given_of(1)].into_iter().sum::<Given>();
        assert_eq!(all, Given { count: 3, last_s: 40, expires_s: 41 });
    }
}
