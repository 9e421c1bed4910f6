//! `nearest` is the nearest of those that a pool names, and costs scopes only where it is asked.

use super::common::Texts;
use super::common::message::{A, Question};

const WORLD: &str = "datacenters:
  zrh: { latitude: 47.4, longitude: 8.5 }
  ams: { latitude: 52.4, longitude: 4.9 }
  ny: { latitude: 40.7, longitude: -74.0 }
  tokyo: { latitude: 35.7, longitude: 139.7 }
  osaka: { latitude: 34.7, longitude: 135.5 }
  seoul: { latitude: 37.6, longitude: 127.0 }
  hk: { latitude: 22.3, longitude: 114.2 }
gslb:
  domain: x.example.com
  policies:
    default: { type: geolocation, fallback: FALLBACK }
    cn-bj: { primary: { method: nearest, members: [ny, zrh] } }
    us: { primary: { method: weighted, members: [ny, zrh] } }
  endpoints:
    zrh: { ip: 192.0.2.1 }
    ams: { ip: 192.0.2.2 }
    ny: { ip: 192.0.2.3 }
    tokyo: { ip: 192.0.2.4 }
    osaka: { ip: 192.0.2.5 }
    seoul: { ip: 192.0.2.6 }
    hk: { ip: 192.0.2.7 }
";

/// Two halves of one network in the United States, at its two coasts.
const COASTS: &str = "networks:
  100.64.0.0/17: { country: US, latitude: 40.7, longitude: -74.0 }
  100.64.128.0/17: { country: US, latitude: 37.8, longitude: -122.4 }
";

#[test]
fn the_nearest_of_a_pool_is_found_among_its_own_members() {
    for fallback in ["nearest", "weighted"] {
        let table = Texts::policy(&WORLD.replace("FALLBACK", fallback)).table();
        let reply = Question::new("x.example.com", A).ecs("10.1.0.0/24").ask(&table);
        assert_eq!(
            reply.addresses(),
            ["192.0.2.1".parse().unwrap()].into(),
            "Zurich is nearer to Beijing than New York is"
        );
    }
}

#[test]
fn a_region_that_does_not_ask_keeps_its_scope_beside_one_that_does() {
    let table = Texts::policy(&WORLD.replace("FALLBACK", "none")).and_policy(COASTS).table();
    let scope = |ecs: &str| Question::new("x.example.com", A).ecs(ecs).ask(&table).scope();
    let (east, west) = (scope("100.64.1.0/24"), scope("100.64.200.0/24"));
    assert_eq!(east, west);
    assert!(east.is_some_and(|scope| scope <= 16), "one answer for both coasts: {east:?}");
}
