//! What stands: repetition, undo, expiry, freeze, home, and what stays narrower.

use std::collections::BTreeSet;
use std::time::Duration;

use super::desk::{Desk, REFERENCE, datacenters, drain, pin, request, switch, three};
use super::rules::prepare;
use crate::control::orders::*;
use crate::model::State;

fn expire(desk: &mut Desk, revision: u64) -> Result<Answer, OrderRefused> {
    assert!(desk.book.due(desk.wall()).contains(&revision), "it is due");
    desk.order(expiry(revision))
}

#[test]
fn a_repetition_changes_nothing_but_an_expiry_that_it_names() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2").for_s(3600)).unwrap();
    let book = desk.book.clone();
    for again in [switch("dc2"), switch("dc2").for_s(3600), switch("dc2").by("bob")] {
        desk.at(desk.now_s + 5);
        let answer = desk.order(again).unwrap();
        assert!(!answer.changed && answer.revision == 1, "{answer:?}");
        assert_eq!(desk.book, book);
    }
    let answer = desk.order(switch("dc2").for_s(7200)).unwrap();
    assert!(answer.changed && answer.impact.changes.is_empty());
    assert_eq!(desk.book.get(1).unwrap().expires, Some(desk.wall() + Duration::from_secs(7200)));
    for what in [drain(&["dc3"]), request(Order::Freeze), request(Order::Gate { is_open: false, role: None })] {
        assert!(desk.order(what.clone()).unwrap().changed);
        assert!(!desk.order(what).unwrap().changed);
    }
}

#[test]
fn undo_is_an_order_that_inverts_another() {
    let mut desk = Desk::new(REFERENCE);
    let undo = |revision| request(Order::Undo { revision });
    assert_eq!(desk.dry(&undo(None)).map(|(answer, _)| answer), Err(OrderRefused::NothingToUndo(0)));
    desk.order(switch("dc3")).unwrap();
    desk.order(switch("dc2")).unwrap();
    let answer = desk.order(undo(None)).unwrap();
    assert_eq!((answer.revision, desk.all().as_str()), (3, "dc3 dc3 dc3"));
    desk.order(undo(None)).unwrap();
    assert_eq!(desk.all(), "dc2 dc2 dc2", "undone twice is done again");
    let error = desk.dry(&undo(Some(1))).map(|(answer, _)| answer).unwrap_err();
    assert!(matches!(error, OrderRefused::ChangedSince { revision: 1, .. }), "{error:?}");
    // The rules apply to the state after.
    let mut desk = Desk::new(REFERENCE);
    prepare(&mut desk, "forced-up dc2; down dc1; down dc2; down dc3");
    assert_eq!(desk.refused(&undo(None)), ["last-dc"]);
    // What was over meanwhile does not come back.
    let mut desk = Desk::new(REFERENCE);
    desk.order(drain(&["dc3"]).for_s(60)).unwrap();
    desk.order(request(Order::Undrain { subject: datacenters(&["dc3"]) })).unwrap();
    let answer = desk.at(100).order(undo(None));
    assert!(answer.is_ok_and(|answer| !answer.changed && answer.warnings.len() == 1));
}

#[test]
fn a_pin_expires_into_a_preference_and_that_into_what_was_left() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(pin("dc2")).unwrap();
    desk.at(100).down(&["dc2"]).at(3600);
    assert_eq!(desk.all(), "dc2 dc2 dc2", "a pin holds");
    expire(&mut desk, 1).unwrap();
    assert!(matches!(&desk.book.get(1).unwrap().what, What::Switch { mode: SwitchMode::Prefer, .. }));
    desk.at(3700).up(&["dc2"]).at(4000);
    // A preference that expires brings nobody back to the old primary.
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2").for_s(600)).unwrap();
    desk.at(600);
    expire(&mut desk, 1).unwrap();
    assert_eq!([desk.of("api", "beijing"), desk.of("api", "shanghai")], ["dc2", "dc3"], "dc1 was left");
    desk.order(request(Order::Failback { datacenters: vec!["dc1".into()], whom: Whom::all() })).unwrap();
    assert_eq!((desk.of("api", "beijing").as_str(), desk.book.standing().count()), ("dc1", 0));
}

#[test]
fn what_can_not_expire_safely_stays_and_says_why() {
    let mut desk = Desk::new(REFERENCE);
    prepare(&mut desk, "down dc1; down dc3; down dc2");
    desk.order(request(Order::Force { subject: datacenters(&["dc2"]), to: Some(Forcing::Up) }).for_s(60)).unwrap();
    desk.at(61);
    let Err(OrderRefused::Rules { refusals }) = expire(&mut desk, 1) else { panic!("nothing else is up") };
    let why = overdue(desk.book.get(1).unwrap(), &Judgement { refusals, ..Judgement::default() });
    assert!(why.contains("force up of revision 1") && why.contains("last-dc"), "{why}");
    let alarmed = desk.book.overdue(1, Some(why.clone()));
    assert_eq!(alarmed.get(1).unwrap().overdue, Some(why));
    desk.up(&["dc1"]);
    expire(&mut desk, 1).unwrap();
    assert_eq!(desk.book.standing().count(), 0);
}

#[test]
fn a_freeze_holds_expiries_and_health_but_no_orders() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(drain(&["dc3"]).for_s(60)).unwrap();
    desk.order(request(Order::Freeze).for_s(120)).unwrap();
    desk.at(100);
    assert!(desk.book.is_frozen() && desk.book.due(desk.wall()).is_empty());
    let frozen = Frozen::hold(&desk.world());
    desk.down(&["dc1"]);
    let held = desk.book.facts(desk.policy(), &frozen.world(&desk.world()), &BTreeSet::new());
    assert_eq!(held.health, frozen.world(&desk.world()).health);
    assert!(held.health.of.values().all(|verdict| verdict.state == State::Up), "health moves nothing");
    assert!(desk.order(switch("dc2")).is_ok());
    desk.at(121);
    assert_eq!(desk.book.due(desk.wall()), [2], "the freeze itself ends");
    expire(&mut desk, 2).unwrap();
    assert_eq!(desk.book.due(desk.wall()), [1]);
}

#[test]
fn a_switch_to_everybodys_home_clears_the_standing_one() {
    let mut desk = Desk::new(&three());
    let only = ["home.example.com"];
    desk.order(switch("dc2").services(&only)).unwrap();
    assert_eq!([desk.of("home", "shanghai"), desk.of("home", "elsewhere")], ["dc2", "dc2"]);
    let answer = desk.order(switch("dc1").services(&only)).unwrap();
    assert!(answer.changed && !answer.warnings.iter().any(|warning| warning.contains("geography")), "{answer:?}");
    assert_eq!(desk.book.standing().count(), 0);
    assert_eq!([desk.of("home", "shanghai"), desk.of("home", "elsewhere")], ["dc3", "dc1"]);
    // The reference names no home: it is a switch, and says what it costs.
    let answer = desk.order(switch("dc1")).unwrap();
    assert!(answer.warnings.iter().any(|warning| warning.contains("shanghai lose their geography")), "{answer:?}");
    // Home that is down is no home to go to.
    let mut desk = Desk::new(&three());
    desk.order(switch("dc2").services(&only)).unwrap();
    desk.down(&["dc1"]);
    assert_eq!(desk.refused(&switch("dc1").services(&only)), ["target-unhealthy"]);
}

#[test]
fn taking_back_for_some_leaves_the_others_switched() {
    let mut desk = Desk::new(&three());
    desk.order(switch("dc2")).unwrap();
    desk.order(request(Order::ClearSwitch { whom: Whom::all() }).services(&["home.example.com"])).unwrap();
    assert_eq!([desk.of("home", "elsewhere"), desk.of("api", "elsewhere")], ["dc1", "dc2"]);
    let whom = Whom { services: None, regions: Some(BTreeSet::from(["shanghai".into()])) };
    desk.order(request(Order::ClearSwitch { whom })).unwrap();
    assert_eq!(desk.all(), "dc2 dc3 dc2");
    let answer = desk.order(switch("dc2")).unwrap();
    assert!(answer.changed, "it no longer stands for all");
    assert_eq!([desk.of("home", "elsewhere"), desk.all()], ["dc2", "dc2 dc2 dc2"]);
}

#[test]
fn a_narrower_switch_outlives_a_wider_one_and_that_is_told() {
    let mut desk = Desk::new(&three());
    desk.order(switch("dc3").services(&["home.example.com"])).unwrap();
    let answer = desk.order(switch("dc2")).unwrap();
    assert!(answer.warnings.iter().any(|warning| warning.contains("revision 1 goes on standing")), "{answer:?}");
    assert_eq!([desk.of("home", "elsewhere"), desk.of("api", "elsewhere")], ["dc3", "dc2"]);
    desk.order(switch("dc2").services(&["home.example.com", "api.meta-driven.example.com"])).unwrap();
    assert_eq!((desk.of("home", "elsewhere").as_str(), desk.book.standing().count()), ("dc2", 2));
}

#[test]
fn of_each_kind_a_unit_is_in_one_order() {
    let mut desk = Desk::new(&three());
    desk.order(drain(&["dc2", "dc3"])).unwrap();
    desk.order(drain(&["dc2"]).for_s(60)).unwrap();
    assert!(matches!(&desk.book.get(1).unwrap().what, What::Out { .. }));
    desk.order(request(Order::Undrain { subject: datacenters(&["dc2"]) })).unwrap();
    let left: Vec<&What> = desk.book.standing().map(|standing| &standing.what).collect();
    assert_eq!(left, [&What::Out { units: BTreeSet::from([Unit::Datacenter("dc3_shanghai_dr".into())]) }]);
    let force = |to| request(Order::Force { subject: datacenters(&["dc3"]), to });
    desk.order(force(Some(Forcing::Up))).unwrap();
    desk.order(force(Some(Forcing::Down))).unwrap();
    assert_eq!(desk.book.standing().count(), 2);
    desk.order(force(None)).unwrap();
    assert_eq!(desk.book.standing().count(), 1);
}

#[test]
fn an_expiry_is_of_what_is_named_and_of_nothing_else() {
    let end = |desk: &Desk, name: &str| {
        let holds = |standing: &&Standing| match &standing.what {
            What::Out { units } => units.iter().any(|unit| unit.to_string().starts_with(name)),
            other => panic!("{other:?}"),
        };
        let mut found = desk.book.standing().filter(holds);
        let standing = found.next().expect("it is out");
        assert!(found.next().is_none(), "in one order at most");
        standing.expires.map(|at| at.duration_since(desk.wall()).unwrap().as_secs())
    };
    let mut desk = Desk::new(REFERENCE);
    desk.order(drain(&["dc1", "dc2"])).unwrap();
    desk.order(drain(&["dc1"]).for_s(600)).unwrap();
    assert_eq!([end(&desk, "dc1"), end(&desk, "dc2")], [Some(600), None]);
    // All that are named are renewed, wherever they stand.
    let mut desk = Desk::new(REFERENCE);
    desk.order(drain(&["dc1"]).for_s(3600)).unwrap();
    desk.order(drain(&["dc2"])).unwrap();
    desk.order(drain(&["dc1", "dc2"]).for_s(28_800)).unwrap();
    assert_eq!([end(&desk, "dc1"), end(&desk, "dc2")], [Some(28_800), Some(28_800)]);
    // Whole orders with another expiry go on standing; who renews them has not become whose they are.
    let answer = desk.order(drain(&["dc1", "dc2"]).for_s(60).by("bob")).unwrap();
    assert!(answer.changed && answer.revision == 4);
    let standing: Vec<(u64, &str)> =
        desk.book.standing().map(|standing| (standing.revision, standing.by.actor.as_str())).collect();
    assert_eq!(standing, [(1, "ann"), (2, "ann")]);
    assert_eq!([end(&desk, "dc1"), end(&desk, "dc2")], [Some(60), Some(60)]);
    // A repetition that names none changes none.
    let answer = desk.order(drain(&["dc1", "dc2"])).unwrap();
    assert_eq!((answer.changed, answer.revision), (false, 2));
    // A part of what stands by whole data centres and by endpoints, each by its own.
    let mut desk = Desk::new(&three());
    let of = |services: &[&str]| {
        let services = services.iter().map(|name| (*name).to_owned()).collect();
        request(Order::Drain { subject: Subject::Datacenters { names: vec!["dc1".into()], services: Some(services) } })
    };
    desk.order(of(&["home.example.com", "api.meta-driven.example.com"])).unwrap();
    desk.order(of(&["home.example.com"]).for_s(1)).unwrap();
    desk.at(2);
    expire(&mut desk, 2).unwrap();
    assert_eq!([desk.of("home", "elsewhere"), desk.of("api", "beijing")], ["dc1", "dc2"], "the other stays out");
    let values = |weight, of: &str| {
        let subject =
            Subject::Datacenters { names: vec![of.into()], services: Some(["home.example.com".into()].into()) };
        (subject, Some(weight))
    };
    desk.order(request(Order::Weights { values: vec![values(7, "dc1"), values(7, "dc2")] })).unwrap();
    desk.order(request(Order::Weights { values: vec![values(7, "dc2")] }).for_s(60)).unwrap();
    let ends: Vec<bool> = desk.book.standing().map(|standing| standing.expires.is_some()).collect();
    assert_eq!(ends, [false, false, true], "{:#?}", desk.book);
}

#[test]
fn what_an_undo_brings_back_has_become_what_its_expiry_would_have_made_of_it() {
    let undo = |revision| request(Order::Undo { revision });
    // What time has ended nobody ordered, and what was ordered before it is only taken back by name.
    let mut desk = Desk::new(REFERENCE);
    desk.order(drain(&["dc3"])).unwrap();
    desk.order(switch("dc2").for_s(600)).unwrap();
    desk.at(600);
    expire(&mut desk, 2).unwrap();
    for refused in [undo(None), undo(Some(3))] {
        let error = desk.dry(&refused).map(|(answer, _)| answer).unwrap_err();
        assert_eq!(error, OrderRefused::EndedByTime { revision: 3, before: Some((2, "switch".into())) });
    }
    let error = desk.dry(&undo(Some(2))).map(|(answer, _)| answer).unwrap_err();
    assert!(matches!(error, OrderRefused::ChangedSince { revision: 2, .. }), "{error:?}");
    let answer = desk.order(undo(Some(1))).unwrap();
    assert_eq!(answer.undone, Some(Undone { revision: 1, kind: "drain".into() }));
    // A switch whose time is over keeps its clients from where they came from.
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2").for_s(3600)).unwrap();
    desk.order(switch("dc3")).unwrap();
    desk.at(7200);
    let answer = desk.order(undo(Some(2))).unwrap();
    assert!(answer.warnings.iter().any(|warning| warning.contains("comes back as")), "{answer:?}");
    assert_eq!(desk.of("api", "beijing"), "dc2", "dc1 was left");
    // A pin that was extended, undone after its first time is over: a preference.
    let mut desk = Desk::new(REFERENCE);
    desk.order(pin("dc2").for_s(600)).unwrap();
    desk.at(540).order(pin("dc2").for_s(7200)).unwrap();
    desk.at(1800).order(undo(None)).unwrap();
    let standing = &desk.book.get(1).expect("it stands").what;
    assert!(matches!(standing, What::Switch { mode: SwitchMode::Prefer, .. }), "{standing:?}");
}

#[test]
fn an_undo_does_not_bring_back_what_another_order_has_taken_the_place_of() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc3")).unwrap();
    desk.order(request(Order::ClearSwitch { whom: Whom::all() })).unwrap();
    desk.order(switch("dc2")).unwrap();
    let undo = request(Order::Undo { revision: Some(2) });
    let error = desk.dry(&undo).map(|(answer, _)| answer).unwrap_err();
    assert_eq!(error, OrderRefused::ChangedSince { revision: 2, standing: 3 });
}

#[test]
fn a_switch_home_leaves_alone_whom_it_does_not_concern() {
    let elsewhere = "gslb:\n  domain: other.example.com\n  policies:\n    default: { type: weighted }\n  \
         endpoints: { two: { datacenter: dc2, ip: 192.0.2.22 }, three: { datacenter: dc3, ip: 192.0.2.23 } }\n";
    let text = three()
        .replace("domain: api.", "home: dc1\n  domain: api.")
        .replace("domain: two.", "home: dc1\n  domain: two.");
    let mut desk = Desk::new(&format!("{elsewhere}---\n{text}"));
    desk.order(switch("dc3").services(&["other.example.com"])).unwrap();
    desk.order(switch("dc2").services(&["home.example.com"])).unwrap();
    let answer = desk.order(switch("dc1")).unwrap();
    assert_eq!(answer.services_skipped, ["other.example.com."]);
    assert_eq!([desk.of("other", "elsewhere"), desk.of("home", "elsewhere")], ["dc3", "dc1"]);
    assert_eq!(desk.book.standing().count(), 1);
}

#[test]
fn a_switch_of_a_region_leaves_what_that_region_had() {
    let mut desk = Desk::new(REFERENCE);
    let mut only = switch("dc2").for_s(3600);
    let Order::Switch { whom, .. } = &mut only.order else { panic!() };
    whom.regions = Some(BTreeSet::from(["shanghai".to_owned()]));
    desk.order(only).unwrap();
    assert_eq!(desk.of("api", "shanghai"), "dc2");
    desk.down(&["dc2"]).at(75);
    assert_eq!(desk.of("api", "shanghai"), "dc1", "dc3 was left");
    desk.up(&["dc2"]).at(3600);
    expire(&mut desk, 1).unwrap();
    assert_ne!(desk.of("api", "shanghai"), "dc3");
}

#[test]
fn what_was_taken_back_is_not_contended() {
    let mut desk = Desk::new(REFERENCE);
    desk.order(switch("dc2").by("bob")).unwrap();
    assert_eq!(desk.refused(&switch("dc3")), ["contended"]);
    desk.order(request(Order::Undo { revision: None }).by("bob")).unwrap();
    assert_eq!(desk.refused(&switch("dc3")), Vec::<&str>::new());
    desk.order(switch("dc2").by("bob")).unwrap();
    desk.order(request(Order::ClearSwitch { whom: Whom::all() }).by("bob")).unwrap();
    assert_eq!(desk.refused(&switch("dc3")), Vec::<&str>::new());
}

#[test]
fn the_book_is_bounded() {
    let mut desk = Desk::new(&three());
    for at in 0..100 {
        let to = ["dc2", "dc3"][at % 2];
        desk.order(switch(to)).unwrap();
    }
    assert_eq!(desk.book.standing().count(), 1);
    assert!(desk.store.len() <= 1 + 1 + crate::limits::ORDERS_PAST_KEPT, "{}", desk.store.len());
}
