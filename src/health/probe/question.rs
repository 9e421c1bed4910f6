//! One DNS question to one server, and the reply that belongs to it.
//!
//! Over UDP the socket is connected: the kernel drops what comes from anyone else, picks a random port, and tells
//! at once when nobody listens there, which a socket that only sends would learn by waiting. What comes back must
//! be a response with our random id to our question; anything else is passed over, so that a forger must guess.
//! A truncated reply is no reply: the question is asked again over TCP. Nothing is sent twice over UDP: whether a
//! loss is forgiven is for those to say who count failures.
//!
//! No time is kept here: callers drop the future when they have waited long enough.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};

use crate::limits::{PROBE_DATAGRAM_LEN_MAX, PROBE_DATAGRAMS_PASSED_MAX, UDP_RESPONSE_LEN_DEFAULT};
use crate::model::Name;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The system, the network or the server refused.
    #[error("{server}: {cause}")]
    Io { server: SocketAddr, cause: io::Error },
    /// What came is no DNS message.
    #[error("{server} sent a reply that is not well-formed: {cause}")]
    Malformed { server: SocketAddr, cause: String },
    /// What came over TCP answers something else.
    #[error("{server} answered another question")]
    Stranger { server: SocketAddr },
    /// Nothing but datagrams that do not belong to the question.
    #[error("{server} sent {PROBE_DATAGRAMS_PASSED_MAX} datagrams that do not answer the question")]
    Flood { server: SocketAddr },
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    query: Query,
}

impl Question {
    /// Class IN.
    pub(super) fn new(name: &Name, rtype: u16) -> Question {
        let labels: Vec<&[u8]> = name.labels().collect();
        let name = hickory_proto::rr::Name::from_labels(labels).expect("a name of ours is within the same bounds");
        Question { query: Query::query(name, RecordType::from(rtype)) }
    }

    /// The name asked for.
    pub(super) fn name(&self) -> &hickory_proto::rr::Name {
        self.query.name()
    }

    /// Asks over UDP; over TCP when the reply is truncated.
    pub(super) async fn ask(&self, server: SocketAddr) -> Result<Message, AskError> {
        let reply = self.ask_udp(server).await?;
        if reply.metadata.truncation { self.ask_tcp(server).await } else { Ok(reply) }
    }

    async fn ask_udp(&self, server: SocketAddr) -> Result<Message, AskError> {
        let (id, octets) = self.encoded();
        let any = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).await.map_err(refused(server))?;
        socket.connect(server).await.map_err(refused(server))?;
        socket.send(&octets).await.map_err(refused(server))?;
        let mut datagram = vec![0; PROBE_DATAGRAM_LEN_MAX];
        for _ in 0..PROBE_DATAGRAMS_PASSED_MAX {
            let len = socket.recv(&mut datagram).await.map_err(refused(server))?;
            let reply = &datagram[..len];
            if reply.get(..2) != Some(&id.to_be_bytes()) {
                continue;
            }
            // Truncation may fall into the middle of a record: what is left is then no message, and is not needed.
            match Message::from_vec(reply) {
                Ok(message) if self.is_answered_by(&message, id) => return Ok(message),
                Ok(_) => {}
                Err(_) if is_truncated_response(reply) => return self.ask_tcp(server).await,
                Err(cause) => return Err(AskError::Malformed { server, cause: cause.to_string() }),
            }
        }
        Err(AskError::Flood { server })
    }

    /// Asks over TCP (RFC 7766).
    pub(super) async fn ask_tcp(&self, server: SocketAddr) -> Result<Message, AskError> {
        let (id, octets) = self.encoded();
        let opened = async {
            let socket = if server.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // No TIME_WAIT is left behind: `connect` says why.
            socket.set_zero_linger()?;
            socket.connect(server).await
        };
        let mut stream = opened.await.map_err(refused(server))?;
        let len = u16::try_from(octets.len()).expect("a question is short");
        // In one write: some servers do not wait for the second segment (RFC 7766 §8).
        let framed = [&len.to_be_bytes()[..], &octets].concat();
        stream.write_all(&framed).await.map_err(refused(server))?;
        let len = stream.read_u16().await.map_err(refused(server))?;
        let mut reply = vec![0; usize::from(len)];
        stream.read_exact(&mut reply).await.map_err(refused(server))?;
        let message =
            Message::from_vec(&reply).map_err(|cause| AskError::Malformed { server, cause: cause.to_string() })?;
        if self.is_answered_by(&message, id) { Ok(message) } else { Err(AskError::Stranger { server }) }
    }

    /// A random id, and the message. Recursion is desired: who has none to offer ignores it.
    fn encoded(&self) -> (u16, Vec<u8>) {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Query;
        message.metadata.recursion_desired = true;
        message.add_query(self.query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(u16::try_from(UDP_RESPONSE_LEN_DEFAULT).expect("a size of DNS"));
        message.set_edns(edns);
        (message.metadata.id, message.to_vec().expect("a question with a name of ours can be written"))
    }

    /// A response with our id to this question. A server that refuses or fails may leave the question out.
    fn is_answered_by(&self, message: &Message, id: u16) -> bool {
        let of = &message.metadata;
        of.id == id
            && of.message_type == MessageType::Response
            && of.op_code == OpCode::Query
            && (message.queries == [self.query.clone()]
                || message.queries.is_empty() && of.response_code != ResponseCode::NoError)
    }
}

/// QR and TC in the header of a message with our id.
fn is_truncated_response(octets: &[u8]) -> bool {
    octets.len() >= 12 && octets[2] & 0x82 == 0x82
}

fn refused(server: SocketAddr) -> impl Fn(io::Error) -> AskError {
    move |cause| AskError::Io { server, cause }
}
