//! Why the doors can not be opened.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::certificate::CertificateError;
use crate::limits::{LISTENERS_MAX, WORKERS_MAX};

/// What a listening address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DoorKind {
    Udp,
    Tcp,
    Tls,
}

impl fmt::Display for DoorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DoorKind::Udp => "UDP",
            DoorKind::Tcp => "TCP",
            DoorKind::Tls => "TLS",
        })
    }
}

/// Why the doors can not be opened. Each says what is wrong and what to do; nothing has been opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is nowhere to listen.
    #[error("there is no address to listen on; name at least one, such as 127.0.0.1:5300")]
    NoAddress,
    /// More than [`LISTENERS_MAX`].
    #[error("{count} listening addresses are more than {LISTENERS_MAX}; listen on 0.0.0.0 and [::] instead")]
    TooManyAddresses {
        /// How many were given.
        count: usize,
    },
    /// One address twice.
    #[error("{address} is listed twice; name it once")]
    Twice {
        /// Which.
        address: SocketAddr,
    },
    /// The system does not let us listen there.
    #[error("can not listen on {address} ({kind}): {cause}; {}", remedy(*address, cause))]
    Bind {
        /// Where.
        address: SocketAddr,
        /// For what.
        kind: DoorKind,
        /// What the system said.
        cause: io::Error,
    },
    /// More readers of the table than [`WORKERS_MAX`].
    #[error(
        "{addresses} listening addresses with {threads} threads each need more than {WORKERS_MAX} workers; \
         use fewer threads, or listen on 0.0.0.0 and [::] instead"
    )]
    TooManyWorkers {
        /// Listening addresses.
        addresses: usize,
        /// Threads of each.
        threads: usize,
    },
    /// The system does not give us threads.
    #[error("can not start a thread: {cause}; raise the limit of processes or use fewer threads")]
    Thread {
        /// What the system said.
        cause: io::Error,
    },
    /// DNS over TLS has no usable certificate.
    #[error("DNS over TLS: {0}")]
    Certificate(#[from] CertificateError),
    /// TLS can not be set up as we want it.
    #[error("DNS over TLS can not be set up: {0}")]
    Tls(#[from] rustls::Error),
}

fn remedy(address: SocketAddr, cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            let port = address.port();
            format!(
                "another program has this port (`ss -lnptu 'sport = :{port}'` shows which): stop it, or listen elsewhere"
            )
        }
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: grant it to the service, or listen on a higher port".into()
        }
        io::ErrorKind::AddrNotAvailable => {
            "this host does not have the address: add it to an interface, or correct it".into()
        }
        _ if cause.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            "this host has no such address family: leave the address out".into()
        }
        _ if matches!(cause.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
            "raise the limit of open files (`ulimit -n`)".into()
        }
        _ => "listen on another address".into(),
    }
}
