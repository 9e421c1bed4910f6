//! What the system's files say: addresses of hosts, and which resolvers to ask.
//!
//! What can not be read as a file, a line or an address is passed over, as every stub resolver does: these files
//! are not ours to judge.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::Addresses;
use crate::limits::{RESOLVED_ADDRESSES_MAX, RESOLVER_FILE_LEN_MAX, RESOLVERS_MAX};
use crate::model::Name;

/// The files, as read.
#[derive(Debug, Default)]
pub(super) struct System {
    hosts: HashMap<Name, Addresses>,
    servers: Vec<SocketAddr>,
}

impl System {
    /// Reads both files; blocks.
    pub(super) fn read(hosts: &Path, resolv_conf: &Path) -> System {
        System { hosts: parse_hosts(&text(hosts)), servers: parse_servers(&text(resolv_conf)) }
    }

    /// What is known of `name` without asking. `localhost` and names below it are loopback everywhere (RFC 6761
    /// §6.3).
    pub(super) fn hosts(&self, name: &Name) -> Option<Addresses> {
        if let Some(addresses) = self.hosts.get(name) {
            return Some(addresses.clone());
        }
        let is_local = name.labels().next_back().is_some_and(|last| last == b"localhost");
        is_local.then(|| [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].into())
    }

    /// Whom to ask, in order; not empty unless nothing was read.
    pub(super) fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }
}

fn text(path: &Path) -> String {
    let mut octets = Vec::new();
    let _ = File::open(path).and_then(|file| file.take(RESOLVER_FILE_LEN_MAX).read_to_end(&mut octets));
    String::from_utf8_lossy(&octets).into_owned()
}

fn parse_hosts(text: &str) -> HashMap<Name, Addresses> {
    let mut hosts: HashMap<Name, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        for name in words.filter_map(|word| Name::parse(word).ok()) {
            let of = hosts.entry(name).or_default();
            if of.len() < RESOLVED_ADDRESSES_MAX && !of.contains(&address) {
                of.push(address);
            }
        }
    }
    hosts
        .into_iter()
        .map(|(name, mut of)| {
            of.sort_unstable();
            (name, of.into())
        })
        .collect()
}

fn parse_servers(text: &str) -> Vec<SocketAddr> {
    let servers: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split(['#', ';']).next().unwrap_or_default().split_ascii_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next())?
        })
        .filter_map(|word| word.parse().ok().map(|address: IpAddr| SocketAddr::new(address, 53)))
        .take(RESOLVERS_MAX)
        .collect();
    // resolv.conf(5): without any, the one on this host.
    if servers.is_empty() { vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 53))] } else { servers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_as_by_everyone_else() {
        let hosts = parse_hosts(
            "# comment\n127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # more\n192.0.2.7 App.Example app\n\
             192.0.2.5 app.example\nnonsense app.example\n192.0.2.9\n192.0.2.7 a..b app\n",
        );
        let of = |name: &str| hosts.get(&Name::parse(name).unwrap()).map(|of| of.to_vec());
        let ips = |texts: &[&str]| Some(texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>());
        assert_eq!(of("localhost"), ips(&["127.0.0.1", "::1"]));
        assert_eq!(of("app.example."), ips(&["192.0.2.5", "192.0.2.7"]));
        assert_eq!(of("app"), ips(&["192.0.2.7"]));
        assert_eq!(of("more"), None);
    }

    #[test]
    fn at_most_three_resolvers_are_taken_and_without_any_the_local_one() {
        let text = "search example\nnameserver 192.0.2.1 ; first\n#nameserver 192.0.2.2\nnameserver fe80::1%eth0\n\
                    nameserver 2001:db8::1\nnameserver\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        let shown: Vec<String> = parse_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"]);
        assert_eq!(parse_servers("options ndots:1\n"), ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn localhost_is_loopback_without_asking() {
        let system = System::read(Path::new("/nonexistent"), Path::new("/nonexistent"));
        for name in ["localhost", "a.localhost."] {
            let addresses = system.hosts(&Name::parse(name).unwrap()).unwrap();
            assert!(addresses.iter().all(IpAddr::is_loopback), "{name}");
        }
        assert_eq!(system.hosts(&Name::parse("localhost.example").unwrap()), None);
    }
}
