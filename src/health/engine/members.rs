//! Who is watched: targets come, stay and go.

use super::super::Target;
use super::super::schedule::{hash, part, spread};
use super::super::watch::LOST_AFTER;
use super::*;
use crate::model::{CheckSpec, Probe, ProbeHost, TcpProbe};

/// A witness is asked for a connection so often, and has so long to answer.
const WITNESS_INTERVAL: Duration = Duration::from_secs(1);

fn witness_spec(address: SocketAddr) -> TargetSpec {
    TargetSpec {
        check: Arc::new(CheckSpec {
            probe: Probe::Tcp(TcpProbe::default()),
            host: None,
            port: None,
            interval: WITNESS_INTERVAL,
            fast_interval: WITNESS_INTERVAL,
            timeout: WITNESS_INTERVAL,
            max_response: WITNESS_INTERVAL,
            fall: 1,
            rise: 1,
            fail_ratio: None,
            silence_is_down: false,
        }),
        host: ProbeHost::Address(address.ip()),
        port: address.port(),
        service: Arc::from(""),
        query: Arc::from(""),
    }
}

impl Engine {
    pub(super) fn add_witnesses(&mut self, addresses: &[SocketAddr], now: Moment) {
        for (at, &address) in (0_u64..).zip(addresses) {
            let target = TargetId(u64::MAX - at);
            self.witnesses.push((address, target));
            self.insert(target, Arc::new(witness_spec(address)), Source::Witness, None, now, addresses.len());
        }
        self.looks.set_witnesses(self.witnesses.iter().map(|(_, target)| *target).collect());
    }

    /// The witnesses, and whether each answers.
    pub fn witnesses(&self) -> impl Iterator<Item = (SocketAddr, State)> + '_ {
        self.witnesses.iter().filter_map(|(address, target)| Some((*address, self.entries.get(target)?.published)))
    }

    /// Watches these targets from now on. Those whose ids stay keep their state, their history and the probes
    /// that are out, whatever `remembered` says; the others are dropped. New ones are spread.
    pub fn set_targets(&mut self, now: Moment, targets: Vec<Target>) {
        let ids: BTreeSet<TargetId> = targets.iter().map(|target| target.id).collect();
        let gone: Vec<TargetId> = self
            .entries
            .iter()
            .filter(|(id, entry)| entry.source != Source::Witness && !ids.contains(id))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.drop_target(now, id);
        }
        self.changes.retain(|change| ids.contains(&change.target));
        let new = targets.iter().filter(|target| !self.entries.contains_key(&target.id)).count();
        for Target { id, spec, datacenter, remembered } in targets {
            if matches!(spec.check.probe, Probe::External) {
                continue;
            }
            match self.entries.get_mut(&id) {
                Some(entry) if entry.source == Source::Witness => {}
                Some(entry) => entry.source = Source::Target(datacenter),
                None => {
                    if let (Some(State::Up), Some(datacenter)) = (remembered, &datacenter) {
                        self.sight.was_up(now, datacenter);
                    }
                    self.insert(id, spec, Source::Target(datacenter), remembered, now, new);
                }
            }
        }
        let mut by_datacenter: BTreeMap<&DatacenterId, Vec<TargetId>> = BTreeMap::new();
        for (id, entry) in &self.entries {
            if let Source::Target(Some(datacenter)) = &entry.source {
                by_datacenter.entry(datacenter).or_default().push(*id);
            }
        }
        self.sight.retain(&by_datacenter.keys().map(|id| (*id).clone()).collect());
        self.looks.set_targets(by_datacenter);
    }

    /// This process stood still for a while, so much is due at once: what is, settles its phase anew.
    pub fn was_still(&mut self, now: Moment) {
        for entry in self.entries.values_mut() {
            entry.is_spread |= entry.watch.planned() <= now;
        }
    }

    /// `new`: how many come with it.
    fn insert(
        &mut self,
        target: TargetId,
        spec: Arc<TargetSpec>,
        source: Source,
        remembered: Option<State>,
        now: Moment,
        new: usize,
    ) {
        let interval = spec.check.interval;
        let width = if remembered.is_some() { interval } else { spread(new, interval) };
        let first = now + part(width, hash(self.seed, target, u64::MAX));
        let watch = Watch::new(spec, remembered, first);
        let (published, is_unsaid) = (watch.state(), watch.is_stale());
        let entry =
            Entry { watch, source, published, since: now, wake: None, is_due: false, is_spread: true, is_unsaid };
        self.entries.insert(target, Box::new(entry));
        self.reschedule(target);
    }

    fn drop_target(&mut self, now: Moment, target: TargetId) {
        self.sight.forget(target);
        if let Some(entry) = self.entries.remove(&target) {
            self.schedule.wake(target, entry.wake, None);
            let given_up = now + entry.watch.check().timeout + LOST_AFTER;
            self.orphans.extend(entry.watch.in_flight().map(|number| (number, given_up)));
        }
    }
}
