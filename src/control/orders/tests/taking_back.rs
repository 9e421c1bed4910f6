//! What is taken back, by whom, and what it means for those who order next.

use std::collections::BTreeSet;

use super::desk::{Desk, REFERENCE, clear, datacenters, drain, request, switch, three, undo};
use crate::control::orders::*;
use crate::model::State;

fn refusal(desk: &Desk, request: &Request) -> OrderRefused {
    desk.dry(request).map(|(answer, _)| answer).unwrap_err()
}

#[test]
fn of_each_kind_a_unit_stays_in_one_order_also_by_an_undo() {
    let force = |to| request(Order::Force { subject: datacenters(&["dc3"]), to });
    let mut desk = Desk::new(REFERENCE);
    desk.order(force(Some(Forcing::Down))).unwrap();
    desk.order(force(None)).unwrap();
    desk.order(force(Some(Forcing::Up))).unwrap();
    assert_eq!(refusal(&desk, &undo(Some(2))), OrderRefused::ChangedSince { revision: 2, standing: 3 });
    let mut desk = Desk::new(REFERENCE);
    let gate = |is_open| request(Order::Gate { is_open, role: None });
    for is_open in [false, true, false] {
        desk.order(gate(is_open)).unwrap();
    }
    assert_eq!(refusal(&desk, &undo(Some(2))), OrderRefused::ChangedSince { revision: 2, standing: 3 });
}

#[test]
fn what_stood_beside_it_before_does_not_hinder_an_undo() {
    let mut desk = Desk::new(&three());
    desk.order(switch("dc2").services(&["api.meta-driven.example.com", "home.example.com"])).unwrap();
    desk.order(switch("dc3").services(&["two.example.com", "home.example.com"])).unwrap();
    let before: Vec<Standing> = desk.book.standing().cloned().collect();
    desk.order(clear().services(&["api.meta-driven.example.com", "home.example.com"])).unwrap();
    assert_eq!(desk.of("home", "elsewhere"), "dc1");
    desk.order(undo(None)).unwrap();
    assert_eq!(desk.book.standing().cloned().collect::<Vec<_>>(), before);
}

#[test]
fn taking_back_for_some_services_makes_the_order_smaller() {
    let mut desk = Desk::new(&three());
    desk.order(switch("dc3").services(&["two.example.com", "home.example.com"])).unwrap();
    desk.order(clear().services(&["home.example.com"])).unwrap();
    let What::Switch { whom, except, .. } = &desk.book.get(1).unwrap().what else { panic!() };
    assert_eq!((whom.services.as_ref().map(BTreeSet::len), except.len()), (Some(1), 0));
    assert_eq!([desk.of("two", "elsewhere"), desk.of("home", "elsewhere")], ["dc3", "dc1"]);
}

#[test]
fn who_takes_back_the_order_of_another_still_contradicts_him() {
    for take_back in [undo(None), clear()] {
        let mut desk = Desk::new(REFERENCE);
        desk.order(switch("dc2").by("bob")).unwrap();
        desk.order(take_back).unwrap();
        assert_eq!(desk.refused(&switch("dc3")), ["contended"]);
        assert_eq!(desk.refused(&switch("dc2")), Vec::<&str>::new(), "he agrees");
    }
}

#[test]
fn a_clock_that_was_set_back_makes_no_order_new_for_ever() {
    let mut desk = Desk::new(REFERENCE);
    desk.at(7200).order(switch("dc2").by("bob")).unwrap();
    desk.now_s = 7100;
    assert_eq!(desk.refused(&switch("dc3")), ["contended"]);
    desk.now_s = 3600;
    assert_eq!(desk.refused(&switch("dc3")), Vec::<&str>::new());
}

#[test]
fn what_is_taken_back_in_part_is_told() {
    let mut desk = Desk::new(&three());
    let ttl = |seconds| request(Order::Ttl { whom: Whom::all(), datacenters: None, seconds });
    desk.order(ttl(Some(5)).regions(&["beijing", "shanghai"])).unwrap();
    let answer = desk.order(ttl(None).regions(&["beijing"])).unwrap();
    assert!(answer.changed && answer.warnings.is_empty(), "{answer:?}");
    let What::Ttl { whom, .. } = &desk.book.get(1).unwrap().what else { panic!() };
    assert_eq!(whom.regions, Some(["shanghai".to_owned()].into()));
    desk.order(ttl(Some(9))).unwrap();
    let answer = desk.order(ttl(None).regions(&["beijing"])).unwrap();
    assert!(!answer.changed && answer.warnings[0].contains("for more clients"), "{answer:?}");
    // An endpoint that was drained by itself.
    let subject =
        Subject::Datacenters { names: vec!["dc1".into()], services: Some(["home.example.com".into()].into()) };
    desk.order(request(Order::Drain { subject })).unwrap();
    let answer = desk.order(request(Order::Undrain { subject: datacenters(&["dc1"]) })).unwrap();
    assert!(!answer.changed && answer.warnings[0].contains("dc1 of home.example.com. (revision"), "{answer:?}");
    let undrain = request(Order::Undrain { subject: datacenters(&["dc1"]) }).for_s(60);
    assert!(desk.order(undrain).unwrap().warnings.iter().any(|warning| warning.contains("expires_in means nothing")));
}

#[test]
fn home_that_is_down_is_refused_whether_or_not_a_switch_stands() {
    let home = switch("dc1").services(&["home.example.com"]);
    let mut desk = Desk::new(&three());
    let answer = desk.order(home.clone()).unwrap();
    assert!(!answer.changed, "everybody is at home");
    desk.down(&["dc1"]);
    assert_eq!(desk.of("home", "elsewhere"), "dc2");
    assert_eq!(desk.refused(&home), ["target-unhealthy"]);
    // Nothing is up: nothing is made worse.
    desk.down(&["dc1", "dc2", "dc3"]);
    assert_eq!(desk.refused(&home), Vec::<&str>::new());
    desk.up(&["dc1", "dc2", "dc3"]);
    desk.order(drain(&["dc1"]).forcing(&[Rule::LastDc])).unwrap();
    assert_eq!(desk.refused(&home), ["target-out"]);
    // Up again, and left: the latch ends, and the order has a revision of its own.
    let mut desk = Desk::new(&REFERENCE.replace("domain: api.", "home: dc1\n  domain: api."));
    desk.down(&["dc1"]);
    assert_eq!(desk.refused(&switch("dc1")), ["target-unhealthy"]);
    desk.up(&["dc1"]);
    assert_eq!(desk.of("api", "beijing"), "dc2");
    let answer = desk.order(switch("dc1").for_s(60)).unwrap();
    assert_eq!((answer.changed, answer.revision, desk.of("api", "beijing").as_str()), (true, 1, "dc1"));
    assert!(answer.warnings.iter().any(|warning| warning.contains("expires_in means nothing")), "{answer:?}");
}

#[test]
fn a_preference_that_is_away_from_some_is_repeated_and_not_judged() {
    let mut desk = Desk::new(&format!("{REFERENCE}---\n{}", REFERENCE.replace("domain: api.", "domain: copy.")));
    let both = |desk: &Desk| [desk.of("copy", "beijing"), desk.of("api", "beijing")];
    desk.order(switch("dc2")).unwrap();
    desk.down(&["dc2"]).at(75);
    desk.see_of("copy", "dc2", State::Up);
    assert_eq!(both(&desk), ["dc3", "dc3"], "both are away");
    let answer = desk.order(switch("dc2")).unwrap();
    assert_eq!((answer.changed, answer.revision), (false, 1));
    desk.see_of("api", "dc2", State::Up);
    let answer = desk.order(switch("dc2")).unwrap();
    assert_eq!((answer.changed, answer.revision), (true, 2));
    assert_eq!(both(&desk), ["dc2", "dc2"]);
}
