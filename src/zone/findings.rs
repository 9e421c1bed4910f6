//! Collecting diagnostics, as many as a person will read.

use std::sync::Arc;

use crate::diag::{Diagnostic, Severity};
use crate::limits::DIAGNOSTICS_MAX;
use crate::model::Origin;

use super::lex::Spot;

/// The longest line that is shown with a diagnostic, in octets.
const LINE_SHOWN_LEN_MAX: usize = 512;

/// Findings in the order in which they were made. Of errors and of warnings [`DIAGNOSTICS_MAX`] each are kept, so
/// that many warnings never hide an error; the rest is counted.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kept: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Diagnostic) {
        let count = match finding.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= DIAGNOSTICS_MAX {
            self.kept.push(finding);
        }
    }

    /// All that were kept, and how many more there were.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        if let Some(more) = self.errors.checked_sub(DIAGNOSTICS_MAX).filter(|&more| more > 0) {
            self.kept.push(Diagnostic::error("more-errors", format!("and {more} more errors")));
        }
        if let Some(more) = self.warnings.checked_sub(DIAGNOSTICS_MAX).filter(|&more| more > 0) {
            self.kept.push(Diagnostic::warning("more-warnings", format!("and {more} more warnings")));
        }
        self.kept
    }
}

/// Puts a finding at a spot in a text.
pub(super) fn at_spot(finding: Diagnostic, file: &Arc<str>, text: &[u8], spot: Spot) -> Diagnostic {
    let chars = |octets: &[u8]| u32::try_from(String::from_utf8_lossy(octets).chars().count()).unwrap_or(u32::MAX);
    let column = chars(&text[spot.line_at..spot.at]).saturating_add(1);
    let finding = finding.at(&Origin { file: Arc::clone(file), line: spot.line, column });
    let line = text[spot.line_at..].split(|&octet| octet == b'\n').next().unwrap_or_default();
    let len = chars(&text[spot.at..spot.at + spot.len]);
    match line.len() {
        0..=LINE_SHOWN_LEN_MAX => finding.span(len, String::from_utf8_lossy(line).trim_end()),
        _ => finding,
    }
}
