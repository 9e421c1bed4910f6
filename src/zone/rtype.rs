//! Record types: the names that presentation format has for them, and how their data is written.
//!
//! The grammar of a type's data is a list of [`Field`]s. Types whose data is more than a list (service
//! bindings, certificates) are [`Grammar::Library`]'s: read by hickory-proto.

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
pub(super) const PTR: u16 = 12;
pub(super) const MX: u16 = 15;
pub(super) const TXT: u16 = 16;
pub(super) const AAAA: u16 = 28;
pub(super) const SRV: u16 = 33;
pub(super) const DNAME: u16 = 39;
pub(super) const DS: u16 = 43;
pub(super) const SVCB: u16 = 64;
pub(super) const HTTPS: u16 = 65;

/// One field of record data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// An unsigned number of one octet.
    U8,
    /// An unsigned number of two octets.
    U16,
    /// An unsigned number of four octets.
    U32,
    /// A time in seconds, units allowed (`1h30m`); four octets.
    Time,
    /// A domain name.
    Name,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// One character-string, with its length in front.
    String,
    /// Character-strings to the end; at least one.
    Strings,
    /// A property tag: a length, then letters and digits (RFC 8659 §4.1).
    Tag,
    /// One string to the end of the data, without a length.
    Text,
    /// Hexadecimal digits to the end; at least one octet.
    Hex,
}

/// How the data of a type is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// Field by field.
    Fields(&'static [Field]),
    /// As hickory-proto reads it.
    Library,
    /// Only in the generic form of RFC 3597.
    Generic,
    /// Made by signers; without signing it would be wrong to serve.
    Signer,
    /// Never in a zone: query types and pseudo-records.
    Meta,
}

use Field::*;

const NAME: Grammar = Grammar::Fields(&[Name]);
const DIGEST: Grammar = Grammar::Fields(&[U16, U8, U8, Hex]);

/// Commonest first, because it is searched from the front.
static TYPES: &[(&str, u16, Grammar)] = &[
    ("A", A, Grammar::Fields(&[Ipv4])),
    ("AAAA", AAAA, Grammar::Fields(&[Ipv6])),
    ("CNAME", CNAME, NAME),
    ("NS", NS, NAME),
    ("PTR", PTR, NAME),
    ("MX", MX, Grammar::Fields(&[U16, Name])),
    ("TXT", TXT, Grammar::Fields(&[Strings])),
    ("SRV", SRV, Grammar::Fields(&[U16, U16, U16, Name])),
    ("SOA", SOA, Grammar::Fields(&[Name, Name, U32, Time, Time, Time, Time])),
    ("CAA", 257, Grammar::Fields(&[U8, Tag, Text])),
    ("DNAME", DNAME, NAME),
    ("DS", DS, DIGEST),
    ("HTTPS", HTTPS, Grammar::Library),
    ("SVCB", SVCB, Grammar::Library),
    ("TLSA", 52, Grammar::Library),
    ("SSHFP", 44, Grammar::Library),
    ("NAPTR", 35, Grammar::Fields(&[U16, U16, String, String, String, Name])),
    ("HINFO", 13, Grammar::Fields(&[String, String])),
    ("RP", 17, Grammar::Fields(&[Name, Name])),
    ("AFSDB", 18, Grammar::Fields(&[U16, Name])),
    ("KX", 36, Grammar::Fields(&[U16, Name])),
    ("CERT", 37, Grammar::Library),
    ("SMIMEA", 53, Grammar::Library),
    ("CDS", 59, DIGEST),
    ("OPENPGPKEY", 61, Grammar::Library),
    ("CSYNC", 62, Grammar::Library),
    ("SPF", 99, Grammar::Fields(&[Strings])),
    ("URI", 256, Grammar::Fields(&[U16, U16, Text])),
    ("LOC", 29, Grammar::Generic),
    ("APL", 42, Grammar::Generic),
    ("IPSECKEY", 45, Grammar::Generic),
    ("DHCID", 49, Grammar::Generic),
    ("HIP", 55, Grammar::Generic),
    ("ZONEMD", 63, Grammar::Generic),
    ("EUI48", 108, Grammar::Generic),
    ("EUI64", 109, Grammar::Generic),
    ("KEY", 25, Grammar::Generic),
    ("SIG", 24, Grammar::Signer),
    ("RRSIG", 46, Grammar::Signer),
    ("NSEC", 47, Grammar::Signer),
    ("DNSKEY", 48, Grammar::Signer),
    ("NSEC3", 50, Grammar::Signer),
    ("NSEC3PARAM", 51, Grammar::Signer),
    ("CDNSKEY", 60, Grammar::Signer),
];

/// The type of that name, any case: a mnemonic or `TYPE` and a number (RFC 3597 §5).
pub(super) fn parse(text: &[u8]) -> Option<u16> {
    if let Some((_, rtype, _)) = TYPES.iter().find(|(name, _, _)| text.eq_ignore_ascii_case(name.as_bytes())) {
        return Some(*rtype);
    }
    if let Some((word, digits)) = text.split_at_checked(4)
        && word.eq_ignore_ascii_case(b"TYPE")
        && digits.first().is_some_and(u8::is_ascii_digit)
    {
        return std::str::from_utf8(digits).ok()?.parse().ok();
    }
    META.iter().find(|(name, _)| text.eq_ignore_ascii_case(name.as_bytes())).map(|(_, rtype)| *rtype)
}

/// Named so that the message is "never in a zone" and not "unknown".
static META: &[(&str, u16)] =
    &[("ANY", 255), ("*", 255), ("AXFR", 252), ("IXFR", 251), ("OPT", 41), ("TSIG", 250), ("TKEY", 249), ("NULL", 10)];

/// How data of that type is written.
pub(super) fn grammar(rtype: u16) -> Grammar {
    match rtype {
        // RFC 6895 §3.1, and NULL (RFC 1035 §3.3.10).
        0 | 10 | 41 | 128..=255 => Grammar::Meta,
        _ => TYPES.iter().find(|(_, number, _)| *number == rtype).map_or(Grammar::Generic, |(_, _, grammar)| *grammar),
    }
}

/// A type's name, for messages.
pub(super) fn show(rtype: u16) -> std::string::String {
    TYPES
        .iter()
        .find(|(_, number, _)| *number == rtype)
        .map_or_else(|| format!("TYPE{rtype}"), |(name, _, _)| (*name).to_string())
}

/// Every name, for "did you mean".
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, _, _)| *name)
}

/// Where in the data of a type its one name begins, for types that have one at the end.
pub(super) fn target_at(rtype: u16) -> Option<usize> {
    match rtype {
        NS | CNAME | PTR | DNAME => Some(0),
        MX | 18 | 36 => Some(2),
        SRV => Some(6),
        _ => None,
    }
}
