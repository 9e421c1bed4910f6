//! Where clients are: places, match rules, regions, operator networks.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::{DatacenterIx, Origin, RegionId, RegionIx};

/// A continent as GeoIP data names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Continent {
    Africa,
    Antarctica,
    Asia,
    Europe,
    NorthAmerica,
    Oceania,
    SouthAmerica,
}

impl Continent {
    /// All seven.
    pub const ALL: [Continent; 7] = [
        Continent::Africa,
        Continent::Antarctica,
        Continent::Asia,
        Continent::Europe,
        Continent::NorthAmerica,
        Continent::Oceania,
        Continent::SouthAmerica,
    ];

    /// The two letters that GeoIP data uses: AF AN AS EU NA OC SA.
    pub fn code(self) -> &'static str {
        match self {
            Continent::Africa => "AF",
            Continent::Antarctica => "AN",
            Continent::Asia => "AS",
            Continent::Europe => "EU",
            Continent::NorthAmerica => "NA",
            Continent::Oceania => "OC",
            Continent::SouthAmerica => "SA",
        }
    }

    /// From the two letters, any case.
    pub fn from_code(code: &str) -> Option<Continent> {
        Continent::ALL.into_iter().find(|continent| continent.code().eq_ignore_ascii_case(code))
    }
}

/// An ISO 3166-1 alpha-2 code, in upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// Two ASCII letters, any case. Whether the code is assigned is the catalogue's to say.
    pub fn new(code: &str) -> Option<CountryCode> {
        match code.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(CountryCode([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }

    /// Two upper-case letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters")
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A point on the globe in hundredths of a degree: enough for whole kilometres, and exact to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coordinates {
    /// -9000 (south) to 9000.
    pub latitude_centideg: i16,
    /// -18000 (west) to 18000.
    pub longitude_centideg: i16,
}

impl Coordinates {
    /// From degrees; `None` beyond ±90 and ±180 or for NaN.
    pub fn from_degrees(latitude: f64, longitude: f64) -> Option<Coordinates> {
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "checked above; ±18000 fits")]
        Some(Coordinates {
            latitude_centideg: (latitude * 100.0).round() as i16,
            longitude_centideg: (longitude * 100.0).round() as i16,
        })
    }
}

/// What is known of where an address is. Every field may be missing.
///
/// Strings are as the data has them; comparisons go through [`fold`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The continent; derived from the country where the data does not say.
    pub continent: Option<Continent>,
    /// The country.
    pub country: Option<CountryCode>,
    /// The first-level subdivision in full ISO 3166-2 form (`CN-BJ`) where that is known, else the
    /// data's name.
    pub subdivision: Option<Arc<str>>,
    /// The city's name, in English where the data has it.
    pub city: Option<Arc<str>>,
    /// The autonomous system's number.
    pub asn: Option<u32>,
    /// The provider's name.
    pub isp: Option<Arc<str>>,
    /// Where on the globe, for `nearest`; the centre of the subdivision or country where the data
    /// gives nothing better.
    pub coordinates: Option<Coordinates>,
}

impl Place {
    /// True when nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Place::default()
    }
}

/// One test of a place or an address.
///
/// `Subdivision`, `City` and `Isp` hold [`fold`]ed text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Term {
    Continent(Continent),
    Country(CountryCode),
    /// `cn-bj`, or a folded name where there is no code.
    Subdivision(Arc<str>),
    City(Arc<str>),
    Isp(Arc<str>),
    Asn(u32),
    /// Never inside `::ffff:0:0/96` or `2002::/16`: those are written as the IPv4 network they carry.
    Cidr(IpNet),
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Term::Continent(continent) => write!(f, "continent {}", continent.code()),
            Term::Country(country) => write!(f, "country {country}"),
            Term::Subdivision(name) => write!(f, "subdivision {}", name.to_uppercase()),
            Term::City(name) => write!(f, "city {name}"),
            Term::Isp(name) => write!(f, "provider {name}"),
            Term::Asn(number) => write!(f, "AS{number}"),
            Term::Cidr(net) => write!(f, "network {net}"),
        }
    }
}

/// The form in which names of places and providers compare: lower case, and any run of spaces,
/// underscores, dots and hyphens as one hyphen. `"New_York"` and `"new york"` are one.
pub fn fold(text: &str) -> Arc<str> {
    let mut out = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if c.is_whitespace() || matches!(c, '_' | '-' | '.') {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out.trim_matches('-').into()
}

/// A match rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expr {
    /// One test.
    Term(Term),
    /// At least one holds; empty: never.
    Any(Vec<Expr>),
    /// Each holds; empty: always.
    All(Vec<Expr>),
    /// It does not hold.
    Not(Box<Expr>),
}

impl Expr {
    /// Every term, negated ones included.
    pub fn terms(&self) -> Vec<&Term> {
        match self {
            Expr::Term(term) => vec![term],
            Expr::Any(parts) | Expr::All(parts) => parts.iter().flat_map(Expr::terms).collect(),
            Expr::Not(part) => part.terms(),
        }
    }
}

/// A named set of client locations.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its name, as policies use it.
    pub id: RegionId,
    /// Who is in it.
    pub rule: Expr,
    /// Where it was defined, or first used when it comes from the catalogue.
    pub origin: Origin,
}

/// What an operator says of a network; what is `Some` here overrides every database.
#[derive(Clone, Debug)]
pub struct Network {
    /// Never inside `::ffff:0:0/96` or `2002::/16`.
    pub net: IpNet,
    /// Sparse: only what is stated.
    pub place: Place,
    /// Where it was written.
    pub origin: Origin,
}

/// A data centre on the globe, as `nearest` sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Which one.
    pub datacenter: DatacenterIx,
    /// Where it is.
    pub at: Coordinates,
    /// Added to every distance, in km; negative draws clients.
    pub bias_km: i32,
}

/// What a location map is made from: the regions that a service's policy names, in file order, and for
/// `nearest` the sites that each of them chooses between. Services with equal rule sets share a map.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleSet {
    /// In file order: the last word when ranks are equal.
    pub regions: Vec<RegionIx>,
    /// For each of `regions`, and at the end for everyone else: the pools in which the nearest is chosen,
    /// each as the sites of its members by data centre index. A region that does not ask has none; empty
    /// when nobody asks.
    pub sites: Vec<Vec<Arc<[Site]>>>,
}

impl RuleSet {
    /// False when the policy never looks at where the client is.
    pub fn looks_at_client(&self) -> bool {
        !(self.regions.is_empty() && self.sites.is_empty())
    }
}

/// Knows the names of places: the built-in catalogue, then the loaded data's own names.
pub trait Gazetteer {
    /// The rule for a place that is called `name` (any case, any of its languages): `None` when it is
    /// known nowhere. The flag says whether the loaded data holds any such place.
    fn rule(&self, name: &str) -> Option<(Expr, bool)>;

    /// True when the catalogue itself knows `name`: it then means the same whatever data is loaded.
    fn is_catalogued(&self, name: &str) -> bool;

    /// Every name known to the catalogue and the data, for "did you mean".
    fn names(&self) -> Vec<String>;

    /// The [`fold`]ed names under which the data may hold the provider that people call `name`
    /// (`电信`: `china-telecom` too). At least the name itself.
    fn isp_names(&self, name: &str) -> Vec<Arc<str>> {
        vec![fold(name)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_makes_spellings_of_one_name_equal() {
        assert_eq!(fold("New_York"), fold("  new  york "));
        assert_eq!(fold("St. Gallen"), fold("st-gallen"));
        assert_eq!(&*fold("北京市"), "北京市");
    }

    #[test]
    fn coordinates_are_bounded() {
        assert!(Coordinates::from_degrees(90.0, -180.0).is_some());
        assert!(Coordinates::from_degrees(90.1, 0.0).is_none());
        assert!(Coordinates::from_degrees(f64::NAN, 0.0).is_none());
    }
}
