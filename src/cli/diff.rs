//! `meridian diff`: what a reload would change.
//!
//! With `--zones` or `--geoip` the files that are to come are compared here with those that the configuration names,
//! under the facts of a running server where one is reached: health, orders, latches. Without either, the server
//! compares what it serves with its files as they are now, as a reload would read them.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::check::{FileArgs, ns_required};
use super::client::{Client, Output, ServerArgs, exit, exit_of, tell, usage};
use super::show;
use crate::control::{self, Load, Paths};
use crate::explain::diff::{self, diff};
use crate::explain::named::NamedFacts;
use crate::model::{Facts, Generation};
use crate::table::{Base, RoutingTable};

/// Arguments of `meridian diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Ask no server: everything is up, and nothing is ordered.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    servers: ServerArgs,
}

/// 0 nothing is different, 3 something is, 1 when files do not load, 2 wrong usage, 6 and 7 of a server.
pub fn run(args: &DiffArgs) -> ExitCode {
    let is_here = args.files.zones.is_some() || !args.files.geoip.is_empty();
    match (is_here, args.offline) {
        (true, _) => here(args),
        (false, false) => there(args),
        (false, true) => usage("say what to compare with: --zones NEWDIR or --geoip NEW"),
    }
}

/// What a server's own files would change.
fn there(args: &DiffArgs) -> ExitCode {
    let client = match Client::new(&args.servers) {
        Ok(client) => client,
        Err(message) => return usage(&message),
    };
    let output = args.servers.output;
    let codes = (0..client.len()).map(|server| {
        let outcome = client.ask(server, "POST", "/api/reload", Some(&json!({ "dry_run": true })));
        let is_different = outcome.as_ref().is_ok_and(|reply| differs(&reply.body["difference"]));
        if outcome.is_err() && output == Output::Text {
            show::err("`--zones NEWDIR` compares files without a server\n");
        }
        let code = tell(&client, server, output, outcome, |body| {
            let node = format!("{}, generation {}", body["node"].as_str().unwrap_or("-"), body["generation"]);
            let mut out = text(&body["difference"], Some(&node));
            for sentence in body["refused_because"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                out.push_str(&format!("the reload would be REFUSED: {sentence}\n"));
            }
            out
        });
        if code == 0 && is_different { exit::ATTENTION } else { code }
    });
    ExitCode::from(codes.collect::<Vec<u8>>().into_iter().max().unwrap_or_default())
}

/// Files against files.
fn here(args: &DiffArgs) -> ExitCode {
    let old = FileArgs { zones: None, geoip: Vec::new(), ..args.files.clone() };
    let (Some(before), Some(after)) = (base(&old), base(&args.files)) else { return ExitCode::FAILURE };
    let output = args.servers.output;
    let known = match known(args) {
        Ok(known) => known,
        Err(code) => return code,
    };
    let (named, from, load) = match known {
        Some((named, from, load)) => (named, Some(from), load),
        None => (NamedFacts::of(before.policy(), &Facts::all_up()), None, diff::Load::default()),
    };
    let table = |base: &Arc<Base>| RoutingTable::compile(base, Arc::new(named.facts(base.policy())), Generation(1));
    let difference = json!(diff(&table(&before), &table(&after), &load));
    show::out(&match output {
        Output::Text => text(&difference, from.as_deref()),
        Output::Json => format!("{}\n", json!({ "facts_of": from, "difference": difference })),
    });
    if differs(&difference) { ExitCode::from(exit::ATTENTION) } else { ExitCode::SUCCESS }
}

fn base(files: &FileArgs) -> Option<Arc<Base>> {
    let (server, mut found) = match files.server() {
        Ok(server) => server,
        Err(found) => {
            show::findings(&found);
            return None;
        }
    };
    let Load { base, found: more, .. } = control::load(&Paths::of(&server), &server.settings, ns_required(&server));
    found.extend(more);
    if base.is_none() {
        show::findings(&found);
    }
    base
}

type Known = (NamedFacts, String, diff::Load);

/// What the server knows; `None`: none is reached, and none was named.
fn known(args: &DiffArgs) -> Result<Option<Known>, ExitCode> {
    if args.offline {
        return Ok(None);
    }
    let client = Client::new(&args.servers).map_err(|message| usage(&message))?;
    if client.len() > 1 {
        return Err(usage("whose health and orders are meant? name one --server"));
    }
    let reply = match client.ask(0, "GET", "/api/facts", None) {
        Err(why) if !args.servers.is_given() => {
            if args.servers.output == Output::Text && std::io::stderr().is_terminal() {
                show::err(&format!("{why}\n"));
            }
            return Ok(None);
        }
        Ok(reply) if exit_of(&reply) == 0 => reply,
        outcome => {
            return Err(ExitCode::from(tell(&client, 0, args.servers.output, outcome, |_| String::new())));
        }
    };
    let named = serde_json::from_value(reply.body["facts"].clone()).map_err(|error| {
        show::err(&format!("error: {}: its facts are not understood: {error}\n", client.name(0)));
        ExitCode::FAILURE
    })?;
    let from = format!("{}, generation {}", reply.body["node"].as_str().unwrap_or("-"), reply.body["generation"]);
    Ok(Some((named, from, load(&client))))
}

/// Recent queries. Of a server that has none, or keeps them to itself, none are known.
fn load(client: &Client) -> diff::Load {
    let Ok(reply) = client.ask(0, "GET", "/api/load", None) else { return diff::Load::default() };
    let asked = |sample: &Value| {
        let client = sample["client"].as_str()?.split('/').next()?.parse().ok()?;
        let weight = sample["weight"].as_u64().and_then(|weight| u32::try_from(weight).ok()).unwrap_or(1);
        Some(diff::Asked { service: sample["service"].as_str()?.to_owned(), client, weight })
    };
    let queries = reply.body["samples"].as_array().into_iter().flatten().filter_map(asked).collect();
    diff::Load { queries, span: Duration::from_secs(reply.body["span_s"].as_u64().unwrap_or_default()) }
}

/// What is listed, by its field and as people read it.
const LISTS: [(&str, &str); 6] = [
    ("services_removed", "services that would be no more"),
    ("services_added", "new services"),
    ("answers", "other addresses or TTLs"),
    ("records_removed", "records that would be no more"),
    ("records_added", "new records"),
    ("records_changed", "other records"),
];

/// Rows of each list that are shown.
const SHOWN: usize = 12;

fn count(difference: &Value, field: &str) -> u64 {
    difference[field]["count"].as_u64().unwrap_or_default()
}

fn differs(difference: &Value) -> bool {
    LISTS.iter().any(|(field, _)| count(difference, field) > 0) || count(difference, "moves") > 0
}

/// For people; `from`: whose facts these are.
fn text(difference: &Value, from: Option<&str>) -> String {
    let facts = match from {
        Some(node) => format!("by health and orders of {node}"),
        None => "with everything up and nothing ordered: no server was asked".to_owned(),
    };
    if !differs(difference) {
        return format!("nothing would change ({facts})\n");
    }
    let mut out = String::new();
    let first = |field: &str| difference[field]["first"].as_array().cloned().unwrap_or_default();
    let more = |out: &mut String, all: u64| {
        if all > SHOWN as u64 {
            out.push_str(&format!("  and {} more\n", all - SHOWN as u64));
        }
    };
    let percent = |ppm: &Value| format!("{:.2} %", ppm.as_f64().unwrap_or_default() / 10_000.0);
    let moves = count(difference, "moves");
    if moves > 0 {
        out.push_str("clients that move\n");
        let ids = |value: &Value| {
            let ids: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if ids.is_empty() { "nobody".to_owned() } else { ids.join("+") }
        };
        let mut rows = vec![["SERVICE", "REGION", "FROM", "TO", "OF ALL ADDRESSES"].map(str::to_owned).to_vec()];
        rows.extend(first("moves").iter().take(SHOWN).map(|one| {
            let word = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
            vec![word("service"), word("region"), ids(&one["from"]), ids(&one["to"]), percent(&one["addresses_ppm"])]
        }));
        out.extend(show::table(&rows).lines().map(|line| format!("  {line}\n")));
        more(&mut out, moves);
        let mut rows = vec![["DC", "ANSWERS NOW", "AND THEN"].map(str::to_owned).to_vec()];
        rows.extend(difference["datacenters"].as_array().into_iter().flatten().map(|share| {
            let id = share["id"].as_str().filter(|id| !id.is_empty()).unwrap_or("nobody").to_owned();
            vec![id, percent(&share["before_ppm"]), percent(&share["after_ppm"])]
        }));
        out.extend(show::table(&rows).lines().map(|line| format!("  {line}\n")));
    }
    for (field, what) in LISTS {
        let all = count(difference, field);
        if all > 0 {
            out.push_str(&format!("{what}\n"));
            let lines = first(field);
            out.extend(lines.iter().take(SHOWN).map(|line| format!("  {}\n", line.as_str().unwrap_or("-"))));
            more(&mut out, all);
        }
    }
    out.push_str(&format!("{} of all addresses move", percent(&difference["addresses_moved_ppm"])));
    match &difference["queries"] {
        Value::Null => out.push_str("; of recent queries nothing is known"),
        queries => out.push_str(&format!(
            ", and {} of {} queries of the last {} s",
            percent(&queries["moved_ppm"]),
            queries["sampled"],
            queries["span_s"]
        )),
    }
    out.push_str(&format!(" ({facts})\n"));
    out
}
