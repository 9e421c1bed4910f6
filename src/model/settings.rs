//! What a server's configuration says about answers, as opposed to what policies say.

use ipnet::IpNet;

use super::{Failback, Name};
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
        }
    }
}
