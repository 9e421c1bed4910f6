//! In force and stored agree, or are made to; and every order is answered in time.

use std::time::Duration;

use super::house::{House, REFERENCE, datacenter, request, switch};
use super::orders::{all, is_refused_by, keyed};
use crate::control::orders::{Order, Request, Rule};
use crate::control::{NotOrdered, Submission};
use crate::store::Refusal;

#[test]
fn an_order_is_answered_in_time_whatever_the_disk_does() {
    // The store says nothing at all.
    let mut house = House::well(REFERENCE);
    house.paper.set_slow(true);
    let mut late = house.submit(Submission::of(switch("dc2")));
    house.at(4);
    assert!(late.try_recv().is_err());
    house.at(5);
    assert!(matches!(late.try_recv().unwrap(), Err(NotOrdered::NotStored { is_late: true, .. })));
    // What was said to be not in force never is, also when the store had it after all.
    house.decide(None);
    assert_eq!((house.of("shanghai").as_str(), house.paper.held()), ("dc3", 1), "it is taken back");
    house.decide(None);
    assert_eq!(house.paper.kinds(), ["switch", "withdrawn"]);
    assert_eq!(house.restart(10).of("shanghai"), "dc3");
    // It had it, and does not take it back.
    let mut house = House::well(REFERENCE);
    house.paper.set_slow(true);
    let mut refused = house.submit(Submission::of(switch("dc2")));
    house.at(2).down(&["dc2"]);
    house.decide(None);
    house.at(4);
    assert!(refused.try_recv().is_err());
    house.at(5);
    assert!(is_refused_by(refused.try_recv().unwrap(), Rule::TargetUnhealthy));
    house.decide(Some(Refusal::Full));
    house.up(&["dc2"]);
    assert!(house.status().alarms.iter().any(|alarm| alarm.contains("did not take that back")));
}

#[test]
fn a_panic_while_an_order_takes_effect_leaves_everything_as_it_was() {
    let mut house = House::well(REFERENCE);
    house.order(request(Order::Drain { subject: datacenter("dc3") })).unwrap();
    let before = (all(&house), house.status().revision);
    house.paper.set_slow(true);
    let mut defect = house.submit(keyed(switch("dc2"), "k"));
    house.keeper_panics();
    house.decide(None);
    // The table is back already; the answer waits for the journal.
    assert_eq!(((all(&house), house.status().revision), house.paper.held()), (before.clone(), 1));
    house.decide(None);
    let refused = defect.try_recv().unwrap().unwrap_err();
    assert!(refused.to_string().contains("defect"), "{refused}");
    assert_eq!(house.paper.kinds(), ["drain", "switch", "withdrawn"]);
    assert!(house.status().alarms.iter().any(|alarm| alarm.contains("defect")), "{:?}", house.status().alarms);
    let house = house.restart(10);
    assert_eq!(all(&house), before.0);
    // Nothing is left of it, and the next one goes through.
    house.paper.set_slow(false);
    let mut house = house.all_up();
    assert!(house.submit(keyed(switch("dc2"), "k")).try_recv().unwrap().unwrap().answer.changed);
    assert_eq!(house.of("shanghai"), "dc2");
    assert!(!house.status().alarms.iter().any(|alarm| alarm.contains("defect")));
}

#[test]
fn a_withdrawal_that_fails_is_alarmed_and_tried_again() {
    let mut house = House::well(REFERENCE);
    house.paper.set_slow(true);
    let _refused = house.submit(Submission::of(switch("dc2")));
    house.down(&["dc2"]);
    house.decide(None);
    house.decide(Some(Refusal::Full));
    let is_alarmed = |house: &House| house.status().alarms.iter().any(|alarm| alarm.contains("did not take that back"));
    house.up(&["dc2"]);
    assert!(is_alarmed(&house));
    assert_eq!(house.paper.held(), 1, "it is tried again at once");
    house.decide(Some(Refusal::Full));
    house.at(4);
    assert_eq!(house.paper.held(), 0);
    house.at(5);
    assert_eq!(house.paper.held(), 1, "and after a while");
    house.decide(None);
    house.up(&["dc2"]);
    assert!(!is_alarmed(&house));
    assert_eq!(house.paper.kinds(), ["switch", "settled"]);
    let house = house.restart(100_000);
    assert_eq!(house.status().book.standing().count(), 0);
}

#[test]
fn a_store_that_refuses_refuses_orders_unless_that_is_overridden_by_name() {
    let mut house = House::well(REFERENCE);
    house.paper.set_refusal(Some(Refusal::Full));
    assert!(is_refused_by(house.order(switch("dc2")), Rule::NotDurable));
    assert_eq!(house.of("shanghai"), "dc3");
    let forced = Request { force: [Rule::NotDurable].into(), ..switch("dc2") };
    let done = house.order(forced).unwrap();
    assert!(!done.is_durable && done.answer.changed);
    assert_eq!(house.of("shanghai"), "dc2");
    // The next order that can be stored takes it along.
    house.paper.set_refusal(None);
    house.order(request(Order::Drain { subject: datacenter("dc3") })).unwrap();
    assert_eq!(house.restart(10).of("shanghai"), "dc2");
}

#[test]
fn what_is_in_force_and_not_stored_is_said_so_alarmed_and_stored_as_soon_as_it_can_be() {
    let mut house = House::well(REFERENCE);
    house.paper.set_refusal(Some(Refusal::Full));
    let forced = Request { force: [Rule::NotDurable].into(), ..switch("dc2") };
    assert!(!house.order(forced.clone()).unwrap().is_durable);
    let again = house.order(forced.clone()).unwrap();
    assert!(!again.is_durable && !again.answer.changed, "a repetition makes nothing durable");
    let is_alarmed = |house: &House| house.status().alarms.iter().any(|alarm| alarm.contains("are not stored"));
    house.up(&["dc2"]);
    assert!(is_alarmed(&house));
    house.at(20);
    assert_eq!(house.paper.kinds().len(), 0);
    house.paper.set_refusal(None);
    house.at(30).up(&["dc2"]);
    assert_eq!(house.paper.kinds(), ["settled"], "without anybody's word");
    assert!(!is_alarmed(&house));
    assert!(house.order(forced).unwrap().is_durable);
    assert_eq!(house.restart(10).of("shanghai"), "dc2");
}

#[test]
fn a_store_that_breaks_between_two_looks_carries_nothing_out_that_nobody_forced() {
    let mut house = House::well(REFERENCE);
    // One look for the status, one for the rule.
    house.paper.breaks_after_looks(2);
    let answer = house.order(switch("dc2"));
    assert!(matches!(answer, Err(NotOrdered::NotStored { .. })), "{answer:?}");
    assert_eq!(house.of("shanghai"), "dc3");
}

#[test]
fn an_order_that_comes_to_be_looked_at_too_late_is_not_carried_out() {
    let mut house = House::well(REFERENCE);
    let late = house.submit_aged(Submission::of(switch("dc2")), Duration::from_secs(6)).try_recv().unwrap();
    assert!(matches!(late, Err(NotOrdered::NotStored { is_late: true, .. })));
    assert_eq!((house.of("shanghai").as_str(), house.paper.kinds().len()), ("dc3", 0));
    // In time for the journal, and not for its sender.
    house.paper.set_slow(true);
    let mut late = house.submit_aged(Submission::of(switch("dc2")), Duration::from_secs(3));
    house.at(2);
    assert!(matches!(late.try_recv().unwrap(), Err(NotOrdered::NotStored { is_late: true, .. })));
    house.decide(None);
    house.decide(None);
    assert_eq!(house.paper.kinds(), ["switch", "withdrawn"]);
    assert_eq!(house.of("shanghai"), "dc3");
}

#[test]
fn expiries_keep_no_order_waiting() {
    let mut house = House::well(REFERENCE);
    let short = |name: &str| {
        let drain = request(Order::Drain { subject: datacenter(name) });
        Request { expires_in: Some(Duration::from_secs(60)), ..drain }
    };
    house.order(short("dc1")).unwrap();
    house.order(short("dc3")).unwrap();
    house.paper.set_slow(true);
    house.at(61);
    let mut order = house.submit(Submission::of(request(Order::Freeze)));
    assert_eq!(house.paper.held(), 1, "the first expiry");
    house.decide(None);
    assert_eq!(house.paper.held(), 1);
    house.decide(None);
    assert!(order.try_recv().unwrap().is_ok(), "then the order, before the second one");
    assert_eq!(house.paper.kinds(), ["drain", "drain", "expire", "freeze"]);
}

#[test]
fn a_failback_is_not_forgotten_by_a_restart_before_the_latches_are_stored() {
    let mut house = House::well(REFERENCE);
    house.down(&["dc1"]).at(10);
    house.up(&["dc1"]).at(100);
    let before = house.kept();
    assert_eq!(house.of("beijing"), "dc2");
    house.failback("dc1").unwrap();
    assert_eq!(house.of("beijing"), "dc1");
    house.down(&["dc3"]).at(200);
    // The process dies, and of latches only what was stored before the failback is there.
    let house = house.restart_with(before, 10).all_up();
    assert_eq!(house.of("beijing"), "dc1");
    // What is stored after it stands.
    let mut house = House::well(REFERENCE);
    house.down(&["dc1"]).at(10);
    house.up(&["dc1"]).at(100);
    house.failback("dc1").unwrap();
    house.down(&["dc1"]).at(200);
    house.up(&["dc1"]).at(300);
    let house = house.restart(10).all_up();
    assert_eq!(house.of("beijing"), "dc2", "left again since");
}

#[test]
fn an_order_over_many_services_is_kept_in_few_octets() {
    let service = |at: usize| REFERENCE.replace("domain: api.", &format!("domain: a-service-with-a-long-name-{at}."));
    let text = (0..150).map(service).collect::<Vec<_>>().join("---\n");
    let mut house = House::well(&text);
    let done = house.submit(keyed(switch("dc2"), "k")).try_recv().unwrap().unwrap();
    assert_eq!((done.answer.services.len(), done.answer.services_omitted), (150, 0), "its sender is told all");
    let again = house.submit(keyed(switch("dc2"), "k")).try_recv().unwrap().unwrap();
    assert!(again.is_repeated);
    let kept = again.answer.services.len();
    assert!((1..100).contains(&kept), "{kept}");
    assert_eq!((again.answer.services_omitted, again.answer.services_skipped_omitted), (150 - kept, 0));
    assert!(again.answer.impact.changes.len() < 100 && again.answer.impact.omitted > 0);
}

#[test]
fn a_panic_before_the_fate_of_an_order_is_looked_at_does_not_lose_it() {
    let mut house = House::well(REFERENCE);
    house.paper.set_slow(true);
    let mut order = house.submit(Submission::of(switch("dc2")));
    // Health waits for its turn, and what takes it along breaks.
    while house.control.waiting.is_none() {
        house.down(&["dc3"]).up(&["dc3"]);
    }
    house.keeper_panics();
    house.decide(None);
    assert!(order.try_recv().unwrap().unwrap().answer.changed);
    assert_eq!(house.of("shanghai"), "dc2");
    // The lane is free, and what the panic has cut short is made up for.
    let mut next = house.submit(Submission::of(request(Order::Drain { subject: datacenter("dc3") })));
    house.decide(None);
    assert!(next.try_recv().unwrap().is_ok());
    assert_eq!(house.paper.kinds(), ["switch", "drain"]);
    house.at(3).down(&["dc2"]);
    house.at(100);
    assert_eq!(house.of("shanghai"), "dc1");
    assert_eq!(house.restart(10).all_up().of("shanghai"), "dc1");
}

#[test]
fn an_order_that_is_too_late_by_the_time_that_others_took_never_comes_into_force() {
    let mut house = House::well(REFERENCE);
    house.paper.set_slow(true);
    let mut late = house.submit(Submission::of(switch("dc2")));
    house.at(4);
    while house.control.waiting.is_none() {
        house.down(&["dc1"]).up(&["dc1"]);
    }
    // The store has it in time. Judging it again must wait for what health has changed, and that takes long.
    house.keeper_takes(Duration::from_secs(1));
    house.decide(None);
    house.decide(None);
    assert!(matches!(late.try_recv().unwrap(), Err(NotOrdered::NotStored { is_late: true, .. })));
    assert_eq!(house.paper.kinds(), ["switch", "withdrawn"]);
    assert_eq!(house.of("shanghai"), "dc3");
    // The same of one that waits for its turn.
    let _first = house.submit(Submission::of(switch("dc2")));
    let mut second = house.submit(Submission::of(request(Order::Freeze)));
    house.keeper_takes(Duration::from_secs(5));
    house.decide(None);
    assert!(matches!(second.try_recv().unwrap(), Err(NotOrdered::NotStored { is_late: true, .. })));
    assert_eq!(house.paper.held(), 0, "it has never been in the journal's hands");
}

#[test]
fn an_order_does_not_wait_for_what_time_has_changed_everywhere() {
    let mut house = House::well(REFERENCE);
    house.order(request(Order::Drain { subject: datacenter("dc3") })).unwrap();
    house.at(12);
    house.paper.set_slow(true);
    let mut order = house.submit(Submission::of(switch("dc2")));
    let before = house.generation();
    // The drain is over in the same moment.
    house.now_s = 15;
    house.decide(None);
    assert_eq!(order.try_recv().unwrap().unwrap().generation.0, before + 1);
    assert_eq!(house.generation(), before + 2);
}

#[test]
fn while_the_store_hangs_nothing_is_tried_again_and_again() {
    let mut house = House::well(REFERENCE);
    house.paper.set_refusal(Some(Refusal::Full));
    let drain = request(Order::Drain { subject: datacenter("dc3") });
    let expires_in = Some(Duration::from_secs(20));
    house.order(Request { force: [Rule::NotDurable].into(), expires_in, ..drain }).unwrap();
    house.at(22).up(&["dc1"]);
    assert!(house.status().alarms.iter().any(|alarm| alarm.contains("revision 1")), "{:?}", house.status().alarms);
    // The store takes what is owed, and says nothing; the end of the drain would be tried again.
    house.paper.set_refusal(None);
    house.paper.set_slow(true);
    house.at(40);
    assert_eq!((house.paper.held(), house.paper.kinds().len()), (1, 0));
    house.decide(None);
    house.decide(None);
    assert_eq!(house.paper.kinds(), ["settled", "expire"]);
}
