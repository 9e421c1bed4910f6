//! The catalogue's files as tables, read once.
//!
//! The files are part of the program and checked by the tests below, so a line that does not parse is
//! impossible in a build that passed them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::model::{Continent, Coordinates, CountryCode, fold};

const CONTINENTS: &str = include_str!("continents.tsv");
const COUNTRIES: &str = include_str!("countries.tsv");
const CHINA: &str = include_str!("china.tsv");
const SUBDIVISIONS: &str = include_str!("subdivisions.tsv");
const CENTRES: &str = include_str!("centres.tsv");
const ISPS: &str = include_str!("isps.tsv");

/// What a name of subdivisions means.
#[derive(Clone, Copy)]
pub(super) enum Named {
    /// One full ISO 3166-2 code.
    One(&'static str),
    /// More than one.
    Several,
}

/// A country that is assigned.
pub(super) struct Country {
    pub(super) continent: Continent,
    pub(super) centre: Coordinates,
}

/// The subdivisions of one country. Keys are folded, values are full codes.
#[derive(Default)]
pub(super) struct Subdivisions {
    /// Without the country: `bj`, `11`.
    pub(super) by_code: HashMap<Arc<str>, &'static str>,
    pub(super) by_name: HashMap<Arc<str>, Named>,
}

/// Everything. Names as keys are folded.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) continent_by_name: HashMap<Arc<str>, Continent>,
    pub(super) countries: HashMap<CountryCode, Country>,
    pub(super) country_by_name: HashMap<Arc<str>, CountryCode>,
    pub(super) subdivisions: HashMap<CountryCode, Subdivisions>,
    /// What a bare name means, over all countries.
    pub(super) subdivision_by_name: HashMap<Arc<str>, Named>,
    /// By full code.
    pub(super) usual_names: HashMap<&'static str, &'static str>,
    /// By full code.
    pub(super) centres: HashMap<&'static str, Coordinates>,
    pub(super) isps: HashMap<Arc<str>, &'static str>,
    /// Every name that is found, in the order of the files.
    pub(super) names: Vec<&'static str>,
}

/// The tables.
pub(super) fn tables() -> &'static Tables {
    static TABLES: LazyLock<Tables> = LazyLock::new(Tables::read);
    &TABLES
}

/// Lines of a file as `N` columns.
fn rows<const N: usize>(text: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut columns = line.split('\t');
        std::array::from_fn(|_| columns.next().expect("every line has all columns"))
    })
}

/// A column of names, first the usual one.
fn listed(names: &'static str) -> impl Iterator<Item = &'static str> {
    names.split(';').filter(|name| !name.is_empty())
}

fn coordinates(latitude: &str, longitude: &str) -> Coordinates {
    let degrees = |text: &str| text.parse().expect("degrees");
    Coordinates::from_degrees(degrees(latitude), degrees(longitude)).expect("on the globe")
}

fn country_code(code: &str) -> CountryCode {
    CountryCode::new(code).expect("a country's code")
}

/// A subdivision's name, and how much it counts inside its country: 0 most.
struct Claim {
    class: u8,
    name: &'static str,
    code: &'static str,
}

impl Tables {
    fn read() -> Tables {
        let mut tables = Tables::default();
        tables.read_continents();
        tables.read_countries();
        let claims = tables.read_china().into_iter().chain(tables.read_subdivisions()).collect();
        tables.settle(claims);
        for [code, latitude, longitude] in rows(CENTRES) {
            tables.centres.insert(code, coordinates(latitude, longitude));
        }
        for [name, others] in rows(ISPS) {
            for alias in std::iter::once(name).chain(listed(others)) {
                tables.isps.insert(fold(alias), name);
            }
        }
        tables
    }

    fn read_continents(&mut self) {
        for [code, names] in rows(CONTINENTS) {
            let continent = Continent::from_code(code).expect("a continent's code");
            for name in listed(names) {
                self.continent_by_name.insert(fold(name), continent);
                self.names.push(name);
            }
        }
    }

    fn read_countries(&mut self) {
        for [code, continent, latitude, longitude, name, others] in rows(COUNTRIES) {
            let country = country_code(code);
            let continent = Continent::from_code(continent).expect("a continent's code");
            self.countries.insert(country, Country { continent, centre: coordinates(latitude, longitude) });
            for name in std::iter::once(name).chain(listed(others)) {
                self.country_by_name.insert(fold(name), country);
                self.names.push(name);
            }
        }
    }

    fn read_china(&mut self) -> Vec<Claim> {
        let mut claims = Vec::new();
        let china = self.subdivisions.entry(country_code("CN")).or_default();
        for [code, number, latitude, longitude, names] in rows(CHINA) {
            self.centres.insert(code, coordinates(latitude, longitude));
            china.by_code.insert(fold(&code[3..]), code);
            china.by_code.insert(number.into(), code);
            claims.extend(listed(names).map(|name| Claim { class: 0, name, code }));
        }
        claims
    }

    fn read_subdivisions(&mut self) -> Vec<Claim> {
        let mut claims = Vec::new();
        for [code, level, names] in rows(SUBDIVISIONS) {
            let (country, rest) = code.split_once('-').expect("a full code");
            self.subdivisions.entry(country_code(country)).or_default().by_code.insert(fold(rest), code);
            let below = if level == "2" { 2 } else { 0 };
            claims.extend(listed(names).enumerate().map(|(at, name)| Claim {
                class: below + u8::from(at > 0),
                name,
                code,
            }));
        }
        claims
    }

    /// Decides what each name means in its country, then what it means alone. China's provinces are
    /// claimed first and keep their names.
    fn settle(&mut self, mut claims: Vec<Claim>) {
        for claim in &claims {
            self.usual_names.entry(claim.code).or_insert(claim.name);
        }
        claims.sort_by_key(|claim| claim.class);
        let mut classes: HashMap<(CountryCode, Arc<str>), u8> = HashMap::new();
        for claim in &claims {
            let country = country_code(&claim.code[..2]);
            let folded = fold(claim.name);
            let by_name = &mut self.subdivisions.entry(country).or_default().by_name;
            match by_name.get(&*folded) {
                None => {
                    by_name.insert(folded.clone(), Named::One(claim.code));
                    classes.insert((country, folded), claim.class);
                }
                Some(Named::One(code)) if *code == claim.code => {}
                Some(Named::One(_) | Named::Several) => {
                    if classes.get(&(country, folded.clone())) == Some(&claim.class) {
                        by_name.insert(folded, Named::Several);
                    }
                }
            }
        }
        let china = country_code("CN");
        for of_country in self.subdivisions.values() {
            for (name, named) in &of_country.by_name {
                let entry = self.subdivision_by_name.entry(name.clone());
                entry.and_modify(|found| *found = Named::Several).or_insert(*named);
            }
        }
        for (name, named) in &self.subdivisions[&china].by_name {
            self.subdivision_by_name.insert(name.clone(), *named);
        }
        for claim in claims {
            let folded = fold(claim.name);
            let taken = self.country_by_name.contains_key(&folded) || self.continent_by_name.contains_key(&folded);
            if !taken && matches!(self.subdivision_by_name.get(&folded), Some(Named::One(_))) {
                self.names.push(claim.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const N: usize>(file: &str, text: &'static str) {
        let mut keys = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert_eq!(line.split('\t').count(), N, "{file}: {line}");
            assert!(keys.insert(line.split('\t').next()), "{file} has a key twice: {line}");
        }
    }

    #[test]
    fn the_files_have_their_columns_and_no_key_twice() {
        check::<2>("continents.tsv", CONTINENTS);
        check::<6>("countries.tsv", COUNTRIES);
        check::<5>("china.tsv", CHINA);
        check::<3>("subdivisions.tsv", SUBDIVISIONS);
        check::<3>("centres.tsv", CENTRES);
        check::<2>("isps.tsv", ISPS);
    }

    #[test]
    fn the_catalogue_is_complete() {
        let tables = tables();
        assert_eq!(tables.countries.len(), 250, "ISO 3166-1 and Kosovo");
        assert_eq!(tables.subdivisions[&country_code("CN")].by_code.len(), 2 * 34);
        let states = |code: &&&str| code.starts_with("US-");
        assert_eq!(tables.centres.keys().filter(states).count(), 55, "states, the capital, territories");
        for code in tables.centres.keys() {
            let (country, rest) = code.split_once('-').unwrap();
            assert!(tables.subdivisions[&country_code(country)].by_code.contains_key(&*fold(rest)), "{code}");
        }
    }

    #[test]
    fn no_name_belongs_to_two_countries_or_two_providers() {
        let mut countries: HashMap<Arc<str>, &str> = HashMap::new();
        for [code, .., name, others] in rows::<6>(COUNTRIES) {
            for name in std::iter::once(name).chain(listed(others)) {
                let before = countries.insert(fold(name), code);
                assert!(before.is_none_or(|before| before == code), "{name}: {before:?} and {code}");
            }
        }
        let mut isps: HashMap<Arc<str>, &str> = HashMap::new();
        for [name, others] in rows::<2>(ISPS) {
            for alias in std::iter::once(name).chain(listed(others)) {
                let before = isps.insert(fold(alias), name);
                assert!(before.is_none_or(|before| before == name), "{alias}: {before:?} and {name}");
            }
        }
    }
}
