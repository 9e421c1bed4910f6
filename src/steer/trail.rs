//! The reason trail: why a decision came out as it did.

use std::fmt;

use super::standing::{Bar, Floor};
use crate::model::{EndpointId, RegionId, Revision, State};

/// Takes reasons in the order in which they were found.
///
/// `()` takes none and costs nothing; a `Vec<Reason>` keeps them. So the code that answers and the code
/// that explains are one.
pub trait Trail {
    /// Notes a reason. The closure runs only when somebody listens.
    fn note(&mut self, reason: impl FnOnce() -> Reason);
}

impl Trail for () {
    fn note(&mut self, _reason: impl FnOnce() -> Reason) {}
}

impl Trail for Vec<Reason> {
    fn note(&mut self, reason: impl FnOnce() -> Reason) {
        self.push(reason());
    }
}

/// One step of a decision. [`fmt::Display`] gives the sentence that people read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentences below say what each means")]
pub enum Reason {
    InRegion { region: RegionId, because: String },
    Elsewhere,
    Fenced,
    Ordered { what: &'static str, revision: Revision, to: Vec<String>, actor: String, reason: String },
    OrderDoesNotReach { what: &'static str, revision: Revision },
    OrderBarred { what: &'static str, revision: Revision },
    SwitchYielded { revision: Revision },
    Substituted { from: Vec<String>, to: Vec<String> },
    Barred { endpoint: EndpointId, bar: Bar },
    NotUsable { endpoint: EndpointId, state: State, usable: usize, min: usize },
    Held { endpoint: EndpointId },
    Latched { endpoint: EndpointId },
    EntryUnmet { tier: String, why: String },
    Considering { floor: Floor },
    Unlocated,
    Chose { what: String, members: Vec<(EndpointId, u64)> },
    Nothing { why: &'static str },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::InRegion { region, because } => write!(f, "the client is in region {region} ({because})"),
            Reason::Elsewhere => f.write_str("the client is in no region that the policy names"),
            Reason::Fenced => f.write_str("the region is geofenced: only its own tiers may answer"),
            Reason::Ordered { what, revision, to, actor, reason } => {
                write!(f, "{what} to {} (revision {}", to.join(", "), revision.0)?;
                if !actor.is_empty() {
                    write!(f, ", by {actor}")?;
                }
                if !reason.is_empty() {
                    write!(f, ": {reason}")?;
                }
                f.write_str(")")
            }
            Reason::OrderDoesNotReach { what, revision } => {
                write!(f, "the {what} of revision {} has no endpoint here that it may use", revision.0)
            }
            Reason::OrderBarred { what, revision } => {
                write!(f, "the target of the {what} of revision {} is ordered out", revision.0)
            }
            Reason::SwitchYielded { revision } => {
                write!(
                    f,
                    "the target of the switch of revision {} has been down for too long: policy's order applies, what was left goes last",
                    revision.0
                )
            }
            Reason::Substituted { from, to } if from.is_empty() => {
                write!(f, "{} stands in for everything else", to.join(", "))
            }
            Reason::Substituted { from, to } => write!(f, "{} stands in for {}", to.join(", "), from.join(", ")),
            Reason::Barred { endpoint, bar } => write!(f, "{endpoint} may not answer: {bar}"),
            Reason::NotUsable { endpoint, state, usable, min } => {
                write!(f, "{endpoint} is {}", state.as_str())?;
                if *min > 1 {
                    write!(f, " ({usable} usable addresses of at least {min})")?;
                }
                Ok(())
            }
            Reason::Held { endpoint } => write!(f, "{endpoint} has come back up and is in its hold-down"),
            Reason::Latched { endpoint } => {
                write!(f, "{endpoint} waits behind the others until failback")
            }
            Reason::EntryUnmet { tier, why } => write!(f, "{tier} may not be entered automatically: {why}"),
            Reason::Considering { floor } => match floor {
                Floor::Up => f.write_str("choosing among what is up"),
                Floor::Held => f.write_str("nothing else is up: a hold-down is not minded"),
                Floor::Unknown => f.write_str("nothing is up: unknown counts as up"),
                Floor::Any => f.write_str("nothing is usable: everything that is not ordered out counts as up"),
            },
            Reason::Unlocated => f.write_str("the client's location is not known: nearest goes by priority"),
            Reason::Chose { what, members } => {
                write!(f, "{what}: ")?;
                match members.as_slice() {
                    [(only, _)] => write!(f, "{only}"),
                    several => {
                        let total: u64 = several.iter().map(|(_, weight)| weight).sum();
                        for (at, (endpoint, weight)) in several.iter().enumerate() {
                            let comma = if at == 0 { "" } else { ", " };
                            write!(f, "{comma}{endpoint} {weight}/{total}")?;
                        }
                        Ok(())
                    }
                }
            }
            Reason::Nothing { why } => write!(f, "no data: {why}"),
        }
    }
}
