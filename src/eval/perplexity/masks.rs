//! Which tokens are masked.

use crate::pack::seed::{Rng, derive};

/// `count` different numbers of `0..n`, ascending.
///
/// # Panics
/// If `count` is more than `n`.
pub fn subset(rng: &mut Rng, n: u32, count: u32) -> Vec<u32> {
    assert!(count <= n, "{count} of {n}");
    let mut items: Vec<u32> = (0..n).collect();
    for i in 0..count as usize {
        let other = i + rng.below(u64::from(n) - i as u64) as usize;
        items.swap(i, other);
    }
    items.truncate(count as usize);
    items.sort_unstable();
    items
}

/// How many of `n` tokens each of `draws` draws masks: one uniform number in 1..=n, and the others at equal
/// distances from it around the circle of 1..=n. Each alone is uniform; together they cover all ratios.
pub fn stratified(rng: &mut Rng, n: u32, draws: u32) -> Vec<u32> {
    let first = 1 + rng.below(u64::from(n));
    (0..draws)
        .map(|draw| {
            let offset = (2 * u64::from(draw) * u64::from(n) + u64::from(draws)) / (2 * u64::from(draws));
            ((first + offset - 1) % u64::from(n)) as u32 + 1
        })
        .collect()
}

/// The stream of random numbers of one measurement.
pub fn stream(seed: u64, purpose: &str, text: u64, length: u32) -> Rng {
    Rng::new(derive(derive(seed, purpose, text), purpose, u64::from(length)))
}
