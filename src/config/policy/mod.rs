//! Policy files to a [`PolicySet`].
//!
//! Every file is read on its own; then all that they say is resolved together, in the order in which
//! things refer to each other: data centres, health checks, regions, services, tests. Everything is
//! brought into an order of its own (by id, by name), so the result does not depend on how the files are
//! called.
//!
//! Whether a service fits the zones that are loaded is not asked here: this room knows no zones.

mod checks;
mod datacenters;
mod follows;
mod pools;
pub(in crate::config) mod probes;
mod regions;
mod routes;
mod services;
mod sharing;
mod tests_section;
mod watching;

#[cfg(test)]
mod accepted_tests;
#[cfg(test)]
mod checks_tests;
#[cfg(test)]
mod refused_tests;
#[cfg(test)]
pub(super) mod testing;

use ipnet::IpNet;

use super::check_spec::HealthCheckSpec;
use super::form::{At, Form, Nested, OneOrMany};
use super::policy_test::PolicyTest;
use super::report::Report;
use super::source::{SourceFile, Span};
use super::spec::{DatacenterSpec, FileSpec, NetworkSpec, RuleSpec, ServiceSpec, TestSpec};
use super::yaml;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{CheckId, DatacenterId, Gazetteer, GroupId, Name, PolicySet, RegionId, Service, Settings};

use checks::Checks;
use datacenters::Directory;
use follows::Following;
use regions::Atlas;
use sharing::Sharing;

/// All policy files together, resolved; the policy tests in them; and everything that is wrong or odd.
///
/// Pure: the result depends on the files' contents, the gazetteer and the settings alone. What is
/// returned is valid in any case; with an error among the diagnostics it is not everything that the
/// files say, and must not replace what serves.
pub fn load_policies(
    files: &[SourceFile],
    gazetteer: &dyn Gazetteer,
    settings: &Settings,
) -> (PolicySet, Vec<PolicyTest>, Vec<Diagnostic>) {
    let mut report = Report::default();
    let mut parts = Parts::default();
    let mut files: Vec<&SourceFile> = files.iter().collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    for file in files {
        parts.read(file, &mut report);
    }
    let (policies, tests) = resolve(parts, gazetteer, settings, &mut report);
    (policies, tests, report.finish())
}

/// What the files say, by kind.
#[derive(Default)]
struct Parts {
    services: Vec<ServicePart>,
    datacenters: Vec<(At<DatacenterId>, Option<DatacenterSpec>)>,
    groups: Vec<(At<GroupId>, OneOrMany<At<String>>)>,
    regions: Vec<(At<RegionId>, RuleSpec)>,
    health_checks: Vec<(At<CheckId>, HealthCheckSpec)>,
    networks: Vec<(At<IpNet>, NetworkSpec)>,
    tests: Vec<TestSpec>,
}

struct ServicePart {
    name: At<Name>,
    spec: Box<ServiceSpec>,
    /// False when something in it was refused already.
    clean: bool,
}

impl Parts {
    fn read(&mut self, file: &SourceFile, report: &mut Report) {
        if file.bytes.len() as u64 > limits::POLICY_FILE_LEN_MAX {
            let message = format!("{} has more than {} octets", file.name, limits::POLICY_FILE_LEN_MAX);
            report.push(Diagnostic::error("file-too-large", message));
            return;
        }
        let before = report.errors();
        let ix = match report.sources.add(file) {
            Ok(ix) => ix,
            Err(error) => return report.push(*error),
        };
        let Some(root) = yaml::parse(ix, report) else { return };
        let Some(spec) = FileSpec::read(&root, report) else { return };
        let clean = report.errors() == before;
        if let Some(Nested(mut spec)) = spec.gslb
            && let Some(name) = spec.domain.take()
        {
            self.services.push(ServicePart { name, spec, clean });
        }
        self.datacenters.extend(spec.datacenters.into_iter().flat_map(|entries| entries.0));
        self.groups.extend(spec.groups.into_iter().flat_map(|entries| entries.0));
        self.regions.extend(spec.regions.into_iter().flat_map(|entries| entries.0));
        self.health_checks.extend(spec.health_checks.into_iter().flat_map(|entries| entries.0));
        self.networks.extend(spec.networks.into_iter().flat_map(|entries| entries.0));
        self.tests.extend(spec.tests.into_iter().flatten());
    }

    /// Takes the services out, by name; of two with one name the first stays.
    fn take_services(&mut self, report: &mut Report) -> Vec<ServicePart> {
        let mut services = std::mem::take(&mut self.services);
        services.sort_by(|a, b| a.name.value.cmp(&b.name.value));
        services.dedup_by(|second, first| {
            let is_second = second.name.value == first.name.value;
            if is_second {
                let name = second.name.value.to_string();
                defined_twice(report, "duplicate-service", "service", &name, first.name.at, second.name.at);
            }
            is_second
        });
        services
    }
}

/// Reports that what stands at `second` was defined before.
fn defined_twice(report: &mut Report, code: &'static str, what: &str, name: &str, first: Span, second: Span) {
    let first = report.related(first, "first defined here");
    let error = Diagnostic::error(code, format!("the {what} `{name}` is defined twice"))
        .help("keep one of the two")
        .related(first);
    report.at(second, error);
}

/// True when `count` is within `max`; else the load is refused.
fn within(report: &mut Report, count: usize, max: usize, what: &str) -> bool {
    if count > max {
        let message = format!("{count} {what} are more than the {max} that a server takes");
        report.push(Diagnostic::error("too-many", message));
    }
    count <= max
}

/// What services refer to.
struct World<'a> {
    settings: &'a Settings,
    directory: Directory,
    checks: Checks,
    atlas: Atlas,
}

/// What was read of services is several times as large as what it comes to. So many are let go at a time: what is
/// kept of the next ones then lies close together in their room, and the rest of that is whole pages. One by one,
/// what is kept of each would lie among what is free, and pin it.
const SERVICES_LET_GO: usize = 512;

fn resolve(
    mut parts: Parts,
    gazetteer: &dyn Gazetteer,
    settings: &Settings,
    report: &mut Report,
) -> (PolicySet, Vec<PolicyTest>) {
    let services = parts.take_services(report);
    let directory = Directory::new(&parts, &services, report);
    let checks = Checks::new(&parts, &services, report);
    let atlas = Atlas::new(&parts, &services, gazetteer, report);
    let following = Following::read(&services, report);
    let networks = regions::networks(&parts.networks, gazetteer, report);
    // Indices have their bounds from these; beyond them nothing can be resolved.
    let bounded = within(report, services.len(), limits::SERVICES_MAX, "services")
        & within(report, directory.datacenters.len(), limits::DATACENTERS_MAX, "data centres")
        & within(report, checks.all.len(), limits::CHECKS_MAX, "health checks")
        & within(report, atlas.regions.len(), limits::REGIONS_MAX, "regions")
        & within(report, networks.len(), limits::NETWORKS_MAX, "networks");
    if !bounded {
        return (PolicySet::default(), Vec::new());
    }
    let world = World { settings, directory, checks, atlas };
    let mut sharing = Sharing::default();
    let mut resolved: Vec<Service> = Vec::with_capacity(services.len());
    let mut services = services.into_iter();
    while services.len() > 0 {
        let batch: Vec<ServicePart> = services.by_ref().take(SERVICES_LET_GO).collect();
        let kept = batch.iter().filter_map(|part| services::resolve(part, &mut sharing, &world, report));
        resolved.extend(kept);
    }
    let resolved = following.settle(resolved);
    if report.errors() == 0 {
        watching::report(&resolved, &world.checks, &settings.health, report);
    }
    watching::check_node(&world.directory, &resolved, &settings.health, report);
    let tests = parts.tests.iter().filter_map(|spec| tests_section::resolve(spec, &world, report)).collect();
    let World { directory, checks, atlas, .. } = world;
    let policies = PolicySet {
        datacenters: directory.datacenters,
        groups: directory.groups,
        regions: atlas.regions,
        networks,
        checks: checks.all,
        services: resolved,
    };
    (policies, tests)
}
