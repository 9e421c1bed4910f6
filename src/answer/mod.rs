//! From a query's bytes to a reply's bytes: the one decision behind every transport.
//!
//! ```text
//! bytes ─▶ Query ─▶ who asks (ECS or transport) ─▶ name ─┬▶ static data ──┐
//!                                                        ├▶ service ──────┼▶ Writer ─▶ bytes
//!                                                        └▶ nothing, cut ─┘
//! ```
//!
//! [`answer`] is a pure function of the query, of who asked and how, of one table, and of one random number.
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

use crate::limits::MESSAGE_LEN_MAX;
use crate::model::Settings;
use crate::table::RoutingTable;
use crate::wire::types::{class, rcode};
use crate::wire::{Edns, OptReply, Query, Reject, Writer};

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

/// Answers one query. `out` should hold [`crate::limits::MESSAGE_LEN_MAX`] octets for stream transports and
/// [`crate::limits::UDP_RESPONSE_LEN_MAX`] for UDP; a shorter one bounds the reply.
pub fn answer(message: &[u8], asked: &Asked, table: &RoutingTable, out: &mut [u8]) -> Outcome {
    let settings = table.settings();
    let udp_size = u16::try_from(settings.udp_response_len_max).unwrap_or(u16::MAX);
    let mut query = Query::BLANK;
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
    let mut opt = query.edns().map(|edns| OptReply {
        udp_size,
        dnssec_ok: edns.dnssec_ok,
        ecs: edns.ecs.map(|ecs| (ecs, 0)),
        nsid: settings.nsid.as_deref().filter(|_| edns.wants_nsid),
        ede: None,
    });
    let Some(mut writer) = Writer::new(&query, out, len_max) else { return Outcome::Drop };
    if let Some(opt) = &opt {
        writer.reserve(opt.reserved_len());
    }
    if query.edns().is_some_and(|edns| edns.version != 0) {
        writer.set_rcode(rcode::BADVERS);
    } else if query.has_tsig() {
        writer.set_rcode(rcode::NOTAUTH);
    } else if query.qclass() == class::IN {
        let believed = query.edns().and_then(|edns| believed_subnet(edns, asked.client, settings));
        let told = resolve::resolve(&query, asked, believed.unwrap_or(asked.client), table, &mut writer);
        if let Some(opt) = &mut opt {
            opt.ede = told.ede;
            if let (Some((_, scope)), true) = (&mut opt.ecs, believed.is_some()) {
                *scope = told.scope;
            }
        }
    } else {
        chaos::answer(&query, settings, &mut writer);
    }
    Outcome::Reply(writer.finish(opt.as_ref()))
}

/// The client's address as its resolver tells it, when we believe the resolver and it tells one.
fn believed_subnet(edns: &Edns, resolver: IpAddr, settings: &Settings) -> Option<IpAddr> {
    let address = edns.ecs?.address()?;
    let believed = match &settings.ecs_from {
        None => true,
        Some(nets) => {
            let resolver = resolver.to_canonical();
            nets.iter().any(|net| net.contains(&resolver))
        }
    };
    believed.then_some(address)
}
