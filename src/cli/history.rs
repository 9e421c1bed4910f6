//! `meridian history`: the audit log, read from a state directory, whether or not a server has it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::check::FileArgs;
use super::client::{Output, usage};
use super::show::{self, Colour};
use crate::limits;
use crate::store::{self, Entry, HistoryError, OsDisk, VerifyReport};

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
    /// The state directory [default: .meridian, or as configured].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The server's configuration, which names the state directory.
    #[arg(long, value_name = "FILE", env = "MERIDIAN_CONFIG")]
    config: Option<PathBuf>,
    /// How to print it: `json` is one object a line.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// 0; 1 when the log cannot be read, or `--verify` finds it broken; 2 wrong usage.
pub fn run(args: &HistoryArgs) -> ExitCode {
    let files = FileArgs { config: args.config.clone(), zones: None, geoip: Vec::new() };
    let dir = match args.state.clone().map_or_else(|| files.server().map(|(server, _)| server.state), Ok) {
        Ok(dir) => dir,
        Err(found) => {
            show::findings(&found);
            return ExitCode::FAILURE;
        }
    };
    let done = if args.verify {
        verify(&dir, args.output)
    } else {
        match since(&args.since, Timestamp::now()) {
            Some(since) => list(&dir, since, args.output),
            None => return usage(&format!("{:?} is no time, and no duration such as 24h or 30d", args.since)),
        }
    };
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
            Output::Text => text(entry),
        });
        show::out_or_end(&lines.collect::<String>());
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if count == 0 && output == Output::Text {
        show::err(&format!("nothing since {}; `--since 30d` looks further back\n", clock(since)));
    }
    Ok(ExitCode::SUCCESS)
}

/// A time that no calendar knows is not shown.
fn clock(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| "-".to_owned(), show::clock)
}

fn text(entry: &Entry) -> String {
    let mut line = format!("{}  {}", clock(entry.time), plain(&entry.kind));
    if let Some(revision) = entry.revision.filter(|_| entry.is_order) {
        line.push_str(&format!(" r{revision}"));
    }
    if let Some(generation) = entry.generation {
        line.push_str(&format!(" g{generation}"));
    }
    if !entry.actor.is_empty() && entry.actor != "meridian" {
        line.push_str(&format!(" by {}", plain(&entry.actor)));
    }
    if !entry.reason.is_empty() {
        line.push_str(&format!(": {}", plain(&entry.reason)));
    }
    if !entry.body.is_null() {
        line.push_str(&format!("  {}", entry.body));
    }
    if entry.is_order && !entry.in_force {
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
        Output::Text => verdict(&report, dir, show::colour_on_stdout()),
    };
    show::out(&text);
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_json(report: &VerifyReport) -> serde_json::Value {
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

fn verdict(report: &VerifyReport, dir: &Path, colour: bool) -> String {
    let mut out = match &report.first_break {
        None if report.lines == 0 => format!("{} holds no log\n", dir.display()),
        None => format!("{}: every line follows the one before\n", Colour::Green.paint("whole", colour)),
        Some(at) => format!(
            "{}: {}, line {} (octet {}): {}\n",
            Colour::Red.paint("BROKEN", colour),
            at.file.display(),
            at.line,
            at.offset,
            at.what
        ),
    };
    if report.breaks > 1 {
        out.push_str(&format!("  and {} more places\n", report.breaks - 1));
    }
    let since = report.since.map(|since| format!(", since {}", clock(since))).unwrap_or_default();
    out.push_str(&format!("  {} lines in {} files{since}\n", report.lines, report.files));
    if report.abandoned > 0 {
        out.push_str(&format!("  {} lines were given up on their way to a failing disk\n", report.abandoned));
    }
    out.push_str(&format!("  head: line {} {}\n", report.head.seq, report.head.hash));
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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
        let text = text(&entry);
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\x1b') && text.contains("switch r3 g9 by ops"), "{text}");
        assert!(text.contains("never in force"), "{text}");
    }
}
