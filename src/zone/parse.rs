//! Reading a master file: directives, owners, TTLs, classes and types of its entries.

use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::limits::{INCLUDE_DEPTH_MAX, INCLUDE_FILES_MAX, TTL_MAX_S, ZONE_FILE_LEN_MAX};
use crate::model::Name;
use crate::wire::types::{TypeName, rtype};

use super::findings::{Findings, at_spot};
use super::grammar::{Grammar, grammar};
use super::lex::{Entry, Lexer, Spot, Token};
use super::parsed::{ParsedZone, Place, Raw, RawRecord};
use super::{name, rdata};

/// What `$INCLUDE` needs: the octets of the file of that path, or why there are none. The path is the one
/// written, joined to the directory of the including file unless it is absolute.
pub type Source<'a> = dyn FnMut(&str) -> Result<Vec<u8>, String> + 'a;

/// The largest TTL that there is (RFC 2181 §8).
const TTL_PROTOCOL_MAX_S: u32 = i32::MAX as u32;

/// No type beyond has a presentation format that is read here: CAA.
const TYPE_NAMED_MAX: u16 = rtype::CAA;

/// Reads a master file (RFC 1035 §5). `file` is its path, for messages and for the paths of what it includes;
/// `origin` is the origin until `$ORIGIN` says otherwise. The zone's apex is the owner of its SOA.
///
/// Reports everything that is wrong in the file and that can be seen from it alone; codes of errors:
/// `zone-syntax`, `zone-directive`, `zone-include`, `zone-name`, `zone-ttl`, `zone-class`, `zone-type`,
/// `zone-data`, `zone-too-large`, and those of the zone as a whole: `no-soa`, `two-soa`, `soa-not-apex`,
/// `no-apex-ns`, `out-of-zone`, `cname-and-data`, `two-cname`, `two-dname`, `below-dname`, `wildcard-ns`,
/// `wildcard-dname`, `rrset-too-large`. Warnings: `duplicate-record`, `ttl-differs`, `occluded`, `no-ttl`,
/// `dnssec-ignored`.
pub fn parse(file: &str, text: &[u8], origin: &Name, include: &mut Source<'_>) -> (ParsedZone, Vec<Diagnostic>) {
    let mut reader = Reader {
        include,
        raw: Raw::default(),
        findings: Findings::default(),
        default_ttl: None,
        last_ttl: None,
        octets: 0,
        full: false,
    };
    let mut open = Vec::new();
    reader.read_file(file, text, origin.as_wire(), &mut open, None);
    let Reader { raw, mut findings, .. } = reader;
    let zone = ParsedZone::assemble(raw, origin, &mut findings);
    (zone, findings.finish())
}

struct Reader<'i, 's> {
    include: &'i mut Source<'s>,
    raw: Raw,
    findings: Findings,
    /// `$TTL`.
    default_ttl: Option<u32>,
    /// The last one that stood in an entry.
    last_ttl: Option<u32>,
    /// Of all files so far.
    octets: u64,
    /// A bound was reached: nothing more is read.
    full: bool,
}

/// The owner that an indented entry has.
#[derive(Clone, Copy)]
enum Owner {
    None,
    /// It could not be read, which has been reported; its entries are passed over.
    Bad,
    Known(u32),
}

/// One file while it is read.
struct File<'t> {
    name: Arc<str>,
    number: u16,
    text: &'t [u8],
    origin: Vec<u8>,
    owner: Owner,
}

/// Where a finding goes: the file and the place in it.
type Including<'f> = (&'f File<'f>, Spot);

impl Reader<'_, '_> {
    /// `open` are the paths of the files that are being read, outermost first.
    fn read_file(
        &mut self,
        path: &str,
        text: &[u8],
        origin: &[u8],
        open: &mut Vec<Arc<str>>,
        from: Option<Including<'_>>,
    ) {
        let name: Arc<str> = path.into();
        self.octets = self.octets.saturating_add(text.len() as u64);
        if self.octets > ZONE_FILE_LEN_MAX {
            let finding = Diagnostic::error(
                "zone-too-large",
                format!("{path}: with what it includes, the file is larger than {ZONE_FILE_LEN_MAX} octets"),
            );
            self.findings.push(match from {
                Some((file, spot)) => at_spot(finding, &file.name, file.text, spot),
                None => finding,
            });
            self.full = true;
            return;
        }
        let number = self.raw.add_file(&name);
        let mut file = File { name: Arc::clone(&name), number, text, origin: origin.to_vec(), owner: Owner::None };
        open.push(name);
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        while !self.full
            && let Some(entry) = lexer.next(&mut tokens)
        {
            self.entry(&mut file, &entry, &tokens, open);
        }
        open.pop();
    }

    fn error(&mut self, file: &File<'_>, spot: Spot, code: &'static str, message: impl Into<String>) {
        self.findings.push(at_spot(Diagnostic::error(code, message), &file.name, file.text, spot));
    }

    fn entry(&mut self, file: &mut File<'_>, entry: &Entry, tokens: &[Token<'_>], open: &mut Vec<Arc<str>>) {
        let mut data = tokens;
        if let Some((error, spot)) = entry.error {
            self.error(file, spot, "zone-syntax", error.to_string());
        }
        if !entry.indented {
            let Some((first, rest)) = tokens.split_first() else {
                file.owner = Owner::Bad;
                return;
            };
            if !first.quoted && first.raw.starts_with(b"$") {
                if entry.error.is_none() {
                    self.directive(file, first, rest, open);
                }
                return;
            }
            file.owner = self.owner(file, first);
            data = rest;
        }
        if entry.error.is_none()
            && let Some(first) = tokens.first()
        {
            self.record(file, first.spot, data);
        }
    }

    fn owner(&mut self, file: &File<'_>, token: &Token<'_>) -> Owner {
        let read = match token.quoted || token.mixed {
            true => Err("an owner name does not stand in quotes".to_string()),
            false => self.raw.owner(token.raw, &file.origin).map_err(|error| error.to_string()),
        };
        match read {
            Ok(owner) => Owner::Known(owner),
            Err(error) => {
                let message = format!("the owner '{}' is no name: {error}", lossy(token.raw));
                self.error(file, token.spot, "zone-name", message);
                Owner::Bad
            }
        }
    }

    /// `first` is where the entry begins; `tokens` are those behind the owner.
    fn record(&mut self, file: &File<'_>, first: Spot, tokens: &[Token<'_>]) {
        let owner = match file.owner {
            Owner::Known(owner) => owner,
            Owner::Bad => return,
            Owner::None => {
                let message = "the first entry of a file can not be indented: there is no owner before it";
                self.error(file, first, "zone-name", message);
                return;
            }
        };
        let Some((ttl, type_at)) = self.ttl_and_class(file, tokens) else { return };
        let Some(type_token) = tokens.get(type_at) else {
            let spot = tokens.last().map_or(first, |last| last.spot);
            self.error(file, spot, "zone-type", "the record type is missing");
            return;
        };
        let Some(rtype) = self.record_type(file, type_token) else { return };
        let data_at = self.raw.data.len();
        if let Err((which, error)) = rdata::read(rtype, &tokens[type_at + 1..], &file.origin, &mut self.raw.data) {
            self.raw.data.truncate(data_at);
            self.data_error(file, rtype, &tokens[type_at..], which, &error);
            return;
        }
        let data_len = self.raw.data.len() - data_at;
        let Some(ttl) = self.ttl(file, ttl, rtype, data_at, type_token) else {
            self.raw.data.truncate(data_at);
            return;
        };
        let column = u16::try_from(first.at - first.line_at + 1).unwrap_or(u16::MAX);
        let place = Place { file: file.number, column, line: first.line };
        let fits = u32::try_from(self.raw.data.len()).is_ok() && u32::try_from(self.raw.names.len()).is_ok();
        if !fits {
            let message = "the zone takes more than 4 GiB in memory; nothing more of it is read";
            self.error(file, first, "zone-too-large", message);
            self.full = true;
            return;
        }
        let data_len = u16::try_from(data_len).expect("rdata::read bounds it");
        self.raw.records.push(RawRecord { owner, rtype, data_len, ttl, data_at: data_at as u32, place });
    }

    /// The explicit TTL, if any, and the position of the type. `None` after an error.
    fn ttl_and_class(&mut self, file: &File<'_>, tokens: &[Token<'_>]) -> Option<(Option<u32>, usize)> {
        let (mut ttl, mut class_seen, mut at) = (None, false, 0);
        while let Some(token) = tokens.get(at).filter(|token| !token.quoted) {
            if ttl.is_none() && token.raw.first().is_some_and(u8::is_ascii_digit) {
                ttl = Some(self.time_to_live(file, token)?);
            } else if !class_seen && let Some(class) = class(token.raw) {
                if class != 1 {
                    let message = format!("class {}: only IN is served", lossy(token.raw));
                    self.error(file, token.spot, "zone-class", message);
                    return None;
                }
                class_seen = true;
            } else {
                break;
            }
            at += 1;
        }
        Some((ttl, at))
    }

    fn time_to_live(&mut self, file: &File<'_>, token: &Token<'_>) -> Option<u32> {
        let written = lossy(token.raw);
        let message = match rdata::time(token.raw) {
            Some(ttl) if ttl <= TTL_MAX_S => return Some(ttl),
            Some(ttl) if ttl <= TTL_PROTOCOL_MAX_S => {
                format!("TTL {written} is longer than the {TTL_MAX_S} s (a week) that are served at most")
            }
            Some(_) => format!("TTL {written} is larger than 2147483647, the largest there is (RFC 2181 §8)"),
            None => format!("'{written}' is no TTL: seconds, or a number with units such as 1h30m"),
        };
        self.error(file, token.spot, "zone-ttl", message);
        None
    }

    fn record_type(&mut self, file: &File<'_>, token: &Token<'_>) -> Option<u16> {
        let written = lossy(token.raw);
        let Some(TypeName(rtype)) =
            std::str::from_utf8(token.raw).ok().and_then(TypeName::parse).filter(|_| !token.quoted)
        else {
            let finding = Diagnostic::error("zone-type", format!("'{written}' is no record type"));
            let nearest = (0..=TYPE_NAMED_MAX)
                .filter(|&rtype| matches!(grammar(rtype), Grammar::Fields(_) | Grammar::Library))
                .map(|rtype| TypeName(rtype).to_string())
                .map(|name| (strsim::damerau_levenshtein(&name, &written.to_ascii_uppercase()), name))
                .min()
                .filter(|(distance, name)| *distance <= 2 && *distance < name.len());
            let finding = match nearest {
                Some((_, name)) => finding.help(format!("did you mean {name}?")),
                None => finding.expected("[TTL] [IN] TYPE DATA"),
            };
            self.findings.push(at_spot(finding, &file.name, file.text, token.spot));
            return None;
        };
        match grammar(rtype) {
            Grammar::Fields(_) | Grammar::Library | Grammar::Generic => Some(rtype),
            Grammar::Signer => {
                let message = format!(
                    "{written} is left out: zones are not signed, and signatures made elsewhere are not served"
                );
                self.findings.push(at_spot(
                    Diagnostic::warning("dnssec-ignored", message),
                    &file.name,
                    file.text,
                    token.spot,
                ));
                None
            }
            Grammar::Meta => {
                self.error(file, token.spot, "zone-type", format!("{written} never stands in a zone"));
                None
            }
        }
    }

    /// The TTL that a record without one has: `$TTL` (RFC 2308 §4), else that of the record before (RFC 1035
    /// §5.1), else, for a SOA, its MINIMUM.
    fn ttl(
        &mut self,
        file: &File<'_>,
        explicit: Option<u32>,
        rtype: u16,
        data_at: usize,
        type_token: &Token<'_>,
    ) -> Option<u32> {
        if explicit.is_some() {
            self.last_ttl = explicit;
        }
        if let Some(ttl) = explicit.or(self.default_ttl).or(self.last_ttl) {
            return Some(ttl);
        }
        if rtype == rtype::SOA
            && let Some(minimum) = self.raw.data[data_at..].last_chunk::<4>()
        {
            let ttl = u32::from_be_bytes(*minimum).min(TTL_MAX_S);
            self.last_ttl = Some(ttl);
            let finding = Diagnostic::warning("no-ttl", format!("no TTL: the SOA's MINIMUM, {ttl} s, is used"));
            let finding = finding.help("begin the file with a $TTL line");
            self.findings.push(at_spot(finding, &file.name, file.text, type_token.spot));
            return Some(ttl);
        }
        let finding = Diagnostic::error("zone-ttl", "no TTL: there is neither one here, nor $TTL, nor one before");
        let finding = finding.help("begin the file with a $TTL line");
        self.findings.push(at_spot(finding, &file.name, file.text, type_token.spot));
        None
    }

    /// `tokens` begin with the type; `which` counts from the first token of the data.
    fn data_error(
        &mut self,
        file: &File<'_>,
        rtype: u16,
        tokens: &[Token<'_>],
        which: usize,
        error: &rdata::DataError,
    ) {
        let token = tokens.get(which + 1).or(tokens.last());
        let Some(token) = token else { return };
        let written = match tokens.get(which + 1) {
            Some(token) => format!(", at '{}'", lossy(token.raw)),
            None => String::new(),
        };
        self.error(file, token.spot, "zone-data", format!("{} record{written}: {error}", TypeName(rtype)));
    }

    fn directive(&mut self, file: &mut File<'_>, word: &Token<'_>, rest: &[Token<'_>], open: &mut Vec<Arc<str>>) {
        let extra = |from: usize| rest.get(from).map(|token| token.spot);
        if word.raw.eq_ignore_ascii_case(b"$ORIGIN") {
            match (rest.first(), extra(1)) {
                (Some(token), None) => {
                    if let Some(origin) = self.origin(file, token) {
                        file.origin = origin;
                    }
                }
                (_, spot) => {
                    self.error(file, spot.unwrap_or(word.spot), "zone-directive", "expected: $ORIGIN NAME");
                }
            }
        } else if word.raw.eq_ignore_ascii_case(b"$TTL") {
            match (rest.first(), extra(1)) {
                (Some(token), None) => {
                    if let Some(ttl) = self.time_to_live(file, token) {
                        self.default_ttl = Some(ttl);
                    }
                }
                (_, spot) => self.error(file, spot.unwrap_or(word.spot), "zone-directive", "expected: $TTL TIME"),
            }
        } else if word.raw.eq_ignore_ascii_case(b"$INCLUDE") {
            match (rest.first(), extra(2)) {
                (Some(path), None) => {
                    let origin = match rest.get(1) {
                        Some(token) => self.origin(file, token),
                        None => Some(file.origin.clone()),
                    };
                    if let Some(origin) = origin {
                        self.include(file, path, &origin, open);
                    }
                }
                (_, spot) => {
                    self.error(file, spot.unwrap_or(word.spot), "zone-directive", "expected: $INCLUDE FILE [ORIGIN]");
                }
            }
        } else {
            let written = lossy(word.raw);
            let finding = Diagnostic::error("zone-directive", format!("{written} is no directive that is understood"));
            let finding = finding.expected("$ORIGIN, $TTL or $INCLUDE");
            self.findings.push(at_spot(finding, &file.name, file.text, word.spot));
        }
    }

    fn origin(&mut self, file: &File<'_>, token: &Token<'_>) -> Option<Vec<u8>> {
        let mut wire = Vec::new();
        match name::read(token.raw, &file.origin, &mut wire) {
            Ok(()) => Some(wire),
            Err(error) => {
                let message = format!("the origin '{}' is no name: {error}", lossy(token.raw));
                self.error(file, token.spot, "zone-name", message);
                None
            }
        }
    }

    fn include(&mut self, file: &File<'_>, token: &Token<'_>, origin: &[u8], open: &mut Vec<Arc<str>>) {
        let path = join(&file.name, &lossy(token.raw));
        let refused = if open.iter().any(|open| **open == *path) {
            Some(format!("{path} includes itself"))
        } else if open.len() > INCLUDE_DEPTH_MAX {
            Some(format!("files include each other more than {INCLUDE_DEPTH_MAX} deep"))
        } else if self.raw.file_count() > INCLUDE_FILES_MAX {
            Some(format!("more than {INCLUDE_FILES_MAX} files are included"))
        } else {
            None
        };
        if let Some(message) = refused {
            self.error(file, token.spot, "zone-include", message);
            return;
        }
        match (self.include)(&path) {
            Ok(text) => self.read_file(&path, &text, origin, open, Some((file, token.spot))),
            Err(error) => self.error(file, token.spot, "zone-include", format!("{path}: {error}")),
        }
    }
}

fn lossy(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).into_owned()
}

fn class(raw: &[u8]) -> Option<u16> {
    let known: [(&[u8], u16); 6] = [(b"IN", 1), (b"CH", 3), (b"HS", 4), (b"CS", 2), (b"NONE", 254), (b"ANY", 255)];
    let found = known.iter().find(|(name, _)| raw.eq_ignore_ascii_case(name));
    match (found, raw.split_at_checked(5)) {
        (Some((_, class)), _) => Some(*class),
        (None, Some((word, digits))) if word.eq_ignore_ascii_case(b"CLASS") => {
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
        (None, _) => None,
    }
}

/// `path` as seen from `including`: relative to its directory.
fn join(including: &str, path: &str) -> String {
    let path = path.trim_start_matches("./");
    match including.rsplit_once('/') {
        Some((directory, _)) if !path.starts_with('/') => format!("{directory}/{path}"),
        _ => path.to_string(),
    }
}
