//! Where every random choice comes from: one seed, a purpose, an index.
//!
//! A choice never depends on how many random numbers were drawn before it. Each has its own seed,
//! `derive(seed, purpose, index)`, so that a new kind of choice, another group or another number of
//! threads changes no other choice. The mixing function is the finaliser of SplitMix64.
//!
//! These numbers are part of the format: a change here changes every plan.

/// 2^64 divided by the golden ratio, the increment of SplitMix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The seed of one choice: `mix(mix(mix(seed) ^ fnv1a(purpose)) ^ index)`.
///
/// For one `seed` and `purpose`, different indices give different seeds.
pub fn derive(seed: u64, purpose: &str, index: u64) -> u64 {
    mix(mix(mix(seed) ^ fnv1a(purpose)) ^ index)
}

/// A bijection on `u64` in which every input bit changes every output bit with probability near 1/2.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, with
/// the constants of Stafford's variant 13.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(GOLDEN);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A number in `[0, 1)` from the upper 53 bits of `x`.
pub fn unit(x: u64) -> f64 {
    (x >> 11) as f64 / (1u64 << 53) as f64
}

/// FNV-1a, 64 bits: turns a purpose into a number.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// SplitMix64: a stream of random numbers for one choice that needs many.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A stream that depends on `seed` only.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let bits = mix(self.0);
        self.0 = self.0.wrapping_add(GOLDEN);
        bits
    }

    /// A number in `0..n`; for `n = 0`, 0. The bias is below `n / 2^64`.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Puts the items into a random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derived_seeds_are_part_of_the_format() {
        let first = derive(0, "documents", 0);
        assert_eq!(first, 12_234_153_233_356_666_016);
        for other in [
            derive(1, "documents", 0),
            derive(0, "hybrid", 0),
            derive(0, "documents", 1),
        ] {
            assert_ne!(other, first);
        }
    }

    #[test]
    fn the_mixing_function_is_the_one_of_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_shuffle_reaches_every_order_about_equally_often() {
        let mut counts = [0u32; 27];
        for seed in 0..6000 {
            let mut items = [0, 1, 2];
            Rng::new(derive(seed, "test", 0)).shuffle(&mut items);
            counts[items[0] * 9 + items[1] * 3 + items[2]] += 1;
        }
        let seen: Vec<u32> = counts.into_iter().filter(|&n| n > 0).collect();
        assert_eq!(seen.len(), 6);
        assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
    }
}
