//! Data centres, groups, and what people call them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Parts, ServicePart, defined_twice};
use crate::config::form::At;
use crate::config::report::{Report, with_help};
use crate::config::request::CountOrShare;
use crate::config::source::Span;
use crate::config::spec::DatacenterSpec;
use crate::config::yaml::quote;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{
    Coordinates, Datacenter, DatacenterId, DatacenterIx, Group, MinHealthy, NamedDatacenters, leading_words,
    resolve_datacenter,
};

/// Every data centre that is declared or used, and every group.
pub(super) struct Directory {
    pub(super) datacenters: Vec<Datacenter>,
    pub(super) groups: Vec<Group>,
    by_id: HashMap<String, DatacenterIx>,
}

/// A data centre while its pieces come together.
struct Draft<'a> {
    at: Span,
    aliases: Vec<At<DatacenterId>>,
    spec: Option<&'a DatacenterSpec>,
}

impl Directory {
    pub(super) fn new(parts: &Parts, services: &[ServicePart], report: &mut Report) -> Directory {
        let mut drafts = declared(parts, report);
        for endpoint in services.iter().flat_map(|part| part.spec.endpoints.iter().flat_map(|entries| &entries.0)) {
            let (id, spec) = endpoint;
            if spec.datacenter.is_some() || drafts.contains_key(id.value.as_str()) {
                continue;
            }
            // Both kinds of id take the same characters.
            if let Ok(own) = DatacenterId::new(id.value.as_str()) {
                drafts.insert(own, Draft { at: id.at, aliases: Vec::new(), spec: None });
            }
        }
        if drafts.len() > limits::DATACENTERS_MAX {
            // Refused by the caller; ids are all that it needs to know.
            let datacenters = drafts.into_iter().map(|(id, draft)| plain(id, draft.at, report)).collect();
            return Directory { datacenters, groups: Vec::new(), by_id: HashMap::new() };
        }
        let ats: Vec<Span> = drafts.values().map(|draft| draft.at).collect();
        let mut aliases: Vec<Vec<At<DatacenterId>>> = Vec::new();
        let mut datacenters = Vec::new();
        for (id, draft) in drafts {
            let mut datacenter = plain(id, draft.at, report);
            if let Some(spec) = draft.spec {
                datacenter.at = coordinates(spec, report);
                datacenter.bias_km = spec.bias.as_ref().map_or(0, |bias| bias.value.0);
                datacenter.min_healthy = spec.min_healthy.as_ref().map(|min| match min.value {
                    CountOrShare::Count(count) => MinHealthy::Count(count),
                    CountOrShare::Share(percent) => MinHealthy::Percent(percent),
                });
                datacenter.capacity = spec.capacity.as_ref().map(|capacity| capacity.value.0);
            }
            datacenters.push(datacenter);
            aliases.push(draft.aliases);
        }
        let by_id = (0..datacenters.len())
            .map(|at| (datacenters[at].id.as_str().to_owned(), DatacenterIx::from_at(at)))
            .collect();
        let mut directory = Directory { datacenters, groups: Vec::new(), by_id };
        directory.take_endpoint_aliases(services, &mut aliases);
        for (datacenter, aliases) in directory.datacenters.iter_mut().zip(&aliases) {
            for alias in aliases {
                if !datacenter.aliases.contains(&alias.value) {
                    datacenter.aliases.push(alias.value.clone());
                }
            }
        }
        let groups = directory.take_groups(parts, report);
        directory.refuse_clashes(&ats, &aliases, &groups, report);
        directory
    }

    /// Aliases that endpoints give to their data centres, behind the declared ones.
    fn take_endpoint_aliases(&self, services: &[ServicePart], aliases: &mut [Vec<At<DatacenterId>>]) {
        for (id, spec) in services.iter().flat_map(|part| part.spec.endpoints.iter().flat_map(|entries| &entries.0)) {
            let Some(given) = &spec.aliases else { continue };
            let datacenter = spec.datacenter.as_ref().map_or(id.value.as_str(), |name| name.value.as_str());
            // A name that leads to nothing is reported where the endpoint is resolved.
            if let NamedDatacenters::One(ix) = self.named(datacenter)
                && let Some(aliases) = aliases.get_mut(ix.at())
            {
                aliases.extend(given.items.iter().cloned());
            }
        }
    }

    fn take_groups(&mut self, parts: &Parts, report: &mut Report) -> Vec<Span> {
        let mut groups = BTreeMap::new();
        for (id, members) in &parts.groups {
            match groups.get(&id.value) {
                None => {
                    groups.insert(id.value.clone(), (id.at, members));
                }
                Some((first, _)) => defined_twice(report, "duplicate-group", "group", id.value.as_str(), *first, id.at),
            }
        }
        let mut places = Vec::new();
        for (id, (at, members)) in groups {
            let mut resolved: Vec<DatacenterIx> = Vec::new();
            for name in &members.items {
                let Some(member) = self.one(name, report) else { continue };
                if resolved.contains(&member) {
                    let error =
                        Diagnostic::error("duplicate-member", format!("{} is in this group twice", quote(&name.value)));
                    report.at(name.at, error);
                } else {
                    resolved.push(member);
                }
            }
            if members.items.is_empty() {
                let error = Diagnostic::error("empty-list", format!("the group `{id}` has no members"));
                report.at(members.at, error);
            }
            resolved.sort_unstable();
            places.push((at, Group { id, members: resolved, origin: report.sources.origin(at) }));
        }
        let (spans, groups) = places.into_iter().unzip();
        self.groups = groups;
        spans
    }

    /// What a person means by `name`.
    pub(super) fn named(&self, name: &str) -> NamedDatacenters {
        match self.by_id.get(name) {
            Some(ix) => NamedDatacenters::One(*ix),
            None => resolve_datacenter(&self.datacenters, &self.groups, name),
        }
    }

    /// Every name of a data centre or a group.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let aliases = self.datacenters.iter().flat_map(|dc| &dc.aliases).map(DatacenterId::as_str);
        let groups = self.groups.iter().map(|group| group.id.as_str());
        self.datacenters.iter().map(|dc| dc.id.as_str()).chain(aliases).chain(groups)
    }

    /// The one data centre that `name` means; anything else is reported.
    pub(super) fn one(&self, name: &At<String>, report: &mut Report) -> Option<DatacenterIx> {
        match self.named(&name.value) {
            NamedDatacenters::One(ix) => Some(ix),
            NamedDatacenters::Group(_) => {
                let error = Diagnostic::error("not-a-datacenter", format!("{} is a group", quote(&name.value)))
                    .expected("one data centre");
                report.at(name.at, error);
                None
            }
            other => {
                self.refuse(name, &other, report);
                None
            }
        }
    }

    /// The data centres that `name` means: one, or a group's.
    pub(super) fn several(&self, name: &At<String>, report: &mut Report) -> Vec<DatacenterIx> {
        match self.named(&name.value) {
            NamedDatacenters::One(ix) => vec![ix],
            NamedDatacenters::Group(at) => self.groups.get(at).map(|group| group.members.clone()).unwrap_or_default(),
            other => {
                self.refuse(name, &other, report);
                Vec::new()
            }
        }
    }

    fn refuse(&self, name: &At<String>, named: &NamedDatacenters, report: &mut Report) {
        let error = match named {
            NamedDatacenters::Ambiguous(candidates) => {
                let candidates: Vec<String> =
                    candidates.iter().map(|ix| format!("`{}`", self.datacenters[ix.at()].id)).collect();
                Diagnostic::error("ambiguous-datacenter", format!("{} names several data centres", quote(&name.value)))
                    .expected(format!("one of {}", candidates.join(", ")))
            }
            NamedDatacenters::Unknown | NamedDatacenters::One(_) | NamedDatacenters::Group(_) => {
                let near = report.did_you_mean(&name.value, self.names());
                let help = near.unwrap_or_else(|| "declare it under `datacenters`".to_owned());
                Diagnostic::error("unknown-datacenter", format!("there is no data centre {}", quote(&name.value)))
                    .expected("the id of a data centre, an alias, or a leading word")
                    .help(help)
            }
        };
        report.at(name.at, error);
    }

    /// A name must lead to one data centre or group, whatever the case, and whoever gave it.
    fn refuse_clashes(&self, ats: &[Span], aliases: &[Vec<At<DatacenterId>>], groups: &[Span], report: &mut Report) {
        /// Whose name it is: a data centre's, or (behind those) a group's.
        type Owner = usize;
        let mut names: HashMap<String, (Owner, Span)> = HashMap::new();
        let mut claim = |name: &str, owner: Owner, at: Span, report: &mut Report| match names.get(&name.to_lowercase())
        {
            Some((first, _)) if *first == owner => {}
            Some((_, first)) => {
                let first = report.related(*first, "it is a name here as well");
                let error = Diagnostic::error("name-clash", format!("{} would name two things", quote(name)))
                    .expected("a name that no other data centre or group has, in any case")
                    .related(first);
                report.at(at, error);
            }
            None => {
                names.insert(name.to_lowercase(), (owner, at));
            }
        };
        for (owner, datacenter) in self.datacenters.iter().enumerate() {
            claim(datacenter.id.as_str(), owner, ats[owner], report);
        }
        for (owner, alias) in
            aliases.iter().enumerate().flat_map(|(owner, aliases)| aliases.iter().map(move |a| (owner, a)))
        {
            claim(alias.value.as_str(), owner, alias.at, report);
        }
        for (at, group) in self.groups.iter().enumerate() {
            claim(group.id.as_str(), self.datacenters.len() + at, groups[at], report);
        }
        self.refuse_leading_words(aliases, groups, report);
    }

    /// An alias or a group must not hide another data centre's leading word, and short names should be
    /// told apart.
    fn refuse_leading_words(&self, aliases: &[Vec<At<DatacenterId>>], groups: &[Span], report: &mut Report) {
        let mut begins: HashMap<String, Vec<DatacenterIx>> = HashMap::new();
        for (at, datacenter) in self.datacenters.iter().enumerate() {
            for word in leading_words(datacenter.id.as_str()) {
                begins.entry(word.to_lowercase()).or_default().push(DatacenterIx::from_at(at));
            }
        }
        let hidden = |name: &str, ours: &dyn Fn(DatacenterIx) -> bool| {
            begins.get(&name.to_lowercase()).and_then(|all| all.iter().find(|ix| !ours(**ix)).copied())
        };
        let mut clash = |what: &str, name: &str, hidden: DatacenterIx, at: Span| {
            let other = &self.datacenters[hidden.at()].id;
            // An id in full was reported already.
            if !other.as_str().eq_ignore_ascii_case(name) {
                let error = Diagnostic::error(
                    "name-clash",
                    format!("the {what} {} is also the leading word of `{other}`", quote(name)),
                )
                .expected("a name that no other data centre begins with");
                report.at(at, error);
            }
        };
        for (owner, aliases) in aliases.iter().enumerate() {
            for alias in aliases {
                if let Some(other) = hidden(alias.value.as_str(), &|ix| ix.at() == owner) {
                    clash("alias", alias.value.as_str(), other, alias.at);
                }
            }
        }
        for (group, at) in self.groups.iter().zip(groups) {
            if let Some(other) = hidden(group.id.as_str(), &|ix| group.members.contains(&ix)) {
                clash("group", group.id.as_str(), other, *at);
            }
        }
        self.warn_of_short_names(report);
    }

    fn warn_of_short_names(&self, report: &mut Report) {
        let mut seen: HashMap<String, DatacenterIx> = HashMap::new();
        let mut warned: HashSet<String> = HashSet::new();
        for (at, datacenter) in self.datacenters.iter().enumerate() {
            let short = datacenter.short_name().to_lowercase();
            let first = *seen.entry(short.clone()).or_insert(DatacenterIx::from_at(at));
            if first.at() != at && warned.insert(short.clone()) {
                let other = &self.datacenters[first.at()].id;
                let message = format!("`{}` and `{other}` are both shown as `{short}`", datacenter.id);
                let warning = Diagnostic::warning("ambiguous-short-name", message)
                    .help("give each an alias: the first is its short name");
                report.at_origin(&datacenter.origin, datacenter.id.as_str(), warning);
            }
        }
    }
}

fn plain(id: DatacenterId, at: Span, report: &Report) -> Datacenter {
    let origin = report.sources.origin(at);
    Datacenter { id, aliases: Vec::new(), at: None, bias_km: 0, capacity: None, min_healthy: None, origin }
}

fn declared<'a>(parts: &'a Parts, report: &mut Report) -> BTreeMap<DatacenterId, Draft<'a>> {
    let mut drafts: BTreeMap<DatacenterId, Draft<'a>> = BTreeMap::new();
    for (id, spec) in &parts.datacenters {
        if let Some(first) = drafts.get(&id.value) {
            defined_twice(report, "duplicate-datacenter", "data centre", id.value.as_str(), first.at, id.at);
            continue;
        }
        let spec = spec.as_ref();
        let aliases = spec.and_then(|spec| spec.aliases.as_ref()).map(|aliases| aliases.items.clone());
        drafts.insert(id.value.clone(), Draft { at: id.at, aliases: aliases.unwrap_or_default(), spec });
    }
    drafts
}

fn coordinates(spec: &DatacenterSpec, report: &mut Report) -> Option<Coordinates> {
    match (&spec.latitude, &spec.longitude) {
        (Some(latitude), Some(longitude)) => Coordinates::from_degrees(latitude.value.0, longitude.value.0),
        (None, None) => None,
        (Some(one), None) => half(one.at, "longitude", report),
        (None, Some(one)) => half(one.at, "latitude", report),
    }
}

/// Half a position is none.
pub(super) fn half(at: Span, missing: &str, report: &mut Report) -> Option<Coordinates> {
    let error = Diagnostic::error("missing-field", format!("a position needs a `{missing}` too"));
    report.at(at, with_help(error, None));
    None
}
