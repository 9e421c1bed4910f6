//! What a server's configuration says about answers, as opposed to what policies say.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::{DatacenterId, Failback, Name, Origin};
use crate::limits;

/// Settings that the answer path and compile read. Sockets and files are not here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name servers of services that no master file covers. Empty: `ns.invalid.`.
    pub ns: Vec<Name>,
    /// SOA RNAME of services that no master file covers. `None`: `hostmaster.` and the service's name.
    pub mailbox: Option<Name>,
    /// The largest UDP response, in octets.
    pub udp_response_len_max: usize,
    /// NSID (RFC 5001); `None`: the option is not answered.
    pub nsid: Option<Box<[u8]>>,
    /// `version.bind.` and `version.server.` in CHAOS; `None`: refused.
    pub version: Option<String>,
    /// `id.server.` and `hostname.bind.` in CHAOS; `None`: refused.
    pub server_id: Option<String>,
    /// From whom EDNS Client Subnet is believed; `None`: from everyone.
    pub ecs_from: Option<Vec<IpNet>>,
    /// Who may ask for the debug TXT `_meridian.<service>`.
    pub debug_from: Vec<IpNet>,
    /// Failback of tiers for which no policy says anything; `None`: manual for primary, secondary and
    /// tertiary, auto elsewhere.
    pub failback: Option<Failback>,
    /// How this node watches.
    pub health: HealthSettings,
    /// What orders need, and what they may not do.
    pub orders: OrderSettings,
}

/// What orders need, and what they may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSettings {
    /// How long the target of a preference must be down before the preference yields.
    pub switch_hold: Duration,
    /// With an order so few data centres must stay usable, over all services; `None`: any number.
    pub min_datacenters: Option<u16>,
    /// What every order must say.
    pub needs: OrderNeeds,
}

/// What orders must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OrderNeeds {
    /// Why.
    pub reason: bool,
    /// Until when, if something stands because of it.
    pub expiry: bool,
}

impl Default for OrderSettings {
    fn default() -> OrderSettings {
        OrderSettings { switch_hold: Duration::from_secs(60), min_datacenters: None, needs: OrderNeeds::default() }
    }
}

/// How a node watches the endpoints, and what it makes of what it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// The data centre that this node stands in, as somebody names it: id, alias or leading word.
    pub node_datacenter: Option<DatacenterId>,
    /// Where that was written.
    pub node_origin: Option<Origin>,
    /// Addresses that belong to no data centre: while one accepts connections, this node is not blind.
    pub witnesses: Vec<SocketAddr>,
    /// Probe these in place of what is answered. A port of `None` on the left is any port; on the right, the
    /// same port.
    pub address_map: BTreeMap<(IpAddr, Option<u16>), (IpAddr, Option<u16>)>,
    /// The DNS server that resolves names of targets; `None`: the system's.
    pub resolver: Option<SocketAddr>,
    /// How long start-up waits for the first round of probes.
    pub startup_wait: Duration,
    /// How long a node that may be blind holds the last state at most.
    pub hold_max: Duration,
    /// What `check` compares the worst case of each check with.
    pub notice_within: Duration,
    /// How long after a move of its own Meridian waits before it moves clients back by itself.
    pub cooldown: Duration,
    /// Each fall within the flap window lengthens the next hold-down by so much.
    pub hold_down: Duration,
    /// The longest hold-down.
    pub hold_down_max: Duration,
    /// Falls longer ago than this are forgotten.
    pub flap_window: Duration,
    /// Probes in flight at once, in all.
    pub concurrency: usize,
}

impl Default for HealthSettings {
    fn default() -> HealthSettings {
        HealthSettings {
            node_datacenter: None,
            node_origin: None,
            witnesses: Vec::new(),
            address_map: BTreeMap::new(),
            resolver: None,
            startup_wait: Duration::from_secs(3),
            hold_max: Duration::from_secs(300),
            notice_within: Duration::from_secs(10),
            cooldown: Duration::from_secs(1800),
            hold_down: Duration::from_secs(30),
            hold_down_max: Duration::from_secs(300),
            flap_window: Duration::from_secs(600),
            concurrency: limits::PROBES_IN_FLIGHT_MAX,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            ns: Vec::new(),
            mailbox: None,
            udp_response_len_max: limits::UDP_RESPONSE_LEN_DEFAULT,
            nsid: None,
            version: None,
            server_id: None,
            ecs_from: None,
            debug_from: vec!["127.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")],
            failback: None,
            health: HealthSettings::default(),
            orders: OrderSettings::default(),
        }
    }
}
