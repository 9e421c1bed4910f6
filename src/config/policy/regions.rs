//! Regions: match rules, the names by which policies call places, and operator networks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ipnet::IpNet;

use super::datacenters::half;
use super::{Parts, ServicePart, defined_twice};
use crate::config::form::{At, Either, OneOrMany};
use crate::config::report::{Report, with_help};
use crate::config::source::Span;
use crate::config::spec::{NetworkSpec, RuleItemSpec, RuleSpec, TermsSpec};
use crate::config::yaml::quote;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{Coordinates, CountryCode, Expr, Gazetteer, Network, Place, Region, RegionId, RegionIx, Term, fold};

/// Every region that is defined or used.
pub(super) struct Atlas {
    /// By id.
    pub(super) regions: Vec<Region>,
    /// What policies write, to the region that they mean.
    keys: HashMap<String, RegionIx>,
}

impl Atlas {
    pub(super) fn new(
        parts: &Parts,
        services: &[ServicePart],
        gazetteer: &dyn Gazetteer,
        report: &mut Report,
    ) -> Atlas {
        let mut places = Places { gazetteer, names: None };
        let mut drafts: BTreeMap<RegionId, (Span, Expr)> = BTreeMap::new();
        for (id, rule) in &parts.regions {
            if id.value.as_str() == "default" {
                let error = Diagnostic::error("reserved-name", "`default` is reserved: in a policy it is not a region");
                report.at(id.at, error.expected("another name"));
            } else if let Some((first, _)) = drafts.get(&id.value) {
                defined_twice(report, "duplicate-region", "region", id.value.as_str(), *first, id.at);
            } else {
                let rule = places.region(id, rule, report);
                drafts.insert(id.value.clone(), (id.at, rule));
            }
        }
        let folded: HashMap<Arc<str>, RegionId> = drafts.keys().map(|id| (fold(id.as_str()), id.clone())).collect();
        let mut meant: HashMap<String, RegionId> = HashMap::new();
        for (key, _) in
            services.iter().filter_map(|part| part.spec.policies.as_ref()).flat_map(|policies| &policies.regions.0)
        {
            if meant.contains_key(&key.value) {
                continue;
            }
            let exact = RegionId::new(&key.value).ok().filter(|id| drafts.contains_key(id));
            if let Some(id) = exact.or_else(|| folded.get(&fold(&key.value)).cloned()) {
                meant.insert(key.value.clone(), id);
            } else if let Some((id, rule)) = places.implicit(key, &folded, report) {
                drafts.entry(id.clone()).or_insert((key.at, rule));
                meant.insert(key.value.clone(), id);
            }
        }
        let mut position: HashMap<RegionId, RegionIx> = HashMap::new();
        let mut regions = Vec::new();
        for (id, (at, rule)) in drafts {
            if regions.len() < limits::REGIONS_MAX {
                position.insert(id.clone(), RegionIx::from_at(regions.len()));
            }
            regions.push(Region { id, rule, origin: report.sources.origin(at) });
        }
        let keys = meant.into_iter().filter_map(|(key, id)| Some((key, *position.get(&id)?))).collect();
        Atlas { regions, keys }
    }

    /// The region that a policy means by `key`. `None`: there is none, and that is reported already.
    pub(super) fn region(&self, key: &str) -> Option<RegionIx> {
        self.keys.get(key).copied()
    }
}

/// The gazetteer, with its names at hand once they were needed.
struct Places<'a> {
    gazetteer: &'a dyn Gazetteer,
    names: Option<Vec<String>>,
}

impl Places<'_> {
    fn names(&mut self) -> &[String] {
        self.names.get_or_insert_with(|| self.gazetteer.names())
    }

    /// The rule of a place that is known to the catalogue or the data.
    fn rule(&mut self, name: &At<String>, report: &mut Report) -> Option<Expr> {
        let (rule, has_data) = self.gazetteer.rule(&name.value)?;
        if !has_data {
            let message = format!("no loaded GeoIP data knows any client in {}", quote(&name.value));
            let warning = Diagnostic::warning("region-without-data", message)
                .help("its clients are treated as clients of no region");
            report.at(name.at, warning);
        }
        if !self.gazetteer.is_catalogued(&name.value) {
            let message = format!("{} is known to the loaded GeoIP data alone", quote(&name.value));
            let warning = Diagnostic::warning("region-of-data", message)
                .help("other data may not know it, and this file would then be refused; define it under `regions`");
            report.at(name.at, warning);
        }
        Some(rule)
    }

    /// A region that no file defines.
    fn implicit(
        &mut self,
        key: &At<String>,
        defined: &HashMap<Arc<str>, RegionId>,
        report: &mut Report,
    ) -> Option<(RegionId, Expr)> {
        if let Some(rule) = self.rule(key, report) {
            if let Ok(id) = RegionId::new(&fold(&key.value)) {
                return Some((id, rule));
            }
            let error = Diagnostic::error("bad-id", format!("{} cannot be the id of a region", quote(&key.value)));
            report.at(key.at, error.help("define it under `regions` with a name of your own"));
            return None;
        }
        let fields = ["default"].into_iter();
        let ours: Vec<&str> = defined.values().map(RegionId::as_str).chain(fields).collect();
        let near = report.did_you_mean(&key.value, ours.iter().copied().chain(self.names().iter().map(String::as_str)));
        let help = near.unwrap_or_else(|| "define it under `regions`".to_owned());
        let error = Diagnostic::error("unknown-region", format!("there is no region {}", quote(&key.value)))
            .expected("a name from `regions`, or of a place")
            .help(help);
        report.at(key.at, error);
        None
    }

    fn region(&mut self, id: &At<RegionId>, spec: &RuleSpec, report: &mut Report) -> Expr {
        let rule = self.expr(spec, 1, report);
        let terms = rule.terms().len();
        if terms > limits::REGION_TERMS_MAX {
            let message = format!("the region `{}` has {terms} terms", id.value);
            let error = Diagnostic::error("too-many", message);
            report.at(id.at, error.expected(format!("at most {}", limits::REGION_TERMS_MAX)));
        }
        rule
    }

    fn expr(&mut self, spec: &RuleSpec, depth: usize, report: &mut Report) -> Expr {
        match spec {
            Either::Short(items) => self.any(items, depth, report),
            Either::Mapping(terms) => self.terms(terms, depth, report),
        }
    }

    fn item(&mut self, item: &RuleItemSpec, depth: usize, report: &mut Report) -> Expr {
        match item {
            Either::Short(name) => self.place(name, report),
            Either::Mapping(terms) => self.terms(terms, depth, report),
        }
    }

    /// One item stands for itself.
    fn any(&mut self, items: &OneOrMany<RuleItemSpec>, depth: usize, report: &mut Report) -> Expr {
        if items.items.is_empty() {
            report.at(items.at, Diagnostic::error("empty-list", "an empty list matches nobody"));
        }
        gather(items.items.iter().map(|item| self.item(item, depth, report)).collect(), Expr::Any)
    }

    fn place(&mut self, name: &At<String>, report: &mut Report) -> Expr {
        if let Some(rule) = self.rule(name, report) {
            return rule;
        }
        self.unknown(name, "a place in the catalogue or in the loaded data", report);
        Expr::Any(Vec::new())
    }

    fn unknown(&mut self, name: &At<String>, expected: &str, report: &mut Report) {
        let near = report.did_you_mean(&name.value, self.names().iter().map(String::as_str));
        let error = Diagnostic::error("unknown-place", format!("there is no place {}", quote(&name.value)));
        report.at(name.at, with_help(error.expected(expected), near));
    }

    /// Several fields: all of them.
    fn terms(&mut self, spec: &TermsSpec, depth: usize, report: &mut Report) -> Expr {
        if depth > limits::NESTING_MAX {
            let message = format!("match rules nest deeper than {} levels", limits::NESTING_MAX);
            report.at(spec.at, Diagnostic::error("too-deep", message));
            return Expr::Any(Vec::new());
        }
        let mut parts = Vec::new();
        parts.extend(values(&spec.continent, report, |word, _| Expr::Term(Term::Continent(word.value.continent()))));
        parts.extend(values(&spec.country, report, |name, report| match self.country(name, report) {
            Some(country) => Expr::Term(Term::Country(country)),
            None => Expr::Any(Vec::new()),
        }));
        parts.extend(values(&spec.subdivision, report, |name, _| {
            self.subdivision(&name.value).unwrap_or_else(|| Expr::Term(Term::Subdivision(fold(&name.value))))
        }));
        parts.extend(values(&spec.city, report, |name, _| Expr::Term(Term::City(fold(&name.value)))));
        parts.extend(values(&spec.asn, report, |asn, _| Expr::Term(Term::Asn(asn.value.0))));
        parts.extend(values(&spec.isp, report, |name, _| {
            let names = self.gazetteer.isp_names(&name.value);
            gather(names.into_iter().map(|name| Expr::Term(Term::Isp(name))).collect(), Expr::Any)
        }));
        parts.extend(values(&spec.cidr, report, |net, _| Expr::Term(Term::Cidr(net.value))));
        if let Some(any) = &spec.any {
            parts.push(self.any(any, depth + 1, report));
        }
        if let Some(all) = &spec.all {
            let all = all.items.iter().map(|item| self.item(item, depth + 1, report)).collect();
            parts.push(gather(all, Expr::All));
        }
        if let Some(not) = &spec.not {
            parts.push(Expr::Not(Box::new(self.expr(&not.0, depth + 1, report))));
        }
        if parts.is_empty() && spec.clean {
            let error = Diagnostic::error("empty-rule", "this rule says nothing about clients")
                .expected("at least one term, such as `country` or `cidr`");
            report.at(spec.at, error);
        }
        gather(parts, Expr::All)
    }

    /// By code or by any name that the catalogue knows.
    fn country(&mut self, name: &At<String>, report: &mut Report) -> Option<CountryCode> {
        let known = self.gazetteer.rule(&name.value);
        if let Some((Expr::Term(Term::Country(country)), _)) = known {
            return Some(country);
        }
        // `AF`, `AS`, `NA` and `SA` are continents as well, and a name of both is a name of neither. A
        // gazetteer without names knows no codes at all.
        let code = CountryCode::new(&name.value);
        let both = matches!(&*name.value.to_uppercase(), "AF" | "AS" | "NA" | "SA");
        if code.is_some() && (both || known.is_some() || self.names().is_empty()) {
            return code;
        }
        self.unknown(name, "a country: its ISO 3166-1 code, or its name", report);
        None
    }

    fn subdivision(&self, name: &str) -> Option<Expr> {
        let (rule, _) = self.gazetteer.rule(name)?;
        let terms = rule.terms();
        let all = !terms.is_empty() && terms.iter().all(|term| matches!(term, Term::Subdivision(_)));
        all.then_some(rule)
    }
}

/// The one rule, or all of them combined.
fn gather(mut rules: Vec<Expr>, combine: fn(Vec<Expr>) -> Expr) -> Expr {
    match rules.pop() {
        Some(only) if rules.is_empty() => only,
        Some(last) => {
            rules.push(last);
            combine(rules)
        }
        None => combine(rules),
    }
}

/// Several values of one field: any of them.
fn values<T>(
    field: &Option<OneOrMany<At<T>>>,
    report: &mut Report,
    mut term: impl FnMut(&At<T>, &mut Report) -> Expr,
) -> Option<Expr> {
    let field = field.as_ref()?;
    if field.items.is_empty() {
        report.at(field.at, Diagnostic::error("empty-list", "an empty list matches nobody"));
    }
    Some(gather(field.items.iter().map(|value| term(value, report)).collect(), Expr::Any))
}

/// What operators say of networks, by network.
pub(super) fn networks(
    entries: &[(At<IpNet>, NetworkSpec)],
    gazetteer: &dyn Gazetteer,
    report: &mut Report,
) -> Vec<Network> {
    let mut places = Places { gazetteer, names: None };
    let mut networks: BTreeMap<IpNet, (Span, Network)> = BTreeMap::new();
    for (net, spec) in entries {
        if let Some((first, _)) = networks.get(&net.value) {
            defined_twice(report, "duplicate-network", "network", &net.value.to_string(), *first, net.at);
            continue;
        }
        let before = report.errors();
        let place = Place {
            continent: spec.continent.as_ref().map(|word| word.value.continent()),
            country: spec.country.as_ref().and_then(|name| places.country(name, report)),
            subdivision: spec.subdivision.as_ref().map(|name| places.subdivision_name(&name.value)),
            city: spec.city.as_ref().map(|name| name.value.as_str().into()),
            asn: spec.asn.as_ref().map(|asn| asn.value.0),
            isp: spec.isp.as_ref().map(|name| name.value.as_str().into()),
            coordinates: position(spec, report),
        };
        if place.is_unknown() && spec.clean && report.errors() == before {
            let error = Diagnostic::error("empty-rule", "nothing is said of this network");
            report.at(net.at, error.expected(NetworkSpec::TABLE.expected()));
        }
        networks.insert(net.value, (net.at, Network { net: net.value, place, origin: report.sources.origin(net.at) }));
    }
    networks.into_values().map(|(_, network)| network).collect()
}

impl Places<'_> {
    /// In full ISO 3166-2 form where that is known.
    fn subdivision_name(&self, name: &str) -> Arc<str> {
        match self.subdivision(name) {
            Some(Expr::Term(Term::Subdivision(code))) => code.to_uppercase().into(),
            Some(_) | None => name.into(),
        }
    }
}

fn position(spec: &NetworkSpec, report: &mut Report) -> Option<Coordinates> {
    match (&spec.latitude, &spec.longitude) {
        (Some(latitude), Some(longitude)) => Coordinates::from_degrees(latitude.value.0, longitude.value.0),
        (None, None) => None,
        (Some(one), None) => half(one.at, "longitude", report),
        (None, Some(one)) => half(one.at, "latitude", report),
    }
}
