//! Scenarios: policy and zone text, facts, a client and a question → the answers, their shares, scope,
//! TTLs and reason. The scenarios are data (`*.scenarios` beside this file); this is their one runner.
//!
//! A file is a list of worlds:
//!
//! ```text
//! === what the world is about
//! --- policy                  a policy file (any number)
//! --- zone example.com        a master file (any number)
//! --- ns ns1.example.net      name servers of services without a master file
//! --- cases                   one scenario a line:
//! [fact; fact] client TYPE name => answers; scope N; by WORD; ttl N; soa N; region ID
//! ```
//!
//! - *client* is a word of [`CLIENTS`] or an address; it is told by EDNS Client Subnet, whole.
//! - *answers* are alternatives with `|`, each a set of data with `+`, each with a share such as `*100`;
//!   or `nodata`, `nxdomain`, `refused`. The shares are exact: a question is asked [`FINENESS`] times for each unit
//!   of their sum, with random numbers at equal distances.
//! - `soa N`: TTL and MINIMUM of the SOA. `by WORD`: what decided, as `explain` says it.
//!
//! For every question to a service `explain` is asked as well, and the endpoints that it names must be those
//! that answered.

mod facts;
mod reader;

#[path = "../common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use common::message::{A, AAAA, CNAME, NOERROR, NXDOMAIN, Question, REFUSED, Reply, SOA};
use meridian::model::{Data, EndpointIx, Generation, ServiceIx};
use meridian::steer::{NoData, Plan};
use meridian::table::{Base, Explanation, RoutingTable, explain};
use reader::{Case, World};

/// Clients by name; where they are is [`common::GEOGRAPHY`]'s to say.
pub(crate) const CLIENTS: [(&str, &str); 14] = [
    ("beijing", "10.1.0.1"),
    ("shanghai", "10.2.0.1"),
    ("guangzhou", "10.3.0.1"),
    ("california", "10.4.0.1"),
    ("frankfurt", "10.5.0.1"),
    ("singapore", "10.6.0.1"),
    ("beijing-unicom", "10.7.0.1"),
    ("tokyo", "10.8.128.1"),
    ("nowhere", "10.99.0.1"),
    ("beijing6", "2001:db8:1::1"),
    ("shanghai6", "2001:db8:2::1"),
    ("california6", "2001:db8:4::1"),
    ("nowhere6", "2001:db8:99::1"),
    ("beijing-mapped", "::ffff:10.1.0.1"),
];

/// Questions for each unit of the shares: so fine that shares that are nearly right are still told apart.
const FINENESS: u32 = 20;

fn files() -> Vec<(String, String)> {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let mut files: Vec<(String, String)> = std::fs::read_dir(here)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "scenarios"))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_scenario_comes_out_as_it_is_written() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (file, text) in files() {
        for world in reader::worlds(&file, &text) {
            let base = world.base();
            count += world.cases.len();
            wrong.extend(world.cases.iter().filter_map(|case| run(&world, &base, case).err()));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} scenarios are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 150, "only {count} scenarios were found");
}

#[test]
fn every_word_for_what_decided_has_its_scenarios() {
    let all: String = files().into_iter().map(|(_, text)| text).collect();
    for word in [
        "policy",
        "health",
        "latch",
        "switch",
        "pin",
        "schedule",
        "unknown",
        "fail-open",
        "sorry",
        "closed",
        "all-out",
        "pinned-out",
    ] {
        assert!(all.contains(&format!("; by {word}")), "no scenario is decided by {word}");
    }
}

#[test]
fn the_runner_notices_what_is_wrong() {
    let world = "=== w\n--- policy\ngslb: { domain: s.test, policies: { default: { type: weighted } }, \
                 endpoints: { a: { ip: 192.0.2.1 }, b: { ip: 192.0.2.2, weight: 2 } } }\n--- cases\n";
    let outcome = |case: &str| {
        let worlds = reader::worlds("self", &format!("{world}{case}\n"));
        run(&worlds[0], &worlds[0].base(), &worlds[0].cases[0])
    };
    outcome("nowhere A s.test => 192.0.2.1 | 192.0.2.2 *2; scope 0; ttl 15; by policy").unwrap();
    for wrong in [
        "nowhere A s.test => 192.0.2.1 | 192.0.2.2",
        "nowhere A s.test => 192.0.2.1 | 192.0.2.2 *3",
        "nowhere A s.test => 192.0.2.1 | 192.0.2.3 *2",
        "nowhere A s.test => 192.0.2.1 + 192.0.2.2",
        "nowhere A s.test => nodata",
        "nowhere A s.test => 192.0.2.1 | 192.0.2.2 *2; scope 16",
        "nowhere A s.test => 192.0.2.1 | 192.0.2.2 *2; ttl 16",
        "nowhere A s.test => 192.0.2.1 | 192.0.2.2 *2; by health",
        "nowhere AAAA s.test => nodata; soa 14",
        "nowhere A t.s.test => nodata",
    ] {
        outcome(wrong).expect_err(wrong);
    }
}

/// Runs one scenario; an error is its description.
fn run(world: &World, base: &Arc<Base>, case: &Case) -> Result<(), String> {
    let facts = facts::facts(base.policy(), &case.facts);
    let table = RoutingTable::compile(base, Arc::new(facts), Generation(7));
    let wrong = |what: String| Err(format!("{}: {} ({})\n    {what}", case.place, case.text, world.title));
    let units: u32 = FINENESS * case.alternatives.values().sum::<u32>().max(1);
    let mut seen: BTreeMap<BTreeSet<String>, u32> = BTreeMap::new();
    for unit in 0..units {
        let random = ((u128::from(unit) * 2 + 1) << 63) / u128::from(units);
        let question = Question::new(&case.name, case.rtype)
            .ecs(&case.client.to_string())
            .random(u64::try_from(random).unwrap())
            .tcp();
        let reply = question.ask(&table);
        *seen.entry(reply.answers.iter().map(shown).collect()).or_default() += 1;
        if let Err(what) = compare(case, &reply) {
            return wrong(format!("{what}: {reply:#?}"));
        }
        let service = base.service_named(&meridian::model::Name::parse(&case.name).unwrap());
        if let Some(service) = service {
            let explained = explain(&table, service, case.client, question.random);
            if let Err(what) = agree(case, base, service, &explained, &reply) {
                let reasons: Vec<String> = explained.reasons.iter().map(ToString::to_string).collect();
                return wrong(format!("{what}: {reasons:#?}"));
            }
        }
    }
    let expected = case.alternatives.iter().map(|(set, share)| (set.clone(), share * FINENESS)).collect();
    if !case.alternatives.is_empty() && seen != expected {
        return wrong(format!("expected {expected:?}, got {seen:?}"));
    }
    Ok(())
}

/// A record as scenarios write it.
fn shown(record: &common::message::Record) -> String {
    match record.rtype {
        A | AAAA => record.text.clone(),
        CNAME => format!("CNAME {}", record.text),
        other => format!("TYPE{other} {}", record.text),
    }
}

fn compare(case: &Case, reply: &Reply) -> Result<(), String> {
    if reply.rcode != case.rcode {
        return Err(format!("rcode {} in place of {}", reply.rcode, case.rcode));
    }
    if reply.is_authoritative() != (case.rcode != REFUSED) {
        return Err("AA".into());
    }
    let negative = case.alternatives.is_empty();
    if negative && !reply.answers.is_empty() {
        return Err("an answer where none should be".into());
    }
    if negative && matches!(case.rcode, NOERROR | NXDOMAIN) && reply.negative_ttl().is_none() {
        return Err("no SOA".into());
    }
    if let Some(scope) = case.scope
        && reply.scope() != Some(scope)
    {
        return Err(format!("scope {:?} in place of {scope}", reply.scope()));
    }
    if let Some(soa) = case.soa {
        if reply.negative_ttl() != Some((soa, soa)) {
            return Err(format!("SOA TTL and MINIMUM {:?} in place of {soa}", reply.negative_ttl()));
        }
        if reply.authorities.iter().any(|record| record.rtype != SOA) {
            return Err("more than the SOA in authority".into());
        }
    }
    if let Some(ttl) = case.ttl
        && reply.answers.iter().any(|record| record.ttl != ttl)
    {
        return Err(format!("another TTL than {ttl}"));
    }
    Ok(())
}

/// What `explain` says is what was answered.
fn agree(case: &Case, base: &Base, ix: ServiceIx, explained: &Explanation, reply: &Reply) -> Result<(), String> {
    let by = match &explained.plan {
        Plan::Choose { source, .. } => source.as_str(),
        Plan::NoData(NoData::Closed) => "closed",
        Plan::NoData(NoData::AllOut) => "all-out",
        Plan::NoData(NoData::PinnedOut) => "pinned-out",
    };
    if let Some(expected) = &case.by
        && by != expected
    {
        return Err(format!("decided by {by} in place of {expected}"));
    }
    let region = explained.region.as_ref().map_or("elsewhere", |region| region.as_str());
    if let Some(expected) = &case.region
        && region != expected
    {
        return Err(format!("region {region} in place of {expected}"));
    }
    if !matches!(case.rtype, A | AAAA) {
        return Ok(());
    }
    if reply.scope() != Some(explained.scope)
        && base.policy().services[ix.at()].endpoints.iter().any(|endpoint| has(&endpoint.data, case.rtype))
    {
        return Err(format!("explain says scope {}", explained.scope));
    }
    let chosen: &[(EndpointIx, Vec<bool>)] = match (&explained.plan, explained.variant) {
        (Plan::Choose { variants, .. }, Some(at)) => &variants[at].endpoints,
        _ => &[],
    };
    let named: Vec<EndpointIx> = chosen.iter().map(|(endpoint, _)| *endpoint).collect();
    if named != explained.endpoints {
        return Err("explain's endpoints are not those of its variant".into());
    }
    let service = &base.policy().services[ix.at()];
    let mut expected: BTreeSet<String> = BTreeSet::new();
    let mut is_name = false;
    for (endpoint, live) in chosen {
        match &service.endpoint(*endpoint).data {
            Data::Cname(name) => {
                is_name = true;
                expected.insert(format!("CNAME {name}"));
            }
            Data::Addresses { v4, v6, .. } => {
                let all = v4.iter().copied().map(IpAddr::V4).chain(v6.iter().copied().map(IpAddr::V6));
                let live = all.zip(live).filter(|(address, live)| **live && address.is_ipv4() == (case.rtype == A));
                expected.extend(live.map(|(address, _)| address.to_string()));
            }
        }
    }
    let got: BTreeSet<String> = reply.answers.iter().map(shown).collect();
    let agrees = if is_name { expected.is_subset(&got) } else { expected == got };
    if agrees { Ok(()) } else { Err(format!("explain names {expected:?}, the answer has {got:?}")) }
}

fn has(data: &Data, rtype: u16) -> bool {
    match data {
        Data::Cname(_) => true,
        Data::Addresses { v4, v6, .. } => {
            if rtype == A {
                !v4.is_empty()
            } else {
                !v6.is_empty()
            }
        }
    }
}
