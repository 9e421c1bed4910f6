//! GeoIP databases: .mmdb files, read whole, checked whole, kept as what is of use.
//!
//! A file is read into memory (never mapped: updaters replace files in place), its search tree is walked
//! once, and every distinct record is decoded once. What remains is a [`Database`]: the address space in
//! segments, each with the number of a sparse [`Place`]. The file itself is let go.
//!
//! **A file that is wrong anywhere we look is refused as a whole**, with its name and the reason: a size
//! or a node count that can not be, a search tree that is none, a record that can not be decoded or
//! whose shape no adapter knows. The crate's own verification runs on top, after our walk has shown that
//! the tree ends; it asks for a description, which many good files lack, so that alone is a [`Note`].
//!
//! Nothing here completes what a file leaves out (a continent, coordinates): that is the atlas's work,
//! after all layers had their say.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;

use maxminddb::Reader;

use super::atlas::Note;
use super::canonical::WITHOUT_DATA;
use super::canonical::{Canonical, canonical};
use super::catalogue;
use super::record::{Reading, Schema};
use super::segments::Segments;
use super::value::{Keys, Value};
use super::walk::{SearchTree, TreeError};
use crate::limits::GEOIP_LEN_MAX;
use crate::model::{CountryCode, Place, fold};

/// A database that was refused.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct DatabaseError {
    /// The file as it was named.
    pub file: Arc<str>,
    /// What is wrong with it.
    #[source]
    pub reason: DatabaseFault,
}

/// What is wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseFault {
    /// It could not be read.
    #[error("can not be read: {0}")]
    Read(#[from] io::Error),
    /// A directory, a pipe, a device.
    #[error("is not a regular file")]
    NotAFile,
    /// Too large.
    #[error("has more than {max} octets", max = GEOIP_LEN_MAX)]
    Large,
    /// Not in the MaxMind DB format, or damaged.
    #[error("is not a sound MaxMind DB file: {0}")]
    Format(#[from] maxminddb::MaxMindDbError),
    /// The search tree is damaged.
    #[error("is not a sound MaxMind DB file: {0}")]
    Tree(#[from] TreeError),
    /// Our walk and the crate's look-up disagree about what is at an address.
    #[error("is not a sound MaxMind DB file: its record for {address} lies outside the data")]
    Record {
        /// The first address of the network.
        address: IpAddr,
    },
    /// No adapter knows the shape of its records.
    #[error("has no field that says where an address is; its records have {keys}")]
    Schema {
        /// What sampled records have, in words.
        keys: String,
    },
    /// It has no record.
    #[error("holds no record")]
    Empty,
}

/// How many distinct records are looked at to tell the schema.
const SAMPLES: usize = 64;

/// What one GeoIP database says, layer by layer the raw material of an [`super::Atlas`].
#[derive(Debug)]
pub struct Database {
    file: Arc<str>,
    kind: String,
    build_epoch_s: u64,
    schema: Schema,
    notes: Vec<Note>,
    pub(super) v4: Segments<u32>,
    pub(super) v6: Segments<u128>,
    /// Sparse; 0 is the unknown place.
    pub(super) places: Vec<Place>,
    /// Folded names of subdivisions that have a code, and the codes.
    pub(super) subdivision_names: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Database {
    /// Reads a file of at most [`GEOIP_LEN_MAX`] octets.
    ///
    /// # Errors
    /// When it can not be read, or anything in it is wrong; the error names the file.
    pub fn read(path: &Path) -> Result<Database, DatabaseError> {
        let file: Arc<str> = path.display().to_string().into();
        let octets = read_regular(path).map_err(|reason| DatabaseError { file: Arc::clone(&file), reason })?;
        Database::from_octets(&file, octets)
    }

    /// From a file's octets; `file` is its name for messages.
    ///
    /// # Errors
    /// When anything in it is wrong; the error names the file.
    pub fn from_octets(file: &str, octets: Vec<u8>) -> Result<Database, DatabaseError> {
        let file: Arc<str> = file.into();
        decode(&file, &octets).map_err(|reason| DatabaseError { file, reason })
    }

    /// The file as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What the file calls itself.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// When it was built, in seconds since 1970.
    pub fn build_epoch_s(&self) -> u64 {
        self.build_epoch_s
    }

    /// How its records are laid out.
    pub fn schema(&self) -> Schema {
        self.schema
    }

    /// Segments of both families, those without data included, and distinct places.
    pub fn counts(&self) -> (usize, usize) {
        (self.v4.len() + self.v6.len(), self.places.len() - 1)
    }

    /// What it says of an address, and nothing beyond: an [`super::Atlas`] completes it.
    pub fn says(&self, address: IpAddr) -> &Place {
        let number = match canonical(address) {
            Canonical::V4(address, _) => self.v4.find(address),
            Canonical::V6(address) => self.v6.find(address),
        };
        &self.places[number as usize]
    }

    /// What somebody should know about it.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

fn read_regular(path: &Path) -> Result<Vec<u8>, DatabaseFault> {
    // Asked by name first: opening a pipe waits for a writer.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(DatabaseFault::NotAFile);
    }
    if metadata.len() > GEOIP_LEN_MAX {
        return Err(DatabaseFault::Large);
    }
    let mut octets = Vec::new();
    File::open(path)?.take(GEOIP_LEN_MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > GEOIP_LEN_MAX { Err(DatabaseFault::Large) } else { Ok(octets) }
}

fn decode(file: &Arc<str>, octets: &[u8]) -> Result<Database, DatabaseFault> {
    if octets.len() as u64 > GEOIP_LEN_MAX {
        return Err(DatabaseFault::Large);
    }
    let reader = Reader::from_source(octets)?;
    let metadata = reader.metadata();
    let mut tree = SearchTree::new(octets, metadata.node_count, metadata.record_size)?;
    let mut records = Records::default();
    let (v4, mut v6) = if metadata.ip_version == 6 {
        let root = tree.ipv4_root();
        let v4 =
            tree.walk(root, None, |record, first: u32| records.number(record, IpAddr::V4(Ipv4Addr::from_bits(first))))?;
        let alias = (root < metadata.node_count).then_some(root);
        let v6 =
            tree.walk(0, alias, |record, first: u128| records.number(record, IpAddr::V6(Ipv6Addr::from_bits(first))))?;
        (v4, v6)
    } else {
        let v4 =
            tree.walk(0, None, |record, first: u32| records.number(record, IpAddr::V4(Ipv4Addr::from_bits(first))))?;
        (v4, Segments::uniform(0))
    };
    for (first, depth) in WITHOUT_DATA {
        v6.fill(first, depth, 0);
    }

    let mut notes = Vec::new();
    if metadata.description.is_empty() {
        notes.push(Note::NoDescription { file: Arc::clone(file) });
    } else {
        // It walks as we do, so it ends as we did.
        reader.verify()?;
    }

    let schema = schema_of(&reader, &records)?;
    let mut places = Places::default();
    let mut place_of_record: Vec<u32> = vec![0];
    for (&raw, &address) in records.raw.iter().zip(&records.addresses) {
        let found = reader.lookup(address)?;
        // The crate counts from the beginning of the data section, the tree from its own end on.
        let offset = u64::from(raw - metadata.node_count);
        if found.offset().map(|at| at as u64 + 16) != Some(offset) {
            return Err(DatabaseFault::Record { address });
        }
        let Some(value) = found.decode::<Value<'_>>()? else { return Err(DatabaseFault::Record { address }) };
        place_of_record.push(places.number(&schema.read(&value)));
    }
    let place = |record: u32| place_of_record[record as usize];
    Ok(Database {
        file: Arc::clone(file),
        kind: metadata.database_type.clone(),
        build_epoch_s: metadata.build_epoch,
        schema,
        notes,
        v4: v4.map_values(place),
        v6: v6.map_values(place),
        places: places.all,
        subdivision_names: places.subdivision_names,
    })
}

/// The distinct records of a search tree, numbered from 1 as the walk meets them.
#[derive(Default)]
struct Records {
    numbers: HashMap<u32, u32>,
    /// As the tree has them.
    raw: Vec<u32>,
    /// The first address at which each was met.
    addresses: Vec<IpAddr>,
}

impl Records {
    fn number(&mut self, record: u32, address: IpAddr) -> Result<u32, DatabaseFault> {
        // Networks and so records are bounded far below 2^32.
        let next = u32::try_from(self.raw.len() + 1).map_err(|_| DatabaseFault::Large)?;
        Ok(*self.numbers.entry(record).or_insert_with(|| {
            self.raw.push(record);
            self.addresses.push(address);
            next
        }))
    }
}

/// The schema that most of a sample of the records shows; the nested one where they are even.
fn schema_of(reader: &Reader<&[u8]>, records: &Records) -> Result<Schema, DatabaseFault> {
    if records.addresses.is_empty() {
        return Err(DatabaseFault::Empty);
    }
    let step = records.addresses.len().div_ceil(SAMPLES);
    let mut votes = [(Schema::GeoIp2, 0), (Schema::Flat, 0), (Schema::IpInfo, 0)];
    let mut keys = BTreeSet::new();
    for &address in records.addresses.iter().step_by(step) {
        let found = reader.lookup(address)?;
        let shown = found.decode::<Value<'_>>()?.as_ref().and_then(Schema::of);
        for (schema, votes) in &mut votes {
            *votes += usize::from(Some(*schema) == shown);
        }
        if shown.is_none()
            && keys.len() < SAMPLES
            && let Ok(Some(Keys(found))) = found.decode::<Keys<'_>>()
        {
            keys.extend(found.into_iter().take(SAMPLES).map(|key| key.chars().take(40).collect::<String>()));
        }
    }
    match votes.iter().rev().max_by_key(|(_, votes)| votes) {
        Some(&(schema, votes)) if votes > 0 => Ok(schema),
        Some(_) | None => {
            let keys: Vec<String> = keys.into_iter().take(20).collect();
            let keys =
                if keys.is_empty() { "no fields at all".to_owned() } else { format!("only: {}", keys.join(", ")) };
            Err(DatabaseFault::Schema { keys })
        }
    }
}

/// Country, code or name, and name, as a record has them.
type SubdivisionTexts = (Option<CountryCode>, Arc<str>, Arc<str>);

/// Distinct places with names brought to one form.
struct Places {
    all: Vec<Place>,
    numbers: HashMap<Place, u32>,
    texts: HashSet<Arc<str>>,
    subdivisions: HashMap<SubdivisionTexts, Arc<str>>,
    subdivision_names: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Default for Places {
    fn default() -> Places {
        Places {
            all: vec![Place::default()],
            numbers: HashMap::from([(Place::default(), 0)]),
            texts: HashSet::new(),
            subdivisions: HashMap::new(),
            subdivision_names: HashMap::new(),
        }
    }
}

impl Places {
    fn number(&mut self, reading: &Reading<'_>) -> u32 {
        let place = Place {
            continent: reading.continent,
            country: reading.country,
            subdivision: self.subdivision(reading),
            city: reading.city.map(|city| self.text(city)),
            asn: reading.asn,
            isp: reading.isp.map(|isp| self.text(catalogue::isp_alias(isp).unwrap_or(isp))),
            coordinates: reading.coordinates,
        };
        if let Some(&number) = self.numbers.get(&place) {
            return number;
        }
        let number = u32::try_from(self.all.len()).expect("no more places than records");
        self.all.push(place.clone());
        self.numbers.insert(place, number);
        number
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&new));
        new
    }

    /// The full code by the catalogue; else the data's code behind the country's; else the data's name.
    /// Worked out once for each combination of texts.
    fn subdivision(&mut self, reading: &Reading<'_>) -> Option<Arc<str>> {
        let either = reading.subdivision_code.or(reading.subdivision_name)?;
        let texts = (reading.country, self.text(either), self.text(reading.subdivision_name.unwrap_or_default()));
        if let Some(known) = self.subdivisions.get(&texts) {
            return Some(Arc::clone(known));
        }
        let found = self.new_subdivision(reading, either);
        self.subdivisions.insert(texts, Arc::clone(&found));
        Some(found)
    }

    fn new_subdivision(&mut self, reading: &Reading<'_>, either: &str) -> Arc<str> {
        let Some(country) = reading.country else { return self.text(either) };
        let known = [reading.subdivision_code, reading.subdivision_name]
            .into_iter()
            .flatten()
            .find_map(|text| catalogue::subdivision(country, text));
        let is_code = |code: &&str| code.len() <= 3 && code.bytes().all(|octet| octet.is_ascii_alphanumeric());
        let code = match (known, reading.subdivision_code.filter(is_code)) {
            (Some(known), _) => self.text(known),
            (None, Some(code)) => self.text(&format!("{country}-{}", code.to_ascii_uppercase())),
            (None, None) => return self.text(reading.subdivision_name.unwrap_or(either)),
        };
        if let Some(name) = reading.subdivision_name {
            self.subdivision_names.entry(fold(name)).or_default().insert(Arc::clone(&code));
        }
        code
    }
}

#[cfg(test)]
mod tests;
