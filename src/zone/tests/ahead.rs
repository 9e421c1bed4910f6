//! Looking ahead: what is fetched is what will be read, and nothing depends on it.

use std::fmt::Write;

use super::services::{places, wanted};
use super::{HEAD, name, table};
use crate::limits::BATCH_LEN;
use crate::model::ServiceIx;
use crate::zone::NameHash;

#[test]
fn what_is_fetched_is_what_the_look_will_find() {
    let count = 10_000;
    let mut text = HEAD.to_owned();
    for number in 0..count {
        writeln!(text, "host{number} A 192.0.2.1").unwrap();
    }
    let zones = table(&[("test", &text)], &[]);
    let nodes = || zones.zones().flat_map(|zone| zone.nodes());
    let likely = |name: &[u8]| zones.index.likely(NameHash::of(name).0).map(|at| zones.node(at));
    // A line of the cache is enough nearly always, and a tag that two names share is rare.
    let found = nodes().filter(|node| likely(node.name()) == Some(*node)).count();
    assert!(found * 1000 > zones.node_count() * 990, "{found} of {}", zones.node_count());
    let none = |number| name(&format!("none{number}.test"));
    let missed = (0..count).filter(|&number| likely(none(number).as_wire()).is_some());
    assert!(missed.count() * 100 < count);
    // More than a batch, of names that are there and that are not.
    let mut services = [None; BATCH_LEN];
    zones.look_ahead(nodes().take(500).map(|node| NameHash::of(node.name())), &mut services);
    zones.look_ahead((0..500).map(|number| NameHash::of(none(number).as_wire())), &mut services);
    assert_eq!(services, [None; BATCH_LEN]);
}

#[test]
fn services_are_noted_in_the_places_of_their_names() {
    let wanted = [wanted("a.test"), wanted("b.test")];
    let zones = table(&[("test", HEAD)], &places(&wanted));
    let names = ["ns.test", "b.test", "none.test", "a.test"].map(|text| NameHash::of(name(text).as_wire()));
    let mut services = [None; BATCH_LEN];
    zones.look_ahead(names.into_iter(), &mut services);
    assert_eq!(services[..5], [None, Some(ServiceIx(1)), None, Some(ServiceIx(0)), None]);
}
