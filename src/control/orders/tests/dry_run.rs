//! The dry run's impact equals the deed's.
//!
//! Hundreds of random orders, on whatever stands after the ones before, in whatever state health is. Each is drafted
//! (what a dry run does), then done: journalled as text, read back, and compiled from nothing. Both must come to the
//! same answers and the same impact.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::desk::{Desk, request, three};
use crate::control::orders::*;
use crate::model::{Generation, ServiceIx, State};
use crate::table::RoutingTable;

/// SplitMix64.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    pub(super) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }

    pub(super) fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

const DCS: [&str; 6] = ["dc1", "dc2", "dc3_shanghai_dr", "sh", "beijing", "DC2"];
const SERVICES: [&str; 3] = ["api.meta-driven.example.com", "home.example.com", "two.example.com"];

fn whom(dice: &mut Dice) -> Whom {
    let services = dice.one_in(3).then(|| {
        let count = 1 + dice.roll(2);
        (0..count).map(|_| dice.one(&SERVICES).to_owned()).collect()
    });
    let regions = dice.one_in(3).then(|| BTreeSet::from([dice.one(&["beijing", "shanghai", "default"]).to_owned()]));
    Whom { services, regions }
}

fn subject(dice: &mut Dice) -> Subject {
    match dice.roll(4) {
        0 => Subject::Endpoints {
            service: SERVICES[1].into(),
            endpoints: BTreeSet::from([dice.one(&["dc1", "dc2", "dc3"]).to_owned()]),
        },
        1 => Subject::Datacenters {
            names: vec![dice.one(&DCS).to_owned()],
            services: Some(BTreeSet::from([SERVICES[1].to_owned()])),
        },
        _ => Subject::Datacenters { names: vec![dice.one(&DCS).to_owned()], services: None },
    }
}

pub(super) fn order(dice: &mut Dice, book: &Book) -> Order {
    let standing: Vec<u64> = book.standing().map(|standing| standing.revision).collect();
    match dice.roll(20) {
        0..=5 => Order::Switch {
            to: dice.one(&DCS).into(),
            mode: if dice.one_in(4) { SwitchMode::Pin } else { SwitchMode::Prefer },
            whom: whom(dice),
            from: dice.one_in(4).then(|| vec![dice.one(&DCS).to_owned()]),
        },
        6 | 7 => Order::ClearSwitch { whom: whom(dice) },
        8 | 9 => Order::Drain { subject: subject(dice) },
        10 => Order::Undrain { subject: subject(dice) },
        11 => Order::Force { subject: subject(dice), to: [None, Some(Forcing::Up), Some(Forcing::Down)][dice.roll(3)] },
        12 => Order::Weights { values: vec![(subject(dice), [None, Some(0), Some(7)][dice.roll(3)])] },
        13 => Order::Ttl {
            whom: whom(dice),
            datacenters: dice.one_in(2).then(|| vec![dice.one(&DCS).to_owned()]),
            seconds: [None, Some(5), Some(60)][dice.roll(3)],
        },
        14 => Order::Failback { datacenters: vec![dice.one(&DCS).to_owned()], whom: whom(dice) },
        15 | 16 => Order::Undo { revision: None },
        17 if !standing.is_empty() => Order::Expire { revision: standing[dice.roll(standing.len())] },
        18 => Order::Gate { is_open: dice.one_in(2), role: None },
        _ => Order::Unfreeze,
    }
}

fn samples(dice: &mut Dice) -> Vec<Sample> {
    let one = |dice: &mut Dice| Sample {
        service: ServiceIx::from_at(dice.roll(3)),
        client: IpAddr::from([10, 1 + dice.roll(4) as u8, 0, dice.roll(250) as u8]),
        rtype: 1,
        weight: 3,
    };
    (0..50).map(|_| one(dice)).collect()
}

#[test]
fn a_dry_run_says_what_the_deed_does() {
    let (mut done, mut moving, mut refused) = (0, 0, 0);
    for seed in 0..12 {
        let mut dice = Dice(seed);
        let mut desk = Desk::new(&three());
        for step in 0..60 {
            desk.at(step * 10);
            if dice.one_in(4) {
                let state = [State::Up, State::Up, State::Down, State::Unknown][dice.roll(4)];
                desk.see(&[["dc1", "dc2", "dc3"][dice.roll(3)]], state);
            }
            let mut request = request(order(&mut dice, &desk.book)).forcing(&Rule::ALL);
            request.expires_in = dice.one_in(2).then(|| Duration::from_secs(600 + 600 * dice.roll(4) as u64));
            let before = desk.table.recompile(Arc::new(desk.table.facts().clone()), &BTreeSet::new(), Generation(0));
            let Ok((told, draft)) = desk.dry(&request) else {
                refused += 1;
                assert!(desk.order(request).is_err(), "refused is refused");
                continue;
            };
            let queries = samples(&mut dice);
            let of = |table: &RoutingTable| {
                impact(
                    &before,
                    table,
                    &draft.touched,
                    Samples { queries: queries.clone(), span: Duration::from_secs(60) },
                )
            };
            let dry = draft.table.as_ref().map(of);
            // The deed: the store's text, and everything compiled from nothing.
            let book = desk.book.clone();
            let answer = desk.order(request.clone()).unwrap();
            assert_eq!(answer, told, "seed {seed}, step {step}: {request:?}");
            let Some(dry) = dry else {
                assert_eq!(desk.book, book);
                continue;
            };
            let mut world = draft.table.as_ref().unwrap().facts().clone();
            world.overrides.clear();
            let behind = desk.book.facts(desk.policy(), &crate::model::Facts::all_up(), &BTreeSet::new()).latches;
            world.latches.retain(|latch| !behind.contains(latch));
            let facts = desk.book.facts(desk.policy(), &world, &BTreeSet::new());
            let deed = RoutingTable::compile(&desk.base, Arc::new(facts), Generation(1));
            assert!(
                draft.table.as_ref().unwrap().answers_like(&deed),
                "seed {seed}, step {step}: {request:?}\n{:#?}",
                desk.book
            );
            assert_eq!(of(&deed), dry, "seed {seed}, step {step}: {request:?}");
            done += 1;
            moving += usize::from(dry.services > 0);
            // Nothing moves that is not in the impact's services.
            let all: BTreeSet<ServiceIx> = (0..3).map(ServiceIx::from_at).collect();
            let nothing: [Sample; 0] = [];
            let whole = impact(&before, &deed, &all, Samples { queries: nothing, span: Duration::ZERO });
            assert_eq!(whole.changes, dry.changes, "seed {seed}, step {step}: {request:?}");
        }
    }
    assert!(done > 300 && moving > 120 && refused < done, "{done} done, {moving} moving, {refused} refused");
}

#[test]
fn shares_count_addresses_and_queries() {
    let mut desk = Desk::new(&three());
    let table = desk.table.recompile(Arc::new(desk.table.facts().clone()), &BTreeSet::new(), Generation(0));
    let answer = desk.order(super::desk::switch("dc2").services(&["api.meta-driven.example.com"])).unwrap();
    let impact_of = |queries: Vec<Sample>| {
        let service = BTreeSet::from([desk.service("api")]);
        impact(&table, &desk.table, &service, Samples { queries, span: Duration::from_secs(9) })
    };
    let ask =
        |place: u8| Sample { service: desk.service("api"), client: [10, place, 0, 1].into(), rtype: 28, weight: 1 };
    // Elsewhere 100 : 50 : 30 becomes all dc2: 13 of 18 move.
    let elsewhere = impact_of(vec![ask(9)]).queries.unwrap();
    assert_eq!(elsewhere.moved_ppm, 722_223);
    let both = impact_of(vec![ask(1), ask(1), ask(1), ask(9)]).queries.unwrap();
    assert_eq!((both.moved_ppm, both.sampled, both.span_s), (930_555, 4, 9));
    assert_eq!(impact_of(vec![]).queries, None, "no samples is unknown, not 0");
    // Two networks of 65 536 addresses are in regions; all other addresses are elsewhere.
    let all = impact_of(vec![]).addresses_moved_ppm;
    assert!((722_221..=722_240).contains(&all), "{all}");
    assert_eq!(answer.impact.changes.len(), 3);
    assert_eq!(answer.impact.capacity.len(), 1, "{:?}", answer.impact.capacity);
    assert!(answer.warnings.iter().any(|warning| warning.contains("beijing, shanghai")), "{:?}", answer.warnings);
}
