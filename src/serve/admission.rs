//! Who may open one more TCP connection.
//!
//! Two bounds: connections in all, and connections of one client (an IPv4 address, or an IPv6 /64, which
//! is what one subscriber has). Over either, **the new connection is closed**, not an old one: closing old
//! ones would let a newcomer with many addresses throw out everyone who is being served, while a refused
//! newcomer finds a place within the idle time, which moreover shrinks when places become few
//! ([`Admission::idle`]).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::StreamBounds;

/// What became of TCP connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open now.
    pub open: usize,
    /// Let in, since the start.
    pub accepted: u64,
    /// Closed at once, because there were too many in all or of that client.
    pub refused: u64,
}

/// The book of open connections.
#[derive(Debug)]
pub(super) struct Admission {
    bounds: StreamBounds,
    open: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    /// Never more entries than connections, since an entry goes with its last one.
    clients: DashMap<IpAddr, usize>,
}

impl Admission {
    pub(super) fn new(bounds: StreamBounds) -> Arc<Admission> {
        Arc::new(Admission {
            bounds,
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            clients: DashMap::new(),
        })
    }

    /// A place for one more connection of `client`; `None` when there is none. Dropping it frees the place.
    pub(super) fn admit(self: &Arc<Admission>, client: IpAddr) -> Option<Admitted> {
        let admitted = self.enter(key(client));
        let counter = if admitted.is_some() { &self.accepted } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        admitted
    }

    fn enter(self: &Arc<Admission>, key: IpAddr) -> Option<Admitted> {
        let is_free = |open| (open < self.bounds.connections_max).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free).ok()?;
        let mut count = self.clients.entry(key).or_insert(0);
        if *count >= self.bounds.connections_per_client_max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        *count += 1;
        Some(Admitted { admission: Arc::clone(self), key })
    }

    /// How long a connection may be idle now.
    pub(super) fn idle(&self) -> Duration {
        let is_crowded = self.open.load(Ordering::Relaxed) > self.bounds.connections_max / 4 * 3;
        if is_crowded { self.bounds.idle_crowded } else { self.bounds.idle }
    }

    pub(super) fn bounds(&self) -> &StreamBounds {
        &self.bounds
    }

    pub(super) fn connections(&self) -> Connections {
        Connections {
            open: self.open.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// The place of one open connection.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    key: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.admission.clients.entry(self.key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What counts as one client.
fn key(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections_max: usize, connections_per_client_max: usize) -> Arc<Admission> {
        Admission::new(StreamBounds { connections_max, connections_per_client_max, ..StreamBounds::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_are_bounded_in_all_and_places_return() {
        let admission = admission(2, 2);
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let _second = admission.admit(ip("192.0.2.2")).unwrap();
        assert!(admission.admit(ip("192.0.2.3")).is_none());
        drop(first);
        assert!(admission.admit(ip("192.0.2.3")).is_some());
        assert_eq!(admission.connections(), Connections { open: 1, accepted: 3, refused: 1 });
    }

    #[test]
    fn one_client_does_not_take_the_places_of_others() {
        let admission = admission(10, 2);
        let held: Vec<_> = (0..2).map(|_| admission.admit(ip("192.0.2.1")).unwrap()).collect();
        assert!(admission.admit(ip("192.0.2.1")).is_none());
        assert!(admission.admit(ip("192.0.2.2")).is_some());
        drop(held);
        assert!(admission.admit(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn an_ipv6_subscriber_is_one_client() {
        let admission = admission(10, 1);
        let _held = admission.admit(ip("2001:db8:0:1::1")).unwrap();
        assert!(admission.admit(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(admission.admit(ip("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn the_book_forgets_clients_without_connections() {
        let admission = admission(10, 1);
        let held = admission.admit(ip("192.0.2.1")).unwrap();
        assert!(admission.admit(ip("192.0.2.1")).is_none());
        drop(held);
        assert!(admission.clients.is_empty());
    }

    #[test]
    fn idle_time_shrinks_when_places_become_few() {
        let admission = admission(4, 4);
        let mut held: Vec<_> = (0..3).map(|_| admission.admit(ip("192.0.2.1")).unwrap()).collect();
        assert_eq!(admission.idle(), admission.bounds.idle);
        held.push(admission.admit(ip("192.0.2.1")).unwrap());
        assert_eq!(admission.idle(), admission.bounds.idle_crowded);
    }
}
