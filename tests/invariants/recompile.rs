//! A table compiled from its predecessor is the table that a full compile gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use meridian::model::{
    AddressKey, Admin, EndpointIx, Facts, Generation, Latch, Override, OverrideKind, Revision, Scope, ServiceIx, State,
    Verdict, Weight,
};
use meridian::steer::{Plan, Source, Variant};
use meridian::table::{RoutingTable, explain};

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

/// Services that are alike are planned together; facts about one of them alone must not reach the others, nor be lost.
#[test]
fn services_that_are_alike_get_what_each_of_them_would_get_alone() {
    let (mut compared, mut moved) = (0, 0);
    for seed in 0..8 {
        let dice = &mut Dice(seed);
        let base = many(dice).base();
        let services = &base.policy().services;
        let mut facts: Facts = worlds::facts(dice, base.policy(), Kind::Any, true);
        for revision in 900..920 {
            let ix = ServiceIx::from_at(dice.below(services.len()));
            let (endpoint, of) = services[ix.at()].endpoints().last().unwrap();
            match dice.below(4) {
                0 => facts.overrides.push(Override {
                    kind: OverrideKind::Weight { endpoints: [(ix, endpoint)].into(), weight: Weight::new(77).unwrap() },
                    scope: Scope::all(),
                    revision: Revision(revision),
                    actor: String::new(),
                    reason: String::new(),
                    expires_at: None,
                }),
                1 => drop(facts.endpoints.insert((ix, endpoint), Admin::Out)),
                2 => facts.latches.push(Latch {
                    datacenter: of.datacenter,
                    scope: Scope { services: Some([ix].into()), regions: Some([None].into()) },
                }),
                _ => {
                    let orders = facts.overrides.iter();
                    let prefers = orders.filter(|order| matches!(order.kind, OverrideKind::Prefer { .. }));
                    facts.yields.extend(prefers.map(|order| (order.revision, ix, endpoint)));
                }
            }
        }
        let table = RoutingTable::compile(&base, Arc::new(facts), Generation(1));
        let clients: Vec<_> = (0..6).map(|_| worlds::client(dice)).collect();
        for ix in (0..services.len()).map(ServiceIx::from_at) {
            for client in &clients {
                let view = table.service(ix);
                let outcome = view.locate(*client).outcome;
                let members: Vec<(EndpointIx, u32)> = view.members(outcome).collect();
                let each = |of: &Variant| {
                    let endpoints = of.endpoints.iter();
                    endpoints.map(|(endpoint, _)| (*endpoint, of.weight)).collect::<Vec<_>>()
                };
                let (alone, verdict) = match explain(&table, ix, *client, 0).plan {
                    Plan::Choose { variants, source, .. } => (variants.iter().flat_map(each).collect(), Ok(source)),
                    Plan::NoData(why) => (Vec::new(), Err(why)),
                };
                assert_eq!((&members, view.verdict_of(outcome)), (&alone, verdict), "seed {seed}, {ix:?}, {client}");
                compared += 1;
                moved += usize::from(verdict != Ok(Source::Policy));
            }
        }
    }
    assert!(compared > 10_000 && moved > 1_000, "{compared} compared, {moved} of them by more than policy");
}
