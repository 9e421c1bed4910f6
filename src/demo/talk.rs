//! What a stand-in says over one connection.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::Mode;
use super::certificates::Authority;
use crate::limits::{STAND_IN_LISTENS_MS, STAND_IN_SLOW_MS};
use crate::model::StandInMap;

/// What a stand-in that lies answers.
const LIE: &str = r#"{"status":"DOWN"}"#;

/// What every HTTP/2 connection with prior knowledge begins with (RFC 9113 §3.4), and no HTTP/1 request.
const HTTP2_BEGINS: &[u8] = b"PRI";

/// TLS as stand-ins do it.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl Tls {
    pub(super) fn new(authority: Arc<Authority>) -> Result<Tls, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(authority);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls(TlsAcceptor::from(Arc::new(config))))
    }
}

/// What is spoken at a door.
#[derive(Clone)]
pub(super) enum Speech {
    Https(Tls),
    Http,
    Tcp,
}

impl Speech {
    /// Talks until the peer has heard enough.
    pub(super) async fn talk(self, mut stream: TcpStream, mode: Mode) {
        match mode {
            Mode::Up | Mode::Lie => {}
            Mode::Slow => sleep(Duration::from_millis(STAND_IN_SLOW_MS)).await,
            // A door that refuses accepts nobody; who came just before is let go.
            Mode::Fail => return,
            Mode::Hang => return until_closed(&mut stream).await,
        }
        let body = if mode == Mode::Lie { LIE } else { StandInMap::BODY };
        // An error ends the connection and is the peer's to notice.
        let _ = match self {
            Speech::Https(tls) => https(tls, stream, body).await,
            Speech::Http => http(stream, body).await,
            Speech::Tcp => tcp(stream).await,
        };
    }
}

async fn https(tls: Tls, stream: TcpStream, body: &'static str) -> io::Result<()> {
    let stream = tls.0.accept(stream).await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    serve(stream, is_http2, body).await.map_err(io::Error::other)
}

async fn http(stream: TcpStream, body: &'static str) -> io::Result<()> {
    let mut begins = [0; HTTP2_BEGINS.len()];
    let seen = stream.peek(&mut begins).await?;
    serve(stream, &begins[..seen] == HTTP2_BEGINS, body).await.map_err(io::Error::other)
}

async fn serve<S>(stream: S, is_http2: bool, body: &'static str) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        service_fn(move |request: Request<Incoming>| async move { Ok::<_, Infallible>(answer(&request, body)) });
    let io = TokioIo::new(stream);
    if is_http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    }
}

fn answer(request: &Request<Incoming>, body: &'static str) -> Response<Full<Bytes>> {
    let kind = match request.uri().path() {
        "/actuator/health" => "application/vnd.spring-boot.actuator.v3+json",
        _ => "application/json",
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Listens for a while, and closes as one does who has heard everything.
async fn tcp(mut stream: TcpStream) -> io::Result<()> {
    let _ = timeout(Duration::from_millis(STAND_IN_LISTENS_MS), until_closed(&mut stream)).await;
    stream.shutdown().await
}

/// Reads and forgets until the peer is done.
async fn until_closed(stream: &mut TcpStream) {
    let mut forgotten = [0; 1024];
    while let Ok(1..) = stream.read(&mut forgotten).await {}
}
