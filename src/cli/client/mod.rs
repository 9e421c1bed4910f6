//! Asking a running server: what all client commands share.
//!
//! Each node that `--server` names is asked by itself and told of by itself: nodes do not speak for each other,
//! and who orders something wants to know of each.

mod http;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

use http::{Ask, Tls};
pub(super) use http::{Reply, Silence};
use target::Target;
pub(super) use target::{query, segment};

use super::show;

/// Which servers, and as whom.
#[derive(Clone, Debug, Args)]
pub(super) struct ServerArgs {
    /// A server: http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH; the port is 8053 unless given. Repeat it
    /// to ask several nodes, each by itself [default: http://127.0.0.1:8053].
    #[arg(long, value_name = "URL", env = "MERIDIAN_SERVER", value_delimiter = ',')]
    server: Vec<String>,
    /// A file with the token to show. MERIDIAN_TOKEN may also hold the token itself (`mrd_…`).
    #[arg(long, value_name = "FILE", env = "MERIDIAN_TOKEN", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// For https: the certificate authorities to believe, in PEM [default: the system's].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

impl ServerArgs {
    /// For a command that names them otherwise.
    pub(super) fn of(server: Vec<String>, token_file: Option<PathBuf>, ca: Option<PathBuf>) -> ServerArgs {
        ServerArgs { server, token_file, ca, output: Output::Text }
    }

    /// Somebody has named a server.
    pub(super) fn is_given(&self) -> bool {
        !self.server.is_empty()
    }
}

/// The server on this machine, as it listens unless it is told otherwise.
const SERVER: &str = "http://127.0.0.1:8053";

/// How a client command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Text,
    /// JSON, one object a server.
    Json,
}

/// What a token begins with; so a variable that holds one is told from one that names a file.
const TOKEN_PREFIX: &str = "mrd_";

/// Exit codes that client commands share.
pub(super) mod exit {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const ATTENTION: u8 = 3;
    pub(crate) const REFUSED: u8 = 4;
    pub(crate) const UNKNOWN: u8 = 5;
    pub(crate) const UNREACHABLE: u8 = 6;
    pub(crate) const NOT_AUTHORISED: u8 = 7;
    pub(crate) const PRECONDITION: u8 = 8;
    pub(crate) const NOT_STORED: u8 = 9;
    pub(crate) const WAITED: u8 = 10;
}

/// The servers of a command, ready to be asked.
pub(super) struct Client {
    targets: Vec<Target>,
    token: Option<String>,
    tls: Tls,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// The error is wrong usage.
    pub(super) fn new(args: &ServerArgs) -> Result<Client, String> {
        let named = args.server.iter().map(String::as_str);
        let own = Some(SERVER).filter(|_| args.server.is_empty());
        let targets = named.chain(own).map(Target::parse).collect::<Result<Vec<Target>, String>>()?;
        let token = match &args.token_file {
            None => None,
            Some(inline) if inline.to_string_lossy().starts_with(TOKEN_PREFIX) => {
                Some(inline.to_string_lossy().trim().to_owned())
            }
            Some(file) => Some(read_token(file)?),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("no runtime: {error}"))?;
        let tls = Tls::new(args.ca.as_deref(), targets.iter().any(Target::is_tls))?;
        Ok(Client { targets, token, tls, runtime })
    }

    /// How many servers there are.
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// How a command that is to be typed names the server; nothing for the default one.
    pub(super) fn flag(&self, server: usize) -> String {
        let url = self.targets[server].to_string();
        if url == SERVER { String::new() } else { format!(" --server {url}") }
    }

    /// The server's URL.
    pub(super) fn name(&self, server: usize) -> String {
        self.targets[server].to_string()
    }

    /// Asks one server. The error says why there is no answer.
    pub(super) fn ask(&self, server: usize, method: &str, path: &str, body: Option<&Value>) -> Result<Reply, String> {
        self.ask_under(server, None, method, path, body).map_err(|silence| silence.why)
    }

    /// The same under an idempotency key.
    pub(super) fn ask_under(
        &self,
        server: usize,
        key: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, Silence> {
        let (target, token) = (&self.targets[server], self.token.as_deref());
        let asking = http::ask(target, &self.tls, Ask { token, method, path, body, key });
        let outcome = self.runtime.block_on(asking);
        outcome.map_err(|Silence { why, is_sent }| Silence { why: format!("{target}: {why}"), is_sent })
    }
}

fn read_token(file: &std::path::Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let token = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    token.map(str::to_owned).ok_or_else(|| format!("{} holds no token", file.display()))
}

/// What an answer that is no success means to a shell.
pub(super) fn exit_of(reply: &Reply) -> u8 {
    let kind = reply.body["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/")).unwrap_or_default();
    match (reply.status, kind) {
        (200..=299, _) => 0,
        (401 | 403, _) => exit::NOT_AUTHORISED,
        (_, "unknown-dc" | "ambiguous-dc" | "unknown-service" | "unknown-endpoint" | "no-demo") => exit::UNKNOWN,
        (409, _) => exit::REFUSED,
        (412, _) => exit::PRECONDITION,
        (_, "not-stored" | "store-timeout") => exit::NOT_STORED,
        (422 | 400 | 415, _) => exit::USAGE,
        (500.., _) => exit::UNREACHABLE,
        _ => exit::FAILED,
    }
}

/// Tells what one server answered to an order; returns the exit code.
pub(super) fn tell(
    client: &Client,
    server: usize,
    output: Output,
    outcome: Result<Reply, String>,
    done: impl FnOnce(&Value) -> String,
) -> u8 {
    match outcome {
        Err(why) => {
            match output {
                Output::Json => show::out(&format!("{}\n", with_server(client, server, Value::Null, Some(&why)))),
                Output::Text => show::err(&format!("error: {why}\n")),
            }
            exit::UNREACHABLE
        }
        Ok(reply) => {
            let code = exit_of(&reply);
            match (output, code) {
                (Output::Json, _) => {
                    show::out(&format!("{}\n", with_server(client, server, reply.body.clone(), None)));
                }
                (Output::Text, 0) => show::out(&done(&reply.body)),
                (Output::Text, _) => show::err(&problem(&client.name(server), &reply)),
            }
            code
        }
    }
}

/// An answer, with whose it is.
pub(super) fn with_server(client: &Client, server: usize, body: Value, error: Option<&str>) -> Value {
    let mut all = serde_json::Map::new();
    all.insert("server".into(), client.name(server).into());
    if let Some(error) = error {
        all.insert("error".into(), error.into());
    }
    match body {
        Value::Object(fields) => all.extend(fields),
        Value::Null => {}
        other => drop(all.insert("body".into(), other)),
    }
    Value::Object(all)
}

/// What went wrong, for a person.
pub(super) fn problem(server: &str, reply: &Reply) -> String {
    let (title, detail) = (reply.body["title"].as_str(), reply.body["detail"].as_str());
    let what = match (title, detail) {
        (_, Some(detail)) => detail.to_owned(),
        (Some(title), None) => title.to_owned(),
        (None, None) => format!("status {} without a word; is this a Meridian server?", reply.status),
    };
    let kind = reply.body["type"].as_str().unwrap_or_default().trim_start_matches("/problems/");
    let rule = reply.body["rule"].as_str().map(|rule| format!(" (rule {rule})")).unwrap_or_default();
    format!("error: {server}: {what}{rule}{}\n", if kind.is_empty() { String::new() } else { format!(" [{kind}]") })
}

/// Ends with wrong usage.
pub(super) fn usage(message: &str) -> ExitCode {
    show::err(&format!("error: {message}\n"));
    ExitCode::from(exit::USAGE)
}
