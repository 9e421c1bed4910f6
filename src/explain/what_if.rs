//! Facts that somebody assumes: "what if dc1 were down?"

use std::collections::BTreeSet;

use crate::model::{
    AddressKey, Admin, DatacenterIx, Facts, Health, NamedDatacenters, Override, OverrideKind, PolicySet, Revision,
    Scope, ServiceIx, State, Verdict, resolve_datacenter,
};
use crate::table::RoutingTable;

/// Who is meant by each of these names, groups taken apart.
pub fn datacenters(policy: &PolicySet, names: &[String]) -> Result<BTreeSet<DatacenterIx>, String> {
    let mut all = BTreeSet::new();
    for name in names {
        match resolve_datacenter(&policy.datacenters, &policy.groups, name) {
            NamedDatacenters::One(one) => drop(all.insert(one)),
            NamedDatacenters::Group(group) => all.extend(policy.groups[group].members.iter().copied()),
            NamedDatacenters::Ambiguous(several) => {
                let ids: Vec<&str> = several.iter().map(|ix| policy.datacenters[ix.at()].id.as_str()).collect();
                return Err(format!("{name:?} is ambiguous: it could be {}", ids.join(" or ")));
            }
            NamedDatacenters::Unknown => {
                let ids: Vec<&str> = policy.datacenters.iter().map(|dc| dc.id.as_str()).collect();
                return Err(format!("no data centre is called {name:?}; there are {}", ids.join(", ")));
            }
        }
    }
    Ok(all)
}

/// Everything up, but for these.
pub fn facts(
    policy: &PolicySet,
    down: &BTreeSet<DatacenterIx>,
    out: &BTreeSet<DatacenterIx>,
    switch: &BTreeSet<DatacenterIx>,
) -> Facts {
    let mut facts = Facts { health: health(policy, down), ..Facts::all_up() };
    facts.datacenters = out.iter().map(|dc| (*dc, Admin::Out)).collect();
    if !switch.is_empty() {
        facts.revision = Revision(1);
        facts.overrides.push(Override {
            // What is assumed to be down is down for longer than a switch holds through.
            kind: OverrideKind::Prefer {
                to: switch.clone(),
                from: None,
                yielded: switch.is_subset(down),
                left: BTreeSet::new(),
            },
            scope: Scope::all(),
            revision: Revision(1),
            actor: "what-if".into(),
            reason: String::new(),
            expires_at: None,
        });
    }
    facts
}

/// The facts of `table`, and these over them.
pub fn assumed(
    table: &RoutingTable,
    down: &BTreeSet<DatacenterIx>,
    out: &BTreeSet<DatacenterIx>,
    switch: &BTreeSet<DatacenterIx>,
) -> Facts {
    let mut all = table.facts().clone();
    let assumed = facts(table.base().policy(), down, out, switch);
    all.health.of.extend(assumed.health.of);
    all.datacenters.extend(assumed.datacenters);
    for mut order in assumed.overrides {
        // The latest order of all.
        all.revision.0 += 1;
        order.revision = all.revision;
        all.overrides.push(order);
    }
    all
}

/// Every address in `down` is down. An endpoint without checks stays up: nobody would see.
fn health(policy: &PolicySet, down: &BTreeSet<DatacenterIx>) -> Health {
    let mut health = Health::all_up();
    for (at, service) in policy.services.iter().enumerate() {
        let there = service.endpoints().filter(|(_, endpoint)| down.contains(&endpoint.datacenter));
        for (ix, endpoint) in there.filter(|(_, endpoint)| !endpoint.health.checks().is_empty()) {
            for address in 0..endpoint.data.address_count() {
                let address = u16::try_from(address).expect("bounded by the addresses of an endpoint");
                let key = AddressKey { service: ServiceIx::from_at(at), endpoint: ix, address };
                health.of.insert(key, Verdict::of(State::Down));
            }
        }
    }
    health
}

/// What of `down` is not down to anybody: endpoints of the service that no check looks at. One sentence for each data
/// centre, or for each endpoint where others beside it are checked.
pub fn unseen(policy: &PolicySet, ix: ServiceIx, down: &BTreeSet<DatacenterIx>) -> Vec<String> {
    let service = &policy.services[ix.at()];
    let mut notes = Vec::new();
    for dc in down {
        let there = || service.endpoints().map(|(_, endpoint)| endpoint).filter(|endpoint| endpoint.datacenter == *dc);
        let unchecked: Vec<&str> = there()
            .filter(|endpoint| endpoint.health.checks().is_empty())
            .map(|endpoint| endpoint.id.as_str())
            .collect();
        let id = &policy.datacenters[dc.at()].id;
        if !unchecked.is_empty() && unchecked.len() == there().count() {
            notes.push(format!("{id} has no health checks for {}: nobody would see it down", service.name));
        } else {
            let note = |endpoint: &str| format!("{endpoint} in {id} has no health checks: nobody would see it down");
            notes.extend(unchecked.into_iter().map(note));
        }
    }
    notes
}
