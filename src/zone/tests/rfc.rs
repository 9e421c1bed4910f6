//! By section.

use super::*;
use crate::wire::types::rtype;

fn zone(text: &str) -> Zones {
    table(&[("example", &format!("{HEAD}{text}"))], &[])
}

fn findings(text: &str) -> Vec<String> {
    let (zone, mut findings) = read("example", &format!("{HEAD}{text}"));
    let (_, more) = Zones::build(vec![zone], &[], &nobody());
    findings.extend(more);
    codes(&findings)
}

#[test]
fn rfc1034_4_3_2_the_nearest_zone_then_label_by_label() {
    let parent = format!("{HEAD}www A 192.0.2.1\nsub NS ns.sub\nns.sub A 192.0.2.2\n");
    let child = format!("{HEAD}www A 192.0.2.3\n");
    let table = table(&[("example", &parent), ("sub.example", &child)], &[]);
    assert_eq!(shown(&table, "www.example"), "node www.example. in example.");
    assert_eq!(shown(&table, "sub.example"), "node sub.example. in sub.example.");
    assert_eq!(shown(&table, "www.sub.example"), "node www.sub.example. in sub.example.");
    assert_eq!(shown(&table, "x.sub.example"), "nothing below sub.example. in sub.example.");
    assert_eq!(shown(&table, "example"), "node example. in example.");
    assert_eq!(shown(&table, "com"), "not ours");
    assert_eq!(shown(&table, "."), "not ours");
    assert_eq!(shown(&table, "badexample"), "not ours");
}

#[test]
fn rfc1034_4_2_1_names_below_a_cut_are_referred_and_their_glue_is_kept() {
    let table = zone("sub NS ns.sub\nsub NS ns.elsewhere.\nns.sub A 192.0.2.2\nns.sub AAAA 2001:db8::2\n");
    assert_eq!(shown(&table, "sub.example"), "cut sub.example. in example.");
    assert_eq!(shown(&table, "ns.sub.example"), "cut sub.example. in example.");
    assert_eq!(shown(&table, "a.b.c.sub.example"), "cut sub.example. in example.");
    let zone = table.zones().next().unwrap();
    assert_eq!(table.addresses(name("ns.sub.example").as_wire()), None);
    let (a, aaaa) = table.glue(zone, b"\x02NS\x03sub\x07Example\0").unwrap();
    assert_eq!(a.unwrap().records().next(), Some((300, &[192, 0, 2, 2][..])));
    assert_eq!(aaaa.unwrap().count, 1);
    assert!(table.addresses(b"\x02nS\x07eXample\0").unwrap().0.is_some());
}

#[test]
fn rfc1034_the_root_can_be_a_zone() {
    let table = table(&[(".", &format!("{HEAD}com NS ns.elsewhere.com\nns.elsewhere.com A 192.0.2.9\n"))], &[]);
    assert_eq!(shown(&table, "."), "node . in .");
    assert_eq!(shown(&table, "com"), "cut com. in .");
    assert_eq!(shown(&table, "org"), "nothing below . in .");
}

#[test]
fn rfc4035_3_1_4_1_a_zone_below_a_foreign_cut_is_for_the_delegated_servers_to_know() {
    let above = format!("{HEAD}cut NS ns.elsewhere.test.\n");
    let below = format!("{HEAD}www A 192.0.2.1\n");
    let table = table(&[("example", &above), ("sub.cut.example", &below)], &[]);
    let apex = name("sub.cut.example");
    assert_eq!(show_find(apex.as_wire(), table.find_parent_side(apex.as_wire())), "cut cut.example. in example.");
    assert_eq!(shown(&table, "sub.cut.example"), "node sub.cut.example. in sub.cut.example.");
}

#[test]
fn rfc4035_3_1_4_1_ds_belongs_to_the_parent_side() {
    let parent = format!("{HEAD}sub NS ns.sub\nns.sub A 192.0.2.2\nsub DS 1 13 2 00ff\n");
    let table = table(&[("example", &parent), ("sub.example", HEAD), ("hidden.sub.example", HEAD)], &[]);
    let parent_side = |text: &str| show_find(name(text).as_wire(), table.find_parent_side(name(text).as_wire()));
    assert_eq!(parent_side("sub.example"), "cut sub.example. in example.");
    assert_eq!(parent_side("hidden.sub.example"), "node hidden.sub.example. in sub.example.");
    assert_eq!(parent_side("example"), "node example. in example.");
    assert_eq!(parent_side("ns.sub.example"), "node ns.sub.example. in sub.example.");
    let Find::Cut { node, .. } = table.find_parent_side(name("sub.example").as_wire()) else { panic!() };
    assert_eq!(node.rrset(rtype::DS).unwrap().count, 1);
    let Find::Node { node, .. } = table.find_parent_side(name("hidden.sub.example").as_wire()) else { panic!() };
    assert!(node.is_empty(), "the parent zone says nothing of it, which is no data");
}

#[test]
fn rfc2181_5_one_rrset_has_one_ttl_and_no_duplicates() {
    assert_eq!(
        findings("a 60 A 192.0.2.1\na 30 A 192.0.2.2\na 30 A 192.0.2.1\nm MX 1 NS\nm MX 1 ns\n"),
        ["ttl-differs 6:1", "duplicate-record 7:1", "duplicate-record 9:1"]
    );
    let (zone, _) = read("example", &format!("{HEAD}a 60 A 192.0.2.1\na 30 A 192.0.2.2\na 30 A 192.0.2.1\n"));
    let (table, _) = Zones::build(vec![zone], &[], &nobody());
    let Find::Node { node, .. } = table.find(name("a.example").as_wire()) else { panic!() };
    let rrset = node.rrset(rtype::A).unwrap();
    assert_eq!((rrset.ttl, rrset.count), (30, 2));
    let records: Vec<_> = rrset.records().collect();
    assert_eq!(records, [(30, &[192, 0, 2, 1][..]), (30, &[192, 0, 2, 2])]);
}

#[test]
fn rfc2181_8_a_ttl_has_31_bits_and_ours_are_at_most_a_week() {
    let (_, findings) =
        read("example", &format!("{HEAD}a 2147483648 A 192.0.2.1\nb 2147483647 A 192.0.2.1\nc 1w A 192.0.2.1\n"));
    assert_eq!(codes(&findings), ["zone-ttl 5:3", "zone-ttl 6:3"]);
    assert!(findings[0].message.contains("RFC 2181"), "{}", findings[0].message);
    assert!(findings[1].message.contains("604800"), "{}", findings[1].message);
}

#[test]
fn rfc2181_10_an_alias_is_alone_and_no_target() {
    assert_eq!(findings("a CNAME b\nb A 192.0.2.1\na TXT x\n"), ["cname-and-data 5:1"]);
    assert_eq!(findings("a CNAME ns\na CNAME ns2\nns2 A 192.0.2.1\n"), ["two-cname 6:1"]);
    assert_eq!(findings("a CNAME ns\n@ MX 1 a\n"), ["target-is-cname 6:1"]);
    assert_eq!(
        findings("@ MX 1 a\n@ MX 2 t\n_s._tcp SRV 0 0 1 a.elsewhere.\nt TXT x\n@ MX 3 .\n"),
        ["target-missing 5:1", "target-without-address 6:1"]
    );
}

#[test]
fn rfc2308_5_negative_answers_live_as_long_as_the_lesser_of_soa_ttl_and_minimum() {
    for (ttl, minimum, expected) in [(300, 60, 60), (30, 60, 30), (60, 60, 60)] {
        let text = format!("@ {ttl} SOA ns h 1 2 3 4 {minimum}\n@ 9 NS ns\nns 9 A 192.0.2.53\n");
        let table = table(&[("example", &text)], &[]);
        assert_eq!(table.zones().next().unwrap().negative_ttl(), expected);
    }
}

/// The zone of RFC 4592 §2.2.1 and the questions asked there.
#[test]
fn rfc4592_2_2_1_the_example_and_its_questions() {
    let text = "\
$ORIGIN example.
example.                 3600 IN  SOA   ns.example.com. h.example.com. 1 2 3 4 5
example.                 3600     NS    ns.example.com.
example.                 3600     NS    ns.example.net.
*.example.               3600     TXT   \"this is a wildcard\"
*.example.               3600     MX    10 host1.example.
sub.*.example.           3600     TXT   \"this is not a wildcard\"
host1.example.           3600     A     192.0.2.1
_ssh._tcp.host1.example. 3600     SRV   0 0 22 host1.example.
_ssh._tcp.host2.example. 3600     SRV   0 0 22 host2.example.
subdel.example.          3600     NS    ns.example.com.
subdel.example.          3600     NS    ns.example.net.
";
    let (zone, findings) = read("example", text);
    assert_eq!(findings, []);
    let (table, findings) = Zones::build(vec![zone], &[], &nobody());
    assert_eq!(codes(&findings), ["target-without-address 10:1"], "host2 is an empty non-terminal");
    let is = |qname: &str, expected: &str| assert_eq!(shown(&table, qname), expected, "{qname}");
    // Synthesised.
    is("host3.example", "wildcard *.example. at example. in example.");
    is("foo.bar.example", "wildcard *.example. at example. in example.");
    // Not synthesised: the name exists, an ancestor exists, or it is delegated.
    is("host1.example", "node host1.example. in example.");
    is("sub.*.example", "node sub.*.example. in example.");
    is("_telnet._tcp.host1.example", "nothing below _tcp.host1.example. in example.");
    is("host.subdel.example", "cut subdel.example. in example.");
    is("ghost.*.example", "nothing below *.example. in example.");
    // §2.2.2: empty non-terminals.
    is("_tcp.host1.example", "node _tcp.host1.example. in example.");
    is("host2.example", "node host2.example. in example.");
    let Find::Node { node, .. } = table.find(name("host2.example").as_wire()) else { panic!() };
    assert!(node.is_empty());
    let Find::Node { node, .. } = table.find(name("*.example").as_wire()) else { panic!() };
    assert!(node.rrset(rtype::MX).is_some() && node.rrset(rtype::A).is_none());
}

#[test]
fn rfc4592_4_a_wildcard_that_owns_nothing_still_is_one_and_ns_and_dname_are_refused() {
    let table = zone("a.*.w TXT x\n");
    assert_eq!(shown(&table, "b.w.example"), "wildcard *.w.example. at w.example. in example.");
    let Find::Wildcard { node, .. } = table.find(name("b.w.example").as_wire()) else { panic!() };
    assert!(node.is_empty());
    assert_eq!(findings("*.a NS ns\n*.b DNAME ns\n"), ["wildcard-ns 5:1", "wildcard-dname 6:1"]);
    let table =
        zone("*.sub.deep A 192.0.2.1\ndeep NS ns.elsewhere.\n".replace("*.sub.deep A 192.0.2.1\n", "").as_str());
    assert_eq!(shown(&table, "x.sub.deep.example"), "cut deep.example. in example.");
}

#[test]
fn rfc6672_dname_redirects_what_is_below_and_not_its_owner() {
    let table = zone("d DNAME target.elsewhere.\nd TXT x\n");
    assert_eq!(shown(&table, "d.example"), "node d.example. in example.");
    assert_eq!(shown(&table, "x.d.example"), "dname d.example. in example.");
    assert_eq!(shown(&table, "x.y.d.example"), "dname d.example. in example.");
    assert_eq!(shown(&table, "xd.example"), "nothing below example. in example.");
    assert_eq!(findings("d DNAME a.\nd DNAME b.\n"), ["two-dname 6:1"]);
    assert_eq!(findings("d DNAME a.\nd CNAME ns\n"), ["cname-and-data 6:1"]);
    assert_eq!(findings("d DNAME a.\nx.d A 192.0.2.1\n"), ["below-dname 6:1"]);
    assert_eq!(findings("d DNAME a.\nd NS ns\n"), ["dname-and-ns 5:1"]);
    assert_eq!(findings("@ DNAME a.\n"), ["below-dname 4:1", "target-is-cname 3:1"].map(String::from));
}

#[test]
fn rfc8020_below_a_name_that_does_not_exist_there_is_nothing() {
    let table = zone("a.b.c A 192.0.2.1\n");
    assert_eq!(shown(&table, "c.example"), "node c.example. in example.");
    assert_eq!(shown(&table, "b.c.example"), "node b.c.example. in example.");
    assert_eq!(shown(&table, "x.b.c.example"), "nothing below b.c.example. in example.");
    assert_eq!(shown(&table, "y.x.c.example"), "nothing below c.example. in example.");
    let long = format!("{}c.example", "y.".repeat(120));
    assert_eq!(shown(&table, &long), "nothing below c.example. in example.");
}

#[test]
fn a_zone_has_one_soa_at_its_apex_and_ns_beside_it() {
    let errors = |text: &str| codes(&read("example", text).1);
    assert_eq!(errors("a 60 A 192.0.2.1\n"), ["no-soa 1:1"]);
    assert_eq!(errors("$TTL 1\n@ SOA a b 1 2 3 4 5\n"), ["no-apex-ns 2:1"]);
    assert_eq!(errors(&format!("{HEAD}@ SOA ns h 2 2 3 4 5\n")), ["two-soa 5:1"]);
    assert_eq!(errors(&format!("{HEAD}a SOA ns h 2 2 3 4 5\n")), ["soa-not-apex 5:1"]);
    assert_eq!(errors(&format!("{HEAD}a.com. A 192.0.2.1\n")), ["out-of-zone 5:1"]);
}

#[test]
fn what_a_delegation_hides_or_lacks_is_said() {
    assert_eq!(findings("s NS ns.s\n"), ["missing-glue 5:1"]);
    assert_eq!(findings("s NS ns\nx.s A 192.0.2.1\ns TXT x\n"), ["occluded 7:1", "occluded 6:1"]);
    assert_eq!(findings("s NS s\ns A 192.0.2.1\n"), [""; 0]);
    assert_eq!(findings("s NS ns.t\nt NS ns.t\nns.t A 192.0.2.1\n"), [""; 0], "glue of a sibling");
}
