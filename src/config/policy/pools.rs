//! Tiers and pools: what a region's policy chooses from.

use std::collections::HashMap;

use crate::config::form::{At, Either, OneOrMany};
use crate::config::report::{Report, with_help};
use crate::config::source::Span;
use crate::config::spec::{ChoiceSpec, MemberSpec, PoolSpec};
use crate::config::words::EnterWord;
use crate::config::yaml::quote;
use crate::diag::Diagnostic;
use crate::limits;
use crate::model::{
    Data, Datacenter, DatacenterIx, Endpoint, EndpointIx, Entry, Member, Method, Node, Pool, TierWord, Weight,
};

use super::checks::Checks;

/// The endpoints of a service, by the names that policies use.
pub(super) struct Cast<'a> {
    pub(super) endpoints: &'a [Endpoint],
}

impl Cast<'_> {
    /// The endpoint called `name`; if there is none, that is reported.
    pub(super) fn endpoint(&self, name: &At<String>, report: &mut Report) -> Option<EndpointIx> {
        let found = self.endpoints.binary_search_by(|endpoint| endpoint.id.as_str().cmp(&name.value));
        if let Ok(at) = found {
            return Some(EndpointIx::from_at(at));
        }
        let near = report.did_you_mean(&name.value, self.endpoints.iter().map(|endpoint| endpoint.id.as_str()));
        let error = Diagnostic::error("unknown-endpoint", format!("there is no endpoint {}", quote(&name.value)))
            .expected("the id of an endpoint of this service");
        report.at(name.at, with_help(error, near));
        None
    }

    /// All endpoints but those that only say sorry.
    pub(super) fn all(&self, method: Method, sorry: &[EndpointIx]) -> Option<Pool> {
        let members: Vec<Member> = (0..self.endpoints.len())
            .map(EndpointIx::from_at)
            .filter(|ix| !sorry.contains(ix))
            .map(|ix| Member {
                node: Node::Endpoint(ix),
                weight: self.endpoints[ix.at()].weight,
                entry: Entry::default(),
                word: None,
            })
            .collect();
        (!members.is_empty()).then_some(Pool { method, members })
    }
}

/// One region's tree of pools in the making.
pub(super) struct Tree<'a, 'c> {
    pub(super) cast: &'a Cast<'c>,
    pub(super) checks: &'a Checks,
    /// For lists and pools that name none.
    pub(super) method: Method,
    /// Of each endpoint: where it is in the tree already.
    seen: Vec<Option<Span>>,
}

/// A choice with what was said about it.
struct Choice {
    node: Node,
    weight: Option<At<Weight>>,
    entry: Entry,
    /// Where the first entry condition stands.
    entry_at: Option<Span>,
}

impl<'a, 'c> Tree<'a, 'c> {
    pub(super) fn new(cast: &'a Cast<'c>, checks: &'a Checks, method: Method) -> Tree<'a, 'c> {
        Tree { cast, checks, method, seen: vec![None; cast.endpoints.len()] }
    }

    /// The tiers of a region, or below the first `depth` those of a pool: it takes the first usable. Entry
    /// conditions are a region's: who watches them knows its tiers by their position.
    pub(super) fn tiers<'s>(
        &mut self,
        choices: impl Iterator<Item = (Option<TierWord>, &'s ChoiceSpec)>,
        depth: usize,
        report: &mut Report,
    ) -> Option<Pool> {
        let mut members = Vec::new();
        for (word, spec) in choices {
            let Some(choice) = self.choice(spec, depth, report) else { continue };
            if let Some(weight) = &choice.weight {
                let warning = Diagnostic::warning("weight-ignored", "a weight means nothing among tiers")
                    .help("tiers are tried in order; weights count inside `members`");
                report.at(weight.at, warning);
            }
            if let (true, Some(at)) = (depth > 1, choice.entry_at) {
                entry_outside_tiers(at, report);
            } else if let (true, false, Some(at)) = (members.is_empty(), choice.entry.after.is_zero(), choice.entry_at)
            {
                let error = Diagnostic::error("after-on-first-tier", "nothing is before the first tier").help(
                    "`after` waits until the tiers before have been unusable for so long: put it on a later tier",
                );
                report.at(at, error);
            }
            let weight = self.weight(&choice);
            members.push(Member { node: choice.node, weight, entry: choice.entry, word });
        }
        (!members.is_empty()).then_some(Pool { method: Method::Ordered, members })
    }

    fn weight(&self, choice: &Choice) -> Weight {
        match (&choice.weight, &choice.node) {
            (Some(given), _) => given.value,
            (None, Node::Endpoint(ix)) => self.cast.endpoints[ix.at()].weight,
            (None, Node::Pool(_)) => Weight::ONE,
        }
    }

    fn choice(&mut self, spec: &ChoiceSpec, depth: usize, report: &mut Report) -> Option<Choice> {
        match spec {
            Either::Mapping(pool) => self.pool(pool, depth, report),
            Either::Short(one) if one.items.len() == 1 => self.member(one.items.first()?, depth, report),
            Either::Short(list) => {
                let pool = self.members(list, self.method, depth, report)?;
                Some(Choice { node: Node::Pool(pool), weight: None, entry: Entry::default(), entry_at: None })
            }
        }
    }

    fn member(&mut self, spec: &MemberSpec, depth: usize, report: &mut Report) -> Option<Choice> {
        match spec {
            Either::Short(name) => {
                let node = Node::Endpoint(self.endpoint(name, report)?);
                Some(Choice { node, weight: None, entry: Entry::default(), entry_at: None })
            }
            Either::Mapping(pool) => self.pool(pool, depth, report),
        }
    }

    fn endpoint(&mut self, name: &At<String>, report: &mut Report) -> Option<EndpointIx> {
        let ix = self.cast.endpoint(name, report)?;
        if let Some(first) = self.seen[ix.at()] {
            let first = report.related(first, "it is here already");
            let error =
                Diagnostic::error("duplicate-endpoint", format!("{} is in this region twice", quote(&name.value)))
                    .help("an endpoint has one place in a region")
                    .related(first);
            report.at(name.at, error);
            return None;
        }
        self.seen[ix.at()] = Some(name.at);
        Some(ix)
    }

    fn members(
        &mut self,
        list: &OneOrMany<MemberSpec>,
        method: Method,
        depth: usize,
        report: &mut Report,
    ) -> Option<Pool> {
        if list.items.is_empty() {
            report.at(list.at, Diagnostic::error("empty-list", "there is nothing to choose from"));
        }
        if list.items.len() > limits::POOL_MEMBERS_MAX {
            let error = Diagnostic::error("too-many", format!("a pool of {} members", list.items.len()));
            report.at(list.at, error.expected(format!("at most {}", limits::POOL_MEMBERS_MAX)));
            return None;
        }
        let mut members = Vec::with_capacity(list.items.len());
        for item in &list.items {
            let Some(choice) = self.member(item, depth + 1, report) else { continue };
            if let Some(at) = choice.entry_at {
                entry_outside_tiers(at, report);
            }
            let at = match item {
                Either::Short(name) => name.at,
                Either::Mapping(pool) => pool.at,
            };
            self.check_place(&choice.node, method, at, report);
            let weight = self.weight(&choice);
            members.push(Member { node: choice.node, weight, entry: Entry::default(), word: None });
        }
        (!members.is_empty()).then_some(Pool { method, members })
    }

    /// Priority and place are an endpoint's: a pool has neither. And what a pool in a `sticky` one comes down
    /// to changes with health, which would move clients whose own endpoint is well.
    fn check_place(&self, node: &Node, method: Method, at: Span, report: &mut Report) {
        let missing = match (node, method) {
            (Node::Pool(_), Method::Priority) => "priority",
            (Node::Pool(_), Method::Nearest) => "place",
            (Node::Pool(_), Method::Sticky) => {
                let error = Diagnostic::error("nested-sticky", "a pool inside a `sticky` pool")
                    .expected("an endpoint")
                    .help("list the endpoints in the `sticky` pool itself, each with its weight");
                return report.at(at, error);
            }
            (Node::Endpoint(_), _) | (Node::Pool(_), Method::Ordered | Method::Weighted) => return,
        };
        let message = format!("a pool has no {missing} by which `{}` could choose it", method.as_str());
        report.at(at, Diagnostic::error("pool-in-pool", message).expected("an endpoint"));
    }

    fn pool(&mut self, spec: &PoolSpec, depth: usize, report: &mut Report) -> Option<Choice> {
        if depth > limits::NESTING_MAX {
            let message = format!("pools nest deeper than {} levels", limits::NESTING_MAX);
            report.at(spec.at, Diagnostic::error("too-deep", message));
            return None;
        }
        let (entry, entry_at) = self.entry(spec, report);
        if let (Some(method), None, true) = (&spec.method, &spec.members, spec.clean) {
            let error = Diagnostic::error("exclusive-fields", "a `method` chooses among `members`, and there are none");
            report.at(method.at, error.help("`tiers` are tried in order"));
        }
        let node = match (&spec.endpoint, &spec.members, &spec.tiers) {
            (Some(name), None, None) => Node::Endpoint(self.endpoint(name, report)?),
            (None, Some(members), None) => {
                let method = spec.method.as_ref().map_or(self.method, |word| word.value.method());
                Node::Pool(self.members(members, method, depth, report)?)
            }
            (None, None, Some(tiers)) => {
                check_tiers(tiers.len(), spec.at, report);
                Node::Pool(self.tiers(tiers.iter().map(|tier| (None, tier)), depth + 1, report)?)
            }
            (None, None, None) if !spec.clean => return None,
            _ => {
                let error = Diagnostic::error("exclusive-fields", "this does not say what to choose from")
                    .expected("one of `endpoint`, `members` and `tiers`");
                report.at(spec.at, error);
                return None;
            }
        };
        Some(Choice { node, weight: spec.weight.clone(), entry, entry_at })
    }

    fn entry(&self, spec: &PoolSpec, report: &mut Report) -> (Entry, Option<Span>) {
        let when = spec.when.iter().flat_map(|when| &when.items);
        let entry = Entry {
            manual: spec.enter.as_ref().is_some_and(|word| word.value == EnterWord::Manual),
            after: spec.after.as_ref().map(|after| after.value.0).unwrap_or_default(),
            when: when.filter_map(|name| self.checks.named(name, report)).collect(),
            confirm: spec.confirm.as_ref().and_then(|n| u16::try_from(n.value.0).ok()).unwrap_or(0),
        };
        let places = [
            spec.enter.as_ref().map(|word| word.at),
            spec.after.as_ref().map(|after| after.at),
            spec.when.as_ref().map(|when| when.at),
            spec.confirm.as_ref().map(|confirm| confirm.at),
        ];
        (entry, places.into_iter().flatten().min())
    }
}

fn entry_outside_tiers(at: Span, report: &mut Report) {
    let error = Diagnostic::error("entry-outside-tiers", "an entry condition on what is not a tier of the region")
        .help("`enter`, `after`, `when` and `confirm` stand on the region's own tiers, not on what is inside them");
    report.at(at, error);
}

/// Reports too many and too few tiers.
pub(super) fn check_tiers(count: usize, at: Span, report: &mut Report) {
    if count == 0 {
        report.at(at, Diagnostic::error("empty-list", "there are no tiers"));
    }
    if count > limits::TIERS_MAX {
        let error = Diagnostic::error("too-many", format!("{count} tiers"));
        report.at(at, error.expected(format!("at most {}", limits::TIERS_MAX)));
    }
}

/// What only shows once a whole tree stands: one mode a plan, one kind of data in each group that
/// chooses at random, and places for `nearest`.
pub(super) fn check_tree(
    pool: &Pool,
    endpoints: &[Endpoint],
    datacenters: &[Datacenter],
    at: Span,
    report: &mut Report,
) {
    if pool.method == Method::Weighted && pool.uses(Method::Sticky) {
        let error = Diagnostic::error("mixed-methods", "`sticky` and `weighted` meet in one tier")
            .expected("one of the two: a choice is made by hash or at random")
            .help("use one method in all pools of the tier");
        report.at(at, error);
        return;
    }
    if pool.method == Method::Nearest {
        check_places(pool, endpoints, datacenters, at, report);
    }
    let names = endpoints.iter().filter(|endpoint| matches!(endpoint.data, Data::Cname(_))).count();
    if (1..endpoints.len()).contains(&names) && is_mixed(pool, endpoints, at, report) {
        return;
    }
    for member in &pool.members {
        if let Node::Pool(pool) = &member.node {
            check_tree(pool, endpoints, datacenters, at, report);
        }
    }
}

/// True when a name and addresses are in one group of a pool that chooses at random; that is reported.
fn is_mixed(pool: &Pool, endpoints: &[Endpoint], at: Span, report: &mut Report) -> bool {
    // By what decides, and its value.
    let mut groups: HashMap<(Method, u32), Vec<EndpointIx>> = HashMap::new();
    match pool.method {
        Method::Ordered => {}
        Method::Weighted | Method::Sticky => {
            groups.insert((pool.method, 0), pool.endpoints());
        }
        Method::Priority => {
            for ix in pool.endpoints() {
                groups.entry((Method::Priority, endpoints[ix.at()].priority)).or_default().push(ix);
            }
        }
        Method::Nearest => {
            for ix in pool.endpoints() {
                let endpoint = &endpoints[ix.at()];
                groups.entry((Method::Nearest, u32::from(endpoint.datacenter.0))).or_default().push(ix);
                // Clients of unknown places go by priority.
                groups.entry((Method::Priority, endpoint.priority)).or_default().push(ix);
            }
        }
    }
    let name = |ix: &EndpointIx| matches!(endpoints[ix.at()].data, Data::Cname(_));
    let mixed = groups.values().filter_map(|group| {
        let cname = group.iter().find(|ix| name(ix))?;
        let address = group.iter().find(|ix| !name(ix))?;
        Some((*cname, *address))
    });
    let mixed = mixed.min();
    if let Some((cname, address)) = mixed {
        let (cname, address) = (&endpoints[cname.at()].id, &endpoints[address.at()].id);
        let message =
            format!("`{cname}` is a name and `{address}` has addresses, and chance would decide between them");
        let error = Diagnostic::error("mixed-data", message)
            .expected("only addresses or only names where the choice is at random or by hash")
            .help(match pool.method {
                Method::Nearest => {
                    "put them into different tiers, or give them data centres and priorities that differ: clients of \
                     unknown places go by priority"
                }
                Method::Ordered | Method::Priority | Method::Weighted | Method::Sticky => {
                    "put them into different tiers, or give them different priorities"
                }
            });
        report.at(at, error);
    }
    mixed.is_some()
}

fn check_places(pool: &Pool, endpoints: &[Endpoint], datacenters: &[Datacenter], at: Span, report: &mut Report) {
    let mut without: Vec<DatacenterIx> = Vec::new();
    let mut with: Vec<DatacenterIx> = Vec::new();
    for ix in pool.endpoints() {
        let datacenter = endpoints[ix.at()].datacenter;
        match datacenters.get(datacenter.at()).and_then(|datacenter| datacenter.at) {
            Some(_) => with.push(datacenter),
            None => without.push(datacenter),
        }
    }
    without.sort_unstable();
    without.dedup();
    with.sort_unstable();
    with.dedup();
    if with.len() > limits::NEAREST_SITES_MAX {
        let message = format!("`nearest` among {} data centres", with.len());
        let error = Diagnostic::error("too-many-sites", message)
            .expected(format!("at most {}", limits::NEAREST_SITES_MAX))
            .help("name the data centres of a region in tiers of its own");
        report.at(at, error);
        return;
    }
    if without.is_empty() {
        return;
    }
    let names: Vec<String> = without
        .iter()
        .filter_map(|ix| datacenters.get(ix.at()))
        .map(|datacenter| format!("`{}`", datacenter.id))
        .collect();
    let help = "give `latitude` and `longitude` under `datacenters`";
    let diagnostic = if !with.is_empty() {
        let message = format!("{} cannot be nearest to anybody: no position is known", names.join(", "));
        Diagnostic::warning("no-position", message)
    } else {
        Diagnostic::error("no-position", "`nearest` needs the positions of the data centres, and none is known")
    };
    report.at(at, diagnostic.help(help));
}
