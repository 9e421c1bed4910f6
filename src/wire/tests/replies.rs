//! Replies: two other libraries read from them what an encoder without compression would have sent.

use domain::base::{Message as DomainMessage, ParsedName, Rtype};
use domain::rdata::AllRecordData;
use hickory_proto::op::Message;

use super::{Random, message, opt, question};
use crate::wire::types::{ede, rcode, rtype};
use crate::wire::{Compact, Ecs, Ede, OptReply, Owner, Query, RrsetBuf, Section, Writer, name};

const SECTIONS: [Section; 3] = [Section::Answer, Section::Authority, Section::Additional];

/// The oracle's encoder: whole names everywhere.
#[derive(Default)]
struct Plain {
    records: Vec<u8>,
    counts: [u16; 4],
}

impl Plain {
    fn add(&mut self, section: Section, owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) {
        self.records.extend(owner);
        self.records.extend(rtype.to_be_bytes());
        self.records.extend([0, 1]);
        self.records.extend(ttl.to_be_bytes());
        self.records.extend((rdata.len() as u16).to_be_bytes());
        self.records.extend(rdata);
        self.counts[1 + section as usize] += 1;
    }

    fn message(&self, flags: u16, question: &[u8]) -> Vec<u8> {
        let [_, an, ns, ar] = self.counts;
        message(flags, [1, an, ns, ar], &[question, &self.records])
    }
}

/// What hickory-proto reads, names in lower case because compression may take the case of another.
fn hickory_reads(bytes: &[u8]) -> Vec<String> {
    let message = Message::from_vec(bytes).expect("hickory-proto reads it");
    let sections = [&message.answers, &message.authorities, &message.additionals];
    let mut read = vec![format!("{:?}", message.queries)];
    for (section, records) in sections.into_iter().enumerate() {
        read.extend(records.iter().map(|record| format!("{section} {record}").to_lowercase()));
    }
    read
}

/// What `domain` reads, but for OPT.
fn domain_reads(bytes: &[u8]) -> Vec<String> {
    let message = DomainMessage::from_octets(bytes).expect("domain reads it");
    let mut read = vec![format!("{:?}", message.sole_question().expect("one question"))];
    for record in message.iter() {
        let (record, section) = record.expect("domain reads the record");
        if record.rtype() != Rtype::OPT {
            let record = record.to_any_record::<AllRecordData<_, ParsedName<_>>>().expect("domain reads the data");
            read.push(format!("{section:?} {record}").to_lowercase());
        }
    }
    read
}

#[test]
fn every_reply_says_the_same_to_two_other_libraries() {
    let mut random = Random(2);
    let mut out = [0; 65_535];
    let mut pointers = 0;
    for round in 0..6_000 {
        let asked = question(&random.name(), rtype::A);
        let has_edns = random.chance(2);
        let opt = if has_edns { opt(0, &[]) } else { Vec::new() };
        let bytes = message(0x0100, [1, 0, 0, u16::from(has_edns)], &[&asked, &opt]);
        let query = Query::parse(&bytes).unwrap();
        let mut writer = Writer::new(&query, &mut out, usize::MAX).unwrap();
        writer.set_authoritative(true);
        let mut plain = Plain::default();
        for section in SECTIONS {
            for _ in 0..random.below(5) {
                let rrset = random.rrset();
                let rrset = rrset.as_rrset();
                let other = random.name();
                let skip = *random.pick(&query.qname().suffix_offsets().collect::<Vec<_>>());
                let (owner, owner_name) = match random.below(3) {
                    0 => (Owner::Question, query.qname().as_wire()),
                    1 => (Owner::QuestionSuffix(skip), query.qname().suffix(skip)),
                    _ => (Owner::Name(&other), &other[..]),
                };
                if random.chance(4)
                    && let Some((ttl, rdata)) = rrset.records().next()
                {
                    // Compressed beforehand, against the owner in whatever case it was written then.
                    let mut compact = b"before".to_vec();
                    Compact::render(&owner_name.to_ascii_lowercase(), rrset.rtype, ttl, rdata, &mut compact);
                    let compact = Compact::read(&compact[6..]).unwrap();
                    writer.require_compact(section, owner, &compact).unwrap();
                    plain.add(section, owner_name, rrset.rtype, ttl, rdata);
                    continue;
                }
                let ttl = random.chance(3).then(|| random.below(1000) as u32);
                writer.rrset(section, owner, &rrset, ttl).unwrap();
                for (stored, rdata) in rrset.records() {
                    plain.add(section, owner_name, rrset.rtype, ttl.unwrap_or(stored), rdata);
                }
            }
        }
        for section in SECTIONS {
            assert_eq!(writer.count(section), plain.counts[1 + section as usize]);
        }
        let reply = OptReply { udp_size: 1232, ..OptReply::default() };
        let len = writer.finish(has_edns.then_some(&reply));
        let plain = plain.message(0x8500, &asked);
        assert_eq!(out[2..4], plain[2..4], "flags");
        assert_eq!(out[12..12 + asked.len()], asked, "the question");
        assert_eq!(hickory_reads(&out[..len]), hickory_reads(&plain), "round {round}");
        assert_eq!(domain_reads(&out[..len]), domain_reads(&plain), "round {round}");
        pointers += usize::from(len < plain.len());
    }
    assert!(pointers > 4_000, "compression saves something: {pointers}");
}

fn ask(qname: &[u8]) -> Vec<u8> {
    super::query(qname, rtype::NS)
}

#[test]
fn rfc1035_4_1_4_names_are_compressed_against_all_before_them() {
    let bytes = ask(b"\x03WWW\x07Example\x03com\0");
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 512];
    let mut writer = Writer::new(&query, &mut out, 512).unwrap();
    let mut ns = RrsetBuf::new(rtype::NS, 60);
    ns.push(b"\x03ns1\x07example\x03COM\0").unwrap(); // a suffix of the question
    ns.push(b"\x01b\x03NS1\x07example\x03com\0").unwrap(); // a suffix of the record before
    ns.push(b"\x01c\x03net\0").unwrap(); // nothing in common
    ns.push(b"\x01d\x03Net\0").unwrap();
    writer.rrset(Section::Authority, Owner::QuestionSuffix(4), &ns.as_rrset(), None).unwrap();
    let a = b"\x07\x07\x07\x07";
    let glue = Owner::Name(b"\x01C\x03net\0");
    writer.record(Section::Additional, glue, rtype::A, 1, 60, a).unwrap();
    let len = writer.finish(None);
    let head = b"\0\x02\0\x01\0\0\0\x3c";
    let expected = [
        &b"\xc0\x10"[..],
        head,
        b"\0\x06\x03ns1\xc0\x10",
        b"\xc0\x10",
        head,
        b"\0\x04\x01b\xc0\x2d",
        b"\xc0\x10",
        head,
        b"\0\x07\x01c\x03net\0",
        b"\xc0\x10",
        head,
        b"\0\x04\x01d\xc0\x51",
        b"\xc0\x4f\0\x01\0\x01\0\0\0\x3c\0\x04\x07\x07\x07\x07",
    ];
    assert_eq!(out[33..len], expected.concat());
}

#[test]
fn a_compact_record_points_to_its_apex_and_into_itself_wherever_it_stands() {
    let mut soa = Vec::new();
    let numbers = [7; 20];
    let rdata = [&b"\x03ns1\x01d\x07example\x03com\0\x04host\x01D\x07example\x03com\0"[..], &numbers].concat();
    Compact::render(b"\x07example\x03com\0", rtype::SOA, 60, &rdata, &mut soa);
    let soa = Compact::read(&soa).unwrap();
    let head = b"\0\x06\0\x01\0\0\0\x3c\0\x23";
    for (qname, pointer) in [(&b"\x07eXample\x03com\0"[..], 0x0c), (b"\x01a\x01b\x07eXample\x03com\0", 0x10)] {
        let bytes = ask(qname);
        let query = Query::parse(&bytes).unwrap();
        let mut out = [0; 512];
        let mut writer = Writer::new(&query, &mut out, 512).unwrap();
        writer.require_compact(Section::Authority, Owner::QuestionSuffix(pointer - 12), &soa).unwrap();
        let len = writer.finish(None);
        let body = 16 + qname.len();
        let own = (body + 2 + 10 + 4) as u8;
        let pointer = pointer as u8;
        let data = [&b"\x03ns1\x01d\xc0"[..], &[pointer], b"\x04host\xc0", &[own], &numbers];
        assert_eq!(out[body..len], [&[0xc0, pointer], &head[..], &data.concat()].concat());
    }
}

#[test]
fn a_compact_record_that_does_not_fit_truncates() {
    let bytes = ask(b"\x01a\0");
    let query = Query::parse(&bytes).unwrap();
    let mut ns = Vec::new();
    Compact::render(b"\x01a\0", rtype::NS, 60, b"\x01b\x01a\0", &mut ns);
    for (room, fits) in [(0x40, true), (19 + 2 + 10 + 4, true), (19 + 2 + 10 + 3, false), (19, false)] {
        let mut out = [0; 512];
        let mut writer = Writer::new(&query, &mut out, room).unwrap();
        let written = writer.require_compact(Section::Answer, Owner::Question, &Compact::read(&ns).unwrap());
        assert_eq!((written.is_ok(), writer.is_truncated()), (fits, !fits));
        assert_eq!(writer.finish(None), if fits { 35 } else { 19 });
    }
}

#[test]
fn rfc3597_4_names_in_newer_types_are_left_as_they_are() {
    let name = b"\x03wWw\x07example\x03com\0";
    let bytes = ask(name);
    let query = Query::parse(&bytes).unwrap();
    for (rtype, head) in [(rtype::SRV, 6), (rtype::DNAME, 0), (rtype::KX, 2), (rtype::HTTPS, 2), (rtype::RP, 0)] {
        let mut rdata = [vec![0; head], name.to_vec()].concat();
        if rtype == rtype::RP {
            rdata.extend(name);
        }
        let mut rrset = RrsetBuf::new(rtype, 1);
        rrset.push(&rdata).unwrap();
        let mut out = [0; 512];
        let mut writer = Writer::new(&query, &mut out, 512).unwrap();
        writer.rrset(Section::Answer, Owner::Name(name), &rrset.as_rrset(), None).unwrap();
        let len = writer.finish(None);
        assert!(out[..len].ends_with(&rdata), "TYPE{rtype}");
        assert_eq!(&out[33..35], b"\xc0\x0c", "the owner may be compressed");
    }
}

#[test]
fn pointers_lead_neither_into_data_nor_beyond_their_reach() {
    // A TXT record that looks like a name, and then the name itself.
    let bytes = ask(b"\x01q\0");
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 65_535];
    let mut writer = Writer::new(&query, &mut out, 65_535).unwrap();
    let mut filler = RrsetBuf::new(rtype::NULL, 1);
    filler.push(b"\x03www\x02ex\0").unwrap();
    filler.push(&[b'x'; 16_380]).unwrap();
    writer.rrset(Section::Answer, Owner::Question, &filler.as_rrset(), None).unwrap();
    let mut ns = RrsetBuf::new(rtype::NS, 1);
    ns.push(b"\x03www\x02ex\0").unwrap();
    ns.push(b"\x03www\x02ex\0").unwrap();
    let far = Owner::Name(b"\x03far\x02ex\0");
    writer.rrset(Section::Authority, far, &ns.as_rrset(), None).unwrap();
    let start = 12 + 7 + filler.as_rrset().records.len();
    let len = writer.finish(None);
    assert!(start > 0x4000);
    let record = b"\x03far\x02ex\0\0\x02\0\x01\0\0\0\x01\0\x08\x03www\x02ex\0";
    assert_eq!(out[start..len], [record.to_vec(), record.to_vec()].concat());
}

#[test]
fn labels_that_look_like_lengths_do_not_mislead_compression() {
    // The question ends in octets that equal the other name, but not at a label.
    let bytes = ask(b"\x04x\x02ex\x02ex\0");
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 512];
    let mut writer = Writer::new(&query, &mut out, 512).unwrap();
    let tricky = b"\x02ex\x02ex\0";
    writer.cname(Owner::Name(tricky), b"\x01t\x02EX\0", 5).unwrap();
    let len = writer.finish(None);
    let answer = b"\x02ex\xc0\x11\0\x05\0\x01\0\0\0\x05\0\x04\x01t\xc0\x11";
    assert_eq!(out[25..len], *answer);
}

#[test]
fn more_names_than_are_remembered_are_still_right() {
    let bytes = ask(b"\x01q\0");
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 65_535];
    let mut writer = Writer::new(&query, &mut out, 65_535).unwrap();
    let mut ns = RrsetBuf::new(rtype::NS, 9);
    let mut plain = Plain::default();
    for i in 0..500u16 {
        let target = [b"\x02", &i.to_be_bytes()[..], b"\x02", &(i / 9).to_be_bytes()[..], b"\0"].concat();
        ns.push(&target).unwrap();
        plain.add(Section::Answer, b"\x01q\0", rtype::NS, 9, &target);
    }
    writer.rrset(Section::Answer, Owner::Question, &ns.as_rrset(), None).unwrap();
    let len = writer.finish(None);
    let plain = plain.message(0x8100, query.question());
    assert_eq!(domain_reads(&out[..len]), domain_reads(&plain));
}

#[test]
fn the_root_is_a_zero_octet_wherever_it_stands() {
    let bytes = ask(b"\0");
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 512];
    let mut writer = Writer::new(&query, &mut out, 512).unwrap();
    let mut rrset = RrsetBuf::new(rtype::A, 1);
    rrset.push(&[1, 2, 3, 4]).unwrap();
    rrset.push(&[1, 2, 3, 5]).unwrap();
    for owner in [Owner::Question, Owner::QuestionSuffix(0), Owner::Name(b"\0")] {
        writer.rrset(Section::Answer, owner, &rrset.as_rrset(), Some(7)).unwrap();
    }
    writer.cname(Owner::Question, b"\0", 1).unwrap();
    let len = writer.finish(None);
    assert_eq!(&out[17..32], b"\0\0\x01\0\x01\0\0\0\x07\0\x04\x01\x02\x03\x04");
    assert_eq!(len, 17 + 6 * 15 + 12);
    assert_eq!(domain_reads(&out[..len]).len(), 8);
}

#[test]
fn what_is_no_name_is_not_written() {
    let bytes = ask(b"\x01q\0");
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 512];
    let mut writer = Writer::new(&query, &mut out, 512).unwrap();
    for wrong in [&b""[..], b"\x03ab", b"\xc0\x0c", b"\x01a"] {
        assert!(!name::is_wire(wrong));
        assert!(writer.cname(Owner::Name(wrong), b"\0", 1).is_err(), "{wrong:?}");
    }
    assert_eq!(writer.finish(None), bytes.len());
}

#[test]
fn rfc6891_rfc7871_rfc5001_rfc8914_opt_says_all_that_was_asked() {
    let ecs = Ecs::parse(&[0, 1, 20, 0, 198, 51, 0x60]).unwrap();
    let bytes = ask(b"\x01q\0");
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 512];
    let mut writer = Writer::new(&query, &mut out, 512).unwrap();
    let opt = OptReply {
        udp_size: 1232,
        dnssec_ok: true,
        ecs: Some(ecs),
        scope: 16,
        nsid: Some(b"n1"),
        ede: Some(Ede { code: ede::NOT_AUTHORITATIVE, text: "no" }),
    };
    writer.reserve(opt.reserved_len());
    writer.set_rcode(rcode::BADVERS);
    let len = writer.finish(Some(&opt));
    let options = b"\0\x08\0\x07\0\x01\x14\x10\xc6\x33\x60\0\x03\0\x02n1\0\x0f\0\x04\0\x14no";
    let expected = [&b"\0\0\x29\x04\xd0\x01\0\x80\0\0\x19"[..], options].concat();
    assert_eq!(out[19..len], expected);
    assert_eq!(out[3] & 15, 0);
    let theirs = Message::from_vec(&out[..len]).unwrap();
    assert_eq!(u16::from(theirs.metadata.response_code), rcode::BADVERS);
    assert!(theirs.edns.is_some_and(|edns| edns.flags().dnssec_ok && edns.max_payload() == 1232));
}

#[test]
fn rfc6891_6_1_3_without_opt_an_extended_rcode_is_servfail() {
    let bytes = ask(b"\x01q\0");
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 512];
    let mut writer = Writer::new(&query, &mut out, 512).unwrap();
    writer.set_rcode(rcode::BADVERS);
    writer.finish(None);
    assert_eq!(out[3] & 15, rcode::SERVFAIL as u8);
}

#[test]
fn rfc1035_4_1_1_flags_of_a_reply() {
    for (asked, replied) in [(0x0000, 0x8000), (0x0100, 0x8100), (0x07b0, 0x8100), (0x0030, 0x8000)] {
        let bytes = message(asked, [1, 0, 0, 0], &[&question(b"\0", 1)]);
        let query = Query::parse(&bytes).unwrap();
        let mut out = [0; 64];
        let mut writer = Writer::new(&query, &mut out, 64).unwrap();
        let len = writer.finish(None);
        assert_eq!(out[..len], message(replied, [1, 0, 0, 0], &[&question(b"\0", 1)]));
    }
}
