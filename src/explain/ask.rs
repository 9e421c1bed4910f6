//! Asking a table as a client would: a query's bytes in, a reply parsed.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{RData, Record, RecordType};
use ipnet::IpNet;

use crate::answer::{self, Asked, Outcome, Transport};
use crate::limits::MESSAGE_LEN_MAX;
use crate::model::{Name, ServiceIx};
use crate::table::RoutingTable;

/// A reply, as a client reads it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The response code.
    pub rcode: ResponseCode,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authorities: Vec<Record>,
    /// The ECS scope.
    pub scope: Option<u8>,
}

impl Reply {
    /// The addresses among the answers.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                _ => None,
            })
            .collect()
    }
}

/// Random numbers that between them bring out every answer that chance could give; one for static data.
pub fn randoms(table: &RoutingTable, service: Option<ServiceIx>, client: IpNet) -> Vec<u64> {
    match service.map(|ix| table.service(ix)) {
        Some(view) => view.randoms(view.locate(client.addr())),
        None => vec![0],
    }
}

/// Asks `table` for `name` from `client`, over TCP so that nothing is cut off.
pub fn ask(
    table: &RoutingTable,
    name: &Name,
    rtype: u16,
    client: IpNet,
    random: u64,
) -> Result<Reply, Box<dyn std::error::Error>> {
    let mut query = Message::new(1, MessageType::Query, OpCode::Query);
    let name = hickory_proto::rr::Name::from_ascii(name.to_string())?;
    query.add_query(Query::query(name, RecordType::from(rtype)));
    let mut edns = Edns::new();
    let subnet = ClientSubnet::new(client.network(), client.prefix_len(), 0);
    edns.options_mut().insert(EdnsOption::Subnet(subnet));
    query.set_edns(edns);
    let asked = Asked { client: client.addr(), transport: Transport::Tcp, random };
    let mut out = vec![0; MESSAGE_LEN_MAX];
    let Outcome::Reply(len) = answer::answer(&query.to_vec()?, &asked, table, &mut out) else {
        return Err("the query was dropped".into());
    };
    let reply = Message::from_vec(&out[..len])?;
    let scope = reply.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet)).and_then(|option| match option {
        EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
        _ => None,
    });
    Ok(Reply { rcode: reply.metadata.response_code, answers: reply.answers, authorities: reply.authorities, scope })
}
