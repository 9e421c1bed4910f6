//! May an endpoint answer at all?
//!
//! In this order, and nothing later changes what is earlier: ordered out or forced down is never; then the
//! target of a pin, whatever its health; then a forced state before the observed one; then what probes
//! see. (Entry conditions bound only what is chosen automatically, so they are tier by tier, in `plan`.)

use std::fmt;

use crate::model::{State, Verdict};

/// An order that keeps an endpoint from answering, by every rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bar {
    /// Drained; old answers have not all expired.
    Draining,
    /// Drained; no old answer is left.
    Out,
    /// Forced down.
    ForcedDown,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bar::Draining => "ordered out (draining)",
            Bar::Out => "ordered out",
            Bar::ForcedDown => "forced down",
        })
    }
}

/// How much health is asked of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Floor {
    /// It must be up, and not in its hold-down.
    Up,
    /// It must be up; a hold-down is not minded.
    Held,
    /// Unknown counts as up.
    Unknown,
    /// It must not be ordered out; health is not asked.
    Any,
}

/// A floor, and which addresses reach it.
type Step = (Floor, fn(Verdict) -> bool);

/// What the facts say of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Set: it never answers.
    pub bar: Option<Bar>,
    /// The verdict on each address (v4 in file order, then v6; one for a CNAME), forced states applied.
    pub addresses: Vec<Verdict>,
    /// How many usable addresses make it usable; at least 1.
    pub min: usize,
}

impl Standing {
    /// Which addresses it answers with when so much health is asked: `None` when it is not usable.
    ///
    /// The healthiest addresses that do are always taken: an endpoint that is up answers with its up
    /// addresses at every floor, and at [`Floor::Any`] one address that is up is better than `min` of which
    /// some are known to be down.
    pub fn live(&self, floor: Floor) -> Option<Vec<bool>> {
        if self.bar.is_some() {
            return None;
        }
        let only = |counts: fn(Verdict) -> bool, least: usize| {
            let live: Vec<bool> = self.addresses.iter().map(|&verdict| counts(verdict)).collect();
            (live.iter().filter(|&&live| live).count() >= least).then_some(live)
        };
        let steps: [Step; 3] = [
            (Floor::Up, |verdict| verdict.state == State::Up && !verdict.is_held),
            (Floor::Held, |verdict| verdict.state == State::Up),
            (Floor::Unknown, |verdict| verdict.state != State::Down),
        ];
        let enough = steps.iter().filter(|(at, _)| *at <= floor).find_map(|(_, counts)| only(*counts, self.min));
        let some = || steps.iter().find_map(|(_, counts)| only(*counts, 1)).or_else(|| only(|_| true, 0));
        enough.or_else(|| some().filter(|_| floor == Floor::Any))
    }

    /// Usable when so much health is asked.
    pub fn is_usable(&self, floor: Floor) -> bool {
        self.live(floor).is_some()
    }

    /// One word for the whole endpoint, whether or not it is barred.
    pub fn state(&self) -> State {
        let count = |wanted: State| self.addresses.iter().filter(|verdict| verdict.state == wanted).count();
        if count(State::Up) >= self.min {
            State::Up
        } else if count(State::Up) + count(State::Unknown) >= self.min {
            State::Unknown
        } else {
            State::Down
        }
    }

    /// How many addresses are up.
    pub fn up_count(&self) -> usize {
        self.addresses.iter().filter(|verdict| verdict.state == State::Up).count()
    }

    /// True when it is up, and only addresses in their hold-down make it so.
    pub fn is_held(&self) -> bool {
        self.is_usable(Floor::Held) && !self.is_usable(Floor::Up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Down, Unknown, Up};

    fn standing(addresses: &[State], min: usize) -> Standing {
        Standing { bar: None, addresses: addresses.iter().copied().map(Verdict::of).collect(), min }
    }

    #[test]
    fn an_endpoint_answers_with_its_live_addresses() {
        let mixed = standing(&[Up, Down, Unknown], 1);
        for floor in [Floor::Up, Floor::Unknown, Floor::Any] {
            assert_eq!(mixed.live(floor), Some(vec![true, false, false]));
        }
        let two = standing(&[Up, Down, Unknown], 2);
        assert_eq!(two.live(Floor::Up), None);
        assert_eq!(two.live(Floor::Unknown), Some(vec![true, false, true]));
        let dead = standing(&[Up, Down, Down], 2);
        assert_eq!(dead.live(Floor::Unknown), None);
        assert_eq!(dead.live(Floor::Any), Some(vec![true, false, false]));
        assert_eq!(standing(&[Down, Down], 1).live(Floor::Any), Some(vec![true; 2]));
        assert_eq!((mixed.state(), two.state(), dead.state()), (Up, Unknown, Down));
    }

    #[test]
    fn an_address_in_its_hold_down_answers_only_where_no_other_can() {
        let mut standing = standing(&[Up, Up, Unknown], 1);
        standing.addresses[0].is_held = true;
        assert_eq!(standing.live(Floor::Up), Some(vec![false, true, false]));
        standing.addresses[1].is_held = true;
        assert_eq!((standing.live(Floor::Up), standing.is_held()), (None, true));
        for floor in [Floor::Held, Floor::Unknown, Floor::Any] {
            assert_eq!(standing.live(floor), Some(vec![true, true, false]));
        }
        assert_eq!(standing.state(), Up, "a hold-down delays; it is no failure");
    }

    #[test]
    fn ordered_out_is_out_at_every_floor() {
        for bar in [Bar::Draining, Bar::Out, Bar::ForcedDown] {
            let out = Standing { bar: Some(bar), ..standing(&[Up], 1) };
            assert!(!out.is_usable(Floor::Any));
        }
    }
}
