//! An address space cut into segments, each with a value: how the room keeps everything it knows.
//!
//! A [`Segments`] always covers its whole space, so that a look-up never fails and two of them can be
//! laid over each other in one sweep. Neighbours always differ, so that equal data has equal form.

/// An address as a number.
pub(super) trait Bits: Copy + Ord + std::fmt::Debug {
    /// The lowest address.
    const ZERO: Self;
    /// The highest address.
    const LAST: Self;
    /// Bits in an address.
    const LEN: u8;

    /// The next address; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The address before; `None` before the first.
    fn previous(self) -> Option<Self>;
    /// How many leading bits two addresses share.
    fn shared_bits(self, other: Self) -> u8;
    /// With the bit at `depth` (0 is the first) set.
    fn with_bit(self, depth: u8) -> Self;
    /// The last address of the block of `depth` leading bits that holds this one.
    fn block_end(self, depth: u8) -> Self;
    /// In which slot of an index over `bits` bits this address lies: a number that grows with the address,
    /// at most `2^bits + 1`.
    fn slot(self, bits: u32) -> usize;
    /// The first address of a slot.
    fn slot_start(slot: usize, bits: u32) -> Self;
}

macro_rules! bits {
    ($int:ty, $slot:ident, $slot_start:ident) => {
        impl Bits for $int {
            const ZERO: $int = 0;
            const LAST: $int = <$int>::MAX;
            #[allow(clippy::cast_possible_truncation, reason = "32 or 128")]
            const LEN: u8 = <$int>::BITS as u8;

            #[inline]
            fn next(self) -> Option<$int> {
                self.checked_add(1)
            }

            #[inline]
            fn previous(self) -> Option<$int> {
                self.checked_sub(1)
            }

            #[inline]
            #[allow(clippy::cast_possible_truncation, reason = "at most 128")]
            fn shared_bits(self, other: $int) -> u8 {
                (self ^ other).leading_zeros() as u8
            }

            fn with_bit(self, depth: u8) -> $int {
                self | (1 << (Self::LEN - 1 - depth))
            }

            fn block_end(self, depth: u8) -> $int {
                self | <$int>::MAX.checked_shr(u32::from(depth)).unwrap_or(0)
            }

            #[inline]
            fn slot(self, bits: u32) -> usize {
                $slot(self, bits)
            }

            fn slot_start(slot: usize, bits: u32) -> $int {
                $slot_start(slot, bits)
            }
        }
    };
}

bits!(u32, slot_v4, slot_start_v4);
bits!(u128, slot_v6, slot_start_v6);

/// Slots of equal size.
#[inline]
fn slot_v4(address: u32, bits: u32) -> usize {
    (address >> (32 - bits)) as usize
}

fn slot_start_v4(slot: usize, bits: u32) -> u32 {
    u32::try_from((slot as u64) << (32 - bits)).unwrap_or(u32::MAX)
}

/// What is routed lies in 2000::/3, so that is where the slots are: the first is for all before, the last
/// for all after.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "bits + 3 bits are left, and bits is at most 24")]
fn slot_v6(address: u128, bits: u32) -> usize {
    let leading = ((address >> 64) as u64 >> (61 - bits)) as usize;
    leading.saturating_sub((1 << bits) - 1).min((1 << bits) + 1)
}

fn slot_start_v6(slot: usize, bits: u32) -> u128 {
    if slot == 0 { 0 } else { ((1 << bits) - 1 + slot as u128) << (125 - bits) }
}

/// Values of an address space, in two sorted arrays.
///
/// Never empty; the first start is zero; starts ascend strictly; neighbours have different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segments<B> {
    starts: Vec<B>,
    values: Vec<u32>,
}

impl<B: Bits> Segments<B> {
    /// One value everywhere.
    pub(super) fn uniform(value: u32) -> Segments<B> {
        Segments { starts: vec![B::ZERO], values: vec![value] }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// What holds from `start` on, until the next call. Starts must ascend; the same start twice means
    /// the later value.
    pub(super) fn set_from(&mut self, start: B, value: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// The value at an address.
    pub(super) fn find(&self, at: B) -> u32 {
        // The first start is zero, so there is always one at or before `at`.
        self.values[self.starts.partition_point(|&start| start <= at).saturating_sub(1)]
    }

    /// Every segment in order: first address and value.
    pub(super) fn iter(&self) -> impl Iterator<Item = (B, u32)> + '_ {
        self.starts.iter().copied().zip(self.values.iter().copied())
    }

    /// Gives the block of `depth` leading bits at `first` one value.
    pub(super) fn fill(&mut self, first: B, depth: u8, value: u32) {
        let after = first.block_end(depth).next();
        let mut new = Segments { starts: Vec::with_capacity(2), values: Vec::with_capacity(2) };
        let from = self.starts.partition_point(|&start| start < first);
        // A neighbour with the same value takes the block in.
        if from == 0 || self.values[from - 1] != value {
            new.set_from(first, value);
        }
        let to = after.map_or(self.len(), |after| {
            let to = self.starts.partition_point(|&start| start <= after);
            let behind = self.values[to - 1];
            if behind != value {
                new.set_from(after, behind);
            }
            to
        });
        self.starts.splice(from..to, new.starts);
        self.values.splice(from..to, new.values);
    }

    /// Both at once: `combine(front, back)` wherever either changes.
    pub(super) fn overlay(
        front: &Segments<B>,
        back: &Segments<B>,
        mut combine: impl FnMut(u32, u32) -> u32,
    ) -> Segments<B> {
        let mut out = Segments { starts: Vec::with_capacity(back.len()), values: Vec::with_capacity(back.len()) };
        let (mut f, mut b) = (0, 0);
        let mut at = B::ZERO;
        loop {
            out.set_from(at, combine(front.values[f], back.values[b]));
            at = match (front.starts.get(f + 1), back.starts.get(b + 1)) {
                (None, None) => break,
                (Some(&next), None) => next,
                (None, Some(&next)) => next,
                (Some(&one), Some(&other)) => one.min(other),
            };
            f += usize::from(front.starts.get(f + 1) == Some(&at));
            b += usize::from(back.starts.get(b + 1) == Some(&at));
        }
        out.starts.shrink_to_fit();
        out.values.shrink_to_fit();
        out
    }

    /// Replaces each value; neighbours that become equal become one.
    pub(super) fn map_values(self, mut new: impl FnMut(u32) -> u32) -> Segments<B> {
        let mut out = Segments { starts: Vec::with_capacity(self.len()), values: Vec::with_capacity(self.len()) };
        for (start, value) in self.iter() {
            out.set_from(start, new(value));
        }
        out.starts.shrink_to_fit();
        out.values.shrink_to_fit();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(parts: &[(u32, u32)]) -> Segments<u32> {
        let mut out = Segments::uniform(0);
        for &(start, value) in parts {
            out.set_from(start, value);
        }
        out
    }

    #[test]
    fn neighbours_with_equal_values_are_one_segment() {
        let joined = segments(&[(0, 7), (10, 7), (20, 8), (20, 7), (30, 9)]);
        assert_eq!(joined.iter().collect::<Vec<_>>(), [(0, 7), (30, 9)]);
        assert_eq!((joined.find(29), joined.find(30), joined.find(u32::MAX)), (7, 9, 9));
    }

    #[test]
    fn an_overlay_changes_wherever_either_part_changes() {
        let front = segments(&[(10, 1), (20, 0)]);
        let back = segments(&[(0, 5), (15, 6), (20, 7)]);
        let both = Segments::overlay(&front, &back, |front, back| front * 100 + back);
        assert_eq!(both.iter().collect::<Vec<_>>(), [(0, 5), (10, 105), (15, 106), (20, 7)]);
    }

    #[test]
    fn blocks_at_both_ends_of_the_space_can_be_filled() {
        let mut all = segments(&[(0, 5)]);
        all.fill(0xffff_ff00, 24, 9);
        all.fill(0, 32, 8);
        assert_eq!(all.iter().collect::<Vec<_>>(), [(0, 8), (1, 5), (0xffff_ff00, 9)]);
        all.fill(0, 0, 3);
        assert_eq!(all, Segments::uniform(3));
    }

    #[test]
    fn a_filled_block_joins_neighbours_that_have_its_value() {
        let cut = || segments(&[(0, 1), (0x0a00_0000, 2), (0x0a00_0080, 3), (0x0a00_0100, 4)]);
        let filled = |first, depth, value| {
            let mut all = cut();
            all.fill(first, depth, value);
            all.iter().collect::<Vec<_>>()
        };
        assert_eq!(filled(0x0a00_0000, 24, 1), [(0, 1), (0x0a00_0100, 4)]);
        assert_eq!(filled(0x0a00_0000, 24, 4), [(0, 1), (0x0a00_0000, 4)]);
        assert_eq!(
            filled(0x0a00_0040, 26, 9),
            [(0, 1), (0x0a00_0000, 2), (0x0a00_0040, 9), (0x0a00_0080, 3), (0x0a00_0100, 4)]
        );
        assert_eq!(filled(0x0a00_0040, 26, 3), [(0, 1), (0x0a00_0000, 2), (0x0a00_0040, 3), (0x0a00_0100, 4)]);
        assert_eq!(filled(0x0a00_0080, 25, 3), cut().iter().collect::<Vec<_>>());
    }
}
