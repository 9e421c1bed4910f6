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
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::book::{Applied, Book, Entry, Stamp, deed_kind};
use super::facts::release;
use super::impact::{Impact, Sample, Samples, impact};
use super::names::{Names, Resolved, active, resolve};
use super::order::{Order, Request, Sender, Standing, Unit, What, Whom};
use super::refused::OrderRefused;
use super::rules::{Case, Judgement, Rule, judge};
use super::time;
use crate::model::{DatacenterIx, Facts, Generation, OrderSettings, OverrideKind, PolicySet, Revision, ServiceIx};
use crate::steer::Floor;
use crate::store;
use crate::table::{RoutingTable, standings};

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
    let resolved = resolve(&request.order, ground.table, ground.book)?;
    let is_expiry = matches!(request.order, Order::Expire { .. });
    if ground.settings.reason_required && request.reason.trim().is_empty() && !is_expiry {
        return Err(OrderRefused::Missing("a reason"));
    }
    if ground.settings.expiry_required && request.expires_in.is_none() && stands(&request.order) {
        return Err(OrderRefused::Missing("expires_in"));
    }
    Ok(resolved)
}

/// True when something stands because of it.
fn stands(order: &Order) -> bool {
    match order {
        Order::Switch { .. }
        | Order::Drain { .. }
        | Order::Force { to: Some(_), .. }
        | Order::Ttl { seconds: Some(_), .. }
        | Order::Freeze
        | Order::Gate { is_open: false, .. } => true,
        Order::Weights { values } => values.iter().any(|(_, weight)| weight.is_some()),
        Order::ClearSwitch { .. }
        | Order::Undrain { .. }
        | Order::Force { to: None, .. }
        | Order::Failback { .. }
        | Order::Ttl { seconds: None, .. }
        | Order::Unfreeze
        | Order::Gate { is_open: true, .. }
        | Order::Undo { .. }
        | Order::Expire { .. } => false,
    }
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
    let applied = ground.book.apply(&resolved.deed, &stamp)?;
    let policy = ground.table.base().policy();
    let mut touched = touched(policy, ground.book, &applied.book);
    let mut facts = applied.book.facts(policy, ground.world, ground.drained);
    let mut ends_latches = false;
    if let Some(ending) = &applied.release {
        let names = Names::of(policy);
        let datacenters = names.datacenter_ixs(&ending.datacenters);
        let is_up = |ix: ServiceIx, datacenter: DatacenterIx| is_up(policy, &facts, ix, datacenter);
        // A yielded preference leads to a data centre again that is up.
        let yields: BTreeSet<_> = facts
            .yields
            .iter()
            .copied()
            .filter(|(_, ix, endpoint)| {
                let datacenter = names.service(*ix).endpoint(*endpoint).datacenter;
                datacenters.contains(&datacenter) && is_meant(&ending.whom, &names, *ix) && is_up(*ix, datacenter)
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
        ends_latches = !yields.is_empty();
        facts.yields.retain(|key| !yields.contains(key));
        ends_latches |= release(policy, &mut facts, ending, |ix, datacenter| ups.contains(&(ix, datacenter)));
        let there =
            policy.services.iter().enumerate().filter(|(_, service)| {
                service.endpoints.iter().any(|endpoint| datacenters.contains(&endpoint.datacenter))
            });
        let there = there.map(|(at, _)| ServiceIx::from_at(at)).filter(|ix| is_meant(&ending.whom, &names, *ix));
        touched.extend(there);
    }
    let table =
        (applied.is_changed || ends_latches).then(|| ground.table.recompile(Arc::new(facts), &touched, generation));
    Ok(Draft { applied, ends_latches, table, touched })
}

fn is_meant(whom: &Whom, names: &Names<'_>, ix: ServiceIx) -> bool {
    whom.services.as_ref().is_none_or(|services| services.contains(&names.name(ix)))
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
    let Some(after) = &draft.table else {
        let warnings = draft.applied.warnings.clone();
        return Assessment { judgement: Judgement { warnings, ..Judgement::default() }, impact: Impact::default() };
    };
    let case = Case {
        request,
        resolved,
        before: ground.table,
        after,
        book: ground.book,
        touched: &draft.touched,
        now: ground.now,
        settings: ground.settings,
    };
    let mut judgement = judge(&case);
    let mut impact = impact(ground.table, after, &draft.touched, samples);
    impact.refused_by.clone_from(&judgement.refusals);
    judgement.warnings.extend(draft.applied.warnings.iter().cloned());
    judgement.warnings.extend(impact.capacity.iter().cloned());
    Assessment { judgement, impact }
}

/// Judged again when the order comes back from the journal; cheaper than [`assess`] by the impact.
pub fn judge_again(request: &Request, resolved: &Resolved, draft: &Draft, ground: &Ground<'_>) -> Judgement {
    let nothing: [Sample; 0] = [];
    assess(request, resolved, draft, ground, Samples { queries: nothing, span: std::time::Duration::ZERO }).judgement
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

/// What an order is answered with, as far as it is known before it takes effect: what a repetition with the same
/// idempotency key is answered with, too. Whoever publishes adds generation, node and times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Its revision, or the first one of what stood already.
    pub revision: u64,
    /// False: it stood already.
    pub changed: bool,
    /// Ids of the data centre that is active for all services concerned, if they agree, after it.
    pub active_dc: Option<String>,
    /// And before it.
    pub previous_dc: Option<String>,
    /// Services that it concerns.
    pub services: Vec<String>,
    /// Services that it leaves on policy.
    pub services_skipped: Vec<String>,
    /// Rules that were overridden.
    pub forced: BTreeSet<Rule>,
    /// What changes for clients.
    pub impact: Impact,
    /// What its sender should know.
    pub warnings: Vec<String>,
}

/// What to answer.
pub fn answer(resolved: &Resolved, draft: &Draft, assessment: &Assessment, ground: &Ground<'_>) -> Answer {
    let names = Names::of(ground.table.base().policy());
    let concerned = match resolved.services.is_empty() {
        true => &draft.touched,
        false => &resolved.services,
    };
    let agreed = |table: &RoutingTable| {
        let active: BTreeSet<Option<DatacenterIx>> = concerned.iter().map(|ix| active(table, *ix)).collect();
        match active.len() {
            1 => active.first().copied().flatten().map(|ix| names.id(ix)),
            _ => None,
        }
    };
    Answer {
        revision: draft.applied.revision,
        changed: draft.is_changed(),
        active_dc: agreed(draft.table.as_ref().unwrap_or(ground.table)),
        previous_dc: agreed(ground.table),
        services: concerned.iter().map(|ix| names.name(*ix)).collect(),
        services_skipped: resolved.skipped.iter().map(|ix| names.name(*ix)).collect(),
        forced: assessment.judgement.overridden.clone(),
        impact: assessment.impact.clone(),
        warnings: assessment.judgement.warnings.clone(),
    }
}

/// The journal's line: what was said, by whom, what it came to, and what it sets and clears among the standing orders.
pub fn journal(
    request: &Request,
    resolved: &Resolved,
    draft: &Draft,
    judgement: &Judgement,
    ground: &Ground<'_>,
    idempotency: Option<store::Idempotency>,
) -> store::Order {
    let changes = draft.applied.book.entries_since(ground.book);
    store::Order {
        revision: Revision(draft.applied.book.revision()),
        generation: ground.table.generation(),
        kind: deed_kind(&resolved.deed).to_owned(),
        actor: request.sender.actor.clone(),
        reason: request.reason.clone(),
        body: json!({
            "said": request.order,
            "did": resolved.deed,
            "by": request.sender,
            "expires_in_s": request.expires_in.map(|time| time.as_secs()),
            "overridden": judgement.overridden,
        }),
        changes: changes.into_iter().map(|(key, value): Entry| store::Change { key, value }).collect(),
        idempotency,
    }
}

/// The entry of the audit log for an order that was refused: as visible as a deed.
pub fn note_refusal(request: &Request, refused: &OrderRefused, ground: &Ground<'_>) -> store::Note {
    let rules: Vec<&str> = match refused {
        OrderRefused::Rules { refusals } => refusals.iter().map(|refusal| refusal.rule.as_str()).collect(),
        _ => Vec::new(),
    };
    store::Note {
        kind: "refused".into(),
        revision: Revision(ground.book.revision()),
        generation: ground.table.generation(),
        actor: request.sender.actor.clone(),
        reason: request.reason.clone(),
        body: json!({
            "said": request.order,
            "by": request.sender,
            "why": refused.to_string(),
            "rules": rules,
            "force": request.force,
        }),
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

/// While a freeze holds nothing moves by itself: the facts that are no orders stay what they were when it began.
/// Orders go on, over what is held.
#[derive(Clone, Debug)]
pub struct Frozen {
    held: Facts,
}

impl Frozen {
    /// Holds the world as it is.
    pub fn hold(world: &Facts) -> Frozen {
        Frozen { held: world.clone() }
    }

    /// The world as routing sees it while the freeze holds: health, entry conditions and yielded preferences as they
    /// were, as far as what had yielded still stands. Latches are those of `live`: whoever keeps them settles none
    /// while a freeze holds, and ends them by order alone.
    pub fn world(&self, live: &Facts) -> Facts {
        let stands = |revision: &Revision| {
            live.overrides
                .iter()
                .any(|order| order.revision == *revision && matches!(order.kind, OverrideKind::Prefer { .. }))
        };
        Facts {
            health: self.held.health.clone(),
            entries: self.held.entries.clone(),
            yields: self.held.yields.iter().filter(|(revision, ..)| stands(revision)).copied().collect(),
            ..live.clone()
        }
    }
}
