//! In which of a service's regions a place is.
//!
//! When several regions match, rank decides: the most specific positive term that matched (a CIDR by its
//! length, then AS number and provider, city, subdivision, country, continent), then the number of terms
//! in the rule, then the order in the file. The last is a matter of chance as far as the network is
//! concerned, so [`Match::tied`] tells when it decided.

use std::net::IpAddr;

use crate::model::{Expr, Place, Region, RuleSet, Term, fold};

/// How specific a match is; the greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// The best positive term that matched: 0 for none.
    specificity: u16,
    /// Terms in the rule.
    terms: u32,
}

/// Which region won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Its position in [`RuleSet::regions`].
    pub at: usize,
    /// Why it won.
    pub rank: Rank,
    /// Another region of the same rank, later in the file: only the order in the file decided.
    pub tied: Option<usize>,
    /// The term that decided, for people.
    pub because: Option<Term>,
}

/// The region of `rules` that an address at `place` is in, or `None`. `addr` is tested by CIDR terms
/// alone, and must be canonical: an IPv4 address as such.
pub fn region_of(regions: &[Region], rules: &RuleSet, place: &Place, addr: IpAddr) -> Option<Match> {
    let folded = Folded::of(place);
    let mut best: Option<Match> = None;
    for (at, region) in rules.regions.iter().enumerate() {
        let rule = &regions[region.at()].rule;
        let Some(term) = holds(rule, &folded, addr) else { continue };
        let rank = Rank {
            specificity: term.map_or(0, specificity),
            terms: u32::try_from(rule.terms().len()).unwrap_or(u32::MAX),
        };
        match &mut best {
            Some(best) if best.rank == rank => best.tied = best.tied.or(Some(at)),
            Some(best) if best.rank > rank => {}
            _ => best = Some(Match { at, rank, tied: None, because: term.cloned() }),
        }
    }
    best
}

/// A place with its texts folded once, however many rules are tested.
struct Folded<'a> {
    place: &'a Place,
    subdivision: Option<std::sync::Arc<str>>,
    city: Option<std::sync::Arc<str>>,
    isp: Option<std::sync::Arc<str>>,
}

impl Folded<'_> {
    fn of(place: &Place) -> Folded<'_> {
        let fold = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(fold);
        Folded { place, subdivision: fold(&place.subdivision), city: fold(&place.city), isp: fold(&place.isp) }
    }

    fn has(&self, term: &Term, addr: IpAddr) -> bool {
        match term {
            Term::Continent(continent) => self.place.continent == Some(*continent),
            Term::Country(country) => self.place.country == Some(*country),
            Term::Subdivision(name) => self.subdivision.as_ref() == Some(name),
            Term::City(name) => self.city.as_ref() == Some(name),
            Term::Isp(name) => self.isp.as_ref() == Some(name),
            Term::Asn(number) => self.place.asn == Some(*number),
            Term::Cidr(net) => net.contains(&addr),
        }
    }
}

/// `None` when the rule does not hold; else the most specific positive term that made it hold, if any.
fn holds<'a>(rule: &'a Expr, place: &Folded<'_>, addr: IpAddr) -> Option<Option<&'a Term>> {
    match rule {
        Expr::Term(term) => place.has(term, addr).then_some(Some(term)),
        Expr::Not(part) => holds(part, place, addr).is_none().then_some(None),
        Expr::Any(parts) => parts.iter().filter_map(|part| holds(part, place, addr)).reduce(best),
        Expr::All(parts) => {
            parts.iter().try_fold(None, |so_far, part| holds(part, place, addr).map(|term| best(so_far, term)))
        }
    }
}

fn best<'a>(a: Option<&'a Term>, b: Option<&'a Term>) -> Option<&'a Term> {
    if b.map_or(0, specificity) > a.map_or(0, specificity) { b } else { a }
}

fn specificity(term: &Term) -> u16 {
    match term {
        Term::Continent(_) => 1,
        Term::Country(_) => 2,
        Term::Subdivision(_) => 3,
        Term::City(_) => 4,
        Term::Asn(_) | Term::Isp(_) => 5,
        Term::Cidr(net) => 6 + u16::from(net.prefix_len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Continent, CountryCode, Origin, RegionId, RegionIx};

    fn place() -> Place {
        Place {
            continent: Some(Continent::Asia),
            country: CountryCode::new("CN"),
            subdivision: Some("CN-BJ".into()),
            city: Some("Beijing".into()),
            asn: Some(4134),
            isp: Some("China Telecom".into()),
            coordinates: None,
        }
    }

    fn cn() -> Expr {
        Expr::Term(Term::Country(CountryCode::new("CN").unwrap()))
    }

    fn asia() -> Expr {
        Expr::Term(Term::Continent(Continent::Asia))
    }

    fn beijing() -> Expr {
        Expr::Term(Term::Subdivision("cn-bj".into()))
    }

    fn isp() -> Expr {
        Expr::Term(Term::Isp("china-telecom".into()))
    }

    fn net(text: &str) -> Expr {
        Expr::Term(Term::Cidr(text.parse().unwrap()))
    }

    fn winner(rules: Vec<Expr>) -> Option<Match> {
        let regions: Vec<Region> = rules
            .into_iter()
            .enumerate()
            .map(|(at, rule)| Region { id: RegionId::new(&format!("r{at}")).unwrap(), rule, origin: Origin::file("t") })
            .collect();
        let rules = RuleSet { regions: (0..regions.len()).map(RegionIx::from_at).collect(), sites: vec![] };
        region_of(&regions, &rules, &place(), "219.141.136.10".parse().unwrap())
    }

    #[test]
    fn the_most_specific_term_wins_whatever_the_order() {
        let ladder = [
            asia(),
            cn(),
            beijing(),
            Expr::Term(Term::City("beijing".into())),
            isp(),
            net("0.0.0.0/0"),
            net("219.0.0.0/8"),
            net("219.141.136.10/32"),
        ];
        for better in 1..ladder.len() {
            for worse in 0..better {
                let (a, b) = (ladder[worse].clone(), ladder[better].clone());
                assert_eq!(winner(vec![a.clone(), b.clone()]).unwrap().at, 1, "{a:?} {b:?}");
                assert_eq!(winner(vec![b.clone(), a.clone()]).unwrap().at, 0, "{b:?} {a:?}");
            }
        }
        assert_eq!(
            winner(vec![isp(), Expr::Term(Term::Asn(4134))]).unwrap().tied,
            Some(1),
            "AS and provider are peers"
        );
    }

    #[test]
    fn then_more_terms_then_the_file_and_that_is_told() {
        let both = Expr::All(vec![beijing(), cn()]);
        assert_eq!(winner(vec![beijing(), both]).unwrap().at, 1);
        let tie = winner(vec![cn(), beijing(), Expr::Any(vec![beijing()])]).unwrap();
        assert_eq!((tie.at, tie.tied), (1, Some(2)));
        assert_eq!(winner(vec![cn(), asia()]).unwrap().tied, None);
    }

    #[test]
    fn rules_combine_and_negated_terms_lend_no_rank() {
        let not_unicom = Expr::All(vec![cn(), Expr::Not(Box::new(Expr::Term(Term::Isp("china-unicom".into()))))]);
        let matched = winner(vec![not_unicom, beijing()]).unwrap();
        assert_eq!(matched.at, 1, "a subdivision beats a country, whatever is negated beside it");
        assert_eq!(winner(vec![Expr::Not(Box::new(cn()))]), None);
        assert_eq!(winner(vec![Expr::Any(vec![])]), None);
        assert_eq!(winner(vec![Expr::All(vec![])]).unwrap().rank.specificity, 0);
        assert_eq!(winner(vec![Expr::All(vec![cn(), net("10.0.0.0/8")])]), None);
    }
}
