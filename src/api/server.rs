//! Listening: TCP, TLS and the Unix socket, with a bound and a deadline for everything.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::access::{Peer, Subject};
use super::admission::{Admission, Client, Place};
use super::context::Context;
use super::metrics::ConnectionSource;
use super::routes;
use super::stream::Impatient;
use crate::limits::{
    API_CLOSE_S, API_CONNECTIONS_MAX, API_CONNECTIONS_PER_CLIENT_MAX, API_HEADER_LEN_MAX, API_HEADER_S,
    API_HEADERS_MAX, API_WRITE_S,
};
use crate::sys;

/// Where the API listens.
#[derive(Clone, Debug, Default)]
pub struct ApiConfig {
    /// In the clear. Port 0: any.
    pub listen: Vec<SocketAddr>,
    /// With TLS.
    pub listen_tls: Vec<SocketAddr>,
    /// How TLS is done there; needed when `listen_tls` is not empty. Where it verifies certificates of callers,
    /// [`AccessConfig::has_certificates`](super::AccessConfig::has_certificates) says so.
    pub tls: Option<Arc<ServerConfig>>,
    /// A socket for users of this machine, mode 0660.
    pub unix: Option<PathBuf>,
}

/// Why the API can not be served. Nothing has been opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Everybody could give orders, or nobody could ask anything.
    #[error(
        "the API would listen on {0}, which is not loopback, with neither tokens nor a grant: name a token file \
         (`meridian token create` makes one), or grant something to a network under `anonymous`"
    )]
    Unprotected(SocketAddr),
    /// TLS was asked for without a certificate.
    #[error("the API is to listen on {0} with TLS, but there is no certificate")]
    NoCertificate(SocketAddr),
    /// The system does not let us listen there.
    #[error("the API can not listen on {at}: {cause}; another program may have the port, or choose another address")]
    Bind {
        /// Where.
        at: String,
        /// What the system said.
        cause: io::Error,
    },
}

/// A serving API. Dropping it stops listening at once.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    unix: Option<PathBuf>,
    stop: watch::Sender<bool>,
    /// Ends when the last listener and connection has.
    alive: mpsc::Receiver<()>,
}

enum Door {
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener),
}

impl Server {
    /// Opens all listeners, or none, and serves them on `runtime`.
    pub fn start(config: &ApiConfig, context: Arc<Context>, runtime: &Handle) -> Result<Server, StartError> {
        let exposed = config.listen.iter().chain(&config.listen_tls).find(|address| !address.ip().is_loopback());
        if let Some(address) = exposed.filter(|_| !context.access.is_configured()) {
            return Err(StartError::Unprotected(*address));
        }
        let _entered = runtime.enter();
        let (mut doors, mut addresses) = (Vec::new(), Vec::new());
        let acceptor = config.tls.clone().map(TlsAcceptor::from);
        for (address, is_tls) in
            config.listen.iter().map(|at| (*at, false)).chain(config.listen_tls.iter().map(|at| (*at, true)))
        {
            if is_tls && acceptor.is_none() {
                return Err(StartError::NoCertificate(address));
            }
            let refused = |cause| StartError::Bind { at: address.to_string(), cause };
            let listener = sys::bind_stream(address).and_then(TcpListener::from_std).map_err(refused)?;
            let local = listener.local_addr().map_err(refused)?;
            if !is_tls && !local.ip().is_loopback() && context.access.has_tokens() {
                tracing::warn!(address = %local, "tokens travel in the clear: let the API listen there with TLS");
            }
            addresses.push(local);
            doors.push(Door::Tcp(listener, acceptor.clone().filter(|_| is_tls)));
        }
        if let Some(path) = &config.unix {
            let refused = |cause| StartError::Bind { at: path.display().to_string(), cause };
            doors.push(Door::Unix(bind_unix(path).map_err(refused)?));
        }
        let (stop, stopped) = watch::channel(false);
        let (alive_sender, alive) = mpsc::channel(1);
        let admission = Admission::new(API_CONNECTIONS_MAX, API_CONNECTIONS_PER_CLIENT_MAX);
        context.registry.add(ConnectionSource(Arc::downgrade(&admission)));
        let router = routes::router(&context);
        for door in doors {
            let house = House {
                router: router.clone(),
                admission: Arc::clone(&admission),
                stopped: stopped.clone(),
                alive: alive_sender.clone(),
            };
            runtime.spawn(house.listen(door));
        }
        Ok(Server { addresses, unix: config.unix.clone(), stop, alive })
    }

    /// Where it listens, with the real ports: those in the clear first, then those with TLS.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops listening and waits for the requests in hand, at most [`API_CLOSE_S`]; says whether all ended.
    pub async fn close(mut self) -> bool {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(Duration::from_secs(API_CLOSE_S), self.alive.recv()).await;
        ended.is_ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(path) = &self.unix {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A socket file that nobody answers behind is a leftover, and replaced.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// The certificate that a caller showed, if it names a role.
#[derive(Clone, Debug)]
pub(super) struct Shown(pub(super) Option<Arc<Subject>>);

impl Shown {
    fn by(connection: &ServerConnection) -> Shown {
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        Shown(certificate.and_then(|certificate| Subject::of(certificate)).map(Arc::new))
    }
}

/// Heard by whoever answers for longer than a request may take.
#[derive(Clone, Debug)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Returns when the server stops.
    pub(super) async fn said(mut self) {
        said(&mut self.0).await;
    }
}

/// What every listener shares.
#[derive(Clone)]
struct House {
    router: Router,
    admission: Arc<Admission>,
    stopped: watch::Receiver<bool>,
    /// Held by all that must end before the house is closed.
    alive: mpsc::Sender<()>,
}

/// Waits for the word to stop; that the server is gone means the same.
async fn said(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stop| *stop).await);
}

/// After a failed accept, which is mostly for want of files.
const PAUSE: Duration = Duration::from_millis(50);

impl House {
    async fn listen(mut self, door: Door) {
        loop {
            let mut stopped = self.stopped.clone();
            tokio::select! {
                biased;
                () = said(&mut stopped) => return,
                accepted = self.accept(&door) => if let Err(error) = accepted {
                    tracing::warn!(%error, "the API can not accept a connection");
                    tokio::time::sleep(PAUSE).await;
                },
            }
        }
    }

    async fn accept(&mut self, door: &Door) -> io::Result<()> {
        match door {
            Door::Tcp(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                let peer = Peer::Tcp(address);
                let Some(place) = self.admission.admit(Client::Host(peer.ip())) else { return Ok(()) };
                stream.set_nodelay(true)?;
                let (house, tls) = (self.clone(), tls.clone());
                let patience = Duration::from_secs(API_HEADER_S);
                tokio::spawn(async move {
                    match tls {
                        None => house.serve(stream, peer, Shown(None), place).await,
                        Some(tls) => {
                            if let Ok(Ok(stream)) = tokio::time::timeout(patience, tls.accept(stream)).await {
                                let shown = Shown::by(stream.get_ref().1);
                                house.serve(stream, peer, shown, place).await;
                            }
                        }
                    }
                });
            }
            Door::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                let peer = Peer::Unix { uid };
                let Some(place) = self.admission.admit(Client::User(uid)) else { return Ok(()) };
                tokio::spawn(self.clone().serve(stream, peer, Shown(None), place));
            }
        }
        Ok(())
    }

    async fn serve<S>(self, stream: S, peer: Peer, shown: Shown, _place: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let House { router, mut stopped, alive: _alive, .. } = self;
        let stream = TokioIo::new(Impatient::new(stream, Duration::from_secs(API_WRITE_S)));
        let stopping = Stopping(stopped.clone());
        let router = router.layer(Extension(peer)).layer(Extension(shown)).layer(Extension(stopping));
        let service = TowerToHyperService::new(router);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // Counts from the moment when a request could begin, so it bounds idleness, too.
            .header_read_timeout(Duration::from_secs(API_HEADER_S))
            .max_headers(API_HEADERS_MAX)
            .max_buf_size(API_HEADER_LEN_MAX)
            .serve_connection(stream, service);
        tokio::pin!(connection);
        let mut is_stopping = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "a connection of the API ended");
                    }
                    return;
                }
                () = said(&mut stopped), if !is_stopping => {
                    is_stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
