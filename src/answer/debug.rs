//! The debug TXT: `_meridian.<service>` says what the asker gets, and why, to clients on an allow-list.
//!
//! To everyone else the name does not exist.

use std::fmt::{self, Write};
use std::net::IpAddr;

use super::Asked;
use crate::model::ServiceIx;
use crate::table::RoutingTable;
use crate::wire::types::{class, rtype};
use crate::wire::{OptReply, Owner, Section, Writer};
use crate::zone::Find;

const LABEL: &[u8] = b"\x09_meridian";

/// The service that `name` asks about, if it does and the client may.
pub(super) fn service_asked(name: &[u8], encloser: usize, table: &RoutingTable, asked: &Asked) -> Option<ServiceIx> {
    let below = name.strip_prefix(LABEL).filter(|_| encloser == LABEL.len())?;
    let client = asked.client.to_canonical();
    if !table.settings().debug_from.iter().any(|net| net.contains(&client)) {
        return None;
    }
    match table.zones().find(below) {
        Find::Node { node, .. } => node.service(),
        Find::NotOurs | Find::Wildcard { .. } | Find::Cut { .. } | Find::Dname { .. } | Find::NoName { .. } => None,
    }
}

/// Answers it, at the question's name: one TXT record, one string a fact, TTL 0.
pub(super) fn answer(
    ix: ServiceIx,
    client: IpAddr,
    asked: &Asked,
    table: &RoutingTable,
    writer: &mut Writer<'_>,
    opt: &mut OptReply<'_>,
) {
    let view = table.service(ix);
    let located = view.locate(client);
    opt.scope = located.scope;
    let base = table.base();
    let service = &base.policy().services[ix.at()];
    let location = base.map(ix).map(|map| &map.outcomes()[usize::from(located.outcome)]);
    let route = service.policy.route(location.and_then(|location| location.route));
    let mut text = Strings { octets: [0; 1024], len: 0 };
    text.push(format_args!("generation={}", table.generation().0));
    text.push(format_args!("revision={}", table.revision().0));
    text.push(format_args!("client={client}"));
    match route.region {
        Some(region) => text.push(format_args!("region={}", base.policy().regions[region.at()].id)),
        None => text.push(format_args!("region=elsewhere")),
    }
    match view.choose(located, client, asked.random) {
        Some(choice) => {
            let endpoint = service.endpoint(choice.endpoint());
            text.push(format_args!("dc={}", base.policy().datacenters[endpoint.datacenter.at()].id));
            text.push(format_args!("endpoint={}", endpoint.id));
        }
        None => text.push(format_args!("dc=none")),
    }
    match view.verdict(located) {
        Ok(source) => text.push(format_args!("reason={}", source.as_str())),
        Err(why) => text.push(format_args!("reason={}", why.as_str())),
    }
    text.push(format_args!("scope={}", located.scope));
    let rdata = &text.octets[..text.len];
    if writer.record(Section::Answer, Owner::Question, rtype::TXT, class::IN, 0, rdata).is_err() {
        writer.truncate();
    }
}

/// Character strings (RFC 1035 §3.3) in a buffer on the stack; what does not fit is cut off.
struct Strings {
    octets: [u8; 1024],
    len: usize,
}

impl Strings {
    fn push(&mut self, text: fmt::Arguments<'_>) {
        let start = self.len;
        let Some(len_octet) = self.octets.get_mut(start) else { return };
        *len_octet = 0;
        self.len += 1;
        let mut string = OneString { strings: self, left: 255 };
        let _ = string.write_fmt(text);
        let len = 255 - string.left;
        self.octets[start] = len as u8; // at most 255
    }
}

struct OneString<'s> {
    strings: &'s mut Strings,
    left: usize,
}

impl Write for OneString<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.left.min(self.strings.octets.len() - self.strings.len);
        let kept = &text.as_bytes()[..text.len().min(room)];
        self.strings.octets[self.strings.len..self.strings.len + kept.len()].copy_from_slice(kept);
        self.strings.len += kept.len();
        self.left -= kept.len();
        if kept.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
