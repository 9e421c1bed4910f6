//! Malformed messages, one by one: the table in `query.rs`.

use super::{message, opt, query, question};
use crate::wire::types::{rcode, rtype};
use crate::wire::{ErrorReply, Query, Reject};

#[derive(Debug, PartialEq)]
enum Verdict {
    Accept,
    Drop,
    /// rcode, question in the reply, OPT in the reply.
    Reply(u16, bool, bool),
}
use Verdict::{Accept, Drop, Reply};

fn verdict(bytes: &[u8]) -> Verdict {
    match Query::parse(bytes) {
        Ok(_) => Accept,
        Err(Reject::Drop) => Drop,
        Err(Reject::Reply(ErrorReply { rcode, question, edns, .. })) => {
            Reply(rcode, question.is_some(), edns.is_some())
        }
    }
}

const FORMERR: Verdict = Reply(rcode::FORMERR, true, false);
const FORMERR_BARE: Verdict = Reply(rcode::FORMERR, false, false);
const FORMERR_OPT: Verdict = Reply(rcode::FORMERR, true, true);

#[test]
fn what_can_not_be_answered_is_dropped() {
    for len in 0..12 {
        assert_eq!(verdict(&query(b"\0", 1)[..len]), Drop);
    }
    assert_eq!(verdict(&message(0x8000, [1, 0, 0, 0], &[&question(b"\0", 1)])), Drop);
    assert_eq!(verdict(&message(0xa800, [0; 4], &[])), Drop, "a reply to something else");
}

#[test]
fn other_opcodes_are_not_implemented() {
    for opcode in 1..16 {
        let bytes = message(opcode << 11 | 0x0100, [1, 0, 0, 0], &[&question(b"\0", rtype::SOA)]);
        assert_eq!(verdict(&bytes), Reply(rcode::NOTIMP, false, false));
        assert_eq!(verdict(&bytes[..12]), Reply(rcode::NOTIMP, false, false));
    }
}

#[test]
fn rfc9619_there_is_exactly_one_question() {
    let one = question(b"\x01a\0", 1);
    assert_eq!(verdict(&message(0, [0, 0, 0, 0], &[])), FORMERR_BARE);
    assert_eq!(verdict(&message(0, [0, 0, 0, 1], &[&opt(0, &[])])), Reply(rcode::FORMERR, false, true));
    assert_eq!(verdict(&message(0, [2, 0, 0, 0], &[&one, &one])), FORMERR_BARE);
    assert_eq!(verdict(&message(0, [1, 0, 0, 0], &[&one])), Accept);
}

#[test]
fn rfc1035_4_1_2_a_question_that_can_not_be_read_is_not_returned() {
    let whole = query(b"\x03www\x07example\0", 1);
    for len in 12..whole.len() {
        assert_eq!(verdict(&whole[..len]), FORMERR_BARE, "{len}");
    }
    let long = [&b"\x01x".repeat(127)[..], b"\x01x\0"].concat();
    for name in [&b"\xc0\x0c"[..], b"\xc0\x04", b"\x40a\0", b"\x80a\0", b"\x01a\xc0\x0c", &long] {
        assert_eq!(verdict(&query(name, 1)), FORMERR_BARE, "{name:?}");
    }
    assert_eq!(verdict(&query(&[&b"\x01x".repeat(127)[..], b"\0"].concat(), 1)), Accept);
}

#[test]
fn flags_that_mean_nothing_in_a_query_are_ignored() {
    for bit in [0x0400, 0x0200, 0x0080, 0x0040, 0x0020, 0x0010, 0x0005] {
        assert_eq!(verdict(&message(bit, [1, 0, 0, 0], &[&question(b"\0", 1)])), Accept);
    }
}

#[test]
fn queries_hold_no_answers() {
    let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04";
    let question = question(b"\x01a\0", 1);
    assert_eq!(verdict(&message(0, [1, 1, 0, 0], &[&question, record])), FORMERR);
    assert_eq!(verdict(&message(0, [1, 0, 1, 0], &[&question, record])), FORMERR);
    assert_eq!(verdict(&message(0, [1, 0, 0, 1], &[&question, record])), FORMERR);
    assert_eq!(verdict(&message(0, [1, 0, 0, 2], &[&question, &opt(0, &[]), record])), FORMERR_OPT);
    assert_eq!(verdict(&message(0, [1, 0, 0, 1], &[&question])), FORMERR, "promised, not there");
    assert_eq!(verdict(&message(0, [1, 0, 0, 65_535], &[&question, &opt(0, &[])])), FORMERR_OPT);
}

#[test]
fn octets_behind_the_last_record_are_an_error() {
    let question = question(b"\x01a\0", 1);
    assert_eq!(verdict(&message(0, [1, 0, 0, 0], &[&question, b"\0"])), FORMERR);
    assert_eq!(verdict(&message(0, [1, 0, 0, 1], &[&question, &opt(0, &[]), b"\0"])), FORMERR_OPT);
    assert_eq!(verdict(&message(0, [1, 0, 0, 0], &[&question, &opt(0, &[])])), FORMERR, "not counted");
}

#[test]
fn rfc6891_6_1_there_is_one_opt_at_the_root() {
    let question = question(b"\x01a\0", 1);
    let one = opt(0, &[]);
    let ask = |records: &[&[u8]]| {
        let body = [&[&question[..]], records].concat();
        verdict(&message(0, [1, 0, 0, records.len() as u16], &body))
    };
    assert_eq!(ask(&[&one]), Accept);
    assert_eq!(ask(&[&one, &one]), FORMERR_OPT);
    assert_eq!(ask(&[&[b"\x01a", &one[..]].concat()]), FORMERR, "an owner");
    assert_eq!(ask(&[&[b"\xc0\x0e", &one[1..]].concat()]), FORMERR, "a pointer to the root");
    for len in 0..one.len() {
        assert_eq!(ask(&[&one[..len]]), FORMERR, "{len}");
    }
}

#[test]
fn rfc6891_6_1_2_options_end_where_rdata_ends() {
    let ask = |options: &[u8]| verdict(&message(0, [1, 0, 0, 1], &[&question(b"\x01a\0", 1), &opt(0, options)]));
    assert_eq!(ask(&[0xfd, 0xe9, 0, 2, 1, 2]), Accept, "an unknown option");
    assert_eq!(ask(&[0, 3, 0, 0, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]), Accept);
    for options in [&[0][..], &[0, 3, 0], &[0, 3, 0, 1], &[0xfd, 0xe9, 0, 2, 1], &[0, 3, 0, 0, 9]] {
        assert_eq!(ask(options), FORMERR_OPT, "{options:?}");
    }
}

#[test]
fn rfc7871_7_1_2_a_malformed_or_second_subnet_is_an_error() {
    let ask = |options: &[u8]| verdict(&message(0, [1, 0, 0, 1], &[&question(b"\x01a\0", 1), &opt(0, options)]));
    let good = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    assert_eq!(ask(&good), Accept);
    assert_eq!(ask(&[good, good].concat()), FORMERR_OPT);
    assert_eq!(ask(&[0, 8, 0, 7, 0, 1, 24, 24, 192, 0, 2]), FORMERR_OPT);
    assert_eq!(ask(&[0, 8, 0, 4, 0, 0, 0, 0]), Accept);
}

#[test]
fn meta_types_and_classes_are_the_callers_to_decide() {
    for qtype in [0, rtype::OPT, rtype::TSIG, rtype::AXFR, rtype::ANY, 65_535] {
        assert_eq!(verdict(&query(b"\x01a\0", qtype)), Accept);
        assert!(rtype::is_meta(qtype) || qtype == 65_535);
    }
}

#[test]
fn an_error_reply_is_a_message() {
    let bytes = message(0x0110, [1, 0, 0, 1], &[&question(b"\x01A\0", 1), &opt(0, &[0])]);
    let Err(Reject::Reply(error)) = Query::parse(&bytes) else { panic!("malformed") };
    let mut out = [0xee; 512];
    let len = error.write(&mut out, 1400);
    let expected = message(0x8101, [1, 0, 0, 1], &[&question(b"\x01A\0", 1), b"\0\0\x29\x05\x78\0\0\x80\0\0\0"]);
    assert_eq!(out[..len], expected);
    for size in 0..expected.len() {
        let len = error.write(&mut out[..size], 1400);
        assert_eq!(len == 0, size < 12, "{size}");
        assert!(len <= size);
        assert!(len == 0 || hickory_proto::op::Message::from_vec(&out[..len]).is_ok(), "{size}");
    }
    let bytes = message(0x2900, [0; 4], &[]);
    let Err(Reject::Reply(error)) = Query::parse(&bytes) else { panic!("an update") };
    assert_eq!(error.write(&mut out, 1400), 12);
    assert_eq!(out[..12], message(0xa904, [0; 4], &[]));
}
