//! A reply taken apart, by a reader that shares no code with the program or with any library.
//!
//! Sections become sets of RRsets: the order of records says nothing (RFC 2181 §5). Names are expanded and folded,
//! owners and those in record data: compression against a question in mixed case changes the case of either
//! (RFC 4343 §4), and both peers fold a zone's names when they load it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use meridian::wire::name::Shown;
use meridian::wire::types::{ClassName, RcodeName, TypeName};

pub(crate) const QR: u16 = 0x8000;
pub(crate) const OPCODE: u16 = 0x7800;
pub(crate) const AA: u16 = 0x0400;
pub(crate) const TC: u16 = 0x0200;
pub(crate) const RD: u16 = 0x0100;
pub(crate) const RA: u16 = 0x0080;
pub(crate) const AD: u16 = 0x0020;
pub(crate) const CD: u16 = 0x0010;

/// Owner (lower case, wire form), type, class.
pub(crate) type Key = (Vec<u8>, u16, u16);

/// The records of a section: of each RRset, (TTL, data).
pub(crate) type Rrsets = BTreeMap<Key, BTreeSet<(u32, Vec<u8>)>>;

/// Positions in [`Reply::sections`].
pub(crate) const ANSWER: usize = 0;
pub(crate) const AUTHORITY: usize = 1;
pub(crate) const ADDITIONAL: usize = 2;

/// OPT, less what the response code took of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opt {
    pub(crate) udp_size: u16,
    pub(crate) version: u8,
    pub(crate) flags: u16,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The second word, less the response code.
    pub(crate) flags: u16,
    /// With the bits of OPT.
    pub(crate) rcode: u16,
    /// As it came, octet for octet; empty when there is none.
    pub(crate) question: Vec<u8>,
    pub(crate) sections: [Rrsets; 3],
    pub(crate) opt: Option<Opt>,
    /// Records that a section holds twice.
    pub(crate) repeated: usize,
}

impl Reply {
    /// Reads it whole; the error says what is wrong with it.
    pub(crate) fn read(message: &[u8]) -> Result<Reply, String> {
        let mut at = 12;
        let word = |at: usize| -> Result<u16, String> {
            let octets = message.get(at..at + 2).ok_or("cut short")?;
            Ok(u16::from_be_bytes([octets[0], octets[1]]))
        };
        let (flags, questions) = (word(2)?, word(4)?);
        if questions > 1 {
            return Err(format!("{questions} questions"));
        }
        for _ in 0..questions {
            read_name(message, &mut at)?;
            at += 4;
        }
        let mut reply = Reply {
            flags: flags & 0xfff0,
            rcode: flags & 0xf,
            question: message.get(12..at).ok_or("cut short in the question")?.to_vec(),
            sections: Default::default(),
            opt: None,
            repeated: 0,
        };
        for section in 0..3 {
            for _ in 0..word(6 + 2 * section)? {
                let mut owner = read_name(message, &mut at)?;
                let (rtype, class) = (word(at)?, word(at + 2)?);
                let ttl = u32::from(word(at + 4)?) << 16 | u32::from(word(at + 6)?);
                let len = usize::from(word(at + 8)?);
                at += 10;
                let end = at + len;
                if message.len() < end {
                    return Err("cut short in record data".to_owned());
                }
                if rtype == 41 {
                    if section != ADDITIONAL || owner != [0] || reply.opt.is_some() {
                        return Err("a misplaced OPT".to_owned());
                    }
                    reply.rcode |= (ttl >> 24 << 4) as u16;
                    let options = read_options(&message[at..end])?;
                    let (version, flags) = ((ttl >> 16) as u8, ttl as u16);
                    reply.opt = Some(Opt { udp_size: class, version, flags, options });
                } else {
                    let data = read_data(message, at, end, rtype)?;
                    owner.make_ascii_lowercase();
                    let set = reply.sections[section].entry((owner, rtype, class)).or_default();
                    if !set.insert((ttl, data)) {
                        reply.repeated += 1;
                    }
                }
                at = end;
            }
        }
        if at == message.len() { Ok(reply) } else { Err(format!("{} octets too many", message.len() - at)) }
    }

    pub(crate) fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sections.iter().all(BTreeMap::is_empty)
    }

    /// The first type in a section of which there is one: `holds(AUTHORITY, SOA)`.
    pub(crate) fn holds(&self, section: usize, rtype: u16) -> bool {
        self.sections[section].keys().any(|key| key.1 == rtype)
    }
}

fn read_name(message: &[u8], at: &mut usize) -> Result<Vec<u8>, String> {
    let mut name = Vec::new();
    let mut from = *at;
    let mut has_jumped = false;
    loop {
        let len = *message.get(from).ok_or("a name that is cut short")?;
        match len {
            0 => {
                name.push(0);
                if !has_jumped {
                    *at = from + 1;
                }
                return if name.len() <= 255 { Ok(name) } else { Err("a name that is too long".to_owned()) };
            }
            1..=63 => {
                let end = from + 1 + usize::from(len);
                name.extend(message.get(from..end).ok_or("a label that is cut short")?);
                from = end;
            }
            0xc0.. => {
                let low = *message.get(from + 1).ok_or("a pointer that is cut short")?;
                let target = usize::from(u16::from_be_bytes([len & 0x3f, low]));
                if target >= from {
                    return Err("a pointer that does not lead back".to_owned());
                }
                if !has_jumped {
                    *at = from + 2;
                }
                has_jumped = true;
                from = target;
            }
            _ => return Err("a label of unknown kind".to_owned()),
        }
    }
}

fn read_options(mut rest: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, String> {
    let mut options = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let data = tail.get(..len).ok_or("an option that is cut short")?;
        options.push((u16::from_be_bytes([head[0], head[1]]), data.to_vec()));
        rest = &tail[len..];
    }
    if rest.is_empty() { Ok(options) } else { Err("octets behind the last option".to_owned()) }
}

/// Record data with its names expanded.
fn read_data(message: &[u8], mut at: usize, end: usize, rtype: u16) -> Result<Vec<u8>, String> {
    // Octets before the names, and how many names (RFC 1035 §3.3, RFC 2782, 1183, 2230, 3403, 6672, 9460).
    let (before, names) = match rtype {
        2 | 5 | 12 | 39 => (0, 1),
        6 | 14 | 17 => (0, 2),
        15 | 18 | 21 | 36 | 64 | 65 => (2, 1),
        33 => (6, 1),
        35 => {
            let mut len = 4;
            for _ in 0..3 {
                len += 1 + usize::from(*message.get(at + len).ok_or("cut short")?);
            }
            (len, 1)
        }
        _ => (0, 0),
    };
    let mut data = message.get(at..at + before).ok_or("cut short")?.to_vec();
    at += before;
    for _ in 0..names {
        data.extend(read_name(message, &mut at)?.to_ascii_lowercase());
    }
    data.extend(message.get(at..end).ok_or("a name that runs out of its record data")?);
    Ok(data)
}

impl fmt::Display for Reply {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", RcodeName(self.rcode))?;
        let opcode = (self.flags & OPCODE) >> 11;
        if opcode != 0 {
            write!(to, " opcode {opcode}")?;
        }
        for (flag, name) in
            [(QR, "qr"), (AA, "aa"), (TC, "tc"), (RD, "rd"), (RA, "ra"), (0x40, "z"), (AD, "ad"), (CD, "cd")]
        {
            if self.is(flag) {
                write!(to, " {name}")?;
            }
        }
        write!(to, ", question of {} octets", self.question.len())?;
        if let Some(opt) = &self.opt {
            write!(to, ", OPT {} v{} {:#06x} {:?}", opt.udp_size, opt.version, opt.flags, opt.options)?;
        }
        for (name, section) in ["answer", "authority", "additional"].iter().zip(&self.sections) {
            for ((owner, rtype, class), records) in section {
                let (shown, what) = (Shown(owner), TypeName(*rtype));
                write!(to, "\n      {name}: {shown} {} {what} ×{}", ClassName(*class), records.len())?;
                for (ttl, data) in records.iter().take(3) {
                    write!(to, " [{ttl} {}]", data[..data.len().min(80)].escape_ascii())?;
                }
            }
        }
        Ok(())
    }
}
