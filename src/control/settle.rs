//! What follows from what has changed: verdicts, entry conditions and latches come to facts, and facts to a table.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::entries::Entries;
use super::moves::{Latches, Settled};
use super::orders::{Followed, Release, Settling};
use super::scene::Scene;
use super::status::Now;
use super::story;
use super::writer::{Changes, Control};
use crate::health::Verdicts;
use crate::model::{Facts, Generation, ServiceIx};
use crate::table::{RoutingTable, standings};

/// How often entry conditions and latches of one service are weighed against each other in one event: a tier that
/// opens may end a latch, and what that changes may close another. Two turns settle whatever policies say; what a
/// further one would change waits for the next event.
const TURNS_MAX: usize = 4;

impl Control {
    pub(super) fn all_services(&self) -> BTreeSet<ServiceIx> {
        (0..self.base.policy().services.len()).map(ServiceIx::from_at).collect()
    }

    /// The same as [`Control::finish`], when health's next turn has come; until then it waits, and is taken along by
    /// whatever comes first.
    pub(super) fn finish_in_turn(&mut self, changes: Changes, now: Now) {
        let has_waited = self.waiting.is_some();
        let turn = self.pace.next(now.moment);
        if turn > now.moment && (has_waited || !changes.is_empty()) {
            let (_, waiting) = self.waiting.get_or_insert_with(|| (turn, Changes::default()));
            waiting.join(changes);
            return;
        }
        let before = self.generation;
        self.finish(changes, now);
        if self.generation != before {
            self.pace.spend(now.moment);
        }
    }

    /// Weighs what was touched, publishes a table if anything is another, and tells everyone.
    pub(super) fn finish(&mut self, changes: Changes, now: Now) {
        let mut all = self.waiting.take().map(|(_, waiting)| waiting).unwrap_or_default();
        all.join(changes);
        let mut changes = all;
        changes.touched.extend(changes.transitions.iter().map(|transition| transition.key.service));
        let mut story = story::Story::default();
        let mut facts = self.facts();
        let before = self.publisher.current();
        let is_another = self.seams.eyes.is_some() && self.weigh(&mut changes.touched, &mut facts, &mut story, now);
        if is_another || changes.is_ordered {
            // What follows from an order is in its table already.
            let (is, then) = (self.facts(), before.facts());
            changes.is_new |= (&is.latches, &is.entries, &is.yields) != (&then.latches, &then.entries, &then.yields);
        }
        // While a freeze holds, health is told and moves nobody.
        changes.is_new |= !changes.transitions.is_empty() && self.lane.frozen.is_none();
        if changes.is_new {
            self.generation = Generation(self.generation.0 + 1);
            self.published_at = now.wall;
            let facts = Arc::new(self.facts());
            match Arc::ptr_eq(before.base(), &self.base) {
                true => {
                    let table = before.recompile(facts, &changes.touched, self.generation);
                    self.note_moves(&before, &table, &changes, now);
                    self.publish(table, now);
                }
                // Other files: `meridian diff` compares what they serve.
                false => self.publish(RoutingTable::compile(&self.base, facts, self.generation), now),
            }
        }
        drop(before);
        self.publisher.reclaim();
        story.tell(self.base.policy(), &changes.transitions, self.generation, self.ears(now));
        self.tell(&changes, now);
    }

    /// Of the next table.
    pub(super) fn facts(&self) -> Facts {
        self.lane.book.facts(self.base.policy(), &self.world(), &self.lane.drained)
    }

    /// What of that is no order, as routing sees it.
    pub(super) fn world(&self) -> Facts {
        self.lane.world(self.live())
    }

    /// The same without a freeze. When nobody watches, everything is up, and no condition is judged.
    pub(super) fn live(&self) -> Facts {
        let (latches, yields) = (self.latches.facts(), self.lane.holds.facts());
        match self.seams.eyes.is_some() {
            true => Facts {
                health: self.verdicts.health().clone(),
                latches,
                yields,
                entries: self.entries.facts(),
                ..Facts::all_up()
            },
            false => Facts { latches, yields, ..Facts::all_up() },
        }
    }

    /// Entry conditions and latches of the services touched, until they agree; true when one is another.
    fn weigh(
        &mut self,
        touched: &mut BTreeSet<ServiceIx>,
        facts: &mut Facts,
        story: &mut story::Story,
        now: Now,
    ) -> bool {
        if self.lane.frozen.is_some() {
            return false;
        }
        let base = Arc::clone(&self.base);
        let scene = Scene::new(&base);
        let of = |ix: ServiceIx| standings(scene.service(ix), ix, facts);
        let hold = scene.settings().orders.switch_hold;
        let yielded = self.lane.holds.settle(base.policy(), facts, touched, of, hold, (now.moment, now.wall));
        if !yielded.is_empty() {
            facts.yields = self.lane.holds.facts();
        }
        let before = self.publisher.current();
        let is_new = !yielded.is_empty();
        touched.extend(yielded);
        let scales = Scales { scene, verdicts: &self.verdicts, before: &before, now };
        let mut tell = |settled, latches: &Latches| story.add(base.policy(), settled, latches);
        is_new | scales.weigh((&mut self.latches, &mut self.entries), touched, facts, &mut tell)
    }
}

/// What latches and entry conditions are weighed on.
struct Scales<'a> {
    scene: Scene<'a>,
    verdicts: &'a Verdicts,
    before: &'a RoutingTable,
    now: Now,
}

impl Scales<'_> {
    /// Weighs until both agree; true when one is another.
    fn weigh(
        &self,
        (latches, entries): (&mut Latches, &mut Entries),
        services: &BTreeSet<ServiceIx>,
        facts: &mut Facts,
        tell: &mut dyn FnMut(Settled, &Latches),
    ) -> bool {
        let (scene, now) = (&self.scene, self.now);
        let before = Some(self.before).filter(|before| std::ptr::eq(before.base().policy(), scene.policy()));
        let since = (before, now.moment, now.wall);
        let mut is_new = false;
        for &ix in services {
            let standings = standings(scene.service(ix), ix, facts);
            let has_doors = entries.concern(ix);
            for _ in 0..TURNS_MAX {
                if has_doors && entries.judge(scene, self.verdicts, ix, &standings, now.moment) {
                    is_new = true;
                    facts.entries.extend(entries.of_service(ix));
                }
                let settled = latches.settle(scene, ix, &standings, facts, has_doors, since);
                is_new |= !settled.latched.is_empty() || !settled.released.is_empty();
                let has_moved = has_doors && entries.note(scene.policy(), ix, &settled.chosen);
                tell(settled, latches);
                if !has_moved {
                    break;
                }
            }
        }
        is_new
    }
}

/// What follows from an order is found on copies: a dry run tells it, and the deed publishes it with the order.
impl Settling for Control {
    fn settle(
        &self,
        facts: &Facts,
        services: &BTreeSet<ServiceIx>,
        release: Option<&Release>,
        is_frozen: bool,
    ) -> Option<Followed> {
        self.seams.eyes.as_ref()?;
        let (scene, now) = (Scene::new(&self.base), self.lane.seen());
        if is_frozen {
            // Nothing moves by itself; what is ordered out need not be waited for all the same.
            let doors = services.iter().copied().filter(|ix| self.entries.concern(*ix));
            let judged = |ix: ServiceIx| {
                let standings = standings(scene.service(ix), ix, facts);
                self.entries.judged(&scene, &self.verdicts, ix, &standings, now.moment)
            };
            return Some(Followed { moved: None, entries: doors.flat_map(judged).collect() });
        }
        let (mut latches, mut entries) = (self.latches.clone(), self.entries.of_services(services));
        if let Some(release) = release {
            latches.end(&self.failed_back(release).released);
        }
        let (before, mut facts) = (self.publisher.current(), facts.clone());
        let mut holds = self.lane.holds.clone();
        let of = |ix: ServiceIx| standings(scene.service(ix), ix, &facts);
        let hold = scene.settings().orders.switch_hold;
        holds.settle(self.base.policy(), &facts, services, of, hold, (now.moment, now.wall));
        let (was, is) = (self.lane.holds.facts(), holds.facts());
        facts.yields.retain(|key| is.contains(key) || !was.contains(key));
        facts.yields.extend(is.difference(&was));
        let scales = Scales { scene, verdicts: &self.verdicts, before: &before, now };
        scales.weigh((&mut latches, &mut entries), services, &mut facts, &mut |_, _| {});
        let moved = Some((latches.facts(), std::mem::take(&mut facts.yields)));
        Some(Followed { moved, entries: entries.facts().into_iter().collect() })
    }
}
