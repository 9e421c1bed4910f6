//! What the doors count.
//!
//! Every counter has one writer: a UDP worker, or one engine of the stream doors while it is in hand. So
//! counting is a load and a store, without a locked instruction, and the counters of two writers never
//! share a cache line. Readers add them up.

use std::sync::atomic::{AtomicU64, Ordering};

/// One number with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Call it from one thread at a time.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// The number now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// What one writer counts. On cache lines of its own, because processors fetch them in pairs.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[$doc])* pub $field: Counter,)*
        }

        /// The numbers of one moment, of one writer or of several added up.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Counters {
            /// The numbers now. Each is right; one may be a query ahead of another.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($field: self.$field.value(),)* }
            }
        }

        impl std::ops::Add for Snapshot {
            type Output = Snapshot;

            fn add(self, other: Snapshot) -> Snapshot {
                Snapshot { $($field: self.$field + other.$field,)* }
            }
        }
    };
}

counters! {
    /// Messages that came in.
    received,
    /// Replies made.
    answered,
    /// Messages that get no reply: no queries, from port 0, or not ours to answer.
    dropped,
    /// Datagrams that were longer than any query we read; they are answered like other malformed ones.
    truncated,
    /// Replies that could not be sent, or that no transport could carry.
    send_errors,
    /// Failed attempts to receive.
    receive_errors,
    /// Messages whose answering broke a promise of the code and was cut short; each cost its own reply.
    panics,
}

impl std::iter::Sum for Snapshot {
    fn sum<I: Iterator<Item = Snapshot>>(all: I) -> Snapshot {
        all.fold(Snapshot::default(), std::ops::Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_add_up() {
        let (a, b) = (Counters::default(), Counters::default());
        a.received.add(2);
        b.received.add(3);
        b.dropped.add(1);
        let sum: Snapshot = [a.snapshot(), b.snapshot()].into_iter().sum();
        assert_eq!(sum, Snapshot { received: 5, dropped: 1, ..Snapshot::default() });
    }

    #[test]
    fn two_writers_never_share_a_cache_line() {
        assert_eq!(align_of::<Counters>(), 128);
        assert_eq!(size_of::<Counters>() % 128, 0);
    }
}
