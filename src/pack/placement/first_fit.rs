//! `first_fit`: each piece goes into the oldest of K open sequences that has room.
//!
//! When none has, a new sequence is opened, and the oldest is closed if that makes more than K.
//! The oldest fitting sequence is found in a tree of maxima over the open sequences by age.

use super::best_fit_decreasing::close;
use super::{Place, Rows, Units, segment};
use crate::error::Result;
use crate::pack::pieces::Piece;
use crate::pack::rules::Rules;
use crate::sequence::Segment;

pub(super) struct FirstFit {
    units: Units,
    /// K.
    limit: usize,
    n_open: usize,
    /// Room of the open sequences by age; 0 where none is open (a full sequence is closed at once).
    ages: MaxTree,
    /// Leaf of the next sequence to open.
    next_age: usize,
    /// The sequence at each leaf.
    row_at: Vec<u32>,
    rows: Vec<Vec<Segment>>,
    idle: Vec<u32>,
}

impl FirstFit {
    pub(super) fn new(rules: &Rules) -> Self {
        let limit = rules.open_sequences as usize;
        // Twice K, so that leaves are renumbered only once per K new sequences; one more, since a
        // new sequence is open before the oldest is closed.
        let n_leaves = (2 * (limit + 1)).next_power_of_two();
        Self {
            units: Units::new(rules),
            limit,
            n_open: 0,
            ages: MaxTree::new(n_leaves),
            next_age: 0,
            row_at: vec![0; n_leaves],
            rows: Vec::new(),
            idle: Vec::new(),
        }
    }

    fn open(&mut self, first: Segment, room: u32) {
        if self.next_age == self.row_at.len() {
            self.renumber();
        }
        let row = self.idle.pop().unwrap_or_else(|| {
            self.rows.push(Vec::new());
            self.rows.len() as u32 - 1
        });
        self.rows[row as usize].push(first);
        self.row_at[self.next_age] = row;
        self.ages.set(self.next_age, room);
        self.next_age += 1;
        self.n_open += 1;
    }

    fn close(&mut self, age: usize, rows: &mut Rows<'_>) -> Result<()> {
        let row = self.row_at[age];
        rows(&self.rows[row as usize])?;
        self.rows[row as usize].clear();
        self.idle.push(row);
        self.ages.set(age, 0);
        self.n_open -= 1;
        Ok(())
    }

    /// Moves the open sequences to the first leaves, in order of age.
    fn renumber(&mut self) {
        let mut to = 0;
        for from in 0..self.next_age {
            let room = self.ages.get(from);
            if room > 0 {
                self.ages.set(from, 0);
                self.ages.set(to, room);
                self.row_at[to] = self.row_at[from];
                to += 1;
            }
        }
        self.next_age = to;
    }
}

impl Place for FirstFit {
    fn place(&mut self, piece: Piece, rows: &mut Rows<'_>) -> Result<u64> {
        let needed = self.units.of(piece.len);
        let segment = segment(piece);
        if needed == self.units.per_sequence {
            rows(&[segment])?;
            return Ok(1);
        }
        match self.ages.first_at_least(needed) {
            Some(age) => {
                self.rows[self.row_at[age] as usize].push(segment);
                let room = self.ages.get(age) - needed;
                if room == 0 {
                    self.close(age, rows)?;
                } else {
                    self.ages.set(age, room);
                }
            }
            None => {
                self.open(segment, self.units.per_sequence - needed);
                if self.n_open > self.limit {
                    let oldest = self
                        .ages
                        .first_at_least(1)
                        .expect("more than K sequences are open");
                    self.close(oldest, rows)?;
                }
            }
        }
        Ok(1)
    }

    fn finish(&mut self, rows: &mut Rows<'_>) -> Result<Vec<Segment>> {
        let ages = (0..self.next_age).filter(|&age| self.ages.get(age) > 0);
        let open: Vec<&[Segment]> = ages
            .map(|age| &self.rows[self.row_at[age] as usize][..])
            .collect();
        close(&open, self.units, rows)?;
        Ok(Vec::new())
    }
}

/// A tree whose inner nodes hold the maximum of their two children.
struct MaxTree {
    /// Node `i` has the children `2i` and `2i + 1`; the leaves are the upper half.
    nodes: Vec<u32>,
}

impl MaxTree {
    /// `n_leaves` zeros; a power of two.
    fn new(n_leaves: usize) -> Self {
        Self {
            nodes: vec![0; 2 * n_leaves],
        }
    }

    fn get(&self, leaf: usize) -> u32 {
        self.nodes[self.nodes.len() / 2 + leaf]
    }

    fn set(&mut self, leaf: usize, value: u32) {
        let mut node = self.nodes.len() / 2 + leaf;
        self.nodes[node] = value;
        while node > 1 {
            node /= 2;
            let most = self.nodes[2 * node].max(self.nodes[2 * node + 1]);
            if self.nodes[node] == most {
                break;
            }
            self.nodes[node] = most;
        }
    }

    /// The first leaf with at least `least`.
    fn first_at_least(&self, least: u32) -> Option<usize> {
        if self.nodes[1] < least {
            return None;
        }
        let n_leaves = self.nodes.len() / 2;
        let mut node = 1;
        while node < n_leaves {
            node *= 2;
            node += usize::from(self.nodes[node] < least);
        }
        Some(node - n_leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::lens;
    use crate::pack::rules::Rules;
    use crate::pack::seed::Rng;
    use crate::pack::testing::rules;
    use crate::recipe::Placement;

    fn first_fit(open_sequences: u32, documents: &[u64]) -> Vec<Vec<u32>> {
        lens(
            &Rules {
                placement: Placement::FirstFit,
                open_sequences,
                ..rules(10)
            },
            documents,
        )
    }

    #[test]
    fn the_oldest_sequence_with_room_takes_the_piece() {
        // 6 and 7 are open; 3 fits both and goes to the older, which 1 then fills.
        assert_eq!(first_fit(4, &[6, 7, 3, 1]), [vec![6, 3, 1], vec![7]]);
    }

    #[test]
    fn the_oldest_sequence_is_closed_when_too_many_are_open() {
        assert_eq!(
            first_fit(2, &[6, 7, 8, 3, 4]),
            [vec![6], vec![7, 3], vec![8], vec![4]]
        );
    }

    #[test]
    fn the_tree_agrees_with_a_plain_search() {
        let mut rng = Rng::new(8);
        let documents: Vec<u64> = (0..3000).map(|_| 1 + rng.below(10)).collect();
        for k in [1, 2, 3, 7, 32] {
            let mut open: Vec<Vec<u32>> = Vec::new();
            let mut closed: Vec<Vec<u32>> = Vec::new();
            for &len in &documents {
                let len = len as u32;
                match open.iter().position(|row| row.iter().sum::<u32>() + len <= 10) {
                    Some(at) => open[at].push(len),
                    None => open.push(vec![len]),
                }
                if let Some(full) = open.iter().position(|row| row.iter().sum::<u32>() == 10) {
                    closed.push(open.remove(full));
                }
                if open.len() > k {
                    closed.push(open.remove(0));
                }
            }
            assert_eq!(first_fit(k as u32, &documents)[..closed.len()], closed, "K = {k}");
        }
    }
}
