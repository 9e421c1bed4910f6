//! Domain names.

use std::fmt;

use crate::limits::{LABEL_LEN_MAX, NAME_LEN_MAX};

/// Why a string is no domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, or a leading dot.
    #[error("a label must not be empty")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("a label has at most {LABEL_LEN_MAX} octets")]
    LabelTooLong,
    /// More than 255 octets in wire form.
    #[error("a name has at most {NAME_LEN_MAX} octets")]
    TooLong,
    /// `\` that is not followed by a character or three digits up to 255.
    #[error("'\\' must be followed by a character or by three digits up to 255")]
    Escape,
    /// Octets beyond ASCII: internationalised names are written as A-labels (`xn--…`).
    #[error("write internationalised labels in their ASCII form (xn--…)")]
    NotAscii,
    /// Not well-formed in wire form.
    #[error("not a name in wire form")]
    Wire,
}

/// A domain name, absolute, in uncompressed wire form (RFC 1035 §3.1), with ASCII letters in lower case.
///
/// Ordering is the canonical one of RFC 4034 §6.1: by labels, the rightmost first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The root, `.`.
    pub fn root() -> Name {
        Name(Box::new([0]))
    }

    /// From presentation form (RFC 1035 §5.1), with or without the final dot: the name is absolute
    /// either way. `\X` and `\DDD` escapes are understood.
    pub fn parse(text: &str) -> Result<Name, NameError> {
        if text == "." {
            return Ok(Name::root());
        }
        if text.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut start = 0; // where the length octet of the current label is
        wire.push(0);
        let mut bytes = text.bytes();
        let mut dotted = false; // the last character was an unescaped dot
        while let Some(byte) = bytes.next() {
            if dotted {
                start = wire.len();
                wire.push(0);
                dotted = false;
            }
            let octet = match byte {
                b'.' => {
                    let len = wire.len() - start - 1;
                    if len == 0 {
                        return Err(NameError::EmptyLabel);
                    }
                    wire[start] = u8::try_from(len).map_err(|_| NameError::LabelTooLong)?;
                    dotted = true;
                    continue;
                }
                b'\\' => unescape(&mut bytes)?,
                0x80.. => return Err(NameError::NotAscii),
                other => other,
            };
            wire.push(octet.to_ascii_lowercase());
            if wire.len() - start - 1 > LABEL_LEN_MAX {
                return Err(NameError::LabelTooLong);
            }
        }
        if !dotted {
            wire[start] = u8::try_from(wire.len() - start - 1).map_err(|_| NameError::LabelTooLong)?;
        }
        wire.push(0);
        if wire.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong);
        }
        Ok(Name(wire.into()))
    }

    /// From uncompressed wire form that ends with the root's zero octet and nothing behind it.
    pub fn from_wire(wire: &[u8]) -> Result<Name, NameError> {
        if wire.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong);
        }
        let mut at = 0;
        loop {
            match wire.get(at) {
                Some(0) if at + 1 == wire.len() => return Ok(Name(wire.to_ascii_lowercase().into())),
                Some(&len) if (1..=LABEL_LEN_MAX).contains(&usize::from(len)) => at += 1 + usize::from(len),
                _ => return Err(NameError::Wire),
            }
        }
    }

    /// Uncompressed, lower case, the final zero octet included.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Labels from left to right, without the root.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        // Where each begins: in a name of at most 255 octets, and at most as many labels as half of that.
        let (mut starts, mut count) = ([0_u8; NAME_LEN_MAX / 2], 0);
        let mut at = 0;
        while self.0[at] != 0 {
            starts[count] = u8::try_from(at).expect("names have at most 255 octets");
            count += 1;
            at += 1 + usize::from(self.0[at]);
        }
        starts.into_iter().take(count).map(|start| {
            let start = usize::from(start);
            &self.0[start + 1..start + 1 + usize::from(self.0[start])]
        })
    }

    /// The name without its leftmost label; `None` for the root.
    pub fn parent(&self) -> Option<Name> {
        match self.0[0] {
            0 => None,
            len => Some(Name(self.0[1 + usize::from(len)..].into())),
        }
    }

    /// True for `zone` itself and for every name below it.
    pub fn is_within(&self, zone: &Name) -> bool {
        let mut at = 0;
        loop {
            if self.0[at..] == *zone.0 {
                return true;
            }
            if self.0[at] == 0 {
                return false;
            }
            at += 1 + usize::from(self.0[at]);
        }
    }

    /// True when the leftmost label is `*` (RFC 4592 §2.1.1).
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(b"\x01*")
    }

    /// `label` in front of this name.
    pub fn child(&self, label: &str) -> Result<Name, NameError> {
        Name::parse(&format!("{label}.{self}"))
    }
}

fn unescape(bytes: &mut std::str::Bytes<'_>) -> Result<u8, NameError> {
    let first = bytes.next().ok_or(NameError::Escape)?;
    if !first.is_ascii_digit() {
        return if first.is_ascii() { Ok(first) } else { Err(NameError::NotAscii) };
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(u8::is_ascii_digit).ok_or(NameError::Escape)?;
        value = value * 10 + u32::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| NameError::Escape)
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> std::cmp::Ordering {
        self.labels().rev().cmp(other.labels().rev())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Presentation form with the final dot, escaped where it must be.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From left to right alone, for which nothing is collected: names are written by the thousand.
        let mut at = 0;
        let labels = std::iter::from_fn(|| {
            let end = at + 1 + usize::from(self.0[at]);
            let label = &self.0[at + 1..end];
            at = end;
            (!label.is_empty()).then_some(label)
        });
        fmt_labels(labels, f)
    }
}

/// Writes labels, from left to right, in presentation form (RFC 1035 §5.1), escaped where they must be; no
/// labels: the root.
pub fn fmt_labels<'a>(labels: impl Iterator<Item = &'a [u8]>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut is_root = true;
    for label in labels {
        is_root = false;
        // Mostly there is nothing to escape.
        if let (true, Ok(text)) = (label.iter().copied().all(is_plain), std::str::from_utf8(label)) {
            f.write_str(text)?;
            f.write_str(".")?;
            continue;
        }
        for &octet in label {
            match octet {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => write!(f, "\\{}", char::from(octet))?,
                0x21..=0x7e => write!(f, "{}", char::from(octet))?,
                _ => write!(f, "\\{octet:03}")?,
            }
        }
        f.write_str(".")?;
    }
    if is_root { f.write_str(".") } else { Ok(()) }
}

fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'*')
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn names_are_absolute_and_lower_case_with_or_without_the_dot() {
        assert_eq!(name("API.Example.COM"), name("api.example.com."));
        assert_eq!(name("api.example.com").as_wire(), b"\x03api\x07example\x03com\0");
        assert_eq!(name(".").as_wire(), b"\0");
        assert_eq!(name("a.b").to_string(), "a.b.");
    }

    #[test]
    fn escapes_survive_a_round_trip() {
        let escaped = name(r"a\.b\032c\\.d");
        assert_eq!(escaped.as_wire(), b"\x06a.b c\\\x01d\0");
        assert_eq!(name(&escaped.to_string()), escaped);
        assert_eq!(Name::from_wire(escaped.as_wire()), Ok(escaped));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(Name::parse("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse(""), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse(".a"), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse(&"x".repeat(64)), Err(NameError::LabelTooLong));
        assert_eq!(Name::parse(&"x.".repeat(128)), Err(NameError::TooLong));
        assert_eq!(Name::parse(r"a\25"), Err(NameError::Escape));
        assert_eq!(Name::parse(r"a\256"), Err(NameError::Escape));
        assert_eq!(Name::parse("bücher.example"), Err(NameError::NotAscii));
        assert_eq!(Name::from_wire(b"\x03api\0x"), Err(NameError::Wire));
        assert_eq!(Name::from_wire(b"\xc0\x0c"), Err(NameError::Wire));
    }

    #[test]
    fn canonical_order_is_by_labels_from_the_right() {
        // RFC 4034 §6.1.
        let mut names: Vec<Name> =
            ["z.example", "example", "a.example", "zABC.a.EXAMPLE", "yljkjljk.a.example", "*.z.example"]
                .map(name)
                .into();
        names.sort();
        let sorted: Vec<String> = names.iter().map(Name::to_string).collect();
        assert_eq!(
            sorted,
            ["example.", "a.example.", "yljkjljk.a.example.", "zabc.a.example.", "z.example.", "*.z.example."]
        );
    }

    #[test]
    fn a_name_has_as_many_labels_as_fit() {
        let longest = name(&"x.".repeat(127));
        assert_eq!((longest.as_wire().len(), longest.labels().count()), (NAME_LEN_MAX, 127));
        assert!(longest.labels().rev().all(|label| label == b"x"));
        assert_eq!(name("a.b.c").labels().rev().collect::<Vec<_>>(), [b"c", b"b", b"a"]);
        assert_eq!(Name::root().labels().count(), 0);
    }

    #[test]
    fn within_is_by_labels_not_by_letters() {
        assert!(name("a.example.com").is_within(&name("example.com")));
        assert!(name("example.com").is_within(&name("example.com")));
        assert!(name("example.com").is_within(&Name::root()));
        assert!(!name("badexample.com").is_within(&name("example.com")));
        assert_eq!(name("a.b").parent(), Some(name("b")));
        assert_eq!(Name::root().parent(), None);
    }
}
