//! Joining zones and services into the table.
//!
//! Each zone is one walk over its names in canonical order, in which ancestors come before what is below them:
//! the owners that were read, the services that belong in it, and the apexes of the zones right below it are
//! merged; missing ancestors become empty non-terminals; what lies below a delegation, a DNAME or a deeper
//! apex is marked. The zones follow each other by apex, so a zone comes after those that enclose it.

use crate::diag::Diagnostic;
use crate::wire::name::{Shown, is_within, label_count};
use crate::wire::types::{TypeName, rtype};
use crate::wire::{Compact, RrsetRef};

use super::find::Index;
use super::findings::Findings;
use super::lint;
use super::name::{ancestors_below, canonical_cmp, common_labels};
use super::parsed::ParsedZone;
use super::place::{self, Home, OwnerView, Placed};
use super::service::{OwnZones, ServicePlace};
use super::table::{NO_SERVICE, NodeEntry, SetEntry, ZoneEntry, Zones, flag};

impl Zones {
    /// Joins `zones` and gives `services` their places. Serve the result only when no diagnostic is an error,
    /// neither here nor from [`super::parse`]: a service or a zone with an error is left out.
    ///
    /// A service that none of `zones` covers becomes a zone of its own, as `own` says: its SOA has serial 1,
    /// refresh 3600, retry 600, expire 604800, and the service's TTL as MINIMUM and as TTL of its own, so that
    /// no negative answer outlives a positive one; its NS have a TTL of an hour.
    ///
    /// Codes of errors: `two-zones`, `zones-too-large`, `two-services`, `wrong-zone`, `wildcard-without-zone`,
    /// `cname-at-apex`, `static-and-dynamic`, `service-occluded`, `service-below-dname`, `service-as-ns`,
    /// `missing-glue`, and `no-ns` when `own` requires servers. Warnings: `no-ns`, `target-is-cname`,
    /// `target-missing`, `target-without-address`, `occluded`.
    pub fn build(
        mut zones: Vec<ParsedZone>,
        services: &[ServicePlace<'_>],
        own: &OwnZones<'_>,
    ) -> (Zones, Vec<Diagnostic>) {
        let mut findings = Findings::default();
        zones.retain(|zone| zone.is_whole);
        zones.sort_by(|a, b| a.apex.cmp(&b.apex).then_with(|| a.file().cmp(&b.file())));
        zones.dedup_by(|second, first| {
            let same = first.apex == second.apex;
            if same {
                let message = format!("the zone {} is in two files", first.apex);
                let finding = Diagnostic::error("two-zones", message).at(&second.file());
                findings.push(finding.help(format!("the other is {}", first.file().file)));
            }
            same
        });
        let octets = zones.iter().map(|zone| zone.names.len() + zone.records.len()).sum::<usize>();
        // Half of what 32 bits can address: services and empty non-terminals need room as well.
        if octets > i32::MAX as usize {
            let message = "all zones together take more than 2 GiB in memory";
            findings.push(Diagnostic::error("zones-too-large", message));
            zones.clear();
        }
        let (placed, homes) = place::services(&zones, services, own, &mut findings);
        let mut builder = Builder::default();
        for home in &homes {
            builder.zone(home, &placed, &mut findings);
        }
        let built = builder.finish();
        lint::targets(&built, &zones, services, &mut findings);
        lint::own_servers(&built, own, &mut findings);
        (built, findings.finish())
    }
}

#[derive(Default)]
struct Builder {
    octets: Vec<u8>,
    nodes: Vec<NodeEntry>,
    sets: Vec<SetEntry>,
    zones: Vec<ZoneEntry>,
}

/// What hides the names below it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shade {
    Cut,
    Dname,
    /// The apex of a deeper zone.
    Deeper,
}

/// The walk through one zone.
struct Walk<'n> {
    /// Labels of the apex.
    apex_labels: usize,
    /// The nodes from the apex down to the last one.
    path: Vec<u32>,
    last: &'n [u8],
    shade: Option<(&'n [u8], Shade)>,
}

impl Builder {
    fn zone(&mut self, home: &Home<'_>, placed: &Placed<'_>, findings: &mut Findings) {
        let apex = home.apex();
        let apex_at = self.nodes.len() as u32;
        let mut walk = Walk { apex_labels: label_count(apex), path: Vec::new(), last: apex, shade: None };
        let mut owners = home.owners().peekable();
        let mut services = home.services().iter().copied().peekable();
        let mut children = home.children().iter().copied().peekable();
        // The apex always owns something, so it comes first.
        loop {
            let heads = [
                owners.peek().map(|owner| owner.name),
                services.peek().map(|&at| placed.name(at)),
                children.peek().copied(),
            ];
            let Some(name) = heads.into_iter().flatten().min_by(|a, b| canonical_cmp(a, b)) else { break };
            let owner = owners.next_if(|owner| owner.name == name);
            let service = services.next_if(|&at| placed.name(at) == name);
            let child = children.next_if(|&child| child == name);

            self.ancestors(&mut walk, name);
            let node = self.push_node(&mut walk, name);
            if let Some(owner) = &owner {
                self.nodes[node].sets_at = self.sets.len() as u32;
                for set in owner.sets() {
                    let records_at = self.octets.len() as u32;
                    self.octets.extend_from_slice(set.records);
                    let records_len = set.records.len() as u32;
                    let entry = SetEntry { records_at, records_len, ttl: set.ttl, rtype: set.rtype, count: set.count };
                    match self.nodes[node].sets_len {
                        0 => self.nodes[node].first = entry,
                        1.. => self.sets.push(entry),
                    }
                    self.nodes[node].sets_len += 1;
                }
            }
            let owns = |rtype| owner.as_ref().is_some_and(|owner| owner.sets().any(|set| set.rtype == rtype));
            let is_cut = name != apex && owns(rtype::NS);
            let is_dname = owns(rtype::DNAME);
            if is_cut {
                self.nodes[node].flags |= flag::CUT;
            }
            if is_dname {
                self.nodes[node].flags |= flag::DNAME;
            }
            if let Some(at) = service {
                let shade = match (walk.shade, is_cut) {
                    (None, false) => None,
                    (None, true) => Some((name, false)),
                    (Some((top, shade)), _) => Some((top, shade == Shade::Dname)),
                };
                if placed.fits(at, home, owner.as_ref(), shade, findings) {
                    self.nodes[node].service = placed.ix(at);
                }
            }
            if child.is_some() {
                self.nodes[node].flags |= flag::OCCLUDED;
            }
            let in_deeper = match walk.shade {
                Some((top, Shade::Deeper)) => Some(top),
                Some((_, Shade::Cut | Shade::Dname)) => None,
                None => child.filter(|_| !is_cut && !is_dname),
            };
            if let Some((owner, top)) = owner.as_ref().zip(in_deeper) {
                hidden_by_zone(owner, top, findings);
            }
            if walk.shade.is_none() {
                walk.shade = match (is_cut, is_dname, child.is_some()) {
                    (true, _, _) => Some((name, Shade::Cut)),
                    (false, true, _) => Some((name, Shade::Dname)),
                    (false, false, true) => Some((name, Shade::Deeper)),
                    (false, false, false) => None,
                };
            }
        }
        self.close_zone(apex_at);
    }

    /// Ends the shade that does not reach `name`, and makes its missing ancestors.
    fn ancestors<'n>(&mut self, walk: &mut Walk<'n>, name: &'n [u8]) {
        if walk.shade.is_some_and(|(top, _)| !is_within(name, top)) {
            walk.shade = None;
        }
        let common = common_labels(walk.last, name);
        walk.path.truncate((common + 1).saturating_sub(walk.apex_labels));
        for at in ancestors_below(name, common) {
            self.push_node(walk, &name[at..]);
        }
        walk.last = name;
    }

    /// Adds a node whose ancestors are there.
    fn push_node(&mut self, walk: &mut Walk<'_>, name: &[u8]) -> usize {
        let at = self.nodes.len();
        let occluded = walk.shade.is_some();
        if !occluded
            && name.starts_with(b"\x01*")
            && let Some(&parent) = walk.path.last()
        {
            self.nodes[parent as usize].flags |= flag::WILD;
        }
        walk.path.push(at as u32);
        self.nodes.push(NodeEntry {
            name_at: self.octets.len() as u32,
            zone: self.zones.len() as u32,
            first: SetEntry::default(),
            sets_at: 0,
            service: NO_SERVICE,
            sets_len: 0,
            name_len: name.len() as u8,
            flags: if occluded { flag::OCCLUDED } else { 0 },
        });
        self.octets.extend_from_slice(name);
        at
    }

    fn close_zone(&mut self, apex: u32) {
        let entry = self.nodes[apex as usize];
        let others = &self.sets[entry.sets_at as usize..][..usize::from(entry.sets_len).saturating_sub(1)];
        let find = |wanted: u16| others.iter().find(|set| set.rtype == wanted).copied().unwrap_or(entry.first);
        let (soa, ns) = (find(rtype::SOA), find(rtype::NS));
        let soa_record = &self.octets[soa.records_at as usize..][..soa.records_len as usize];
        let minimum = soa_record.last_chunk::<4>().map_or(0, |minimum| u32::from_be_bytes(*minimum));
        let negative_ttl = soa.ttl.min(minimum);
        let soa_ref = RrsetRef { rtype: soa.rtype, ttl: soa.ttl, count: soa.count, records: soa_record };
        let mut negative = Vec::new();
        if let Some((_, rdata)) = soa_ref.records().next() {
            let apex_at = entry.name_at as usize;
            let apex = &self.octets[apex_at..apex_at + usize::from(entry.name_len)];
            Compact::render(apex, rtype::SOA, negative_ttl, rdata, &mut negative);
        }
        self.zones.push(ZoneEntry {
            apex,
            soa,
            ns,
            negative_ttl,
            negative_at: self.octets.len() as u32,
            negative_len: negative.len() as u32,
            nodes_end: self.nodes.len() as u32,
        });
        self.octets.append(&mut negative);
    }

    fn finish(self) -> Zones {
        let (index, enclosing) = Index::build(&self.octets, &self.nodes);
        let zones = Zones {
            octets: self.octets.into(),
            nodes: self.nodes.into(),
            sets: self.sets.into(),
            zones: self.zones.into(),
            enclosing: enclosing.into(),
            index,
        };
        zones.prefer_large_pages();
        zones
    }
}

/// Data that a deeper zone hides, although nothing here delegates it.
fn hidden_by_zone(owner: &OwnerView<'_>, apex: &[u8], findings: &mut Findings) {
    let Some(set) = owner.sets().next() else { return };
    let message = format!(
        "{} {} is never answered: the zone {} is served here too",
        Shown(owner.name),
        TypeName(set.rtype),
        Shown(apex)
    );
    let finding = Diagnostic::warning("occluded", message);
    findings.push(match owner.origin(set.rtype) {
        Some(origin) => finding.at(&origin),
        None => finding,
    });
}
