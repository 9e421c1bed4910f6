//! DNS over TLS (RFC 7858).

use std::path::Path;
use std::sync::Arc;

use meridian::serve::DotConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::*;

pub(super) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

pub(super) struct TlsHouse {
    pub(super) house: House,
    files: tempfile::TempDir,
}

impl TlsHouse {
    pub(super) fn open() -> (TlsHouse, CertificateDer<'static>) {
        TlsHouse::open_with(|_| ())
    }

    fn open_with(change: impl FnOnce(&mut DoorsConfig)) -> (TlsHouse, CertificateDer<'static>) {
        let files = tempfile::tempdir().unwrap();
        let certificate = write_pair(files.path());
        let mut config = config(&["127.0.0.1:0"]);
        config.dot = Some(DotConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            certificate: files.path().join("cert.pem"),
            key: files.path().join("key.pem"),
        });
        change(&mut config);
        (TlsHouse { house: House::open(&config), files }, certificate)
    }

    fn address(&self) -> SocketAddr {
        self.house.doors.local_addresses().tls[0]
    }

    pub(super) fn connect(&self, trusted: &CertificateDer<'static>) -> TlsStream {
        self.connect_with(trusted, rustls::ALL_VERSIONS)
    }

    fn connect_with(
        &self,
        trusted: &CertificateDer<'static>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> TlsStream {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"dot".to_vec()];
        let name = ServerName::try_from("dns.test").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), connect(self.address()))
    }
}

/// Writes a new certificate and its key.
fn write_pair(dir: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["dns.test".to_owned()]).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

#[test]
fn queries_are_answered_over_both_versions_of_tls() {
    let (house, certificate) = TlsHouse::open();
    let mut streams = Vec::new();
    for (version, expected) in
        [(&rustls::version::TLS13, ProtocolVersion::TLSv1_3), (&rustls::version::TLS12, ProtocolVersion::TLSv1_2)]
    {
        let mut stream = house.connect_with(&certificate, &[version]);
        for id in 0..10 {
            ask(&mut stream, id);
        }
        assert_eq!(stream.conn.protocol_version(), Some(expected));
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"dot"[..]));
        streams.push(stream);
    }
    let count = house.house.doors.counters();
    assert_eq!((count.tls.received, count.tls.answered, count.tcp.received), (20, 20, 0));
    assert_eq!(count.tls_connections, 2);
}

#[test]
fn the_reply_over_tls_equals_the_reply_over_tcp() {
    use hickory_proto::op::Message;
    let (house, certificate) = TlsHouse::open();
    let mut tcp = connect(house.house.address());
    let mut tls = house.connect(&certificate);
    for (id, flags) in [(1u16, [0u8, 0u8]), (2, [1, 0]), (3, [1, 0x10])] {
        let mut message = query(id);
        message[2..4].copy_from_slice(&flags);
        message[13] = b'E';
        tcp.write_all(&framed(&message)).unwrap();
        tls.write_all(&framed(&message)).unwrap();
        let (over_tcp, over_tls) = (read_message(&mut tcp), read_message(&mut tls));
        // The Z bit is no part of hickory's messages; all others are compared.
        assert_eq!(over_tcp[..12], over_tls[..12]);
        assert_eq!(Message::from_vec(&over_tcp).unwrap(), Message::from_vec(&over_tls).unwrap());
    }
}

#[test]
fn pipelined_queries_over_tls_are_all_answered() {
    let (house, certificate) = TlsHouse::open();
    let mut stream = house.connect(&certificate);
    let all: Vec<u8> = (0..20).flat_map(|id| framed(&query(id))).collect();
    stream.write_all(&all).unwrap();
    for id in 0..20 {
        assert_refused(&read_message(&mut stream), id);
    }
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart_and_a_bad_one_is_not() {
    let (house, first) = TlsHouse::open();
    let mut before = house.connect(&first);
    ask(&mut before, 1);
    std::fs::write(house.files.path().join("cert.pem"), "half").unwrap();
    let error = house.house.doors.certificate().unwrap().reload().unwrap_err().to_string();
    assert!(error.contains("cert.pem"), "{error}");
    ask(&mut house.connect(&first), 2);
    let second = write_pair(house.files.path());
    house.house.doors.certificate().unwrap().reload().unwrap();
    ask(&mut house.connect(&second), 3);
    ask(&mut before, 4);
    let mut stale = house.connect(&first);
    assert!(stale.write_all(&framed(&query(5))).is_err(), "the old certificate is still shown");
}

#[test]
fn a_certificate_that_can_not_be_used_keeps_every_door_shut() {
    let files = tempfile::tempdir().unwrap();
    let mut config = config(&["127.0.0.1:0"]);
    config.dot = Some(DotConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        certificate: files.path().join("cert.pem"),
        key: files.path().join("key.pem"),
    });
    let error = House::try_open(&config).err().unwrap();
    assert!(matches!(error, OpenError::Certificate(_)), "{error}");
}

#[test]
fn tls_connections_over_the_bound_get_no_handshake_and_the_others_go_on() {
    let (house, certificate) = TlsHouse::open_with(|config| config.stream.connections_max = 2);
    let mut first = house.connect(&certificate);
    let mut second = house.connect(&certificate);
    ask(&mut first, 1);
    ask(&mut second, 2);
    let mut third = house.connect(&certificate);
    assert!(third.write_all(&framed(&query(3))).is_err());
    ask(&mut first, 4);
}

#[test]
fn a_peer_that_speaks_no_tls_is_closed_and_harms_nobody() {
    let (house, certificate) = TlsHouse::open();
    let mut plain = connect(house.address());
    plain.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    ask(&mut house.connect(&certificate), 1);
}

#[test]
fn doors_with_tls_close_in_time() {
    let (house, certificate) = TlsHouse::open();
    let mut stream = house.connect(&certificate);
    ask(&mut stream, 1);
    assert!(house.house.doors.close());
    assert!(stream.write_all(&framed(&query(2))).is_err() || is_closed(&mut stream));
}
