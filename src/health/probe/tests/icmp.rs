//! Loopback echoes where the system allows to ask. Both branches are promises: the test runs whichever the system
//! has, and neither passes by accident.

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::{AMPLE, context, target};
use crate::health::Outcome;
use crate::health::probe::probe;
use crate::model::Probe;

fn is_allowed(address: IpAddr) -> bool {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    Socket::new(domain, Type::DGRAM, Some(protocol)).is_ok()
}

#[tokio::test]
async fn loopback_echoes_or_the_error_says_what_to_set() {
    for address in ["127.0.0.1", "127.9.8.7", "::1"] {
        let address: IpAddr = address.parse().unwrap();
        let outcome = probe(&target(Probe::Icmp, SocketAddr::new(address, 0), AMPLE), &context()).await;
        if is_allowed(address) {
            assert!(matches!(&outcome, Outcome::Good(found) if found.took < AMPLE), "{address}: {outcome:?}");
        } else {
            let Outcome::Blind { why } = &outcome else { panic!("{address}: {outcome:?}") };
            assert!(why.contains("net.ipv4.ping_group_range") || address.is_ipv6(), "{why}");
        }
    }
}

#[tokio::test]
async fn many_echoes_at_once_do_not_take_each_others_replies() {
    let at: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let all: Vec<_> = (0..50)
        .map(|_| tokio::spawn(async move { probe(&target(Probe::Icmp, at, AMPLE), &context()).await }))
        .collect();
    for one in all {
        assert_eq!(matches!(one.await.unwrap(), Outcome::Good(_)), is_allowed(at.ip()));
    }
}
