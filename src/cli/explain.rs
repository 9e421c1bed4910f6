//! `meridian explain`: what a client gets for a name, and why: from running servers, or from files.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::check::{FileArgs, ns_required};
use super::client::{Client, Output, ServerArgs, query, tell, usage};
use super::show;
use crate::control::{self, Load, Paths};
use crate::explain::{Question, as_json, explained, text, what_if};
use crate::model::Generation;
use crate::table::RoutingTable;

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
    /// From the files, not from a running server: everything is up but what --down says. --zones and --geoip mean the
    /// same.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    servers: ServerArgs,
}

/// 0 when it could be explained, 1 when the files do not load, 2 when the question makes no sense; of a server 5 when it
/// does not know a data centre, 6 when it is not reached, 7 when it is not for us.
pub fn run(args: &ExplainArgs) -> ExitCode {
    let is_of_files = args.files.zones.is_some() || !args.files.geoip.is_empty();
    if args.offline || is_of_files { offline(args) } else { online(args) }
}

fn online(args: &ExplainArgs) -> ExitCode {
    let client = match Client::new(&args.servers) {
        Ok(client) => client,
        Err(message) => return usage(&message),
    };
    let one = |name, value: &str| (name, value.to_owned());
    let mut asked = vec![one("name", &args.name), one("type", &args.rtype)];
    asked.extend(args.client.iter().map(|client| one("client", client)));
    for (name, values) in [("down", &args.down), ("out", &args.out), ("switch", &args.switch)] {
        asked.extend(values.iter().map(|value| one(name, value)));
    }
    let path = format!("/api/explain?{}", query(&asked));
    let output = args.servers.output;
    let codes = (0..client.len()).map(|server| {
        let outcome = client.ask(server, "GET", &path, None);
        let is_silent = outcome.is_err() && output == Output::Text;
        let code = tell(&client, server, output, outcome, |explained| {
            let (node, generation) = (explained["node"].as_str().unwrap_or("-"), &explained["generation"]);
            format!("{}  from     {node}, generation {generation}\n", text(explained))
        });
        if is_silent {
            show::err("`--offline` explains from the files, without a server\n");
        }
        code
    });
    ExitCode::from(codes.collect::<Vec<u8>>().into_iter().max().unwrap_or_default())
}

fn offline(args: &ExplainArgs) -> ExitCode {
    let question = match Question::parse(&args.name, &args.rtype, args.client.as_deref()) {
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
    match explained(&table, &question, &down) {
        Ok(explained) => {
            let explained = as_json(&table, &question, &explained);
            show::out(&match args.servers.output {
                Output::Text => text(&explained),
                Output::Json => format!("{explained:#}\n"),
            });
            ExitCode::SUCCESS
        }
        Err(error) => usage(&error.to_string()),
    }
}
