//! The dry run's impact equals the deed's, through the whole writer.
//!
//! Hundreds of random orders of every kind, on whatever stands after the ones before, in whatever state health is. Each
//! is asked as a dry run, which must leave everything as it was, and then done. What the dry run said is what the deed
//! says, and what the deed's impact says is what really changed for clients.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::house::{House, REFERENCE, request};
use crate::control::orders::{Forcing, Impact, Order, OrderRefused, Request, Rule, Subject, SwitchMode, Whom};
use crate::control::{NotOrdered, Ordered, Submission};
use crate::model::{HealthSettings, Revision, ServiceIx, Settings, State};
use crate::table::RoutingTable;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

/// Beside the reference: a service with a home; one in two data centres with a geofence; one whose clients come back by
/// themselves.
fn four() -> String {
    format!(
        "{REFERENCE}\n---\n\
         gslb:\n  domain: home.example.com\n  home: dc1\n  health_check: {{ protocol: https }}\n  \
           policies:\n    default: {{ type: geolocation, fallback: priority }}\n    \
             shanghai: {{ primary: dc3, secondary: dc1 }}\n  \
           endpoints: {{ dc1: {{ datacenter: dc1, ip: 192.0.2.1, priority: 1 }}, dc2: {{ datacenter: dc2, ip: 192.0.2.2, priority: 2 }}, dc3: {{ datacenter: dc3, ip: 192.0.2.3, priority: 3 }} }}\n---\n\
         gslb:\n  domain: two.example.com\n  health_check: {{ protocol: https }}\n  \
           policies:\n    default: {{ type: geolocation, fallback: weighted }}\n    \
             beijing: {{ primary: one, geofence: true }}\n  \
           endpoints: {{ one: {{ datacenter: dc1, ip: 192.0.2.11 }}, three: {{ datacenter: dc3, ip: 192.0.2.13 }} }}\n---\n\
         gslb:\n  domain: auto.example.com\n  health_check: {{ protocol: https }}\n  \
           policies:\n    default: {{ type: geolocation, fallback: priority }}\n    \
             beijing: {{ tiers: [dc1, dc2, dc3], failback: auto }}\n    shanghai: {{ tiers: [dc3, dc1, dc2], failback: 5m }}\n  \
           endpoints: {{ dc1: {{ datacenter: dc1, ip: 192.0.2.21 }}, dc2: {{ datacenter: dc2, ip: 192.0.2.22 }}, dc3: {{ datacenter: dc3, ip: 192.0.2.23 }} }}\n---\n\
         datacenters:\n  dc1_beijing_primary: {{ capacity: 1000 }}\n  dc2_beijing_standby: {{ capacity: 500 }}\n  dc3_shanghai_dr: {{ aliases: [sh] }}\n\
         groups:\n  beijing: [dc1, dc2]\n"
    )
}

const DCS: [&str; 7] = ["dc1", "dc2", "dc3_shanghai_dr", "sh", "beijing", "DC2", "dc1,dc3"];
const SERVICES: [&str; 4] = ["api.meta-driven.example.com", "home.example.com", "two.example.com", "auto.example.com"];

fn whom(dice: &mut Dice) -> Whom {
    let services = dice.one_in(3).then(|| (0..1 + dice.roll(2)).map(|_| dice.one(&SERVICES).to_owned()).collect());
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
            services: Some(BTreeSet::from([dice.one(&SERVICES).to_owned()])),
        },
        _ => Subject::Datacenters { names: vec![dice.one(&DCS).to_owned()], services: None },
    }
}

fn order(dice: &mut Dice, house: &House) -> Order {
    let revisions = house.status().revision.0;
    match dice.roll(24) {
        0..=6 => Order::Switch {
            to: dice.one(&DCS).into(),
            mode: if dice.one_in(4) { SwitchMode::Pin } else { SwitchMode::Prefer },
            whom: whom(dice),
            from: dice.one_in(4).then(|| vec![dice.one(&DCS).to_owned()]),
        },
        7 | 8 => Order::ClearSwitch { whom: whom(dice) },
        9 | 10 => Order::Drain { subject: subject(dice) },
        11 | 12 => Order::Undrain { subject: subject(dice) },
        13 | 14 => {
            Order::Force { subject: subject(dice), to: [None, Some(Forcing::Up), Some(Forcing::Down)][dice.roll(3)] }
        }
        15 => Order::Weights { values: vec![(subject(dice), [None, Some(0), Some(7)][dice.roll(3)])] },
        16 => Order::Ttl {
            whom: whom(dice),
            datacenters: dice.one_in(2).then(|| vec![dice.one(&DCS).to_owned()]),
            seconds: [None, Some(5), Some(60)][dice.roll(3)],
        },
        17 | 18 => Order::Failback { datacenters: vec![dice.one(&DCS).to_owned()], whom: whom(dice) },
        19 => Order::Undo { revision: None },
        20 => Order::Undo { revision: Some(revisions.saturating_sub(dice.roll(4) as u64)) },
        21 => Order::Gate { is_open: !dice.one_in(3), role: dice.one_in(2).then(|| "operator".to_owned()) },
        22 => Order::Freeze,
        _ => Order::Unfreeze,
    }
}

fn request_of(dice: &mut Dice, house: &House) -> Request {
    let mut request = request(order(dice, house));
    request.expires_in = dice.one_in(2).then(|| Duration::from_secs(600 + 600 * dice.roll(4) as u64));
    request.sender.actor = dice.one(&["ann", "ann", "bob"]).into();
    request.sender.is_robot = dice.one_in(4);
    request.reason = dice.one(&["", "a drill"]).into();
    request.force = match dice.roll(3) {
        0 => BTreeSet::new(),
        1 => BTreeSet::from([Rule::ALL[dice.roll(Rule::ALL.len())]]),
        _ => Rule::ALL.into(),
    };
    let revision = house.status().revision.0;
    request.expected_revision = dice.one_in(8).then(|| revision + dice.roll(2) as u64);
    request
}

/// Everything that a dry run must leave as it was.
fn everything(house: &House) -> String {
    let status = house.status();
    let kept = house.kept();
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {}",
        (status.generation, status.revision, house.control.next_wake()),
        status.book,
        status.latches,
        status.alarms,
        status.moves,
        (&kept.latches, &kept.entered, &kept.yields),
        (kept.generation, kept.revision),
        house.paper.kinds(),
        house.paper.notes(),
        house.paper.held(),
        house.latches().len(),
    )
}

/// Data centres that can answer, by service and region.
type Served = BTreeMap<(String, String), BTreeSet<String>>;

fn served(table: &RoutingTable) -> Served {
    let policy = table.base().policy();
    let mut served = Served::new();
    for (at, service) in policy.services.iter().enumerate() {
        let ix = ServiceIx::from_at(at);
        let regions: BTreeSet<&str> = service
            .policy
            .routes
            .iter()
            .filter_map(|route| Some(policy.regions[route.region?.at()].id.as_str()))
            .chain(["default"])
            .collect();
        for region in regions {
            let client: IpAddr = match region {
                "beijing" => [10, 1, 0, 1],
                "shanghai" => [10, 2, 0, 1],
                _ => [10, 9, 0, 1],
            }
            .into();
            let outcome = table.service(ix).locate(client).outcome;
            let datacenters = table.datacenters_of(ix, outcome).iter();
            let ids = datacenters.map(|datacenter| policy.datacenters[datacenter.at()].id.to_string()).collect();
            served.insert((service.name.to_string(), region.to_owned()), ids);
        }
    }
    served
}

/// What clients see of the change is what the impact says. (It also tells of weights that are others among the same.)
fn is_what_happened(impact: &Impact, before: &Served, after: &Served) -> Result<(), String> {
    let told: BTreeMap<_, _> = impact
        .changes
        .iter()
        .filter(|change| change.from != change.to)
        .map(|change| ((change.service.clone(), change.region.clone()), (change.from.clone(), change.to.clone())))
        .collect();
    let happened: BTreeMap<_, _> = before
        .iter()
        .filter(|(key, was)| after[*key] != **was)
        .map(|(key, was)| (key.clone(), (was.clone(), after[key].clone())))
        .collect();
    match told == happened {
        true => Ok(()),
        false => Err(format!("it says {told:#?}, and what happened is {happened:#?}")),
    }
}

/// The answer without what only a deed has.
fn told(ordered: &Ordered) -> Ordered {
    // When the last old answer expires is the worst case before the deed, and what was really answered after it.
    Ordered {
        generation: Default::default(),
        is_dry_run: false,
        is_durable: true,
        applied_at: None,
        old_answers_until: None,
        ..ordered.clone()
    }
}

/// Nobody waits in a hold-down or a cooldown: what moves by itself does so at once.
fn settings() -> Settings {
    let health = HealthSettings { cooldown: Duration::ZERO, hold_down: Duration::ZERO, ..HealthSettings::default() };
    Settings { health, ..Settings::default() }
}

#[derive(Default)]
struct Counts {
    done: BTreeMap<&'static str, usize>,
    moving: usize,
    unchanged: usize,
    refused_by_rule: usize,
    refused: usize,
}

fn both_ways(house: &mut House, request: &Request, counts: &mut Counts) -> Result<(), String> {
    let (before, table) = (everything(house), house.control.current());
    let dry = Submission { is_dry_run: true, ..Submission::of(request.clone()) };
    let dry = house.submit(dry).try_recv().map_err(|_| "a dry run waits for nothing")?;
    if everything(house) != before || !Arc::ptr_eq(&table, &house.control.current()) {
        return Err(format!("the dry run changed something:\n{before}\n{}", everything(house)));
    }
    let was = served(&table);
    let revision = house.status().revision;
    let deed = house.order(request.clone());
    match (dry, deed) {
        (Ok(dry), Ok(deed)) => {
            if !dry.is_dry_run || deed.is_dry_run || told(&dry) != told(&deed) {
                return Err(format!("it said {dry:#?}\nand came to {deed:#?}"));
            }
            let now = served(&house.control.current());
            // An expiry that could not end before may follow at once: an order of its own.
            if house.status().revision.0 == deed.answer.revision {
                is_what_happened(&deed.answer.impact, &was, &now)?;
            }
            match deed.answer.changed {
                true => {
                    *counts.done.entry(request.order.kind()).or_default() += 1;
                    counts.moving += usize::from(!deed.answer.impact.changes.is_empty());
                    if house.status().revision <= revision {
                        return Err("a change is a revision".to_owned());
                    }
                }
                false => {
                    counts.unchanged += 1;
                    if house.status().revision != revision || !Arc::ptr_eq(&table, &house.control.current()) {
                        return Err("it says that nothing changed".to_owned());
                    }
                }
            }
        }
        // What refuses the deed is what the dry run names.
        (Ok(dry), Err(NotOrdered::Refused(OrderRefused::Rules { refusals }))) => {
            counts.refused_by_rule += 1;
            if dry.answer.impact.refused_by != refusals {
                return Err(format!("it would be refused by {:?}, and is by {refusals:?}", dry.answer.impact));
            }
        }
        (Err(dry), Err(deed)) if dry == deed => counts.refused += 1,
        (dry, deed) => return Err(format!("it said {dry:#?}\nand came to {deed:#?}")),
    }
    if house.status().revision == revision && was != served(&house.control.current()) {
        return Err("clients moved without a revision".to_owned());
    }
    Ok(())
}

#[test]
fn hundreds_of_random_orders_do_what_their_dry_run_said() {
    let mut counts = Counts::default();
    for seed in 0..16 {
        let mut dice = Dice(seed);
        let mut house = House::with(&four(), |_| {}, settings()).all_up();
        for step in 1..=60 {
            house.at(step * 60);
            if dice.one_in(3) {
                let state = [State::Up, State::Up, State::Down, State::Unknown][dice.roll(4)];
                house.see(&[["dc1", "dc2", "dc3"][dice.roll(3)]], state);
            }
            let request = request_of(&mut dice, &house);
            let result = both_ways(&mut house, &request, &mut counts);
            result.unwrap_or_else(|why| panic!("seed {seed}, step {step}: {request:#?}\n{why}"));
        }
        // The journal alone leads a new process to the same revision.
        let revision = house.status().revision;
        assert_ne!(revision, Revision(0));
        assert_eq!(house.restart(1).status().revision, revision);
    }
    let done: usize = counts.done.values().sum();
    assert!(done > 300 && counts.moving > 120, "{done} done, {} moving", counts.moving);
    assert!(counts.refused_by_rule > 50 && counts.refused > 20 && counts.unchanged > 50);
    let missing: Vec<&str> =
        "switch clear-switch drain undrain force-up force-down force-auto weights ttl failback undo freeze unfreeze gate"
            .split(' ')
            .filter(|kind| !counts.done.contains_key(kind))
            .collect();
    assert!(missing.is_empty(), "never done: {missing:?}");
}
