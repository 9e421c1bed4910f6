//! Scalars of the network: addresses, networks, clients, AS numbers, request targets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use serde_json::{Value, json};

use super::scalar::{Refusal, Scalar, whole};
use crate::model::Name;

/// Why no server can be reached at `address`, if so.
fn unusable(address: IpAddr) -> Option<&'static str> {
    let v4_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    if address.is_unspecified() {
        Some("no server has the unspecified address")
    } else if address.is_multicast() || v4_broadcast {
        Some("no single server has a multicast or broadcast address")
    } else if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        Some("write the IPv4 address itself")
    } else {
        None
    }
}

fn address<T: std::str::FromStr + Copy + Into<IpAddr>>(text: &str) -> Result<T, Refusal> {
    let address: T = text.parse().map_err(|_| {
        let refusal = Refusal::new("bad-address");
        match (text.parse::<IpAddr>(), text.split_once('/')) {
            (Ok(IpAddr::V4(_)), _) => refusal.help("this is an IPv4 address"),
            (Ok(IpAddr::V6(_)), _) => refusal.help("this is an IPv6 address"),
            (Err(_), Some(_)) => refusal.help("an endpoint has addresses, not networks"),
            (Err(_), None) if text.parse::<SocketAddr>().is_ok() => {
                refusal.help("without the port; the port that is probed belongs into the health check")
            }
            (Err(_), None) if Name::parse(text).is_ok() && text.contains(|c: char| c.is_ascii_alphabetic()) => {
                refusal.help("a name is written as `cname`")
            }
            (Err(_), None) => refusal,
        }
    })?;
    match unusable(address.into()) {
        Some(why) => Err(Refusal::new("bad-address").help(why)),
        None => Ok(address),
    }
}

macro_rules! address_forms {
    ($($type:ident, $expected:literal;)+) => { $(
        impl Scalar for $type {
            fn expected() -> String {
                $expected.to_owned()
            }

            fn parse(text: &str, _plain: bool) -> Result<$type, Refusal> {
                address(text)
            }

            fn schema() -> Value {
                json!({ "type": "string", "minLength": 2 })
            }
        }
    )+ };
}
address_forms! {
    IpAddr, "an IPv4 or IPv6 address";
    Ipv4Addr, "an IPv4 address";
    Ipv6Addr, "an IPv6 address";
}

/// `net` as the IPv4 network it carries, when it lies in `::ffff:0:0/96` or in 6to4 (RFC 3056 §2).
pub(super) fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let octets = v6.network().octets();
    let (skipped, v4) = if octets[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] && v6.prefix_len() >= 96 {
        (96, [octets[12], octets[13], octets[14], octets[15]])
    } else if octets[..2] == [0x20, 0x02] && v6.prefix_len() >= 16 {
        (16, [octets[2], octets[3], octets[4], octets[5]])
    } else {
        return net;
    };
    let len = (v6.prefix_len() - skipped).min(32);
    Ipv4Net::new(Ipv4Addr::from(v4), len).map_or(net, |v4| IpNet::V4(v4.trunc()))
}

/// A network or a single address, as written.
fn network(text: &str) -> Result<IpNet, Refusal> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    text.parse().map_err(|_| Refusal::new("bad-network"))
}

/// A network without host bits, canonical.
impl Scalar for IpNet {
    fn expected() -> String {
        "a network such as 192.0.2.0/24 or 2001:db8::/32".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<IpNet, Refusal> {
        let net = network(text)?;
        if net.trunc() != net {
            return Err(Refusal::new("host-bits").help(format!("the network is `{}`", net.trunc())));
        }
        Ok(canonical(net))
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 2 })
    }
}

/// A client: an address, or a network whose host bits do not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client(pub(super) IpNet);

impl Scalar for Client {
    fn expected() -> String {
        "a client's address or network, such as 192.0.2.7 or 192.0.2.0/24".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Client, Refusal> {
        Ok(Client(canonical(network(text)?.trunc())))
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 2 })
    }
}

impl Scalar for SocketAddr {
    fn expected() -> String {
        "an address and a port, such as 192.0.2.1:53 or [2001:db8::1]:53".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<SocketAddr, Refusal> {
        text.parse().map_err(|_| {
            let refusal = Refusal::new("bad-address");
            match text.parse::<IpAddr>() {
                Ok(IpAddr::V4(v4)) => refusal.help(format!("write `{v4}:53`")),
                Ok(IpAddr::V6(v6)) => refusal.help(format!("write `[{v6}]:53`, in quotes")),
                Err(_) => refusal,
            }
        })
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 3 })
    }
}

/// An autonomous system: `4134` or `AS4134`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asn(pub(super) u32);

impl Scalar for Asn {
    fn expected() -> String {
        "the number of an autonomous system, such as 4134 or AS4134".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Asn, Refusal> {
        let digits =
            if text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("as")) { &text[2..] } else { text };
        let number = u32::try_from(whole(digits, true)?).map_err(|_| Refusal::new("out-of-range"))?;
        Ok(Asn(number))
    }

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            { "type": "string", "pattern": "^[Aa][Ss][0-9]+$" },
        ] })
    }
}

/// The target of an HTTP request: an absolute path, with a query perhaps (RFC 9112 §3.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target(pub(super) String);

impl Scalar for Target {
    fn expected() -> String {
        "a path such as /health".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<Target, Refusal> {
        let refusal = Refusal::new("bad-path");
        if !text.starts_with('/') {
            return Err(refusal.help("begin it with `/`"));
        }
        if text.len() > 2048 || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(refusal.help("at most 2048 printable ASCII characters, without spaces and `#`; others as %XX"));
        }
        Ok(Target(text.to_owned()))
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^/" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_without_host_bits_and_canonical() {
        let net = |text| <IpNet as Scalar>::parse(text, true).map(|net| net.to_string());
        assert_eq!(net("10.0.0.0/8"), Ok("10.0.0.0/8".into()));
        assert_eq!(net("10.0.0.1"), Ok("10.0.0.1/32".into()));
        assert_eq!(net("::ffff:10.0.0.0/104"), Ok("10.0.0.0/8".into()));
        assert_eq!(net("2002:a00::/24"), Ok("10.0.0.0/8".into()));
        assert_eq!(net("2002:a00:1:7::/64"), Ok("10.0.0.1/32".into()));
        assert_eq!(net("::/0"), Ok("::/0".into()));
        let refusal = net("10.1.2.3/8").unwrap_err();
        assert_eq!((refusal.code, refusal.help.unwrap().as_str()), ("host-bits", "the network is `10.0.0.0/8`"));
    }

    #[test]
    fn addresses_that_no_server_has_are_refused() {
        let ok = |text| <IpAddr as Scalar>::parse(text, true).is_ok();
        assert!(ok("192.0.2.1") && ok("2001:db8::1") && ok("127.0.0.1"));
        for text in
            ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:1.2.3.4", "1.2.3.4/32", "1.2.3"]
        {
            assert!(!ok(text), "{text}");
        }
    }

    #[test]
    fn systems_are_written_with_and_without_their_letters() {
        assert_eq!(Asn::parse("AS4134", true), Ok(Asn(4134)));
        assert_eq!(Asn::parse("4134", true), Ok(Asn(4134)));
        assert!(Asn::parse("ASX", true).is_err());
        assert!(Asn::parse("é1", true).is_err());
    }
}
