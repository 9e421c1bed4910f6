//! Rendering: for a terminal, for programs, for a pull request.

use std::fmt::Write as _;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin as Place, Renderer, Snippet};
use serde_json::{Map, Value, json};

use super::{Diagnostic, Related, Severity};
use crate::limits;
use crate::model::Origin;

/// For whom diagnostics are rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: the line, the place in it, what was expected and what to do; a summary at the end.
    Text {
        /// With ANSI colours.
        colour: bool,
    },
    /// For programs: one JSON object a line, and nothing else.
    Json,
    /// For a pull request on GitHub: workflow commands (`::error file=…,line=…,col=…::…`).
    Github,
}

/// How many findings there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
}

impl Summary {
    /// Counts.
    pub fn of(diagnostics: &[Diagnostic]) -> Summary {
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
        Summary { errors, warnings: diagnostics.len() - errors }
    }
}

/// `2 errors, 1 warning`; nothing found: `no errors, no warnings`.
impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |n: usize, one: &str| match n {
            1 => format!("1 {one}"),
            n => format!("{n} {one}s"),
        };
        match (self.errors, self.warnings) {
            (0, 0) => f.write_str("no errors, no warnings"),
            (errors, 0) => f.write_str(&count(errors, "error")),
            (0, warnings) => f.write_str(&count(warnings, "warning")),
            (errors, warnings) => write!(f, "{}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }
}

/// `diagnostics` as text that ends with a newline, or nothing when there are none and the format has no
/// summary. They are sorted by file, line and column, those without a place first. At most
/// [`limits::DIAGNOSTICS_MAX`] are listed, errors before warnings when not all can be; the rest are counted.
pub fn render(diagnostics: &[Diagnostic], format: Format) -> String {
    let mut listed: Vec<&Diagnostic> = diagnostics.iter().collect();
    listed.sort_by_key(|diagnostic| std::cmp::Reverse(diagnostic.severity));
    listed.truncate(limits::DIAGNOSTICS_MAX);
    listed.sort_by(|a, b| (&a.at, std::cmp::Reverse(a.severity)).cmp(&(&b.at, std::cmp::Reverse(b.severity))));
    let rest = diagnostics.len() - listed.len();
    let mut out = String::new();
    match format {
        Format::Text { colour } => {
            let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
            let renderer = renderer.decor_style(DecorStyle::Ascii);
            for diagnostic in listed {
                out.push_str(&text(diagnostic, &renderer));
                out.push_str("\n\n");
            }
            if rest > 0 {
                let _ = writeln!(out, "… and {rest} more");
            }
            let _ = writeln!(out, "{}", Summary::of(diagnostics));
        }
        Format::Json => {
            for diagnostic in listed {
                let _ = writeln!(out, "{}", to_json(diagnostic));
            }
            if rest > 0 {
                let _ = writeln!(out, "{}", json!({ "severity": "note", "code": "more", "omitted": rest }));
            }
        }
        Format::Github => {
            for diagnostic in listed {
                let _ = writeln!(out, "{}", github(diagnostic));
            }
            if rest > 0 {
                let _ = writeln!(out, "::notice::and {rest} more");
            }
        }
    }
    out
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// The octets of `line` that a column and a length in characters mean; at least an empty range inside it.
fn octets(line: &str, column: u32, len: u32) -> std::ops::Range<usize> {
    let at = |chars: usize| line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at);
    let from = column.saturating_sub(1) as usize;
    at(from)..at(from.saturating_add(len.max(1) as usize))
}

/// Control characters would reach the terminal; tabs become one space so that columns stay in step.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// As [`printable`], for sentences: their line ends stay.
fn sentence(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn text(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let expected = diagnostic.expected.as_ref().map(|expected| sentence(&format!("expected {expected}")));
    let mut group = Group::with_title(level.primary_title(sentence(&diagnostic.message)).id(diagnostic.code));
    let mut labelled = false;
    if let Some(at) = &diagnostic.at {
        match &diagnostic.line_text {
            Some(line) => {
                labelled = true;
                let line = window(line, at.column, diagnostic.len);
                let range = octets(&line.text, line.column, diagnostic.len);
                let annotation = AnnotationKind::Primary.span(range).label(expected.clone());
                group = group.element(snippet(&line.text, at).annotation(annotation));
            }
            None => group = group.element(place(at)),
        }
    }
    if let (Some(expected), false) = (&expected, labelled) {
        group = group.element(Level::NOTE.message(expected.clone()));
    }
    let mut report = vec![group];
    for related in &diagnostic.related {
        report.push(related_group(related));
    }
    if let Some(help) = &diagnostic.help {
        report.push(Group::with_title(Level::HELP.secondary_title(sentence(help))));
    }
    renderer.render(&report)
}

fn related_group(related: &Related) -> Group<'static> {
    let group = Group::with_title(Level::NOTE.secondary_title(sentence(&related.label)));
    match &related.line_text {
        Some(line) => {
            let line = window(line, related.at.column, related.len);
            let range = octets(&line.text, line.column, related.len);
            group.element(snippet(&line.text, &related.at).annotation(AnnotationKind::Primary.span(range)))
        }
        None => group.element(place(&related.at)),
    }
}

fn snippet<'a>(line: &str, at: &Origin) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    Snippet::source(line.to_owned()).line_start(at.line as usize).path(Some(printable(&at.file)))
}

fn place(at: &Origin) -> Place<'static> {
    Place::path(printable(&at.file)).line(at.line as usize).char_column(at.column as usize)
}

/// What is shown of a line.
struct Window {
    text: String,
    /// The column meant, counted in `text`.
    column: u32,
}

/// Characters of a line that are shown: a generated file may hold everything in one line.
const WINDOW_LEN: usize = 160;

fn window(line: &str, column: u32, len: u32) -> Window {
    let chars = line.chars().count();
    if chars <= WINDOW_LEN {
        return Window { text: printable(line), column };
    }
    let from = (column.saturating_sub(1) as usize).min(chars).saturating_sub(WINDOW_LEN / 4);
    let shown: String = line.chars().skip(from).take(WINDOW_LEN.max((len as usize).min(2 * WINDOW_LEN))).collect();
    // `from` is at most the column, which is a u32.
    Window { text: printable(&shown), column: column - u32::try_from(from).unwrap_or(0) }
}

/// One finding, as programs read it.
pub fn to_json(diagnostic: &Diagnostic) -> Value {
    let mut object = Map::new();
    object.insert("severity".into(), word(diagnostic.severity).into());
    object.insert("code".into(), diagnostic.code.into());
    object.insert("message".into(), diagnostic.message.clone().into());
    if let Some(at) = &diagnostic.at {
        object.insert("file".into(), (*at.file).into());
        object.insert("line".into(), at.line.into());
        object.insert("column".into(), at.column.into());
        object.insert("length".into(), diagnostic.len.into());
    }
    for (key, value) in [("expected", &diagnostic.expected), ("help", &diagnostic.help)] {
        if let Some(value) = value {
            object.insert(key.into(), value.clone().into());
        }
    }
    if !diagnostic.related.is_empty() {
        let related = diagnostic.related.iter().map(|related| {
            json!({ "file": &*related.at.file, "line": related.at.line, "column": related.at.column, "label": related.label })
        });
        object.insert("related".into(), related.collect());
    }
    Value::Object(object)
}

/// A workflow command. `%`, line ends and, in properties, `:` and `,` are escaped as GitHub's runner
/// undoes them.
fn github(diagnostic: &Diagnostic) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut out = format!("::{}", word(diagnostic.severity));
    if let Some(at) = &diagnostic.at {
        let _ = write!(out, " file={},line={},col={}", property(&at.file), at.line, at.column);
        if diagnostic.len > 0 {
            let _ = write!(out, ",endColumn={}", at.column.saturating_add(diagnostic.len));
        }
        out.push(',');
    } else {
        out.push(' ');
    }
    let mut message = diagnostic.message.clone();
    if let Some(expected) = &diagnostic.expected {
        let _ = write!(message, "\nexpected {expected}");
    }
    for related in &diagnostic.related {
        let _ = write!(message, "\n{}: {}", related.label, related.at);
    }
    if let Some(help) = &diagnostic.help {
        let _ = write!(message, "\nhelp: {help}");
    }
    let _ = write!(out, "title={}::{}", property(diagnostic.code), data(&message));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, column: u32) -> Origin {
        Origin { file: "zones/api.yaml".into(), line, column }
    }

    fn finding() -> Diagnostic {
        Diagnostic::error("unknown-field", "unknown field `wieght`")
            .at(&at(7, 7))
            .span(6, "      wieght: 10")
            .expected("one of ip, weight")
            .help("did you mean `weight`?")
    }

    #[test]
    fn people_see_the_line_the_place_and_the_remedy() {
        let text = render(&[finding()], Format::Text { colour: false });
        assert_eq!(
            text,
            "\
error[unknown-field]: unknown field `wieght`
 --> zones/api.yaml:7:7
  |
7 |       wieght: 10
  |       ^^^^^^ expected one of ip, weight
  |
help: did you mean `weight`?

1 error
"
        );
    }

    #[test]
    fn both_places_of_a_duplicate_are_shown() {
        let duplicate = Diagnostic::error("duplicate-key", "`ip` is given twice")
            .at(&at(9, 3))
            .span(2, "  ip: 2.2.2.1")
            .related(Related {
                at: at(8, 3),
                len: 2,
                line_text: Some("  ip: 1.1.1.1".into()),
                label: "first given here".into(),
            });
        let text = render(&[duplicate], Format::Text { colour: false });
        assert_eq!(
            text,
            "\
error[duplicate-key]: `ip` is given twice
 --> zones/api.yaml:9:3
  |
9 |   ip: 2.2.2.1
  |   ^^
  |
note: first given here
 --> zones/api.yaml:8:3
  |
8 |   ip: 1.1.1.1
  |   ^^

1 error
"
        );
    }

    #[test]
    fn colour_only_when_asked() {
        assert!(!render(&[finding()], Format::Text { colour: false }).contains('\x1b'));
        assert!(render(&[finding()], Format::Text { colour: true }).contains('\x1b'));
    }

    #[test]
    fn programs_get_one_object_a_line() {
        let text = render(&[finding(), Diagnostic::warning("x", "y")], Format::Json);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0], json!({ "severity": "warning", "code": "x", "message": "y" }));
        assert_eq!(lines[1]["line"], 7);
        assert_eq!(lines[1]["column"], 7);
        assert_eq!(lines[1]["expected"], "one of ip, weight");
    }

    #[test]
    fn github_annotations_are_escaped() {
        let mut finding = finding();
        finding.message = "100% a\nb".into();
        assert_eq!(
            render(&[finding], Format::Github),
            "::error file=zones/api.yaml,line=7,col=7,endColumn=13,title=unknown-field::100%25 a%0Ab%0Aexpected one \
             of ip, weight%0Ahelp: did you mean `weight`?\n"
        );
    }

    #[test]
    fn findings_are_sorted_by_place_and_bounded_errors_first() {
        let warning = |line| Diagnostic::warning("w", "w").at(&at(line, 1));
        let error = |line| Diagnostic::error("e", "e").at(&at(line, 1));
        let text = render(&[warning(3), error(9), error(2)], Format::Json);
        let lines: Vec<u64> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, [2, 3, 9]);

        let mut many: Vec<Diagnostic> = (0..300).map(warning).collect();
        many.push(error(1000));
        let text = render(&many, Format::Text { colour: false });
        assert!(text.contains("error[e]"));
        assert!(text.ends_with("… and 101 more\n1 error, 300 warnings\n"));
    }

    #[test]
    fn long_lines_and_control_characters_do_no_harm() {
        let line = format!("{}x\x1b[31m{}", "é".repeat(1000), "z".repeat(100_000));
        let text = render(
            &[Diagnostic::error("e", "bad \x1b[0m").at(&at(1, 1001)).span(3, &line)],
            Format::Text { colour: false },
        );
        assert!(!text.contains('\x1b'));
        assert!(text.len() < 2000, "{}", text.len());
        // A column beyond the line, and none at all.
        for column in [0, 500, u32::MAX] {
            render(
                &[Diagnostic::error("e", "m").at(&at(1, column)).span(u32::MAX, "short")],
                Format::Text { colour: false },
            );
        }
    }

    #[test]
    fn the_summary_counts() {
        assert_eq!(Summary { errors: 2, warnings: 1 }.to_string(), "2 errors, 1 warning");
        assert_eq!(Summary::of(&[]).to_string(), "no errors, no warnings");
    }
}
