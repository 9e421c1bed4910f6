//! Noise: no octets make this room panic, and what it replies is always a message.

use domain::base::Message as DomainMessage;

use super::{Random, message, opt, query, question};
use crate::wire::types::rtype;
use crate::wire::{OptReply, Owner, Query, Reject, RrsetBuf, RrsetRef, Section, Writer};

fn seeds() -> Vec<Vec<u8>> {
    let ecs = opt(0, &[0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2, 0, 3, 0, 0]);
    let tsig = b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x03\x01h\0";
    let www = b"\x03www\x07example\x03com\0";
    vec![
        query(b"\0", rtype::NS),
        query(www, rtype::A),
        message(0, [1, 0, 0, 1], &[&question(www, rtype::A), &ecs]),
        message(0, [1, 0, 0, 2], &[&question(www, rtype::A), &ecs, tsig]),
        message(0, [1, 0, 1, 1], &[&question(www, rtype::IXFR), b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\0", &opt(0, &[])]),
        query(&[&b"\x01x".repeat(127)[..], b"\0"].concat(), rtype::TXT),
        message(0, [0, 0, 0, 1], &[&ecs]),
    ]
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..1 + random.below(3) {
        let at = random.below(bytes.len().max(1));
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.next() as u8),
            4 if !bytes.is_empty() => _ = bytes.remove(at),
            5 if !bytes.is_empty() => bytes[at] = *random.pick(&[0, 1, 63, 64, 0x80, 0xc0, 0xff]),
            _ => bytes.extend_from_within(at..),
        }
    }
}

/// Answers as an engine would and checks what comes out.
fn answer(bytes: &[u8], rrsets: &[RrsetRef<'_>], out: &mut [u8]) -> bool {
    let (len, id) = match Query::parse(bytes) {
        Err(Reject::Drop) => return false,
        Err(Reject::Reply(error)) => (error.write(out, 1232), error.id),
        Ok(query) => {
            let ecs = query.edns().and_then(|edns| edns.ecs);
            let opt = OptReply { udp_size: 1232, ecs, nsid: Some(b"node"), ..OptReply::default() };
            let opt = query.edns().map(|_| &opt);
            let limit = query.udp_response_len_max(1232);
            let mut writer = Writer::new(&query, out, limit).expect("512 octets hold any question");
            writer.reserve(opt.map_or(0, OptReply::reserved_len));
            let sections = [Section::Answer, Section::Authority, Section::Additional];
            let middle = query.qname().suffix_offsets().nth(query.qname().label_count() / 2).unwrap();
            for (section, rrset) in sections.into_iter().zip(rrsets) {
                let fits = writer.require(section, Owner::QuestionSuffix(middle), rrset, None);
                assert_eq!(fits.is_err(), writer.is_truncated());
            }
            let len = writer.finish(opt);
            assert!(len <= limit);
            (len, query.id())
        }
    };
    let message = DomainMessage::from_octets(&out[..len]).expect("a message");
    assert_eq!(message.header().id(), id);
    assert!(message.header().qr());
    assert!(message.question().all(|question| question.is_ok()));
    assert!(message.iter().all(|record| record.is_ok()));
    true
}

#[test]
fn mutated_queries_are_answered_or_dropped_and_nothing_else() {
    let mut random = Random(4);
    let rrsets: Vec<RrsetBuf> = (0..64).map(|_| random.rrset()).collect();
    let rrsets: Vec<RrsetRef<'_>> = rrsets.iter().map(RrsetBuf::as_rrset).collect();
    let seeds = seeds();
    let mut out = [0; 1232];
    let (mut answered, mut accepted) = (0, 0);
    for round in 0..300_000 {
        let mut bytes = random.pick(&seeds).clone();
        mutate(&mut random, &mut bytes);
        let at = round % 60;
        accepted += u32::from(Query::parse(&bytes).is_ok());
        answered += u32::from(answer(&bytes, &rrsets[at..at + 3], &mut out));
    }
    assert!(answered > 200_000, "{answered}");
    assert!((20_000..200_000).contains(&accepted), "{accepted}");
}

#[test]
fn every_cut_and_every_flipped_bit_is_survived() {
    let mut out = [0; 1232];
    for seed in seeds() {
        for len in 0..seed.len() {
            answer(&seed[..len], &[], &mut out);
        }
        for bit in 0..seed.len() * 8 {
            let mut bytes = seed.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            answer(&bytes, &[], &mut out);
        }
    }
}

#[test]
fn stored_octets_that_are_no_records_do_no_harm() {
    let mut random = Random(5);
    let bytes = query(b"\x03www\x07example\x03com\0", rtype::A);
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 512];
    for _ in 0..20_000 {
        let len = random.below(60);
        let records = random.octets(len);
        let rtype = *random.pick(&[rtype::A, rtype::NS, rtype::SOA, rtype::NAPTR]);
        let rrset = RrsetRef { rtype, ttl: 0, count: 1, records: &records };
        let mut writer = Writer::new(&query, &mut out, 512).unwrap();
        for owner in [Owner::Question, Owner::QuestionSuffix(4), Owner::Name(b"\x01a\0")] {
            // Whether it is taken does not matter here.
            let _ = writer.rrset(Section::Answer, owner, &rrset, Some(1));
        }
        assert!(writer.finish(Some(&OptReply::default())) <= 512);
    }
}
