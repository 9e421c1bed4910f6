//! What is told of an order: to its sender, to the journal, to the audit log.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::book::Entry;
use super::flow::{Assessment, Draft, Ground};
use super::impact::Impact;
use super::left::active;
use super::names::{Names, Resolved};
use super::order::{Deed, Request};
use super::refused::OrderRefused;
use super::rules::{Judgement, Rule};
use crate::limits;
use crate::model::{DatacenterIx, Revision};
use crate::store;
use crate::table::RoutingTable;

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
    /// How many more there are.
    #[serde(default)]
    pub services_omitted: usize,
    /// Services that it leaves on policy.
    pub services_skipped: Vec<String>,
    /// How many more there are.
    #[serde(default)]
    pub services_skipped_omitted: usize,
    /// What an undo takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<Undone>,
    /// Rules that were overridden.
    pub forced: BTreeSet<Rule>,
    /// What changes for clients.
    pub impact: Impact,
    /// What its sender should know.
    pub warnings: Vec<String>,
}

/// The order that an undo takes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Its revision.
    pub revision: u64,
    /// What it was.
    pub kind: String,
}

impl Answer {
    /// What is kept of it to answer a repetition: of each list only the beginning, and how much more there was. Ten
    /// thousand names would fit no line of the journal.
    pub fn bounded(&self) -> Answer {
        let (services, more) = beginning(&self.services);
        let (services_skipped, more_skipped) = beginning(&self.services_skipped);
        let (changes, more_changes) = beginning(&self.impact.changes);
        let (capacity, _) = beginning(&self.impact.capacity);
        let (refused_by, _) = beginning(&self.impact.refused_by);
        let (mut warnings, more_warnings) = beginning(&self.warnings);
        if more_warnings > 0 {
            warnings.push(format!("and {more_warnings} more warnings, which were told when it was done"));
        }
        let omitted = self.impact.omitted + more_changes;
        Answer {
            services,
            services_omitted: self.services_omitted + more,
            services_skipped,
            services_skipped_omitted: self.services_skipped_omitted + more_skipped,
            impact: Impact { changes, omitted, capacity, refused_by, ..self.impact.clone() },
            warnings,
            ..self.clone()
        }
    }
}

/// The beginning of a list that an answer may keep, and how much more there is.
fn beginning<T: Clone + Serialize>(list: &[T]) -> (Vec<T>, usize) {
    let mut len = 0;
    let fits = |one: &&T| {
        len += store::len_of(one) + 1;
        len <= limits::ANSWER_LIST_LEN_MAX
    };
    let kept: Vec<T> = list.iter().take_while(fits).cloned().collect();
    let more = list.len() - kept.len();
    (kept, more)
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
        services_omitted: 0,
        services_skipped: resolved.skipped.iter().map(|ix| names.name(*ix)).collect(),
        services_skipped_omitted: 0,
        undone: match &resolved.deed {
            Deed::Undo { revision } => {
                let kind = ground.book.past_kind(*revision).unwrap_or_default().to_owned();
                Some(Undone { revision: *revision, kind })
            }
            Deed::Switch { .. }
            | Deed::ClearSwitch { .. }
            | Deed::Drain { .. }
            | Deed::Undrain { .. }
            | Deed::Force { .. }
            | Deed::Failback { .. }
            | Deed::Weights { .. }
            | Deed::Ttl { .. }
            | Deed::Freeze
            | Deed::Unfreeze
            | Deed::Gate { .. }
            | Deed::Expire { .. } => None,
        },
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
        kind: resolved.deed.kind().to_owned(),
        actor: request.sender.actor.clone(),
        reason: request.reason.clone(),
        body: json!({
            "said": request.order,
            "did": said_briefly(&resolved.deed),
            "by": request.sender,
            "expires_in_s": request.expires_in.map(|time| time.as_secs()),
            "overridden": judgement.overridden,
        }),
        changes: changes.into_iter().map(|(key, value): Entry| store::Change { key, value }).collect(),
        idempotency,
    }
}

/// A deed as the audit log has it. What is very long is said in the order's own words already: a line is bounded.
fn said_briefly(deed: &Deed) -> Value {
    let value = serde_json::to_value(deed).unwrap_or_default();
    match value.to_string().len() > limits::DEED_LEN_MAX {
        true => json!({ "deed": deed.kind(), "omitted": true }),
        false => value,
    }
}

/// The entry of the audit log for an order that was refused: as visible as a deed.
pub fn note_refusal(request: &Request, refused: &OrderRefused, ground: &Ground<'_>) -> store::Note {
    let rules: Vec<&str> = refused.rules().iter().map(|refusal| refusal.rule.as_str()).collect();
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
