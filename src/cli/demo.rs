//! `meridian demo`: make a stand-in data centre misbehave.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::client::{Client, ServerArgs, segment, tell, usage};

/// Arguments of `meridian demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How it is to behave.
    #[arg(value_enum)]
    mode: Mode,
    /// Which stand-ins: data centres, by id, alias or leading word.
    #[arg(value_name = "DC", required = true)]
    datacenters: Vec<String>,
    #[command(flatten)]
    servers: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Refuses connections.
    Fail,
    /// Accepts connections and says nothing.
    Hang,
    /// Answers, too late.
    Slow,
    /// Answers that it is not well, or with nonsense.
    Lie,
    /// Is well again.
    Recover,
}

/// 0 done, else as `meridian failback`; 5 also when the server does not run the demo.
pub fn run(args: &DemoArgs) -> ExitCode {
    let client = match Client::new(&args.servers) {
        Ok(client) => client,
        Err(message) => return usage(&message),
    };
    let mode = args.mode.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let path = format!("/api/demo/{}/{mode}", segment(&args.datacenters.join(",")));
    let mut worst = 0;
    for server in 0..client.len() {
        let outcome = client.ask(server, "POST", &path, None);
        let flag = client.flag(server);
        let code = tell(&client, server, args.servers.output, outcome, |_| {
            format!("{}: {mode}; watch with `meridian status --watch{flag}`\n", args.datacenters.join(", "))
        });
        worst = if worst == 0 { code } else { worst };
    }
    ExitCode::from(worst)
}
