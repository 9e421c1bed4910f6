//! Looking ahead: having the processor fetch what a batch of queries will read, before any is answered.
//!
//! In a large table each step of an answer misses the caches: the name's three steps ([`Zones::look_ahead`]), then
//! for a service its head, cell, plan, variants, records, and where it is tallied. The misses of one answer wait for
//! each other; those of several need not. So the whole batch takes each step together, and is then answered from the
//! caches.
//!
//! It is a hint, and guesses: that the client is where the datagram comes from (a subnet that its resolver tells is
//! not read yet), and the plan's first variant. No answer depends on it.
//!
//! [`Zones::look_ahead`]: crate::zone::Zones::look_ahead

use std::net::{IpAddr, Ipv4Addr};

use super::chunk::Chunk;
use super::compile::RoutingTable;
use super::tally::Tallier;
use crate::limits::{BATCH_LEN, LOOK_AHEAD_NAMES, LOOK_AHEAD_SERVICES};
use crate::sys;
use crate::zone::NameHash;

/// Where a query has come to: a chunk, and a position in the array of the step.
type Step<'a> = Option<(&'a Chunk, u32)>;

impl RoutingTable {
    /// True when there is so much in the table that looking ahead gains more than it takes.
    #[inline]
    pub fn is_worth_looking_ahead(&self) -> bool {
        self.zones().node_count() >= LOOK_AHEAD_NAMES || self.base().policy().services.len() >= LOOK_AHEAD_SERVICES
    }

    /// Has the processor fetch what answering these questions, names and who asks, will read and write. Those
    /// beyond [`BATCH_LEN`] are left out.
    pub fn look_ahead(&self, questions: impl Iterator<Item = (NameHash, IpAddr)>, tallier: &Tallier<'_>) {
        let mut clients = [IpAddr::V4(Ipv4Addr::UNSPECIFIED); BATCH_LEN];
        let mut services = [None; BATCH_LEN];
        let names = questions.zip(&mut clients).map(|((name, client), place)| {
            *place = client;
            name
        });
        self.zones().look_ahead(names, &mut services);
        if services.iter().all(Option::is_none) {
            return;
        }
        for service in services.iter().flatten() {
            sys::prefetch(self.service(*service).head);
        }
        let mut steps: [Step<'_>; BATCH_LEN] = [None; BATCH_LEN];
        for ((service, client), step) in services.iter().zip(&clients).zip(&mut steps) {
            let Some(service) = service.map(|ix| self.service(ix)) else { continue };
            let at = service.cell_at(*client);
            fetch(&service.chunk.cells, at);
            *step = Some((service.chunk, at));
        }
        // To the plan, from there to its first variant, and to what that answers and where it is tallied.
        take(&mut steps, |chunk, at| {
            let plan = chunk.cells.get(at)?.plan;
            fetch(&chunk.plans, plan);
            Some(plan)
        });
        take(&mut steps, |chunk, at| {
            let plan = chunk.plans.get(at)?;
            fetch(&chunk.weights, plan.first_variant);
            fetch(&chunk.bodies, plan.first_variant);
            (plan.variant_count > 0).then_some(plan.first_variant)
        });
        take(&mut steps, |chunk, at| {
            let body = chunk.bodies.get(at)?;
            fetch(&chunk.records, body.first_record());
            tallier.look_ahead(body.slot);
            None
        });
    }
}

fn fetch<T>(array: &[T], at: u32) {
    if let Some(soon) = array.get(at as usize) {
        sys::prefetch(soon);
    }
}

/// All queries that have come so far take a step.
fn take<'a>(steps: &mut [Step<'a>], next: impl Fn(&'a Chunk, usize) -> Option<u32>) {
    for step in steps {
        *step = step.and_then(|(chunk, at)| Some((chunk, next(chunk, at as usize)?)));
    }
}
