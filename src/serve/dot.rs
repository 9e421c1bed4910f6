//! DNS over TLS (RFC 7858), carried by hickory-server on our engine.
//!
//! hickory-server brings the listener, the handshake, the framing and its timeouts. The answer is ours:
//! a [`Handler`] gives the request's own octets to the engine and takes the reply apart again, because
//! hickory sends records and not octets. What leaves equals our reply record for record, with its header
//! bits, its response code (the extended part too) and its EDNS options; only name compression may differ.
//!
//! # What hickory does not do, and what stands in for it
//!
//! - *It does not bound connections.* It does spawn exactly one task for each, so on a runtime of its own
//!   the number of tasks is the number of connections, and over the bound the handshake is refused. A peer
//!   that never begins a handshake is closed after the idle time.
//! - *Its listener ends on an aborted connection.* It is opened again on the same socket, so that the port
//!   is never given up.
//! - *It waits for whole octets of one slow peer in that peer's task.* That is what we want, too.
//! - *It closes connections at once when it stops.* A client asks again elsewhere.
//!
//! Malformed messages that hickory can not read, it answers by itself with FORMERR.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Header, HeaderCounts, Message, MessageType, Metadata, ResponseCode};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponseBuilder, Queries};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::certificate::Certificate;
use super::engine::Engines;
use super::stop::Stop;
use crate::answer::Transport;

/// How long to wait before a listener that ended is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);

/// What the TLS door needs.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) engines: Arc<Engines>,
    pub(super) certificate: Arc<Certificate>,
    /// The runtime where hickory's tasks live, and nothing else.
    pub(super) runtime: Handle,
    pub(super) connections_max: usize,
    /// Listeners on that runtime: each is one task that is no connection.
    pub(super) listeners: usize,
    pub(super) idle: Duration,
}

impl Door {
    /// Connections that are open now.
    pub(super) fn connections(&self) -> usize {
        self.runtime.metrics().num_alive_tasks().saturating_sub(self.listeners)
    }

    /// Serves `listener` until the doors close. To be run on another runtime than the connections'.
    pub(super) async fn listen(self, listener: TcpListener, tls: Arc<ServerConfig>, mut stop: Stop) {
        loop {
            let mut server = match self.open(&listener, Arc::clone(&tls)) {
                Ok(server) => server,
                Err(error) => {
                    tracing::warn!(%error, "can not listen for TLS connections");
                    tokio::select! {
                        () = stop.said() => return,
                        () = sleep(REOPEN_PAUSE) => continue,
                    }
                }
            };
            tokio::select! {
                biased;
                () = stop.said() => {}
                ended = server.block_until_done() => {
                    tracing::warn!(?ended, "the TLS listener ended and is opened again");
                    sleep(REOPEN_PAUSE).await;
                    continue;
                }
            }
            if let Err(error) = server.shutdown_gracefully().await {
                tracing::debug!(%error, "while closing the TLS listener");
            }
            return;
        }
    }

    fn open(&self, listener: &TcpListener, tls: Arc<ServerConfig>) -> io::Result<Server<Handler>> {
        let _entered = self.runtime.enter();
        let mut server = Server::new(Handler { engines: Arc::clone(&self.engines) });
        let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
        server.register_tls_listener_with_tls_config(listener, self.idle, tls)?;
        Ok(server)
    }

    /// TLS 1.2 and 1.3 with ring, and the certificate that is current at each handshake.
    pub(super) fn tls(&self) -> Result<ServerConfig, rustls::Error> {
        let mut tls = ServerConfig::builder_with_provider(self.certificate.provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver { door: self.clone() }));
        tls.alpn_protocols = vec![b"dot".to_vec()];
        Ok(tls)
    }
}

/// Shows the current certificate, or none when there are too many connections: that ends the handshake.
#[derive(Debug)]
struct Resolver {
    door: Door,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (self.door.connections() <= self.door.connections_max).then(|| self.door.certificate.current())
    }
}

/// hickory's requests, our answers.
struct Handler {
    engines: Arc<Engines>,
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut to: R) -> ResponseInfo {
        let reply = {
            let mut engine = self.engines.take();
            let reply = engine.answer(request.as_slice(), request.src().ip(), Transport::Tls).map(Carried::read);
            if let Some(Err(error)) = &reply {
                engine.counters().send_errors.add(1);
                tracing::error!(%error, "our reply can not be carried over TLS. Please report it");
            }
            reply
        };
        let sent = match &reply {
            Some(Ok(carried)) => {
                let message = &carried.message;
                let response = carried.builder().build(
                    message.metadata,
                    &message.answers,
                    &message.authorities,
                    [],
                    &message.additionals,
                );
                to.send_response(response).await
            }
            Some(Err(_)) => {
                let builder = MessageResponseBuilder::from_message_request(request);
                to.send_response(builder.error_msg(&request.metadata, ResponseCode::ServFail)).await
            }
            None => return unsent(request),
        };
        sent.unwrap_or_else(|error| {
            self.engines.take().counters().send_errors.add(1);
            tracing::debug!(%error, "a reply could not be sent over TLS");
            unsent(request)
        })
    }
}

/// What a handler has to return when nothing was sent; hickory looks at it for nothing but its log.
fn unsent(request: &Request) -> ResponseInfo {
    let metadata = Metadata::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
}

/// One of our replies, taken apart. Its question is kept in its own octets, so that the case of the name
/// survives.
struct Carried {
    message: Message,
    queries: Queries,
}

impl Carried {
    fn read(reply: &[u8]) -> Result<Carried, DecodeError> {
        let message = Message::from_vec(reply)?;
        let mut decoder = BinDecoder::new(reply);
        let header = Header::read(&mut decoder)?;
        let queries = Queries::read(&mut decoder, usize::from(header.counts.queries))?;
        Ok(Carried { message, queries })
    }

    fn builder(&self) -> MessageResponseBuilder<'_> {
        MessageResponseBuilder::new(&self.queries, self.message.edns.as_ref())
    }
}
