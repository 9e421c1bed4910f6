//! Whom orders are about, by names of services and regions; and what those clients left.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::limits;

/// The name of "clients of no listed region or of no known place" among regions, as in policy files.
pub const ELSEWHERE: &str = "default";

/// For whom: clients of these regions that ask for these services. `None` is all, present and future.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whom {
    /// Services by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<BTreeSet<String>>,
    /// Regions by id; [`ELSEWHERE`] is everyone else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regions: Option<BTreeSet<String>>,
}

impl Whom {
    /// Everybody.
    pub fn all() -> Whom {
        Whom::default()
    }

    /// True when it is about everybody.
    pub(super) fn is_everybody(&self) -> bool {
        self.services.is_none() && self.regions.is_none()
    }

    /// True when it is about clients of `region` that ask for `service`.
    pub fn covers(&self, service: &str, region: &str) -> bool {
        self.services.as_ref().is_none_or(|services| services.contains(service))
            && self.regions.as_ref().is_none_or(|regions| regions.contains(region))
    }

    /// Everybody whom `other` is about, this one is about too.
    pub fn holds(&self, other: &Whom) -> bool {
        let wider = |ours: &Option<BTreeSet<String>>, theirs: &Option<BTreeSet<String>>| match (ours, theirs) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => theirs.is_subset(ours),
        };
        wider(&self.services, &other.services) && wider(&self.regions, &other.regions)
    }

    /// What it names: services, regions. Of two switches for the same clients the narrower wins, so that only those of
    /// the same width take each other's place.
    pub(super) fn width(&self) -> (bool, bool) {
        (self.services.is_some(), self.regions.is_some())
    }

    /// Whom of `theirs` it is about, as far as that says more than `theirs` does; but not clients of the services in
    /// `skipped` that `theirs` names. `None`: nobody.
    pub(super) fn within(&self, theirs: &Whom, skipped: &BTreeSet<String>) -> Option<Whom> {
        fn both(ours: &Option<BTreeSet<String>>, theirs: &Option<BTreeSet<String>>) -> Option<BTreeSet<String>> {
            match (ours, theirs) {
                (ours, None) => ours.clone(),
                (None, theirs) => theirs.clone(),
                (Some(ours), Some(theirs)) => Some(ours.intersection(theirs).cloned().collect()),
            }
        }
        let mut services = both(&self.services, &theirs.services);
        if let (Some(services), true) = (&mut services, theirs.services.is_some()) {
            services.retain(|name| !skipped.contains(name));
        }
        let regions = both(&self.regions, &theirs.regions);
        let is_nobody = [&services, &regions].into_iter().flatten().any(BTreeSet::is_empty);
        (!is_nobody).then(|| Whom {
            services: services.filter(|services| theirs.services.as_ref() != Some(services)),
            regions: regions.filter(|regions| theirs.regions.as_ref() != Some(regions)),
        })
    }

    /// It without those whom `other` is about; `None`: nobody is left.
    ///
    /// # Errors
    /// When what is left can not be said by naming services and regions.
    pub(super) fn without(&self, other: &Whom) -> Result<Option<Whom>, ()> {
        let holds = |ours: &Option<BTreeSet<String>>, theirs: &Option<BTreeSet<String>>| {
            Whom { services: theirs.clone(), regions: None }.holds(&Whom { services: ours.clone(), regions: None })
        };
        let of_services = holds(&self.services, &other.services);
        let of_regions = holds(&self.regions, &other.regions);
        let rest = |ours: &Option<BTreeSet<String>>, theirs: &Option<BTreeSet<String>>| {
            let (ours, theirs) = (ours.as_ref().ok_or(())?, theirs.as_ref().ok_or(())?);
            Ok(Some(ours.difference(theirs).cloned().collect()))
        };
        match (of_services, of_regions) {
            (true, true) => Ok(None),
            (false, true) => {
                Ok(Some(Whom { services: rest(&self.services, &other.services)?, regions: self.regions.clone() }))
            }
            (true, false) => {
                Ok(Some(Whom { services: self.services.clone(), regions: rest(&self.regions, &other.regions)? }))
            }
            (false, false) => Err(()),
        }
    }

    /// The same, or when it names very many services: all of them.
    pub(super) fn roughly(&self) -> Whom {
        let is_short = self.services.as_ref().is_none_or(|names| names.len() <= limits::RECENT_NAMES_MAX);
        Whom { services: self.services.clone().filter(|_| is_short), regions: self.regions.clone() }
    }

    /// Somebody whom both are about.
    pub fn meets(&self, other: &Whom) -> bool {
        let meet = |ours: &Option<BTreeSet<String>>, theirs: &Option<BTreeSet<String>>| match (ours, theirs) {
            (None, _) | (_, None) => true,
            (Some(ours), Some(theirs)) => !ours.is_disjoint(theirs),
        };
        meet(&self.services, &other.services) && meet(&self.regions, &other.regions)
    }
}

/// What is left by a switch: the data centres that go last once it has yielded.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Left {
    /// By clients of every service that is not in `of`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub common: BTreeSet<String>,
    /// By clients of single services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub of: BTreeMap<String, BTreeSet<String>>,
}

impl Left {
    /// By clients of that service.
    pub fn by(&self, service: &str) -> &BTreeSet<String> {
        self.of.get(service).unwrap_or(&self.common)
    }

    fn name(&self, datacenter: &str) -> bool {
        self.common.contains(datacenter) || self.of.values().any(|of| of.contains(datacenter))
    }

    fn forget(&mut self, datacenters: &BTreeSet<String>) {
        self.common.retain(|id| !datacenters.contains(id));
        self.of.values_mut().for_each(|of| of.retain(|id| !datacenters.contains(id)));
    }

    /// Takes these out; true when some were in.
    pub(super) fn forgets(&mut self, datacenters: &BTreeSet<String>) -> bool {
        let is_named = datacenters.iter().any(|id| self.name(id));
        self.forget(datacenters);
        is_named
    }

    pub(super) fn is_empty(&self) -> bool {
        self.common.is_empty() && self.of.values().all(BTreeSet::is_empty)
    }
}
