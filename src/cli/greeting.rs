//! The first lines that a newcomer sees: what is served, and what to try.

use std::fmt;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::demo::StandIns;
use crate::explain;
use crate::model::{DatacenterId, ServiceIx};
use crate::serve::LocalAddresses;
use crate::table::RoutingTable;
use crate::wire::types::rtype;

/// Clients worth trying, tried in this order: one a region of the first service.
const CLIENTS: [&str; 6] =
    ["219.141.136.0/24", "202.96.209.0/24", "198.51.100.0/24", "3.120.0.0/24", "127.1.0.0/16", "192.0.2.0/24"];

/// How many commands are shown.
const COMMANDS: usize = 3;

/// A few lines: what is served, where, whether anything real is probed, and commands with the answers to expect.
pub(super) struct Greeting<'a> {
    /// What is served.
    pub(super) table: &'a RoutingTable,
    /// Where DNS is answered.
    pub(super) dns: &'a LocalAddresses,
    /// Where the API is.
    pub(super) api: &'a str,
    /// The demo's stand-ins.
    pub(super) stand_ins: Option<&'a StandIns>,
}

impl fmt::Display for Greeting<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.table.base();
        let count = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
        let services = count(base.policy().services.len(), "service");
        let zones = count(base.zones().zones().len(), "zone");
        writeln!(out, "meridian {} serves {services} in {zones}", env!("CARGO_PKG_VERSION"))?;
        if let Some(stand_ins) = self.stand_ins {
            self.demo(stand_ins, out)?;
        }
        writeln!(out, "  names      {}", base.zones().node_count())?;
        writeln!(out, "  geoip      {} networks", base.atlas().counts().0)?;
        let plain: Vec<String> = self.dns.plain.iter().map(ToString::to_string).collect();
        writeln!(out, "  listening  {} (UDP and TCP)", plain.join(", "))?;
        for address in &self.dns.tls {
            writeln!(out, "             {address} (TLS)")?;
        }
        writeln!(out, "  api        {}", self.api)?;
        let commands = self.dns.plain.first().map(|address| commands(self.table, *address)).unwrap_or_default();
        if commands.is_empty() && self.stand_ins.is_none() {
            return Ok(());
        }
        writeln!(out, "try")?;
        commands.iter().try_for_each(|line| out.write_str(line))?;
        if self.stand_ins.is_some() {
            self.story(out)?;
        }
        Ok(())
    }
}

/// Data centres that are named in the demo's line.
const NAMED: usize = 4;

impl Greeting<'_> {
    fn demo(&self, stand_ins: &StandIns, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |id: &DatacenterId| {
            let all = &self.table.base().policy().datacenters;
            all.iter()
                .find(|datacenter| datacenter.id == *id)
                .map_or_else(|| id.to_string(), |one| one.short_name().to_owned())
        };
        let map = stand_ins.map();
        let named = map.of.iter().take(NAMED).map(|(id, doors)| format!("{} on {}", short(id), doors.https.ip()));
        let named = named.collect::<Vec<_>>().join(", ");
        let more = if map.of.len() > NAMED { ", …" } else { "" };
        writeln!(out, "  demo       nothing real is probed: {named}{more} are stand-ins in this process")
    }

    /// What makes the answers move.
    fn story(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(datacenter) = self.table.base().policy().datacenters.first() else { return Ok(()) };
        let name = datacenter.short_name();
        let server =
            if self.api == "http://127.0.0.1:8053" { String::new() } else { format!(" --server {}", self.api) };
        writeln!(
            out,
            "  meridian demo fail {name}{server}  # its clients move within 10 s; `recover` brings it up again"
        )?;
        writeln!(out, "  meridian status --watch{server}  # what is up, and what waits for you")?;
        writeln!(out, "  meridian failback {name}{server}  # lets its clients come back")
    }
}

/// The first service, for clients of as many different answers as there are commands.
fn commands(table: &RoutingTable, address: SocketAddr) -> Vec<String> {
    let Some(service) = table.base().policy().services.first() else { return Vec::new() };
    let mut shown = Vec::new();
    let mut seen = Vec::new();
    for client in CLIENTS {
        let Ok(client) = client.parse::<IpNet>() else { continue };
        let view = table.service(ServiceIx(0));
        let mut answers = Vec::new();
        for random in view.randoms(view.locate(client.addr())) {
            let Ok(reply) = explain::ask(table, &service.name, rtype::A, client, random) else { continue };
            let records: Vec<String> = reply.answers.iter().map(|record| record.data.to_string()).collect();
            answers.push(if records.is_empty() { "no data".to_owned() } else { records.join(" + ") });
        }
        if shown.len() == COMMANDS || seen.contains(&answers) {
            continue;
        }
        let expected = match answers.as_slice() {
            [one] => one.clone(),
            several => format!("one of {}", several.join(", ")),
        };
        let name = service.name.to_string();
        let dig = format!("dig @{} -p {} {}", address.ip(), address.port(), name.trim_end_matches('.'));
        // As wide as the longest network of CLIENTS, so that the answers stand below each other.
        shown.push(format!("  {dig} +short +subnet={:<16}  # {expected}\n", client.to_string()));
        seen.push(answers);
    }
    shown
}
