//! `meridian explain`: what a client gets for a name, and why.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::check::{FileArgs, ns_required};
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
    let written = explained(&table, &question, &down).and_then(|explained| match args.output {
        OutputFormat::Text => text(&question, &explained),
        OutputFormat::Json => Ok(format!("{:#}\n", as_json(&table, &question, &explained))),
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
