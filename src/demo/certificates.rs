//! A certification authority for as long as the program lives, and a certificate for every server name asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};

use crate::limits::STAND_IN_CERTIFICATES_MAX;

/// Shown to those who ask for no name.
const NAMELESS: &str = "stand-in.invalid";

/// The throw-away CA. Its key never leaves the process.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    certificate_pem: String,
    /// All servers share a key: what they show is worth nothing.
    key: KeyPair,
    signing: Arc<dyn SigningKey>,
    signed: Mutex<BTreeMap<String, Arc<CertifiedKey>>>,
}

/// Why there is no CA.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthorityError {
    #[error("cannot make certificates for the stand-ins: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot use the stand-ins' key: {0}")]
    Key(#[from] rustls::Error),
}

impl Authority {
    pub(super) fn new() -> Result<Authority, AuthorityError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = named("Meridian demo: throw-away CA of stand-in data centres");
        within_reason(&mut params);
        let ca_key = KeyPair::generate()?;
        let certificate = params.self_signed(&ca_key)?;
        let certificate_pem = certificate.pem();
        let key = KeyPair::generate()?;
        let signing = any_supported_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))?;
        let issuer = Issuer::new(params, ca_key);
        Ok(Authority { issuer, certificate, certificate_pem, key, signing, signed: Mutex::default() })
    }

    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    pub(super) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A certificate for `name`, made when it is first asked for; `None` for what is no name.
    fn certified(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let signed = || self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = signed().get(name) {
            return Some(Arc::clone(known));
        }
        // Not under the lock: signing takes a while, and at worst a certificate is made twice.
        let made = Arc::new(self.sign(name).ok()?);
        let mut signed = signed();
        if signed.len() >= STAND_IN_CERTIFICATES_MAX {
            signed.pop_first();
        }
        signed.insert(name.to_owned(), Arc::clone(&made));
        Some(made)
    }

    fn sign(&self, name: &str) -> Result<CertifiedKey, rcgen::Error> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = named("Meridian demo: stand-in data centre");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        within_reason(&mut params);
        let leaf = params.signed_by(&self.key, &self.issuer)?;
        Ok(CertifiedKey::new(vec![leaf.der().clone()], Arc::clone(&self.signing)))
    }
}

/// A name that also tells apart the CAs of two runs is not needed: each run trusts its own alone.
fn named(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

/// From last year to the end of the next: no demonstration runs longer, and no clock is that wrong.
fn within_reason(params: &mut CertificateParams) {
    let year = i32::from(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year());
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + 2, 1, 1);
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certified(hello.server_name().unwrap_or(NAMELESS))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_made_once_a_name_and_kept_within_bounds() {
        let authority = Authority::new().unwrap();
        let first = authority.certified("api.example.com").unwrap();
        assert!(Arc::ptr_eq(&first, &authority.certified("api.example.com").unwrap()));
        let other = authority.certified("www.example.com").unwrap();
        assert_ne!(first.cert, other.cert);
        for n in 0..STAND_IN_CERTIFICATES_MAX {
            authority.certified(&format!("n{n}.example.com")).unwrap();
        }
        assert_eq!(authority.signed.lock().unwrap().len(), STAND_IN_CERTIFICATES_MAX);
    }

    #[test]
    fn what_is_no_name_gets_no_certificate() {
        assert!(Authority::new().unwrap().certified("bücher.example").is_none());
    }
}
