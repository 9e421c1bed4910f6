//! What must always hold, over random histories. Seeds are fixed: a failure comes back.

use std::collections::BTreeSet;

use super::house::{House, REFERENCE};
use crate::model::State::{Down, Unknown, Up};
use crate::model::{Facts, Generation, ServiceIx, State};
use crate::steer::Floor;
use crate::table::{RoutingTable, standings};

struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % n
    }
}

const DATACENTERS: [&str; 3] = ["dc1", "dc2", "dc3"];

/// Usable without minding a hold-down: by the facts of the table that serves.
fn usable(house: &House) -> BTreeSet<&'static str> {
    let table = house.control.current();
    let standings = standings(&table.base().policy().services[0], ServiceIx(0), table.facts());
    let up = standings.iter().zip(DATACENTERS).filter(|(standing, _)| standing.is_usable(Floor::Held));
    up.map(|(_, name)| name).collect()
}

#[test]
fn invariant_10_clients_go_back_to_what_they_left_only_when_nothing_else_is_usable() {
    let (mut moves, mut returns) = (0, 0);
    for seed in 0..60 {
        let dice = &mut Dice(seed);
        let mut house = House::well(REFERENCE);
        for (place, first) in [("beijing", "dc1"), ("shanghai", "dc3")] {
            assert_eq!(house.of(place), first);
        }
        let mut left: [BTreeSet<String>; 2] = Default::default();
        let mut before = ["dc1".to_owned(), "dc3".to_owned()];
        for _ in 0..80 {
            let then = house.now_s + [0, 1, 7, 40, 700][dice.below(5) as usize];
            house.at(then);
            match dice.below(12) {
                // Everything that is not an order to go back.
                0 => {
                    house = house.restart(dice.below(7200) as i64 - 3600);
                }
                1 => house.reload(REFERENCE),
                _ => {
                    let datacenter = DATACENTERS[dice.below(3) as usize];
                    let state = [Up, Up, Down, Down, Unknown][dice.below(5) as usize];
                    house.see(&[datacenter], state);
                }
            }
            let usable = usable(&house);
            for (at, place) in ["beijing", "shanghai"].into_iter().enumerate() {
                let now = house.of(place);
                if now == before[at] {
                    continue;
                }
                moves += 1;
                let never_left = usable.iter().any(|datacenter| !left[at].contains(*datacenter));
                if left[at].contains(&now) {
                    assert!(!never_left, "{place}: {} → {now}, left {:?}, usable {usable:?}", before[at], left[at]);
                    returns += 1;
                    // They are back; what they were in is what they have left now.
                    left[at].remove(&now);
                }
                left[at].insert(std::mem::replace(&mut before[at], now));
            }
        }
    }
    assert!(moves > 300 && returns > 50, "{moves} moves, {returns} returns");
}

#[test]
fn invariant_12_silence_moves_nobody() {
    for seed in 0..40 {
        let dice = &mut Dice(seed);
        let mut house = House::well(REFERENCE);
        for _ in 0..30 {
            let (datacenter, state) = (DATACENTERS[dice.below(3) as usize], [Up, Down][dice.below(2) as usize]);
            let then = house.now_s + dice.below(50);
            house.at(then).see(&[datacenter], state);
        }
        let then = house.now_s + 1000;
        house.at(then);
        let before = [house.of("beijing"), house.of("shanghai"), house.of("elsewhere")];
        let generation = house.generation();
        for datacenter in DATACENTERS {
            house.see(&[datacenter], Unknown);
        }
        assert_eq!([house.of("beijing"), house.of("shanghai"), house.of("elsewhere")], before);
        assert_eq!(house.generation(), generation, "and makes no table");
    }
}

#[test]
fn what_serves_is_always_what_a_full_compile_of_its_facts_gives() {
    let mut text: Vec<String> = Vec::new();
    for at in 0..700 {
        let octets = format!("1.{}.{}.", at / 250 + 10, at % 250);
        text.push(REFERENCE.replace("domain: api.", &format!("domain: s{at:04}.")).replace("1.1.1.", &octets));
    }
    let mut house = House::well(&text.join("---\n"));
    let dice = &mut Dice(7);
    let targets = house.targets();
    let mut shared = 0;
    for _ in 0..25 {
        let target = targets[dice.below(targets.len() as u64) as usize].id;
        let state: State = [Up, Down][dice.below(2) as usize];
        let before = house.control.current();
        house.now_s += 1;
        house.health(vec![(target, state)]);
        let table = house.control.current();
        let facts: Facts = table.facts().clone();
        let full = RoutingTable::compile(table.base(), facts.into(), Generation(1));
        assert!(table.answers_like(&full));
        shared += table.chunks_shared_with(&before);
    }
    assert!(shared >= 25, "chunks that nothing touched are the same ones: {shared}");
}
