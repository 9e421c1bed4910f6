//! Slowing down whoever guesses.
//!
//! Each failed attempt of an address makes its next refusal later, doubling up to two seconds; a quiet minute
//! forgives. Only refusals wait: who shows a good token is never slowed, whatever others at the address do.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::API_FAILURES_KEPT;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Throttle {
    failures: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

impl Throttle {
    /// Notes a failure of `client` at `now`: how many there were without a quiet minute, and how long its
    /// refusal is to wait.
    pub(super) fn failed(&self, client: IpAddr, now: Instant) -> (u32, Duration) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= API_FAILURES_KEPT && !failures.contains_key(&client) {
            failures.retain(|_, (_, at)| now.saturating_duration_since(*at) < FORGIVEN_AFTER);
            if failures.len() >= API_FAILURES_KEPT {
                // Too many at once to tell apart: everybody new waits as long as the worst.
                return (1, LONGEST);
            }
        }
        let entry = failures.entry(client).or_insert((0, now));
        if now.saturating_duration_since(entry.1) >= FORGIVEN_AFTER {
            entry.0 = 0;
        }
        *entry = (entry.0.saturating_add(1), now);
        let wait = FIRST.saturating_mul(1 << (entry.0 - 1).min(16)).min(LONGEST);
        (entry.0, wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_come_later_and_later_until_a_quiet_minute() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let client = IpAddr::from([192, 0, 2, 1]);
        let waits: Vec<u128> = (0..8).map(|_| throttle.failed(client, start).1.as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(throttle.failed(IpAddr::from([192, 0, 2, 2]), start).1, FIRST);
        assert_eq!(throttle.failed(client, start + FORGIVEN_AFTER), (1, FIRST));
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for number in 0..u32::try_from(API_FAILURES_KEPT).unwrap() + 10 {
            throttle.failed(IpAddr::from(number.to_be_bytes()), start);
        }
        assert_eq!(throttle.failures.lock().unwrap().len(), API_FAILURES_KEPT);
        assert_eq!(throttle.failed(IpAddr::from([255, 0, 0, 1]), start).1, LONGEST);
        assert_eq!(throttle.failed(IpAddr::from([255, 0, 0, 1]), start + FORGIVEN_AFTER).1, FIRST);
    }
}
