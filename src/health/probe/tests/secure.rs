//! TLS: whom a probe trusts, what it shows, and what it says of certificates.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use super::*;

type Ca = CertifiedIssuer<'static, KeyPair>;

/// A certificate authority, and what is signed by it.
struct Authority {
    ca: Ca,
    dir: tempfile::TempDir,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        Authority { ca, dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn signed(&self, names: &[&str], until: i32) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let (certificate, key) = self.pair(names, until);
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn pair(&self, names: &[&str], until: i32) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.ca).unwrap(), key)
    }

    /// Certificate and key of a client in PEM files.
    fn client(&self) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.pair(&["client.example"], 2090);
        let files = (self.dir.path().join("client.pem"), self.dir.path().join("client.key"));
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    fn params(&self) -> TlsParams {
        TlsParams { verify: Verify::Ca(self.file()), ..tls_params() }
    }
}

fn config(
    (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
    clients: Option<&Authority>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let builder = match clients {
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.ca.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hello {
    sni: Option<String>,
    resumed: bool,
}

/// An HTTPS server that says UP, and what it saw of its clients.
async fn https(config: rustls::ServerConfig) -> (SocketAddr, Arc<Mutex<Vec<Hello>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let at = serve(move |tcp| {
        let (acceptor, sink) = (acceptor.clone(), Arc::clone(&sink));
        async move {
            let Ok(mut tls) = acceptor.accept(tcp).await else { return };
            let session = tls.get_ref().1;
            let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            sink.lock().unwrap().push(Hello { sni: session.server_name().map(str::to_owned), resumed });
            head(&mut tls).await;
            let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nUP").await;
            let _ = tls.shutdown().await;
            let _ = tls.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    (at, seen)
}

const BOTH: &[&rustls::SupportedProtocolVersion] = rustls::ALL_VERSIONS;

async fn serving(authority: &Authority, names: &[&str], until: i32) -> SocketAddr {
    https(config(authority.signed(names, until), None, BOTH)).await.0
}

fn https_probe(params: TlsParams) -> Probe {
    Probe::Http(HttpProbe { tls: Some(params), contains: Some("UP".into()), ..http_probe() })
}

fn year(year: u64) -> SystemTime {
    // 1 January; right for the years in use here.
    let leap_days = (year - 1969) / 4;
    SystemTime::UNIX_EPOCH + Duration::from_secs(((year - 1970) * 365 + leap_days) * 86_400)
}

#[tokio::test]
async fn a_private_ca_is_trusted_and_the_expiry_told() {
    let authority = Authority::new("Test CA");
    let (at, seen) = https(config(authority.signed(&["api.example"], 2090), None, BOTH)).await;
    let context = context();
    for probe in [https_probe(authority.params()), Probe::Tls(authority.params())] {
        let found = good(super::probe(&target(probe, at, AMPLE), &context).await);
        assert_eq!(found.certificate_expires, Some(year(2090)));
    }
    good(super::probe(&target(https_probe(authority.params()), at, AMPLE), &context).await);
    let seen = seen.lock().unwrap().clone();
    assert!(seen.len() >= 2, "{seen:?}");
    for hello in seen {
        assert_eq!(hello, Hello { sni: Some("api.example".into()), resumed: false });
    }
}

#[tokio::test]
async fn the_server_name_is_the_checks_or_the_services_or_the_address() {
    let authority = Authority::new("Test CA");
    let (at, seen) = https(config(authority.signed(&["other.example", "127.0.0.1"], 2090), None, BOTH)).await;
    let probe = https_probe(authority.params());
    let why = bad(ask(probe, at).await);
    assert_eq!(why, "certificate is for other.example, 127.0.0.1, not api.example");
    good(ask(https_probe(TlsParams { sni: Some("other.example".into()), ..authority.params() }), at).await);
    let mut spec = target(https_probe(authority.params()), at, AMPLE);
    spec.service = "".into();
    good(super::probe(&spec, &context()).await);
    let names: Vec<Option<String>> = seen.lock().unwrap().iter().map(|hello| hello.sni.clone()).collect();
    assert_eq!(names, [Some("other.example".into()), None]);
}

#[tokio::test]
async fn a_certificate_that_is_refused_still_tells_its_expiry() {
    let authority = Authority::new("Test CA");
    let at = serving(&authority, &["api.example"], 2020).await;
    match ask(https_probe(authority.params()), at).await {
        Outcome::Bad { why, found } => {
            assert!(why.starts_with("certificate expired ") && why.ends_with(" days ago"), "{why}");
            assert_eq!(found.certificate_expires, Some(year(2020)));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_expired_certificate_may_be_good_enough_and_nothing_else_is_forgiven() {
    let (authority, stranger) = (Authority::new("Test CA"), Authority::new("Other CA"));
    let at = serving(&authority, &["api.example"], 2020).await;
    let lax = |authority: &Authority| TlsParams { allow_expired: true, ..authority.params() };
    let found = good(ask(https_probe(lax(&authority)), at).await);
    assert_eq!(found.certificate_expires, Some(year(2020)));
    let why = bad(ask(https_probe(lax(&stranger)), at).await);
    assert!(why.starts_with("certificate is signed by \"CN=Test CA\", which is none of the authorities in /"), "{why}");
    let elsewhere = TlsParams { sni: Some("other.example".into()), ..lax(&authority) };
    assert_eq!(bad(ask(https_probe(elsewhere), at).await), "certificate is for api.example, not other.example");
}

#[tokio::test]
async fn unknown_authorities_are_refused_unless_nothing_is_verified() {
    let authority = Authority::new("Test CA");
    let at = serving(&authority, &["api.example"], 2090).await;
    let trusting_other =
        Context::new(Arc::new(Names::default()), TlsClients::new(vec![Authority::new("Other CA").ca.der().clone()]));
    let why = bad(super::probe(&target(https_probe(tls_params()), at, AMPLE), &trusting_other).await);
    assert_eq!(why, "certificate is signed by \"CN=Test CA\", which is none of the system's authorities");
    let found = good(ask(https_probe(TlsParams { verify: Verify::Off, ..tls_params() }), at).await);
    assert_eq!(found.certificate_expires, Some(year(2090)));
    let own = Context::new(Arc::new(Names::default()), TlsClients::new(vec![authority.ca.der().clone()]));
    good(super::probe(&target(https_probe(tls_params()), at, AMPLE), &own).await);
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_its_absence_named() {
    let (authority, stranger) = (Authority::new("Test CA"), Authority::new("Other CA"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = config(authority.signed(&["api.example"], 2090), Some(&authority), &[version]);
        let (at, _) = https(config).await;
        for probe in [https_probe, Probe::Tls] {
            let own = TlsParams { client: Some(authority.client()), ..authority.params() };
            good(ask(probe(own), at).await);
            let why = bad(ask(probe(authority.params()), at).await);
            assert_eq!(why, "the server asks for a client certificate, and the check has none", "{version:?}");
            let strange = TlsParams { client: Some(stranger.client()), ..authority.params() };
            let why = bad(ask(probe(strange), at).await);
            assert!(why.starts_with("the server refuses our client certificate ("), "{why}");
        }
    }
}

#[tokio::test]
async fn files_that_can_not_be_used_are_our_own_trouble() {
    let authority = Authority::new("Test CA");
    let at = serving(&authority, &["api.example"], 2090).await;
    let missing = TlsParams { verify: Verify::Ca("/nowhere/ca.pem".into()), ..tls_params() };
    let why = blind(ask(https_probe(missing), at).await);
    assert!(why.starts_with("can not read /nowhere/ca.pem: "), "{why}");
    let (chain, _) = authority.client();
    let mixed = TlsParams { client: Some((chain.clone(), chain)), ..authority.params() };
    let why = blind(ask(https_probe(mixed), at).await);
    assert!(why.contains("holds no private key"), "{why}");
    let nameless = TlsParams { sni: Some("no name".into()), ..authority.params() };
    assert!(blind(ask(https_probe(nameless), at).await).contains("can not be asked for \"no name\""));
}

#[tokio::test]
async fn http2_over_tls_is_agreed_upon_or_refused() {
    let authority = Authority::new("Test CA");
    let at = serving(&authority, &["api.example"], 2090).await;
    let http2 = HttpProbe { tls: Some(authority.params()), http2: true, ..http_probe() };
    let why = bad(ask(http2.clone(), at).await);
    assert_eq!(why, "the server does not offer the protocol it was asked for (ALPN)");
    let mut config = config(authority.signed(&["api.example"], 2090), None, BOTH);
    config.alpn_protocols = vec![];
    let (at, _) = https(config.clone()).await;
    assert_eq!(bad(ask(http2.clone(), at).await), "the server does not offer HTTP/2 (ALPN)");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let at = serve(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(tls) = acceptor.accept(tcp).await else { return };
            let answer = |_| async {
                hyper::Result::Ok(hyper::Response::new(http_body_util::Full::new(hyper::body::Bytes::from("UP"))))
            };
            let _ = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
                .serve_connection(hyper_util::rt::TokioIo::new(tls), hyper::service::service_fn(answer))
                .await;
        }
    })
    .await;
    good(ask(HttpProbe { contains: Some("UP".into()), ..http2 }, at).await);
}

#[tokio::test]
async fn a_certificate_file_that_hangs_is_not_held_against_the_target() {
    let authority = Authority::new("Test CA");
    let at = serving(&authority, &["api.example"], 2090).await;
    let pipe = authority.dir.path().join("pipe.pem");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let hanging = https_probe(TlsParams { verify: Verify::Ca(pipe.clone()), ..tls_params() });
    let context = context();
    let why = blind(super::probe(&target(hanging.clone(), at, SHORT), &context).await);
    assert_eq!(why, "the files of its certificates were not read within 200 ms");
    // The reading has gone on; the next probe finds what it brings.
    std::fs::write(&pipe, authority.ca.pem()).unwrap();
    good(super::probe(&target(hanging, at, AMPLE), &context).await);
}
