//! Reading a query.
//!
//! Nothing is copied but the name, which is needed folded. What is malformed is decided here, once, as
//! the peers decide it (NSD 4.x `query.c`, `packet.c`, `edns.c`; Knot DNS 3.x `libknot/packet/pkt.c`,
//! `process_query.c`). Where they differ we take the stricter, unless the message is harmless:
//!
//! | message | NSD | Knot | here |
//! |---|---|---|---|
//! | shorter than a header; QR set | drops | drops | drops |
//! | opcode other than QUERY | NOTIMP, header only (NOTIFY is served) | NOTIMP with the question (NOTIFY, UPDATE are served) | NOTIMP, header only: another opcode may give the rest another meaning |
//! | RCODE not 0 | FORMERR | ignored | ignored: it means nothing in a query |
//! | TC, AA, RA, AD, CD, Z set | ignored | ignored | ignored |
//! | QDCOUNT 0 | FORMERR; NOERROR with OPT if that is all there is | FORMERR with OPT; drops other octets | FORMERR (RFC 9619), with OPT if that is all there is |
//! | QDCOUNT over 1 | FORMERR, header only | drops | FORMERR, header only (RFC 9619) |
//! | question cut short, name over 255, label types 0x40 and 0x80, pointer in QNAME | FORMERR, header only | drops | FORMERR, header only |
//! | ANCOUNT not 0 | FORMERR | read and ignored | FORMERR |
//! | NSCOUNT not 0 | FORMERR, but for IXFR | read and ignored | FORMERR, but for one record with IXFR (RFC 1995 §3) |
//! | two OPT records | FORMERR | FORMERR | FORMERR (RFC 6891 §6.1.1) |
//! | OPT whose owner is not the root | FORMERR (an unknown record) | accepted | FORMERR (RFC 6891 §6.1.2) |
//! | options that run past RDLENGTH, or leave octets over | FORMERR | FORMERR | FORMERR, with OPT |
//! | malformed client subnet | not read | not read, unless it is enabled | FORMERR with OPT (RFC 7871 §7.1.2) |
//! | EDNS version not 0 | BADVERS, options not read | BADVERS | [`Edns::version`] says so, options not read |
//! | TSIG not last, or twice | FORMERR | FORMERR | FORMERR (RFC 8945 §5.1) |
//! | TSIG last | verified, NOTAUTH | verified, NOTAUTH | [`Query::has_tsig`] says so |
//! | other additional records (SIG(0) too) | FORMERR | ignored | FORMERR |
//! | octets behind the last record | cut off | FORMERR | FORMERR |
//! | QTYPE 0, OPT, TSIG and other meta-types | looked up: no data | 0: NOTIMP, others looked up | well-formed: the caller's to decide ([`super::types::rtype::is_meta`]) |
//! | FORMERR when the question could be read | header only | with the question | with the question: resolvers match replies by it |
//!
//! CD in the reply is 0, as with both peers: an authoritative server checks nothing.

use super::edns::Edns;
use super::qname::QName;
use super::reject::{ErrorReply, Reject};
use super::types::{class, opcode, rcode, rtype};
use super::{HEADER_LEN, name};
use crate::limits::UDP_RESPONSE_LEN_MIN;

/// The second word of the header (RFC 1035 §4.1.1, RFC 4035 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    const QR: u16 = 0x8000;
    const OPCODE: u16 = 0x7800;
    pub(super) const AA: u16 = 0x0400;
    pub(super) const TC: u16 = 0x0200;
    const RD: u16 = 0x0100;
    const AD: u16 = 0x0020;
    const CD: u16 = 0x0010;

    /// OPCODE.
    pub fn opcode(self) -> u16 {
        (self.0 & Flags::OPCODE) >> 11
    }

    /// QR: it is a reply.
    pub fn is_reply(self) -> bool {
        self.0 & Flags::QR != 0
    }

    /// TC: truncated; meaningless in a query.
    pub fn is_truncated(self) -> bool {
        self.0 & Flags::TC != 0
    }

    /// RD: recursion desired.
    pub fn recursion_desired(self) -> bool {
        self.0 & Flags::RD != 0
    }

    /// AD: the client would understand it in a reply (RFC 6840 §5.7).
    pub fn authentic_data(self) -> bool {
        self.0 & Flags::AD != 0
    }

    /// CD: checking disabled.
    pub fn checking_disabled(self) -> bool {
        self.0 & Flags::CD != 0
    }

    /// The flags of a reply: QR, opcode and RD; the rest 0, RCODE included.
    pub(super) fn reply(self) -> u16 {
        Flags::QR | self.0 & (Flags::OPCODE | Flags::RD)
    }
}

/// A well-formed query with one question.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// Header and question.
    head: &'a [u8],
    id: u16,
    flags: Flags,
    qtype: u16,
    qclass: u16,
    has_tsig: bool,
    edns: Option<Edns<'a>>,
    qname: QName,
}

impl<'a> Query<'a> {
    /// Nothing yet, to be filled.
    #[inline]
    pub fn blank() -> Query<'a> {
        Query {
            head: &[],
            id: 0,
            flags: Flags(0),
            qtype: 0,
            qclass: 0,
            has_tsig: false,
            edns: None,
            qname: QName::blank(),
        }
    }

    /// Reads a message of whatever length. This module's documentation says what is accepted.
    pub fn parse(bytes: &'a [u8]) -> Result<Query<'a>, Reject<'a>> {
        let mut query = Query::blank();
        query.fill(bytes).map(|()| query)
    }

    /// Makes [`Query::blank`] the query in `bytes`, as [`Query::parse`] would; nothing of use after an error. In
    /// place, because copying 330 octets costs as much as reading a query.
    #[inline(never)] // what its caller holds would be in its way
    pub fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Reject<'a>> {
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Err(Reject::Drop) };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        (self.id, self.flags) = (word(0), Flags(word(2)));
        if self.flags.is_reply() {
            return Err(Reject::Drop);
        }
        if self.flags.opcode() != opcode::QUERY {
            return Err(self.error(rcode::NOTIMP));
        }
        let counts @ [questions, answers, authorities, additionals] = [word(4), word(6), word(8), word(10)];
        if questions != 1 {
            return Err(self.question_count_error(bytes, counts));
        }
        let Some(name_len) = self.qname.fill(body) else { return Err(self.error(rcode::FORMERR)) };
        let question_end = HEADER_LEN + name_len + 4;
        let Some(head) = bytes.get(..question_end) else { return Err(self.error(rcode::FORMERR)) };
        self.head = head;
        let [type_high, type_low, class_high, class_low] = *head.last_chunk().unwrap_or(&[0; 4]);
        self.qtype = u16::from_be_bytes([type_high, type_low]);
        self.qclass = u16::from_be_bytes([class_high, class_low]);
        let additional_at = match (answers, authorities) {
            (0, 0) => Some(question_end),
            (0, 1) if self.qtype == rtype::IXFR => Record::read(bytes, question_end).map(|soa| soa.end),
            _ => None,
        };
        match additional_at {
            Some(at) if self.read_additional(bytes, at, additionals) => Ok(()),
            _ => Err(self.error(rcode::FORMERR)),
        }
    }

    /// Reads `count` records from `at` to the very end. When that fails, OPT is kept if it was readable.
    #[inline(always)] // 20 instructions of each query's
    fn read_additional(&mut self, bytes: &'a [u8], mut at: usize, count: u16) -> bool {
        for left in (0..count).rev() {
            let Some(record) = Record::read(bytes, at) else { return false };
            let is_root = record.body == at + 1;
            at = record.end;
            match record.rtype {
                rtype::OPT if is_root && self.edns.is_none() => {
                    let edns = self.edns.insert(Edns::new(record.class, record.ttl));
                    if !record.rdata.is_empty() && !edns.read_options(record.rdata) {
                        return false;
                    }
                }
                rtype::TSIG if left == 0 && record.class == class::ANY && record.ttl == [0; 4] => {
                    self.has_tsig = true;
                }
                _ => return false,
            }
        }
        at == bytes.len()
    }

    /// What to say when there is not one question: with OPT, if that is all there is.
    #[cold]
    fn question_count_error(&mut self, bytes: &'a [u8], counts: [u16; 4]) -> Reject<'a> {
        if counts != [0, 0, 0, 1] || !self.read_additional(bytes, HEADER_LEN, 1) {
            self.edns = None;
        }
        self.error(rcode::FORMERR)
    }

    /// What to say when reading ends here.
    #[cold]
    fn error(&self, rcode: u16) -> Reject<'a> {
        let question = Some(self.question()).filter(|question| !question.is_empty());
        Reject::Reply(ErrorReply { id: self.id, flags: self.flags, rcode, question, edns: self.edns })
    }

    /// The message's id.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The header's flags. The opcode is QUERY.
    pub fn flags(&self) -> Flags {
        self.flags
    }

    /// The name asked for, in lower case.
    pub fn qname(&self) -> &QName {
        &self.qname
    }

    /// QTYPE.
    pub fn qtype(&self) -> u16 {
        self.qtype
    }

    /// QCLASS.
    pub fn qclass(&self) -> u16 {
        self.qclass
    }

    /// The question as it came: name (case kept), type, class.
    pub fn question(&self) -> &'a [u8] {
        self.head.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Header and question, as they came.
    pub(super) fn head(&self) -> &'a [u8] {
        self.head
    }

    /// The OPT record, if there was one.
    pub fn edns(&self) -> Option<&Edns<'a>> {
        self.edns.as_ref()
    }

    /// True when the query was signed with TSIG. We share no keys, so the answer is NOTAUTH
    /// (RFC 8945 §5.2.1).
    pub fn has_tsig(&self) -> bool {
        self.has_tsig
    }

    /// How long a UDP reply may be: what the client takes (512 without EDNS, and at least that), but not
    /// more than `ours`.
    pub fn udp_response_len_max(&self, ours: usize) -> usize {
        let theirs = self.edns.map_or(UDP_RESPONSE_LEN_MIN, |edns| usize::from(edns.udp_size));
        theirs.max(UDP_RESPONSE_LEN_MIN).min(ours)
    }
}

/// One record of a query, where it lies.
struct Record<'a> {
    /// Behind the owner's name.
    body: usize,
    rtype: u16,
    class: u16,
    ttl: [u8; 4],
    rdata: &'a [u8],
    end: usize,
}

impl<'a> Record<'a> {
    #[inline]
    fn read(bytes: &'a [u8], at: usize) -> Option<Record<'a>> {
        // OPT's owner is the root, and few queries hold any other record.
        let owner_len = if *bytes.get(at)? == 0 { 1 } else { owner_len(bytes, at)? };
        let body = at + owner_len;
        let head: &[u8; 10] = bytes.get(body..)?.first_chunk()?;
        let rdata_at = body + head.len();
        let end = rdata_at + usize::from(u16::from_be_bytes([head[8], head[9]]));
        Some(Record {
            body,
            rtype: u16::from_be_bytes([head[0], head[1]]),
            class: u16::from_be_bytes([head[2], head[3]]),
            ttl: [head[4], head[5], head[6], head[7]],
            rdata: bytes.get(rdata_at..end)?,
            end,
        })
    }
}

/// Octets of an owner's name that may end in a pointer. Where that leads nobody asks: it must only lead
/// backwards.
fn owner_len(bytes: &[u8], at: usize) -> Option<usize> {
    let name = bytes.get(at..)?;
    if let Some(len) = name::wire_len(name) {
        return Some(len);
    }
    let mut len = 0;
    loop {
        let octet = *name.get(len)?;
        match octet {
            1..=63 => len += 1 + usize::from(octet),
            0xc0.. => {
                let target = usize::from(u16::from_be_bytes([octet & 0x3f, *name.get(len + 1)?]));
                let is_backwards = (HEADER_LEN..at).contains(&target) && len < crate::limits::NAME_LEN_MAX;
                return is_backwards.then_some(len + 2);
            }
            _ => return None,
        }
    }
}
