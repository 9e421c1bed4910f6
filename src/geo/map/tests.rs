//! Maps against a naive oracle: longest-prefix tries, and every edge of every network as a probe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use proptest::prelude::*;

use super::*;
use crate::model::{Network, Origin};

fn network(net: IpNet, asn: u32) -> Network {
    Network { net, place: Place { asn: Some(asn), ..Place::default() }, origin: Origin::file("test") }
}

fn atlas(networks: &[(IpNet, u32)]) -> Atlas {
    let networks: Vec<Network> = networks.iter().map(|&(net, asn)| network(net, asn)).collect();
    Atlas::load(Vec::new(), &networks).0
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// What the naive way finds: the most specific network, then the most specific rule.
struct Oracle {
    asns_v4: PrefixMap<Ipv4Net, u32>,
    asns_v6: PrefixMap<Ipv6Net, u32>,
    rules_v4: PrefixMap<Ipv4Net, u16>,
    rules_v6: PrefixMap<Ipv6Net, u16>,
    edges: Vec<IpAddr>,
}

impl Oracle {
    fn of(networks: &[(IpNet, u32)], rules: &[IpNet]) -> Oracle {
        let mut oracle = Oracle {
            asns_v4: PrefixMap::new(),
            asns_v6: PrefixMap::new(),
            rules_v4: PrefixMap::new(),
            rules_v6: PrefixMap::new(),
            edges: ["::ffff:0:0/96", "2002::/16", "0.0.0.0/0", "::/0"]
                .into_iter()
                .flat_map(|n| edges(net(n)))
                .collect(),
        };
        // Of equal networks the first written wins.
        for (at, &(net, asn)) in networks.iter().enumerate().rev() {
            oracle.edges.extend(edges(networks[at].0));
            match net {
                IpNet::V4(net) => drop(oracle.asns_v4.insert(net.trunc(), asn)),
                IpNet::V6(net) => drop(oracle.asns_v6.insert(net.trunc(), asn)),
            }
        }
        for (number, rule) in (0..).zip(rules) {
            oracle.edges.extend(edges(*rule));
            match rule {
                IpNet::V4(net) => drop(oracle.rules_v4.insert(net.trunc(), number)),
                IpNet::V6(net) => drop(oracle.rules_v6.insert(net.trunc(), number)),
            }
        }
        oracle
    }

    fn outcome(&self, address: IpAddr) -> u16 {
        let (asn, rule) = match plain(address) {
            IpAddr::V4(address) => {
                let host = Ipv4Net::from(address);
                (self.asns_v4.get_lpm(&host).map(|(_, asn)| *asn), self.rules_v4.get_lpm(&host).map(|(_, rule)| *rule))
            }
            IpAddr::V6(address) => {
                let host = Ipv6Net::from(address);
                (self.asns_v6.get_lpm(&host).map(|(_, asn)| *asn), self.rules_v6.get_lpm(&host).map(|(_, rule)| *rule))
            }
        };
        outcome(asn, rule)
    }
}

/// Outcomes collide on purpose, so that neighbours join.
fn outcome(asn: Option<u32>, rule: Option<u16>) -> u16 {
    u16::try_from(asn.unwrap_or(0)).unwrap() + 10 * rule.map_or(0, |rule| 1 + rule % 2)
}

/// The address that decides, written apart from the code under test.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let octets = v6.octets();
    match v6.to_ipv4_mapped() {
        Some(v4) => v4.into(),
        None if octets[..2] == [0x20, 0x02] => Ipv4Addr::new(octets[2], octets[3], octets[4], octets[5]).into(),
        None => address,
    }
}

fn edges(net: IpNet) -> Vec<IpAddr> {
    let (first, last) = (net.network(), net.broadcast());
    let mut out = vec![first, last];
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            out.extend(first.to_bits().checked_sub(1).map(|at| IpAddr::V4(at.into())));
            out.extend(last.to_bits().checked_add(1).map(|at| IpAddr::V4(at.into())));
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            out.extend(first.to_bits().checked_sub(1).map(|at| IpAddr::V6(at.into())));
            out.extend(last.to_bits().checked_add(1).map(|at| IpAddr::V6(at.into())));
        }
        _ => unreachable!("one network has one family"),
    }
    out
}

fn build(networks: &[(IpNet, u32)], rules: &[IpNet]) -> Map {
    let atlas = atlas(networks);
    Map::build(&atlas, rules, |place, address, inside| {
        let rule = (0..)
            .zip(rules)
            .filter(|(_, rule)| rule.contains(&address))
            .max_by_key(|(at, rule)| (rule.prefix_len(), *at));
        assert_eq!(inside, rule.is_some(), "{address} is inside a rule or is not");
        outcome(place.asn, rule.map(|(at, _)| at))
    })
    .unwrap()
}

fn forms(address: IpAddr) -> Vec<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let six_to_four = (0x2002_u128 << 112) | (u128::from(v4.to_bits()) << 80) | 0x1234;
            vec![address, v4.to_ipv6_mapped().into(), Ipv6Addr::from_bits(six_to_four).into()]
        }
        IpAddr::V6(_) => vec![address],
    }
}

/// Everything that must hold of one address.
fn check(map: &Map, oracle: &Oracle, address: IpAddr, samples: &[u128]) {
    let leaf = map.find(address);
    assert_eq!(leaf.outcome, oracle.outcome(address), "outcome of {address}");
    let before =
        match plain(address) {
            IpAddr::V4(_) if address.is_ipv6() => {
                if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) { 96 } else { 16 }
            }
            _ => 0,
        };
    assert!(leaf.scope > before, "scope {} of {address} says nothing", leaf.scope);
    let block = IpNet::new(address, leaf.scope).unwrap().trunc();
    let mut inside = edges(block);
    inside.truncate(2);
    inside.extend(samples.iter().map(|&sample| match block {
        IpNet::V4(net) => {
            IpAddr::V4(Ipv4Addr::from_bits(net.network().to_bits() | (sample as u32 & net.hostmask().to_bits())))
        }
        IpNet::V6(net) => {
            IpAddr::V6(Ipv6Addr::from_bits(net.network().to_bits() | (sample & net.hostmask().to_bits())))
        }
    }));
    inside.extend(oracle.edges.iter().copied().flat_map(forms).filter(|edge| block.contains(edge)));
    for other in inside {
        assert_eq!(oracle.outcome(other), leaf.outcome, "{other} is inside {block}, the leaf of {address}");
        assert_eq!(map.find(other), leaf, "{other} and {address} share the leaf {block}");
    }
    if leaf.scope > before + 1 {
        let parent = IpNet::new(address, leaf.scope - 1).unwrap().trunc();
        let mut there = edges(parent);
        there.truncate(2);
        there.extend(oracle.edges.iter().copied().flat_map(forms).filter(|edge| parent.contains(edge)));
        let carries = before == 0 && there.iter().any(|&at| at.is_ipv6() && plain(at).is_ipv4());
        assert!(
            carries || there.iter().any(|&at| oracle.outcome(at) != leaf.outcome),
            "the leaf of {address} could be {parent}"
        );
    }
}

/// Few distinct addresses and all lengths, host routes often, so that networks nest and touch.
fn nets() -> impl Strategy<Value = IpNet> {
    let low = || prop_oneof![Just(0_u32), 0_u32..16];
    let bases = vec![0_u32, 0x0a00_0000, 0x0a01_0200, 0x0a01_02ff, 0x7fff_ffff, 0xc000_0201, u32::MAX];
    let v4 = (prop::sample::select(bases), low(), prop_oneof![0_u8..=32, Just(32)]).prop_map(|(base, low, len)| {
        let address = Ipv4Addr::from_bits(base ^ (low << (low * 2)));
        IpNet::V4(Ipv4Net::new(address, len).unwrap().trunc())
    });
    let bases = vec![
        0_u128,
        0xc000_0201,
        0xfffe << 32,
        (0xffff << 32) - 1,
        0x1_0000 << 32,
        0x2001 << 112,
        (0x2002 << 112) - 1,
        0x2003 << 112,
        0x2a00_1234 << 96,
        u128::MAX,
    ];
    let v6 = (prop::sample::select(bases), low(), 0_u32..120, prop_oneof![0_u8..=128, Just(128)])
        .prop_map(|(base, low, at, len)| {
            let address = Ipv6Addr::from_bits(base ^ (u128::from(low) << at));
            IpNet::V6(Ipv6Net::new(address, len).unwrap().trunc())
        })
        .prop_filter("networks are never written inside blocks that carry IPv4", |net| {
            !["::ffff:0:0/96", "2002::/16"].iter().any(|carrier| carrier.parse::<IpNet>().unwrap().contains(net))
        });
    prop_oneof![v4, v6]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_map_agrees_with_the_oracle_and_its_scopes_are_honest_and_least(
        networks in prop::collection::vec((nets(), 1_u32..4), 0..12),
        rules in prop::collection::vec(nets(), 0..5),
        random in prop::collection::vec(any::<u128>(), 4),
    ) {
        let oracle = Oracle::of(&networks, &rules);
        let map = build(&networks, &rules);
        let mut probes: Vec<IpAddr> = oracle.edges.clone();
        probes.extend(random.iter().map(|&bits| IpAddr::V6(bits.into())));
        probes.extend(random.iter().map(|&bits| IpAddr::V4((bits as u32).into())));
        for probe in probes.into_iter().flat_map(forms) {
            check(&map, &oracle, probe, &random);
        }
    }
}

#[test]
fn many_ranges_are_found_through_the_index() {
    // Dense in one corner of each space, so that slots hold none, one and many ranges.
    let networks: Vec<(IpNet, u32)> = (0..3000_u32)
        .flat_map(|at| {
            let v4 = Ipv4Net::new(Ipv4Addr::from_bits((at % 7) << 29 | at << 8), 24).unwrap().trunc();
            let v6 = Ipv6Net::new(Ipv6Addr::from_bits((0x2a00_u128 << 112) | u128::from(at * at) << 70), 64)
                .unwrap()
                .trunc();
            [(IpNet::V4(v4), at % 3 + 1), (IpNet::V6(v6), at % 3 + 1)]
        })
        .collect();
    let oracle = Oracle::of(&networks, &[]);
    let map = build(&networks, &[]);
    for &edge in &oracle.edges {
        assert_eq!(map.find(edge).outcome, oracle.outcome(edge), "{edge}");
    }
}

#[test]
fn a_hole_in_a_network_keeps_the_networks_length_from_being_the_scope() {
    let map = build(&[(net("10.0.0.0/8"), 1), (net("10.1.2.0/24"), 2)], &[]);
    assert_eq!(map.find(ip("10.1.2.3")), Leaf { outcome: 2, scope: 24 });
    assert_eq!(map.find(ip("10.1.3.3")), Leaf { outcome: 1, scope: 24 });
    assert_eq!(map.find(ip("10.1.0.1")), Leaf { outcome: 1, scope: 23 });
    assert_eq!(map.find(ip("10.128.0.1")), Leaf { outcome: 1, scope: 9 });
    assert_eq!(map.find(ip("11.0.0.1")), Leaf { outcome: 0, scope: 8 });
    assert_eq!(map.find(ip("192.0.2.1")), Leaf { outcome: 0, scope: 1 });
}

#[test]
fn neighbours_with_one_outcome_are_one_leaf() {
    let map = build(&[(net("10.0.0.0/25"), 1), (net("10.0.0.128/25"), 1), (net("10.0.1.0/24"), 1)], &[]);
    assert_eq!(map.find(ip("10.0.0.200")), Leaf { outcome: 1, scope: 23 });
}

#[test]
fn host_routes_are_leaves_of_their_own() {
    let map = build(&[(net("192.0.2.1/32"), 1), (net("2001:db8::1/128"), 2)], &[]);
    assert_eq!(map.find(ip("192.0.2.1")), Leaf { outcome: 1, scope: 32 });
    assert_eq!(map.find(ip("192.0.2.0")), Leaf { outcome: 0, scope: 32 });
    assert_eq!(map.find(ip("2001:db8::1")), Leaf { outcome: 2, scope: 128 });
    assert_eq!(map.find(ip("::ffff:192.0.2.1")), Leaf { outcome: 1, scope: 128 });
    assert_eq!(map.find(ip("2002:c000:201::")), Leaf { outcome: 1, scope: 48 });
}

#[test]
fn a_network_that_ends_with_the_network_around_it_is_inside() {
    let map = build(&[(net("192.0.2.0/24"), 1), (net("192.0.2.255/32"), 2), (net("192.0.2.254/31"), 3)], &[]);
    let outcomes = ["192.0.2.253", "192.0.2.254", "192.0.2.255", "192.0.3.0"].map(|text| map.find(ip(text)).outcome);
    assert_eq!(outcomes, [1, 3, 2, 0]);
}

#[test]
fn scope_zero_is_never_said_even_where_nothing_is_known() {
    let map = build(&[], &[]);
    assert_eq!(map.find(ip("0.0.0.0")), Leaf { outcome: 0, scope: 1 });
    assert_eq!(map.find(ip("255.255.255.255")), Leaf { outcome: 0, scope: 1 });
    assert_eq!(map.find(ip("::ffff:1.2.3.4")), Leaf { outcome: 0, scope: 97 });
    assert_eq!(map.find(ip("2002::")), Leaf { outcome: 0, scope: 17 });
    assert_eq!(map.find(ip("8000::")), Leaf { outcome: 0, scope: 1 });
    assert_eq!(map.find(ip("2003::")), Leaf { outcome: 0, scope: 16 });
}

#[test]
fn outside_of_the_rules_a_place_is_projected_once() {
    let atlas = atlas(&[(net("10.0.0.0/8"), 1), (net("11.0.0.0/8"), 2), (net("12.0.0.0/8"), 1)]);
    let mut asked = Vec::new();
    Map::build(&atlas, &[net("12.1.0.0/16")], |place, address, inside| {
        asked.push((place.asn, address, inside));
        0
    })
    .unwrap();
    let expected = [
        (None, ip("0.0.0.0"), false),
        (Some(1), ip("10.0.0.0"), false),
        (Some(2), ip("11.0.0.0"), false),
        (Some(1), ip("12.1.0.0"), true),
    ];
    assert_eq!(asked, expected);
}

#[test]
fn ranges_cover_both_families_but_not_what_carries_ipv4() {
    let map = build(&[(net("128.0.0.0/1"), 1)], &[]);
    let ranges: Vec<_> = map.ranges().collect();
    let expected = [
        ("0.0.0.0", "127.255.255.255", 0),
        ("128.0.0.0", "255.255.255.255", 1),
        ("::", "::fffe:ffff:ffff", 0),
        ("::1:0:0:0", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0),
        ("2003::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 0),
    ];
    assert_eq!(ranges, expected.map(|(first, last, outcome)| (ip(first), ip(last), outcome)));
    assert_eq!(map.range_count(), 7);
}

#[test]
fn an_outcome_that_is_reserved_is_refused() {
    let atlas = atlas(&[]);
    assert_eq!(Map::build(&atlas, &[], |_, _, _| u16::MAX), Err(MapError::Outcomes));
    assert!(Map::build(&atlas, &[], |_, _, _| u16::MAX - 1).is_ok());
}

#[test]
fn a_map_of_a_city_file_agrees_with_look_ups_in_the_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mmdb/GeoIP2-City-Test.mmdb");
    let reader = maxminddb::Reader::open_readfile(path).unwrap();
    let number = |code: &str| code.bytes().fold(0, |number, letter| number * 26 + u16::from(letter - b'A') + 1);
    let without_data: [Ipv6Net; 2] = ["::/96".parse().unwrap(), "2001::/32".parse().unwrap()];
    let direct = |address: IpAddr| {
        let address = plain(address);
        if matches!(address, IpAddr::V6(v6) if without_data.iter().any(|net| net.contains(&v6))) {
            return 0;
        }
        let record: Option<maxminddb::geoip2::Country<'_>> = reader.lookup(address).unwrap().decode().unwrap();
        let code = record.and_then(|record| record.country.iso_code.or(record.registered_country.iso_code));
        code.map_or(0, number)
    };
    let (atlas, _) = Atlas::load(vec![crate::geo::Database::read(path.as_ref()).unwrap()], &[]);
    let map = Map::build(&atlas, &[], |place, _, _| place.country.map_or(0, |code| number(code.as_str()))).unwrap();

    let networks = reader.networks(maxminddb::WithinOptions::default()).unwrap();
    let mut probes: Vec<IpAddr> = networks
        .flat_map(|found| {
            let net = found.unwrap().network().unwrap();
            edges(IpNet::new(net.ip(), net.prefix()).unwrap())
        })
        .flat_map(forms)
        .collect();
    let mut random = 0x2545_f491_4f6c_dd1d_u128;
    let mut next = || {
        random = random.wrapping_mul(0xda94_2042_e4dd_58b5_a5d1_2ac0_4c0b_2fb5).wrapping_add(1);
        random ^ (random >> 64)
    };
    probes.extend((0..500).flat_map(|_| [IpAddr::V4((next() as u32).into()), IpAddr::V6(next().into())]));
    for probe in probes {
        let leaf = map.find(probe);
        assert_eq!(leaf.outcome, direct(probe), "{probe}");
        let block = IpNet::new(probe, leaf.scope).unwrap().trunc();
        let mut inside = vec![block.network(), block.broadcast()];
        inside.extend((0..4).map(|_| match block {
            IpNet::V4(net) => IpAddr::V4((net.network().to_bits() | (next() as u32 & net.hostmask().to_bits())).into()),
            IpNet::V6(net) => IpAddr::V6((net.network().to_bits() | (next() & net.hostmask().to_bits())).into()),
        }));
        for other in inside {
            assert_eq!(direct(other), leaf.outcome, "{other} is inside {block}, the leaf of {probe}");
        }
    }
}
