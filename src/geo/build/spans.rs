//! Addresses of one family as disjoint spans in ascending order.

use ipnet::{Ipv4Net, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

/// Disjoint spans in ascending order, each with a value. Neighbours of equal value are one span.
#[derive(Debug)]
pub(super) struct Spans<V> {
    spans: Vec<(u128, u128, V)>,
}

impl<V> Default for Spans<V> {
    fn default() -> Spans<V> {
        Spans { spans: Vec::new() }
    }
}

impl<V: PartialEq> Spans<V> {
    /// Adds the addresses `from..=to`, which lie behind all that are in it.
    pub(super) fn push(&mut self, from: u128, to: u128, value: V) {
        match self.spans.last_mut() {
            Some((_, last_to, last)) if last_to.checked_add(1) == Some(from) && *last == value => *last_to = to,
            _ => self.spans.push((from, to, value)),
        }
    }
}

impl<V> Spans<V> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Each as first address, last address, value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u128, u128, &V)> {
        self.spans.iter().map(|(from, to, value)| (*from, *to, value))
    }

    /// Walks both in step: `visit` gets every maximal piece in which neither changes, in order, with
    /// what each says there. Pieces where both say nothing are not visited.
    pub(super) fn overlay<W>(&self, other: &Spans<W>, mut visit: impl FnMut(u128, u128, Option<&V>, Option<&W>)) {
        let (mut ours, mut theirs) = (self.spans.iter().peekable(), other.spans.iter().peekable());
        let mut at = 0_u128;
        loop {
            while ours.next_if(|(_, to, _)| *to < at).is_some() {}
            while theirs.next_if(|(_, to, _)| *to < at).is_some() {}
            let (our, their) = (ours.peek(), theirs.peek());
            let Some(first) = our.map(|span| span.0).into_iter().chain(their.map(|span| span.0)).min() else { return };
            let from = at.max(first);
            // A span that holds `from` may end the piece; one that begins later ends it before its start.
            let end = |start: u128, to: u128| if start <= from { to } else { start - 1 };
            let to = our.map(|span| end(span.0, span.1)).into_iter().chain(their.map(|span| end(span.0, span.1))).min();
            let Some(to) = to else { return };
            let our = our.filter(|span| span.0 <= from).map(|span| &span.2);
            let their = their.filter(|span| span.0 <= from).map(|span| &span.2);
            visit(from, to, our, their);
            match to.checked_add(1) {
                Some(next) => at = next,
                None => return,
            }
        }
    }
}

/// The networks that make up `from..=to`, longest possible, in order.
pub(super) fn networks_v4(from: u128, to: u128) -> impl Iterator<Item = Ipv4Net> {
    let address = |at: u128| u32::try_from(at).unwrap_or(u32::MAX).into();
    Ipv4Subnets::new(address(from), address(to), 0)
}

/// The networks that make up `from..=to`, longest possible, in order.
pub(super) fn networks_v6(from: u128, to: u128) -> impl Iterator<Item = Ipv6Net> {
    Ipv6Subnets::new(from.into(), to.into(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_neighbours_are_one_span() {
        let mut spans = Spans::default();
        for (from, to, value) in [(0, 9, 'a'), (10, 19, 'a'), (21, 29, 'a'), (30, 39, 'b')] {
            spans.push(from, to, value);
        }
        let all: Vec<_> = spans.iter().map(|(from, to, value)| (from, to, *value)).collect();
        assert_eq!(all, [(0, 19, 'a'), (21, 29, 'a'), (30, 39, 'b')]);
    }

    #[test]
    fn the_last_address_of_all_ends_a_walk() {
        let mut one = Spans::default();
        one.push(u128::MAX - 1, u128::MAX, 1);
        let mut other = Spans::default();
        other.push(u128::MAX, u128::MAX, 2);
        let mut seen = Vec::new();
        one.overlay(&other, |from, to, a, b| seen.push((from, to, a.copied(), b.copied())));
        let end = u128::MAX;
        assert_eq!(seen, [(end - 1, end - 1, Some(1), None), (end, end, Some(1), Some(2))]);
    }

    fn spans() -> impl Strategy<Value = Vec<Option<u8>>> {
        proptest::collection::vec(proptest::option::of(0..3_u8), 1..40)
    }

    fn of(cells: &[Option<u8>]) -> Spans<u8> {
        let mut spans = Spans::default();
        for (at, value) in cells.iter().enumerate() {
            if let Some(value) = value {
                spans.push(at as u128, at as u128, *value);
            }
        }
        spans
    }

    proptest! {
        #[test]
        fn an_overlay_says_of_each_address_what_both_say(a in spans(), b in spans()) {
            let len = a.len().max(b.len());
            let mut seen = vec![(None, None); len];
            let mut last = None;
            of(&a).overlay(&of(&b), |from, to, ours, theirs| {
                assert!(last.is_none_or(|last| last < from) && from <= to);
                last = Some(to);
                for cell in &mut seen[from as usize..=to as usize] {
                    *cell = (ours.copied(), theirs.copied());
                }
            });
            for (at, found) in seen.into_iter().enumerate() {
                prop_assert_eq!(found, (a.get(at).copied().flatten(), b.get(at).copied().flatten()));
            }
        }
    }
}
