//! Variants to finished records.

use super::chunk::{Body, Span, Types};
use crate::model::{Data, EndpointIx, Https, Service};
use crate::wire::RrsetBuf;
use crate::wire::types::rtype;

/// Renders into one arena.
pub(super) struct Renderer<'a> {
    pub(super) service: &'a Service,
    pub(super) ttl: u32,
    pub(super) records: &'a mut Vec<u8>,
}

impl Renderer<'_> {
    /// The answer that names `endpoints`, each with the addresses that its mask lets through. An address
    /// that two of them have stands once.
    pub(super) fn body(&mut self, endpoints: &[(EndpointIx, Vec<bool>)]) -> Body {
        let mut body = Body { endpoint: endpoints.first().map_or(0, |(endpoint, _)| endpoint.0), ..Body::default() };
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (endpoint, live) in endpoints {
            match &self.service.endpoint(*endpoint).data {
                Data::Cname(name) => {
                    body.cname = self.rrset(rtype::CNAME, &[name.as_wire().to_vec()]);
                    return body;
                }
                Data::Addresses { v4: all_v4, v6: all_v6, .. } => {
                    let mut live = live.iter();
                    let mut keep = |octets: Vec<u8>, kept: &mut Vec<Vec<u8>>| {
                        if live.next().copied().unwrap_or(false) && !kept.contains(&octets) {
                            kept.push(octets);
                        }
                    };
                    all_v4.iter().for_each(|addr| keep(addr.octets().to_vec(), &mut v4));
                    all_v6.iter().for_each(|addr| keep(addr.octets().to_vec(), &mut v6));
                }
            }
        }
        body.a = self.rrset(rtype::A, &v4);
        body.aaaa = self.rrset(rtype::AAAA, &v6);
        if let Some(https) = &self.service.https {
            body.https = self.rrset(rtype::HTTPS, &[service_binding(https, &v4, &v6)]);
        }
        body
    }

    fn rrset(&mut self, rtype: u16, rdatas: &[Vec<u8>]) -> Span {
        append(self.records, rtype, self.ttl, rdatas)
    }
}

/// Appends an RRset to the arena.
pub(super) fn append(records: &mut Vec<u8>, rtype: u16, ttl: u32, rdatas: &[Vec<u8>]) -> Span {
    let mut rrset = RrsetBuf::new(rtype, ttl);
    for rdata in rdatas {
        rrset.push(rdata).expect("record data of a service is well-formed and far below 64 kB");
    }
    let rrset = rrset.as_rrset();
    let at = u32::try_from(records.len()).expect("limits bound the records of a service, and so of a chunk");
    records.extend_from_slice(rrset.records);
    Span { at, len: u16::try_from(rrset.records.len()).expect("an RRset is below 64 kB"), count: rrset.count }
}

/// RFC 9460 §2.2: priority 1, target the owner itself, parameters by ascending key.
fn service_binding(https: &Https, v4: &[Vec<u8>], v6: &[Vec<u8>]) -> Vec<u8> {
    let mut rdata = vec![0, 1, 0];
    let mut parameter = |key: u16, value: &[u8]| {
        let len = u16::try_from(value.len()).expect("bounded by the addresses of an answer");
        rdata.extend_from_slice(&key.to_be_bytes());
        rdata.extend_from_slice(&len.to_be_bytes());
        rdata.extend_from_slice(value);
    };
    if !https.alpn.is_empty() {
        let ids = https.alpn.iter().flat_map(|id| {
            let len = u8::try_from(id.len()).expect("protocol ids are at most 255 octets");
            std::iter::once(len).chain(id.bytes())
        });
        parameter(1, &ids.collect::<Vec<u8>>());
    }
    if let Some(port) = https.port {
        parameter(3, &port.to_be_bytes());
    }
    if !v4.is_empty() {
        parameter(4, &v4.concat());
    }
    if !v6.is_empty() {
        parameter(6, &v6.concat());
    }
    rdata
}

/// Which types a service would answer if all its endpoints were up.
pub(super) fn possible_types(service: &Service) -> Types {
    service.endpoints.iter().fold(Types::default(), |all, endpoint| match &endpoint.data {
        Data::Cname(_) => all.with(Types::CNAME),
        Data::Addresses { v4, v6, .. } => {
            let all = if v4.is_empty() { all } else { all.with(Types::A) };
            let all = if v6.is_empty() { all } else { all.with(Types::AAAA) };
            if service.https.is_some() { all.with(Types::HTTPS) } else { all }
        }
    })
}
