//! `meridian history`: the audit log, of running servers; or of a state directory, whether or not a server has it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::FileArgs;
use super::client::{Client, Output, ServerArgs, exit, exit_of, query, tell, usage};
use super::show::{self, Colour};
use crate::limits;
use crate::store::{self, HistoryError, OsDisk, VerifyReport};

/// Arguments of `meridian history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// From when on: a time ago, such as 24h or 30d, or a time such as 2026-11-21T12:00:00Z.
    #[arg(long, value_name = "TIME", default_value = "24h", conflicts_with = "verify")]
    since: String,
    /// Check the whole log instead of showing it: every hash, and that each line follows the one before. Prints the
    /// head's hash: noted elsewhere, it proves later that nothing before it was changed or cut off.
    #[arg(long)]
    verify: bool,
    /// Read it in this state directory, without a server.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The server's configuration: without --server the log is read in the state directory that it names.
    #[arg(long, value_name = "FILE", env = "MERIDIAN_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    servers: ServerArgs,
}

/// 0; 1 when the log cannot be read, or `--verify` finds it broken; 2 wrong usage; of a server 6 when it is not reached,
/// 7 when it is not for us.
pub fn run(args: &HistoryArgs) -> ExitCode {
    let is_of_files = args.state.is_some() || (args.config.is_some() && !args.servers.is_given());
    let since = match since(&args.since, Timestamp::now()) {
        Some(since) => since,
        None => return usage(&format!("{:?} is no time, and no duration such as 24h or 30d", args.since)),
    };
    if is_of_files { offline(args, since) } else { online(args, since) }
}

fn online(args: &HistoryArgs, since: SystemTime) -> ExitCode {
    let client = match Client::new(&args.servers) {
        Ok(client) => client,
        Err(message) => return usage(&message),
    };
    let codes = (0..client.len()).map(|server| {
        if client.len() > 1 && args.servers.output == Output::Text {
            show::out_or_end(&format!("{}\n", client.name(server)));
        }
        if args.verify {
            verify_at(&client, server, args.servers.output)
        } else {
            list_at(&client, server, args, since)
        }
    });
    ExitCode::from(codes.collect::<Vec<u8>>().into_iter().max().unwrap_or_default())
}

/// Of one server. A page that comes empty is no end while it says where to go on.
fn list_at(client: &Client, server: usize, args: &HistoryArgs, since: SystemTime) -> u8 {
    let from = Timestamp::try_from(since).unwrap_or(Timestamp::UNIX_EPOCH).to_string();
    let (mut cursor, mut count): (Option<u64>, usize) = (None, 0);
    loop {
        let mut asked = vec![("since", from.clone())];
        asked.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
        let outcome = client.ask(server, "GET", &format!("/api/history?{}", query(&asked)), None);
        let page = match outcome {
            Ok(reply) if exit_of(&reply) == 0 => reply.body,
            outcome => {
                if outcome.is_err() && args.servers.output == Output::Text {
                    show::err("`--state DIR` reads the log without a server\n");
                }
                return tell(client, server, args.servers.output, outcome, |_| String::new());
            }
        };
        let entries = page["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        count += entries.len();
        let lines = entries.iter().map(|entry| match args.servers.output {
            Output::Json => format!("{entry}\n"),
            Output::Text => text(entry),
        });
        show::out_or_end(&lines.collect::<String>());
        match page["next"].as_u64() {
            // A server that leads in circles is not followed.
            Some(next) if cursor.is_none_or(|before| next > before) => cursor = Some(next),
            Some(_) | None => break,
        }
    }
    nothing(count, since, args.servers.output);
    0
}

fn verify_at(client: &Client, server: usize, output: Output) -> u8 {
    let outcome = client.ask(server, "GET", "/api/history?verify=true", None);
    let is_whole = outcome.as_ref().is_ok_and(|reply| reply.body["verify"]["whole"] == true);
    let name = client.name(server);
    let code = tell(client, server, output, outcome, |body| verdict(&body["verify"], &name, show::colour_on_stdout()));
    if code == 0 && !is_whole { exit::FAILED } else { code }
}

fn offline(args: &HistoryArgs, since: SystemTime) -> ExitCode {
    let output = args.servers.output;
    let files = FileArgs { config: args.config.clone(), zones: None, geoip: Vec::new() };
    let dir = match args.state.clone().map_or_else(|| files.server().map(|(server, _)| server.state), Ok) {
        Ok(dir) => dir,
        Err(found) => {
            show::findings(&found);
            return ExitCode::FAILURE;
        }
    };
    let done = if args.verify { verify(&dir, output) } else { list(&dir, since, output) };
    done.unwrap_or_else(|error| {
        show::err(&format!("error: the log can not be read: {error}\n"));
        ExitCode::FAILURE
    })
}

fn since(text: &str, now: Timestamp) -> Option<SystemTime> {
    match crate::api::duration(text) {
        // What is longer ago than the calendar goes is everything.
        Some(ago) => Some(
            SystemTime::from(now).checked_sub(ago).map_or(SystemTime::UNIX_EPOCH, |at| at.max(SystemTime::UNIX_EPOCH)),
        ),
        None => text.parse::<Timestamp>().ok().map(SystemTime::from),
    }
}

fn list(dir: &Path, since: SystemTime, output: Output) -> Result<ExitCode, HistoryError> {
    let mut cursor = None;
    let mut count = 0;
    loop {
        let page = store::history(&OsDisk, dir, Some(since), limits::HISTORY_ENTRIES_MAX, cursor)?;
        count += page.entries.len();
        let lines = page.entries.iter().map(|entry| match output {
            Output::Json => serde_json::to_string(entry).unwrap_or_default() + "\n",
            Output::Text => text(&serde_json::to_value(entry).unwrap_or_default()),
        });
        show::out_or_end(&lines.collect::<String>());
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    nothing(count, since, output);
    Ok(ExitCode::SUCCESS)
}

fn nothing(count: usize, since: SystemTime, output: Output) {
    if count == 0 && output == Output::Text {
        show::err(&format!("nothing since {}; `--since 30d` looks further back\n", clock(since)));
    }
}

/// A time that no calendar knows is not shown.
fn clock(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| "-".to_owned(), show::clock)
}

/// An entry, of the log or as a server shows it.
fn text(entry: &Value) -> String {
    let word = |name: &str| plain(entry[name].as_str().unwrap_or_default());
    let at = entry["time"].as_str().and_then(|time| time.parse().ok()).map_or_else(|| "-".to_owned(), show::clock);
    let is_order = entry["is_order"] == true;
    let mut line = format!("{at}  {}", word("kind"));
    if let Some(revision) = entry["revision"].as_u64().filter(|_| is_order) {
        line.push_str(&format!(" r{revision}"));
    }
    if let Some(generation) = entry["generation"].as_u64() {
        line.push_str(&format!(" g{generation}"));
    }
    if !matches!(word("actor").as_str(), "" | "meridian") {
        line.push_str(&format!(" by {}", word("actor")));
    }
    if !word("reason").is_empty() {
        line.push_str(&format!(": {}", word("reason")));
    }
    if !entry["body"].is_null() {
        line.push_str(&format!("  {}", entry["body"]));
    }
    if is_order && entry["in_force"] == false {
        line.push_str("  (refused: it was never in force)");
    }
    line.push('\n');
    line
}

/// Others have written it: nothing of it may steer a terminal, or look like a line of ours.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn verify(dir: &Path, output: Output) -> Result<ExitCode, HistoryError> {
    let report = store::verify(&OsDisk, dir)?;
    let text = match output {
        Output::Json => format!("{}\n", as_json(&report)),
        Output::Text => verdict(&as_json(&report), &dir.display().to_string(), show::colour_on_stdout()),
    };
    show::out(&text);
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a look through the log has found, for programs.
pub(super) fn as_json(report: &VerifyReport) -> Value {
    json!({
        "whole": report.is_whole(),
        "files": report.files,
        "lines": report.lines,
        "since": report.since.and_then(|since| Timestamp::try_from(since).ok()).map(|since| since.to_string()),
        "abandoned": report.abandoned,
        "head": { "seq": report.head.seq, "hash": report.head.hash.to_string() },
        "breaks": report.breaks,
        "first_break": report.first_break,
    })
}

/// The same for people; `of`: where the log is.
fn verdict(report: &Value, of: &str, colour: bool) -> String {
    let count = |name: &str| report[name].as_u64().unwrap_or_default();
    let at = &report["first_break"];
    let mut out = match report["whole"] == true {
        true if count("lines") == 0 => format!("{of} holds no log\n"),
        true => format!("{}: every line follows the one before\n", Colour::Green.paint("whole", colour)),
        false => format!(
            "{}: {}, line {} (octet {}): {}\n",
            Colour::Red.paint("BROKEN", colour),
            at["file"].as_str().unwrap_or(of),
            at["line"],
            at["offset"],
            at["what"].as_str().unwrap_or("it is not known how")
        ),
    };
    if count("breaks") > 1 {
        out.push_str(&format!("  and {} more places\n", count("breaks") - 1));
    }
    let since = report["since"].as_str().and_then(|since| since.parse().ok()).map(show::clock);
    let since = since.map(|since| format!(", since {since}")).unwrap_or_default();
    out.push_str(&format!("  {} lines in {} files{since}\n", count("lines"), count("files")));
    if count("abandoned") > 0 {
        out.push_str(&format!("  {} lines were given up on their way to a failing disk\n", count("abandoned")));
    }
    let head = &report["head"];
    out.push_str(&format!("  head: line {} {}\n", head["seq"], head["hash"].as_str().unwrap_or("-")));
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Entry;

    #[test]
    fn since_is_a_time_ago_or_a_time() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let at = |text: &str| since(text, now).map(|at| Timestamp::try_from(at).unwrap().to_string());
        assert_eq!(at("24h").as_deref(), Some("2026-11-20T12:00:00Z"));
        assert_eq!(at("2026-11-01T00:00:00+08:00").as_deref(), Some("2026-10-31T16:00:00Z"));
        assert_eq!(at("99999999999d").as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(at("yesterday"), None);
    }

    #[test]
    fn what_others_wrote_cannot_steer_a_terminal() {
        let entry = Entry {
            seq: 7,
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_263_600),
            kind: "switch".into(),
            revision: Some(3),
            generation: Some(9),
            actor: "ops\x1b[2J".into(),
            reason: "because\nrm -rf".into(),
            body: serde_json::Value::Null,
            is_order: true,
            in_force: false,
        };
        let text = text(&serde_json::to_value(&entry).unwrap());
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\x1b') && text.contains("switch r3 g9 by ops"), "{text}");
        assert!(text.contains("never in force"), "{text}");
    }
}
