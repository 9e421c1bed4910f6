//! Names of places: the built-in catalogue first, then the names of the loaded data.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::{Atlas, catalogue};
use crate::limits::GAZETTEER_NAMES_MAX;
use crate::model::{Continent, CountryCode, Expr, Gazetteer, Place, Term, fold};

/// What the loaded data knows, by [`fold`]ed name.
#[derive(Debug, Default)]
pub(super) struct Names {
    continents: HashSet<Continent>,
    countries: HashSet<CountryCode>,
    subdivisions: HashSet<Arc<str>>,
    cities: HashSet<Arc<str>>,
    isps: HashSet<Arc<str>>,
    asns: HashSet<u32>,
    /// Names of subdivisions that have a code; a name can be of several.
    pub(super) subdivision_names: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// As the data writes them, bounded.
    as_written: Vec<Arc<str>>,
}

impl Names {
    pub(super) fn of(places: &[Place], subdivision_names: HashMap<Arc<str>, BTreeSet<Arc<str>>>) -> Names {
        let mut names = Names::default();
        let mut cities = HashSet::new();
        let mut subdivisions = HashSet::new();
        let mut isps = HashSet::new();
        for place in places {
            names.continents.extend(place.continent);
            names.countries.extend(place.country);
            names.asns.extend(place.asn);
            subdivisions.extend(&place.subdivision);
            cities.extend(&place.city);
            isps.extend(&place.isp);
        }
        names.subdivisions = subdivisions.iter().map(|name| fold(name)).collect();
        names.cities = cities.iter().map(|name| fold(name)).collect();
        names.isps = isps.iter().map(|name| fold(name)).collect();
        let codes = |codes: BTreeSet<Arc<str>>| codes.iter().map(|code| fold(code)).collect();
        names.subdivision_names = subdivision_names.into_iter().map(|(name, of)| (name, codes(of))).collect();
        // Subdivisions are few and cities many: the bound should cost the latter.
        let in_order = |names: HashSet<&Arc<str>>| {
            let mut names: Vec<Arc<str>> = names.into_iter().cloned().collect();
            names.sort_unstable();
            names
        };
        let written = in_order(names.subdivision_names.keys().collect());
        let all = [written, in_order(subdivisions), in_order(isps), in_order(cities)];
        names.as_written = all.into_iter().flatten().take(GAZETTEER_NAMES_MAX).collect();
        names
    }

    /// Whether some place of the data can satisfy the rule, term by term.
    fn hold(&self, rule: &Expr) -> bool {
        match rule {
            Expr::Term(term) => self.hold_term(term),
            Expr::Any(parts) => parts.iter().any(|part| self.hold(part)),
            Expr::All(parts) => parts.iter().all(|part| self.hold(part)),
            Expr::Not(_) => true,
        }
    }

    fn hold_term(&self, term: &Term) -> bool {
        match term {
            Term::Continent(continent) => self.continents.contains(continent),
            Term::Country(country) => self.countries.contains(country),
            Term::Subdivision(name) => self.subdivisions.contains(name),
            Term::City(name) => self.cities.contains(name),
            Term::Isp(name) => self.isps.contains(name),
            Term::Asn(asn) => self.asns.contains(asn),
            Term::Cidr(_) => true,
        }
    }

    /// A subdivision before a city before a provider; a name of several subdivisions means any of them.
    fn find(&self, name: &str) -> Option<Expr> {
        let folded = fold(name);
        if self.subdivisions.contains(&folded) {
            return Some(Expr::Term(Term::Subdivision(folded)));
        }
        if let Some(codes) = self.subdivision_names.get(&folded) {
            let mut terms: Vec<Expr> = codes.iter().cloned().map(Term::Subdivision).map(Expr::Term).collect();
            return if terms.len() == 1 { terms.pop() } else { Some(Expr::Any(terms)) };
        }
        if self.cities.contains(&folded) {
            return Some(Expr::Term(Term::City(folded)));
        }
        let isp = catalogue::isp(name);
        self.isps.contains(&isp).then_some(Expr::Term(Term::Isp(isp)))
    }
}

impl Gazetteer for Atlas {
    fn rule(&self, name: &str) -> Option<(Expr, bool)> {
        if let Some(rule) = catalogue::find(name) {
            let held = self.names.hold(&rule);
            return Some((rule, held));
        }
        self.names.find(name).map(|rule| (rule, true))
    }

    fn is_catalogued(&self, name: &str) -> bool {
        catalogue::find(name).is_some()
    }

    fn isp_names(&self, name: &str) -> Vec<Arc<str>> {
        // Databases are read with providers' names as the catalogue has them.
        vec![catalogue::isp(name)]
    }

    fn names(&self) -> Vec<String> {
        catalogue::names().map(str::to_owned).chain(self.names.as_written.iter().map(|name| name.to_string())).collect()
    }
}
