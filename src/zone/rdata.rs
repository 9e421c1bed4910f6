//! Record data: from presentation form to wire form, names uncompressed and with their case.
//!
//! Types that are a list of fields are read here, field by field. The others go through hickory-proto's parser,
//! each as a master file of one line; that parser says nothing about positions and does not understand `\DDD`
//! in data, so such escapes are refused for those types. Any type may be written in the generic form of
//! RFC 3597 §5; data of a type that we know must then still be well-formed.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::{HTTPS, SVCB};
use hickory_proto::rr::{DNSClass, RData, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use hickory_proto::serialize::txt::Parser;

use crate::model::NameError;
use crate::wire::name::{Shown, wire_len};
use crate::wire::rdata::check;
use crate::wire::types::{TypeName, rtype};

use super::grammar::{Field, Grammar, grammar};
use super::lex::Token;
use super::name;

/// Why record data can not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DataError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("nothing more may follow in the data of this type")]
    Extra,
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("'\\' must be followed by a character or by three digits up to 255")]
    Escape,
    #[error("a character-string has at most 255 octets; split it into several")]
    StringTooLong,
    #[error("quotes inside a word; put the whole string in quotes")]
    Mixed,
    #[error("the data is longer than 65535 octets")]
    TooLong,
    #[error("the length says {said} octets, but there are {there}")]
    Length { said: usize, there: usize },
    #[error("the data is not well-formed for its type")]
    Malformed,
    #[error("this type can only be written in the generic form, \\# LENGTH HEX (RFC 3597)")]
    GenericOnly,
    #[error("parameter given twice")]
    Twice,
    #[error("{0}")]
    Library(String),
}

/// What is wrong, and with which token; a position beyond the last means that something is missing behind it.
pub(super) type DataResult<T> = Result<T, (usize, DataError)>;

/// Appends the data that `tokens` write for `rtype` to `out`. On an error `out` may have grown.
pub(super) fn read(rtype: u16, tokens: &[Token<'_>], origin: &[u8], out: &mut Vec<u8>) -> DataResult<()> {
    let from = out.len();
    if tokens.first().is_some_and(|token| !token.quoted && token.raw == b"\\#") {
        generic(rtype, tokens, out)?;
    } else {
        match grammar(rtype) {
            Grammar::Fields(fields) => read_fields(fields, tokens, origin, out)?,
            Grammar::Library => library(rtype, tokens, origin, out)?,
            Grammar::Generic | Grammar::Signer | Grammar::Meta => return Err((0, DataError::GenericOnly)),
        }
    }
    if out.len() - from > usize::from(u16::MAX) { Err((0, DataError::TooLong)) } else { Ok(()) }
}

fn read_fields(fields: &[Field], tokens: &[Token<'_>], origin: &[u8], out: &mut Vec<u8>) -> DataResult<()> {
    let mut at = 0;
    for &field in fields {
        let Some(token) = tokens.get(at) else { return Err((at, DataError::Missing(describe(field)))) };
        let taken = match field {
            Field::Strings => {
                for (more, token) in tokens[at..].iter().enumerate() {
                    string(token, out).map_err(|error| (at + more, error))?;
                }
                tokens.len() - at
            }
            Field::Hex => {
                hex(&tokens[at..], out).map_err(|(more, error)| (at + more, error))?;
                tokens.len() - at
            }
            single => {
                read_field(single, token, origin, out).map_err(|error| (at, error))?;
                1
            }
        };
        at += taken;
    }
    if at < tokens.len() { Err((at, DataError::Extra)) } else { Ok(()) }
}

fn read_field(field: Field, token: &Token<'_>, origin: &[u8], out: &mut Vec<u8>) -> Result<(), DataError> {
    let expected = || DataError::Expected(describe(field));
    match field {
        Field::U8 => out.push(number(token.raw).and_then(|n| u8::try_from(n).ok()).ok_or_else(expected)?),
        Field::U16 => {
            let value = number(token.raw).and_then(|n| u16::try_from(n).ok()).ok_or_else(expected)?;
            out.extend_from_slice(&value.to_be_bytes());
        }
        Field::U32 => out.extend_from_slice(&number(token.raw).ok_or_else(expected)?.to_be_bytes()),
        Field::Time => out.extend_from_slice(&time(token.raw).ok_or_else(expected)?.to_be_bytes()),
        Field::Name if token.quoted || token.mixed => return Err(expected()),
        Field::Name => name::read(token.raw, origin, out)?,
        Field::Ipv4 => {
            let address: Ipv4Addr = text(token.raw).and_then(|text| text.parse().ok()).ok_or_else(expected)?;
            out.extend_from_slice(&address.octets());
        }
        Field::Ipv6 => {
            let address: Ipv6Addr = text(token.raw).and_then(|text| text.parse().ok()).ok_or_else(expected)?;
            out.extend_from_slice(&address.octets());
        }
        Field::String | Field::Strings => string(token, out)?,
        Field::Tag => {
            let fits = token.raw.len() <= 255 && token.raw.iter().all(u8::is_ascii_alphanumeric);
            if token.raw.is_empty() || !fits {
                return Err(expected());
            }
            out.push(token.raw.len() as u8);
            out.extend_from_slice(token.raw);
        }
        Field::Text => unescape(token, out)?,
        Field::Hex => hex(std::slice::from_ref(token), out).map_err(|(_, error)| error)?,
    }
    Ok(())
}

fn describe(field: Field) -> &'static str {
    match field {
        Field::U8 => "a number up to 255",
        Field::U16 => "a number up to 65535",
        Field::U32 => "a number up to 4294967295",
        Field::Time => "a time: seconds, or a number with units such as 1h30m",
        Field::Name => "a domain name",
        Field::Ipv4 => "an IPv4 address",
        Field::Ipv6 => "an IPv6 address",
        Field::String | Field::Strings | Field::Text => "a string",
        Field::Tag => "a property tag of letters and digits",
        Field::Hex => "hexadecimal digits, two for each octet",
    }
}

fn text(raw: &[u8]) -> Option<&str> {
    std::str::from_utf8(raw).ok()
}

fn number(raw: &[u8]) -> Option<u32> {
    // `parse` would take a leading plus sign.
    raw.iter().all(u8::is_ascii_digit).then(|| text(raw)?.parse().ok()).flatten()
}

/// Seconds, or numbers with units: weeks, days, hours, minutes, seconds, in any case and order; the last number
/// may do without. `None` when it is no time or does not fit 32 bits.
pub(super) fn time(raw: &[u8]) -> Option<u32> {
    let (mut total, mut value) = (0_u32, None::<u32>);
    for &octet in raw {
        let unit = match octet.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                value = Some(value.unwrap_or(0).checked_mul(10)?.checked_add(u32::from(digit - b'0'))?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(value.take()?.checked_mul(unit)?)?;
    }
    if raw.is_empty() { None } else { total.checked_add(value.unwrap_or(0)) }
}

fn string(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), DataError> {
    if token.mixed {
        return Err(DataError::Mixed);
    }
    let len_at = out.len();
    out.push(0);
    unescape(token, out)?;
    out[len_at] = u8::try_from(out.len() - len_at - 1).map_err(|_| DataError::StringTooLong)?;
    Ok(())
}

fn unescape(token: &Token<'_>, out: &mut Vec<u8>) -> Result<(), DataError> {
    if !token.escaped {
        out.extend_from_slice(token.raw);
        return Ok(());
    }
    let mut at = 0;
    while let Some(&octet) = token.raw.get(at) {
        at += 1;
        if octet == b'\\' {
            let (octet, taken) = name::unescape(&token.raw[at..]).ok_or(DataError::Escape)?;
            at += taken;
            out.push(octet);
        } else {
            out.push(octet);
        }
    }
    Ok(())
}

fn hex(tokens: &[Token<'_>], out: &mut Vec<u8>) -> DataResult<()> {
    let mut high = None;
    for (at, token) in tokens.iter().enumerate() {
        for &octet in token.raw {
            let digit = char::from(octet).to_digit(16);
            let digit = digit.ok_or((at, DataError::Expected(describe(Field::Hex))))? as u8;
            match high.take() {
                None => high = Some(digit << 4),
                Some(high) => out.push(high | digit),
            }
        }
    }
    match high {
        Some(_) => Err((tokens.len() - 1, DataError::Expected(describe(Field::Hex)))),
        None => Ok(()),
    }
}

/// `\# LENGTH HEX…` (RFC 3597 §5).
fn generic(rtype: u16, tokens: &[Token<'_>], out: &mut Vec<u8>) -> DataResult<()> {
    let from = out.len();
    let len = tokens.get(1).ok_or((1, DataError::Missing("the length of the data")))?;
    let len = number(len.raw).and_then(|len| u16::try_from(len).ok());
    let said = usize::from(len.ok_or((1, DataError::Expected("the length of the data in octets")))?);
    hex(tokens.get(2..).unwrap_or_default(), out).map_err(|(at, error)| (at + 2, error))?;
    let there = out.len() - from;
    if said != there {
        return Err((1, DataError::Length { said, there }));
    }
    let data = &out[from..];
    let fits = match grammar(rtype) {
        Grammar::Fields(fields) => fields_fit(fields, data),
        Grammar::Library => library_fits(rtype, data),
        Grammar::Generic | Grammar::Signer | Grammar::Meta => true,
    };
    if fits && check(rtype, data).is_ok() { Ok(()) } else { Err((0, DataError::Malformed)) }
}

fn fields_fit(fields: &[Field], data: &[u8]) -> bool {
    let mut at = 0;
    for field in fields {
        let rest = &data[at..];
        let len = match field {
            Field::U8 => Some(1),
            Field::U16 => Some(2),
            Field::U32 | Field::Time | Field::Ipv4 => Some(4),
            Field::Ipv6 => Some(16),
            Field::Name => wire_len(rest),
            Field::String => rest.first().map(|&len| 1 + usize::from(len)),
            Field::Tag => rest.first().filter(|&&len| len > 0).map(|&len| 1 + usize::from(len)),
            Field::Strings => {
                let mut end = 0;
                while let Some(&len) = rest.get(end) {
                    end += 1 + usize::from(len);
                }
                (end > 0).then_some(end)
            }
            Field::Text => Some(rest.len()),
            Field::Hex => (!rest.is_empty()).then_some(rest.len()),
        };
        match len {
            Some(len) if len <= rest.len() => at += len,
            _ => return false,
        }
    }
    at == data.len()
}

fn library(rtype: u16, tokens: &[Token<'_>], origin: &[u8], out: &mut Vec<u8>) -> DataResult<()> {
    let mut line = format!(". 0 IN {}", TypeName(rtype));
    for (at, token) in tokens.iter().enumerate() {
        let written = text(token.raw).ok_or((at, DataError::Expected("plain text")))?;
        if token.escaped && written.as_bytes().windows(2).any(|pair| pair[0] == b'\\' && pair[1].is_ascii_digit()) {
            return Err((at, DataError::GenericOnly));
        }
        line.push(' ');
        match (rtype, at, token.quoted) {
            (rtype::SVCB | rtype::HTTPS, 1, false) => line.push_str(&absolute(written, origin).map_err(|e| (at, e))?),
            (_, _, true) => line.extend(["\"", written, "\""]),
            (_, _, false) => line.push_str(written),
        }
    }
    line.push('\n');
    let (_, sets) = Parser::new(line, None, Some(hickory_proto::rr::Name::root()))
        .parse()
        .map_err(|error| (0, DataError::Library(error.to_string())))?;
    let data = sets.into_values().next().and_then(|set| set.records_without_rrsigs().next().map(|r| r.data.clone()));
    let octets = match data {
        Some(RData::SVCB(binding)) => RData::SVCB(in_key_order(binding)?).to_bytes(),
        Some(RData::HTTPS(HTTPS(binding))) => RData::HTTPS(HTTPS(in_key_order(binding)?)).to_bytes(),
        Some(other) => other.to_bytes(),
        None => return Err((0, DataError::Malformed)),
    };
    out.extend(octets.map_err(|error| (0, DataError::Library(error.to_string())))?);
    Ok(())
}

/// Parameters are written in any order and sent in ascending order, each at most once (RFC 9460 §2.1, §2.2).
fn in_key_order(mut binding: SVCB) -> DataResult<SVCB> {
    binding.svc_params.sort_by_key(|(key, _)| u16::from(*key));
    match binding.svc_params.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        true => Err((2, DataError::Twice)),
        false => Ok(binding),
    }
}

/// The same name with a final dot.
fn absolute(written: &str, origin: &[u8]) -> Result<String, DataError> {
    let mut wire = Vec::new();
    name::read(written.as_bytes(), origin, &mut wire)?;
    let is_absolute = name::read(written.as_bytes(), &[0], &mut Vec::new()).is_ok() && written.ends_with('.');
    Ok(match written {
        "@" => Shown(origin).to_string(),
        _ if is_absolute && !written.ends_with("\\.") => written.to_string(),
        _ if origin == [0] => format!("{written}."),
        _ => format!("{written}.{}", Shown(origin)),
    })
}

/// Hickory reads the data and writes the same octets again: so it has no compressed names and no slack.
fn library_fits(rtype: u16, data: &[u8]) -> bool {
    let mut record = vec![0];
    record.extend(rtype.to_be_bytes());
    record.extend(u16::from(DNSClass::IN).to_be_bytes());
    record.extend([0; 4]);
    record.extend((data.len() as u16).to_be_bytes());
    record.extend_from_slice(data);
    Record::<RData>::from_bytes(&record).is_ok_and(|read| read.data.to_bytes().is_ok_and(|again| again == data))
}
