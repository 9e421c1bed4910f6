//! Where a question comes to: through the aliases that master files set, to a service or to none.
//!
//! The server's own answer to an alias of a service ends at the alias, so that a resolver asks for the service by
//! itself and caches each answer under the right scope. Who wants to know what a client gets in the end must ask
//! twice, as that resolver does.

use crate::limits::CNAME_HOPS_MAX;
use crate::model::{Name, ServiceIx};
use crate::table::RoutingTable;
use crate::wire::name::NameBuf;
use crate::wire::rdata;
use crate::wire::types::rtype;
use crate::zone::{Find, Node};

/// What a question is about in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The names on the way: the one asked for, and each that an alias leads to. Never empty.
    pub names: Vec<Name>,
    /// Where it ends.
    pub stands: Stands,
}

/// What stands at the last of the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// A service.
    Service(ServiceIx),
    /// A name of a master file, whatever it owns.
    Static,
    /// Other servers answer below this point.
    Delegated,
    /// Our zone has no such name.
    NoName,
    /// In none of our zones.
    NotOurs,
}

impl Destination {
    /// Follows the static aliases of `name`, at most [`CNAME_HOPS_MAX`] and none twice. A question for CNAME or ANY
    /// is about the alias itself.
    pub fn of(table: &RoutingTable, name: &Name, rtype: u16) -> Destination {
        let mut names = vec![name.clone()];
        loop {
            let (stands, next) = look(table, &names[names.len() - 1]);
            let next = next.filter(|next| {
                !matches!(rtype, rtype::CNAME | rtype::ANY) && names.len() <= CNAME_HOPS_MAX && !names.contains(next)
            });
            match next {
                Some(next) => names.push(next),
                None => return Destination { names, stands },
            }
        }
    }

    /// The name that a resolver asks for last.
    pub fn last(&self) -> &Name {
        &self.names[self.names.len() - 1]
    }

    /// The service at the end, if it is one.
    pub fn service(&self) -> Option<ServiceIx> {
        match self.stands {
            Stands::Service(ix) => Some(ix),
            Stands::Static | Stands::Delegated | Stands::NoName | Stands::NotOurs => None,
        }
    }
}

/// What stands at `name`, and where it leads when that is an alias.
fn look(table: &RoutingTable, name: &Name) -> (Stands, Option<Name>) {
    match table.zones().find(name.as_wire()) {
        Find::Node { node, .. } | Find::Wildcard { node, .. } => match node.service() {
            Some(ix) => (Stands::Service(ix), None),
            None => (Stands::Static, target(node, rtype::CNAME, NameBuf::new)),
        },
        Find::Dname { node, owner, .. } => {
            (Stands::Static, target(node, rtype::DNAME, |target| NameBuf::substitute(name.as_wire(), owner, target)))
        }
        Find::Cut { .. } => (Stands::Delegated, None),
        Find::NoName { .. } => (Stands::NoName, None),
        Find::NotOurs => (Stands::NotOurs, None),
    }
}

fn target(node: Node<'_>, rtype: u16, name: impl FnOnce(&[u8]) -> Option<NameBuf>) -> Option<Name> {
    let rrset = node.rrset(rtype)?;
    let (_, data) = rrset.records().next()?;
    Name::from_wire(name(rdata::target(rtype, data)?)?.as_wire()).ok()
}
