//! `meridian failback`: let clients come back to a data centre that they left because it was down.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, segment, tell, usage};

/// Arguments of `meridian failback`.
#[derive(Debug, Args)]
pub struct FailbackArgs {
    /// Data centres or groups: by id, alias or leading word.
    #[arg(value_name = "DC", required = true)]
    datacenters: Vec<String>,
    /// Only for this service; repeat it for several [default: all].
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// Why; kept with the order.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Say what would happen, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    servers: ServerArgs,
}

/// 0 done, 4 refused by a rule, 5 unknown or ambiguous, 6 unreachable or outcome unknown, 7 not authorised, 8
/// precondition failed, 9 not stored.
pub fn run(args: &FailbackArgs) -> ExitCode {
    let client = match Client::new(&args.servers) {
        Ok(client) => client,
        Err(message) => return usage(&message),
    };
    let path = format!("/api/datacenters/{}/failback", segment(&args.datacenters.join(",")));
    let mut body = json!({ "dry_run": args.dry_run });
    if !args.service.is_empty() {
        body["services"] = json!(args.service);
    }
    if let Some(reason) = &args.reason {
        body["reason"] = json!(reason);
    }
    if let Some(user) = std::env::var_os("USER").filter(|user| !user.is_empty()) {
        body["actor"] = json!(user.to_string_lossy());
    }
    let mut worst = 0;
    for server in 0..client.len() {
        let outcome = client.ask(server, "POST", &path, Some(&body));
        let code = tell(&client, server, args.servers.output, outcome, |done| text(done, args.dry_run));
        worst = if worst == 0 { code } else { worst };
    }
    ExitCode::from(worst)
}

fn text(done: &Value, is_dry_run: bool) -> String {
    let names = |field: &str| {
        let names = done[field].as_array().map(Vec::as_slice).unwrap_or_default();
        names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    };
    let (node, generation) = (done["node"].as_str().unwrap_or_default(), &done["generation"]);
    let datacenters = names("datacenters");
    let mut out = match (done["changed"].as_bool(), is_dry_run) {
        (Some(true), true) => format!("{node}: clients would come back to {datacenters}\n"),
        (Some(true), false) => format!("{node}: clients come back to {datacenters} (generation {generation})\n"),
        (Some(false) | None, _) => format!("{node}: nothing to do: no client was kept away from {datacenters}\n"),
    };
    for (field, what) in [("services", "services"), ("services_skipped", "left as they were")] {
        if !names(field).is_empty() {
            out.push_str(&format!("  {what}: {}\n", names(field)));
        }
    }
    for warning in done["warnings"].as_array().map(Vec::as_slice).unwrap_or_default() {
        out.push_str(&format!("  warning: {}\n", warning.as_str().unwrap_or_default()));
    }
    out
}
