//! Queries under way, by their ids, and what became of them.

use std::time::Duration;

use crate::histogram::Histogram;
use crate::question::Draw;

/// A query without a reply for so long is lost.
pub(crate) const LOST_AFTER_NS: u64 = 500_000_000;

/// How often lost ones are looked for.
pub(crate) const SWEEP_NS: u64 = 50_000_000;

/// A query under way.
#[derive(Clone, Copy)]
pub(crate) struct Flight {
    pub(crate) draw: Draw,
    /// When it left, or was due to.
    pub(crate) since_ns: u64,
    /// Which source or connection it left by.
    pub(crate) way: u32,
    is_open: bool,
}

/// What became of all queries.
pub(crate) struct Tally {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) lost: u64,
    /// Replies to nothing that was under way.
    pub(crate) late: u64,
    /// Queries of an open loop that did not leave, because too many were under way.
    pub(crate) held_back: u64,
    pub(crate) reconnected: u64,
    /// Calls that brought replies, and calls that brought none.
    pub(crate) receives: u64,
    pub(crate) idle: u64,
    pub(crate) first_wrong: Option<String>,
    pub(crate) latencies: Histogram,
    pub(crate) elapsed: Duration,
}

/// All queries under way.
pub(crate) struct Flights {
    by_id: Box<[Flight]>,
    next: u16,
    pub(crate) open: usize,
    pub(crate) tally: Tally,
}

impl Flights {
    pub(crate) fn new() -> Flights {
        let none = Flight { draw: Draw::default(), since_ns: 0, way: 0, is_open: false };
        Flights { by_id: vec![none; 1 << 16].into(), next: 1, open: 0, tally: Tally::new() }
    }

    /// Forgets what was counted: what is under way stays.
    pub(crate) fn begin_to_count(&mut self) {
        self.tally = Tally::new();
    }

    /// Takes an id that is free: there are fewer under way than ids.
    pub(crate) fn leave(&mut self, draw: Draw, way: u32, since_ns: u64) -> u16 {
        while self.by_id[usize::from(self.next)].is_open {
            self.next = self.next.wrapping_add(1);
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.by_id[usize::from(id)] = Flight { draw, since_ns, way, is_open: true };
        self.open += 1;
        id
    }

    /// What a reply of this id is the reply to; it is no longer under way.
    pub(crate) fn arrive(&mut self, id: u16) -> Option<Flight> {
        let flight = &mut self.by_id[usize::from(id)];
        if !flight.is_open {
            self.tally.late += 1;
            return None;
        }
        flight.is_open = false;
        self.open -= 1;
        Some(*flight)
    }

    /// Counts a reply.
    pub(crate) fn judge(&mut self, flight: &Flight, verdict: Result<(), String>, now_ns: u64) {
        match verdict {
            Ok(()) => {
                self.tally.right += 1;
                self.tally.latencies.add(now_ns.saturating_sub(flight.since_ns));
            }
            Err(why) => {
                self.tally.wrong += 1;
                self.tally.first_wrong.get_or_insert(why);
            }
        }
    }

    /// Gives up those that are overdue; says by which ways they left.
    pub(crate) fn give_up(&mut self, now_ns: u64) -> Vec<u32> {
        let mut ways = Vec::new();
        for flight in self.by_id.iter_mut().filter(|flight| flight.is_open) {
            if now_ns.saturating_sub(flight.since_ns) > LOST_AFTER_NS {
                flight.is_open = false;
                ways.push(flight.way);
            }
        }
        self.open -= ways.len();
        self.tally.lost += ways.len() as u64;
        ways
    }
}

impl Tally {
    fn new() -> Tally {
        Tally {
            right: 0,
            wrong: 0,
            lost: 0,
            late: 0,
            held_back: 0,
            reconnected: 0,
            receives: 0,
            idle: 0,
            first_wrong: None,
            latencies: Histogram::new(),
            elapsed: Duration::ZERO,
        }
    }
}
