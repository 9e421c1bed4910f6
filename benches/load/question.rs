//! What is asked, by whom, and what must be answered.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use clap::ValueEnum;
use ipnet::Ipv4Net;

/// What a reply must be, for number `n` and a client of group `g`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rule {
    /// One address: 10.0.0.0 plus `n`
    Static,
    /// One address: 10.0.0.0 plus `n` plus 1, as after a change
    Changed,
    /// There is no such name
    Nxdomain,
    /// Addresses 10.`x`.`n / 256 % 256`.`n % 256`, where `x / 10` is `g`
    Service,
    /// Addresses 10.`x`.any.any, where `x / 10` is `g`
    Place,
}

/// A question's number and where its client is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Draw {
    pub(crate) number: u32,
    /// The client, or its network.
    pub(crate) client: u32,
    pub(crate) group: u8,
}

/// Networks of clients, and to which group each belongs.
#[derive(Default)]
pub(crate) struct Places(Vec<(Ipv4Net, u8)>);

impl Places {
    pub(crate) fn read(file: &Path) -> io::Result<Places> {
        let text = fs::read_to_string(file)?;
        let mut places = Vec::new();
        for line in text.lines() {
            let place = line.split_once(' ').and_then(|(net, group)| Some((net.parse().ok()?, group.parse().ok()?)));
            places.push(place.ok_or_else(|| io::Error::other(format!("{line:?} is not NETWORK GROUP")))?);
        }
        Ok(Places(places))
    }

    /// Source addresses, spread over the networks; loopback's own without places.
    fn sources(&self, count: usize) -> Vec<(Ipv4Addr, u8)> {
        let source = |at: usize| match self.0.len() {
            0 => (Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + at as u32), 0),
            len => {
                let (net, group) = self.0[at % len];
                (Ipv4Addr::from_bits(net.network().to_bits() + 1 + (at / len) as u32), group)
            }
        };
        (0..count).map(source).collect()
    }
}

/// Draws questions, writes them, and judges replies.
pub(crate) struct Work {
    /// A whole query without its number: the digits come to `digits`.
    query: Vec<u8>,
    digits: std::ops::Range<usize>,
    question_end: usize,
    /// Where the address of ECS stands.
    ecs_at: Option<usize>,
    names: u32,
    rule: Rule,
    places: Places,
}

const HEADER_LEN: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_OPT: u16 = 41;
const OPTION_ECS: u16 = 8;

/// Octets of ECS that are said: those of a /24.
const ECS_OCTETS: usize = 3;

impl Work {
    pub(crate) fn new(name: &str, names: u32, rule: Rule, places: Places, ecs: bool) -> Result<Work, String> {
        if ecs && places.0.is_empty() {
            return Err("ECS needs places to name".into());
        }
        let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        let mut digits = 0..0;
        for label in name.trim_end_matches('.').split('.') {
            let (fixed, count) = match label.split_once('%') {
                None => (label, 0),
                Some((fixed, count)) => (fixed, count.parse().map_err(|_| format!("{label}: expected %07 or so"))?),
            };
            let len = u8::try_from(fixed.len() + count).ok().filter(|len| (1..64).contains(len));
            query.push(len.ok_or_else(|| format!("{label} is no label"))?);
            query.extend(fixed.as_bytes());
            if count > 0 {
                digits = query.len()..query.len() + count;
                query.resize(query.len() + count, b'0');
            }
        }
        query.extend([0, 0, 1, 0, 1]);
        let question_end = query.len();
        query.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        let ecs_at = ecs.then(|| {
            let len = query.len();
            query[len - 1] = 8 + ECS_OCTETS as u8;
            query.extend([0, 8, 0, 4 + ECS_OCTETS as u8, 0, 1, 8 * ECS_OCTETS as u8, 0]);
            query.extend([0; ECS_OCTETS]);
            query.len() - ECS_OCTETS
        });
        Ok(Work { query, digits, question_end, ecs_at, names: names.max(1), rule, places })
    }

    /// Who asks: `count` addresses. ECS says where clients are, so then they may be anybody's.
    pub(crate) fn places_of_sources(&self, count: usize) -> Vec<(Ipv4Addr, u8)> {
        match self.ecs_at {
            Some(_) => Places::default().sources(count),
            None => self.places.sources(count),
        }
    }

    /// A question of a client who is known by its address, or of any client when ECS tells.
    pub(crate) fn draw(&self, random: u64, source: (Ipv4Addr, u8)) -> Draw {
        let number = (((random & 0xffff_ffff) * u64::from(self.names)) >> 32) as u32;
        let (client, group) = match self.ecs_at {
            None => source,
            Some(_) => {
                let (net, group) = self.places.0[(((random >> 32) * self.places.0.len() as u64) >> 32) as usize];
                (net.network(), group)
            }
        };
        Draw { number, client: client.to_bits(), group }
    }

    /// Writes the query; says how long it is.
    pub(crate) fn write(&self, draw: &Draw, id: u16, out: &mut [u8]) -> usize {
        let out = &mut out[..self.query.len()];
        out.copy_from_slice(&self.query);
        out[..2].copy_from_slice(&id.to_be_bytes());
        let mut number = draw.number;
        for digit in out[self.digits.clone()].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        if let Some(at) = self.ecs_at {
            out[at..at + ECS_OCTETS].copy_from_slice(&draw.client.to_be_bytes()[..ECS_OCTETS]);
        }
        out.len()
    }

    /// Holds a reply against what it must be.
    pub(crate) fn judge(&self, draw: &Draw, reply: &[u8]) -> Result<(), String> {
        self.look(draw, reply).map_err(|why| {
            let hex: String = reply.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("{why}; number {}, client {}, reply {hex}", draw.number, Ipv4Addr::from_bits(draw.client))
        })
    }

    fn look(&self, draw: &Draw, reply: &[u8]) -> Result<(), &'static str> {
        let mut asked = [0; 512];
        self.write(draw, 0, &mut asked);
        if reply.get(HEADER_LEN..self.question_end) != Some(&asked[HEADER_LEN..self.question_end]) {
            return Err("another question");
        }
        // QR, opcode 0, AA, not truncated.
        if reply[2] & 0xfe != 0x84 {
            return Err("other flags");
        }
        let rcode = reply[3] & 0xf;
        let counts = [6, 8, 10].map(|at| u16::from_be_bytes([reply[at], reply[at + 1]]));
        let expected = if self.rule == Rule::Nxdomain { (3, false) } else { (0, true) };
        if (rcode, counts[0] > 0) != expected {
            return Err("another response code");
        }
        let mut rest = &reply[self.question_end..];
        for _ in 0..counts[0] {
            let record = Record::read(&mut rest).ok_or("a broken record")?;
            let data: [u8; 4] = record.data.try_into().map_err(|_| "no address")?;
            if record.rtype != TYPE_A || !self.is_right(draw, u32::from_be_bytes(data), counts[0]) {
                return Err("another answer");
            }
        }
        if self.rule == Rule::Nxdomain && counts[1] == 0 {
            return Err("no SOA");
        }
        if self.ecs_at.is_some() {
            let mut is_there = false;
            for _ in 0..u32::from(counts[1]) + u32::from(counts[2]) {
                let record = Record::read(&mut rest).ok_or("a broken record")?;
                is_there |= record.rtype == TYPE_OPT && has_ecs(record.data, draw.client);
            }
            if !is_there {
                return Err("ECS was not answered");
            }
        }
        Ok(())
    }

    fn is_right(&self, draw: &Draw, address: u32, count: u16) -> bool {
        const BASE: u32 = 10 << 24;
        match self.rule {
            Rule::Static => count == 1 && address == BASE + draw.number,
            Rule::Changed => count == 1 && address == BASE + draw.number + 1,
            Rule::Service => {
                let [ten, group, high, low] = address.to_be_bytes();
                ten == 10 && group / 10 == draw.group && u16::from_be_bytes([high, low]) == draw.number as u16
            }
            Rule::Place => {
                let [ten, group, ..] = address.to_be_bytes();
                ten == 10 && group / 10 == draw.group
            }
            Rule::Nxdomain => false,
        }
    }
}

struct Record<'r> {
    rtype: u16,
    data: &'r [u8],
}

impl<'r> Record<'r> {
    /// Takes one off the front.
    fn read(rest: &mut &'r [u8]) -> Option<Record<'r>> {
        let mut at = 0;
        loop {
            match *rest.get(at)? {
                0 => break at += 1,
                0xc0.. => break at += 2,
                len => at += 1 + usize::from(len),
            }
        }
        let head = rest.get(at..at + 10)?;
        let rtype = u16::from_be_bytes([head[0], head[1]]);
        let end = at + 10 + usize::from(u16::from_be_bytes([head[8], head[9]]));
        let data = rest.get(at + 10..end)?;
        *rest = &rest[end..];
        Some(Record { rtype, data })
    }
}

/// True when one of OPT's options is the ECS that was sent, with a scope.
fn has_ecs(mut options: &[u8], client: u32) -> bool {
    while let [a, b, c, d, rest @ ..] = options {
        let len = usize::from(u16::from_be_bytes([*c, *d]));
        let Some(data) = rest.get(..len) else { return false };
        if u16::from_be_bytes([*a, *b]) == OPTION_ECS {
            return data.len() >= 4 + ECS_OCTETS
                && data[..3] == [0, 1, 8 * ECS_OCTETS as u8]
                && data[3] > 0
                && data[4..4 + ECS_OCTETS] == client.to_be_bytes()[..ECS_OCTETS];
        }
        options = &rest[len..];
    }
    false
}
