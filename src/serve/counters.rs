//! What the doors count.
//!
//! Every counter has one writer: a UDP worker, or one engine of the stream doors while it is in hand. So
//! counting is a load and a store, without a locked instruction, and the counters of two writers never
//! share a cache line. Readers add them up.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::NAME_LEN_MAX;
use crate::wire::types::rtype;

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
    /// Replies of which a part was left out for want of room (TC): their clients come again over TCP.
    cut,
    /// Replies with rcode 0.
    noerror,
    /// Replies with rcode 1.
    formerr,
    /// Replies with rcode 2.
    servfail,
    /// Replies with rcode 3.
    nxdomain,
    /// Replies with rcode 4.
    notimp,
    /// Replies with rcode 5.
    refused,
    /// Replies with any other rcode. Of an extended one only the low four bits are seen: BADVERS is rcode 0.
    other_rcode,
    /// Replies to questions for A.
    a,
    /// For AAAA.
    aaaa,
    /// For HTTPS.
    https,
    /// For NS.
    ns,
    /// For SOA.
    soa,
    /// For TXT.
    txt,
    /// For any other type, or without a question.
    other_type,
}

impl Counters {
    /// Counts a reply by what its octets say. A few loads, no branch that depends on how many were counted.
    #[inline]
    pub(super) fn count_reply(&self, reply: &[u8]) {
        let Some((header, rest)) = reply.split_first_chunk::<HEADER_LEN>() else { return };
        if header[2] & 0x02 != 0 {
            self.cut.add(1);
        }
        let by_rcode = match header[3] & 0x0f {
            0 => &self.noerror,
            1 => &self.formerr,
            2 => &self.servfail,
            3 => &self.nxdomain,
            4 => &self.notimp,
            5 => &self.refused,
            _ => &self.other_rcode,
        };
        by_rcode.add(1);
        let has_question = header[4..6] != [0, 0];
        let by_type = match has_question.then(|| question_type(rest)).flatten() {
            Some(rtype::A) => &self.a,
            Some(rtype::AAAA) => &self.aaaa,
            Some(rtype::HTTPS) => &self.https,
            Some(rtype::NS) => &self.ns,
            Some(rtype::SOA) => &self.soa,
            Some(rtype::TXT) => &self.txt,
            Some(_) | None => &self.other_type,
        };
        by_type.add(1);
    }
}

/// The type that is asked for, where the question begins at the first octet. Its name is ours, so it is not
/// compressed and ends within [`NAME_LEN_MAX`] octets.
#[inline]
fn question_type(question: &[u8]) -> Option<u16> {
    let mut at = 0;
    while at < NAME_LEN_MAX {
        match question.get(at)? {
            0 => return Some(u16::from_be_bytes([*question.get(at + 1)?, *question.get(at + 2)?])),
            len => at += 1 + usize::from(*len),
        }
    }
    None
}

/// Octets of a DNS message before its question (RFC 1035 §4.1.1).
const HEADER_LEN: usize = 12;

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
    fn replies_are_counted_by_what_they_say() {
        let counters = Counters::default();
        let mut reply =
            b"\x12\x34\x80\x03\x00\x01\x00\x00\x00\x00\x00\x00\x03api\x07example\x00\x00\x1c\x00\x01".to_vec();
        counters.count_reply(&reply);
        reply[2] |= 2;
        reply[3] = 0;
        counters.count_reply(&reply);
        counters.count_reply(&reply[..12]);
        counters.count_reply(&[0; 11]);
        let expected = Snapshot { nxdomain: 1, noerror: 2, aaaa: 2, other_type: 1, cut: 2, ..Snapshot::default() };
        assert_eq!(counters.snapshot(), expected);
    }

    #[test]
    fn two_writers_never_share_a_cache_line() {
        assert_eq!(align_of::<Counters>(), 128);
        assert_eq!(size_of::<Counters>() % 128, 0);
    }
}
