//! Against a small server on loopback that answers well, wrongly, in part, or not at all.

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{Name as Owner, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::{AMPLE, SHORT, context, target};
use crate::health::Outcome;
use crate::health::probe::probe;
use crate::model::{DnsProbe, Name, Probe};
use std::net::SocketAddr;
use std::time::Duration;

/// What the server does with a question over UDP.
#[derive(Clone, Copy, PartialEq)]
enum Udp {
    Answer,
    WrongIdThenAnswer,
    WrongQuestionThenAnswer,
    /// Before the server's own answer a third party sends one with the right id.
    ForgedThenAnswer,
    Truncated,
    TruncatedInTheMiddle,
    OnlyWrongIds,
    Garbage,
    Silence,
}

/// What it does over TCP.
#[derive(Clone, Copy, PartialEq)]
enum Tcp {
    Answer,
    AnotherId,
    Garbage,
    Silence,
}

fn answer(query: &Message, address: [u8; 4]) -> Message {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.add_queries(query.queries.clone());
    let name = query.queries[0].name().clone();
    if name == Owner::from_ascii("missing.test.").unwrap() {
        reply.metadata.response_code = ResponseCode::NXDomain;
        return reply;
    }
    if name == Owner::from_ascii("alias.test.").unwrap() {
        let target = Owner::from_ascii("Real.test.").unwrap();
        reply.add_answer(Record::from_rdata(name, 60, RData::CNAME(CNAME(target.clone()))));
        reply.add_answer(Record::from_rdata(target, 60, RData::A(A(Ipv4Addr::from(address)))));
        return reply;
    }
    reply.add_answer(Record::from_rdata(name, 60, RData::A(A(Ipv4Addr::from(address)))));
    reply
}

async fn serve(udp: Udp, tcp: Tcp) -> SocketAddr {
    let (listener, socket) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
            break (listener, socket);
        }
    };
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut datagram = [0; 1500];
        loop {
            let (len, from) = socket.recv_from(&mut datagram).await.unwrap();
            let query = Message::from_vec(&datagram[..len]).unwrap();
            let right = answer(&query, [192, 0, 2, 1]);
            let mut send = Vec::new();
            match udp {
                Udp::Answer => send.push(right.to_vec().unwrap()),
                Udp::WrongIdThenAnswer => {
                    let mut wrong = answer(&query, [192, 0, 2, 66]);
                    wrong.metadata.id ^= 1;
                    send.extend([wrong.to_vec().unwrap(), vec![], vec![0], right.to_vec().unwrap()]);
                }
                Udp::WrongQuestionThenAnswer => {
                    let mut wrong = answer(&query, [192, 0, 2, 66]);
                    wrong.queries = vec![Query::query(Owner::from_ascii("other.test.").unwrap(), RecordType::A)];
                    let mut question = query.clone();
                    question.metadata.message_type = MessageType::Query;
                    send.extend([wrong.to_vec().unwrap(), question.to_vec().unwrap(), right.to_vec().unwrap()]);
                }
                Udp::ForgedThenAnswer => {
                    let forger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    let wrong = answer(&query, [192, 0, 2, 66]).to_vec().unwrap();
                    forger.send_to(&wrong, from).await.unwrap();
                    send.push(right.to_vec().unwrap());
                }
                Udp::Truncated => {
                    let mut cut = right.truncate();
                    cut.metadata.truncation = true;
                    send.push(cut.to_vec().unwrap());
                }
                Udp::TruncatedInTheMiddle => {
                    let mut cut = right.clone();
                    cut.metadata.truncation = true;
                    let mut octets = cut.to_vec().unwrap();
                    octets.truncate(octets.len() - 3);
                    send.push(octets);
                }
                Udp::OnlyWrongIds => {
                    let mut wrong = right.clone();
                    wrong.metadata.id ^= 1;
                    send.extend(vec![wrong.to_vec().unwrap(); crate::limits::PROBE_DATAGRAMS_PASSED_MAX]);
                }
                Udp::Garbage => {
                    let mut octets = right.to_vec().unwrap();
                    octets.truncate(octets.len() - 3);
                    send.push(octets);
                }
                Udp::Silence => {}
            }
            for octets in send {
                socket.send_to(&octets, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let len = stream.read_u16().await.unwrap();
            let mut octets = vec![0; usize::from(len)];
            stream.read_exact(&mut octets).await.unwrap();
            let mut reply = answer(&Message::from_vec(&octets).unwrap(), [192, 0, 2, 2]);
            let octets = match tcp {
                Tcp::Answer => reply.to_vec().unwrap(),
                Tcp::AnotherId => {
                    reply.metadata.id ^= 1;
                    reply.to_vec().unwrap()
                }
                Tcp::Garbage => vec![0xff; 40],
                Tcp::Silence => std::future::pending().await,
            };
            stream.write_u16(octets.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&octets).await.unwrap();
        }
    });
    address
}

fn ask(expected: Option<&str>) -> DnsProbe {
    DnsProbe { name: None, rtype: 1, tcp: false, rcode: 0, answer: expected.map(str::to_owned) }
}

async fn probe_at(ask: &DnsProbe, service: &str, server: SocketAddr, within: Duration) -> Outcome {
    let mut spec = target(Probe::Dns(ask.clone()), server, within);
    spec.service = service.into();
    probe(&spec, &context()).await
}

fn note(outcome: Outcome) -> String {
    match outcome {
        Outcome::Good(found) => found.note.unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

fn why(outcome: Outcome) -> String {
    match outcome {
        Outcome::Bad { why, .. } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_answer_that_is_expected_is_good_and_another_is_not() {
    let server = serve(Udp::Answer, Tcp::Answer).await;
    let one = |expected, name: &'static str| async move { probe_at(&ask(expected), name, server, AMPLE).await };
    assert_eq!(note(one(Some("192.0.2.1"), "www.test").await), "192.0.2.1");
    assert_eq!(note(one(None, "www.test").await), "192.0.2.1");
    assert_eq!(note(one(Some("192.0.2.1"), "alias.test").await), "192.0.2.1", "behind a CNAME");
    assert_eq!(why(one(Some("192.0.2.9"), "www.test").await), "answered 192.0.2.1, not 192.0.2.9");
    assert_eq!(why(one(None, "missing.test").await), "answered NXDOMAIN, not NOERROR");
    let gone = DnsProbe { rcode: 3, name: Some(Name::parse("missing.test").unwrap()), ..ask(None) };
    assert_eq!(note(probe_at(&gone, "www.test", server, AMPLE).await), "", "an error can be what is expected");
    let cname = DnsProbe { rtype: 5, ..ask(Some("real.TEST")) };
    assert_eq!(note(probe_at(&cname, "alias.test", server, AMPLE).await), "real.TEST", "names have no case");
    let tcp = DnsProbe { tcp: true, ..ask(None) };
    assert_eq!(note(probe_at(&tcp, "www.test", server, AMPLE).await), "192.0.2.2");
}

#[tokio::test]
async fn only_the_reply_to_our_question_from_our_server_counts() {
    for udp in [Udp::WrongIdThenAnswer, Udp::WrongQuestionThenAnswer, Udp::ForgedThenAnswer] {
        let server = serve(udp, Tcp::Answer).await;
        assert_eq!(note(probe_at(&ask(None), "www.test", server, AMPLE).await), "192.0.2.1");
    }
    let server = serve(Udp::OnlyWrongIds, Tcp::Answer).await;
    assert!(why(probe_at(&ask(None), "www.test", server, AMPLE).await).contains("64 datagrams that do not answer"));
    let server = serve(Udp::Truncated, Tcp::AnotherId).await;
    assert!(why(probe_at(&ask(None), "www.test", server, AMPLE).await).contains("another question"));
}

#[tokio::test]
async fn a_truncated_reply_is_asked_for_again_over_tcp() {
    for udp in [Udp::Truncated, Udp::TruncatedInTheMiddle] {
        let server = serve(udp, Tcp::Answer).await;
        assert_eq!(note(probe_at(&ask(None), "www.test", server, AMPLE).await), "192.0.2.2");
    }
}

#[tokio::test]
async fn garbage_and_silence_are_failures_in_words() {
    let server = serve(Udp::Garbage, Tcp::Garbage).await;
    assert!(why(probe_at(&ask(None), "www.test", server, AMPLE).await).contains("not well-formed"));
    let tcp = DnsProbe { tcp: true, ..ask(None) };
    assert!(why(probe_at(&tcp, "www.test", server, AMPLE).await).contains("not well-formed"));
    let server = serve(Udp::Silence, Tcp::Silence).await;
    assert_eq!(why(probe_at(&ask(None), "www.test", server, SHORT).await), "no answer within 200 ms");
    assert_eq!(why(probe_at(&tcp, "www.test", server, SHORT).await), "no answer within 200 ms");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_noticed_at_once() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(why(probe_at(&ask(None), "www.test", server, AMPLE).await).contains("refused"));
    let tcp = DnsProbe { tcp: true, ..ask(None) };
    assert!(why(probe_at(&tcp, "www.test", server, AMPLE).await).contains("refused"));
}

#[tokio::test]
async fn a_name_that_cannot_be_asked_for_is_no_evidence() {
    let server = serve(Udp::Answer, Tcp::Answer).await;
    let outcome = probe_at(&ask(None), "not..a.name", server, AMPLE).await;
    assert!(matches!(&outcome, Outcome::Blind { why } if why.contains("not..a.name")), "{outcome:?}");
}
