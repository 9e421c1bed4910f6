//! The time of answers, as control tells it.

use std::time::{Duration, Instant};

use crate::model::Moment;
use crate::sys;

/// What the cheap clock may be behind, and what sending may take: an answer is never given later than it is tallied.
const MARGIN: Duration = Duration::from_millis(20);

/// Reads the time since an origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What the machine's clock showed at the origin, less [`MARGIN`].
    origin: Duration,
}

impl Clock {
    /// `None`: since now.
    pub(super) fn since(origin: Option<Instant>) -> Clock {
        let origin = origin.unwrap_or_else(Instant::now);
        Clock { origin: sys::ticks().saturating_sub(origin.elapsed()).saturating_sub(MARGIN) }
    }

    #[inline]
    pub(super) fn now(&self) -> Moment {
        Moment(sys::ticks().saturating_sub(self.origin))
    }

    /// How much later than [`Clock::now`] said at `began` something is done now; `None`: it is not.
    #[inline]
    pub(super) fn late(&self, began: Moment) -> Option<Duration> {
        // Half of it: what this clock may be behind by now.
        self.now().0.checked_sub(began.0 + MARGIN / 2).filter(|late| !late.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_than_the_margin_is_late() {
        let clock = Clock::since(None);
        let now = clock.now();
        assert_eq!(clock.late(Moment(now.0 + Duration::from_secs(9))), None);
        let late = Clock { origin: Duration::ZERO }.late(Moment(sys::ticks().saturating_sub(Duration::from_secs(2))));
        assert!(late.is_some_and(|late| late >= Duration::from_secs(2) - 2 * MARGIN), "{late:?}");
    }

    #[test]
    fn it_is_not_behind_and_not_much_ahead() {
        let origin = Instant::now();
        let clock = Clock::since(Some(origin));
        std::thread::sleep(Duration::from_millis(30));
        for _ in 0..1000 {
            let (before, now, after) = (origin.elapsed(), clock.now().0, origin.elapsed());
            assert!(now >= before, "{before:?} {now:?}");
            assert!(now <= after + 2 * MARGIN, "{now:?} {after:?}");
        }
    }
}
