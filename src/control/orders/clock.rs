//! Whether the wall clock can be believed: orders expire by it, so a jump would end them early, or never.

use std::time::{Duration, SystemTime};

use crate::limits;
use crate::model::Moment;

/// How the wall clock ran against the one that never jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Believable.
    Steady,
    /// It stands this far from where it should: expiries wait.
    Jumped {
        /// How far.
        by: Duration,
        /// Into the future; else into the past.
        is_ahead: bool,
    },
}

/// Watches both clocks. Small differences are followed, as a clock is that is kept right by slewing; what is more than
/// [`limits::CLOCK_JUMP_S`] suspends expiries until the clock is back, or a person accepts it.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Both at one instant: where the wall clock should be is told from here.
    base: (Moment, SystemTime),
}

/// The most that a clock may run fast or slow: NTP slews by 500 ppm at most.
const SLEW: u32 = 1000;

impl Clocks {
    /// Believes the wall clock as it is.
    pub fn new(now: Moment, wall: SystemTime) -> Clocks {
        Clocks { base: (now, wall) }
    }

    /// Looks at both clocks.
    pub fn observe(&mut self, now: Moment, wall: SystemTime) -> Clock {
        let elapsed = now.since(self.base.0);
        let expected = self.base.1.checked_add(elapsed).unwrap_or(wall);
        let (off, is_ahead) = match wall.duration_since(expected) {
            Ok(ahead) => (ahead, true),
            Err(behind) => (behind.duration(), false),
        };
        if off > Duration::from_secs(limits::CLOCK_JUMP_S) {
            return Clock::Jumped { by: off, is_ahead };
        }
        // Follows no faster than a clock may honestly drift, so that many small jumps are one large one.
        let step = off.min(elapsed / SLEW);
        let base = if is_ahead { expected.checked_add(step) } else { expected.checked_sub(step) };
        self.base = (now, base.unwrap_or(expected));
        Clock::Steady
    }

    /// A person says that the wall clock is right.
    pub fn accept(&mut self, now: Moment, wall: SystemTime) {
        self.base = (now, wall);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(moment_s: u64, wall_s: u64) -> (Moment, SystemTime) {
        (Moment(Duration::from_secs(moment_s)), SystemTime::UNIX_EPOCH + Duration::from_secs(wall_s))
    }

    fn clocks(start: u64) -> Clocks {
        let (moment, wall) = at(0, start);
        Clocks::new(moment, wall)
    }

    #[test]
    fn a_jump_suspends_until_the_clock_is_back_or_accepted() {
        for (jumped, is_ahead) in [(1_000_000 + 71, true), (1_000_000 - 61 + 10, false)] {
            let mut clocks = clocks(1_000_000);
            let (moment, wall) = at(10, jumped);
            assert!(matches!(clocks.observe(moment, wall), Clock::Jumped { is_ahead: found, .. } if found == is_ahead));
            let mut other = clocks;
            let (moment, wall) = at(20, 1_000_020);
            assert_eq!(other.observe(moment, wall), Clock::Steady);
            let (moment, wall) = at(20, jumped + 10);
            assert!(matches!(clocks.observe(moment, wall), Clock::Jumped { .. }), "it does not pass by itself");
            clocks.accept(moment, wall);
            assert_eq!(clocks.observe(moment, wall), Clock::Steady);
        }
    }

    #[test]
    fn drift_is_followed_and_many_small_jumps_are_one() {
        let mut drifting = clocks(1_000_000);
        for hour in 1..1000_u64 {
            let (moment, wall) = at(hour * 3600, 1_000_000 + hour * 3601);
            assert_eq!(drifting.observe(moment, wall), Clock::Steady, "300 ppm, hour {hour}");
        }
        let mut creeping = clocks(1_000_000);
        let jumps = (1..10_u64).map(|step| at(step, 1_000_000 + step * 20));
        assert!(jumps.map(|(moment, wall)| creeping.observe(moment, wall)).any(|clock| clock != Clock::Steady));
    }
}
