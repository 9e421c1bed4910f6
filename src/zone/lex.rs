//! Entries and tokens of a master file (RFC 1035 §5.1), with their positions.
//!
//! An entry is a line, or several when parentheses join them. A token is a run of characters or a quoted
//! string; escapes stay in it as written. Quoted strings end on the line where they begin: a forgotten quote
//! then spoils one line, not the rest of the file. For the same reason reading goes on with the next line after
//! a parenthesis that is never closed.

use crate::limits::{ZONE_ENTRY_LEN_MAX, ZONE_UNCLOSED_MAX};

/// Where something is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// Offset of its first octet.
    pub(super) at: usize,
    /// Its length in octets.
    pub(super) len: usize,
    /// Its line, from 1.
    pub(super) line: u32,
    /// Offset of the first octet of that line.
    pub(super) line_at: usize,
}

/// A run of characters, or a quoted string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    /// As written, escapes included, quotes around it not.
    pub(super) raw: &'t [u8],
    /// It stood in quotes.
    pub(super) quoted: bool,
    /// It contains a backslash.
    pub(super) escaped: bool,
    /// Unquoted, with a quoted part: `alpn="h2,h3"`.
    pub(super) mixed: bool,
    /// Where.
    pub(super) spot: Spot,
}

/// Why an entry can not be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LexError {
    #[error("a quoted string is not closed on its line")]
    Quote,
    #[error("a parenthesis is not closed")]
    Open,
    #[error("too many parentheses are not closed; the rest of the file is not read")]
    OpenTooOften,
    #[error("')' without '('")]
    Close,
    #[error("a control character")]
    Control,
    #[error("'\\' at the end of a line")]
    Escape,
}

/// One entry that is not blank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// It begins with white space: its owner is that of the entry before.
    pub(super) indented: bool,
    /// It can not be split, and where that shows.
    pub(super) error: Option<(LexError, Spot)>,
}

/// Reads entry after entry.
pub(super) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
    line_at: usize,
    unclosed: usize,
}

const PLAIN: u8 = 0;
const SPECIAL: u8 = 1;
const CONTROL: u8 = 2;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut class = [PLAIN; 256];
    let mut octet = 0;
    while octet < 0x20 {
        class[octet] = CONTROL;
        octet += 1;
    }
    class[0x7f] = CONTROL;
    let special = b" \t\r\n;()\"\\";
    let mut at = 0;
    while at < special.len() {
        class[special[at] as usize] = SPECIAL;
        at += 1;
    }
    class
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t [u8]) -> Lexer<'t> {
        let at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        Lexer { text, at, line: 1, line_at: at, unclosed: 0 }
    }

    /// The next entry that holds anything; its tokens replace those in `tokens`.
    pub(super) fn next(&mut self, tokens: &mut Vec<Token<'t>>) -> Option<Entry> {
        loop {
            tokens.clear();
            let first = *self.text.get(self.at)?;
            let indented = matches!(first, b' ' | b'\t');
            let (start, line, line_at) = (self.at, self.line, self.line_at);
            match self.split(tokens) {
                Ok(()) if tokens.is_empty() => {}
                Ok(()) => return Some(Entry { indented, error: None }),
                Err((LexError::Open, spot)) => {
                    (self.at, self.line, self.line_at) = (start, line, line_at);
                    self.unclosed += 1;
                    let error = if self.unclosed < ZONE_UNCLOSED_MAX {
                        // Go on after the line that the parenthesis stands in.
                        (self.at, self.line, self.line_at) = (spot.at, spot.line, spot.line_at);
                        self.skip_line();
                        LexError::Open
                    } else {
                        self.at = self.text.len();
                        LexError::OpenTooOften
                    };
                    return Some(Entry { indented, error: Some((error, spot)) });
                }
                Err(error) => {
                    self.skip_line();
                    return Some(Entry { indented, error: Some(error) });
                }
            }
        }
    }

    /// Splits up to and including the line end that ends the entry. On an error the position is in the line
    /// where it shows.
    fn split(&mut self, tokens: &mut Vec<Token<'t>>) -> Result<(), (LexError, Spot)> {
        let start = self.at;
        let mut open: Option<Spot> = None;
        let mut depth = 0_usize;
        loop {
            if depth > 0 && self.at - start > ZONE_ENTRY_LEN_MAX {
                return Err((LexError::Open, open.unwrap_or(self.spot(start, 1))));
            }
            let Some(&octet) = self.text.get(self.at) else {
                return match open {
                    Some(spot) if depth > 0 => Err((LexError::Open, spot)),
                    _ => Ok(()),
                };
            };
            match octet {
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'\n' => {
                    self.new_line();
                    if depth == 0 {
                        return Ok(());
                    }
                }
                b';' => self.skip_comment(),
                b'(' => {
                    if depth == 0 {
                        open = Some(self.spot(self.at, 1));
                    }
                    depth += 1;
                    self.at += 1;
                }
                b')' => {
                    if depth == 0 {
                        return Err((LexError::Close, self.spot(self.at, 1)));
                    }
                    depth -= 1;
                    self.at += 1;
                }
                b'"' => {
                    let escaped = self.skip_quoted()?;
                    let from = self.at;
                    self.at = escaped.end + 1;
                    let spot = self.spot(from, self.at - from);
                    let raw = &self.text[from + 1..escaped.end];
                    tokens.push(Token { raw, quoted: true, escaped: escaped.any, mixed: false, spot });
                }
                _ => tokens.push(self.run()?),
            }
        }
    }

    /// The token that begins here.
    fn run(&mut self) -> Result<Token<'t>, (LexError, Spot)> {
        let from = self.at;
        let (mut escaped, mut mixed) = (false, false);
        while let Some(&octet) = self.text.get(self.at) {
            match CLASS[usize::from(octet)] {
                PLAIN => self.at += 1,
                CONTROL => return Err((LexError::Control, self.spot(self.at, 1))),
                _ if octet == b'\\' => {
                    escaped = true;
                    if matches!(self.text.get(self.at + 1), None | Some(b'\n' | b'\r')) {
                        return Err((LexError::Escape, self.spot(self.at, 1)));
                    }
                    self.at += 2;
                }
                _ if octet == b'"' && self.at > from && self.text[self.at - 1] == b'=' => {
                    let inside = self.skip_quoted()?;
                    escaped |= inside.any;
                    mixed = true;
                    self.at = inside.end + 1;
                }
                _ => break,
            }
        }
        let spot = self.spot(from, self.at - from);
        Ok(Token { raw: &self.text[from..self.at], quoted: false, escaped, mixed, spot })
    }

    /// From the opening quote here: where the closing one is. Does not move.
    fn skip_quoted(&self) -> Result<Quoted, (LexError, Spot)> {
        let mut any = false;
        let mut at = self.at + 1;
        loop {
            match self.text.get(at) {
                Some(b'"') => return Ok(Quoted { end: at, any }),
                None | Some(b'\n') => return Err((LexError::Quote, self.spot(self.at, at - self.at))),
                Some(b'\\') if self.text.get(at + 1).is_some_and(|&next| next != b'\n') => {
                    any = true;
                    at += 2;
                }
                Some(_) => at += 1,
            }
        }
    }

    fn skip_comment(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|&octet| octet == b'\n').unwrap_or(rest.len());
    }

    fn skip_line(&mut self) {
        self.skip_comment();
        if self.at < self.text.len() {
            self.new_line();
        }
    }

    fn new_line(&mut self) {
        self.at += 1;
        self.line = self.line.saturating_add(1);
        self.line_at = self.at;
    }

    fn spot(&self, at: usize, len: usize) -> Spot {
        Spot { at, len, line: self.line, line_at: self.line_at }
    }
}

struct Quoted {
    /// Offset of the closing quote.
    end: usize,
    /// There are escapes in it.
    any: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut tokens = Vec::new();
        let mut entries = Vec::new();
        while let Some(entry) = lexer.next(&mut tokens) {
            let mut line: Vec<String> = tokens
                .iter()
                .map(|token| {
                    let raw = String::from_utf8_lossy(token.raw);
                    let column = token.spot.at - token.spot.line_at + 1;
                    let quote = if token.quoted { "'" } else { "" };
                    format!("{quote}{raw}{quote}@{}:{column}", token.spot.line)
                })
                .collect();
            if let Some((error, spot)) = entry.error {
                line = vec![format!("{error:?}@{}:{}", spot.line, spot.at - spot.line_at + 1)];
            }
            entries.push(format!("{}{}", if entry.indented { "> " } else { "" }, line.join(" ")));
        }
        entries
    }

    #[test]
    fn entries_are_lines_joined_by_parentheses_without_comments() {
        assert_eq!(
            entries("; only a comment\n\na b ; c\n  c (d ; x )\n  \"e ; f\" ) g\r\nh"),
            ["a@3:1 b@3:3", "> c@4:3 d@4:6 'e ; f'@5:3 g@5:13", "h@6:1"]
        );
    }

    #[test]
    fn escapes_hide_what_would_be_special() {
        assert_eq!(entries(r#"a\;b "c\"d" e\ f k="x y"z"#), [r#"a\;b@1:1 'c\"d'@1:6 e\ f@1:13 k="x y"z@1:18"#]);
    }

    #[test]
    fn what_is_not_closed_costs_its_line_only() {
        assert_eq!(entries("a \"b\nc (\nd\ne )\nf )"), ["Quote@1:3", "c@2:1 d@3:1 e@4:1", "Close@5:3"]);
        assert_eq!(entries("a (\nb c\nd\n"), ["Open@1:3", "b@2:1 c@2:3", "d@3:1"]);
        assert_eq!(entries("a\\\nb\x01\nc"), ["Escape@1:2", "Control@2:2", "c@3:1"]);
    }

    #[test]
    fn a_file_of_open_parentheses_is_given_up() {
        let text = "a (\n".repeat(100);
        assert_eq!(entries(&text).len(), ZONE_UNCLOSED_MAX);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_name() {
        assert_eq!(entries("\u{feff}a"), ["a@1:1"]);
    }
}
