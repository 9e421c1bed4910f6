//! The built-in catalogue: what places and providers are called, whatever data is loaded.
//!
//! Databases disagree about names. GeoIP2 says `subdivisions[0].iso_code = "BJ"`, older data gives the
//! GB/T 2260 number `11`, DB-IP writes `Beijing` and ip2region `北京`. People who write policies have
//! habits of their own. The catalogue brings all of them to one form, the ISO 3166-2 code, so that a
//! policy means the same with every database, and what loads does not depend on next week's data.
//!
//! - Names compare by [`fold`]; any language that the catalogue has, in any case.
//! - Two letters are a country before anything else, and full codes (`US-CA`) are always unambiguous.
//! - A bare name is a continent, else a country, else a province of China, else another subdivision.
//!   One that several countries use for a subdivision (`Montana` of the USA and of Bulgaria) names
//!   none of them: write the code. The letters `AF`, `AS`, `NA` and `SA` are a continent and a country
//!   alike, so [`find`] knows none of them either.
//! - Inside one country a first-level subdivision comes before one below it, and its first name before
//!   its other names; a name that is still of two is of none.
//!
//! The data stands beside this file in `catalogue/*.tsv`, with its sources and licences in
//! `catalogue/NOTICE`. It is read once, when first asked. Nothing here knows an address, a database or
//! a language's grammar, and there are no cities: their names come from the data alone.

mod tables;

use std::sync::Arc;

use crate::model::{Continent, Coordinates, CountryCode, Expr, Term, fold};

use tables::{Named, tables};

/// The full ISO 3166-2 code (`CN-BJ`) of a first-level subdivision of `country`, from its code with or
/// without the country (`BJ`, `CN-BJ`), for China its GB/T 2260 number (`11`, `CN-11`), or any of its
/// names (`Beijing`, `北京`, `北京市`). `None` when the catalogue knows none, or two.
pub fn subdivision(country: CountryCode, code_or_name: &str) -> Option<&'static str> {
    let of_country = tables().subdivisions.get(&country)?;
    let folded = fold(code_or_name);
    let prefixed = folded.strip_prefix(fold(country.as_str()).as_ref()).and_then(|rest| rest.strip_prefix('-'));
    let by_code = prefixed.and_then(|code| of_country.by_code.get(code));
    by_code.or_else(|| of_country.by_code.get(&*folded)).copied().or_else(|| named(of_country.by_name.get(&*folded)))
}

/// The usual English or own name of a subdivision, by its full code: `CN-BJ` → `Beijing`.
pub fn subdivision_name(code: &str) -> Option<&'static str> {
    tables().usual_names.get(code).copied()
}

/// The continent that GeoIP data gives a country. `None` for a code that is not assigned.
pub fn continent(country: CountryCode) -> Option<Continent> {
    tables().countries.get(&country).map(|country| country.continent)
}

/// The rough middle of where people live: of the subdivision (in any form that [`subdivision`] takes)
/// where the catalogue has it (China's provinces, states of the USA), else of the country.
pub fn centre(country: CountryCode, subdivision: Option<&str>) -> Option<Coordinates> {
    let of_subdivision = subdivision
        .and_then(|name| self::subdivision(country, name))
        .and_then(|code| tables().centres.get(code).copied());
    of_subdivision.or_else(|| tables().countries.get(&country).map(|country| country.centre))
}

/// The country of that name or code: `CN`, `CHN`, `china`, `中国`, `USA`.
pub fn country(code_or_name: &str) -> Option<CountryCode> {
    let assigned = |code: &CountryCode| tables().countries.contains_key(code);
    CountryCode::new(code_or_name.trim())
        .filter(assigned)
        .or_else(|| tables().country_by_name.get(&*fold(code_or_name)).copied())
}

/// The continent of that name or code: `EU`, `europe`, `欧洲`.
pub fn continent_named(code_or_name: &str) -> Option<Continent> {
    Continent::from_code(code_or_name.trim()).or_else(|| tables().continent_by_name.get(&*fold(code_or_name)).copied())
}

/// The rule for a place called `name`: what a region key or a bare word in a match rule means.
///
/// Continents, countries and subdivisions, by code or name, in the order that the module's
/// documentation gives. `None` for a name that the catalogue does not know, or that means two things.
pub fn find(name: &str) -> Option<Expr> {
    place(name).map(Expr::Term)
}

fn place(name: &str) -> Option<Term> {
    match (continent_named(name), country(name)) {
        (Some(continent), Some(_)) => return (name.trim().len() > 2).then_some(Term::Continent(continent)),
        (Some(continent), None) => return Some(Term::Continent(continent)),
        (None, Some(country)) => return Some(Term::Country(country)),
        (None, None) => {}
    }
    let folded = fold(name);
    let code = of_full_code(&folded).or_else(|| named(tables().subdivision_by_name.get(&*folded)))?;
    Some(Term::Subdivision(fold(code)))
}

/// `cn-bj`, `cn-11`, `us-ca`: two letters, a hyphen and a code of that country.
fn of_full_code(folded: &str) -> Option<&'static str> {
    let (country, code) = folded.split_once('-')?;
    tables().subdivisions.get(&CountryCode::new(country)?)?.by_code.get(code).copied()
}

fn named(found: Option<&Named>) -> Option<&'static str> {
    match found? {
        Named::One(code) => Some(code),
        Named::Several => None,
    }
}

/// Every name that [`find`] knows, as people write it, for "did you mean": continents, countries,
/// China's provinces, other subdivisions.
pub fn names() -> impl Iterator<Item = &'static str> {
    tables().names.iter().copied()
}

/// The one name of a provider that goes by several: `电信`, `Chinanet` → `China Telecom`. `None` for a
/// provider that the catalogue does not know.
pub fn isp_alias(name: &str) -> Option<&'static str> {
    tables().isps.get(&*fold(name)).copied()
}

/// The name under which a provider compares, [`fold`]ed: its one name where the catalogue knows it, else
/// the given one. Both sides of a comparison, policy and data, go through it.
pub fn isp(name: &str) -> Arc<str> {
    fold(isp_alias(name).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cc(code: &str) -> CountryCode {
        CountryCode::new(code).unwrap()
    }

    fn in_subdivision(code: &str) -> Option<Expr> {
        Some(Expr::Term(Term::Subdivision(code.into())))
    }

    fn in_country(code: &str) -> Option<Expr> {
        Some(Expr::Term(Term::Country(cc(code))))
    }

    #[test]
    fn every_spelling_of_a_province_is_its_iso_code() {
        for spelling in ["BJ", "bj", "11", "CN-BJ", "cn-bj", "CN-11", "Beijing", "BEIJING ", "北京", "北京市", "CN_BJ"]
        {
            assert_eq!(subdivision(cc("CN"), spelling), Some("CN-BJ"), "{spelling}");
        }
        assert_eq!(subdivision(cc("CN"), "内蒙古自治区"), Some("CN-NM"));
        assert_eq!(subdivision(cc("CN"), "Inner Mongolia"), Some("CN-NM"));
        assert_eq!(subdivision(cc("CN"), "陕西省"), Some("CN-SN"));
        assert_eq!(subdivision(cc("CN"), "山西"), Some("CN-SX"));
        assert_eq!(subdivision(cc("CN"), "Atlantis"), None);
        assert_eq!(subdivision(cc("CN"), ""), None);
    }

    #[test]
    fn a_subdivisions_usual_name_leads_back_to_its_code() {
        assert_eq!(subdivision_name("CN-BJ"), Some("Beijing"));
        assert_eq!(subdivision_name("US-CA"), Some("California"));
        assert_eq!(subdivision_name("CN-11"), None);
        assert_eq!(subdivision(cc("CN"), subdivision_name("CN-XZ").unwrap()), Some("CN-XZ"));
    }

    #[test]
    fn subdivisions_elsewhere_are_found_by_code_and_by_english_and_own_name() {
        assert_eq!(subdivision(cc("US"), "CA"), Some("US-CA"));
        assert_eq!(subdivision(cc("US"), "california"), Some("US-CA"));
        assert_eq!(subdivision(cc("DE"), "Bavaria"), Some("DE-BY"));
        assert_eq!(subdivision(cc("DE"), "Bayern"), Some("DE-BY"));
        assert_eq!(subdivision(cc("BR"), "Sao Paulo"), Some("BR-SP"));
        assert_eq!(subdivision(cc("US"), "Montana"), Some("US-MT"));
        assert_eq!(subdivision(cc("ES"), "Madrid"), Some("ES-MD"), "the community, not the province below it");
        assert_eq!(subdivision(cc("US"), "BJ"), None);
    }

    #[test]
    fn a_bare_name_means_continent_then_country_then_province() {
        for (name, code) in [("beijing", "cn-bj"), ("Shanghai", "cn-sh"), ("北京", "cn-bj"), ("CN-31", "cn-sh")] {
            assert_eq!(find(name), in_subdivision(code), "{name}");
        }
        assert_eq!(find("US-CA"), in_subdivision("us-ca"));
        assert_eq!(find("california"), in_subdivision("us-ca"));
        for (name, code) in [("CN", "CN"), ("china", "CN"), ("中国", "CN"), ("usa", "US"), ("UK", "GB"), ("bj", "BJ")]
        {
            assert_eq!(find(name), in_country(code), "{name}");
        }
        assert_eq!(find("georgia"), in_country("GE"), "the country before the state");
        assert_eq!(find("Hong_Kong"), in_country("HK"), "as databases have it");
        assert_eq!(find("europe"), Some(Expr::Term(Term::Continent(Continent::Europe))));
        assert_eq!(find("Antarctica"), Some(Expr::Term(Term::Continent(Continent::Antarctica))));
        assert_eq!(find("EU"), Some(Expr::Term(Term::Continent(Continent::Europe))));
        assert_eq!(find("north-america"), Some(Expr::Term(Term::Continent(Continent::NorthAmerica))));
    }

    #[test]
    fn a_name_of_two_places_is_nobodys() {
        assert_eq!(find("montana"), None, "USA and Bulgaria");
        for letters in ["AF", "AS", "NA", "SA"] {
            assert_eq!(find(letters), None, "{letters} is a continent and a country");
        }
        assert_eq!(find("atlantis"), None);
        assert_eq!(find(""), None);
        assert_eq!(find("-"), None);
    }

    #[test]
    fn every_name_offered_is_one_that_is_found() {
        let mut count = 0;
        for name in names() {
            assert!(find(name).is_some(), "{name}");
            count += 1;
        }
        assert!(count > 4000, "{count}");
    }

    #[test]
    fn every_country_has_a_continent_and_a_centre() {
        assert_eq!(continent(cc("CN")), Some(Continent::Asia));
        assert_eq!(continent(cc("US")), Some(Continent::NorthAmerica));
        assert_eq!(continent(cc("RU")), Some(Continent::Europe), "as GeoIP data has it");
        assert_eq!(continent(cc("ZZ")), None);
        assert!(centre(cc("DE"), None).is_some());
        assert_eq!(centre(cc("ZZ"), None), None);
    }

    #[test]
    fn a_centre_is_the_subdivisions_where_known_and_else_the_countrys() {
        let beijing = Coordinates::from_degrees(39.90, 116.41);
        assert_eq!(centre(cc("CN"), Some("CN-BJ")), beijing);
        assert_eq!(centre(cc("CN"), Some("北京市")), beijing);
        assert_ne!(centre(cc("US"), Some("US-CA")), centre(cc("US"), None));
        assert_eq!(centre(cc("DE"), Some("DE-BY")), centre(cc("DE"), None));
        assert_eq!(centre(cc("DE"), Some("Atlantis")), centre(cc("DE"), None));
    }

    #[test]
    fn providers_have_one_name() {
        for alias in ["电信", "中国电信", "Chinanet", "china_telecom", "China Telecom"] {
            assert_eq!(isp_alias(alias), Some("China Telecom"), "{alias}");
        }
        assert_eq!(isp_alias("教育网"), Some("CERNET"));
        assert_eq!(isp_alias("Example Net"), None);
        assert_eq!(&*isp("联通"), "china-unicom");
        assert_eq!(&*isp("Example Net"), "example-net");
    }
}
