//! A table compiled from its predecessor is the table that a full compile gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use meridian::model::{AddressKey, Facts, Generation, ServiceIx, State, Verdict};
use meridian::table::RoutingTable;

use super::common::{Dice, Texts};
use super::worlds::{self, Kind};

/// So many copies of a random world's services that there are several chunks.
fn many(dice: &mut Dice) -> Texts {
    let texts = worlds::texts(dice, Kind::Any);
    let mut many = Texts { policies: vec![texts.policies[0].clone()], ..texts.clone() };
    for copy in 0..120 {
        for (_, text) in &texts.policies[1..] {
            many = many.and_policy(&text.replacen("domain: s", &format!("domain: x{copy}-s"), 1));
        }
    }
    many
}

#[test]
fn what_is_recompiled_equals_what_is_compiled_whatever_changes() {
    let (mut shared, mut moved) = (0, 0);
    for seed in 0..6 {
        let dice = &mut Dice(seed);
        let base = many(dice).base();
        let services = &base.policy().services;
        assert!(services.len() > 300, "{} services", services.len());
        let mut facts: Facts = worlds::facts(dice, base.policy(), Kind::Any, true);
        let mut table = RoutingTable::compile(&base, Arc::new(facts.clone()), Generation(1));
        for step in 2..12 {
            let mut touched = BTreeSet::new();
            for _ in 0..1 + dice.below(4) {
                let service = ServiceIx::from_at(dice.below(services.len()));
                let (endpoint, of) = services[service.at()].endpoints().next().unwrap();
                for address in 0..of.data.address_count() {
                    let address = u16::try_from(address).unwrap();
                    let state = *dice.pick(&[State::Up, State::Down, State::Unknown]);
                    let verdict = Verdict { state, is_held: state == State::Up && dice.one_in(2) };
                    facts.health.of.insert(AddressKey { service, endpoint, address }, verdict);
                }
                touched.insert(service);
            }
            let next = table.recompile(Arc::new(facts.clone()), &touched, Generation(step));
            let full = RoutingTable::compile(&base, Arc::new(facts.clone()), Generation(step));
            assert!(next.answers_like(&full), "seed {seed}, step {step}");
            assert_eq!(next.generation(), Generation(step));
            shared += next.chunks_shared_with(&table);
            moved += usize::from(!next.answers_like(&table));
            table = next;
        }
    }
    assert!(shared > 10 && moved > 20, "{shared} chunks shared, {moved} tables that differ");
}
