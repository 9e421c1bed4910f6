//! How long each health check may take to notice a failure, for `meridian check`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::json;

use crate::model::{Check, PolicySet, Probe, WorstCase, show_seconds};

/// Names shown behind one sum; ten thousand services may share one.
const SHOWN_MAX: usize = 8;

/// Checks that look for themselves. How long a reporter takes is not ours to say.
fn watching(policy: &PolicySet) -> impl Iterator<Item = (&Check, WorstCase)> {
    let checks = policy.checks.iter().filter(|check| check.spec.probe != Probe::External);
    checks.map(|check| (check, WorstCase::of(&check.spec)))
}

/// For people: each sum once, the longest first, with the checks that come to it. Nothing without checks.
pub(super) fn text(policy: &PolicySet, target: Duration) -> String {
    let mut by_sum: BTreeMap<(std::cmp::Reverse<Duration>, String), Vec<&str>> = BTreeMap::new();
    for (check, sum) in watching(policy) {
        by_sum.entry((std::cmp::Reverse(sum.total()), sum.to_string())).or_default().push(check.id.as_str());
    }
    let mut out = String::new();
    if !by_sum.is_empty() {
        let target = show_seconds(target);
        let _ = writeln!(out, "until a failure is noticed, at worst (the target is {target}):");
    }
    for ((_, sum), checks) in by_sum {
        let rest = checks.len().saturating_sub(SHOWN_MAX);
        let _ = write!(out, "  {}: {sum}", checks[..checks.len() - rest].join(", "));
        out.push_str(&if rest > 0 { format!(" (and {rest} more checks)\n") } else { "\n".to_owned() });
    }
    out
}

/// For programs: one JSON object a line, a check each.
pub(super) fn json(policy: &PolicySet, target: Duration) -> String {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (check, sum) in watching(policy) {
        let line = json!({
            "severity": "note",
            "code": "worst-case",
            "check": check.id.as_str(),
            "worst_case_ms": ms(sum.total()),
            "notice_within_ms": ms(target),
            "message": sum.to_string(),
        });
        let _ = writeln!(out, "{line}");
    }
    out
}
