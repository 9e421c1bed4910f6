//! What a probe makes of a certificate, and what it remembers of it.
//!
//! One [`Seen`] stands in each handshake. It notes until when the certificate is valid before anything else,
//! so that this is known also when verification fails, and it puts the reason of a failure into words while
//! the certificate is at hand.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::words;

/// Moments at which an expired chain is tried again: its certificates' ends, the latest first.
const MOMENTS_MAX: usize = 8;

/// Against what a certificate is verified.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    pub(super) verifier: Arc<WebPkiServerVerifier>,
    /// Whose authorities: "the system's", "those in /etc/ca.pem".
    pub(super) whose: Arc<str>,
}

/// The verifier of one handshake.
#[derive(Debug)]
pub(super) struct Seen {
    /// `None`: everything is good enough.
    pub(super) trust: Option<Trust>,
    pub(super) allow_expired: bool,
    /// What we show when asked who we are.
    pub(super) identity: Option<Arc<CertifiedKey>>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    expires: OnceLock<SystemTime>,
    refused: OnceLock<String>,
    asked: AtomicBool,
}

impl Seen {
    pub(super) fn new(
        trust: Option<Trust>,
        allow_expired: bool,
        identity: Option<Arc<CertifiedKey>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Seen {
        let (expires, refused) = (OnceLock::new(), OnceLock::new());
        Seen { trust, allow_expired, identity, algorithms, expires, refused, asked: AtomicBool::new(false) }
    }

    /// Until when the certificate is valid that was shown.
    pub(super) fn expires(&self) -> Option<SystemTime> {
        self.expires.get().copied()
    }

    /// Why the certificate was refused, in words.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.get().map(String::as_str)
    }

    /// True when the server has asked who we are.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Relaxed)
    }

    fn verify(
        &self,
        trust: &Trust,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let at = |time| trust.verifier.verify_server_cert(end_entity, intermediates, name, &[], time);
        let first = at(now);
        if !self.allow_expired || !first.as_ref().is_err_and(is_expired) {
            return first;
        }
        // At the moment when the first certificate of its path ended, everything but the expiry must have been
        // right. Which certificates are on the path only the verifier knows, so each one's end is tried.
        let chain = std::iter::once(end_entity).chain(intermediates).take(MOMENTS_MAX);
        let mut ends: Vec<u64> = chain.filter_map(not_after).filter(|end| *end < now.as_secs()).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.dedup();
        let mut last = first;
        for end in ends {
            last = at(UnixTime::since_unix_epoch(Duration::from_secs(end)));
            if !last.as_ref().is_err_and(is_expired) {
                break;
            }
        }
        last
    }
}

fn is_expired(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }))
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().map(|(_, certificate)| certificate)
}

/// The end of validity in seconds of Unix time.
fn not_after(certificate: &CertificateDer<'_>) -> Option<u64> {
    u64::try_from(parsed(certificate)?.validity().not_after.timestamp()).ok()
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let end = not_after(end_entity);
        if let Some(expires) = end.and_then(|end| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(end))) {
            self.expires.get_or_init(|| expires);
        }
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        let verified = self.verify(trust, end_entity, intermediates, name, now);
        if let Err(error) = &verified {
            self.refused.get_or_init(|| why(error, end_entity, name, &trust.whose, now));
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Seen {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Relaxed);
        self.identity.clone()
    }

    /// True even without one: else we were not asked, and could not say that one is wanted.
    fn has_certs(&self) -> bool {
        true
    }
}

fn why(error: &Error, shown: &CertificateDer<'_>, name: &ServerName<'_>, whose: &str, now: UnixTime) -> String {
    let Error::InvalidCertificate(error) = error else { return format!("certificate: {error}") };
    match error {
        CertificateError::Expired => "certificate expired".into(),
        CertificateError::ExpiredContext { time, not_after: end } => {
            let ago = words::age(Duration::from_secs(time.as_secs().saturating_sub(end.as_secs())));
            let is_shown = not_after(shown) == Some(end.as_secs());
            let which = if is_shown { "certificate" } else { "a certificate of the chain" };
            format!("{which} expired {ago} ago")
        }
        CertificateError::NotValidYet => "certificate is not valid yet".into(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            let wait = words::age(Duration::from_secs(not_before.as_secs().saturating_sub(now.as_secs())));
            format!("certificate is not valid before {wait} from now; is the clock right?")
        }
        CertificateError::UnknownIssuer => {
            let issuer = parsed(shown).map(|shown| match shown.issuer() == shown.subject() {
                true => "itself".to_owned(),
                false => words::quoted(&shown.issuer().to_string()),
            });
            let issuer = issuer.unwrap_or_else(|| "an authority".into());
            format!("certificate is signed by {issuer}, which is none of {whose}")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = names(shown);
            let names = if names.is_empty() { "no name at all".to_owned() } else { names };
            format!("certificate is for {names}, not {}", name.to_str())
        }
        CertificateError::BadSignature => {
            format!(
                "a signature of the certificate is wrong, or by another authority of the same name as one of {whose}"
            )
        }
        CertificateError::BadEncoding => "certificate is malformed".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate is not for TLS servers".into()
        }
        CertificateError::Revoked => "certificate is revoked".into(),
        other => format!("certificate: {other}"),
    }
}

/// The names that a certificate is for; the first few.
fn names(certificate: &CertificateDer<'_>) -> String {
    const SHOWN: usize = 3;
    let Some(certificate) = parsed(certificate) else { return String::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return String::new() };
    let names: Vec<String> = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(octets) => address(octets),
            _ => None,
        })
        .collect();
    let mut shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        shown += &format!(" and {} more", names.len() - SHOWN);
    }
    shown
}

fn address(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).ok().map(|octets| std::net::Ipv4Addr::from(octets).to_string());
    v4.or_else(|| <[u8; 16]>::try_from(octets).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string()))
}
