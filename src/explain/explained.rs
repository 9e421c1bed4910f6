//! An answer taken apart: what a client gets, and why, for people and for programs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::rr::Record;
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
    /// Where they are.
    datacenters: BTreeSet<DatacenterIx>,
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
        let (mut endpoints, mut datacenters) = (Vec::new(), BTreeSet::new());
        if let (Some(ix), Some(explanation)) = (service, &explanation) {
            for endpoint in &explanation.endpoints {
                let endpoint = policy.services[ix.at()].endpoint(*endpoint);
                endpoints.push(endpoint.id.to_string());
                datacenters.insert(endpoint.datacenter);
            }
        }
        Ok(Possible { reply, explanation, endpoints, datacenters })
    });
    let possible = possible.collect::<Result<Vec<Possible>, Error>>()?;
    let notes = service.map_or_else(Vec::new, |ix| what_if::unseen(policy, ix, down));
    Ok(Explained { destination, possible, notes })
}

/// Why it can not be explained: a defect, since the question was good.
pub type Error = Box<dyn std::error::Error>;

/// For people, from what [`as_json`] made, here or on a server: of another version as far as it goes.
pub fn text(explained: &Value) -> String {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut out =
        format!("{} {} for {}\n", word(&explained["name"]), word(&explained["type"]), word(&explained["client"]));
    let mut line = |label: &str, text: &str| out.push_str(&format!("  {label:<8} {text}\n"));
    let is_service = explained["service"].is_string();
    if is_service {
        let mut from = word(&explained["name"]);
        for to in list(&explained["alias_of"]).iter().map(word) {
            line("alias", &format!("{from} is an alias of {to}: a resolver asks for {to} by itself"));
            from = to;
        }
    }
    let all = list(&explained["possible"]);
    for possible in &all {
        let chance = match (possible["weight"].as_u64(), possible["of"].as_u64()) {
            (Some(weight), Some(of)) if all.len() > 1 => format!("   {weight} of {of}"),
            (Some(_) | None, Some(_) | None) => String::new(),
        };
        let dcs: Vec<String> = list(&possible["dcs"]).iter().map(word).collect();
        let dcs = if dcs.is_empty() { String::new() } else { format!("   ({})", dcs.join(", ")) };
        let (answers, authorities) = (list(&possible["answers"]), list(&possible["authorities"]));
        if answers.is_empty() {
            let why = if possible["rcode"] == 0 { "no data".to_owned() } else { word(&possible["rcode_name"]) };
            line("answer", &format!("{why}{chance}"));
            for record in &authorities {
                let (name, kind, data) = (word(&record["name"]), word(&record["type"]), word(&record["data"]));
                line("authority", &format!("{name} {} {kind} {data}", record["ttl"]));
            }
        }
        for record in &answers {
            line(
                "answer",
                &format!("{} {} {}{chance}{dcs}", record["ttl"], word(&record["type"]), word(&record["data"])),
            );
        }
    }
    if let Some(scope) = explained["scope"].as_u64() {
        line("scope", &format!("/{scope}"));
    }
    if is_service {
        line("place", &word(&explained["place"]));
        line("region", explained["region"].as_str().unwrap_or("elsewhere"));
        line("source", &word(&explained["source"]));
    }
    for (at, reason) in list(&explained["reasons"]).iter().enumerate() {
        line(if at == 0 { "why" } else { "" }, &word(reason));
    }
    for note in list(&explained["notes"]) {
        line("note", &word(&note));
    }
    out
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
    let datacenters = &table.base().policy().datacenters;
    let records = |records: &[Record]| {
        let record = |record: &Record| {
            json!({
                "name": record.name.to_string(),
                "ttl": record.ttl,
                "type": record.record_type().to_string(),
                "data": record.data.to_string(),
            })
        };
        records.iter().map(record).collect::<Vec<_>>()
    };
    let possible: Vec<Value> = all
        .iter()
        .map(|possible| {
            json!({
                "rcode": u16::from(possible.reply.rcode),
                "rcode_name": possible.reply.rcode.to_string(),
                "answers": records(&possible.reply.answers),
                "authorities": records(&possible.reply.authorities),
                "endpoints": possible.endpoints,
                "dcs": possible.datacenters.iter().map(|ix| datacenters[ix.at()].short_name()).collect::<Vec<_>>(),
                "ids": possible.datacenters.iter().map(|ix| datacenters[ix.at()].id.as_str()).collect::<Vec<_>>(),
                "weight": possible.weight().map(|(weight, _)| weight),
                "of": possible.weight().map(|(_, sum)| sum),
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
        "service": destination.service().map(|ix| table.base().policy().services[ix.at()].name.to_string()),
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
