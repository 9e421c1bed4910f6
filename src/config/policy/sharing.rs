//! What is alike is kept once: services that are written alike share what they choose from, and all share the ids of
//! their endpoints, which are mostly those of data centres.

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::model::{Choices, EndpointId, Service};

/// Everything of which some service has one so far.
#[derive(Default)]
pub(super) struct Sharing {
    choices: HashSet<Arc<Choices>, BuildHasherDefault<Mixed>>,
    endpoints: BTreeSet<EndpointId>,
}

impl Sharing {
    /// The same service, with what is known already in place of its own copies.
    pub(super) fn share(&mut self, mut service: Service) -> Service {
        for route in service.policy.routes.iter_mut().chain([&mut service.policy.elsewhere]) {
            match self.choices.get(&*route.choices) {
                Some(known) => route.choices = Arc::clone(known),
                None => drop(self.choices.insert(Arc::clone(&route.choices))),
            }
        }
        for endpoint in &mut service.endpoints {
            match self.endpoints.get(&endpoint.id) {
                Some(known) => endpoint.id = known.clone(),
                // Ids that hardly anybody has in common are not worth the search.
                None if self.endpoints.len() >= ENDPOINT_IDS_SHARED_MAX => {}
                None => drop(self.endpoints.insert(endpoint.id.clone())),
            }
        }
        service
    }
}

/// So many different ids are looked for.
const ENDPOINT_IDS_SHARED_MAX: usize = 10_000;

/// A hash of many small numbers, in a fraction of the time that std's takes. Who could choose them so that they
/// collide writes the policies.
#[derive(Default)]
struct Mixed(u64);

impl Mixed {
    fn mix(&mut self, value: u64) {
        // The golden ratio's digits: odd, and without a pattern.
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Mixed {
    fn write(&mut self, octets: &[u8]) {
        for part in octets.chunks(8) {
            let mut value = [0; 8];
            value[..part.len()].copy_from_slice(part);
            self.mix(u64::from_le_bytes(value));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.mix(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        // The upper bits are the well mixed ones; tables look at both ends.
        self.0 ^ (self.0 >> 32)
    }
}
