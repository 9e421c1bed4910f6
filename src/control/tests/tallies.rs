//! What was answered decides when an order has taken effect everywhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::house::{House, REFERENCE, datacenter, request, switch};
use crate::control::orders::{Order, QueryShare};
use crate::control::{Ordered, Submission};
use crate::limits::RECENT_QUERIES_S;
use crate::model::{Admin, DatacenterId, DatacenterIx, Moment, ServiceIx};
use crate::table::{Reader, Tally};

/// Long after the start: what the process before answered has expired.
const LATER_S: u64 = 10_000;

fn client(place: &str) -> IpAddr {
    match place {
        "beijing" => [10, 1, 0, 1].into(),
        "shanghai" => [10, 2, 0, 1].into(),
        other => panic!("no place {other}"),
    }
}

/// A worker answers clients there, and rests.
fn ask(reader: &mut Reader, now_s: u64, places: &[&str]) {
    ask_for(reader, now_s, places, 0);
    reader.rest();
}

fn ask_for(reader: &mut Reader, now_s: u64, places: &[&str], service: u32) {
    let (table, mut tallier) = reader.answering(Moment(Duration::from_secs(now_s)), places.len());
    for place in places {
        tallier.turn_to_next(0);
        let view = table.service(ServiceIx(service));
        tallier.asked(view.ix(), &client(place), 1);
        let located = view.locate(client(place));
        tallier.given(&view.choose(located, client(place), 0).expect("somebody answers"));
    }
}

fn reader(house: &House) -> Reader {
    house.control.subscription().reader().expect("there is room")
}

fn ttl(house: &House) -> u64 {
    house.control.current().service(ServiceIx(0)).ttl(0).into()
}

/// In seconds of the test.
fn until(house: &House, done: &Ordered) -> Option<u64> {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(house.wall_s);
    done.old_answers_until.map(|at| at.duration_since(start).unwrap().as_secs())
}

fn admin(house: &House) -> Option<Admin> {
    house.control.current().facts().datacenters.get(&DatacenterIx(0)).copied()
}

/// Another service before it, so that every number is another.
fn shifted() -> String {
    format!("{}---\n{REFERENCE}", REFERENCE.replace("domain: api.", "domain: aaa."))
}

#[test]
fn an_order_says_when_the_last_answer_that_was_given_expires() {
    let mut house = House::well(REFERENCE);
    let mut worker = reader(&house);
    house.at(LATER_S);
    ask(&mut worker, LATER_S, &["beijing", "shanghai"]);
    house.at(LATER_S + 5);
    ask(&mut worker, LATER_S + 5, &["shanghai"]);
    house.at(LATER_S + 7);
    // Clients of Beijing leave dc1 for dc2; those of Shanghai, who were answered later, stay.
    let whom = crate::control::orders::Whom { regions: Some(["beijing".to_owned()].into()), ..Default::default() };
    let mode = crate::control::orders::SwitchMode::Prefer;
    let order = request(Order::Switch { to: "dc2".into(), mode, whom, from: None });
    let done = house.order(order).unwrap();
    assert_eq!(until(&house, &done), Some(LATER_S + 1 + ttl(&house)));
}

#[test]
fn where_nothing_was_answered_nothing_has_to_expire() {
    let mut house = House::well(REFERENCE);
    house.at(LATER_S);
    let done = house.order(switch("dc2")).unwrap();
    assert_eq!(until(&house, &done), Some(LATER_S));
    // Nobody is answered otherwise because of these.
    for order in [Order::Freeze, Order::Gate { is_open: false, role: None }] {
        assert_eq!(house.order(request(order)).unwrap().old_answers_until, None);
    }
}

#[test]
fn a_ttl_that_is_ordered_counts_for_answers_given_under_it() {
    let mut house = House::well(REFERENCE);
    let mut worker = reader(&house);
    house.at(LATER_S);
    let ttl = |seconds| request(Order::Ttl { whom: Default::default(), datacenters: None, seconds });
    house.order(ttl(Some(300))).unwrap();
    ask(&mut worker, LATER_S, &["beijing"]);
    // Taking it back: the answers with the long TTL are the old ones.
    let done = house.order(ttl(None)).unwrap();
    assert_eq!(until(&house, &done), Some(LATER_S + 1 + 300));
    ask(&mut worker, LATER_S + 1, &["beijing"]);
    house.at(LATER_S + 2);
    let done = house.order(switch("dc2")).unwrap();
    assert_eq!(until(&house, &done), Some(LATER_S + 1 + 300), "an earlier answer lives longer than the last");
}

#[test]
fn after_a_restart_the_worst_case_counts_until_it_is_over() {
    let mut house = House::well(REFERENCE);
    let ttl = ttl(&house);
    house.at(3);
    let done = house.order(switch("dc2")).unwrap();
    assert_eq!(until(&house, &done), Some(ttl), "somebody may have answered until the start");
    let mut house = house.restart(10).all_up();
    house.at(ttl + 1);
    let done = house.order(request(Order::Drain { subject: datacenter("dc2") })).unwrap();
    assert_eq!(until(&house, &done), Some(ttl + 1), "and that is over");
}

#[test]
fn while_a_worker_answers_from_an_older_table_the_worst_case_is_told() {
    let mut house = House::well(REFERENCE);
    let mut worker = reader(&house);
    house.at(LATER_S);
    ask_for(&mut worker, LATER_S, &["beijing"], 0);
    house.at(LATER_S + 9);
    let done = house.order(switch("dc2")).unwrap();
    assert_eq!(until(&house, &done), Some(LATER_S + 9 + ttl(&house)));
}

#[test]
fn a_drain_is_out_when_the_last_answer_given_has_expired_and_not_later() {
    let mut house = House::well(REFERENCE);
    let mut worker = reader(&house);
    house.at(LATER_S);
    ask(&mut worker, LATER_S, &["beijing"]);
    house.at(LATER_S + 10);
    let done = house.order(request(Order::Drain { subject: datacenter("dc1") })).unwrap();
    let out = LATER_S + 1 + ttl(&house);
    assert_eq!((until(&house, &done), admin(&house)), (Some(out), Some(Admin::Draining)));
    house.at(out - 1);
    assert_eq!(admin(&house), Some(Admin::Draining));
    house.at(out);
    assert_eq!(admin(&house), Some(Admin::Out));
}

#[test]
fn a_reload_forgets_no_answer() {
    let mut house = House::well(REFERENCE);
    let (mut worker, mut idle) = (reader(&house), reader(&house));
    house.at(LATER_S);
    let ttl = ttl(&house);
    ask(&mut worker, LATER_S, &["beijing", "beijing"]);
    let dc1 = house.control.current().base().policy().datacenters[0].id.clone();
    let counted = |house: &House, dc: &DatacenterId| house.control.talk().tallied().of(dc).all().count;
    assert_eq!(counted(&house, &dc1), 2);
    for text in [shifted(), REFERENCE.to_owned(), shifted()] {
        house.reload(&text);
        assert_eq!(counted(&house, &dc1), 2);
        // Readers go over to the new table, the old one goes, and its numbers are folded into the past.
        for reader in [&mut worker, &mut idle] {
            reader.work();
            reader.rest();
        }
        house.control.patience(crate::control::status::Now { moment: house.now().0, wall: house.now().1 });
        house.control.talk().tallied().count(house.now().0);
        assert_eq!(counted(&house, &dc1), 2);
    }
    ask_for(&mut worker, LATER_S + 1, &["shanghai"], 1);
    worker.rest();
    house.at(LATER_S + 4);
    let done = house.order(request(Order::Drain { subject: datacenter("dc1") })).unwrap();
    assert_eq!(until(&house, &done), Some(LATER_S + 1 + ttl));
    // Past what any cache keeps, and named by no file: forgotten.
    house.reload(&REFERENCE.replace("domain: api.", "domain: zzz."));
    house.at(LATER_S + 1000);
    for reader in [&mut worker, &mut idle] {
        reader.work();
        reader.rest();
    }
    house.control.patience(crate::control::status::Now { moment: house.now().0, wall: house.now().1 });
    house.control.talk().tallied().count(house.now().0);
    assert_eq!(counted(&house, &dc1), 0);
}

#[test]
fn files_that_come_back_after_a_defect_in_others_count_once() {
    let mut house = House::well(REFERENCE);
    let mut worker = reader(&house);
    house.at(LATER_S);
    ask(&mut worker, LATER_S, &["beijing", "beijing"]);
    let dc1 = house.control.current().base().policy().datacenters[0].id.clone();
    let counted = |house: &House| house.control.talk().tallied().of(&dc1).all().count;
    // They serve already when it happens.
    let before = house.control.current();
    house.keeper_panics();
    assert_eq!(house.try_reload(&shifted()).len(), 1);
    assert!(!Arc::ptr_eq(house.control.current().base(), before.base()));
    house.at(LATER_S + 1).up(&["dc1"]);
    assert!(Arc::ptr_eq(house.control.current().base(), before.base()));
    assert_eq!(counted(&house), 2);
    drop(before);
    house.reload(&shifted());
    assert_eq!(counted(&house), 2);
    worker.work();
    worker.rest();
    for _ in 0..2 {
        house.control.patience(crate::control::status::Now { moment: house.now().0, wall: house.now().1 });
        house.control.talk().tallied().count(house.now().0);
        assert_eq!(counted(&house), 2);
    }
}

#[test]
fn the_last_minute_is_the_last_minute() {
    let house = House::well(REFERENCE);
    let mut worker = reader(&house);
    let tallied = house.control.talk().tallied().clone();
    let dc1 = house.control.current().base().policy().datacenters[0].id.clone();
    let minute = |at: u64| {
        tallied.count(Moment(Duration::from_secs(at)));
        tallied.of(&dc1).last_minute
    };
    assert_eq!(minute(100), 0);
    ask(&mut worker, 100, &["beijing"; 3]);
    assert_eq!(minute(101), 3);
    ask(&mut worker, 130, &["beijing"; 4]);
    assert_eq!(minute(131), 7);
    assert_eq!(minute(160), 7);
    assert_eq!(minute(161), 4, "what came in the second that ended at 101 is over");
    assert_eq!(minute(500), 0);
}

fn queries(house: &mut House) -> Option<QueryShare> {
    let dry = Submission { is_dry_run: true, ..Submission::of(switch("dc2")) };
    house.submit(dry).try_recv().unwrap().unwrap().answer.impact.queries
}

#[test]
fn an_impact_counts_the_queries_of_the_recent_past_and_none_are_unknown() {
    let mut house = House::well(REFERENCE);
    assert_eq!(queries(&mut house), None);
    let mut worker = reader(&house);
    // Control asks its own clock how long ago a query was.
    ask(&mut worker, 1, &["beijing", "shanghai", "shanghai", "beijing"]);
    let share = queries(&mut house).unwrap();
    assert_eq!((share.moved_ppm, share.sampled), (1_000_000, 4), "dc1 and dc3 are left by all");
    assert!(share.span_s <= RECENT_QUERIES_S);
    // Numbers are others, names are the same.
    house.reload(&shifted());
    let after = queries(&mut house).unwrap();
    assert_eq!((after.moved_ppm, after.sampled), (1_000_000, 4));
    // A service that is gone is not counted for another.
    house.reload(&REFERENCE.replace("domain: api.", "domain: zzz."));
    assert_eq!(queries(&mut house), None);
}
