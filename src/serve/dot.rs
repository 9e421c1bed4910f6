//! DNS over TLS (RFC 7858), carried by hickory-server on our engine.
//!
//! hickory-server brings the listener, the handshake, the framing and its timeouts. The answer is ours:
//! a request handler gives the request's own octets to the engine and takes the reply apart again, because
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
//!
//! # What nothing stands in for
//!
//! - One client may take all places of this door (not those of TCP, and none of UDP's).
//! - Closing cuts connections off; a client asks again.
//! - What hickory can not read, it answers by itself, with a FORMERR that has no EDNS. That is so for
//!   malformed messages, and for a Client Subnet option of family 0, which some clients send to say
//!   "do not use my address" (RFC 7871 §7.1.2); our other doors answer those.
//! - It writes owners in full once a message is longer than pointers reach. A reply of ours that then no
//!   longer fits is sent truncated, without records; TCP carries it whole.

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

use super::certificate::{self, Certificate};
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
        let shown = Arc::new(Resolver { door: self.clone() });
        certificate::tls(self.certificate.provider(), shown, None, &[b"dot"])
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
        let mut message = Message::from_vec(reply)?;
        if reply.len() > COMPRESSED_LEN && !is_whole(&message) {
            message.metadata.truncation = true;
            message.answers.clear();
            message.authorities.clear();
            message.additionals.clear();
        }
        let mut decoder = BinDecoder::new(reply);
        let header = Header::read(&mut decoder)?;
        let queries = Queries::read(&mut decoder, usize::from(header.counts.queries))?;
        Ok(Carried { message, queries })
    }

    fn builder(&self) -> MessageResponseBuilder<'_> {
        MessageResponseBuilder::new(&self.queries, self.message.edns.as_ref())
    }
}

/// What pointers reach (RFC 1035 §4.1.4). Beyond it hickory writes every owner in full.
const COMPRESSED_LEN: usize = 0x4000;

/// False when hickory can not fit the message into 65 535 octets.
fn is_whole(message: &Message) -> bool {
    message.to_vec().is_ok_and(|octets| octets.get(2).is_some_and(|flags| flags & 0x02 == 0))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::op::{Edns, Query};
    use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption, NSIDPayload};
    use hickory_proto::rr::rdata::{A, HINFO};
    use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
    use hickory_proto::serialize::binary::BinEncoder;

    use super::*;

    /// What leaves when `reply` is ours.
    fn carried(reply: &[u8]) -> Vec<u8> {
        let carried = Carried::read(reply).unwrap();
        let message = &carried.message;
        let response =
            carried.builder().build(message.metadata, &message.answers, &message.authorities, [], &message.additionals);
        let mut bytes = Vec::new();
        response.destructive_emit(&mut BinEncoder::new(&mut bytes)).unwrap();
        bytes
    }

    fn assert_carried_whole(message: &Message) {
        let ours = message.to_vec().unwrap();
        let theirs = carried(&ours);
        assert_eq!(ours[..12], theirs[..12], "every bit and count of the header");
        // Not with `message` itself: to hickory 16 is BADVERS when written and BADSIG when read.
        assert_eq!(Message::from_vec(&theirs).unwrap(), Message::from_vec(&ours).unwrap());
    }

    fn reply(code: ResponseCode) -> Message {
        let mut message = Message::new(0xbeef, MessageType::Response, hickory_proto::op::OpCode::Query);
        message.metadata.response_code = code;
        message.metadata.authoritative = true;
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii("wWw.eXample.Com.").unwrap(), RecordType::A));
        message
    }

    fn record(name: &str, ttl: u32, data: RData) -> Record {
        Record::from_rdata(Name::from_ascii(name).unwrap(), ttl, data)
    }

    fn edns() -> Edns {
        let mut edns = Edns::new();
        edns.set_max_payload(1232).set_dnssec_ok(true);
        edns
    }

    #[test]
    fn records_of_every_section_keep_their_place_and_order() {
        let mut message = reply(ResponseCode::NoError);
        for last in [3, 1, 2] {
            let data = RData::A(A(Ipv4Addr::new(192, 0, 2, last)));
            message.add_answer(record("www.example.com.", 15, data.clone()));
            message.add_authority(record("ns.example.com.", 60, data.clone()));
            message.add_additional(record("glue.example.com.", 3600, data));
        }
        assert_carried_whole(&message);
    }

    #[test]
    fn edns_options_arrive_with_the_scope_nsid_and_extended_error() {
        let mut message = reply(ResponseCode::NXDomain);
        let mut edns = edns();
        for (net, source, scope) in [("219.141.136.0", 24, 17), ("2001:db8::", 56, 0), ("0.0.0.0", 0, 0)] {
            edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(net.parse().unwrap(), source, scope)));
        }
        edns.options_mut().insert(EdnsOption::NSID(NSIDPayload::new(*b"bj-1").unwrap()));
        edns.options_mut().insert(EdnsOption::Unknown(15, b"\x00\x1bfiltered".to_vec()));
        message.set_edns(edns);
        assert_carried_whole(&message);
        let theirs = Message::from_vec(&carried(&message.to_vec().unwrap())).unwrap();
        let options = theirs.edns.unwrap();
        assert!(options.flags().dnssec_ok && options.max_payload() == 1232);
        assert_eq!(options.option(EdnsCode::from(15u16)), Some(&EdnsOption::Unknown(15, b"\x00\x1bfiltered".to_vec())));
    }

    #[test]
    fn response_codes_arrive_the_extended_ones_too() {
        use ResponseCode::{BADCOOKIE, BADVERS, FormErr, NotImp, Refused, ServFail};
        for code in [FormErr, ServFail, NotImp, Refused, BADVERS, BADCOOKIE] {
            let mut message = reply(code);
            if code.high() > 0 {
                let mut edns = edns();
                edns.set_rcode_high(code.high());
                message.set_edns(edns);
            }
            assert_carried_whole(&message);
        }
    }

    #[test]
    fn the_question_keeps_its_case_and_its_absence() {
        let ours = reply(ResponseCode::Refused).to_vec().unwrap();
        let theirs = carried(&ours);
        assert_eq!(ours, theirs);
        assert!(theirs.windows(3).any(|octets| octets == b"wWw"));
        // FORMERR without a question.
        let bare = [0xbe, 0xef, 0x80, 0x01, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(carried(&bare), bare);
    }

    #[test]
    fn a_reply_that_hickory_can_not_fit_is_truncated_and_well_formed() {
        let mut message = reply(ResponseCode::NoError);
        for number in 0..3900_u32 {
            message.add_answer(record("www.example.com.", 60, RData::A(Ipv4Addr::from_bits(number).into())));
        }
        // As we write it: owners as pointers to the question.
        let mut ours = reply(ResponseCode::NoError).to_vec().unwrap();
        ours[6..8].copy_from_slice(&3900_u16.to_be_bytes());
        for number in 0..3900_u32 {
            ours.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            ours.extend(number.to_be_bytes());
        }
        assert_eq!(Message::from_vec(&ours).unwrap().answers.len(), 3900);
        let theirs = Message::from_vec(&carried(&ours)).unwrap();
        assert!(theirs.metadata.truncation && theirs.answers.is_empty());
        assert_eq!(theirs.queries, message.queries);
    }

    #[test]
    fn other_classes_and_unknown_types_arrive() {
        let mut message = reply(ResponseCode::NoError);
        let mut chaos = record("version.bind.", 0, RData::HINFO(HINFO::new("RFC8482".into(), String::new())));
        chaos.dns_class = DNSClass::CH;
        message.add_answer(chaos);
        let unknown = RData::Unknown {
            code: RecordType::Unknown(65_280),
            rdata: hickory_proto::rr::rdata::NULL::with(vec![1, 2, 3]),
        };
        message.add_answer(record("x.example.com.", 1, unknown));
        assert_carried_whole(&message);
    }
}
