//! Where services go: into the zone of a master file, or into a zone of their own; and what may be beside them.

use std::collections::HashMap;

use crate::diag::Diagnostic;
use crate::model::{Name, Origin};
use crate::wire::name::{Shown, is_within, suffixes};
use crate::wire::types::{TypeName, rtype};
use crate::wire::{RrsetBuf, RrsetRef};

use super::findings::Findings;
use super::parsed::{OwnerEntry, ParsedZone};
use super::service::{OwnZones, ServicePlace};

/// Times of the SOA of a service's own zone, in seconds. Nobody transfers it, so they only have to be
/// what checking tools expect (RIPE-203).
const REFRESH_S: u32 = 3600;
const RETRY_S: u32 = 600;
const EXPIRE_S: u32 = 604_800;

/// TTL of the NS of a service's own zone: an hour, so that moving to other servers takes no longer.
const NS_TTL_S: u32 = 3600;

/// The services that have a place, in canonical order of their names. Positions are those of `services`.
pub(super) struct Placed<'a> {
    services: Vec<&'a ServicePlace<'a>>,
}

/// A zone to be: a file's or a service's own.
pub(super) struct Home<'a> {
    apex: &'a [u8],
    contents: Contents<'a>,
    /// Positions in [`Placed`], ascending.
    services: Vec<usize>,
    /// Apexes of the zones right below, ascending.
    children: Vec<&'a [u8]>,
}

enum Contents<'a> {
    File(&'a ParsedZone),
    /// NS and SOA.
    Own(Box<[RrsetBuf; 2]>),
}

/// A name that owns static data.
pub(super) struct OwnerView<'a> {
    pub(super) name: &'a [u8],
    contents: &'a Contents<'a>,
    entry: Option<&'a OwnerEntry>,
}

impl<'a> OwnerView<'a> {
    /// Its RRsets, by type ascending.
    pub(super) fn sets(&self) -> impl Iterator<Item = RrsetRef<'a>> {
        let (read, own) = match (self.contents, self.entry) {
            (Contents::File(zone), Some(entry)) => (Some(zone.sets(entry).iter().map(|set| zone.rrset(set))), None),
            (Contents::File(_), None) => (None, None),
            (Contents::Own(sets), _) => (None, Some(sets.iter().map(RrsetBuf::as_rrset))),
        };
        read.into_iter().flatten().chain(own.into_iter().flatten())
    }

    /// Where the first record of a type was written.
    pub(super) fn origin(&self, rtype: u16) -> Option<Origin> {
        match (self.contents, self.entry) {
            (Contents::File(zone), Some(entry)) => zone.set(entry, rtype).map(|set| zone.origin(set, 0)),
            (Contents::File(_), None) | (Contents::Own(_), _) => None,
        }
    }
}

impl<'a> Home<'a> {
    pub(super) fn apex(&self) -> &'a [u8] {
        self.apex
    }

    /// In canonical order, the apex first.
    pub(super) fn owners(&self) -> impl Iterator<Item = OwnerView<'_>> {
        let (read, own) = match &self.contents {
            Contents::File(zone) => (Some(zone.owners.iter().map(|entry| (zone.name(entry), Some(entry)))), None),
            Contents::Own(_) => (None, Some((self.apex, None))),
        };
        let contents = &self.contents;
        read.into_iter().flatten().chain(own).map(move |(name, entry)| OwnerView { name, contents, entry })
    }

    pub(super) fn services(&self) -> &[usize] {
        &self.services
    }

    pub(super) fn children(&self) -> &[&'a [u8]] {
        &self.children
    }
}

/// Finds each service its zone, and makes zones for those that have none. The zones come by apex in canonical
/// order.
pub(super) fn services<'a>(
    zones: &'a [ParsedZone],
    services: &'a [ServicePlace<'a>],
    own: &OwnZones<'_>,
    findings: &mut Findings,
) -> (Placed<'a>, Vec<Home<'a>>) {
    let mut placed: Vec<&ServicePlace<'_>> = services.iter().collect();
    placed.sort_by(|a, b| a.name.cmp(b.name).then(a.ix.cmp(&b.ix)));
    placed.dedup_by(|second, first| {
        let same = first.name == second.name;
        if same {
            let finding = Diagnostic::error("two-services", format!("there are two services {}", first.name));
            findings.push(finding.at(second.origin).help(format!("the other is at {}", first.origin)));
        }
        same
    });
    let mut homes: Vec<Home<'a>> = zones
        .iter()
        .map(|zone| Home {
            apex: zone.apex.as_wire(),
            contents: Contents::File(zone),
            services: Vec::new(),
            children: Vec::new(),
        })
        .collect();
    let by_apex: HashMap<&[u8], usize> = homes.iter().enumerate().map(|(at, home)| (home.apex, at)).collect();
    let mut alone: Option<&ServicePlace<'_>> = None;
    for (at, &service) in placed.iter().enumerate() {
        let wire = service.name.as_wire();
        let cover = suffixes(wire).find_map(|(_, suffix)| by_apex.get(suffix).copied());
        if let Some(finding) = wrong_zone(service, cover.map(|cover| &zones[cover].apex)) {
            findings.push(finding);
            continue;
        }
        if let Some(cover) = cover {
            homes[cover].services.push(at);
            continue;
        }
        let help = "write a master file for the zone that it is in";
        if service.name.is_wildcard() {
            let message = format!("the service {} is a wildcard, and no master file covers it", service.name);
            findings.push(Diagnostic::error("wildcard-without-zone", message).at(service.origin).help(help));
            continue;
        }
        if service.kind.has_cname() {
            let message = format!(
                "the service {} has endpoints that are names, and no master file covers it: it would be the apex of \
                 a zone, where no CNAME can be",
                service.name
            );
            findings.push(Diagnostic::error("cname-at-apex", message).at(service.origin).help(help));
            continue;
        }
        alone = alone.or(Some(service));
        homes.push(Home {
            apex: wire,
            contents: Contents::Own(Box::new(own_records(service, own))),
            services: vec![at],
            children: Vec::new(),
        });
    }
    if let Some(first) = alone.filter(|_| own.ns.is_empty()) {
        findings.push(no_ns(first, own));
    }
    homes.sort_by(|a, b| super::name::canonical_cmp(a.apex, b.apex));
    adopt(&mut homes);
    (Placed { services: placed }, homes)
}

fn wrong_zone(service: &ServicePlace<'_>, cover: Option<&Name>) -> Option<Diagnostic> {
    let named = service.zone?;
    if named == cover.unwrap_or(service.name) {
        return None;
    }
    let message = match cover {
        Some(apex) => format!("the service {} is in the zone {apex}, not in {named}", service.name),
        None => format!("the service {} names the zone {named}, for which there is no master file", service.name),
    };
    let finding = Diagnostic::error("wrong-zone", message).at(service.origin);
    Some(match cover {
        Some(apex) => finding.expected(format!("zone: {apex}")),
        None => finding.help("write that file, or leave `zone` out: the service is then a zone of its own"),
    })
}

fn no_ns(first: &ServicePlace<'_>, own: &OwnZones<'_>) -> Diagnostic {
    let message = format!(
        "the settings name no servers (`ns`), so zones of services without a master file, such as {}, say ns.invalid.",
        first.name
    );
    let finding = match own.ns_required {
        true => Diagnostic::error("no-ns", message),
        false => Diagnostic::warning("no-ns", message),
    };
    finding.at(first.origin).help("set `ns` to the names under which resolvers reach this server")
}

/// NS and SOA of a service's own zone.
fn own_records(service: &ServicePlace<'_>, own: &OwnZones<'_>) -> [RrsetBuf; 2] {
    const INVALID: &[u8] = b"\x02ns\x07invalid\0";
    let mut ns = RrsetBuf::new(rtype::NS, NS_TTL_S);
    let servers: Vec<&[u8]> = match own.ns {
        [] => vec![INVALID],
        names => names.iter().map(Name::as_wire).collect(),
    };
    let ttl = service.ttl.as_secs();
    let mut data = servers[0].to_vec();
    match (own.mailbox, service.name.child("hostmaster")) {
        (Some(mailbox), _) => data.extend_from_slice(mailbox.as_wire()),
        (None, Ok(mailbox)) => data.extend_from_slice(mailbox.as_wire()),
        // Only a name of nearly 255 octets has no room in front of it; then the root says "nobody".
        (None, Err(_)) => data.push(0),
    }
    for number in [1, REFRESH_S, RETRY_S, EXPIRE_S, ttl] {
        data.extend_from_slice(&number.to_be_bytes());
    }
    let mut soa = RrsetBuf::new(rtype::SOA, ttl);
    soa.push(&data).expect("two names and five numbers");
    for server in servers {
        // More servers than one message can hold are of no use to anybody.
        if ns.push(server).is_err() {
            break;
        }
    }
    [ns, soa]
}

/// Tells each zone which zones are right below it. `homes` are in canonical order.
fn adopt(homes: &mut [Home<'_>]) {
    let mut above: Vec<usize> = Vec::new();
    for at in 0..homes.len() {
        let apex = homes[at].apex;
        while above.last().is_some_and(|&parent| !is_within(apex, homes[parent].apex)) {
            above.pop();
        }
        if let Some(&parent) = above.last() {
            homes[parent].children.push(apex);
        }
        above.push(at);
    }
}

impl Placed<'_> {
    pub(super) fn name(&self, at: usize) -> &[u8] {
        self.services[at].name.as_wire()
    }

    pub(super) fn ix(&self, at: usize) -> u32 {
        self.services[at].ix.0
    }

    /// Whether the service may be where it is, and if not, why. `owner` is the static data of its name; `shade`
    /// the delegation (or DNAME, if the flag says so) that it is at or below.
    pub(super) fn fits(
        &self,
        at: usize,
        home: &Home<'_>,
        owner: Option<&OwnerView<'_>>,
        shade: Option<(&[u8], bool)>,
        findings: &mut Findings,
    ) -> bool {
        let service = self.services[at];
        let finding = match shade {
            Some((top, true)) => {
                let message = format!("the service {} is below the DNAME of {} (RFC 6672)", service.name, Shown(top));
                Some(Diagnostic::error("service-below-dname", message))
            }
            Some((top, false)) => {
                let message = format!("the service {} is occluded: {} is delegated", service.name, Shown(top));
                let help = "serve that zone here too, or remove its NS records";
                Some(Diagnostic::error("service-occluded", message).help(help))
            }
            None if service.kind.has_cname() && service.name.as_wire() == home.apex => {
                let message = format!(
                    "the service {} is the apex of a zone, so its endpoints must be addresses: no CNAME can be there",
                    service.name
                );
                Some(Diagnostic::error("cname-at-apex", message))
            }
            None => owner.and_then(|owner| excluded(service, owner)),
        };
        match finding {
            Some(finding) => {
                findings.push(finding.at(service.origin));
                false
            }
            None => true,
        }
    }
}

/// Static data that can not be beside what the service answers.
fn excluded(service: &ServicePlace<'_>, owner: &OwnerView<'_>) -> Option<Diagnostic> {
    let excluded = |rtype: u16| {
        service.kind.has_cname()
            || matches!(rtype, rtype::A | rtype::AAAA | rtype::CNAME)
            || (rtype == rtype::HTTPS && service.https)
    };
    let set = owner.sets().find(|set| excluded(set.rtype))?;
    let place = owner.origin(set.rtype).map_or_else(String::new, |at| format!(", at {at},"));
    let message = format!(
        "static and dynamic data exclude each other: {} has static {}{place} and is a service",
        service.name,
        TypeName(set.rtype)
    );
    let help = match service.kind.has_cname() {
        true => "endpoints that are names answer with a CNAME, and beside a CNAME nothing may be",
        false => "remove the static record, or give the service another name",
    };
    Some(Diagnostic::error("static-and-dynamic", message).help(help))
}
