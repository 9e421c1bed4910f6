//! One line of CSV as fields (RFC 4180 §2), with where each stands.

use std::borrow::Cow;

/// A field of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Its text, without quotes.
    pub(super) text: Cow<'a, str>,
    /// Its first character, from 1, quotes included.
    pub(super) column: usize,
    /// How many characters it has in the line, quotes included.
    pub(super) len: usize,
}

/// The fields of a line. `None` when a quoted field does not end on the line or is followed by text.
pub(super) fn split(line: &str) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    let mut rest = line;
    let mut column = 1;
    loop {
        let (text, taken) = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..end]), end)
            }
            Some(inner) => {
                let end = closing_quote(inner)?;
                (Cow::Owned(inner[..end].replace("\"\"", "\"")), end + 2)
            }
        };
        let len = rest[..taken].chars().count();
        fields.push(Field { text, column, len });
        match rest[taken..].strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.len() == taken => return Some(fields),
            None => return None,
        }
        column += len + 1;
    }
}

/// Where the quote is that ends a field: the first that is not one of a pair.
fn closing_quote(inner: &str) -> Option<usize> {
    let octets = inner.as_bytes();
    let mut at = 0;
    loop {
        at += inner[at..].find('"')?;
        if octets.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Option<Vec<String>> {
        Some(split(line)?.into_iter().map(|field| field.text.into_owned()).collect())
    }

    #[test]
    fn fields_are_split_at_commas_outside_quotes() {
        assert_eq!(texts("a,b,,"), Some(vec!["a".into(), "b".into(), String::new(), String::new()]));
        assert_eq!(texts(""), Some(vec![String::new()]));
        assert_eq!(texts(r#""a,b",c"#), Some(vec!["a,b".into(), "c".into()]));
        assert_eq!(texts(r#""say ""hi""","#), Some(vec![r#"say "hi""#.into(), String::new()]));
        assert_eq!(texts(r#""open,b"#), None);
        assert_eq!(texts(r#""a"b,c"#), None);
    }

    #[test]
    fn columns_count_characters() {
        let fields = split(r#"北京,"x",z"#).unwrap();
        assert_eq!(fields.iter().map(|field| (field.column, field.len)).collect::<Vec<_>>(), [(1, 2), (4, 3), (8, 1)]);
    }
}
