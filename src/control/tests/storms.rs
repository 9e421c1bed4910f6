//! Thousands at once.

use super::house::{House, REFERENCE};
use super::world::{Death, World, ms, settings};
use crate::limits;
use crate::model::State::{Down, Up};
use crate::model::{Moment, State};

/// Endpoints of dc1: 100 services with so many each, tried before dc2 and dc3.
fn many(of_each: usize) -> String {
    let service = |at: usize| {
        let mut tiers = String::new();
        let mut endpoints = String::from("    dc2: { ip: 192.0.2.2 }\n    dc3: { ip: 192.0.2.3 }\n");
        for endpoint in 0..of_each {
            tiers.push_str(&format!("e{endpoint}, "));
            let ip = format!("10.{}.{}.{}", at, endpoint / 250, endpoint % 250 + 1);
            endpoints.push_str(&format!("    e{endpoint}: {{ ip: {ip}, datacenter: dc1 }}\n"));
        }
        format!(
            "gslb:\n  domain: s{at}.example.com\n  \
             health_check: {{ protocol: https, interval: 5s, timeout: 3s, threshold: 3 }}\n  \
             policies:\n    default: {{ type: geolocation }}\n    \
               beijing: {{ failback: manual, tiers: [[{tiers}], dc2, dc3] }}\n  endpoints:\n{endpoints}"
        )
    };
    let datacenters = "datacenters: { dc1: {}, dc2: {}, dc3: {} }\n".to_owned();
    std::iter::once(datacenters).chain((0..100).map(service)).collect::<Vec<_>>().join("---\n")
}

/// `of_each` endpoints of each service die, and clients have gone within 10 s, by a few tables.
fn storm(of_each: usize, death: Death) {
    let then = ms(20_000);
    let network = move |place: &str, at: Moment| (place == "dc1" && at >= then).then_some(death);
    let mut world = World::new(&many(of_each), None, settings(false), 5, network);
    world.run(20_000);
    assert!(world.house.status().is_first_round_complete);
    assert_eq!(world.house.of_service("beijing", 99), "dc1");
    let before = world.tables.len();
    world.run(30_000);
    let status = world.house.status();
    let down = status.addresses().filter(|address| address.verdict.state == State::Down).count();
    assert_eq!(down, 100 * of_each);
    for service in 0..100 {
        assert_eq!(world.house.of_service("beijing", service), "dc2");
    }
    let made = world.tables.len() - before;
    assert!((1..=48).contains(&made), "{made} generations");
    assert_eq!(world.holds, [""; 0]);
}

#[test]
fn ten_thousand_endpoints_of_one_data_centre_that_die_at_once_are_a_few_generations() {
    storm(100, Death::Refused);
}

#[test]
fn so_are_as_many_black_holes_as_may_be_probed_at_once() {
    // Three probes of 3 s for each, at 800 a second.
    const { assert!(800 * 9 <= limits::PROBES_IN_FLIGHT_MAX) };
    storm(40, Death::BlackHole);
}

#[test]
fn what_is_found_down_in_a_storm_waits_for_its_turn_and_an_order_takes_it_along() {
    let other = REFERENCE.replace("domain: api.", "domain: b.");
    let mut house = House::well(&format!("{REFERENCE}---\n{other}"));
    house.at(10);
    for _ in 0..limits::HEALTH_BURST / 2 {
        house.down(&["dc2"]).up(&["dc2"]);
    }
    let before = house.generation();
    house.down(&["dc1"]);
    assert_eq!(house.generation(), before, "it is not its turn");
    let wake = house.control.next_wake().unwrap();
    assert!(wake > house.now().0 && wake.since(house.now().0).as_millis() <= u128::from(limits::HEALTH_PACE_MS));
    house.at(11);
    assert_eq!((house.generation(), house.of("beijing").as_str()), (before + 1, "dc3"), "dc2 is in its hold-down");
    // Again; and an order comes first.
    for _ in 0..limits::HEALTH_BURST {
        house.see(&["dc2"], Down).see(&["dc2"], Up);
    }
    let before = house.generation();
    house.down(&["dc3"]);
    assert_eq!(house.generation(), before);
    house.failback("dc3").unwrap();
    assert_eq!(house.generation(), before + 1);
    assert_eq!(house.of("beijing"), "dc2");
}
