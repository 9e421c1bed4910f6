//! What can only be seen with all zones and services at hand: where NS, MX and SRV lead.

use crate::diag::Diagnostic;
use crate::model::Origin;
use crate::wire::name::{Shown, is_within};
use crate::wire::rdata::target;
use crate::wire::types::{TypeName, rtype};

use super::Find;
use super::findings::Findings;
use super::parsed::{OwnerEntry, ParsedSet, ParsedZone};
use super::service::{OwnZones, ServicePlace};
use super::table::{Node, Zones};

/// Looks after the targets of every NS, MX and SRV record that is answered.
pub(super) fn targets(table: &Zones, zones: &[ParsedZone], services: &[ServicePlace<'_>], findings: &mut Findings) {
    for zone in zones {
        for owner in &zone.owners {
            let name = zone.name(owner);
            if !is_answered(table, zone, name) {
                continue;
            }
            for set in zone.sets(owner).iter().filter(|set| matches!(set.rtype, rtype::NS | rtype::MX | rtype::SRV)) {
                let names = zone.data(set).map(|data| target(set.rtype, data)).enumerate();
                for (record, target) in names.filter_map(|(record, target)| Some((record, target?))) {
                    let at = Reference { table, zone, owner, set, record };
                    if let Some(finding) = at.finding(&target.to_ascii_lowercase(), services) {
                        findings.push(finding.at(&at.origin()));
                    }
                }
            }
        }
    }
}

/// The servers of the settings stand in NS records too.
pub(super) fn own_servers(table: &Zones, own: &OwnZones<'_>, findings: &mut Findings) {
    for server in own.ns {
        let finding = match destination(table, server.as_wire()) {
            Destination::Service(_) => {
                let message = format!(
                    "`ns` of the settings names {server}, which is a service: its answers differ from client to client"
                );
                Diagnostic::error("service-as-ns", message)
            }
            Destination::Alias => Diagnostic::warning(
                "target-is-cname",
                format!("`ns` of the settings names {server}, which is an alias"),
            ),
            Destination::NoName => {
                let message = format!("`ns` of the settings names {server}, which does not exist in our zones");
                Diagnostic::warning("target-missing", message)
            }
            Destination::NoAddress => {
                let message = format!("`ns` of the settings names {server}, which has no address");
                Diagnostic::warning("target-without-address", message)
            }
            Destination::Fine | Destination::Delegated(_) => continue,
        };
        findings.push(finding);
    }
}

/// What a name leads to.
enum Destination<'a> {
    /// An address, or somewhere that is not ours.
    Fine,
    Service(Node<'a>),
    Alias,
    NoName,
    NoAddress,
    /// At or below this delegation.
    Delegated(Node<'a>),
}

fn destination<'a>(table: &'a Zones, name: &[u8]) -> Destination<'a> {
    match table.find(name) {
        Find::NotOurs => Destination::Fine,
        Find::Cut { node, .. } => Destination::Delegated(node),
        Find::Dname { .. } => Destination::Alias,
        Find::NoName { .. } => Destination::NoName,
        Find::Node { node, .. } | Find::Wildcard { node, .. } => {
            if node.service().is_some() {
                Destination::Service(node)
            } else if node.rrset(rtype::CNAME).is_some() {
                Destination::Alias
            } else if node.rrset(rtype::A).is_none() && node.rrset(rtype::AAAA).is_none() {
                Destination::NoAddress
            } else {
                Destination::Fine
            }
        }
    }
}

/// False for a name that is hidden in its zone; what is wrong with that has been said.
fn is_answered(table: &Zones, zone: &ParsedZone, name: &[u8]) -> bool {
    match table.find(name) {
        Find::Node { node } | Find::Cut { node, owner: 0, .. } => node.zone().apex() == zone.apex.as_wire(),
        Find::NotOurs | Find::Wildcard { .. } | Find::Cut { .. } | Find::Dname { .. } | Find::NoName { .. } => false,
    }
}

/// One record that refers to a name.
struct Reference<'a> {
    table: &'a Zones,
    zone: &'a ParsedZone,
    owner: &'a OwnerEntry,
    set: &'a ParsedSet,
    record: usize,
}

impl Reference<'_> {
    fn origin(&self) -> Origin {
        self.zone.origin(self.set, self.record)
    }

    fn finding(&self, target: &[u8], services: &[ServicePlace<'_>]) -> Option<Diagnostic> {
        // `.` says that there is no such service (RFC 2782, RFC 7505).
        if target == [0] {
            return None;
        }
        let is_ns = self.set.rtype == rtype::NS;
        let owner = Shown(self.zone.name(self.owner));
        let what = format!("{owner} {} leads to {}, which", TypeName(self.set.rtype), Shown(target));
        match destination(self.table, target) {
            Destination::Service(_) if is_ns => {
                let message = format!("{what} is a service: services are never name servers or glue");
                Some(Diagnostic::error("service-as-ns", message).help("give the server a name with static addresses"))
            }
            Destination::Service(node) => {
                let ix = node.service()?;
                // Usually they come by index; then there is no need to search.
                let by_index = services.get(ix.at()).filter(|service| service.ix == ix);
                let service = by_index.or_else(|| services.iter().find(|service| service.ix == ix))?;
                let message = format!("{what} is a service that answers with a CNAME (RFC 2181 §10.3)");
                service.kind.has_cname().then(|| Diagnostic::warning("target-is-cname", message))
            }
            Destination::Alias => {
                Some(Diagnostic::warning("target-is-cname", format!("{what} is an alias (RFC 2181 §10.3)")))
            }
            Destination::NoName => Some(Diagnostic::warning("target-missing", format!("{what} does not exist"))),
            Destination::NoAddress => {
                Some(Diagnostic::warning("target-without-address", format!("{what} has no address")))
            }
            Destination::Delegated(cut) => {
                let needs_glue = is_ns && cut.name() == self.zone.name(self.owner) && is_within(target, cut.name());
                let glue = self.table.glue(cut.zone(), target);
                let has_glue = matches!(glue, Some((Some(_), _) | (_, Some(_))));
                (needs_glue && !has_glue).then(|| {
                    let message = format!("{what} is in the delegated zone, but has no address here");
                    let help = "add its A or AAAA as glue: without it nobody can reach the delegated zone";
                    Diagnostic::error("missing-glue", message).help(help)
                })
            }
            Destination::Fine => None,
        }
    }
}
