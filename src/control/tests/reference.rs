//! The reference policy end to end: two cities, three centres; failback by hand.

use super::house::{House, REFERENCE, clear, switch};
use crate::control::Restored;
use crate::control::orders::OrderRefused;
use crate::model::Generation;
use crate::model::State::{Down, Unknown, Up};

#[test]
fn the_primary_dies_recovers_and_waits_for_a_person() {
    let mut house = House::well(REFERENCE);
    assert_eq!([house.of("beijing"), house.of("shanghai"), house.of("elsewhere")], ["dc1", "dc3", "dc1+dc2+dc3"]);
    house.at(100).down(&["dc1"]);
    assert_eq!([house.of("beijing"), house.of("shanghai"), house.of("elsewhere")], ["dc2", "dc3", "dc2+dc3"]);
    house.expect_latches(["dc1 beijing"]);
    let moved = house.status().moves.back().unwrap().clone();
    assert_eq!((moved.region.unwrap().as_str(), moved.why.as_str()), ("beijing", "health"));
    house.at(200).up(&["dc1"]);
    assert_eq!(house.of("elsewhere"), "dc2+dc3", "in its hold-down");
    house.expect_latches(["dc1 beijing"]);
    house.at(100_000);
    assert_eq!([house.of("beijing"), house.of("elsewhere")], ["dc2", "dc1+dc2+dc3"]);
    house.expect_latches(["dc1 beijing waiting"]);
    assert!(house.status().latches[0].is_waiting, "the first thing that status says");
    let before = house.generation();
    let ordered = house.failback("dc1").unwrap();
    assert_eq!((ordered.answer.changed, ordered.generation.0, ordered.released.len()), (true, before + 1, 1));
    assert_eq!(house.of("beijing"), "dc1");
    house.expect_latches([]);
    assert!(!house.failback("dc1").unwrap().answer.changed);
    assert_eq!(house.generation(), before + 1, "an order that changes nothing makes no table");
}

#[test]
fn orders_name_data_centres_as_people_do_and_what_is_down_stays_latched() {
    let mut house = House::well(REFERENCE);
    house.down(&["dc1"]);
    let unknown = OrderRefused::UnknownDatacenter { name: "dc9".into(), nearest: Some("dc1".into()) };
    assert_eq!(house.failback("dc9"), Err(unknown.into()));
    let ordered = house.failback("DC1").unwrap();
    assert_eq!((ordered.answer.changed, ordered.kept.len()), (false, 1), "dc1 is down");
    assert_eq!(house.of("beijing"), "dc2");
    // In its hold-down it may be ordered; clients follow when that ends.
    house.at(10).up(&["dc1"]);
    assert!(house.failback("dc1").unwrap().answer.changed);
    assert_eq!(house.of("beijing"), "dc2");
    house.at(39);
    assert_eq!(house.of("beijing"), "dc2");
    house.at(40);
    assert_eq!(house.of("beijing"), "dc1");
}

#[test]
fn a_restart_keeps_the_latch_and_raises_nobody_from_the_dead() {
    let mut house = House::well(REFERENCE);
    house.at(100).down(&["dc1"]);
    let generation = house.generation();
    let mut house = house.restart(60);
    assert!(house.generation() > generation);
    assert!(house.status().is_first_round_complete, "what is remembered serves at once");
    assert_eq!([house.of("beijing"), house.of("elsewhere")], ["dc2", "dc2+dc3"]);
    house.expect_latches(["dc1 beijing"]);
    let remembered: Vec<_> = house.targets().iter().map(|target| target.remembered).collect();
    assert_eq!(remembered, [Some(Down), Some(Up), Some(Up)]);
    assert!(house.status().addresses().all(|address| address.is_stale));
    // Silence says nothing; a success does.
    house.see(&["dc1"], Unknown);
    assert_eq!(house.of("elsewhere"), "dc2+dc3");
    house.up(&["dc1", "dc2", "dc3"]).at(31);
    assert_eq!([house.of("beijing"), house.of("elsewhere")], ["dc2", "dc1+dc2+dc3"]);
    house.expect_latches(["dc1 beijing waiting"]);
    // And once more, with the recovery remembered.
    let mut house = house.restart(5);
    assert_eq!(house.of("beijing"), "dc2");
    house.expect_latches(["dc1 beijing waiting"]);
    house.failback("dc1").unwrap();
    assert_eq!(house.of("beijing"), "dc1");
}

#[test]
fn a_start_without_memory_waits_for_the_first_round_and_is_no_all_down() {
    let mut house = House::new(REFERENCE);
    assert!(!house.status().is_first_round_complete);
    assert_eq!(house.of("beijing"), "dc1", "unknown counts as up when nothing else is");
    house.up(&["dc3"]);
    house.expect_latches([]);
    house.up(&["dc2"]).up(&["dc1"]);
    assert!(house.status().is_first_round_complete);
    assert_eq!([house.of("beijing"), house.of("shanghai")], ["dc1", "dc3"]);
    house.expect_latches([]);
}

#[test]
fn generations_go_on_after_a_restart() {
    let restored = Restored { generation: Generation(7000), ..Restored::default() };
    assert_eq!(restored.generation, Generation(7000));
    let house = House::well(REFERENCE);
    let (before, house) = (house.generation(), house.restart(1));
    assert_eq!(house.generation(), before + 1);
}

#[test]
fn whatever_the_order_in_which_two_of_three_die_they_are_left_until_somebody_says_so() {
    for deaths in [&[&["dc1", "dc2"][..]][..], &[&["dc1"], &["dc2"]], &[&["dc2"], &["dc1"]]] {
        let mut house = House::well(REFERENCE);
        for death in deaths {
            house.down(death);
        }
        assert_eq!([house.of("beijing"), house.of("shanghai"), house.of("elsewhere")], ["dc3", "dc3", "dc3"]);
        house.expect_latches(["dc1 beijing", "dc2 beijing"]);
        house.at(10).up(&["dc2", "dc1"]).at(1000);
        assert_eq!(house.of("beijing"), "dc3", "after {deaths:?}");
        house.expect_latches(["dc1 beijing waiting", "dc2 beijing waiting"]);
        house.failback("dc2").unwrap();
        assert_eq!(house.of("beijing"), "dc2");
        house.failback("dc1").unwrap();
        assert_eq!(house.of("beijing"), "dc1");
    }
}

#[test]
fn when_all_are_dead_clients_stay_where_they_are_and_the_first_that_lives_gets_them() {
    let mut house = House::well(REFERENCE);
    house.down(&["dc1", "dc2", "dc3"]);
    assert_eq!([house.of("beijing"), house.of("shanghai")], ["dc1", "dc3"], "as if everything were up");
    house.expect_latches([]);
    house.at(50).up(&["dc2"]);
    assert_eq!([house.of("beijing"), house.of("shanghai")], ["dc2", "dc2"]);
    house.expect_latches(["dc1 beijing", "dc1 shanghai", "dc3 shanghai"]);
}

#[test]
fn clients_go_back_to_a_left_data_centre_when_it_is_the_only_one_and_leave_the_other() {
    let mut house = House::well(REFERENCE);
    house.down(&["dc1"]).at(10).up(&["dc1"]).at(100);
    house.down(&["dc3"]).down(&["dc2"]);
    assert_eq!(house.of("beijing"), "dc1");
    house.expect_latches(["dc2 beijing", "dc3 shanghai"]);
    house.at(200).up(&["dc2", "dc3"]).at(1000);
    assert_eq!([house.of("beijing"), house.of("shanghai")], ["dc1", "dc1"], "what they left waits");
}

#[test]
fn flaps_lengthen_the_hold_down_which_is_not_minded_when_nothing_else_is_up() {
    let mut house = House::well(REFERENCE);
    for flap in 0..3 {
        house.at(100 * flap).down(&["dc1"]).at(100 * flap + 5).up(&["dc1"]);
    }
    house.at(294);
    assert_eq!(house.of("elsewhere"), "dc2+dc3", "three flaps: 90 s");
    house.down(&["dc2", "dc3"]);
    assert_eq!([house.of("elsewhere"), house.of("beijing")], ["dc1", "dc1"]);
    house.up(&["dc2", "dc3"]).at(295);
    assert_eq!(house.of("elsewhere"), "dc1");
    house.at(324);
    assert_eq!(house.of("elsewhere"), "dc1+dc2+dc3");
}

#[test]
fn ten_thousand_dying_at_once_are_one_generation() {
    let mut text = REFERENCE.to_owned();
    let endpoints = text.find("  endpoints:").unwrap();
    text.truncate(endpoints);
    text.push_str("  endpoints:\n");
    for (dc, net) in [("dc1_beijing_primary", 1), ("dc2_beijing_standby", 2), ("dc3_shanghai_dr", 3)] {
        text.push_str(&format!("    {dc}: {{ ip: 192.0.2.{net} }}\n"));
    }
    let many = (0..600).map(|at| text.replace("domain: api.", &format!("domain: s{at:04}."))).collect::<Vec<_>>();
    let mut house = House::well(&many.join("---\n"));
    let before = house.generation();
    house.down(&["dc1"]);
    assert_eq!(house.generation(), before + 1);
    let status = house.status();
    assert_eq!((status.latches.len(), status.moves_total), (600, 1200));
    assert!(status.moves.len() <= crate::limits::MOVES_KEPT);
    assert_eq!(house.of_service("beijing", 599), "dc2");
}

#[test]
fn a_switch_keeps_latches_and_makes_none() {
    let mut house = House::well(REFERENCE);
    house.down(&["dc1"]);
    house.expect_latches(["dc1 beijing"]);
    house.order(switch("dc3")).unwrap();
    house.at(10).up(&["dc1"]).at(5000);
    assert_eq!(house.of("beijing"), "dc3");
    house.expect_latches(["dc1 beijing waiting"]);
    // What dies while a switch says who answers is not left by anybody.
    house.down(&["dc2"]);
    assert_eq!(house.of("beijing"), "dc3");
    house.expect_latches(["dc1 beijing waiting"]);
    house.order(clear()).unwrap();
    house.at(6000).up(&["dc3"]);
    assert_eq!(house.of("beijing"), "dc3", "dc1 waits, dc2 is down");
    house.expect_latches(["dc1 beijing waiting", "dc2 beijing"]);
}

#[test]
fn a_reload_carries_states_latches_and_target_ids_over() {
    let mut house = House::well(REFERENCE);
    house.down(&["dc1"]);
    let before = house.targets();
    // A service that sorts before, so that every index is another; and a weight.
    let other = REFERENCE.replace("domain: api.", "domain: aaa.");
    house.reload(&format!("{other}---\n{}", REFERENCE.replace("weight: 30", "weight: 31")));
    assert_eq!([house.of_service("beijing", 0), house.of_service("beijing", 1)], ["dc1", "dc2"], "what is known stays");
    let after = house.targets();
    for target in &before {
        let same = after.iter().find(|same| same.id == target.id).expect("what is probed goes on being probed");
        assert_eq!(same.spec, target.spec);
    }
    assert_eq!(after.len(), 2 * before.len(), "their Host is the service's name");
    let remembered = |state| after.iter().filter(|target| target.remembered == state).count();
    assert_eq!([Some(Down), Some(Up), None].map(remembered), [1, 2, 3]);
    house.up(&["dc2", "dc3"]).down(&["dc1"]);
    house.at(10).up(&["dc1"]).at(100);
    assert_eq!([house.of_service("beijing", 0), house.of_service("beijing", 1)], ["dc2", "dc2"]);
    // The file goes by mistake, and comes back: the latch is still there.
    house.reload(&other);
    house.reload(REFERENCE);
    assert_eq!(house.of("beijing"), "dc2");
    house.expect_latches(["dc1 beijing"]);
    house.up(&["dc1", "dc2", "dc3"]);
    assert_eq!(house.of("beijing"), "dc2");
    house.expect_latches(["dc1 beijing waiting"]);
}

#[test]
fn min_healthy_takes_the_whole_data_centre_and_followers_go_along() {
    let edit = |policy: &mut crate::model::PolicySet| {
        policy.datacenters[0].min_healthy = Some(crate::model::MinHealthy::Count(2));
        let (service, endpoint) = (crate::model::ServiceIx(0), crate::model::EndpointIx(1));
        let follower = &mut policy.services[1].endpoints[1];
        follower.health = crate::model::CheckExpr::All(vec![]);
        follower.follows = Some((service, endpoint));
    };
    let other = REFERENCE.replace("domain: api.", "domain: b.").replace("1.1.1.", "1.1.2.");
    let mut house = House::with(&format!("{REFERENCE}---\n{other}"), edit, Default::default()).all_up();
    assert_eq!(house.of_service("beijing", 1), "dc1");
    let only_first = house.there("dc1")[0];
    house.health(vec![(only_first, Down)]);
    assert_eq!([house.of_service("beijing", 0), house.of_service("beijing", 1)], ["dc2", "dc2"]);
    assert_eq!(house.status().withheld.len(), 1);
    assert_eq!(house.status().alarms.len(), 1);
    // The second service's dc2 has no checks of its own.
    house.down(&["dc2"]);
    assert_eq!(house.of_service("beijing", 1), "dc3");
}
