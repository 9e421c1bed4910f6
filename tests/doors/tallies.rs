//! Every door tallies what it answers.

use meridian::model::ServiceIx;
use meridian::table::RoutingTable;

use super::tls::TlsHouse;
use super::*;

const POLICY: &str = "gslb: { domain: example.com, ttl: 15, policies: { default: { type: weighted } }, \
                      endpoints: { dc1: { ip: 192.0.2.1 } } }";

fn given(table: &RoutingTable) -> u64 {
    let (endpoint, _) = table.base().policy().services[0].endpoints().next().unwrap();
    table.base().tallies().given(ServiceIx(0), endpoint).count
}

fn assert_answered(reply: &[u8]) {
    assert_eq!((reply[3] & 0x0f, reply[7]), (0, 1), "one record: {reply:?}");
}

#[test]
fn an_answer_is_tallied_over_udp_tcp_and_tls() {
    let (mut tls, certificate) = TlsHouse::open();
    tls.house.publisher.publish(common::Texts::policy(POLICY).table());
    let table = tls.house.publisher.current();
    assert_eq!(given(&table), 0);
    let client = udp_client("127.0.0.1:0");
    client.send_to(&query(1), tls.house.address()).unwrap();
    let mut buffer = [0; 512];
    let len = client.recv(&mut buffer).unwrap();
    assert_answered(&buffer[..len]);
    assert_eq!(given(&table), 1, "an answer is tallied before it leaves");
    let mut tcp = connect(tls.house.address());
    for (id, count) in [(2, 2), (3, 3)] {
        tcp.write_all(&framed(&query(id))).unwrap();
        assert_answered(&read_message(&mut tcp));
        assert_eq!(given(&table), count);
    }
    let mut stream = tls.connect(&certificate);
    stream.write_all(&framed(&query(4))).unwrap();
    assert_answered(&read_message(&mut stream));
    assert_eq!(given(&table), 4);
    let sampled: usize = tls.house.publisher.subscription().recent(100).iter().map(|(queries, _)| queries.len()).sum();
    assert_eq!(sampled, 4, "at low load every query is");
}
