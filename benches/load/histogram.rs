//! Latencies, counted in buckets of about 1 %.

/// Buckets of each power of two.
const STEPS: u64 = 64;

/// Up to 2⁴⁰ ns, some 18 minutes.
const POWERS: usize = 40;

pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { counts: vec![0; POWERS * STEPS as usize], total: 0 }
    }

    pub(crate) fn add(&mut self, ns: u64) {
        let last = self.counts.len() - 1;
        self.counts[bucket(ns).min(last)] += 1;
        self.total += 1;
    }

    /// The least latency that a share of all do not exceed, in microseconds; 0 of nothing.
    pub(crate) fn quantile_us(&self, share: f64) -> f64 {
        let sought = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= sought {
                return middle(at) / 1000.0;
            }
        }
        0.0
    }
}

fn bucket(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let shift = ns.ilog2() - STEPS.ilog2();
    (u64::from(shift) * STEPS + (ns >> shift)) as usize
}

fn middle(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket as f64;
    }
    let shift = bucket / STEPS - 1;
    let low = (STEPS + bucket % STEPS) << shift;
    low as f64 + (1u64 << shift) as f64 / 2.0
}
