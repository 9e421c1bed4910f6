//! The vocabulary of Meridian as plain values.
//!
//! Everything here is what the files under `zones/` say once they have been checked, and what the
//! world says about it (health, orders). The values are *resolved*: a tier names endpoints by index,
//! an endpoint names its data centre by index, and no reference leads to nothing. Invalid states can
//! not be built: [`Weight`], [`Ttl`], [`Name`] and the ids check on construction.
//!
//! - [`Name`], [`Ttl`], [`Weight`], ids and indices: the small change.
//! - [`Place`], [`Expr`], [`Region`], [`Network`]: where clients are.
//! - [`Service`], [`Endpoint`], [`Datacenter`], [`Pool`], [`Route`]: what the network team wrote.
//! - [`Facts`]: what probes and operators say; an input of compile like the policy itself.
//! - [`StandInMap`]: where probes go in a demonstration instead.
//!
//! Nothing here does I/O, looks at a clock, or knows how a table is laid out.

mod access;
mod check;
mod datacenter;
mod facts;
mod id;
mod name;
mod number;
mod origin;
mod place;
mod policy;
mod service;
mod settings;
mod stand_in;

pub use access::{Grant, GrantedCall, Role};
pub use check::{
    Check, CheckExpr, CheckIx, CheckSpec, Comparison, DnsProbe, FailRatio, GrpcProbe, HttpProbe, Number, Probe,
    ProbeHost, PrometheusProbe, Protocol, Relation, Summand, TargetSpec, TcpProbe, TlsParams, Verify, WorstCase,
    show_seconds,
};
pub use datacenter::{Datacenter, Group, MinHealthy, NamedDatacenters, leading_words, resolve_datacenter};
pub use facts::{
    AddressKey, Admin, EntryState, Evidence, EvidenceKey, Facts, Forced, Health, Latch, Override, OverrideKind, Scope,
    State, Verdict,
};
pub use id::{CheckId, DatacenterId, EndpointId, GroupId, IdError, ObserverId, RegionId};
pub use name::{Name, NameError, fmt_labels};
pub use number::{
    DatacenterIx, EndpointIx, Generation, Moment, NumberError, RegionIx, Revision, ServiceIx, Ttl, Weight,
};
pub use origin::Origin;
pub use place::{
    Continent, Coordinates, CountryCode, Expr, Gazetteer, Network, Place, Region, RuleSet, Site, Term, fold,
};
pub use policy::{AllDown, Choices, Entry, Failback, Member, Method, Node, Policy, Pool, Route, TierWord};
pub use service::{Data, Endpoint, Https, PolicySet, Service};
pub use settings::{HealthSettings, OrderNeeds, OrderSettings, Settings};
pub use stand_in::{StandInDoors, StandInMap, StoodIn};
