//! Choosing one variant for one query: the only steering that the answer path runs.
//!
//! Random choice multiplies the random number into the total weight and looks for the interval it fell in.
//!
//! Sticky choice is weighted rendezvous hashing (Thaler & Ravishankar 1998; the weights as in Schindelhauer
//! & Schomaker 2005): every member draws an exponentially distributed number whose rate is its weight,
//! from a hash of the client's network and the member's id, and the least wins. So a member's share is
//! its weight; a member that leaves moves only its own clients; and nodes that agree on the ids agree on
//! every client, also after a restart. The logarithm is taken in integers from a table that is itself
//! computed in integers at build time: no floating point, the same result on every machine.

/// How a plan chooses among its variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// There is one variant.
    One,
    /// By a random number.
    Random,
    /// By a hash of the client's network.
    Hash,
}

/// What [`pick`] reads of a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Weighted {
    /// The sum of the weights up to and including this one.
    pub cumulative: u32,
    /// This one's weight: at least 1.
    pub weight: u32,
    /// [`member_key`] of the variant's first member.
    pub key: u64,
}

/// The position of the chosen variant. `value` is a uniformly random number for [`Mode::Random`] and
/// [`client_hash`] for [`Mode::Hash`]. `variants` is not empty.
#[inline(always)] // 10 instructions of each answer's
pub fn pick(mode: Mode, variants: &[Weighted], value: u64) -> usize {
    match mode {
        Mode::One => 0,
        Mode::Random => by_random(variants, value),
        Mode::Hash => by_hash(variants, value),
    }
}

#[inline(always)] // as above
fn by_random(variants: &[Weighted], random: u64) -> usize {
    let Some(last) = variants.last() else { return 0 };
    // The product's upper half is uniform on 0..total, to within total / 2^64.
    let point = ((u128::from(random) * u128::from(last.cumulative)) >> 64) as u64;
    if variants.len() <= 8 {
        variants.iter().take_while(|variant| u64::from(variant.cumulative) <= point).count()
    } else {
        among_many(variants, point)
    }
}

#[inline(never)] // few plans have so many, and the others' choice becomes part of its caller
fn among_many(variants: &[Weighted], point: u64) -> usize {
    variants.partition_point(|variant| u64::from(variant.cumulative) <= point)
}

#[inline(never)] // a loop of its own
fn by_hash(variants: &[Weighted], client: u64) -> usize {
    let mut best = 0;
    let mut best_draw = (u64::MAX, 1); // (exponential, weight)
    for (at, variant) in variants.iter().enumerate() {
        let draw = (exponential(mix(client ^ variant.key)), variant.weight);
        // a / wa < b / wb, without dividing. Equal draws go to the earlier, which is the lesser id.
        if u128::from(draw.0) * u128::from(best_draw.1) < u128::from(best_draw.0) * u128::from(draw.1) {
            (best, best_draw) = (at, draw);
        }
    }
    best
}

/// The hash of a client's network: the /24 of an IPv4 address or the /48 of an IPv6 address, given as
/// the address's octets. Other lengths hash what is there.
pub fn client_hash(address: &[u8]) -> u64 {
    let network = match address.len() {
        4 => &address[..3],
        16 => &address[..6],
        _ => address,
    };
    mix(fnv1a(network))
}

/// The octets of an address that [`client_hash`] reads, as a prefix length: the least ECS scope of a
/// sticky answer.
pub const fn hashed_len(is_v4: bool) -> u8 {
    if is_v4 { 24 } else { 48 }
}

/// The hash of a member's id.
pub fn member_key(id: &str) -> u64 {
    fnv1a(id.as_bytes())
}

/// FNV-1a, 64 bits.
fn fnv1a(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// -log2(hash / 2^64) in 1/2^32: exponentially distributed for uniform hashes.
fn exponential(hash: u64) -> u64 {
    (64 << 32) - log2(hash | 1)
}

/// log2 in 1/2^32 of `x` ≥ 1, by a table of 256 intervals and interpolation within.
fn log2(x: u64) -> u64 {
    let exponent = u64::from(63 - x.leading_zeros());
    let mantissa = x << (63 - exponent); // 1.… with the point after the top bit
    let at = ((mantissa >> 55) & 0xff) as usize;
    let rest = (mantissa >> 23) & 0xffff_ffff; // the next 32 bits
    let (low, high) = (LOG2[at], LOG2[at + 1]);
    (exponent << 32) + low + (((high - low) * rest) >> 32)
}

/// log2(1 + i/256) in 1/2^32.
const LOG2: [u64; 257] = {
    let mut table = [0; 257];
    let mut i = 0;
    while i < 256 {
        table[i] = fraction(256 + i as u64);
        i += 1;
    }
    table[256] = 1 << 32;
    table
};

/// log2(m/256) in 1/2^32 for 256 ≤ m < 512, bit by bit: square, and halve when that reaches 2.
const fn fraction(m: u64) -> u64 {
    let mut x: u128 = (m as u128) << 54; // m/256 with 62 bits after the point
    let mut out = 0;
    let mut bit = 0;
    while bit < 32 {
        x = (x * x) >> 62;
        out <<= 1;
        if x >= 2 << 62 {
            x >>= 1;
            out |= 1;
        }
        bit += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variants(members: &[(&str, u32)]) -> Vec<Weighted> {
        let mut cumulative = 0;
        members
            .iter()
            .map(|&(id, weight)| {
                cumulative += weight;
                Weighted { cumulative, weight, key: member_key(id) }
            })
            .collect()
    }

    fn client(n: u32) -> u64 {
        let [_, a, b, c] = n.to_be_bytes();
        client_hash(&[a, b, c, 77])
    }

    #[test]
    fn random_choice_is_exact_at_the_edges_of_each_interval() {
        let dcs = variants(&[("a", 100), ("b", 50), ("c", 30)]);
        let at = |point: u128| u64::try_from(((point << 64) / 180) + 1).unwrap();
        assert_eq!(pick(Mode::Random, &dcs, 0), 0);
        assert_eq!(pick(Mode::Random, &dcs, at(99)), 0);
        assert_eq!(pick(Mode::Random, &dcs, at(100)), 1);
        assert_eq!(pick(Mode::Random, &dcs, at(149)), 1);
        assert_eq!(pick(Mode::Random, &dcs, at(150)), 2);
        assert_eq!(pick(Mode::Random, &dcs, u64::MAX), 2);
    }

    #[test]
    fn short_and_long_lists_choose_alike() {
        let few = variants(&[("a", 3), ("b", 5)]);
        let members: Vec<(String, u32)> = (0..40).map(|n| (format!("m{n}"), 1 + n % 7)).collect();
        let many = variants(&members.iter().map(|(id, weight)| (id.as_str(), *weight)).collect::<Vec<_>>());
        for n in 0..10_000_u64 {
            let random = mix(n);
            for list in [&few, &many] {
                let point = ((u128::from(random) * u128::from(list.last().unwrap().cumulative)) >> 64) as u32;
                assert_eq!(
                    pick(Mode::Random, list, random),
                    list.iter().position(|variant| point < variant.cumulative).unwrap()
                );
            }
        }
    }

    #[test]
    fn sticky_vectors_never_change() {
        // Another implementation, or another version of this one, must give these.
        assert_eq!(client_hash(&[192, 0, 2, 1]), VECTOR_V4);
        assert_eq!(client_hash(&[192, 0, 2, 99]), VECTOR_V4, "one /24");
        let v6: std::net::Ipv6Addr = "2001:db8:1:2::3".parse().unwrap();
        assert_eq!(client_hash(&v6.octets()), VECTOR_V6);
        assert_eq!(member_key("dc1_beijing_primary"), VECTOR_KEY);
        let dcs = variants(&[("dc1", 100), ("dc2", 50), ("dc3", 30)]);
        let picks: Vec<usize> = (0..24).map(|n| pick(Mode::Hash, &dcs, client(n * 0x0101))).collect();
        assert_eq!(picks, VECTOR_PICKS);
    }

    const VECTOR_V4: u64 = 0x400995f703d7953c;
    const VECTOR_V6: u64 = 0x48d475c517f6dea3;
    const VECTOR_KEY: u64 = 0x64ba93e788710fbb;
    const VECTOR_PICKS: [usize; 24] = [2, 1, 1, 0, 2, 0, 0, 1, 0, 1, 0, 2, 2, 0, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn sticky_shares_follow_the_weights() {
        let dcs = variants(&[("dc1", 100), ("dc2", 50), ("dc3", 30)]);
        let mut counts = [0_u32; 3];
        for n in 0..180_000 {
            counts[pick(Mode::Hash, &dcs, client(n))] += 1;
        }
        // Four standard deviations of a binomial share are about 850 here.
        for (count, expected) in counts.into_iter().zip([100_000_u32, 50_000, 30_000]) {
            assert!(count.abs_diff(expected) < 850, "{counts:?}");
        }
    }

    #[test]
    fn a_member_that_leaves_moves_only_its_own_clients() {
        let all = variants(&[("dc1", 100), ("dc2", 50), ("dc3", 30), ("dc4", 7)]);
        let without = variants(&[("dc1", 100), ("dc3", 30), ("dc4", 7)]);
        for n in 0..50_000 {
            let before = pick(Mode::Hash, &all, client(n));
            let after = pick(Mode::Hash, &without, client(n));
            if before != 1 {
                assert_eq!(all[before].key, without[after].key);
            }
        }
    }

    #[test]
    fn the_integer_logarithm_is_the_logarithm() {
        let mut x = 1_u64;
        for n in 0..64 {
            for value in [x, x | (x >> 1), x | (x >> 3)] {
                let exact = (value as f64).log2() * 4_294_967_296.0;
                assert!((log2(value) as f64 - exact).abs() < 20_000.0, "{value}: bit {n}");
            }
            x = x.rotate_left(1);
        }
        assert_eq!(exponential(u64::MAX) >> 16, 0);
    }
}
