//! Why an order is not carried out, before any rule is asked.

use super::rules::Refusal;

/// Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefused {
    /// Nothing is called so.
    #[error("no data centre or group is called {name:?}{}", near(.nearest))]
    UnknownDatacenter {
        /// As it was given.
        name: String,
        /// What it may have meant.
        nearest: Option<String>,
    },
    /// Several are.
    #[error("{name:?} may be any of {}", candidates.join(", "))]
    AmbiguousDatacenter {
        /// As it was given.
        name: String,
        /// Their ids.
        candidates: Vec<String>,
    },
    /// No file names such a service.
    #[error("there is no service {0}")]
    UnknownService(String),
    /// No policy of the services concerned names such a region.
    #[error("no policy concerned names a region {name:?}{}", near(.nearest))]
    UnknownRegion {
        /// As it was given.
        name: String,
        /// What it may have meant.
        nearest: Option<String>,
    },
    /// The service has no such endpoint.
    #[error("{service} has no endpoint {endpoint:?}")]
    UnknownEndpoint {
        /// The service.
        service: String,
        /// As it was given.
        endpoint: String,
    },
    /// Named services are all or nothing.
    #[error("{} no endpoint in {target}", has(.services))]
    NotThere {
        /// What was named.
        target: String,
        /// Services without an endpoint there.
        services: Vec<String>,
    },
    /// It names nobody.
    #[error("the order names no {0}")]
    NamesNothing(&'static str),
    /// More names than an order may hold.
    #[error("an order names at most {0} services; leave them out to mean all")]
    TooManyNames(usize),
    /// More than may stand at once.
    #[error("too many orders stand already; take some back first")]
    TooMany,
    /// What was ordered as a whole can not be taken back in part.
    #[error("{datacenter} is drained as a whole, by revision {revision}: undrain it, and drain what is to stay out")]
    PartOfWhole {
        /// The data centre.
        datacenter: String,
        /// The order that drained it.
        revision: u64,
    },
    /// It changed no standing order, or is too long ago.
    #[error("revision {0} changed no standing order that is still known, so there is nothing to undo")]
    NothingToUndo(u64),
    /// Time has ended it, and nobody ordered that.
    #[error("revision {revision} was the end of what was ordered until then, so there is nothing to undo: order anew what is to be{}", last(.before))]
    EndedByTime {
        /// The expiry.
        revision: u64,
        /// The last order before it that somebody gave, and its kind.
        before: Option<(u64, String)>,
    },
    /// A later order has changed the same.
    #[error("a later order has changed what revision {revision} did (revision {standing}); undo that one first")]
    ChangedSince {
        /// What was to be undone.
        revision: u64,
        /// The standing order that is another now.
        standing: u64,
    },
    /// No such order stands.
    #[error("no order of revision {0} stands")]
    NotStanding(u64),
    /// The last order in force is another than expected.
    #[error("the last order in force is revision {0}")]
    Revision(u64),
    /// A number outside its range.
    #[error("{0}")]
    OutOfRange(String),
    /// The settings ask for it.
    #[error("an order needs {0} here")]
    Missing(&'static str),
    /// By rules; each names what would satisfy it.
    #[error("{}", refusals.iter().map(|refusal| format!("{}: {}", refusal.rule, refusal.detail)).collect::<Vec<_>>().join("; "))]
    Rules {
        /// Not empty.
        refusals: Vec<Refusal>,
    },
}

impl OrderRefused {
    /// The rules that refuse, if rules do.
    pub fn rules(&self) -> &[Refusal] {
        match self {
            OrderRefused::Rules { refusals } => refusals,
            OrderRefused::UnknownDatacenter { .. }
            | OrderRefused::AmbiguousDatacenter { .. }
            | OrderRefused::UnknownService(_)
            | OrderRefused::UnknownRegion { .. }
            | OrderRefused::UnknownEndpoint { .. }
            | OrderRefused::NotThere { .. }
            | OrderRefused::NamesNothing(_)
            | OrderRefused::TooManyNames(_)
            | OrderRefused::TooMany
            | OrderRefused::PartOfWhole { .. }
            | OrderRefused::NothingToUndo(_)
            | OrderRefused::EndedByTime { .. }
            | OrderRefused::ChangedSince { .. }
            | OrderRefused::NotStanding(_)
            | OrderRefused::Revision(_)
            | OrderRefused::OutOfRange(_)
            | OrderRefused::Missing(_) => &[],
        }
    }
}

fn last(before: &Option<(u64, String)>) -> String {
    before.as_ref().map_or_else(String::new, |(revision, kind)| {
        format!(", or name the order to take back (the last one was the {kind} of revision {revision})")
    })
}

fn near(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

fn has(services: &[String]) -> String {
    match services {
        [one] => format!("{one} has"),
        several => format!("{} have", several.join(", ")),
    }
}
