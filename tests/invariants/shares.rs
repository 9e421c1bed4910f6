//! Shares: what a weight promises, over the answer path; and how little a sticky service moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use meridian::model::{Admin, Facts, Generation};
use meridian::serve::Random;
use meridian::table::{Base, RoutingTable};

use super::common::message::{A, Question};
use super::common::{Texts, all_up};

/// The reference policy's clients of no listed region.
const REFERENCE: &str = r"
gslb:
  domain: api.meta-driven.example.com
  policies:
    default: { type: geolocation, fallback: round_robin }
    beijing: { primary: dc1, secondary: dc2, tertiary: dc3 }
  endpoints:
    dc1: { ip: 1.1.1.1, weight: 100, priority: 1 }
    dc2: { ip: 1.1.1.2, weight: 50, priority: 2 }
    dc3: { ip: 2.2.2.1, weight: 30, priority: 3 }
";

const STICKY: &str = r"
gslb:
  domain: st.test
  policies: { default: { type: sticky } }
  endpoints:
    m1: { ip: 192.0.2.1, weight: 100 }
    m2: { ip: 192.0.2.2, weight: 50 }
    m3: { ip: 192.0.2.3, weight: 30 }
    m4: { ip: 192.0.2.4, weight: 20 }
";

fn chi_square(counts: &[(u64, f64)]) -> f64 {
    let total: u64 = counts.iter().map(|(count, _)| count).sum();
    let weights: f64 = counts.iter().map(|(_, weight)| weight).sum();
    counts
        .iter()
        .map(|&(count, weight)| {
            let expected = total as f64 * weight / weights;
            (count as f64 - expected).powi(2) / expected
        })
        .sum()
}

#[test]
fn weighted_answers_come_in_proportion() {
    let table = Texts::policy(REFERENCE).table();
    // The generator that the workers use.
    let mut random = Random::seeded(1);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..36_000 {
        let question = Question::new("api.meta-driven.example.com", A).from("10.99.0.1").random(random.next_u64());
        let reply = question.ask(&table);
        let [one] = reply.answers.as_slice() else { panic!("one per answer: {reply:#?}") };
        *counts.entry(one.text.clone()).or_default() += 1;
    }
    let count = |address: &str| counts[address];
    let chi = chi_square(&[(count("1.1.1.1"), 100.0), (count("1.1.1.2"), 50.0), (count("2.2.2.1"), 30.0)]);
    // Two degrees of freedom: 13.8 is passed once in a thousand seeds.
    assert!(chi < 13.8, "{counts:?}: chi-square {chi}");
}

fn client(at: u32) -> String {
    format!("172.{}.{}.7", 16 + at / 256, at % 256)
}

/// Which address each of 4096 networks gets.
fn assignment(table: &RoutingTable) -> Vec<String> {
    (0..4096)
        .map(|at| {
            let reply = Question::new("st.test", A).from(&client(at)).random(at.into()).ask(table);
            reply.texts().join("+")
        })
        .collect()
}

fn without(base: &Arc<Base>, id: &str) -> RoutingTable {
    let mut facts = Facts::all_up();
    let at = base.policy().datacenters.iter().position(|dc| dc.id.as_str() == id).unwrap();
    facts.datacenters.insert(meridian::model::DatacenterIx::from_at(at), Admin::Out);
    RoutingTable::compile(base, Arc::new(facts), Generation(2))
}

#[test]
fn sticky_clients_are_shared_by_weight_and_a_member_that_leaves_moves_only_its_own() {
    let base = Texts::policy(STICKY).base();
    let before = assignment(&all_up(&base));
    let count = |address: &str| before.iter().filter(|got| *got == address).count() as u64;
    let weights = [("192.0.2.1", 100.0), ("192.0.2.2", 50.0), ("192.0.2.3", 30.0), ("192.0.2.4", 20.0)];
    let chi = chi_square(&weights.map(|(address, weight)| (count(address), weight)));
    // Three degrees of freedom: 16.3 is passed once in a thousand.
    assert!(chi < 16.3, "chi-square {chi}");
    for (member, (left, _)) in ["m1", "m2", "m3", "m4"].into_iter().zip(weights) {
        let after = assignment(&without(&base, member));
        let mut gained: BTreeMap<&str, u64> = BTreeMap::new();
        for (was, is) in before.iter().zip(&after) {
            if was == left {
                assert_ne!(is, left, "ordered out");
                *gained.entry(is).or_default() += 1;
            } else {
                assert_eq!(was, is, "a client of another member moved");
            }
        }
        // Those that moved went to the others by weight.
        let others: Vec<(u64, f64)> = weights
            .iter()
            .filter(|(address, _)| *address != left)
            .map(|(address, weight)| (gained.get(address).copied().unwrap_or(0), *weight))
            .collect();
        let chi = chi_square(&others);
        assert!(chi < 13.8, "{member} left: {gained:?}, chi-square {chi}");
    }
}

#[test]
fn a_sticky_client_is_its_network_and_chance_has_no_say() {
    let table = Texts::policy(STICKY).table();
    for at in (0..4096).step_by(64) {
        let ask = |client: &str, random: u64| {
            Question::new("st.test", A).from(client).random(random).ask(&table).texts().join("+")
        };
        let one = ask(&client(at), 0);
        for (other, random) in [(".1", u64::MAX), (".254", 1 << 63), (".7", 12_345)] {
            let neighbour = format!("{}{other}", client(at).rsplit_once('.').unwrap().0);
            assert_eq!(ask(&neighbour, random), one, "{neighbour}");
        }
    }
}
