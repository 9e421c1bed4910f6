//! What the writer tells: the table to its readers, the status to everyone, and what should survive to the keeper.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::feed::Happened;
use super::keep::Snapshot;
use super::status::Now;
use super::story;
use super::writer::{Changes, Control};
use crate::limits;
use crate::model::{Revision, ServiceIx};
use crate::table::RoutingTable;

/// How long a publication may take to reach every reader before that is worth a warning.
const EVERYWHERE_WITHIN: Duration = Duration::from_millis(10);

impl Control {
    /// Notes whose clients the next table moves. While doors wait for the first round of probes there are no clients:
    /// what comes up one by one moves nobody.
    pub(super) fn note_moves(&mut self, before: &RoutingTable, after: &RoutingTable, changes: &Changes, now: Now) {
        let is_waited_for = !self.inbox.status().is_first_round_complete && self.seams.eyes.is_some();
        if is_waited_for && now.moment.0 < self.base.settings().health.startup_wait {
            return;
        }
        let mut found = Vec::new();
        for &ix in &changes.touched {
            found.extend(story::moves(&self.base, before, after, ix, changes.why.as_deref(), now));
        }
        if found.is_empty() {
            return;
        }
        self.moves_total += found.len() as u64;
        story::tell_moves(&found, self.ears(now));
        let moves = Arc::make_mut(&mut self.moves);
        moves.extend(found);
        let surplus = moves.len().saturating_sub(limits::MOVES_KEPT);
        moves.drain(..surplus);
    }

    /// Publishes what an order makes.
    pub(super) fn publish_order(&mut self, table: RoutingTable, changes: &Changes, now: Now) {
        let before = self.publisher.current();
        self.generation = table.generation();
        self.published_at = now.wall;
        self.note_moves(&before, &table, changes, now);
        self.publish(table, now);
    }

    /// Who is told what happens.
    pub(super) fn ears(&self, now: Now) -> story::Ears<'_> {
        let (keeper, feed) = (&*self.seams.keeper, self.inbox.feed());
        story::Ears { keeper, feed, revision: Revision(self.lane.book.revision()), now }
    }

    pub(super) fn publish(&mut self, table: RoutingTable, now: Now) {
        let (generation, revision) = (table.generation(), table.revision());
        self.inbox.tallied().serves(table.base());
        self.publisher.publish(table);
        let text = format!("generation {} serves", generation.0);
        self.inbox.feed().tell(Happened::Generation, now.wall, (generation, revision), text, Value::Null);
        let published = Instant::now();
        while !self.publisher.is_everywhere(generation) {
            if published.elapsed() > EVERYWHERE_WITHIN {
                tracing::warn!(generation = generation.0, "some worker still answers from an older table");
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Blocks of the status are of other files.
    pub(super) fn forget_statuses(&mut self) {
        (self.kept_addresses, self.address_statuses) = (Vec::new(), Vec::new());
    }

    fn lane_alarms(&self, now: Now) -> Vec<String> {
        let refusal = self.seams.journal.as_ref().and_then(|journal| journal.refusal());
        let refusal = refusal.map(|why| format!("nothing can be stored, so orders are refused: {why}"));
        let reading = self.reading.alarm(now.moment);
        self.lane.alarms().into_iter().chain(refusal).chain(reading).collect()
    }

    /// Publishes the status, and hands what should survive to the keeper.
    pub(super) fn tell(&mut self, changes: &Changes, now: Now) {
        let services = self.base.policy().services.len();
        let blocks = services.div_ceil(limits::CHUNK_SERVICES);
        let is_first = self.address_statuses.len() != blocks;
        let stale: BTreeSet<usize> = match is_first {
            true => (0..blocks).collect(),
            false => changes.touched.iter().map(|service| service.at() / limits::CHUNK_SERVICES).collect(),
        };
        if is_first {
            self.address_statuses = vec![Arc::default(); blocks];
            self.report_statuses = vec![Arc::default(); blocks];
            self.kept_addresses = vec![Arc::default(); blocks];
        }
        for block in stale {
            let first = block * limits::CHUNK_SERVICES;
            let services = ServiceIx::from_at(first)..ServiceIx::from_at(first + limits::CHUNK_SERVICES);
            self.report_statuses[block] = story::reports(&self.verdicts, services.clone(), now);
            let (statuses, kept) = story::addresses(self.base.policy(), &self.verdicts, services, now);
            self.address_statuses[block] = statuses;
            if *self.kept_addresses[block] != *kept {
                self.kept_addresses[block] = kept;
            }
        }
        let table = self.publisher.current();
        let parts = story::Parts {
            table: &table,
            base: &self.base,
            verdicts: &self.verdicts,
            latches: &self.latches,
            entries: &self.entries,
            is_watching: self.seams.eyes.is_some(),
            blindness: self.blindness.clone(),
            not_probed: Arc::clone(&self.not_probed),
            moves: (Arc::clone(&self.moves), self.moves_total),
            addresses: self.address_statuses.clone(),
            targets: Arc::clone(&self.targets),
            reports: self.report_statuses.clone(),
            published_at: self.published_at,
            book: Arc::clone(&self.lane.book),
            alarms: self.lane_alarms(now),
        };
        self.inbox.publish(parts.status(now));
        if changes.is_new || changes.is_ordered {
            self.seams.keeper.keep(&Snapshot {
                generation: table.generation(),
                revision: table.revision(),
                latches: self.latches.kept(self.base.policy()).into(),
                entered: self.entries.kept(self.base.policy()).into(),
                yields: self.lane.holds.kept(self.base.policy()).into(),
                addresses: self.kept_addresses.clone(),
            });
        }
    }
}
