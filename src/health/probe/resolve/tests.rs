//! Against a small resolver on loopback.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hickory_proto::op::Query;
use hickory_proto::rr::rdata::{A as V4, AAAA as V6, CNAME};
use hickory_proto::rr::{Name as Owner, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    silent: Arc<AtomicBool>,
}

fn answer(query: &Message, over_tcp: bool) -> Message {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.add_queries(query.queries.clone());
    let name = query.queries[0].name().clone();
    let v4 =
        |owner: &Owner, last: u8| Record::from_rdata(owner.clone(), 1, RData::A(V4(Ipv4Addr::new(192, 0, 2, last))));
    let v6 = |owner: &Owner| Record::from_rdata(owner.clone(), 300, RData::AAAA(V6("2001:db8::1".parse().unwrap())));
    let is_v4 = query.queries[0].query_type() == RecordType::A;
    match name.to_ascii().trim_end_matches(".test.") {
        "both" if is_v4 => {
            reply.add_answers([v4(&name, 2), v4(&name, 1)]);
        }
        "both" | "six" if !is_v4 => {
            reply.add_answer(v6(&name));
        }
        "alias" if is_v4 => {
            let (middle, end) = (Owner::from_ascii("Middle.test.").unwrap(), Owner::from_ascii("end.test.").unwrap());
            let cname =
                |from: &Owner, to: &Owner| Record::from_rdata(from.clone(), 300, RData::CNAME(CNAME(to.clone())));
            // The end of the chain first, and an address that belongs to nobody in it.
            reply.add_answers([v4(&end, 3), v4(&Owner::from_ascii("stray.test.").unwrap(), 66)]);
            reply.add_answers([cname(&middle, &end), cname(&name, &middle)]);
        }
        "big" if !over_tcp => reply.metadata.truncation = true,
        "big" if is_v4 => {
            reply.add_answers((0..200).map(|last| v4(&name, last)));
        }
        "gone" => reply.metadata.response_code = ResponseCode::NXDomain,
        "broken" => reply.metadata.response_code = ResponseCode::ServFail,
        _ => {}
    }
    reply
}

async fn serve() -> Server {
    let (listener, socket) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
            break (listener, socket);
        }
    };
    let server = Server { address: socket.local_addr().unwrap(), asked: Arc::default(), silent: Arc::default() };
    let (asked, silent) = (Arc::clone(&server.asked), Arc::clone(&server.silent));
    tokio::spawn(async move {
        let mut datagram = [0; 1500];
        loop {
            let (len, from) = socket.recv_from(&mut datagram).await.unwrap();
            asked.fetch_add(1, Ordering::SeqCst);
            if !silent.load(Ordering::SeqCst) {
                let reply = answer(&Message::from_vec(&datagram[..len]).unwrap(), false);
                socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let len = stream.read_u16().await.unwrap();
            let mut octets = vec![0; usize::from(len)];
            stream.read_exact(&mut octets).await.unwrap();
            let reply = answer(&Message::from_vec(&octets).unwrap(), true).to_vec().unwrap();
            stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    });
    server
}

fn resolver(server: SocketAddr) -> Resolver {
    let nowhere = PathBuf::from("/nonexistent");
    Resolver::new(Sources { server: Some(server), hosts: nowhere.clone(), resolv_conf: nowhere })
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn shown(addresses: &Addresses) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn both_families_are_asked_and_come_in_a_stable_order() {
    let server = serve().await;
    let resolver = resolver(server.address);
    assert_eq!(
        shown(&resolver.addresses(&name("both.test")).await.unwrap()),
        ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    );
    assert_eq!(shown(&resolver.addresses(&name("six.test")).await.unwrap()), ["2001:db8::1"]);
    assert_eq!(shown(&resolver.addresses(&name("alias.test")).await.unwrap()), ["192.0.2.3"], "the end of the chain");
    assert_eq!(resolver.addresses(&name("big.test")).await.unwrap().len(), RESOLVED_ADDRESSES_MAX, "over TCP");
    assert!(!resolver.is_failing());
}

#[tokio::test]
async fn that_there_is_no_name_or_no_address_is_an_answer() {
    let server = serve().await;
    let resolver = resolver(server.address);
    assert_eq!(resolver.addresses(&name("gone.test")).await, Err(ResolveError::NoSuchName(name("gone.test"))));
    assert_eq!(resolver.addresses(&name("empty.test")).await, Err(ResolveError::NoAddress(name("empty.test"))));
    assert!(!resolver.is_failing());
    let before = server.asked.load(Ordering::SeqCst);
    assert!(resolver.addresses(&name("gone.test")).await.unwrap_err().is_answer());
    assert_eq!(server.asked.load(Ordering::SeqCst), before, "and is remembered for a moment");
}

#[tokio::test]
async fn many_probes_of_one_name_ask_once() {
    let server = serve().await;
    let resolver = resolver(server.address);
    let all: Vec<_> = (0..200)
        .map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.addresses(&name("both.test")).await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap().unwrap().len(), 3);
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 2, "A and AAAA, once");
}

#[tokio::test]
async fn a_silent_resolver_costs_a_known_name_nothing_and_an_unknown_one_an_error() {
    let server = serve().await;
    let resolver = resolver(server.address);
    let known = resolver.addresses(&name("both.test")).await.unwrap();
    server.silent.store(true, Ordering::SeqCst);
    let unknown = resolver.addresses(&name("six.test")).await.unwrap_err();
    assert!(!unknown.is_answer() && unknown.to_string().contains("does not answer"), "{unknown}");
    // By now the TTL of one second is over.
    assert_eq!(resolver.addresses(&name("both.test")).await, Ok(known));
}

#[tokio::test]
async fn a_resolver_that_fails_or_is_not_there_is_failing() {
    let server = serve().await;
    let broken = resolver(server.address);
    let error = broken.addresses(&name("broken.test")).await.unwrap_err();
    assert!(!error.is_answer() && error.to_string().contains("Server Failure"), "{error}");
    assert!(broken.is_failing());
    broken.addresses(&name("both.test")).await.unwrap();
    assert!(!broken.is_failing());
    let nobody = resolver(UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
    assert!(!nobody.is_failing(), "nothing was asked");
    let error = nobody.addresses(&name("both.test")).await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(nobody.is_failing());
}

#[tokio::test]
async fn the_hosts_file_goes_first_and_asks_nobody() {
    let server = serve().await;
    let dir = tempfile::tempdir().unwrap();
    let hosts = dir.path().join("hosts");
    std::fs::write(&hosts, "127.0.0.9 both.test\n").unwrap();
    let sources = Sources { server: Some(server.address), hosts, resolv_conf: dir.path().join("absent") };
    let resolver = Resolver::new(sources);
    assert_eq!(shown(&resolver.addresses(&name("both.test")).await.unwrap()), ["127.0.0.9"]);
    assert_eq!(shown(&resolver.addresses(&name("localhost")).await.unwrap()), ["127.0.0.1", "::1"]);
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_chain_of_aliases_that_bites_its_tail_ends() {
    let owner = Owner::from_ascii("loop.test.").unwrap();
    let mut reply = Message::query();
    reply.add_query(Query::query(owner.clone(), RecordType::A));
    reply.add_answer(Record::from_rdata(owner.clone(), 60, RData::CNAME(CNAME(owner.clone()))));
    let Family::Addresses { of, .. } = addresses_in(&reply, &owner, A) else { panic!("a name that exists") };
    assert!(of.is_empty());
}
