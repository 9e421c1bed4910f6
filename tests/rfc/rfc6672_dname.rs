//! RFC 6672, DNAME.

use super::common::message::*;
use super::table;

#[test]
fn section_3_2_names_below_are_redirected_with_a_synthesised_cname() {
    let table = table();
    let reply = Question::new("x.old.example.com", A).ask(&table);
    let chain: Vec<(u16, &str, &str)> =
        reply.answers.iter().map(|r| (r.rtype, r.owner.as_str(), r.text.as_str())).collect();
    assert_eq!(
        chain,
        [(DNAME, "old.example.com.", "static.example.com."), (CNAME, "x.old.example.com.", "x.static.example.com.")]
    );
    assert_eq!(reply.rcode, NXDOMAIN, "RFC 6604: of the last name");
    assert_eq!(reply.answers[0].ttl, reply.answers[1].ttl, "section 3.1");
}

#[test]
fn section_2_3_the_owner_itself_is_not_redirected() {
    let table = table();
    let reply = Question::new("old.example.com", DNAME).ask(&table);
    assert_eq!(reply.texts(), ["static.example.com."]);
    Question::new("old.example.com", A).ask(&table).assert_no_data();
}

#[test]
fn section_2_2_a_name_that_becomes_too_long_is_yxdomain() {
    let table = table();
    let label = "x".repeat(63);
    // 3 × 64 + 47 + "old.example.com" fits; "static.example.com" is three octets longer.
    let name = format!("{label}.{label}.{label}.{}.old.example.com", "y".repeat(44));
    let reply = Question::new(&name, A).ask(&table);
    assert_eq!((reply.rcode, reply.answers.len()), (YXDOMAIN, 1));
    assert_eq!(reply.answers[0].rtype, DNAME);
}

#[test]
fn section_3_2_a_dname_that_a_chain_passes_again_is_given_once() {
    let table = table();
    let reply = Question::new("a.inward.example.com", A).ask(&table);
    let owners: Vec<&str> = reply.answers.iter().filter(|r| r.rtype == DNAME).map(|r| r.owner.as_str()).collect();
    assert_eq!(owners, ["inward.example.com."]);
    assert!(reply.answers.iter().filter(|r| r.rtype == CNAME).count() > 1);
}
