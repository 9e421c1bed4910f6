//! A freeze: nothing moves by itself, and orders go on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::flow::TierKey;
use super::names::Names;
use crate::control::entries::{KeptEntry, name_of};
use crate::model::{AddressKey, EndpointIx, EntryState, Facts, Health, PolicySet, ServiceIx, Verdict};

/// While a freeze holds nothing moves by itself: the facts that are no orders stay what they were when it began.
/// Orders go on, over what is held.
#[derive(Clone, Debug)]
pub struct Frozen {
    held: Facts,
}

impl Frozen {
    /// Holds the world as it is.
    pub fn hold(world: &Facts) -> Frozen {
        Frozen { held: world.clone() }
    }

    /// The world as routing sees it while the freeze holds: health, entry conditions and yielded preferences as they
    /// were, also those of preferences that do not stand now: an order may bring them back. Latches are those of `live`: whoever keeps them settles none
    /// while a freeze holds, and ends them by order alone.
    pub fn world(&self, live: &Facts) -> Facts {
        Facts {
            health: self.held.health.clone(),
            entries: self.held.entries.clone(),
            yields: self.held.yields.clone(),
            ..live.clone()
        }
    }

    /// An order let clients into these tiers, or closed them: that holds as well.
    pub fn enter(&mut self, entries: impl IntoIterator<Item = (TierKey, EntryState)>) {
        self.held.entries.extend(entries);
    }

    /// Goes over to other files: what has the same name stays held, what is new is as `live` says. Files move what
    /// they say anew; they let nothing move that was held back.
    pub fn carry(&self, old: &PolicySet, new: &PolicySet, live: &Facts) -> Frozen {
        let (before, after) = (Names::of(old), Names::of(new));
        let mut health = Health { default: live.health.default, of: BTreeMap::new() };
        for (at, service) in new.services.iter().enumerate() {
            let (ix, name) = (ServiceIx::from_at(at), service.name.to_string());
            for (endpoint_ix, endpoint) in service.endpoints() {
                let held = before.endpoint_ix(&name, endpoint.id.as_str());
                for address in (0_u16..).take(endpoint.data.address_count()) {
                    let key = AddressKey { service: ix, endpoint: endpoint_ix, address };
                    let verdict = held
                        .and_then(|held| self.held_verdict(&before, held, endpoint.data.address(address)))
                        .unwrap_or_else(|| live.health.verdict(key, endpoint.is_watched()));
                    if verdict != Verdict::of(health.default) {
                        health.of.insert(key, verdict);
                    }
                }
            }
        }
        let held = self.held.entries.iter().filter_map(|(key, state)| Some((name_of(old, *key)?, state)));
        let held: BTreeMap<KeptEntry, &EntryState> = held.collect();
        let entries = live.entries.iter().map(|(key, state)| {
            let known = name_of(new, *key).and_then(|name| held.get(&name).copied());
            (*key, known.unwrap_or(state).clone())
        });
        let entries = entries.collect();
        let yields = self.held.yields.iter().filter_map(|(revision, service, endpoint)| {
            let id = before.service(*service).endpoint(*endpoint).id.as_str();
            let (service, endpoint) = after.endpoint_ix(&before.name(*service), id)?;
            Some((*revision, service, endpoint))
        });
        Frozen { held: Facts { health, entries, yields: yields.collect(), ..live.clone() } }
    }
    /// What is held of the address of an endpoint; `None`: it had no such address.
    fn held_verdict(
        &self,
        before: &Names<'_>,
        (service, ix): (ServiceIx, EndpointIx),
        address: Option<IpAddr>,
    ) -> Option<Verdict> {
        let endpoint = before.service(service).endpoint(ix);
        let mut addresses = (0_u16..).take(endpoint.data.address_count());
        let at = addresses.find(|at| endpoint.data.address(*at) == address)?;
        let key = AddressKey { service, endpoint: ix, address: at };
        Some(self.held.health.verdict(key, endpoint.is_watched()))
    }
}
