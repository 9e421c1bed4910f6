//! What comes from files, joined and checked together.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alike::{Alike, EVERYWHERE};
use super::extent;
use super::location::{Location, LocationMap, Overlap};
use super::tally::Tallies;
use crate::diag::Diagnostic;
use crate::geo::{Atlas, MapError};
use crate::limits;
use crate::model::{AllDown, Data, Name, PolicySet, RuleSet, Service, ServiceIx, Settings, Ttl};
use crate::zone::{Find, OwnZones, ParsedZone, ServicePlace, Zones};

/// What [`Base::build`] joins. Each part has been read without errors.
#[derive(Debug)]
pub struct Files {
    /// The policy files.
    pub policy: PolicySet,
    /// The master files.
    pub zones: Vec<ParsedZone>,
    /// The GeoIP databases and operator networks.
    pub atlas: Arc<Atlas>,
    /// The server's configuration.
    pub settings: Settings,
    /// Refuse services of their own zone when no name server is configured: some listener is not on
    /// loopback.
    pub ns_required: bool,
}

/// Everything that a table has from files, and what was answered from it. But for that immutable; shared by the tables that differ in facts alone.
#[derive(Debug)]
pub struct Base {
    pub(super) zones: Zones,
    pub(super) maps: Box<[LocationMap]>,
    /// For each service its map, unless its policy never looks at the client.
    pub(super) map_of: Box<[Option<u32>]>,
    alike: Box<[Alike]>,
    pub(super) policy: PolicySet,
    pub(super) settings: Settings,
    pub(super) atlas: Arc<Atlas>,
    tallies: Tallies,
    /// Of all services.
    ttl_max: Option<Ttl>,
}

impl Base {
    /// Joins the files. Every finding is returned; with an error among them there is no base, and what was
    /// serving goes on serving.
    pub fn build(files: Files) -> (Option<Arc<Base>>, Vec<Diagnostic>) {
        let Files { policy, zones, atlas, settings, ns_required } = files;
        let places: Vec<ServicePlace<'_>> = policy
            .services
            .iter()
            .enumerate()
            .map(|(at, service)| ServicePlace::of(ServiceIx::from_at(at), service))
            .collect();
        let (zones, mut found) = Zones::build(zones, &places, &OwnZones::of(&settings, ns_required));
        let (maps, map_of, more) = location_maps(&policy, &atlas);
        found.extend(more);
        found.extend(policy.services.iter().flat_map(lint));
        for (at, service) in policy.services.iter().enumerate() {
            let map = map_of.get(at).copied().flatten().and_then(|map| maps.get(map as usize));
            found.extend(extent::check(service, map));
        }
        let is_good = !found.iter().any(Diagnostic::is_error);
        let base = is_good.then(|| {
            let (alike, tallies) = (Alike::of_all(&policy, &maps, &map_of), Tallies::of(&policy));
            let ttl_max = policy.services.iter().map(|service| service.ttl).max();
            Arc::new(Base { zones, maps, map_of, alike, policy, settings, atlas, tallies, ttl_max })
        });
        (base, found)
    }

    /// A base that serves nothing.
    pub fn empty() -> Base {
        let settings = Settings::default();
        let (zones, _) = Zones::build(Vec::new(), &[], &OwnZones::of(&settings, false));
        let policy = PolicySet::default();
        let atlas = Arc::new(Atlas::load(Vec::new(), &[]).0);
        let (alike, tallies) = (Box::default(), Tallies::of(&policy));
        let (maps, map_of, ttl_max) = (Box::default(), Box::default(), None);
        Base { zones, maps, map_of, alike, policy, settings, atlas, tallies, ttl_max }
    }

    /// The longest TTL that a policy gives; `None`: there are no services.
    pub fn ttl_max(&self) -> Option<Ttl> {
        self.ttl_max
    }

    /// Names and static data.
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// The policies.
    pub fn policy(&self) -> &PolicySet {
        &self.policy
    }

    /// The server's configuration.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where addresses are.
    pub fn atlas(&self) -> &Atlas {
        &self.atlas
    }

    /// What readers have answered from tables of it.
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// The location map of a service; `None` when its policy never looks at the client.
    pub fn map(&self, service: ServiceIx) -> Option<&LocationMap> {
        Some(&self.maps[self.map_of[service.at()]? as usize])
    }

    /// What the service's map tells apart, or everywhere; with numbers that are equal where the same is chosen from.
    pub(super) fn outcomes(&self, service: ServiceIx) -> impl Iterator<Item = (&Location, &u16)> {
        let outcomes = self.map(service).map_or(EVERYWHERE, LocationMap::outcomes);
        outcomes.iter().zip(&self.alike[service.at()].kinds)
    }

    /// Of each kind of outcome, whether clients may be chosen for by hash.
    pub(super) fn stickiness(&self, service: ServiceIx) -> &[bool] {
        &self.alike[service.at()].is_sticky
    }

    /// Equal for services between which no plan sees a difference but in their choices.
    pub(super) fn shape(&self, service: ServiceIx) -> u32 {
        self.alike[service.at()].shape
    }

    /// Whether some tier of the service has a condition.
    pub(super) fn has_doors(&self, service: ServiceIx) -> bool {
        self.alike[service.at()].has_doors
    }

    /// How many location maps there are, and their octets in all.
    pub fn map_memory(&self) -> (usize, usize) {
        (self.maps.len(), self.maps.iter().map(LocationMap::memory_len).sum())
    }

    /// The service of that name, if there is one.
    pub fn service_named(&self, name: &Name) -> Option<ServiceIx> {
        match self.zones.find(name.as_wire()) {
            Find::Node { node, .. } | Find::Wildcard { node, .. } => node.service(),
            Find::NotOurs | Find::Cut { .. } | Find::Dname { .. } | Find::NoName { .. } => None,
        }
    }
}

type Maps = (Box<[LocationMap]>, Box<[Option<u32>]>, Vec<Diagnostic>);

/// One map for each distinct rule set. Errors come first: however much else there is to say, they are told.
fn location_maps(policy: &PolicySet, atlas: &Atlas) -> Maps {
    let mut numbers: BTreeMap<RuleSet, Option<u32>> = BTreeMap::new();
    let (mut maps, mut found, mut octets) = (Vec::new(), Vec::new(), 0);
    let mut seen: BTreeMap<(String, String), ()> = BTreeMap::new();
    let mut map_of = Vec::with_capacity(policy.services.len());
    for service in &policy.services {
        let rules = service.rule_set(&policy.datacenters);
        if !rules.looks_at_client() {
            map_of.push(None);
            continue;
        }
        if let Some(number) = numbers.get(&rules) {
            map_of.push(*number);
            continue;
        }
        // What follows is refused anyway, so no work is spent on it.
        if numbers.len() >= limits::MAPS_MAX {
            found.push(too_many(service));
            break;
        }
        let number = match LocationMap::build(atlas, &policy.regions, &rules) {
            Ok((map, overlaps)) => {
                octets += map.memory_len();
                found.extend(overlaps.iter().filter_map(|overlap| warn(policy, overlap, &mut seen)));
                maps.push(map);
                u32::try_from(maps.len() - 1).ok()
            }
            Err(error) => {
                found.push(too_much(service, &error));
                None
            }
        };
        if octets > limits::MAPS_LEN_MAX {
            found.push(too_long(service, octets));
            break;
        }
        numbers.insert(rules, number);
        map_of.push(number);
    }
    found.sort_by_key(|found| !found.is_error());
    found.truncate(limits::DIAGNOSTICS_MAX);
    (maps.into(), map_of.into(), found)
}

fn warn(policy: &PolicySet, overlap: &Overlap, seen: &mut BTreeMap<(String, String), ()>) -> Option<Diagnostic> {
    let (won, lost) = (&policy.regions[overlap.won.at()], &policy.regions[overlap.lost.at()]);
    if seen.insert((won.id.to_string(), lost.id.to_string()), ()).is_some() {
        return None;
    }
    let message = format!(
        "regions {} and {} both match {} and neither is more specific; {} wins because a policy names it first",
        won.id, lost.id, overlap.example, won.id
    );
    Some(
        Diagnostic::warning("regions-overlap", message)
            .at(&lost.origin)
            .help("make one of them more specific, or exclude the other with `not`"),
    )
}

fn too_much(service: &Service, error: &MapError) -> Diagnostic {
    Diagnostic::error("map-too-large", format!("the location map of {}: {error}", service.name))
        .at(&service.origin)
        .help("name fewer regions or fewer nearest data centres in this service")
}

fn too_many(service: &Service) -> Diagnostic {
    let message =
        format!("{} needs a location map of its own, and {} different ones are in use", service.name, limits::MAPS_MAX);
    share(Diagnostic::error("too-many-maps", message).at(&service.origin))
}

fn too_long(service: &Service, octets: usize) -> Diagnostic {
    let message = format!(
        "with that of {} the location maps take {octets} octets; at most {} are allowed",
        service.name,
        limits::MAPS_LEN_MAX
    );
    share(Diagnostic::error("too-many-maps", message).at(&service.origin))
}

fn share(error: Diagnostic) -> Diagnostic {
    error.help("let services name the same regions in the same order: those share a map")
}

/// What a service may do that its owner should know.
fn lint(service: &Service) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let family = |has: fn(&Data) -> bool| service.endpoints.iter().filter(|endpoint| has(&endpoint.data)).count();
    let v4 =
        family(|data| matches!(data, Data::Cname(_)) || matches!(data, Data::Addresses { v4, .. } if !v4.is_empty()));
    let v6 =
        family(|data| matches!(data, Data::Cname(_)) || matches!(data, Data::Addresses { v6, .. } if !v6.is_empty()));
    for (count, family) in [(v4, "A"), (v6, "AAAA")] {
        if (1..service.endpoints.len()).contains(&count) {
            let message = format!(
                "{} answers {family} for some clients and no data for others: only {count} of its {} endpoints have such an address",
                service.name,
                service.endpoints.len()
            );
            let help = "give every endpoint addresses of both families; until then no-data answers are cached for at \
                        most 5 s, because resolvers may share them among all clients (RFC 7871 section 7.4)";
            found.push(Diagnostic::warning("client-dependent-nodata", message).at(&service.origin).help(help));
        }
    }
    let names = family(|data| matches!(data, Data::Cname(_)));
    if (1..service.endpoints.len()).contains(&names) {
        let message = format!(
            "{} answers TXT, MX and every other type with a CNAME for some clients and no data for others: {names} of \
             its {} endpoints are names",
            service.name,
            service.endpoints.len()
        );
        let help = "use names alone or addresses alone; until then no-data answers are cached for at most 5 s, because \
                    resolvers may share them among all clients (RFC 7871 section 7.4)";
        found.push(Diagnostic::warning("client-dependent-nodata", message).at(&service.origin).help(help));
    }
    for route in service.policy.all_routes() {
        if let (AllDown::Sorry(site), true, Some(tiers)) = (route.all_down, route.geofence, &route.tiers)
            && !tiers.endpoints().contains(&site)
        {
            let message = format!(
                "the sorry site {} stands outside a geofence and will not answer there",
                service.endpoint(site).id
            );
            found.push(
                Diagnostic::warning("sorry-outside-geofence", message)
                    .at(&service.origin)
                    .help("name it in a tier of the geofenced region, or use `all_down: closed` there"),
            );
        }
    }
    found.dedup();
    found
}
