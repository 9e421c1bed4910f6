//! Front doors: UDP workers, TCP, DNS over TLS.
//!
//! Everything that comes in from a client comes in here, and everything that a client gets leaves from
//! here. What the answer is, is decided elsewhere: each door hands a message's octets to
//! [`crate::answer::answer`] and sends what it gets. So all doors give the same answer.
//!
//! - `udp`: plain threads, one socket each, batches. Most of DNS goes through it, and nothing that the
//!   other doors do can slow it down.
//! - `tcp`: a small runtime of its own.
//! - `dot`: hickory-server on a runtime of its own; off unless configured.
//!
//! [`Doors::open`] binds every address before it starts anything: either all doors open or none. UDP and
//! TCP open in pairs on one port, because a truncated UDP answer sends the client to TCP. TCP is bound
//! first: UDP sockets share their port between workers, so they alone would also share it, silently, with
//! a second server.
//!
//! [`Doors::close`] stops receiving, answers what is in hand, and is done in bounded time.

mod admission;
mod bind;
mod certificate;
mod clock;
mod counters;
mod doors;
mod dot;
mod engine;
mod error;
mod framing;
mod metrics;
mod random;
mod runtimes;
mod stop;
mod tcp;
mod udp;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits;

pub use admission::Connections;
pub use certificate::{Certificate, CertificateError};
pub use counters::{Counter, Counters, Snapshot};
pub use doors::{ClosedDoors, Doors, Meter};
pub use error::{DoorKind, OpenError};
pub use random::Random;
pub use udp::Worker;

/// What doors to open.
#[derive(Clone, Debug)]
pub struct DoorsConfig {
    /// Where to listen, for UDP and TCP each. Port 0: any port that is free for both.
    pub listen: Vec<SocketAddr>,
    /// UDP workers of each address; `None`: one for each processor, fewer when there are very many
    /// addresses.
    pub threads: Option<NonZeroUsize>,
    /// Keep each UDP worker on one processor. For hosts that do nothing else.
    pub pin_threads: bool,
    /// How long a UDP worker goes on asking for queries after the last one before it sleeps. Answers come sooner,
    /// and a processor is busy meanwhile. Zero: it sleeps at once.
    pub busy_poll: Duration,
    /// The largest UDP response, in octets. Up to [`limits::UDP_RESPONSE_LEN_DEFAULT`] no path needs fragments, and none
    /// are made.
    pub udp_response_len_max: usize,
    /// Bounds of TCP connections.
    pub stream: StreamBounds,
    /// DNS over TLS, when it is wanted.
    pub dot: Option<DotConfig>,
}

impl DoorsConfig {
    /// UDP and TCP on these addresses, everything else by default.
    pub fn new(listen: Vec<SocketAddr>) -> DoorsConfig {
        DoorsConfig {
            listen,
            threads: None,
            pin_threads: false,
            busy_poll: Duration::ZERO,
            udp_response_len_max: limits::UDP_RESPONSE_LEN_DEFAULT,
            stream: StreamBounds::default(),
            dot: None,
        }
    }
}

/// Bounds of TCP connections; by default those of [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamBounds {
    /// Open connections in all; for TLS again so many.
    pub connections_max: usize,
    /// Open TCP connections of one client: an IPv4 address or an IPv6 /64.
    pub connections_per_client_max: usize,
    /// Octets of finished answers that may wait for a peer before we stop reading its queries.
    pub backlog_len_max: usize,
    /// How long a connection may be without a query.
    pub idle: Duration,
    /// The same while more than three quarters of all places are taken.
    pub idle_crowded: Duration,
    /// How long a peer may take to take what waits for it.
    pub write: Duration,
}

impl Default for StreamBounds {
    fn default() -> StreamBounds {
        StreamBounds {
            connections_max: limits::STREAM_CONNECTIONS_MAX,
            connections_per_client_max: limits::STREAM_CONNECTIONS_PER_CLIENT_MAX,
            backlog_len_max: limits::STREAM_BACKLOG_LEN_MAX,
            idle: Duration::from_secs(limits::STREAM_IDLE_S),
            idle_crowded: Duration::from_secs(limits::STREAM_IDLE_CROWDED_S),
            write: Duration::from_secs(limits::STREAM_WRITE_S),
        }
    }
}

/// DNS over TLS.
#[derive(Clone, Debug)]
pub struct DotConfig {
    /// Where to listen; the usual port is 853. Port 0: any.
    pub listen: Vec<SocketAddr>,
    /// PEM file of the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
}

/// What one UDP worker counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerCount {
    /// Its address.
    pub address: SocketAddr,
    /// Its own numbers.
    pub count: Snapshot,
    /// Queries that the kernel dropped because the worker did not fetch them in time; `None` where the
    /// kernel does not say.
    pub kernel_drops: Option<u32>,
}

/// What all doors counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorsCount {
    /// Each UDP worker.
    pub udp: Vec<WorkerCount>,
    /// Messages over TCP.
    pub tcp: Snapshot,
    /// TCP connections.
    pub connections: Connections,
    /// Messages over TLS that reached our engine; zero without that door.
    pub tls: Snapshot,
    /// Open TLS connections.
    pub tls_connections: usize,
}

/// Where the doors are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddresses {
    /// UDP and TCP, in the order of the configuration, with the real ports.
    pub plain: Vec<SocketAddr>,
    /// DNS over TLS.
    pub tls: Vec<SocketAddr>,
}
