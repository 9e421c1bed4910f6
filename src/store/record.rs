//! Journal lines: one JSON object each, chained by SHA-256.
//!
//! ```text
//! {"seq":7,"time":"…","record":"order","revision":3,…,"durable":6,"prev":"<hash of line 6>","hash":"<hash of this one>"}
//! ```
//!
//! `hash` is the SHA-256 of the line's octets before `,"hash":"`, so that `sed` and `sha256sum` can check it
//! as well as we do. It is checksum and chain in one: it covers `prev`.

use std::fmt;
use std::time::SystemTime;

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::time;
use crate::model::{Generation, Revision};

/// The version of the format that this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of these octets.
    pub(super) fn of(bytes: &[u8]) -> Digest {
        let mut out = Digest::default();
        out.0.copy_from_slice(digest(&SHA256, bytes).as_ref());
        out
    }

    fn parse(hex: &[u8]) -> Option<Digest> {
        let nibble = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let mut out = Digest::default();
        if hex.len() != 64 {
            return None;
        }
        for (octet, pair) in out.0.iter_mut().zip(hex.chunks_exact(2)) {
            *octet = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(out)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in the chain: a line's number and its hash. The first line follows number 0 with a hash of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Link {
    /// The line's number. Numbers grow, over all files; those of lines that were given up are not used again.
    pub seq: u64,
    /// The line's hash.
    pub hash: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Revision")]
struct RevisionNumber(u64);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Generation")]
struct GenerationNumber(u64);

/// The kind of a line that takes an order back which was stored and never took effect.
pub const WITHDRAWN: &str = "withdrawn";

/// The kind of a line that says again what is in force, after a time in which nothing could be stored.
pub const SETTLED: &str = "settled";

/// An order that is to be in force from when it is durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Its revision.
    #[serde(with = "RevisionNumber")]
    pub revision: Revision,
    /// The generation that served when it was given.
    #[serde(with = "GenerationNumber")]
    pub generation: Generation,
    /// What it is: `switch`, `drain`, …
    pub kind: String,
    /// Who gave it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The order as it was given; the store does not look into it.
    pub body: Value,
    /// What it sets and clears among the standing orders.
    pub changes: Vec<Change>,
    /// How a repetition of it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
}

impl Order {
    /// Nobody ordered it: it is no last order in force.
    pub(super) fn is_housekeeping(&self) -> bool {
        [WITHDRAWN, SETTLED].contains(&self.kind.as_str())
    }
}

/// One standing order that is set, or cleared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub key: String,
    /// What it says from now on; `None` clears it.
    pub value: Option<Value>,
}

/// How the repetition of a request is known, and how it is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The key that the client chose.
    pub key: String,
    /// A digest of the request: the key with another request is a mistake.
    pub request: String,
    /// What was answered.
    pub answer: Value,
}

/// An entry of the audit log that changes nothing: a refusal, a health transition, a reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// What it is: `refused`, `health`, …
    pub kind: String,
    /// The revision in force.
    #[serde(with = "RevisionNumber")]
    pub revision: Revision,
    /// The generation that serves.
    #[serde(with = "GenerationNumber")]
    pub generation: Generation,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What else there is to say.
    pub body: Value,
}

/// A standing order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What it says.
    pub value: Value,
    /// The order that set it.
    #[serde(with = "RevisionNumber")]
    pub revision: Revision,
}

/// A request that was answered, by its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Key, request and answer.
    #[serde(flatten)]
    pub idempotency: Idempotency,
    /// The order that came of it.
    #[serde(with = "RevisionNumber")]
    pub revision: Revision,
    /// When it became durable.
    #[serde(with = "time")]
    pub at: SystemTime,
}

/// The first line of a file: enough to go on from it without the files before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: u32,
    pub(super) segment: u64,
    /// The line before this one. Lines with higher numbers in the files before were given up.
    pub(super) prev_seq: u64,
    /// The last order in force.
    pub(super) revision: u64,
    /// The highest revision that was ever written.
    pub(super) revisions_to: u64,
    /// Generations below this one may have been used.
    pub(super) generations_to: u64,
    /// Lines that follow with what is taken back of the files before, standing orders and answered requests.
    pub(super) carried: u64,
    /// Why a new file was begun.
    pub(super) why: String,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
pub(super) enum Record {
    /// The first line of a file.
    Head(Head),
    /// A standing order, carried over.
    Standing {
        key: String,
        #[serde(flatten)]
        standing: Standing,
    },
    /// An answered request, carried over.
    Answered(Answered),
    /// The process started and may use the generations below `generations_to`.
    Start { version: String, generations_to: u64 },
    /// More generations may be used.
    Generations { generations_to: u64 },
    /// An order.
    Order(Order),
    /// An entry of the audit log alone.
    Note(Note),
    /// These lines hold orders that were refused after they had been written.
    Void { orders: Vec<u64> },
}

/// A line, read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) seq: u64,
    #[serde(with = "time")]
    pub(super) time: SystemTime,
    #[serde(flatten)]
    pub(super) record: Record,
    /// The last line that was known to be durable when this one was written: what stands behind it may have
    /// been lost with the power, and nobody was told that it was there.
    pub(super) durable: u64,
    pub(super) prev: String,
}

const HASH_FIELD: &[u8] = b",\"hash\":\"";
const TAIL_LEN: usize = HASH_FIELD.len() + 64 + 2;

/// Appends a line, its end included; says the link that it makes.
pub(super) fn write(out: &mut Vec<u8>, after: Link, durable: u64, seq: u64, at: SystemTime, record: Record) -> Link {
    let line = Line { seq, time: at, record, durable, prev: after.hash.to_string() };
    let start = out.len();
    serde_json::to_writer(&mut *out, &line).expect("strings, numbers and JSON values are always JSON");
    // The closing brace comes after the hash.
    out.pop();
    let hash = Digest::of(&out[start..]);
    out.extend_from_slice(HASH_FIELD);
    out.extend_from_slice(hash.to_string().as_bytes());
    out.extend_from_slice(b"\"}\n");
    Link { seq, hash }
}

/// Reads a line without its end; the error says what is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<(Line, Digest), &'static str> {
    let hash = checked(bytes)?;
    let line = serde_json::from_slice(bytes).map_err(|_| "not a record that this version knows")?;
    Ok((line, hash))
}

/// The hash of a line, when it is right.
pub(super) fn checked(bytes: &[u8]) -> Result<Digest, &'static str> {
    let body_len = bytes.len().checked_sub(TAIL_LEN).ok_or("too short for a record")?;
    let (body, tail) = bytes.split_at(body_len);
    let hex = tail.strip_prefix(HASH_FIELD).and_then(|rest| rest.strip_suffix(b"\"}")).ok_or("no hash at its end")?;
    let said = Digest::parse(hex).ok_or("no hash at its end")?;
    if Digest::of(body) == said { Ok(said) } else { Err("its hash is not that of its text") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(reason: &str) -> Record {
        Record::Order(Order {
            revision: Revision(3),
            generation: Generation(9),
            kind: "switch".into(),
            actor: "ops".into(),
            reason: reason.into(),
            body: serde_json::json!({"active_dc": "dc2", "n": 18_446_744_073_709_551_615_u64}),
            changes: vec![Change { key: "switch/*".into(), value: None }],
            idempotency: Some(Idempotency { key: "k".into(), request: "d".into(), answer: Value::Bool(true) }),
        })
    }

    #[test]
    fn the_hash_is_what_sha256sum_says_of_the_text_before_it() {
        let mut out = Vec::new();
        let link = write(&mut out, Link::default(), 0, 1, SystemTime::UNIX_EPOCH, Record::Void { orders: vec![] });
        let text = String::from_utf8(out).unwrap();
        let body = r#"{"seq":1,"time":"1970-01-01T00:00:00.000Z","record":"void","orders":[],"durable":0,"prev":"0000000000000000000000000000000000000000000000000000000000000000""#;
        // printf '%s' "$body" | sha256sum
        let hash = "44ced8ef5d3dfbadc1f30cb3f466f1f8b9102779358c58387d0db1183f40ae89";
        assert_eq!(text, format!("{body},\"hash\":\"{hash}\"}}\n"));
        assert_eq!(link.hash.to_string(), hash);
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let mut out = Vec::new();
        write(&mut out, Link::default(), 6, 7, SystemTime::UNIX_EPOCH, order("because"));
        out.pop();
        assert!(read(&out).is_ok());
        for at in 0..out.len() * 8 {
            let mut bad = out.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(read(&bad).is_err(), "bit {at}");
        }
        for len in 0..out.len() {
            assert!(read(&out[..len]).is_err(), "cut at {len}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_takes_one_line(reason in ".*", seq in any::<u64>()) {
            let mut out = Vec::new();
            let link = write(&mut out, Link::default(), 0, seq, SystemTime::UNIX_EPOCH, order(&reason));
            prop_assert_eq!(out.pop(), Some(b'\n'));
            prop_assert!(!out.contains(&b'\n'));
            let (line, hash) = read(&out).unwrap();
            prop_assert_eq!(hash, link.hash);
            prop_assert_eq!((line.seq, line.record), (seq, order(&reason)));
        }

        #[test]
        fn nothing_that_is_read_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes).is_err());
        }
    }
}
