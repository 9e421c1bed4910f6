//! Questions: well-formed ones from the zones' own names and their surroundings, and every way of getting a
//! message wrong.

use std::fmt;

use meridian::wire::name::Shown;
use meridian::wire::types::{ClassName, TypeName};

use crate::message::{AA, AD, CD, OPCODE, QR, RA, RD, TC};
use crate::random::Random;
use crate::zone::ZoneText;

/// OPT of a question.
#[derive(Clone, Debug)]
pub(crate) struct EdnsAsk {
    pub(crate) udp_size: u16,
    pub(crate) version: u8,
    pub(crate) flags: u16,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

/// A well-formed question.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// In wire form.
    pub(crate) name: Vec<u8>,
    pub(crate) qtype: u16,
    pub(crate) qclass: u16,
    /// The header's second word.
    pub(crate) flags: u16,
    pub(crate) edns: Option<EdnsAsk>,
}

impl Ask {
    /// Class IN, no flags, no EDNS.
    pub(crate) fn new(name: &str, qtype: u16) -> Ask {
        Ask { name: wire(name), qtype, qclass: 1, flags: 0, edns: None }
    }

    pub(crate) fn question(&self) -> Vec<u8> {
        [&self.name[..], &self.qtype.to_be_bytes(), &self.qclass.to_be_bytes()].concat()
    }

    pub(crate) fn message(&self, id: u16) -> Vec<u8> {
        let mut message = id.to_be_bytes().to_vec();
        message.extend(self.flags.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())]);
        message.extend(self.question());
        if let Some(edns) = &self.edns {
            message.extend(opt(edns));
        }
        message
    }
}

/// The OPT record, owner and all.
fn opt(edns: &EdnsAsk) -> Vec<u8> {
    let mut options = Vec::new();
    for (code, data) in &edns.options {
        options.extend(code.to_be_bytes());
        options.extend((data.len() as u16).to_be_bytes());
        options.extend(data);
    }
    let mut record = vec![0, 0, 41];
    record.extend(edns.udp_size.to_be_bytes());
    record.extend([0, edns.version]);
    record.extend(edns.flags.to_be_bytes());
    record.extend((options.len() as u16).to_be_bytes());
    record.extend(options);
    record
}

/// A name in presentation form without escapes, in wire form.
pub(crate) fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// A message to send, and what it is.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) message: Vec<u8>,
    /// What it asks, or asked before it was spoilt.
    pub(crate) ask: Ask,
    /// How it was spoilt; empty: it is well-formed.
    pub(crate) twist: &'static str,
}

impl Case {
    /// A well-formed one.
    pub(crate) fn of(ask: Ask) -> Case {
        Case { message: ask.message(0), ask, twist: "" }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ask = &self.ask;
        let (name, class) = (Shown(&ask.name), ClassName(ask.qclass));
        write!(to, "{name} {class} {} flags {:#06x}", TypeName(ask.qtype), ask.flags)?;
        if let Some(edns) = &ask.edns {
            write!(to, " EDNS {} v{} {:#06x}", edns.udp_size, edns.version, edns.flags)?;
            for (code, data) in &edns.options {
                write!(to, " option {code} {data:02x?}")?;
            }
        }
        if !self.twist.is_empty() { write!(to, " [{}]", self.twist) } else { Ok(()) }
    }
}

const NSID: u16 = 3;
const ECS: u16 = 8;
const COOKIE: u16 = 10;

/// Types asked for: those of the zones, those that a server treats apart, and some that nobody has.
const TYPES: &[u16] = &[
    1, 2, 5, 6, 12, 13, 14, 15, 16, 17, 18, 21, 28, 29, 33, 35, 36, 37, 39, 41, 43, 44, 46, 47, 48, 49, 50, 51, 52, 59,
    60, 61, 64, 65, 99, 108, 249, 250, 253, 254, 255, 256, 257, 0, 128, 1000, 65_280, 65_281, 65_535,
];

/// Those that decide something in the look-up, for every name.
const EACH: &[u16] = &[1, 2, 5, 6, 15, 16, 28, 39, 43, 255, 65_280];

/// All cases over these zones.
pub(crate) fn cases(zones: &[ZoneText], seed: u64) -> Vec<Case> {
    let mut random = Random(seed);
    let mut cases = Vec::new();
    let names: Vec<Vec<u8>> = zones.iter().flat_map(|zone| surroundings(zone, &mut random)).collect();
    for name in &names {
        for &qtype in EACH.iter().skip(random.below(2)).step_by(2) {
            cases.push(plain(vary(name, &mut random), qtype, &mut random));
        }
        for _ in 0..2 {
            let qtype = *random.pick(TYPES);
            cases.push(plain(vary(name, &mut random), qtype, &mut random));
        }
    }
    for zone in zones {
        for name in &zone.owners {
            for &size in &[0, 512, 513, 1232, 1452, 4096, 65_535] {
                let mut ask = Ask { name: name.clone(), qtype: *random.pick(EACH), qclass: 1, flags: 0, edns: None };
                if zone.is_big {
                    ask.qtype = *random.pick(&zone.types);
                }
                if size != 0 {
                    ask.edns = Some(EdnsAsk { udp_size: size, version: 0, flags: 0, options: Vec::new() });
                }
                cases.push(Case::of(ask));
            }
        }
    }
    for _ in 0..1500 {
        let name = vary(&names[random.below(names.len())], &mut random);
        let ask = plain(name, *random.pick(TYPES), &mut random).ask;
        cases.push(unusual(ask, &mut random));
    }
    for round in 0..12 {
        for &(twist, spoil) in TWISTS {
            let name = random.pick(&names).clone();
            let mut ask = Ask { name, qtype: *random.pick(&[1, 6, 255]), qclass: 1, flags: 0, edns: None };
            if round % 2 == 0 {
                ask.edns = Some(EdnsAsk { udp_size: 1232, version: 0, flags: 0, options: Vec::new() });
            }
            let mut message = ask.message(0);
            spoil(&mut message, &mut ask, &mut random);
            cases.push(Case { message, ask, twist });
        }
    }
    cases
}

/// A zone's names, what is above, below and beside them, and names that its records lead to.
fn surroundings(zone: &ZoneText, random: &mut Random) -> Vec<Vec<u8>> {
    let mut names = zone.owners.clone();
    let apex = wire(&zone.origin);
    for owner in zone.owners.clone() {
        let below = |label: &[u8]| -> Option<Vec<u8>> {
            (owner.len() + label.len() < 255).then(|| [&[label.len() as u8], label, &owner[..]].concat())
        };
        let labels: [&[u8]; 5] = [b"x", b"*", b"www", b"made", b"\x00\xff"];
        names.extend(below(labels[random.below(labels.len())]));
        names.extend(below(b"y").filter(|_| random.chance(2)).map(|below| [&b"\x01z"[..], &below].concat()));
        // Beside it: its first label changed; above it: its ancestors.
        let mut beside = owner.clone();
        if let Some(octet) = beside.get_mut(1) {
            *octet = octet.wrapping_add(1);
            names.push(beside);
        }
        let mut at = 0;
        while owner.len() - at > apex.len() {
            at += 1 + usize::from(owner[at]);
            names.push(owner[at..].to_vec());
        }
    }
    names.extend(zone.targets.clone());
    if let Some(len) = apex.first() {
        names.push(apex[1 + usize::from(*len)..].to_vec());
    }
    let long = [&[63; 64][..], &[63; 64], &[63; 64]].concat();
    names.push([&long[..255_usize.saturating_sub(apex.len()) / 64 * 64], &apex].concat());
    names.retain(|name| name.len() <= 255);
    names.sort();
    names.dedup();
    names
}

/// The name, at times with the case of its letters changed.
fn vary(name: &[u8], random: &mut Random) -> Vec<u8> {
    let mut name = name.to_vec();
    if random.chance(3) {
        let mut at = 0;
        while name[at] != 0 {
            let end = at + 1 + usize::from(name[at]);
            for octet in &mut name[at + 1..end] {
                if octet.is_ascii_alphabetic() && random.chance(2) {
                    *octet ^= 0x20;
                }
            }
            at = end;
        }
    }
    name
}

fn plain(name: Vec<u8>, qtype: u16, random: &mut Random) -> Case {
    let mut ask = Ask { name, qtype, qclass: 1, flags: 0, edns: None };
    if random.chance(3) {
        ask.flags |= RD;
    }
    if random.chance(2) {
        let udp_size = *random.pick(&[0, 511, 512, 1000, 1232, 1400, 4096, 9000]);
        let flags = if random.chance(3) { 0x8000 } else { 0 };
        ask.edns = Some(EdnsAsk { udp_size, version: 0, flags, options: Vec::new() });
    }
    Case::of(ask)
}

/// Everything that is allowed and seldom seen.
fn unusual(mut ask: Ask, random: &mut Random) -> Case {
    let edns = || EdnsAsk { udp_size: 1232, version: 0, flags: 0, options: Vec::new() };
    match random.below(10) {
        0 => ask.qclass = *random.pick(&[2, 3, 4, 254, 255, 0, 65_280]),
        1 => ask.flags |= *random.pick(&[TC, AD, CD, AA, RA, 0x40, AD | CD | RD]),
        2 => ask.edns.get_or_insert_with(edns).version = *random.pick(&[1, 2, 255]),
        3 => ask.edns.get_or_insert_with(edns).options.push((NSID, Vec::new())),
        4 => {
            let code = *random.pick(&[4, 5, 9, 11, 12, 14, 15, 20, 65_001, 65_535]);
            let len = random.below(9);
            ask.edns.get_or_insert_with(edns).options.push((code, random.octets(len)));
        }
        5 => {
            let options = &mut ask.edns.get_or_insert_with(edns).options;
            // NSID once: asked twice, NSD 4.6 writes an OPT that announces more than it holds.
            options.extend([(65_002, Vec::new()), (NSID, Vec::new()), (65_001, random.octets(3))]);
        }
        6 => {
            let subnet: &[u8] = random.pick::<&[u8]>(&[
                &[0, 1, 24, 0, 192, 0, 2],
                &[0, 1, 0, 0],
                &[0, 2, 48, 0, 0x20, 1, 0xd, 0xb8, 0, 1],
                &[0, 1, 32, 0, 10, 1, 2, 3],
            ]);
            ask.edns.get_or_insert_with(edns).options.push((ECS, subnet.to_vec()));
        }
        7 => ask.edns.get_or_insert_with(edns).options.push((COOKIE, random.octets(8))),
        8 => {
            ask.qclass = 3;
            ask.qtype = *random.pick(&[16, 255, 1, 6]);
            ask.name = wire(random.pick::<&str>(&[
                "version.bind",
                "VERSION.Server",
                "id.server",
                "hostname.bind",
                "authors.bind",
                "bind",
                "example.test",
            ]));
        }
        _ => ask.edns.get_or_insert_with(edns).flags = *random.pick(&[0x8000, 0x4000, 0x0001, 0xffff]),
    }
    Case::of(ask)
}

type Spoil = fn(&mut Vec<u8>, &mut Ask, &mut Random);

/// Ways of getting a message wrong.
const TWISTS: &[(&str, Spoil)] = &[
    ("shorter than a header", |message, _, random| message.truncate(random.below(12))),
    ("a header alone that announces a question", |message, _, _| message.truncate(12)),
    ("QR set", |message, _, _| message[2] |= (QR >> 8) as u8),
    ("another opcode", |message, ask, random| {
        let opcode = *random.pick(&[1, 2, 3, 6, 15]);
        ask.flags |= opcode << 11 & OPCODE;
        message[2] |= (opcode << 3) as u8;
    }),
    ("NOTIFY", |message, ask, _| {
        ask.flags |= 4 << 11;
        message[2] |= 4 << 3;
    }),
    ("UPDATE", |message, ask, _| {
        ask.flags |= 5 << 11;
        message[2] |= 5 << 3;
    }),
    ("RCODE set", |message, ask, _| {
        ask.flags |= 3;
        message[3] |= 3;
    }),
    ("no question", |message, ask, _| {
        message[5] = 0;
        message.drain(12..12 + ask.question().len());
    }),
    ("QDCOUNT 0 with a question", |message, _, _| message[5] = 0),
    ("two questions", |message, ask, _| {
        message[5] = 2;
        let question = ask.question();
        message.splice(12..12, question);
    }),
    ("QDCOUNT 2 with one question", |message, _, _| message[5] = 2),
    ("a question cut short", |message, ask, random| {
        message.truncate(12 + random.below(ask.question().len()));
        message[11] = 0;
    }),
    ("a pointer as QNAME", |message, ask, _| {
        message.splice(12..12 + ask.name.len(), [0xc0, 12]);
    }),
    ("a pointer at the end of QNAME", |message, ask, _| {
        message.splice(12..12 + ask.name.len(), [1, b'a', 0xc0, 12]);
    }),
    ("a label of type 0x40", |message, ask, _| {
        message.splice(12..12 + ask.name.len(), [0x41, 1, 0]);
    }),
    ("a label of type 0x80", |message, ask, _| {
        message.splice(12..12 + ask.name.len(), [0x81, 1, 0]);
    }),
    ("a name of 256 octets", |message, ask, _| {
        let mut name = Vec::new();
        for len in [63, 63, 63, 62] {
            name.push(len);
            name.extend(vec![b'a'; usize::from(len)]);
        }
        name.push(0);
        message.splice(12..12 + ask.name.len(), name);
    }),
    ("an answer in the question", |message, ask, _| {
        message[7] = 1;
        let at = 12 + ask.question().len();
        message.splice(at..at, [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]);
    }),
    ("an authority in the question", |message, ask, _| {
        message[9] = 1;
        let at = 12 + ask.question().len();
        message.splice(at..at, [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]);
    }),
    ("an additional record that is no OPT", |message, _, _| {
        message[11] += 1;
        message.extend([0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]);
    }),
    ("octets behind the end", |message, _, random| {
        let len = 1 + random.below(20);
        message.extend(random.octets(len));
    }),
    ("ANCOUNT without an answer", |message, _, _| message[7] = 1),
    ("ARCOUNT too large", |message, _, _| message[11] += 1),
    ("two OPT", |message, _, _| {
        message[11] = 2;
        let record = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
        message.extend(record);
        if message.windows(11).filter(|octets| *octets == record).count() < 2 {
            message.extend(record);
        }
    }),
    ("OPT with an owner", |message, ask, _| {
        message.truncate(12 + ask.question().len());
        message[11] = 1;
        message.extend([1, b'a', 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    }),
    ("OPT that announces more than there is", |message, ask, _| {
        message.truncate(12 + ask.question().len());
        message[11] = 1;
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 9]);
    }),
    ("an option that runs out of OPT", |message, ask, _| {
        message.truncate(12 + ask.question().len());
        message[11] = 1;
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 5, 0, 3, 0, 9, 1]);
    }),
    ("half an option", |message, ask, _| {
        message.truncate(12 + ask.question().len());
        message[11] = 1;
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 2, 0, 3]);
    }),
    ("a malformed client subnet", |message, ask, random| {
        message.truncate(12 + ask.question().len());
        message[11] = 1;
        let subnet: &[u8] = random.pick::<&[u8]>(&[
            &[0, 1, 24, 24, 192, 0, 2],
            &[0, 1, 24, 0, 192],
            &[0, 1, 33, 0, 1, 2, 3, 4, 5],
            &[0, 9, 8, 0, 1],
            &[0, 1],
            &[0, 1, 20, 0, 192, 0, 0x1f],
        ]);
        let edns = EdnsAsk { udp_size: 1232, version: 0, flags: 0, options: vec![(ECS, subnet.to_vec())] };
        message.extend(opt(&edns));
    }),
    ("TSIG of an unknown key", |message, ask, _| {
        message.truncate(12 + ask.question().len());
        message[11] = 1;
        message.extend(b"\x03key\0\x00\xfa\x00\xff\0\0\0\0");
        let data = b"\x0bhmac-sha256\0\0\0\0\0\0\0\x01\x2c\0\x20aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb\0\0\0\0\0\0";
        message.extend((data.len() as u16).to_be_bytes());
        message.extend(data);
    }),
    ("random octets behind a header", |message, _, random| {
        message.truncate(12);
        let len = random.below(60);
        message.extend(random.octets(len));
    }),
];
