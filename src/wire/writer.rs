//! Writing a reply.
//!
//! A reply grows from front to back: header, question, answer, authority, additional, OPT. The room for
//! OPT is set aside before the body is written, so that it is there at the end; whatever else is added
//! goes in whole or not at all.
//!
//! # When something does not fit
//!
//! The writer knows sizes, its caller knows what matters:
//!
//! - [`Writer::require`]: answer and authority sections, and glue without which a referral leads nowhere
//!   (RFC 9471 §3). If it does not fit, the reply is truncated: TC is set, sections are dropped
//!   (RFC 2181 §9), the client comes back over TCP.
//! - [`Writer::offer`]: additional records that spare the client a question. If they do not fit, they
//!   are left out and nobody is told.
//! - [`Writer::rrset`]: undecided; says [`Full`] and leaves the message as it was.

use super::compact::Compact;
use super::compress::{self, Suffixes};
use super::edns::OptReply;
use super::qname::QName;
use super::query::{Flags, Query};
use super::rdata;
use super::rrset::{RECORD_HEADER_LEN, RrsetRef};
use super::types::{class, rcode, rtype};
use super::{HEADER_LEN, name};
use crate::limits::MESSAGE_LEN_MAX;

/// It did not fit; the message is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is full")]
pub struct Full;

/// Sections of a message, in their order (RFC 1035 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What was asked.
    Answer,
    /// Who is authoritative, or the SOA of a negative answer.
    Authority,
    /// What may be asked next.
    Additional,
}

/// The owner of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The question's name.
    Question,
    /// The ancestor of the question's name that begins so many octets into it: one of
    /// [`QName::suffix_offsets`].
    QuestionSuffix(usize),
    /// Any name, in wire form, uncompressed.
    Name(&'a [u8]),
}

/// A reply under construction.
pub struct Writer<'a> {
    /// Cut to the limit.
    out: &'a mut [u8],
    len: usize,
    /// Where the body ends at the latest: before what is set aside.
    limit: usize,
    /// Where the question ends and sections begin.
    body: usize,
    qname: &'a QName,
    flags: u16,
    rcode: u16,
    counts: [u16; 3],
    names: Suffixes,
}

/// What [`Writer::whole`] goes back to.
struct Mark {
    len: usize,
    names: usize,
}

impl<'a> Writer<'a> {
    /// Starts the reply to `query` in `out`: id, opcode, RD and question as in the query, QR set, the
    /// other flags clear, NOERROR. It will take at most `len_max` octets, or as many as `out` has, or
    /// as a message may. `None` when those do not even hold the question.
    #[inline] // else its 400 octets are copied to the caller
    pub fn new(query: &'a Query<'_>, out: &'a mut [u8], len_max: usize) -> Option<Writer<'a>> {
        let len_max = len_max.min(out.len()).min(MESSAGE_LEN_MAX);
        let out = &mut out[..len_max];
        // Flags and counts are put right at the end.
        let head = query.head();
        out.get_mut(..head.len())?.copy_from_slice(head);
        Some(Writer {
            out,
            len: head.len(),
            limit: len_max,
            body: head.len(),
            qname: query.qname(),
            flags: query.flags().reply(),
            rcode: rcode::NOERROR,
            counts: [0; 3],
            names: Suffixes::new(),
        })
    }

    /// Sets `len` octets aside for OPT ([`OptReply::reserved_len`]). Call it before anything is written;
    /// if there are not so many, the body has none.
    pub fn reserve(&mut self, len: usize) {
        self.limit = self.out.len().saturating_sub(len).max(self.len);
    }

    /// AA: the answer is authoritative.
    pub fn set_authoritative(&mut self, is_authoritative: bool) {
        self.set_flag(Flags::AA, is_authoritative);
    }

    /// The response code; those over 15 are spread over header and OPT (RFC 6891 §6.1.3).
    pub fn set_rcode(&mut self, rcode: u16) {
        self.rcode = rcode & 0xfff;
    }

    /// Octets that may still be written before OPT.
    pub fn room(&self) -> usize {
        self.limit - self.len
    }

    /// True once [`Writer::truncate`] was called.
    pub fn is_truncated(&self) -> bool {
        self.flags & Flags::TC != 0
    }

    /// How many records `section` has.
    pub fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// Adds an RRset whole, or nothing. `ttl`, in seconds, takes the place of the stored one. Sections are
    /// written in their order.
    #[inline(always)] // 30 instructions of each answer's
    pub fn rrset(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rrset: &RrsetRef<'_>,
        ttl: Option<u32>,
    ) -> Result<(), Full> {
        let Some(skip) = self.pointable(owner).filter(|_| !rdata::is_compressible(rrset.rtype)) else {
            return self.each(section, owner, rrset, ttl);
        };
        // The records are copied at once or not at all, so there is nothing to take back.
        let count = self.count_with(section, rrset.count)?;
        let start = self.len;
        self.put(rrset.records)?;
        if skip != 0 || ttl.is_some() {
            self.patch(start, compress::question_pointer(skip), ttl);
        }
        self.counts[section as usize] = count;
        Ok(())
    }

    /// As [`Writer::rrset`]; if it does not fit, the reply is truncated and takes nothing more.
    #[inline(always)] // as above
    pub fn require(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rrset: &RrsetRef<'_>,
        ttl: Option<u32>,
    ) -> Result<(), Full> {
        self.rrset(section, owner, rrset, ttl).inspect_err(|Full| self.truncate())
    }

    /// As [`Writer::rrset`], into the additional section; says whether it fitted.
    pub fn offer(&mut self, owner: Owner<'_>, rrset: &RrsetRef<'_>) -> bool {
        self.rrset(Section::Additional, owner, rrset, None).is_ok()
    }

    /// Adds one record; `ttl` in seconds, names in `rdata` uncompressed.
    pub fn record(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        rtype: u16,
        class: u16,
        ttl: u32,
        rdata: &[u8],
    ) -> Result<(), Full> {
        self.whole(section, |writer| {
            writer.put_owner(owner)?;
            writer.put_record(rtype, class, ttl, rdata)?;
            Ok(1)
        })
    }

    /// Adds a record that was compressed beforehand; `owner` is the apex that it was compressed against. If it does
    /// not fit, the reply is truncated and takes nothing more.
    pub fn require_compact(&mut self, section: Section, owner: Owner<'_>, record: &Compact<'_>) -> Result<(), Full> {
        self.whole(section, |writer| writer.put_compact(owner, record)).inspect_err(|Full| self.truncate())
    }

    /// Adds a CNAME to the answer, as one that a DNAME implies (RFC 6672 §3.1).
    pub fn cname(&mut self, owner: Owner<'_>, target: &[u8], ttl: u32) -> Result<(), Full> {
        self.record(Section::Answer, owner, rtype::CNAME, class::IN, ttl, target)
    }

    /// Drops all sections and sets TC: the client is to ask again over TCP. The question stays, the room
    /// for OPT too. Nothing can be added afterwards.
    pub fn truncate(&mut self) {
        self.clear();
        self.set_flag(Flags::TC, true);
    }

    /// Drops all sections, so that another reply can be made of it (SERVFAIL, say). Flags stay.
    pub fn clear(&mut self) {
        self.len = self.body;
        self.counts = [0; 3];
        self.names.forget(0);
    }

    /// Writes OPT and the header's counts and returns the message's length. Without OPT an extended
    /// response code becomes SERVFAIL. An OPT for which too little was set aside goes before the body:
    /// the reply is then truncated.
    ///
    /// It is the last call: in place all the same, because moving the writer here would copy 400 octets.
    #[inline(always)] // 27 instructions of each answer's: there are two of what calls it
    pub fn finish(&mut self, opt: Option<&OptReply<'_>>) -> usize {
        if let Some(opt) = opt {
            if self.out.len() - self.len < opt.required_len() {
                self.truncate();
            }
            let opt_len = opt.put((self.rcode >> 4) as u8, &mut self.out[self.len..]);
            if opt_len != 0 {
                self.len += opt_len;
                self.counts[Section::Additional as usize] += 1; // `whole` keeps a place for it
            }
            if opt_len == 0 && self.rcode > 15 {
                self.rcode = rcode::SERVFAIL;
            }
        } else if self.rcode > 15 {
            self.rcode = rcode::SERVFAIL;
        }
        let Some(header) = self.out.first_chunk_mut::<HEADER_LEN>() else { return 0 };
        let [flags_high, flags_low] = (self.flags | self.rcode & 0xf).to_be_bytes();
        let [[a, b], [c, d], [e, f]] = self.counts.map(u16::to_be_bytes);
        header[2..].copy_from_slice(&[flags_high, flags_low, 0, 1, a, b, c, d, e, f]);
        self.len
    }

    fn set_flag(&mut self, flag: u16, is_set: bool) {
        if is_set {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    /// Runs `write`, which says how many records it wrote, and takes everything back if it fails.
    fn whole(
        &mut self,
        section: Section,
        write: impl FnOnce(&mut Writer<'a>) -> Result<u16, Full>,
    ) -> Result<(), Full> {
        self.count_with(section, 0)?;
        let mark = Mark { len: self.len, names: self.names.mark() };
        let count = write(self).and_then(|written| self.count_with(section, written));
        match count {
            Ok(count) => {
                self.counts[section as usize] = count;
                Ok(())
            }
            Err(Full) => {
                self.len = mark.len;
                self.names.forget(mark.names);
                Err(Full)
            }
        }
    }

    /// How many records `section` has with `more`, if there may be more. A truncated reply has none; one is kept
    /// for OPT.
    #[inline]
    fn count_with(&self, section: Section, more: u16) -> Result<u16, Full> {
        debug_assert!(
            self.counts[section as usize..].iter().skip(1).all(|&count| count == 0),
            "sections have an order"
        );
        if self.is_truncated() {
            return Err(Full);
        }
        self.counts[section as usize].checked_add(more).filter(|&count| count < u16::MAX).ok_or(Full)
    }

    /// An RRset record by record, its names compressed, or nothing.
    #[inline(never)]
    fn each(&mut self, section: Section, owner: Owner<'_>, rrset: &RrsetRef<'_>, ttl: Option<u32>) -> Result<(), Full> {
        self.whole(section, |writer| writer.put_each(owner, rrset, ttl))
    }

    fn put_each(&mut self, owner: Owner<'_>, rrset: &RrsetRef<'_>, ttl: Option<u32>) -> Result<u16, Full> {
        let start = self.len;
        let mut written = 0;
        for (stored_ttl, rdata) in rrset.records() {
            if written == 0 {
                self.put_owner(owner)?;
            } else {
                self.put_owner_again(owner, start)?;
            }
            self.put_record(rrset.rtype, class::IN, ttl.unwrap_or(stored_ttl), rdata)?;
            written += 1;
        }
        Ok(written)
    }

    /// How far into the question's name the owner begins, if a pointer is how to write it: not for the
    /// root, which is shorter than a pointer.
    fn pointable(&self, owner: Owner<'_>) -> Option<usize> {
        let skip = match owner {
            Owner::Question => 0,
            Owner::QuestionSuffix(skip) => skip,
            Owner::Name(_) => return None,
        };
        debug_assert!(self.qname.suffix_offsets().any(|at| at == skip), "not an ancestor");
        (skip + 1 < self.qname.wire_len()).then_some(skip)
    }

    /// Gives the stored records from `start` on another owner and time to live.
    #[inline(never)] // few answers need it
    fn patch(&mut self, start: usize, pointer: [u8; 2], ttl: Option<u32>) {
        let mut rest = &mut self.out[start..self.len];
        while let Some((head, tail)) = rest.split_first_chunk_mut::<RECORD_HEADER_LEN>() {
            head[..2].copy_from_slice(&pointer);
            if let Some(ttl) = ttl {
                head[6..10].copy_from_slice(&ttl.to_be_bytes());
            }
            let rdlength = usize::from(u16::from_be_bytes([head[10], head[11]]));
            rest = tail.get_mut(rdlength..).unwrap_or_default();
        }
    }

    fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        let end = self.len + octets.len();
        self.out
            .get_mut(..self.limit)
            .and_then(|room| room.get_mut(self.len..end))
            .ok_or(Full)?
            .copy_from_slice(octets);
        self.len = end;
        Ok(())
    }

    fn put_compact(&mut self, owner: Owner<'_>, record: &Compact<'_>) -> Result<u16, Full> {
        let start = self.len;
        self.put_owner(owner)?;
        let apex = match self.out[start..self.len] {
            [high, low] if high >= 0xc0 => u16::from_be_bytes([high & 0x3f, low]),
            _ => compress::place(start).ok_or(Full)?,
        };
        let at = self.len;
        self.put(record.record())?;
        compress::place(self.len).ok_or(Full)?; // so that every pointer reaches
        record.point(&mut self.out[at..self.len], at as u16, apex);
        Ok(1)
    }

    fn put_owner(&mut self, owner: Owner<'_>) -> Result<(), Full> {
        match (self.pointable(owner), owner) {
            (Some(skip), _) => self.put(&compress::question_pointer(skip)),
            (None, Owner::Name(name)) => self.put_name(name),
            (None, Owner::Question | Owner::QuestionSuffix(_)) => self.put(&[0]),
        }
    }

    /// The owner of the record at `first` once more: by pointer, if that is shorter and reaches.
    fn put_owner_again(&mut self, owner: Owner<'_>, first: usize) -> Result<(), Full> {
        match (self.out[first], compress::pointer_to(first)) {
            (0, _) => self.put(&[0]),
            (0xc0.., _) => self.put(&[self.out[first], self.out[first + 1]]),
            (_, Some(pointer)) => self.put(&pointer),
            (_, None) => self.put_owner(owner),
        }
    }

    /// A name, compressed against everything before it. What is no name is refused like one too long.
    fn put_name(&mut self, name: &[u8]) -> Result<(), Full> {
        for (_, suffix) in name::suffixes(name) {
            if suffix[0] == 0 {
                return self.put(&[0]);
            }
            if let Some(pointer) = self.names.find(suffix, self.qname, &self.out[..self.len]) {
                return self.put(&pointer);
            }
            let label = suffix.get(..1 + usize::from(suffix[0])).ok_or(Full)?;
            let at = self.len;
            self.put(label)?;
            self.names.add(at);
        }
        Err(Full)
    }

    fn put_record(&mut self, rtype: u16, class: u16, ttl: u32, rdata: &[u8]) -> Result<(), Full> {
        let [type_high, type_low] = rtype.to_be_bytes();
        let [class_high, class_low] = class.to_be_bytes();
        let [a, b, c, d] = ttl.to_be_bytes();
        let names = match rdata::layout(rtype) {
            Some(layout) if layout.is_compressible => layout.names(rdata),
            _ => None,
        };
        let [len_high, len_low] = u16::try_from(rdata.len()).map_err(|_| Full)?.to_be_bytes();
        self.put(&[type_high, type_low, class_high, class_low, a, b, c, d, len_high, len_low])?;
        let Some(names) = names else { return self.put(rdata) };
        let start = self.len;
        let mut at = 0;
        for name in names.into_iter().filter(|name| !name.is_empty()) {
            self.put(&rdata[at..name.start])?;
            at = name.end;
            self.put_name(&rdata[name])?;
        }
        self.put(&rdata[at..])?;
        let rdlength = (self.len - start) as u16; // compression does not make it longer
        self.out[start - 2..start].copy_from_slice(&rdlength.to_be_bytes());
        Ok(())
    }
}
