//! Services among static data.

use super::*;
use crate::model::{Origin, ServiceIx, Ttl};
use crate::wire::types::rtype;
use crate::zone::ServiceKind;

pub(super) struct Wanted {
    name: Name,
    zone: Option<Name>,
    kind: ServiceKind,
    https: bool,
    origin: Origin,
}

pub(super) fn wanted(text: &str) -> Wanted {
    Wanted { name: name(text), zone: None, kind: ServiceKind::Addresses, https: false, origin: Origin::file("s.yaml") }
}

pub(super) fn places(wanted: &[Wanted]) -> Vec<ServicePlace<'_>> {
    wanted
        .iter()
        .enumerate()
        .map(|(at, one)| ServicePlace {
            name: &one.name,
            ix: ServiceIx::from_at(at),
            zone: one.zone.as_ref(),
            kind: one.kind,
            https: one.https,
            ttl: Ttl::DEFAULT,
            origin: &one.origin,
        })
        .collect()
}

fn build(text: &str, services: &[Wanted]) -> (Zones, Vec<Diagnostic>) {
    let (zone, findings) = read("example", &format!("{HEAD}{text}"));
    assert_eq!(findings, []);
    Zones::build(vec![zone], &places(services), &nobody())
}

fn errors(text: &str, service: Wanted) -> Vec<&'static str> {
    build(text, &[service]).1.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_service_is_a_node_of_the_zone_that_covers_it() {
    let (table, findings) = build("api TXT x\n", &[wanted("api.example"), wanted("a.b.example"), wanted("example")]);
    assert_eq!(findings, []);
    for (text, ix) in [("api.example", 0), ("a.b.example", 1), ("example", 2)] {
        let Find::Node { node } = table.find(name(text).as_wire()) else { panic!() };
        assert_eq!((node.service(), node.zone().apex()), (Some(ServiceIx(ix)), name("example").as_wire()));
        assert!(!node.is_empty());
    }
    let Find::Node { node, .. } = table.find(name("b.example").as_wire()) else { panic!() };
    assert!(node.is_empty());
    assert_eq!(table.addresses(name("api.example").as_wire()), None, "services are no additional data");
}

#[test]
fn a_service_at_a_wildcard_answers_for_every_name_that_it_makes() {
    let (table, findings) = build("b.w A 192.0.2.1\n", &[wanted("*.w.example")]);
    assert_eq!(findings, []);
    let Find::Wildcard { node, .. } = table.find(name("x.y.w.example").as_wire()) else { panic!() };
    assert_eq!(node.service(), Some(ServiceIx(0)));
    assert_eq!(shown(&table, "x.b.w.example"), "nothing below b.w.example. in example.");
}

#[test]
fn static_and_dynamic_data_exclude_each_other() {
    for text in ["api A 192.0.2.1\n", "api AAAA ::1\n", "api CNAME ns\n"] {
        assert_eq!(errors(text, wanted("api.example")), ["static-and-dynamic"], "{text}");
    }
    let (_, findings) = build("api A 192.0.2.1\n", &[wanted("api.example")]);
    assert!(findings[0].message.contains("example.zone:5:1"), "{}", findings[0].message);
    assert_eq!(findings[0].at.as_ref().unwrap().file.as_ref(), "s.yaml");
    for text in ["api TXT x\n", "api MX 1 ns\n", "api CAA 0 issue ca.test\n", "api HTTPS 1 .\n"] {
        assert_eq!(errors(text, wanted("api.example")), [""; 0], "{text}");
        let cname = Wanted { kind: ServiceKind::Mixed, ..wanted("api.example") };
        assert_eq!(errors(text, cname), ["static-and-dynamic"], "{text}");
    }
    let https = Wanted { https: true, ..wanted("api.example") };
    assert_eq!(errors("api HTTPS 1 .\n", https), ["static-and-dynamic"]);
}

#[test]
fn a_service_is_refused_where_it_could_never_answer() {
    assert_eq!(errors("s NS ns\n", wanted("api.s.example")), ["service-occluded"]);
    assert_eq!(errors("s NS ns\n", wanted("s.example")), ["service-occluded"]);
    assert_eq!(errors("d DNAME a.\n", wanted("api.d.example")), ["service-below-dname"]);
    let apex = Wanted { kind: ServiceKind::Cname, ..wanted("example") };
    assert_eq!(errors("", apex), ["cname-at-apex"]);
    let alone = Wanted { kind: ServiceKind::Cname, ..wanted("api.test") };
    assert_eq!(errors("", alone), ["cname-at-apex"]);
    assert_eq!(errors("", wanted("*.test")), ["wildcard-without-zone"]);
}

#[test]
fn the_zone_that_a_service_names_must_hold_it() {
    let named = |text: &str, zone: &str| Wanted { zone: Some(name(zone)), ..wanted(text) };
    assert_eq!(errors("", named("api.example", "example")), [""; 0]);
    assert_eq!(errors("", named("api.example", "test")), ["wrong-zone"]);
    assert_eq!(errors("", named("api.test", "test")), ["wrong-zone"]);
    assert_eq!(errors("", named("api.test", "api.test")), ["no-ns"]);
}

#[test]
fn a_service_is_never_a_name_server_but_may_take_mail() {
    assert_eq!(errors("@ NS api\n", wanted("api.example")), ["service-as-ns"]);
    assert_eq!(errors("s NS x.api\n", wanted("*.api.example")), ["service-as-ns"]);
    assert_eq!(errors("@ MX 1 api\n", wanted("api.example")), [""; 0]);
    let cname = Wanted { kind: ServiceKind::Cname, ..wanted("api.example") };
    assert_eq!(errors("@ MX 1 api\n", cname), ["target-is-cname"]);
}

#[test]
fn a_service_without_a_master_file_is_a_zone_of_its_own() {
    let services = [wanted("api.test"), wanted("v2.x.api.test")];
    let (table, findings) = Zones::build(Vec::new(), &places(&services), &nobody());
    assert_eq!(codes(&findings), ["no-ns 1:1"]);
    assert_eq!(shown(&table, "api.test"), "node api.test. in api.test.");
    assert_eq!(shown(&table, "y.api.test"), "nothing below api.test. in api.test.");
    assert_eq!(shown(&table, "x.api.test"), "node x.api.test. in api.test.");
    assert_eq!(shown(&table, "v2.x.api.test"), "node v2.x.api.test. in v2.x.api.test.");
    assert_eq!(shown(&table, "test"), "not ours");
    let zone = table.zones().next().unwrap();
    assert_eq!(zone.ns().records().next(), Some((3600, &b"\x02ns\x07invalid\0"[..])));
    assert_eq!((zone.soa().rtype, zone.soa().ttl, zone.negative_ttl()), (rtype::SOA, 15, 15));
    let (_, soa) = zone.soa().records().next().unwrap();
    let head = b"\x02ns\x07invalid\0\x0ahostmaster\x03api\x04test\0";
    assert_eq!(&soa[..head.len()], head);
    assert_eq!(soa[head.len()..], [1_u32, 3600, 600, 604_800, 15].map(u32::to_be_bytes).concat()[..]);
}

#[test]
fn own_zones_have_the_servers_and_the_mailbox_of_the_settings() {
    let (ns, mailbox) = ([name("ns1.net"), name("ns2.net")], name("dns.corp"));
    let own = OwnZones { ns: &ns, mailbox: Some(&mailbox), ns_required: true };
    let services = [wanted("api.test")];
    let (table, findings) = Zones::build(Vec::new(), &places(&services), &own);
    assert_eq!(findings, []);
    let zone = table.zones().next().unwrap();
    assert_eq!(zone.ns().count, 2);
    assert!(zone.soa().records().next().unwrap().1.starts_with(b"\x03ns1\x03net\0\x03dns\x04corp\0"));
    let none = OwnZones { ns: &[], ..own };
    let (_, findings) = Zones::build(Vec::new(), &places(&services), &none);
    assert!(findings[0].is_error() && findings[0].code == "no-ns");
    let services = [wanted("ns1.net")];
    let (_, findings) = Zones::build(Vec::new(), &places(&services), &own);
    assert_eq!(codes(&findings), ["service-as-ns"]);
}

#[test]
fn two_zones_with_one_apex_and_two_services_with_one_name_are_refused() {
    let twice = || read("example", HEAD).0;
    let (_, findings) = Zones::build(vec![twice(), twice()], &[], &nobody());
    assert_eq!(codes(&findings), ["two-zones 1:1"]);
    let services = [wanted("a.example"), wanted("a.example")];
    let (_, findings) = Zones::build(vec![twice()], &places(&services), &nobody());
    assert_eq!(codes(&findings), ["two-services 1:1"]);
}

#[test]
fn the_order_of_files_and_services_does_not_matter() {
    let zones = || ["b.example", "example", "a.b.example", "test"].map(|origin| read(origin, HEAD).0);
    let services = [wanted("x.example"), wanted("y.b.example"), wanted("z.alone")];
    let places = places(&services);
    let (one, _) = Zones::build(zones().into(), &places, &nobody());
    let mut reversed: Vec<ParsedZone> = zones().into();
    reversed.reverse();
    let backwards: Vec<ServicePlace<'_>> = places.iter().rev().copied().collect();
    let (other, _) = Zones::build(reversed, &backwards, &nobody());
    assert_eq!(
        format!("{:?}", (&one.octets, &one.nodes, &one.sets, &one.index)),
        format!("{:?}", (&other.octets, &other.nodes, &other.sets, &other.index))
    );
}
