//! What changed between two looks, a line each: what a log or a pipe wants of `--watch`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cli::client::Output;
use crate::cli::show;

/// What is watched, by name.
pub(super) type Facts = BTreeMap<String, String>;

/// The facts of a status.
pub(super) fn facts(status: &Value) -> Facts {
    let mut facts = Facts::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    facts.insert("server".into(), "answers".into());
    facts.insert("generation".into(), status["generation"].to_string());
    facts.insert("revision".into(), status["revision"].to_string());
    facts.insert("blindness".into(), text(&status["blindness"]["cause"]));
    for (at, waiting) in list(&status["waiting"]).iter().enumerate() {
        facts.insert(format!("waiting {}", at + 1), text(&waiting["what"]));
    }
    for dc in list(&status["datacenters"]) {
        let name = text(&dc["dc"]);
        facts.insert(format!("data centre {name}"), text(&dc["state"]));
        facts.insert(format!("data centre {name} admin"), text(&dc["admin"]));
        facts.insert(format!("data centre {name} latches"), dc["latch_count"].to_string());
    }
    for service in list(&status["services"]) {
        let name = text(&service["service"]);
        for region in list(&service["regions"]) {
            let dcs: Vec<String> = list(&region["dcs"]).iter().map(&text).collect();
            let served = if dcs.is_empty() { "nothing".to_owned() } else { dcs.join(" ") };
            let region = region["region"].as_str().unwrap_or("elsewhere").to_owned();
            facts.insert(format!("{name} {region}"), served);
        }
        for endpoint in list(&service["endpoints"]) {
            for address in list(&endpoint["addresses"]) {
                let at = format!("{name} {} {}", text(&endpoint["endpoint"]), text(&address["address"]));
                let held = if address["held"] == Value::Bool(true) { " (held)" } else { "" };
                facts.insert(at, format!("{}{held}", text(&address["state"])));
            }
        }
    }
    facts
}

/// Nothing is known but that.
pub(super) fn unreachable(why: &str) -> Facts {
    Facts::from([("server".to_owned(), why.to_owned())])
}

/// What is other than `before`. Of a first look, and after a silence, only what the server says of itself: the rest
/// is no change.
pub(super) fn lines(before: Option<&Facts>, now: &Facts, server: &str, output: Output) -> String {
    let known = before.filter(|before| before.len() > 1 && now.len() > 1);
    let is_told =
        |name: &str| known.is_some() || matches!(name, "server" | "generation") || name.starts_with("waiting");
    let none = Facts::new();
    let was = before.unwrap_or(&none);
    let mut names: Vec<&String> = now.keys().filter(|name| is_told(name) && was.get(*name) != now.get(*name)).collect();
    names.extend(known.into_iter().flat_map(|known| known.keys().filter(|name| !now.contains_key(*name))));
    let at = jiff::Timestamp::now();
    let line = |name: &String| {
        let (from, to) = (was.get(name), now.get(name));
        match output {
            Output::Json => {
                format!("{}\n", json!({ "at": at.to_string(), "server": server, "what": name, "from": from, "to": to }))
            }
            Output::Text => {
                let from = from.map(|from| format!("{from} → ")).unwrap_or_default();
                let server = if server.is_empty() { String::new() } else { format!("{server} ") };
                format!("{} {server}{name}: {from}{}\n", show::clock(at), to.map_or("-", String::as_str))
            }
        }
    };
    names.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str) -> Value {
        json!({
            "generation": 7,
            "revision": 0,
            "blindness": null,
            "waiting": [],
            "datacenters": [{ "dc": "dc1", "state": state, "admin": "in", "latch_count": 0 }],
            "services": [{
                "service": "api.example.",
                "regions": [{ "region": null, "dcs": ["dc1"] }],
                "endpoints": [{ "endpoint": "a", "addresses": [{ "address": "192.0.2.1", "state": state, "held": false }] }],
            }],
        })
    }

    fn told(before: Option<&Facts>, now: &Facts) -> Vec<String> {
        let lines = lines(before, now, "", Output::Text);
        // Without the time.
        lines.lines().map(|line| line.split_once(") ").unwrap().1.to_owned()).collect()
    }

    #[test]
    fn each_change_is_a_line_and_what_stays_is_none() {
        let (up, down) = (facts(&status("up")), facts(&status("down")));
        assert_eq!(told(None, &up), ["generation: 7", "server: answers"]);
        assert_eq!(told(Some(&up), &up), [""; 0]);
        assert_eq!(told(Some(&up), &down), ["api.example. a 192.0.2.1: up → down", "data centre dc1: up → down"]);
        let gone = unreachable("not reached");
        assert_eq!(told(Some(&down), &gone), ["server: answers → not reached"]);
        assert_eq!(told(Some(&gone), &up), ["generation: 7", "server: not reached → answers"]);
    }
}
