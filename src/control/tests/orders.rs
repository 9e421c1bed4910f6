//! Orders through the writer: judged, journalled, judged again, in force.

use std::time::Duration;

use super::house::{House, REFERENCE, clear, datacenter, request, switch};
use crate::control::orders::{Forcing, Order, OrderRefused, Request, Rule};
use crate::control::{ClockAccepted, NotOrdered, Submission};
use crate::store::Refusal;

pub(super) fn keyed(request: Request, key: &str) -> Submission {
    Submission { key: Some(key.to_owned()), ..Submission::of(request) }
}

pub(super) fn all(house: &House) -> [String; 3] {
    ["beijing", "shanghai", "elsewhere"].map(|place| house.of(place))
}

pub(super) fn is_refused_by(refused: Result<crate::control::Ordered, NotOrdered>, rule: Rule) -> bool {
    match refused {
        Err(NotOrdered::Refused(OrderRefused::Rules { refusals })) => {
            refusals.iter().any(|refusal| refusal.rule == rule)
        }
        _ => false,
    }
}

#[test]
fn a_switch_is_one_generation_one_revision_and_durable() {
    let mut house = House::well(REFERENCE);
    let before = house.generation();
    let done = house.order(switch("dc2")).unwrap();
    assert_eq!((done.answer.changed, done.is_durable, done.answer.revision), (true, true, 1));
    assert_eq!((done.generation.0, house.generation()), (before + 1, before + 1));
    assert_eq!(all(&house), ["dc2", "dc2", "dc2"]);
    assert!(done.old_answers_until.is_some() && done.applied_at.is_some());
    assert_eq!(house.status().revision.0, 1);
    let again = house.order(switch("dc2")).unwrap();
    assert_eq!((again.answer.changed, again.answer.revision, again.generation.0), (false, 1, before + 1));
    assert_eq!(again.old_answers_until, None);
    house.order(clear()).unwrap();
    assert_eq!(all(&house), ["dc1", "dc3", "dc1+dc2+dc3"]);
    assert_eq!(house.paper.kinds(), ["switch", "clear-switch"]);
}

#[test]
fn a_dry_run_says_what_the_deed_says_and_does_nothing() {
    let mut house = House::well(REFERENCE);
    let before = house.generation();
    let dry = Submission { is_dry_run: true, ..Submission::of(switch("dc2")) };
    let dry = house.submit(dry).try_recv().unwrap().unwrap();
    assert_eq!((house.generation(), house.paper.kinds().len()), (before, 0));
    let deed = house.order(switch("dc2")).unwrap();
    assert_eq!(dry.answer, deed.answer);
}

#[test]
fn while_the_journal_has_an_order_health_passes_and_others_wait() {
    let mut house = House::well(REFERENCE);
    house.paper.set_slow(true);
    let mut first = house.submit(Submission::of(switch("dc2")));
    let mut second = house.submit(Submission::of(request(Order::Drain { subject: datacenter("dc3") })));
    assert_eq!((house.paper.held(), first.try_recv().is_err()), (1, true));
    assert_eq!(all(&house), ["dc1", "dc3", "dc1+dc2+dc3"], "not before it is durable");
    house.down(&["dc1"]);
    assert_eq!(house.of("beijing"), "dc2", "health moves clients meanwhile");
    house.decide(None);
    let done = first.try_recv().unwrap().unwrap();
    assert_eq!((done.answer.revision, done.is_durable), (1, true));
    assert_eq!((house.of("shanghai").as_str(), house.paper.held()), ("dc2", 1), "then the next one goes");
    house.decide(None);
    assert_eq!(second.try_recv().unwrap().unwrap().answer.revision, 2);
    assert_eq!(house.paper.kinds(), ["switch", "drain"]);
}

#[test]
fn what_the_journal_refuses_is_not_in_force_now_or_after_a_restart() {
    let mut house = House::well(REFERENCE);
    house.paper.set_slow(true);
    let mut refused = house.submit(Submission::of(switch("dc2")));
    house.decide(Some(Refusal::Timeout));
    assert!(matches!(refused.try_recv().unwrap(), Err(NotOrdered::NotStored { is_late: true, .. })));
    assert_eq!((house.of("shanghai").as_str(), house.status().revision.0), ("dc3", 0));
    house.paper.set_slow(false);
    let done = house.order(switch("dc1")).unwrap();
    assert_eq!(done.answer.revision, 2, "no revision comes again");
    let house = house.restart(10);
    assert_eq!((house.of("shanghai").as_str(), house.status().revision.0), ("dc1", 2));
}

#[test]
fn who_waits_too_long_behind_another_is_refused_and_never_done() {
    let mut house = House::well(REFERENCE);
    house.paper.set_slow(true);
    let mut first = house.submit(Submission::of(switch("dc2")));
    let mut second = house.submit(Submission::of(switch("dc1")));
    house.at(3);
    assert!(matches!(second.try_recv().unwrap(), Err(NotOrdered::NotStored { is_late: true, .. })));
    house.decide(None);
    assert!(first.try_recv().unwrap().is_ok());
    assert_eq!((house.of("shanghai").as_str(), house.paper.held()), ("dc2", 0));
}

#[test]
fn an_order_that_health_has_made_wrong_meanwhile_is_taken_back_from_the_journal() {
    let mut house = House::well(REFERENCE);
    house.paper.set_slow(true);
    let mut refused = house.submit(keyed(switch("dc2"), "k"));
    house.down(&["dc2"]);
    house.decide(None);
    assert_eq!(house.paper.held(), 1, "what takes it back");
    assert!(refused.try_recv().is_err(), "not answered before that is durable");
    house.decide(None);
    assert!(is_refused_by(refused.try_recv().unwrap(), Rule::TargetUnhealthy));
    assert_eq!((house.of("shanghai").as_str(), house.status().revision.0), ("dc3", 0));
    assert_eq!(house.paper.kinds(), ["switch", "withdrawn"]);
    assert!(house.paper.notes().iter().any(|note| note.kind == "refused"));
    // Nothing was done under its key.
    house.paper.set_slow(false);
    house.up(&["dc2"]).at(1000);
    let done = house.submit(keyed(switch("dc2"), "k")).try_recv().unwrap().unwrap();
    assert!(done.answer.changed && !done.is_repeated);
    let house = house.restart(10);
    assert_eq!(house.of("shanghai"), "dc2");
}

#[test]
fn the_same_request_under_the_same_key_is_done_once() {
    let mut house = House::well(REFERENCE);
    let first = house.submit(keyed(switch("dc2"), "k")).try_recv().unwrap().unwrap();
    house.order(switch("dc1")).unwrap();
    let again = house.submit(keyed(switch("dc2"), "k")).try_recv().unwrap().unwrap();
    assert_eq!((again.answer, again.is_repeated), (first.answer, true));
    assert_eq!(house.of("shanghai"), "dc1", "it is not done again");
    let other = house.submit(keyed(switch("dc3"), "k")).try_recv().unwrap();
    assert_eq!(other, Err(NotOrdered::KeyReused("k".into())));
}

#[test]
fn a_restart_keeps_switches_drains_and_yields() {
    let mut house = House::well(REFERENCE);
    house.order(switch("dc2")).unwrap();
    house.down(&["dc2"]).at(74);
    assert_eq!(house.of("shanghai"), "dc2", "through a dip of 60 s, whose end is seen 3 × 5 s later");
    house.at(75);
    assert_eq!(house.of("shanghai"), "dc3");
    house.up(&["dc2"]).at(1000);
    assert_eq!(house.of("shanghai"), "dc3", "nobody comes back by accident");
    let mut house = house.restart(10).all_up();
    assert_eq!(house.of("shanghai"), "dc3", "not by a restart either");
    house.failback("dc2").unwrap();
    assert_eq!(house.of("shanghai"), "dc2");
    assert_eq!(house.restart(10).of("shanghai"), "dc2");
}

#[test]
fn time_ends_what_says_until_when_and_keeps_what_can_not_end() {
    let mut house = House::well(REFERENCE);
    let hour = Some(Duration::from_secs(3600));
    let drain = |name: &str| Request { expires_in: hour, ..request(Order::Drain { subject: datacenter(name) }) };
    house.order(drain("dc1")).unwrap();
    assert_eq!(house.of("beijing"), "dc2");
    house.at(3599);
    assert_eq!(house.of("beijing"), "dc2");
    house.at(3601);
    assert_eq!((house.of("beijing").as_str(), house.status().book.standing().count()), ("dc1", 0));
    assert_eq!(house.paper.kinds(), ["drain", "expire"]);
    // The store refuses: it stays, and that is told; then it goes.
    house.order(drain("dc1")).unwrap();
    house.paper.set_refusal(Some(Refusal::Full));
    house.at(8000);
    assert_eq!(house.of("beijing"), "dc2");
    house.see(&["dc1"], crate::model::State::Up);
    assert!(house.status().alarms.iter().any(|alarm| alarm.contains("not-durable")), "{:?}", house.status().alarms);
    house.paper.set_refusal(None);
    house.at(9000);
    assert_eq!(house.of("beijing"), "dc1");
}

#[test]
fn nothing_expires_by_a_clock_that_jumped() {
    let mut house = House::well(REFERENCE);
    let hour = Some(Duration::from_secs(3600));
    house.order(Request { expires_in: hour, ..switch("dc2") }).unwrap();
    house.at(10).wall_s += 7200;
    house.at(600).up(&["dc1"]);
    assert_eq!(house.of("shanghai"), "dc2");
    assert!(house.status().alarms.iter().any(|alarm| alarm.contains("jumped ahead")));
    // What is ordered meanwhile ends when it should, by the time that is believed.
    house.order(Request { expires_in: Some(Duration::from_secs(60)), ..request(Order::Freeze) }).unwrap();
    let ends = house.status().book.standing().last().unwrap().expires.unwrap();
    assert_eq!(ends.duration_since(house.now().1 - Duration::from_secs(7200)).unwrap().as_secs(), 60);
    house.order(request(Order::Unfreeze)).unwrap();
    house.wall_s -= 7200;
    house.at(3700);
    assert_eq!(house.of("shanghai"), "dc3");
}

#[test]
fn a_person_may_say_that_the_clock_is_right() {
    let mut house = House::well(REFERENCE);
    let hour = Some(Duration::from_secs(3600));
    house.order(Request { expires_in: hour, ..switch("dc2") }).unwrap();
    assert_eq!(house.accept_clock(), ClockAccepted { jumped: None, due: 0 }, "nothing to accept");
    house.at(10).wall_s += 7200;
    house.at(600).up(&["dc1"]);
    let accepted = house.accept_clock();
    assert_eq!(accepted, ClockAccepted { jumped: Some((Duration::from_secs(7200), true)), due: 1 });
    assert!(house.paper.notes().iter().any(|note| note.kind == "clock-accepted" && note.actor == "ann"));
    house.at(601);
    assert_eq!(house.of("shanghai"), "dc3", "its time is over by the clock that counts");
    assert!(!house.status().alarms.iter().any(|alarm| alarm.contains("jumped")));
}

#[test]
fn a_drain_is_draining_until_the_last_old_answer_has_expired_and_then_out() {
    use crate::model::{Admin, DatacenterIx};
    let mut house = House::well(REFERENCE);
    let done = house.order(request(Order::Drain { subject: datacenter("dc1") })).unwrap();
    let admin = |house: &House| house.control.current().facts().datacenters.get(&DatacenterIx(0)).copied();
    assert_eq!(admin(&house), Some(Admin::Draining));
    let until = done.old_answers_until.unwrap().duration_since(house.now().1).unwrap().as_secs();
    house.at(until - 1);
    assert_eq!(admin(&house), Some(Admin::Draining));
    house.at(until);
    assert_eq!(admin(&house), Some(Admin::Out));
}

#[test]
fn a_reload_that_loses_what_an_order_names_is_refused() {
    let mut house = House::well(REFERENCE);
    house.order(switch("dc2")).unwrap();
    let before = house.generation();
    let lost = REFERENCE.replace("dc2_beijing_standby", "dc9_beijing_standby");
    let found = house.try_reload(&lost);
    assert!(found.iter().any(|found| found.code == "named-by-order"), "{found:?}");
    assert_eq!((house.generation(), house.of("shanghai").as_str()), (before, "dc2"));
    house.order(clear()).unwrap();
    assert!(house.try_reload(&lost).is_empty());
}

#[test]
fn files_that_lost_a_name_while_nobody_served_are_alarmed_and_may_be_read_again() {
    let mut house = House::well(REFERENCE);
    house.order(switch("dc2")).unwrap();
    house.text = REFERENCE.replace("dc2_beijing_standby", "dc9_beijing_standby");
    let mut house = house.restart(10).all_up();
    let is_alarmed = |house: &House| house.status().alarms.iter().any(|alarm| alarm.contains("which is gone"));
    assert!(is_alarmed(&house), "{:?}", house.status().alarms);
    assert_eq!(all(&house), ["dc1", "dc3", "dc1+dc3+dc9"], "by policy");
    let same = house.text.clone();
    assert!(house.try_reload(&same).is_empty(), "nothing is lost that was not");
    house.order(clear()).unwrap();
    assert!(!is_alarmed(&house));
}

#[test]
fn an_order_lives_through_a_reload_while_the_journal_has_it() {
    let mut house = House::well(REFERENCE);
    house.paper.set_slow(true);
    let mut done = house.submit(Submission::of(switch("dc2")));
    // A service that sorts before, so that every index is another.
    let other = REFERENCE.replace("domain: api.", "domain: aaa.");
    house.reload(&format!("{other}---\n{REFERENCE}"));
    house.decide(None);
    assert!(done.try_recv().unwrap().is_ok());
    assert_eq!([house.of_service("shanghai", 0), house.of_service("shanghai", 1)], ["dc2", "dc2"]);
}

#[test]
fn an_undo_takes_the_last_order_back_and_the_gate_keeps_robots_out() {
    let mut house = House::well(REFERENCE);
    house.order(switch("dc2")).unwrap();
    house.order(request(Order::Undo { revision: None })).unwrap();
    assert_eq!(house.of("shanghai"), "dc3");
    house.order(request(Order::Gate { is_open: false, role: None })).unwrap();
    let mut robot = switch("dc2");
    robot.sender.is_robot = true;
    assert!(is_refused_by(house.order(robot), Rule::Gate));
    assert!(house.order(switch("dc2")).is_ok());
}

#[test]
fn a_reload_that_gives_a_name_another_meaning_is_refused() {
    let shared = |groups: &str, more: &str| format!("{REFERENCE}---\ngroups:\n  city: {groups}\n{more}");
    let mut house = House::well(&shared("[dc1, dc2]", ""));
    house.order(switch("dc2")).unwrap();
    house.order(request(Order::Force { subject: datacenter("city"), to: Some(Forcing::Up) })).unwrap();
    let before = house.generation();
    let is_refused = |house: &mut House, text: &str, word: &str| {
        let found = house.try_reload(text);
        assert!(found.iter().any(|found| found.code == "named-by-order" && found.message.contains(word)), "{found:?}");
    };
    // The short name of the switch's target would be ambiguous.
    let ambiguous = "datacenters:\n  dc2_beijing_other: {}\n";
    is_refused(&mut house, &shared("[dc1_beijing_primary, dc2_beijing_standby]", ambiguous), "dc2");
    // The group of the force would be another.
    is_refused(&mut house, &shared("[dc1, dc3]", ""), "city");
    assert_eq!((house.generation(), house.of("shanghai").as_str()), (before, "dc2"));
    assert!(house.try_reload(&shared("[dc1, dc2]", "")).is_empty());
}

#[test]
fn a_restart_does_not_begin_the_hold_of_a_switch_anew_nor_ends_it_unseen() {
    // Seen to be down again after `off_s`; when clients leave it.
    let moved_at = |off_s: i64, has_recovered: bool| {
        let mut house = House::well(REFERENCE);
        house.order(switch("dc2")).unwrap();
        house.at(10).down(&["dc2"]).at(60);
        assert_eq!(house.of("shanghai"), "dc2");
        let mut house = house.restart(off_s);
        house.up(&["dc1", "dc3"]);
        match has_recovered {
            true => house.up(&["dc2"]),
            false => house.down(&["dc2"]),
        };
        (0..200).find(|at| house.at(*at).of("shanghai") != "dc2")
    };
    assert_eq!(moved_at(5, false), Some(20), "60 s in all, and the 15 s that it takes to see it up again");
    assert_eq!(moved_at(10_000, false), Some(15));
    assert_eq!(moved_at(10_000, true), None);
}
