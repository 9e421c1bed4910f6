//! Publishing: one pointer, one writer, many readers.
//!
//! [`Publisher`] is the writer's; there is one. A [`Reader`] keeps its own reference to the newest table
//! and looks for a newer one at the start of each batch: one load of a pointer that rarely changes.
//!
//! - **Acknowledging.** A reader posts, in a slot of its own, the generation that it works with, or that
//!   it rests. An order is acknowledged when no reader works with an older table.
//! - **Freeing.** The publisher keeps each retired table until its own reference is the last. So a reader
//!   never drops a last reference and never pays for freeing a table. A reader holds at most one table,
//!   so there is at most one retired table for each reader.
//!
//! A slot is written by one reader alone and lies on cache lines of its own.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use super::samples::{Allowance, Recent, Ring};
use super::{RoutingTable, Tallier};
use crate::limits::WORKERS_MAX;
use crate::model::{Generation, Moment};

/// Posted by a reader that works with no table.
const RESTING: u64 = u64::MAX;

/// Two cache lines, because processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Slot(AtomicU64);

#[derive(Debug)]
struct Shared {
    current: ArcSwap<RoutingTable>,
    slots: Box<[Slot]>,
    /// Of readers that there are, or were.
    rings: Box<[OnceLock<Ring>]>,
    /// Places that no reader has. Who makes a table current that has another base holds it meanwhile.
    free: Mutex<Vec<usize>>,
    /// Of the clock by which readers tell the time, if they have one in common.
    origin: Option<Instant>,
}

impl Shared {
    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer's end.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    retired: Vec<Arc<RoutingTable>>,
}

impl Publisher {
    /// Starts with `table`. Readers tell the time each by a clock of its own.
    pub fn new(table: RoutingTable) -> Publisher {
        Publisher::with(None, table)
    }

    /// Starts with `table`; every [`Moment`] that readers are told is since `origin`.
    pub fn since(origin: Instant, table: RoutingTable) -> Publisher {
        Publisher::with(Some(origin), table)
    }

    fn with(origin: Option<Instant>, table: RoutingTable) -> Publisher {
        let slots: Box<[Slot]> = (0..WORKERS_MAX).map(|_| Slot(AtomicU64::new(RESTING))).collect();
        let free = Mutex::new((0..slots.len()).rev().collect());
        let rings = (0..WORKERS_MAX).map(|_| OnceLock::new()).collect();
        let shared = Shared { current: ArcSwap::from_pointee(table), slots, rings, free, origin };
        Publisher { shared: Arc::new(shared), retired: Vec::new() }
    }

    /// Makes `table` the one that answers, from the next batch of every reader on. The one before is kept
    /// until no reader holds it.
    pub fn publish(&mut self, table: RoutingTable) {
        {
            // No reader comes or goes until it is current: each finds its block there.
            let free = self.shared.free();
            if !Arc::ptr_eq(table.base(), self.shared.current.load().base()) {
                let mut is_used = [true; WORKERS_MAX];
                free.iter().for_each(|place| is_used[*place] = false);
                let used = is_used.iter().enumerate().filter(|(_, is_used)| **is_used);
                used.for_each(|(place, _)| {
                    table.base().tallies().block(place);
                });
            }
            self.retired.push(self.shared.current.swap(Arc::new(table)));
        }
        // Between the swap and every later look at the slots; the other half is in `Reader::work`.
        fence(Ordering::SeqCst);
        self.reclaim();
    }

    /// Frees the retired tables that no reader holds; says how many are left.
    pub fn reclaim(&mut self) -> usize {
        // Nobody can take a new reference to a table that is no longer current, so a count of one stays one.
        self.retired.retain(|table| Arc::strong_count(table) > 1);
        self.retired.len()
    }

    /// True when no reader works with a table older than `generation`.
    pub fn is_everywhere(&self, generation: Generation) -> bool {
        self.shared.slots.iter().all(|slot| slot.0.load(Ordering::SeqCst) >= generation.0)
    }

    /// The table that answers now.
    pub fn current(&self) -> Arc<RoutingTable> {
        self.shared.current.load_full()
    }

    /// From which readers are made.
    pub fn subscription(&self) -> Subscription {
        Subscription { shared: Arc::clone(&self.shared) }
    }
}

/// From which readers are made.
#[derive(Clone, Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
}

impl Subscription {
    /// Of the clock by which readers tell the time, if they have one in common.
    pub fn origin(&self) -> Option<Instant> {
        self.shared.origin
    }

    /// The table that answers now, for whoever looks at it seldom.
    pub fn current(&self) -> Arc<RoutingTable> {
        self.shared.current.load_full()
    }

    /// A reader, for one thread; `None` when [`WORKERS_MAX`] are in use. Dropping it frees its place.
    pub fn reader(&self) -> Option<Reader> {
        let mut free = self.shared.free();
        let slot = free.pop()?;
        self.shared.rings[slot].get_or_init(Ring::new);
        let cache = Cache::new(Pointer(Arc::clone(&self.shared)));
        self.shared.current.load().base().tallies().block(slot);
        Some(Reader { cache, shared: Arc::clone(&self.shared), slot, allowance: Allowance::default() })
    }

    /// At most about `count` queries of the recent past, evenly from all readers: one list for each reader, in the
    /// order of time, and whether older ones have made way.
    pub fn recent(&self, count: usize) -> Vec<(Vec<Recent>, bool)> {
        let rings = || self.shared.rings.iter().filter_map(OnceLock::get);
        let step = rings().map(Ring::len).sum::<usize>().div_ceil(count.max(1));
        rings().map(|ring| (ring.every(step).collect(), ring.is_full())).collect()
    }
}

#[derive(Clone, Debug)]
struct Pointer(Arc<Shared>);

impl Deref for Pointer {
    type Target = ArcSwap<RoutingTable>;

    fn deref(&self) -> &ArcSwap<RoutingTable> {
        &self.0.current
    }
}

/// One thread's view of the pointer.
#[derive(Debug)]
pub struct Reader {
    cache: Cache<Pointer, Arc<RoutingTable>>,
    shared: Arc<Shared>,
    slot: usize,
    allowance: Allowance,
}

impl Reader {
    /// Of the clock by which [`Reader::answering`] is told the time, if it has one in common with others.
    pub fn origin(&self) -> Option<Instant> {
        self.shared.origin
    }

    /// [`Reader::work`], with whom to tell what is answered: a batch of `queries` at `now`.
    pub fn answering(&mut self, now: Moment, queries: usize) -> (&RoutingTable, Tallier<'_>) {
        let Reader { cache, shared, slot, allowance } = self;
        let table = work(cache, &shared.slots[*slot]);
        let tallies = table.base().tallies();
        let ring = shared.rings[*slot].get_or_init(Ring::new);
        let sampling = allowance.open(ring, tallies.base(), now, queries);
        // In 136 years it begins anew.
        let now_s = now.0.as_secs() as u32;
        (table, Tallier::new(tallies.block(*slot), now_s, sampling))
    }

    /// The newest table, for one batch of queries: everything in the batch is answered from it. Call
    /// [`Reader::rest`] before waiting for the next batch.
    pub fn work(&mut self) -> &RoutingTable {
        work(&mut self.cache, &self.shared.slots[self.slot])
    }

    /// Says that no answer is being made. Cheap, and not needed between two batches that follow at once.
    pub fn rest(&self) {
        self.shared.slots[self.slot].0.store(RESTING, Ordering::SeqCst);
    }
}

#[inline]
fn work<'a>(cache: &'a mut Cache<Pointer, Arc<RoutingTable>>, Slot(slot): &Slot) -> &'a RoutingTable {
    // Post "something old" before looking: a writer that then finds this slot resting has already
    // swapped the pointer that is loaded next.
    slot.store(0, Ordering::SeqCst);
    // The cache looks for a newer table with a relaxed load, which a processor may hoist above the store:
    // the writer would then see this slot resting while the older table answers. This fence and the
    // writer's in `publish` forbid that: either this load sees the swap, or the writer sees the store.
    fence(Ordering::SeqCst);
    let table = cache.load();
    slot.store(table.generation().0, Ordering::SeqCst);
    table
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.rest();
        self.shared.free().push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Base;
    use super::*;
    use crate::model::Facts;

    fn table(generation: u64) -> RoutingTable {
        RoutingTable::compile(&Arc::new(Base::empty()), Arc::new(Facts::all_up()), Generation(generation))
    }

    #[test]
    fn a_retired_table_is_kept_while_a_reader_holds_it_and_freed_by_the_publisher() {
        let mut publisher = Publisher::new(table(1));
        let mut reader = publisher.subscription().reader().unwrap();
        assert_eq!(reader.work().generation(), Generation(1));
        publisher.publish(table(2));
        publisher.publish(table(3));
        assert_eq!(publisher.reclaim(), 1, "generation 1 is held, generation 2 was seen by nobody");
        reader.rest();
        assert_eq!(publisher.reclaim(), 1, "a resting reader still holds its table");
        assert_eq!(reader.work().generation(), Generation(3));
        assert_eq!(publisher.reclaim(), 0);
    }

    #[test]
    fn an_order_is_everywhere_when_no_reader_works_with_an_older_table() {
        let mut publisher = Publisher::new(table(1));
        let mut busy = publisher.subscription().reader().unwrap();
        let mut resting = publisher.subscription().reader().unwrap();
        busy.work();
        resting.work();
        resting.rest();
        publisher.publish(table(2));
        assert!(!publisher.is_everywhere(Generation(2)));
        busy.work();
        assert!(publisher.is_everywhere(Generation(2)));
        drop(busy);
        assert!(publisher.is_everywhere(Generation(99)));
    }

    #[test]
    fn readers_are_bounded_and_their_places_return() {
        let publisher = Publisher::new(table(1));
        let readers: Vec<Reader> = std::iter::from_fn(|| publisher.subscription().reader()).collect();
        assert_eq!(readers.len(), WORKERS_MAX);
        drop(readers);
        assert!(publisher.subscription().reader().is_some());
    }
}
