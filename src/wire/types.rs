//! The protocol's numbers and what people call them.
//!
//! Numbers are plain `u16`, because every number is possible on the wire. Names are those of the IANA
//! registry; a number without one is written `TYPE1234` or `CLASS1234` (RFC 3597 §5).

use std::fmt;

macro_rules! numbers {
    ($table:ident: $($const:ident = $number:literal $name:literal $doc:literal;)*) => {
        $(#[doc = $doc] pub const $const: u16 = $number;)*
        const $table: &[(u16, &str)] = &[$(($number, $name)),*];
    };
}

/// TYPE and QTYPE values.
pub mod rtype {
    numbers! { NAMES:
        A = 1 "A" "An IPv4 address (RFC 1035 §3.4.1).";
        NS = 2 "NS" "A name server (RFC 1035 §3.3.11).";
        MD = 3 "MD" "A mail destination; obsolete (RFC 1035 §3.3.4).";
        MF = 4 "MF" "A mail forwarder; obsolete (RFC 1035 §3.3.5).";
        CNAME = 5 "CNAME" "The canonical name of an alias (RFC 1035 §3.3.1).";
        SOA = 6 "SOA" "The start of a zone of authority (RFC 1035 §3.3.13).";
        MB = 7 "MB" "A mailbox; experimental (RFC 1035 §3.3.3).";
        MG = 8 "MG" "A mail group member; experimental (RFC 1035 §3.3.6).";
        MR = 9 "MR" "A renamed mailbox; experimental (RFC 1035 §3.3.8).";
        NULL = 10 "NULL" "Anything; experimental (RFC 1035 §3.3.10).";
        WKS = 11 "WKS" "Well-known services (RFC 1035 §3.4.2).";
        PTR = 12 "PTR" "A pointer to a name (RFC 1035 §3.3.12).";
        HINFO = 13 "HINFO" "Host information (RFC 1035 §3.3.2), and the answer to ANY (RFC 8482).";
        MINFO = 14 "MINFO" "Mailbox information (RFC 1035 §3.3.7).";
        MX = 15 "MX" "A mail exchange (RFC 1035 §3.3.9).";
        TXT = 16 "TXT" "Text (RFC 1035 §3.3.14).";
        RP = 17 "RP" "A responsible person (RFC 1183 §2.2).";
        AFSDB = 18 "AFSDB" "An AFS cell database (RFC 1183 §1).";
        X25 = 19 "X25" "An X.25 address (RFC 1183 §3.1).";
        ISDN = 20 "ISDN" "An ISDN address (RFC 1183 §3.2).";
        RT = 21 "RT" "A route through (RFC 1183 §3.3).";
        NSAP = 22 "NSAP" "An NSAP address (RFC 1706).";
        SIG = 24 "SIG" "A signature, of old (RFC 2535), and SIG(0) (RFC 2931).";
        KEY = 25 "KEY" "A key, of old (RFC 2535).";
        PX = 26 "PX" "X.400 mail mapping (RFC 2163).";
        GPOS = 27 "GPOS" "A geographical position (RFC 1712).";
        AAAA = 28 "AAAA" "An IPv6 address (RFC 3596).";
        LOC = 29 "LOC" "A location (RFC 1876).";
        NXT = 30 "NXT" "The next name, of old (RFC 2535).";
        SRV = 33 "SRV" "A service's server (RFC 2782).";
        NAPTR = 35 "NAPTR" "A naming authority pointer (RFC 3403).";
        KX = 36 "KX" "A key exchanger (RFC 2230).";
        CERT = 37 "CERT" "A certificate (RFC 4398).";
        DNAME = 39 "DNAME" "A redirection of a subtree (RFC 6672).";
        OPT = 41 "OPT" "The EDNS pseudo-record (RFC 6891).";
        APL = 42 "APL" "Lists of address prefixes (RFC 3123).";
        DS = 43 "DS" "A delegation signer (RFC 4034).";
        SSHFP = 44 "SSHFP" "An SSH key fingerprint (RFC 4255).";
        IPSECKEY = 45 "IPSECKEY" "An IPsec key (RFC 4025).";
        RRSIG = 46 "RRSIG" "A signature over an RRset (RFC 4034).";
        NSEC = 47 "NSEC" "The next name and the types of this one (RFC 4034).";
        DNSKEY = 48 "DNSKEY" "A zone's key (RFC 4034).";
        DHCID = 49 "DHCID" "A DHCP client's identifier (RFC 4701).";
        NSEC3 = 50 "NSEC3" "The next hashed name (RFC 5155).";
        NSEC3PARAM = 51 "NSEC3PARAM" "How names are hashed (RFC 5155).";
        TLSA = 52 "TLSA" "A TLS certificate association (RFC 6698).";
        SMIMEA = 53 "SMIMEA" "An S/MIME certificate association (RFC 8162).";
        HIP = 55 "HIP" "A host identity (RFC 8005).";
        CDS = 59 "CDS" "A child's DS (RFC 7344).";
        CDNSKEY = 60 "CDNSKEY" "A child's DNSKEY (RFC 7344).";
        OPENPGPKEY = 61 "OPENPGPKEY" "An OpenPGP key (RFC 7929).";
        CSYNC = 62 "CSYNC" "Child-to-parent synchronisation (RFC 7477).";
        ZONEMD = 63 "ZONEMD" "A digest of the zone (RFC 8976).";
        SVCB = 64 "SVCB" "A service binding (RFC 9460).";
        HTTPS = 65 "HTTPS" "A service binding for HTTPS (RFC 9460).";
        SPF = 99 "SPF" "Sender policy, of old (RFC 7208 §3.1).";
        LP = 107 "LP" "A locator pointer (RFC 6742).";
        EUI48 = 108 "EUI48" "A MAC address (RFC 7043).";
        EUI64 = 109 "EUI64" "An EUI-64 address (RFC 7043).";
        TKEY = 249 "TKEY" "Key establishment (RFC 2930).";
        TSIG = 250 "TSIG" "A transaction signature (RFC 8945).";
        IXFR = 251 "IXFR" "An incremental transfer (RFC 1995).";
        AXFR = 252 "AXFR" "A transfer of a zone (RFC 5936).";
        MAILB = 253 "MAILB" "Any mailbox record; obsolete (RFC 1035 §3.2.3).";
        MAILA = 254 "MAILA" "Any mail agent record; obsolete (RFC 1035 §3.2.3).";
        ANY = 255 "ANY" "Whatever there is (RFC 1035 §3.2.3, RFC 8482).";
        URI = 256 "URI" "A URI (RFC 7553).";
        CAA = 257 "CAA" "Who may issue certificates (RFC 8659).";
    }

    pub(super) const TABLE: &[(u16, &str)] = NAMES;

    /// True for types that are never stored: 0, OPT, and the meta-types and QTYPEs 128–255 (RFC 6895 §3.1).
    pub const fn is_meta(rtype: u16) -> bool {
        matches!(rtype, 0 | OPT | 128..=255)
    }
}

/// CLASS and QCLASS values.
pub mod class {
    numbers! { NAMES:
        IN = 1 "IN" "The Internet (RFC 1035 §3.2.4).";
        CH = 3 "CH" "CHAOS: here, questions about the server itself.";
        HS = 4 "HS" "Hesiod.";
        NONE = 254 "NONE" "In updates: no such RRset (RFC 2136).";
        ANY = 255 "ANY" "Any class (RFC 1035 §3.2.5).";
    }

    pub(super) const TABLE: &[(u16, &str)] = NAMES;
}

/// Response codes, extended ones included (RFC 6895 §2.3).
pub mod rcode {
    numbers! { NAMES:
        NOERROR = 0 "NOERROR" "No error.";
        FORMERR = 1 "FORMERR" "The query could not be understood.";
        SERVFAIL = 2 "SERVFAIL" "The server failed.";
        NXDOMAIN = 3 "NXDOMAIN" "The name does not exist.";
        NOTIMP = 4 "NOTIMP" "This kind of query is not implemented.";
        REFUSED = 5 "REFUSED" "The server will not answer this.";
        YXDOMAIN = 6 "YXDOMAIN" "A name exists that should not; a DNAME's result is too long (RFC 6672 §2.2).";
        YXRRSET = 7 "YXRRSET" "An RRset exists that should not (RFC 2136).";
        NXRRSET = 8 "NXRRSET" "An RRset does not exist that should (RFC 2136).";
        NOTAUTH = 9 "NOTAUTH" "Not authoritative (RFC 2136), or not authorised (RFC 8945).";
        NOTZONE = 10 "NOTZONE" "A name outside the zone (RFC 2136).";
        BADVERS = 16 "BADVERS" "An EDNS version that is not implemented (RFC 6891 §9).";
        BADCOOKIE = 23 "BADCOOKIE" "A bad or missing server cookie (RFC 7873).";
    }

    pub(super) const TABLE: &[(u16, &str)] = NAMES;
}

/// Opcodes (RFC 6895 §2.2).
pub mod opcode {
    numbers! { NAMES:
        QUERY = 0 "QUERY" "A standard query.";
        IQUERY = 1 "IQUERY" "An inverse query; obsolete (RFC 3425).";
        STATUS = 2 "STATUS" "A server status request.";
        NOTIFY = 4 "NOTIFY" "A zone has changed (RFC 1996).";
        UPDATE = 5 "UPDATE" "A dynamic update (RFC 2136).";
        DSO = 6 "DSO" "Stateful operations (RFC 8490).";
    }

    pub(super) const TABLE: &[(u16, &str)] = NAMES;
}

/// EDNS option codes that mean something to us.
pub mod option {
    /// Name server identifier (RFC 5001).
    pub const NSID: u16 = 3;
    /// Client subnet (RFC 7871).
    pub const ECS: u16 = 8;
    /// Extended DNS error (RFC 8914).
    pub const EDE: u16 = 15;
}

/// Info codes of extended DNS errors (RFC 8914 §4), those that an authoritative server can mean.
pub mod ede {
    /// Something that no other code says; the text tells.
    pub const OTHER: u16 = 0;
    /// The server is not ready yet.
    pub const NOT_READY: u16 = 14;
    /// Blocked by policy of the server's operator.
    pub const BLOCKED: u16 = 15;
    /// Filtered, as the client asked.
    pub const FILTERED: u16 = 17;
    /// The client may not ask this.
    pub const PROHIBITED: u16 = 18;
    /// Not a server for this name.
    pub const NOT_AUTHORITATIVE: u16 = 20;
    /// The operation or type asked for is not supported.
    pub const NOT_SUPPORTED: u16 = 21;
    /// There is a zone, but its data can not be used.
    pub const INVALID_DATA: u16 = 24;
}

/// A type as people write it: `AAAA`, `TYPE1234`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeName(pub u16);

/// A class as people write it: `IN`, `CLASS1234`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassName(pub u16);

/// A response code as people write it: `NXDOMAIN`, `RCODE77`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RcodeName(pub u16);

/// An opcode as people write it: `NOTIFY`, `OPCODE9`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpcodeName(pub u16);

fn write_name(f: &mut fmt::Formatter<'_>, table: &[(u16, &str)], word: &str, number: u16) -> fmt::Result {
    match table.iter().find(|entry| entry.0 == number) {
        Some((_, name)) => f.pad(name),
        None => write!(f, "{word}{number}"),
    }
}

fn number(text: &str, table: &[(u16, &str)], word: &str) -> Option<u16> {
    if let Some((number, _)) = table.iter().find(|entry| entry.1.eq_ignore_ascii_case(text)) {
        return Some(*number);
    }
    let (head, digits) = text.split_at_checked(word.len())?;
    let plain = head.eq_ignore_ascii_case(word) && digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

impl TypeName {
    /// The type that people call so, in any case; `*` is ANY. `None` when nobody does.
    pub fn parse(text: &str) -> Option<TypeName> {
        if text == "*" {
            return Some(TypeName(rtype::ANY));
        }
        number(text, rtype::TABLE, "TYPE").map(TypeName)
    }
}

impl ClassName {
    /// The class that people call so, in any case. `None` when nobody does.
    pub fn parse(text: &str) -> Option<ClassName> {
        number(text, class::TABLE, "CLASS").map(ClassName)
    }
}

impl RcodeName {
    /// The response code that people call so, in any case. `None` when nobody does.
    pub fn parse(text: &str) -> Option<RcodeName> {
        number(text, rcode::TABLE, "RCODE").map(RcodeName)
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, rtype::TABLE, "TYPE", self.0)
    }
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, class::TABLE, "CLASS", self.0)
    }
}

impl fmt::Display for RcodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, rcode::TABLE, "RCODE", self.0)
    }
}

impl fmt::Display for OpcodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, opcode::TABLE, "OPCODE", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_and_class_can_be_written_and_read_back() {
        for n in 0..=u16::MAX {
            assert_eq!(TypeName::parse(&TypeName(n).to_string()), Some(TypeName(n)));
            assert_eq!(ClassName::parse(&ClassName(n).to_string().to_lowercase()), Some(ClassName(n)));
            assert_eq!(RcodeName::parse(&RcodeName(n).to_string()), Some(RcodeName(n)));
        }
        assert_eq!(TypeName::parse("*"), Some(TypeName(rtype::ANY)));
        assert_eq!(OpcodeName(opcode::NOTIFY).to_string(), "NOTIFY");
        assert_eq!(OpcodeName(9).to_string(), "OPCODE9");
    }

    #[test]
    fn rfc3597_unknown_types_are_written_with_their_number() {
        assert_eq!(TypeName(1234).to_string(), "TYPE1234");
        assert_eq!(TypeName::parse("type28"), Some(TypeName(rtype::AAAA)));
        for wrong in ["", "TYPE", "TYPE+1", "TYPE65536", "TYP1", "NOSUCH", "TYPE1 ", "ÄÖ"] {
            assert_eq!(TypeName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_numbers_are_those_of_another_library() {
        for &(number, name) in rtype::TABLE {
            let theirs: domain::base::iana::Rtype = name.parse().expect("a known type");
            assert_eq!(theirs.to_int(), number, "{name}");
        }
    }
}
