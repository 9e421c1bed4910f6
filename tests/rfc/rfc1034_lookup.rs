//! RFC 1034 §4.3.2 with services among the names; RFC 4592 wildcards; RFC 1035 §2.3.3 case.

use super::common::Texts;
use super::common::message::*;
use super::{ZONE, table};
use meridian::limits::CNAME_HOPS_MAX;

#[test]
fn step_1_what_is_not_ours_is_refused() {
    let table = table();
    for name in ["test", "com", "example.org", "xexample.com", ""] {
        let reply = Question::new(name, A);
        let octets = reply.ask_octets(&table).unwrap();
        let reply = Reply::parse(&octets);
        assert_eq!((reply.rcode, reply.is_authoritative()), (REFUSED, false), "{name}");
        assert!(reply.answers.is_empty() && reply.authorities.is_empty() && reply.additionals.is_empty());
    }
}

#[test]
fn step_3a_data_at_the_name_answers_and_recursion_is_never_available() {
    let table = table();
    for (flags, rd) in [(0, 0), (0x0100, 0x0100)] {
        let reply = Question::new("static.example.com", A).flags(flags).ask(&table);
        assert_eq!(reply.texts(), ["192.0.2.80"]);
        assert_eq!(reply.flags, 0x8400 | rd, "QR, AA, RD as it came, RA 0");
    }
    let service = Question::new("geo.example.com", A).ecs("10.1.0.1").ask(&table);
    assert_eq!((service.texts(), service.flags), (vec!["192.0.2.1"], 0x8400));
    assert!(service.authorities.is_empty() && service.additionals.is_empty());
}

#[test]
fn step_3a_an_alias_is_followed_inside_our_zones() {
    let table = table();
    let chain = |name: &str, rtype| -> Vec<String> {
        Question::new(name, rtype).ask(&table).answers.iter().map(|r| format!("{} {}", r.owner, r.text)).collect()
    };
    assert_eq!(
        chain("twice.example.com", A),
        [
            "twice.example.com. www.example.com.",
            "www.example.com. static.example.com.",
            "static.example.com. 192.0.2.80"
        ]
    );
    assert_eq!(chain("twice.example.com", CNAME), ["twice.example.com. www.example.com."]);
    assert_eq!(chain("away.example.com", A), ["away.example.com. www.elsewhere.test."]);
    assert_eq!(chain("away.example.com", A).len(), 1, "and what is not ours is left to the resolver");
    assert_eq!(Question::new("away.example.com", A).ask(&table).rcode, NOERROR);
}

#[test]
fn aliases_in_a_circle_end() {
    let reply = Question::new("loop1.example.com", A).ask(&table());
    assert_eq!(reply.rcode, NOERROR);
    assert!(reply.answers.len() <= CNAME_HOPS_MAX + 1);
    assert!(reply.answers.iter().all(|record| record.rtype == CNAME));
}

#[test]
fn rfc2181_section_5_a_circle_is_gone_round_once_and_repeats_no_record() {
    let table = table();
    for (name, expected) in [
        ("loop1", &["loop1 CNAME loop2", "loop2 CNAME loop1"][..]),
        ("LOOP1", &["LOOP1 CNAME loop2", "loop2 CNAME LOOP1"]),
        ("self", &["self CNAME self"]),
        ("x.round", &["x.round CNAME y.round", "y.round CNAME y.round"]),
        ("y.round", &["y.round CNAME y.round"]),
    ] {
        let reply = Question::new(&format!("{name}.example.com"), A).ask(&table);
        let short = |name: &str| name.strip_suffix(".example.com.").unwrap().to_owned();
        let got: Vec<String> = reply
            .answers
            .iter()
            .map(|record| format!("{} CNAME {}", short(&record.owner), short(&record.text)))
            .collect();
        assert_eq!(got, expected, "{name}");
        assert_eq!(reply.rcode, NOERROR);
    }
    // DNAMEs in a circle: each once, and each synthesised CNAME once (RFC 6672 §3.2).
    for name in ["x.dloop", "x.circle1"] {
        let reply = Question::new(&format!("{name}.example.com"), A).ask(&table);
        let mut all: Vec<String> =
            reply.answers.iter().map(|record| format!("{} {} {}", record.owner, record.rtype, record.text)).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "{name}: {reply:#?}");
        assert!(count >= 2);
    }
}

#[test]
fn step_3a_a_chain_ends_before_a_service_that_depends_on_the_client() {
    let table = table();
    let reply = Question::new("to-geo.example.com", A).from("10.1.0.1").ask(&table);
    assert_eq!((reply.rcode, reply.texts()), (NOERROR, vec!["geo.example.com."]));
    assert!(reply.authorities.is_empty() && reply.is_authoritative());
}

#[test]
fn step_3b_a_delegation_is_referred_to() {
    let table = table();
    for name in ["child.example.com", "x.child.example.com", "a.b.child.example.com", "ns.child.example.com"] {
        let reply = Question::new(name, A).ask(&table);
        assert_eq!((reply.rcode, reply.answers.len(), reply.is_authoritative()), (NOERROR, 0, false), "{name}");
        let ns: Vec<&str> = reply.authorities.iter().map(|record| record.text.as_str()).collect();
        assert_eq!(ns, ["ns.child.example.com.", "ns.far.test."]);
        assert!(reply.authorities.iter().all(|record| record.owner == "child.example.com."));
        let glue: Vec<&str> = reply.additionals.iter().map(|record| record.text.as_str()).collect();
        assert_eq!(glue, ["192.0.2.61", "2001:db8::61"]);
    }
    // DS is the parent's (RFC 4035 §3.1.4.1).
    let ds = Question::new("child.example.com", DS).ask(&table);
    assert_eq!((ds.answers.len(), ds.answers[0].rtype, ds.is_authoritative()), (1, DS, true));
    // At our own apex there is no parent of ours: no data, with authority.
    Question::new("example.com", DS).ask(&table).assert_no_data();
}

#[test]
fn additional_data_never_comes_from_a_service() {
    let zone = format!("{ZONE}\nx MX 5 geo\nx MX 6 static\n_h._tcp SRV 0 0 1 even\n_h._tcp SRV 0 0 1 static\n");
    let table = Texts::policy(super::POLICIES[0]).and_policy(super::POLICIES[1]).and_zone("example.com", &zone).table();
    for (name, rtype) in [("x.example.com", MX), ("_h._tcp.example.com", SRV)] {
        let reply = Question::new(name, rtype).ask(&table);
        assert_eq!(reply.answers.len(), 2);
        let owners: Vec<&str> = reply.additionals.iter().map(|record| record.owner.as_str()).collect();
        assert_eq!(owners, ["static.example.com."; 2], "{name}");
    }
}

#[test]
fn rfc4592_section_2_a_wildcard_answers_for_what_does_not_exist() {
    let table = table();
    let ask = |name: &str, rtype| Question::new(name, rtype).ecs("10.1.0.1").ask(&table);
    assert_eq!(ask("a.wild.example.com", A).texts(), ["192.0.2.99"]);
    assert_eq!(ask("a.b.wild.example.com", A).texts(), ["192.0.2.99"]);
    assert_eq!(ask("a.b.wild.example.com", A).answers[0].owner, "a.b.wild.example.com.");
    assert_eq!(ask("here.wild.example.com", A).texts(), ["192.0.2.98"]);
    ask("here.wild.example.com", TXT).assert_no_data();
    assert_eq!(ask("x.here.wild.example.com", A).rcode, NXDOMAIN, "the closest encloser has no wildcard");
    // A service at a wildcard is asked by the name that was asked.
    let service = ask("whatever.any.example.com", A);
    assert_eq!((service.texts(), service.scope()), (vec!["192.0.2.31"], Some(16)));
    assert_eq!(service.answers[0].owner, "whatever.any.example.com.");
    assert_eq!(ask("a.b.c.any.example.com", A).texts(), ["192.0.2.31"]);
    assert_eq!(ask("*.any.example.com", A).texts(), ["192.0.2.31"], "RFC 4592 §2.3: the asterisk itself");
}

#[test]
fn rfc1035_section_2_3_3_case_is_ignored_and_kept() {
    let table = table();
    for name in ["GEO.example.COM", "gEo.ExAmPlE.cOm"] {
        let reply = Question::new(name, A).ecs("10.1.0.1").ask(&table);
        assert_eq!(reply.texts(), ["192.0.2.1"]);
        assert_eq!(reply.answers[0].owner, format!("{name}."), "as it was asked");
    }
    let alias = Question::new("WWW.Example.Com", A).ask(&table);
    assert_eq!(alias.answers[0].owner, "WWW.Example.Com.");
    assert_eq!(Question::new("NOTHING.Example.Com", A).ask(&table).authorities[0].owner.to_lowercase(), "example.com.");
}

#[test]
fn transfers_are_refused_with_a_word() {
    let table = table();
    for rtype in [AXFR, IXFR] {
        for question in [Question::new("example.com", rtype), Question::new("example.com", rtype).tcp()] {
            let reply = question.edns().ask(&table);
            assert_eq!((reply.rcode, reply.answers.len()), (REFUSED, 0));
            assert_eq!(reply.ede().map(|(code, _)| code), Some(21));
        }
    }
}

#[test]
fn what_is_no_query_gets_no_answer_of_ours() {
    let table = table();
    let question = Question::new("geo.example.com", A);
    assert_eq!(question.clone().flags(0x8000).ask_octets(&table), None, "replies are dropped");
    assert_eq!(ask_octets(&question.octets()[..11], &question.asked(), &table), None);
    for opcode in [1, 2, 4, 5, 6, 15] {
        let octets = question.clone().flags(opcode << 11).ask_octets(&table).unwrap();
        assert_eq!(u16::from(octets[3] & 0xf), NOTIMP, "opcode {opcode}");
    }
    // RFC 9619: one question.
    for count in [0, 2, 65_535_u16] {
        let mut octets = question.octets();
        octets[4..6].copy_from_slice(&count.to_be_bytes());
        assert_eq!(u16::from(ask_octets(&octets, &question.asked(), &table).unwrap()[3] & 0xf), FORMERR);
    }
    for class in [0, 2, 4, 254, 255] {
        assert_eq!(question.clone().class(class).ask(&table).rcode, REFUSED, "class {class}");
    }
}

#[test]
fn section_3_6_2_a_loop_of_aliases_gives_each_once() {
    let table = table();
    for (asked, owners) in [
        ("loop1.example.com", &["loop1.example.com.", "loop2.example.com."][..]),
        ("again.self.example.com", &["again.self.example.com."]),
        ("other.self.example.com", &["other.self.example.com.", "again.self.example.com."]),
    ] {
        let reply = Question::new(asked, A).ask(&table);
        assert_eq!(reply.rcode, NOERROR);
        assert_eq!(reply.answers.iter().map(|r| r.owner.as_str()).collect::<Vec<_>>(), owners, "{asked}");
    }
}
