//! The way of an order, as pure steps; whoever owns the state and the clocks takes them one after the other.
//!
//! ```text
//! validate ─▶ draft ─▶ judge ─▶ journal and fsync ─▶ draft and judge again ─▶ swap ─▶ acknowledge
//! (names)    (compile)          (not here)           (health moved meanwhile)
//!                └─ a dry run ends here: `assess` says what the deed would
//! ```
//!
//! What is repeated stands already: it is answered with its first revision and no rule is asked, not even the gate. An
//! order that its second judgement refuses must be taken back from the journal: it was never in force.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::book::{Applied, Book, Release, Stamp};
use super::facts::release;
use super::impact::{Impact, Sample, Samples, impact};
use super::names::{Names, Resolved, resolve};
use super::order::{Deed, Order, Request, Sender, Standing, Unit, What, Whom};
use super::refused::OrderRefused;
use super::rules::{Case, Judgement, judge, judge_target};
use super::time;
use crate::limits;
use crate::model::{
    DatacenterIx, EndpointIx, EntryState, Facts, Failback, Generation, Latch, OrderNeeds, OrderSettings, PolicySet,
    RegionIx, Revision, ServiceIx,
};
use crate::steer::Floor;
use crate::store;
use crate::table::{RoutingTable, standings};

/// A tier: of whom, for whom, and its position.
pub type TierKey = (ServiceIx, Option<RegionIx>, u16);

/// All latches, and all yielded preferences.
pub type Moved = (Vec<Latch>, BTreeSet<(Revision, ServiceIx, EndpointIx)>);

/// What else changes with an order: latches that end or begin, preferences that yield, and tiers that open or close.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// `None`: as they are.
    pub moved: Option<Moved>,
    /// The conditions of tiers that are judged anew.
    pub entries: Vec<(TierKey, EntryState)>,
}

/// Says what follows from a state that an order would make: what is ordered out need not be waited for, and what was
/// left may be where clients must go.
pub trait Settling: std::fmt::Debug {
    /// For these services, were these the facts. `release` is what ends by order; `is_frozen`: nothing moves by itself
    /// afterwards. `None`: everything stays as it is.
    fn settle(
        &self,
        facts: &Facts,
        services: &BTreeSet<ServiceIx>,
        release: Option<&Release>,
        is_frozen: bool,
    ) -> Option<Followed>;
}

/// Nothing follows.
#[derive(Clone, Copy, Debug)]
pub struct Unsettled;

impl Settling for Unsettled {
    fn settle(&self, _: &Facts, _: &BTreeSet<ServiceIx>, _: Option<&Release>, _: bool) -> Option<Followed> {
        None
    }
}

/// What an order is judged on: everything of one moment.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// What answers now.
    pub table: &'a RoutingTable,
    /// What stands.
    pub book: &'a Book,
    /// Facts that are no orders: health, latches, entry conditions, yielded preferences. (Orders in it are passed
    /// over.) While a freeze holds, those that it holds.
    pub world: &'a Facts,
    /// Drains out of which no old answer is left.
    pub drained: &'a BTreeSet<u64>,
    /// Preferences that have yielded although their target is up again: [`super::Holds::rearmed`].
    pub rearmed: &'a BTreeSet<u64>,
    /// Who knows what follows.
    pub settling: &'a dyn Settling,
    /// While a freeze holds, the same facts without it: an order is judged by what is known, and not by what is held.
    pub thawed: Option<&'a Facts>,
    /// By the wall clock.
    pub now: SystemTime,
    /// What orders need, and may not do.
    pub settings: &'a OrderSettings,
}

/// What an order would make, or has made.
#[derive(Debug)]
pub struct Draft {
    /// The book after it, and what else ends.
    pub applied: Applied,
    /// Latches end with it, as far as facts tell.
    pub ends_latches: bool,
    /// The table after it; `None`: nothing changes.
    pub table: Option<RoutingTable>,
    /// Services that it is about.
    pub touched: BTreeSet<ServiceIx>,
}

impl Draft {
    /// False: it stands like that already; answer with the first revision, and neither judge nor journal.
    pub fn is_changed(&self) -> bool {
        self.applied.is_changed || self.ends_latches
    }
}

/// What a dry run tells, and the deed tells as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// What the rules say.
    pub judgement: Judgement,
    /// What changes for clients.
    pub impact: Impact,
}

/// Checks what can be checked without compiling, and resolves every name.
///
/// # Errors
/// As [`resolve`]; besides, when another order came first, or a reason or an expiry is missing.
pub fn validate(request: &Request, ground: &Ground<'_>) -> Result<Resolved, OrderRefused> {
    if request.expected_revision.is_some_and(|expected| expected != ground.book.revision()) {
        return Err(OrderRefused::Revision(ground.book.revision()));
    }
    if request.expires_in.is_some_and(|time| time > Duration::from_secs(limits::EXPIRES_IN_MAX_S)) {
        let years = limits::EXPIRES_IN_MAX_S / (365 * 86_400);
        return Err(OrderRefused::OutOfRange(format!("expires_in: at most {years} years; leave it out for ever")));
    }
    let resolved = resolve(&request.order, ground.table, ground.book)?;
    let is_expiry = matches!(request.order, Order::Expire { .. });
    let needs = needs(&resolved, ground);
    if needs.reason && request.reason.trim().is_empty() && !is_expiry {
        return Err(OrderRefused::Missing("a reason"));
    }
    if needs.expiry && request.expires_in.is_none() && resolved.deed.stands() {
        return Err(OrderRefused::Missing("expires_in"));
    }
    Ok(resolved)
}

/// What an order must say: what the settings ask, and every service that it concerns.
fn needs(resolved: &Resolved, ground: &Ground<'_>) -> OrderNeeds {
    let services = &ground.table.base().policy().services;
    let of_services = resolved.services.iter().map(|ix| services[ix.at()].needs);
    of_services.fold(ground.settings.needs, |all, one| OrderNeeds {
        reason: all.reason | one.reason,
        expiry: all.expiry | one.expiry,
    })
}

/// The state after the order, compiled. `revision` is the one that it gets, `generation` that of the table.
///
/// # Errors
/// As [`Book::apply`].
pub fn draft(
    request: &Request,
    resolved: &Resolved,
    ground: &Ground<'_>,
    (revision, generation): (Revision, Generation),
) -> Result<Draft, OrderRefused> {
    let stamp = Stamp {
        revision: revision.0,
        by: request.sender.clone(),
        reason: request.reason.clone(),
        now: ground.now,
        expires_in: request.expires_in,
        forced: request.force.clone(),
        rearmed: ground.rearmed.clone(),
        called: resolved.called.clone(),
    };
    let mut applied = ground.book.apply(&resolved.deed, &stamp)?;
    let policy = ground.table.base().policy();
    let mut touched = touched(policy, ground.book, &applied.book);
    let world = match ground.thawed.filter(|_| !applied.book.is_frozen()) {
        // What was held back moves now.
        Some(thawed) => {
            touched = (0..policy.services.len()).map(ServiceIx::from_at).collect();
            thawed
        }
        None => ground.world,
    };
    let mut facts = applied.book.facts(policy, world, ground.drained);
    let mut ends_latches = false;
    if let Some(ending) = &mut applied.release {
        let names = Names::of(policy);
        ending.leave_out(&names, |ix, datacenter| is_up(policy, &facts, ix, datacenter));
        applied.book.note_release(revision.0, ending);
        let datacenters = names.datacenter_ixs(&ending.datacenters);
        let is_up = |ix: ServiceIx, datacenter: DatacenterIx| is_up(policy, &facts, ix, datacenter);
        // A yielded preference leads to a data centre again that is up.
        let yields: BTreeSet<_> = facts
            .yields
            .iter()
            .copied()
            .filter(|(revision, ix, endpoint)| {
                let datacenter = names.service(*ix).endpoint(*endpoint).datacenter;
                datacenters.contains(&datacenter) && ending.frees(&names, *revision, *ix) && is_up(*ix, datacenter)
            })
            .collect();
        let ups: BTreeSet<(ServiceIx, DatacenterIx)> = policy
            .services
            .iter()
            .enumerate()
            .map(|(at, _)| ServiceIx::from_at(at))
            .flat_map(|ix| datacenters.iter().map(move |dc| (ix, *dc)))
            .filter(|(ix, dc)| is_up(*ix, *dc))
            .collect();
        let held = facts.yields.iter().filter(|(revision, ix, endpoint)| {
            let datacenter = names.service(*ix).endpoint(*endpoint).datacenter;
            ending.held.contains(&revision.0) && datacenters.contains(&datacenter) && ending.concerns(&names, *ix)
        });
        let held: BTreeSet<Revision> = held.map(|(revision, ..)| *revision).collect();
        applied.warnings.extend(held.into_iter().map(|revision| {
            format!(
                "the switch of revision {} is for more regions than are named: it leads nobody there again before you \
                 fail back for all of its regions",
                revision.0
            )
        }));
        ends_latches = !yields.is_empty();
        facts.yields.retain(|key| !yields.contains(key));
        ends_latches |= release(policy, &mut facts, ending, |ix, datacenter| ups.contains(&(ix, datacenter)));
        let there =
            policy.services.iter().enumerate().filter(|(_, service)| {
                service.endpoints.iter().any(|endpoint| datacenters.contains(&endpoint.datacenter))
            });
        let there = there.map(|(at, _)| ServiceIx::from_at(at)).filter(|ix| ending.concerns(&names, *ix));
        touched.extend(there);
    }
    if ends_latches {
        // Nothing new stands; it is an order in force all the same.
        applied.revision = applied.book.revision();
    }
    let is_frozen = applied.book.is_frozen();
    if (applied.is_changed || ends_latches)
        && let Some(followed) = ground.settling.settle(&facts, &touched, applied.release.as_ref(), is_frozen)
    {
        if let Some((latches, yields)) = followed.moved {
            let world = Facts { latches, yields, ..world.clone() };
            facts = applied.book.facts(policy, &world, ground.drained);
        }
        facts.entries.extend(followed.entries);
    }
    let table =
        (applied.is_changed || ends_latches).then(|| ground.table.recompile(Arc::new(facts), &touched, generation));
    Ok(Draft { applied, ends_latches, table, touched })
}

fn is_up(policy: &PolicySet, facts: &Facts, ix: ServiceIx, datacenter: DatacenterIx) -> bool {
    let service = &policy.services[ix.at()];
    let standings = standings(service, ix, facts);
    let mut there = service.endpoints().filter(|(_, endpoint)| endpoint.datacenter == datacenter);
    there.any(|(endpoint, _)| standings[endpoint.at()].is_usable(Floor::Held))
}

/// What the rules say of a draft, and what it changes for clients. [`super::not_durable`] is asked beside it, by whoever
/// knows the store. A draft that changes nothing is never refused.
pub fn assess(
    request: &Request,
    resolved: &Resolved,
    draft: &Draft,
    ground: &Ground<'_>,
    samples: Samples<impl IntoIterator<Item = Sample>>,
) -> Assessment {
    let is_home = matches!(resolved.deed, Deed::ClearSwitch { home: Some(_), .. });
    let after = match &draft.table {
        Some(after) => after,
        // Nothing has to change where home answers already; where it does not, this is no repetition.
        None if is_home => ground.table,
        None => {
            let warnings = resolved.warnings.iter().chain(&draft.applied.warnings).cloned().collect();
            return Assessment { judgement: Judgement { warnings, ..Judgement::default() }, impact: Impact::default() };
        }
    };
    let case = Case {
        request,
        resolved,
        before: ground.table,
        after,
        live: ground.thawed.map(|thawed| &thawed.health),
        book: ground.book,
        touched: &draft.touched,
        revision: Revision(draft.applied.revision),
        now: ground.now,
        settings: ground.settings,
    };
    let mut judgement = if draft.table.is_some() { judge(&case) } else { judge_target(&case) };
    let mut impact = impact(ground.table, after, &draft.touched, samples);
    impact.refused_by.clone_from(&judgement.refusals);
    judgement.warnings.extend(resolved.warnings.iter().chain(&draft.applied.warnings).cloned());
    judgement.warnings.extend(comes_back(request, resolved, draft, ground));
    judgement.warnings.extend(impact.capacity.iter().cloned());
    Assessment { judgement, impact }
}

/// Whose clients go back by themselves when a switch has ended: where policy says `failback: auto`, or says nothing.
fn comes_back(request: &Request, resolved: &Resolved, draft: &Draft, ground: &Ground<'_>) -> Option<String> {
    let names = Names::of(ground.table.base().policy());
    let (revision, when) = match &resolved.deed {
        Deed::Switch { .. } => (draft.applied.revision, request.expires_in.map(|_| "when its time is over")?),
        Deed::Expire { revision } => (*revision, "now that its time is over"),
        Deed::ClearSwitch { .. }
        | Deed::Drain { .. }
        | Deed::Undrain { .. }
        | Deed::Force { .. }
        | Deed::Failback { .. }
        | Deed::Weights { .. }
        | Deed::Ttl { .. }
        | Deed::Freeze
        | Deed::Unfreeze
        | Deed::Gate { .. }
        | Deed::Undo { .. } => return None,
    };
    let (left, whom) = draft.applied.book.get(revision)?.what.leaves()?;
    let mut regions: BTreeSet<String> = BTreeSet::new();
    for service in &names.policy.services {
        let name = service.name.to_string();
        if left.by(&name).is_empty() || !whom.services.as_ref().is_none_or(|services| services.contains(&name)) {
            continue;
        }
        let auto = service.policy.all_routes().filter(|route| route.failback == Failback::Auto);
        let auto = auto.map(|route| names.region(route.region)).filter(|region| whom.covers(&name, region));
        regions.extend(auto);
    }
    let shown: Vec<&str> = regions.iter().take(limits::WARNING_NAMES_MAX).map(String::as_str).collect();
    let more = regions.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!regions.is_empty()).then(|| {
        format!(
            "{when}, policy brings clients of {}{more} back by itself to what the switch left: their failback is auto",
            shown.join(", ")
        )
    })
}

/// Judged again when the order comes back from the journal; cheaper than [`assess`] by the impact.
pub fn judge_again(request: &Request, resolved: &Resolved, draft: &Draft, ground: &Ground<'_>) -> Judgement {
    let nothing: [Sample; 0] = [];
    assess(request, resolved, draft, ground, Samples { queries: nothing, span: Duration::ZERO }).judgement
}

/// Services that are told apart by what stands before and after.
pub fn touched(policy: &PolicySet, before: &Book, after: &Book) -> BTreeSet<ServiceIx> {
    let mut touched = BTreeSet::new();
    let gone = before.standing().filter(|standing| after.get(standing.revision) != Some(*standing));
    let new = after.standing().filter(|standing| before.get(standing.revision) != Some(*standing));
    let names = Names::of(policy);
    for standing in gone.chain(new) {
        add_touched(&names, standing, &mut touched);
    }
    touched
}

fn add_touched(names: &Names<'_>, standing: &Standing, touched: &mut BTreeSet<ServiceIx>) {
    let mut of = |whom: Option<&Whom>, there: Option<BTreeSet<DatacenterIx>>| {
        let named: Option<BTreeSet<ServiceIx>> = whom
            .and_then(|whom| whom.services.as_ref())
            .map(|services| services.iter().filter_map(|name| names.service_ix(name)).collect());
        let all = (0..names.policy.services.len()).map(ServiceIx::from_at);
        let meant = all.filter(|ix| named.as_ref().is_none_or(|named| named.contains(ix)));
        let there = |ix: &ServiceIx| {
            let endpoints = &names.service(*ix).endpoints;
            there.as_ref().is_none_or(|there| endpoints.iter().any(|endpoint| there.contains(&endpoint.datacenter)))
        };
        touched.extend(meant.filter(there));
    };
    match &standing.what {
        What::Switch { to, whom, .. } => of(Some(whom), Some(names.datacenter_ixs(to))),
        What::Behind { whom, .. } => of(Some(whom), None),
        What::Ttl { whom, datacenters, .. } => {
            of(Some(whom), datacenters.as_ref().map(|ids| names.datacenter_ixs(ids)));
        }
        What::Out { units } | What::Force { units, .. } => {
            touched.extend(units.iter().flat_map(|u| services_of(names, u)))
        }
        What::Weights { values } => touched.extend(values.iter().flat_map(|(unit, _)| services_of(names, unit))),
        What::Freeze | What::Gate { .. } => {}
    }
}

fn services_of(names: &Names<'_>, unit: &Unit) -> Vec<ServiceIx> {
    match unit {
        Unit::Endpoint(service, _) => names.service_ix(service).into_iter().collect(),
        Unit::Datacenter(id) => {
            let Some(datacenter) = names.datacenter_ix(id) else { return Vec::new() };
            let all = (0..names.policy.services.len()).map(ServiceIx::from_at);
            all.filter(|ix| names.service(*ix).endpoints.iter().any(|one| one.datacenter == datacenter)).collect()
        }
    }
}

/// The book that the store restored, and what in it could not be read.
pub fn restore(restored: &store::Restored) -> (Book, Vec<String>) {
    let entries = restored
        .standing
        .iter()
        .map(|(key, standing): (&String, &store::Standing)| (key.as_str(), &standing.value) as (&str, &Value));
    Book::of_entries(entries, restored.revision.0)
}

/// The order that ends a standing order whose time is over.
pub fn expiry(revision: u64) -> Request {
    Request {
        order: Order::Expire { revision },
        sender: Sender::meridian(),
        reason: "its time is over".into(),
        expires_in: None,
        force: BTreeSet::new(),
        expected_revision: None,
    }
}

/// Why a standing order stays although its time is over, for status and alarms.
pub fn overdue(standing: &Standing, judgement: &Judgement) -> String {
    let why: Vec<String> =
        judgement.refusals.iter().map(|refusal| format!("{}: {}", refusal.rule, refusal.detail)).collect();
    let since = standing.expires.map_or_else(String::new, |at| format!(" since {}", time::text(at)));
    format!(
        "the {} of revision {} is over{since} and stays, because without it: {}",
        standing.what.as_str(),
        standing.revision,
        why.join("; ")
    )
}
