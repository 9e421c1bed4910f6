//! The debug TXT `_meridian.<service>`: what the asker gets, and why, for those on the allow-list.

use super::common::message::*;
use super::{table, table_with};
use meridian::model::Settings;

fn facts(reply: &Reply) -> Vec<String> {
    let [txt] = reply.answers.as_slice() else { panic!("{reply:#?}") };
    assert_eq!((txt.rtype, txt.ttl), (TXT, 0));
    txt.text.split('|').map(str::to_owned).collect()
}

#[test]
fn it_says_generation_region_data_centre_and_reason() {
    let table = table();
    let reply = Question::new("_meridian.geo.example.com", TXT).from("127.0.0.1").ecs("10.1.0.7").ask(&table);
    assert_eq!(
        facts(&reply),
        [
            "generation=1",
            "revision=0",
            "client=10.1.0.7",
            "region=beijing",
            "dc=a",
            "endpoint=a",
            "reason=policy",
            "scope=16"
        ]
    );
    assert_eq!(reply.scope(), Some(16));
    let everywhere = Question::new("_meridian.even.example.com", TXT).from("127.0.0.1").random(u64::MAX).ask(&table);
    let everywhere = facts(&everywhere);
    assert!(everywhere.contains(&"region=elsewhere".into()) && everywhere.contains(&"endpoint=b".into()));
}

#[test]
fn to_everyone_else_the_name_does_not_exist() {
    let table = table();
    for (name, rtype) in [("_meridian.geo.example.com", TXT), ("_meridian.geo.example.com", A)] {
        let reply = Question::new(name, rtype).from("192.0.2.53").ask(&table);
        assert_eq!((reply.rcode, reply.answers.len()), (NXDOMAIN, 0));
        assert!(reply.negative_ttl().is_some());
    }
    // It is the transport's address that counts, not a subnet that anybody can claim.
    let liar = Question::new("_meridian.geo.example.com", TXT).from("192.0.2.53").ecs("127.0.0.1").ask(&table);
    assert_eq!(liar.rcode, NXDOMAIN);
    for allowed in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        let reply = Question::new("_meridian.geo.example.com", TXT).from(allowed).ask(&table);
        assert_eq!(reply.rcode, NOERROR, "{allowed}");
    }
    let closed = table_with(&Settings { debug_from: Vec::new(), ..Settings::default() });
    assert_eq!(Question::new("_meridian.geo.example.com", TXT).from("127.0.0.1").ask(&closed).rcode, NXDOMAIN);
}

#[test]
fn it_stands_below_services_only() {
    let table = table();
    for name in ["_meridian.static.example.com", "_meridian.example.com", "_meridian._meridian.geo.example.com"] {
        assert_eq!(Question::new(name, TXT).from("127.0.0.1").ask(&table).rcode, NXDOMAIN, "{name}");
    }
}

#[test]
fn another_type_of_it_is_no_data_with_an_soa() {
    let reply = Question::new("_meridian.geo.example.com", A).from("127.0.0.1").ask(&table());
    reply.assert_no_data();
}

#[test]
fn an_alias_of_it_ends_before_it() {
    let zone = format!("{}\nalias CNAME _meridian.geo\n", super::ZONE);
    let mut texts = super::texts();
    texts.zones[0].1 = zone;
    let reply = Question::new("alias.example.com", TXT).from("127.0.0.1").ask(&texts.table());
    assert_eq!((reply.rcode, reply.texts()), (NOERROR, vec!["_meridian.geo.example.com."]));
    assert_eq!(reply.answers[0].owner, "alias.example.com.");
}
