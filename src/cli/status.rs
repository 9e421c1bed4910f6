//! `meridian status`: what waits for you, and how it all stands.

mod changes;
mod page;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Client, Output, ServerArgs, exit, exit_of, problem, usage, with_server};
use super::show;

/// Arguments of `meridian status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Go on until Ctrl-C: on a terminal the page anew each second, elsewhere each change as a line.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    servers: ServerArgs,
}

/// Between two looks of `--watch`.
const EVERY: Duration = Duration::from_secs(1);

/// 0 all well, 3 something is not up, or is overridden, latched or held, 6 unreachable, 7 not authorised.
pub fn run(args: &StatusArgs) -> ExitCode {
    let client = match Client::new(&args.servers) {
        Ok(client) => client,
        Err(message) => return usage(&message),
    };
    if args.watch {
        watch(&client, args.servers.output);
    }
    let mut worst = 0;
    for server in 0..client.len() {
        let (text, code) = look(&client, server, args.servers.output, show::colour_on_stdout());
        if code > exit::ATTENTION && args.servers.output == Output::Text {
            show::err(&text);
        } else {
            show::out(&text);
        }
        worst = worst.max(code);
    }
    ExitCode::from(worst)
}

/// One server's page, and what it means to a shell.
fn look(client: &Client, server: usize, output: Output, colour: bool) -> (String, u8) {
    match (client.ask(server, "GET", "/api/status", None), output) {
        (Err(why), Output::Json) => {
            (format!("{}\n", with_server(client, server, Value::Null, Some(&why))), exit::UNREACHABLE)
        }
        (Err(why), Output::Text) => (format!("error: {why}\n"), exit::UNREACHABLE),
        (Ok(reply), output) => {
            let code = match exit_of(&reply) {
                0 if reply.body["well"] == Value::Bool(true) => 0,
                0 if reply.body["well"].is_boolean() => exit::ATTENTION,
                // Something answers, and it is not what we know.
                0 => exit::UNREACHABLE,
                code => code,
            };
            let text = match output {
                Output::Json => format!("{}\n", with_server(client, server, reply.body, None)),
                Output::Text if code > exit::ATTENTION => problem(&client.name(server), &reply),
                Output::Text => page::text(&reply.body, &client.name(server), &client.flag(server), colour),
            };
            (text, code)
        }
    }
}

/// Never returns: Ctrl-C, or a reader that has gone, ends it.
fn watch(client: &Client, output: Output) -> ! {
    let is_page = output == Output::Text && std::io::stdout().is_terminal();
    let mut before: Vec<Option<changes::Facts>> = vec![None; client.len()];
    loop {
        let mut page = String::new();
        for (server, before) in before.iter_mut().enumerate() {
            if is_page {
                page.push_str(&look(client, server, output, show::colour_on_stdout()).0);
                continue;
            }
            let now = match client.ask(server, "GET", "/api/status", None) {
                Ok(reply) if exit_of(&reply) == 0 => changes::facts(&reply.body),
                Ok(reply) => changes::unreachable(problem("", &reply).trim()),
                Err(why) => changes::unreachable(&why),
            };
            let name = if client.len() > 1 { client.name(server) } else { String::new() };
            show::out_or_end(&changes::lines(before.as_ref(), &now, &name, output));
            *before = Some(now);
        }
        if is_page {
            // Home, then clear what is left of the page before.
            show::out_or_end(&format!("\x1b[H{}\x1b[J", page.replace('\n', "\x1b[K\n")));
        }
        thread::sleep(EVERY);
    }
}
