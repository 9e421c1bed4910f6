//! TLS to a target: trust, identity, and the handshake.
//!
//! Trust stores and client certificates are read once and kept ([`super::files`]); a handshake clones a
//! template, which costs a few reference counts, and puts its own verifier into it. Sessions are never resumed: a
//! resumed one does not show the certificate, and would hide that the next client can not come in.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, ProtocolVersion, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{self, Failure};
use super::files::{Kept, Load};
use super::progress::{Progress, Waits};
use super::verifier::{Seen, Trust};
use super::{Asked, Context, connect, stream};
use crate::limits;
use crate::model::{ProbeHost, TargetSpec, TlsParams, Verify};

/// What is negotiated inside of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpn {
    /// Nothing.
    None,
    /// `http/1.1`.
    Http1,
    /// `h2`.
    Http2,
}

/// Whom probes trust, and the certificates that they show.
pub struct TlsClients {
    template: ClientConfig,
    provider: Arc<CryptoProvider>,
    trusts: Kept<Trusts>,
    identities: Kept<Identities>,
}

impl TlsClients {
    /// `extra` authorities are trusted besides those that a check names: those of stand-ins inside this process.
    pub fn new(extra: Vec<CertificateDer<'static>>) -> TlsClients {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let placeholder = Seen::new(None, false, None, provider.signature_verification_algorithms);
        let mut template = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(placeholder))
            .with_no_client_auth();
        template.resumption = Resumption::disabled();
        let recheck = Duration::from_secs(limits::PROBE_FILES_RECHECK_S);
        let trusts = Trusts { extra, provider: Arc::clone(&provider) };
        let identities = Identities { provider: Arc::clone(&provider) };
        TlsClients {
            template,
            provider,
            trusts: Kept::new(trusts, recheck, limits::PROBE_CERTIFICATES_MAX),
            identities: Kept::new(identities, recheck, limits::PROBE_CERTIFICATES_MAX),
        }
    }

    /// Shakes hands over a connection that stands, with the peer that calls itself `name`.
    pub(super) async fn connect(
        &self,
        params: &TlsParams,
        name: ServerName<'static>,
        alpn: Alpn,
        tcp: TcpStream,
        progress: &Progress,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        progress.waits_for(Waits::Files);
        let seen = self.seen(params).await.map_err(Failure::Blind)?;
        let mut config = self.template.clone();
        config.dangerous().set_certificate_verifier(Arc::clone(&seen) as _);
        config.client_auth_cert_resolver = Arc::clone(&seen) as _;
        config.alpn_protocols = match alpn {
            Alpn::None => Vec::new(),
            Alpn::Http1 => vec![b"http/1.1".to_vec()],
            Alpn::Http2 => vec![b"h2".to_vec()],
        };
        progress.shakes_hands(seen);
        let connected = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        let tls = connected.map_err(|error| match of_io(&error, progress) {
            Failure::Bad(why) if why.starts_with("connection ") => Failure::Bad(format!("{why} in the TLS handshake")),
            failure => failure,
        })?;
        if alpn == Alpn::Http2 && tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(Failure::Bad("the server does not offer HTTP/2 (ALPN)".into()));
        }
        progress.is_secure();
        Ok(tls)
    }

    async fn seen(&self, params: &TlsParams) -> Result<Arc<Seen>, String> {
        let trust = match &params.verify {
            Verify::System => Some(self.trusts.of(&None).await?),
            Verify::Ca(path) => Some(self.trusts.of(&Some(path.clone())).await?),
            Verify::Off => None,
        };
        let identity = match &params.client {
            Some(files) => Some(self.identities.of(files).await?),
            None => None,
        };
        let algorithms = self.provider.signature_verification_algorithms;
        Ok(Arc::new(Seen::new(trust, params.allow_expired, identity, algorithms)))
    }
}

/// The name that a certificate must bear: the one asked for, or the service's, or the address itself.
pub(super) fn server_name(sni: Option<&str>, spec: &TargetSpec) -> Result<ServerName<'static>, Failure> {
    let name = sni.unwrap_or(&spec.service);
    if !name.is_empty() {
        let name = name.strip_suffix('.').unwrap_or(name);
        return ServerName::try_from(name.to_owned())
            .map_err(|_| Failure::Blind(format!("a certificate can not be asked for \"{name}\"")));
    }
    match &spec.host {
        ProbeHost::Address(address) => Ok(ServerName::IpAddress(IpAddr::into(*address))),
        ProbeHost::Name(name) => {
            let name = name.to_string();
            let name = name.strip_suffix('.').unwrap_or(&name);
            ServerName::try_from(name.to_owned())
                .map_err(|_| Failure::Blind(format!("a certificate can not be asked for \"{name}\"")))
        }
    }
}

/// A handshake is all that is asked.
pub(super) async fn ask(spec: &TargetSpec, params: &TlsParams, context: &Context, progress: &Progress) -> Asked {
    let name = server_name(params.sni.as_deref(), spec)?;
    let tcp = connect::connect(&spec.host, spec.port, context, progress).await?;
    let started = Instant::now();
    let mut tls = context.tls.connect(params, name, Alpn::None, tcp, progress).await?;
    let is_13 = tls.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    if is_13 && progress.seen().is_some_and(|seen| seen.is_asked()) {
        // In TLS 1.3 our side is done before the server has looked at our certificate. Give it the time to
        // object: the handshake took at least one round trip, and its alert takes one.
        let patience = 2 * started.elapsed() + Duration::from_millis(20);
        if let Ok(Err(error)) = tokio::time::timeout(patience, tls.read(&mut [0])).await {
            return Err(of_io(&error, progress));
        }
    }
    stream::farewell(&mut tls).await;
    Ok(None)
}

/// What went wrong while talking to a target, TLS or not: [`failure::of_io`], and TLS in words.
pub(super) fn of_io(error: &io::Error, progress: &Progress) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(error) => Failure::Bad(of_tls(error, progress)),
        None => failure::of_io(error, || progress.peer().is_none_or(failure::is_routed)),
    }
}

fn of_tls(error: &rustls::Error, progress: &Progress) -> String {
    let seen = progress.seen();
    match error {
        rustls::Error::InvalidCertificate(_) => match seen.as_ref().and_then(|seen| seen.refused()) {
            Some(why) => why.to_owned(),
            None => format!("certificate: {error}"),
        },
        rustls::Error::AlertReceived(alert) => {
            let asked = seen.as_ref().is_some_and(|seen| seen.is_asked());
            let shown = seen.as_ref().is_some_and(|seen| seen.identity.is_some());
            alerted(*alert, asked, shown)
        }
        rustls::Error::NoApplicationProtocol => "no application protocol in common (ALPN)".into(),
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => "the answer is no TLS".into(),
        rustls::Error::PeerIncompatible(why) => format!("no TLS in common: {why:?}"),
        other => format!("TLS: {other}"),
    }
}

/// What a server's alert means. `asked`: it wanted a certificate of ours; `shown`: it got one.
fn alerted(alert: AlertDescription, asked: bool, shown: bool) -> String {
    let refusal = matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
            | AlertDescription::HandshakeFailure
    );
    match alert {
        _ if asked && shown && refusal => format!("the server refuses our client certificate ({alert:?})"),
        _ if asked && refusal => "the server asks for a client certificate, and the check has none".into(),
        AlertDescription::HandshakeFailure => "the server finds no TLS parameters in common".into(),
        AlertDescription::ProtocolVersion => "the server speaks neither TLS 1.2 nor 1.3".into(),
        AlertDescription::UnrecognisedName => "the server does not know the name it was asked for (SNI)".into(),
        AlertDescription::NoApplicationProtocol => {
            "the server does not offer the protocol it was asked for (ALPN)".into()
        }
        other => format!("the server gave up TLS ({other:?})"),
    }
}

/// Trust stores: the system's, or those of a file.
struct Trusts {
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Load for Trusts {
    type Key = Option<PathBuf>;
    type Value = Trust;

    fn files(&self, key: &Option<PathBuf>) -> Vec<PathBuf> {
        key.iter().cloned().collect()
    }

    fn load(&self, key: &Option<PathBuf>) -> Result<Trust, String> {
        let mut roots = RootCertStore::empty();
        let (found, whose) = match key {
            None => (rustls_native_certs::load_native_certs().certs, "the system's authorities".to_owned()),
            Some(path) => (certificates(path)?, format!("the authorities in {}", path.display())),
        };
        let (usable, _) = roots.add_parsable_certificates(found);
        if let (0, Some(path)) = (usable, key) {
            return Err(format!("{} holds no certificate authority that can be used", path.display()));
        }
        roots.add_parsable_certificates(self.extra.iter().cloned());
        if roots.is_empty() {
            return Err("this system has no certificate authorities (is `ca-certificates` installed?)".into());
        }
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| format!("the certificate authorities can not be used: {error}"))?;
        Ok(Trust { verifier, whose: whose.into() })
    }
}

/// Client certificates.
struct Identities {
    provider: Arc<CryptoProvider>,
}

impl Load for Identities {
    type Key = (PathBuf, PathBuf);
    type Value = Arc<CertifiedKey>;

    fn files(&self, (chain, key): &(PathBuf, PathBuf)) -> Vec<PathBuf> {
        vec![chain.clone(), key.clone()]
    }

    fn load(&self, (chain, key): &(PathBuf, PathBuf)) -> Result<Arc<CertifiedKey>, String> {
        let certificates = certificates(chain)?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|error| format!("{} holds no private key in PEM form: {error}", key.display()))?;
        let pair = CertifiedKey::from_der(certificates, private, &self.provider)
            .map_err(|error| format!("{} with {} can not be used: {error}", chain.display(), key.display()))?;
        Ok(Arc::new(pair))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("{} is no PEM: {error}", path.display()))?;
    match found.is_empty() {
        true => Err(format!("{} holds no certificate in PEM form", path.display())),
        false => Ok(found),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limits::CERTIFICATE_FILE_LEN_MAX + 1).read_to_end(&mut octets))
        .map_err(|error| format!("can not read {}: {error}", path.display()))?;
    if octets.len() as u64 > limits::CERTIFICATE_FILE_LEN_MAX {
        return Err(format!("{} has more than {} octets", path.display(), limits::CERTIFICATE_FILE_LEN_MAX));
    }
    Ok(octets)
}
