//! What a zone needs to know of a service.

use crate::model::{Data, Name, Origin, Service, ServiceIx, Settings, Ttl};

/// What a service answers with, as far as it matters to other data at its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// Addresses only: other types at its name are static data's.
    Addresses,
    /// Some endpoints are names: then it answers every type with a CNAME, and nothing else may be there.
    Cname,
    /// Some endpoints are addresses, some names: as strict as `Cname`.
    Mixed,
}

impl ServiceKind {
    /// True when an answer may be a CNAME.
    pub fn has_cname(self) -> bool {
        match self {
            ServiceKind::Addresses => false,
            ServiceKind::Cname | ServiceKind::Mixed => true,
        }
    }
}

/// A service's place among the names.
#[derive(Clone, Copy, Debug)]
pub struct ServicePlace<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Its index: what [`super::Node::service`] returns.
    pub ix: ServiceIx,
    /// The zone that its file says it is in.
    pub zone: Option<&'a Name>,
    /// What it answers with.
    pub kind: ServiceKind,
    /// It answers type 65.
    pub https: bool,
    /// The TTL of its answers.
    pub ttl: Ttl,
    /// Where its name was written.
    pub origin: &'a Origin,
}

impl<'a> ServicePlace<'a> {
    /// The place of `service`.
    pub fn of(ix: ServiceIx, service: &'a Service) -> ServicePlace<'a> {
        let cnames = service.endpoints.iter().filter(|endpoint| matches!(endpoint.data, Data::Cname(_))).count();
        let kind = match cnames {
            0 => ServiceKind::Addresses,
            all if all == service.endpoints.len() => ServiceKind::Cname,
            _ => ServiceKind::Mixed,
        };
        ServicePlace {
            name: &service.name,
            ix,
            zone: service.zone.as_ref(),
            kind,
            https: service.https.is_some(),
            ttl: service.ttl,
            origin: &service.origin,
        }
    }
}

/// How the zones are made of services that no master file covers.
#[derive(Clone, Copy, Debug)]
pub struct OwnZones<'a> {
    /// Their name servers; empty: `ns.invalid.`.
    pub ns: &'a [Name],
    /// RNAME of their SOA; `None`: `hostmaster.` and the service's name.
    pub mailbox: Option<&'a Name>,
    /// Without `ns`, refuse instead of warning: on any but a loopback listener resolvers would follow
    /// `ns.invalid.` to nowhere.
    pub ns_required: bool,
}

impl<'a> OwnZones<'a> {
    /// As `settings` say.
    pub fn of(settings: &'a Settings, ns_required: bool) -> OwnZones<'a> {
        OwnZones { ns: &settings.ns, mailbox: settings.mailbox.as_ref(), ns_required }
    }
}
