//! What to do with bytes that are no query we can look up.

use super::HEADER_LEN;
use super::edns::{Edns, OptReply};
use super::query::Flags;

/// Not a query for the look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject<'a> {
    /// Say nothing: too short to be answered, or itself a reply. Answering replies makes loops.
    Drop,
    /// Say only that it went wrong.
    Reply(ErrorReply<'a>),
}

/// A reply without records: header, the question if it could be read, OPT if one was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// The query's id.
    pub id: u16,
    /// The query's flags.
    pub flags: Flags,
    /// FORMERR or NOTIMP.
    pub rcode: u16,
    /// The question as it came, when it could be read.
    pub question: Option<&'a [u8]>,
    /// The query's OPT, when it could be read: then the reply has one too (RFC 6891 §6.1.1).
    pub edns: Option<Edns<'a>>,
}

impl ErrorReply<'_> {
    /// Writes it to `out` and returns its length; `udp_size` is what OPT says about us. What does not
    /// fit (OPT, then the question) is left out; 0 when not even a header fits.
    pub fn write(&self, out: &mut [u8], udp_size: u16) -> usize {
        if out.len() < HEADER_LEN {
            return 0;
        }
        let mut at = HEADER_LEN;
        let question = self.question.unwrap_or_default();
        let mut questions = 0;
        if let Some(room) = out.get_mut(at..at + question.len()).filter(|room| !room.is_empty()) {
            room.copy_from_slice(question);
            at += question.len();
            questions = 1;
        }
        let mut opts = 0;
        if let Some(edns) = self.edns {
            let opt = OptReply { udp_size, dnssec_ok: edns.dnssec_ok, ..OptReply::default() };
            let len = opt.put(0, &mut out[at..]);
            opts = u8::from(len != 0);
            at += len;
        }
        let [flags_high, flags_low] = (self.flags.reply() | self.rcode & 0xf).to_be_bytes();
        let [id_high, id_low] = self.id.to_be_bytes();
        out[..HEADER_LEN].copy_from_slice(&[id_high, id_low, flags_high, flags_low, 0, questions, 0, 0, 0, 0, 0, opts]);
        at
    }
}
