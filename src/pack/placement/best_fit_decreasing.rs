//! `best_fit_decreasing`: best fit over the pieces of a group, longest first.
//!
//! The tightest placement where sequences hold few documents (books), with all sequences of a group
//! open at once. It sorts by length, so some sequences hold only tiny documents; where fill is equal,
//! `best_fit` mixes better.
//!
//! Source: Ding et al., "Fewer truncations improve language modeling", ICML 2024.

use super::room::RoomIndex;
use super::{Place, Rows, Units, segment};
use crate::error::Result;
use crate::pack::pieces::Piece;
use crate::pack::rules::Rules;
use crate::pack::seed::Rng;
use crate::sequence::Segment;

pub(super) struct BestFitDecreasing {
    units: Units,
    pieces: Vec<Segment>,
}

impl BestFitDecreasing {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            units: Units::new(rules),
            pieces: Vec::new(),
        }
    }
}

impl Place for BestFitDecreasing {
    fn place(&mut self, piece: Piece, _rows: &mut Rows<'_>) -> Result<u64> {
        self.pieces.push(segment(piece));
        Ok(1)
    }

    fn end_group(&mut self, seed: Option<u64>, rows: &mut Rows<'_>) -> Result<()> {
        let packed = Packed::new(&self.pieces, self.units);
        self.pieces.clear();
        packed.emit(seed, rows)
    }

    fn finish(&mut self, _rows: &mut Rows<'_>) -> Result<Vec<Segment>> {
        Ok(Vec::new())
    }
}

/// Hands out the open sequences of an arrival-order placement, repacked so that about one of them
/// is partially filled. Keeps them as they are if repacking would need more.
pub(super) fn close(open: &[&[Segment]], units: Units, rows: &mut Rows<'_>) -> Result<()> {
    let packed = Packed::new(&open.concat(), units);
    if packed.len() <= open.len() {
        return packed.emit(None, rows);
    }
    open.iter().try_for_each(|segments| rows(segments))
}

/// Pieces packed by best fit, longest first.
pub(super) struct Packed {
    /// The segments of all sequences, one after another.
    segments: Vec<Segment>,
    /// End of each sequence in `segments`.
    ends: Vec<usize>,
}

impl Packed {
    /// Packs `pieces`; pieces of equal length keep their order.
    pub(super) fn new(pieces: &[Segment], units: Units) -> Self {
        let needs = |piece: &Segment| units.of(u64::from(piece.len));
        let order = longest_first(pieces, units.per_sequence, needs);
        let mut index = RoomIndex::new(units.per_sequence);
        let mut row_of = Vec::with_capacity(order.len());
        let mut sizes: Vec<usize> = Vec::new();
        for &piece in &order {
            let needed = needs(&pieces[piece as usize]);
            let (row, room) = index.take(needed).unwrap_or_else(|| {
                sizes.push(0);
                (sizes.len() as u32 - 1, units.per_sequence)
            });
            sizes[row as usize] += 1;
            row_of.push(row);
            if room > needed {
                index.insert(row, room - needed);
            }
        }
        let mut ends = running_starts(&sizes);
        let mut segments = vec![
            Segment {
                document: 0,
                start: 0,
                len: 0
            };
            pieces.len()
        ];
        for (&piece, row) in order.iter().zip(row_of) {
            let at = &mut ends[row as usize];
            segments[*at] = pieces[piece as usize];
            *at += 1;
        }
        Self { segments, ends }
    }

    /// Number of sequences.
    fn len(&self) -> usize {
        self.ends.len()
    }

    /// Hands out the sequences: as packed, or in the order of `seed`.
    pub(super) fn emit(&self, seed: Option<u64>, rows: &mut Rows<'_>) -> Result<()> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        if let Some(seed) = seed {
            Rng::new(seed).shuffle(&mut order);
        }
        for row in order {
            let from = row.checked_sub(1).map_or(0, |before| self.ends[before]);
            rows(&self.segments[from..self.ends[row]])?;
        }
        Ok(())
    }
}

/// Indices of the pieces, the longest first, by a stable counting sort.
fn longest_first(pieces: &[Segment], most: u32, needs: impl Fn(&Segment) -> u32) -> Vec<u32> {
    let place = |piece: &Segment| (most - needs(piece)) as usize;
    let mut counts = vec![0usize; most as usize];
    pieces.iter().for_each(|piece| counts[place(piece)] += 1);
    let mut starts = running_starts(&counts);
    let mut order = vec![0; pieces.len()];
    for (i, piece) in (0u32..).zip(pieces) {
        let at = &mut starts[place(piece)];
        order[*at] = i;
        *at += 1;
    }
    order
}

/// Where each run starts when runs of these sizes lie one after another.
fn running_starts(sizes: &[usize]) -> Vec<usize> {
    sizes
        .iter()
        .scan(0, |at, size| {
            let start = *at;
            *at += size;
            Some(start)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{lens, sequences};
    use super::*;
    use crate::pack::testing::rules;
    use crate::recipe::Placement;

    fn decreasing() -> Rules {
        Rules {
            placement: Placement::BestFitDecreasing,
            ..rules(10)
        }
    }

    #[test]
    fn long_pieces_are_placed_first_and_short_ones_fill_up() {
        assert_eq!(
            lens(&decreasing(), &[2, 5, 4, 3, 6, 10]),
            [vec![10], vec![6, 4], vec![5, 3, 2]]
        );
    }

    #[test]
    fn pieces_of_equal_length_keep_their_order() {
        assert_eq!(sequences(&decreasing(), &[5, 5, 5])[0], [(0, 0, 5), (1, 0, 5)]);
    }

    #[test]
    fn closing_never_needs_more_sequences_than_were_open() {
        // Best fit decreasing packs these six into three sequences; two suffice.
        let piece = |len| Segment {
            document: 0,
            start: 0,
            len,
        };
        let open: [&[Segment]; 2] = [&[4, 3, 3].map(piece), &[4, 3, 3].map(piece)];
        let units = Units::new(&rules(10));
        assert!(Packed::new(&open.concat(), units).len() > 2);
        let mut n = 0;
        close(&open, units, &mut |_| {
            n += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(n, 2);
    }

    #[test]
    fn a_seed_changes_the_order_of_sequences_only() {
        let pieces: Vec<Segment> = (0..40)
            .map(|document| Segment {
                document,
                start: 0,
                len: 9,
            })
            .collect();
        let packed = Packed::new(&pieces, Units::new(&rules(10)));
        let order = |seed| {
            let mut order = Vec::new();
            packed
                .emit(seed, &mut |row| {
                    order.push(row[0].document);
                    Ok(())
                })
                .unwrap();
            order
        };
        assert!(order(None).is_sorted());
        assert_ne!(order(Some(1)), order(None));
        let mut sorted = order(Some(1));
        sorted.sort_unstable();
        assert_eq!(sorted, order(None));
    }
}
