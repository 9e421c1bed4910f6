//! What a load finds wrong, collected.

use super::source::{Sources, Span};
use crate::diag::{Diagnostic, Related, Severity};
use crate::limits;
use crate::model::Origin;

/// The findings of one load, and the texts they point into.
///
/// At most [`limits::DIAGNOSTICS_MAX`] of each severity are kept; a file in which every line is wrong
/// must not cost more memory than the file.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) sources: Sources,
    found: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
    compared: usize,
    /// The field being read, for messages.
    pub(super) field: Option<&'static str>,
}

impl Report {
    /// A finding at `span`.
    pub(super) fn at(&mut self, span: Span, diagnostic: Diagnostic) {
        if self.counts(diagnostic.severity) {
            let located = self.sources.locate(diagnostic, span);
            self.found.push(located);
        }
    }

    /// A finding about `text`, which stands at `origin`.
    pub(super) fn at_origin(&mut self, origin: &Origin, text: &str, diagnostic: Diagnostic) {
        match self.sources.span(origin, text.chars().count()) {
            Some(span) => self.at(span, diagnostic),
            None => self.push(diagnostic.at(origin)),
        }
    }

    /// A finding that knows its place, or has none.
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if self.counts(diagnostic.severity) {
            self.found.push(diagnostic);
        }
    }

    /// Counts one more; true when it is to be kept as well.
    fn counts(&mut self, severity: Severity) -> bool {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        *count <= limits::DIAGNOSTICS_MAX
    }

    /// Another place that a diagnostic speaks of.
    pub(super) fn related(&self, span: Span, label: &str) -> Related {
        self.sources.related(span, label)
    }

    /// How many errors so far: a reader that sees the number grow knows that its part is refused.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// The candidate that was probably meant by `text`.
    pub(super) fn nearest<'a>(&mut self, text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        if self.errors >= limits::DIAGNOSTICS_MAX || text.len() > 2 * limits::ID_LEN_MAX {
            return None;
        }
        let left = limits::NEAREST_COMPARISONS_MAX - self.compared;
        let text = text.to_lowercase();
        let mut best: Option<(usize, &str)> = None;
        for candidate in candidates.into_iter().take(left) {
            self.compared += 1;
            let distance = distance(&text, &candidate.to_lowercase());
            if distance.is_some_and(|distance| best.is_none_or(|(least, _)| distance < least)) {
                best = distance.map(|distance| (distance, candidate));
            }
        }
        best.map(|(_, candidate)| candidate)
    }

    /// "did you mean `…`?", when something is near.
    pub(super) fn did_you_mean<'a>(
        &mut self,
        text: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<String> {
        self.nearest(text, candidates).map(|near| format!("did you mean `{near}`?"))
    }

    /// Everything found, sorted by file, line and column; what was not kept is counted by a last finding.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| (&a.at, b.severity, a.code).cmp(&(&b.at, a.severity, b.code)));
        let omitted = |count: usize| count.saturating_sub(limits::DIAGNOSTICS_MAX);
        if omitted(self.errors) > 0 {
            let message = format!("{} more errors are not listed", omitted(self.errors));
            self.found.push(Diagnostic::error("more-errors", message));
        }
        if omitted(self.warnings) > 0 {
            let message = format!("{} more warnings are not listed", omitted(self.warnings));
            self.found.push(Diagnostic::warning("more-warnings", message));
        }
        self.found
    }
}

/// A diagnostic with a remedy, when there is one.
pub(super) fn with_help(diagnostic: Diagnostic, help: Option<String>) -> Diagnostic {
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// How far `text` is from `candidate`; `None` when it is too far to be a slip of the finger. A leading
/// part of at least three letters counts as near.
fn distance(text: &str, candidate: &str) -> Option<usize> {
    let (a, b) = (text.chars().count(), candidate.chars().count());
    let allowed = (a.max(b) / 3).max(1);
    if a.abs_diff(b) <= allowed {
        let distance = strsim::osa_distance(text, candidate);
        if distance <= allowed && distance < a.max(b) {
            return Some(distance);
        }
    }
    (a >= 3 && candidate.starts_with(text) || b >= 3 && text.starts_with(candidate)).then(|| allowed + a.abs_diff(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(text: &str) -> Option<&'static str> {
        Report::default().nearest(text, ["primary", "secondary", "weight", "dc1_beijing", "北京"])
    }

    #[test]
    fn the_nearest_name_is_a_slip_of_the_finger_away_or_begins_alike() {
        assert_eq!(nearest("wieght"), Some("weight"));
        assert_eq!(nearest("Primary"), Some("primary"));
        assert_eq!(nearest("dc1"), Some("dc1_beijing"));
        assert_eq!(nearest("北京市"), Some("北京"));
        assert_eq!(nearest("zzz"), None);
        assert_eq!(nearest(""), None);
    }

    #[test]
    fn findings_beyond_the_bound_are_counted() {
        let mut report = Report::default();
        for _ in 0..limits::DIAGNOSTICS_MAX + 5 {
            report.push(Diagnostic::error("e", "m"));
        }
        let found = report.finish();
        assert_eq!(found.len(), limits::DIAGNOSTICS_MAX + 1);
        assert_eq!(found[limits::DIAGNOSTICS_MAX].message, "5 more errors are not listed");
    }
}
