//! EDNS(0): what the client says (RFC 6891), and the OPT record of the reply.

use super::Ecs;
use super::types::option;

/// OPT without options: root, TYPE, CLASS, TTL, RDLENGTH.
pub(super) const OPT_LEN: usize = 11;

/// Code and length of an option.
const OPTION_HEADER_LEN: usize = 4;

/// The DO bit in OPT's flags (RFC 3225).
const DNSSEC_OK: u16 = 0x8000;

/// The OPT record of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'a> {
    /// The largest UDP reply that the client takes, as he says it: below 512 it means 512
    /// ([`super::Query::udp_response_len_max`] knows).
    pub udp_size: u16,
    /// VERSION. Anything but 0 wants BADVERS; options are then not read, since their meaning is unknown.
    pub version: u8,
    /// DO: the client wants DNSSEC records.
    pub dnssec_ok: bool,
    /// NSID was asked for (RFC 5001).
    pub wants_nsid: bool,
    /// The client subnet, if one was sent.
    pub ecs: Option<Ecs<'a>>,
}

impl<'a> Edns<'a> {
    /// From OPT's CLASS and TTL, without its options.
    #[inline]
    pub(super) fn new(class: u16, ttl: [u8; 4]) -> Edns<'a> {
        let dnssec_ok = u16::from_be_bytes([ttl[2], ttl[3]]) & DNSSEC_OK != 0;
        Edns { udp_size: class, version: ttl[1], dnssec_ok, wants_nsid: false, ecs: None }
    }

    /// Adds the options, OPT's RDATA; those of another version are not read. False: they are malformed, and none
    /// of them counts.
    pub(super) fn read_options(&mut self, options: &'a [u8]) -> bool {
        if self.version != 0 || self.read_each(options).is_some() {
            return true;
        }
        (self.wants_nsid, self.ecs) = (false, None);
        false
    }

    #[inline]
    fn read_each(&mut self, mut rest: &'a [u8]) -> Option<()> {
        while !rest.is_empty() {
            let (&[code_high, code_low, len_high, len_low], tail) = rest.split_first_chunk()?;
            let (data, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes([len_high, len_low])))?;
            match u16::from_be_bytes([code_high, code_low]) {
                option::ECS if self.ecs.is_some() => return None,
                option::ECS => self.ecs = Some(Ecs::parse(data)?),
                // Whatever a client sends along is ignored (RFC 5001 §2.1).
                option::NSID => self.wants_nsid = true,
                _ => {}
            }
            rest = tail;
        }
        Some(())
    }
}

/// An extended DNS error (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ede {
    /// INFO-CODE, one of [`super::types::ede`].
    pub code: u16,
    /// EXTRA-TEXT, for a person; short. Empty: none.
    pub text: &'static str,
}

/// The OPT record of a reply. Its version is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptReply<'a> {
    /// The largest UDP query that we take.
    pub udp_size: u16,
    /// DO, as the query had it (RFC 3225).
    pub dnssec_ok: bool,
    /// The query's client subnet.
    pub ecs: Option<Ecs<'a>>,
    /// With it, the SCOPE PREFIX-LENGTH that the answer holds for.
    pub scope: u8,
    /// NSID, when it was asked for.
    pub nsid: Option<&'a [u8]>,
    /// An extended error.
    pub ede: Option<Ede>,
}

impl OptReply<'_> {
    /// Octets that have to be set aside before the body is written ([`super::Writer::reserve`]): all but
    /// the extended error, which takes what is left.
    pub fn reserved_len(&self) -> usize {
        self.required_len() + self.nsid.map_or(0, |nsid| OPTION_HEADER_LEN + nsid.len())
    }

    /// Octets without which there had better be no OPT: the subnet is part of what the answer means.
    pub(super) fn required_len(&self) -> usize {
        OPT_LEN + self.ecs.map_or(0, |ecs| OPTION_HEADER_LEN + ecs.len())
    }

    /// Writes OPT to the start of `out` and returns its length; 0 when it does not fit. An option that does
    /// not fit is left out; the subnet comes first, then NSID, then the error, without its text if need be.
    #[inline(always)] // 15 instructions of each answer's
    pub(super) fn put(&self, rcode_high: u8, out: &mut [u8]) -> usize {
        if out.len() < OPT_LEN {
            return 0;
        }
        let mut at = OPT_LEN;
        if let Some(ecs) = self.ecs {
            let [family_high, family_low] = ecs.family().number().to_be_bytes();
            let head = [family_high, family_low, ecs.source(), self.scope];
            put_option(out, &mut at, option::ECS, &head, ecs.octets());
        }
        if let Some(nsid) = self.nsid {
            put_option(out, &mut at, option::NSID, nsid, &[]);
        }
        if let Some(ede) = self.ede {
            let code = ede.code.to_be_bytes();
            if !put_option(out, &mut at, option::EDE, &code, ede.text.as_bytes()) {
                put_option(out, &mut at, option::EDE, &code, &[]);
            }
        }
        let [size_high, size_low] = self.udp_size.to_be_bytes();
        let [flags_high, flags_low] = if self.dnssec_ok { DNSSEC_OK } else { 0 }.to_be_bytes();
        let [len_high, len_low] = ((at - OPT_LEN) as u16).to_be_bytes(); // a message is below 65 536
        out[..OPT_LEN]
            .copy_from_slice(&[0, 0, 41, size_high, size_low, rcode_high, 0, flags_high, flags_low, len_high, len_low]);
        at
    }
}

/// Appends an option, or nothing and false when it does not fit.
fn put_option(out: &mut [u8], at: &mut usize, code: u16, head: &[u8], tail: &[u8]) -> bool {
    let len = head.len() + tail.len();
    let Ok(wire_len) = u16::try_from(len) else { return false };
    let Some(room) = out.get_mut(*at..*at + OPTION_HEADER_LEN + len) else { return false };
    room[..2].copy_from_slice(&code.to_be_bytes());
    room[2..4].copy_from_slice(&wire_len.to_be_bytes());
    let (first, second) = room[OPTION_HEADER_LEN..].split_at_mut(head.len());
    first.copy_from_slice(head);
    second.copy_from_slice(tail);
    *at += OPTION_HEADER_LEN + len;
    true
}
