//! Answers of the last minute, by data centre.
//!
//! Counted once a second on a thread of its own: a pass over the slots of the workers that were busy since, and over
//! nothing of the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::tallied::Tallied;
use crate::model::{DatacenterId, Moment};
use crate::table::Base;

/// Seconds of a minute.
const SECONDS: u64 = 60;

/// Answers of a data centre in each of the last sixty seconds.
#[derive(Debug)]
struct Minute {
    total: u64,
    seconds: [u64; SECONDS as usize],
}

impl Default for Minute {
    fn default() -> Minute {
        Minute { total: 0, seconds: [0; SECONDS as usize] }
    }
}

/// Answers of the last minute.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    of: HashMap<DatacenterId, Minute>,
    /// What each block had by data centre when it was last looked at: by base and place.
    counted: HashMap<(u32, usize), Vec<u64>>,
    counted_at_s: u64,
}

impl Minutes {
    /// Looks at what these bases have now; `past`: what others had, by data centre.
    pub(super) fn count<'a>(
        &mut self,
        bases: &[&Arc<Base>],
        past: impl Iterator<Item = (&'a DatacenterId, u64)>,
        now: Moment,
    ) {
        let mut totals: HashMap<DatacenterId, u64> = HashMap::new();
        for (datacenter, count) in past {
            *totals.entry(datacenter.clone()).or_default() += count;
        }
        self.counted.retain(|(base, _), _| bases.iter().any(|one| one.tallies().base() == *base));
        for base in bases {
            let (tallies, policy) = (base.tallies(), base.policy());
            for (place, block) in tallies.blocks().filter(|(_, block)| block.has_worked()) {
                let counted = self.counted.entry((tallies.base(), place)).or_default();
                // A reader that has only waited since has given nothing.
                if counted.is_empty() || u64::from(block.worked_at_s()) + 2 > self.counted_at_s {
                    *counted = vec![0; policy.datacenters.len()];
                    for (slot, datacenter) in (0..).zip(tallies.datacenters()) {
                        counted[datacenter.at()] += block.given_of(slot).count;
                    }
                }
                for (datacenter, total) in policy.datacenters.iter().zip(counted).filter(|(_, total)| **total > 0) {
                    *totals.entry(datacenter.id.clone()).or_default() += *total;
                }
            }
        }
        let now_s = now.0.as_secs();
        let passed = now_s.saturating_sub(self.counted_at_s).min(SECONDS);
        self.of.retain(|datacenter, _| totals.contains_key(datacenter));
        for (datacenter, total) in totals {
            let minute = self.of.entry(datacenter).or_default();
            for second in now_s - passed..now_s {
                minute.seconds[((second + 1) % SECONDS) as usize] = 0; // below SECONDS
            }
            minute.seconds[(now_s % SECONDS) as usize] += total.saturating_sub(minute.total);
            minute.total = total;
        }
        self.counted_at_s = now_s;
    }

    /// Of a data centre, until it was last counted.
    pub(super) fn last(&self, datacenter: &DatacenterId) -> u64 {
        self.of.get(datacenter).map_or(0, |minute| minute.seconds.iter().sum())
    }
}

/// Counts once a second until it is dropped.
#[derive(Debug)]
pub(super) struct Counting {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Counting {
    pub(super) fn start(tallied: &Arc<Tallied>) -> Counting {
        let (stop, stopped) = channel();
        let tallied = Arc::clone(tallied);
        let count = move || {
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                tallied.count(tallied.now().0);
            }
        };
        match thread::Builder::new().name("tallies".into()).spawn(count) {
            Ok(thread) => Counting { stop: Some(stop), thread: Some(thread) },
            Err(error) => {
                tracing::error!("nobody counts the answers of the last minute, no thread can be started: {error}");
                Counting { stop: None, thread: None }
            }
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been told.
            drop(thread.join());
        }
    }
}
