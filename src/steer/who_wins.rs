//! The table of "who wins when facts disagree": every kind of fact against every other.
//!
//! A row is facts and what follows. One service has endpoints a, b and c in the data centres of the same
//! names; the region's tiers are a, b, c in this order, `fallback` is weighted over all with weights 1.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::*;

/// Kinds of facts; every pair of them must meet in at least one row.
const KINDS: [&str; 18] = [
    "out",
    "draining",
    "force-down",
    "force-up",
    "down",
    "unknown",
    "held",
    "pin",
    "prefer",
    "yielded",
    "latch",
    "schedule",
    "manual",
    "fence",
    "closed",
    "sorry",
    "pin-from",
    "prefer-from",
];

/// Two values of one field: they never meet.
const NEVER_MEET: (&str, &str) = ("closed", "sorry");

/// Facts → who answers, and by which rung.
#[rustfmt::skip]
const TABLE: &[(&str, &str)] = &[
    ("", "a policy"),
    // One fact alone.
    ("out a", "b policy"),
    ("draining a", "b policy"),
    ("force-down a", "b policy"),
    ("force-up b", "a policy"),
    ("down a", "b health"),
    ("unknown a", "b health"),
    ("unknown a; unknown b; unknown c", "a unknown"),
    ("pin c", "c pin"),
    ("prefer c", "c switch"),
    ("yielded c left a", "b latch"),
    ("latch a", "b latch"),
    ("schedule c", "c schedule"),
    ("manual a", "b policy"),
    ("fence a b", "a policy"),
    ("closed", "a policy"),
    ("sorry c; down a; down b; down c", "c sorry"),
    // Ordered out is out: against everything.
    ("out a; draining a", "b policy"),
    ("out a; force-down a", "b policy"),
    ("out a; force-up a", "b policy"),
    ("out a; down b; down c", "b fail-open"),
    ("out a; unknown b; down c", "b unknown"),
    ("out c; pin c", "none pinned-out"),
    ("out c; prefer c left a", "b latch"),
    ("out c; yielded c left a", "b latch"),
    ("out b; out c; latch a", "a policy"),
    ("out c; schedule c", "a policy"),
    ("out a; manual b", "c policy"),
    ("out a; fence a b", "b policy"),
    ("out a; out b; fence a b", "none all-out"),
    ("out a; out b; out c", "none all-out"),
    ("out a; closed", "b policy"),
    ("out a; out b; out c; closed", "none closed"),
    ("out a; sorry a; down b; down c", "none all-out"),
    ("draining a; force-down b", "c policy"),
    ("draining a; force-up a", "b policy"),
    ("draining a; down b; down c", "b fail-open"),
    ("draining a; unknown b; down c", "b unknown"),
    ("draining c; pin c", "none pinned-out"),
    ("draining c; prefer c left a", "b latch"),
    ("draining c; yielded c left a", "b latch"),
    ("draining b; draining c; latch a", "a policy"),
    ("draining c; schedule c", "a policy"),
    ("draining a; manual b", "c policy"),
    ("draining a; draining b; fence a b", "none all-out"),
    ("draining a; down b; down c; closed", "none closed"),
    // Forced down is ordered out too, and more than a pin.
    ("force-down a; force-up b", "b policy"),
    ("force-down a; down b; down c", "b fail-open"),
    ("force-down a; unknown b; down c", "b unknown"),
    ("force-down c; pin c", "none pinned-out"),
    ("force-down c; prefer c left a", "b latch"),
    ("force-down c; yielded c left a", "b latch"),
    ("force-down b; force-down c; latch a", "a policy"),
    ("force-down c; schedule c", "a policy"),
    ("force-down a; manual b", "c policy"),
    ("force-down a; force-down b; fence a b", "none all-out"),
    ("force-down a; down b; down c; closed", "none closed"),
    // A forced state is more than the observed one.
    ("force-up a; down a", "a policy"),
    ("force-up a; unknown a", "a policy"),
    ("force-up a; pin c", "c pin"),
    ("force-up a; prefer c", "c switch"),
    ("force-up c; down c; yielded c left a", "b latch"),
    ("force-up a; latch a", "b latch"),
    ("force-up a; schedule c", "c schedule"),
    ("force-up a; manual a", "b policy"),
    ("force-up c; down a; down b; fence a b", "a fail-open"),
    ("force-up c; down a; down b; down c; closed", "c health"),
    // Down.
    ("down a; unknown b; down c", "b unknown"),
    ("down a; unknown b", "c health"),
    ("down c; pin c", "c pin"),
    ("down c; prefer c", "c switch"),
    ("down c; yielded c left a", "b latch"),
    ("down b; yielded c left a", "c latch"),
    ("down b; down c; latch a", "a policy"),
    ("down b; down c; down a; latch a", "b fail-open"),
    ("down c; schedule c", "a health"),
    ("down a; down b; manual c", "a fail-open"),
    ("down a; down b; fence a b", "a fail-open"),
    ("down a; down b; down c", "a fail-open"),
    ("down a; down b; down c; closed", "none closed"),
    // Unknown.
    ("unknown c; pin c", "c pin"),
    ("unknown c; prefer c", "c switch"),
    ("unknown b; yielded c left a", "c latch"),
    // What was left comes behind what nobody knows yet: that is what a reload makes of a standby with a new address.
    ("unknown b; unknown c; latch a", "b unknown"),
    ("unknown b; down c; latch a", "b unknown"),
    ("down b; down c; latch a", "a policy"),
    ("unknown a; unknown b; unknown c; latch a", "b unknown"),
    ("unknown c; schedule c", "a health"),
    ("unknown a; unknown b; unknown c; schedule c", "c unknown"),
    ("unknown b; down a; manual c", "b unknown"),
    ("unknown a; down b; fence a b", "a unknown"),
    ("unknown a; down b; down c; closed", "a unknown"),
    // What is in its hold-down is up, and comes after all that is up without one; what was left comes later still.
    ("held a", "b health"),
    ("held a; held b; held c", "a policy"),
    ("out a; held b", "c health"),
    ("draining a; held b", "c health"),
    ("force-down a; held b", "c health"),
    ("force-up a; held a", "a policy"),
    ("held a; down b; down c", "a policy"),
    ("held b; down a; down c", "b health"),
    ("held a; unknown b; down c", "a policy"),
    ("held c; pin c", "c pin"),
    ("held c; prefer c", "c switch"),
    ("held b; yielded c left a", "c latch"),
    ("held b; down c; yielded c left a", "b latch"),
    ("held b; latch a", "c latch"),
    ("held b; held c; latch a", "b latch"),
    ("held a; latch a; down b; down c", "a policy"),
    ("held c; schedule c", "a health"),
    ("held c; down a; down b; schedule c", "c schedule"),
    ("held a; manual b", "c health"),
    ("held c; manual a; down b", "c health"),
    ("held a; fence a b", "b health"),
    ("held a; fence a", "a policy"),
    ("held a; down b; down c; closed", "a policy"),
    ("pin c from a; held c", "c switch"),
    ("prefer c from a; held c", "c switch"),
    // A sorry site answers when nothing else does, unless it is ordered out.
    ("draining a; sorry a; down b; down c", "none all-out"),
    ("force-down a; sorry a; down b; down c", "none all-out"),
    ("force-up c; sorry c; down a; down b", "c health"),
    ("unknown a; sorry c; down b; down c", "a unknown"),
    ("held a; sorry c; down b; down c", "a policy"),
    ("pin b; sorry c; down a; down b; down c", "b pin"),
    ("pin b from a; sorry c; down a; down b; down c", "b switch"),
    ("prefer b from a; sorry c; down a; down b; down c", "b switch"),
    ("yielded c left a; sorry c; down b; down c", "a policy"),
    ("latch a; sorry c; down b; down c", "a policy"),
    ("schedule b; sorry c; down a; down b; down c", "c sorry"),
    ("manual c; sorry b; down a; down b", "b sorry"),
    // A pin is more than everything but ordered out and the fence.
    ("pin c; prefer b", "c pin"),
    ("pin c; yielded b left a", "c pin"),
    ("pin c; latch c", "c pin"),
    ("pin c; schedule b", "c pin"),
    ("pin c; manual c", "c pin"),
    ("pin c; fence a b", "a policy"),
    ("pin b; fence a b", "b pin"),
    ("pin c; down a; down b; down c; closed", "c pin"),
    ("pin c; pin b later", "b pin"),
    ("pin c from a; prefer b", "c switch"),
    ("pin c from b; prefer b", "b switch"),
    // A preference.
    ("prefer c; prefer b later", "b switch"),
    ("prefer c narrow; prefer b later", "c switch"),
    ("prefer c; latch c", "c switch"),
    ("prefer c; schedule b", "c switch"),
    ("prefer c; manual c", "c switch"),
    ("prefer c; fence a b", "a policy"),
    ("prefer b; fence a b", "b switch"),
    ("prefer c; down a; down b; down c; closed", "c switch"),
    ("prefer c from a", "c switch"),
    ("prefer c from b", "a policy"),
    ("prefer c from b; down a", "c switch"),
    ("prefer c; yielded b left a later", "b latch"),
    ("prefer c later; yielded b left a", "c switch"),
    // A switch of some clients: its target stands wherever policy has what it replaces.
    ("pin c from a; out a", "c switch"),
    ("pin c from a; out c", "b latch"),
    ("pin c from a; draining a", "c switch"),
    ("pin c from a; draining c", "b latch"),
    ("pin c from a; force-down a", "c switch"),
    ("pin c from a; force-down c", "b latch"),
    ("pin c from a; force-up a", "c switch"),
    ("pin c from a; down c", "c switch"),
    ("pin c from b; down a", "c switch"),
    ("pin c from a; unknown c", "c switch"),
    ("pin c from a; pin b later", "b pin"),
    ("pin c from a; prefer b from a", "c switch"),
    ("pin c from b; prefer b from a", "b switch"),
    ("pin c from a; yielded b left a", "c switch"),
    ("pin c from a; latch c", "c switch"),
    ("pin c from a; latch a", "c switch"),
    ("pin c from a; schedule a", "c switch"),
    ("pin c from a; schedule b", "b schedule"),
    ("pin c from b; prefer b; schedule a", "b switch"),
    ("pin c from a; manual a; down b", "c health"),
    ("pin c from a; fence a b", "a policy"),
    ("pin b from a; fence a b", "b switch"),
    ("pin c from a; down a; down b; down c; closed", "c switch"),
    ("prefer c from a; out a", "c switch"),
    ("prefer c from a; out c", "b latch"),
    ("prefer c from a; draining a", "c switch"),
    ("prefer c from a; draining c", "b latch"),
    ("prefer c from a; force-down a", "c switch"),
    ("prefer c from a; force-down c", "b latch"),
    ("prefer c from a; force-up a", "c switch"),
    ("prefer c from a; unknown c", "c switch"),
    ("pin b; prefer c from a", "b pin"),
    ("prefer c from a; prefer b later", "b switch"),
    ("prefer c from a; yielded b left a later", "b latch"),
    ("prefer c from a; latch a", "c switch"),
    ("prefer c from a; schedule a", "c switch"),
    ("prefer a from b", "a policy"),
    ("manual a; prefer c from a; down b", "c health"),
    ("prefer c from a; fence a b", "a policy"),
    ("prefer c from a; down a; down b; down c; closed", "c switch"),
    // Several switches of some clients, and one of all the others.
    ("prefer b; prefer c from a later", "c switch"),
    ("prefer b; prefer c from b later", "b switch"),
    ("prefer b; prefer c from a later; pin a from c later", "c switch"),
    ("prefer a; prefer b from c later; prefer c from a later", "c switch"),
    ("pin b; pin c from b later", "b switch"),
    // The target has been down for long, endpoint by endpoint.
    ("down c; prefer c left a; long c", "b latch"),
    ("down b; prefer bc left a; long b", "c switch"),
    ("down b; down c; prefer bc left a; long b", "b switch"),
    ("down b; down c; prefer bc left a; long b; long c", "a policy"),
    ("down b; out c; prefer bc left a; long b", "a policy"),
    ("down c; pin c; long c", "c pin"),
    ("down b; prefer bc left a; fence a b; long b", "a policy"),
    ("force-up c; prefer c left a; long c", "b latch"),
    ("down c; prefer c left b of-service a; long c", "b latch"),
    // Taken back for some.
    ("prefer c excepted", "a policy"),
    ("pin b; prefer c excepted", "b pin"),
    // A target of several data centres: policy chooses among them.
    ("prefer bc", "b switch"),
    ("prefer bc; down b", "c switch"),
    ("prefer bc; down b; down c", "b switch"),
    ("prefer bc; sorry b", "b switch"),
    ("pin bc; manual b", "b pin"),
    ("schedule bc; down b", "c schedule"),
    // A preference that yielded: policy's order, what was left goes last.
    ("yielded c left a; latch b", "c latch"),
    ("yielded c left a; schedule a", "b latch"),
    ("yielded c left a; manual b", "c latch"),
    ("yielded c left a; fence a b", "b latch"),
    ("yielded c left a; down b; down c; closed", "a policy"),
    // A latched data centre goes last, and still before what is not known to be up.
    ("latch a; schedule a", "b latch"),
    ("latch a; manual b", "c latch"),
    ("latch a; fence a", "a policy"),
    ("latch a; fence a b", "b latch"),
    ("latch a; down b; down c; closed", "a policy"),
    ("latch a; latch b; latch c", "a policy"),
    // A schedule.
    ("schedule c; manual c", "c schedule"),
    ("schedule c; fence a b", "a policy"),
    ("schedule b; fence a b", "b schedule"),
    ("schedule c; down a; down b; closed", "c schedule"),
    // Entry conditions bound every automatic choice.
    ("manual a; fence a", "none all-out"),
    ("manual c; down a; down b; closed", "none closed"),
    ("manual a; manual b; manual c", "none all-out"),
    // The fence.
    ("fence a b; down a; down b; closed", "none closed"),
    ("fence a; sorry c; down a", "none all-out"),
];

struct World {
    service: Service,
    facts: Facts,
    standings: Vec<Standing>,
}

fn ix(word: &str) -> DatacenterIx {
    DatacenterIx(["a", "b", "c"].iter().position(|dc| *dc == word).expect("a, b or c") as u16)
}

fn set(words: &[&str]) -> BTreeSet<DatacenterIx> {
    let dcs = words.iter().filter(|word| word.chars().all(|c| matches!(c, 'a'..='c')));
    dcs.flat_map(|word| word.chars()).map(|c| ix(c.encode_utf8(&mut [0; 4]))).collect()
}

fn member(at: u16) -> Member {
    Member { node: Node::Endpoint(EndpointIx(at)), weight: Weight::ONE, entry: Entry::default(), word: None }
}

fn service() -> Service {
    let endpoint = |id: &str, at: u16| Endpoint {
        id: EndpointId::new(id).unwrap(),
        datacenter: DatacenterIx(at),
        data: Data::Addresses { v4: [[192, 0, 2, at as u8].into()].into(), v6: [].into(), min: 1 },
        weight: Weight::ONE,
        priority: 1,
        health: CheckExpr::All(vec![]),
        follows: None,
        origin: Origin::file("t"),
    };
    let pool = |method| Pool { method, members: (0..3).map(member).collect() };
    let route = |region, tiers| {
        Route::new(
            region,
            Choices {
                tiers,
                fallback: Some(pool(Method::Weighted)),
                geofence: false,
                all_down: AllDown::Open,
                failback: Failback::Manual,
            },
        )
    };
    Service {
        name: Name::parse("s.example").unwrap(),
        zone: None,
        ttl: Ttl::DEFAULT,
        endpoints: vec![endpoint("a", 0), endpoint("b", 1), endpoint("c", 2)],
        policy: Policy {
            routes: vec![route(Some(RegionIx(0)), Some(pool(Method::Ordered)))],
            elsewhere: route(None, None),
        },
        max_answers: 1,
        needs: crate::model::OrderNeeds::default(),
        home: None,
        https: None,
        origin: Origin::file("t"),
    }
}

fn world(facts: &str) -> World {
    let up = Standing { bar: None, addresses: vec![Verdict::of(State::Up)], min: 1 };
    let mut world = World { service: service(), facts: Facts::all_up(), standings: vec![up; 3] };
    let route = std::sync::Arc::make_mut(&mut world.service.policy.routes[0].choices);
    let mut forced = Vec::new();
    for (at, fact) in facts.split(';').map(str::trim).filter(|fact| !fact.is_empty()).enumerate() {
        let words: Vec<&str> = fact.split(' ').collect();
        let of = |word: &str| words.iter().position(|w| *w == word).map(|at| set(&[words[at + 1]]));
        let revision = Revision(at as u64 + if words.contains(&"later") { 100 } else { 1 });
        let services = words.contains(&"narrow").then(|| BTreeSet::from([ServiceIx(0)]));
        let scope = Scope { services, regions: None };
        if words.contains(&"excepted") {
            world.facts.excepted.insert(revision, vec![Scope::all()]);
        }
        if let Some(left) = of("of-service") {
            world.facts.left.insert((revision, ServiceIx(0)), left);
        }
        let mut order = |kind| {
            world.facts.overrides.push(Override {
                kind,
                scope: scope.clone(),
                revision,
                actor: String::new(),
                reason: String::new(),
                expires_at: None,
            });
        };
        let standing = words.get(1).filter(|w| w.len() == 1).map(|word| &mut world.standings[ix(word).at()]);
        match words[0] {
            "out" => standing.unwrap().bar = Some(Bar::Out),
            "draining" => standing.unwrap().bar = Some(Bar::Draining),
            "force-down" => standing.unwrap().bar = Some(Bar::ForcedDown),
            "force-up" => forced.push(ix(words[1])),
            "down" => standing.unwrap().addresses = vec![Verdict::of(State::Down)],
            "held" => standing.unwrap().addresses = vec![Verdict { state: State::Up, is_held: true }],
            "unknown" => standing.unwrap().addresses = vec![Verdict::of(State::Unknown)],
            "pin" => order(OverrideKind::Pin { to: set(&[words[1]]), from: of("from") }),
            "prefer" | "yielded" => order(OverrideKind::Prefer {
                to: set(&[words[1]]),
                from: of("from"),
                yielded: words[0] == "yielded",
                left: of("left").unwrap_or_default(),
            }),
            "long" => {
                let last = world.facts.overrides.last().expect("a switch before it").revision;
                world.facts.yields.insert((last, ServiceIx(0), EndpointIx(ix(words[1]).0)));
            }
            "latch" => world.facts.latches.push(Latch { datacenter: ix(words[1]), scope: Scope::all() }),
            "schedule" => order(OverrideKind::Schedule { to: set(&[words[1]]) }),
            "manual" => route.tiers.as_mut().unwrap().members[ix(words[1]).at()].entry.manual = true,
            "fence" => {
                route.geofence = true;
                route.tiers.as_mut().unwrap().members.retain(|member| {
                    let Node::Endpoint(endpoint) = &member.node else { return false };
                    set(&words).contains(&DatacenterIx(endpoint.0))
                });
            }
            "closed" => route.all_down = AllDown::Closed,
            "sorry" => route.all_down = AllDown::Sorry(EndpointIx(ix(words[1]).0)),
            other => panic!("no such fact: {other}"),
        }
    }
    for dc in forced {
        world.standings[dc.at()].addresses = vec![Verdict::of(State::Up)];
    }
    world
}

fn outcome(world: &World, trail: &mut impl Trail) -> String {
    let asked = Asked {
        ix: ServiceIx(0),
        service: &world.service,
        route: &world.service.policy.routes[0],
        nearest: None,
        standings: &world.standings,
        datacenters: &[],
        facts: &world.facts,
    };
    match plan(&asked, trail) {
        Plan::Choose { variants, source, .. } => {
            let who: Vec<&str> = variants
                .iter()
                .flat_map(|variant| &variant.endpoints)
                .map(|(endpoint, _)| world.service.endpoint(*endpoint).id.as_str())
                .collect();
            format!("{} {}", who.join("+"), source.as_str())
        }
        Plan::NoData(NoData::PinnedOut) => "none pinned-out".into(),
        Plan::NoData(NoData::Closed) => "none closed".into(),
        Plan::NoData(NoData::AllOut) => "none all-out".into(),
    }
}

#[test]
fn every_row_comes_out_as_the_table_says() {
    let mut wrong = Vec::new();
    for (facts, expected) in TABLE {
        let mut trail: Vec<Reason> = Vec::new();
        let got = outcome(&world(facts), &mut trail);
        if got != *expected {
            let because: Vec<String> = trail.iter().map(Reason::to_string).collect();
            wrong.push(format!("{facts:?}: expected {expected}, got {got}; {because:#?}"));
        }
        assert_eq!(outcome(&world(facts), &mut ()), got, "explaining changes nothing");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn kind(fact: &str) -> &str {
    match (fact.split(' ').next().unwrap(), fact.contains(" from ")) {
        ("pin", true) => "pin-from",
        ("prefer", true) => "prefer-from",
        (kind, _) => kind,
    }
}

#[test]
fn every_pair_of_kinds_meets_in_the_table() {
    let mut met: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (facts, _) in TABLE {
        let kinds: BTreeSet<&str> = facts.split(';').map(|fact| kind(fact.trim())).collect();
        for a in &kinds {
            for b in &kinds {
                *met.entry((a, b)).or_default() += 1;
            }
        }
    }
    let mut missing = Vec::new();
    for (at, a) in KINDS.iter().enumerate() {
        for b in &KINDS[at + 1..] {
            if !met.contains_key(&(*a, *b)) && (*a, *b) != NEVER_MEET {
                missing.push(format!("{a} × {b}"));
            }
        }
    }
    assert!(missing.is_empty(), "no row for: {}", missing.join(", "));
}

#[test]
fn what_is_ordered_out_never_answers_whatever_else_is_true() {
    // Invariant 4 over every row: add an order out to each data centre in turn.
    for (facts, _) in TABLE {
        for dc in ["a", "b", "c"] {
            for bar in ["out", "draining", "force-down"] {
                let got = outcome(&world(&format!("{facts}; {bar} {dc}")), &mut ());
                let who = got.split(' ').next().unwrap();
                assert!(!who.split('+').any(|endpoint| endpoint == dc), "{facts}; {bar} {dc}: {got}");
            }
        }
    }
}

#[test]
fn clients_of_no_region_get_the_fallback_by_weight() {
    let mut world = world("");
    world.service.policy.routes.clear();
    let asked = Asked {
        ix: ServiceIx(0),
        service: &world.service,
        route: &world.service.policy.elsewhere,
        nearest: None,
        standings: &world.standings,
        datacenters: &[],
        facts: &world.facts,
    };
    let Plan::Choose { mode, variants, source } = plan(&asked, &mut ()) else { panic!("a plan") };
    assert_eq!((mode, variants.len(), source), (Mode::Random, 3, Source::Policy));
}
