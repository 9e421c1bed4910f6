//! The page of `meridian status`: what needs you first, then everything in short tables.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::Value;

use crate::cli::show::{self, Colour};

/// Rows of endpoints shown of services where all is well: the others are shown whatever their number.
const PLAIN_ROWS_MAX: usize = 40;

/// `flag`: how a command names this server.
pub(super) fn text(status: &Value, server: &str, flag: &str, colour: bool) -> String {
    let mut out = String::new();
    headline(status, flag, colour, &mut out);
    let _ = writeln!(
        out,
        "node {}   generation {}   revision {}   {server}\n",
        word(&status["node"]),
        status["generation"],
        status["revision"]
    );
    out.push_str(&datacenters(status, colour));
    orders(status, &mut out);
    out.push('\n');
    out.push_str(&services(status, colour));
    out.push('\n');
    out.push_str(&endpoints(status, colour));
    let (shown, all) = (list(&status["services"]).len(), status["services_in_all"].as_u64().unwrap_or_default());
    if (shown as u64) < all {
        let _ = writeln!(out, "{shown} of {all} services are shown, those that need attention first");
    }
    out
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// What needs you, each with the command to type; else that all is well.
fn headline(status: &Value, flag: &str, colour: bool, out: &mut String) {
    for waiting in list(&status["waiting"]) {
        let since = moment(&waiting["since"]).map(|at| format!(" (since {})", show::clock(at))).unwrap_or_default();
        let _ = writeln!(out, "{}{since}", Colour::Yellow.paint(word(&waiting["what"]), colour));
        if let Some(command) = waiting["command"].as_str() {
            let _ = writeln!(out, "  → {command}{flag}");
        }
    }
    if !list(&status["waiting"]).is_empty() {
        return;
    }
    let down: Vec<&str> =
        list(&status["datacenters"]).iter().filter(|dc| dc["state"] == "down").map(|dc| word(&dc["dc"])).collect();
    let line = match (status["well"].as_bool(), down.as_slice()) {
        (Some(true), _) => Colour::Green.paint("all is well", colour),
        (_, []) => Colour::Yellow.paint("nothing waits for you; something is not as policy would have it", colour),
        (_, down) => Colour::Red.paint(&format!("{} down; nothing waits for you", down.join(", ")), colour),
    };
    let _ = writeln!(out, "{line}");
}

fn state(value: &Value, colour: bool) -> String {
    let text = word(value);
    match text {
        "up" => Colour::Green.paint(text, colour),
        "down" => Colour::Red.paint(text, colour),
        _ => Colour::Yellow.paint(text, colour),
    }
}

fn datacenters(status: &Value, colour: bool) -> String {
    let mut rows = vec![row(&["DC", "STATE", "UP", "DOWN", "UNKNOWN", "ID", ""])];
    for dc in list(&status["datacenters"]) {
        let mut notes = Vec::new();
        if dc["admin"] != "in" {
            notes.push(format!("ordered {}", word(&dc["admin"])));
        }
        if let Some(forced) = dc["forced"].as_str() {
            notes.push(format!("forced {forced}"));
        }
        match dc["latch_count"].as_u64() {
            Some(0) | None => {}
            Some(count) => notes.push(format!("latched ({count})")),
        }
        if let Some(held @ 1..) = dc["endpoints"]["held"].as_u64() {
            notes.push(format!("{held} in hold-down"));
        }
        let count = |state: &str| dc["endpoints"][state].to_string();
        rows.push(vec![
            word(&dc["dc"]).to_owned(),
            state(&dc["state"], colour),
            count("up"),
            count("down"),
            count("unknown"),
            word(&dc["id"]).to_owned(),
            notes.join(", "),
        ]);
    }
    show::table(&rows)
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn orders(status: &Value, out: &mut String) {
    for order in list(&status["orders"]) {
        let to: Vec<&str> = list(&order["to"]).iter().map(word).collect();
        let _ = write!(
            out,
            "\n{} {} by {}, revision {}",
            word(&order["kind"]),
            to.join(" "),
            word(&order["actor"]),
            order["revision"]
        );
        if let Some(reason) = order["reason"].as_str().filter(|reason| !reason.is_empty()) {
            let _ = write!(out, ": {reason}");
        }
        if let Some(at) = moment(&order["expires_at"]) {
            let _ = write!(out, ", until {}", show::clock(at));
        }
        out.push('\n');
    }
}

fn services(status: &Value, colour: bool) -> String {
    let mut rows = vec![row(&["SERVICE", "REGION", "SERVED BY", "WHY"])];
    for service in list(&status["services"]) {
        let mut name = word(&service["service"]).trim_end_matches('.');
        for region in list(&service["regions"]) {
            let dcs: Vec<&str> = list(&region["dcs"]).iter().map(word).collect();
            let (served, why) = match region["source"].as_str() {
                Some(source) => (dcs.join(" "), source),
                None => (Colour::Red.paint("nothing", colour), word(&region["no_data"])),
            };
            let region = region["region"].as_str().unwrap_or("elsewhere");
            rows.push(vec![name.to_owned(), region.to_owned(), served, why.to_owned()]);
            name = "";
        }
    }
    show::table(&rows)
}

fn endpoints(status: &Value, colour: bool) -> String {
    let mut rows = vec![row(&["ENDPOINT", "SERVICE", "ADDRESS", "STATE", "SINCE", "RESPONSE", ""])];
    let mut plain = 0;
    for service in list(&status["services"]) {
        let is_plain = service["needs_attention"] != Value::Bool(true);
        for endpoint in list(&service["endpoints"]) {
            for address in list(&endpoint["addresses"]) {
                plain += usize::from(is_plain);
                if is_plain && plain > PLAIN_ROWS_MAX {
                    continue;
                }
                rows.push(vec![
                    word(&endpoint["endpoint"]).to_owned(),
                    word(&service["service"]).trim_end_matches('.').to_owned(),
                    word(&address["address"]).to_owned(),
                    state(&address["state"], colour),
                    moment(&address["since"]).map_or_else(String::new, show::clock),
                    response(address),
                    notes(endpoint, address),
                ]);
            }
        }
    }
    let mut out = show::table(&rows);
    if plain > PLAIN_ROWS_MAX {
        let _ = writeln!(out, "… and {} more that are up", plain - PLAIN_ROWS_MAX);
    }
    out
}

fn response(address: &Value) -> String {
    let mean = list(&address["checks"]).iter().find_map(|check| check["response_ms"]["usual"].as_f64());
    mean.map_or_else(String::new, |mean| format!("{mean:.1} ms"))
}

fn notes(endpoint: &Value, address: &Value) -> String {
    let mut notes = Vec::new();
    if endpoint["watched"] == Value::Bool(false) {
        notes.push("not watched".to_owned());
    }
    if endpoint["admin"] != "in" {
        notes.push(format!("ordered {}", word(&endpoint["admin"])));
    }
    if let Some(forced) = endpoint["forced"].as_str() {
        notes.push(format!("forced {forced}"));
    }
    for (field, note) in [("stale", "stale"), ("withheld", "too little of its DC is up")] {
        if address[field] == Value::Bool(true) {
            notes.push(note.to_owned());
        }
    }
    if let Some(until) = moment(&address["held_until"]) {
        notes.push(format!("in hold-down until {}", show::clock(until)));
    }
    for check in list(&address["checks"]) {
        if let Some(error) = check["last_error"].as_str().filter(|_| check["state"] != "up") {
            notes.push(format!("{} ({}): {error}", word(&check["check"]), word(&check["observer"])));
        }
        if check["disbelieved"] == Value::Bool(true) {
            notes.push("probes say down, and this node may be blind".to_owned());
        }
        match (check["certificate"]["state"].as_str(), check["certificate"]["days"].as_i64()) {
            (Some("expired"), _) => notes.push("its certificate has expired".to_owned()),
            (Some("expiring"), Some(days)) => notes.push(format!("its certificate expires in {days} days")),
            (Some(_) | None, _) => {}
        }
    }
    notes.join("; ")
}

fn moment(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_waits_comes_first_with_the_command_to_type() {
        let status = json!({
            "node": "gtm1", "generation": 4, "revision": 0, "well": false,
            "waiting": [{ "what": "dc1 has recovered", "since": null, "command": "meridian failback dc1" }],
        });
        let page = text(&status, "http://gtm1:8053", " --server http://gtm1:8053", false);
        let lines: Vec<&str> = page.lines().take(3).collect();
        assert_eq!(
            lines,
            [
                "dc1 has recovered",
                "  → meridian failback dc1 --server http://gtm1:8053",
                "node gtm1   generation 4   revision 0   http://gtm1:8053"
            ]
        );
    }

    #[test]
    fn a_status_of_another_version_is_shown_as_far_as_it_goes() {
        for status in [json!(null), json!({}), json!({ "well": true, "datacenters": [1, null], "services": {} })] {
            assert!(text(&status, "x", "", true).contains("node -"));
        }
    }
}
