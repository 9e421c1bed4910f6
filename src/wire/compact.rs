//! A record as it stands behind questions of its zone, names compressed.
//!
//! The SOA of a negative answer is always the same but for two things: how far into the question's name the
//! zone's apex begins, and where in the message the record is. So it is compressed once, when the zone is loaded
//! or a table compiled, and an answer copies it and puts its pointers right:
//!
//! ```text
//! (place, target) of two pointers | TYPE | CLASS IN | TTL | RDLENGTH | RDATA, compressed
//! ```
//!
//! A pointer's target is the apex, which is the record's owner and stands before it, or a name earlier in its own
//! RDATA. Names that end in neither are whole.

use super::name;
use super::rdata;
use super::types::class;

/// Pointers in the names of RDATA: a type has two names at most.
const POINTERS: usize = 2;

/// Octets of the pointers' description.
const HEAD_LEN: usize = 4 * POINTERS;

/// Octets of a record between its owner and its RDATA.
const FIXED_LEN: usize = 10;

/// As a pointer's target: the apex. No record is so long.
const APEX: u16 = u16::MAX;

/// One record of a zone's apex. Its octets come from [`Compact::render`], wherever they have been kept since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compact<'a> {
    /// Place and target of each pointer, counted from the record's TYPE; a place of 0: none.
    pointers: [(u16, u16); POINTERS],
    record: &'a [u8],
}

impl<'a> Compact<'a> {
    /// Appends the octets of a record to `out`: `apex` is its owner, `ttl` in seconds, names in `rdata`
    /// uncompressed and of a type that may be compressed. RDATA is well-formed and no longer than 65 535 octets.
    pub fn render(apex: &[u8], rtype: u16, ttl: u32, rdata: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + HEAD_LEN, 0);
        let record = out.len();
        out.extend_from_slice(&rtype.to_be_bytes());
        out.extend_from_slice(&class::IN.to_be_bytes());
        out.extend_from_slice(&ttl.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        let names = rdata::layout(rtype).filter(|layout| layout.is_compressible).and_then(|layout| layout.names(rdata));
        let mut written: Vec<(&[u8], usize)> = Vec::new();
        let mut at = 0;
        for (number, range) in names.into_iter().flatten().enumerate().filter(|(_, range)| !range.is_empty()) {
            out.extend_from_slice(&rdata[at..range.start]);
            at = range.end;
            for (_, suffix) in name::suffixes(&rdata[range]) {
                let target = match suffix {
                    [0] => None,
                    suffix if name::eq(suffix, apex) => Some(usize::from(APEX)),
                    suffix => written.iter().find(|(known, _)| name::eq(known, suffix)).map(|(_, at)| *at),
                };
                // Places and targets lie in names at the front of RDATA, so they are small.
                if let Some(target) = target {
                    let place = (out.len() - record) as u16;
                    let pointer = start + 4 * number;
                    out[pointer..pointer + 2].copy_from_slice(&place.to_ne_bytes());
                    out[pointer + 2..pointer + 4].copy_from_slice(&(target as u16).to_ne_bytes());
                    out.extend_from_slice(&[0; 2]);
                    break;
                }
                written.push((suffix, out.len() - record));
                out.extend_from_slice(&suffix[..1 + usize::from(suffix[0])]);
            }
        }
        out.extend_from_slice(&rdata[at..]);
        let rdlength = (out.len() - record - FIXED_LEN) as u16; // compression does not make it longer
        out[record + FIXED_LEN - 2..record + FIXED_LEN].copy_from_slice(&rdlength.to_be_bytes());
    }

    /// What [`Compact::render`] has appended; `None` when `octets` are nothing of the kind.
    #[inline]
    pub fn read(octets: &'a [u8]) -> Option<Compact<'a>> {
        let (head, record) = octets.split_first_chunk::<HEAD_LEN>()?;
        let [a, b, c, d, e, f, g, h] = *head;
        let pointers =
            [[a, b, c, d], [e, f, g, h]].map(|[a, b, c, d]| (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])));
        Some(Compact { pointers, record })
    }

    /// Without its owner, pointers still to be put right.
    pub(super) fn record(&self) -> &'a [u8] {
        self.record
    }

    /// Puts the pointers of a copy right: the record begins `at` octets into the message, its owner at `apex`.
    #[inline]
    pub(super) fn point(&self, copy: &mut [u8], at: u16, apex: u16) {
        for (place, target) in self.pointers {
            if place != 0
                && let Some(pointer) = copy.get_mut(usize::from(place)..).and_then(<[u8]>::first_chunk_mut)
            {
                let target = if target == APEX { apex } else { at.saturating_add(target) };
                *pointer = (0xc000 | target).to_be_bytes();
            }
        }
    }
}
