//! Entry conditions: asked at the door, and not of those who are inside.

use std::time::Duration;

use super::house::{House, clear, datacenter, request, switch};
use crate::control::orders::{Order, OrderRefused, Request, Rule, SwitchMode, Whom};
use crate::control::{NotOrdered, Report};
use crate::model::State::{Down, Unknown, Up};
use crate::model::{CheckId, EndpointId, ObserverId, PolicySet, ProbeHost};
use crate::model::{Settings, State};

/// Beijing: dc1, then dc2 by a condition, then dc3.
fn policy(condition: &str, third: &str) -> String {
    format!(
        "health_checks:\n  \
           web: {{ protocol: https }}\n  \
           writable: {{ protocol: tcp, port: 5432 }}\n---\n\
         gslb:\n  domain: s.example.com\n  checks: web\n  \
           policies:\n    default: {{ type: geolocation, fallback: weighted }}\n    \
             beijing: {{ failback: manual, tiers: [dc1, {{ endpoint: dc2, {condition} }}, {third}] }}\n  \
           endpoints: {{ dc1: {{ ip: 192.0.2.1 }}, dc2: {{ ip: 192.0.2.2 }}, dc3: {{ ip: 192.0.2.3 }} }}\n"
    )
}

pub(super) fn fenced(condition: &str) -> String {
    policy(condition, "{ endpoint: dc3, enter: manual }")
}

#[test]
fn after_waits_until_the_earlier_tiers_have_been_down_for_so_long() {
    let mut house = House::well(&fenced("after: 20s"));
    house.at(100).down(&["dc1"]);
    assert_eq!(house.of("beijing"), "dc1", "nothing else may answer yet");
    let status = house.status();
    let waiting = &status.waiting_tiers[0];
    assert!(waiting.is_needed && waiting.tier == 1 && waiting.opens_at.is_some(), "{waiting:?}");
    assert!(status.alarms.iter().any(|alarm| alarm.contains("tier 2")), "{:?}", status.alarms);
    // A dip that ends in time moves nobody, and leaves no latch.
    house.at(110).up(&["dc1"]).at(111).down(&["dc1"]).at(130);
    assert_eq!(house.of("beijing"), "dc1");
    house.expect_latches([]);
    house.at(131);
    assert_eq!(house.of("beijing"), "dc2");
    house.expect_latches(["dc1 beijing"]);
    assert!(house.status().waiting_tiers.iter().all(|tier| tier.tier != 1));
}

#[test]
fn who_is_inside_stays_inside() {
    let mut house = House::well(&fenced("after: 20s, when: writable"));
    house.down(&["dc1"]).at(20);
    assert_eq!(house.of("beijing"), "dc2");
    // A dip of its condition, and the recovery of what was left, throw nobody back; a restart neither.
    house.see_check("writable", "dc2", Down);
    assert_eq!(house.of("beijing"), "dc2");
    house.at(100).see_check("web", "dc1", Up).at(1000);
    assert_eq!(house.of("beijing"), "dc2");
    let mut house = house.restart(10);
    assert_eq!(house.of("beijing"), "dc2");
    house.expect_latches(["dc1 beijing waiting"]);
    house.see_check("web", "dc1", Up).see_check("web", "dc2", Up).see_check("writable", "dc2", Down);
    assert_eq!(house.of("beijing"), "dc2");
    // Those who have gone must ask again.
    house.failback("dc1").unwrap();
    assert_eq!(house.of("beijing"), "dc1");
    house.at(2000).see_check("web", "dc1", Down).at(3000);
    assert_eq!(house.of("beijing"), "dc1", "dc2 is not writable");
    house.see_check("writable", "dc2", Up);
    assert_eq!(house.of("beijing"), "dc2");
}

#[test]
fn ordered_out_needs_no_delay() {
    let mut house = House::well(&fenced("after: 20s"));
    let before = house.generation();
    house.order(request(Order::Drain { subject: datacenter("dc1") })).unwrap();
    assert_eq!((house.of("beijing").as_str(), house.generation()), ("dc2", before + 1), "at once, in one generation");
    house.expect_latches([]);
    // Somebody gone by order does not shorten the wait for somebody who is down.
    house.order(request(Order::Undrain { subject: datacenter("dc1") })).unwrap();
    house.failback("dc1").unwrap();
    // The same while nothing moves by itself.
    let mut frozen = House::well(&fenced("after: 20s"));
    frozen.order(request(Order::Freeze)).unwrap();
    frozen.order(request(Order::Drain { subject: datacenter("dc1") })).unwrap();
    assert_eq!(frozen.of("beijing"), "dc2");
    frozen.see_check("web", "dc3", Down);
    assert_eq!(frozen.of("beijing"), "dc2", "and it stays so");
}

#[test]
fn an_order_waits_for_no_delay_and_asks_for_the_checks_of_a_tier() {
    let refused = |condition: &str, is_writable: State| {
        let mut house = House::well(&fenced(condition));
        if condition.contains("when") {
            house.see_check("writable", "dc2", is_writable);
        }
        let switch = Order::Switch {
            to: "dc2".into(),
            mode: SwitchMode::Prefer,
            whom: Whom { services: None, regions: Some(["beijing".to_owned()].into()) },
            from: None,
        };
        match house.order(request(switch)) {
            Ok(_) => String::new(),
            Err(NotOrdered::Refused(OrderRefused::Rules { refusals })) => {
                refusals.iter().map(|refusal| refusal.rule.as_str()).collect::<Vec<_>>().join(" ")
            }
            Err(other) => panic!("{other}"),
        }
    };
    for condition in ["after: 20s", "enter: manual", "confirm: 2", "when: writable", "enter: manual, when: writable"] {
        assert_eq!(refused(condition, Up), "", "{condition}");
        let expected = if condition.contains("when") { "target-not-ready" } else { "" };
        assert_eq!(refused(condition, Down), expected, "{condition}");
    }
}

#[test]
fn nobody_is_drained_into_a_tier_that_is_closed() {
    let mut house =
        House::well(&fenced("when: writable").replace("failback: manual", "failback: manual, all_down: closed"));
    house.see_check("writable", "dc2", Down);
    let drain = request(Order::Drain { subject: datacenter("dc1") });
    let refused = house.order(drain.clone()).unwrap_err();
    assert!(refused.to_string().contains("nothing would be left"), "{refused}");
    house.see_check("writable", "dc2", Up);
    house.order(drain).unwrap();
    assert_eq!(house.of("beijing"), "dc2");
}

#[test]
fn when_asks_for_a_check_at_the_tiers_own_endpoints() {
    let mut house = House::well(&policy("when: writable", "dc3"));
    house.see_check("writable", "dc2", Down);
    house.see_check("web", "dc1", Down);
    assert_eq!(house.of("beijing"), "dc3", "the database of dc2 is not writable");
    house.see_check("writable", "dc2", Unknown);
    assert_eq!(house.of("beijing"), "dc3", "not known is not up");
    house.see_check("writable", "dc2", Up);
    // dc2 was never left, and stands before dc3.
    assert_eq!(house.of("beijing"), "dc2");
    house.expect_latches(["dc1 beijing"]);
}

#[test]
fn a_check_with_a_host_of_its_own_is_up_anywhere_or_nowhere() {
    let edit = |policy: &mut PolicySet| {
        let writable = policy.checks.iter_mut().find(|check| check.id.as_str() == "writable").unwrap();
        let mut spec = (*writable.spec).clone();
        spec.host = Some(ProbeHost::Address([192, 0, 2, 53].into()));
        writable.spec = spec.into();
    };
    let mut house = House::with(&fenced("when: writable"), edit, Settings::default()).all_up();
    house.see_check("writable", "", Down).down(&["dc1"]);
    assert_eq!(house.of("beijing"), "dc1");
    house.see_check("writable", "", Up);
    assert_eq!(house.of("beijing"), "dc2");
}

fn report(observer: &str, endpoint: &str, state: State) -> Report {
    Report {
        observer: ObserverId::new(observer).unwrap(),
        service: None,
        endpoint: EndpointId::new(endpoint).unwrap(),
        address: None,
        check: CheckId::new("web").unwrap(),
        state,
        detail: None,
        ttl: Duration::from_secs(30),
    }
}

#[test]
fn confirm_asks_so_many_observers_for_their_own_evidence() {
    let mut house = House::well(&fenced("confirm: 2"));
    house.down(&["dc1"]);
    assert_eq!(house.of("beijing"), "dc1");
    assert!(house.status().waiting_tiers[0].why.contains("1 of 2"), "{:?}", house.status().waiting_tiers);
    let reported = house.report(vec![report("osaka", "dc1", Unknown)]);
    assert_eq!((reported.taken, reported.refused), (1, vec![]));
    assert_eq!(house.of("beijing"), "dc1", "who does not know confirms nothing");
    house.report(vec![report("osaka", "dc1", Down)]);
    assert_eq!(house.of("beijing"), "dc2");
    // Its report expires: the door was passed.
    house.at(60);
    assert_eq!(house.of("beijing"), "dc2");
}

#[test]
fn reports_about_nothing_are_refused_one_by_one() {
    let mut house = House::well(&fenced("confirm: 2"));
    let mut odd = report("osaka", "dc1", Down);
    odd.check = CheckId::new("other").unwrap();
    let batch = vec![report("osaka", "dc9", Down), report("osaka", "dc1", Down), odd];
    let reported = house.report(batch);
    assert_eq!((reported.taken, reported.refused.iter().map(|(at, _)| *at).collect::<Vec<_>>()), (1, vec![0, 2]));
}

#[test]
fn manual_moves_nothing_until_somebody_orders_and_is_alarmed() {
    let mut house = House::well(&fenced("enter: manual"));
    house.down(&["dc1"]).at(10_000);
    assert_eq!(house.of("beijing"), "dc1");
    let alarms = house.status().alarms.clone();
    assert!(alarms.iter().any(|alarm| alarm.contains("by order only")), "{alarms:?}");
    let by_order = Request { force: Rule::ALL.into(), ..switch("dc2") };
    house.order(by_order).unwrap();
    assert_eq!(house.of("beijing"), "dc2");
    // The order ends while dc1 is still dead: who is inside stays inside.
    house.order(clear()).unwrap();
    assert_eq!(house.of("beijing"), "dc2");
    house.expect_latches(["dc1 beijing"]);
}

#[test]
fn a_closed_tier_does_not_stand_in_the_way_of_the_next() {
    let mut house = House::well(&policy("enter: manual", "{ endpoint: dc3, after: 60s }"));
    house.down(&["dc1"]).at(59);
    assert_eq!(house.of("beijing"), "dc1");
    house.at(60);
    assert_eq!(house.of("beijing"), "dc3");
}
