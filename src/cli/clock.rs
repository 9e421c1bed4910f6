//! `meridian clock`: say that the wall clock of a server is right after it had jumped.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::client::{Client, ServerArgs, tell, usage};

/// Arguments of `meridian clock`.
#[derive(Debug, Args)]
pub(super) struct ClockArgs {
    #[command(subcommand)]
    command: ClockCommand,
}

#[derive(Debug, Subcommand)]
enum ClockCommand {
    /// The wall clock is right now: orders end by it again.
    ///
    /// A jump of more than a minute suspends expiries, because a clock that is wrong would end orders early, or never.
    /// Look at the clock of each server first.
    Accept(AcceptArgs),
}

#[derive(Debug, Args)]
struct AcceptArgs {
    /// Why; kept in the audit log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    servers: ServerArgs,
}

/// 0 done, else as `meridian failback`.
pub(super) fn run(args: &ClockArgs) -> ExitCode {
    let ClockCommand::Accept(args) = &args.command;
    let client = match Client::new(&args.servers) {
        Ok(client) => client,
        Err(message) => return usage(&message),
    };
    let mut fields = Map::new();
    if let Some(reason) = &args.reason {
        fields.insert("reason".into(), reason.clone().into());
    }
    if let Some(user) = std::env::var_os("USER").filter(|user| !user.is_empty()) {
        fields.insert("actor".into(), user.to_string_lossy().into());
    }
    let body = Value::Object(fields);
    let mut worst = 0;
    for server in 0..client.len() {
        let outcome = client.ask(server, "POST", "/api/clock/accept", Some(&body));
        let code = tell(&client, server, args.servers.output, outcome, text);
        worst = if worst == 0 { code } else { worst };
    }
    ExitCode::from(worst)
}

fn text(done: &Value) -> String {
    let node = done["node"].as_str().unwrap_or_default();
    match (done["jumped_s"].as_i64(), done["due"].as_u64().unwrap_or_default()) {
        (None, _) => format!("{node}: nothing to accept: the clock had not jumped\n"),
        (Some(seconds), due) => {
            let way = if seconds < 0 { "back" } else { "ahead" };
            let seconds = seconds.unsigned_abs();
            format!("{node}: accepted; it had jumped {way} by {seconds} s, and {due} standing orders are over by it\n")
        }
    }
}
