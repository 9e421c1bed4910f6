//! Sizes: whatever the limit, the reply keeps to it and is well-formed.

use domain::base::Message as DomainMessage;

use super::{Random, message, query, question};
use crate::wire::types::{ede, rtype};
use crate::wire::{Ecs, Ede, Full, OptReply, Owner, Query, RrsetBuf, Section, Writer};

fn addresses(count: u8) -> RrsetBuf {
    let mut rrset = RrsetBuf::new(rtype::A, 15);
    for last in 0..count {
        rrset.push(&[192, 0, 2, last]).unwrap();
    }
    rrset
}

fn servers(count: u8) -> RrsetBuf {
    let mut rrset = RrsetBuf::new(rtype::NS, 60);
    for i in 0..count {
        rrset.push(&[b"\x03ns", &[b'a' + i][..], b"\x05other\x03net\0"].concat()).unwrap();
    }
    rrset
}

/// Everything `domain` can count and read.
fn records(bytes: &[u8]) -> usize {
    let message = DomainMessage::from_octets(bytes).expect("a message");
    let counts = message.header_counts();
    let read = message.iter().filter(|record| record.is_ok()).count();
    assert_eq!(read, usize::from(counts.ancount() + counts.nscount() + counts.arcount()));
    assert!(message.question().all(|question| question.is_ok()));
    read
}

#[test]
fn at_every_size_an_rrset_is_there_whole_or_not_at_all() {
    let bytes = query(b"\x03www\x07example\x03com\0", rtype::A);
    let query = Query::parse(&bytes).unwrap();
    let (answer, authority) = (addresses(20), servers(13));
    let ecs = Ecs::parse(&[0, 1, 24, 0, 198, 51, 100]).unwrap();
    let opt = OptReply {
        udp_size: 1232,
        ecs: Some(ecs),
        scope: 20,
        nsid: Some(b"node"),
        ede: Some(Ede { code: ede::OTHER, text: "why" }),
        ..OptReply::default()
    };
    let mut out = [0xee; 1300];
    for limit in 0..=1232 {
        out.fill(0xee);
        let Some(mut writer) = Writer::new(&query, &mut out, limit) else {
            assert!(limit < 12 + query.question().len());
            continue;
        };
        writer.reserve(opt.reserved_len());
        let mut whole = [0; 3];
        let fits = writer.rrset(Section::Answer, Owner::Question, &answer.as_rrset(), None).is_ok();
        whole[0] = if fits { 20 } else { 0 };
        let fits = writer.rrset(Section::Authority, Owner::QuestionSuffix(4), &authority.as_rrset(), None).is_ok();
        whole[1] = if fits { 13 } else { 0 };
        for i in 0..13 {
            let owner = [b"\x03NS", &[b'a' + i][..], b"\x05other\x03net\0"].concat();
            whole[2] += if writer.offer(Owner::Name(&owner), &addresses(2).as_rrset()) { 2 } else { 0 };
        }
        let sections = [Section::Answer, Section::Authority, Section::Additional];
        assert_eq!(sections.map(|section| writer.count(section)), whole, "{limit}");
        let before = writer.room();
        let len = writer.finish(Some(&opt));
        assert!(len <= limit, "{limit}: {len}");
        assert!(out[limit..].iter().all(|&octet| octet == 0xee), "{limit}: written behind the limit");
        let sum = usize::from(whole.iter().sum::<u16>());
        if limit >= 33 + opt.reserved_len() {
            assert_eq!(records(&out[..len]), sum + 1, "{limit}");
            assert_eq!(out[2] & 2, 0, "nothing was required: {limit}");
            let has_error = out[..len].windows(6).any(|octets| octets == b"\0\x0f\0\x02\0\0");
            let has_text = out[..len].ends_with(b"why");
            assert_eq!((has_error, has_text), ((6..9).contains(&before), before >= 9), "{limit}");
        } else {
            assert!(records(&out[..len]) <= 1);
        }
        if limit == 1232 {
            assert_eq!(whole, [20, 13, 26]);
        }
    }
}

#[test]
fn what_did_not_fit_leaves_no_trace() {
    let mut random = Random(3);
    let bytes = query(b"\x03www\x07example\x03com\0", rtype::A);
    let query = Query::parse(&bytes).unwrap();
    let (mut tried, mut plain) = ([0; 700], [0; 700]);
    let mut refused = 0;
    for _ in 0..3_000 {
        let limit = 33 + random.below(600);
        let mut writer = Writer::new(&query, &mut tried, limit).unwrap();
        let mut again = Writer::new(&query, &mut plain, limit).unwrap();
        for section in [Section::Answer, Section::Authority, Section::Additional] {
            for _ in 0..3 {
                let (owner, rrset) = (random.name(), random.rrset());
                let owner = Owner::Name(&owner);
                let room = writer.room();
                if writer.rrset(section, owner, &rrset.as_rrset(), None).is_ok() {
                    again.rrset(section, owner, &rrset.as_rrset(), None).unwrap();
                } else {
                    assert_eq!(writer.room(), room);
                    refused += 1;
                }
            }
        }
        let (len, expected) = (writer.finish(None), again.finish(None));
        assert_eq!(tried[..len], plain[..expected]);
    }
    assert!(refused > 5_000, "{refused}");
}

#[test]
fn names_that_were_taken_back_are_not_pointed_to() {
    let bytes = query(b"\x01q\0", rtype::A);
    let query = Query::parse(&bytes).unwrap();
    let name = b"\x03www\x02ex\0";
    let mut ns = RrsetBuf::new(rtype::NS, 1);
    ns.push(name).unwrap();
    let mut both = ns.clone();
    both.push(&[&b"\x20".repeat(33)[..], &b"\x3f".repeat(64), b"\0"].concat()).unwrap();
    // Data that looks like the name, where the name was before.
    let mut null = RrsetBuf::new(rtype::NULL, 1);
    null.push(name).unwrap();
    let mut out = [0; 100];
    for is_cleared in [false, true] {
        let mut writer = Writer::new(&query, &mut out, 100).unwrap();
        if is_cleared {
            writer.rrset(Section::Answer, Owner::Question, &ns.as_rrset(), None).unwrap();
            writer.clear();
        } else {
            assert_eq!(writer.rrset(Section::Answer, Owner::Question, &both.as_rrset(), None), Err(Full));
        }
        writer.rrset(Section::Answer, Owner::Question, &null.as_rrset(), None).unwrap();
        writer.cname(Owner::Name(name), b"\0", 1).unwrap();
        let len = writer.finish(None);
        assert_eq!(out[31..39], *name, "the data");
        assert_eq!(out[39..len], [&name[..], b"\0\x05\0\x01\0\0\0\x01\0\x01\0"].concat());
    }
}

#[test]
fn rfc2181_9_what_is_required_and_does_not_fit_truncates() {
    let bytes = query(b"\x03www\x07example\x03com\0", rtype::A);
    let query = Query::parse(&bytes).unwrap();
    let opt = OptReply { udp_size: 1232, ..OptReply::default() };
    let mut out = [0; 512];
    let mut writer = Writer::new(&query, &mut out, 512).unwrap();
    writer.set_authoritative(true);
    writer.reserve(opt.reserved_len());
    writer.require(Section::Answer, Owner::Question, &addresses(1).as_rrset(), None).unwrap();
    let many = addresses(60);
    assert_eq!(writer.require(Section::Authority, Owner::Question, &many.as_rrset(), None), Err(Full));
    assert!(writer.is_truncated());
    assert!(!writer.offer(Owner::Question, &addresses(1).as_rrset()), "nothing is added afterwards");
    let len = writer.finish(Some(&opt));
    let expected = message(0x8700, [1, 0, 0, 1], &[query.question(), b"\0\0\x29\x04\xd0\0\0\0\0\0\0"]);
    assert_eq!(out[..len], expected);
}

#[test]
fn what_did_not_fit_does_not_open_its_section() {
    let bytes = query(b"\x01q\0", rtype::A);
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 100];
    let mut writer = Writer::new(&query, &mut out, 100).unwrap();
    assert!(!writer.offer(Owner::Question, &addresses(60).as_rrset()));
    writer.rrset(Section::Answer, Owner::Question, &addresses(1).as_rrset(), None).unwrap();
    assert_eq!((writer.count(Section::Answer), writer.count(Section::Additional)), (1, 0));
}

#[test]
fn an_opt_for_which_nothing_was_reserved_comes_before_the_body() {
    let bytes = query(b"\x01q\0", rtype::A);
    let query = Query::parse(&bytes).unwrap();
    let mut out = [0; 19 + 16 + 10];
    let mut writer = Writer::new(&query, &mut out, 512).unwrap();
    writer.rrset(Section::Answer, Owner::Question, &addresses(1).as_rrset(), None).unwrap();
    let len = writer.finish(Some(&OptReply::default()));
    assert_eq!((len, out[2], out[11]), (30, 0x83, 1));
}

#[test]
fn counts_never_overflow() {
    let bytes = query(b"\0", rtype::A);
    let query = Query::parse(&bytes).unwrap();
    let mut out = vec![0; 70_000];
    let mut writer = Writer::new(&query, &mut out, usize::MAX).unwrap();
    let empty = crate::wire::RrsetRef { rtype: rtype::TXT, ttl: 0, count: 40_000, records: &[] };
    // Records that are not there, from the fast path's view: what counts is the bound.
    let bytes = super::query(b"\x01q\0", rtype::A);
    let named = Query::parse(&bytes).unwrap();
    let mut other = vec![0; 100];
    let mut liar = Writer::new(&named, &mut other, 100).unwrap();
    let mut add = |count| {
        let rrset = crate::wire::RrsetRef { count, ..empty };
        liar.rrset(Section::Additional, Owner::Question, &rrset, None)
    };
    assert_eq!(add(40_000), Ok(()));
    assert_eq!(add(40_000), Err(Full));
    assert_eq!(add(25_535), Err(Full), "there is a place for OPT");
    assert_eq!(add(25_534), Ok(()));
    assert_ne!(liar.finish(Some(&OptReply::default())), 0);
    // The most that TCP can carry.
    let mut null = RrsetBuf::new(rtype::NULL, 0);
    for _ in 0..5_000 {
        null.push(&[]).unwrap();
    }
    writer.rrset(Section::Answer, Owner::Question, &null.as_rrset(), None).unwrap();
    let len = writer.finish(None);
    assert_eq!(records(&out[..len]), 5_000);
    let huge = message(0, [1, 0, 0, 0], &[&question(b"\0", 1)]);
    let query = Query::parse(&huge).unwrap();
    assert!(Writer::new(&query, &mut out[..16], usize::MAX).is_none());
}
