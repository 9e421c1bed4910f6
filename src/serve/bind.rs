//! Binding every address of a configuration, before anything is started.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};

use super::error::{DoorKind, OpenError};
use super::{DoorsConfig, LocalAddresses};
use crate::limits::{LISTENERS_MAX, PORT_ATTEMPTS, WORKERS_MAX};
use crate::sys::{self, UdpSocket};

/// Everything bound, nothing started.
#[derive(Debug)]
pub(super) struct Bound {
    /// An address, its TCP listener, and a UDP socket for each of its workers.
    pub(super) plain: Vec<(SocketAddr, TcpListener, Vec<UdpSocket>)>,
    pub(super) tls: Vec<TcpListener>,
    pub(super) addresses: LocalAddresses,
}

/// Refuses a configuration that can not be meant.
pub(super) fn check(config: &DoorsConfig) -> Result<(), OpenError> {
    let tls: &[SocketAddr] = config.dot.as_ref().map_or(&[], |dot| &dot.listen);
    if config.listen.is_empty() && tls.is_empty() {
        return Err(OpenError::NoAddress);
    }
    let count = config.listen.len() + tls.len();
    if count > LISTENERS_MAX {
        return Err(OpenError::TooManyAddresses { count });
    }
    let mut seen = BTreeSet::new();
    for &address in config.listen.iter().chain(tls) {
        if address.port() != 0 && !seen.insert(address) {
            return Err(OpenError::Twice { address });
        }
    }
    Ok(())
}

/// How many UDP workers each address gets, beside `stream_threads` other readers of the table.
pub(super) fn threads_per_address(
    config: &DoorsConfig,
    cpus: usize,
    stream_threads: usize,
) -> Result<usize, OpenError> {
    let addresses = config.listen.len();
    let room = WORKERS_MAX.saturating_sub(stream_threads) / addresses.max(1);
    let threads = match config.threads {
        Some(threads) => threads.get(),
        None => cpus.min(room).max(1),
    };
    if threads > room { Err(OpenError::TooManyWorkers { addresses, threads }) } else { Ok(threads) }
}

/// Binds everything, or says what could not be bound.
pub(super) fn bind(config: &DoorsConfig, threads: usize) -> Result<Bound, OpenError> {
    let mut bound =
        Bound { plain: Vec::new(), tls: Vec::new(), addresses: LocalAddresses { plain: Vec::new(), tls: Vec::new() } };
    for &address in &config.listen {
        let (local, listener, sockets) = bind_pair(address, threads)?;
        warn_if_absent(local);
        bound.addresses.plain.push(local);
        bound.plain.push((local, listener, sockets));
    }
    for &address in config.dot.iter().flat_map(|dot| &dot.listen) {
        let listener = sys::bind_stream(address).map_err(refused(address, DoorKind::Tls))?;
        let local = listener.local_addr().map_err(refused(address, DoorKind::Tls))?;
        warn_if_absent(local);
        bound.addresses.tls.push(local);
        bound.tls.push(listener);
    }
    Ok(bound)
}

/// TCP and UDP on one port. When any port will do, one that TCP got may be taken for UDP: then another is
/// tried.
fn bind_pair(address: SocketAddr, threads: usize) -> Result<(SocketAddr, TcpListener, Vec<UdpSocket>), OpenError> {
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let listener = sys::bind_stream(address).map_err(refused(address, DoorKind::Tcp))?;
        let local = listener.local_addr().map_err(refused(address, DoorKind::Tcp))?;
        // Sockets of other programs on this port would share it with ours if they were made to share; the
        // exclusive TCP listener above keeps out at least other servers.
        let sockets: io::Result<Vec<UdpSocket>> = (0..threads).map(|_| UdpSocket::bind(local)).collect();
        match sockets {
            Ok(sockets) => return Ok((local, listener, sockets)),
            Err(cause) if cause.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            Err(cause) => return Err(refused(local, DoorKind::Udp)(cause)),
        }
    }
}

fn refused(address: SocketAddr, kind: DoorKind) -> impl FnOnce(io::Error) -> OpenError {
    move |cause| OpenError::Bind { address, kind, cause }
}

/// A listener may wait for an address that is still to come; a mistyped one should be noticed.
fn warn_if_absent(address: SocketAddr) {
    if !sys::is_on_this_host(address.ip()) {
        tracing::warn!(%address, "this host does not have the address now; listening for when it comes");
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn config(listen: &[&str]) -> DoorsConfig {
        DoorsConfig::new(listen.iter().map(|address| address.parse().unwrap()).collect())
    }

    #[test]
    fn configurations_that_can_not_be_meant_are_refused() {
        assert!(matches!(check(&config(&[])), Err(OpenError::NoAddress)));
        let twice = config(&["127.0.0.1:5300", "127.0.0.1:5301", "127.0.0.1:5300"]);
        assert!(matches!(check(&twice), Err(OpenError::Twice { address }) if address.port() == 5300));
        let many = config(&["127.0.0.1:0"; LISTENERS_MAX + 1]);
        assert!(matches!(check(&many), Err(OpenError::TooManyAddresses { .. })));
        assert!(check(&config(&["127.0.0.1:0", "127.0.0.1:0", "[::1]:5300"])).is_ok());
    }

    #[test]
    fn very_many_addresses_get_fewer_threads_unless_told_otherwise() {
        let mut config = config(&["127.0.0.1:0"; 100]);
        assert_eq!(threads_per_address(&config, 64, 4).unwrap(), 2);
        config.threads = NonZeroUsize::new(3);
        assert!(matches!(threads_per_address(&config, 64, 4), Err(OpenError::TooManyWorkers { threads: 3, .. })));
        config.listen.truncate(1);
        assert_eq!(threads_per_address(&config, 64, 4).unwrap(), 3);
    }

    #[test]
    fn udp_and_tcp_come_in_pairs_on_one_port() {
        let bound = bind(&config(&["127.0.0.1:0", "[::1]:0"]), 3).unwrap();
        for (address, listener, sockets) in &bound.plain {
            assert_eq!(listener.local_addr().unwrap(), *address);
            assert_eq!(sockets.len(), 3);
            assert!(sockets.iter().all(|socket| socket.local_address() == *address));
        }
    }

    #[test]
    fn a_port_in_use_is_named_with_the_way_out_for_udp_and_tcp_alike() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let error = bind(&config(&[&address.to_string()]), 1).unwrap_err().to_string();
        assert!(error.contains(&format!("{address} (TCP)")) && error.contains("ss -lnptu"), "{error}");
        drop(tcp);
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        let error = bind(&config(&[&address.to_string()]), 1).unwrap_err().to_string();
        assert!(error.contains(&format!("{address} (UDP)")), "{error}");
    }
}
