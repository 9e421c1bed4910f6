//! RFC 8482, minimal answers to ANY.

use super::common::message::*;
use super::table;

#[test]
fn section_4_2_any_gets_an_hinfo_wherever_there_is_anything() {
    let table = table();
    for name in ["geo.example.com", "x.any.example.com", "static.example.com", "example.com", "x.wild.example.com"] {
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
fn section_4_2_where_a_cname_is_present_any_gets_it_alone() {
    let table = table();
    for (name, target) in [
        ("www.example.com", "static.example.com."),
        ("twice.example.com", "www.example.com."),
        ("x.round.example.com", "y.round.example.com."),
        ("to-geo.example.com", "geo.example.com."),
    ] {
        let reply = Question::new(name, ANY).ecs("10.1.0.0/16").ask(&table);
        assert_eq!((reply.rcode, reply.texts(), reply.scope()), (NOERROR, vec![target], Some(0)), "{name}");
        assert_eq!(reply.answers[0].rtype, CNAME);
    }
    // So does a service whose choice is a name; the choice depends on the client, and the scope says so.
    for (client, target) in [("10.1.0.0/16", "geo.example.com."), ("10.1.0.0/24", "geo.example.com.")] {
        let reply = Question::new("cdn.example.com", ANY).ecs(client).ask(&table);
        assert_eq!((reply.rcode, reply.texts(), reply.scope()), (NOERROR, vec![target], Some(16)));
        assert_eq!(reply.answers[0].rtype, CNAME);
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
