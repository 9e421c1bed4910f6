//! A small HTTP client: one request, one connection, a deadline.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::target::Target;
use crate::limits::{CERTIFICATE_FILE_LEN_MAX, CLIENT_BODY_LEN_MAX, CLIENT_TIMEOUT_S};

/// What a server answered.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Reply {
    /// The HTTP status.
    pub(in crate::cli) status: u16,
    /// The body; null when it is no JSON.
    pub(in crate::cli) body: Value,
}

/// How servers prove who they are.
pub(super) struct Tls(Option<TlsConnector>);

impl Tls {
    /// By the authorities in `ca`, else the system's; read only when `is_needed`.
    pub(super) fn new(ca: Option<&Path>, is_needed: bool) -> Result<Tls, String> {
        if !is_needed {
            return Ok(Tls(None));
        }
        let mut roots = RootCertStore::empty();
        match ca {
            Some(file) => {
                let wrong = |why: String| format!("{}: {why}", file.display());
                let len = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len();
                if len > CERTIFICATE_FILE_LEN_MAX {
                    return Err(wrong("is too long for certificates".to_owned()));
                }
                let certificates = CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                    roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        if roots.is_empty() {
            return Err("there are no certificate authorities to believe; name them with --ca".to_owned());
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Tls(Some(TlsConnector::from(Arc::new(config)))))
    }
}

/// Asks; the error says why there is no answer, and whether the request may have had its effect.
pub(super) async fn ask(
    target: &Target,
    tls: &Tls,
    token: Option<&str>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Reply, String> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, target.authority())
        .header(USER_AGENT, concat!("meridian/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let octets = match body {
        Some(body) => {
            request = request.header(CONTENT_TYPE, "application/json");
            Bytes::from(body.to_string())
        }
        None => Bytes::new(),
    };
    let request = request.body(Full::new(octets)).map_err(|error| error.to_string())?;
    let patience = Duration::from_secs(CLIENT_TIMEOUT_S);
    match tokio::time::timeout(patience, connect(target, tls, request)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {CLIENT_TIMEOUT_S} s; whether it had its effect is not known")),
    }
}

async fn connect(target: &Target, tls: &Tls, request: Request<Full<Bytes>>) -> Result<Reply, String> {
    match target {
        Target::Unix(path) => {
            exchange(UnixStream::connect(path).await.map_err(|error| not_reached(&error))?, request).await
        }
        Target::Tcp { host, port, is_tls } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| not_reached(&error))?;
            match &tls.0 {
                Some(connector) if *is_tls => {
                    let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
                    let stream = connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
                    exchange(stream, request).await
                }
                Some(_) | None => exchange(stream, request).await,
            }
        }
    }
}

fn not_reached(error: &std::io::Error) -> String {
    format!("not reached: {error}; is the server running there, with its API?")
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("no HTTP: {error}"))?;
    let carrying = tokio::spawn(connection);
    let cut = |error: &dyn std::fmt::Display| format!("cut off: {error}; whether it had its effect is not known");
    let response = sender.send_request(request).await.map_err(|error| cut(&error))?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), CLIENT_BODY_LEN_MAX).collect().await.map_err(|error| cut(&error))?;
    carrying.abort();
    Ok(Reply { status, body: serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null) })
}
