//! The text of files, and places in it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use crate::diag::{Diagnostic, Related};
use crate::model::Origin;

/// A file's name and content, as somebody else has read it.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// As messages show it.
    pub name: Arc<str>,
    /// Its content: UTF-8, or it is refused with the place of the first octet that is not.
    pub bytes: Vec<u8>,
}

impl SourceFile {
    /// A file called `name`.
    pub fn new(name: &str, bytes: impl Into<Vec<u8>>) -> SourceFile {
        SourceFile { name: name.into(), bytes: bytes.into() }
    }
}

/// Octets of a line up to which it is shown with a finding: a generated file may be one line, and each
/// finding holds a copy.
const LINE_SHOWN_LEN_MAX: usize = 4096;

/// A stretch of one line of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    /// Which file, by position in [`Sources`].
    pub(super) file: u32,
    /// From 1.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
    /// In characters; 0 when unknown.
    pub(super) len: u32,
}

impl Span {
    /// The first character of a file.
    pub(super) fn start_of(file: u32) -> Span {
        Span { file, line: 1, column: 1, len: 0 }
    }
}

#[derive(Debug)]
struct Source {
    name: Arc<str>,
    text: Arc<str>,
    /// Octet at which each line begins; asked for by findings alone.
    lines: OnceCell<Vec<usize>>,
}

impl Source {
    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| line_starts(&self.text))
    }
}

/// The texts of one load, for messages.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

/// YAML's line breaks are `\n`, `\r` and `\r\n` (YAML 1.2.2 §5.4); so are those of the parser's marks.
fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut starts = vec![0];
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'\n' || (byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
            starts.push(at + 1);
        }
    }
    starts
}

impl Sources {
    /// Takes in a file. One that is not UTF-8 is kept up to the first octet that is not, and refused.
    pub(super) fn add(&mut self, file: &SourceFile) -> Result<u32, Box<Diagnostic>> {
        let (valid, bad) = match std::str::from_utf8(&file.bytes) {
            Ok(text) => (Cow::Borrowed(text), None),
            Err(error) => {
                let valid = &file.bytes[..error.valid_up_to()];
                (String::from_utf8_lossy(valid), file.bytes.get(error.valid_up_to()))
            }
        };
        let text: Arc<str> = valid.strip_prefix('\u{feff}').unwrap_or(&valid).into();
        self.0.push(Source { name: file.name.clone(), text, lines: OnceCell::new() });
        let ix = u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX);
        let Some(&octet) = bad else { return Ok(ix) };
        let source = &self.0[self.0.len() - 1];
        let line = source.lines().len();
        let column = source.text[source.lines()[line - 1]..].chars().count() + 1;
        let span = Span { file: ix, line: small(line), column: small(column), len: 0 };
        let error = Diagnostic::error("not-utf8", format!("octet 0x{octet:02x} is not UTF-8"))
            .expected("UTF-8 text")
            .help("save the file as UTF-8");
        Err(Box::new(self.locate(error, span)))
    }

    /// The text of a file, without its byte order mark.
    pub(super) fn text(&self, file: u32) -> Arc<str> {
        self.0.get(file as usize).map_or_else(|| Arc::from(""), |source| source.text.clone())
    }

    /// What `span` is for readers of messages.
    pub(super) fn origin(&self, span: Span) -> Origin {
        let file = self.0.get(span.file as usize).map_or_else(|| Arc::from(""), |source| source.name.clone());
        Origin { file, line: span.line, column: span.column }
    }

    /// `len` characters at `origin`, when that is in one of these files.
    pub(super) fn span(&self, origin: &Origin, len: usize) -> Option<Span> {
        let file = self.0.iter().position(|source| source.name == origin.file)?;
        Some(Span { file: small(file), line: origin.line, column: origin.column, len: small(len) })
    }

    fn line(&self, span: Span) -> &str {
        let Some(source) = self.0.get(span.file as usize) else { return "" };
        let line = (span.line as usize).saturating_sub(1);
        let Some(&from) = source.lines().get(line) else { return "" };
        let to = source.lines().get(line + 1).copied().unwrap_or(source.text.len());
        source.text[from..to].trim_end_matches(['\r', '\n'])
    }

    /// `diagnostic` with its place, and the line's text unless that is too long to be looked at.
    pub(super) fn locate(&self, diagnostic: Diagnostic, span: Span) -> Diagnostic {
        let diagnostic = diagnostic.at(&self.origin(span));
        match self.line(span) {
            line if line.len() <= LINE_SHOWN_LEN_MAX => diagnostic.span(span.len, line),
            _ => Diagnostic { len: span.len, ..diagnostic },
        }
    }

    /// Another place that a diagnostic speaks of.
    pub(super) fn related(&self, span: Span, label: &str) -> Related {
        let line = Some(self.line(span)).filter(|line| line.len() <= LINE_SHOWN_LEN_MAX);
        Related { at: self.origin(span), len: span.len, line_text: line.map(Arc::from), label: label.to_owned() }
    }
}

/// Lines and columns of files that are bounded well below 2^32 octets.
pub(super) fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_octet_that_is_not_utf8_is_located() {
        let mut sources = Sources::default();
        let error = sources.add(&SourceFile::new("a.yaml", b"gslb:\r\n  \xc3\xa9\xff".to_vec())).unwrap_err();
        assert_eq!(error.code, "not-utf8");
        assert_eq!(error.at.unwrap().to_string(), "a.yaml:2:4");
    }

    #[test]
    fn lines_are_found_whatever_ends_them() {
        let mut sources = Sources::default();
        let file = sources.add(&SourceFile::new("a", "one\rtwo\r\nthree\n")).unwrap();
        let line = |line| sources.line(Span { file, line, column: 1, len: 0 });
        assert_eq!([line(1), line(2), line(3), line(4), line(5), line(0)], ["one", "two", "three", "", "", "one"]);
    }
}
