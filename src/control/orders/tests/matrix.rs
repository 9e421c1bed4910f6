//! The reference automation as data: how the data centre dies × when the PUT comes × what is lost.
//!
//! Its facts: one PUT, once, without looking at the answer; perhaps minutes after health has moved the traffic,
//! perhaps never. Right after it the target's pods are restarted, so the target dips for 30 to 60 s. The old primary
//! comes back much later, and may still believe that it is the primary.

use super::desk::{Desk, REFERENCE, switch};
use crate::control::orders::OrderRefused;
use crate::model::State;

/// How it dies, and how many seconds later that is noticed (interval 5 s, timeout 3 s, threshold 3).
const DEATHS: [(&str, u64); 3] = [("refused connection", 6), ("black hole", 9), ("hang", 9)];

/// Lost at 100 s; when the PUT comes; what it comes to; who answers Beijing, Shanghai and elsewhere right after it,
/// during the dip that follows, and after the recovery of all.
#[rustfmt::skip]
const MATRIX: &[(&str, &str, &str, &str, &str, &str)] = &[
    ("dc1", "before", "done", "dc2 dc2 dc2", "dc2 dc2 dc2", "dc2 dc2 dc2"),
    ("dc1", "after",  "done", "dc2 dc2 dc2", "dc2 dc2 dc2", "dc2 dc2 dc2"),
    // It would send everybody from what is up to what is down.
    ("dc1", "dip",    "target-unhealthy", "dc3 dc3 dc3", "dc3 dc3 dc3", "dc3 dc3 dc1+dc2+dc3"),
    ("dc1", "twice",  "done, repeated", "dc2 dc2 dc2", "dc2 dc2 dc2", "dc2 dc2 dc2"),
    ("dc1", "never",  "-", "dc2 dc3 dc2+dc3", "dc2 dc3 dc2+dc3", "dc2 dc3 dc1+dc2+dc3"),
    ("dc1 dc2", "before", "done", "dc3 dc3 dc3", "dc3 dc3 dc3", "dc3 dc3 dc3"),
    ("dc1 dc2", "after",  "done", "dc3 dc3 dc3", "dc3 dc3 dc3", "dc3 dc3 dc3"),
    // Nothing is up, so nothing is made worse.
    ("dc1 dc2", "dip",    "done", "dc3 dc3 dc3", "dc3 dc3 dc3", "dc3 dc3 dc3"),
    ("dc1 dc2", "twice",  "done, repeated", "dc3 dc3 dc3", "dc3 dc3 dc3", "dc3 dc3 dc3"),
    ("dc1 dc2", "never",  "-", "dc3 dc3 dc3", "dc3 dc3 dc3", "dc3 dc3 dc1+dc2+dc3"),
];

fn put(desk: &mut Desk, target: &str) -> &'static str {
    let revision = desk.book.revision();
    match desk.order(switch(target).by("failover-controller")) {
        Ok(answer) if answer.changed => {
            assert_eq!(answer.active_dc.map(|id| id[..3].to_owned()).as_deref(), Some(target));
            "done"
        }
        Ok(answer) => {
            assert_eq!((answer.revision, desk.book.revision()), (revision, revision), "the first revision");
            "repeated"
        }
        Err(OrderRefused::Rules { refusals }) => refusals[0].rule.as_str(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_reference_automation_is_served_whatever_the_order_of_events() {
    for (death, notice_s) in DEATHS {
        for (lost, when, expected, after_put, in_dip, at_the_end) in MATRIX {
            let row = format!("{death}; {lost} lost; PUT {when}");
            let lost: Vec<&str> = lost.split(' ').collect();
            let target = if lost.len() == 1 { "dc2" } else { "dc3" };
            let mut desk = Desk::new(REFERENCE);
            let noticed = 100 + notice_s;
            let mut outcome = Vec::new();
            desk.at(100);
            if matches!(*when, "before" | "twice") {
                desk.at(102);
                outcome.push(put(&mut desk, target));
            }
            desk.at(noticed).down(&lost);
            match *when {
                "after" => {
                    desk.at(130);
                    outcome.push(put(&mut desk, target));
                }
                "dip" => {
                    desk.at(125).down(&[target]).at(130);
                    outcome.push(put(&mut desk, target));
                }
                "never" => outcome.push("-"),
                _ => {}
            }
            assert_eq!(desk.all(), *after_put, "{row}: after the PUT");
            // The target's pods are restarted: 45 s.
            let dips = *when != "never";
            if dips {
                desk.at(140).down(&[target]);
                assert_eq!(desk.all(), *in_dip, "{row}: in the dip");
                desk.at(160);
            }
            if *when == "twice" {
                outcome.push(put(&mut desk, target));
            }
            desk.at(185);
            assert_eq!(desk.all(), *in_dip, "{row}: late in the dip");
            if dips {
                desk.up(&[target]);
            }
            assert_eq!(desk.all().split(' ').next(), in_dip.split(' ').next(), "{row}: after the dip");
            desk.at(1000).up(&lost);
            assert_eq!(outcome.join(", "), *expected, "{row}");
            assert_eq!(desk.all(), *at_the_end, "{row}: at the end");
        }
    }
}

#[test]
fn a_target_that_stays_down_yields_to_policy_and_what_was_left_goes_last() {
    // A planned switch: the old primary looks up all the time.
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2")).unwrap();
    assert_eq!(desk.all(), "dc2 dc2 dc2");
    desk.at(10).down(&["dc2"]).at(84);
    assert_eq!(desk.all(), "dc2 dc2 dc2", "60 s, and the 15 s that it takes to be seen up again");
    desk.at(85);
    assert_eq!(desk.all(), "dc3 dc3 dc3", "now: not to dc1, which the switch left");
    desk.at(100).up(&["dc2"]);
    assert_eq!(desk.all().split(' ').next(), Some("dc3"), "nobody comes back by accident");
    assert_eq!(desk.holds.rearmed(), [1].into());
    // A restart remembers; a person lets them back; or orders it anew.
    let kept = desk.holds.kept(desk.policy());
    assert_eq!(kept.len(), 1);
    let now = (desk.moment(), desk.wall());
    assert_eq!(super::super::Holds::load(&kept, desk.policy(), now).facts(), desk.holds.facts());
    let answer = desk.order(switch("dc2")).unwrap();
    assert!(answer.changed && answer.revision == 2, "{answer:?}");
    assert_eq!(desk.all(), "dc2 dc2 dc2");
}

#[test]
fn failback_leads_a_yielded_preference_to_its_target_again() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2")).unwrap();
    desk.at(10).down(&["dc2"]).at(100);
    let failback = || {
        super::desk::request(super::super::Order::Failback {
            datacenters: vec!["dc2".into()],
            whom: super::super::Whom::all(),
        })
    };
    assert!(!desk.order(failback()).unwrap().changed, "it is down");
    desk.at(200).up(&["dc2"]);
    assert!(desk.order(failback()).unwrap().changed);
    assert_eq!(desk.all(), "dc2 dc2 dc2");
}

#[test]
fn a_dip_that_ends_in_time_is_forgotten() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2")).unwrap();
    for start in [100, 200, 300] {
        desk.at(start).down(&["dc2"]).at(start + 74).up(&["dc2"]);
        assert_eq!(desk.all(), "dc2 dc2 dc2");
    }
    assert_eq!(desk.holds.next_wake(), None);
}

#[test]
fn a_moment_of_silence_neither_ends_a_dip_nor_lasts_it_out() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2")).unwrap();
    desk.at(10).down(&["dc2"]).at(60).see(&["dc2"], State::Unknown).at(61).down(&["dc2"]).at(84);
    assert_eq!(desk.all(), "dc2 dc2 dc2");
    desk.at(85);
    assert_eq!(desk.all(), "dc3 dc3 dc3", "75 s after it was first seen to be down");
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2")).unwrap();
    desk.at(10).down(&["dc2"]).at(60).see(&["dc2"], State::Unknown).at(1000);
    assert_eq!(desk.all(), "dc2 dc2 dc2", "silence is not death");
    desk.up(&["dc2"]).at(1001).down(&["dc2"]).at(1070);
    assert_eq!(desk.all(), "dc2 dc2 dc2");
}
