//! `--wait`: until no answer is left that was given before an order.
//!
//! The order was carried out, and each server said how long its last old answer lives. On a
//! terminal it is asked once a second how its clients leave, and that is shown.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, segment};
use super::show;

/// The longest that `--wait` waits: TTLs are shorter than that, or waiting is no use.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Data centres whose progress is shown.
const SHOWN: usize = 3;

/// To be asked for with an order, so that its answer says how long to wait.
pub(super) const QUERY: &str = "?wait=expired&wait_s=0";

/// What one server's old answers are waited for.
#[derive(Debug)]
pub(super) struct Leaving {
    server: usize,
    until: Instant,
    datacenters: Vec<String>,
}

impl Leaving {
    /// Of the answer to an order; `None`: nothing is left to wait for.
    pub(super) fn of(server: usize, done: &Value) -> Option<Leaving> {
        let left = done["expires_in_s"].as_u64().filter(|left| *left > 0)?;
        let set = |value: &Value| -> BTreeSet<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let changes = done["impact"]["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let left_by =
            |change: &Value| set(&change["from"]).difference(&set(&change["to"])).cloned().collect::<Vec<_>>();
        let datacenters: BTreeSet<String> = changes.iter().flat_map(left_by).collect();
        let datacenters = datacenters.into_iter().take(SHOWN).collect();
        Some(Leaving { server, until: Instant::now() + Duration::from_secs(left), datacenters })
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// Waits for all; false, and at once, when that would take too long.
pub(super) fn wait(client: &Client, all: &[Leaving]) -> bool {
    if all.iter().any(|leaving| leaving.left() > WAIT_MAX) {
        let path = "GET /api/drain/{dc}";
        show::err(&format!(
            "the last old answer expires in more than an hour, which is not waited for; {path} tells when\n"
        ));
        return false;
    }
    let is_terminal = std::io::stderr().is_terminal();
    while let Some(last) = all.iter().max_by_key(|leaving| leaving.until).filter(|last| !last.left().is_zero()) {
        if is_terminal {
            show::err(&format!("\r\x1b[K{}", progress(client, last)));
        }
        thread::sleep(last.left().min(Duration::from_secs(1)));
    }
    let begin = if is_terminal { "\r\x1b[K" } else { "" };
    show::err(&format!("{begin}the last old answer has expired, from caches that honour TTLs\n"));
    true
}

/// One line.
fn progress(client: &Client, leaving: &Leaving) -> String {
    let mut line = format!("old answers expire in {} s", leaving.left().as_secs() + 1);
    for datacenter in &leaving.datacenters {
        let path = format!("/api/drain/{}", segment(datacenter));
        match client.ask(leaving.server, "GET", &path, None) {
            Ok(reply) if reply.status == 200 => {
                let name = reply.body["dc"].as_str().unwrap_or(datacenter);
                let minute = reply.body["answers_last_minute"].as_u64().unwrap_or_default();
                line.push_str(&format!("; {name}: {minute} answers in the last minute"));
                if let Some(ago) = reply.body["seconds_since_last_answer"].as_u64() {
                    line.push_str(&format!(", the last {ago} s ago"));
                }
            }
            Ok(_) => {}
            Err(_) => line.push_str(&format!("; {} does not answer", client.name(leaving.server))),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_waited_for_is_what_clients_leave() {
        let done = json!({
            "expires_in_s": 12,
            "impact": { "changes": [
                { "from": ["dc1_a"], "to": ["dc2_b"] },
                { "from": ["dc1_a", "dc3_c"], "to": ["dc3_c"] },
            ] },
        });
        let leaving = Leaving::of(1, &done).unwrap();
        assert_eq!((leaving.server, leaving.datacenters.as_slice()), (1, &["dc1_a".to_owned()][..]));
        assert!(leaving.left() > Duration::from_secs(10) && leaving.left() <= Duration::from_secs(12));
        assert!(Leaving::of(0, &json!({ "expires_in_s": 0 })).is_none());
        assert!(Leaving::of(0, &json!({ "revision": 3 })).is_none(), "a server that does not know of waiting");
    }
}
