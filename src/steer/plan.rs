//! What one region of one service gets: "who wins when facts disagree", complete.
//!
//! *May it answer at all?* is [`Standing`]. *In which order?* is here:
//!
//! ```text
//! the geofence bounds everything below
//! 1. pin        the named data centres, whatever their health; nothing else
//! 2. prefer     the named data centres, through a dip; when it yielded, 3.
//! 3. policy     first with "up" (those in their hold-down last), then with "unknown counts as up":
//!                 first without the data centres that were left (latch, yielded switch), then they alone:
//!                   schedule › the region's tiers › fallback over the service's other endpoints
//! 4. all_down   open: as 3. with everything that is not ordered out; closed: no data; or the sorry site
//! ```
//!
//! An order names data centres; inside them policy chooses as it always does, so a switch to a city still
//! prefers its primary, and sticky clients stick. At equal kind the narrower scope wins, then the later
//! revision. A switch with `from` is not a rung of
//! its own: in policy's order its target stands wherever the data centre stood that it replaces, so it
//! moves just the clients whom policy would give that data centre, whatever their tier. (When the target
//! of such a switch is ordered out, those clients go on in policy's order, what they left behind the rest.)
//!
//! An unmet entry condition keeps a tier's endpoints from every automatic choice: from the tiers, from
//! `fallback`, and from `all_down: open`. Orders (pin, prefer, schedule) reach them.

use super::pick::Mode;
use super::planner::Planner;
use super::standing::Standing;
use super::trail::Trail;
use crate::model::{Data, Datacenter, DatacenterIx, EndpointIx, Facts, Route, Service, ServiceIx, Weight};

/// What a plan is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Which service.
    pub ix: ServiceIx,
    /// The service.
    pub service: &'a Service,
    /// One of its routes.
    pub route: &'a Route,
    /// Data centres by distance from the client, the nearest first; `None` when `nearest` is not used or
    /// the location is not known.
    pub nearest: Option<&'a [DatacenterIx]>,
    /// One for each endpoint of the service.
    pub standings: &'a [Standing],
    /// All data centres, for the reasons' texts.
    pub datacenters: &'a [Datacenter],
    /// Health and orders.
    pub facts: &'a Facts,
}

/// What a plan looks at of a service, besides the choices of a route: with equal shapes, choices, standings and facts
/// two services get equal plans. Whatever else the planner comes to read of a service belongs here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    max_answers: u8,
    /// Of each endpoint: its data centre, whether it answers with a name, its priority, its weight.
    endpoints: Vec<(DatacenterIx, bool, u32, Weight)>,
}

impl Shape {
    /// Of a service.
    pub fn of(service: &Service) -> Shape {
        let endpoints = service.endpoints.iter().map(|endpoint| {
            let is_name = matches!(endpoint.data, Data::Cname(_));
            (endpoint.datacenter, is_name, endpoint.priority, endpoint.weight)
        });
        Shape { max_answers: service.max_answers, endpoints: endpoints.collect() }
    }
}

/// What a region gets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Plan {
    /// One of these.
    Choose {
        /// How to choose.
        mode: Mode,
        /// Not empty, at most [`crate::limits::PLAN_VARIANTS_MAX`].
        variants: Vec<Variant>,
        /// Which rung of the order decided.
        source: Source,
    },
    /// No data.
    NoData(NoData),
}

/// One possible answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The endpoints that it names, and which of each one's addresses.
    pub endpoints: Vec<(EndpointIx, Vec<bool>)>,
    /// At least 1.
    pub weight: u32,
}

/// Which rung decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Policy's own first choice.
    Policy,
    /// Policy, and something before it was not usable.
    Health,
    /// A data centre that was left waits for failback, so another answers.
    Latch,
    /// A switch that prefers.
    Switch,
    /// A switch that pins.
    Pin,
    /// A planned preference.
    Schedule,
    /// Nothing was known to be up.
    Unknown,
    /// Nothing was usable.
    FailOpen,
    /// Nothing was usable: the sorry site.
    Sorry,
}

impl Source {
    /// As the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Policy => "policy",
            Source::Health => "health",
            Source::Latch => "latch",
            Source::Switch => "switch",
            Source::Pin => "pin",
            Source::Schedule => "schedule",
            Source::Unknown => "unknown",
            Source::FailOpen => "fail-open",
            Source::Sorry => "sorry",
        }
    }
}

/// Why there is no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoData {
    /// A pin names only what is ordered out.
    PinnedOut,
    /// Nothing is usable and `all_down` is `closed`.
    Closed,
    /// Whatever may answer is ordered out, fenced off, or waits for an entry condition.
    AllOut,
}

impl NoData {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            NoData::PinnedOut => "the pinned data centre is ordered out",
            NoData::Closed => "nothing is usable, and all_down is closed",
            NoData::AllOut => "whatever may answer is ordered out, fenced off, or waits for an entry condition",
        }
    }
}

/// Decides. Pure: equal arguments give equal plans, and reasons go to `trail`.
pub fn plan(asked: &Asked<'_>, trail: &mut impl Trail) -> Plan {
    Planner::new(asked).run(trail)
}
