//! `node:` and `health:` of the server's configuration: where this node stands, and how it watches.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use super::form::{At, Entries, OneOrMany, mapping};
use super::report::Report;
use super::scalar::{Lasting, Refusal, Scalar, Whole};
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{DatacenterId, HealthSettings, ObserverId};

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;

mapping! {
    /// This node among others.
    NodeSpec, "a node" {
        /// What it is called as an observer, in answers of the API and in logs. Default: the machine's host
        /// name.
        name: At<ObserverId>,
        /// The data centre that it stands in: an id, an alias, or a leading word.
        datacenter: At<DatacenterId>,
    }
}

mapping! {
    /// How this node watches the endpoints.
    HealthSpec, "health settings" {
        /// Probe these in place of what is answered: `address` or `address:port` to the same. Without a
        /// port on the left, any; on the right, the same.
        address_map: At<Entries<MapEnd, At<MapEnd>>>,
        /// Addresses and ports outside every data centre. While one of them accepts connections this node is
        /// not blind.
        witnesses: OneOrMany<At<SocketAddr>>,
        /// The DNS server that resolves names of targets. Default: the system's.
        resolver: At<SocketAddr>,
        /// How long start-up waits for the first round of probes.
        startup_wait: At<Lasting<0, 60_000>> = "3s",
        /// How long a node that may be blind holds the last state at most.
        hold_max: At<Lasting<1_000, DAY_MS>> = "5m",
        /// What a failure may take to be noticed. `check` warns of what takes longer.
        notice_within: At<Lasting<100, HOUR_MS>> = "10s",
        /// How long after a move of its own Meridian waits before it moves clients back by itself.
        cooldown: At<Lasting<0, { limits::DELAY_MAX_MS }>> = "30m",
        /// Each fall within the flap window keeps what recovered in reserve for so much longer.
        hold_down: At<Lasting<0, HOUR_MS>> = "30s",
        /// The longest that it is kept in reserve.
        hold_down_max: At<Lasting<0, DAY_MS>> = "5m",
        /// Falls longer ago than this are forgotten.
        flap_window: At<Lasting<1_000, DAY_MS>> = "10m",
        /// Probes under way at once, in all.
        concurrency: At<Whole<1, { limits::PROBES_IN_FLIGHT_MAX as u64 }>> = "32768",
    }
}

impl Scalar for ObserverId {
    fn expected() -> String {
        "a name: letters, digits, `_`, `-` and `.`".to_owned()
    }

    fn parse(text: &str, _plain: bool) -> Result<ObserverId, Refusal> {
        ObserverId::new(text).map_err(|error| Refusal::new("bad-id").help(error.to_string()))
    }

    fn schema() -> Value {
        json!({ "type": ["string", "number", "boolean"] })
    }
}

/// An address, with a port perhaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MapEnd {
    address: IpAddr,
    port: Option<u16>,
}

impl Scalar for MapEnd {
    fn expected() -> String {
        "an address, with a port perhaps, such as 192.0.2.1, 192.0.2.1:443 or [2001:db8::1]:443".to_owned()
    }

    fn parse(text: &str, plain: bool) -> Result<MapEnd, Refusal> {
        let (address, port) = match text.parse::<SocketAddr>() {
            Ok(both) => (both.ip().to_string(), Some(both.port())),
            Err(_) => (text.to_owned(), None),
        };
        if port == Some(0) {
            return Err(Refusal::new("bad-address").help("port 0 is none"));
        }
        // Refuses what no server has.
        let address = <IpAddr as Scalar>::parse(&address, plain)?;
        Ok(MapEnd { address, port })
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 2 })
    }
}

/// What the two mappings say, over the defaults.
pub(super) fn read(node: Option<&NodeSpec>, health: Option<&HealthSpec>, report: &mut Report) -> HealthSettings {
    let mut settings = HealthSettings::default();
    if let Some(datacenter) = node.and_then(|node| node.datacenter.as_ref()) {
        settings.node_datacenter = Some(datacenter.value.clone());
        settings.node_origin = Some(report.sources.origin(datacenter.at));
    }
    let Some(spec) = health else { return settings };
    if let Some(map) = &spec.address_map {
        settings.address_map = address_map(map, report);
    }
    if let Some(witnesses) = &spec.witnesses {
        settings.witnesses = self::witnesses(witnesses, report);
    }
    if let Some(resolver) = &spec.resolver {
        reachable(resolver, report);
        settings.resolver = Some(resolver.value);
    }
    // A field that was refused leaves the default, and its error refuses the whole.
    let set = |to: &mut std::time::Duration, time: Option<std::time::Duration>| *to = time.unwrap_or(*to);
    set(&mut settings.startup_wait, spec.startup_wait.as_ref().map(|time| time.value.0));
    set(&mut settings.hold_max, spec.hold_max.as_ref().map(|time| time.value.0));
    set(&mut settings.notice_within, spec.notice_within.as_ref().map(|time| time.value.0));
    set(&mut settings.cooldown, spec.cooldown.as_ref().map(|time| time.value.0));
    set(&mut settings.hold_down, spec.hold_down.as_ref().map(|time| time.value.0));
    set(&mut settings.hold_down_max, spec.hold_down_max.as_ref().map(|time| time.value.0));
    set(&mut settings.flap_window, spec.flap_window.as_ref().map(|time| time.value.0));
    if let Some(concurrency) = spec.concurrency.as_ref().and_then(|n| usize::try_from(n.value.0).ok()) {
        settings.concurrency = concurrency;
    }
    if let (Some(one), Some(max)) = (&spec.hold_down, &spec.hold_down_max)
        && one.value.0 > max.value.0
    {
        let error = Diagnostic::error("out-of-range", "`hold_down` is longer than `hold_down_max`");
        let at = if one.given { one.at } else { max.at };
        report.at(at, error.expected("`hold_down` (30s unless it is given) at most `hold_down_max` (5m)"));
    }
    settings
}

fn address_map(
    map: &At<Entries<MapEnd, At<MapEnd>>>,
    report: &mut Report,
) -> BTreeMap<(IpAddr, Option<u16>), (IpAddr, Option<u16>)> {
    let entries = &map.value.0;
    if entries.len() > limits::ADDRESS_MAP_MAX {
        let error = Diagnostic::error("too-many", format!("{} addresses", entries.len()));
        report.at(map.at, error.expected(format!("at most {}", limits::ADDRESS_MAP_MAX)));
    }
    let mut found = BTreeMap::new();
    for (from, to) in entries {
        let key = (from.value.address, from.value.port);
        if found.insert(key, (to.value.address, to.value.port)).is_some() {
            // YAML's own duplicates are refused before; this one is written in two ways.
            let error = Diagnostic::error("duplicate-address", format!("`{}` is mapped twice", from.value.address));
            report.at(from.at, error);
        }
    }
    found
}

fn witnesses(list: &OneOrMany<At<SocketAddr>>, report: &mut Report) -> Vec<SocketAddr> {
    if list.items.len() > limits::WITNESSES_MAX {
        let error = Diagnostic::error("too-many", format!("{} witnesses", list.items.len()));
        report.at(list.at, error.expected(format!("at most {}", limits::WITNESSES_MAX)));
    }
    let mut found = Vec::new();
    for witness in &list.items {
        reachable(witness, report);
        if found.contains(&witness.value) {
            let error = Diagnostic::error("duplicate-address", format!("`{}` is given twice", witness.value));
            report.at(witness.at, error);
        }
        found.push(witness.value);
    }
    found
}

/// Reports an address to which nothing can be sent.
fn reachable(address: &At<SocketAddr>, report: &mut Report) {
    let ip = address.value.ip();
    if address.value.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
        let error = Diagnostic::error("bad-address", format!("nobody answers at `{}`", address.value));
        report.at(address.at, error.expected("the address and port of a server"));
    }
}

/// This machine's name, as far as it can serve as a node's; else `meridian`.
pub(super) fn host_name() -> String {
    const PLACES: [&str; 2] = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let read = |place: &&str| std::fs::read_to_string(place).ok().map(|name| name.trim().to_owned());
    let name = PLACES.iter().find_map(read).filter(|name| ObserverId::new(name).is_ok());
    name.unwrap_or_else(|| "meridian".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Server, SourceFile, load_server};

    fn load(text: &str) -> (Server, Vec<String>) {
        let (server, found) = load_server(&SourceFile::new("meridian.yaml", text));
        let place = |found: &Diagnostic| format!("{} {}", found.code, found.at.as_ref().unwrap().column);
        (server, found.iter().map(place).collect())
    }

    fn health(text: &str) -> HealthSettings {
        let (server, found) = load(text);
        assert_eq!(found, Vec::<String>::new(), "{text}");
        server.settings.health
    }

    #[test]
    fn defaults_in_the_table_are_those_of_the_settings() {
        assert_eq!(health("health: {}"), HealthSettings::default());
        assert_eq!(health("node: {}"), HealthSettings::default());
        assert!(!load("version: 1").0.node_name().is_empty());
    }

    #[test]
    fn everything_that_is_said_of_health_is_heard() {
        let settings = health(
            "node: {name: ns1, datacenter: dc1}\nhealth:\n  address_map: {192.0.2.1: 127.0.0.11, '192.0.2.2:443': '127.0.0.12:8443', '[2001:db8::1]:443': '::1'}\n  \
             witnesses: [198.51.100.1:53, '[2001:db8::53]:53']\n  resolver: 127.0.0.53:53\n  startup_wait: 1s\n  hold_max: 2m\n  \
             notice_within: 20s\n  cooldown: 1h\n  hold_down: 10s\n  hold_down_max: 1m\n  flap_window: 30m\n  concurrency: 100\n",
        );
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(settings.node_datacenter, Some(DatacenterId::new("dc1").unwrap()));
        assert_eq!(settings.node_origin.unwrap().to_string(), "meridian.yaml:1:31");
        assert_eq!(
            settings.address_map,
            BTreeMap::from([
                ((ip("192.0.2.1"), None), (ip("127.0.0.11"), None)),
                ((ip("192.0.2.2"), Some(443)), (ip("127.0.0.12"), Some(8443))),
                ((ip("2001:db8::1"), Some(443)), (ip("::1"), None)),
            ])
        );
        assert_eq!((settings.witnesses.len(), settings.resolver), (2, Some("127.0.0.53:53".parse().unwrap())));
        let seconds = [
            settings.startup_wait,
            settings.hold_max,
            settings.notice_within,
            settings.cooldown,
            settings.hold_down,
            settings.hold_down_max,
            settings.flap_window,
        ];
        assert_eq!(seconds, [1, 120, 20, 3600, 10, 60, 1800].map(Duration::from_secs));
        assert_eq!(settings.concurrency, 100);
        assert_eq!(load("node: {name: ns1}").0.node_name(), "ns1");
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_stands() {
        for (text, expected) in [
            ("node: {name: a b}", "bad-id 14"),
            ("node: {datacentre: dc1}", "unknown-field 8"),
            ("health: {address_map: {0.0.0.0: 127.0.0.1}}", "bad-address 24"),
            ("health: {address_map: {192.0.2.1: localhost}}", "bad-address 35"),
            ("health: {address_map: {'::1': 127.0.0.1, '0:0::1': 127.0.0.2}}", "duplicate-address 42"),
            ("health: {witnesses: [192.0.2.1]}", "bad-address 22"),
            ("health: {witnesses: ['192.0.2.1:0']}", "bad-address 22"),
            ("health: {witnesses: ['192.0.2.1:1', '192.0.2.1:1']}", "duplicate-address 37"),
            ("health: {resolver: '0.0.0.0:53'}", "bad-address 20"),
            ("health: {hold_max: 0s}", "out-of-range 20"),
            ("health: {notice_within: 10}", "bad-duration 25"),
            ("health: {hold_down: 10m}", "out-of-range 21"),
            ("health: {hold_down_max: 10s}", "out-of-range 25"),
            ("health: {concurrency: 100000}", "out-of-range 23"),
        ] {
            assert_eq!(load(text).1, [expected], "{text}");
        }
    }
}
