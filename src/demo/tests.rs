//! Clients of the stand-ins, as probes are.

use std::net::SocketAddr;
use std::time::Instant;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;

fn id(text: &str) -> DatacenterId {
    DatacenterId::new(text).unwrap()
}

fn ids() -> Vec<DatacenterId> {
    ["dc3_shanghai_dr", "dc1_beijing_primary", "dc2_beijing_standby"].map(id).into()
}

fn start() -> StandIns {
    StandIns::start(ids(), &Handle::current()).unwrap()
}

fn trusting(stand_ins: &StandIns, alpn: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(stand_ins.ca_der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// Status, content type and body.
type Seen = (u16, String, String);

async fn ask<S>(stream: S, http2: bool, path: &str) -> Result<Seen, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let words = |error: hyper::Error| error.to_string();
    let io = TokioIo::new(stream);
    let request = Request::get(format!("http://api.example.com{path}")).body(Empty::<Bytes>::new()).unwrap();
    let response = if http2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.map_err(words)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(words)?
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(words)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(words)?
    };
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.map_err(words)?.to_bytes();
    Ok((status, kind, String::from_utf8(body.to_vec()).unwrap()))
}

async fn https(stand_ins: &StandIns, datacenter: &str, name: &str, alpn: &[&str]) -> Result<Seen, String> {
    let address = stand_ins.address_for(&id(datacenter), Protocol::Https).unwrap();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = trusting(stand_ins, alpn).connect(name, stream).await.map_err(|error| error.to_string())?;
    ask(stream, alpn == ["h2"], "/actuator/health").await
}

async fn http(address: SocketAddr, http2: bool, path: &str) -> Result<Seen, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    ask(stream, http2, path).await
}

const DC1: &str = "dc1_beijing_primary";
const DC2: &str = "dc2_beijing_standby";
const NAME: &str = "api.meta-driven.example.com";
const UP: &str = r#"{"status":"UP"}"#;

#[tokio::test]
async fn each_data_centre_has_an_address_of_its_own_in_the_order_of_ids() {
    let stand_ins = start();
    let addresses: Vec<String> =
        ids().iter().map(|id| stand_ins.address_for(id, Protocol::Https).unwrap().ip().to_string()).collect();
    assert_eq!(addresses, ["127.0.0.13", "127.0.0.11", "127.0.0.12"]);
    assert!(
        stand_ins
            .map()
            .of
            .values()
            .flat_map(|doors| [doors.https, doors.http, doors.tcp])
            .all(|at| at.ip().is_loopback())
    );
    assert_eq!(stand_ins.address_for(&id(DC1), Protocol::Icmp), None);
    assert_eq!(stand_ins.address_for(&id("dc9"), Protocol::Https), None);
    assert_eq!(address(239).to_string(), "127.0.0.250");
    assert_eq!(address(240).to_string(), "127.0.1.11");
    assert!(address(DATACENTERS_MAX - 1).is_loopback());
}

#[tokio::test]
async fn a_client_that_trusts_the_ca_sees_up_under_any_name_and_by_either_protocol() {
    let stand_ins = start();
    let actuator = "application/vnd.spring-boot.actuator.v3+json".to_owned();
    for alpn in [&["h2"][..], &["http/1.1"], &[]] {
        for name in [NAME, "another.example"] {
            assert_eq!(https(&stand_ins, DC1, name, alpn).await, Ok((200, actuator.clone(), UP.into())));
        }
    }
    let plain = stand_ins.address_for(&id(DC1), Protocol::Http).unwrap();
    for http2 in [false, true] {
        assert_eq!(http(plain, http2, "/anything").await, Ok((200, "application/json".into(), UP.into())));
    }
    let other = start();
    let distrusted = {
        let address = stand_ins.address_for(&id(DC1), Protocol::Https).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        trusting(&other, &[]).connect(ServerName::try_from(NAME).unwrap(), stream).await
    };
    assert!(distrusted.unwrap_err().to_string().contains("certificate"), "each run has a CA of its own");
    assert!(stand_ins.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn failing_refuses_at_every_door_and_recovers_at_the_same_ports() {
    let stand_ins = start();
    let doors = stand_ins.map().of[&id(DC1)];
    // One that is open when it happens.
    let mut open = TcpStream::connect(doors.http).await.unwrap();
    for _ in 0..3 {
        stand_ins.set(&id(DC1), Mode::Fail).await.unwrap();
        assert_eq!(stand_ins.mode(&id(DC1)), Some(Mode::Fail));
        for door in [doors.https, doors.http, doors.tcp] {
            let error = TcpStream::connect(door).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{door}");
        }
        let taken = tokio::net::TcpListener::bind(doors.https).await;
        assert!(taken.is_err(), "nobody else gets the port in the meantime");
        assert_eq!(https(&stand_ins, DC2, NAME, &["h2"]).await.unwrap().2, UP, "the others go on");
        stand_ins.set(&id(DC1), "recover".parse().unwrap()).await.unwrap();
        assert_eq!(https(&stand_ins, DC1, NAME, &["h2"]).await.unwrap().2, UP);
        assert_eq!(http(doors.http, false, "/").await.unwrap().2, UP);
        TcpStream::connect(doors.tcp).await.unwrap();
    }
    let mut rest = Vec::new();
    assert!(matches!(open.read_to_end(&mut rest).await, Ok(0) | Err(_)), "an open connection was closed");
}

#[tokio::test]
async fn hanging_accepts_and_says_nothing_until_it_recovers() {
    let stand_ins = start();
    stand_ins.set(&id(DC1), Mode::Hang).await.unwrap();
    let doors = stand_ins.map().of[&id(DC1)];
    let mut tcp = TcpStream::connect(doors.http).await.expect("a connection is accepted");
    tcp.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut octet = [0];
    let silence = Duration::from_millis(300);
    assert!(timeout(silence, tcp.read(&mut octet)).await.is_err(), "not a word");
    assert!(timeout(silence, https(&stand_ins, DC1, NAME, &["h2"])).await.is_err(), "not even a handshake");
    stand_ins.set(&id(DC1), Mode::Up).await.unwrap();
    assert!(matches!(tcp.read(&mut octet).await, Ok(0) | Err(_)), "who hung is let go");
    assert_eq!(https(&stand_ins, DC1, NAME, &["h2"]).await.unwrap().2, UP);
}

#[tokio::test]
async fn slow_is_late_but_right() {
    let stand_ins = start();
    stand_ins.set(&id(DC1), Mode::Slow).await.unwrap();
    let asked = Instant::now();
    assert_eq!(https(&stand_ins, DC1, NAME, &["http/1.1"]).await.unwrap().2, UP);
    assert!(asked.elapsed() >= Duration::from_millis(crate::limits::STAND_IN_SLOW_MS));
}

#[tokio::test]
async fn a_lie_is_prompt_and_well_formed_and_says_down() {
    let stand_ins = start();
    stand_ins.set(&id(DC1), Mode::Lie).await.unwrap();
    let (status, _, body) = https(&stand_ins, DC1, NAME, &["h2"]).await.unwrap();
    assert_eq!((status, body.as_str()), (200, r#"{"status":"DOWN"}"#));
    let plain = stand_ins.address_for(&id(DC1), Protocol::Http).unwrap();
    assert_eq!(http(plain, false, "/").await.unwrap().2, r#"{"status":"DOWN"}"#);
}

#[tokio::test]
async fn the_tcp_door_listens_and_closes_politely() {
    let stand_ins = start();
    let address = stand_ins.address_for(&id(DC1), Protocol::Tcp).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.expect("closed, not reset");
    assert!(said.is_empty());
}

#[tokio::test]
async fn two_instances_run_at_once_and_do_not_disturb_each_other() {
    let (one, two) = (start(), start());
    one.set(&id(DC1), Mode::Fail).await.unwrap();
    assert_eq!(https(&two, DC1, NAME, &["h2"]).await.unwrap().2, UP);
    assert!(https(&one, DC1, NAME, &["h2"]).await.is_err());
    let address = two.address_for(&id(DC1), Protocol::Tcp).unwrap();
    drop(two);
    // The doors close when their tasks next run.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn orders_given_at_once_end_in_the_last_and_strangers_are_refused() {
    let stand_ins = Arc::new(start());
    assert_eq!(stand_ins.set(&id("dc9"), Mode::Fail).await, Err(SetError::Unknown(id("dc9"))));
    assert_eq!("break".parse::<Mode>(), Err(UnknownMode("break".into())));
    let all: Vec<_> = (0..20)
        .map(|n| {
            let stand_ins = Arc::clone(&stand_ins);
            tokio::spawn(async move { stand_ins.set(&id(DC1), Mode::ALL[n % Mode::ALL.len()]).await })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    stand_ins.set(&id(DC1), Mode::Up).await.unwrap();
    assert_eq!(https(&stand_ins, DC1, NAME, &["h2"]).await.unwrap().2, UP);
}
