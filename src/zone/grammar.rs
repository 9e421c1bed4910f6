//! How the data of each record type is written in a master file.
//!
//! The grammar of most types is a list of [`Field`]s. Types whose data is more than a list (service bindings,
//! certificates) are [`Grammar::Library`]'s: read by hickory-proto.

use crate::wire::types::rtype;

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
    /// Never in a zone: query types and pseudo-records (RFC 6895 §3.1), and NULL (RFC 1035 §3.3.10).
    Meta,
}

/// How data of that type is written.
pub(super) fn grammar(rtype: u16) -> Grammar {
    use Field::*;
    const NULL: u16 = 10;
    const SIG: u16 = 24;
    Grammar::Fields(match rtype {
        rtype::A => &[Ipv4],
        rtype::AAAA => &[Ipv6],
        rtype::NS | rtype::CNAME | rtype::PTR | rtype::DNAME => &[Name],
        rtype::MX | rtype::AFSDB | rtype::KX => &[U16, Name],
        rtype::TXT | rtype::SPF => &[Strings],
        rtype::SRV => &[U16, U16, U16, Name],
        rtype::SOA => &[Name, Name, U32, Time, Time, Time, Time],
        rtype::CAA => &[U8, Tag, Text],
        rtype::DS | rtype::CDS => &[U16, U8, U8, Hex],
        rtype::NAPTR => &[U16, U16, String, String, String, Name],
        rtype::HINFO => &[String, String],
        rtype::RP => &[Name, Name],
        rtype::URI => &[U16, U16, Text],
        rtype::HTTPS | rtype::SVCB | rtype::TLSA | rtype::SSHFP | rtype::CERT | rtype::SMIMEA => {
            return Grammar::Library;
        }
        rtype::OPENPGPKEY | rtype::CSYNC => return Grammar::Library,
        SIG | rtype::RRSIG | rtype::NSEC | rtype::DNSKEY | rtype::NSEC3 | rtype::NSEC3PARAM | rtype::CDNSKEY => {
            return Grammar::Signer;
        }
        NULL => return Grammar::Meta,
        meta if rtype::is_meta(meta) => return Grammar::Meta,
        _ => return Grammar::Generic,
    })
}
