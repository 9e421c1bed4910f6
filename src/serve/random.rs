//! Random numbers for weighted answers: fast, small, one generator a thread.
//!
//! Weighted choice needs numbers that are evenly spread and that a client can not steer; it needs no
//! secrecy, since what was chosen is in the answer. This is wyrand (Wang Yi): one addition and one
//! multiplication a number, and it passes the usual statistical batteries.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A generator of one thread.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Begins at `seed`: equal seeds give equal numbers.
    pub fn seeded(seed: u64) -> Random {
        Random(seed)
    }

    /// Begins at a number that the operating system chose.
    pub fn from_os() -> Random {
        // The keys of a `RandomState` come from the system's generator; the hash of nothing depends on
        // all their bits, and each state has keys of its own.
        Random(RandomState::new().build_hasher().finish())
    }

    /// The next number, evenly spread over all 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        #[allow(clippy::cast_possible_truncation, reason = "folds both halves into one")]
        let folded = (product >> 64) as u64 ^ product as u64;
        folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_and_every_bucket_gets_its_share() {
        let mut random = Random::seeded(1);
        let mut bits = [0u32; 64];
        let mut buckets = [0u32; 180];
        for _ in 0..180_000 {
            let number = random.next_u64();
            for (bit, count) in bits.iter_mut().enumerate() {
                *count += u32::from(number >> bit & 1 == 1);
            }
            buckets[usize::try_from((u128::from(number) * 180) >> 64).unwrap()] += 1;
        }
        // Five standard deviations.
        assert!(bits.iter().all(|&count| count.abs_diff(90_000) < 1061), "{bits:?}");
        assert!(buckets.iter().all(|&count| count.abs_diff(1000) < 158), "{buckets:?}");
    }

    #[test]
    fn generators_of_the_system_differ() {
        assert_ne!(Random::from_os().next_u64(), Random::from_os().next_u64());
        assert_eq!(Random::seeded(7).next_u64(), Random::seeded(7).next_u64());
    }
}
