//! The attention mask of a sequence, for a window of it, as a raster of exact shares.
//!
//! A mask is never laid out: a window is cut into cells, and a cell's share of attending
//! (query, key) pairs follows from how many tokens of each segment its rows and its columns hold.
//! The work grows with cells plus segments, whatever the length of the sequence.

use std::ops::Range;

use super::figures::{SegmentFigures, SequenceFigures};

/// Shares of one cell of a raster, each of all its (query, key) pairs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cell {
    /// Pairs that attend.
    pub attends: f64,
    /// Pairs of which one is padding.
    pub padding: f64,
}

/// A window of a mask, row by row from the top: rows are queries, columns are keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Raster {
    /// Number of columns.
    pub n_columns: usize,
    /// `[n_rows × n_columns]`.
    pub cells: Vec<Cell>,
}

impl Raster {
    /// Cuts `queries` × `keys` of the mask into `n_rows` × `n_columns` cells.
    ///
    /// # Panics
    /// If a range is empty or ends beyond the sequence, or if there is no row or no column.
    pub fn new(
        sequence: &SequenceFigures,
        queries: Range<u32>,
        keys: Range<u32>,
        n_rows: usize,
        n_columns: usize,
    ) -> Self {
        assert!(n_rows > 0 && n_columns > 0 && !queries.is_empty() && !keys.is_empty());
        assert!(queries.end <= sequence.seq_len && keys.end <= sequence.seq_len);
        let rows = slices(&sequence.segments, queries, n_rows);
        let columns = slices(&sequence.segments, keys, n_columns);
        let mut cells = Vec::with_capacity(n_rows * n_columns);
        for row in &rows {
            cells.extend(
                columns
                    .iter()
                    .map(|column| cell(row, column, sequence.full_attention)),
            );
        }
        Self { n_columns, cells }
    }

    /// The cell in `row` and `column`.
    pub fn cell(&self, row: usize, column: usize) -> Cell {
        self.cells[row * self.n_columns + column]
    }
}

/// The positions of one row or one column of cells. Widths are real numbers: a slice may end within
/// a token, which then belongs to both sides by its share.
#[derive(Debug)]
struct Slice {
    width: f64,
    /// Segments in it, in order, with their width.
    parts: Vec<(usize, f64)>,
    /// Width of all segments together.
    real: f64,
}

fn slices(segments: &[SegmentFigures], window: Range<u32>, n: usize) -> Vec<Slice> {
    let step = f64::from(window.end - window.start) / n as f64;
    let mut first = segments.partition_point(|s| s.offset + s.len <= window.start);
    (0..n)
        .map(|i| {
            let from = f64::from(window.start) + step * i as f64;
            let to = from + step;
            let mut parts = Vec::new();
            while first < segments.len() && f64::from(segments[first].offset + segments[first].len) <= from {
                first += 1;
            }
            for (index, segment) in segments.iter().enumerate().skip(first) {
                let start = f64::from(segment.offset).max(from);
                let end = f64::from(segment.offset + segment.len).min(to);
                if f64::from(segment.offset) >= to {
                    break;
                }
                parts.push((index, (end - start).max(0.0)));
            }
            let real = parts.iter().map(|(_, width)| width).sum();
            Slice {
                width: step,
                parts,
                real,
            }
        })
        .collect()
}

fn cell(row: &Slice, column: &Slice, full: bool) -> Cell {
    let area = row.width * column.width;
    let attending = if full {
        row.real * column.real
    } else {
        let (mut a, mut b) = (row.parts.iter().peekable(), column.parts.iter().peekable());
        let mut sum = 0.0;
        while let (Some(&&(i, width)), Some(&&(j, height))) = (a.peek(), b.peek()) {
            if i == j {
                sum += width * height;
            }
            if i <= j {
                a.next();
            }
            if j <= i {
                b.next();
            }
        }
        sum
    };
    let share = |pairs: f64| (pairs / area).clamp(0.0, 1.0);
    Cell {
        attends: share(attending),
        padding: share(area - row.real * column.real),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::testing::sequence;
    use proptest::prelude::*;

    #[test]
    fn a_mask_of_two_documents_and_padding() {
        let raster = Raster::new(&sequence(&[2, 1], 4, false), 0..4, 0..4, 4, 4);
        let attends: Vec<u8> = raster.cells.iter().map(|c| c.attends as u8).collect();
        assert_eq!(attends, [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        let padding: Vec<u8> = raster.cells.iter().map(|c| c.padding as u8).collect();
        assert_eq!(padding, [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1]);
    }

    proptest! {
        /// Every cell of every raster equals the count of pairs in the dense mask.
        #[test]
        fn a_cell_is_the_share_of_pairs_in_the_dense_mask(
            lens in prop::collection::vec(1u32..9, 1..6), padding in 0u32..7, full: bool,
            n_rows in 1usize..9, n_columns in 1usize..9, scale in 1u32..5,
        ) {
            // Windows whose cells hold whole tokens, so that pairs can be counted.
            let seq_len = lens.iter().sum::<u32>() + padding;
            let sequence = sequence(&lens, seq_len, full);
            let rows = (n_rows as u32 * scale).min(seq_len);
            let columns = (n_columns as u32 * scale).min(seq_len);
            let (n_rows, n_columns) = (n_rows.min(rows as usize), n_columns.min(columns as usize));
            prop_assume!(rows % n_rows as u32 == 0 && columns % n_columns as u32 == 0);
            let (q0, k0) = (seq_len - rows, 0);
            let mut ids = Vec::new();
            lens.iter().zip(1..).for_each(|(&len, id)| ids.extend(std::iter::repeat_n(id, len as usize)));
            ids.resize(seq_len as usize, 0);
            let raster = Raster::new(&sequence, q0..q0 + rows, k0..k0 + columns, n_rows, n_columns);
            let (h, w) = (rows / n_rows as u32, columns / n_columns as u32);
            for r in 0..n_rows {
                for c in 0..n_columns {
                    let (mut attends, mut padded) = (0, 0);
                    for q in q0 + r as u32 * h..q0 + (r as u32 + 1) * h {
                        for k in k0 + c as u32 * w..k0 + (c as u32 + 1) * w {
                            let (a, b) = (ids[q as usize], ids[k as usize]);
                            padded += u32::from(a == 0 || b == 0);
                            attends += u32::from(a != 0 && b != 0 && (full || a == b));
                        }
                    }
                    let area = f64::from(h * w);
                    let cell = raster.cell(r, c);
                    prop_assert!((cell.attends - f64::from(attends) / area).abs() < 1e-9, "{cell:?} {attends}/{area}");
                    prop_assert!((cell.padding - f64::from(padded) / area).abs() < 1e-9, "{cell:?} {padded}/{area}");
                }
            }
        }
    }
}
