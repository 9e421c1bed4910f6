//! The certificates of DNS over TLS and of the API: read from files, checked, replaced while serving.
//!
//! Certificates are renewed by tools that know nothing of us. [`Certificate::reload`] reads the files
//! again and checks them wholly before anything changes: a half-written file, or a new certificate beside
//! the old key, leaves the one that serves in its place and says why.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use crate::limits::CERTIFICATE_FILE_LEN_MAX;

/// Why a certificate can not be used. Names the file, what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file can not be read.
    #[error("can not read {}: {source}; check that it exists and that this user may read it", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is far too long for what it should be.
    #[error("{} has more than {CERTIFICATE_FILE_LEN_MAX} octets; is it the right file?", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// The file is no PEM, or not of the expected kind.
    #[error("{} holds no {expected} in PEM form: {source}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// "certificate", "private key".
        expected: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// The certificate or key is none that TLS can use.
    #[error("{} can not be used for TLS: {source}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// Certificate and key do not belong together.
    #[error(
        "{} is not the key of {}; if they are being renewed, reload again when both are written",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

/// A certificate and its key, with the files that they come from.
#[derive(Debug)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// From PEM files: the certificate first and then its chain in one, the private key in the other.
    pub fn load(certificate: &Path, key: &Path) -> Result<Certificate, CertificateError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = read(certificate, key, &provider)?;
        Ok(Certificate {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider,
            current: ArcSwap::from_pointee(current),
        })
    }

    /// Reads the files again. From the next handshake on the new certificate is shown; after an error, the
    /// one before.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let new = read(&self.certificate, &self.key, &self.provider)?;
        self.current.store(Arc::new(new));
        Ok(())
    }

    /// For a server that shows whatever certificate is current at each handshake, and speaks these protocols
    /// (ALPN). With `client_ca`, clients may show certificates, which those authorities must have signed; a client
    /// without one is let in all the same, for whoever asks to judge.
    pub fn server_config(
        self: &Arc<Self>,
        protocols: &[&[u8]],
        client_ca: Option<&Path>,
    ) -> Result<ServerConfig, CertificateError> {
        let clients = client_ca.map(|file| verifier(file, self.provider())).transpose()?;
        let tls = tls(self.provider(), Arc::new(Current(Arc::clone(self))), clients, protocols);
        tls.map_err(|source| CertificateError::Unusable { path: self.certificate.clone(), source })
    }

    /// The one that is shown now.
    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }

    /// The cryptography that the key was made with.
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.provider)
    }
}

/// Shows the certificate that is current.
#[derive(Debug)]
struct Current(Arc<Certificate>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}

/// TLS 1.2 and 1.3 for a server.
pub(super) fn tls(
    provider: Arc<CryptoProvider>,
    shown: Arc<dyn ResolvesServerCert>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, rustls::Error> {
    let tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let tls = match clients {
        Some(clients) => tls.with_client_cert_verifier(clients),
        None => tls.with_no_client_auth(),
    };
    let mut tls = tls.with_cert_resolver(shown);
    tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(tls)
}

/// Believes the certificates of clients that the authorities in `file` signed.
fn verifier(file: &Path, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let unusable = |source| CertificateError::Unusable { path: file.into(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read_file(file)?) {
        let pem = |source| CertificateError::Pem { path: file.into(), expected: "certificate", source };
        roots.add(certificate.map_err(pem)?).map_err(unusable)?;
    }
    if roots.is_empty() {
        let source = pem::Error::NoItemsFound;
        return Err(CertificateError::Pem { path: file.into(), expected: "certificate", source });
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| unusable(rustls::Error::General(error.to_string())))
}

fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(&read_file(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| CertificateError::Pem { path: certificate.into(), expected: "certificate", source })?;
    let Some(end_entity) = chain.first() else {
        let source = pem::Error::NoItemsFound;
        return Err(CertificateError::Pem { path: certificate.into(), expected: "certificate", source });
    };
    ParsedCertificate::try_from(end_entity)
        .map_err(|source| CertificateError::Unusable { path: certificate.into(), source })?;
    let private = PrivateKeyDer::from_pem_slice(&read_file(key)?).map_err(|source| CertificateError::Pem {
        path: key.into(),
        expected: "private key",
        source,
    })?;
    CertifiedKey::from_der(chain, private, provider).map_err(|source| match source {
        rustls::Error::InconsistentKeys(_) => {
            CertificateError::Mismatch { certificate: certificate.into(), key: key.into() }
        }
        source => CertificateError::Unusable { path: key.into(), source },
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(CERTIFICATE_FILE_LEN_MAX + 1).read_to_end(&mut bytes))
        .map_err(|source| CertificateError::Read { path: path.into(), source })?;
    if bytes.len() as u64 > CERTIFICATE_FILE_LEN_MAX {
        return Err(CertificateError::TooLong { path: path.into() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Files {
        dir: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Files {
            Files { dir: tempfile::tempdir().unwrap() }
        }

        fn paths(&self) -> (PathBuf, PathBuf) {
            (self.dir.path().join("cert.pem"), self.dir.path().join("key.pem"))
        }

        fn write(&self, certificate: &str, key: &str) {
            let paths = self.paths();
            fs::write(paths.0, certificate).unwrap();
            fs::write(paths.1, key).unwrap();
        }

        fn load(&self) -> Result<Certificate, CertificateError> {
            let (certificate, key) = self.paths();
            Certificate::load(&certificate, &key)
        }
    }

    fn pair(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_new_pair_replaces_the_old_one() {
        let files = Files::new();
        let (first, second) = (pair("first.test"), pair("second.test"));
        files.write(&first.0, &first.1);
        let certificate = files.load().unwrap();
        let before = certificate.current();
        files.write(&second.0, &second.1);
        certificate.reload().unwrap();
        assert_ne!(before.cert, certificate.current().cert);
    }

    #[test]
    fn a_bad_file_changes_nothing_and_says_which_and_why() {
        let files = Files::new();
        let (good, other) = (pair("good.test"), pair("other.test"));
        files.write(&good.0, &good.1);
        let certificate = files.load().unwrap();
        let before = certificate.current();
        let half = &good.0[..good.0.len() / 2];
        let bad = [
            ("", &good.1[..], "cert.pem holds no certificate"),
            (half, &good.1, "cert.pem holds no certificate"),
            (&good.1, &good.1, "cert.pem holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &good.1, "cert.pem can not be used"),
            (&good.0, "", "key.pem holds no private key"),
            (&good.0, &good.0, "key.pem holds no private key"),
            (&good.0, &other.1, "key.pem is not the key of"),
        ];
        for (certificate_text, key_text, expected) in bad {
            files.write(certificate_text, key_text);
            let error = certificate.reload().unwrap_err().to_string();
            assert!(error.contains(expected), "{error} instead of {expected}");
            assert!(Arc::ptr_eq(&before, &certificate.current()));
        }
        fs::remove_file(files.paths().1).unwrap();
        let error = certificate.reload().unwrap_err().to_string();
        assert!(error.contains("can not read") && error.contains("key.pem"), "{error}");
        assert!(Arc::ptr_eq(&before, &certificate.current()));
    }

    #[test]
    fn a_file_that_is_far_too_long_is_not_read_to_its_end() {
        let files = Files::new();
        let (certificate, key) = files.paths();
        fs::File::create(&certificate).unwrap().set_len(CERTIFICATE_FILE_LEN_MAX + 1).unwrap();
        assert!(matches!(Certificate::load(&certificate, &key), Err(CertificateError::TooLong { .. })));
    }
}
