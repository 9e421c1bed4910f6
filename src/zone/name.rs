//! Names in wire form, as slices: reading them, and putting them in order.

use std::cmp::Ordering;

use crate::limits::{LABEL_LEN_MAX, NAME_LEN_MAX};
use crate::model::NameError;

/// Appends a name in presentation form to `out` as wire form, case kept. A name without a final dot is relative
/// to `origin` (wire form); `@` is the origin. On an error `out` may have grown.
pub(super) fn read(text: &[u8], origin: &[u8], out: &mut Vec<u8>) -> Result<(), NameError> {
    match text {
        b"@" => {
            out.extend_from_slice(origin);
            return Ok(());
        }
        b"." => {
            out.push(0);
            return Ok(());
        }
        b"" => return Err(NameError::EmptyLabel),
        _ => {}
    }
    let from = out.len();
    let mut label_at = from;
    out.push(0);
    let mut at = 0;
    let mut dotted = false;
    while let Some(&octet) = text.get(at) {
        at += 1;
        if dotted {
            label_at = out.len();
            out.push(0);
            dotted = false;
        }
        match octet {
            b'.' => {
                close_label(out, label_at)?;
                dotted = true;
            }
            b'\\' => {
                let (octet, taken) = unescape(&text[at..]).ok_or(NameError::Escape)?;
                at += taken;
                out.push(octet);
            }
            0x80.. => return Err(NameError::NotAscii),
            plain => out.push(plain),
        }
    }
    if dotted {
        out.push(0);
    } else {
        close_label(out, label_at)?;
        out.extend_from_slice(origin);
    }
    if out.len() - from > NAME_LEN_MAX { Err(NameError::TooLong) } else { Ok(()) }
}

fn close_label(out: &mut [u8], label_at: usize) -> Result<(), NameError> {
    match out.len() - label_at - 1 {
        0 => Err(NameError::EmptyLabel),
        len @ 1..=LABEL_LEN_MAX => {
            out[label_at] = len as u8;
            Ok(())
        }
        _ => Err(NameError::LabelTooLong),
    }
}

/// What stands behind a backslash, and how many characters that takes: `X` or three digits up to 255.
pub(super) fn unescape(behind: &[u8]) -> Option<(u8, usize)> {
    match behind {
        [first, second, third, ..] if first.is_ascii_digit() => {
            let digit = |octet: u8| octet.is_ascii_digit().then(|| u16::from(octet - b'0'));
            let value = digit(*first)? * 100 + digit(*second)? * 10 + digit(*third)?;
            Some((u8::try_from(value).ok()?, 3))
        }
        [first, ..] if !first.is_ascii_digit() && first.is_ascii() => Some((*first, 1)),
        _ => None,
    }
}

/// The labels of a name, as offsets of their length octets.
struct Labels {
    at: [u8; 128],
    count: usize,
}

fn labels(name: &[u8]) -> Labels {
    let mut labels = Labels { at: [0; 128], count: 0 };
    let mut at = 0;
    while let Some(&len) = name.get(at)
        && len != 0
        && labels.count < labels.at.len()
    {
        labels.at[labels.count] = at as u8;
        labels.count += 1;
        at += 1 + usize::from(len);
    }
    labels
}

fn label(name: &[u8], at: u8) -> &[u8] {
    let at = usize::from(at);
    &name[at + 1..at + 1 + usize::from(name[at])]
}

/// Canonical order (RFC 4034 §6.1) of two lower-case names: by labels, the rightmost first.
pub(super) fn canonical_cmp(a: &[u8], b: &[u8]) -> Ordering {
    let (a_labels, b_labels) = (labels(a), labels(b));
    for (a_at, b_at) in a_labels.at[..a_labels.count].iter().rev().zip(b_labels.at[..b_labels.count].iter().rev()) {
        match label(a, *a_at).cmp(label(b, *b_at)) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    a_labels.count.cmp(&b_labels.count)
}

/// How many labels two lower-case names share, from the right.
pub(super) fn common_labels(a: &[u8], b: &[u8]) -> usize {
    let (a_labels, b_labels) = (labels(a), labels(b));
    let from_the_right = a_labels.at[..a_labels.count].iter().rev().zip(b_labels.at[..b_labels.count].iter().rev());
    from_the_right.take_while(|(a_at, b_at)| label(a, **a_at) == label(b, **b_at)).count()
}

/// The suffixes of a name that has more than `count` labels which have more than `count` and fewer than all of
/// its labels, the shortest first: the ancestors that a name needs below an ancestor of `count` labels. As
/// offsets.
pub(super) fn ancestors_below(name: &[u8], count: usize) -> impl Iterator<Item = usize> {
    let labels = labels(name);
    let between = labels.count.saturating_sub(count).max(1);
    (1..between).rev().map(move |at| usize::from(labels.at[at]))
}

/// Appends a key that sorts octet by octet as [`canonical_cmp`] does, and of which the keys of all names below
/// are continuations.
pub(super) fn push_key(name: &[u8], out: &mut Vec<u8>) {
    let labels = labels(name);
    for &at in labels.at[..labels.count].iter().rev() {
        for &octet in label(name, at) {
            match octet {
                0 => out.extend_from_slice(&[1, 1]),
                1 => out.extend_from_slice(&[1, 2]),
                other => out.push(other),
            }
        }
        out.push(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Name;
    use crate::wire::name::Shown;

    fn wire(text: &str) -> Vec<u8> {
        Name::parse(text).unwrap().as_wire().to_vec()
    }

    fn any_name() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::collection::vec(prop::sample::select(&b"\x00\x01\x02ab-"[..]), 1..4), 0..5)
            .prop_map(|labels| {
                let mut wire: Vec<u8> =
                    labels.iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat()).collect();
                wire.push(0);
                wire
            })
    }

    #[test]
    fn relative_names_end_in_the_origin_and_keep_their_case() {
        let mut out = Vec::new();
        read(b"WWW", &wire("example.com"), &mut out).unwrap();
        assert_eq!(out, b"\x03WWW\x07example\x03com\0");
        let read = |text: &[u8]| {
            let mut out = vec![0xff];
            read(text, &wire("o"), &mut out).map(|()| out[1..].to_vec())
        };
        assert_eq!(read(b"@"), Ok(wire("o")));
        assert_eq!(read(b"\\@"), Ok(wire("\\@.o")));
        assert_eq!(read(b"a\\.b."), Ok(wire("a\\.b")));
        assert_eq!(read(b"."), Ok(wire(".")));
        assert_eq!(read(b"a..b"), Err(NameError::EmptyLabel));
        assert_eq!(read(b"a\\25"), Err(NameError::Escape));
        assert_eq!(read("ä".as_bytes()), Err(NameError::NotAscii));
        assert_eq!(read(&[b'x'; 64]), Err(NameError::LabelTooLong));
        assert_eq!(read("x.".repeat(128).as_bytes()), Err(NameError::TooLong));
    }

    #[test]
    fn the_ancestors_that_a_name_needs_are_those_between_it_and_the_one_that_exists() {
        let name = wire("a.b.c.d.e");
        let between =
            |count| ancestors_below(&name, count).map(|at| Shown(&name[at..]).to_string()).collect::<Vec<_>>();
        assert_eq!(between(2), ["c.d.e.", "b.c.d.e."]);
        assert!(between(4).is_empty());
        assert!(between(5).is_empty());
    }

    proptest! {
        #[test]
        fn keys_and_comparison_give_the_canonical_order(a in any_name(), b in any_name()) {
            let (name_a, name_b) = (Name::from_wire(&a).unwrap(), Name::from_wire(&b).unwrap());
            let key = |name: &[u8]| {
                let mut key = Vec::new();
                push_key(name, &mut key);
                key
            };
            prop_assert_eq!(canonical_cmp(&a, &b), name_a.cmp(&name_b));
            prop_assert_eq!(key(&a).cmp(&key(&b)), name_a.cmp(&name_b));
            prop_assert_eq!(key(&a).starts_with(&key(&b)), name_a.is_within(&name_b));
        }

        #[test]
        fn names_are_read_as_the_vocabulary_reads_them(text in r"[a-cA-C.\\0-9@]{0,12}") {
            let mut out = Vec::new();
            let ours = read(text.as_bytes(), &[0], &mut out).map(|()| out.to_ascii_lowercase());
            if text != "@" {
                prop_assert_eq!(ours, Name::parse(&text).map(|name| name.as_wire().to_vec()));
            }
        }
    }
}
