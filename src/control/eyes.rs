//! Who finds out what is up, and what they are told to remember.

use std::collections::HashMap;

use crate::health::{Target, TargetId, Targets, Verdicts};
use crate::model::{CheckExpr, CheckIx, PolicySet, StandInMap, State};

/// Is told what is watched from now on: at the start, and after each reload. Called on control's thread; must not
/// block.
pub type Watch = Box<dyn FnMut(Vec<Target>) + Send>;

/// Who finds out what is up.
pub struct Eyes {
    /// Watches.
    pub watch: Watch,
    /// In a demonstration: where every probe goes instead.
    pub stand_ins: Option<StandInMap>,
}

impl Eyes {
    /// Of whoever watches, at the addresses that policy and configuration say.
    pub fn new(watch: impl FnMut(Vec<Target>) + Send + 'static) -> Eyes {
        Eyes { watch: Box::new(watch), stand_ins: None }
    }

    /// Of whoever watches, but stand-ins.
    pub fn at_stand_ins(stand_ins: StandInMap, watch: impl FnMut(Vec<Target>) + Send + 'static) -> Eyes {
        Eyes { watch: Box::new(watch), stand_ins: Some(stand_ins) }
    }
}

impl std::fmt::Debug for Eyes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Eyes").field("stand_ins", &self.stand_ins).finish_non_exhaustive()
    }
}

/// The targets, each with the state that follows from what is known of its addresses. Where addresses disagree, down
/// stands: what is dead is not raised by a memory.
pub(super) fn remembering(targets: &Targets, policy: &PolicySet, verdicts: &Verdicts) -> Vec<Target> {
    let mut remembered: HashMap<TargetId, State> = HashMap::new();
    for ((key, check), target) in &targets.of {
        let endpoint = policy.services[key.service.at()].endpoint(key.endpoint);
        match follows(&endpoint.health, *check, verdicts.last_known(*key)) {
            State::Down => drop(remembered.insert(*target, State::Down)),
            State::Up => drop(remembered.entry(*target).or_insert(State::Up)),
            State::Unknown => {}
        }
    }
    let with = |target: &Target| Target { remembered: remembered.get(&target.id).copied(), ..target.clone() };
    targets.targets.iter().map(with).collect()
}

/// What follows for one check from the state that all make together.
fn follows(all: &CheckExpr, check: CheckIx, state: State) -> State {
    let of_each = |parts: &[CheckExpr], implied: State| match parts {
        [one] => follows(one, check, state),
        _ if state == implied => {
            let states = parts.iter().map(|part| follows(part, check, state));
            states.rev().find(|state| *state != State::Unknown).unwrap_or(State::Unknown)
        }
        _ => State::Unknown,
    };
    match all {
        CheckExpr::Check(one) if *one == check => state,
        CheckExpr::Check(_) => State::Unknown,
        CheckExpr::All(parts) => of_each(parts, State::Up),
        CheckExpr::Any(parts) => of_each(parts, State::Down),
        CheckExpr::AtLeast { n, of } if *n == of.len() => of_each(of, State::Up),
        CheckExpr::AtLeast { n: 1, of } => of_each(of, State::Down),
        CheckExpr::AtLeast { .. } => State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_remembered_as_far_as_the_verdict_of_all_tells() {
        let check = |ix| CheckExpr::Check(CheckIx(ix));
        let both = || vec![check(0), check(1)];
        let told = |all: &CheckExpr| [State::Up, State::Down].map(|state| follows(all, CheckIx(0), state).as_str());
        assert_eq!(told(&check(0)), ["up", "down"]);
        assert_eq!(told(&check(1)), ["unknown", "unknown"], "nothing of another's");
        assert_eq!(told(&CheckExpr::All(vec![check(0)])), ["up", "down"]);
        assert_eq!(told(&CheckExpr::All(both())), ["up", "unknown"]);
        assert_eq!(told(&CheckExpr::Any(both())), ["unknown", "down"]);
        assert_eq!(told(&CheckExpr::AtLeast { n: 2, of: both() }), ["up", "unknown"]);
        assert_eq!(told(&CheckExpr::AtLeast { n: 1, of: both() }), ["unknown", "down"]);
        let nested = CheckExpr::All(vec![check(1), CheckExpr::Any(vec![check(0), check(2)])]);
        assert_eq!(told(&nested), ["unknown", "unknown"]);
    }
}
