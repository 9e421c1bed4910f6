//! What the journal's lines come to: a fold, without files.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::record::{Answered, Idempotency, Order, Record, Standing};
use crate::limits;
use crate::model::Revision;

/// Octets of a carried line beside its key and value: number, time, two hashes.
const CARRIED_OVERHEAD: usize = 300;

/// What is in force, and what has been answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    standing: BTreeMap<String, (Standing, usize)>,
    standing_len: usize,
    answered: BTreeMap<String, (Answered, usize)>,
    /// Their keys, the oldest first.
    answered_order: VecDeque<String>,
    answered_len: usize,
    /// The last order in force.
    pub(super) revision: u64,
    /// The highest revision that was ever written, of refused orders too.
    pub(super) revisions_to: u64,
    /// Generations below this one may have been used.
    pub(super) generations_to: u64,
}

impl State {
    /// An order is in force from now on.
    pub(super) fn apply(&mut self, order: Order, at: SystemTime) {
        let is_housekeeping = order.is_housekeeping();
        for change in order.changes {
            match change.value {
                Some(value) => self.stand(change.key, Standing { value, revision: order.revision }),
                None => self.clear(&change.key),
            }
        }
        if let Some(idempotency) = order.idempotency {
            self.answer(Answered { idempotency, revision: order.revision, at });
        }
        if !is_housekeeping {
            self.revision = self.revision.max(order.revision.0);
        }
        self.seen(order.revision.0, order.generation.0);
    }

    /// An order with these numbers was written, whatever became of it.
    pub(super) fn seen(&mut self, revision: u64, generation: u64) {
        self.revisions_to = self.revisions_to.max(revision);
        self.generations_to = self.generations_to.max(generation.saturating_add(1));
    }

    /// A standing order.
    pub(super) fn stand(&mut self, key: String, standing: Standing) {
        self.clear(&key);
        let len = carried_len(&key, &standing.value);
        self.standing_len += len;
        self.standing.insert(key, (standing, len));
    }

    fn clear(&mut self, key: &str) {
        if let Some((_, len)) = self.standing.remove(key) {
            self.standing_len -= len;
        }
    }

    /// A request was answered. The oldest are forgotten when there are too many.
    pub(super) fn answer(&mut self, answered: Answered) {
        let Idempotency { key, request, answer } = &answered.idempotency;
        let len = key.len() + request.len() + len_of(answer) + CARRIED_OVERHEAD;
        let key = key.clone();
        let too_old = answered.at.checked_sub(Duration::from_secs(limits::IDEMPOTENCY_KEPT_S));
        if self.answered.contains_key(&key) {
            self.forget(&key);
        }
        self.answered_len += len;
        self.answered_order.push_back(key.clone());
        self.answered.insert(key, (answered, len));
        while let Some((oldest, _)) = self.answered_order.front().and_then(|key| self.answered.get(key)) {
            let is_old = too_old.is_some_and(|too_old| oldest.at < too_old);
            let are_many =
                self.answered.len() > limits::IDEMPOTENCY_KEYS_MAX || self.answered_len > limits::IDEMPOTENCY_LEN_MAX;
            if !is_old && !are_many {
                break;
            }
            let oldest = oldest.idempotency.key.clone();
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, key: &str) {
        if let Some((_, len)) = self.answered.remove(key) {
            self.answered_len -= len;
            // Nearly always the first.
            if let Some(at) = self.answered_order.iter().position(|known| known == key) {
                self.answered_order.remove(at);
            }
        }
    }

    /// What was answered to the request with this key, within the last day.
    pub(super) fn answered(&self, key: &str, now: SystemTime) -> Option<&Answered> {
        let (answered, _) = self.answered.get(key)?;
        let age = now.duration_since(answered.at).unwrap_or_default();
        (age <= Duration::from_secs(limits::IDEMPOTENCY_KEPT_S)).then_some(answered)
    }

    /// True when the standing orders still fit into the beginning of a file after this one; what makes them no
    /// longer always does.
    pub(super) fn has_room_for(&self, order: &Order) -> bool {
        let (mut set, mut cleared) = (0, 0);
        for change in &order.changes {
            cleared += self.standing.get(&change.key).map_or(0, |(_, len)| *len);
            set += change.value.as_ref().map_or(0, |value| carried_len(&change.key, value));
        }
        set <= cleared || self.standing_len + set - cleared <= limits::STANDING_LEN_MAX
    }

    /// The lines that carry it over to a new file.
    pub(super) fn carried(&self) -> impl ExactSizeIterator<Item = Record> {
        let standing = self
            .standing
            .iter()
            .map(|(key, (standing, _))| Record::Standing { key: key.clone(), standing: standing.clone() });
        let answered = self.answered_order.iter().filter_map(|key| self.answered.get(key));
        let all: Vec<Record> =
            standing.chain(answered.map(|(answered, _)| Record::Answered(answered.clone()))).collect();
        all.into_iter()
    }

    /// The standing orders.
    pub(super) fn standing(&self) -> BTreeMap<String, Standing> {
        self.standing.iter().map(|(key, (standing, _))| (key.clone(), standing.clone())).collect()
    }

    /// All answered requests, the oldest first.
    pub(super) fn all_answered(&self) -> Vec<Answered> {
        self.answered_order
            .iter()
            .filter_map(|key| self.answered.get(key))
            .map(|(answered, _)| answered.clone())
            .collect()
    }

    /// The last order in force.
    pub(super) fn last_revision(&self) -> Revision {
        Revision(self.revision)
    }
}

/// Octets of one entry among what stands, as the store reckons them.
pub fn carried_len(key: &str, value: &impl Serialize) -> usize {
    key.len() + len_of(value) + CARRIED_OVERHEAD
}

/// Octets of a value as JSON.
pub fn len_of(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail, and what is stored is always JSON.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Generation;
    use serde_json::Value;

    fn order(revision: u64, changes: &[(&str, Option<&str>)], key: Option<&str>) -> Order {
        Order {
            revision: Revision(revision),
            generation: Generation(revision * 10),
            kind: "switch".into(),
            actor: String::new(),
            reason: String::new(),
            body: Value::Null,
            changes: changes
                .iter()
                .map(|(key, value)| super::super::Change { key: (*key).into(), value: value.map(Value::from) })
                .collect(),
            idempotency: key.map(|key| Idempotency { key: key.into(), request: "r".into(), answer: revision.into() }),
        }
    }

    #[test]
    fn orders_set_and_clear_what_stands() {
        let mut state = State::default();
        let at = SystemTime::UNIX_EPOCH;
        state.apply(order(1, &[("a", Some("x")), ("b", Some("y"))], None), at);
        state.apply(order(2, &[("a", None), ("c", Some("z"))], None), at);
        let standing = state.standing();
        assert_eq!(standing.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!((standing["b"].revision, standing["c"].revision), (Revision(1), Revision(2)));
        assert_eq!((state.revision, state.generations_to), (2, 21));
    }

    #[test]
    fn answers_are_forgotten_after_a_day_and_when_there_are_too_many() {
        let mut state = State::default();
        let start = SystemTime::UNIX_EPOCH;
        state.apply(order(1, &[], Some("first")), start);
        let day = Duration::from_secs(limits::IDEMPOTENCY_KEPT_S);
        assert!(state.answered("first", start + day).is_some());
        assert!(state.answered("first", start + day + Duration::from_secs(1)).is_none());
        for n in 0..limits::IDEMPOTENCY_KEYS_MAX as u64 {
            state.apply(order(n, &[], Some(&format!("k{n}"))), start);
        }
        assert!(state.answered("first", start).is_none());
        assert!(state.answered("k0", start).is_some());
        assert_eq!(state.answered.len(), limits::IDEMPOTENCY_KEYS_MAX);
    }

    #[test]
    fn standing_orders_are_bounded() {
        let mut state = State::default();
        let long = "x".repeat(limits::STANDING_LEN_MAX / 2);
        let first = order(1, &[("a", Some(&long))], None);
        assert!(state.has_room_for(&first));
        state.apply(first, SystemTime::UNIX_EPOCH);
        assert!(!state.has_room_for(&order(2, &[("b", Some(&long))], None)));
        assert!(state.has_room_for(&order(2, &[("a", Some(&long))], None)), "in place of itself");
        assert!(state.has_room_for(&order(2, &[("a", None), ("b", Some(&long))], None)), "in place of another");
    }
}
