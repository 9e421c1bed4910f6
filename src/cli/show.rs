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
