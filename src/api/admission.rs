//! Who may open one more connection: so many in all, so many of one client: an address, for IPv6 a /64, which is what
//! one host has, or a user of this machine. A part of all places is for this machine alone, so that strangers cannot
//! keep its operators out; and root on the socket, the door of last resort, is always let in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Under whose name connections are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// A host, by its address.
    Host(IpAddr),
    /// A user of this machine, by the socket.
    User(u32),
}

impl Client {
    fn is_local(self) -> bool {
        match self {
            Client::Host(address) => address.is_loopback(),
            Client::User(_) => true,
        }
    }

    fn is_root(self) -> bool {
        self == Client::User(0)
    }

    /// All addresses that one host has are one.
    fn whole(self) -> Client {
        match self {
            Client::Host(IpAddr::V6(address)) => {
                Client::Host(IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()))
            }
            Client::Host(IpAddr::V4(_)) | Client::User(_) => self,
        }
    }
}

/// The book of open connections.
#[derive(Debug)]
pub(super) struct Admission {
    max: usize,
    per_client_max: usize,
    open: Mutex<(usize, HashMap<Client, usize>)>,
    refused: AtomicU64,
}

impl Admission {
    pub(super) fn new(max: usize, per_client_max: usize) -> Arc<Admission> {
        Arc::new(Admission { max, per_client_max, open: Mutex::default(), refused: AtomicU64::new(0) })
    }

    /// A place for one more connection of `client`; dropping it frees the place.
    pub(super) fn admit(self: &Arc<Admission>, client: Client) -> Option<Place> {
        let max = if client.is_local() { self.max } else { self.max - self.max / LOCAL_SHARE };
        let client = client.whole();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = open.1.get(&client).copied().unwrap_or_default();
        if !client.is_root() && (open.0 >= max || of_client >= self.per_client_max) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        open.0 += 1;
        open.1.insert(client, of_client + 1);
        Some(Place { admission: Arc::clone(self), client })
    }

    /// Open now, and refused since the start.
    pub(super) fn count(&self) -> (usize, u64) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).0;
        (open, self.refused.load(Ordering::Relaxed))
    }
}

/// One of so many places is kept for this machine.
const LOCAL_SHARE: usize = 4;

/// The place of one open connection.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    client: Client,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 -= 1;
        if let Some(count) = open.1.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.1.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(address: [u8; 4]) -> Client {
        Client::Host(IpAddr::from(address))
    }

    #[test]
    fn places_are_bounded_in_all_and_by_client_and_return() {
        let admission = Admission::new(3, 2);
        let (a, b) = (v4([192, 0, 2, 1]), v4([192, 0, 2, 2]));
        let first = admission.admit(a).unwrap();
        let _second = admission.admit(a).unwrap();
        assert!(admission.admit(a).is_none());
        let _third = admission.admit(b).unwrap();
        assert!(admission.admit(b).is_none());
        drop(first);
        assert!(admission.admit(a).is_some());
        assert_eq!(admission.count(), (2, 2));
    }

    #[test]
    fn strangers_cannot_take_every_place_nor_one_of_them_many_addresses() {
        let admission = Admission::new(4, 2);
        let stranger = |host: u16| Client::Host(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]));
        let _of_one_host = [admission.admit(stranger(1)).unwrap(), admission.admit(stranger(2)).unwrap()];
        assert!(admission.admit(stranger(3)).is_none(), "a third of one /64");
        let _third = admission.admit(v4([192, 0, 2, 1])).unwrap();
        assert!(admission.admit(v4([192, 0, 2, 2])).is_none(), "the last is not for strangers");
        let _last = admission.admit(Client::User(1000)).unwrap();
        assert!(admission.admit(v4([127, 0, 0, 1])).is_none(), "there is none left");
        assert!([0; 9].map(|root| admission.admit(Client::User(root)).is_some()).into_iter().all(|is_in| is_in));
    }
}
