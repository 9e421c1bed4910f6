//! Rules that may refuse an order: each a pure function of the state before, the state after, and the order.
//!
//! A rule refuses only what the order makes worse. That several things are broken is no reason: who is nowhere served
//! well can be sent anywhere. `force` must name each rule that it overrides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::book::{Book, list};
use super::impact::Shift;
use super::names::Resolved;
use super::order::{Deed, Request, SwitchMode};
use super::scene::{Rank, Scene, rank};
use crate::limits;
use crate::model::{DatacenterIx, EndpointIx, EntryState, Health, Method, Node, OrderSettings, Revision, ServiceIx};
use crate::steer::Floor;
use crate::table::{RoutingTable, standings};

/// A rule, by the name that `force` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The target is worse than what serves now.
    TargetUnhealthy,
    /// The target is ordered out.
    TargetOut,
    /// The entry condition of the target's tier is not met.
    TargetNotReady,
    /// Nothing would be left to answer.
    LastDc,
    /// Too few data centres would stay usable.
    MinDatacenters,
    /// Another actor ordered another data centre just now.
    Contended,
    /// A pin says until when it stands.
    PinNeedsExpiry,
    /// The gate is closed to robots.
    Gate,
    /// The store can not take it.
    NotDurable,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 9] = [
        Rule::TargetUnhealthy,
        Rule::TargetOut,
        Rule::TargetNotReady,
        Rule::LastDc,
        Rule::MinDatacenters,
        Rule::Contended,
        Rule::PinNeedsExpiry,
        Rule::Gate,
        Rule::NotDurable,
    ];

    /// As `force` and refusals name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::TargetUnhealthy => "target-unhealthy",
            Rule::TargetOut => "target-out",
            Rule::TargetNotReady => "target-not-ready",
            Rule::LastDc => "last-dc",
            Rule::MinDatacenters => "min-datacenters",
            Rule::Contended => "contended",
            Rule::PinNeedsExpiry => "pin-needs-expiry",
            Rule::Gate => "gate",
            Rule::NotDurable => "not-durable",
        }
    }

    /// The rule of that name.
    pub fn parse(name: &str) -> Option<Rule> {
        Rule::ALL.into_iter().find(|rule| rule.as_str() == name)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rule that refuses, and what would satisfy it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which.
    pub rule: Rule,
    /// For a person.
    pub detail: String,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Allow,
    /// The sender should know.
    Warn(String),
    /// It makes something worse.
    Refuse(Refusal),
}

/// What a rule is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The order.
    pub request: &'a Request,
    /// The same, resolved.
    pub resolved: &'a Resolved,
    /// What answers now.
    pub before: &'a RoutingTable,
    /// What would answer.
    pub after: &'a RoutingTable,
    /// Health as it is, where the tables have it as it was when a freeze began.
    pub live: Option<&'a Health>,
    /// What stands now.
    pub book: &'a Book,
    /// Services that the order is about, those that it brings back to policy included.
    pub touched: &'a BTreeSet<ServiceIx>,
    /// The revision that the order gets, or that of what stands already.
    pub revision: Revision,
    /// By the wall clock.
    pub now: SystemTime,
    /// What orders may not do here.
    pub settings: &'a OrderSettings,
}

/// What the rules say together.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Judgement {
    /// Of rules that were not overridden. Empty: it may be done.
    pub refusals: Vec<Refusal>,
    /// Rules that refuse, and were overridden by name.
    pub overridden: BTreeSet<Rule>,
    /// What the sender should know.
    pub warnings: Vec<String>,
}

/// Asks every rule but [`not_durable`], which only the store can answer.
pub fn judge(case: &Case<'_>) -> Judgement {
    let scene = Scene::new(case);
    let mut judgement = Judgement::default();
    for (_, verdict) in verdicts(&scene) {
        judgement.add(case.request, verdict);
    }
    judgement.warnings.extend(scene.warnings());
    judgement
}

/// What each rule says.
pub(super) fn verdicts(scene: &Scene<'_>) -> [(Rule, Verdict); 8] {
    [
        (Rule::Gate, gate(scene.case)),
        (Rule::PinNeedsExpiry, pin_needs_expiry(scene.case)),
        (Rule::Contended, contended(scene)),
        (Rule::TargetOut, target_out(scene)),
        (Rule::TargetUnhealthy, target_unhealthy(scene)),
        (Rule::TargetNotReady, target_not_ready(scene)),
        (Rule::LastDc, last_dc(scene)),
        (Rule::MinDatacenters, min_datacenters(scene.case)),
    ]
}

/// Asks the rules about the target alone: of an order that changes nothing, and whose target does not answer.
pub(super) fn judge_target(case: &Case<'_>) -> Judgement {
    let scene = Scene::new(case);
    let mut judgement = Judgement::default();
    for verdict in [target_out(&scene), target_unhealthy(&scene), target_not_ready(&scene)] {
        judgement.add(case.request, verdict);
    }
    judgement
}

impl Judgement {
    /// Adds what one more rule says.
    pub fn add(&mut self, request: &Request, verdict: Verdict) {
        match verdict {
            Verdict::Allow => {}
            Verdict::Warn(warning) => self.warnings.push(warning),
            Verdict::Refuse(refusal) => {
                let is_pin = matches!(request.order, super::Order::Switch { mode: SwitchMode::Pin, .. });
                let needs_pin = refusal.rule == Rule::TargetUnhealthy && !is_pin;
                match (request.force.contains(&refusal.rule), needs_pin) {
                    (true, false) => {
                        self.warnings.push(format!("{} was overridden: {}", refusal.rule, refusal.detail));
                        self.overridden.insert(refusal.rule);
                    }
                    (true, true) => self
                        .refusals
                        .push(Refusal { detail: format!("{}; forcing it needs mode: pin", refusal.detail), ..refusal }),
                    (false, _) => self.refusals.push(refusal),
                }
            }
        }
    }
}

pub(super) fn refuse(rule: Rule, detail: impl Into<String>) -> Verdict {
    Verdict::Refuse(Refusal { rule, detail: detail.into() })
}

/// `not-durable`: why the store does not take orders now, if it does not.
pub fn not_durable(why: Option<&str>) -> Verdict {
    match why {
        None => Verdict::Allow,
        Some(why) => refuse(
            Rule::NotDurable,
            format!(
                "{why}: the order would not survive a restart; mend the store, or force it and order it again later"
            ),
        ),
    }
}

fn gate(case: &Case<'_>) -> Verdict {
    let sender = &case.request.sender;
    match case.book.gate(&sender.role).filter(|_| sender.is_robot) {
        None => Verdict::Allow,
        Some(closed) => refuse(
            Rule::Gate,
            format!(
                "{} closed the gate to robots (revision {}{}); a person may order, or open it",
                closed.by.actor,
                closed.revision,
                because(&closed.reason)
            ),
        ),
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn pin_needs_expiry(case: &Case<'_>) -> Verdict {
    let Deed::Switch { mode: SwitchMode::Pin, .. } = &case.resolved.deed else { return Verdict::Allow };
    let longest = Duration::from_secs(limits::PIN_MAX_S);
    match case.request.expires_in {
        Some(expires_in) if expires_in <= longest => Verdict::Allow,
        Some(_) => refuse(Rule::PinNeedsExpiry, "a pin stands for 24 h at most: name a shorter expires_in"),
        None => refuse(Rule::PinNeedsExpiry, "a pin holds even when its target is down: name expires_in, up to 24 h"),
    }
}

fn target_out(scene: &Scene<'_>) -> Verdict {
    let Some(target) = &scene.target else { return Verdict::Allow };
    let (mut bad, mut sent) = (BTreeMap::new(), BTreeSet::new());
    for shift in scene.sent(target) {
        sent.insert(shift.service);
        let after = &scene.standings[&shift.service].1;
        if scene.reach(target, shift).iter().all(|endpoint| after[endpoint.at()].bar.is_some()) {
            let name = scene.names.name(shift.service);
            bad.insert(shift.service, format!("{} is ordered out for {name}: undrain it first", list(&target.ids)));
        }
    }
    scene.weigh(Rule::TargetOut, bad, sent.len())
}

fn target_unhealthy(scene: &Scene<'_>) -> Verdict {
    let Some(target) = &scene.target else { return Verdict::Allow };
    let (mut bad, mut sent) = (BTreeMap::new(), BTreeSet::new());
    for shift in scene.sent(target) {
        sent.insert(shift.service);
        let (before, after) = &scene.standings[&shift.service];
        let theirs = scene.reach(target, shift).into_iter().map(|endpoint| rank(&after[endpoint.at()])).max();
        let theirs = theirs.unwrap_or(Rank::Nothing);
        let now = scene.serving(scene.case.before, before, shift);
        // What is ordered out has a rule of its own.
        if theirs < now && theirs > Rank::Nothing {
            let text = format!(
                "{} is {} for {}, and what serves now is {}",
                list(&target.ids),
                theirs.as_str(),
                scene.names.name(shift.service),
                now.as_str()
            );
            bad.insert(shift.service, text);
        }
    }
    scene.weigh(Rule::TargetUnhealthy, bad, sent.len())
}

fn target_not_ready(scene: &Scene<'_>) -> Verdict {
    let Some(target) = &scene.target else { return Verdict::Allow };
    let (mut bad, mut sent) = (BTreeMap::new(), BTreeSet::new());
    for shift in scene.sent(target) {
        sent.insert(shift.service);
        let reach = scene.reach(target, shift);
        let before = &scene.standings[&shift.service].0;
        let Some(why) = not_ready(scene, shift, &reach) else { continue };
        // To what is not ready one goes when nothing else is up.
        if scene.serving(scene.case.before, before, shift) == Rank::Up {
            let name = scene.names.name(shift.service);
            bad.insert(shift.service, format!("{} is not ready for {name}: {why}", list(&target.ids)));
        }
    }
    scene.weigh(Rule::TargetNotReady, bad, sent.len())
}

/// Why the tiers in which these endpoints stand may not be entered; `None`: one of them may. What keeps a tier from
/// being entered by itself, a delay or `enter: manual`, is met by an order; the checks that it asks for are not.
fn not_ready(scene: &Scene<'_>, shift: &Shift, reach: &[EndpointIx]) -> Option<String> {
    let tiers = scene.route(shift).tiers.as_ref().filter(|tiers| tiers.method == Method::Ordered)?;
    let mut why = None;
    for (at, tier) in tiers.members.iter().enumerate() {
        let endpoints = match &tier.node {
            Node::Endpoint(endpoint) => vec![*endpoint],
            Node::Pool(pool) => pool.endpoints(),
        };
        if !endpoints.iter().any(|endpoint| reach.contains(endpoint)) {
            continue;
        }
        let key = (shift.service, shift.region, u16::try_from(at).unwrap_or(u16::MAX));
        match scene.case.before.facts().entries.get(&key).filter(|_| !tier.entry.is_free()) {
            Some(EntryState::Unmet(text)) => why = Some(text.clone()),
            Some(EntryState::Met | EntryState::ByOrder(_)) | None => return None,
        }
    }
    why
}

fn last_dc(scene: &Scene<'_>) -> Verdict {
    // The rules about its target say more of a switch that leads to what is down.
    let least = if scene.target.is_some() { Rank::Nothing } else { Rank::Down };
    let mut bad: BTreeMap<ServiceIx, String> = BTreeMap::new();
    for shift in &scene.shifts {
        let (before, after) = &scene.standings[&shift.service];
        let was = scene.serving(scene.case.before, before, shift);
        let will = scene.serving(scene.case.after, after, shift);
        if will < was && will <= least {
            let what = match will {
                Rank::Nothing => "nothing would be left to answer",
                Rank::Down | Rank::Unknown | Rank::Up => "nothing that is up would be left to answer",
            };
            let (region, name) = (scene.names.region(shift.region), scene.names.name(shift.service));
            bad.entry(shift.service).or_insert_with(|| format!("{what} clients of {region} for {name}"));
        }
    }
    let shown: Vec<&str> = bad.values().take(limits::WARNING_NAMES_MAX).map(String::as_str).collect();
    match bad.len() {
        0 => Verdict::Allow,
        count => {
            let frozen = match scene.case.live {
                Some(_) => {
                    "; clients stay where they were when the freeze began: unfreeze, or order out what is down too"
                }
                None => "",
            };
            refuse(Rule::LastDc, format!("{} ({count} services){frozen}", shown.join("; ")))
        }
    }
}

fn min_datacenters(case: &Case<'_>) -> Verdict {
    let Some(least) = case.settings.min_datacenters else { return Verdict::Allow };
    let (was, will) = (usable(case.before), usable(case.after));
    match will < was && will < usize::from(least) {
        false => Verdict::Allow,
        true => refuse(
            Rule::MinDatacenters,
            format!("{will} data centres would stay usable, of {was} now; at least {least} must"),
        ),
    }
}

/// Data centres with anything that is up and not ordered out.
fn usable(table: &RoutingTable) -> usize {
    let policy = table.base().policy();
    let mut usable: BTreeSet<DatacenterIx> = BTreeSet::new();
    for (at, service) in policy.services.iter().enumerate() {
        let standings = standings(service, ServiceIx::from_at(at), table.facts());
        let up = service.endpoints().filter(|(ix, _)| standings[ix.at()].is_usable(Floor::Held));
        usable.extend(up.map(|(_, endpoint)| endpoint.datacenter));
        if usable.len() == policy.datacenters.len() {
            break;
        }
    }
    usable.len()
}

fn contended(scene: &Scene<'_>) -> Verdict {
    let Some(target) = &scene.target else { return Verdict::Allow };
    let case = scene.case;
    let window = Duration::from_secs(limits::CONTENDED_S);
    let newest = case.book.recent().rev().find(|(_, recent, whom)| {
        recent.age(case.now) < window
            && whom.meets(target.whom)
            && recent.to != target.ids
            && !recent.by.is_same_as(&case.request.sender)
            && scene.is_usable(&recent.to)
    });
    // Who spoke last is who counts: after somebody has been overruled, or has agreed, there is no more to contend.
    let is_overruled = newest.is_some_and(|(revision, _, whom)| {
        let mut later = case.book.recent().filter(|(other, ..)| *other > revision);
        later.any(|(.., theirs)| theirs.holds(whom))
    });
    match newest.filter(|_| !is_overruled) {
        None => Verdict::Allow,
        Some((revision, recent, _)) => {
            let age = recent.age(case.now).as_secs();
            refuse(
                Rule::Contended,
                format!(
                    "{} ordered {} {age} s ago (revision {}), and it is usable; agree with them, or wait {} s",
                    recent.by.actor,
                    list(&recent.to),
                    revision,
                    limits::CONTENDED_S.saturating_sub(age)
                ),
            )
        }
    }
}
