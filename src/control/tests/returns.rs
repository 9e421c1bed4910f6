//! When clients come back by themselves: `after`, `auto`, the cooldown.

use super::house::{House, REFERENCE, clear, pin};

fn reference(failback: &str) -> String {
    REFERENCE.replace("  policies:", &format!("  failback: {failback}\n  policies:"))
}

#[test]
fn after_means_up_without_a_break_and_after_the_cooldown() {
    // Long up when the cooldown is over.
    let mut house = House::well(&reference("10m"));
    house.at(1000).down(&["dc1"]);
    house.at(1100).up(&["dc1"]).at(2799);
    assert_eq!(house.of("beijing"), "dc2");
    let status = house.status();
    assert!(!status.latches[0].is_waiting, "it needs no person");
    assert!(status.latches[0].returns_at.is_some());
    house.at(2800);
    assert_eq!(house.of("beijing"), "dc1", "1000 + 30 min");
    house.expect_latches([]);
    // A break begins the ten minutes anew; up is up and not in the hold-down.
    let mut house = House::well(&reference("10m"));
    house.down(&["dc1"]).at(5000).up(&["dc1"]);
    house.at(5500).down(&["dc1"]).at(5510).up(&["dc1"]);
    house.at(5510 + 30 + 599);
    assert_eq!(house.of("beijing"), "dc2");
    house.at(5510 + 30 + 600);
    assert_eq!(house.of("beijing"), "dc1");
}

#[test]
fn auto_waits_for_the_cooldown_alone_and_on_routes_without_tiers_for_nothing() {
    let mut house = House::well(&reference("auto"));
    house.at(100).down(&["dc1"]);
    house.at(200).up(&["dc1"]).at(229);
    assert_eq!([house.of("beijing"), house.of("elsewhere")], ["dc2", "dc2+dc3"]);
    house.at(230);
    assert_eq!([house.of("beijing"), house.of("elsewhere")], ["dc2", "dc1+dc2+dc3"]);
    house.at(1899);
    assert_eq!(house.of("beijing"), "dc2");
    house.at(1900);
    assert_eq!(house.of("beijing"), "dc1");
}

#[test]
fn the_cooldown_counts_from_the_last_move_away_and_delays_no_failover() {
    let mut house = House::well(&reference("auto"));
    house.down(&["dc1"]).at(10).up(&["dc1"]);
    house.at(1000).down(&["dc2"]);
    assert_eq!(house.of("beijing"), "dc3");
    house.at(2799);
    assert_eq!(house.of("beijing"), "dc3");
    house.at(2800);
    assert_eq!(house.of("beijing"), "dc1");
}

#[test]
fn across_a_restart_the_cooldown_counts_by_the_wall_and_never_runs_short_when_that_went_back() {
    let begin = || {
        let mut house = House::well(&reference("auto"));
        house.at(100).down(&["dc1"]).at(200).up(&["dc1"]).at(300);
        house
    };
    let mut house = begin().restart(400);
    house.at(1199);
    assert_eq!(house.of("beijing"), "dc2", "600 s are over, 1200 to go");
    house.at(1200);
    assert_eq!(house.of("beijing"), "dc1");
    let mut house = begin().restart(-100_000);
    house.at(1799);
    assert_eq!(house.of("beijing"), "dc2", "the clock went back: all of it again");
    house.at(1800);
    assert_eq!(house.of("beijing"), "dc1");
}

#[test]
fn a_latch_never_runs_out_while_a_switch_stands() {
    let mut house = House::well(&reference("auto"));
    house.down(&["dc1"]).at(10);
    house.order(pin("dc2")).unwrap();
    house.up(&["dc1"]).at(10_000);
    house.expect_latches(["dc1 beijing"]);
    house.order(clear()).unwrap();
    assert_eq!(house.of("beijing"), "dc1", "nothing keeps it any more");
}

#[test]
fn a_policy_that_turns_to_auto_lets_go_of_what_a_route_without_tiers_had_latched() {
    let weighted = |failback: &str| {
        format!(
            "gslb:\n  domain: w.example.com\n  failback: {failback}\n  health_check: {{ protocol: https }}\n  \
             policies: {{ default: {{ type: weighted }} }}\n  \
             endpoints: {{ dc1: {{ ip: 192.0.2.1 }}, dc2: {{ ip: 192.0.2.2 }} }}\n"
        )
    };
    let mut house = House::well(&weighted("manual"));
    house.down(&["dc1"]).at(10).up(&["dc1"]).at(100);
    assert_eq!(house.of("elsewhere"), "dc2");
    house.expect_latches(["dc1 elsewhere waiting"]);
    house.reload(&weighted("auto"));
    assert_eq!(house.of("elsewhere"), "dc1+dc2");
    house.expect_latches([]);
}
