//! What of the files is alike, found once so that no compilation looks for it again.

use std::collections::HashMap;
use std::sync::Arc;

use super::location::{Location, LocationMap};
use crate::model::{Choices, DatacenterIx, Method, PolicySet};
use crate::steer::Shape;

/// The outcomes of a service without a map.
pub(super) const EVERYWHERE: &[Location] = &[Location { route: None, nearest: None }];

/// A service, as far as other services and its own regions are like it.
#[derive(Debug)]
pub(super) struct Alike {
    /// Its number among the different shapes.
    pub(super) shape: u32,
    /// For each outcome of its map: equal where clients choose from the same, with the same nearest data centres.
    pub(super) kinds: Box<[u16]>,
    /// Of each kind, whether clients may be chosen for by hash.
    pub(super) is_sticky: Box<[bool]>,
    /// Some tier has a condition.
    pub(super) has_doors: bool,
}

impl Alike {
    /// For each service.
    pub(super) fn of_all(policy: &PolicySet, maps: &[LocationMap], map_of: &[Option<u32>]) -> Box<[Alike]> {
        let mut shapes: HashMap<Shape, u32> = HashMap::new();
        let services = policy.services.iter().zip(map_of);
        let of = services.map(|(service, map)| {
            let next = u32::try_from(shapes.len()).expect("bounded by the services");
            let shape = *shapes.entry(Shape::of(service)).or_insert(next);
            let outcomes = map.map_or(EVERYWHERE, |map| maps[map as usize].outcomes());
            let mut kinds: HashMap<(*const Choices, Option<&[DatacenterIx]>), u16> = HashMap::new();
            let mut is_sticky = Vec::new();
            let kinds = outcomes.iter().map(|location| {
                let choices = &service.policy.route(location.route).choices;
                let next = u16::try_from(kinds.len()).expect("limits bound outcomes");
                let kind = *kinds.entry((Arc::as_ptr(choices), location.nearest.as_deref())).or_insert(next);
                if kind == next {
                    let mut pools = choices.tiers.iter().chain(&choices.fallback);
                    is_sticky.push(pools.any(|pool| pool.uses(Method::Sticky)));
                }
                kind
            });
            let kinds = kinds.collect();
            let mut tiers = service.policy.all_routes().filter_map(|route| route.tiers.as_ref());
            let has_doors = tiers.any(|pool| pool.members.iter().any(|tier| !tier.entry.is_free()));
            Alike { shape, kinds, is_sticky: is_sticky.into(), has_doors }
        });
        of.collect()
    }
}
