//! One zone as it was read: sorted, grouped into RRsets, checked for what can be seen from it alone.

use std::collections::HashSet;
use std::sync::Arc;

use crate::diag::Diagnostic;
use crate::model::{Name, NameError, Origin};
use crate::wire::name::Shown;
use crate::wire::rdata::fold;
use crate::wire::types::{TypeName, rtype};
use crate::wire::{RrsetBuf, RrsetRef};

use super::findings::Findings;
use super::name;

/// Where a record was written. Columns count octets here, and are capped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) file: u16,
    pub(super) column: u16,
    pub(super) line: u32,
}

/// A record as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawRecord {
    /// Position in [`Raw::owners`].
    pub(super) owner: u32,
    pub(super) rtype: u16,
    pub(super) data_len: u16,
    pub(super) ttl: u32,
    pub(super) data_at: u32,
    pub(super) place: Place,
}

/// Everything that was read, in the order of reading.
#[derive(Debug, Default)]
pub(super) struct Raw {
    /// Lower case.
    pub(super) names: Vec<u8>,
    owners: Vec<NameAt>,
    pub(super) records: Vec<RawRecord>,
    pub(super) data: Vec<u8>,
    files: Vec<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
struct NameAt {
    at: u32,
    len: u8,
}

impl NameAt {
    fn of(self, names: &[u8]) -> &[u8] {
        &names[self.at as usize..self.at as usize + usize::from(self.len)]
    }
}

impl Raw {
    /// The number under which places name a file.
    pub(super) fn add_file(&mut self, name: &Arc<str>) -> u16 {
        self.files.push(Arc::clone(name));
        u16::try_from(self.files.len() - 1).expect("the number of files is bounded")
    }

    pub(super) fn file_count(&self) -> usize {
        self.files.len()
    }

    /// The owner that `text` names; the last one again when it is the same.
    pub(super) fn owner(&mut self, text: &[u8], origin: &[u8]) -> Result<u32, NameError> {
        let at = self.names.len();
        if let Err(error) = name::read(text, origin, &mut self.names) {
            self.names.truncate(at);
            return Err(error);
        }
        self.names[at..].make_ascii_lowercase();
        let same = self.owners.last().is_some_and(|last| last.of(&self.names) == &self.names[at..]);
        if same {
            self.names.truncate(at);
        } else {
            let len = u8::try_from(self.names.len() - at).expect("a name has at most 255 octets");
            // Names are bounded to 32-bit offsets when a record is added.
            self.owners.push(NameAt { at: u32::try_from(at).unwrap_or(u32::MAX), len });
        }
        Ok(u32::try_from(self.owners.len() - 1).unwrap_or(u32::MAX))
    }
}

/// A name that owns something.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnerEntry {
    pub(super) name_at: u32,
    pub(super) sets_at: u32,
    pub(super) sets_len: u16,
    pub(super) name_len: u8,
}

/// An RRset in stored form.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParsedSet {
    pub(super) records_at: u32,
    pub(super) records_len: u32,
    pub(super) ttl: u32,
    /// Position of the place of its first record.
    pub(super) places_at: u32,
    pub(super) rtype: u16,
    pub(super) count: u16,
}

/// One zone as it was read: its names in canonical order with their RRsets in stored form, and where each
/// record was written.
#[derive(Debug)]
pub struct ParsedZone {
    pub(super) apex: Name,
    /// The SOA and the NS that a zone must have are there.
    pub(super) is_whole: bool,
    pub(super) names: Vec<u8>,
    /// In canonical order of names.
    pub(super) owners: Vec<OwnerEntry>,
    /// Side by side for each owner, by type ascending.
    pub(super) sets: Vec<ParsedSet>,
    pub(super) records: Vec<u8>,
    pub(super) places: Vec<Place>,
    pub(super) files: Vec<Arc<str>>,
}

/// Octets of a stored record in front of its data.
const RECORD_HEAD_LEN: usize = 12;

impl ParsedZone {
    /// The owner of its SOA; without one, the default origin.
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    pub(super) fn name(&self, owner: &OwnerEntry) -> &[u8] {
        NameAt { at: owner.name_at, len: owner.name_len }.of(&self.names)
    }

    pub(super) fn sets(&self, owner: &OwnerEntry) -> &[ParsedSet] {
        &self.sets[owner.sets_at as usize..owner.sets_at as usize + usize::from(owner.sets_len)]
    }

    pub(super) fn set(&self, owner: &OwnerEntry, rtype: u16) -> Option<&ParsedSet> {
        self.sets(owner).iter().find(|set| set.rtype == rtype)
    }

    /// Where the record at `record` of a set was written.
    pub(super) fn origin(&self, set: &ParsedSet, record: usize) -> Origin {
        place_origin(&self.files, self.places[set.places_at as usize + record])
    }

    pub(super) fn rrset(&self, set: &ParsedSet) -> RrsetRef<'_> {
        let records = &self.records[set.records_at as usize..][..set.records_len as usize];
        RrsetRef { rtype: set.rtype, ttl: set.ttl, count: set.count, records }
    }

    /// The data of a set's records.
    pub(super) fn data(&self, set: &ParsedSet) -> impl Iterator<Item = &[u8]> {
        self.rrset(set).records().map(|(_, data)| data)
    }

    /// The file that the zone was read from.
    pub(super) fn file(&self) -> Origin {
        Origin { file: self.files.first().cloned().unwrap_or_else(|| "".into()), line: 1, column: 1 }
    }

    pub(super) fn assemble(raw: Raw, origin: &Name, findings: &mut Findings) -> ParsedZone {
        let soa = raw.records.iter().find(|record| record.rtype == rtype::SOA);
        let apex = soa.and_then(|soa| Name::from_wire(raw.owners[soa.owner as usize].of(&raw.names)).ok());
        let has_soa = apex.is_some();
        let apex = apex.unwrap_or_else(|| origin.clone());
        let mut zone = ParsedZone {
            apex,
            is_whole: false,
            names: Vec::new(),
            owners: Vec::new(),
            sets: Vec::new(),
            records: Vec::with_capacity(raw.data.len() + raw.records.len() * RECORD_HEAD_LEN),
            places: Vec::with_capacity(raw.records.len()),
            files: Vec::new(),
        };
        if !has_soa {
            let file = raw.files.first().cloned().unwrap_or_else(|| "".into());
            let finding = Diagnostic::error("no-soa", "the zone has no SOA record, so nothing says where it begins");
            findings.push(finding.at(&Origin { file, line: 1, column: 1 }));
        }
        let (ranks, firsts) = rank(&raw, zone.apex.as_wire());
        // Without a SOA nobody knows what is inside.
        if has_soa {
            report_outside(&raw, &ranks, &zone.apex, findings);
        }
        let mut order: Vec<u32> = (0..u32::try_from(raw.records.len()).unwrap_or(u32::MAX))
            .filter(|&at| ranks[raw.records[at as usize].owner as usize] != OUTSIDE)
            .collect();
        order.sort_unstable_by_key(|&at| {
            let record = &raw.records[at as usize];
            (ranks[record.owner as usize], record.rtype, at)
        });
        let by_owner = order.chunk_by(|a, b| {
            ranks[raw.records[*a as usize].owner as usize] == ranks[raw.records[*b as usize].owner as usize]
        });
        for group in by_owner {
            let rank = ranks[raw.records[group[0] as usize].owner as usize];
            let name = raw.owners[firsts[rank as usize] as usize];
            let sets_at = zone.sets.len();
            for set in group.chunk_by(|a, b| raw.records[*a as usize].rtype == raw.records[*b as usize].rtype) {
                zone.add_set(&raw, name.of(&raw.names), set, findings);
            }
            zone.owners.push(OwnerEntry {
                name_at: name.at,
                sets_at: u32::try_from(sets_at).expect("fewer sets than 32-bit positions of records"),
                sets_len: u16::try_from(zone.sets.len() - sets_at).unwrap_or(u16::MAX),
                name_len: name.len,
            });
        }
        zone.names = raw.names;
        zone.files = raw.files;
        zone.is_whole = super::check::zone(&zone, findings) && has_soa;
        zone
    }

    /// Adds one RRset: `set` are positions of its records in the order of reading.
    fn add_set(&mut self, raw: &Raw, owner: &[u8], set: &[u32], findings: &mut Findings) {
        let first = &raw.records[set[0] as usize];
        let rtype = first.rtype;
        let ttl = set.iter().map(|&at| raw.records[at as usize].ttl).min().unwrap_or(first.ttl);
        let (records_at, places_at) = (self.records.len(), self.places.len());
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut differs = false;
        let mut rrset = RrsetBuf::new(rtype, ttl);
        for &at in set {
            let record = &raw.records[at as usize];
            let data = &raw.data[record.data_at as usize..][..usize::from(record.data_len)];
            if set.len() > 1 && !seen.insert(comparable(rtype, data)) {
                let message = format!("{} {} is here a second time", Shown(owner), TypeName(rtype));
                let finding = Diagnostic::warning("duplicate-record", message);
                findings.push(finding.at(&place_origin(&raw.files, record.place)));
                continue;
            }
            if record.ttl != first.ttl && !differs {
                differs = true;
                let message = format!(
                    "the TTLs of {} {} differ ({} and {}): the lowest, {ttl}, is used for all (RFC 2181 §5.2)",
                    Shown(owner),
                    TypeName(rtype),
                    first.ttl,
                    record.ttl,
                );
                findings.push(Diagnostic::warning("ttl-differs", message).at(&place_origin(&raw.files, record.place)));
            }
            if let Err(error) = rrset.push(data) {
                let message = format!("{} {}: {error}", Shown(owner), TypeName(rtype));
                findings
                    .push(Diagnostic::error("rrset-too-large", message).at(&place_origin(&raw.files, record.place)));
                break;
            }
            self.places.push(record.place);
        }
        let rrset = rrset.as_rrset();
        self.records.extend_from_slice(rrset.records);
        let Ok(end) = u32::try_from(self.records.len()) else {
            let message = "the zone takes more than 4 GiB in memory";
            findings.push(Diagnostic::error("zone-too-large", message).at(&place_origin(&raw.files, first.place)));
            self.records.truncate(records_at);
            self.places.truncate(places_at);
            return;
        };
        self.sets.push(ParsedSet {
            records_at: records_at as u32,
            records_len: end - records_at as u32,
            ttl,
            places_at: u32::try_from(places_at).expect("fewer records than octets of them"),
            rtype,
            count: rrset.count,
        });
    }
}

/// Rank of names that are not in the zone.
const OUTSIDE: u32 = u32::MAX;

/// For each owner its rank in canonical order, and for each rank an owner.
fn rank(raw: &Raw, apex: &[u8]) -> (Vec<u32>, Vec<u32>) {
    let mut keys = Vec::with_capacity(raw.names.len() + raw.names.len() / 8);
    let mut ends = Vec::with_capacity(raw.owners.len());
    let mut apex_key = Vec::new();
    name::push_key(apex, &mut apex_key);
    let mut order: Vec<(u128, u32)> = Vec::with_capacity(raw.owners.len());
    for (at, owner) in (0_u32..).zip(&raw.owners) {
        let from = keys.len();
        name::push_key(owner.of(&raw.names), &mut keys);
        if keys[from..].starts_with(&apex_key) {
            // What sixteen octets decide needs no look at the keys themselves.
            let below = &keys[from + apex_key.len()..];
            let mut head = [0; 16];
            let len = below.len().min(head.len());
            head[..len].copy_from_slice(&below[..len]);
            order.push((u128::from_be_bytes(head), at));
        }
        ends.push(keys.len());
    }
    let key = |at: u32| {
        let at = at as usize;
        let from = if at == 0 { 0 } else { ends[at - 1] };
        &keys[from..ends[at]]
    };
    order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| key(a.1).cmp(key(b.1))).then(a.1.cmp(&b.1)));
    let mut ranks = vec![OUTSIDE; raw.owners.len()];
    let mut firsts: Vec<u32> = Vec::new();
    for &(_, at) in &order {
        if firsts.last().is_none_or(|&last| key(last) != key(at)) {
            firsts.push(at);
        }
        ranks[at as usize] = firsts.len() as u32 - 1;
    }
    (ranks, firsts)
}

fn report_outside(raw: &Raw, ranks: &[u32], apex: &Name, findings: &mut Findings) {
    for record in raw.records.iter().filter(|record| ranks[record.owner as usize] == OUTSIDE) {
        let owner = Shown(raw.owners[record.owner as usize].of(&raw.names));
        let at = place_origin(&raw.files, record.place);
        let finding = match record.rtype {
            rtype::SOA => Diagnostic::error(
                "soa-not-apex",
                format!("a second SOA, of {owner}: the zone's is that of {apex}, and a zone has one"),
            ),
            _ => Diagnostic::error(
                "out-of-zone",
                format!("{owner} is not in the zone {apex}, whose SOA is in this file"),
            ),
        };
        findings.push(finding.at(&at).help("is a final dot missing or too much, or $ORIGIN wrong?"));
    }
}

/// Data in the form in which equal records are equal: names compare without case (RFC 4343).
fn comparable(rtype: u16, data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    fold(rtype, &mut data);
    data
}

fn place_origin(files: &[Arc<str>], place: Place) -> Origin {
    Origin { file: Arc::clone(&files[usize::from(place.file)]), line: place.line, column: u32::from(place.column) }
}
