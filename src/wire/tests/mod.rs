//! Tests of the whole room: against other libraries, against the letter of the RFCs, against noise.
//!
//! Randomness is deterministic, so a failure comes back.

mod limits;
mod malformed;
mod mutation;
mod queries;
mod replies;

use super::types::rtype;
use super::{RrsetBuf, name};

/// SplitMix64: small, and good enough to make messages from.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// A name out of few labels, so that suffixes are often shared, with letters' case at random.
    fn name(&mut self) -> Vec<u8> {
        const LABELS: [&[u8]; 9] = [
            b"example",
            b"com",
            b"net",
            b"ns1",
            b"www",
            b"a",
            b"*",
            b"x\x01a",
            b"a-label-that-is-as-long-as-labels-can-be-which-is-63-octets-long",
        ];
        let mut wire = Vec::new();
        for _ in 0..self.below(6) {
            let label = *self.pick(&LABELS);
            let label = &label[..label.len().min(63)];
            if wire.len() + label.len() + 2 > 255 {
                break;
            }
            wire.push(label.len() as u8);
            wire.extend(label.iter().map(|octet| match self.chance(3) {
                true => octet.to_ascii_uppercase(),
                false => *octet,
            }));
        }
        wire.push(0);
        assert!(name::is_wire(&wire));
        wire
    }

    /// RDATA that is right for its type.
    fn rdata(&mut self, rtype: u16) -> Vec<u8> {
        match rtype {
            rtype::A => self.octets(4),
            rtype::AAAA => self.octets(16),
            rtype::NS | rtype::CNAME | rtype::PTR | rtype::DNAME => self.name(),
            rtype::MX => [self.octets(2), self.name()].concat(),
            rtype::SRV => [self.octets(6), self.name()].concat(),
            rtype::SOA => [self.name(), self.name(), self.octets(20)].concat(),
            rtype::TXT => {
                let len = self.below(80);
                [vec![len as u8], vec![b'T'; len]].concat()
            }
            _ => {
                let len = 1 + self.below(40); // hickory-proto takes no empty RDATA
                self.octets(len)
            }
        }
    }

    fn rrset(&mut self) -> RrsetBuf {
        let types = [
            rtype::A,
            rtype::AAAA,
            rtype::NS,
            rtype::CNAME,
            rtype::PTR,
            rtype::DNAME,
            rtype::MX,
            rtype::SRV,
            rtype::SOA,
            rtype::TXT,
            1234,
        ];
        let rtype = *self.pick(&types);
        let mut rrset = RrsetBuf::new(rtype, self.below(100_000) as u32);
        for _ in 0..1 + self.below(4) {
            let rdata = self.rdata(rtype);
            rrset.push(&rdata).expect("made to be right");
        }
        rrset
    }
}

/// A query as bytes: `counts` are QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT.
fn message(flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34];
    message.extend(flags.to_be_bytes());
    message.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    message.extend(body.concat());
    message
}

/// A question.
fn question(name: &[u8], qtype: u16) -> Vec<u8> {
    [name, &qtype.to_be_bytes(), &[0, 1]].concat()
}

/// A plain query.
fn query(name: &[u8], qtype: u16) -> Vec<u8> {
    message(0x0100, [1, 0, 0, 0], &[&question(name, qtype)])
}

/// An OPT record: 1232 octets, DO, `options` already in wire form.
fn opt(version: u8, options: &[u8]) -> Vec<u8> {
    let mut opt = vec![0, 0, 41, 4, 0xd0, 0, version, 0x80, 0];
    opt.extend((options.len() as u16).to_be_bytes());
    opt.extend(options);
    opt
}
