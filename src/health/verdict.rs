//! From evidence to a verdict: a pure, three-valued function of what observers say.
//!
//! Evidence is about one address, by one check, from one observer. Observers of the same check are counted
//! against each other: it is down only when more of them say down than say up, so one observer with a
//! broken link takes nothing down alone, and an observer that does not know contributes nothing. Checks
//! then combine as the policy says, in three-valued logic: unknown stays unknown until what is known
//! decides without it.

use crate::model::{
    AddressKey, CheckExpr, CheckIx, EndpointIx, Evidence, Health, PolicySet, ServiceIx, State, Verdict,
};

/// The verdict on every address, from the evidence alone: no memory of earlier verdicts, no hold-down.
pub fn verdicts(policy: &PolicySet, evidence: &Evidence) -> Health {
    let mut health = Health { default: evidence.default, ..Health::all_up() };
    for (at, of) in policy.services.iter().enumerate() {
        let service = ServiceIx::from_at(at);
        for (endpoint, of) in of.endpoints() {
            for address in 0..of.data.address_count() {
                let address = u16::try_from(address).expect("bounded by the addresses of an endpoint");
                let state = verdict(evidence, &of.health, service, endpoint, address);
                health.of.insert(AddressKey { service, endpoint, address }, Verdict::of(state));
            }
        }
    }
    health
}

/// The verdict on one address of an endpoint, by the endpoint's checks.
pub fn verdict(
    evidence: &Evidence,
    checks: &CheckExpr,
    service: ServiceIx,
    endpoint: EndpointIx,
    address: u16,
) -> State {
    combine(checks, &|check| observed(evidence, service, endpoint, address, check))
}

fn observed(evidence: &Evidence, service: ServiceIx, endpoint: EndpointIx, address: u16, check: CheckIx) -> State {
    majority(evidence.observed(service, endpoint, address, check).map(|(_, state)| state)).unwrap_or(evidence.default)
}

/// What the observers of one check come to: down when more of them say down than say up, unknown when none of them
/// knows. `None`: nobody has looked.
pub fn majority(states: impl Iterator<Item = State>) -> Option<State> {
    let (mut up, mut down, mut heard) = (0_usize, 0_usize, false);
    for state in states {
        heard = true;
        match state {
            State::Up => up += 1,
            State::Down => down += 1,
            State::Unknown => {}
        }
    }
    heard.then_some(match (up, down) {
        (0, 0) => State::Unknown,
        (up, down) if down > up => State::Down,
        _ => State::Up,
    })
}

/// Combines checks; `state` says what is known of one.
pub fn combine(checks: &CheckExpr, state: &impl Fn(CheckIx) -> State) -> State {
    let threshold = |n: usize, of: &[CheckExpr]| {
        let states: Vec<State> = of.iter().map(|part| combine(part, state)).collect();
        let count = |wanted: State| states.iter().filter(|&&state| state == wanted).count();
        if count(State::Up) >= n {
            State::Up
        } else if states.len() - count(State::Down) < n {
            State::Down
        } else {
            State::Unknown
        }
    };
    match checks {
        CheckExpr::Check(check) => state(*check),
        CheckExpr::All(of) => threshold(of.len(), of),
        CheckExpr::Any(of) => threshold(1, of),
        CheckExpr::AtLeast { n, of } => threshold(*n, of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EvidenceKey, ObserverId};
    use State::{Down, Unknown, Up};

    fn check(at: u16) -> CheckExpr {
        CheckExpr::Check(CheckIx(at))
    }

    #[test]
    fn combination_is_kleene_logic() {
        let of = || vec![check(0), check(1)];
        for (a, b, all, any) in [
            (Up, Up, Up, Up),
            (Up, Down, Down, Up),
            (Down, Down, Down, Down),
            (Up, Unknown, Unknown, Up),
            (Down, Unknown, Down, Unknown),
            (Unknown, Unknown, Unknown, Unknown),
        ] {
            for (x, y) in [(a, b), (b, a)] {
                let state = |check: CheckIx| [x, y][usize::from(check.0)];
                assert_eq!(combine(&CheckExpr::All(of()), &state), all, "all of {x:?} and {y:?}");
                assert_eq!(combine(&CheckExpr::Any(of()), &state), any, "any of {x:?} and {y:?}");
            }
        }
        let two_of_three = CheckExpr::AtLeast { n: 2, of: vec![check(0), check(1), check(2)] };
        let with = |states: [State; 3]| combine(&two_of_three, &|check: CheckIx| states[usize::from(check.0)]);
        assert_eq!(with([Up, Up, Down]), Up);
        assert_eq!(with([Up, Unknown, Down]), Unknown);
        assert_eq!(with([Unknown, Down, Down]), Down);
    }

    #[test]
    fn an_endpoint_without_checks_is_up() {
        assert_eq!(combine(&CheckExpr::All(vec![]), &|_| Down), Up);
    }

    #[test]
    fn one_blind_or_lying_observer_takes_nothing_down_alone() {
        let mut evidence = Evidence { default: Unknown, ..Evidence::all_up() };
        let mut say = |observer: &str, state| {
            let key = EvidenceKey {
                service: ServiceIx(0),
                endpoint: EndpointIx(0),
                address: 0,
                check: CheckIx(0),
                observer: ObserverId::new(observer).unwrap(),
            };
            evidence.states.insert(key, state);
            verdict(&evidence, &check(0), ServiceIx(0), EndpointIx(0), 0)
        };
        assert_eq!(say("here", Unknown), Unknown);
        assert_eq!(say("here", Down), Down);
        assert_eq!(say("there", Unknown), Down, "who does not know contributes nothing");
        assert_eq!(say("there", Up), Up);
        assert_eq!(say("yonder", Down), Down);
        let other = verdict(&evidence, &check(0), ServiceIx(0), EndpointIx(0), 1);
        assert_eq!(other, Unknown, "evidence is by address");
    }
}
