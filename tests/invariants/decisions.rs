//! Random policies against random facts, over the answer path: ordered out is out; A and AAAA agree; what
//! `explain` says is what was answered; nothing brings clients back by accident; silence is not death.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use meridian::health;
use meridian::model::{
    Admin, Data, EndpointIx, EvidenceKey, Facts, Forced, Generation, Health, Node, ObserverId, Override, OverrideKind,
    Revision, Scope, Service, ServiceIx, State,
};
use meridian::steer::{Floor, Plan, Reason};
use meridian::table::{Base, RoutingTable, explain, standings};

use super::common::Dice;
use super::common::message::{A, AAAA, Question};
use super::worlds::{self, Kind};

const WORLDS: usize = 60;
const CLIENTS: usize = 12;

/// Asks in many worlds; `look` gets each answer's endpoints.
struct Asked<'a> {
    base: &'a Base,
    facts: &'a Facts,
    table: &'a RoutingTable,
    ix: ServiceIx,
    service: &'a Service,
    client: IpAddr,
    random: u64,
}

impl Asked<'_> {
    fn answer(&self, rtype: u16, random: u64) -> BTreeSet<IpAddr> {
        let name = self.service.name.to_string();
        let question = Question::new(name.trim_end_matches('.'), rtype).ecs(&self.client.to_string()).random(random);
        question.tcp().ask(self.table).addresses()
    }

    /// The endpoints whose addresses these are.
    fn endpoints(&self, addresses: &BTreeSet<IpAddr>) -> BTreeSet<EndpointIx> {
        let owner = |address: &IpAddr| {
            let found = self.service.endpoints().find(|(_, endpoint)| all(&endpoint.data).contains(address));
            found.unwrap_or_else(|| panic!("{address} is nobody's")).0
        };
        addresses.iter().map(owner).collect()
    }
}

fn all(data: &Data) -> Vec<IpAddr> {
    match data {
        Data::Cname(_) => Vec::new(),
        Data::Addresses { v4, v6, .. } => {
            v4.iter().copied().map(IpAddr::V4).chain(v6.iter().copied().map(IpAddr::V6)).collect()
        }
    }
}

fn everywhere(seed: u64, kind: Kind, with_switches: bool, mut look: impl FnMut(&Asked<'_>)) {
    let dice = &mut Dice(seed);
    for _ in 0..WORLDS {
        let base = worlds::texts(dice, kind).base();
        for _ in 0..3 {
            let facts = worlds::facts(dice, base.policy(), kind, with_switches);
            let table = RoutingTable::compile(&base, Arc::new(facts.clone()), Generation(1));
            for (at, service) in base.policy().services.iter().enumerate() {
                for _ in 0..CLIENTS {
                    look(&Asked {
                        base: &base,
                        facts: &facts,
                        table: &table,
                        ix: ServiceIx::from_at(at),
                        service,
                        client: worlds::client(dice),
                        random: dice.next(),
                    });
                }
            }
        }
    }
}

/// Ordered out, as the orders themselves say.
fn is_barred(facts: &Facts, service: &Service, ix: ServiceIx, endpoint: EndpointIx) -> bool {
    let datacenter = service.endpoint(endpoint).datacenter;
    let is_out = |admin: Option<&Admin>| matches!(admin, Some(Admin::Out | Admin::Draining));
    let forced = [facts.forced_endpoints.get(&(ix, endpoint)), facts.forced_datacenters.get(&datacenter)];
    is_out(facts.datacenters.get(&datacenter))
        || is_out(facts.endpoints.get(&(ix, endpoint)))
        || forced.contains(&Some(&Forced::Down))
}

#[test]
fn invariant_4_ordered_out_is_out() {
    let (mut answers, mut barred) = (0, 0);
    everywhere(4, Kind::Any, true, |asked| {
        barred +=
            asked.service.endpoints().filter(|(ix, _)| is_barred(asked.facts, asked.service, asked.ix, *ix)).count();
        for rtype in [A, AAAA] {
            for endpoint in asked.endpoints(&asked.answer(rtype, asked.random)) {
                assert!(
                    !is_barred(asked.facts, asked.service, asked.ix, endpoint),
                    "{} answers {}: {:#?}\n{:#?}",
                    asked.service.name,
                    asked.service.endpoint(endpoint).id,
                    asked.facts,
                    asked.service.policy
                );
                answers += 1;
            }
        }
    });
    assert!(answers > 3000 && barred > 1000, "{answers} answers, {barred} barred");
}

#[test]
fn invariant_8_one_data_centre_for_a_and_aaaa_where_the_policy_is_ordered_or_sticky() {
    let mut both = 0;
    everywhere(8, Kind::Settled, true, |asked| {
        let datacenters = |rtype, random| -> BTreeSet<_> {
            let endpoints = asked.endpoints(&asked.answer(rtype, random));
            endpoints.into_iter().map(|endpoint| asked.service.endpoint(endpoint).datacenter).collect()
        };
        let (v4, v6) = (datacenters(A, asked.random), datacenters(AAAA, !asked.random));
        assert!(v4.len() <= 1 && v6.len() <= 1);
        if !v4.is_empty() && !v6.is_empty() {
            assert_eq!(v4, v6, "{} for {}: {:#?}", asked.service.name, asked.client, asked.facts);
            both += 1;
        }
    });
    assert!(both > 1000, "{both}");
}

#[test]
fn what_explain_names_is_what_was_answered() {
    let mut named = 0;
    everywhere(9, Kind::Any, true, |asked| {
        let explained = explain(asked.table, asked.ix, asked.client, asked.random);
        let mut expected = [BTreeSet::new(), BTreeSet::new()];
        match (&explained.plan, explained.variant) {
            (Plan::Choose { variants, .. }, Some(at)) => {
                for (endpoint, live) in &variants[at].endpoints {
                    for (address, live) in all(&asked.service.endpoint(*endpoint).data).into_iter().zip(live) {
                        if *live {
                            expected[usize::from(address.is_ipv6())].insert(address);
                        }
                    }
                }
            }
            (Plan::NoData(_), None) => {}
            (plan, variant) => panic!("{plan:?} with {variant:?}"),
        }
        for (rtype, expected) in [A, AAAA].into_iter().zip(&expected) {
            assert_eq!(asked.answer(rtype, asked.random), *expected, "{:#?}", explained.reasons);
        }
        let of_variant: BTreeSet<EndpointIx> = asked.endpoints(&(&expected[0] | &expected[1]));
        assert_eq!(explained.endpoints.iter().copied().collect::<BTreeSet<_>>(), of_variant);
        assert!(!explained.reasons.is_empty());
        let name = asked.service.name.to_string();
        let question = Question::new(name.trim_end_matches('.'), A).ecs(&asked.client.to_string());
        let types = asked.service.endpoints.iter().any(|endpoint| all(&endpoint.data).iter().any(IpAddr::is_ipv4));
        assert_eq!(question.ask(asked.table).scope(), Some(if types { explained.scope } else { 0 }));
        named += explained.endpoints.len();
    });
    assert!(named > 3000, "{named}");
}

#[test]
fn invariant_10_no_answer_from_a_latched_data_centre_while_another_is_up() {
    let (mut held, mut alone) = (0, 0);
    everywhere(10, Kind::Any, false, |asked| {
        let explained = explain(asked.table, asked.ix, asked.client, asked.random);
        let region =
            asked.base.policy().regions.iter().position(|region| Some(&region.id) == explained.region.as_ref());
        let region = region.map(meridian::model::RegionIx::from_at);
        let route = asked.service.policy.all_routes().find(|route| route.region == region).unwrap();
        let left: BTreeSet<_> = asked
            .facts
            .latches
            .iter()
            .filter(|latch| latch.scope.covers(asked.ix, region))
            .map(|latch| latch.datacenter)
            .collect();
        // Who could answer by itself: in a pool of the route, and in no tier with a condition.
        let mut free: BTreeSet<EndpointIx> = BTreeSet::new();
        let mut guarded: BTreeSet<EndpointIx> = BTreeSet::new();
        for member in route.tiers.iter().flat_map(|tiers| &tiers.members) {
            let endpoints = match &member.node {
                Node::Endpoint(endpoint) => vec![*endpoint],
                Node::Pool(pool) => pool.endpoints(),
            };
            if member.entry.is_free() { free.extend(endpoints) } else { guarded.extend(endpoints) }
        }
        free.extend(route.fallback.iter().flat_map(|pool| pool.endpoints()));
        free.retain(|endpoint| !guarded.contains(endpoint));
        let standings = standings(asked.service, asked.ix, asked.facts);
        let is_left = |endpoint: &EndpointIx| left.contains(&asked.service.endpoint(*endpoint).datacenter);
        let other_is_up = free.iter().any(|ix| standings[ix.at()].is_usable(Floor::Up) && !is_left(ix));
        let from_left = explained.endpoints.iter().any(is_left);
        if other_is_up {
            assert!(!from_left, "{}: {:#?}", asked.service.name, explained.reasons);
            held += usize::from(!left.is_empty());
        } else {
            alone += usize::from(from_left);
        }
    });
    assert!(held > 500 && alone > 20, "{held} held back, {alone} had nothing else");
}

#[test]
fn invariant_11_a_switch_is_followed_however_much_is_broken() {
    let mut followed = 0;
    everywhere(11, Kind::Any, false, |asked| {
        // Everything is down or unknown; the switch stands for the service of this question.
        let mut facts = asked.facts.clone();
        facts.health = Health { default: State::Down, ..Health::all_up() };
        let (target, endpoint) = asked.service.endpoints().next().unwrap();
        let scope = Scope { services: Some(BTreeSet::from([asked.ix])), regions: None };
        let to = BTreeSet::from([endpoint.datacenter]);
        for kind in [
            OverrideKind::Pin { to: to.clone(), from: None },
            OverrideKind::Prefer { to: to.clone(), from: None, yielded: false, left: BTreeSet::new() },
        ] {
            let order = Override {
                kind,
                scope: scope.clone(),
                revision: Revision(1_000),
                actor: String::new(),
                reason: String::new(),
                expires_at: None,
            };
            let facts = Facts { overrides: vec![order], ..facts.clone() };
            let table = RoutingTable::compile(asked.table.base(), Arc::new(facts), Generation(1));
            let explained = explain(&table, asked.ix, asked.client, asked.random);
            let is_fenced = explained.reasons.contains(&Reason::Fenced);
            if is_fenced || is_barred(asked.facts, asked.service, asked.ix, target) {
                continue;
            }
            assert!(!explained.endpoints.is_empty());
            for named in explained.endpoints {
                assert!(to.contains(&asked.service.endpoint(named).datacenter), "{:#?}", explained.reasons);
                followed += 1;
            }
        }
    });
    assert!(followed > 1000, "{followed}");
}

#[test]
fn invariant_12_an_observer_that_does_not_know_changes_nothing() {
    let silent = ObserverId::new("mute").unwrap();
    let dice = &mut Dice(12);
    let mut spoken = 0;
    for _ in 0..WORLDS {
        let base = worlds::texts(dice, Kind::Any).base();
        let evidence = worlds::evidence(dice, base.policy());
        let mut with_silent = evidence.clone();
        // Where somebody else has spoken; a lone "unknown" is a fact of its own.
        for key in evidence.states.keys() {
            with_silent.states.insert(EvidenceKey { observer: silent.clone(), ..key.clone() }, State::Unknown);
        }
        spoken += evidence.states.len();
        assert_eq!(health::verdicts(base.policy(), &with_silent), health::verdicts(base.policy(), &evidence));
    }
    assert!(spoken > 100, "{spoken}");
}
