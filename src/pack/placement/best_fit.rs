//! `best_fit`: each piece goes into the open sequence with the least room that suffices.
//!
//! Pieces are taken as they arrive, so documents stay mixed, and at most K sequences are open.
//! When none fits and K are open, the fullest is closed: it is the one that can take the least. On
//! web text 32 open sequences reach the ideal number of sequences.

use super::best_fit_decreasing::close;
use super::room::RoomIndex;
use super::{Place, Rows, Units, segment};
use crate::error::Result;
use crate::pack::pieces::Piece;
use crate::pack::rules::Rules;
use crate::sequence::Segment;

pub(super) struct BestFit {
    units: Units,
    /// K.
    limit: usize,
    /// The open sequences; a full one is closed at once.
    index: RoomIndex,
    rows: Vec<Vec<Segment>>,
    /// Sequences of `rows` that are not open.
    idle: Vec<u32>,
}

impl BestFit {
    pub(super) fn new(rules: &Rules) -> Self {
        let units = Units::new(rules);
        Self {
            units,
            limit: rules.open_sequences as usize,
            index: RoomIndex::new(units.per_sequence),
            rows: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// An empty sequence, if need be by closing the fullest.
    fn open(&mut self, rows: &mut Rows<'_>) -> Result<u32> {
        if let Some(row) = self.idle.pop() {
            return Ok(row);
        }
        if self.rows.len() < self.limit {
            self.rows.push(Vec::new());
            return Ok(self.rows.len() as u32 - 1);
        }
        let (row, _) = self
            .index
            .take(1)
            .expect("K sequences are open, none of them full");
        self.emit(row, rows)?;
        Ok(row)
    }

    fn emit(&mut self, row: u32, rows: &mut Rows<'_>) -> Result<()> {
        let segments = &mut self.rows[row as usize];
        rows(segments)?;
        segments.clear();
        Ok(())
    }
}

impl Place for BestFit {
    fn place(&mut self, piece: Piece, rows: &mut Rows<'_>) -> Result<u64> {
        let needed = self.units.of(piece.len);
        let segment = segment(piece);
        if needed == self.units.per_sequence {
            rows(&[segment])?;
            return Ok(1);
        }
        let (row, room) = match self.index.take(needed) {
            Some(found) => found,
            None => (self.open(rows)?, self.units.per_sequence),
        };
        self.rows[row as usize].push(segment);
        if room == needed {
            self.emit(row, rows)?;
            self.idle.push(row);
        } else {
            self.index.insert(row, room - needed);
        }
        Ok(1)
    }

    fn finish(&mut self, rows: &mut Rows<'_>) -> Result<Vec<Segment>> {
        let open: Vec<&[Segment]> = self
            .rows
            .iter()
            .map(Vec::as_slice)
            .filter(|r| !r.is_empty())
            .collect();
        close(&open, self.units, rows)?;
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::lens;
    use crate::pack::rules::Rules;
    use crate::pack::testing::rules;

    fn best_fit(open_sequences: u32, documents: &[u64]) -> Vec<Vec<u32>> {
        lens(
            &Rules {
                open_sequences,
                ..rules(10)
            },
            documents,
        )
    }

    #[test]
    fn the_tightest_sequence_takes_the_piece() {
        // 6 and 7 are open; 3 fits both and fills the tighter.
        assert_eq!(best_fit(4, &[6, 7, 3, 4]), [[7, 3], [6, 4]]);
    }

    #[test]
    fn the_fullest_sequence_is_closed_when_too_many_are_open() {
        assert_eq!(best_fit(2, &[6, 8, 7, 3])[..2], [vec![8], vec![7, 3]]);
    }

    #[test]
    fn a_full_length_piece_closes_nothing() {
        assert_eq!(best_fit(1, &[6, 10, 4]), [vec![10], vec![6, 4]]);
    }

    #[test]
    fn what_is_open_at_the_end_is_repacked() {
        // Arrival order leaves [4, 3], [5, 2] and [6]; the closing pass needs two sequences.
        assert_eq!(best_fit(8, &[4, 3, 6, 5, 2]).len(), 2);
    }
}
