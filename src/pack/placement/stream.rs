//! `stream`: cuts the concatenation of all documents every `seq_len` positions.
//!
//! No padding inside and none at the end of a sequence (but for `align`); the price is cut
//! documents. The unfinished sequence is carried over groups, so a plan has only one tail.

use super::{Place, Rows};
use crate::error::Result;
use crate::pack::pieces::Piece;
use crate::pack::rules::Rules;
use crate::recipe::Tail;
use crate::sequence::Segment;

pub(super) struct Stream {
    seq_len: u64,
    align: u64,
    drop_tail: bool,
    row: Vec<Segment>,
    /// Where the next segment starts, below `seq_len`.
    at: u64,
}

impl Stream {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            seq_len: u64::from(rules.seq_len),
            align: u64::from(rules.align),
            drop_tail: rules.tail == Tail::Drop,
            row: Vec::new(),
            at: 0,
        }
    }
}

impl Place for Stream {
    fn place(&mut self, piece: Piece, rows: &mut Rows<'_>) -> Result<u64> {
        let mut n = 0;
        let mut placed = 0;
        while placed < piece.len {
            let len = (piece.len - placed).min(self.seq_len - self.at);
            self.row.push(Segment {
                document: piece.document,
                start: piece.start + placed,
                len: len as u32, // at most seq_len
            });
            n += 1;
            placed += len;
            self.at += len;
            if self.align > 1 {
                self.at = self.at.next_multiple_of(self.align);
            }
            if self.at >= self.seq_len {
                rows(&self.row)?;
                self.row.clear();
                self.at = 0;
            }
        }
        Ok(n)
    }

    fn finish(&mut self, rows: &mut Rows<'_>) -> Result<Vec<Segment>> {
        let tail = std::mem::take(&mut self.row);
        self.at = 0;
        if self.drop_tail {
            return Ok(tail);
        }
        if !tail.is_empty() {
            rows(&tail)?;
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::sequences;
    use super::*;
    use crate::pack::testing::rules;
    use crate::recipe::Placement;

    fn stream(align: u32, tail: Tail, lens: &[u64]) -> Vec<Vec<(u64, u64, u32)>> {
        sequences(
            &Rules {
                placement: Placement::Stream,
                align,
                tail,
                ..rules(10)
            },
            lens,
        )
    }

    #[test]
    fn a_document_continues_in_the_next_sequence() {
        assert_eq!(
            stream(1, Tail::Pad, &[4, 19]),
            [vec![(0, 0, 4), (1, 0, 6)], vec![(1, 6, 10)], vec![(1, 16, 3)]]
        );
        assert_eq!(stream(1, Tail::Drop, &[4, 19]).len(), 2);
    }

    #[test]
    fn a_full_sequence_is_no_tail() {
        assert_eq!(stream(1, Tail::Drop, &[4, 6]), [[(0, 0, 4), (1, 0, 6)]]);
        assert_eq!(
            stream(4, Tail::Drop, &[4, 5]),
            [[(0, 0, 4), (1, 0, 5)]],
            "no room for an aligned start"
        );
    }

    #[test]
    fn aligned_segments_may_end_with_the_sequence() {
        assert_eq!(
            stream(4, Tail::Pad, &[3, 8]),
            [vec![(0, 0, 3), (1, 0, 6)], vec![(1, 6, 2)]]
        );
    }
}
