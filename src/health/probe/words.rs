//! Words for people: short, and safe to print whatever a target sent.

use std::time::Duration;

use crate::limits::PROBE_ERROR_LEN_MAX;

/// At most [`PROBE_ERROR_LEN_MAX`] characters, none of which a terminal would act upon.
pub(super) fn bounded(text: &str) -> String {
    let plain = |c: char| if c.is_control() || is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c };
    let mut kept: String = text.chars().take(PROBE_ERROR_LEN_MAX).map(plain).collect();
    if text.chars().nth(PROBE_ERROR_LEN_MAX).is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// Marks that turn the direction of what stands beside them, or that cannot be seen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The first characters of what a target sent, in quotes.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let dots = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    let shown: String = text.chars().take(SHOWN).collect();
    format!("\"{shown}{dots}\"")
}

/// `300 ms`, `3 s`, `2.4 s`.
pub(super) fn span(time: Duration) -> String {
    match time.as_millis() {
        0 => format!("{} µs", time.as_micros()),
        millis @ 1..=999 => format!("{millis} ms"),
        millis if millis % 1000 < 50 => format!("{} s", millis / 1000),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

/// `3 days`, `5 hours`, `1 minute`: how long ago, roughly.
pub(super) fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        172_800.. => (seconds / 86_400, "day"),
        7_200.. => (seconds / 3_600, "hour"),
        120.. => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_sent_is_bounded_and_cannot_drive_a_terminal() {
        let hostile = format!("status \x1b[2J\r\n\u{202e}{}", "é".repeat(1000));
        let shown = bounded(&hostile);
        assert_eq!(shown.chars().count(), PROBE_ERROR_LEN_MAX);
        assert!(shown.starts_with("status \u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}é") && shown.ends_with('…'), "{shown}");
        assert_eq!(bounded("connection refused"), "connection refused");
    }

    #[test]
    fn times_read_as_people_say_them() {
        let spans = [(0, "0 µs"), (300, "300 ms"), (3000, "3 s"), (3049, "3 s"), (2400, "2.4 s")];
        for (millis, said) in spans {
            assert_eq!(span(Duration::from_millis(millis)), said);
        }
        let ages = [(1, "1 second"), (119, "119 seconds"), (3_600, "60 minutes"), (260_000, "3 days")];
        for (seconds, said) in ages {
            assert_eq!(age(Duration::from_secs(seconds)), said);
        }
    }
}
