//! Rules that may refuse an order: each a pure function of the state before, the state after, and the order.
//!
//! A rule refuses only what the order makes worse. That several things are broken is no reason: who is nowhere served
//! well can be sent anywhere. `force` must name each rule that it overrides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::book::{Book, list};
use super::impact::{Shift, shifts};
use super::names::{Names, Resolved};
use super::order::{Deed, ELSEWHERE, Request, SwitchMode, Whom};
use crate::limits;
use crate::model::{DatacenterIx, EndpointIx, EntryState, Method, Node, OrderSettings, Route, ServiceIx, State};
use crate::steer::{Floor, Standing};
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
    /// What stands now.
    pub book: &'a Book,
    /// Services that the order is about, those that it brings back to policy included.
    pub touched: &'a BTreeSet<ServiceIx>,
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
    let verdicts = [
        gate(case),
        pin_needs_expiry(case),
        contended(&scene),
        target_out(&scene),
        target_unhealthy(&scene),
        target_not_ready(&scene),
        last_dc(&scene),
        min_datacenters(case),
    ];
    for verdict in verdicts {
        judgement.add(case.request, verdict);
    }
    judgement.warnings.extend(scene.warnings());
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

fn refuse(rule: Rule, detail: impl Into<String>) -> Verdict {
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

/// How well something is served, or could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Not at all.
    Nothing,
    Down,
    Unknown,
    Up,
}

impl Rank {
    fn as_str(self) -> &'static str {
        match self {
            Rank::Nothing => "ordered out",
            Rank::Down => "down",
            Rank::Unknown => "not known to be up",
            Rank::Up => "up",
        }
    }
}

fn rank(standing: &Standing) -> Rank {
    match (standing.bar, standing.state()) {
        (Some(_), _) => Rank::Nothing,
        (None, State::Down) => Rank::Down,
        (None, State::Unknown) => Rank::Unknown,
        (None, State::Up) => Rank::Up,
    }
}

/// Both sides of a case, looked at once.
struct Scene<'a> {
    case: &'a Case<'a>,
    names: Names<'a>,
    standings: BTreeMap<ServiceIx, (Vec<Standing>, Vec<Standing>)>,
    shifts: Vec<Shift>,
    /// Whom the order names as the one to answer.
    target: Option<Target<'a>>,
}

struct Target<'a> {
    ids: BTreeSet<String>,
    datacenters: BTreeSet<DatacenterIx>,
    whom: &'a Whom,
    /// Only some clients move.
    is_partial: bool,
    is_home: bool,
}

impl<'a> Scene<'a> {
    fn new(case: &'a Case<'a>) -> Scene<'a> {
        let policy = case.before.base().policy();
        let names = Names::of(policy);
        let both = |ix: ServiceIx| {
            let service = &policy.services[ix.at()];
            (standings(service, ix, case.before.facts()), standings(service, ix, case.after.facts()))
        };
        let of: BTreeSet<ServiceIx> = case.touched.union(&case.resolved.services).copied().collect();
        let standings = of.iter().map(|ix| (*ix, both(*ix))).collect();
        let target = |ids: BTreeSet<String>, whom: &'a Whom, is_partial: bool, is_home: bool| Target {
            datacenters: names.datacenter_ixs(&ids),
            ids,
            whom,
            is_partial,
            is_home,
        };
        let target = match &case.resolved.deed {
            Deed::Switch { to, whom, from, .. } => Some(target(to.clone(), whom, from.is_some(), false)),
            Deed::ClearSwitch { whom, home: Some(id) } => Some(target([id.clone()].into(), whom, false, true)),
            Deed::ClearSwitch { home: None, .. }
            | Deed::Drain { .. }
            | Deed::Undrain { .. }
            | Deed::Force { .. }
            | Deed::Failback { .. }
            | Deed::Weights { .. }
            | Deed::Ttl { .. }
            | Deed::Freeze
            | Deed::Unfreeze
            | Deed::Gate { .. }
            | Deed::Undo { .. }
            | Deed::Expire { .. } => None,
        };
        let shifts = shifts(case.before, case.after, case.touched).collect();
        Scene { case, names, standings, shifts, target }
    }

    fn route(&self, shift: &Shift) -> &'a Route {
        let policy = &self.names.service(shift.service).policy;
        policy.all_routes().find(|route| route.region == shift.region).unwrap_or(&policy.elsewhere)
    }

    /// The best of what serves the clients of an outcome.
    fn serving(&self, table: &RoutingTable, standings: &[Standing], shift: &Shift) -> Rank {
        let members = table.service(shift.service).members(shift.outcome);
        members.map(|(endpoint, _)| rank(&standings[endpoint.at()])).max().unwrap_or(Rank::Nothing)
    }

    /// The target's endpoints that may answer the clients of an outcome; a geofence bounds them.
    fn reach(&self, target: &Target<'_>, shift: &Shift) -> Vec<EndpointIx> {
        let route = self.route(shift);
        let fence = route.tiers.as_ref().filter(|_| route.geofence).map(|tiers| tiers.endpoints());
        let endpoints = self.names.service(shift.service).endpoints();
        let there = endpoints.filter(|(ix, endpoint)| {
            target.datacenters.contains(&endpoint.datacenter) && fence.as_ref().is_none_or(|fence| fence.contains(ix))
        });
        there.map(|(ix, _)| ix).collect()
    }

    /// Clients whom the order sends to its target, and who are not there already.
    fn sent<'s>(&'s self, target: &'s Target<'_>) -> impl Iterator<Item = &'s Shift> {
        self.shifts.iter().filter(move |shift| {
            let is_there = self.case.resolved.services.contains(&shift.service);
            let is_meant = target.whom.covers(&self.names.name(shift.service), &self.names.region(shift.region));
            let moves = match target.is_partial {
                true => shift.from != shift.to,
                false => shift.from.is_empty() || !shift.from.is_subset(&target.datacenters),
            };
            is_there && is_meant && moves && !self.reach(target, shift).is_empty()
        })
    }

    /// What a rule says when the target is not good enough for these of all services that are sent there: an order
    /// that names services is all or nothing; else the sick endpoint of a few is a warning.
    fn weigh(&self, rule: Rule, bad: BTreeMap<ServiceIx, String>, sent: usize) -> Verdict {
        if bad.is_empty() {
            return Verdict::Allow;
        }
        let shown: Vec<String> = bad.values().take(limits::WARNING_NAMES_MAX).cloned().collect();
        let more = bad.len().saturating_sub(shown.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let text = format!("{}{more}", shown.join("; "));
        match self.case.resolved.is_named || bad.len() * 2 > sent {
            true => refuse(rule, text),
            false => Verdict::Warn(format!("{rule}, for {} of {sent} services: {text}", bad.len())),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let Some(target) = &self.target else { return warnings };
        let mut lost: BTreeSet<String> = BTreeSet::new();
        let mut fenced: BTreeSet<String> = BTreeSet::new();
        let mut left_up: BTreeSet<String> = BTreeSet::new();
        for shift in &self.shifts {
            let (service, region) = (self.names.name(shift.service), self.names.region(shift.region));
            if !self.case.resolved.services.contains(&shift.service) || !target.whom.covers(&service, &region) {
                continue;
            }
            if self.reach(target, shift).is_empty() {
                fenced.insert(format!("{region} of {service}"));
                continue;
            }
            if shift.from == shift.to {
                continue;
            }
            if !target.is_home && region != ELSEWHERE {
                lost.insert(region);
            }
            let before = &self.standings[&shift.service].0;
            for (endpoint, _) in self.case.before.service(shift.service).members(shift.outcome) {
                let datacenter = self.names.service(shift.service).endpoint(endpoint).datacenter;
                if !shift.to.contains(&datacenter) && rank(&before[endpoint.at()]) == Rank::Up {
                    left_up.insert(self.names.id(datacenter));
                }
            }
        }
        let some = |names: &BTreeSet<String>| {
            let more = names.len().saturating_sub(limits::WARNING_NAMES_MAX);
            let shown = list(names.iter().take(limits::WARNING_NAMES_MAX));
            if more > 0 { format!("{shown} and {more} more") } else { shown }
        };
        if !left_up.is_empty() {
            warnings.push(format!("{} looks up, and clients leave it", some(&left_up)));
        }
        if !lost.is_empty() {
            warnings.push(format!(
                "clients of {} lose their geography: {} answers them all",
                some(&lost),
                list(&target.ids)
            ));
        }
        if !fenced.is_empty() {
            warnings.push(format!("a geofence keeps {} on policy", some(&fenced)));
        }
        warnings
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

/// Why the tiers in which these endpoints stand may not be entered; `None`: one of them may. `enter: manual` is met by
/// an order.
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
        match scene.case.after.facts().entries.get(&key).filter(|_| !tier.entry.is_free() && !tier.entry.manual) {
            Some(EntryState::Unmet(text)) => why = Some(text.clone()),
            Some(EntryState::Met) | None => return None,
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
        count => refuse(Rule::LastDc, format!("{} ({count} services)", shown.join("; "))),
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
    let newest = case.book.recent().iter().rev().find(|recent| {
        let age = case.now.duration_since(recent.at).unwrap_or_default();
        age < window
            && recent.whom.meets(target.whom)
            && recent.to != target.ids
            && !recent.by.is_same_as(&case.request.sender)
            && scene.is_usable(&recent.to)
    });
    // Who spoke last is who counts: after somebody has been overruled, or has agreed, there is no more to contend.
    let is_overruled = newest.is_some_and(|recent| {
        let later = case.book.recent().iter().filter(|other| other.revision > recent.revision);
        later.into_iter().any(|other| other.whom.holds(&recent.whom))
    });
    match newest.filter(|_| !is_overruled) {
        None => Verdict::Allow,
        Some(recent) => {
            let age = case.now.duration_since(recent.at).unwrap_or_default().as_secs();
            refuse(
                Rule::Contended,
                format!(
                    "{} ordered {} {age} s ago (revision {}), and it is usable; agree with them, or wait {} s",
                    recent.by.actor,
                    list(&recent.to),
                    recent.revision,
                    limits::CONTENDED_S.saturating_sub(age)
                ),
            )
        }
    }
}

impl Scene<'_> {
    /// Something of it is up for a service that the order concerns.
    fn is_usable(&self, ids: &BTreeSet<String>) -> bool {
        let datacenters = self.names.datacenter_ixs(ids);
        self.standings.iter().any(|(ix, (before, _))| {
            let there = self.names.service(*ix).endpoints();
            there
                .filter(|(_, endpoint)| datacenters.contains(&endpoint.datacenter))
                .any(|(endpoint, _)| rank(&before[endpoint.at()]) == Rank::Up)
        })
    }
}
