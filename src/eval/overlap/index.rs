//! All n-grams of the texts of evaluation, and which of them were met.

use std::sync::atomic::{AtomicU64, Ordering};

/// The n-gram was not met.
const NOWHERE: u64 = u64::MAX;

/// Multiplier of the rolling hash; odd, so that no position is lost.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// n-grams of units (numbers of tokens or words) of many texts, each kept once, in about 24 bytes a unit.
///
/// ```text
/// units   │ text 0 … │ text 1 … │ …      every text, one behind the other
/// table   hash ─► where the n-gram stands first
/// met     where ─► the first place in the dataset
/// ```
pub(super) struct Index {
    n: usize,
    units: Vec<u32>,
    /// Ends of the texts in `units`.
    ends: Vec<usize>,
    /// Open addressing, at most half full; 0 is free, else a place in `units` + 1.
    table: Vec<u32>,
    n_grams: usize,
    met: Vec<AtomicU64>,
    /// `BASE` to the power `n - 1`.
    top: u64,
}

impl Index {
    pub(super) fn new(n: usize) -> Self {
        Self {
            n,
            units: Vec::new(),
            ends: Vec::new(),
            table: vec![0; 1 << 10],
            n_grams: 0,
            met: Vec::new(),
            top: (1..n).fold(1, |power, _| BASE.wrapping_mul(power)),
        }
    }

    /// Units of an n-gram.
    pub(super) fn n(&self) -> usize {
        self.n
    }

    /// Number of units so far.
    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    /// Adds a text.
    pub(super) fn add(&mut self, text: &[u32]) {
        let start = self.units.len();
        self.units.extend_from_slice(text);
        self.ends.push(self.units.len());
        let mut rolling = Rolling::new(self.n, self.top);
        for at in start..self.units.len() {
            let Some(hash) = rolling.push(&self.units[start..=at]) else {
                continue;
            };
            if 2 * (self.n_grams + 1) > self.table.len() {
                self.grow();
            }
            let first = at + 1 - self.n;
            if let Err(slot) = self.slot(hash, &self.units[first..=at]) {
                self.table[slot] = first as u32 + 1;
                self.n_grams += 1;
            }
        }
    }

    /// Ends the adding; places can be met from here on.
    pub(super) fn finish(&mut self) {
        self.met = std::iter::repeat_with(|| AtomicU64::new(NOWHERE))
            .take(self.units.len())
            .collect();
    }

    /// Marks every n-gram of `units` that a text has; `place` tells where the unit of a number is. Of
    /// several places of an n-gram the smallest is kept, whatever the order of calls.
    pub(super) fn meet(&self, units: &[u32], place: impl Fn(usize) -> u64) {
        let mut rolling = Rolling::new(self.n, self.top);
        for at in 0..units.len() {
            let Some(hash) = rolling.push(&units[..=at]) else {
                continue;
            };
            let first = at + 1 - self.n;
            if let Ok(slot) = self.slot(hash, &units[first..=at]) {
                self.met[self.table[slot] as usize - 1].fetch_min(place(first), Ordering::Relaxed);
            }
        }
    }

    /// For each n-gram of text `index` in order, the first place where it was met.
    pub(super) fn places(&self, index: usize) -> impl Iterator<Item = Option<u64>> + '_ {
        let text = self.text(index);
        let mut rolling = Rolling::new(self.n, self.top);
        (0..text.len()).filter_map(move |at| {
            let hash = rolling.push(&text[..=at])?;
            let slot = self
                .slot(hash, &text[at + 1 - self.n..=at])
                .expect("it was added");
            let place = self.met[self.table[slot] as usize - 1].load(Ordering::Relaxed);
            Some((place != NOWHERE).then_some(place))
        })
    }

    /// The units of text `index`.
    pub(super) fn text(&self, index: usize) -> &[u32] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.units[start..self.ends[index]]
    }

    /// The slot of an n-gram, or the free one where it would go.
    fn slot(&self, hash: u64, gram: &[u32]) -> Result<usize, usize> {
        let mask = self.table.len() - 1;
        let mut slot = spread(hash) as usize & mask;
        loop {
            match self.table[slot] {
                0 => return Err(slot),
                first if self.units[first as usize - 1..][..self.n] == *gram => return Ok(slot),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.table);
        self.table = vec![0; 2 * old.len()];
        for first in old.into_iter().filter(|&first| first != 0) {
            let gram = &self.units[first as usize - 1..][..self.n];
            let hash = gram.iter().fold(0u64, |hash, &unit| {
                hash.wrapping_mul(BASE).wrapping_add(value(unit))
            });
            let slot = self.slot(hash, gram).expect_err("every n-gram is there once");
            self.table[slot] = first;
        }
    }
}

/// A polynomial over the last `n` units.
struct Rolling {
    n: usize,
    top: u64,
    hash: u64,
}

impl Rolling {
    fn new(n: usize, top: u64) -> Self {
        Self { n, top, hash: 0 }
    }

    /// Takes the last of `units`; the hash of the last `n`, once there are as many.
    fn push(&mut self, units: &[u32]) -> Option<u64> {
        let len = units.len();
        if len > self.n {
            let gone = value(units[len - 1 - self.n]).wrapping_mul(self.top);
            self.hash = self.hash.wrapping_sub(gone);
        }
        self.hash = self.hash.wrapping_mul(BASE).wrapping_add(value(units[len - 1]));
        (len >= self.n).then_some(self.hash)
    }
}

fn value(unit: u32) -> u64 {
    u64::from(unit) + 1
}

/// The upper bits of a polynomial are the better ones: brings them down.
fn spread(hash: u64) -> u64 {
    (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 20
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn index(n: usize, texts: &[Vec<u32>]) -> Index {
        let mut index = Index::new(n);
        texts.iter().for_each(|text| index.add(text));
        index.finish();
        index
    }

    #[test]
    fn shared_n_grams_are_met_and_others_are_not() {
        let index = index(3, &[vec![1, 2, 3, 4, 5], vec![9, 9]]);
        index.meet(&[7, 2, 3, 4, 8, 3, 4, 5], |at| at as u64);
        let places: Vec<Option<u64>> = index.places(0).collect();
        assert_eq!(places, [None, Some(1), Some(5)]);
        assert_eq!(index.places(1).count(), 0, "shorter than an n-gram");
    }

    #[test]
    fn an_n_gram_does_not_run_from_one_text_into_the_next() {
        let index = index(2, &[vec![1, 2], vec![3, 4]]);
        index.meet(&[2, 3], |_| 0);
        assert!(
            index
                .places(0)
                .chain(index.places(1))
                .all(|place| place.is_none())
        );
    }

    #[test]
    fn the_smallest_place_is_kept_in_any_order() {
        let index = index(2, &[vec![1, 2]]);
        index.meet(&[1, 2], |_| 9);
        index.meet(&[1, 2], |_| 4);
        index.meet(&[1, 2], |_| 6);
        assert_eq!(index.places(0).next(), Some(Some(4)));
    }

    proptest! {
        #[test]
        fn what_is_met_is_what_a_plain_search_finds(
            texts in prop::collection::vec(prop::collection::vec(0u32..4, 0..400), 1..6),
            rows in prop::collection::vec(prop::collection::vec(0u32..4, 0..200), 0..4),
            n in 1usize..7,
        ) {
            let index = index(n, &texts);
            let mut expected: BTreeMap<&[u32], u64> = BTreeMap::new();
            for (row, units) in rows.iter().enumerate() {
                let place = |at: usize| (row as u64) << 32 | at as u64;
                index.meet(units, place);
                for (at, gram) in units.windows(n).enumerate() {
                    expected.entry(gram).or_insert(place(at));
                }
            }
            for (i, text) in texts.iter().enumerate() {
                let found: Vec<Option<u64>> = index.places(i).collect();
                let searched: Vec<Option<u64>> = text.windows(n).map(|gram| expected.get(gram).copied()).collect();
                prop_assert_eq!(found, searched);
                prop_assert_eq!(index.text(i), &text[..]);
            }
        }
    }
}
