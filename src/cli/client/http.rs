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
use crate::limits::{CERTIFICATE_FILE_LEN_MAX, CLIENT_BODY_LEN_MAX, CLIENT_REACH_S, CLIENT_TIMEOUT_S};

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

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Silence {
    /// For a person.
    pub(in crate::cli) why: String,
    /// The request was sent, or may have been: perhaps it had its effect.
    pub(in crate::cli) is_sent: bool,
}

impl Silence {
    fn before(why: impl Into<String>) -> Silence {
        Silence { why: why.into(), is_sent: false }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) token: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    /// By which the server knows a repetition.
    pub(super) key: Option<&'a str>,
}

/// Asks; the error says why there is no answer, and whether the request may have had its effect.
pub(super) async fn ask(target: &Target, tls: &Tls, ask: Ask<'_>) -> Result<Reply, Silence> {
    let Ask { token, method, path, body, key } = ask;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, target.authority())
        .header(USER_AGENT, concat!("meridian/", env!("CARGO_PKG_VERSION")));
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let octets = match body {
        Some(body) => {
            request = request.header(CONTENT_TYPE, "application/json");
            Bytes::from(body.to_string())
        }
        None => Bytes::new(),
    };
    let request = request.body(Full::new(octets)).map_err(|error| Silence::before(error.to_string()))?;
    let patience = Duration::from_secs(CLIENT_TIMEOUT_S);
    match tokio::time::timeout(patience, connect(target, tls, request)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let why = format!("no answer within {CLIENT_TIMEOUT_S} s; whether it had its effect is not known");
            Err(Silence { why, is_sent: true })
        }
    }
}

/// Connecting takes this long at most: a network that swallows packets is told from a server that takes its time.
const CONNECT: Duration = Duration::from_secs(CLIENT_REACH_S);

async fn reached<T>(connecting: impl Future<Output = std::io::Result<T>>) -> Result<T, Silence> {
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(connected) => connected.map_err(|error| not_reached(&error.to_string())),
        Err(_) => Err(not_reached(&format!("nothing within {CLIENT_REACH_S} s"))),
    }
}

async fn connect(target: &Target, tls: &Tls, request: Request<Full<Bytes>>) -> Result<Reply, Silence> {
    match target {
        Target::Unix(path) => exchange(reached(UnixStream::connect(path)).await?, request).await,
        Target::Tcp { host, port, is_tls } => {
            let stream = reached(TcpStream::connect((host.as_str(), *port))).await?;
            match &tls.0 {
                Some(connector) if *is_tls => {
                    let name =
                        ServerName::try_from(host.clone()).map_err(|error| Silence::before(error.to_string()))?;
                    let stream = connector.connect(name, stream).await;
                    let stream = stream.map_err(|error| Silence::before(format!("TLS: {error}")))?;
                    exchange(stream, request).await
                }
                Some(_) | None => exchange(stream, request).await,
            }
        }
    }
}

fn not_reached(error: &str) -> Silence {
    Silence::before(format!("not reached: {error}; is the server running there, with its API?"))
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, Silence>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| Silence::before(format!("no HTTP: {error}")))?;
    let carrying = tokio::spawn(connection);
    let cut = |error: &dyn std::fmt::Display| Silence {
        why: format!("cut off: {error}; whether it had its effect is not known"),
        is_sent: true,
    };
    let response = sender.send_request(request).await.map_err(|error| cut(&error))?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), CLIENT_BODY_LEN_MAX).collect().await.map_err(|error| cut(&error))?;
    carrying.abort();
    Ok(Reply { status, body: serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null) })
}
