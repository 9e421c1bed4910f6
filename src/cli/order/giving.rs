//! Giving an order until its fate is known, and saying so where it is not.

use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::client::{Client, Output, Reply, Silence, exit, with_server};
use crate::cli::show;
use crate::limits::{CLIENT_PAUSE_MAX_MS, CLIENT_REACH_S, CLIENT_RETRY_S};

/// A key that nobody else makes.
pub(super) fn new_key() -> Result<String, String> {
    let mut octets = [0; 16];
    let random = ring::rand::SystemRandom::new();
    ring::rand::SecureRandom::fill(&random, &mut octets)
        .map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok(octets.iter().fold("cli-".to_owned(), |key, octet| key + &format!("{octet:02x}")))
}

/// Gives an order until its fate is known, for a bounded time; the key sees to it that it is carried out once.
pub(super) fn give(
    client: &Client,
    server: usize,
    (method, path, body): (&str, &str, &Value),
    key: &str,
) -> Result<Reply, Silence> {
    let began = Instant::now();
    let (mut pause, mut was_sent) = (Duration::from_millis(200), false);
    loop {
        let outcome = client.ask_under(server, Some(key), method, path, Some(body));
        let (is_known, why) = match &outcome {
            Ok(reply) => (!is_unsettled(reply), reply.body["detail"].as_str().unwrap_or_default().to_owned()),
            Err(silence) => {
                was_sent |= silence.is_sent;
                (false, silence.why.clone())
            }
        };
        let patience = Duration::from_secs(if was_sent || outcome.is_ok() { CLIENT_RETRY_S } else { CLIENT_REACH_S });
        if is_known || began.elapsed() + pause >= patience {
            return outcome.map_err(|silence| Silence { is_sent: was_sent, ..silence });
        }
        if std::io::stderr().is_terminal() {
            show::err(&format!("{why}; asking again\n"));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(CLIENT_PAUSE_MAX_MS));
    }
}

/// The server, or what stands before it, could not say yes or no in time; or it could, and it is worth asking again.
fn is_unsettled(reply: &Reply) -> bool {
    let kind = reply.body["type"].as_str().unwrap_or_default();
    match reply.status {
        502 | 504 => true,
        503 => !matches!(kind, "/problems/not-stored" | "/problems/no-control"),
        _ => false,
    }
}

/// Says that a server has not answered, and what that means.
pub(super) fn silent(client: &Client, server: usize, output: Output, silence: &Silence, key: &str) -> u8 {
    let Silence { why, is_sent } = silence;
    match output {
        Output::Json => {
            let mut line = with_server(client, server, Value::Null, Some(why));
            line["outcome"] = if *is_sent { "unknown" } else { "not-sent" }.into();
            line["idempotency_key"] = key.into();
            show::out(&format!("{line}\n"));
        }
        Output::Text => {
            let meaning = match is_sent {
                true => "whether the order is in force is NOT KNOWN",
                false => "the order was not given there",
            };
            let again = again(std::env::args().skip(1), &[client.name(server)], key);
            let flag = client.flag(server);
            show::err(&format!("error: {why}\n  {meaning}\n  → meridian status{flag}\n  → {again}\n"));
        }
    }
    exit::UNREACHABLE
}

/// Where some of several servers have not done what others did.
pub(super) fn left_behind(client: &Client, codes: &[u8], key: &str) -> String {
    let missing: Vec<String> = (0..client.len()).filter(|at| codes[*at] != 0).map(|at| client.name(at)).collect();
    if missing.is_empty() || missing.len() == client.len() {
        return String::new();
    }
    let done = client.len() - missing.len();
    format!(
        "{done} of {} nodes have done it, {} not: they answer differently until it is done there, or undone here\n  → {}\n",
        client.len(),
        missing.join(", "),
        again(std::env::args().skip(1), &missing, key)
    )
}

/// The command line to type for the same order to these servers.
fn again(arguments: impl IntoIterator<Item = String>, servers: &[String], key: &str) -> String {
    let mut line = "meridian".to_owned();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--server" | "--idempotency-key" => drop(arguments.next()),
            other if other.starts_with("--server=") || other.starts_with("--idempotency-key=") => {}
            other => line.push_str(&format!(" {}", quoted(other))),
        }
    }
    let servers: String = servers.iter().map(|server| format!(" --server {}", quoted(server))).collect();
    format!("{line}{servers} --idempotency-key {}", quoted(key))
}

/// As a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+[]".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_order_can_be_typed_again() {
        let words = ["switch", "dc2", "--server", "http://a:1", "--server=b", "--reason", "the kim's drill", "--yes"];
        assert_eq!(
            again(words.map(str::to_owned), &["http://a:1".to_owned()], "cli-7"),
            r"meridian switch dc2 --reason 'the kim'\''s drill' --yes --server http://a:1 --idempotency-key cli-7"
        );
    }

    #[test]
    fn keys_are_new() {
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        assert!(one != other && one.len() == 36, "{one} {other}");
    }

    #[test]
    fn what_is_settled_is_not_asked_again() {
        let reply = |status, kind: &str| Reply { status, body: json!({ "type": format!("/problems/{kind}") }) };
        for (status, kind, expected) in [
            (503, "store-timeout", true),
            (503, "timeout", true),
            (503, "not-stored", false),
            (503, "no-control", false),
            (504, "", true),
            (500, "internal", false),
            (409, "refused", false),
        ] {
            assert_eq!(is_unsettled(&reply(status, kind)), expected, "{status} {kind}");
        }
    }
}
