//! Commands that order: `switch`, `drain`, `undrain`, `force`, `undo`, `freeze`, `unfreeze`, `gate`.
//!
//! Each order has an idempotency key, so that one whose fate is not known is given again and carried out once: exit 6 is
//! for a server that stays silent.
//!
//! On a terminal each asks first what would happen, shows it, and then asks whether to do it; what is then done is
//! done only if no other order came between. Elsewhere, and with `--yes`, it is done at once.

mod giving;
mod told;

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use self::giving::{give, left_behind, new_key, silent};
use self::told::text;
use super::client::{Client, Output, Reply, ServerArgs, exit, segment, tell, usage};
use super::show;
use super::waiting::{self, Leaving};

/// What every order may say.
#[derive(Debug, Args)]
pub(super) struct StampArgs {
    /// Why; kept with the order.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Say what would happen, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Override this rule; repeat it for several.
    #[arg(long, value_name = "RULE")]
    force: Vec<String>,
    /// Refuse when the last order in force is another.
    #[arg(long, value_name = "REVISION")]
    expected_revision: Option<u64>,
    /// Wait until the last answer given before has expired from caches that honour TTLs.
    #[arg(long)]
    wait: bool,
    /// By which servers know a repetition of this order, and carry it out once [default: a new one].
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    servers: ServerArgs,
}

/// Until when an order stands.
#[derive(Debug, Args)]
pub(super) struct UntilArgs {
    /// How long it stands, such as 30m or 2h [default: until it is taken back].
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

/// Arguments of `meridian switch`.
#[derive(Debug, Args)]
pub struct SwitchArgs {
    /// The data centre or group that is to answer.
    #[arg(value_name = "DC", required_unless_present = "clear", conflicts_with = "clear")]
    datacenter: Option<String>,
    /// Let policy decide again.
    #[arg(long, conflicts_with_all = ["from", "pin", "expires"])]
    clear: bool,
    /// Only this service; repeat it for several [default: all that have an endpoint there].
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// Only clients of this region; `default` is everyone else.
    #[arg(long, value_name = "REGION")]
    region: Vec<String>,
    /// Only clients whom policy would give this data centre.
    #[arg(long, value_name = "DC")]
    from: Vec<String>,
    /// Even while it is down, and nothing else. Needs --expires.
    #[arg(long)]
    pin: bool,
    #[command(flatten)]
    until: UntilArgs,
    #[command(flatten)]
    stamp: StampArgs,
}

/// Arguments of `meridian drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Data centres or groups: by id, alias or leading word.
    #[arg(value_name = "DC", required = true)]
    datacenters: Vec<String>,
    /// Only what of them belongs to this service; repeat it for several [default: all].
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    #[command(flatten)]
    until: UntilArgs,
    #[command(flatten)]
    stamp: StampArgs,
}

/// Arguments of `meridian undrain`.
#[derive(Debug, Args)]
pub struct UndrainArgs {
    /// Data centres or groups: by id, alias or leading word.
    #[arg(value_name = "DC", required = true)]
    datacenters: Vec<String>,
    /// Only what of them belongs to this service; repeat it for several [default: all].
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    #[command(flatten)]
    stamp: StampArgs,
}

/// What to believe of a data centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Forced {
    /// It is up.
    Up,
    /// It is down.
    Down,
    /// What its checks say.
    Auto,
}

/// Arguments of `meridian force`.
#[derive(Debug, Args)]
pub struct ForceArgs {
    /// A data centre or group, or several with commas between them.
    #[arg(value_name = "DC")]
    datacenters: String,
    /// What it is, whatever checks say; `auto` believes them again.
    #[arg(value_enum, value_name = "STATE")]
    state: Forced,
    /// Only what of them belongs to this service; repeat it for several [default: all].
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    #[command(flatten)]
    until: UntilArgs,
    #[command(flatten)]
    stamp: StampArgs,
}

/// Arguments of `meridian undo`.
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// The order to take back [default: the last one].
    #[arg(value_name = "REVISION")]
    revision: Option<u64>,
    #[command(flatten)]
    stamp: StampArgs,
}

/// Arguments of `meridian freeze`.
#[derive(Debug, Args)]
pub struct FreezeArgs {
    #[command(flatten)]
    until: UntilArgs,
    #[command(flatten)]
    stamp: StampArgs,
}

/// Arguments of `meridian unfreeze`.
#[derive(Debug, Args)]
pub struct UnfreezeArgs {
    #[command(flatten)]
    stamp: StampArgs,
}

/// Whether robots may order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Gate {
    /// They may.
    Open,
    /// They may not; people may.
    Closed,
}

/// Arguments of `meridian gate`.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// Whether robots may give orders. People may in either case.
    #[arg(value_enum, value_name = "STATE")]
    gate: Gate,
    /// Only robots of this role [default: all].
    #[arg(long, value_name = "ROLE", value_parser = ["operator", "admin"])]
    role: Option<String>,
    #[command(flatten)]
    until: UntilArgs,
    #[command(flatten)]
    stamp: StampArgs,
}

/// One call of the API, before its stamp.
pub(super) struct Call {
    method: &'static str,
    path: String,
    fields: Map<String, Value>,
    /// For a person.
    what: String,
}

impl Call {
    pub(super) fn new(method: &'static str, path: impl Into<String>, what: impl Into<String>) -> Call {
        Call { method, path: path.into(), fields: Map::new(), what: what.into() }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Call {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn with_some(self, name: &str, values: &[String]) -> Call {
        if values.is_empty() { self } else { self.with(name, json!(values)) }
    }

    fn until(self, until: &UntilArgs) -> Call {
        match &until.expires {
            None => self,
            Some(time) => self.with("expires_in", time.clone()),
        }
    }
}

fn of_datacenters(names: &[String], verb: &str, what: &str) -> Call {
    let names = names.join(",");
    Call::new("POST", format!("/api/datacenters/{}/{verb}", segment(&names)), format!("{what} {names}"))
}

/// `meridian switch`.
pub fn switch(args: &SwitchArgs) -> ExitCode {
    let call = match &args.datacenter {
        Some(datacenter) => Call::new("PUT", "/api/switch", format!("switch to {datacenter}"))
            .with("active_dc", datacenter.clone())
            .with_some("from", &args.from),
        None => Call::new("DELETE", "/api/switch", "let policy decide again"),
    };
    let call = if args.pin { call.with("mode", "pin") } else { call };
    let call = call.with_some("services", &args.service).with_some("regions", &args.region).until(&args.until);
    run(call, &args.stamp, text)
}

/// `meridian drain`.
pub fn drain(args: &DrainArgs) -> ExitCode {
    let call = of_datacenters(&args.datacenters, "drain", "drain");
    run(call.with_some("services", &args.service).until(&args.until), &args.stamp, text)
}

/// `meridian undrain`.
pub fn undrain(args: &UndrainArgs) -> ExitCode {
    let call = of_datacenters(&args.datacenters, "undrain", "undrain");
    run(call.with_some("services", &args.service), &args.stamp, text)
}

/// `meridian force`.
pub fn force(args: &ForceArgs) -> ExitCode {
    let (verb, what) = match args.state {
        Forced::Up => ("force-up", "force up"),
        Forced::Down => ("force-down", "force down"),
        Forced::Auto => ("force-auto", "believe the checks of"),
    };
    let call = of_datacenters(std::slice::from_ref(&args.datacenters), verb, what);
    run(call.with_some("services", &args.service).until(&args.until), &args.stamp, text)
}

/// `meridian undo`.
pub fn undo(args: &UndoArgs) -> ExitCode {
    let call = match args.revision {
        Some(revision) => {
            Call::new("POST", "/api/undo", format!("undo revision {revision}")).with("revision", revision)
        }
        None => Call::new("POST", "/api/undo", "undo the last order"),
    };
    run(call, &args.stamp, text)
}

/// `meridian freeze`.
pub fn freeze(args: &FreezeArgs) -> ExitCode {
    run(Call::new("POST", "/api/freeze", "freeze: nothing moves by itself").until(&args.until), &args.stamp, text)
}

/// `meridian unfreeze`.
pub fn unfreeze(args: &UnfreezeArgs) -> ExitCode {
    run(Call::new("POST", "/api/unfreeze", "unfreeze"), &args.stamp, text)
}

/// `meridian gate`.
pub fn gate(args: &GateArgs) -> ExitCode {
    let (state, what) = match args.gate {
        Gate::Open => ("open", "let robots order again"),
        Gate::Closed => ("closed", "keep robots from ordering"),
    };
    let call = Call::new("PUT", "/api/gate", what).with("gate", state).until(&args.until);
    let call = match &args.role {
        Some(role) => call.with("role", role.clone()),
        None => call,
    };
    run(call, &args.stamp, text)
}

/// Gives the order to each server; `text` says what came of it.
///
/// 0 done, 4 refused by a rule, 5 unknown or ambiguous, 6 unreachable, unknown, or done by some servers only, 7 not
/// authorised, 8 precondition failed, 9 not stored, 10 `--wait` ran out.
pub(super) fn run(call: Call, stamp: &StampArgs, text: impl Fn(&Value, &str, &str) -> String) -> ExitCode {
    let client = match Client::new(&stamp.servers) {
        Ok(client) => client,
        Err(message) => return usage(&message),
    };
    let is_person = std::io::stdin().is_terminal();
    let Call { method, path, mut fields, what } = call;
    if let Some(user) = std::env::var_os("USER").filter(|user| !user.is_empty()) {
        fields.insert("actor".into(), user.to_string_lossy().into());
    }
    if let Some(reason) = &stamp.reason {
        fields.insert("reason".into(), reason.clone().into());
    }
    if !stamp.force.is_empty() {
        fields.insert("force".into(), json!(stamp.force));
    }
    if let Some(revision) = stamp.expected_revision {
        fields.insert("expected_revision".into(), revision.into());
    }
    fields.insert("automated".into(), (!is_person).into());
    let dry = |server: usize| {
        let mut fields = fields.clone();
        fields.insert("dry_run".into(), true.into());
        client.ask(server, method, &path, Some(&Value::Object(fields)))
    };
    if stamp.dry_run {
        let codes = (0..client.len()).map(|server| {
            let outcome = dry(server);
            let refused = outcome.as_ref().is_ok_and(|reply| is_refused(&reply.body));
            let flag = client.flag(server);
            let code = tell(&client, server, stamp.servers.output, outcome, |done| text(done, &what, &flag));
            if code == 0 && refused { exit::REFUSED } else { code }
        });
        return ExitCode::from(together(&codes.collect::<Vec<u8>>()));
    }
    let mut expected: Vec<Option<Value>> = vec![None; client.len()];
    if is_person && !stamp.yes && stamp.servers.output == Output::Text {
        let mut silent = 0;
        for (server, expected) in expected.iter_mut().enumerate() {
            let outcome = dry(server);
            *expected = outcome.as_ref().ok().map(|reply| reply.body["expected_revision"].clone());
            let flag = client.flag(server);
            match tell(&client, server, Output::Text, outcome, |done| text(done, &what, &flag)) {
                0 => {}
                // A node may be down with what is moved away from: the others must be told all the same.
                exit::UNREACHABLE if client.len() > 1 => silent += 1,
                code => {
                    show::err("nothing was done\n");
                    return ExitCode::from(code);
                }
            }
        }
        if silent == client.len() && silent > 0 {
            show::err("nothing was done\n");
            return ExitCode::from(exit::UNREACHABLE);
        }
        if silent > 0 {
            let answered = client.len() - silent;
            show::err(&format!("{answered} of {} servers answered; only these will be told now\n", client.len()));
        }
        if !is_confirmed(&what) {
            show::err("nothing was done\n");
            return ExitCode::FAILURE;
        }
    }
    let key = match stamp.idempotency_key.clone().map_or_else(new_key, Ok) {
        Ok(key) => key,
        Err(message) => return usage(&message),
    };
    let mut codes = Vec::new();
    let mut leaving = Vec::new();
    let path = if stamp.wait { format!("{path}{}", waiting::QUERY) } else { path };
    for (server, expected) in expected.into_iter().enumerate() {
        let mut fields = fields.clone();
        if let Some(expected) = expected.filter(Value::is_u64) {
            fields.entry("expected_revision").or_insert(expected);
        }
        let body = Value::Object(fields);
        let outcome = match give(&client, server, (method, &path, &body), &key) {
            Ok(reply) => Ok(reply),
            Err(silence) => {
                codes.push(silent(&client, server, stamp.servers.output, &silence, &key));
                continue;
            }
        };
        let hint = outcome.as_ref().ok().filter(|_| stamp.servers.output == Output::Text).and_then(way_out);
        leaving.extend(outcome.as_ref().ok().and_then(|reply| Leaving::of(server, &reply.body)));
        let flag = client.flag(server);
        codes.push(tell(&client, server, stamp.servers.output, outcome, |done| text(done, &what, &flag)));
        show::err(&hint.unwrap_or_default());
    }
    if stamp.servers.output == Output::Text {
        show::err(&left_behind(&client, &codes, &key));
    }
    let code = together(&codes);
    if code == 0 && stamp.wait && !waiting::wait(&client, &leaving) {
        return ExitCode::from(exit::WAITED);
    }
    ExitCode::from(code)
}

/// What several servers' answers come to: done by some only is the worst that can be.
fn together(codes: &[u8]) -> u8 {
    match (codes.contains(&0), codes.iter().find(|code| **code != 0)) {
        (_, None) => 0,
        (true, Some(_)) => exit::UNREACHABLE,
        (false, Some(code)) => *code,
    }
}

fn is_refused(done: &Value) -> bool {
    done["impact"]["refused_by"].as_array().is_some_and(|refusals| !refusals.is_empty())
}

/// How to get past a rule.
fn way_out(reply: &Reply) -> Option<String> {
    let rules = reply.body["rules"].as_array()?;
    let force: Vec<String> =
        rules.iter().filter_map(|rule| Some(format!("--force {}", rule["rule"].as_str()?))).collect();
    Some(format!("  → if you know better, the same command with {}\n", force.join(" ")))
}

fn is_confirmed(what: &str) -> bool {
    show::err(&format!("{what}: do it? [y/N] "));
    let mut line = String::new();
    let is_read = std::io::stdin().lock().read_line(&mut line).is_ok();
    is_read && matches!(line.trim().to_lowercase().as_str(), "y" | "yes")
}
