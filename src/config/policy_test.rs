//! Policy tests: what the network team promises itself about its own files.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{DatacenterIx, Name, Origin};

/// One entry of `tests:`. Running it is done where answers are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTest {
    /// As its author called it.
    pub name: Option<String>,
    /// Whom it speaks of. The network without host bits; a single address is a /32 or /128.
    pub client: IpNet,
    /// The name that is asked for.
    pub question: Name,
    /// The type that is asked for, by number.
    pub rtype: u16,
    /// These data centres are down.
    pub down: BTreeSet<DatacenterIx>,
    /// These are ordered out.
    pub out: BTreeSet<DatacenterIx>,
    /// A switch to these stands: one, or the members of a group. Empty: none.
    pub switch: BTreeSet<DatacenterIx>,
    /// What must come.
    pub expect: Expect,
    /// Where it was written.
    pub origin: Origin,
}

/// What a policy test expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Answers are possible from each of these data centres, and from no other.
    Datacenters(BTreeSet<DatacenterIx>),
    /// Each of these addresses is a possible answer, and no other.
    Addresses(BTreeSet<IpAddr>),
    /// NOERROR without an answer.
    NoData,
    /// This response code.
    Rcode(u8),
}
