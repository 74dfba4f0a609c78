//! The algorithms that put segments into sequences, one file each.
//!
//! A placement receives pieces of documents in order and hands out finished sequences as lists of
//! segments. It knows neither documents nor sources; it decides only what lies next to what.
//!
//! Room is counted in units of `align` positions, see [`Units`]. `stream`, which fills every
//! sequence to its last position, counts positions.

mod best_fit;
mod best_fit_decreasing;
mod bucket;
mod first_fit;
mod room;
mod stream;

use super::pieces::Piece;
use super::rules::Rules;
use crate::error::Result;
use crate::recipe::Placement;
use crate::sequence::Segment;

/// Where finished sequences go: each is the list of its segments in order.
pub(super) type Rows<'a> = dyn FnMut(&[Segment]) -> Result<()> + 'a;

/// A placement.
pub(super) trait Place {
    /// Takes the next piece; returns the number of segments it becomes.
    fn place(&mut self, piece: Piece, rows: &mut Rows<'_>) -> Result<u64>;

    /// The group is complete. `seed` decides the order of sequences where the algorithm itself would
    /// sort them by length; `None` leaves them sorted.
    fn end_group(&mut self, _seed: Option<u64>, _rows: &mut Rows<'_>) -> Result<()> {
        Ok(())
    }

    /// The plan is complete: hands out what is open. Returns segments that are in no sequence, which
    /// only `stream` has, under `tail: drop`.
    fn finish(&mut self, rows: &mut Rows<'_>) -> Result<Vec<Segment>>;
}

/// The placement that the rules name.
pub(super) fn placement(rules: &Rules) -> Box<dyn Place> {
    match rules.placement {
        Placement::Stream => Box::new(stream::Stream::new(rules)),
        Placement::FirstFit => Box::new(first_fit::FirstFit::new(rules)),
        Placement::BestFit => Box::new(best_fit::BestFit::new(rules)),
        Placement::BestFitDecreasing => Box::new(best_fit_decreasing::BestFitDecreasing::new(rules)),
        Placement::Bucket => Box::new(bucket::Bucket::new(rules)),
    }
}

/// Room in units of `align` positions.
///
/// A sequence has ⌊seq_len / align⌋ units, but at least one. A piece occupies ⌈len / align⌉ units, but
/// never more than a sequence has: where `align` does not divide `seq_len`, a piece that reaches into
/// the last, partial unit is alone in its sequence, and so fits.
#[derive(Debug, Clone, Copy)]
struct Units {
    align: u64,
    per_sequence: u32,
}

impl Units {
    fn new(rules: &Rules) -> Self {
        Self {
            align: u64::from(rules.align),
            per_sequence: (rules.seq_len / rules.align).max(1),
        }
    }

    /// Units occupied by `len` tokens, 1 to `per_sequence`.
    fn of(&self, len: u64) -> u32 {
        // Dividing by 1 would cost as much as the rest of a placement.
        let units = if self.align == 1 {
            len
        } else {
            len.div_ceil(self.align)
        };
        units.min(u64::from(self.per_sequence)) as u32
    }
}

/// The segment that a whole piece becomes.
fn segment(piece: Piece) -> Segment {
    let len = u32::try_from(piece.len).expect("pieces are cut to seq_len before placement");
    Segment {
        document: piece.document,
        start: piece.start,
        len,
    }
}

#[cfg(test)]
mod testing {
    use super::*;

    /// Places documents of these lengths and returns the sequences as (document, start, len).
    pub(super) fn sequences(rules: &Rules, lens: &[u64]) -> Vec<Vec<(u64, u64, u32)>> {
        let mut placed = Vec::new();
        let mut rows = |segments: &[Segment]| {
            placed.push(segments.iter().map(|s| (s.document, s.start, s.len)).collect());
            Ok(())
        };
        let mut placement = placement(rules);
        for (document, &len) in (0..).zip(lens) {
            placement
                .place(
                    Piece {
                        document,
                        start: 0,
                        len,
                    },
                    &mut rows,
                )
                .unwrap();
        }
        placement.end_group(None, &mut rows).unwrap();
        placement.finish(&mut rows).unwrap();
        placed
    }

    /// The same with whole documents, by length alone.
    pub(super) fn lens(rules: &Rules, documents: &[u64]) -> Vec<Vec<u32>> {
        let lens = |row: Vec<(u64, u64, u32)>| row.into_iter().map(|(_, _, len)| len).collect();
        sequences(rules, documents).into_iter().map(lens).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::rules;
    use super::*;

    #[test]
    fn a_piece_always_fits_into_an_empty_sequence() {
        for (seq_len, align, units) in [(10, 1, 10), (10, 4, 2), (10, 16, 1), (12, 4, 3)] {
            let of = Units::new(&Rules {
                align,
                ..rules(seq_len)
            });
            assert_eq!(of.per_sequence, units);
            assert_eq!(of.of(u64::from(seq_len)), units);
            assert_eq!(of.of(1), 1);
        }
    }
}
