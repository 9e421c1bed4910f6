//! Names: what people may say, and what becomes of it when files change.

use std::collections::BTreeSet;

use super::desk::{Desk, base, drain, request, switch, three};
use crate::control::orders::*;

fn refusal(desk: &Desk, request: &Request) -> OrderRefused {
    desk.dry(request).map(|(answer, _)| answer).unwrap_err()
}

#[test]
fn a_data_centre_is_named_by_id_alias_group_or_leading_word() {
    let desk = Desk::new(&three());
    for (name, meant) in [
        ("dc2", "dc2_beijing_standby"),
        ("DC2_BEIJING", "dc2_beijing_standby"),
        ("sh", "dc3_shanghai_dr"),
        ("beijing", "dc1_beijing_primary dc2_beijing_standby"),
    ] {
        let (_, draft) = desk.dry(&switch(name).services(&["api.meta-driven.example.com"])).unwrap();
        let standing = draft.applied.book.standing().next().unwrap().clone();
        let What::Switch { to, .. } = standing.what else { panic!() };
        assert_eq!(to.into_iter().collect::<Vec<_>>().join(" "), meant);
    }
    let OrderRefused::UnknownDatacenter { nearest, .. } = refusal(&desk, &switch("dc4")) else { panic!() };
    assert!(nearest.is_some());
    assert!(matches!(refusal(&desk, &drain(&["dc1,dc9"])), OrderRefused::UnknownDatacenter { .. }));
    let two = three()
        .replace("groups:", "  dc2_other: {}\ngroups:")
        .replace("[dc1, dc2]", "[dc1]")
        .replace("datacenter: dc2,", "datacenter: dc2_beijing_standby,");
    let desk = Desk::new(&two);
    let OrderRefused::AmbiguousDatacenter { candidates, .. } = refusal(&desk, &switch("dc2")) else { panic!() };
    assert_eq!(candidates, ["dc2_beijing_standby", "dc2_other"]);
}

#[test]
fn a_switch_is_for_all_services_that_are_there_and_named_ones_are_all_or_nothing() {
    let mut desk = Desk::new(&three());
    let error = refusal(&desk, &switch("dc2").services(&["api.meta-driven.example.com", "two.example.com"]));
    assert!(
        matches!(&error, OrderRefused::NotThere { services, .. } if services == &["two.example.com."] || services == &["two.example.com"]),
        "{error:?}"
    );
    assert!(matches!(refusal(&desk, &switch("dc2").services(&["gone.example.com"])), OrderRefused::UnknownService(_)));
    let answer = desk.order(switch("dc2")).unwrap();
    assert_eq!((answer.services.len(), answer.services_skipped.len()), (2, 1));
    assert_eq!((desk.of("two", "elsewhere"), desk.of("home", "elsewhere")), ("dc1+dc3".into(), "dc2".into()));
    let mut elsewhere = switch("dc3");
    let Order::Switch { whom, .. } = &mut elsewhere.order else { panic!() };
    whom.regions = Some(BTreeSet::from(["Beijng".to_owned()]));
    let OrderRefused::UnknownRegion { nearest, .. } = refusal(&desk, &elsewhere) else { panic!() };
    assert_eq!(nearest.as_deref(), Some("beijing"));
}

#[test]
fn a_reload_must_not_change_what_standing_orders_mean() {
    let mut desk = Desk::new(&three());
    desk.order(switch("dc2")).unwrap();
    desk.order(drain(&["sh"])).unwrap();
    assert_eq!(misnamed(&desk.book, base(&three()).policy()), Vec::<String>::new());
    // The alias is given to another; a data centre makes a leading word ambiguous.
    let other = three().replace("aliases: [sh]", "").replace("capacity: 500", "capacity: 500, aliases: [sh]");
    let found = misnamed(&desk.book, base(&other).policy());
    assert!(found.len() == 1 && found[0].contains("drain of revision 2"), "{found:?}");
    let other = three()
        .replace("groups:", "  dc2_other: {}\ngroups:")
        .replace("[dc1, dc2]", "[dc1]")
        .replace("datacenter: dc2,", "datacenter: dc2_beijing_standby,");
    let found = misnamed(&desk.book, base(&other).policy());
    assert!(found.len() == 1 && found[0].contains("switch of revision 1"), "{found:?}");
}

#[test]
fn part_of_what_was_drained_as_a_whole_does_not_come_back_alone() {
    let mut desk = Desk::new(&three());
    desk.order(drain(&["dc2"])).unwrap();
    let one = Subject::Endpoints { service: "home.example.com".into(), endpoints: BTreeSet::from(["dc2".into()]) };
    let error = refusal(&desk, &request(Order::Undrain { subject: one }));
    assert!(matches!(error, OrderRefused::PartOfWhole { revision: 1, .. }), "{error:?}");
}

#[test]
fn an_order_that_comes_after_another_than_expected_is_refused() {
    let mut desk = Desk::new(&three());
    let expecting = |revision| Request { expected_revision: Some(revision), ..switch("dc2") };
    assert_eq!(refusal(&desk, &expecting(1)), OrderRefused::Revision(0));
    desk.order(expecting(0)).unwrap();
    assert_eq!(refusal(&desk, &expecting(0)), OrderRefused::Revision(1));
    desk.settings.needs.reason = true;
    let silent = Request { reason: " ".into(), ..switch("dc3") };
    assert_eq!(refusal(&desk, &silent), OrderRefused::Missing("a reason"));
}
