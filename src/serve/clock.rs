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
}

#[cfg(test)]
mod tests {
    use super::*;

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
