//! Diagnostics: what is wrong in a file, where, what was expected, and what to do.
//!
//! Every room that reads input reports [`Diagnostic`]s instead of strings, and reports all that it finds,
//! not the first alone. Rendering (for a terminal, as JSON lines, as annotations on a pull request) is
//! done here and nowhere else, so a message looks alike wherever it came from.
//!
//! Codes are stable: scripts may look for them, documentation explains them.

mod render;

use std::sync::Arc;

pub use render::{Format, Summary, render, to_json};

use crate::model::Origin;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It loads, and somebody should know.
    Warning,
    /// It does not load.
    Error,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable, in kebab case: `unknown-field`, `duplicate-endpoint`.
    pub code: &'static str,
    /// One sentence: what is wrong, with the offending text.
    pub message: String,
    /// Where, when there is a file.
    pub at: Option<Origin>,
    /// How many characters of the line are meant, from the column on; 0 when unknown.
    pub len: u32,
    /// The whole text of that line, when it was at hand.
    pub line_text: Option<Arc<str>>,
    /// What was expected there.
    pub expected: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// Other places that matter: where a name was defined first.
    pub related: Vec<Related>,
}

/// Another place that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// Where.
    pub at: Origin,
    /// How many characters of the line are meant; 0 when unknown.
    pub len: u32,
    /// The whole text of that line, when it was at hand.
    pub line_text: Option<Arc<str>>,
    /// What is there: `first defined here`.
    pub label: String,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            at: None,
            len: 0,
            line_text: None,
            expected: None,
            help: None,
            related: Vec::new(),
        }
    }

    /// A warning without a place.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, message) }
    }

    /// Where it is.
    pub fn at(mut self, origin: &Origin) -> Diagnostic {
        self.at = Some(origin.clone());
        self
    }

    /// How many characters are meant, and the text of the line they stand in.
    pub fn span(mut self, len: u32, line_text: &str) -> Diagnostic {
        self.len = len;
        self.line_text = Some(line_text.into());
        self
    }

    /// What was expected.
    pub fn expected(mut self, expected: impl Into<String>) -> Diagnostic {
        self.expected = Some(expected.into());
        self
    }

    /// What to do.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Another place that matters, and what is there.
    pub fn related(mut self, related: Related) -> Diagnostic {
        self.related.push(related);
        self
    }

    /// True for an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
