//! UDP.

use super::*;

#[test]
fn queries_are_answered_on_both_families() {
    let house = House::open(&config(&["127.0.0.1:0", "[::1]:0"]));
    for &address in &house.doors.local_addresses().plain {
        let client = udp_client(if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        for id in 0..300 {
            assert_eq!(ask_udp(&client, address, id), address);
        }
    }
    let count = house.doors.counters();
    assert_eq!(count.udp.len(), 4, "two workers an address");
    assert_eq!(count.udp.iter().map(|worker| worker.count.answered).sum::<u64>(), 600);
    assert!(count.udp.iter().all(|worker| worker.kernel_drops == Some(0)));
}

#[test]
fn clients_that_come_in_a_burst_are_all_answered() {
    let house = House::on("127.0.0.1:0");
    let clients: Vec<_> = (0..50).map(|_| udp_client("127.0.0.1:0")).collect();
    for round in 0..4 {
        for client in &clients {
            client.send_to(&query(round), house.address()).unwrap();
        }
    }
    for client in &clients {
        let mut ids: Vec<u16> = (0..4)
            .map(|_| {
                let mut buffer = [0; 512];
                let len = client.recv(&mut buffer).unwrap();
                let id = u16::from_be_bytes([buffer[0], buffer[1]]);
                assert_refused(&buffer[..len], id);
                id
            })
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2, 3]);
    }
}

#[test]
fn on_the_wildcard_address_a_reply_leaves_from_the_address_that_was_asked() {
    let house = House::on("0.0.0.0:0");
    let port = house.address().port();
    let client = udp_client("127.0.0.1:0");
    for asked in ["127.0.0.2", "127.0.0.3", "127.0.0.1"] {
        let asked = SocketAddr::new(asked.parse().unwrap(), port);
        assert_eq!(ask_udp(&client, asked, 7), asked);
    }
}

#[test]
fn what_is_no_query_gets_no_reply_and_harms_nobody() {
    let house = House::on("127.0.0.1:0");
    let client = udp_client("127.0.0.1:0");
    let mut response = query(1);
    response[2] |= 0x80;
    for garbage in [&b""[..], b"x", &response[..11], &response] {
        client.send_to(garbage, house.address()).unwrap();
    }
    // The same socket of ours gets all of this client's datagrams, in order: had there been a reply to
    // one of those above, it would come first.
    ask_udp(&client, house.address(), 2);
}

#[test]
fn a_client_that_has_gone_costs_nobody_else_an_answer() {
    let house = House::on("127.0.0.1:0");
    let client = udp_client("127.0.0.1:0");
    for id in 0..20 {
        let gone = udp_client("127.0.0.1:0");
        gone.send_to(&query(id), house.address()).unwrap();
        drop(gone);
        ask_udp(&client, house.address(), id);
    }
}

#[test]
fn workers_at_rest_let_go_of_an_old_table() {
    let mut house = House::on("127.0.0.1:0");
    ask_udp(&udp_client("127.0.0.1:0"), house.address(), 1);
    ask(&mut connect(house.address()), 2);
    house.publisher.publish(RoutingTable::empty());
    let start = std::time::Instant::now();
    while house.publisher.reclaim() > 0 {
        assert!(start.elapsed() < PATIENCE, "somebody keeps the old table");
        std::thread::yield_now();
    }
}
