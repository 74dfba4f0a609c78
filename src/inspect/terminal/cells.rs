//! The mask as characters: two cells of the raster above each other in one.
//!
//! | character | claims |
//! |---|---|
//! | `█` | both halves attend |
//! | `▀` `▄` | the upper or the lower half attends; the other does not, or is padding |
//! | `░` `▒` `▓` | documents smaller than a cell: a share of the pairs attends, under 1/3, under 2/3, or more |
//! | `╱` | no pair attends, and a half or more is padding |
//! | `·` | no pair attends |

use super::pen::Ink;
use crate::inspect::figures::{SegmentFigures, SequenceFigures};
use crate::inspect::mask::{Cell, Raster};

/// The mask in `n` columns and `n / 2` lines, a column being half as wide as a line is high.
#[derive(Debug)]
pub struct Picture {
    /// Number of columns, and twice the number of lines.
    pub n: usize,
    raster: Raster,
    /// The segment that each column, or each half line, shows.
    pub owners: Vec<Owner>,
    full_attention: bool,
}

/// What a slice of the positions holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Padding in the middle.
    Padding,
    /// The segment in the middle, and whether there are others.
    Segment { index: usize, alone: bool },
}

impl Owner {
    fn index(self) -> Option<usize> {
        match self {
            Owner::Segment { index, .. } => Some(index),
            Owner::Padding => None,
        }
    }
}

/// One half of a character.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Half {
    Empty,
    Padding,
    /// A share of the pairs attends.
    Shade(f64),
    /// All pairs attend, or nearly; of one segment, or of two.
    Solid(Option<usize>),
}

impl Picture {
    /// The mask in at most `n` columns.
    pub fn new(sequence: &SequenceFigures, n: usize) -> Self {
        let n = n.clamp(1, sequence.seq_len.max(1) as usize);
        let window = 0..sequence.seq_len;
        Self {
            n,
            raster: Raster::new(sequence, window.clone(), window, n, n),
            owners: (0..n)
                .map(|i| owner(&sequence.segments, sequence.seq_len, i, n))
                .collect(),
            full_attention: sequence.full_attention,
        }
    }

    /// Number of lines.
    pub fn n_lines(&self) -> usize {
        self.n.div_ceil(2)
    }

    /// The character of a line and a column.
    pub fn glyph(&self, line: usize, column: usize) -> (char, Ink) {
        let upper = self.half(2 * line, column);
        // A last line with only an upper half ends in what is outside of the mask.
        let lower = if 2 * line + 1 < self.n {
            self.half(2 * line + 1, column)
        } else {
            Half::Empty
        };
        match (upper, lower) {
            (Half::Shade(_), _) | (_, Half::Shade(_)) => self.shade(line, column),
            (Half::Solid(a), Half::Solid(b)) => ('█', ink(a.or(b))),
            (Half::Solid(a), _) => ('▀', ink(a)),
            (_, Half::Solid(b)) => ('▄', ink(b)),
            (Half::Padding, _) | (_, Half::Padding) => ('╱', Ink::Faint),
            (Half::Empty, Half::Empty) => ('·', Ink::Faint),
        }
    }

    fn half(&self, row: usize, column: usize) -> Half {
        let Cell { attends, padding } = self.raster.cell(row, column);
        let (query, key) = (self.owners[row].index(), self.owners[column].index());
        let one = query.filter(|_| query == key);
        // An edge of a document runs through the cells of its rows and columns: of a cell with one
        // document in it, half is enough. A cell with many says how much of it attends.
        let crowded = [self.owners[row], self.owners[column]]
            .iter()
            .any(|owner| matches!(owner, Owner::Segment { alone: false, .. }));
        if attends >= 0.995 || (attends >= 0.5 && !crowded) {
            Half::Solid(one.or(query.filter(|_| !self.full_attention)))
        } else if padding >= 0.5 {
            Half::Padding
        } else if attends > 0.0 && (crowded || attends >= 0.5) {
            Half::Shade(attends)
        } else {
            Half::Empty
        }
    }

    fn shade(&self, line: usize, column: usize) -> (char, Ink) {
        let rows = 2 * line..(2 * line + 2).min(self.n);
        let n = rows.len() as f64;
        let share = rows
            .clone()
            .map(|row| self.raster.cell(row, column).attends)
            .sum::<f64>()
            / n;
        let glyph = match share {
            ..0.334 => '░',
            ..0.667 => '▒',
            _ => '▓',
        };
        let owner = self.owners[rows.start].index();
        (
            glyph,
            owner
                .filter(|_| self.owners[column].index() == owner)
                .map_or(Ink::Before, Ink::Segment),
        )
    }
}

fn ink(segment: Option<usize>) -> Ink {
    segment.map_or(Ink::Faint, Ink::Segment)
}

/// What slice `i` of `n` equal slices of a sequence shows.
fn owner(segments: &[SegmentFigures], seq_len: u32, i: usize, n: usize) -> Owner {
    let at = |i: f64| f64::from(seq_len) * i / n as f64;
    let (from, middle, to) = (at(i as f64), at(i as f64 + 0.5), at(i as f64 + 1.0));
    let end = |segment: &SegmentFigures| f64::from(segment.offset) + f64::from(segment.len);
    let first = segments.partition_point(|segment| end(segment) <= from);
    let behind = segments.partition_point(|segment| f64::from(segment.offset) < to);
    let index = segments.partition_point(|segment| end(segment) <= middle);
    match segments
        .get(index)
        .filter(|segment| f64::from(segment.offset) <= middle)
    {
        // Two neighbours share a slice wherever a boundary falls into it.
        Some(_) => Owner::Segment {
            index,
            alone: behind.saturating_sub(first) <= 2,
        },
        None => Owner::Padding,
    }
}
