//! Client Subnet (RFC 7871): no scope ever covers an address whose set of possible answers is another, and
//! scopes do not move with health or orders.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use meridian::model::{Facts, Generation, ServiceIx};
use meridian::table::RoutingTable;

use super::common::message::{A, AAAA, Question};
use super::common::{Dice, all_up};
use super::worlds::{self, Kind};

/// What `client` can be answered: each set of addresses of either family that chance could give.
fn possible(table: &RoutingTable, ix: ServiceIx, name: &str, client: IpAddr) -> BTreeSet<Vec<String>> {
    let view = table.service(ix);
    let randoms = view.randoms(view.locate(client));
    let mut sets = BTreeSet::new();
    for random in randoms {
        for rtype in [A, AAAA] {
            let reply = Question::new(name, rtype).ecs(&client.to_string()).random(random).ask(table);
            let mut set: Vec<String> = reply.answers.iter().map(|record| record.text.clone()).collect();
            set.sort();
            set.push(rtype.to_string());
            sets.insert(set);
        }
    }
    sets
}

fn scope(table: &RoutingTable, name: &str, client: IpAddr) -> u8 {
    Question::new(name, A).ecs(&client.to_string()).ask(table).scope().unwrap()
}

/// Some addresses of the block of `len` bits around `address`: its edges, and some between.
fn inside(dice: &mut Dice, address: IpAddr, len: u8) -> Vec<IpAddr> {
    match address {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(len.into()).unwrap_or(0);
            let first = v4.to_bits() & !host;
            let between = (0..6).map(|_| first | dice.next() as u32 & host);
            [first, first | host].into_iter().chain(between).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))).collect()
        }
        IpAddr::V6(v6) => {
            let host = u128::MAX.checked_shr(len.into()).unwrap_or(0);
            let first = v6.to_bits() & !host;
            let random = |dice: &mut Dice| u128::from(dice.next()) << 64 | u128::from(dice.next());
            let between = (0..6).map(|_| first | random(dice) & host);
            [first, first | host].into_iter().chain(between).map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))).collect()
        }
    }
}

#[test]
fn no_scope_covers_an_address_whose_set_of_possible_answers_is_another() {
    let dice = &mut Dice(7871);
    let (mut compared, mut narrow) = (0, 0);
    for _ in 0..40 {
        let base = worlds::texts(dice, Kind::Any).base();
        let facts = if dice.one_in(2) { Facts::all_up() } else { worlds::facts(dice, base.policy(), Kind::Any, true) };
        let table = RoutingTable::compile(&base, Arc::new(facts), Generation(1));
        for (at, service) in base.policy().services.iter().enumerate() {
            let (ix, name) = (ServiceIx::from_at(at), service.name.to_string().trim_end_matches('.').to_owned());
            for _ in 0..25 {
                let client = worlds::client(dice);
                let scope = scope(&table, &name, client);
                let expected = possible(&table, ix, &name, client);
                for other in inside(dice, client, scope) {
                    assert_eq!(
                        possible(&table, ix, &name, other),
                        expected,
                        "{name}: the answer for {client} has scope {scope}, which covers {other}\n{:#?}",
                        service.policy
                    );
                    assert_eq!(self::scope(&table, &name, other), scope, "one block, one scope");
                    compared += 1;
                }
                narrow += usize::from(scope > 1);
            }
        }
    }
    assert!(compared > 10_000 && narrow > 500, "{compared} compared, {narrow} scopes longer than 1");
}

#[test]
fn scopes_do_not_move_with_health_or_orders() {
    let dice = &mut Dice(71);
    for _ in 0..40 {
        let base = worlds::texts(dice, Kind::Any).base();
        let calm = all_up(&base);
        let facts = worlds::facts(dice, base.policy(), Kind::Any, true);
        let storm = RoutingTable::compile(&base, Arc::new(facts), Generation(2));
        for number in 0..3 {
            let name = format!("s{number}.test");
            for _ in 0..30 {
                let client = worlds::client(dice);
                assert_eq!(scope(&calm, &name, client), scope(&storm, &name, client), "{name} {client}");
            }
        }
    }
}

#[test]
fn scope_zero_is_for_policies_that_do_not_look_at_the_client() {
    let dice = &mut Dice(72);
    let mut zeros = 0;
    for _ in 0..40 {
        let base = worlds::texts(dice, Kind::Any).base();
        let table = all_up(&base);
        for (at, service) in base.policy().services.iter().enumerate() {
            let blind = table.service(ServiceIx::from_at(at)).is_same_everywhere();
            let name = service.name.to_string().trim_end_matches('.').to_owned();
            for _ in 0..5 {
                let client = worlds::client(dice);
                assert_eq!(scope(&table, &name, client) == 0, blind, "{name} {client}");
            }
            zeros += usize::from(blind);
        }
    }
    assert!(zeros > 3);
}
