//! Facts keep their meaning when they travel by name, and what other files would change is what clients get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use meridian::explain::diff::{Asked, Load, diff};
use meridian::explain::named::NamedFacts;
use meridian::model::{Facts, Generation, ServiceIx};
use meridian::table::{Base, RoutingTable};
use serde_json::Value;

use super::common::{Dice, Texts, all_up};
use super::worlds::{self, Kind};

fn compile(base: &Arc<Base>, facts: Facts) -> RoutingTable {
    RoutingTable::compile(base, Arc::new(facts), Generation(1))
}

/// As it goes over the wire.
fn travelled(base: &Base, facts: &Facts) -> NamedFacts {
    let text = serde_json::to_string(&NamedFacts::of(base.policy(), facts)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn facts_by_name_give_the_same_table_and_the_same_answers_in_files_that_number_otherwise() {
    let mut ordered = 0;
    for seed in 0..60 {
        let dice = &mut Dice(seed);
        let texts = worlds::texts(dice, Kind::Any);
        let base = texts.base();
        let facts = worlds::facts(dice, base.policy(), Kind::Any, true);
        let table = compile(&base, facts.clone());
        ordered += usize::from(!table.answers_like(&all_up(&base)));
        let named = travelled(&base, &facts);
        let same = compile(&base, named.facts(base.policy()));
        assert!(same.answers_like(&table), "seed {seed}");
        // A service, a region and a data centre more, all before the others.
        let more = "regions: { a0: { cidr: 240.0.0.0/8 } }\ngslb: { domain: a.s0.test, policies: { default: { type: weighted } }, \
                    endpoints: { A0: { ip: 192.0.2.1 } } }";
        let [regions, service] = more.split('\n').collect::<Vec<_>>().try_into().unwrap();
        let other = texts.and_policy(regions).and_policy(service).base();
        let found = diff(&table, &compile(&other, named.facts(other.policy())), &Load::default());
        assert_eq!((found.moves.count, found.services_added.count), (0, 1), "seed {seed}: {found:#?}");
    }
    assert!(ordered > 40, "{ordered}");
}

/// First addresses of ranges within which no rule of the files can change its mind.
fn boundaries(texts: &[&Texts]) -> BTreeSet<u64> {
    let mut all = BTreeSet::from([0]);
    for (_, text) in texts.iter().flat_map(|texts| &texts.policies) {
        for word in text.split(|c: char| c.is_whitespace() || "[]{},".contains(c)) {
            if let Ok(IpNet::V4(net)) = word.trim_end_matches(':').parse::<IpNet>() {
                all.insert(u64::from(net.network().to_bits()));
                all.insert(u64::from(net.broadcast().to_bits()) + 1);
            }
        }
    }
    all
}

/// Parts by data centre, in thousands of a million.
fn parts(table: &RoutingTable, ix: ServiceIx, client: IpAddr) -> BTreeMap<String, f64> {
    let policy = table.base().policy();
    let service = &policy.services[ix.at()];
    let view = table.service(ix);
    let mut weights: BTreeMap<String, f64> = BTreeMap::new();
    for (endpoint, weight) in view.members(view.locate(client).outcome) {
        let id = policy.datacenters[service.endpoint(endpoint).datacenter.at()].id.to_string();
        *weights.entry(id).or_default() += f64::from(weight);
    }
    let sum: f64 = weights.values().sum();
    match sum > 0.0 {
        true => weights.into_iter().map(|(id, weight)| (id, weight / sum)).collect(),
        false => BTreeMap::from([(String::new(), 1.0)]),
    }
}

fn moved(one: &BTreeMap<String, f64>, other: &BTreeMap<String, f64>) -> f64 {
    1.0 - one.iter().map(|(id, part)| part.min(*other.get(id).unwrap_or(&0.0))).sum::<f64>()
}

#[test]
fn shares_are_those_of_clients_counted_one_range_after_another() {
    let mut some = 0;
    for seed in 0..40 {
        let dice = &mut Dice(1_000 + seed);
        let (one, other) = (worlds::texts(dice, Kind::Any), worlds::texts(dice, Kind::Any));
        let (base, with) = (one.base(), other.base());
        let facts = worlds::facts(dice, base.policy(), Kind::Any, true);
        let named = NamedFacts::of(base.policy(), &facts);
        let (before, after) = (compile(&base, facts), compile(&with, named.facts(with.policy())));
        let starts: Vec<u64> = boundaries(&[&one, &other]).into_iter().filter(|start| *start < 1 << 32).collect();
        let (mut expected, mut by_service) = (0.0, BTreeMap::new());
        let count = base.policy().services.len();
        for ix in (0..count).map(ServiceIx::from_at) {
            for (at, start) in starts.iter().enumerate() {
                let end = starts.get(at + 1).copied().unwrap_or(1 << 32);
                let client = IpAddr::V4(Ipv4Addr::from_bits(*start as u32));
                let share = (end - start) as f64 / f64::powi(2.0, 32);
                let part = share * moved(&parts(&before, ix, client), &parts(&after, ix, client));
                expected += part / count as f64;
                *by_service.entry(base.policy().services[ix.at()].name.to_string()).or_insert(0.0) += part;
            }
        }
        let clients: Vec<Asked> = (0..200)
            .map(|_| Asked {
                service: dice.pick(&["s0.test.", "s1.test.", "s2.test."]).to_string(),
                client: worlds::client(dice),
                weight: 1,
            })
            .collect();
        let asked: f64 = clients
            .iter()
            .map(|asked| {
                let ix = ServiceIx::from_at(usize::from(asked.service.as_bytes()[1] - b'0'));
                moved(&parts(&before, ix, asked.client), &parts(&after, ix, asked.client))
            })
            .sum();
        let found = diff(&before, &after, &Load { queries: clients, span: Duration::from_secs(9) });
        let ppm = |share: f64| share * 1e6;
        assert!((found.addresses_moved_ppm as f64 - ppm(expected)).abs() < 20.0, "seed {seed}: {expected} {found:#?}");
        for (service, share) in by_service {
            let moves = found.moves.first.iter().filter(|one| one.service == service);
            let sum: u64 = moves.map(|one| one.addresses_ppm).sum();
            assert!((sum as f64 - ppm(share)).abs() < 60.0, "seed {seed}: {service} {share} {found:#?}");
        }
        let queries = found.queries.unwrap();
        assert_eq!((queries.sampled, queries.span_s), (200, 9));
        assert!((queries.moved_ppm as f64 - ppm(asked / 200.0)).abs() < 20.0, "seed {seed}: {asked} {queries:?}");
        some += usize::from(expected > 0.01 && expected < 0.99);
        // What moves out of one data centre moves into others.
        let total = |of: fn(&meridian::explain::diff::Share) -> u64| found.datacenters.iter().map(of).sum::<u64>();
        let (was, is) = (total(|share| share.before_ppm), total(|share| share.after_ppm));
        assert!(was.abs_diff(is) < 20, "{was} {is}");
    }
    assert!(some > 20, "{some}");
}

const SERVICE: &str = "gslb: { domain: www.test, ttl: 30s, policies: { default: { type: weighted } }, endpoints: { \
                       a: { ip: 192.0.2.1, weight: 3 }, b: { ip: 192.0.2.2 } } }";
const ZONE: &str = "$TTL 60\n@ IN SOA ns h 1 2 3 4 5\n@ IN NS ns\nns IN A 192.0.2.53\nold IN A 192.0.2.9\n";

#[test]
fn names_and_answers_are_told_apart_from_clients_that_move() {
    let texts = |service: &str, zone: &str| Texts::default().and_policy(service).and_zone("test", zone).table();
    let before = texts(SERVICE, ZONE);
    assert!(diff(&before, &texts(SERVICE, ZONE), &Load::default()).is_none());
    let zone = ZONE.replace("old IN A", "new IN A").replace("ns IN A 192.0.2.53", "ns IN A 192.0.2.54");
    let found = diff(&before, &texts(SERVICE, &zone), &Load::default());
    assert_eq!(found.records_removed.first, ["old.test. A"]);
    assert_eq!(found.records_added.first, ["new.test. A"]);
    assert_eq!(found.records_changed.first, ["ns.test. A"]);
    assert_eq!((found.moves.count, found.addresses_moved_ppm, found.queries), (0, 0, None));
    let service = SERVICE.replace("192.0.2.1", "192.0.2.7").replace("30s", "60s");
    let found = diff(&before, &texts(&service, ZONE), &Load::default());
    assert_eq!(found.answers.first, ["www.test.: TTL 30 → 60", "www.test.: a 192.0.2.1 → 192.0.2.7"]);
    assert_eq!(found.moves.count, 0, "the data centre is the same");
    // 3:1 becomes 1:1: a quarter of all has to move.
    let found = diff(&before, &texts(&SERVICE.replace("weight: 3", "weight: 1"), ZONE), &Load::default());
    assert_eq!((found.addresses_moved_ppm, found.moves.first[0].region.as_str()), (250_000, "default"));
    let shares: Vec<(&str, u64, u64)> =
        found.datacenters.iter().map(|share| (share.id.as_str(), share.before_ppm, share.after_ppm)).collect();
    assert_eq!(shares, [("a", 750_000, 500_000), ("b", 250_000, 500_000)]);
    let json: Value = serde_json::to_value(&found).unwrap();
    assert_eq!(json["moves"]["first"][0]["addresses_ppm"], 250_000);
}
