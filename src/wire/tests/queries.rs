//! Well-formed queries: we read in them what hickory-proto wrote, and what it reads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as TheirQuery};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption, NSIDPayload};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::{Random, message, opt, query, question};
use crate::wire::types::{class, rtype};
use crate::wire::{Query, name};

fn their_name(wire: &[u8]) -> Name {
    let mut theirs = Name::from_labels(name::labels(wire)).expect("a name");
    theirs.set_fqdn(true);
    theirs
}

#[test]
fn every_query_that_hickory_writes_is_read_as_it_was_meant() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let qname = random.name();
        let qtype = random.next() as u16;
        let qclass = *random.pick(&[class::IN, class::CH, class::ANY, 77]);
        let mut theirs = Message::new(random.next() as u16, MessageType::Query, OpCode::Query);
        theirs.metadata.recursion_desired = random.chance(2);
        theirs.metadata.checking_disabled = random.chance(2);
        theirs.metadata.authentic_data = random.chance(2);
        theirs.metadata.truncation = random.chance(9);
        let mut asked = TheirQuery::query(their_name(&qname), RecordType::from(qtype));
        asked.set_query_class(DNSClass::from(qclass));
        theirs.add_query(asked);
        let (udp_size, dnssec_ok) = (random.next() as u16, random.chance(2));
        let mut subnet = None;
        let (has_edns, wants_nsid) = (random.chance(2), random.chance(2));
        if has_edns {
            let mut edns = Edns::new();
            edns.set_max_payload(udp_size).set_dnssec_ok(dnssec_ok);
            if wants_nsid {
                edns.options_mut().insert(EdnsOption::NSID(NSIDPayload::new([]).expect("short")));
            }
            if random.chance(2) {
                let (address, source) = match random.chance(2) {
                    true => {
                        let source = random.below(33);
                        let mask = u32::MAX.checked_shl(32 - source as u32).unwrap_or(0);
                        (IpAddr::V4(Ipv4Addr::from_bits(random.next() as u32 & mask)), source)
                    }
                    false => {
                        let source = random.below(129);
                        let mask = u128::MAX.checked_shl(128 - source as u32).unwrap_or(0);
                        let bits = u128::from(random.next()) << 64 | u128::from(random.next());
                        (IpAddr::V6(Ipv6Addr::from_bits(bits & mask)), source)
                    }
                };
                subnet = Some((address, source as u8));
                edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address, source as u8, 0)));
            }
            if random.chance(2) {
                let len = random.below(40);
                edns.options_mut().insert(EdnsOption::Unknown(65_001, random.octets(len)));
            }
            theirs.set_edns(edns);
        }
        let bytes = theirs.to_vec().expect("a message");

        let ours = Query::parse(&bytes).expect("well-formed");
        assert_eq!(ours.id(), theirs.metadata.id);
        assert_eq!(ours.flags().recursion_desired(), theirs.metadata.recursion_desired);
        assert_eq!(ours.flags().checking_disabled(), theirs.metadata.checking_disabled);
        assert_eq!(ours.flags().authentic_data(), theirs.metadata.authentic_data);
        assert_eq!(ours.flags().is_truncated(), theirs.metadata.truncation);
        assert_eq!(ours.qname().as_wire(), qname.to_ascii_lowercase());
        assert_eq!((ours.qtype(), ours.qclass()), (qtype, qclass));
        assert_eq!(ours.question()[..qname.len()], qname, "the question keeps its case");
        assert_eq!(ours.edns().is_some(), has_edns);
        assert!(!ours.has_tsig());
        assert!(ours.qname().suffix_offsets().eq(name::suffixes(&qname).map(|(at, _)| at)));
        if let Some(edns) = ours.edns() {
            assert_eq!((edns.version, edns.dnssec_ok, edns.wants_nsid), (0, dnssec_ok, wants_nsid));
            // Theirs refuses to say less than 512.
            assert_eq!(edns.udp_size.max(512), udp_size.max(512));
            assert_eq!(edns.ecs.map(|ecs| ecs.source()), subnet.map(|(_, source)| source));
            let address = subnet.filter(|(_, source)| *source != 0).map(|(address, _)| address);
            assert_eq!(edns.ecs.and_then(|ecs| ecs.address()), address);
        }
        assert_eq!(
            Message::from_vec(&bytes).expect("their own").queries[0].name(),
            &their_name(ours.qname().as_wire())
        );
    }
}

#[test]
fn rfc6891_6_2_3_sizes_below_512_are_512_and_ours_bounds_theirs() {
    let bytes = query(b"\x01a\0", rtype::A);
    assert_eq!(Query::parse(&bytes).unwrap().udp_response_len_max(1232), 512);
    for (theirs, limit) in [(0u16, 512), (511, 512), (512, 512), (800, 800), (1232, 1232), (4096, 1232)] {
        let mut opt = opt(0, &[]);
        opt[3..5].copy_from_slice(&theirs.to_be_bytes());
        let bytes = message(0, [1, 0, 0, 1], &[&question(b"\0", rtype::NS), &opt]);
        assert_eq!(Query::parse(&bytes).unwrap().udp_response_len_max(1232), limit, "{theirs}");
    }
}

#[test]
fn rfc5001_2_1_what_comes_with_an_nsid_request_is_ignored() {
    let bytes = message(0, [1, 0, 0, 1], &[&question(b"\0", 1), &opt(0, &[0, 3, 0, 2, 9, 9])]);
    let query = Query::parse(&bytes).unwrap();
    assert!(query.edns().is_some_and(|edns| edns.wants_nsid && edns.dnssec_ok && edns.udp_size == 1232));
}

#[test]
fn rfc6891_6_1_3_another_version_is_reported_and_its_options_are_not_read() {
    let bytes = message(0, [1, 0, 0, 1], &[&question(b"\0", 1), &opt(1, &[0, 8, 0])]);
    let query = Query::parse(&bytes).unwrap();
    assert_eq!(query.edns().map(|edns| edns.version), Some(1));
}

#[test]
fn rfc1995_3_an_ixfr_query_may_carry_one_record_of_authority() {
    let soa = [&b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x16\0\0"[..], &[0; 20]].concat();
    let question = question(b"\x01a\0", rtype::IXFR);
    let one = message(0, [1, 0, 1, 1], &[&question, &soa, &opt(0, &[])]);
    assert!(Query::parse(&one).is_ok_and(|query| query.edns().is_some()));
    let two = message(0, [1, 0, 2, 0], &[&question, &soa, &soa]);
    assert!(Query::parse(&two).is_err());
}

#[test]
fn rfc8945_5_1_a_tsig_at_the_end_is_noticed() {
    let tsig = b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x10\x01h\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let question = question(b"\x01a\0", 1);
    let signed = message(0, [1, 0, 0, 2], &[&question, &opt(0, &[]), tsig]);
    let query = Query::parse(&signed).unwrap();
    assert!(query.has_tsig() && query.edns().is_some());
    let compressed = [b"\xc0\x0c", &tsig[5..]].concat();
    assert!(Query::parse(&message(0, [1, 0, 0, 1], &[&question, &compressed])).unwrap().has_tsig());
    for wrong in [
        message(0, [1, 0, 0, 2], &[&question, tsig, &opt(0, &[])]),
        message(0, [1, 0, 0, 2], &[&question, tsig, tsig]),
        message(0, [1, 0, 0, 1], &[&question, b"\xc0\x40", &tsig[5..]]),
    ] {
        assert!(Query::parse(&wrong).is_err());
    }
}
