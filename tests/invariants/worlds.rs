//! Random policies, places, facts and clients.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meridian::health;
use meridian::model::{
    AddressKey, Admin, DatacenterIx, EntryState, Evidence, EvidenceKey, Facts, Forced, Latch, ObserverId, Override,
    OverrideKind, PolicySet, RegionIx, Revision, Scope, ServiceIx, State, Ttl, Weight,
};

use super::common::{Dice, Texts};

/// What kinds of choices a random policy may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything.
    Any,
    /// Only what gives one client one data centre: tiers of one, or sticky.
    Settled,
}

const DATACENTERS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Some services over random regions and networks.
pub(crate) fn texts(dice: &mut Dice, kind: Kind) -> Texts {
    let mut shared = String::from("datacenters:\n");
    for (at, dc) in DATACENTERS.iter().enumerate() {
        let (latitude, longitude) = (dice.below(120) as i32 - 60, dice.below(340) as i32 - 170);
        shared.push_str(&format!("  {dc}: {{ latitude: {latitude}, longitude: {longitude}, bias: {} }}\n", at * 100));
    }
    shared.push_str("networks:\n");
    let mut nets = BTreeSet::new();
    while nets.len() < 25 {
        nets.insert(network(dice));
    }
    for net in &nets {
        let country = dice.pick(&["CN", "DE", "US", "SG", "JP"]);
        let (latitude, longitude) = (dice.below(120) as i32 - 60, dice.below(340) as i32 - 170);
        let asn = 64_500 + dice.below(4);
        shared.push_str(&format!("  {net}: {{ country: {country}, asn: {asn}"));
        if dice.one_in(2) {
            shared.push_str(&format!(", latitude: {latitude}, longitude: {longitude}"));
        }
        shared.push_str(" }\n");
    }
    shared.push_str("health_checks: { gate: { protocol: tcp, port: 1 } }\nregions:\n");
    for region in 0..5 {
        let rule = match dice.below(6) {
            0 => format!("{{ country: [{}, {}] }}", dice.pick(&["CN", "DE"]), dice.pick(&["US", "SG"])),
            1 => format!("{{ asn: {} }}", 64_500 + dice.below(4)),
            2 => format!("{{ continent: {} }}", dice.pick(&["AS", "EU"])),
            3 => format!("{{ not: {{ country: {} }} }}", dice.pick(&["CN", "US"])),
            4 => format!("{{ any: [ {{ cidr: {} }}, {{ asn: 64501 }} ] }}", network(dice)),
            _ => format!("{{ cidr: [{}, {}] }}", network(dice), network(dice)),
        };
        shared.push_str(&format!("  r{region}: {rule}\n"));
    }
    let mut texts = Texts::default().and_policy(&shared);
    for number in 0..3 {
        texts = texts.and_policy(&service(dice, kind, number));
    }
    texts
}

fn network(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => {
            let len = 20 + dice.below(109);
            let bits = (0x2001_0db8_u128 << 96) | (u128::from(dice.next()) & 0x0003_0003_0003_0003) << 40;
            format!("{}/{len}", Ipv6Addr::from_bits(bits & (u128::MAX << (128 - len))))
        }
        _ => {
            let len = 3 + dice.below(30);
            let bits = dice.next() as u32 & 0x8703_0303;
            format!("{}/{len}", Ipv4Addr::from_bits(bits & (u32::MAX << (32 - len))))
        }
    }
}

fn service(dice: &mut Dice, kind: Kind, number: usize) -> String {
    let names: Vec<String> = (0..2 + dice.below(5)).map(|at| format!("e{at}")).collect();
    let mut text = format!("gslb:\n  domain: s{number}.test\n  health_check: {{ protocol: http }}\n");
    if kind == Kind::Any {
        text.push_str(&format!("  max_answers: {}\n", if dice.one_in(3) { 1 + dice.below(8) } else { 1 }));
    }
    if let Some(word) = dice.pick(&[None, Some("open"), Some("closed"), Some("e0")]) {
        text.push_str(&format!("  all_down: {word}\n"));
    }
    let methods: &[&str] = match kind {
        Kind::Any => &["weighted", "sticky", "priority", "nearest"],
        Kind::Settled => &["sticky"],
    };
    text.push_str("  policies:\n");
    if dice.one_in(4) {
        text.push_str(&format!("    default: {{ type: {} }}\n", dice.pick(methods)));
    } else {
        text.push_str(&format!("    default: {{ type: geolocation, fallback: {} }}\n", dice.pick(methods)));
        let mut regions: Vec<usize> = (0..5).collect();
        for _ in 0..1 + dice.below(4) {
            let region = regions.remove(dice.below(regions.len()));
            let mut left = names.clone();
            let mut tiers = Vec::new();
            while !left.is_empty() && tiers.len() < 3 {
                let several = 1 + dice.below(left.len().min(3));
                let members: Vec<String> = (0..several).map(|_| left.remove(dice.below(left.len()))).collect();
                let entry = match dice.below(6) {
                    0 => ", enter: manual",
                    1 => ", when: gate",
                    2 if !tiers.is_empty() => ", after: 20s",
                    _ => "",
                };
                tiers.push(format!("{{ members: [{}], method: {}{entry} }}", members.join(", "), dice.pick(methods)));
            }
            let fence = if dice.one_in(4) { ", geofence: true" } else { "" };
            text.push_str(&format!("    r{region}: {{ tiers: [ {} ]{fence} }}\n", tiers.join(", ")));
        }
    }
    text.push_str("  endpoints:\n");
    for (at, name) in names.iter().enumerate() {
        let dc = if kind == Kind::Settled { DATACENTERS[at % 6] } else { dice.pick(&DATACENTERS) };
        let v4 = format!("192.0.{number}.{at}");
        let v6 = format!("2001:db8:{number}::{at}");
        let data = match dice.below(4) {
            0 => format!("ipv4: {v4}"),
            1 => format!("ipv4: [{v4}, 198.51.{number}.{at}], ipv6: {v6}"),
            _ => format!("ip: [{v4}, {v6}]"),
        };
        let weight = if dice.one_in(5) { 0 } else { dice.below(9) };
        text.push_str(&format!(
            "    {name}: {{ {data}, datacenter: {dc}, weight: {weight}, priority: {} }}\n",
            1 + dice.below(3)
        ));
    }
    text
}

/// What random observers say of random addresses.
pub(crate) fn evidence(dice: &mut Dice, policy: &PolicySet) -> Evidence {
    let mut evidence = Evidence::all_up();
    let observers = ["here", "there"].map(|id| ObserverId::new(id).unwrap());
    let sick = 1 + dice.below(6);
    for (at, service) in policy.services.iter().enumerate() {
        for (endpoint, of) in service.endpoints() {
            for address in 0..of.data.address_count() {
                for check in of.health.checks() {
                    if dice.one_in(sick) {
                        let state = *dice.pick(&[State::Up, State::Down, State::Down, State::Unknown]);
                        let key = EvidenceKey {
                            service: ServiceIx::from_at(at),
                            endpoint,
                            address: address as u16,
                            check,
                            observer: dice.pick(&observers).clone(),
                        };
                        evidence.states.insert(key, state);
                    }
                }
            }
        }
    }
    evidence
}

/// Random health, orders, latches and conditions.
pub(crate) fn facts(dice: &mut Dice, policy: &PolicySet, kind: Kind, with_switches: bool) -> Facts {
    let mut facts = Facts { health: health::verdicts(policy, &evidence(dice, policy)), ..Facts::all_up() };
    for (at, service) in policy.services.iter().enumerate() {
        let ix = ServiceIx::from_at(at);
        for (endpoint_ix, endpoint) in service.endpoints() {
            for address in 0..endpoint.data.address_count() {
                let key = AddressKey { service: ix, endpoint: endpoint_ix, address: address as u16 };
                if let Some(verdict) = facts.health.of.get_mut(&key) {
                    verdict.is_held = verdict.state == State::Up && dice.one_in(6);
                }
            }
            if dice.one_in(8) {
                facts.endpoints.insert((ix, endpoint_ix), *dice.pick(&[Admin::Out, Admin::Draining]));
            }
            if dice.one_in(10) {
                facts.forced_endpoints.insert((ix, endpoint_ix), *dice.pick(&[Forced::Up, Forced::Down]));
            }
        }
        for region in (0..policy.regions.len()).map(|at| Some(RegionIx::from_at(at))) {
            for tier in 0..3 {
                if dice.one_in(3) {
                    let state = if dice.one_in(2) { EntryState::Met } else { EntryState::Unmet("a test".into()) };
                    facts.entries.insert((ix, region, tier), state);
                }
            }
        }
    }
    let count = policy.datacenters.len();
    for dc in (0..count).map(DatacenterIx::from_at) {
        if dice.one_in(8) {
            facts.datacenters.insert(dc, *dice.pick(&[Admin::Out, Admin::Draining]));
        }
        if dice.one_in(12) {
            facts.forced_datacenters.insert(dc, *dice.pick(&[Forced::Up, Forced::Down]));
        }
        if dice.one_in(6) {
            facts.latches.push(Latch { datacenter: dc, scope: scope(dice, policy) });
        }
    }
    for _ in 0..if with_switches { dice.below(4) } else { 0 } {
        let several = if kind == Kind::Settled { 1 } else { 1 + dice.below(2) };
        let mut some =
            |n: usize| -> BTreeSet<DatacenterIx> { (0..n).map(|_| DatacenterIx::from_at(dice.below(count))).collect() };
        let (to, from, left) = (some(several), some(1), some(1));
        let from = (kind == Kind::Any && dice.one_in(2)).then_some(from);
        let kind = match dice.below(5) {
            0 => OverrideKind::Pin { to, from },
            1 | 2 => OverrideKind::Prefer { to, from, yielded: dice.one_in(3), left },
            3 => OverrideKind::Schedule { to },
            _ => OverrideKind::Ttl(Ttl::from_secs(1 + dice.below(100) as u64).unwrap()),
        };
        order(dice, policy, &mut facts, kind);
    }
    if dice.one_in(3) {
        let service = dice.below(policy.services.len());
        let endpoint = dice.below(policy.services[service].endpoints.len());
        let endpoints = BTreeSet::from([(ServiceIx::from_at(service), meridian::model::EndpointIx::from_at(endpoint))]);
        let kind = OverrideKind::Weight { endpoints, weight: Weight::new(dice.below(5) as u64).unwrap() };
        order(dice, policy, &mut facts, kind);
    }
    facts
}

fn order(dice: &mut Dice, policy: &PolicySet, facts: &mut Facts, kind: OverrideKind) {
    facts.revision = Revision(facts.revision.0 + 1);
    let scope = scope(dice, policy);
    facts.overrides.push(Override {
        kind,
        scope,
        revision: facts.revision,
        actor: "dice".into(),
        reason: String::new(),
        expires_at: None,
    });
}

fn scope(dice: &mut Dice, policy: &PolicySet) -> Scope {
    let services = dice.one_in(3).then(|| BTreeSet::from([ServiceIx::from_at(dice.below(policy.services.len()))]));
    let regions = dice
        .one_in(3)
        .then(|| BTreeSet::from([None, Some(RegionIx::from_at(dice.below(policy.regions.len().max(1))))]));
    Scope { services, regions }
}

/// An address, often one near which something changes.
pub(crate) fn client(dice: &mut Dice) -> IpAddr {
    let v4 = Ipv4Addr::from_bits(match dice.below(3) {
        0 => dice.next() as u32,
        1 => dice.next() as u32 & 0x8703_03ff,
        _ => (dice.next() as u32 & 0x8703_0303).wrapping_sub(1),
    });
    match dice.below(6) {
        0 => IpAddr::V6(Ipv6Addr::from_bits(u128::from(dice.next()) << 64 | u128::from(dice.next()))),
        1 => {
            let low = u128::from(dice.next()) & 0x0003_0003_0003_0003;
            IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | low << 40))
        }
        2 => IpAddr::V6(v4.to_ipv6_mapped()),
        3 => IpAddr::V6(Ipv6Addr::from_bits(
            0x2002_u128 << 112 | u128::from(v4.to_bits()) << 80 | u128::from(dice.next()),
        )),
        _ => IpAddr::V4(v4),
    }
}
