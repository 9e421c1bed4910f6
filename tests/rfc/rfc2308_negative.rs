//! RFC 2308, negative answers, and RFC 8020 and RFC 6604 on what NXDOMAIN means.

use super::common::message::*;
use super::table;

#[test]
fn section_3_negative_answers_carry_the_soa_with_the_lesser_of_ttl_and_minimum() {
    let table = table();
    for (name, rtype, rcode) in [
        ("nothing.example.com", A, NXDOMAIN),
        ("x.static.example.com", A, NXDOMAIN),
        ("x.geo.example.com", A, NXDOMAIN),
        ("static.example.com", MX, NOERROR),
        ("deep.example.com", A, NOERROR),
        ("x.wild.example.com", MX, NOERROR),
    ] {
        let reply = Question::new(name, rtype).ask(&table);
        assert_eq!((reply.rcode, reply.answers.len()), (rcode, 0), "{name}");
        let [soa] = reply.authorities.as_slice() else { panic!("{name}: {reply:#?}") };
        assert_eq!((soa.rtype, soa.owner.as_str(), soa.ttl), (SOA, "example.com.", 600));
        assert!(reply.is_authoritative());
    }
}

#[test]
fn section_5_a_service_without_data_is_forgotten_as_fast_as_its_answers() {
    let table = table();
    let same_for_all = Question::new("even.example.com", AAAA).ask(&table);
    same_for_all.assert_no_data();
    assert_eq!(same_for_all.negative_ttl(), Some((15, 15)), "min(3600, 600, the service's 15)");
    assert_eq!(same_for_all.authorities[0].owner, "example.com.");
    let of_some = Question::new("geo.example.com", AAAA).ecs("10.2.0.0/16").ask(&table);
    assert_eq!(of_some.negative_ttl(), Some((5, 5)));
}

#[test]
fn section_2_1_an_alias_of_nothing_is_the_alias_and_nxdomain() {
    let reply = Question::new("dangling.example.com", A).ask(&table());
    assert_eq!((reply.rcode, reply.texts()), (NXDOMAIN, vec!["nothing.example.com."]));
    assert_eq!(reply.negative_ttl(), Some((600, 600)));
}

#[test]
fn section_2_2_an_alias_of_a_name_without_the_type_is_the_alias_and_the_soa() {
    let reply = Question::new("www.example.com", MX).ask(&table());
    assert_eq!((reply.rcode, reply.texts()), (NOERROR, vec!["static.example.com."]));
    assert_eq!(reply.negative_ttl(), Some((600, 600)));
}

#[test]
fn rfc8020_section_2_above_what_exists_there_is_never_nxdomain() {
    let table = table();
    for name in ["deep.example.com", "wild.example.com", "any.example.com", "_tcp.example.com"] {
        Question::new(name, A).ask(&table).assert_no_data();
    }
}
