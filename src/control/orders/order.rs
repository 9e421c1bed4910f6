//! What operators order, and what stands because they did: by names.
//!
//! An [`Order`] is what somebody said, with the names that they used. A [`Deed`] is the same with every name
//! resolved to an id: what is journalled, and what [`super::Book::apply`] carries out. A [`Standing`] is what remains
//! in force, until another order or its expiry ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::rules::Rule;
use super::time;
pub use super::whom::{ELSEWHERE, Left, Whom};
use crate::model::Forced;

/// How firmly a switch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwitchMode {
    /// Before any geography, through a dip, until the target has been down for `switch_hold`.
    #[default]
    Prefer,
    /// Even when it is down, and nothing else.
    Pin,
}

impl SwitchMode {
    /// As texts say it.
    pub fn as_str(self) -> &'static str {
        match self {
            SwitchMode::Prefer => "switch",
            SwitchMode::Pin => "pin",
        }
    }
}

/// Of what admin state, forced states and weights are: as people name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// Whole data centres, or what of them belongs to some services.
    Datacenters {
        /// Ids, aliases, groups, leading words.
        names: Vec<String>,
        /// Only the endpoints of these services.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        services: Option<BTreeSet<String>>,
    },
    /// Single endpoints.
    Endpoints {
        /// Of this service.
        service: String,
        /// Ids; empty: all.
        endpoints: BTreeSet<String>,
    },
}

/// The same, resolved: a data centre as a whole, or one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// By id.
    Datacenter(String),
    /// By service and id.
    Endpoint(String, String),
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unit::Datacenter(id) => f.write_str(id),
            Unit::Endpoint(service, id) => write!(f, "{id} of {service}"),
        }
    }
}

/// Which state is forced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Forcing {
    Up,
    Down,
}

impl Forcing {
    pub(super) fn state(self) -> Forced {
        match self {
            Forcing::Up => Forced::Up,
            Forcing::Down => Forced::Down,
        }
    }
}

/// What somebody orders, with the names that they used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs, reason = "each is a call of the API, which says what it means")]
pub enum Order {
    Switch {
        /// One data centre, or a group.
        to: String,
        #[serde(default)]
        mode: SwitchMode,
        #[serde(default)]
        whom: Whom,
        /// Only clients whom policy would give one of these.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Vec<String>>,
    },
    ClearSwitch {
        #[serde(default)]
        whom: Whom,
    },
    Drain {
        subject: Subject,
    },
    Undrain {
        subject: Subject,
    },
    /// `to: None` is auto.
    Force {
        subject: Subject,
        to: Option<Forcing>,
    },
    Failback {
        datacenters: Vec<String>,
        #[serde(default)]
        whom: Whom,
    },
    /// `None` takes the order back.
    Weights {
        values: Vec<(Subject, Option<u32>)>,
    },
    /// For services that have an endpoint in one of `datacenters`. `None` takes the order back.
    Ttl {
        #[serde(default)]
        whom: Whom,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        datacenters: Option<Vec<String>>,
        seconds: Option<u32>,
    },
    Freeze,
    Unfreeze,
    /// For robots of this role; `None`: of every role.
    Gate {
        is_open: bool,
        role: Option<String>,
    },
    /// The order of that revision; `None`: the last one.
    Undo {
        revision: Option<u64>,
    },
    /// The time of the standing order of that revision is over.
    Expire {
        revision: u64,
    },
}

impl Order {
    /// Its name in the journal, in metrics and in texts.
    pub fn kind(&self) -> &'static str {
        match self {
            Order::Switch { .. } => "switch",
            Order::ClearSwitch { .. } => "clear-switch",
            Order::Drain { .. } => "drain",
            Order::Undrain { .. } => "undrain",
            Order::Force { to: Some(Forcing::Up), .. } => "force-up",
            Order::Force { to: Some(Forcing::Down), .. } => "force-down",
            Order::Force { to: None, .. } => "force-auto",
            Order::Failback { .. } => "failback",
            Order::Weights { .. } => "weights",
            Order::Ttl { .. } => "ttl",
            Order::Freeze => "freeze",
            Order::Unfreeze => "unfreeze",
            Order::Gate { .. } => "gate",
            Order::Undo { .. } => "undo",
            Order::Expire { .. } => "expire",
        }
    }
}

/// An order with every name resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "deed", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "as in `Order`")]
pub enum Deed {
    Switch {
        to: BTreeSet<String>,
        mode: SwitchMode,
        whom: Whom,
        from: Option<BTreeSet<String>>,
        left: Left,
    },
    /// `home`: the data centre that was named, when it is the home of all services concerned.
    ClearSwitch {
        whom: Whom,
        home: Option<String>,
        /// Services whose own switches stay: they are not in `home`.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        skipped: BTreeSet<String>,
    },
    Drain {
        units: BTreeSet<Unit>,
    },
    Undrain {
        units: BTreeSet<Unit>,
    },
    Force {
        units: BTreeSet<Unit>,
        to: Option<Forcing>,
    },
    Failback {
        datacenters: BTreeSet<String>,
        whom: Whom,
    },
    Weights {
        values: Vec<(Unit, Option<u32>)>,
    },
    Ttl {
        whom: Whom,
        datacenters: Option<BTreeSet<String>>,
        seconds: Option<u32>,
    },
    Freeze,
    Unfreeze,
    Gate {
        is_open: bool,
        role: Option<String>,
    },
    Undo {
        revision: u64,
    },
    Expire {
        revision: u64,
    },
}

impl Deed {
    /// Its name in the journal and among what can be undone.
    pub fn kind(&self) -> &'static str {
        match self {
            Deed::Switch { mode, .. } => mode.as_str(),
            Deed::ClearSwitch { .. } => "clear-switch",
            Deed::Drain { .. } => "drain",
            Deed::Undrain { .. } => "undrain",
            Deed::Force { to: Some(Forcing::Up), .. } => "force-up",
            Deed::Force { to: Some(Forcing::Down), .. } => "force-down",
            Deed::Force { to: None, .. } => "force-auto",
            Deed::Failback { .. } => "failback",
            Deed::Weights { .. } => "weights",
            Deed::Ttl { .. } => "ttl",
            Deed::Freeze => "freeze",
            Deed::Unfreeze => "unfreeze",
            Deed::Gate { .. } => "gate",
            Deed::Undo { .. } => "undo",
            Deed::Expire { .. } => "expire",
        }
    }

    /// True when something stands because of it, which may have an end.
    pub(super) fn stands(&self) -> bool {
        match self {
            Deed::Switch { .. }
            | Deed::Drain { .. }
            | Deed::Force { to: Some(_), .. }
            | Deed::Ttl { seconds: Some(_), .. }
            | Deed::Freeze
            | Deed::Gate { is_open: false, .. } => true,
            Deed::Weights { values } => values.iter().any(|(_, weight)| weight.is_some()),
            Deed::ClearSwitch { .. }
            | Deed::Undrain { .. }
            | Deed::Force { to: None, .. }
            | Deed::Failback { .. }
            | Deed::Ttl { seconds: None, .. }
            | Deed::Unfreeze
            | Deed::Gate { is_open: true, .. }
            | Deed::Undo { .. }
            | Deed::Expire { .. } => false,
        }
    }
}

/// Who orders.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sender {
    /// As authenticated: a token's id, a grant's actor, a user of the machine.
    pub identity: String,
    /// As claimed.
    pub actor: String,
    /// `viewer`, `operator`, `admin`; `meridian` for what it orders itself.
    pub role: String,
    /// Automation, which the gate may keep off.
    #[serde(default)]
    pub is_robot: bool,
}

impl Sender {
    /// Meridian itself, when time is up.
    pub fn meridian() -> Sender {
        Sender { identity: "meridian".into(), actor: "meridian".into(), role: "meridian".into(), is_robot: false }
    }

    pub(super) fn is_same_as(&self, other: &Sender) -> bool {
        (&self.identity, &self.actor) == (&other.identity, &other.actor)
    }
}

/// An order as it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub order: Order,
    /// Who.
    pub sender: Sender,
    /// Why.
    pub reason: String,
    /// How long it stands; `None`: until it is taken back, or for a repetition: as it stands.
    pub expires_in: Option<Duration>,
    /// Rules that it overrides, each by name.
    pub force: BTreeSet<Rule>,
    /// Refuse unless this is the last order in force.
    pub expected_revision: Option<u64>,
}

/// What stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
#[allow(missing_docs, reason = "as in `Order`")]
pub enum What {
    Switch {
        to: BTreeSet<String>,
        mode: SwitchMode,
        #[serde(default)]
        whom: Whom,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<BTreeSet<String>>,
        #[serde(default)]
        left: Left,
        /// For whom it was taken back.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        except: Vec<Whom>,
    },
    /// What a preference had left when its time was over: it stays behind the others until failback.
    Behind {
        left: Left,
        #[serde(default)]
        whom: Whom,
        #[serde(default)]
        except: Vec<Whom>,
    },
    Out {
        units: BTreeSet<Unit>,
    },
    Force {
        units: BTreeSet<Unit>,
        to: Forcing,
    },
    Weights {
        values: Vec<(Unit, u32)>,
    },
    Ttl {
        #[serde(default)]
        whom: Whom,
        datacenters: Option<BTreeSet<String>>,
        seconds: u32,
    },
    Freeze,
    /// Closed to robots of this role; `None`: of every role.
    Gate {
        role: Option<String>,
    },
}

impl What {
    /// What clients leave by it, and which clients.
    pub(super) fn leaves(&self) -> Option<(&Left, &Whom)> {
        match self {
            What::Switch { left, whom, .. } | What::Behind { left, whom, .. } => Some((left, whom)),
            What::Out { .. }
            | What::Force { .. }
            | What::Weights { .. }
            | What::Ttl { .. }
            | What::Freeze
            | What::Gate { .. } => None,
        }
    }

    /// As texts say it.
    pub fn as_str(&self) -> &'static str {
        match self {
            What::Switch { mode, .. } => mode.as_str(),
            What::Behind { .. } => "what an expired switch left",
            What::Out { .. } => "drain",
            What::Force { to: Forcing::Up, .. } => "force up",
            What::Force { to: Forcing::Down, .. } => "force down",
            What::Weights { .. } => "weights",
            What::Ttl { .. } => "TTL",
            What::Freeze => "freeze",
            What::Gate { .. } => "closed gate",
        }
    }
}

/// A standing order: what, whose, why, since when, until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its place in the log of orders: also its identity.
    pub revision: u64,
    /// What it says.
    #[serde(flatten)]
    pub what: What,
    /// Whose it is.
    pub by: Sender,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Since when.
    #[serde(with = "time")]
    pub created: SystemTime,
    /// Until when.
    #[serde(default, with = "time::option", skip_serializing_if = "Option::is_none")]
    pub expires: Option<SystemTime>,
    /// Rules that were overridden for it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub forced: BTreeSet<Rule>,
    /// The names by which its data centres were called: a reload must not give them another meaning.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub called: BTreeMap<String, BTreeSet<String>>,
    /// Its time is over, and why it stands all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<String>,
}
