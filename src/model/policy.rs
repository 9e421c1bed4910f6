//! What a network team wrote about a service: regions, tiers, pools, entry conditions.
//!
//! Everything that chooses is one thing, a [`Pool`]: a method and members, each an endpoint or another
//! pool. A region's tiers are a pool of method [`Method::Ordered`] whose members carry entry
//! conditions; a tier is a pool in it; `fallback` is a pool of all the service's endpoints. So tiers
//! and methods nest to any depth that [`crate::limits::NESTING_MAX`] allows, with no special case.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::{CheckIx, EndpointIx, RegionIx, Weight};

/// How a pool chooses among its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// The first usable member, in the order written: tiers.
    Ordered,
    /// The usable endpoints with the lowest `priority` number, by weight among themselves.
    Priority,
    /// At random in proportion to weight; `round_robin` is its other name.
    Weighted,
    /// The endpoints in the usable data centre that is nearest to the client, by weight among themselves.
    Nearest,
    /// In proportion to weight, by a hash of the client's network: the same client, the same member.
    Sticky,
}

impl Method {
    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Ordered => "tiers",
            Method::Priority => "priority",
            Method::Weighted => "weighted",
            Method::Nearest => "nearest",
            Method::Sticky => "sticky",
        }
    }
}

/// What must hold before a tier may be chosen automatically.
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
pub struct Entry {
    /// `enter: manual`: never automatically, only by an order.
    pub manual: bool,
    /// `after`: the tiers before it have been unusable for so long.
    pub after: Duration,
    /// `when`: checks that must be up.
    pub when: Vec<CheckIx>,
    /// `confirm`: how many observers must agree; 0 and 1 ask for no more than the verdict.
    pub confirm: u16,
}

impl Entry {
    /// True when the tier may be entered at once whenever its turn comes.
    pub fn is_free(&self) -> bool {
        *self == Entry::default()
    }
}

/// The word with which the reference policy names a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum TierWord {
    Primary,
    Secondary,
    Tertiary,
}

impl TierWord {
    /// As policies write it.
    pub fn as_str(self) -> &'static str {
        match self {
            TierWord::Primary => "primary",
            TierWord::Secondary => "secondary",
            TierWord::Tertiary => "tertiary",
        }
    }
}

/// What a pool chooses from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// An endpoint of the service.
    Endpoint(EndpointIx),
    /// A pool in the pool.
    Pool(Pool),
}

impl Node {
    fn visit(&self, see: &mut impl FnMut(EndpointIx)) {
        match self {
            Node::Endpoint(endpoint) => see(*endpoint),
            Node::Pool(pool) => pool.visit(see),
        }
    }
}

/// One of a pool's choices.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// The choice.
    pub node: Node,
    /// Among members chosen at random or by hash. An endpoint's own weight unless the pool says
    /// otherwise; ignored by other methods.
    pub weight: Weight,
    /// Only in a pool of method [`Method::Ordered`]; free elsewhere.
    pub entry: Entry,
    /// How the file names it, when it is a tier.
    pub word: Option<TierWord>,
}

/// A method and what it chooses from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// How.
    pub method: Method,
    /// Not empty, in the order written; no endpoint twice in one region's tree.
    pub members: Vec<Member>,
}

impl Pool {
    /// Every endpoint below, in the order written.
    pub fn endpoints(&self) -> Vec<EndpointIx> {
        let mut endpoints = Vec::new();
        self.visit(&mut |endpoint| endpoints.push(endpoint));
        endpoints
    }

    /// Tells of every endpoint below, in the order written.
    pub fn visit(&self, see: &mut impl FnMut(EndpointIx)) {
        self.members.iter().for_each(|member| member.node.visit(see));
    }

    /// The pools that choose by `method`: this one, and those below.
    pub fn pools(&self, method: Method) -> Vec<&Pool> {
        let below = self.members.iter().flat_map(|member| match &member.node {
            Node::Endpoint(_) => Vec::new(),
            Node::Pool(pool) => pool.pools(method),
        });
        Some(self).filter(|pool| pool.method == method).into_iter().chain(below).collect()
    }

    /// What the conditions of its tiers ask for: each check, at each endpoint of the tier. They are probed there
    /// whether or not the endpoints have them among their own.
    pub fn conditions(&self) -> Vec<(EndpointIx, CheckIx)> {
        let mut conditions = Vec::new();
        for Member { node, entry, .. } in self.members.iter().filter(|member| !member.entry.when.is_empty()) {
            node.visit(&mut |endpoint| conditions.extend(entry.when.iter().map(|check| (endpoint, *check))));
        }
        conditions
    }

    /// True when this pool or one below chooses by `method`.
    pub fn uses(&self, method: Method) -> bool {
        self.method == method
            || self.members.iter().any(|member| match &member.node {
                Node::Endpoint(_) => false,
                Node::Pool(pool) => pool.uses(method),
            })
    }
}

/// What is answered when nothing is usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum AllDown {
    /// As if everything that is not ordered out were up.
    #[default]
    Open,
    /// No data.
    Closed,
    /// A sorry site, whatever its health. It is answered for this alone unless a pool names it too.
    Sorry(EndpointIx),
}

/// When clients come back to a data centre that they left because it was down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failback {
    /// By order only.
    Manual,
    /// When it has been up for so long.
    After(Duration),
    /// As soon as it is up.
    Auto,
}

/// What clients are chosen from, whoever they are. Endpoints are positions in their service, so services that are
/// written alike have equal ones, and share them: among ten thousand services there are seldom more than a hundred.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Choices {
    /// The region's tiers; `None` where only `fallback` applies.
    pub tiers: Option<Pool>,
    /// Over the service's endpoints when the tiers are exhausted; `None` when geofenced.
    pub fallback: Option<Pool>,
    /// The region's own tiers bound everything, switches included.
    pub geofence: bool,
    /// When nothing is usable.
    pub all_down: AllDown,
    /// When clients come back.
    pub failback: Failback,
}

/// What the clients of one region get; reads as its [`Choices`].
#[derive(Clone, Debug)]
pub struct Route {
    /// The region; `None` for clients of no listed region or of no known place.
    pub region: Option<RegionIx>,
    /// From what.
    pub choices: Arc<Choices>,
}

impl Route {
    /// Of a region's own choices.
    pub fn new(region: Option<RegionIx>, choices: Choices) -> Route {
        Route { region, choices: Arc::new(choices) }
    }
}

impl Deref for Route {
    type Target = Choices;

    fn deref(&self) -> &Choices {
        &self.choices
    }
}

/// A service's policy: its routes by region, and the route of everyone else.
#[derive(Clone, Debug)]
pub struct Policy {
    /// In file order; each names a region of its own.
    pub routes: Vec<Route>,
    /// For clients of no listed region or of no known place.
    pub elsewhere: Route,
}

impl Policy {
    /// The route at `outcome`: an index into `routes`, anything else is elsewhere.
    pub fn route(&self, outcome: Option<usize>) -> &Route {
        outcome.and_then(|at| self.routes.get(at)).unwrap_or(&self.elsewhere)
    }

    /// Every route, elsewhere last.
    pub fn all_routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().chain(std::iter::once(&self.elsewhere))
    }

    /// True when some route chooses by `method`.
    pub fn uses(&self, method: Method) -> bool {
        self.all_routes()
            .flat_map(|route| route.tiers.iter().chain(route.fallback.iter()))
            .any(|pool| pool.uses(method))
    }
}
