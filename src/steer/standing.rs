//! May an endpoint answer at all?
//!
//! In this order, and nothing later changes what is earlier: ordered out or forced down is never; then the
//! target of a pin, whatever its health; then a forced state before the observed one; then what probes
//! see. (Entry conditions bound only what is chosen automatically, so they are tier by tier, in `plan`.)

use std::fmt;

use crate::model::State;

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
    /// It must be up.
    Up,
    /// Unknown counts as up.
    Unknown,
    /// It must not be ordered out; health is not asked.
    Any,
}

/// What the facts say of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Set: it never answers.
    pub bar: Option<Bar>,
    /// The state of each address (v4 in file order, then v6; one for a CNAME), forced states applied.
    pub addresses: Vec<State>,
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
        let only = |counts: fn(State) -> bool, least: usize| {
            let live: Vec<bool> = self.addresses.iter().map(|&state| counts(state)).collect();
            (live.iter().filter(|&&live| live).count() >= least).then_some(live)
        };
        let (is_up, is_not_down) = (|state| state == State::Up, |state| state != State::Down);
        only(is_up, self.min).or_else(|| only(is_not_down, self.min).filter(|_| floor >= Floor::Unknown)).or_else(
            || match floor {
                Floor::Up | Floor::Unknown => None,
                Floor::Any => only(is_up, 1).or_else(|| only(is_not_down, 1)).or_else(|| only(|_| true, 0)),
            },
        )
    }

    /// Usable when so much health is asked.
    pub fn is_usable(&self, floor: Floor) -> bool {
        self.live(floor).is_some()
    }

    /// One word for the whole endpoint, whether or not it is barred.
    pub fn state(&self) -> State {
        let count = |wanted: State| self.addresses.iter().filter(|&&state| state == wanted).count();
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
        self.addresses.iter().filter(|&&state| state == State::Up).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::{Down, Unknown, Up};

    fn standing(addresses: &[State], min: usize) -> Standing {
        Standing { bar: None, addresses: addresses.into(), min }
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
    fn ordered_out_is_out_at_every_floor() {
        for bar in [Bar::Draining, Bar::Out, Bar::ForcedDown] {
            let out = Standing { bar: Some(bar), ..standing(&[Up], 1) };
            assert!(!out.is_usable(Floor::Any));
        }
    }
}
