//! Health checks as policies define them, and how an endpoint's checks combine.

use std::time::Duration;

use super::{CheckId, Origin};

/// A health check in [`super::PolicySet::checks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckIx(pub u16);

/// What a probe speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Protocol {
    Http,
    Https,
    Tcp,
}

impl Protocol {
    /// The port that is probed unless the check names another. TCP has none.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Protocol::Http => Some(80),
            Protocol::Https => Some(443),
            Protocol::Tcp => None,
        }
    }
}

/// How one endpoint address is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its id: as defined under `health_checks`, or the service's name for a check of its own.
    pub id: CheckId,
    /// What the probe speaks.
    pub protocol: Protocol,
    /// The port probed.
    pub port: u16,
    /// The HTTP request target.
    pub path: String,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// Consecutive failures until an address is down.
    pub fall: u16,
    /// Consecutive successes until it is up.
    pub rise: u16,
    /// Where it was written.
    pub origin: Origin,
}

/// How the checks of an endpoint combine into one verdict, in three-valued logic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckExpr {
    /// The verdict of one check.
    Check(CheckIx),
    /// Up when all are, down when one is. Empty: up, for an endpoint without checks is up.
    All(Vec<CheckExpr>),
    /// Up when one is, down when all are.
    Any(Vec<CheckExpr>),
    /// Up when at least `n` are, down when so many are down that `n` can not be reached.
    AtLeast {
        /// How many.
        n: usize,
        /// Of which.
        of: Vec<CheckExpr>,
    },
}

impl CheckExpr {
    /// Every check that the verdict depends on.
    pub fn checks(&self) -> Vec<CheckIx> {
        match self {
            CheckExpr::Check(check) => vec![*check],
            CheckExpr::All(of) | CheckExpr::Any(of) | CheckExpr::AtLeast { of, .. } => {
                of.iter().flat_map(CheckExpr::checks).collect()
            }
        }
    }
}
