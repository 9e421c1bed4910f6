//! The server's own configuration (`--config FILE`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::api::{self, Api, ApiSpec};
use super::form::{At, Form, OneOrMany, mapping};
use super::health::{self, HealthSpec, NodeSpec};
use super::orders::{self, OrdersSpec};
use super::report::Report;
use super::scalar::{Lasting, Refusal, Scalar, Whole};
use super::source::SourceFile;
use super::words::FailbackWord;
use super::yaml;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{Name, Settings};

/// Everything that a configuration file says; [`Server::default`] is what holds without one.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where DNS is answered, over UDP and TCP alike.
    pub listen: Vec<Listen>,
    /// UDP workers; `None`: one a core.
    pub threads: Option<usize>,
    /// Each UDP worker stays on one processor.
    pub pin_threads: bool,
    /// How long a UDP worker does not sleep after a query.
    pub busy_poll: Duration,
    /// Bounds of TCP and TLS connections.
    pub tcp: Tcp,
    /// DNS over TLS (RFC 7858); `None`: off.
    pub dot: Option<Dot>,
    /// Where policies and master files are.
    pub zones: PathBuf,
    /// GeoIP databases, or directories of them, the first that has a field first.
    pub geoip: Vec<PathBuf>,
    /// It is no error when there is nothing at `geoip`: a default, not somebody's word.
    pub geoip_if_present: bool,
    /// What this node is called; `None`: as the machine, see [`Server::node_name`].
    pub node: Option<String>,
    /// Everything durable stands below this directory.
    pub state: PathBuf,
    /// The HTTP API.
    pub api: Api,
    /// What answers and compile read.
    pub settings: Settings,
}

impl Server {
    /// What this node is called: as configured, else the machine's host name, else `meridian`. Always good as
    /// an observer's id.
    pub fn node_name(&self) -> String {
        self.node.clone().unwrap_or_else(health::host_name)
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub addr: SocketAddr,
    /// It is no error when the machine has no such address: a default, not somebody's word.
    pub if_present: bool,
}

/// Bounds of TCP and TLS connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Open connections, in all.
    pub connections: usize,
    /// Open connections of one client address.
    pub connections_per_client: usize,
    /// How long a connection may be idle.
    pub idle: Duration,
}

/// DNS over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dot {
    /// Where.
    pub listen: Vec<SocketAddr>,
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// DNS on 127.0.0.1 and, where present, ::1; port 5300.
const LISTEN_DEFAULT: [Listen; 2] = [
    Listen { addr: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5300), if_present: false },
    Listen { addr: SocketAddr::new(std::net::IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 5300), if_present: true },
];

impl Default for Server {
    fn default() -> Server {
        Server {
            listen: LISTEN_DEFAULT.to_vec(),
            threads: None,
            pin_threads: false,
            busy_poll: Duration::ZERO,
            tcp: Tcp {
                connections: limits::STREAM_CONNECTIONS_MAX,
                connections_per_client: limits::STREAM_CONNECTIONS_PER_CLIENT_MAX,
                idle: Duration::from_secs(limits::STREAM_IDLE_S),
            },
            dot: None,
            zones: PathBuf::from("zones"),
            geoip: vec![PathBuf::from("geoip")],
            geoip_if_present: true,
            node: None,
            state: PathBuf::from(".meridian"),
            api: Api::default(),
            settings: Settings::default(),
        }
    }
}

mapping! {
    /// The configuration of a Meridian server.
    ServerSpec, "the configuration" {
        /// The version of the format.
        version: At<Whole<1, 1>> = "1",
        /// The DNS side.
        dns: DnsSpec,
        /// The directory of policies and master files.
        zones: At<String> = "zones",
        /// GeoIP databases, or directories of them: the first that has a field wins. Default: `geoip`.
        geoip: OneOrMany<At<String>>,
        /// Name servers of services that no master file covers.
        ns: OneOrMany<At<Name>>,
        /// The mailbox of those zones: `hostmaster@example.com`, or as an SOA record has it.
        mailbox: At<Mailbox>,
        /// When clients come back to a data centre that they left because it was down, where no policy
        /// says anything: `manual`, `auto`, or a duration.
        failback: At<FailbackWord>,
        /// This node among others.
        node: NodeSpec,
        /// How this node watches the endpoints.
        health: HealthSpec,
        /// What orders must say, and what they may not do.
        orders: OrdersSpec,
        /// The HTTP API.
        api: ApiSpec,
        /// The directory of everything durable.
        state: At<String> = ".meridian",
    }
}

mapping! {
    /// The DNS side of a server.
    DnsSpec, "the DNS side" {
        /// Addresses and ports for UDP and TCP. Default: 127.0.0.1:5300, and [::1]:5300 where present.
        listen: OneOrMany<At<SocketAddr>>,
        /// UDP workers. Default: one a core.
        threads: At<Whole<1, { limits::WORKERS_MAX as u64 }>>,
        /// Each UDP worker stays on one processor: for machines that do nothing else.
        pin_threads: At<bool> = "false",
        /// How long a UDP worker goes on asking for queries after the last one before it sleeps: answers come
        /// sooner, and a core is busy meanwhile.
        busy_poll: At<Lasting<0, { limits::UDP_BUSY_POLL_MAX_MS }>> = "0s",
        /// The largest UDP response, in octets.
        udp_response_size: At<Whole<{ limits::UDP_RESPONSE_LEN_MIN as u64 }, { limits::UDP_RESPONSE_LEN_MAX as u64 }>> = "1232",
        /// Bounds of TCP and TLS connections.
        tcp: TcpSpec,
        /// DNS over TLS (RFC 7858). Default: off.
        dot: DotSpec,
        /// What this server calls itself in NSID (RFC 5001). Default: nothing.
        nsid: At<String>,
        /// The answer to `version.bind.` in class CHAOS. Default: refused.
        version: At<String>,
        /// The answer to `id.server.` in class CHAOS. Default: refused.
        server_id: At<String>,
        /// EDNS Client Subnet (RFC 7871).
        ecs: EcsSpec,
        /// The debug TXT record `_meridian.<service>`.
        debug: DebugSpec,
    }
}

mapping! {
    /// Bounds of TCP and TLS connections.
    TcpSpec, "bounds of TCP" {
        /// Open connections, in all.
        connections: At<Whole<1, 1_000_000>> = "4096",
        /// Open connections of one client address.
        connections_per_client: At<Whole<1, 1_000_000>> = "64",
        /// How long a connection may be idle.
        idle: At<Lasting<1_000, 3_600_000>> = "10s",
    }
}

mapping! {
    /// DNS over TLS.
    DotSpec, "DNS over TLS" {
        /// Addresses and ports; the usual port is 853.
        listen: OneOrMany<At<SocketAddr>> = required,
        /// The certificate chain, in PEM; read again when it changes.
        cert: At<String> = required,
        /// The key of the certificate, in PEM.
        key: At<String> = required,
    }
}

mapping! {
    /// EDNS Client Subnet.
    EcsSpec, "client subnet settings" {
        /// From whom it is believed: `all`, `none`, or networks of resolvers.
        trust: OneOrMany<At<Trust>>,
    }
}

mapping! {
    /// Who may ask for debug answers.
    DebugSpec, "debug settings" {
        /// Networks of clients. Default: the loopback ones.
        allow: OneOrMany<At<IpNet>>,
    }
}

/// From whom client subnets are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    All,
    None,
    Net(IpNet),
}

impl Scalar for Trust {
    fn expected() -> String {
        "`all`, `none`, or networks such as 192.0.2.0/24".to_owned()
    }

    fn parse(text: &str, plain: bool) -> Result<Trust, Refusal> {
        match text {
            "all" => Ok(Trust::All),
            "none" => Ok(Trust::None),
            _ if text.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':') => {
                <IpNet as Scalar>::parse(text, plain).map(Trust::Net)
            }
            _ => Err(Refusal::word(&["all", "none"])),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 2 })
    }
}

/// A mailbox as SOA RNAME: the first label is the local part (RFC 1035 §8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mailbox(pub(super) Name);

impl Scalar for Mailbox {
    fn expected() -> String {
        "a mailbox such as hostmaster@example.com".to_owned()
    }

    fn parse(text: &str, plain: bool) -> Result<Mailbox, Refusal> {
        match text.split_once('@') {
            Some((local, domain)) => {
                let local = local.replace('\\', "\\\\").replace('.', "\\.");
                <Name as Scalar>::parse(&format!("{local}.{domain}"), plain).map(Mailbox)
            }
            None => <Name as Scalar>::parse(text, plain).map(Mailbox),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// The configuration in `file`, and what is wrong in it. With an error among the diagnostics the values
/// are not what the file says, and a server must not start with them. Paths are as written: relative
/// ones are for the caller to resolve.
pub fn load_server(file: &SourceFile) -> (Server, Vec<Diagnostic>) {
    let mut report = Report::default();
    let server = read(file, &mut report).unwrap_or_default();
    (server, report.finish())
}

fn read(file: &SourceFile, report: &mut Report) -> Option<Server> {
    if file.bytes.len() as u64 > limits::CONFIG_FILE_LEN_MAX {
        let message = format!("{} has more than {} octets", file.name, limits::CONFIG_FILE_LEN_MAX);
        report.push(Diagnostic::error("file-too-large", message));
        return None;
    }
    let ix = match report.sources.add(file) {
        Ok(ix) => ix,
        Err(error) => {
            report.push(*error);
            return None;
        }
    };
    let root = yaml::parse(ix, report)?;
    let spec = ServerSpec::read(&root, report)?;
    let mut server = Server::default();
    if let Some(zones) = &spec.zones {
        server.zones = PathBuf::from(&zones.value);
    }
    if let Some(geoip) = &spec.geoip {
        server.geoip = geoip.items.iter().map(|path| PathBuf::from(&path.value)).collect();
        server.geoip_if_present = false;
    }
    if let Some(ns) = &spec.ns {
        server.settings.ns = ns.items.iter().map(|name| name.value.clone()).collect();
    }
    server.settings.mailbox = spec.mailbox.map(|mailbox| mailbox.value.0);
    server.settings.failback = spec.failback.map(|word| word.value.0);
    if let Some(state) = &spec.state {
        server.state = PathBuf::from(&state.value);
    }
    server.node = spec.node.as_ref().and_then(|node| Some(node.name.as_ref()?.value.to_string()));
    server.settings.health = health::read(spec.node.as_ref(), spec.health.as_ref(), report);
    server.settings.orders = orders::read(spec.orders.as_ref(), report);
    if let Some(api) = &spec.api {
        server.api = api::read(api, report);
    }
    if let Some(dns) = &spec.dns {
        read_dns(dns, &mut server, report);
    }
    Some(server)
}

fn read_dns(spec: &DnsSpec, server: &mut Server, report: &mut Report) {
    if let Some(listen) = &spec.listen {
        let addresses = addresses(listen, report);
        server.listen = addresses.into_iter().map(|addr| Listen { addr, if_present: false }).collect();
    }
    server.threads = spec.threads.as_ref().and_then(|n| usize::try_from(n.value.0).ok());
    server.pin_threads = spec.pin_threads.as_ref().is_some_and(|pin| pin.value);
    if let Some(lasting) = &spec.busy_poll {
        server.busy_poll = lasting.value.0;
    }
    if let Some(size) = spec.udp_response_size.as_ref().and_then(|size| usize::try_from(size.value.0).ok()) {
        server.settings.udp_response_len_max = size;
    }
    if let Some(tcp) = &spec.tcp {
        read_tcp(tcp, &mut server.tcp, report);
    }
    if let Some(dot) = &spec.dot
        && let (Some(listen), Some(cert), Some(key)) = (&dot.listen, &dot.cert, &dot.key)
    {
        let listen = addresses(listen, report);
        server.dot = Some(Dot { listen, cert: PathBuf::from(&cert.value), key: PathBuf::from(&key.value) });
    }
    if let Some(nsid) = &spec.nsid {
        if nsid.value.len() > limits::NSID_LEN_MAX {
            let error = Diagnostic::error("out-of-range", format!("an NSID of {} octets", nsid.value.len()));
            report.at(nsid.at, error.expected(format!("at most {} octets", limits::NSID_LEN_MAX)));
        }
        server.settings.nsid = Some(nsid.value.as_bytes().into());
    }
    server.settings.version = chaos_text(&spec.version, report);
    server.settings.server_id = chaos_text(&spec.server_id, report);
    if let Some(trust) = spec.ecs.as_ref().and_then(|ecs| ecs.trust.as_ref()) {
        server.settings.ecs_from = trusted(trust, report);
    }
    if let Some(allow) = spec.debug.as_ref().and_then(|debug| debug.allow.as_ref()) {
        server.settings.debug_from = allow.items.iter().map(|net| net.value).collect();
    }
}

fn read_tcp(spec: &TcpSpec, tcp: &mut Tcp, report: &mut Report) {
    let count = |n: &Option<At<Whole<1, 1_000_000>>>| n.as_ref().and_then(|n| usize::try_from(n.value.0).ok());
    tcp.connections = count(&spec.connections).unwrap_or(tcp.connections);
    tcp.connections_per_client = count(&spec.connections_per_client).unwrap_or(tcp.connections_per_client);
    if let Some(idle) = &spec.idle {
        tcp.idle = idle.value.0;
    }
    if let Some(per_client) = &spec.connections_per_client
        && per_client.given
        && tcp.connections_per_client > tcp.connections
    {
        let error = Diagnostic::error("out-of-range", "more connections for one client than in all");
        report.at(per_client.at, error.expected(format!("at most {}", tcp.connections)));
    }
}

/// Not empty, each once, and at most [`limits::LISTENERS_MAX`].
fn addresses(list: &OneOrMany<At<SocketAddr>>, report: &mut Report) -> Vec<SocketAddr> {
    if list.items.is_empty() {
        report.at(list.at, Diagnostic::error("empty-list", "nothing would be listened on"));
    }
    if list.items.len() > limits::LISTENERS_MAX {
        let error = Diagnostic::error("too-many", format!("{} addresses to listen on", list.items.len()));
        report.at(list.at, error.expected(format!("at most {}", limits::LISTENERS_MAX)));
    }
    let mut addresses = Vec::new();
    for addr in &list.items {
        if addresses.contains(&addr.value) {
            report.at(addr.at, Diagnostic::error("duplicate-address", format!("`{}` is given twice", addr.value)));
        }
        addresses.push(addr.value);
    }
    addresses
}

/// One character-string of a TXT record (RFC 1035 §3.3).
fn chaos_text(field: &Option<At<String>>, report: &mut Report) -> Option<String> {
    let field = field.as_ref()?;
    if field.value.len() > 255 {
        let error = Diagnostic::error("out-of-range", format!("a text of {} octets", field.value.len()));
        report.at(field.at, error.expected("at most 255 octets"));
    }
    Some(field.value.clone())
}

/// As [`Settings::ecs_from`].
fn trusted(trust: &OneOrMany<At<Trust>>, report: &mut Report) -> Option<Vec<IpNet>> {
    let mut nets = Vec::new();
    let mut all = false;
    for item in &trust.items {
        match item.value {
            Trust::Net(net) => nets.push(net),
            Trust::All if trust.items.len() == 1 => all = true,
            Trust::None if trust.items.len() == 1 => {}
            Trust::All | Trust::None => {
                let error = Diagnostic::error("exclusive-fields", "a word beside others in `trust`");
                report.at(item.at, error.expected("`all`, `none`, or networks"));
            }
        }
    }
    (!all).then_some(nets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Format, render};
    use crate::model::Failback;

    fn load(text: &str) -> Server {
        let (server, found) = load_server(&SourceFile::new("meridian.yaml", text));
        assert_eq!(found, [], "{text}");
        server
    }

    fn errors(text: &str) -> String {
        render(&load_server(&SourceFile::new("meridian.yaml", text)).1, Format::Text { colour: false })
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let (a, b) = (load("version: 1\n"), Server::default());
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
        let c = load("dns: {tcp: {}}\n");
        assert_eq!(format!("{c:?}"), format!("{b:?}"));
    }

    #[test]
    fn everything_that_is_said_is_heard() {
        let server = load(
            "dns:\n  listen: [192.0.2.1:53, '[2001:db8::1]:53']\n  threads: 4\n  pin_threads: true\n  busy_poll: 5ms\n  udp_response_size: 1400\n  \
             tcp: {connections: 100, connections_per_client: 10, idle: 30s}\n  \
             dot: {listen: '192.0.2.1:853', cert: a.pem, key: b.pem}\n  nsid: ns1\n  version: none of your business\n  \
             server_id: ns1\n  ecs: {trust: [10.0.0.0/8]}\n  debug: {allow: 10.1.0.0/16}\nzones: /etc/zones\n\
             geoip: [a.mmdb, b.mmdb]\nns: [ns1.example.com, ns2.example.com]\nmailbox: host.master@example.com\n\
             failback: 10m\n",
        );
        assert_eq!(server.listen.len(), 2);
        assert!(server.listen.iter().all(|listen| !listen.if_present));
        assert_eq!((server.threads, server.tcp.connections, server.tcp.connections_per_client), (Some(4), 100, 10));
        assert!(server.pin_threads);
        assert_eq!((server.tcp.idle, server.busy_poll), (Duration::from_secs(30), Duration::from_millis(5)));
        assert_eq!(server.dot.unwrap().key, PathBuf::from("b.pem"));
        assert_eq!((server.geoip.len(), server.geoip_if_present), (2, false));
        let settings = server.settings;
        assert_eq!(settings.udp_response_len_max, 1400);
        assert_eq!(settings.nsid.as_deref(), Some(&b"ns1"[..]));
        assert_eq!(settings.ecs_from, Some(vec!["10.0.0.0/8".parse().unwrap()]));
        assert_eq!(settings.debug_from, ["10.1.0.0/16".parse::<IpNet>().unwrap()]);
        assert_eq!(settings.ns.len(), 2);
        assert_eq!(settings.mailbox.unwrap().as_wire(), b"\x0bhost.master\x07example\x03com\0");
        assert_eq!(settings.failback, Some(Failback::After(Duration::from_secs(600))));
    }

    #[test]
    fn trust_is_everyone_nobody_or_networks() {
        assert_eq!(load("dns: {ecs: {trust: all}}").settings.ecs_from, None);
        assert_eq!(load("dns: {ecs: {trust: none}}").settings.ecs_from, Some(vec![]));
        assert!(errors("dns: {ecs: {trust: [all, 10.0.0.0/8]}}").contains("exclusive-fields"));
        assert!(errors("dns: {ecs: {trust: nobody}}").contains("unknown-word"));
    }

    #[test]
    fn a_misspelt_field_is_told_with_the_nearest() {
        assert_eq!(
            errors("dns:\n  lisen: 127.0.0.1:53\n  threads: 0\n"),
            "\
error[unknown-field]: the DNS side has no field `lisen`
 --> meridian.yaml:2:3
  |
2 |   lisen: 127.0.0.1:53
  |   ^^^^^ expected one of `listen`, `threads`, `pin_threads`, `busy_poll`, `udp_response_size`, `tcp`, `dot`, `nsid`, `version`, `server_id`, `ecs`, `debug`
  |
help: did you mean `listen`?

error[out-of-range]: `threads` cannot be `0`
 --> meridian.yaml:3:12
  |
3 |   threads: 0
  |            ^ expected a whole number from 1 to 256

2 errors
"
        );
    }

    #[test]
    fn defaults_in_the_table_are_the_limits() {
        let tcp = load("dns: {tcp: {connections: 5000}}").tcp;
        assert_eq!(tcp.connections_per_client, limits::STREAM_CONNECTIONS_PER_CLIENT_MAX);
        assert_eq!(tcp.idle, Duration::from_secs(limits::STREAM_IDLE_S));
    }
}
