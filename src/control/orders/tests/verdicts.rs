//! What each rule says by itself; and that none refuses what makes nothing worse.

use std::collections::{BTreeMap, BTreeSet};

use super::desk::{Desk, request, three};
use super::dry_run::{Dice, order};
use super::rules::{parse, prepare};
use crate::control::orders::rules::verdicts;
use crate::control::orders::scene::Scene;
use crate::control::orders::*;
use crate::model::{Facts, Revision, ServiceIx, State};
use crate::table::{RoutingTable, standings};

/// Rule, facts, order, what the rule says. `-`: nothing changes, so it is not asked.
#[rustfmt::skip]
const TABLE: &[(Rule, &str, &str, &str)] = &[
    (Rule::TargetUnhealthy, "", "switch dc2", "allow"),
    (Rule::TargetUnhealthy, "down dc2", "switch dc2", "refuse"),
    (Rule::TargetUnhealthy, "down dc2", "drain dc1", "allow"),
    (Rule::TargetUnhealthy, "unknown dc2", "switch dc2", "refuse"),
    (Rule::TargetUnhealthy, "down dc2; down dc1; down dc3", "switch dc2", "allow"),
    (Rule::TargetUnhealthy, "down home/dc2", "switch dc2", "warn"),
    (Rule::TargetUnhealthy, "down home/dc2", "switch dc2 for api,home", "refuse"),
    (Rule::TargetUnhealthy, "down dc2", "clear", "-"),
    // A service that another order decides is not sent anywhere by this one.
    (Rule::TargetUnhealthy, "switch dc3 for home; down home/dc2", "switch dc2", "allow"),
    (Rule::TargetUnhealthy, "pin dc3 for home; down home/dc2; down api/dc2", "switch dc2", "refuse"),
    (Rule::TargetUnhealthy, "pin dc3 for api,home; down dc2", "switch dc2", "allow"),
    (Rule::TargetUnhealthy, "pin dc3; down dc2", "pin dc2", "refuse"),
    (Rule::TargetUnhealthy, "down dc1", "switch dc1 for home", "refuse"),
    (Rule::TargetUnhealthy, "", "switch dc1 for home", "allow"),
    (Rule::TargetOut, "", "switch dc2", "allow"),
    (Rule::TargetOut, "out dc2", "switch dc2", "refuse"),
    (Rule::TargetOut, "out dc2", "switch beijing", "allow"),
    (Rule::TargetOut, "out dc2; pin dc3 for api,home", "switch dc2", "allow"),
    (Rule::TargetOut, "out home/dc2", "switch dc2", "warn"),
    (Rule::TargetOut, "out home/dc2", "switch dc2 for home", "refuse"),
    (Rule::TargetOut, "out home/dc2; switch dc3 for home", "switch dc2", "allow"),
    (Rule::TargetOut, "out dc2", "drain dc1", "allow"),
    (Rule::TargetNotReady, "", "switch dc2", "allow"),
    (Rule::LastDc, "", "drain dc2", "allow"),
    // A geofence leaves its clients nothing else.
    (Rule::LastDc, "", "drain dc1", "refuse"),
    (Rule::LastDc, "down dc2; down dc3", "drain dc1", "refuse"),
    (Rule::LastDc, "down dc1; down dc2; down dc3", "drain dc2", "allow"),
    (Rule::LastDc, "down two/dc3", "drain dc1", "refuse"),
    (Rule::LastDc, "out dc1 forced; out dc2", "clear", "-"),
    (Rule::LastDc, "out dc1 forced", "switch dc1", "allow"),
    (Rule::MinDatacenters, "", "drain dc1", "allow"),
    (Rule::MinDatacenters, "out dc2", "drain dc1", "refuse"),
    (Rule::MinDatacenters, "out dc2", "undrain dc2", "allow"),
    (Rule::MinDatacenters, "down dc1; down dc2", "drain dc1", "allow"),
    (Rule::MinDatacenters, "down dc1; down dc2; out dc1 forced", "switch dc3", "allow"),
    (Rule::Contended, "switch dc3 by bob", "switch dc2", "refuse"),
    (Rule::Contended, "switch dc3 by bob for two", "switch dc2 for home", "allow"),
    (Rule::Contended, "switch dc3 by bob for two", "switch dc2", "refuse"),
    (Rule::Contended, "switch dc3 by bob", "switch dc2 by bob", "allow"),
    (Rule::Contended, "switch dc3 by bob; wait 300", "switch dc2", "allow"),
    (Rule::Contended, "switch dc3 by bob", "drain dc1", "allow"),
    (Rule::Gate, "gate closed", "switch dc2 robot", "refuse"),
    (Rule::Gate, "gate closed", "switch dc2", "allow"),
    (Rule::PinNeedsExpiry, "", "pin dc2", "allow"),
    (Rule::PinNeedsExpiry, "", "pin dc2 forever", "refuse"),
    (Rule::PinNeedsExpiry, "", "switch dc2", "allow"),
];

const FULL: [(&str, &str); 3] =
    [("api", "api.meta-driven.example.com"), ("home", "home.example.com"), ("two", "two.example.com")];

/// As the other table's words, and `for SERVICE,…`, `out SERVICE/DC`, `undrain DC`.
fn parsed(words: &str) -> Request {
    let full = |short: &str| FULL.iter().find(|(name, _)| *name == short).expect("a service").1;
    let (first, rest) = words.split_once(' ').unwrap_or((words, ""));
    if let ("out", Some((service, dc))) = (first, rest.split_once('/')) {
        let subject =
            Subject::Datacenters { names: vec![dc.into()], services: Some([full(service).to_owned()].into()) };
        return request(Order::Drain { subject });
    }
    if first == "undrain" {
        return request(Order::Undrain { subject: super::desk::datacenters(&[rest]) });
    }
    match words.split_once(" for ") {
        Some((order, services)) => {
            let services: Vec<&str> = services.split(',').map(full).collect();
            parse(order).services(&services)
        }
        None => parse(words),
    }
}

fn set(desk: &mut Desk, facts: &str) {
    for fact in facts.split(';').map(str::trim).filter(|fact| !fact.is_empty()) {
        match fact.strip_prefix("down ").and_then(|rest| rest.split_once('/')) {
            Some((service, dc)) => drop(desk.see_of(service, dc, State::Down)),
            None if fact.contains(" for ") || fact.contains('/') => drop(desk.order(parsed(fact)).unwrap()),
            None => prepare(desk, fact),
        }
    }
}

/// What each rule says; `None`: nothing changes.
fn say(desk: &Desk, request: &Request) -> Option<BTreeMap<Rule, Verdict>> {
    let (resolved, draft) = desk.drafted(request).ok()?;
    let is_home = matches!(resolved.deed, Deed::ClearSwitch { home: Some(_), .. });
    let after = draft.table.as_ref().or(is_home.then_some(&desk.table))?;
    let case = Case {
        request,
        resolved: &resolved,
        before: &desk.table,
        after,
        live: None,
        book: &desk.book,
        touched: &draft.touched,
        revision: Revision(draft.applied.revision),
        now: desk.wall(),
        settings: &desk.settings,
    };
    Some(verdicts(&Scene::new(&case)).into_iter().collect())
}

#[test]
fn each_rule_says_what_its_rows_say() {
    let mut wrong = Vec::new();
    for (rule, facts, order, expected) in TABLE {
        let mut desk = Desk::new(&three());
        set(&mut desk, facts);
        desk.settings.min_datacenters = Some(2);
        let said = match say(&desk, &parsed(order)).map(|mut all| all.remove(rule).expect("every rule")) {
            None => "-",
            Some(Verdict::Allow) => "allow",
            Some(Verdict::Warn(_)) => "warn",
            Some(Verdict::Refuse(refusal)) => {
                assert_eq!((refusal.rule, refusal.detail.is_empty()), (*rule, false));
                "refuse"
            }
        };
        if said != *expected {
            wrong.push(format!("{rule}: {facts:?}, then {order}: expected {expected}, got {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let asked: BTreeSet<Rule> = TABLE.iter().map(|(rule, ..)| *rule).collect();
    let all: BTreeSet<Rule> = Rule::ALL.into_iter().filter(|rule| *rule != Rule::NotDurable).collect();
    assert_eq!(asked, all, "every rule has rows; the store has its own");
}

/// How well each endpoint of a service serves: 0 is not at all.
fn ranks(table: &RoutingTable, ix: ServiceIx) -> Vec<u8> {
    let service = &table.base().policy().services[ix.at()];
    let rank = |standing: &crate::steer::Standing| match (standing.bar, standing.state()) {
        (Some(_), _) => 0,
        (None, State::Down) => 1,
        (None, State::Unknown) => 2,
        (None, State::Up) => 3,
    };
    standings(service, ix, table.facts()).iter().map(rank).collect()
}

/// The worst and the best that clients get, by service and outcome.
fn served(table: &RoutingTable) -> Vec<(u8, u8)> {
    let mut all = Vec::new();
    for at in 0..table.base().policy().services.len() {
        let ix = ServiceIx::from_at(at);
        let (ranks, view) = (ranks(table, ix), table.service(ix));
        let outcomes = table.base().map(ix).map_or(1, |map| map.outcomes().len());
        for outcome in 0..outcomes {
            let of = view.members(u16::try_from(outcome).unwrap()).map(|(endpoint, _)| ranks[endpoint.at()]);
            let of: Vec<u8> = of.collect();
            all.push((of.iter().min().copied().unwrap_or(0), of.iter().max().copied().unwrap_or(0)));
        }
    }
    all
}

fn usable(table: &RoutingTable) -> usize {
    let policy = table.base().policy();
    let mut usable = BTreeSet::new();
    for (at, service) in policy.services.iter().enumerate() {
        let ranks = ranks(table, ServiceIx::from_at(at));
        usable.extend(service.endpoints().filter(|(ix, _)| ranks[ix.at()] == 3).map(|(_, one)| one.datacenter));
    }
    usable.len()
}

#[test]
fn no_rule_refuses_what_makes_nothing_worse() {
    let mut refusals: BTreeMap<Rule, usize> = BTreeMap::new();
    let (mut asked, mut harmless) = (0, 0);
    for seed in 100..116 {
        let mut dice = Dice(seed);
        let mut desk = Desk::new(&three());
        for step in 0..50 {
            desk.at(step * 40);
            for name in ["dc1", "dc2", "dc3"] {
                if dice.one_in(3) {
                    let states = [State::Up, State::Down, State::Down, State::Unknown];
                    desk.see(&[name], states[dice.roll(4)]);
                }
            }
            let request = Request {
                expires_in: Some(std::time::Duration::from_secs(900)),
                ..request(order(&mut dice, &desk.book))
            };
            desk.settings.min_datacenters = [None, Some(2), Some(3)][dice.roll(3)];
            if let (Some(said), Ok((resolved, draft))) = (say(&desk, &request), desk.drafted(&request)) {
                let after = draft.table.as_ref().unwrap_or(&desk.table);
                let (before, will) = (served(&desk.table), served(after));
                let is_worse = before.iter().zip(&will).any(|(was, will)| will.0 < was.0 || will.1 < was.1);
                asked += 1;
                harmless += usize::from(!is_worse);
                for (rule, verdict) in said {
                    let Verdict::Refuse(refusal) = verdict else { continue };
                    *refusals.entry(rule).or_default() += 1;
                    let row = format!(
                        "seed {seed}, step {step}: {refusal:?} of {request:?}\n{before:?}\n{will:?}\n{:#?}",
                        desk.book
                    );
                    match (rule, &resolved.deed) {
                        // It would not be in force: home does not answer, and nothing that is ordered would make it.
                        (Rule::TargetUnhealthy | Rule::TargetOut, Deed::ClearSwitch { home: Some(home), .. }) => {
                            let policy = after.base().policy();
                            let is_home = |ix: &ServiceIx| {
                                active(after, *ix).is_some_and(|dc| policy.datacenters[dc.at()].id.as_str() == home)
                            };
                            assert!(!resolved.services.iter().all(is_home), "{row}");
                        }
                        (Rule::TargetUnhealthy | Rule::LastDc, _) => assert!(is_worse, "{row}"),
                        (Rule::MinDatacenters, _) => assert!(usable(after) < usable(&desk.table), "{row}"),
                        (Rule::TargetOut, _) => {
                            let facts: &Facts = after.facts();
                            let orders = !facts.datacenters.is_empty()
                                || !facts.endpoints.is_empty()
                                || !facts.forced_datacenters.is_empty()
                                || !facts.forced_endpoints.is_empty();
                            assert!(orders, "{row}");
                        }
                        (
                            Rule::TargetNotReady
                            | Rule::Contended
                            | Rule::PinNeedsExpiry
                            | Rule::Gate
                            | Rule::NotDurable,
                            _,
                        ) => {}
                    }
                }
            }
            desk.settings.min_datacenters = None;
            // Whatever comes of it: half of what is refused is done all the same.
            let forced = if dice.one_in(2) { request.clone().forcing(&Rule::ALL) } else { request };
            drop(desk.order(forced));
        }
    }
    assert!(asked > 300 && harmless > 100, "{asked} asked, {harmless} harmless");
    for rule in [Rule::TargetUnhealthy, Rule::TargetOut, Rule::LastDc, Rule::MinDatacenters] {
        assert!(refusals.get(&rule).is_some_and(|count| *count > 3), "{rule} was not seen: {refusals:?}");
    }
}
