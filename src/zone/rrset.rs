//! Stored form.

/// An RRset in stored form: whole records `C0 0C | TYPE | CLASS | TTL | RDLENGTH | RDATA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RrsetRef<'a> {
    /// Its type.
    pub rtype: u16,
    /// Seconds.
    pub ttl: u32,
    /// Records.
    pub count: u16,
    /// The records.
    pub records: &'a [u8],
}
