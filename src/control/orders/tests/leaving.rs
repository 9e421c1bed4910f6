//! Nobody comes back by accident to what a switch left; and who left nothing stays where he is.

use super::desk::{Desk, REFERENCE, failback, switch, three};
use crate::control::orders::*;

fn expire(desk: &mut Desk, revision: u64) -> Answer {
    assert!(desk.book.due(desk.wall()).contains(&revision), "it is due");
    desk.order(expiry(revision)).unwrap()
}

#[test]
fn a_switch_of_the_clients_of_one_data_centre_leaves_the_others_where_they_are() {
    let mut desk = Desk::new(REFERENCE);
    let mut moved = switch("dc2").for_s(3600);
    let Order::Switch { from, .. } = &mut moved.order else { panic!() };
    *from = Some(vec!["dc3".into()]);
    desk.order(moved).unwrap();
    assert_eq!([desk.of("api", "beijing"), desk.of("api", "shanghai")], ["dc1", "dc2"]);
    desk.at(3600);
    expire(&mut desk, 1);
    let after = [desk.of("api", "beijing"), desk.of("api", "shanghai")];
    assert_eq!(after[0], "dc1", "they never left it");
    assert_ne!(after[1], "dc3", "they did");
}

#[test]
fn what_a_region_had_left_is_not_forgotten_by_a_switch_of_everybody() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2").regions(&["shanghai"]).for_s(600)).unwrap();
    desk.at(600);
    expire(&mut desk, 1);
    assert_ne!(desk.of("api", "shanghai"), "dc3");
    desk.order(switch("dc1").for_s(600)).unwrap();
    desk.at(1200);
    expire(&mut desk, 3);
    assert_ne!(desk.of("api", "shanghai"), "dc3", "not by the end of a switch between others");
    // Who is ordered there goes there, and has not left it.
    desk.order(switch("dc3").for_s(600)).unwrap();
    assert_eq!(desk.of("api", "shanghai"), "dc3");
    desk.at(1800);
    expire(&mut desk, 5);
    assert_eq!(desk.of("api", "shanghai"), "dc3");
}

#[test]
fn a_failback_for_one_region_does_not_lead_all_of_them_back() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2")).unwrap();
    desk.down(&["dc2"]).at(75).up(&["dc2"]);
    let both = |desk: &Desk| [desk.of("api", "beijing"), desk.of("api", "shanghai")];
    assert_eq!(both(&desk), ["dc3", "dc3"]);
    // Beijing's latch ends, and policy gives its clients dc2; the preference leads nobody there.
    let answer = desk.order(failback("dc2").regions(&["beijing"])).unwrap();
    assert!(answer.warnings.iter().any(|warning| warning.contains("more regions than are named")), "{answer:?}");
    assert_eq!(both(&desk), ["dc2", "dc3"]);
    assert!(desk.order(failback("dc2")).unwrap().changed);
    assert_eq!(desk.all(), "dc2 dc2 dc2");
    // The regions of the preference itself are enough.
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2").regions(&["shanghai"])).unwrap();
    desk.down(&["dc2"]).at(75).up(&["dc2"]);
    assert_eq!(desk.of("api", "shanghai"), "dc1");
    assert!(desk.order(failback("dc2").regions(&["shanghai", "beijing"])).unwrap().changed);
    assert_eq!(desk.of("api", "shanghai"), "dc2");
}

#[test]
fn failback_to_what_a_yielded_preference_left_lets_its_clients_go_there() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2")).unwrap();
    desk.down(&["dc2"]).at(75);
    assert_eq!(desk.of("api", "beijing"), "dc3", "dc1 was left");
    let answer = desk.order(failback("dc1")).unwrap();
    assert_eq!((answer.changed, desk.of("api", "beijing").as_str()), (true, "dc1"));
    // For some of them only, that is not possible, and told.
    let mut desk = Desk::new(&three());
    desk.order(switch("dc2")).unwrap();
    let answer = desk.order(failback("dc1").services(&["home.example.com"])).unwrap();
    assert!(answer.warnings.iter().any(|warning| warning.contains("is for more clients than are named")), "{answer:?}");
}

#[test]
fn a_switch_that_ends_says_whom_policy_brings_back() {
    let mut desk = Desk::new(REFERENCE);
    let answer = desk.order(switch("dc2").for_s(600)).unwrap();
    let is_told = |answer: &Answer, when: &str| {
        answer.warnings.iter().any(|warning| warning.starts_with(when) && warning.contains("clients of default back"))
    };
    assert!(is_told(&answer, "when its time is over"), "{answer:?}");
    desk.at(600);
    let answer = expire(&mut desk, 1);
    assert!(is_told(&answer, "now that its time is over"), "{answer:?}");
    let answer = Desk::new(REFERENCE).order(switch("dc2")).unwrap();
    assert!(!is_told(&answer, "when its time is over"), "it has no end");
}
