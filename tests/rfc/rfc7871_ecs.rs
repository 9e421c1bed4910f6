//! RFC 7871, Client Subnet in DNS Queries.

use std::net::IpAddr;

use super::common::message::*;
use super::{table, table_with};
use meridian::model::Settings;
use meridian::table::RoutingTable;

/// A question with an option of just these octets.
fn raw(option: &[u8]) -> Question {
    Question::new("geo.example.com", A).option(OPTION_ECS, option)
}

fn one(table: &RoutingTable, question: &Question) -> String {
    let reply = question.ask(table);
    assert_eq!(reply.answers.len(), 1, "{reply:#?}");
    reply.answers[0].text.clone()
}

#[test]
fn section_7_1_2_and_6_a_malformed_option_is_a_format_error() {
    let table = table();
    let wrong: [(&str, &[u8]); 12] = [
        ("empty", &[]),
        ("cut short", &[0, 1, 24]),
        ("a scope in a query", &[0, 1, 24, 24, 10, 1, 0]),
        ("a scope with source 0", &[0, 1, 0, 1]),
        ("bits beyond the source", &[0, 1, 20, 0, 10, 1, 1]),
        ("octets beyond the source", &[0, 1, 16, 0, 10, 1, 0]),
        ("octets missing", &[0, 1, 24, 0, 10, 1]),
        ("longer than an IPv4 address", &[0, 1, 33, 0, 10, 1, 0, 1, 0]),
        ("longer than an IPv6 address", &[0, 2, 129, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("an unknown family", &[0, 3, 8, 0, 10]),
        ("an unknown family without an address", &[0, 3, 0, 0]),
        ("an address without a family", &[0, 0, 8, 0, 10]),
    ];
    for (what, option) in wrong {
        let reply = raw(option).ask(&table);
        assert_eq!(reply.rcode, FORMERR, "{what}");
        assert!(reply.answers.is_empty() && reply.opt.is_some(), "{what}: {reply:#?}");
        assert_eq!(reply.scope(), None, "{what}: what was not understood is not repeated");
    }
    let two = Question::new("geo.example.com", A).ecs("10.1.0.0/16").ecs("10.1.0.0/16");
    assert_eq!(two.ask(&table).rcode, FORMERR, "two options");
}

#[test]
fn section_7_2_1_the_option_is_answered_whenever_it_was_asked() {
    let table = table();
    // Whatever the answer is: data, none, no name, a referral, a refusal, an alias.
    let names = [
        ("geo.example.com", A),
        ("geo.example.com", AAAA),
        ("geo.example.com", MX),
        ("static.example.com", A),
        ("www.example.com", A),
        ("nothing.example.com", A),
        ("x.child.example.com", A),
        ("elsewhere.test", A),
        ("geo.example.com", ANY),
        ("geo.example.com", AXFR),
        ("old.example.com", DNAME),
    ];
    for (name, rtype) in names {
        for net in ["10.1.0.0/16", "10.1.2.3/32", "10.0.0.0/7", "2001:db8:1::/48", "2001:db8:1::1/128", "0.0.0.0/0"] {
            let question = Question::new(name, rtype).ecs(net);
            let reply = question.ask(&table);
            let asked = &question.opt.as_ref().unwrap().options[0].1;
            let answered = reply.option(OPTION_ECS).unwrap_or_else(|| panic!("{name} {net}: {reply:#?}"));
            assert_eq!(answered[..3], asked[..3], "family and source as they came");
            assert_eq!(answered[4..], asked[4..], "and the address");
            if net.ends_with("/0") {
                assert_eq!(answered[3], 0);
            }
        }
    }
    // Never when it was not.
    assert_eq!(Question::new("geo.example.com", A).edns().ask(&table).scope(), None);
    assert_eq!(Question::new("geo.example.com", A).ask(&table).opt, None);
    // In class CHAOS too.
    assert_eq!(Question::new("version.bind", TXT).class(3).ecs("10.1.0.0/16").ask(&table).scope(), Some(0));
}

#[test]
fn section_7_1_2_source_zero_means_the_transport_address_and_scope_zero() {
    let table = table();
    for family in [0, 1, 2] {
        let beijing = raw(&[0, family, 0, 0]).from("10.1.0.1");
        let reply = beijing.ask(&table);
        assert_eq!(reply.texts(), ["192.0.2.1"]);
        assert_eq!(reply.option(OPTION_ECS), Some(&[0, family, 0, 0][..]));
        assert_eq!(one(&table, &raw(&[0, family, 0, 0]).from("10.2.0.1")), "192.0.2.2");
    }
}

#[test]
fn section_7_2_1_the_subnet_decides_and_not_who_sends_it() {
    let table = table();
    for resolver in ["10.2.0.1", "192.0.2.53", "2001:db8:2::1"] {
        let reply = Question::new("geo.example.com", A).from(resolver).ecs("10.1.0.0/24").ask(&table);
        assert_eq!((reply.texts(), reply.scope()), (vec!["192.0.2.1"], Some(16)));
    }
    // Without the option, who sends it is all that is known.
    assert_eq!(one(&table, &Question::new("geo.example.com", A).from("10.2.0.1")), "192.0.2.2");
    assert_eq!(one(&table, &Question::new("geo.example.com", A).from("2001:db8:1::1")), "192.0.2.1");
    assert_eq!(one(&table, &Question::new("geo.example.com", A).from("::ffff:10.2.0.1")), "192.0.2.2");
}

#[test]
fn section_7_2_1_the_scope_may_be_shorter_or_longer_than_the_source() {
    let table = table();
    let scope = |net: &str| Question::new("geo.example.com", A).ecs(net).ask(&table).scope();
    assert_eq!(scope("10.1.2.3/32"), Some(16), "the answer holds for more");
    assert_eq!(scope("10.1.2.0/24"), Some(16));
    assert_eq!(scope("10.0.0.0/8"), Some(16), "the answer holds for less: 10.0.0.0/16 only");
}

#[test]
fn section_7_3_1_scope_zero_only_where_the_policy_does_not_look_at_the_client() {
    let table = table();
    let scope = |name: &str, rtype| Question::new(name, rtype).ecs("10.1.2.3/32").ask(&table).scope();
    for (name, rtype) in [
        ("even.example.com", A),
        ("static.example.com", A),
        ("nothing.example.com", A),
        ("geo.example.com", TXT),
        ("to-geo.example.com", A),
    ] {
        assert_eq!(scope(name, rtype), Some(0), "{name}");
    }
    for name in ["geo.example.com", "x.any.example.com", "cdn.example.com", "sticky.example.com"] {
        for net in ["10.1.2.3/32", "10.99.0.0/16", "128.0.0.0/1", "::/1", "2001:db8:1::/48", "::ffff:10.1.0.0/112"] {
            let scope = Question::new(name, A).ecs(net).ask(&table).scope().unwrap();
            assert!(scope > 0, "{name} {net}");
        }
    }
    assert_eq!(scope("sticky.example.com", A), Some(24), "what is hashed is looked at");
    let six = Question::new("sticky.example.com", A).ecs("2001:db8:1::/56").ask(&table);
    assert_eq!(six.scope(), Some(48));
}

#[test]
fn section_7_4_no_data_that_depends_on_the_client_has_the_scope_and_a_short_ttl() {
    let table = table();
    let reply = Question::new("geo.example.com", AAAA).ecs("10.2.0.0/16").ask(&table);
    reply.assert_no_data();
    assert_eq!((reply.scope(), reply.negative_ttl()), (Some(16), Some((5, 5))));
    let everyone = Question::new("geo.example.com", TXT).ecs("10.2.0.0/16").ask(&table);
    everyone.assert_no_data();
    assert_eq!((everyone.scope(), everyone.negative_ttl()), (Some(0), Some((15, 15))));
}

#[test]
fn section_11_an_untrusted_source_is_answered_with_scope_zero_by_its_own_address() {
    let settings = Settings {
        ecs_from: Some(vec!["10.2.0.0/16".parse().unwrap(), "2001:db8::/32".parse().unwrap()]),
        ..Settings::default()
    };
    let table = table_with(&settings);
    let ask = |from: &str| Question::new("geo.example.com", A).from(from).ecs("10.1.0.0/16").ask(&table);
    for trusted in ["10.2.0.9", "::ffff:10.2.0.9", "2001:db8::9"] {
        assert_eq!((ask(trusted).texts(), ask(trusted).scope()), (vec!["192.0.2.1"], Some(16)), "{trusted}");
    }
    let stranger = Question::new("geo.example.com", AAAA).from("10.1.0.1").ecs("10.2.0.0/16").ask(&table);
    assert_eq!((stranger.texts(), stranger.scope()), (vec!["2001:db8::1"], Some(0)));
    assert_eq!(stranger.option(OPTION_ECS), Some(&[0, 1, 16, 0, 10, 2][..]));
    // A malformed option is one from a stranger too.
    assert_eq!(raw(&[0, 1, 33, 0]).from("10.1.0.1").ask(&table).rcode, FORMERR);
}

#[test]
fn section_6_ipv4_in_ipv6_is_that_ipv4_network_with_its_scope_moved() {
    let table = table();
    let mapped = Question::new("geo.example.com", A).ecs("::ffff:10.1.0.0/112").ask(&table);
    assert_eq!((mapped.texts(), mapped.scope()), (vec!["192.0.2.1"], Some(16 + 96)));
    let six_to_four = Question::new("geo.example.com", A).ecs("2002:0a01::/32").ask(&table);
    assert_eq!((six_to_four.texts(), six_to_four.scope()), (vec!["192.0.2.1"], Some(16 + 16)));
    let sticky = Question::new("sticky.example.com", A).ecs("::ffff:10.20.30.0/120").ask(&table);
    assert_eq!(sticky.scope(), Some(96 + 24));
}

#[test]
fn section_7_2_1_a_chain_has_the_longest_scope_of_its_hops() {
    let table = table();
    let reply = Question::new("cdn.example.com", A).ecs("10.99.0.0/16").ask(&table);
    // The first hop looked at the client and chose an alias of a static name.
    let chain: Vec<&str> = reply.texts();
    assert!(chain.contains(&"geo.example.com.") || chain == ["static.example.com.", "192.0.2.80"], "{chain:?}");
    assert!(reply.scope().unwrap() > 0);
    // An alias into a service that depends on the client ends before it.
    let beijing = Question::new("cdn.example.com", A).ecs("10.1.0.0/16").ask(&table);
    assert_eq!((beijing.texts(), beijing.scope()), (vec!["geo.example.com."], Some(16)));
    let static_first = Question::new("to-geo.example.com", A).ecs("10.1.0.0/16").ask(&table);
    assert_eq!((static_first.texts(), static_first.scope()), (vec!["geo.example.com."], Some(0)));
    let by_dname = Question::new("x.oldgeo.example.com", A).ecs("10.1.0.0/16").ask(&table);
    assert_eq!(by_dname.rcode, NXDOMAIN, "nothing is below the service");
}

#[test]
fn the_subnet_given_is_what_is_looked_up_to_its_last_bit() {
    let table = table();
    for len in 16..=32_u8 {
        let address: IpAddr = "10.1.255.255".parse().unwrap();
        let question = Question::new("geo.example.com", A).option(OPTION_ECS, subnet(address, len));
        assert_eq!(one(&table, &question), "192.0.2.1", "/{len}");
    }
}
