//! What the room promises as a whole: by RFC section, against oracles, and for the files that people write.

mod ahead;
mod oracle;
mod parsing;
mod rfc;
mod services;

use super::{Find, OwnZones, ParsedZone, ServicePlace, Zones, parse};
use crate::diag::Diagnostic;
use crate::model::Name;
use crate::wire::name::Shown;

/// The head that test zones share.
const HEAD: &str = "$TTL 300\n@ SOA ns hostmaster 1 3600 600 604800 60\n@ NS ns\nns A 192.0.2.53\n";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Parses without includes.
fn read(origin: &str, text: &str) -> (ParsedZone, Vec<Diagnostic>) {
    parse(&format!("{origin}.zone"), text.as_bytes(), &name(origin), &mut |path| Err(format!("no file {path}")))
}

fn nobody() -> OwnZones<'static> {
    OwnZones { ns: &[], mailbox: None, ns_required: false }
}

/// Every finding as `code line:column`, in order.
fn codes(findings: &[Diagnostic]) -> Vec<String> {
    let show = |finding: &Diagnostic| match &finding.at {
        Some(at) => format!("{} {}:{}", finding.code, at.line, at.column),
        None => finding.code.to_string(),
    };
    findings.iter().map(show).collect()
}

/// A table of zones that must be without a finding.
fn table(zones: &[(&str, &str)], services: &[ServicePlace<'_>]) -> Zones {
    let read: Vec<ParsedZone> = zones
        .iter()
        .map(|(origin, text)| {
            let (zone, findings) = read(origin, text);
            assert_eq!(findings, []);
            zone
        })
        .collect();
    let (table, findings) = Zones::build(read, services, &nobody());
    assert_eq!(findings, []);
    table
}

/// What is found, in one line.
fn shown(table: &Zones, qname: &str) -> String {
    let qname = name(qname);
    show_find(qname.as_wire(), table.find(qname.as_wire()))
}

fn show_find(qname: &[u8], found: Find<'_>) -> String {
    match found {
        Find::NotOurs => "not ours".into(),
        Find::Node { node } => format!("node {} in {}", Shown(node.name()), Shown(node.zone().apex())),
        Find::Wildcard { zone, node, encloser } => {
            format!("wildcard {} at {} in {}", Shown(node.name()), Shown(&qname[encloser..]), Shown(zone.apex()))
        }
        Find::Cut { zone, node, owner } => {
            assert_eq!(node.name(), &qname[owner..]);
            format!("cut {} in {}", Shown(node.name()), Shown(zone.apex()))
        }
        Find::Dname { zone, node, owner } => {
            assert_eq!(node.name(), &qname[owner..]);
            format!("dname {} in {}", Shown(node.name()), Shown(zone.apex()))
        }
        Find::NoName { zone, encloser } => {
            format!("nothing below {} in {}", Shown(&qname[encloser..]), Shown(zone.apex()))
        }
    }
}
