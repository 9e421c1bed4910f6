//! How often health may make a generation: a few at once, then one in [`limits::HEALTH_PACE_MS`].
//!
//! Endpoints that die together are found dead one by one, each when its probe comes round. Without a pace a large data
//! centre's death would be thousands of tables in five seconds; with it the first ones are published at once and the
//! others in batches. Orders and reloads do not wait, and take along what does.

use std::time::Duration;

use crate::limits;
use crate::model::Moment;

const EACH: Duration = Duration::from_millis(limits::HEALTH_PACE_MS);

/// Tokens, as the time that makes them.
#[derive(Debug)]
pub(super) struct Pace {
    saved: Duration,
    at: Moment,
}

impl Pace {
    /// With all tokens there.
    pub(super) fn new() -> Pace {
        Pace { saved: EACH * limits::HEALTH_BURST, at: Moment::default() }
    }

    fn saved(&self, now: Moment) -> Duration {
        (self.saved + now.since(self.at)).min(EACH * limits::HEALTH_BURST)
    }

    /// When the next generation may be made: `now`, or later.
    pub(super) fn next(&self, now: Moment) -> Moment {
        now + EACH.saturating_sub(self.saved(now))
    }

    /// One is made.
    pub(super) fn spend(&mut self, now: Moment) {
        (self.saved, self.at) = (self.saved(now).saturating_sub(EACH), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_go_at_once_and_then_one_in_each_step() {
        let mut pace = Pace::new();
        let now = Moment(Duration::from_secs(100));
        for _ in 0..limits::HEALTH_BURST {
            assert_eq!(pace.next(now), now);
            pace.spend(now);
        }
        assert_eq!(pace.next(now), now + EACH);
        assert_eq!(pace.next(now + EACH / 2), now + EACH);
        assert_eq!(pace.next(now + EACH), now + EACH);
        pace.spend(now + EACH);
        assert_eq!(pace.next(now + EACH), now + 2 * EACH);
        // All of them are there again after a while, and no more.
        let later = now + Duration::from_secs(100);
        for _ in 0..limits::HEALTH_BURST {
            assert_eq!(pace.next(later), later);
            pace.spend(later);
        }
        assert!(pace.next(later) > later);
    }
}
