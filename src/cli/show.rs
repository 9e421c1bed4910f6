//! Showing findings and names on a terminal.

use std::io::{IsTerminal, Write};

use crate::diag::{self, Diagnostic, Format};

/// True when colours may be used on standard error: a terminal, and nobody has set `NO_COLOR`.
pub(super) fn colour_on_stderr() -> bool {
    std::io::stderr().is_terminal() && colour_is_allowed()
}

/// The same for standard output.
pub(super) fn colour_on_stdout() -> bool {
    std::io::stdout().is_terminal() && colour_is_allowed()
}

fn colour_is_allowed() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints findings to standard error, for people.
pub(super) fn findings(found: &[Diagnostic]) {
    if !found.is_empty() {
        err(&diag::render(found, Format::Text { colour: colour_on_stderr() }));
    }
}

/// Prints to standard output. A reader that has gone (`… | head`) is no reason to fail, least of all for a
/// server.
pub(super) fn out(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The same to standard error.
pub(super) fn err(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The same where nothing else is done but print: a reader that has gone ends the program.
pub(super) fn out_or_end(text: &str) {
    let mut stdout = std::io::stdout();
    if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}

/// A colour of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
}

impl Colour {
    /// `text` in that colour, when colours may be used.
    pub(super) fn paint(self, text: &str, is_allowed: bool) -> String {
        let code = match self {
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
        };
        if is_allowed { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Local time and UTC: people are in one, logs in the other.
pub(super) fn clock(at: jiff::Timestamp) -> String {
    let local = at.to_zoned(jiff::tz::TimeZone::system());
    let utc = at.to_zoned(jiff::tz::TimeZone::UTC);
    let is_today = local.date() == jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::system()).date();
    let format = if is_today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    format!("{} ({} UTC)", local.strftime(format), utc.strftime("%H:%M:%S"))
}

/// Columns, two spaces apart, each as wide as its widest cell; nothing without rows below the first.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    if rows.len() < 2 {
        return String::new();
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell)).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, wide) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(wide - width(cell) + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Columns of a terminal that a text takes: escapes none, characters of East Asian scripts two.
fn width(text: &str) -> usize {
    let mut is_escape = false;
    let mut width = 0;
    for c in text.chars() {
        match c {
            '\x1b' => is_escape = true,
            'm' if is_escape => is_escape = false,
            _ if is_escape => {}
            '\u{1100}'..='\u{115f}'
            | '\u{2e80}'..='\u{a4cf}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}'
            | '\u{fe30}'..='\u{fe6f}'
            | '\u{ff00}'..='\u{ff60}'
            | '\u{ffe0}'..='\u{ffe6}' => width += 2,
            _ => width += 1,
        }
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let green = Colour::Green.paint("up", true);
        let rows = [row(["DC", "STATE"]), row(["北京", &green]), row(["dc10", "down"])];
        assert_eq!(table(&rows), format!("DC    STATE\n北京  {green}\ndc10  down\n"));
        assert_eq!(table(&rows[..1]), "");
    }
}
