//! RFC 6891, EDNS(0): versions, sizes, DO, and how replies are cut to size (RFC 2181 §9).

use super::common::Texts;
use super::common::message::*;
use super::{ZONE, table, table_with};
use meridian::model::Settings;
use meridian::table::RoutingTable;

#[test]
fn section_6_1_1_there_is_an_opt_exactly_when_there_was_one() {
    let table = table();
    for name in ["geo.example.com", "static.example.com", "nothing.example.com", "x.child.example.com", "other.test"] {
        assert!(Question::new(name, A).ask(&table).opt.is_none(), "{name}");
        let opt = Question::new(name, A).edns().ask(&table).opt.unwrap_or_else(|| panic!("{name}"));
        assert_eq!((opt.size, opt.version, opt.dnssec_ok), (1232, 0, false));
    }
}

#[test]
fn section_6_1_3_another_version_is_badvers_whatever_its_options_say() {
    let table = table();
    for version in [1, 2, 255] {
        let mut question = Question::new("geo.example.com", A).option(OPTION_ECS, [9, 9, 9]);
        question.opt.as_mut().unwrap().version = version;
        let reply = question.ask(&table);
        assert_eq!((reply.rcode, reply.answers.len()), (BADVERS, 0));
        let opt = reply.opt.unwrap();
        assert_eq!((opt.version, opt.options.len()), (0, 0), "the highest that we know, and none of the options");
    }
}

#[test]
fn section_6_1_2_unknown_options_are_ignored() {
    let table = table();
    let plain = Question::new("geo.example.com", A).edns().ask(&table);
    for code in [0, 1, 9, 10, 11, 12, 65_001, 65_535] {
        let reply = Question::new("geo.example.com", A).option(code, [1, 2, 3]).ask(&table);
        assert_eq!(reply, plain, "option {code}");
    }
}

#[test]
fn rfc3225_section_3_do_is_repeated() {
    let table = table();
    for dnssec_ok in [false, true] {
        for name in ["geo.example.com", "nothing.example.com", "other.test"] {
            let mut question = Question::new(name, A).edns();
            question.opt.as_mut().unwrap().dnssec_ok = dnssec_ok;
            assert_eq!(question.ask(&table).opt.unwrap().dnssec_ok, dnssec_ok);
        }
    }
}

/// Names with growing RRsets: `n00` … have 0, 1, 2, … TXT records of 50 octets.
fn large() -> RoutingTable {
    let mut zone = String::from(ZONE);
    for count in 1..60 {
        for at in 0..count {
            zone.push_str(&format!("n{count:02} 60 TXT \"{at:02}{}\"\n", "x".repeat(36)));
        }
        zone.push_str(&format!("alias{count:02} 60 CNAME n{count:02}\n"));
    }
    Texts::policy("").and_zone("example.com", &zone).table()
}

#[test]
fn section_6_2_5_no_datagram_is_larger_than_the_client_and_we_allow() {
    let table = large();
    let mut truncated = 0;
    for size in [None, Some(0), Some(511), Some(512), Some(700), Some(1232), Some(4096), Some(65_535)] {
        let limit = usize::from(size.unwrap_or(512).clamp(512, 1232));
        for count in 1..60 {
            let question = Question::new(&format!("n{count:02}.example.com"), TXT);
            let question = size.map_or(question.clone(), |size| question.clone().size(size));
            let reply = question.ask(&table);
            assert!(reply.len <= limit, "{size:?}: {} octets", reply.len);
            let whole = question.clone().tcp().ask(&table);
            assert_eq!((whole.answers.len(), whole.is_truncated()), (count, false), "TCP gives everything");
            assert_eq!(reply.is_truncated(), whole.len > limit, "cut only when it must be: {size:?} {count}");
            // RFC 2181 §9: an RRset is there as a whole or not at all; OPT always is.
            assert_eq!(reply.answers.len(), if reply.is_truncated() { 0 } else { count });
            assert_eq!(reply.opt.is_some(), size.is_some());
            truncated += usize::from(reply.is_truncated());
        }
    }
    assert!(truncated > 100);
}

#[test]
fn opt_has_its_place_before_the_body() {
    let table = large();
    // As ECS grows the option's octets are taken from the answer's, never the other way round.
    for count in 20..30 {
        for net in ["0.0.0.0/0", "10.1.2.3/32", "2001:db8::1/128"] {
            let question = Question::new(&format!("n{count:02}.example.com"), TXT).size(1232).ecs(net);
            let reply = question.ask(&table);
            let whole = question.clone().tcp().ask(&table);
            assert!(reply.len <= 1232 && reply.scope().is_some());
            assert_eq!(reply.is_truncated(), whole.len > 1232);
        }
    }
}

#[test]
fn rfc2181_section_9_a_chain_that_does_not_fit_is_not_begun() {
    let table = large();
    let reply = Question::new("alias50.example.com", TXT).ask(&table);
    assert!(reply.is_truncated());
    assert_eq!((reply.rcode, reply.answers.len(), reply.authorities.len()), (NOERROR, 0, 0));
    let whole = Question::new("alias50.example.com", TXT).tcp().ask(&table);
    assert_eq!(whole.answers.len(), 51);
}

#[test]
fn our_own_limit_is_the_settings() {
    let settings = Settings { udp_response_len_max: 600, ..Settings::default() };
    let table = table_with(&settings);
    assert_eq!(Question::new("geo.example.com", A).size(4096).ask(&table).opt.unwrap().size, 600);
}
