//! YAML as a tree in which every node knows its place.
//!
//! The tree is built from the parser's events and holds what was written, no more: scalars are text with
//! a flag that says whether they stood plain. What a scalar *is* (a number, a name, a switch) is for the
//! field that reads it to say, so `no`, `off`, `012` and `1.10` never turn into something else behind
//! the author's back.
//!
//! Bounds: depth [`limits::YAML_DEPTH_MAX`]; nodes [`limits::YAML_NODES_MAX`], where an alias counts as
//! much as what it stands for. An alias shares the node it names, so memory stays in proportion to the
//! file; the bound keeps the time of walking the tree there too.
//!
//! Deliberately refused: several documents in a file, keys that are not scalars, tags other than the
//! ones that say what is plain anyway, an alias inside what it names, and merge keys, which YAML 1.2 has
//! not.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::report::Report;
use super::source::{Span, small};
use crate::diag::Diagnostic;
use crate::limits;

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The scalar itself; of a list or mapping, the key that names it, else its beginning.
    pub(super) span: Span,
    /// False for what stands in for a field that was left out.
    pub(super) given: bool,
    /// Itself and everything below, aliases counted as what they stand for.
    size: usize,
    /// Levels, itself included.
    height: usize,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Text.
    Scalar {
        /// Without quotes, escapes undone.
        text: Box<str>,
        /// Without quotes in the file as well. Plain and empty: nothing was written.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Rc<Node>>),
    /// Keys (scalars, each once) and values, in the order written.
    Mapping(Vec<(Node, Rc<Node>)>),
}

impl Node {
    /// A plain scalar that stands in for a field that was left out of the mapping at `span`.
    pub(super) fn stand_in(text: &str, span: Span) -> Node {
        Node { kind: Kind::Scalar { text: text.into(), plain: true }, span, given: false, size: 1, height: 1 }
    }

    /// A scalar's text.
    fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::List(_) | Kind::Mapping(_) => None,
        }
    }

    /// True when nothing was written, or `~` or `null` (YAML 1.2.2 §10.3.2).
    pub(super) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, plain } => *plain && matches!(&**text, "" | "~" | "null" | "Null" | "NULL"),
            Kind::List(_) | Kind::Mapping(_) => false,
        }
    }

    /// As a message shows it.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "empty".to_owned(),
            Kind::Scalar { text, .. } => quote(text),
            Kind::List(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

/// `text` in back quotes, cut to what fits a message.
pub(super) fn quote(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("`{}…`", &text[..at]),
        None => format!("`{text}`"),
    }
}

/// The tree of a file that is in `report`'s sources; `None` when it is empty or was refused.
pub(super) fn parse(file: u32, report: &mut Report) -> Option<Rc<Node>> {
    let text = report.sources.text(file);
    let mut builder = Builder { file, report, anchors: HashMap::new(), open: Vec::new(), root: None, nodes: 0 };
    let before = builder.report.errors();
    let whole = builder.run(&text);
    let root = builder.root.take().filter(|_| whole.is_some());
    if root.is_none() && report.errors() == before {
        report.at(Span::start_of(file), Diagnostic::warning("empty-file", "nothing is in this file"));
    }
    root
}

/// A collection that has not ended.
struct Open {
    collection: Collection,
    anchor: usize,
    span: Span,
    size: usize,
    height: usize,
}

enum Collection {
    List(Vec<Rc<Node>>),
    Mapping { entries: Vec<(Node, Rc<Node>)>, keys: Keys, key: Key },
}

/// Where each key of a mapping was given, once the mapping is large; the keys of small ones are compared one by one.
type Keys = HashMap<Box<str>, Span>;

/// From so many keys on a mapping is large.
const KEYS_LARGE: usize = 16;

/// Where a mapping stands.
enum Key {
    /// The next node is a key.
    Awaited,
    /// The next node is this key's value.
    Is(Node),
    /// The next node is the value of a key that was refused.
    Refused,
}

struct Builder<'a> {
    file: u32,
    report: &'a mut Report,
    /// Nodes that have a name, by the parser's number for it.
    anchors: HashMap<usize, Rc<Node>>,
    open: Vec<Open>,
    root: Option<Rc<Node>>,
    nodes: usize,
}

impl Builder<'_> {
    /// `None` when the rest of the file was given up.
    fn run(&mut self, text: &str) -> Option<()> {
        let mut parser = Parser::new_from_str(text);
        let mut documents = 0;
        while let Some(next) = parser.next_event() {
            let (event, marks) = match next {
                Ok(event) => event,
                Err(error) => {
                    self.syntax(text, &error);
                    return None;
                }
            };
            let span = self.span(marks.start, marks.end);
            match event {
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let error = Diagnostic::error("yaml-documents", "a second document begins here")
                            .expected("one document a file")
                            .help("put it into a file of its own");
                        return self.give_up(span, error);
                    }
                }
                Event::Alias(anchor) => {
                    let Some(node) = self.anchors.get(&anchor).cloned() else {
                        let error = Diagnostic::error("yaml-alias", "this alias stands inside what it names");
                        return self.give_up(span, error);
                    };
                    self.place(node, span)?;
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let text_tag = self.tag(tag.as_deref(), span);
                    let plain = style == ScalarStyle::Plain && !text_tag;
                    // The parser lets a quoted scalar end where the next token begins.
                    let quoted_len = small(text.chars().count() + 2);
                    let len = if style == ScalarStyle::Plain { span.len } else { span.len.min(quoted_len) };
                    let span = Span { len, ..span };
                    let kind = Kind::Scalar { text: text.into(), plain };
                    let node = Rc::new(Node { kind, span, given: true, size: 1, height: 1 });
                    self.name(anchor, &node);
                    self.place(node, span)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.tag(tag.as_deref(), span);
                    self.begin(Collection::List(Vec::new()), anchor, span)?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.tag(tag.as_deref(), span);
                    let mapping = Collection::Mapping { entries: Vec::new(), keys: Keys::new(), key: Key::Awaited };
                    self.begin(mapping, anchor, span)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end()?,
            }
        }
        Some(())
    }

    fn span(&self, start: Marker, end: Marker) -> Span {
        let len = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 0 };
        Span { file: self.file, line: small(start.line().max(1)), column: small(start.col() + 1), len: small(len) }
    }

    fn give_up(&mut self, span: Span, error: Diagnostic) -> Option<()> {
        self.report.at(span, error);
        None
    }

    fn syntax(&mut self, text: &str, error: &saphyr_parser::ScanError) {
        let span = Span { len: 1, ..self.span(*error.marker(), *error.marker()) };
        let mut diagnostic = Diagnostic::error("yaml-syntax", format!("not YAML: {}", error.info()));
        let line = text.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or("");
        if line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t') {
            diagnostic = diagnostic.help("indent with spaces: YAML forbids tabs there");
        } else if line.contains(": ") && error.info().contains("mapping values") {
            diagnostic = diagnostic.help("check the indentation, and put text that holds `: ` into quotes");
        }
        self.report.at(span, diagnostic);
    }

    /// True when `tag` says that a scalar is text.
    fn tag(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag else { return false };
        match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
            (true, "str") => true,
            (true, "map" | "seq") => false,
            _ => {
                let error =
                    Diagnostic::error("yaml-tag", format!("the tag {} means nothing here", quote(&tag.to_string())))
                        .help("write the value without it");
                self.report.at(span, error);
                false
            }
        }
    }

    fn name(&mut self, anchor: usize, node: &Rc<Node>) {
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(node));
        }
    }

    fn begin(&mut self, collection: Collection, anchor: usize, span: Span) -> Option<()> {
        self.check_depth(1, span)?;
        self.open.push(Open { collection, anchor, span, size: 1, height: 1 });
        Some(())
    }

    fn check_depth(&mut self, height: usize, span: Span) -> Option<()> {
        if self.open.len() + height <= limits::YAML_DEPTH_MAX {
            return Some(());
        }
        let message = format!("nested deeper than {} levels", limits::YAML_DEPTH_MAX);
        self.give_up(span, Diagnostic::error("yaml-depth", message))
    }

    fn end(&mut self) -> Option<()> {
        let open = self.open.pop()?;
        let kind = match open.collection {
            Collection::List(items) => Kind::List(items),
            Collection::Mapping { entries, .. } => Kind::Mapping(entries),
        };
        let span = match &kind {
            // A block mapping begins where its first key does: mark all of that.
            Kind::Mapping(entries) => match entries.first() {
                Some((key, _)) if (key.span.line, key.span.column) == (open.span.line, open.span.column) => key.span,
                _ => open.span,
            },
            Kind::Scalar { .. } | Kind::List(_) => open.span,
        };
        let node = Rc::new(Node { kind, span, given: true, size: open.size, height: open.height });
        self.name(open.anchor, &node);
        self.place(node, span)
    }

    /// Puts a whole node where it belongs; `span` is where it is used.
    fn place(&mut self, node: Rc<Node>, span: Span) -> Option<()> {
        self.check_depth(node.height, span)?;
        // What lies below a collection was counted when it was placed; an alias repeats all of it.
        self.nodes += if span == node.span { 1 } else { node.size };
        if self.nodes > limits::YAML_NODES_MAX {
            let message =
                format!("more than {} nodes, aliases counted as often as they are used", limits::YAML_NODES_MAX);
            return self.give_up(span, Diagnostic::error("yaml-size", message));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        open.size = open.size.saturating_add(node.size);
        open.height = open.height.max(node.height + 1);
        match &mut open.collection {
            Collection::List(items) => items.push(node),
            Collection::Mapping { entries, keys, key } => match std::mem::replace(key, Key::Awaited) {
                Key::Awaited => *key = accept_key(self.report, entries, keys, node, span),
                Key::Is(name) => {
                    let value = named_by(node, &name);
                    entries.push((name, value));
                }
                Key::Refused => {}
            },
        }
        Some(())
    }
}

/// A key is a scalar, new in its mapping.
fn accept_key(report: &mut Report, entries: &[(Node, Rc<Node>)], keys: &mut Keys, node: Rc<Node>, span: Span) -> Key {
    let Kind::Scalar { text, plain } = &node.kind else {
        let error = Diagnostic::error("yaml-key", format!("{} cannot be a key", node.describe())).expected("a name");
        report.at(span, error);
        return Key::Refused;
    };
    if *plain && &**text == "<<" {
        let error = Diagnostic::error("yaml-key", "merge keys (`<<`) are not part of YAML 1.2")
            .help("write the fields out, or name the whole mapping with an alias");
        report.at(span, error);
        return Key::Refused;
    }
    if let Some(first) = first_given(entries, keys, text) {
        let first = report.related(first, "first given here");
        let error = Diagnostic::error("duplicate-key", format!("{} is given twice", quote(text)))
            .help("keep one of the two")
            .related(first);
        report.at(span, error);
        return Key::Refused;
    }
    Key::Is(Node { span, ..Rc::unwrap_or_clone(node) })
}

/// Where `text` is a key already.
fn first_given(entries: &[(Node, Rc<Node>)], keys: &mut Keys, text: &str) -> Option<Span> {
    if entries.len() < KEYS_LARGE {
        return entries.iter().find(|(key, _)| key.text() == Some(text)).map(|(key, _)| key.span);
    }
    let known = keys.len();
    keys.extend(entries[known..].iter().filter_map(|(key, _)| Some((key.text()?.into(), key.span))));
    keys.get(text).copied()
}

/// A list, a mapping or nothing is shown at the key that names it.
fn named_by(node: Rc<Node>, key: &Node) -> Rc<Node> {
    let scalar = matches!(&node.kind, Kind::Scalar { text, .. } if !text.is_empty() && node.span.len > 0);
    if scalar || Rc::strong_count(&node) > 1 {
        return node;
    }
    match Rc::try_unwrap(node) {
        Ok(node) => Rc::new(Node { span: key.span, ..node }),
        Err(shared) => shared,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::SourceFile;

    fn load(text: &str) -> (Option<Rc<Node>>, Vec<Diagnostic>) {
        let mut report = Report::default();
        let file = report.sources.add(&SourceFile::new("a.yaml", text)).unwrap();
        let root = parse(file, &mut report);
        (root, report.finish())
    }

    fn codes(text: &str) -> Vec<String> {
        load(text).1.iter().map(|found| format!("{} {}", found.code, found.at.as_ref().unwrap())).collect()
    }

    /// The tree in one line: plain scalars as they are, others in quotes, each with its place.
    fn sketch(node: &Node) -> String {
        let place = format!("@{}:{}+{}", node.span.line, node.span.column, node.span.len);
        match &node.kind {
            Kind::Scalar { text, plain: true } => format!("{text}{place}"),
            Kind::Scalar { text, plain: false } => format!("{text:?}{place}"),
            Kind::List(items) => {
                format!("[{}]{place}", items.iter().map(|item| sketch(item)).collect::<Vec<_>>().join(" "))
            }
            Kind::Mapping(entries) => {
                let entries = entries.iter().map(|(key, value)| format!("{} = {}", sketch(key), sketch(value)));
                format!("{{{}}}{place}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn tree(text: &str) -> String {
        let (root, found) = load(text);
        assert_eq!(found, [], "{text}");
        sketch(&root.unwrap())
    }

    #[test]
    fn every_node_knows_its_place() {
        assert_eq!(tree("a: 1\nbc: 'x y'  # c\n"), "{a@1:1+1 = 1@1:4+1, bc@2:1+2 = \"x y\"@2:5+5}@1:1+1");
        assert_eq!(tree("a:\n  - b\n  - 北京\n"), "{a@1:1+1 = [b@2:5+1 北京@3:5+2]@1:1+1}@1:1+1");
        assert_eq!(tree("a:\nb: {c: d}\n"), "{a@1:1+1 = @1:1+1, b@2:1+1 = {c@2:5+1 = d@2:8+1}@2:1+1}@1:1+1");
        assert_eq!(tree("- a: 1\n  b: 2\n"), "[{a@1:3+1 = 1@1:6+1, b@2:3+1 = 2@2:6+1}@1:3+1]@1:1+0");
    }

    #[test]
    fn nothing_is_typed_behind_the_authors_back() {
        assert_eq!(
            tree("[NO, off, 012, 1.10, 0x10, 12:30:45, 'true']"),
            "[NO@1:2+2 off@1:6+3 012@1:11+3 1.10@1:16+4 0x10@1:22+4 12:30:45@1:28+8 \"true\"@1:38+6]@1:1+1"
        );
        assert_eq!(tree("!!str 12"), "\"12\"@1:1+8");
    }

    #[test]
    fn an_alias_is_what_it_names() {
        let (root, found) = load("a: &x [1, 2]\nb: *x\n");
        assert_eq!(found, []);
        let Kind::Mapping(entries) = &root.unwrap().kind else { panic!() };
        assert_eq!(sketch(&entries[0].1), sketch(&entries[1].1));
    }

    #[test]
    fn an_alias_bomb_is_refused_and_cheap() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..30 {
            let before = format!("*a{}, ", n - 1).repeat(10);
            text.push_str(&format!("a{n}: &a{n} [{}]\n", before.trim_end_matches(", ")));
        }
        assert_eq!(codes(&text), ["yaml-size a.yaml:7:25"]);
    }

    #[test]
    fn an_alias_inside_what_it_names_is_refused() {
        assert_eq!(codes("a: &x [*x]\n"), ["yaml-alias a.yaml:1:8"]);
    }

    #[test]
    fn depth_is_bounded_through_aliases_too() {
        assert_eq!(codes(&"[".repeat(100)), ["yaml-depth a.yaml:1:65"]);
        let deep = format!("a: &x {}{}\nb: {}*x{}\n", "[".repeat(40), "]".repeat(40), "[".repeat(30), "]".repeat(30));
        assert_eq!(codes(&deep), ["yaml-depth a.yaml:2:34"]);
    }

    #[test]
    fn both_places_of_a_duplicate_key_are_told() {
        let found = load("a: 1\nb: 2\n'a': 3\n").1;
        assert_eq!(found[0].code, "duplicate-key");
        assert_eq!(found[0].at.as_ref().unwrap().to_string(), "a.yaml:3:1");
        assert_eq!(found[0].related[0].at.to_string(), "a.yaml:1:1");
    }

    #[test]
    fn a_key_of_a_large_mapping_is_known_whenever_it_was_given() {
        let mapping = |keys: usize| (0..keys).map(|key| format!("k{key}: x\n")).collect::<String>();
        for keys in [1, KEYS_LARGE - 1, KEYS_LARGE, KEYS_LARGE + 1, 3 * KEYS_LARGE] {
            assert_eq!(codes(&mapping(keys)), [""; 0]);
            for again in [0, keys / 2, keys - 1] {
                let text = format!("{}'k{again}': y\nz: x\nk{again}: z\n", mapping(keys));
                let found = load(&text).1;
                let places: Vec<String> = found.iter().map(|found| found.at.as_ref().unwrap().to_string()).collect();
                assert_eq!(places, [format!("a.yaml:{}:1", keys + 1), format!("a.yaml:{}:1", keys + 3)]);
                let first = format!("a.yaml:{}:1", again + 1);
                assert!(found.iter().all(|found| found.code == "duplicate-key"));
                assert!(found.iter().all(|found| found.related[0].at.to_string() == first), "{found:?}");
            }
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_with_its_place() {
        assert_eq!(codes("a: 1\n---\nb: 2\n"), ["yaml-documents a.yaml:2:1"]);
        assert_eq!(codes("a: !secret x\n"), ["yaml-tag a.yaml:1:4"]);
        assert_eq!(codes("[a, b]: x\n"), ["yaml-key a.yaml:1:1"]);
        assert_eq!(codes("a: &x {b: 1}\nc:\n  <<: *x\n"), ["yaml-key a.yaml:3:3"]);
        assert_eq!(codes("a: [1\n"), ["yaml-syntax a.yaml:2:1"]);
        assert_eq!(codes(""), ["empty-file a.yaml:1:1"]);
        assert_eq!(codes("# only a comment\n"), ["empty-file a.yaml:1:1"]);
    }

    #[test]
    fn a_tab_gets_its_remedy() {
        let found = load("a:\n\tb: 1\n").1;
        assert_eq!(found[0].code, "yaml-syntax");
        assert!(found[0].help.as_ref().unwrap().contains("tabs"), "{found:?}");
    }
}
