//! What waits for a person, each with the command to type.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{SERVICES_NAMED, View, time_or_null};
use crate::control::Happened;
use crate::limits::{REFUSAL_SHOWN_S, REFUSALS_SHOWN_MAX};
use crate::model::DatacenterId;

/// So long after a late probe, lateness is among what waits for a person.
const LATE_IS_NEWS: Duration = Duration::from_secs(60);

/// Events among which refused orders are sought: those of the last moves.
const REFUSALS_SOUGHT: u64 = 1_024;

/// One thing that waits.
fn item(
    what: &str,
    datacenter: Option<(&str, &str)>,
    services: Vec<String>,
    since: Option<SystemTime>,
    command: Option<String>,
) -> Value {
    let service = match services.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    };
    json!({
        "what": what,
        "datacenter": datacenter.map(|(short, _)| short),
        "id": datacenter.map(|(_, id)| id),
        "service": service,
        "services": services,
        "since": time_or_null(since),
        "command": command,
    })
}

impl View {
    /// What waits for a person: first what has recovered, with the command that lets clients come back.
    pub(in crate::api) fn waiting(&self) -> Vec<Value> {
        let alarms = self.status.alarms.iter().map(|what| item(what, None, Vec::new(), None, None));
        let told = self.refused().into_iter().chain(self.recovered());
        told.chain(alarms).chain(self.lateness()).collect()
    }

    /// Probes that began late not long ago: then a fall is noticed late, too.
    fn lateness(&self) -> Option<Value> {
        let sightings = self.sightings.as_ref()?;
        let is_recent = sightings.now().since(sightings.late_at()?) < LATE_IS_NEWS;
        let what = "probes of this node begin late, so falls are noticed late: its processors are too busy, or \
                    `health.concurrency` is too low";
        is_recent.then(|| item(what, None, Vec::new(), None, None))
    }

    /// Orders that were refused or failed, and after which none was carried out: perhaps nobody has looked. The newest
    /// first.
    fn refused(&self) -> Vec<Value> {
        let next = self.feed.next();
        let told = self.feed.since(next.saturating_sub(REFUSALS_SOUGHT), REFUSALS_SOUGHT as usize).told;
        let since = SystemTime::now() - Duration::from_secs(REFUSAL_SHOWN_S);
        let last = told.into_iter().rev().filter(|told| match told.what {
            Happened::Refused | Happened::Failed | Happened::Ordered => true,
            Happened::Health
            | Happened::Latched
            | Happened::LatchEnded
            | Happened::Moved
            | Happened::Blind
            | Happened::SeesAgain
            | Happened::Generation => false,
        });
        last.take_while(|told| told.what != Happened::Ordered && told.at >= since)
            .take(REFUSALS_SHOWN_MAX)
            .map(|told| {
                let word = if told.what == Happened::Refused { "an order was REFUSED: " } else { "" };
                let what = format!("{word}{}", told.text);
                item(&what, None, Vec::new(), Some(told.at), Some("meridian history --since 1h".to_owned()))
            })
            .collect()
    }

    /// Data centres that clients could come back to, each once.
    fn recovered(&self) -> Vec<Value> {
        let mut by_datacenter: BTreeMap<&DatacenterId, (BTreeSet<String>, SystemTime)> = BTreeMap::new();
        for latch in self.status.waiting_for_you() {
            let since = latch.up_since.unwrap_or(latch.since);
            let entry = by_datacenter.entry(&latch.datacenter).or_insert((BTreeSet::new(), since));
            entry.0.insert(latch.service.to_string());
            entry.1 = entry.1.min(since);
        }
        let item = |(id, (services, since)): (&DatacenterId, (BTreeSet<String>, SystemTime))| {
            let short = self.short_of(id);
            let what = format!("{short} has recovered, waiting for you to let clients come back");
            let services = services.into_iter().take(SERVICES_NAMED).collect();
            item(&what, Some((short, id.as_str())), services, Some(since), Some(format!("meridian failback {short}")))
        };
        by_datacenter.into_iter().map(item).collect()
    }
}
