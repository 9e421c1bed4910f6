//! From a query's bytes to a reply's bytes: the one decision behind every transport.
//!
//! ```text
//! bytes ─▶ Query ─▶ who asks (ECS or transport) ─▶ name ─┬▶ static data ──┐
//!                                                        ├▶ service ──────┼▶ Writer ─▶ bytes
//!                                                        └▶ nothing, cut ─┘
//! ```
//!
//! [`answer`] is a pure function of the query, of who asked and how, of one table, and of one random number;
//! [`answer_tallying`] tells somebody besides which endpoints the reply names.
//! UDP workers, stream listeners, `explain`, policy tests and benchmarks all call it.
//!
//! # Invariants
//! - The whole reply comes from one table.
//! - No allocation, no lock, no system call; every loop is bounded (names by their labels, chains by
//!   [`crate::limits::CNAME_HOPS_MAX`]).
//! - Client Subnet is answered whenever it was asked (RFC 7871 §7.2.1). The scope is the longest of those of
//!   all decisions that looked at the client, and 0 when none did.
//!
//! # What it does not do
//! It opens nothing and waits for nothing. It decides nothing about health or policy: that is done when the
//! table is compiled.

mod chaos;
mod debug;
mod resolve;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::limits::MESSAGE_LEN_MAX;
use crate::model::Settings;
use crate::table::{RoutingTable, Tallier, Tally};
use crate::wire::types::{class, rcode};
use crate::wire::{Ecs, HEADER_LEN, OptReply, QName, Query, Reject, Writer};
use crate::zone::NameHash;

/// How a query came; it bounds the reply and decides what may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: replies are limited in size and may be truncated.
    Udp,
    /// TCP (RFC 7766).
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
}

/// Everything about a query besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The client's transport address.
    pub client: IpAddr,
    /// How it came.
    pub transport: Transport,
    /// A uniformly random number, fresh for each query.
    pub random: u64,
}

/// What to do with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Send the first so many octets of the buffer.
    Reply(usize),
    /// Say nothing.
    Drop,
}

/// [`answer_tallying`] where nobody tallies: previews, tests.
pub fn answer(message: &[u8], asked: &Asked, table: &RoutingTable, out: &mut [u8]) -> Outcome {
    answer_with(message, asked, table, &mut (), out)
}

/// Answers one query. `tally` learns which endpoints of services the reply names. `out` should hold [`crate::limits::MESSAGE_LEN_MAX`] octets for stream transports and
/// [`crate::limits::UDP_RESPONSE_LEN_MAX`] for UDP; a shorter one bounds the reply.
pub fn answer_tallying(
    message: &[u8],
    asked: &Asked,
    table: &RoutingTable,
    tally: &mut Tallier<'_>,
    out: &mut [u8],
) -> Outcome {
    answer_with(message, asked, table, tally, out)
}

#[inline(always)] // there are two of it: with a tally and without
fn answer_with<T: Tally>(
    message: &[u8],
    asked: &Asked,
    table: &RoutingTable,
    tally: &mut T,
    out: &mut [u8],
) -> Outcome {
    let settings = table.settings();
    let udp_size = u16::try_from(settings.udp_response_len_max).unwrap_or(u16::MAX);
    let mut query = Query::blank();
    match query.fill(message) {
        Ok(()) => {}
        Err(Reject::Drop) => return Outcome::Drop,
        Err(Reject::Reply(error)) => {
            return match error.write(out, udp_size) {
                0 => Outcome::Drop,
                len => Outcome::Reply(len),
            };
        }
    }
    let len_max = match asked.transport {
        Transport::Udp => query.udp_response_len_max(settings.udp_response_len_max),
        Transport::Tcp | Transport::Tls => MESSAGE_LEN_MAX,
    };
    let Some(mut writer) = Writer::new(&query, out, len_max) else { return Outcome::Drop };
    let mut opt = OptReply { udp_size, ..OptReply::default() };
    if let Some(edns) = query.edns() {
        opt.dnssec_ok = edns.dnssec_ok;
        opt.ecs = edns.ecs;
        if edns.wants_nsid {
            opt.nsid = settings.nsid.as_deref();
        }
        writer.reserve(opt.reserved_len());
    }
    if query.edns().is_some_and(|edns| edns.version != 0) {
        writer.set_rcode(rcode::BADVERS);
    } else if query.has_tsig() {
        writer.set_rcode(rcode::NOTAUTH);
    } else if query.qclass() == class::IN {
        let ecs = query.edns().and_then(|edns| edns.ecs.as_ref());
        let believed = ecs.and_then(|ecs| believed_subnet(ecs, asked.client, settings));
        let client = believed.as_ref().unwrap_or(&asked.client);
        resolve::resolve(&query, asked, client, table, tally, &mut writer, &mut opt);
        // A client whose subnet was not looked at could be anywhere (RFC 7871 §7.2.1).
        if believed.is_none() {
            opt.scope = 0;
        }
    } else {
        chaos::answer(&query, settings, &mut writer);
    }
    Outcome::Reply(writer.finish(query.edns().map(|_| &opt)))
}

/// Has the processor fetch what answering these queries will read, as far as names and senders say; those that are no
/// queries are left out. It changes no answer. Nothing is done for a single query, nor for a table that the caches
/// hold.
pub fn look_ahead<'q>(
    queries: impl ExactSizeIterator<Item = (&'q [u8], IpAddr)>,
    table: &RoutingTable,
    tallier: &Tallier<'_>,
) {
    if queries.len() > 1 && table.is_worth_looking_ahead() {
        let questions = queries.filter_map(|(query, client)| {
            let mut name = QName::blank();
            name.fill(query.get(HEADER_LEN..)?)?;
            Some((NameHash::of(name.as_wire()), client))
        });
        table.look_ahead(questions, tallier);
    }
}

/// The client's address as its resolver tells it, when we believe the resolver and it tells one.
#[inline]
fn believed_subnet(ecs: &Ecs<'_>, resolver: IpAddr, settings: &Settings) -> Option<IpAddr> {
    match &settings.ecs_from {
        Some(nets) if !is_among(nets, resolver) => None,
        Some(_) | None => ecs.address(),
    }
}

#[inline(never)] // seldom configured
fn is_among(nets: &[IpNet], resolver: IpAddr) -> bool {
    let resolver = resolver.to_canonical();
    nets.iter().any(|net| net.contains(&resolver))
}
