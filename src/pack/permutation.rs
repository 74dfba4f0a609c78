//! A seeded order of `0..n` that needs no memory.
//!
//! A shuffled list of a billion rows would cost 8 GB and could not be entered in the middle. A
//! keyed bijection costs nothing and is entered anywhere in constant time, which is what makes the
//! resume of an epoch exact and immediate.
//!
//! The bijection is a balanced Feistel network over the smallest even number of bits that holds
//! `n - 1` (at least eight: tinier halves would not mix), and cycle walking: a result outside
//! `0..n` is fed in again. The domain is less than `4n` for `n > 64`, so that takes fewer than four
//! rounds of walking on average.
//!
//! Source: Black, Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.

use super::seed::mix;

/// Number of Feistel rounds; four suffice in theory with ideal round functions.
const ROUNDS: usize = 6;

/// A keyed bijection on `0..n`: the place of each item in a shuffled order.
///
/// ```
/// use ultrapack::pack::Permutation;
///
/// let order = Permutation::new(1000, 7);
/// let mut rows: Vec<u64> = (0..1000).map(|i| order.get(i)).collect();
/// rows.sort_unstable();
/// assert!(rows.into_iter().eq(0..1000));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The order of `0..n` that belongs to `key`.
    pub fn new(n: u64, key: u64) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        let mut state = key;
        let keys = std::array::from_fn(|_| {
            state = mix(state);
            state
        });
        Self {
            n,
            half_bits: bits.div_ceil(2).max(4),
            keys,
        }
    }

    /// Number of items.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The item at place `i`.
    ///
    /// # Panics
    /// If `i` is not below `n`.
    pub fn get(&self, i: u64) -> u64 {
        assert!(i < self.n, "place {i} of a permutation of {} items", self.n);
        let mut item = self.feistel(i);
        // Ends: on the cycle through `i`, `i` itself is below `n`.
        while item >= self.n {
            item = self.feistel(item);
        }
        item
    }

    fn feistel(&self, x: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (fold(right ^ key) & mask));
        }
        (left << self.half_bits) | right
    }
}

/// A cheap round function: both halves of a 128-bit product, folded.
fn fold(x: u64) -> u64 {
    let product = u128::from(x) * 0xd6e8_feb8_6659_fd93_u128;
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_has_exactly_one_place() {
        for n in [
            0, 1, 2, 3, 5, 7, 64, 97, 255, 256, 257, 1000, 4093, 65_537, 100_003,
        ] {
            for key in 0..3 {
                let order = Permutation::new(n, key);
                let mut seen = vec![false; n as usize];
                for i in 0..n {
                    let item = order.get(i) as usize;
                    assert!(!seen[item], "n {n} key {key}: item {item} twice");
                    seen[item] = true;
                }
            }
        }
    }

    #[test]
    fn the_largest_range_has_items_too() {
        let order = Permutation::new(u64::MAX, 3);
        assert!(order.get(u64::MAX - 1) < u64::MAX);
        assert_ne!(order.get(0), order.get(1));
    }

    #[test]
    fn every_item_is_first_about_equally_often() {
        for n in [2u64, 3, 10, 100] {
            let keys = 2000 * n;
            let mut first = vec![0u64; n as usize];
            for key in 0..keys {
                first[Permutation::new(n, key).get(0) as usize] += 1;
            }
            // Five standard deviations of a count with mean 2000.
            assert!(first.iter().all(|c| c.abs_diff(2000) < 224), "n {n}: {first:?}");
        }
    }

    #[test]
    fn three_items_come_in_all_six_orders_about_equally_often() {
        let mut counts = std::collections::BTreeMap::new();
        for key in 0..6000 {
            let order = Permutation::new(3, key);
            *counts.entry([order.get(0), order.get(1)]).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|n| (850..1150).contains(n)), "{counts:?}");
    }

    #[test]
    fn neighbours_do_not_stay_neighbours() {
        let order = Permutation::new(100_000, 5);
        let kept = (1..100_000)
            .filter(|&i| order.get(i).abs_diff(order.get(i - 1)) == 1)
            .count();
        assert!(
            kept < 20,
            "{kept} of 100,000 pairs are still adjacent; 2 are expected"
        );
    }
}
