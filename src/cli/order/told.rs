//! What came of an order, for people.

use serde_json::Value;

use crate::cli::show;

/// How many changes are shown one by one.
const CHANGES_SHOWN: usize = 12;

/// What came of an order, or would.
pub(super) fn text(done: &Value, what: &str, flag: &str) -> String {
    let node = done["node"].as_str().unwrap_or_default();
    let is_dry_run = done["dry_run"].as_bool().unwrap_or_default();
    let (revision, generation) = (&done["revision"], &done["generation"]);
    if done["changed"] == false {
        return format!("{node}: {what}: nothing to do, it stands like that already (revision {revision})\n")
            + &warnings(done);
    }
    let mut out = match is_dry_run {
        true => format!("{node}: {what}: this would happen\n"),
        false => format!("{node}: {what}: done (revision {revision}, generation {generation})\n"),
    };
    for refusal in done["impact"]["refused_by"].as_array().into_iter().flatten() {
        let (rule, detail) = (refusal["rule"].as_str().unwrap_or_default(), refusal["detail"].as_str());
        out.push_str(&format!("  it would be REFUSED by {rule}: {}\n", detail.unwrap_or_default()));
    }
    if let (Some(undone), Some(kind)) = (done["undone"]["revision"].as_u64(), done["undone"]["kind"].as_str()) {
        out.push_str(&format!("  takes back revision {undone}: {kind}\n"));
    }
    out.push_str(&impact(&done["impact"]));
    if let Some(skipped) = done["services_skipped"].as_array().filter(|skipped| !skipped.is_empty()) {
        out.push_str(&format!("  {} services have no endpoint there and stay on policy\n", skipped.len()));
    }
    if let (Some(until), false) = (time(&done["last_old_answer_expires_at"]), is_dry_run) {
        out.push_str(&format!("  old answers expire by {until}, from caches that honour TTLs\n"));
    }
    out.push_str(&warnings(done));
    if !is_dry_run {
        out.push_str(&format!("  to take it back: meridian undo {revision}{flag}\n"));
    }
    out
}

fn warnings(done: &Value) -> String {
    let warnings = done["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    warnings.map(|warning| format!("  warning: {warning}\n")).collect()
}

fn time(value: &Value) -> Option<String> {
    value.as_str()?.parse().ok().map(show::clock)
}

fn impact(impact: &Value) -> String {
    let changes = impact["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let all = changes.len() as u64 + impact["omitted"].as_u64().unwrap_or_default();
    if all == 0 {
        return "  no client is answered differently\n".to_owned();
    }
    let ids = |value: &Value| {
        let ids = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join("+");
        if ids.is_empty() { "nobody".to_owned() } else { ids }
    };
    let mut rows = vec![["SERVICE", "REGION", "FROM", "TO"].map(str::to_owned).to_vec()];
    rows.extend(changes.iter().take(CHANGES_SHOWN).map(|change| {
        let text = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
        vec![text("service"), text("region"), ids(&change["from"]), ids(&change["to"])]
    }));
    let mut out: String = show::table(&rows).lines().map(|line| format!("  {line}\n")).collect();
    if all > CHANGES_SHOWN as u64 {
        out.push_str(&format!("  and {} more\n", all - CHANGES_SHOWN as u64));
    }
    let percent = |ppm: &Value| ppm.as_f64().unwrap_or_default() / 10_000.0;
    out.push_str(&format!("  {:.1} % of all addresses move", percent(&impact["addresses_moved_ppm"])));
    match &impact["queries"] {
        Value::Null => out.push('\n'),
        queries => out.push_str(&format!(
            ", and {:.1} % of the last {} queries\n",
            percent(&queries["moved_ppm"]),
            queries["sampled"]
        )),
    }
    out
}
