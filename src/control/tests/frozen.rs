//! Nothing moves by itself, and orders do: judged by what is known, not by what is held.

use super::conditions::fenced;
use super::house::{House, REFERENCE, datacenter, request, switch};
use super::orders::{all, is_refused_by};
use crate::control::Submission;
use crate::control::orders::{Order, Request, Rule};

#[test]
fn while_frozen_health_is_told_and_moves_nobody_and_orders_do() {
    let mut house = House::well(REFERENCE);
    house.order(request(Order::Freeze)).unwrap();
    let before = house.generation();
    house.down(&["dc1"]).at(1000);
    assert_eq!((house.of("beijing").as_str(), house.generation()), ("dc1", before));
    assert!(house.status().addresses().any(|address| address.verdict.state == crate::model::State::Down));
    house.order(request(Order::Drain { subject: datacenter("dc1") })).unwrap();
    assert_eq!(house.of("beijing"), "dc2");
    let back = request(Order::Undrain { subject: datacenter("dc1") });
    assert!(is_refused_by(house.order(back.clone()), Rule::LastDc), "clients would go to what is known to be dead");
    house.order(Request { force: [Rule::LastDc].into(), ..back }).unwrap();
    assert_eq!(house.of("beijing"), "dc1", "what is held stays held");
    let mut house = house.restart(10);
    assert!(house.status().book.is_frozen());
    house.order(request(Order::Unfreeze)).unwrap();
    assert_eq!(house.of("beijing"), "dc2", "what was held back moves now");
}

#[test]
fn a_reload_while_frozen_lets_nothing_move_that_was_held_back() {
    let mut house = House::well(REFERENCE);
    house.order(switch("dc2")).unwrap();
    house.order(request(Order::Freeze)).unwrap();
    house.down(&["dc2", "dc1"]).at(1000);
    assert_eq!(all(&house), ["dc2", "dc2", "dc2"]);
    // A service that sorts before, so that every index is another.
    let other = REFERENCE.replace("domain: api.", "domain: aaa.");
    let text = format!("{other}---\n{REFERENCE}");
    house.reload(&text);
    let held = |house: &House| ["beijing", "shanghai", "elsewhere"].map(|place| house.of_service(place, 1));
    assert_eq!(held(&house), ["dc2", "dc2", "dc2"]);
    house.at(2000).reload(&text);
    assert_eq!(held(&house), ["dc2", "dc2", "dc2"]);
    house.order(request(Order::Unfreeze)).unwrap();
    house.at(3000);
    assert_eq!(held(&house), ["dc3", "dc3", "dc3"], "what was held back moves now");
}

#[test]
fn an_order_under_a_freeze_is_judged_by_health_as_it_is() {
    let mut house = House::well(REFERENCE);
    house.order(request(Order::Freeze)).unwrap();
    house.down(&["dc2"]).at(100);
    assert!(is_refused_by(house.order(switch("dc2")), Rule::TargetUnhealthy), "dead since");
    // Beijing's clients would be sent to a data centre that died while nothing moves.
    let drain = request(Order::Drain { subject: datacenter("dc1") });
    assert!(is_refused_by(house.order(drain.clone()), Rule::LastDc));
    house.up(&["dc2"]);
    house.order(drain).unwrap();
    assert_eq!(house.of("beijing"), "dc2");
    // What was dead when the freeze began, and is well now.
    let mut house = House::well(REFERENCE);
    house.down(&["dc2"]);
    house.order(request(Order::Freeze)).unwrap();
    house.up(&["dc2"]).at(100);
    house.order(switch("dc2")).unwrap();
}

#[test]
fn an_unfreeze_says_what_it_moves_before_and_after_and_is_one_generation() {
    let mut house = House::well(REFERENCE);
    house.order(request(Order::Freeze)).unwrap();
    house.down(&["dc1"]).at(100);
    let dry = Submission { is_dry_run: true, ..Submission::of(request(Order::Unfreeze)) };
    let dry = house.submit(dry).try_recv().unwrap().unwrap();
    assert!(!dry.answer.impact.changes.is_empty());
    let before = house.generation();
    let deed = house.order(request(Order::Unfreeze)).unwrap();
    assert_eq!((dry.answer, house.generation()), (deed.answer, before + 1));
    assert_eq!(house.of("beijing"), "dc2");
    house.expect_latches(["dc1 beijing"]);
}

#[test]
fn a_restart_under_a_freeze_keeps_who_is_inside_a_tier_there() {
    let mut house = House::well(&fenced("after: 20s"));
    house.down(&["dc1"]).at(30);
    assert_eq!(house.of("beijing"), "dc2");
    house.order(request(Order::Freeze)).unwrap();
    let house = house.restart(10);
    assert_eq!(house.of("beijing"), "dc2");
}
