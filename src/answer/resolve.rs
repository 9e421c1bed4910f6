//! From a name to records: RFC 1034 §4.3.2, with services among the names.
//!
//! The name asked for is the first hop; a CNAME or DNAME inside our zones leads to the next. The chain ends at
//! a service that depends on the client once anything has been answered: what follows would be cached by
//! the resolver under the wrong scope, and the resolver asks for the service by itself.
//!
//! Whatever names an endpoint is tallied where it is written: the addresses, CNAME or HTTPS record of a choice, at
//! every hop, under the TTL of that very record. A chain leads no further once any of its links has expired, so
//! longer TTLs of other links do not matter. Additional sections, glue, HINFO and negative answers name no endpoint.

use std::net::IpAddr;

use super::Asked;
use super::debug;
use crate::limits::CNAME_HOPS_MAX;
use crate::model::ServiceIx;
use crate::table::{RoutingTable, ServiceView, Tally};
use crate::wire::types::{class, ede, rcode, rtype};
use crate::wire::{Compact, Ede, NameBuf, OptReply, Owner, QName, Query, RrsetRef, Section, Writer, name, rdata};
use crate::zone::{Find, Node, Zone};

/// TTL of the HINFO that stands for ANY (RFC 8482 §4.2): long, since it says nothing that could change.
const HINFO_TTL_S: u32 = 3600;

/// `"RFC8482"` and an empty string.
const HINFO: &[u8] = b"\x07RFC8482\0";

/// Said to everyone when nothing may answer. Why (orders, health, policy) is the operator's business: the debug
/// TXT and `explain` tell it to those who may know.
const NO_ENDPOINT: &str = "no endpoint is available";

/// Answers a question of class IN. OPT learns of an extended error, and of the scope: 0 when no decision looked
/// at `client`.
#[inline]
pub(super) fn resolve<T: Tally>(
    query: &Query<'_>,
    asked: &Asked,
    client: &IpAddr,
    table: &RoutingTable,
    tally: &mut T,
    writer: &mut Writer<'_>,
    opt: &mut OptReply<'_>,
) {
    let mut resolution = Resolution { query, asked, client, table, tally, writer, opt, has_answered: false };
    if matches!(query.qtype(), rtype::AXFR | rtype::IXFR) {
        resolution.refuse(Ede { code: ede::NOT_SUPPORTED, text: "no zone transfers" });
    } else {
        resolution.run();
    }
}

struct Resolution<'r, 'w, 'o, T> {
    query: &'r Query<'r>,
    asked: &'r Asked,
    /// Where the client is, as far as we are told.
    client: &'r IpAddr,
    table: &'r RoutingTable,
    tally: &'r mut T,
    writer: &'r mut Writer<'w>,
    opt: &'r mut OptReply<'o>,
    /// A CNAME has been answered: this is not the first hop.
    has_answered: bool,
}

/// A name on the way, and how to write it.
#[derive(Clone, Copy)]
struct Hop<'h> {
    /// In wire form, lower case.
    name: &'h [u8],
    /// What led here; `None`: it is the question's own name.
    before: Option<&'h Hop<'h>>,
    /// How many more may follow.
    hops_left: usize,
}

impl<'h> Hop<'h> {
    fn owner(&self) -> Owner<'h> {
        if self.before.is_none() { Owner::Question } else { Owner::Name(self.name) }
    }

    /// The suffix that begins `skip` octets into the name.
    fn ancestor(&self, skip: usize) -> Owner<'h> {
        match (self.before, skip) {
            (None, 0) => Owner::Question,
            (None, skip) => Owner::QuestionSuffix(skip),
            (Some(_), skip) => Owner::Name(&self.name[skip..]),
        }
    }

    /// True when the chain has been at `name` before: what follows is in the answer already.
    fn has_passed(&self, name: &[u8]) -> bool {
        self.name == name || self.before.is_some_and(|before| before.has_passed(name))
    }
}

impl<T: Tally> Resolution<'_, '_, '_, T> {
    fn run(&mut self) {
        let query = self.query;
        self.walk(&Hop { name: query.qname().as_wire(), before: None, hops_left: CNAME_HOPS_MAX });
    }

    /// Goes on from `hop` to the name that begins `target`, unless the way is too long or has been there: each
    /// hop's name is on the stack of its own call, so that a loop is seen for what it is.
    #[inline(never)] // the room for the name would weigh on every answer
    fn walk_on(&mut self, hop: &Hop<'_>, target: &[u8]) {
        let mut name = QName::blank();
        if hop.hops_left > 0 && name.fill(target).is_some() && !hop.has_passed(name.as_wire()) {
            self.walk(&Hop { name: name.as_wire(), before: Some(hop), hops_left: hop.hops_left - 1 });
        }
    }

    /// Answers at `hop`, and at what follows from it. There are two of it: for the question's own name, and in
    /// [`Resolution::walk_on`] for those that follow.
    #[inline(always)] // 30 instructions of each answer's
    fn walk(&mut self, hop: &Hop<'_>) {
        match self.table.zones().exact(hop.name) {
            Some(node) if node.is_plain() && self.query.qtype() != rtype::DS => self.node(hop, node),
            exact => self.walk_around(hop, exact),
        }
    }

    /// The same where there is more to it than a name that exists.
    #[inline(never)]
    fn walk_around(&mut self, hop: &Hop<'_>, exact: Option<Node<'_>>) {
        let zones = self.table.zones();
        let found = match self.query.qtype() {
            rtype::DS => zones.find_parent_side(hop.name),
            _ => zones.find_from(exact, hop.name),
        };
        match found {
            Find::NotOurs => {
                if !self.has_answered {
                    self.refuse(Ede { code: ede::NOT_AUTHORITATIVE, text: "" });
                }
            }
            Find::Node { node } | Find::Wildcard { node, .. } => self.node(hop, node),
            Find::Cut { node, owner: 0, zone } if self.query.qtype() == rtype::DS => {
                self.set_authoritative();
                match node.rrset(rtype::DS) {
                    Some(ds) => self.require(hop.owner(), &ds),
                    None => self.no_data(hop, zone),
                }
            }
            Find::Cut { zone, node, owner } => self.refer(hop, zone, node, owner),
            Find::Dname { node, owner, .. } => self.dname(hop, node, owner),
            Find::NoName { zone, encloser } => {
                self.set_authoritative();
                if let Some(service) = debug::service_asked(hop.name, encloser, self.table, self.asked) {
                    self.debug(hop, zone, service);
                    return;
                }
                self.writer.set_rcode(rcode::NXDOMAIN);
                self.no_data(hop, zone);
            }
        }
    }

    /// The debug name of a service. What it says depends on the client, so an alias of it ends before it.
    #[inline(never)]
    fn debug(&mut self, hop: &Hop<'_>, zone: Zone<'_>, service: ServiceIx) {
        if self.has_answered {
            return;
        }
        if matches!(self.query.qtype(), rtype::TXT | rtype::ANY) {
            debug::answer(service, *self.client, self.asked, self.table, self.writer, self.opt);
        } else {
            self.no_data(hop, zone);
        }
    }

    /// A name that exists, or that a wildcard stands for.
    #[inline(always)]
    fn node(&mut self, hop: &Hop<'_>, node: Node<'_>) {
        if let Some(ix) = node.service() {
            let service = self.table.service(ix);
            if self.has_answered && !service.is_same_everywhere() {
                return;
            }
            self.set_authoritative();
            return self.service(hop, node, &service);
        }
        self.set_authoritative();
        let qtype = self.query.qtype();
        if let Some(rrset) = node.rrset(qtype) {
            self.data(hop, &rrset);
            return;
        }
        match node.rrset(rtype::CNAME) {
            Some(cname) => self.follow(hop, &cname),
            None if qtype == rtype::ANY && !node.is_empty() => self.hinfo(hop, HINFO_TTL_S),
            None => self.no_data(hop, node.zone()),
        }
    }

    #[inline(always)]
    fn service(&mut self, hop: &Hop<'_>, node: Node<'_>, service: &ServiceView<'_>) {
        let qtype = self.query.qtype();
        if qtype == rtype::ANY && !service.may_answer(rtype::CNAME) {
            return self.hinfo(hop, HINFO_TTL_S);
        }
        if !service.may_answer(qtype) {
            return match node.rrset(qtype) {
                Some(rrset) => self.data(hop, &rrset),
                None => self.service_no_data(hop, node.zone(), service, false),
            };
        }
        self.tally.asked(service.ix(), self.client, qtype);
        let located = service.locate(*self.client);
        self.opt.scope = self.opt.scope.max(located.scope);
        let Some(choice) = service.choose(located, *self.client, self.asked.random) else {
            self.opt.ede = Some(Ede { code: ede::OTHER, text: NO_ENDPOINT });
            return self.service_no_data(hop, node.zone(), service, true);
        };
        if let Some(cname) = choice.cname() {
            self.tally.given(&choice);
            return self.follow(hop, &cname);
        }
        match choice.rrset(qtype) {
            Some(rrset) => {
                self.tally.given(&choice);
                self.write(hop, &rrset);
            }
            // Another choice would be a name: the HINFO holds no longer than this one.
            None if qtype == rtype::ANY => self.hinfo(hop, choice.ttl().min(HINFO_TTL_S)),
            None => self.service_no_data(hop, node.zone(), service, true),
        }
    }

    /// Static data of the type that was asked.
    #[inline(always)]
    fn data(&mut self, hop: &Hop<'_>, rrset: &RrsetRef<'_>) {
        self.write(hop, rrset);
        if matches!(rrset.rtype, rtype::NS | rtype::MX | rtype::SRV) {
            self.add_targets(rrset);
        }
    }

    /// True when a CNAME is itself what was asked for, and so not followed (RFC 1034 §3.6.2): ANY is answered
    /// with it alone (RFC 8482 §4.1, and §4.2 has no HINFO beside a CNAME).
    fn wants_cname(&self) -> bool {
        matches!(self.query.qtype(), rtype::CNAME | rtype::ANY)
    }

    /// Answers with a CNAME, and goes on at its target unless the CNAME itself was asked for.
    #[inline(never)]
    fn follow(&mut self, hop: &Hop<'_>, cname: &RrsetRef<'_>) {
        self.require(hop.owner(), cname);
        if self.writer.is_truncated() || self.wants_cname() {
            return;
        }
        self.has_answered = true;
        if let Some((_, target)) = cname.records().next() {
            self.walk_on(hop, target);
        }
    }

    /// RFC 6672 §3.2: the DNAME, the CNAME that follows from it, and on at that one's target.
    #[inline(never)]
    fn dname(&mut self, hop: &Hop<'_>, node: Node<'_>, owner: usize) {
        self.set_authoritative();
        let Some(dname) = node.rrset(rtype::DNAME) else { return };
        if !self.has_met(hop, node) {
            self.require(hop.ancestor(owner), &dname);
        }
        if self.writer.is_truncated() {
            return;
        }
        self.has_answered = true;
        let Some((ttl, target)) = dname.records().next() else { return };
        let Some(target) = NameBuf::substitute(hop.name, owner, target) else {
            self.writer.set_rcode(rcode::YXDOMAIN);
            return;
        };
        if self.writer.cname(hop.owner(), target.as_wire(), ttl).is_err() {
            self.writer.truncate();
        } else if self.query.qtype() != rtype::CNAME {
            self.walk_on(hop, target.as_wire());
        }
    }

    /// True when the chain has come by this DNAME before: it is in the answer already.
    fn has_met(&self, hop: &Hop<'_>, dname: Node<'_>) -> bool {
        let earlier = std::iter::successors(hop.before, |hop| hop.before);
        earlier
            .into_iter()
            .any(|hop| matches!(self.table.zones().find(hop.name), Find::Dname { node, .. } if node == dname))
    }

    /// RFC 1034 §4.3.2 step 3b, RFC 9471: the delegation's NS and the addresses without which they could not
    /// be reached.
    #[inline(never)]
    fn refer(&mut self, hop: &Hop<'_>, zone: Zone<'_>, cut: Node<'_>, owner: usize) {
        let Some(ns) = cut.rrset(rtype::NS) else { return };
        let _ = self.writer.require(Section::Authority, hop.ancestor(owner), &ns, None);
        // In-domain glue first: only it is required to fit.
        for in_domain in [true, false] {
            for (_, data) in ns.records() {
                let Some(target) = rdata::target(rtype::NS, data) else { continue };
                if name::is_within(target, cut.name()) != in_domain || self.writer.is_truncated() {
                    continue;
                }
                let Some((a, aaaa)) = self.table.zones().glue(zone, target) else { continue };
                for rrset in [a, aaaa].into_iter().flatten() {
                    if in_domain {
                        let _ = self.writer.require(Section::Additional, Owner::Name(target), &rrset, None);
                    } else {
                        self.writer.offer(Owner::Name(target), &rrset);
                    }
                }
            }
        }
    }

    /// The addresses of what NS, MX and SRV records name, as far as they are static data of ours and fit.
    #[inline(never)] // most types have none
    fn add_targets(&mut self, rrset: &RrsetRef<'_>) {
        if self.writer.is_truncated() {
            return;
        }
        for (_, data) in rrset.records() {
            let Some(target) = rdata::target(rrset.rtype, data) else { continue };
            let Some((a, aaaa)) = self.table.zones().addresses(target) else { continue };
            for rrset in [a, aaaa].into_iter().flatten() {
                self.writer.offer(Owner::Name(target), &rrset);
            }
        }
    }

    fn no_data(&mut self, hop: &Hop<'_>, zone: Zone<'_>) {
        if let Some(soa) = zone.negative_soa() {
            self.soa(hop, zone, &soa);
        }
    }

    fn service_no_data(&mut self, hop: &Hop<'_>, zone: Zone<'_>, service: &ServiceView<'_>, depends_on_client: bool) {
        if let Some(soa) = service.soa(depends_on_client) {
            self.soa(hop, zone, &soa);
        }
    }

    /// The SOA of a negative answer (RFC 2308 §3).
    #[inline(never)]
    fn soa(&mut self, hop: &Hop<'_>, zone: Zone<'_>, soa: &Compact<'_>) {
        let skip = hop.name.len() - zone.apex().len();
        let _ = self.writer.require_compact(Section::Authority, hop.ancestor(skip), soa);
    }

    #[inline(never)]
    fn hinfo(&mut self, hop: &Hop<'_>, ttl: u32) {
        if self.writer.record(Section::Answer, hop.owner(), rtype::HINFO, class::IN, ttl, HINFO).is_err() {
            self.writer.truncate();
        }
    }

    /// What most answers consist of.
    #[inline(always)]
    fn write(&mut self, hop: &Hop<'_>, rrset: &RrsetRef<'_>) {
        let _ = self.writer.require(Section::Answer, hop.owner(), rrset, None);
    }

    #[inline(never)] // what `write` does, where it is not in the way
    fn require(&mut self, owner: Owner<'_>, rrset: &RrsetRef<'_>) {
        let _ = self.writer.require(Section::Answer, owner, rrset, None);
    }

    fn set_authoritative(&mut self) {
        self.writer.set_authoritative(true);
    }

    fn refuse(&mut self, why: Ede) {
        self.writer.set_rcode(rcode::REFUSED);
        self.opt.ede = Some(why);
    }
}
