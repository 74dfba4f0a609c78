//! Open sequences by the room they have left: find the least room that suffices in constant time.
//!
//! A bitset marks the amounts of room that occur; each further level marks the non-zero words of
//! the one below, so that the next marked amount is found with one look per level (three levels for
//! 131,072). Sequences with the same room form a list; the last one in is the first one out.

use std::iter::successors;

/// No sequence: the end of a list.
const NONE: u32 = u32::MAX;

/// A multiset of open sequences, ordered by room.
pub(super) struct RoomIndex {
    /// Level 0 has a bit per amount of room; the last level is one word.
    levels: Vec<Vec<u64>>,
    /// First sequence of the list for each amount of room.
    head: Vec<u32>,
    /// Next sequence in the list of each sequence.
    next: Vec<u32>,
}

impl RoomIndex {
    /// For amounts of room up to `most`.
    pub(super) fn new(most: u32) -> Self {
        let n = most as usize + 1;
        let sizes = successors(Some(n.div_ceil(64)), |&words| {
            (words > 1).then(|| words.div_ceil(64))
        });
        Self {
            levels: sizes.map(|words| vec![0; words]).collect(),
            head: vec![NONE; n],
            next: Vec::new(),
        }
    }

    /// Adds sequence `row`, which must not be in the index.
    pub(super) fn insert(&mut self, row: u32, room: u32) {
        if row as usize >= self.next.len() {
            self.next.resize(row as usize + 1, NONE);
        }
        self.next[row as usize] = self.head[room as usize];
        self.head[room as usize] = row;
        let mut at = room as usize;
        for level in &mut self.levels {
            level[at / 64] |= 1 << (at % 64);
            at /= 64;
        }
    }

    /// Removes the sequence with the least room of at least `needed`; returns it and its room.
    pub(super) fn take(&mut self, needed: u32) -> Option<(u32, u32)> {
        let room = self.least_from(needed as usize)?;
        let row = self.head[room];
        self.head[room] = self.next[row as usize];
        if self.head[room] == NONE {
            let mut at = room;
            for level in &mut self.levels {
                level[at / 64] &= !(1 << (at % 64));
                if level[at / 64] != 0 {
                    break;
                }
                at /= 64;
            }
        }
        Some((row, room as u32))
    }

    /// The least marked amount from `at` on.
    fn least_from(&self, mut at: usize) -> Option<usize> {
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(at / 64)? & (u64::MAX << (at % 64));
            if word != 0 {
                let found = at / 64 * 64 + word.trailing_zeros() as usize;
                return Some(self.levels[..height].iter().rev().fold(found, |word, below| {
                    word * 64 + below[word].trailing_zeros() as usize
                }));
            }
            at = at / 64 + 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::seed::Rng;

    #[test]
    fn the_least_sufficient_room_is_found_among_any_others() {
        let mut rng = Rng::new(1);
        for most in [1, 63, 64, 4095, 4096, 300_000] {
            let mut index = RoomIndex::new(most);
            let mut plain: Vec<(u32, u32)> = Vec::new();
            let mut idle: Vec<u32> = (0..50).collect();
            for _ in 0..2000 {
                let room = rng.below(u64::from(most) + 1) as u32;
                if rng.below(2) == 0 && !idle.is_empty() {
                    let row = idle.pop().unwrap();
                    index.insert(row, room);
                    plain.push((room, row));
                    continue;
                }
                let expected = plain.iter().filter(|(r, _)| *r >= room).map(|(r, _)| *r).min();
                let found = index.take(room);
                assert_eq!(
                    found.map(|(_, room)| room),
                    expected,
                    "most {most}, needed {room}"
                );
                if let Some((row, room)) = found {
                    plain.retain(|entry| *entry != (room, row));
                    idle.push(row);
                }
            }
        }
    }
}
