//! The reference automation as data: how the data centre dies × when the PUT comes × what is lost, with the real engine
//! probing on virtual time and orders taking the whole way through the writer.
//!
//! Its facts: one PUT, once, without looking at the answer; perhaps minutes after health has moved the traffic, perhaps
//! never. Ten seconds after it the target's pods are restarted, so the target dips. Much later what was lost comes back,
//! and may still believe that it is the primary.

use std::cell::RefCell;
use std::rc::Rc;

use super::house::{REFERENCE, switch};
use super::world::{Death, World, ms, settings};
use crate::control::NotOrdered;
use crate::control::orders::OrderRefused;

/// How the lost data centres die: the column of the table that a test loops over.
const DEATHS: [(&str, Death); 3] =
    [("refused connection", Death::Refused), ("black hole", Death::BlackHole), ("hang", Death::Silent)];

/// When it is lost, and when it is back. A fall is noticed by [`NOTICED_S`].
const LOST_S: u64 = 30;
const NOTICED_S: u64 = 40;
const BACK_S: u64 = 600;
const END_S: u64 = 4200;

/// Who serves Beijing, Shanghai and elsewhere while nothing is wrong.
const WELL: &str = "dc1 dc3 dc1+dc2+dc3";

/// What is lost, and when the PUT comes; what each PUT comes to; from when until when who serves Beijing, Shanghai and
/// elsewhere (`*`: this row does not say). Within a span the answer never changes, not for a second.
struct Cell {
    lost: &'static str,
    when: &'static str,
    puts: &'static [(u64, &'static str)],
    /// The target is down by itself in this span, before any restart of its pods.
    dip: Option<(u64, u64)>,
    spans: &'static [(u64, u64, &'static str)],
}

#[rustfmt::skip]
const MATRIX: &[Cell] = &[
    Cell { lost: "dc1", when: "before health moved", puts: &[(32, "changed")], dip: None,
        spans: &[(1, 32, WELL), (32, END_S, "dc2 dc2 dc2")] },
    Cell { lost: "dc1", when: "after health moved", puts: &[(60, "changed")], dip: None,
        spans: &[(1, 30, WELL), (NOTICED_S, 60, "dc2 dc3 dc2+dc3"), (60, END_S, "dc2 dc2 dc2")] },
    // It would send everybody from what is up to what is down: the one order that is refused. Nobody goes to dc1, and
    // by themselves nobody of a policy with an order goes back to dc2 either; elsewhere, policy is random and `auto`.
    Cell { lost: "dc1", when: "in a dip of the target", puts: &[(70, "target-unhealthy")], dip: Some((45, 90)),
        spans: &[(1, 30, WELL), (NOTICED_S, 45, "dc2 dc3 dc2+dc3"), (55, 90, "dc3 dc3 dc3"), (90, END_S, "dc3 dc3 *"),
            (150, BACK_S, "dc3 dc3 dc2+dc3"), (BACK_S + 100, END_S, "dc3 dc3 dc1+dc2+dc3")] },
    Cell { lost: "dc1", when: "twice", puts: &[(32, "changed"), (75, "the first")], dip: None,
        spans: &[(1, 32, WELL), (32, END_S, "dc2 dc2 dc2")] },
    Cell { lost: "dc1", when: "never", puts: &[], dip: None,
        spans: &[(1, 30, WELL), (NOTICED_S, BACK_S, "dc2 dc3 dc2+dc3"), (BACK_S, END_S, "dc2 dc3 *"),
            (BACK_S + 100, END_S, "dc2 dc3 dc1+dc2+dc3")] },
    Cell { lost: "dc1 dc2", when: "before health moved", puts: &[(32, "changed")], dip: None,
        spans: &[(1, 32, WELL), (32, END_S, "dc3 dc3 dc3")] },
    Cell { lost: "dc1 dc2", when: "after health moved", puts: &[(60, "changed")], dip: None,
        spans: &[(1, 30, WELL), (NOTICED_S, END_S, "dc3 dc3 dc3")] },
    // Nothing is up, so nothing is made worse.
    Cell { lost: "dc1 dc2", when: "in a dip of the target", puts: &[(70, "changed")], dip: Some((45, 90)),
        spans: &[(1, 30, WELL), (NOTICED_S, 45, "dc3 dc3 dc3"), (70, END_S, "dc3 dc3 dc3")] },
    Cell { lost: "dc1 dc2", when: "twice", puts: &[(32, "changed"), (75, "the first")], dip: None,
        spans: &[(1, 32, WELL), (32, END_S, "dc3 dc3 dc3")] },
    Cell { lost: "dc1 dc2", when: "never", puts: &[], dip: None,
        spans: &[(1, 30, WELL), (NOTICED_S, BACK_S, "dc3 dc3 dc3"), (BACK_S, END_S, "dc3 dc3 *"),
            (BACK_S + 100, END_S, "dc3 dc3 dc1+dc2+dc3")] },
];

/// A data centre is dead in this way, from then until then.
type Outages = Rc<RefCell<Vec<(String, u64, u64, Death)>>>;

impl World {
    /// The reference automation's one call.
    fn put(&mut self, target: &str) -> String {
        self.house.now_s = self.now.0.as_secs();
        let (revision, generation) = (self.house.status().revision, self.house.generation());
        let mut order = switch(target);
        order.sender.actor = "failover-controller".into();
        match self.house.order(order) {
            Ok(done) => {
                assert!(done.is_durable && !done.is_repeated);
                let active = done.answer.active_dc.as_deref().map(|id| id[..3].to_owned());
                assert_eq!(active.as_deref(), Some(target));
                match done.answer.changed {
                    true => {
                        assert_eq!((done.answer.revision, self.house.generation()), (revision.0 + 1, generation + 1));
                        "changed".to_owned()
                    }
                    false => {
                        assert_eq!((done.answer.revision, self.house.generation()), (revision.0, generation));
                        "the first".to_owned()
                    }
                }
            }
            Err(NotOrdered::Refused(OrderRefused::Rules { refusals })) => {
                assert_eq!((self.house.status().revision, self.house.generation()), (revision, generation));
                assert!(refusals.iter().all(|refusal| !refusal.detail.is_empty()), "{refusals:?}");
                let rules: Vec<&str> = refusals.iter().map(|refusal| refusal.rule.as_str()).collect();
                rules.join(" ")
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Plays one cell; `dip_s` is how long the target's pods take to restart after a PUT that was carried out.
fn play(cell: &Cell, death: Death, dip_s: u64, row: &str) {
    let outages: Outages = Rc::default();
    let lost: Vec<&str> = cell.lost.split(' ').collect();
    let target = if lost.len() == 1 { "dc2" } else { "dc3" };
    outages.borrow_mut().extend(lost.iter().map(|place| ((*place).to_owned(), LOST_S, BACK_S, death)));
    if let Some((from, to)) = cell.dip {
        outages.borrow_mut().push((target.to_owned(), from, to, Death::Refused));
    }
    let seen = Rc::clone(&outages);
    let network = move |place: &str, at| {
        let is_now = |from, to| at >= ms(1000 * from) && at < ms(1000 * to);
        let seen = seen.borrow();
        seen.iter().find(|(dead, from, to, _)| dead == place && is_now(*from, *to)).map(|(.., death)| *death)
    };
    let mut world = World::new(REFERENCE, None, settings(false), 5, network);
    let mut puts = cell.puts.iter();
    let mut next = puts.next();
    let mut has_dipped = false;
    // Every second while something happens, and then until well after the cooldown.
    for second in (1..BACK_S + 200).chain((BACK_S + 200..END_S).step_by(20)) {
        world.run(1000 * second);
        while let Some((_, expected)) = next.filter(|(at, _)| *at == second) {
            let outcome = world.put(target);
            assert_eq!(outcome, *expected, "{row}: the PUT at {second} s");
            if outcome == "changed" && !has_dipped {
                has_dipped = true;
                // Where it was down before, not longer than `switch_hold` in all.
                let until = second + if cell.dip.is_some() { dip_s } else { 10 + dip_s };
                outages.borrow_mut().push((target.to_owned(), second + 10, until, Death::Refused));
            }
            next = puts.next();
        }
        let answers = world.answers();
        for (from, to, expected) in cell.spans.iter().filter(|(from, to, _)| (*from..*to).contains(&second)) {
            for (answer, expected) in answers.iter().zip(expected.split(' ')) {
                let is_so = expected == "*" || answer == expected;
                assert!(is_so, "{row}: at {second} s, between {from} and {to}: {answers:?}, not {expected}");
            }
        }
    }
    assert_eq!(next, None, "{row}: every PUT was sent");
    // Who was left waits for a person, or nobody was left but by the order that stands.
    let status = world.house.status();
    let is_waiting = status.latches.iter().any(|latch| latch.is_waiting);
    assert!(is_waiting || has_dipped, "{row}: {:?}", status.latches);
}

#[test]
fn the_reference_automation_is_served_whatever_dies_and_whenever_it_calls() {
    let mut cells = 0;
    for (way, death) in DEATHS {
        for cell in MATRIX {
            for dip_s in [30, 60] {
                play(cell, death, dip_s, &format!("{way}; {} lost; PUT {}; dip of {dip_s} s", cell.lost, cell.when));
            }
            cells += 1;
        }
    }
    assert_eq!(cells, 30);
}
