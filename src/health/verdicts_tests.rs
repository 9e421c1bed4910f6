use std::sync::Arc;

use super::*;
use crate::model::{
    AllDown, Check, CheckSpec, Choices, Datacenter, DatacenterId, Failback, MinHealthy, Origin, Policy, Probe, Route,
    Service, Ttl, Weight,
};
use State::{Down, Unknown, Up};

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn check(id: &str, silence_is_down: bool) -> Check {
    let spec = CheckSpec { silence_is_down, ..CheckSpec::of(Probe::Icmp) };
    Check { id: CheckId::new(id).unwrap(), spec: Arc::new(spec), origin: Origin::file("t") }
}

/// Services `s0`, `s1`, … each with endpoints `a`, `b`, `c`, one address each, in the data centres of these names;
/// one check.
fn policy(services: u8) -> PolicySet {
    let datacenter = |id: &str| Datacenter {
        id: DatacenterId::new(id).unwrap(),
        aliases: vec![],
        at: None,
        bias_km: 0,
        capacity: None,
        min_healthy: None,
        origin: Origin::file("t"),
    };
    let endpoint = |service: u8, at: u8| Endpoint {
        id: EndpointId::new(["a", "b", "c"][usize::from(at)]).unwrap(),
        datacenter: DatacenterIx(u16::from(at)),
        data: Data::Addresses { v4: [[192, 0, service, at].into()].into(), v6: [].into(), min: 1 },
        weight: Weight::ONE,
        priority: 1,
        health: CheckExpr::Check(CheckIx(0)),
        follows: None,
        origin: Origin::file("t"),
    };
    let elsewhere = Route::new(
        None,
        Choices { tiers: None, fallback: None, geofence: false, all_down: AllDown::Open, failback: Failback::Auto },
    );
    let service = |number: u8| Service {
        name: Name::parse(&format!("s{number}.example")).unwrap(),
        zone: None,
        ttl: Ttl::DEFAULT,
        endpoints: (0..3).map(|at| endpoint(number, at)).collect(),
        policy: Policy { routes: vec![], elsewhere: elsewhere.clone() },
        max_answers: 1,
        needs: crate::model::OrderNeeds::default(),
        home: None,
        https: None,
        origin: Origin::file("t"),
    };
    PolicySet {
        datacenters: ["a", "b", "c"].map(datacenter).into(),
        checks: vec![check("web", false), check("rate", false), check("told", true)],
        services: (0..services).map(service).collect(),
        ..PolicySet::default()
    }
}

fn key(service: u32, endpoint: u16) -> AddressKey {
    AddressKey { service: ServiceIx(service), endpoint: EndpointIx(endpoint), address: 0 }
}

/// A target for each address and check; numbered by service, endpoint and check.
fn targets(policy: &PolicySet) -> BTreeMap<(AddressKey, CheckIx), TargetId> {
    let mut of = BTreeMap::new();
    for (service, ix, endpoint) in endpoints(policy) {
        for key in keys(service, ix, endpoint) {
            for check in endpoint.health.checks() {
                of.insert((key, check), target(service.0, ix.0, check.0, key.address));
            }
        }
    }
    of
}

fn target(service: u32, endpoint: u16, check: u16, address: u16) -> TargetId {
    TargetId(u64::from(service) << 32 | u64::from(endpoint) << 16 | u64::from(check) << 8 | u64::from(address))
}

struct World {
    policy: PolicySet,
    verdicts: Verdicts,
}

impl World {
    fn new(policy: PolicySet) -> World {
        let mut verdicts = Verdicts::new();
        let of = targets(&policy);
        verdicts.load(&PolicySet::default(), &policy, of, &HealthSettings::default(), at(0));
        World { policy, verdicts }
    }

    fn load(&mut self, new: PolicySet, now: u64) {
        let of = targets(&new);
        self.verdicts.load(&self.policy, &new, of, &HealthSettings::default(), at(now));
        self.policy = new;
    }

    fn see(&mut self, now: u64, states: &[(u32, u16, State)]) -> Vec<(AddressKey, Verdict)> {
        let states: Vec<_> = states.iter().map(|(service, ep, state)| (target(*service, *ep, 0, 0), *state)).collect();
        changed(self.verdicts.observe(&self.policy, &states, at(now)))
    }

    fn say(&mut self, now: u64, observer: &str, check: u16, endpoint: u16, state: State) {
        let AddressKey { service, endpoint, address } = key(0, endpoint);
        let observer = ObserverId::new(observer).unwrap();
        let key = EvidenceKey { service, endpoint, address, check: CheckIx(check), observer };
        let report = ObserverReport { key, state, detail: None, ttl: Duration::from_secs(10) };
        assert_eq!(self.verdicts.report(&self.policy, [report], at(now)).1, 0);
    }

    fn tick(&mut self, now: u64) -> Vec<(AddressKey, Verdict)> {
        changed(self.verdicts.tick(&self.policy, at(now)))
    }

    fn verdict(&self, service: u32, endpoint: u16) -> Verdict {
        let key = key(service, endpoint);
        let health = self.verdicts.health().verdict(key, true);
        let next = ServiceIx(service + 1);
        let (_, told) = self.verdicts.addresses(key.service..next).find(|(of, _)| *of == key).unwrap();
        assert_eq!(health, told.verdict, "status and routing say the same");
        health
    }

    fn is_stale(&self, endpoint: u16) -> bool {
        let mut all = self.verdicts.addresses(ServiceIx(0)..ServiceIx(1));
        all.find(|(of, _)| *of == key(0, endpoint)).unwrap().1.is_stale
    }
}

fn changed(transitions: Vec<Transition>) -> Vec<(AddressKey, Verdict)> {
    transitions.into_iter().map(|transition| (transition.key, transition.to)).collect()
}

const HELD: Verdict = Verdict { state: Up, is_held: true };

#[test]
fn only_what_is_not_plainly_up_has_an_entry() {
    let mut world = World::new(policy(1));
    assert_eq!(world.verdicts.health().of.len(), 3, "nothing is known yet");
    assert!(!world.verdicts.is_complete());
    let seen = world.see(1, &[(0, 0, Up), (0, 1, Up), (0, 2, Down)]);
    assert_eq!(seen, [(key(0, 0), Verdict::of(Up)), (key(0, 1), Verdict::of(Up)), (key(0, 2), Verdict::of(Down))]);
    assert_eq!(world.verdicts.health().of, BTreeMap::from([(key(0, 2), Verdict::of(Down))]));
    assert!(world.verdicts.is_complete());
    assert!(world.see(2, &[(0, 2, Down)]).is_empty(), "the same again changes nothing");
}

#[test]
fn no_verdict_keeps_the_last_one_and_says_that_it_is_stale() {
    let mut world = World::new(policy(1));
    world.see(1, &[(0, 0, Up), (0, 1, Down)]);
    assert!(world.see(2, &[(0, 0, Unknown), (0, 1, Unknown), (0, 2, Unknown)]).is_empty());
    assert_eq!([0, 1, 2].map(|at| world.verdict(0, at).state), [Up, Down, Unknown]);
    assert_eq!([0, 1, 2].map(|at| world.is_stale(at)), [true, true, false]);
    world.see(3, &[(0, 0, Up)]);
    assert!(!world.is_stale(0));
}

#[test]
fn what_was_known_before_holds_until_somebody_says_otherwise() {
    let mut world = World::new(policy(1));
    world.verdicts.remember(&world.policy, [(key(0, 0), Down), (key(0, 1), Up)], at(0));
    assert_eq!([0, 1, 2].map(|at| world.verdict(0, at)), [Verdict::of(Down), Verdict::of(Up), Verdict::of(Unknown)]);
    assert!(world.is_stale(0) && world.is_stale(1));
    // Silence raises nobody from the dead; a success does, into a hold-down.
    assert!(world.see(1, &[(0, 0, Unknown)]).is_empty());
    assert_eq!(world.see(2, &[(0, 0, Up)]), [(key(0, 0), HELD)]);
}

#[test]
fn a_hold_down_delays_recovery_only_and_ends_by_itself() {
    let mut world = World::new(policy(1));
    world.see(0, &[(0, 0, Up), (0, 1, Up), (0, 2, Up)]);
    world.see(10, &[(0, 0, Down)]);
    assert_eq!(world.see(20, &[(0, 0, Up)]), [(key(0, 0), HELD)]);
    assert_eq!(world.verdicts.next_wake(), Some(at(50)));
    assert!(world.tick(49).is_empty());
    assert_eq!(world.tick(50), [(key(0, 0), Verdict::of(Up))]);
    assert_eq!(world.verdicts.next_wake(), None);
    // The second fall within ten minutes: twice as long; and a fall during it counts at once.
    world.see(60, &[(0, 0, Down)]);
    world.see(61, &[(0, 0, Up)]);
    assert_eq!(world.verdicts.next_wake(), Some(at(121)));
    assert_eq!(world.see(70, &[(0, 0, Down)]), [(key(0, 0), Verdict::of(Down))]);
    assert_eq!(world.verdicts.next_wake(), None);
    assert!(world.tick(121).is_empty());
}

#[test]
fn observers_are_counted_and_reports_expire() {
    let mut world = World::new(policy(1));
    world.see(0, &[(0, 0, Up)]);
    world.say(1, "osaka", 0, 0, Down);
    assert_eq!(world.verdict(0, 0).state, Up, "one against one takes nothing down");
    world.say(2, "seoul", 0, 0, Down);
    assert_eq!(world.verdict(0, 0).state, Down);
    assert_eq!(world.verdicts.confirmations(&world.policy, ServiceIx(0), EndpointIx(0)).len(), 2);
    // A renewed report counts from then on.
    world.say(9, "seoul", 0, 0, Down);
    assert_eq!(world.verdicts.next_wake(), Some(at(11)));
    assert_eq!(world.tick(11), [(key(0, 0), HELD)], "osaka says nothing any more");
    assert!(world.tick(18).is_empty());
    assert_eq!(world.verdicts.confirmations(&world.policy, ServiceIx(0), EndpointIx(0)).len(), 1);
}

#[test]
fn a_silent_reporter_is_unknown_unless_the_check_says_that_silence_is_down() {
    let mut policy = policy(1);
    policy.services[0].endpoints[0].health = CheckExpr::Check(CheckIx(1));
    policy.services[0].endpoints[1].health = CheckExpr::Check(CheckIx(2));
    let mut world = World::new(policy);
    world.say(0, "loader", 1, 0, Up);
    world.say(0, "loader", 2, 1, Up);
    assert_eq!([0, 1].map(|at| world.verdict(0, at).state), [Up, Up]);
    assert_eq!(world.tick(10), [(key(0, 1), Verdict::of(Down))]);
    assert_eq!([0, 1].map(|at| world.verdict(0, at).state), [Up, Down]);
    assert!(world.is_stale(0) && !world.is_stale(1));
    assert!(
        world.verdicts.confirmations(&world.policy, ServiceIx(0), EndpointIx(1)).is_empty(),
        "silence is no witness"
    );
    world.say(11, "loader", 2, 1, Up);
    assert_eq!(world.verdict(0, 1), HELD);
}

#[test]
fn who_takes_back_what_he_said_is_not_missed() {
    let mut policy = policy(1);
    policy.services[0].endpoints[1].health = CheckExpr::Check(CheckIx(2));
    let mut world = World::new(policy);
    world.say(0, "loader", 2, 1, Up);
    world.say(1, "loader", 2, 1, Unknown);
    world.tick(60);
    assert_eq!(world.verdict(0, 1).state, Up, "the last that was known");
    assert_eq!(world.verdicts.reports(ServiceIx(0)..ServiceIx(1)).count(), 0);
    assert_eq!(world.verdicts.next_wake(), None);
}

#[test]
fn down_only_when_the_probe_and_the_request_rate_both_say_so() {
    let mut policy = policy(1);
    policy.services[0].endpoints[0].health =
        CheckExpr::Any(vec![CheckExpr::Check(CheckIx(0)), CheckExpr::Check(CheckIx(1))]);
    let mut world = World::new(policy);
    let mut see = |now, probe, rate| {
        let states = [(target(0, 0, 0, 0), probe), (target(0, 0, 1, 0), rate)];
        world.verdicts.observe(&world.policy, &states, at(now));
        world.verdict(0, 0).state
    };
    assert_eq!(see(0, Up, Up), Up);
    assert_eq!(see(1, Down, Up), Up, "requests still arrive there");
    assert_eq!(see(2, Down, Unknown), Up, "Prometheus is silent: the last verdict stays");
    assert_eq!(see(3, Down, Down), Down);
}

#[test]
fn followers_take_the_state_of_the_endpoint_they_follow() {
    let mut policy = policy(2);
    let follower = &mut policy.services[1].endpoints[1];
    (follower.health, follower.follows) = (CheckExpr::All(vec![]), Some((ServiceIx(0), EndpointIx(0))));
    let mut world = World::new(policy);
    assert_eq!(world.verdict(1, 1).state, Unknown);
    world.see(0, &[(0, 0, Up)]);
    assert_eq!(world.verdict(1, 1), Verdict::of(Up));
    assert_eq!(world.see(1, &[(0, 0, Down)]).len(), 2);
    assert_eq!(world.verdict(1, 1), Verdict::of(Down));
    assert_eq!(world.verdicts.confirmations(&world.policy, ServiceIx(1), EndpointIx(1)).len(), 1);
    world.see(2, &[(0, 0, Up)]);
    assert_eq!(world.verdict(1, 1), HELD);
    assert_eq!(world.tick(32).len(), 2);
}

#[test]
fn a_data_centre_with_too_little_up_counts_as_down_whole() {
    let mut policy = policy(3);
    policy.datacenters[0].min_healthy = Some(MinHealthy::Percent(60));
    let mut world = World::new(policy);
    let all = |state| [0, 1, 2].map(|service| (service, 0, state));
    world.see(0, &all(Up));
    assert!(world.verdicts.withheld().is_empty());
    assert_eq!(world.see(1, &[(0, 0, Down)]).len(), 1, "two of three are 66 %");
    assert_eq!(world.see(2, &[(1, 0, Down)]).len(), 2, "and take the third with them");
    assert_eq!([0, 1, 2].map(|service| world.verdict(service, 0).state), [Down; 3]);
    assert_eq!(world.verdict(2, 1).state, Unknown, "other data centres are not concerned");
    assert_eq!(world.see(10, &[(0, 0, Up)]).len(), 2);
    assert_eq!([0, 1, 2].map(|service| world.verdict(service, 0)), [HELD, Verdict::of(Down), HELD]);
    assert_eq!(world.verdicts.last_known(key(2, 0)), Up);
}

#[test]
fn unknown_endpoints_do_not_make_a_data_centre_too_small() {
    let mut policy = policy(3);
    policy.datacenters[0].min_healthy = Some(MinHealthy::Count(2));
    let mut world = World::new(policy);
    world.see(0, &[(0, 0, Up), (1, 0, Down)]);
    assert!(world.verdicts.withheld().is_empty(), "the third may be up");
    world.see(1, &[(2, 0, Down)]);
    assert_eq!(world.verdict(0, 0).state, Down);
}

#[test]
fn a_reload_carries_everything_over_by_name() {
    let mut world = World::new(policy(2));
    world.see(0, &[(1, 0, Up), (1, 1, Down)]);
    world.see(1, &[(1, 0, Down)]);
    world.see(2, &[(1, 0, Up)]);
    let AddressKey { service, endpoint, address } = key(1, 2);
    let observer = ObserverId::new("osaka").unwrap();
    let report = EvidenceKey { service, endpoint, address, check: CheckIx(0), observer };
    let report = ObserverReport { key: report, state: Down, detail: None, ttl: Duration::from_secs(10) };
    world.verdicts.report(&world.policy, [report], at(3));
    // s0 goes, so what was s1 has another index; its endpoint b gets a second address before the old one.
    let mut new = policy(2);
    new.services.remove(0);
    new.services[0].endpoints[1].data =
        Data::Addresses { v4: [[192, 0, 9, 9].into(), [192, 0, 1, 1].into()].into(), v6: [].into(), min: 1 };
    world.load(new, 4);
    assert_eq!(world.verdict(0, 0), HELD);
    assert_eq!(world.verdict(0, 2).state, Down);
    let moved = AddressKey { address: 1, ..key(0, 1) };
    assert_eq!(world.verdicts.health().verdict(moved, true).state, Down);
    assert_eq!(world.verdict(0, 1).state, Unknown, "the new address");
    assert_eq!(world.tick(32), [(key(0, 0), Verdict::of(Up))]);
    assert!(world.is_stale(2), "the report has expired");
}
