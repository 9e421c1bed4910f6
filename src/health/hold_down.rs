//! Flap damping: how long something that came back waits.
//!
//! Each fall within the window lengthens the next hold-down by one unit, up to a longest one. A hold-down begins
//! with a recovery and delays nothing else: a fall always counts at once, and ends a hold-down that is under way.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits;
use crate::model::{HealthSettings, Moment};

/// The falls that are remembered of one address, and until when its recovery waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HoldDown {
    falls: VecDeque<Moment>,
    until: Option<Moment>,
}

impl HoldDown {
    /// It has fallen.
    pub fn fall(&mut self, now: Moment, settings: &HealthSettings) {
        self.until = None;
        self.falls.push_back(now);
        self.forget(now, settings);
    }

    /// It has come back: says until when it waits, if it does.
    pub fn rise(&mut self, now: Moment, settings: &HealthSettings) -> Option<Moment> {
        self.forget(now, settings);
        let count = u32::try_from(self.falls.len()).unwrap_or(u32::MAX).max(1);
        let length = settings.hold_down.saturating_mul(count).min(settings.hold_down_max);
        self.until = (length > Duration::ZERO).then(|| now + length);
        self.until
    }

    /// Until when it waits, if it does.
    pub fn until(&self) -> Option<Moment> {
        self.until
    }

    /// Ends a hold-down whose time has come; true when it did.
    pub fn end(&mut self, now: Moment) -> bool {
        let is_over = self.until.is_some_and(|until| until <= now);
        if is_over {
            self.until = None;
        }
        is_over
    }

    fn forget(&mut self, now: Moment, settings: &HealthSettings) {
        while self.falls.len() > limits::FALLS_KEPT
            || self.falls.front().is_some_and(|fall| now.since(*fall) > settings.flap_window)
        {
            self.falls.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn each_fall_within_the_window_lengthens_the_next_hold_down_up_to_the_longest() {
        let settings = HealthSettings::default();
        let mut address = HoldDown::default();
        let mut lengths = Vec::new();
        for flap in 0..12 {
            address.fall(at(flap * 20), &settings);
            let until = address.rise(at(flap * 20 + 5), &settings).unwrap();
            lengths.push(until.since(at(flap * 20 + 5)).as_secs());
        }
        assert_eq!(lengths, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
        // An hour without a fall: as if nothing had been.
        address.fall(at(4000), &settings);
        assert_eq!(address.rise(at(4010), &settings), Some(at(4040)));
    }

    #[test]
    fn a_fall_is_never_delayed_and_ends_the_hold_down() {
        let settings = HealthSettings::default();
        let mut address = HoldDown::default();
        address.fall(at(0), &settings);
        assert_eq!(address.rise(at(1), &settings), Some(at(31)));
        address.fall(at(2), &settings);
        assert_eq!((address.until(), address.end(at(100))), (None, false));
        assert_eq!(address.rise(at(3), &settings), Some(at(63)));
        assert!(!address.end(at(62)) && address.end(at(63)) && !address.end(at(63)));
    }

    #[test]
    fn without_a_unit_nothing_is_held() {
        let settings = HealthSettings { hold_down: Duration::ZERO, ..HealthSettings::default() };
        let mut address = HoldDown::default();
        address.fall(at(0), &settings);
        assert_eq!(address.rise(at(1), &settings), None);
    }
}
