//! Services that are written alike keep one copy of what they choose from.

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::{Choices, Service};

/// Every choice that some service has so far.
#[derive(Default)]
pub(super) struct Sharing {
    known: HashSet<Arc<Choices>>,
}

impl Sharing {
    /// The same service, with what is known already in place of its own copies.
    pub(super) fn share(&mut self, mut service: Service) -> Service {
        for route in service.policy.routes.iter_mut().chain([&mut service.policy.elsewhere]) {
            match self.known.get(&*route.choices) {
                Some(known) => route.choices = Arc::clone(known),
                None => drop(self.known.insert(Arc::clone(&route.choices))),
            }
        }
        service
    }
}
