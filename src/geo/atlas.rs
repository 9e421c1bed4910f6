//! The atlas: what all databases and operators together say of every address.
//!
//! Layers lie over each other, operator networks in front, then the databases in the order given; the
//! first that has a field wins, field by field. With one refinement that keeps places whole: a layer
//! behind adds to where an address *is* only as long as it agrees with what is already known. A world
//! database that puts a Shanghai university into Beijing must not add the city of Beijing to the province
//! of Shanghai. So once a country is known, subdivision, city and coordinates come from layers that name
//! the same country (or none); likewise below a subdivision and a city. Provider fields are free of that.
//!
//! All layers are swept together into disjoint segments, and each distinct combination of records becomes
//! one interned, completed [`Place`]: the subdivision in its full ISO form, the continent of the country,
//! the middle of the subdivision or country for coordinates.
//!
//! An atlas is made when files are loaded and read when tables are compiled; no query looks at it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::canonical::{Canonical, canonical};
use super::catalogue;
use super::database::Database;
use super::gazetteer::Names;
use super::networks::{self, Networks};
use super::segments::Segments;
use crate::limits::GEOIP_LAYERS_MAX;
use crate::model::{CountryCode, Network, Place, fold};

/// What somebody should know about the data that was loaded; nothing of it keeps it from serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// No database and no network: every client is of no known place.
    NoData,
    /// The file has no description; the format asks for one. Nothing else is known to be wrong.
    NoDescription {
        /// The file.
        file: Arc<str>,
    },
    /// More layers than [`GEOIP_LAYERS_MAX`]: this one is not used.
    Layer {
        /// The file.
        file: Arc<str>,
    },
}

impl Note {
    /// Stable, for diagnostics.
    pub fn code(&self) -> &'static str {
        match self {
            Note::NoData => "no-geoip-data",
            Note::NoDescription { .. } => "geoip-no-description",
            Note::Layer { .. } => "geoip-too-many-layers",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NoData => f.write_str("no GeoIP database is loaded: every client is of no known place"),
            Note::NoDescription { file } => write!(f, "{file}: has no description in its metadata"),
            Note::Layer { file } => write!(f, "{file}: is not used, only {GEOIP_LAYERS_MAX} databases can be layered"),
        }
    }
}

/// What is known of every address.
#[derive(Debug)]
pub struct Atlas {
    pub(super) v4: Segments<u32>,
    pub(super) v6: Segments<u128>,
    /// Complete and distinct; 0 is the unknown place.
    pub(super) places: Vec<Place>,
    pub(super) names: Names,
}

impl Atlas {
    /// Lays `layers` over each other, the first in front, and `networks` in front of all: of the networks
    /// that hold an address the most specific that states a field. Of two equal networks the first
    /// written. The notes of the layers are among those returned.
    pub fn load(mut layers: Vec<Database>, networks: &[Network]) -> (Atlas, Vec<Note>) {
        let mut notes: Vec<Note> = layers.iter().flat_map(|layer| layer.notes().to_vec()).collect();
        if layers.is_empty() {
            notes.push(Note::NoData);
        }
        let used = layers.len().min(GEOIP_LAYERS_MAX);
        notes.extend(layers.drain(used..).map(|layer| Note::Layer { file: layer.file().into() }));

        let mut names: HashMap<Arc<str>, BTreeSet<Arc<str>>> = HashMap::new();
        let Networks { v4, v6, places } = networks::flatten(networks);
        let mut sheets = Sheets { v4, v6, places };
        for layer in layers {
            for (name, codes) in layer.subdivision_names {
                names.entry(name).or_default().extend(codes);
            }
            sheets = sheets.over(Sheets { v4: layer.v4, v6: layer.v6, places: layer.places });
        }
        let Sheets { v4, v6, places } = sheets.complete();
        let names = Names::of(&places, names);
        (Atlas { v4, v6, places, names }, notes)
    }

    /// This atlas with operators' `networks` in front, as if they had been given to [`Atlas::load`].
    ///
    /// Policy files name places and state networks alike, so an atlas is needed to read them before their
    /// networks are known; walking the databases once is enough.
    pub fn with_networks(self: Arc<Atlas>, networks: &[Network]) -> Arc<Atlas> {
        if networks.is_empty() {
            return self;
        }
        let Networks { v4, v6, places } = networks::flatten(networks);
        let back = Sheets { v4: self.v4.clone(), v6: self.v6.clone(), places: self.places.clone() };
        let Sheets { v4, v6, places } = Sheets { v4, v6, places }.over(back).complete();
        let names = Names::of(&places, self.names.subdivision_names.clone());
        Arc::new(Atlas { v4, v6, places, names })
    }

    /// Where an address is. IPv4 in an IPv6 form that carries it (`::ffff:0:0/96`, 6to4) is that IPv4
    /// address.
    pub fn lookup(&self, address: IpAddr) -> &Place {
        let number = match canonical(address) {
            Canonical::V4(address, _) => self.v4.find(address),
            Canonical::V6(address) => self.v6.find(address),
        };
        &self.places[number as usize]
    }

    /// Segments of both families, and distinct places, the unknown one included.
    pub fn counts(&self) -> (usize, usize) {
        (self.v4.len() + self.v6.len(), self.places.len())
    }
}

/// A combination of records that has no number yet.
const UNSEEN: u32 = u32::MAX;

/// Segments of both families and the places that they number; place 0 is unknown.
struct Sheets {
    v4: Segments<u32>,
    v6: Segments<u128>,
    places: Vec<Place>,
}

impl Sheets {
    /// This one in front of another.
    fn over(self, back: Sheets) -> Sheets {
        if self.places.len() == 1 {
            return back;
        }
        let mut places = vec![Place::default()];
        // Most addresses are known to one of two layers alone; those need no table of pairs.
        let mut of_front = vec![UNSEEN; self.places.len()];
        let mut of_back = vec![UNSEEN; back.places.len()];
        let mut of_both: HashMap<(u32, u32), u32> = HashMap::new();
        let mut combine = |front: u32, behind: u32| {
            let number = match (front, behind) {
                (0, 0) => return 0,
                (front, 0) => &mut of_front[front as usize],
                (0, behind) => &mut of_back[behind as usize],
                pair => of_both.entry(pair).or_insert(UNSEEN),
            };
            if *number == UNSEEN {
                let mut place = self.places[front as usize].clone();
                fill(&mut place, &back.places[behind as usize]);
                *number = u32::try_from(places.len()).expect("no more places than segments, which limits bound");
                places.push(place);
            }
            *number
        };
        let v4 = Segments::overlay(&self.v4, &back.v4, &mut combine);
        let v6 = Segments::overlay(&self.v6, &back.v6, &mut combine);
        Sheets { v4, v6, places }
    }

    /// With everything that follows from what is known.
    fn complete(self) -> Sheets {
        let mut places = Interned::default();
        let mut known = HashMap::new();
        let numbers: Vec<u32> =
            self.places.into_iter().map(|place| places.number(completed(place, &mut known))).collect();
        let new = |number: u32| numbers[number as usize];
        Sheets { v4: self.v4.map_values(new), v6: self.v6.map_values(new), places: places.all }
    }
}

/// Distinct places; 0 is the unknown one.
struct Interned {
    all: Vec<Place>,
    numbers: HashMap<Place, u32>,
}

impl Default for Interned {
    fn default() -> Interned {
        Interned { all: vec![Place::default()], numbers: HashMap::from([(Place::default(), 0)]) }
    }
}

impl Interned {
    fn number(&mut self, place: Place) -> u32 {
        if let Some(&number) = self.numbers.get(&place) {
            return number;
        }
        let number = u32::try_from(self.all.len()).expect("no more places than segments, which limits bound");
        self.all.push(place.clone());
        self.numbers.insert(place, number);
        number
    }
}

/// Takes from `back` what `place` lacks and does not contradict.
pub(super) fn fill(place: &mut Place, back: &Place) {
    fn agree<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
        one.is_none() || other.is_none() || one == other
    }
    fn agree_by_name(one: &Option<Arc<str>>, other: &Option<Arc<str>>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => one == other || fold(one) == fold(other),
            (None, _) | (_, None) => true,
        }
    }
    place.asn = place.asn.or(back.asn);
    place.isp = place.isp.take().or_else(|| back.isp.clone());

    if !agree(&place.continent, &back.continent) || !agree(&place.country, &back.country) {
        return;
    }
    let same_subdivision = agree_by_name(&place.subdivision, &back.subdivision);
    let same_city = agree_by_name(&place.city, &back.city);
    place.continent = place.continent.or(back.continent);
    place.country = place.country.or(back.country);
    place.subdivision = place.subdivision.take().or_else(|| back.subdivision.clone());
    if same_subdivision {
        place.city = place.city.take().or_else(|| back.city.clone());
        if same_city {
            place.coordinates = place.coordinates.or(back.coordinates);
        }
    }
}

/// A place with its names in one form.
pub(super) fn normalised(mut place: Place) -> Place {
    if let Some(text) = &place.subdivision {
        // A full code says the country as well.
        let implied = text.get(..2).filter(|_| text.as_bytes().get(2) == Some(&b'-')).and_then(catalogue::country);
        if let Some(country) = place.country.or(implied)
            && let Some(code) = catalogue::subdivision(country, text)
        {
            place.country = Some(country);
            place.subdivision = Some(code.into());
        }
    }
    if let Some(name) = place.isp.as_deref().and_then(catalogue::isp_alias) {
        place.isp = Some(name.into());
    }
    place
}

/// What follows from a country and a subdivision: their names in one form, the continent, the middle.
type Known = HashMap<(Option<CountryCode>, Option<Arc<str>>), Place>;

/// A place with everything that follows from what is known of it.
fn completed(mut place: Place, known: &mut Known) -> Place {
    let what = (place.country, place.subdivision.take());
    let follows = known.entry(what).or_insert_with_key(|(country, subdivision)| {
        let mut follows = normalised(Place { country: *country, subdivision: subdivision.clone(), ..Place::default() });
        if let Some(country) = follows.country {
            follows.continent = catalogue::continent(country);
            follows.coordinates = catalogue::centre(country, follows.subdivision.as_deref());
        }
        follows
    });
    place.country = follows.country;
    place.subdivision = follows.subdivision.clone();
    place.continent = place.continent.or(follows.continent);
    place.coordinates = place.coordinates.or(follows.coordinates);
    place
}

#[cfg(test)]
mod tests;
