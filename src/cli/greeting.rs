//! The first lines that a newcomer sees: what is served, and what to try.

use std::fmt::Write;
use std::net::SocketAddr;

use ipnet::IpNet;

use super::ask;
use crate::model::ServiceIx;
use crate::serve::LocalAddresses;
use crate::table::RoutingTable;
use crate::wire::types::rtype;

/// Clients worth trying, tried in this order: one a region of the first service.
const CLIENTS: [&str; 6] =
    ["219.141.136.0/24", "202.96.209.0/24", "198.51.100.0/24", "3.120.0.0/24", "127.1.0.0/16", "192.0.2.0/24"];

/// How many commands are shown.
const COMMANDS: usize = 3;

/// A few lines: what is served, where, and commands with the answers to expect.
pub(super) fn text(table: &RoutingTable, addresses: &LocalAddresses) -> String {
    let base = table.base();
    let mut out = String::new();
    let count = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    let services = count(base.policy().services.len(), "service");
    let zones = count(base.zones().zones().len(), "zone");
    let places = base.atlas().counts().0;
    let _ = writeln!(out, "meridian {} serves {services} in {zones}", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(out, "  names      {}", base.zones().node_count());
    let _ = writeln!(out, "  geoip      {places} networks");
    let plain: Vec<String> = addresses.plain.iter().map(ToString::to_string).collect();
    let _ = writeln!(out, "  listening  {} (UDP and TCP)", plain.join(", "));
    for address in &addresses.tls {
        let _ = writeln!(out, "             {address} (TLS)");
    }
    if let Some(address) = addresses.plain.first() {
        let commands = commands(table, *address);
        if !commands.is_empty() {
            let _ = writeln!(out, "try");
            commands.into_iter().for_each(|line| out.push_str(&line));
        }
    }
    out
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
            let Ok(reply) = ask::ask(table, &service.name, rtype::A, client, random) else { continue };
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
