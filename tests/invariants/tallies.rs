//! Whatever names an endpoint is tallied, and nothing else is.

use std::collections::BTreeMap;
use std::time::Duration;

use meridian::answer::{Outcome, answer_tallying};
use meridian::model::{Moment, ServiceIx};
use meridian::table::{Publisher, Reader, RoutingTable};

use super::common::Texts;
use super::common::message::*;

const AT_S: u64 = 1000;

fn table() -> RoutingTable {
    let zone = "$TTL 900\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\n@ MX 10 geo\nns1 A 192.0.2.53\nalias CNAME even\ngeoalias CNAME geo\n\
                static A 192.0.2.1\nold DNAME new\na.new CNAME even\n";
    Texts::policy(
        "gslb: { domain: geo.example.com, ttl: 15, https: { alpn: h2 }, policies: { default: { type: geolocation }, beijing: { primary: a }, \
         shanghai: { primary: b } }, endpoints: { a: { ip: [192.0.2.11, 2001:db8::11] }, b: { ip: 192.0.2.12 } } }",
    )
    .and_policy(
        "gslb: { domain: even.example.com, ttl: 20, max_answers: 2, policies: { default: { type: weighted } }, \
         endpoints: { c: { ip: 192.0.2.13 }, d: { ip: 192.0.2.14 } } }",
    )
    .and_policy(
        "gslb: { domain: cdn.example.com, ttl: 40, policies: { default: { type: weighted } }, endpoints: { e: { cname: even.example.com. } } }",
    )
    .and_policy(
        "gslb: { domain: far.example.com, ttl: 50, policies: { default: { type: weighted } }, endpoints: { f: { cname: static.example.com. } } }",
    )
    .and_zone("example.com", zone)
    .table()
}

/// What one reader has given: by endpoint the answers, and for how long the latest lives.
fn given(table: &RoutingTable) -> BTreeMap<String, (u64, u64)> {
    let mut given = BTreeMap::new();
    for (at, service) in table.base().policy().services.iter().enumerate() {
        for (ix, endpoint) in service.endpoints() {
            let of = table.base().tallies().given(ServiceIx::from_at(at), ix);
            if of.count > 0 {
                assert_eq!(u64::from(of.last_s), AT_S);
                given.insert(endpoint.id.to_string(), (of.count, u64::from(of.expires_s) - AT_S - 1));
            }
        }
    }
    given
}

fn tell(reader: &mut Reader, question: &Question) -> u16 {
    let (table, mut tallier) = reader.answering(Moment(Duration::from_secs(AT_S)), 1);
    tallier.turn_to_next(0);
    let mut out = [0; 4096];
    let Outcome::Reply(len) = answer_tallying(&question.octets(), &question.asked(), table, &mut tallier, &mut out)
    else {
        panic!("no reply");
    };
    assert!(len >= 12);
    u16::from_be_bytes([out[6], out[7]])
}

#[test]
fn every_way_to_name_an_endpoint_is_tallied_under_the_ttl_of_the_record_that_names_it() {
    let q = |name: &str, rtype| Question::new(name, rtype);
    let beijing = |question: Question| question.from("10.1.0.1");
    type Named = &'static [(&'static str, u64)];
    let cases: Vec<(&str, Question, u16, Named)> = vec![
        ("its address", beijing(q("geo.example.com", A)), 1, &[("a", 15)]),
        ("its other address", beijing(q("geo.example.com", AAAA)), 1, &[("a", 15)]),
        ("a hint", beijing(q("geo.example.com", HTTPS)), 1, &[("a", 15)]),
        ("by the subnet", q("geo.example.com", A).from("10.1.0.1").ecs("10.2.0.0/24"), 1, &[("b", 15)]),
        ("no address of that family", q("geo.example.com", AAAA).from("10.2.0.1"), 0, &[]),
        ("a type that it never has", beijing(q("geo.example.com", MX)), 0, &[]),
        ("any type", beijing(q("geo.example.com", ANY)), 1, &[]),
        ("two at once", q("even.example.com", A), 2, &[("c", 20), ("d", 20)]),
        ("an alias of it, which lives longer", q("alias.example.com", A), 3, &[("c", 20), ("d", 20)]),
        ("a DNAME and an alias", q("a.old.example.com", A), 5, &[("c", 20), ("d", 20)]),
        ("an alias that ends before it", beijing(q("geoalias.example.com", A)), 1, &[]),
        (
            "a name that stands for it, and what that names",
            q("cdn.example.com", A),
            3,
            &[("c", 20), ("d", 20), ("e", 40)],
        ),
        ("the name alone", q("cdn.example.com", CNAME), 1, &[("e", 40)]),
        ("a name that leads to static data, which lives longer", q("far.example.com", A), 2, &[("f", 50)]),
        ("static data", q("static.example.com", A), 1, &[]),
        ("a mail server's address is asked for by itself", q("example.com", MX), 1, &[]),
        ("no such name", q("nothing.example.com", A), 0, &[]),
    ];
    for (what, question, answers, expected) in cases {
        let publisher = Publisher::new(table());
        let mut reader = publisher.subscription().reader().unwrap();
        assert_eq!(tell(&mut reader, &question), answers, "{what}");
        assert_eq!(tell(&mut reader, &question), answers, "{what}");
        let expected: BTreeMap<String, (u64, u64)> =
            expected.iter().map(|(endpoint, ttl)| ((*endpoint).to_owned(), (2, *ttl))).collect();
        assert_eq!(given(&publisher.current()), expected, "{what}");
    }
}

#[test]
fn what_several_readers_give_is_added_up_and_other_files_begin_anew() {
    let mut publisher = Publisher::new(table());
    let first = publisher.current();
    let mut readers: Vec<Reader> = (0..3).map(|_| publisher.subscription().reader().unwrap()).collect();
    let question = Question::new("even.example.com", A);
    for reader in &mut readers {
        tell(reader, &question);
    }
    assert_eq!(given(&first)["c"], (3, 20));
    publisher.publish(table());
    let second = publisher.current();
    tell(&mut readers[0], &question);
    assert_eq!((given(&first)["c"], given(&second)["c"]), ((3, 20), (1, 20)));
}

#[test]
fn queries_for_services_are_sampled_by_whom_they_are_for() {
    let publisher = Publisher::new(table());
    let mut reader = publisher.subscription().reader().unwrap();
    let base = publisher.current().base().clone();
    tell(&mut reader, &Question::new("static.example.com", A));
    tell(&mut reader, &Question::new("geo.example.com", A).from("10.1.2.3"));
    tell(&mut reader, &Question::new("geo.example.com", AAAA).from("192.0.2.99").ecs("10.2.7.0/24"));
    let recent = publisher.subscription().recent(100);
    let (queries, is_full) = &recent[0];
    let seen: Vec<(String, u16, u32)> =
        queries.iter().map(|query| (query.client.to_string(), query.rtype, query.weight)).collect();
    assert_eq!(seen, [("10.1.2.0".to_owned(), A, 1), ("10.2.7.0".to_owned(), AAAA, 1)]);
    assert!(!is_full && queries.iter().all(|query| query.base == base.tallies().base()));
}
