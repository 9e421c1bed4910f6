//! Policies by region to routes.

use std::collections::BTreeMap;

use super::World;
use super::pools::{Cast, Tree, check_tiers, check_tree};
use crate::config::form::At;
use crate::config::report::{Report, with_help};
use crate::config::source::Span;
use crate::config::spec::{DefaultSpec, PoliciesSpec, RegionPolicySpec, ServiceSpec};
use crate::config::words::FailbackWord;
use crate::config::yaml::quote;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{AllDown, Choices, EndpointIx, Failback, Method, Policy, Pool, RegionIx, Route, TierWord};

/// What all routes of a service have in common.
struct Service<'a> {
    spec: &'a ServiceSpec,
    default: &'a DefaultSpec,
    cast: Cast<'a>,
    world: &'a World<'a>,
    /// Endpoints that only answer when nothing else can.
    sorry: Vec<EndpointIx>,
    /// What applies unless a region says otherwise.
    all_down: AllDown,
    /// Errors before this service's policy was read.
    errors_before: usize,
}

/// The policy of a service; `None` when what it is for cannot be told. Errors are reported.
pub(super) fn resolve(spec: &ServiceSpec, cast: Cast<'_>, world: &World<'_>, report: &mut Report) -> Option<Policy> {
    let policies = spec.policies.as_ref()?;
    let default = policies.default.as_ref()?;
    let kind = default.r#type.as_ref()?;
    let mut service = Service {
        spec,
        default,
        cast,
        world,
        sorry: Vec::new(),
        all_down: AllDown::Open,
        errors_before: report.errors(),
    };
    service.sorry = service.sorry_endpoints(policies);
    service.all_down = service.all_down(spec.all_down.as_ref(), report);
    match kind.value.method() {
        Some(method) => service.without_regions(kind.at, method, policies, report),
        None => service.by_region(policies, report),
    }
}

impl Service<'_> {
    /// Named by some `all_down`. A name that leads to nothing is reported where its route is made.
    fn sorry_endpoints(&self, policies: &PoliciesSpec) -> Vec<EndpointIx> {
        let regions = policies.regions.0.iter().map(|(_, region)| &region.all_down);
        regions
            .chain([&self.spec.all_down])
            .flatten()
            .filter_map(|name| match all_down_word(&name.value) {
                Some(_) => None,
                None => self.cast.endpoints.iter().position(|endpoint| endpoint.id.as_str() == name.value),
            })
            .map(EndpointIx::from_at)
            .collect()
    }

    /// One pool of all endpoints for everyone.
    fn without_regions(
        &self,
        at: Span,
        method: Method,
        policies: &PoliciesSpec,
        report: &mut Report,
    ) -> Option<Policy> {
        for (key, _) in &policies.regions.0 {
            let message = format!("the region {} beside `type: {}`", quote(&key.value), method.as_str());
            let error = Diagnostic::error("region-without-geolocation", message)
                .help("regions need `type: geolocation`; without regions remove this key");
            report.at(key.at, error);
        }
        if let Some(fallback) = &self.default.fallback
            && fallback.given
        {
            let error = Diagnostic::error("fallback-without-regions", "`fallback` means nothing here")
                .help("all endpoints are chosen from already; it goes with `type: geolocation`");
            report.at(fallback.at, error);
        }
        if let Some(geofence) = &self.spec.geofence
            && geofence.value
        {
            let error = Diagnostic::error("geofence-without-regions", "a geofence without regions bounds nothing");
            report.at(geofence.at, error.help("it goes with `type: geolocation`"));
        }
        let tiers = self.everything(method, at, report);
        Some(Policy { routes: Vec::new(), elsewhere: self.elsewhere(tiers, None) })
    }

    /// A route for each region, and the fallback for everyone else.
    fn by_region(&self, policies: &PoliciesSpec, report: &mut Report) -> Option<Policy> {
        let keys = &policies.regions.0;
        if keys.len() > limits::SERVICE_REGIONS_MAX {
            let error = Diagnostic::error("too-many", format!("{} regions in one service", keys.len()));
            report.at(policies.at, error.expected(format!("at most {}", limits::SERVICE_REGIONS_MAX)));
            return None;
        }
        let fallback =
            self.default.fallback.as_ref().and_then(|word| self.everything(word.value.method()?, word.at, report));
        let mut seen: BTreeMap<RegionIx, Span> = BTreeMap::new();
        let mut routes = Vec::with_capacity(keys.len());
        for (key, spec) in keys {
            let region = self.world.atlas.region(&key.value);
            if let Some(region) = region
                && let Some(first) = seen.insert(region, key.at)
            {
                let first = report.related(first, "the same region");
                let id = &self.world.atlas.regions[region.at()].id;
                let message = format!("the region `{id}` has a policy already");
                report.at(key.at, Diagnostic::error("duplicate-region", message).related(first));
                continue;
            }
            // The tiers are read even when the region is not known: all errors at once.
            routes.extend(self.route(key, region, spec, fallback.as_ref(), report));
        }
        if report.errors() == self.errors_before {
            self.warn_of_unused(&routes, fallback.as_ref(), report);
        }
        Some(Policy { routes, elsewhere: self.elsewhere(None, fallback) })
    }

    fn elsewhere(&self, tiers: Option<Pool>, fallback: Option<Pool>) -> Route {
        let failback = self.failback(None, false);
        Route::new(None, Choices { tiers, fallback, geofence: false, all_down: self.all_down, failback })
    }

    fn route(
        &self,
        key: &At<String>,
        region: Option<RegionIx>,
        spec: &RegionPolicySpec,
        fallback: Option<&Pool>,
        report: &mut Report,
    ) -> Option<Route> {
        let geofence = spec.geofence.as_ref().or(self.spec.geofence.as_ref());
        let fenced = geofence.is_some_and(|geofence| geofence.value);
        if let (true, Some(fallback)) = (fenced, &spec.fallback)
            && fallback.value.method().is_some()
        {
            let error = Diagnostic::error("exclusive-fields", "a geofence lets nobody out to the other endpoints")
                .help("remove `fallback`, or set `geofence: false` for this region");
            report.at(fallback.at, error);
        }
        let words = [
            (TierWord::Primary, &spec.primary),
            (TierWord::Secondary, &spec.secondary),
            (TierWord::Tertiary, &spec.tertiary),
        ];
        let worded = words.iter().any(|(_, choice)| choice.is_some());
        let method = spec.method.as_ref().map_or(Method::Weighted, |word| word.value.method());
        let mut tree = Tree::new(&self.cast, &self.world.checks, method);
        let tiers = match (&spec.tiers, worded) {
            (Some(_), true) => {
                let error = Diagnostic::error(
                    "exclusive-fields",
                    format!("{} has `tiers` beside named tiers", quote(&key.value)),
                )
                .expected("`primary`, `secondary` and `tertiary`, or `tiers`")
                .help("`tiers` takes any number of tiers, in order");
                report.at(spec.at, error);
                return None;
            }
            (Some(tiers), false) => {
                check_tiers(tiers.len(), spec.at, report);
                tree.tiers(tiers.iter().map(|tier| (None, tier)), 1, report)
            }
            (None, true) => {
                for (before, behind) in words.iter().zip(&words[1..]) {
                    if before.1.is_none() && behind.1.is_some() && spec.clean {
                        let (before, behind) = (before.0.as_str(), behind.0.as_str());
                        let error =
                            Diagnostic::error("missing-field", format!("there is a `{behind}` and no `{before}`"));
                        report.at(spec.at, error.expected(format!("`{before}`")));
                    }
                }
                let given = words.iter().filter_map(|(word, choice)| Some((Some(*word), choice.as_ref()?)));
                tree.tiers(given, 1, report)
            }
            (None, false) if !spec.clean => return None,
            (None, false) => {
                let error = Diagnostic::error("missing-field", format!("{} has no tiers", quote(&key.value)))
                    .expected("`primary`, or `tiers`");
                report.at(key.at, error);
                return None;
            }
        };
        let tiers = tiers?;
        let datacenters = &self.world.directory.datacenters;
        check_tree(&tiers, self.cast.endpoints, datacenters, key.at, report);
        let fallback = match &spec.fallback {
            _ if fenced => None,
            Some(word) => word.value.method().and_then(|method| self.everything(method, word.at, report)),
            None => fallback.cloned(),
        };
        let region = region?;
        let all_down = self.all_down(spec.all_down.as_ref(), report);
        let failback = self.failback(spec.failback.as_ref(), worded);
        Some(Route::new(Some(region), Choices { tiers: Some(tiers), fallback, geofence: fenced, all_down, failback }))
    }

    /// A pool of all endpoints but the sorry ones, as the word at `at` asks for.
    fn everything(&self, method: Method, at: Span, report: &mut Report) -> Option<Pool> {
        let pool = self.cast.all(method, &self.sorry);
        match &pool {
            Some(pool) => check_tree(pool, self.cast.endpoints, &self.world.directory.datacenters, at, report),
            None => {
                let at = self.spec.all_down.as_ref().map_or(at, |word| word.at);
                let error = Diagnostic::error("only-sorry", "the sorry endpoint is the only one")
                    .expected("an endpoint that answers when all is well");
                report.at(at, error);
            }
        }
        pool
    }

    fn all_down(&self, name: Option<&At<String>>, report: &mut Report) -> AllDown {
        let Some(name) = name else { return self.all_down };
        if let Some(word) = all_down_word(&name.value) {
            return word;
        }
        let ids = self.cast.endpoints.iter();
        match ids.clone().position(|endpoint| endpoint.id.as_str() == name.value) {
            Some(at) => AllDown::Sorry(EndpointIx::from_at(at)),
            None => {
                let near = report.did_you_mean(
                    &name.value,
                    ["open", "closed"].into_iter().chain(ids.map(|endpoint| endpoint.id.as_str())),
                );
                let error =
                    Diagnostic::error("unknown-endpoint", format!("there is no endpoint {}", quote(&name.value)))
                        .expected("`open`, `closed`, or the id of an endpoint of this service");
                report.at(name.at, with_help(error, near));
                AllDown::Open
            }
        }
    }

    /// What applies: the region's word, the service's, the settings', the tiers' own.
    fn failback(&self, region: Option<&At<FailbackWord>>, worded: bool) -> Failback {
        let given = region.or(self.spec.failback.as_ref()).map(|word| word.value.0);
        let own = if worded { Failback::Manual } else { Failback::Auto };
        given.or(self.world.settings.failback).unwrap_or(own)
    }

    fn warn_of_unused(&self, routes: &[Route], elsewhere: Option<&Pool>, report: &mut Report) {
        let pools = routes.iter().flat_map(|route| route.tiers.iter().chain(&route.fallback)).chain(elsewhere);
        let mut is_used = vec![false; self.cast.endpoints.len()];
        pools.for_each(|pool| pool.visit(&mut |endpoint| is_used[endpoint.at()] = true));
        self.sorry.iter().for_each(|endpoint| is_used[endpoint.at()] = true);
        for (endpoint, is_used) in self.cast.endpoints.iter().zip(is_used) {
            if !is_used {
                let warning = Diagnostic::warning("unused-endpoint", format!("nothing leads to `{}`", endpoint.id))
                    .help("no region names it, and there is no `fallback`");
                report.at_origin(&endpoint.origin, endpoint.id.as_str(), warning);
            }
        }
    }
}

fn all_down_word(text: &str) -> Option<AllDown> {
    match text {
        "open" => Some(AllDown::Open),
        "closed" => Some(AllDown::Closed),
        _ => None,
    }
}
