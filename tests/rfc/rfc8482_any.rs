//! RFC 8482, minimal answers to ANY.

use super::common::message::*;
use super::table;

#[test]
fn section_4_2_any_gets_an_hinfo_wherever_there_is_anything() {
    let table = table();
    for name in [
        "geo.example.com",
        "cdn.example.com",
        "x.any.example.com",
        "static.example.com",
        "example.com",
        "x.wild.example.com",
        "www.example.com",
    ] {
        for question in [Question::new(name, ANY), Question::new(name, ANY).tcp()] {
            let reply = question.ecs("10.1.0.0/16").ask(&table);
            assert_eq!((reply.rcode, reply.answers.len()), (NOERROR, 1), "{name}");
            let hinfo = &reply.answers[0];
            assert_eq!((hinfo.rtype, hinfo.data.as_slice(), hinfo.ttl), (HINFO, &b"\x07RFC8482\0"[..], 3600));
            assert_eq!(hinfo.owner, format!("{name}."));
            assert!(reply.is_authoritative());
            assert_eq!(reply.scope(), Some(0), "it is the same for everyone");
        }
    }
}

#[test]
fn any_where_there_is_nothing_is_as_any_other_question() {
    let table = table();
    assert_eq!(Question::new("nothing.example.com", ANY).ask(&table).rcode, NXDOMAIN);
    Question::new("deep.example.com", ANY).ask(&table).assert_no_data();
    assert_eq!(Question::new("other.test", ANY).ask(&table).rcode, REFUSED);
    let referral = Question::new("x.child.example.com", ANY).ask(&table);
    assert_eq!((referral.answers.len(), referral.is_authoritative()), (0, false));
    assert!(referral.authorities.iter().any(|record| record.rtype == NS));
}
