//! Variants to finished records.

use super::chunk::{Body, Span, Types};
use crate::model::{Data, EndpointIx, Https, Service};
use crate::wire::push_record;
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
                    body.cname = self.rrset(rtype::CNAME, [name.as_wire()]);
                    return body;
                }
                Data::Addresses { v4: all_v4, v6: all_v6, .. } => {
                    let live = |at: usize| live.get(at).copied().unwrap_or(false);
                    keep(all_v4.iter().enumerate().filter(|(at, _)| live(*at)).map(|(_, addr)| addr.octets()), &mut v4);
                    let v6_live = |at: usize| live(all_v4.len() + at);
                    keep(
                        all_v6.iter().enumerate().filter(|(at, _)| v6_live(*at)).map(|(_, addr)| addr.octets()),
                        &mut v6,
                    );
                }
            }
        }
        body.a = self.rrset(rtype::A, v4.iter().map(|addr| &addr[..]));
        body.aaaa = self.rrset(rtype::AAAA, v6.iter().map(|addr| &addr[..]));
        if let Some(https) = &self.service.https {
            body.https = self.rrset(rtype::HTTPS, [&service_binding(https, &v4, &v6)[..]]);
        }
        body
    }

    fn rrset<'r>(&mut self, rtype: u16, rdatas: impl IntoIterator<Item = &'r [u8]>) -> Span {
        append(self.records, rtype, self.ttl, rdatas)
    }
}

/// Adds what is not there yet.
fn keep<const N: usize>(found: impl Iterator<Item = [u8; N]>, kept: &mut Vec<[u8; N]>) {
    for octets in found {
        if !kept.contains(&octets) {
            kept.push(octets);
        }
    }
}

/// Appends an RRset to the arena.
fn append<'r>(records: &mut Vec<u8>, rtype: u16, ttl: u32, rdatas: impl IntoIterator<Item = &'r [u8]>) -> Span {
    let (begin, mut count) = (records.len(), 0);
    for rdata in rdatas {
        push_record(records, rtype, ttl, rdata).expect("record data of a service is well-formed");
        count += 1;
    }
    if count == 0 {
        // Nothing lies nowhere: what is copied elsewhere must not seem to have moved.
        return Span::default();
    }
    let at = u32::try_from(begin).expect("limits bound the records of a service, and so of a chunk");
    Span { at, len: u16::try_from(records.len() - begin).expect("an RRset is far below 64 kB"), count }
}

/// RFC 9460 §2.2: priority 1, target the owner itself, parameters by ascending key.
fn service_binding(https: &Https, v4: &[[u8; 4]], v6: &[[u8; 16]]) -> Vec<u8> {
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
        parameter(4, v4.as_flattened());
    }
    if !v6.is_empty() {
        parameter(6, v6.as_flattened());
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
