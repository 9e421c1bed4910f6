//! Questions written and replies read, independently of the program's codec.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meridian::answer::{Asked, Outcome, Transport, answer};
use meridian::table::RoutingTable;

pub(crate) const A: u16 = 1;
pub(crate) const NS: u16 = 2;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
pub(crate) const HINFO: u16 = 13;
pub(crate) const MX: u16 = 15;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;
pub(crate) const DNAME: u16 = 39;
pub(crate) const OPT: u16 = 41;
pub(crate) const DS: u16 = 43;
pub(crate) const HTTPS: u16 = 65;
pub(crate) const IXFR: u16 = 251;
pub(crate) const AXFR: u16 = 252;
pub(crate) const ANY: u16 = 255;

pub(crate) const NOERROR: u16 = 0;
pub(crate) const FORMERR: u16 = 1;
pub(crate) const NXDOMAIN: u16 = 3;
pub(crate) const NOTIMP: u16 = 4;
pub(crate) const REFUSED: u16 = 5;
pub(crate) const YXDOMAIN: u16 = 6;
pub(crate) const BADVERS: u16 = 16;

pub(crate) const OPTION_NSID: u16 = 3;
pub(crate) const OPTION_ECS: u16 = 8;
pub(crate) const OPTION_EDE: u16 = 15;

/// A type by its mnemonic.
pub(crate) fn rtype(mnemonic: &str) -> u16 {
    match mnemonic {
        "A" => A,
        "NS" => NS,
        "CNAME" => CNAME,
        "SOA" => SOA,
        "HINFO" => HINFO,
        "MX" => MX,
        "TXT" => TXT,
        "AAAA" => AAAA,
        "SRV" => SRV,
        "DS" => DS,
        "HTTPS" => HTTPS,
        "ANY" => ANY,
        other => other.strip_prefix("TYPE").and_then(|number| number.parse().ok()).expect("a type"),
    }
}

/// A name in wire form, as written (no escapes).
pub(crate) fn wire(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

/// The data of a client subnet option.
pub(crate) fn subnet(address: IpAddr, source: u8) -> Vec<u8> {
    let (family, octets) = match address {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let mut data = vec![0, family, source, 0];
    data.extend_from_slice(&octets[..usize::from(source).div_ceil(8)]);
    if let (Some(last), spare @ 1..) = (data[4..].last().copied(), 8 * (data.len() - 4) - usize::from(source)) {
        *data.last_mut().unwrap() = last & (0xff << spare);
    }
    data
}

/// The OPT record of a question.
#[derive(Clone, Debug)]
pub(crate) struct Opt {
    pub(crate) size: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

impl Default for Opt {
    fn default() -> Opt {
        Opt { size: 1232, version: 0, dnssec_ok: false, options: Vec::new() }
    }
}

impl Opt {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&OPT.to_be_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&[0, self.version, u8::from(self.dnssec_ok) << 7, 0]);
        let mut data = Vec::new();
        for (code, value) in &self.options {
            data.extend_from_slice(&code.to_be_bytes());
            data.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            data.extend_from_slice(value);
        }
        out.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&data);
    }
}

/// A question, who asks it, and how.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) id: u16,
    pub(crate) flags: u16,
    pub(crate) opt: Option<Opt>,
    pub(crate) client: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) random: u64,
}

impl Question {
    /// Of class IN, over UDP, without EDNS, from an address of which nothing is known.
    pub(crate) fn new(name: &str, rtype: u16) -> Question {
        Question {
            name: name.to_owned(),
            rtype,
            class: 1,
            id: 0x4d1d,
            flags: 0,
            opt: None,
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)),
            transport: Transport::Udp,
            random: 0,
        }
    }

    pub(crate) fn edns(mut self) -> Question {
        self.opt.get_or_insert_default();
        self
    }

    pub(crate) fn size(mut self, size: u16) -> Question {
        self.opt.get_or_insert_default().size = size;
        self
    }

    pub(crate) fn option(mut self, code: u16, data: impl Into<Vec<u8>>) -> Question {
        self.opt.get_or_insert_default().options.push((code, data.into()));
        self
    }

    /// With a client subnet, such as `10.1.0.0/16`; without a length the whole address.
    pub(crate) fn ecs(self, net: &str) -> Question {
        let (address, source) = net.split_once('/').map_or((net, None), |(address, len)| (address, Some(len)));
        let address: IpAddr = address.parse().unwrap();
        let whole = if address.is_ipv4() { 32 } else { 128 };
        self.option(OPTION_ECS, subnet(address, source.map_or(whole, |len| len.parse().unwrap())))
    }

    pub(crate) fn from(mut self, client: &str) -> Question {
        self.client = client.parse().unwrap();
        self
    }

    pub(crate) fn random(mut self, random: u64) -> Question {
        self.random = random;
        self
    }

    pub(crate) fn tcp(mut self) -> Question {
        self.transport = Transport::Tcp;
        self
    }

    pub(crate) fn class(mut self, class: u16) -> Question {
        self.class = class;
        self
    }

    pub(crate) fn flags(mut self, flags: u16) -> Question {
        self.flags = flags;
        self
    }

    /// As octets.
    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [self.id, self.flags, 1, 0, 0, u16::from(self.opt.is_some())] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&wire(&self.name));
        out.extend_from_slice(&self.rtype.to_be_bytes());
        out.extend_from_slice(&self.class.to_be_bytes());
        if let Some(opt) = &self.opt {
            opt.put(&mut out);
        }
        out
    }

    pub(crate) fn asked(&self) -> Asked {
        Asked { client: self.client, transport: self.transport, random: self.random }
    }

    /// The reply's octets; `None`: dropped.
    pub(crate) fn ask_octets(&self, table: &RoutingTable) -> Option<Vec<u8>> {
        ask_octets(&self.octets(), &self.asked(), table)
    }

    /// The reply, which must come and must be well-formed.
    #[track_caller]
    pub(crate) fn ask(&self, table: &RoutingTable) -> Reply {
        let octets = self.ask_octets(table).unwrap_or_else(|| panic!("{self:?} was dropped"));
        let reply = Reply::parse(&octets);
        assert_eq!(reply.id, self.id);
        assert_eq!(reply.question, Some((self.name.clone() + ".", self.rtype, self.class)), "the question as it came");
        reply
    }
}

/// What `answer` says to these octets.
pub(crate) fn ask_octets(octets: &[u8], asked: &Asked, table: &RoutingTable) -> Option<Vec<u8>> {
    let mut out = vec![0xaa; 65_535];
    match answer(octets, asked, table, &mut out) {
        Outcome::Reply(len) => Some(out[..len].to_vec()),
        Outcome::Drop => None,
    }
}

/// A record of a reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    /// With the final dot, in the case in which it came.
    pub(crate) owner: String,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    /// With names decompressed, for the types whose names may be compressed.
    pub(crate) data: Vec<u8>,
    /// As people write it, for the types that tests look at.
    pub(crate) text: String,
}

/// A reply, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) len: usize,
    pub(crate) id: u16,
    pub(crate) flags: u16,
    /// The extended one, when there is an OPT.
    pub(crate) rcode: u16,
    pub(crate) question: Option<(String, u16, u16)>,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    pub(crate) opt: Option<ReplyOpt>,
}

/// The OPT record of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplyOpt {
    pub(crate) size: u16,
    pub(crate) version: u8,
    pub(crate) dnssec_ok: bool,
    pub(crate) options: Vec<(u16, Vec<u8>)>,
}

impl Reply {
    /// Takes apart a message that must be well-formed to the last octet.
    #[track_caller]
    pub(crate) fn parse(octets: &[u8]) -> Reply {
        let word = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
        let (flags, counts) = (word(2), [word(6), word(8), word(10)]);
        assert_ne!(flags & 0x8000, 0, "QR");
        let mut at = 12;
        let question = (word(4) == 1).then(|| {
            let name = name(octets, &mut at);
            at += 4;
            (name, word(at - 4), word(at - 2))
        });
        let mut opt = None;
        let mut rcode = flags & 0xf;
        let mut sections = counts.map(|count| {
            let mut records = Vec::new();
            for _ in 0..count {
                let record = record(octets, &mut at);
                if record.rtype == OPT {
                    assert!(opt.is_none(), "one OPT");
                    assert_eq!(record.owner, ".");
                    rcode |= u16::try_from(record.ttl >> 24).unwrap() << 4;
                    opt = Some(ReplyOpt {
                        size: record.class,
                        version: (record.ttl >> 16) as u8,
                        dnssec_ok: record.ttl & 0x8000 != 0,
                        options: options(&record.data),
                    });
                } else {
                    records.push(record);
                }
            }
            records
        });
        assert_eq!(at, octets.len(), "nothing behind the last record");
        let [answers, authorities, additionals] = &mut sections;
        let take = std::mem::take::<Vec<Record>>;
        Reply {
            len: octets.len(),
            id: word(0),
            flags,
            rcode,
            question,
            answers: take(answers),
            authorities: take(authorities),
            additionals: take(additionals),
            opt,
        }
    }

    pub(crate) fn is_authoritative(&self) -> bool {
        self.flags & 0x0400 != 0
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// The data of an option.
    pub(crate) fn option(&self, code: u16) -> Option<&[u8]> {
        self.opt.as_ref()?.options.iter().find(|(found, _)| *found == code).map(|(_, data)| data.as_slice())
    }

    /// The scope of the client subnet.
    pub(crate) fn scope(&self) -> Option<u8> {
        self.option(OPTION_ECS).map(|data| data[3])
    }

    /// Code and text of the extended error.
    pub(crate) fn ede(&self) -> Option<(u16, String)> {
        let data = self.option(OPTION_EDE)?;
        Some((u16::from_be_bytes([data[0], data[1]]), String::from_utf8(data[2..].to_vec()).unwrap()))
    }

    /// The addresses that answer.
    pub(crate) fn addresses(&self) -> BTreeSet<IpAddr> {
        self.answers
            .iter()
            .filter(|record| matches!(record.rtype, A | AAAA))
            .map(|record| record.text.parse().unwrap())
            .collect()
    }

    /// The data of the answers, as people write it.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.answers.iter().map(|record| record.text.as_str()).collect()
    }

    /// TTL and MINIMUM of the SOA in the authority section.
    pub(crate) fn negative_ttl(&self) -> Option<(u32, u32)> {
        let soa = self.authorities.iter().find(|record| record.rtype == SOA)?;
        let minimum = soa.data.last_chunk::<4>().unwrap();
        Some((soa.ttl, u32::from_be_bytes(*minimum)))
    }

    #[track_caller]
    pub(crate) fn assert_no_data(&self) {
        assert_eq!((self.rcode, self.answers.len()), (NOERROR, 0), "{self:#?}");
        assert!(self.is_authoritative() && self.negative_ttl().is_some(), "{self:#?}");
    }
}

fn name(octets: &[u8], at: &mut usize) -> String {
    let (mut from, mut out, mut jumped) = (*at, String::new(), false);
    loop {
        let len = usize::from(octets[from]);
        if len & 0xc0 == 0xc0 {
            let to = (len & 0x3f) << 8 | usize::from(octets[from + 1]);
            assert!(to < from, "pointers lead backwards");
            if !jumped {
                *at = from + 2;
            }
            (from, jumped) = (to, true);
            continue;
        }
        assert_eq!(len & 0xc0, 0);
        from += 1 + len;
        if len == 0 {
            if !jumped {
                *at = from;
            }
            return if out.is_empty() { ".".into() } else { out };
        }
        out.push_str(std::str::from_utf8(&octets[from - len..from]).expect("tests ask in ASCII"));
        out.push('.');
    }
}

fn record(octets: &[u8], at: &mut usize) -> Record {
    let owner = name(octets, at);
    let word = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
    let (rtype, class, len) = (word(*at), word(*at + 2), usize::from(word(*at + 8)));
    let ttl = u32::from_be_bytes(octets[*at + 4..*at + 8].try_into().unwrap());
    *at += 10;
    let end = *at + len;
    let raw = &octets[*at..end];
    let (data, text) = match rtype {
        A => (raw.to_vec(), Ipv4Addr::from(<[u8; 4]>::try_from(raw).unwrap()).to_string()),
        AAAA => (raw.to_vec(), Ipv6Addr::from(<[u8; 16]>::try_from(raw).unwrap()).to_string()),
        NS | CNAME | DNAME => {
            let target = name(octets, at);
            assert_eq!(*at, end);
            (wire(&target), target)
        }
        MX => {
            let preference = word(*at);
            *at += 2;
            let target = name(octets, at);
            assert_eq!(*at, end);
            ([&preference.to_be_bytes()[..], &wire(&target)].concat(), format!("{preference} {target}"))
        }
        SOA => {
            let (server, mailbox) = (name(octets, at), name(octets, at));
            assert_eq!(*at + 20, end);
            let numbers: Vec<String> = octets[*at..end]
                .chunks(4)
                .map(|number| u32::from_be_bytes(number.try_into().unwrap()).to_string())
                .collect();
            let data = [wire(&server), wire(&mailbox), octets[*at..end].to_vec()].concat();
            (data, format!("{server} {mailbox} {}", numbers.join(" ")))
        }
        TXT => {
            let (mut rest, mut strings) = (raw, Vec::new());
            while let Some((&len, tail)) = rest.split_first() {
                let (string, tail) = tail.split_at(usize::from(len));
                strings.push(String::from_utf8_lossy(string).into_owned());
                rest = tail;
            }
            (raw.to_vec(), strings.join("|"))
        }
        _ => (raw.to_vec(), raw.iter().map(|octet| format!("{octet:02x}")).collect()),
    };
    *at = end;
    Record { owner, rtype, class, ttl, data, text }
}

fn options(mut data: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    while let Some((&[code_high, code_low, len_high, len_low], rest)) = data.split_first_chunk() {
        let (value, rest) = rest.split_at(usize::from(u16::from_be_bytes([len_high, len_low])));
        options.push((u16::from_be_bytes([code_high, code_low]), value.to_vec()));
        data = rest;
    }
    assert!(data.is_empty());
    options
}
