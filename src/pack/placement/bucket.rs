//! `bucket`: dataset decomposition into segments of power-of-two lengths.
//!
//! Each piece is cut into powers of two, the largest first, down to `bucket_min`; what is left is one
//! last segment. A sequence holds segments of one length. What does not fill a sequence by the end
//! of a group (a few segments per length, and all remainders) is packed by best fit decreasing.
//! Meant for a `seq_len` that is a power of two; another one leaves the room behind the last whole
//! segment empty.
//!
//! Source: Pouransari et al., "Dataset decomposition: faster LLM training with variable sequence
//! length curriculum", NeurIPS 2024.

use super::best_fit_decreasing::Packed;
use super::{Place, Rows, Units, segment};
use crate::error::Result;
use crate::pack::pieces::Piece;
use crate::pack::rules::Rules;
use crate::sequence::Segment;

pub(super) struct Bucket {
    units: Units,
    /// Shortest bucket.
    least: u64,
    /// Longest bucket: the largest power of two in `seq_len`.
    most: u64,
    /// The sequence being filled for each length, by its binary logarithm.
    filling: Vec<Vec<Segment>>,
    remainders: Vec<Segment>,
}

impl Bucket {
    pub(super) fn new(rules: &Rules) -> Self {
        let log = rules.seq_len.ilog2();
        Self {
            units: Units::new(rules),
            least: u64::from(rules.bucket_min),
            most: 1 << log,
            filling: vec![Vec::new(); log as usize + 1],
            remainders: Vec::new(),
        }
    }
}

impl Place for Bucket {
    fn place(&mut self, piece: Piece, rows: &mut Rows<'_>) -> Result<u64> {
        let mut rest = piece;
        let mut n = 0;
        while rest.len > 0 {
            n += 1;
            let size = self.most.min(1 << rest.len.ilog2());
            if size < self.least {
                self.remainders.push(segment(rest));
                break;
            }
            let row = &mut self.filling[size.ilog2() as usize];
            row.push(segment(Piece { len: size, ..rest }));
            if row.len() as u32 == self.units.per_sequence / self.units.of(size) {
                rows(row)?;
                row.clear();
            }
            rest = Piece {
                start: rest.start + size,
                len: rest.len - size,
                ..rest
            };
        }
        Ok(n)
    }

    fn end_group(&mut self, seed: Option<u64>, rows: &mut Rows<'_>) -> Result<()> {
        for row in &mut self.filling {
            self.remainders.append(row);
        }
        let packed = Packed::new(&self.remainders, self.units);
        self.remainders.clear();
        packed.emit(seed, rows)
    }

    fn finish(&mut self, _rows: &mut Rows<'_>) -> Result<Vec<Segment>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lens, sequences};
    use crate::pack::rules::Rules;
    use crate::pack::testing::rules;
    use crate::recipe::Placement;

    fn bucket(bucket_min: u32) -> Rules {
        Rules {
            placement: Placement::Bucket,
            bucket_min,
            ..rules(16)
        }
    }

    #[test]
    fn a_document_is_cut_into_powers_of_two_and_a_remainder() {
        let mut row = sequences(&bucket(4), &[15]).concat();
        row.sort_unstable();
        assert_eq!(row, [(0, 0, 8), (0, 8, 4), (0, 12, 3)]);
    }

    #[test]
    fn a_sequence_holds_segments_of_one_length() {
        let placed = lens(&bucket(4), &[12, 12, 12, 12, 5]);
        assert_eq!(placed[..3], [vec![8, 8], vec![8, 8], vec![4, 4, 4, 4]]);
        assert_eq!(placed[3], [4, 1], "leftovers are packed together");
    }

    #[test]
    fn a_bucket_longer_than_a_sequence_means_whole_pieces() {
        assert_eq!(lens(&bucket(256), &[13, 3]), [[13, 3]]);
    }
}
