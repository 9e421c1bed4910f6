//! RRsets as they will stand in a message.
//!
//! An RRset is stored as the concatenation of its records, each written as it would stand in a reply
//! whose question name is its owner:
//!
//! ```text
//! C0 0C | TYPE | CLASS IN | TTL | RDLENGTH | RDATA        names in RDATA uncompressed, their case kept
//! ```
//!
//! So the most frequent answers (addresses of the very name that was asked) are appended with one copy.
//! For other owners, other times to live and compressible names the writer goes record by record.

use super::types::class;
use super::{HEADER_LEN, RdataError, rdata};
use crate::limits::RRSET_LEN_MAX;

/// Octets of a stored record before its RDATA.
pub(super) const RECORD_HEADER_LEN: usize = 12;

/// A pointer to the question's name, which always begins behind the header (RFC 1035 §4.1.4).
pub(super) const QUESTION_POINTER: [u8; 2] = [0xc0, HEADER_LEN as u8];

/// A stored RRset.
///
/// `records` comes from an [`RrsetBuf`], wherever it has been kept since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RrsetRef<'a> {
    /// TYPE.
    pub rtype: u16,
    /// Time to live of all its records, in seconds (RFC 2181 §5.2).
    pub ttl: u32,
    /// How many records.
    pub count: u16,
    /// The records, as this module's documentation says.
    pub records: &'a [u8],
}

impl<'a> RrsetRef<'a> {
    /// Time to live and RDATA of each record.
    pub fn records(&self) -> Records<'a> {
        Records { rest: self.records }
    }
}

/// Iterates over (TTL, RDATA). Ends early where the octets are not records.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<(u32, &'a [u8])> {
        let (head, rest) = self.rest.split_first_chunk::<RECORD_HEADER_LEN>()?;
        let ttl = u32::from_be_bytes([head[6], head[7], head[8], head[9]]);
        let (rdata, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[10], head[11]])))?;
        self.rest = rest;
        Some((ttl, rdata))
    }
}

/// Appends one record in the stored form; `ttl` in seconds. That an RRset stays below [`RRSET_LEN_MAX`] is the caller's
/// to see to.
pub fn push_record(records: &mut Vec<u8>, rtype: u16, ttl: u32, rdata: &[u8]) -> Result<(), RdataError> {
    rdata::check(rtype, rdata)?;
    let rdlength = u16::try_from(rdata.len()).map_err(|_| RdataError::TooLong)?;
    records.extend_from_slice(&QUESTION_POINTER);
    records.extend_from_slice(&rtype.to_be_bytes());
    records.extend_from_slice(&class::IN.to_be_bytes());
    records.extend_from_slice(&ttl.to_be_bytes());
    records.extend_from_slice(&rdlength.to_be_bytes());
    records.extend_from_slice(rdata);
    Ok(())
}

/// Renders an RRset, when a zone is loaded or a table compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RrsetBuf {
    rtype: u16,
    ttl: u32,
    count: u16,
    records: Vec<u8>,
}

impl RrsetBuf {
    /// Without records yet; `ttl` in seconds.
    pub fn new(rtype: u16, ttl: u32) -> RrsetBuf {
        RrsetBuf { rtype, ttl, count: 0, records: Vec::new() }
    }

    /// Adds a record, behind those that are there. Duplicates are the caller's to find (RFC 2181 §5): he
    /// knows which names are equal.
    pub fn push(&mut self, rdata: &[u8]) -> Result<(), RdataError> {
        if self.records.len() + RECORD_HEADER_LEN + rdata.len() > RRSET_LEN_MAX {
            return Err(RdataError::TooLong);
        }
        push_record(&mut self.records, self.rtype, self.ttl, rdata)?;
        self.count += 1; // a record takes 12 octets at least, so it stays far below 65 536
        Ok(())
    }

    /// As the writer takes it.
    pub fn as_rrset(&self) -> RrsetRef<'_> {
        RrsetRef { rtype: self.rtype, ttl: self.ttl, count: self.count, records: &self.records }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::types::rtype;

    #[test]
    fn records_come_back_as_they_were_given() {
        let mut rrset = RrsetBuf::new(rtype::MX, 300);
        rrset.push(b"\0\x0a\x04Mail\0").unwrap();
        rrset.push(b"\0\x14\x01b\0").unwrap();
        assert_eq!(rrset.push(b"\0\x14\x02b\0"), Err(RdataError::Malformed));
        let rrset = rrset.as_rrset();
        assert_eq!((rrset.rtype, rrset.ttl, rrset.count), (rtype::MX, 300, 2));
        let records: Vec<_> = rrset.records().collect();
        assert_eq!(records, [(300, &b"\0\x0a\x04Mail\0"[..]), (300, b"\0\x14\x01b\0")]);
        assert_eq!(rrset.records[..12], *b"\xc0\x0c\0\x0f\0\x01\0\0\x01\x2c\0\x08");
    }

    #[test]
    fn an_rrset_that_fits_no_message_is_refused() {
        let mut rrset = RrsetBuf::new(rtype::NULL, 0);
        assert_eq!(rrset.push(&[0; 65_536]), Err(RdataError::TooLong));
        rrset.push(&[0; 60_000]).unwrap();
        assert_eq!(rrset.push(&[0; 6_000]), Err(RdataError::TooLong));
        assert_eq!(rrset.as_rrset().count, 1);
    }

    #[test]
    fn octets_that_are_no_records_end_the_iteration() {
        let cut = RrsetRef { rtype: 1, ttl: 0, count: 1, records: b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x01" };
        assert_eq!(cut.records().next(), None);
    }
}
