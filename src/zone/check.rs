//! What must hold in a zone by itself.

use std::collections::HashSet;

use crate::diag::Diagnostic;
use crate::model::Origin;
use crate::wire::name::{Shown, is_within};
use crate::wire::types::{TypeName, rtype};

use super::findings::Findings;
use super::parsed::{OwnerEntry, ParsedZone};

/// Reports what is wrong in the zone; true when it has the SOA and the NS that a zone must have.
pub(super) fn zone(zone: &ParsedZone, findings: &mut Findings) -> bool {
    let apex = zone.apex.as_wire();
    let glue_names = glue_names(zone);
    let mut above: Option<(&OwnerEntry, Shade)> = None;
    for owner in &zone.owners {
        let owner_name = zone.name(owner);
        contents(zone, owner, owner_name == apex, findings);
        if let Some((top, shade)) = above {
            if is_within(owner_name, zone.name(top)) {
                shaded(zone, owner, top, shade, &glue_names, findings);
                continue;
            }
            above = None;
        }
        if zone.set(owner, rtype::DNAME).is_some() {
            above = Some((owner, Shade::Dname));
        } else if owner_name != apex && zone.set(owner, rtype::NS).is_some() {
            above = Some((owner, Shade::Cut));
            at_cut(zone, owner, &glue_names, findings);
        }
    }
    // The apex is first in canonical order, if it owns anything.
    let has_ns =
        zone.owners.first().is_some_and(|first| zone.name(first) == apex && zone.set(first, rtype::NS).is_some());
    let has_soa = zone.owners.first().and_then(|first| zone.set(first, rtype::SOA));
    if let Some(soa) = has_soa.filter(|_| !has_ns) {
        let finding = Diagnostic::error("no-apex-ns", format!("the zone {} has no NS record at its apex", zone.apex));
        findings.push(finding.at(&zone.origin(soa, 0)).help("add `@ NS` with the names of its servers"));
    }
    has_ns
}

/// What hides the names below.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shade {
    Cut,
    Dname,
}

/// Targets of the delegations, lower case: their addresses are glue wherever they are.
fn glue_names(zone: &ParsedZone) -> HashSet<Vec<u8>> {
    let apex = zone.apex.as_wire();
    zone.owners
        .iter()
        .filter(|owner| zone.name(owner) != apex)
        .filter_map(|owner| zone.set(owner, rtype::NS))
        .flat_map(|set| zone.data(set).map(<[u8]>::to_ascii_lowercase))
        .collect()
}

/// Which types may stand together, and how often.
fn contents(zone: &ParsedZone, owner: &OwnerEntry, is_apex: bool, findings: &mut Findings) {
    let show = || Shown(zone.name(owner));
    let sets = zone.sets(owner);
    let is_wildcard = zone.name(owner).starts_with(b"\x01*");
    for set in sets {
        let again = |code: &'static str, what: &str| {
            Diagnostic::error(code, format!("{} has more than one {what}", show()))
                .at(&zone.origin(set, 1))
                .help(format!("the first is at {}", zone.origin(set, 0)))
        };
        let here = |code: &'static str, message: String| Diagnostic::error(code, message).at(&zone.origin(set, 0));
        match (set.rtype, set.count) {
            (rtype::SOA, _) if !is_apex => {
                let message =
                    format!("a second SOA, of {}: the zone's is that of {}, and a zone has one", show(), zone.apex);
                findings.push(here("soa-not-apex", message));
            }
            (rtype::SOA, 2..) => findings.push(again("two-soa", "SOA")),
            (rtype::CNAME, 2..) => findings.push(again("two-cname", "CNAME (RFC 2181 §10.1)")),
            (rtype::DNAME, 2..) => findings.push(again("two-dname", "DNAME (RFC 6672 §2.4)")),
            (rtype::NS, _) if is_wildcard => {
                let message = format!("{}: a wildcard can not be delegated (RFC 4592 §4.2)", show());
                findings.push(here("wildcard-ns", message));
            }
            (rtype::DNAME, _) if is_wildcard => {
                let message = format!("{}: a wildcard can not be redirected by DNAME (RFC 4592 §4.4)", show());
                findings.push(here("wildcard-dname", message));
            }
            _ => {}
        }
        if set.rtype == rtype::DNAME && !is_apex && zone.set(owner, rtype::NS).is_some() {
            let message = format!("{} owns NS and DNAME: only an apex may (RFC 6672 §2.3)", show());
            findings.push(here("dname-and-ns", message));
        }
    }
    if let Some(cname) = zone.set(owner, rtype::CNAME)
        && let Some(other) = sets.iter().find(|set| set.rtype != rtype::CNAME)
    {
        let message = format!("{} owns a CNAME and {}: beside a CNAME nothing may be", show(), TypeName(other.rtype));
        let finding = Diagnostic::error("cname-and-data", message).at(&zone.origin(cname, 0));
        findings.push(finding.help(format!("the {} is at {}", TypeName(other.rtype), zone.origin(other, 0))));
    }
}

/// A name below a cut or a DNAME.
fn shaded(
    zone: &ParsedZone,
    owner: &OwnerEntry,
    top: &OwnerEntry,
    shade: Shade,
    glue_names: &HashSet<Vec<u8>>,
    findings: &mut Findings,
) {
    let (owner_name, top_name) = (zone.name(owner), zone.name(top));
    for set in zone.sets(owner) {
        let at = zone.origin(set, 0);
        let (shown, top_shown) = (Shown(owner_name), Shown(top_name));
        let rtype = TypeName(set.rtype);
        match shade {
            Shade::Dname => {
                let message = format!("{shown} {rtype} is below the DNAME of {top_shown} (RFC 6672 §2.4)");
                findings.push(Diagnostic::error("below-dname", message).at(&at).help(first_of(
                    zone,
                    top,
                    rtype::DNAME,
                )));
            }
            Shade::Cut if is_address(set.rtype) && glue_names.contains(owner_name) => {}
            Shade::Cut => {
                let message =
                    format!("{shown} {rtype} is never answered: {top_shown} is delegated, and this is no glue");
                findings.push(Diagnostic::warning("occluded", message).at(&at).help(first_of(zone, top, rtype::NS)));
            }
        }
    }
}

/// Data at the very name of a delegation.
fn at_cut(zone: &ParsedZone, owner: &OwnerEntry, glue_names: &HashSet<Vec<u8>>, findings: &mut Findings) {
    for set in zone.sets(owner) {
        let is_glue = is_address(set.rtype) && glue_names.contains(zone.name(owner));
        if matches!(set.rtype, rtype::NS | rtype::DS | rtype::CNAME | rtype::DNAME | rtype::SOA) || is_glue {
            continue;
        }
        let shown = Shown(zone.name(owner));
        let message = format!("{shown} {} is never answered: the name is delegated", TypeName(set.rtype));
        let finding = Diagnostic::warning("occluded", message).at(&zone.origin(set, 0));
        findings.push(finding.help(first_of(zone, owner, rtype::NS)));
    }
}

fn first_of(zone: &ParsedZone, owner: &OwnerEntry, rtype: u16) -> String {
    let at: Option<Origin> = zone.set(owner, rtype).map(|set| zone.origin(set, 0));
    at.map_or_else(String::new, |at| format!("the {} is at {at}", TypeName(rtype)))
}

fn is_address(rtype: u16) -> bool {
    matches!(rtype, rtype::A | rtype::AAAA)
}
