//! Watching: the prober, and in the demo the stand-ins that it looks at.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use tokio::runtime;

use super::Refused;
use crate::api::Sightings;
use crate::config;
use crate::control::{Blindness, Eyes, Handle};
use crate::demo::StandIns;
use crate::health::probe::resolve::{Resolver, Sources};
use crate::health::probe::runner::{Listeners, Numbers, Prober, ProberConfig};
use crate::health::probe::{Resolve, Unresolved};
use crate::health::{Hold, TargetId, TargetReport};
use crate::limits;
use crate::model::{DatacenterId, Moment, Name, NamedDatacenters, PolicySet, resolve_datacenter};
use crate::table::Base;

/// The prober, which waits for [`Watching::start`] until control can be told.
pub(super) struct Watching {
    prober: Prober,
    config: Option<ProberConfig>,
    stand_ins: Option<Arc<StandIns>>,
    origin: Instant,
}

impl Watching {
    /// Opens the stand-ins, if there are to be any. Nothing is probed yet.
    pub(super) fn prepare(
        server: &config::Server,
        base: &Base,
        is_demo: bool,
        runtime: &runtime::Handle,
        origin: Instant,
    ) -> Result<Watching, Refused> {
        let mut settings = server.settings.health.clone();
        let stand_ins = if is_demo { Some(Arc::new(stand_ins(base.policy(), runtime)?)) } else { None };
        let resolver: Arc<dyn Resolve> = match is_demo {
            true => Arc::new(NoNames),
            false => Arc::new(Resolver::new(Sources::of_system(settings.resolver))),
        };
        if is_demo {
            // They may be anywhere.
            settings.witnesses.clear();
        }
        let datacenter = own_datacenter(base.policy(), settings.node_datacenter.as_ref());
        let mut config = ProberConfig::new(settings, resolver, origin);
        config.datacenter = datacenter;
        if is_demo {
            // Loopback does not end with the cable.
            config.links = NO_LINKS.into();
        }
        config.extra_roots.extend(stand_ins.iter().map(|stand_ins| stand_ins.ca_der().clone()));
        Ok(Watching { prober: Prober::new(), config: Some(config), stand_ins, origin })
    }

    /// What control is given, so that it says what is to be watched.
    pub(super) fn eyes(&self) -> Eyes {
        let prober = self.prober.clone();
        let watch = move |targets| prober.set_targets(targets);
        match &self.stand_ins {
            Some(stand_ins) => Eyes::at_stand_ins(stand_ins.map(), watch),
            None => Eyes::new(watch),
        }
    }

    /// Begins to probe, and tells control what is seen.
    pub(super) fn start(&mut self, control: &Handle) -> Result<(), Refused> {
        let Some(config) = self.config.take() else { return Ok(()) };
        let (states, blindness) = (control.clone(), control.clone());
        let origin = self.origin;
        let listeners = Listeners {
            states: Box::new(move |changes| states.health(changes)),
            blindness: Box::new(move |hold| blindness.blindness(hold.map(|hold| in_words(&hold, origin)))),
        };
        Ok(self.prober.start(config, listeners)?)
    }

    /// For whoever shows what probes know.
    pub(super) fn sightings(&self) -> Arc<dyn Sightings> {
        Arc::new(Sight { prober: self.prober.clone(), origin: self.origin })
    }

    /// The demo's, if this is the demo.
    pub(super) fn stand_ins(&self) -> Option<&Arc<StandIns>> {
        self.stand_ins.as_ref()
    }

    /// Ends probing; false when it did not end in time.
    pub(super) fn stop(&self) -> bool {
        self.prober.stop(Duration::from_millis(limits::PROBER_CLOSE_MS))
    }
}

fn stand_ins(policy: &PolicySet, runtime: &runtime::Handle) -> Result<StandIns, Refused> {
    let datacenters = policy.datacenters.iter().map(|datacenter| datacenter.id.clone()).collect();
    StandIns::start(datacenters, runtime).map_err(|error| {
        Refused::Other(format!(
            "the demo's stand-in data centres can not listen on loopback (127.0.0.11 and on): {error}"
        ))
    })
}

/// The data centre that this node stands in. That it is known was checked when the files were read.
pub(in crate::cli) fn own_datacenter(policy: &PolicySet, named: Option<&DatacenterId>) -> Option<DatacenterId> {
    match resolve_datacenter(&policy.datacenters, &policy.groups, named?.as_str()) {
        NamedDatacenters::One(ix) => Some(policy.datacenters[ix.at()].id.clone()),
        NamedDatacenters::Group(_) | NamedDatacenters::Unknown | NamedDatacenters::Ambiguous(_) => None,
    }
}

/// Where no link is looked for: then none is down.
const NO_LINKS: &str = "/nonexistent";

/// In the demo no name is resolved: the question would leave this machine.
struct NoNames;

#[async_trait]
impl Resolve for NoNames {
    async fn resolve(&self, name: &Name) -> Result<Vec<IpAddr>, Unresolved> {
        Err(Unresolved::Silent(format!("{name}: no name is resolved in the demo")))
    }
}

/// A hold as people see it, by the clock on the wall.
fn in_words(hold: &Hold, origin: Instant) -> Blindness {
    let (now, wall) = (Moment(origin.elapsed()), SystemTime::now());
    let at = |moment: Moment| wall + moment.since(now) - now.since(moment);
    Blindness { since: at(hold.since), until: at(hold.until), cause: hold.cause.to_string(), held: hold.targets.len() }
}

/// What the prober knows.
struct Sight {
    prober: Prober,
    origin: Instant,
}

impl Sightings for Sight {
    fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    fn reports(&self, targets: &[TargetId]) -> Vec<Option<TargetReport>> {
        self.prober.reports(targets)
    }

    fn late_at(&self) -> Option<Moment> {
        self.prober.counters().late_at
    }

    fn numbers(&self) -> Option<Numbers> {
        self.prober.numbers()
    }
}
