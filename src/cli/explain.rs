//! `meridian explain`: what a client gets for a name, and why.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use serde_json::json;

use super::alias::{Destination, Stands};
use super::check::{FileArgs, ns_required};
use super::{ask, show, what_if};
use crate::control::{self, Load, Paths};
use crate::model::{DatacenterIx, Generation, Name, Place};
use crate::steer::Plan;
use crate::table::{Explanation, RoutingTable, explain};
use crate::wire::types::TypeName;

/// Arguments of `meridian explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The name asked for.
    name: String,
    /// The type asked for.
    #[arg(long = "type", value_name = "TYPE", default_value = "A")]
    rtype: String,
    /// The client: an address, or as much of it as its resolver tells [default: a client of no known place].
    #[arg(long, value_name = "IP[/LEN]")]
    client: Option<String>,
    /// What if every check in this data centre (or group) were down?
    #[arg(long, value_name = "DC")]
    down: Vec<String>,
    /// What if it were ordered out?
    #[arg(long, value_name = "DC")]
    out: Vec<String>,
    /// What if a switch to it stood?
    #[arg(long, value_name = "DC")]
    switch: Vec<String>,
    /// From the files, not from a running server.
    #[arg(long, required = true)]
    offline: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    output: OutputFormat,
    #[command(flatten)]
    files: FileArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    Text,
    Json,
}

/// 0 when it could be explained, 1 when the files do not load, 2 when the question makes no sense.
pub fn run(args: &ExplainArgs) -> ExitCode {
    let question = match Question::of(args) {
        Ok(question) => question,
        Err(message) => return usage(&message),
    };
    let (server, mut found) = match args.files.server() {
        Ok(server) => server,
        Err(found) => {
            show::findings(&found);
            return ExitCode::FAILURE;
        }
    };
    let paths = Paths::of(&server);
    let Load { base, found: more, .. } = control::load(&paths, &server.settings, ns_required(&server));
    found.extend(more);
    let Some(base) = base else {
        show::findings(&found);
        return ExitCode::FAILURE;
    };
    let named = |names: &[String]| what_if::datacenters(base.policy(), names);
    let (facts, down) = match (named(&args.down), named(&args.out), named(&args.switch)) {
        (Ok(down), Ok(out), Ok(switch)) => (what_if::facts(base.policy(), &down, &out, &switch), down),
        (Err(message), ..) | (_, Err(message), _) | (.., Err(message)) => return usage(&message),
    };
    let table = RoutingTable::compile(&base, Arc::new(facts), Generation(1));
    let written = explained(&table, &question, &down).and_then(|explained| match args.output {
        OutputFormat::Text => text(&question, &explained),
        OutputFormat::Json => as_json(&table, &question, &explained),
    });
    match written {
        Ok(written) => {
            show::out(&written);
            ExitCode::SUCCESS
        }
        Err(error) => usage(&error.to_string()),
    }
}

fn usage(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(2)
}

struct Question {
    name: Name,
    rtype: u16,
    client: IpNet,
}

impl Question {
    fn of(args: &ExplainArgs) -> Result<Question, String> {
        let name = Name::parse(&args.name).map_err(|error| format!("{:?} is no domain name: {error}", args.name))?;
        let rtype = TypeName::parse(&args.rtype).ok_or_else(|| format!("there is no type {:?}", args.rtype))?.0;
        let client = match &args.client {
            Some(text) => client(text)?,
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
struct Explained {
    destination: Destination,
    /// For a service one for each answer that chance could give; at least one.
    possible: Vec<Possible>,
    /// What the question assumes and nobody would notice.
    notes: Vec<String>,
}

/// One answer, and for a service how it came about.
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
fn explained(table: &RoutingTable, question: &Question, down: &BTreeSet<DatacenterIx>) -> Result<Explained, Error> {
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

type Error = Box<dyn std::error::Error>;

fn text(question: &Question, explained: &Explained) -> Result<String, Error> {
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

fn as_json(table: &RoutingTable, question: &Question, explained: &Explained) -> Result<String, Error> {
    let Explained { destination, possible: all, notes } = explained;
    let explanation = all.first().and_then(|possible| possible.explanation.as_ref());
    let possible: Vec<serde_json::Value> = all
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
    let value = json!({
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
    });
    Ok(format!("{value:#}\n"))
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
