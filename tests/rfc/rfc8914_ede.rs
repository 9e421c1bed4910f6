//! RFC 8914, extended errors, where they tell something.

use std::sync::Arc;

use super::common::message::*;
use super::{common, table, texts};
use meridian::model::{Admin, DatacenterIx, Facts, Generation};
use meridian::table::RoutingTable;

#[test]
fn section_4_21_a_refusal_says_not_authoritative() {
    let reply = Question::new("elsewhere.test", A).edns().ask(&table());
    assert_eq!((reply.rcode, reply.ede()), (REFUSED, Some((20, String::new()))));
}

#[test]
fn section_2_without_edns_there_is_none() {
    assert_eq!(Question::new("elsewhere.test", A).ask(&table()).opt, None);
}

#[test]
fn no_data_for_want_of_an_endpoint_says_so_and_nothing_of_our_inner_affairs() {
    let base = texts().base();
    let mut facts = Facts::all_up();
    facts.datacenters.extend((0..2).map(|at| (DatacenterIx(at), Admin::Out)));
    let table = RoutingTable::compile(&base, Arc::new(facts), Generation(2));
    let reply = Question::new("geo.example.com", A).ecs("10.1.0.1").ask(&table);
    reply.assert_no_data();
    assert_eq!(reply.ede(), Some((0, "no endpoint is available".into())));
    // Data, and no data by the policy itself, have nothing to excuse.
    let up = common::all_up(&base);
    assert_eq!(Question::new("geo.example.com", A).ecs("10.1.0.1").ask(&up).ede(), None);
    assert_eq!(Question::new("geo.example.com", MX).ecs("10.1.0.1").ask(&up).ede(), None);
    assert_eq!(Question::new("nothing.example.com", A).edns().ask(&up).ede(), None);
}
