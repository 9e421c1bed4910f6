//! What is odd in how endpoints are watched, once everything stands: slow checks, idle ones, and a node that
//! could not tell a dead region from a cut link.

use std::collections::BTreeSet;

use super::checks::{Checks, Place};
use super::datacenters::Directory;
use crate::config::report::{Report, with_help};
use crate::config::source::Span;
use crate::config::yaml::quote;
use crate::diag::Diagnostic;
use crate::model::{
    Check, CheckIx, CheckSpec, DatacenterIx, HealthSettings, NamedDatacenters, Pool, Probe, Service, Summand,
    WorstCase, show_seconds,
};

/// Reports it all. Only a load without errors is looked at: what was left out may use what looks unused.
pub(super) fn report(services: &[Service], checks: &Checks, settings: &HealthSettings, report: &mut Report) {
    let probed: BTreeSet<CheckIx> =
        services.iter().flat_map(|service| &service.endpoints).flat_map(|endpoint| endpoint.health.checks()).collect();
    let tiers =
        services.iter().flat_map(|service| service.policy.all_routes()).filter_map(|route| route.tiers.as_ref());
    let conditions: BTreeSet<CheckIx> = tiers.flat_map(Pool::conditions).map(|(_, check)| check).collect();
    for (at, (check, place)) in checks.all.iter().zip(&checks.places).enumerate() {
        let Ok(ix) = u16::try_from(at).map(CheckIx) else { break };
        if probed.contains(&ix) {
            warn_of_slowness(check, place, settings, report);
        } else if !conditions.contains(&ix) {
            let warning = Diagnostic::warning("unused-check", format!("nothing uses the health check `{}`", check.id));
            report.at(place.at, warning.help("name it in `checks`, or remove it"));
        }
    }
}

/// A check that needs longer than the target to notice a failure. A reporter's time is its own.
fn warn_of_slowness(check: &Check, place: &Place, settings: &HealthSettings, report: &mut Report) {
    let spec: &CheckSpec = &check.spec;
    let worst = spec.worst_case();
    if worst <= settings.notice_within || spec.probe == Probe::External {
        return;
    }
    let parts = WorstCase::of(spec);
    let (at, remedy) = heaviest(parts, place);
    let target = show_seconds(settings.notice_within);
    let message =
        format!("`{}` takes up to {} to notice a failure, and the target is {target}", check.id, show_seconds(worst));
    let warning = Diagnostic::warning("slow-to-notice", message).expected(format!("at most {target}: {parts}"));
    report
        .at(at, warning.help(format!("{remedy}; the target is `health.notice_within` of the server's configuration")));
}

/// Where most of the time is asked for, and what to do: at what the file says, if it says anything.
fn heaviest(parts: WorstCase, place: &Place) -> (Span, &'static str) {
    let summands = parts.summands().map(|(summand, time)| {
        let (written, remedy) = match summand {
            Summand::Interval => (place.times.interval, "shorten `interval`"),
            Summand::SlowMark => (None, "shorten `interval`"),
            Summand::Fast => (place.times.fast, "ask for fewer failures, or shorten `fast_interval`"),
            Summand::Timeout => (place.times.timeout, "shorten `timeout`"),
        };
        (written.is_some(), time, written.unwrap_or(place.at), remedy)
    });
    let heaviest = summands.into_iter().max_by_key(|(is_written, time, ..)| (*is_written, *time));
    heaviest.map_or((place.at, "shorten `interval`"), |(_, _, at, remedy)| (at, remedy))
}

/// What the server's own place and the policies say together.
pub(super) fn check_node(directory: &Directory, services: &[Service], settings: &HealthSettings, report: &mut Report) {
    let Some(own) = &settings.node_datacenter else { return };
    let place = |diagnostic: Diagnostic| match &settings.node_origin {
        Some(origin) => diagnostic.at(origin),
        None => diagnostic,
    };
    let ix = match directory.named(own.as_str()) {
        NamedDatacenters::One(ix) => ix,
        NamedDatacenters::Group(_) => {
            let error =
                Diagnostic::error("not-a-datacenter", format!("`node.datacenter` is a group: {}", quote(own.as_str())));
            return report.push(place(error.expected("the one data centre that this node stands in")));
        }
        NamedDatacenters::Ambiguous(candidates) => {
            let candidates: Vec<String> =
                candidates.iter().map(|ix| format!("`{}`", directory.datacenters[ix.at()].id)).collect();
            let message = format!("`node.datacenter` names several data centres: {}", quote(own.as_str()));
            let error = Diagnostic::error("ambiguous-datacenter", message);
            return report.push(place(error.expected(format!("one of {}", candidates.join(", ")))));
        }
        NamedDatacenters::Unknown => {
            let near = report.did_you_mean(own.as_str(), directory.names());
            let message = format!("`node.datacenter` is no data centre of the policies: {}", quote(own.as_str()));
            let error =
                Diagnostic::error("unknown-datacenter", message).expected("the data centre that this node stands in");
            let help = near.or(Some("outside all of them, leave `node.datacenter` away".to_owned()));
            return report.push(place(with_help(error, help)));
        }
    };
    let watched: BTreeSet<DatacenterIx> = services
        .iter()
        .flat_map(|service| &service.endpoints)
        .filter(|endpoint| endpoint.is_watched())
        .map(|endpoint| endpoint.datacenter)
        .collect();
    if settings.witnesses.is_empty() && watched.iter().any(|other| *other != ix) {
        let message = format!(
            "when only `{}` answers, this node cannot tell a dead region from a cut link; it will hold",
            directory.datacenters[ix.at()].id
        );
        let help = "name `health.witnesses`: addresses outside every data centre; or run a node elsewhere too";
        report.push(place(Diagnostic::warning("no-witness", message)).help(help));
    }
}
