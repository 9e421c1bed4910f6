//! Facts in words.
//!
//! ```text
//! down ID[/N]   unknown ID[/N]        an endpoint, or all of a data centre; N: one of its addresses
//! out ID   draining ID                a data centre, or service/endpoint
//! force-up ID   force-down ID         the same
//! latch DC                            } with `in REGION` and `for SERVICE`
//! pin DC,DC  prefer DC  schedule DC   } pin, prefer: `from DC`; prefer: `yielded`, `left DC`
//! weight ENDPOINT N   ttl N           }
//! met REGION TIER   unmet REGION TIER the entry condition of a region's tier, counted from 0
//! ```
//!
//! Orders get their revisions in the order in which they are written.

use std::collections::BTreeSet;

use meridian::model::{
    AddressKey, Admin, DatacenterIx, EndpointIx, EntryState, Facts, Forced, Latch, Name, Override, OverrideKind,
    PolicySet, RegionIx, Revision, Scope, ServiceIx, State, Ttl, Verdict, Weight,
};

/// The facts that these words say.
pub(crate) fn facts(policy: &PolicySet, words: &[String]) -> Facts {
    let mut facts = Facts::all_up();
    for fact in words {
        let words: Vec<&str> = fact.split_whitespace().collect();
        Fact { policy, words: &words }.add(&mut facts);
    }
    facts
}

struct Fact<'a> {
    policy: &'a PolicySet,
    words: &'a [&'a str],
}

impl Fact<'_> {
    fn add(&self, facts: &mut Facts) {
        let what = *self.words.get(1).unwrap_or(&"");
        match self.words[0] {
            "down" => self.observe(what, State::Down, facts),
            "unknown" => self.observe(what, State::Unknown, facts),
            "out" | "draining" => {
                let admin = if self.words[0] == "out" { Admin::Out } else { Admin::Draining };
                match what.split_once('/') {
                    Some((service, endpoint)) => facts.endpoints.insert(self.endpoint(service, endpoint), admin),
                    None => facts.datacenters.insert(self.datacenter(what), admin),
                };
            }
            "force-up" | "force-down" => {
                let forced = if self.words[0] == "force-up" { Forced::Up } else { Forced::Down };
                match what.split_once('/') {
                    Some((service, endpoint)) => {
                        facts.forced_endpoints.insert(self.endpoint(service, endpoint), forced)
                    }
                    None => facts.forced_datacenters.insert(self.datacenter(what), forced),
                };
            }
            "latch" => facts.latches.push(Latch { datacenter: self.datacenter(what), scope: self.scope() }),
            "pin" => self.order(facts, OverrideKind::Pin { to: self.datacenters(what), from: self.after("from") }),
            "prefer" => {
                let kind = OverrideKind::Prefer {
                    to: self.datacenters(what),
                    from: self.after("from"),
                    yielded: self.words.contains(&"yielded"),
                    left: self.after("left").unwrap_or_default(),
                };
                self.order(facts, kind);
            }
            "schedule" => self.order(facts, OverrideKind::Schedule { to: self.datacenters(what) }),
            "weight" => {
                let endpoints = self.matching(what).into_iter().collect();
                let weight = Weight::new(self.words[2].parse().unwrap()).unwrap();
                self.order(facts, OverrideKind::Weight { endpoints, weight });
            }
            "ttl" => self.order(facts, OverrideKind::Ttl(Ttl::from_secs(what.parse().unwrap()).unwrap())),
            "met" | "unmet" => {
                let tier = self.words[2].parse().unwrap();
                let state = match self.words[0] {
                    "met" => EntryState::Met,
                    _ => EntryState::Unmet("it is a test".into()),
                };
                for at in 0..self.policy.services.len() {
                    facts.entries.insert((ServiceIx::from_at(at), self.region(what), tier), state.clone());
                }
            }
            other => panic!("no such fact: {other}"),
        }
    }

    fn order(&self, facts: &mut Facts, kind: OverrideKind) {
        facts.revision = Revision(facts.revision.0 + 1);
        facts.overrides.push(Override {
            kind,
            scope: self.scope(),
            revision: facts.revision,
            actor: "somebody".into(),
            reason: "a test".into(),
            expires_at: None,
        });
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.words.iter().position(|word| *word == key).map(|at| self.words[at + 1])
    }

    fn after(&self, key: &str) -> Option<BTreeSet<DatacenterIx>> {
        self.value(key).map(|names| self.datacenters(names))
    }

    fn scope(&self) -> Scope {
        let services = self.value("for").map(|names| names.split(',').map(|name| self.service(name)).collect());
        let regions = self.value("in").map(|names| names.split(',').map(|name| self.region(name)).collect());
        Scope { services, regions }
    }

    fn service(&self, name: &str) -> ServiceIx {
        let name = Name::parse(name).unwrap();
        let at = self.policy.services.iter().position(|service| service.name == name);
        ServiceIx::from_at(at.unwrap_or_else(|| panic!("no service {name}")))
    }

    fn region(&self, id: &str) -> Option<RegionIx> {
        if id == "elsewhere" {
            return None;
        }
        let at = self.policy.regions.iter().position(|region| region.id.as_str() == id);
        Some(RegionIx::from_at(at.unwrap_or_else(|| panic!("no region {id}"))))
    }

    fn datacenter(&self, id: &str) -> DatacenterIx {
        let at = self.policy.datacenters.iter().position(|dc| dc.id.as_str() == id);
        DatacenterIx::from_at(at.unwrap_or_else(|| panic!("no data centre {id}")))
    }

    fn datacenters(&self, ids: &str) -> BTreeSet<DatacenterIx> {
        ids.split(',').map(|id| self.datacenter(id)).collect()
    }

    fn endpoint(&self, service: &str, endpoint: &str) -> (ServiceIx, EndpointIx) {
        let ix = self.service(service);
        let endpoints = &self.policy.services[ix.at()].endpoints;
        let at = endpoints.iter().position(|one| one.id.as_str() == endpoint);
        (ix, EndpointIx::from_at(at.unwrap_or_else(|| panic!("no endpoint {endpoint}"))))
    }

    /// Every endpoint that is called so, or stands in a data centre that is.
    fn matching(&self, id: &str) -> Vec<(ServiceIx, EndpointIx)> {
        let mut found = Vec::new();
        for (at, service) in self.policy.services.iter().enumerate() {
            for (ix, endpoint) in service.endpoints() {
                let datacenter = &self.policy.datacenters[endpoint.datacenter.at()].id;
                if endpoint.id.as_str() == id || datacenter.as_str() == id {
                    found.push((ServiceIx::from_at(at), ix));
                }
            }
        }
        assert!(!found.is_empty(), "no endpoint or data centre {id}");
        found
    }

    fn observe(&self, what: &str, state: State, facts: &mut Facts) {
        let (id, one) = what.split_once('/').map_or((what, None), |(id, at)| (id, Some(at.parse::<usize>().unwrap())));
        let mut is_seen = false;
        for (service, endpoint) in self.matching(id) {
            let of = self.policy.services[service.at()].endpoint(endpoint);
            is_seen |= !of.health.checks().is_empty();
            for address in (0..of.data.address_count()).filter(|at| one.is_none_or(|one| one == *at)) {
                let address = u16::try_from(address).unwrap();
                let verdict = Verdict { state, is_held: self.words.contains(&"held") };
                facts.health.of.insert(AddressKey { service, endpoint, address }, verdict);
            }
        }
        assert!(is_seen, "{id} has no checks: nobody would see that it is {}", state.as_str());
    }
}
