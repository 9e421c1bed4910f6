//! The book as the store has it: one entry for each standing order, for each switch of the last minutes, and for what
//! each order changed and released.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::book::{Book, Entry, Release};
use super::order::Standing;
use super::past::Shared;
use super::switches::Recent;
use crate::store;

const STANDING: &str = "order/";
const PAST: &str = "past/";
const RECENT: &str = "recent/";
const RELEASED: &str = "released/";

/// One kind of entries.
type Shelf<V> = BTreeMap<u64, V>;

/// How long a part of the book is in the store.
pub(super) struct Len;

impl Len {
    /// Of standing orders.
    pub(super) fn of(standing: &Shelf<Standing>) -> usize {
        shelf_len(STANDING, standing)
    }

    /// Of what an order changed.
    pub(super) fn of_past(at: u64, past: &Shared) -> usize {
        // Of any key, and then of this one.
        past.len(|past| entry_len(PAST, u64::MAX, past)) - key_len(PAST, u64::MAX) + key_len(PAST, at)
    }

    /// Of what an order released.
    pub(super) fn of_release(at: u64, release: &Release) -> usize {
        entry_len(RELEASED, at, release)
    }
}

fn shelf_len(prefix: &str, shelf: &Shelf<impl Serialize>) -> usize {
    shelf.iter().map(|(at, value)| entry_len(prefix, *at, value)).sum()
}

fn key_len(prefix: &str, at: u64) -> usize {
    prefix.len() + at.checked_ilog10().map_or(1, |digits| digits as usize + 1)
}

fn entry_len(prefix: &str, at: u64, value: &impl Serialize) -> usize {
    store::carried_len(&format!("{prefix}{at}"), value)
}

impl Book {
    /// The book that the store's standing entries hold, and what in them could not be read.
    pub fn of_entries<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a Value)>,
        revision: u64,
    ) -> (Book, Vec<String>) {
        fn put<'de, V: Deserialize<'de>>(shelf: &mut Shelf<V>, at: u64, value: &'de Value) -> Option<String> {
            match V::deserialize(value) {
                Ok(read) => {
                    shelf.insert(at, read);
                    None
                }
                Err(error) => Some(error.to_string()),
            }
        }
        let (mut book, mut unread) = (Book { revision, ..Book::default() }, Vec::new());
        for (key, value) in entries {
            let at = |prefix: &str| key.strip_prefix(prefix).and_then(|at| at.parse::<u64>().ok());
            let error = if let Some(at) = at(STANDING) {
                put(&mut book.standing, at, value)
            } else if let Some(at) = at(PAST) {
                put::<Shared>(&mut book.past, at, value)
            } else if let Some(at) = at(RECENT) {
                put::<Recent>(&mut book.recent, at, value)
            } else if let Some(at) = at(RELEASED) {
                put::<Release>(&mut book.released, at, value)
            } else {
                Some("not a kind of entry that this version knows".to_owned())
            };
            unread.extend(error.map(|error| format!("{key}: {error}")));
        }
        (book, unread)
    }

    /// The store's entries that turn `before` into this book.
    pub fn entries_since(&self, before: &Book) -> Vec<Entry> {
        fn differing<V: PartialEq + Serialize>(
            prefix: &'static str,
            before: &Shelf<V>,
            after: &Shelf<V>,
        ) -> impl Iterator<Item = Entry> {
            let gone = before.keys().filter(|at| !after.contains_key(at)).map(|at| (format!("{prefix}{at}"), None));
            let new = after.iter().filter(|(at, value)| before.get(at) != Some(value));
            let new = new.map(|(at, value)| (format!("{prefix}{at}"), Some(json(value))));
            gone.chain(new).collect::<Vec<Entry>>().into_iter()
        }
        differing(STANDING, &before.standing, &self.standing)
            .chain(differing(PAST, &before.past, &self.past))
            .chain(differing(RECENT, &before.recent, &self.recent))
            .chain(differing(RELEASED, &before.released, &self.released))
            .collect()
    }

    /// Octets of all entries, as the store reckons them.
    pub(super) fn len(&self) -> usize {
        Len::of(&self.standing)
            + self.past.iter().map(|(at, past)| Len::of_past(*at, past)).sum::<usize>()
            + shelf_len(RECENT, &self.recent)
            + shelf_len(RELEASED, &self.released)
    }
}

pub(super) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("names, numbers and times are always JSON")
}
