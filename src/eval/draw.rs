//! Where the random choices of prompts come from.
//!
//! A prompt has its own stream, `Draw::new(seed, purpose, index)`: the seed of the run, what is drawn
//! (`ruler/niah_single_1/4096`, …) and the number of the prompt. Its text therefore depends on no other
//! prompt, on no order and on no number of threads. Streams are SplitMix64 over
//! [`derive`](crate::pack::seed::derive); every choice below takes the numbers of its stream in order.
//! Changing any of this changes the prompts: raise [`SCHEME`] with it.

use crate::pack::seed::{Rng, derive};

/// Name of the scheme, for results.
pub const SCHEME: &str = "splitmix64-1";

/// The random choices of one prompt.
#[derive(Debug, Clone)]
pub struct Draw(Rng);

impl Draw {
    /// The stream of prompt `index` of a purpose.
    pub fn new(seed: u64, purpose: &str, index: u64) -> Self {
        Self(Rng::new(derive(seed, purpose, index)))
    }

    /// A number in `0..n`; 0 for `n = 0`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If there are none.
    pub fn choice<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }

    /// `k` different numbers of `0..n`, in the order drawn; all of them if there are fewer.
    ///
    /// Source: R. Floyd's sampling without replacement (Bentley, CACM 30(9), 1987), then shuffled.
    pub fn sample(&mut self, n: usize, k: usize) -> Vec<usize> {
        let k = k.min(n);
        let mut seen = std::collections::HashSet::with_capacity(k);
        let mut drawn = Vec::with_capacity(k);
        for last in n - k..n {
            let candidate = self.below(last + 1);
            let number = if seen.contains(&candidate) {
                last
            } else {
                candidate
            };
            seen.insert(number);
            drawn.push(number);
        }
        self.shuffle(&mut drawn);
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_different_prompts_differ_and_repeat() {
        let stream = |seed, purpose, index| Draw::new(seed, purpose, index).bits();
        let first = stream(1, "a", 0);
        assert_eq!(first, stream(1, "a", 0));
        for other in [stream(2, "a", 0), stream(1, "b", 0), stream(1, "a", 1)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_sample_is_without_replacement_and_every_order_is_about_equally_frequent() {
        let mut counts = std::collections::BTreeMap::new();
        for index in 0..6000 {
            let sample = Draw::new(3, "test", index).sample(4, 2);
            assert_ne!(sample[0], sample[1]);
            *counts.entry(sample).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 12);
        assert!(counts.values().all(|n| (400..600).contains(n)), "{counts:?}");
        let mut all = Draw::new(3, "test", 0).sample(5, 9);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }
}
