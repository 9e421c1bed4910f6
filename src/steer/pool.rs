//! Flattening a pool: nested methods become one list of endpoints with exact weights.
//!
//! Weights multiply through nested pools in integers: a pool's members share what the pool got, in lowest
//! terms. Which passes there are, and in which order, is `plan`'s to say.

use std::collections::{BTreeMap, BTreeSet};

use super::pick::Mode;
use super::standing::{Floor, Standing};
use crate::model::{DatacenterIx, EndpointIx, Member, Method, Node, Pool, Service, Weight};

/// What a pool came down to: who, how much each, and how to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draw {
    pub(super) mode: Mode,
    /// Not empty; weights are at least 1, in lowest terms.
    pub(super) members: Vec<(EndpointIx, u64)>,
    /// A switch put some of them in place of others.
    pub(super) is_substituted: bool,
}

/// What a pass may choose, and how it sees the world.
pub(super) struct Lens<'a> {
    pub(super) service: &'a Service,
    pub(super) standings: &'a [Standing],
    /// How much health is asked.
    pub(super) floor: Floor,
    /// Endpoints that this pass leaves to another.
    pub(super) excluded: &'a BTreeSet<EndpointIx>,
    /// Endpoints that are not there at all: a switch does not stand in for them either.
    pub(super) hidden: &'a BTreeSet<EndpointIx>,
    /// Weights by order, in place of those that policy gives.
    pub(super) weights: &'a BTreeMap<EndpointIx, Weight>,
    /// Data centres by distance; `None` when the client's location is not known.
    pub(super) nearest: Option<&'a [DatacenterIx]>,
    /// What stands in for what; the first that applies.
    pub(super) substitutes: &'a [Substitute],
}

/// A switch that moves the clients of some data centres: wherever policy has an endpoint in `from`
/// (`None`: anywhere), `to` stands, whatever its health.
#[derive(Clone, Debug)]
pub(super) struct Substitute {
    pub(super) from: Option<BTreeSet<DatacenterIx>>,
    pub(super) to: Draw,
}

impl Substitute {
    fn replaces(&self, datacenter: DatacenterIx) -> bool {
        self.from.as_ref().is_none_or(|from| from.contains(&datacenter))
    }
}

impl Lens<'_> {
    /// A region's tiers, without those at the positions in `closed`. `None` when nothing is selectable.
    pub(super) fn tiers(&self, pool: &Pool, closed: &BTreeSet<usize>) -> Option<Draw> {
        match pool.method {
            Method::Ordered => {
                let open = pool.members.iter().enumerate().filter(|(at, _)| !closed.contains(at));
                open.into_iter().find_map(|(_, tier)| self.member(tier))
            }
            Method::Priority | Method::Weighted | Method::Nearest | Method::Sticky => self.flatten(pool),
        }
    }

    /// `None` when nothing in the pool is selectable.
    pub(super) fn flatten(&self, pool: &Pool) -> Option<Draw> {
        match pool.method {
            Method::Ordered => pool.members.iter().find_map(|member| self.member(member)),
            Method::Weighted => self.blend(&pool.members.iter().collect::<Vec<_>>(), Mode::Random),
            Method::Sticky => self.blend(&pool.members.iter().collect::<Vec<_>>(), Mode::Hash),
            Method::Priority => self.by_key(pool, |member| u64::from(self.priority(member))),
            Method::Nearest => match self.nearest {
                Some(order) => self.by_key(pool, |member| self.distance(order, member)),
                None => self.by_key(pool, |member| u64::from(self.priority(member))),
            },
        }
    }

    /// The selectable ones of `endpoints`, by their own weights.
    pub(super) fn endpoints(&self, endpoints: &[EndpointIx]) -> Option<Draw> {
        let shares = endpoints.iter().filter_map(|&endpoint| {
            Some((self.weight_of(endpoint, self.service.endpoint(endpoint).weight), self.endpoint(endpoint)?))
        });
        mix(shares.collect(), Mode::Random)
    }

    fn endpoint(&self, endpoint: EndpointIx) -> Option<Draw> {
        if self.hidden.contains(&endpoint) {
            return None;
        }
        let datacenter = self.service.endpoint(endpoint).datacenter;
        match self.substitutes.iter().find(|substitute| substitute.replaces(datacenter)) {
            Some(substitute) => Some(Draw { is_substituted: true, ..substitute.to.clone() }),
            None => self.is_selectable(endpoint).then(|| Draw::one(endpoint)),
        }
    }

    fn is_selectable(&self, endpoint: EndpointIx) -> bool {
        !self.excluded.contains(&endpoint) && self.standings[endpoint.at()].is_usable(self.floor)
    }

    fn member(&self, member: &Member) -> Option<Draw> {
        match &member.node {
            Node::Pool(pool) => self.flatten(pool),
            Node::Endpoint(endpoint) => self.endpoint(*endpoint),
        }
    }

    fn blend(&self, members: &[&Member], mode: Mode) -> Option<Draw> {
        let shares = members.iter().filter_map(|member| {
            let weight = match &member.node {
                Node::Endpoint(endpoint) => self.weight_of(*endpoint, member.weight),
                Node::Pool(_) => u64::from(member.weight.value()),
            };
            Some((weight, self.member(member)?))
        });
        mix(shares.collect(), mode)
    }

    fn weight_of(&self, endpoint: EndpointIx, otherwise: Weight) -> u64 {
        u64::from(self.weights.get(&endpoint).unwrap_or(&otherwise).value())
    }

    /// The members with the least key of which anything is selectable, by weight among themselves.
    fn by_key(&self, pool: &Pool, key: impl Fn(&Member) -> u64) -> Option<Draw> {
        let mut members: Vec<(u64, &Member)> = pool.members.iter().map(|member| (key(member), member)).collect();
        members.sort_by_key(|(key, _)| *key);
        members
            .chunk_by(|a, b| a.0 == b.0)
            .find_map(|equals| self.blend(&equals.iter().map(|(_, member)| *member).collect::<Vec<_>>(), Mode::Random))
    }

    fn priority(&self, member: &Member) -> u32 {
        self.least(member, |endpoint| self.service.endpoint(endpoint).priority).unwrap_or(0)
    }

    /// The position in the order of distance; what is not in it follows by index.
    fn distance(&self, order: &[DatacenterIx], member: &Member) -> u64 {
        let of = |endpoint: EndpointIx| {
            let datacenter = self.service.endpoint(endpoint).datacenter;
            match order.iter().position(|&near| near == datacenter) {
                Some(at) => at as u64,
                None => 1 << 32 | u64::from(datacenter.0),
            }
        };
        self.least(member, of).unwrap_or(u64::MAX)
    }

    fn least<K: Ord>(&self, member: &Member, key: impl Fn(EndpointIx) -> K) -> Option<K> {
        match &member.node {
            Node::Endpoint(endpoint) => Some(key(*endpoint)),
            Node::Pool(pool) => pool.endpoints().into_iter().map(key).min(),
        }
    }
}

impl Draw {
    fn one(endpoint: EndpointIx) -> Draw {
        Draw { mode: Mode::One, members: vec![(endpoint, 1)], is_substituted: false }
    }
}

/// Blends draws in proportion to their weights. Those of weight 0 count only when no other is there.
fn mix(mut shares: Vec<(u64, Draw)>, mode: Mode) -> Option<Draw> {
    if shares.iter().any(|(weight, _)| *weight > 0) {
        shares.retain(|(weight, _)| *weight > 0);
    } else {
        shares.iter_mut().for_each(|(weight, _)| *weight = 1);
    }
    let total = |draw: &Draw| draw.members.iter().map(|(_, weight)| u128::from(*weight)).sum::<u128>();
    let common = shares.iter().fold(1_u128, |common, (_, draw)| lcm(common, total(draw)));
    let mut members: Vec<(EndpointIx, u128)> = Vec::new();
    for (weight, draw) in &shares {
        for &(endpoint, part) in &draw.members {
            let weight = u128::from(*weight) * u128::from(part) * (common / total(draw)).max(1);
            // A substitution can bring one endpoint in twice; it then takes both shares.
            match members.iter_mut().find(|(present, _)| *present == endpoint) {
                Some((_, present)) => *present += weight,
                None => members.push((endpoint, weight)),
            }
        }
    }
    // A pool of one lends its method to nobody: what is in it keeps its own.
    let mode = match (members.len(), shares.as_slice()) {
        (0, _) => return None,
        (1, _) => Mode::One,
        (_, [(_, only)]) => only.mode,
        _ => mode,
    };
    let is_substituted = shares.iter().any(|(_, draw)| draw.is_substituted);
    Some(Draw { mode, members: lowest_terms(&members), is_substituted })
}

/// Divides by what all have in common, and scales down what would not fit a table's 32-bit sums; a weight
/// never becomes 0.
fn lowest_terms(weights: &[(EndpointIx, u128)]) -> Vec<(EndpointIx, u64)> {
    const SUM_MAX: u128 = (u32::MAX / 2) as u128;
    let divisor = weights.iter().fold(0, |divisor, (_, weight)| gcd(divisor, *weight)).max(1);
    let sum: u128 = weights.iter().map(|(_, weight)| weight / divisor).sum();
    weights
        .iter()
        .map(|&(endpoint, weight)| {
            let exact = weight / divisor;
            let scaled = if sum <= SUM_MAX { exact } else { (exact / sum.div_ceil(SUM_MAX)).max(1) };
            (endpoint, u64::try_from(scaled).expect("at most the sum"))
        })
        .collect()
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Saturates far above any sum of weights: [`lowest_terms`] then scales down.
fn lcm(a: u128, b: u128) -> u128 {
    (a / gcd(a, b)).saturating_mul(b).min(1 << 64)
}
