//! An answer taken apart: what a client gets, and why, for people and for programs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::alias::{Destination, Stands};
use super::{ask, what_if};
use crate::model::{DatacenterIx, Name, Place};
use crate::steer::Plan;
use crate::table::{Explanation, RoutingTable, explain};
use crate::wire::types::TypeName;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The name asked for.
    pub name: Name,
    /// The type asked for.
    pub rtype: u16,
    /// Where the client is.
    pub client: IpNet,
}

impl Question {
    /// From what somebody typed. Without a client it is one of no known place.
    pub fn parse(name: &str, rtype: &str, client: Option<&str>) -> Result<Question, String> {
        let name = Name::parse(name).map_err(|error| format!("{name:?} is no domain name: {error}"))?;
        let rtype = TypeName::parse(rtype).ok_or_else(|| format!("there is no type {rtype:?}"))?.0;
        let client = match client {
            Some(text) => self::client(text)?,
            None => IpNet::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        };
        Ok(Question { name, rtype, client })
    }
}

/// An address, or as much of one as its resolver would tell.
fn client(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(|net| net.trunc())
        .map_err(|_| format!("{text:?} is neither an address nor a network such as 192.0.2.0/24"))
}

/// All that there is to say.
#[derive(Clone, Debug)]
pub struct Explained {
    destination: Destination,
    /// For a service one for each answer that chance could give; at least one.
    possible: Vec<Possible>,
    /// What the question assumes and nobody would notice.
    notes: Vec<String>,
}

/// One answer, and for a service how it came about.
#[derive(Clone, Debug)]
struct Possible {
    reply: ask::Reply,
    explanation: Option<Explanation>,
    /// The endpoints that it names.
    endpoints: Vec<String>,
}

impl Possible {
    /// The weight of what was chosen, and the sum of all that could have been.
    fn weight(&self) -> Option<(u64, u64)> {
        let explanation = self.explanation.as_ref()?;
        match &explanation.plan {
            Plan::Choose { variants, .. } => {
                let own = variants.get(explanation.variant?)?.weight;
                Some((u64::from(own), variants.iter().map(|variant| u64::from(variant.weight)).sum()))
            }
            Plan::NoData(_) => None,
        }
    }
}

/// Of an alias of a service it is the service that is explained, since a resolver asks for it by itself.
pub fn explained(table: &RoutingTable, question: &Question, down: &BTreeSet<DatacenterIx>) -> Result<Explained, Error> {
    let destination = Destination::of(table, &question.name, question.rtype);
    let policy = table.base().policy();
    let service = destination.service();
    let name = if service.is_some() { destination.last() } else { &question.name };
    let possible = ask::randoms(table, service, question.client).into_iter().map(|random| {
        let reply = ask::ask(table, name, question.rtype, question.client, random)?;
        let explanation = service.map(|ix| explain(table, ix, question.client.addr(), random));
        let endpoints = match (service, &explanation) {
            (Some(ix), Some(explanation)) => {
                let service = &policy.services[ix.at()];
                explanation.endpoints.iter().map(|ix| service.endpoint(*ix).id.to_string()).collect()
            }
            _ => Vec::new(),
        };
        Ok(Possible { reply, explanation, endpoints })
    });
    let possible = possible.collect::<Result<Vec<Possible>, Error>>()?;
    let notes = service.map_or_else(Vec::new, |ix| what_if::unseen(policy, ix, down));
    Ok(Explained { destination, possible, notes })
}

/// Why it can not be explained: a defect, since the question was good.
pub type Error = Box<dyn std::error::Error>;

/// For people.
pub fn text(question: &Question, explained: &Explained) -> Result<String, Error> {
    use std::fmt::Write;
    let mut out = String::new();
    let Explained { destination, possible: all, notes } = explained;
    writeln!(out, "{} {} for {}", question.name, TypeName(question.rtype), question.client)?;
    if destination.service().is_some() {
        for pair in destination.names.windows(2) {
            writeln!(
                out,
                "  alias    {} is an alias of {}: a resolver asks for {} by itself",
                pair[0], pair[1], pair[1]
            )?;
        }
    }
    let Some(Possible { reply: first, explanation, .. }) = all.first() else { return Ok(out) };
    for possible in all {
        let reply = &possible.reply;
        let chance = match possible.weight() {
            Some((weight, sum)) if all.len() > 1 => format!("   {weight} of {sum}"),
            _ => String::new(),
        };
        if reply.answers.is_empty() {
            let why = if u16::from(reply.rcode) == 0 { "no data".to_owned() } else { reply.rcode.to_string() };
            writeln!(out, "  answer   {why}{chance}")?;
        }
        for record in &reply.answers {
            writeln!(out, "  answer   {} {} {}{chance}", record.ttl, record.record_type(), record.data)?;
        }
        for record in reply.authorities.iter().filter(|_| reply.answers.is_empty()) {
            writeln!(out, "  authority {} {} {} {}", record.name, record.ttl, record.record_type(), record.data)?;
        }
    }
    if let Some(scope) = first.scope {
        writeln!(out, "  scope    /{scope}")?;
    }
    let Some(explanation) = explanation else {
        writeln!(out, "  why      {}", without_policy(destination))?;
        return Ok(out);
    };
    writeln!(out, "  place    {}", place(&explanation.place))?;
    let region = explanation.region.as_ref().map_or("elsewhere", |region| region.as_str());
    writeln!(out, "  region   {region}")?;
    writeln!(out, "  source   {}", source(&explanation.plan))?;
    for (at, reason) in explanation.reasons.iter().enumerate() {
        writeln!(out, "  {} {reason}", if at == 0 { "why     " } else { "        " })?;
    }
    for note in notes {
        writeln!(out, "  note     {note}")?;
    }
    Ok(out)
}

/// Why a name that is no service's is answered as it is.
fn without_policy(destination: &Destination) -> String {
    let name = destination.last();
    let is_alias = destination.names.len() > 1;
    match destination.stands {
        Stands::Static | Stands::Service(_) => "static data: no policy decides this name".to_owned(),
        Stands::Delegated => format!("{name} is delegated: other servers answer for it"),
        Stands::NoName => format!("no such name: our zone has no {name}"),
        Stands::NotOurs if is_alias => {
            format!("static data: an alias of {name}, which is in none of our zones: a resolver asks elsewhere")
        }
        Stands::NotOurs => format!("refused: {name} is in none of our zones"),
    }
}

/// For programs.
pub fn as_json(table: &RoutingTable, question: &Question, explained: &Explained) -> Value {
    let Explained { destination, possible: all, notes } = explained;
    let explanation = all.first().and_then(|possible| possible.explanation.as_ref());
    let possible: Vec<Value> = all
        .iter()
        .map(|possible| {
            json!({
                "rcode": u16::from(possible.reply.rcode),
                "answers": possible.reply.answers.iter().map(|record| json!({
                    "name": record.name.to_string(),
                    "ttl": record.ttl,
                    "type": record.record_type().to_string(),
                    "data": record.data.to_string(),
                })).collect::<Vec<_>>(),
                "endpoints": possible.endpoints,
                "weight": possible.weight().map(|(weight, _)| weight),
            })
        })
        .collect();
    let reasons = match explanation {
        Some(explanation) => explanation.reasons.iter().map(ToString::to_string).collect(),
        None => vec![without_policy(destination)],
    };
    json!({
        "name": question.name.to_string(),
        "type": TypeName(question.rtype).to_string(),
        "client": question.client.to_string(),
        "alias_of": destination.names[1..].iter().map(ToString::to_string).collect::<Vec<_>>(),
        "generation": table.generation().0,
        "revision": table.revision().0,
        "scope": all.first().and_then(|possible| possible.reply.scope),
        "region": explanation.and_then(|explanation| explanation.region.as_ref()).map(ToString::to_string),
        "place": explanation.map(|explanation| place(&explanation.place)),
        "source": explanation.map(|explanation| source(&explanation.plan)),
        "reasons": reasons,
        "notes": notes,
        "possible": possible,
    })
}

fn source(plan: &Plan) -> String {
    match plan {
        Plan::Choose { source, .. } => source.as_str().to_owned(),
        Plan::NoData(why) => format!("none: {}", why.as_str()),
    }
}

fn place(place: &Place) -> String {
    let known = [
        place.continent.map(|continent| continent.code().to_owned()),
        place.country.map(|country| country.to_string()),
        place.subdivision.as_deref().map(str::to_owned),
        place.city.as_deref().map(str::to_owned),
        place.asn.map(|asn| format!("AS{asn}")),
        place.isp.as_deref().map(str::to_owned),
    ];
    let known: Vec<String> = known.into_iter().flatten().collect();
    if known.is_empty() { "not known".to_owned() } else { known.join(", ") }
}
