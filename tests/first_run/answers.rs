//! What the shipped examples answer.

use std::collections::BTreeMap;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType::{self, A, AAAA, ANY, CAA, CNAME, DS, HTTPS, MX, NS, SRV, TXT};

use crate::node::{Node, Site, query};

const API: &str = "api.meta-driven.example.com.";
const SHOP: &str = "shop.meta-driven.example.com.";
const CDN: &str = "cdn.meta-driven.example.com.";
const BEIJING: Option<&str> = Some("219.141.136.0/24");
const SHANGHAI: Option<&str> = Some("202.96.209.0/24");

#[track_caller]
fn gives(node: &Node, name: &str, rtype: RecordType, subnet: Option<&str>, expected: &[&str]) {
    let reply = node.ask(name, rtype, subnet);
    assert_eq!(reply.rcode(), ResponseCode::NoError, "{reply:?}");
    let mut answers = reply.answers();
    answers.sort();
    assert_eq!(answers, expected, "{name} {rtype} for {subnet:?}");
}

#[test]
fn the_reference_policy_is_as_its_network_team_wrote_it() {
    let text = include_str!("../../zones/api.meta-driven.example.com.yaml");
    assert!(text.starts_with("# GSLB DNS 配置\ngslb:\n  domain: api.meta-driven.example.com\n"));
    // FNV-1a over every octet: this file is not ours to tidy up.
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!((text.len(), hash), (828, 0x33de_b51a_e0e0_002c));
}

#[test]
fn the_reference_deployment_answers_by_where_the_client_is() {
    let node = Site::new().serve();
    for _ in 0..20 {
        gives(&node, API, A, BEIJING, &["A 1.1.1.1"]);
        gives(&node, API, A, SHANGHAI, &["A 2.2.2.1"]);
    }
    let reply = node.ask(API, A, BEIJING);
    assert!(reply.0.metadata.authoritative && !reply.0.metadata.recursion_available);
    assert_eq!((reply.0.answers[0].ttl, reply.0.answers[0].name.to_string().as_str()), (15, API));
    // Whoever asks by himself is nowhere: 127.0.0.0/16 is of no known place.
    assert_eq!(node.ask(API, A, None).scope(), None);
    // A zero scope would let a resolver give Beijing's answer to the world.
    for subnet in [BEIJING, SHANGHAI, Some("128.32.0.0/16"), Some("2001:db8:1::/48"), Some("127.0.0.0/8")] {
        assert!(node.ask(API, A, subnet).scope().unwrap() > 0, "{subnet:?}");
    }
}

#[test]
fn everywhere_else_the_three_addresses_come_in_proportion_one_at_a_time() {
    const QUERIES: u32 = 3600;
    let node = Site::new().serve();
    let mut count: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..QUERIES {
        let answers = node.ask(API, A, Some("128.32.0.0/24")).answers();
        let [one] = answers.as_slice() else { panic!("not one address: {answers:?}") };
        *count.entry(one.clone()).or_default() += 1;
    }
    // Seven standard deviations: chance alone fails this once in 10^11 runs.
    for (address, weight) in [("A 1.1.1.1", 100), ("A 1.1.1.2", 50), ("A 2.2.2.1", 30)] {
        let share = f64::from(weight) / 180.0;
        let (mean, deviation) = (f64::from(QUERIES) * share, (f64::from(QUERIES) * share * (1.0 - share)).sqrt());
        let came = f64::from(count[address]);
        assert!((came - mean).abs() < 7.0 * deviation, "{address} came {came} times, not about {mean}");
    }
    assert_eq!(count.len(), 3);
}

#[test]
fn what_the_service_has_not_is_no_data_any_is_hinfo_and_below_it_is_nothing() {
    let node = Site::new().serve();
    for rtype in [AAAA, HTTPS, MX, NS, TXT, CAA, SRV, DS, CNAME, RecordType::SOA, RecordType::Unknown(65280)] {
        let reply = node.ask(API, rtype, BEIJING);
        assert_eq!((reply.rcode(), reply.answers().len()), (ResponseCode::NoError, 0), "{rtype}: {reply:?}");
        assert!(reply.0.metadata.authoritative);
        assert_eq!(reply.negative_ttls(), (15, 15), "{rtype}");
        assert_eq!(reply.0.authorities[0].name.to_string(), "meta-driven.example.com.");
        // It is the same for every client.
        assert_eq!(reply.scope(), Some(0), "{rtype}");
    }
    let any = node.ask(API, ANY, BEIJING);
    assert_eq!((any.rcode(), any.answers()), (ResponseCode::NoError, vec!["HINFO RFC8482 ".to_owned()]));
    for name in ["x.api.meta-driven.example.com.", "a.b.api.meta-driven.example.com.", "*.api.meta-driven.example.com."]
    {
        let reply = node.ask(name, A, BEIJING);
        assert_eq!((reply.rcode(), reply.answers().len()), (ResponseCode::NXDomain, 0), "{name}: {reply:?}");
        assert_eq!(reply.negative_ttls(), (300, 300));
    }
    assert_eq!(node.ask("www.example.net.", A, None).rcode(), ResponseCode::Refused);
}

#[test]
fn tcp_gives_what_udp_gives() {
    let node = Site::new().serve();
    for (name, rtype, subnet) in
        [(API, A, BEIJING), (API, AAAA, SHANGHAI), (SHOP, HTTPS, BEIJING), ("lab.meta-driven.example.com.", A, None)]
    {
        let query = query(name, rtype, subnet);
        assert_eq!(node.over_tcp(&query), node.over_udp(&query), "{name} {rtype}");
    }
}

#[test]
fn without_edns_the_answer_has_none() {
    let node = Site::new().serve();
    let mut query = Message::from_vec(&query(API, A, None)).unwrap();
    query.edns = None;
    let reply = Message::from_vec(&node.over_udp(&query.to_vec().unwrap())).unwrap();
    assert_eq!((reply.answers.len(), reply.edns), (1, None));
}

#[test]
fn one_machine_can_be_any_client_by_its_source_address() {
    let node = Site::new().serve();
    for (source, address) in [("127.1.0.1", "A 1.1.1.1"), ("127.2.0.1", "A 2.2.2.1")] {
        let socket = std::net::UdpSocket::bind((source, 0)).unwrap();
        socket.set_read_timeout(Some(crate::node::PATIENCE)).unwrap();
        socket.send_to(&query(API, A, None), node.address).unwrap();
        let mut reply = [0; 1232];
        let len = socket.recv(&mut reply).unwrap();
        let reply = crate::node::Answer(Message::from_vec(&reply[..len]).unwrap());
        assert_eq!(reply.answers(), [address], "from {source}");
    }
}

#[test]
fn the_shop_shows_both_families_networks_providers_and_a_geofence() {
    let node = Site::new().serve();
    gives(&node, SHOP, A, BEIJING, &["A 192.0.2.11", "A 192.0.2.12"]);
    gives(&node, SHOP, AAAA, Some("2001:db8:1::/48"), &["AAAA 2001:db8:1::11", "AAAA 2001:db8:1::12"]);
    gives(&node, SHOP, A, Some("202.106.0.0/24"), &["A 192.0.2.21", "A 192.0.2.22"]);
    gives(&node, SHOP, A, Some("198.51.100.64/26"), &["A 192.0.2.21", "A 192.0.2.22"]);
    gives(&node, SHOP, A, Some("198.51.100.0/26"), &["A 203.0.113.12"]);
    gives(&node, SHOP, A, SHANGHAI, &["A 198.51.100.11"]);
    gives(&node, SHOP, A, Some("203.0.113.0/26"), &["A 203.0.113.11"]);
    let https = node.ask(SHOP, HTTPS, SHANGHAI).answers();
    let [https] = https.as_slice() else { panic!("{https:?}") };
    for part in ["h3", "h2", "198.51.100.11", "2001:db8:3::11"] {
        assert!(https.contains(part), "{https}");
    }
}

#[test]
fn the_cdn_shows_names_as_endpoints() {
    let node = Site::new().serve();
    gives(&node, CDN, A, BEIJING, &["CNAME meta-driven.cdn-east.example.net."]);
    gives(&node, CDN, MX, BEIJING, &["CNAME meta-driven.cdn-east.example.net."]);
    let campus = Some("166.111.0.0/16");
    gives(&node, CDN, A, campus, &["A 203.0.113.10", "CNAME origin.meta-driven.example.com."]);
    gives(&node, CDN, CNAME, campus, &["CNAME origin.meta-driven.example.com."]);
}

#[test]
fn the_static_zone_shows_what_a_master_file_can_say() {
    let node = Site::new().serve();
    let zone = "meta-driven.example.com.";
    let in_zone = |label: &str| format!("{label}.{zone}");
    gives(&node, zone, NS, None, &["NS ns1.meta-driven.example.com.", "NS ns2.meta-driven.example.com."]);
    gives(&node, zone, MX, None, &["MX 10 mx1.meta-driven.example.com.", "MX 20 mx2.meta-driven.example.com."]);
    let additional = node.ask(zone, MX, None).additionals();
    assert!(additional.contains(&"mx1.meta-driven.example.com. A 192.0.2.25".to_owned()), "{additional:?}");
    assert_eq!(node.ask(zone, TXT, None).answers(), ["TXT v=spf1 mx -all"]);
    assert_eq!(node.ask(zone, CAA, None).answers().len(), 2);
    assert_eq!(node.ask(&in_zone("_imaps._tcp"), SRV, None).answers().len(), 2);
    assert_eq!(node.ask(&in_zone("typed"), RecordType::Unknown(65280), None).answers().len(), 1);
    // An alias of a service ends there: its resolver asks for the service itself.
    gives(&node, &in_zone("www"), A, BEIJING, &["CNAME shop.meta-driven.example.com."]);
    // The wildcard, a name beside it, and the empty non-terminal above it.
    gives(&node, &in_zone("a.b.apps"), A, None, &["A 203.0.113.80"]);
    gives(&node, &in_zone("legacy.apps"), A, None, &["A 203.0.113.81"]);
    gives(&node, &in_zone("legacy.apps"), AAAA, None, &[]);
    gives(&node, &in_zone("apps"), A, None, &[]);
    assert_eq!(node.ask(&in_zone("nothing"), A, None).rcode(), ResponseCode::NXDomain);
    // A referral: not authoritative, NS in authority, glue.
    let referral = node.ask(&in_zone("host.lab"), A, None);
    assert!(!referral.0.metadata.authoritative && referral.answers().is_empty());
    let ns = ["NS ns1.lab.meta-driven.example.com.", "NS ns2.meta-driven.example.com."];
    assert_eq!(referral.authorities(), ns);
    let glue = referral.additionals();
    assert_eq!(glue[0], "ns1.lab.meta-driven.example.com. A 203.0.113.53");
    assert_eq!(glue.len(), 4);
}

#[test]
fn the_debug_record_says_what_was_decided_to_those_who_may_ask() {
    let node = Site::new().serve();
    let answers = node.ask("_meridian.api.meta-driven.example.com.", TXT, BEIJING).answers();
    let [text] = answers.as_slice() else { panic!("{answers:?}") };
    for part in ["generation=", "region=beijing", "dc=dc1_beijing_primary", "reason=policy"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn on_ipv6_too_where_the_machine_has_it() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let node = Site::new().serve_with(&["--listen", "[::1]:0"]);
    let socket = std::net::UdpSocket::bind("[::1]:0").unwrap();
    socket.set_read_timeout(Some(crate::node::PATIENCE)).unwrap();
    socket.send_to(&query(API, A, BEIJING), node.address).unwrap();
    let mut reply = [0; 1232];
    let len = socket.recv(&mut reply).unwrap();
    assert_eq!(crate::node::Answer(Message::from_vec(&reply[..len]).unwrap()).answers(), ["A 1.1.1.1"]);
}
