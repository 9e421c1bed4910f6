//! Health checks: shared ones, those of single services, and how they combine.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::probes::{self, Times};
use super::{Parts, ServicePart, defined_twice};
use crate::config::form::{At, Either, Nested, OneOrMany};
use crate::config::report::{Report, with_help};
use crate::config::source::Span;
use crate::config::spec::{CheckRefSpec, ChecksSpec, CombinationSpec};
use crate::config::yaml::quote;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{Check, CheckExpr, CheckId, CheckIx, CheckSpec, Name};

/// Where a check was written.
pub(super) struct Place {
    /// Its id, or the service that it belongs to.
    pub(super) at: Span,
    pub(super) times: Times,
}

/// Every health check.
pub(super) struct Checks {
    /// By id.
    pub(super) all: Vec<Check>,
    /// Where each was written, in the same order.
    pub(super) places: Vec<Place>,
    by_id: HashMap<String, CheckIx>,
    /// Defined, and refused: naming one is no second mistake.
    refused: HashSet<String>,
}

impl Checks {
    pub(super) fn new(parts: &Parts, services: &[ServicePart], report: &mut Report) -> Checks {
        let mut checks: BTreeMap<CheckId, (Place, Check)> = BTreeMap::new();
        let mut specs: HashSet<Arc<CheckSpec>> = HashSet::new();
        let mut refused = HashSet::new();
        let own = services.iter().filter_map(|part| {
            let Nested(spec) = part.spec.health_check.as_ref()?;
            Some((own_id(&part.name.value)?, part.name.at, &**spec))
        });
        let shared = parts.health_checks.iter().map(|(id, spec)| (id.value.clone(), id.at, spec));
        for (id, at, spec) in shared.chain(own) {
            if let Some((first, _)) = checks.get(&id) {
                defined_twice(report, "duplicate-check", "health check", id.as_str(), first.at, at);
            } else if let Some(resolved) = probes::resolve(spec, report) {
                let origin = report.sources.origin(at);
                // Services mostly write their own checks alike.
                let spec = specs.get(&resolved.spec).cloned().unwrap_or_else(|| Arc::new(resolved.spec));
                specs.insert(Arc::clone(&spec));
                let check = Check { id: id.clone(), spec, origin };
                checks.insert(id, (Place { at, times: resolved.times }, check));
            } else {
                refused.insert(id.as_str().to_owned());
            }
        }
        let (places, all): (Vec<Place>, Vec<Check>) = checks.into_values().unzip();
        let bounded = all.len().min(limits::CHECKS_MAX);
        let by_id = all[..bounded]
            .iter()
            .enumerate()
            .filter_map(|(at, check)| Some((check.id.as_str().to_owned(), CheckIx(u16::try_from(at).ok()?))))
            .collect();
        Checks { all, places, by_id, refused }
    }

    /// The check that a service defined for itself.
    pub(super) fn own(&self, service: &Name) -> Option<CheckIx> {
        self.by_id.get(own_id(service)?.as_str()).copied()
    }

    /// The check called `name`; if there is none, that is reported.
    pub(super) fn named(&self, name: &At<String>, report: &mut Report) -> Option<CheckIx> {
        if let Some(check) = self.by_id.get(&name.value) {
            return Some(*check);
        }
        if self.refused.contains(&name.value) {
            return None;
        }
        let near = report.did_you_mean(&name.value, self.all.iter().map(|check| check.id.as_str()));
        let error = Diagnostic::error("unknown-check", format!("there is no health check {}", quote(&name.value)))
            .expected("the id of a check under `health_checks`");
        report.at(name.at, with_help(error, near));
        None
    }

    /// How checks combine; a name that leads to nothing is left out, and reported.
    pub(super) fn expr(&self, spec: &ChecksSpec, report: &mut Report) -> CheckExpr {
        match spec {
            Either::Short(names) => match self.list(names, 1, report) {
                mut one if names.items.len() == 1 => one.pop().unwrap_or(CheckExpr::All(Vec::new())),
                all => CheckExpr::All(all),
            },
            Either::Mapping(combination) => self.combination(combination, 1, report),
        }
    }

    fn list(&self, specs: &OneOrMany<CheckRefSpec>, depth: usize, report: &mut Report) -> Vec<CheckExpr> {
        let one = |spec: &CheckRefSpec| match spec {
            Either::Short(name) => self.named(name, report).map(CheckExpr::Check),
            Either::Mapping(combination) => Some(self.combination(combination, depth + 1, report)),
        };
        specs.items.iter().filter_map(one).collect()
    }

    fn combination(&self, spec: &CombinationSpec, depth: usize, report: &mut Report) -> CheckExpr {
        if depth > limits::NESTING_MAX {
            let message = format!("checks nest deeper than {} levels", limits::NESTING_MAX);
            report.at(spec.at, Diagnostic::error("too-deep", message));
            return CheckExpr::All(Vec::new());
        }
        match (&spec.all, &spec.any, &spec.at_least, &spec.of) {
            (Some(all), None, None, None) => CheckExpr::All(self.list(all, depth, report)),
            (None, Some(any), None, None) if !any.items.is_empty() => CheckExpr::Any(self.list(any, depth, report)),
            (None, None, Some(n), Some(of)) => {
                let needed = usize::try_from(n.value.0).unwrap_or(usize::MAX);
                if needed > of.items.len() {
                    let message = format!("`at_least` cannot be {needed}: `of` has {} items", of.items.len());
                    let error = Diagnostic::error("out-of-range", message);
                    report.at(n.at, error.expected(format!("a whole number from 1 to {}", of.items.len())));
                }
                CheckExpr::AtLeast { n: needed, of: self.list(of, depth, report) }
            }
            (None, Some(any), None, None) => {
                report.at(any.at, Diagnostic::error("empty-list", "`any` of nothing is never up"));
                CheckExpr::All(Vec::new())
            }
            _ if !spec.clean => CheckExpr::All(Vec::new()),
            _ => {
                let error = Diagnostic::error("exclusive-fields", "this says no single combination")
                    .expected("one of `all`, `any`, or `at_least` with `of`");
                report.at(spec.at, error);
                CheckExpr::All(Vec::new())
            }
        }
    }
}

/// A service's own check is called as the service, in the letters that an id takes.
fn own_id(name: &Name) -> Option<CheckId> {
    let text = name.to_string();
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' };
    let id: Vec<char> = text.trim_end_matches('.').chars().map(plain).collect();
    // A name may be longer than an id; its beginning tells services apart, and if not, two checks with
    // one id are refused.
    let id: String = id.into_iter().take(limits::ID_LEN_MAX).collect();
    CheckId::new(if id.is_empty() { "_" } else { &id }).ok()
}
