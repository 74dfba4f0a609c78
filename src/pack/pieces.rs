//! Long documents: what is handed to placement when a document does not fit in a sequence.

use super::rules::Rules;
use crate::error::Result;
use crate::recipe::{LongDocuments, Placement};

/// A run of one document's stream that placement puts into a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Number of the document.
    pub(super) document: u64,
    /// Offset in the document's stream (its tokens, then its EOD).
    pub(super) start: u64,
    /// Number of tokens, at least 1; at most `seq_len`, except for `stream` with `split`.
    pub(super) len: u64,
}

/// What the cutting of one document did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// Tokens of the stream that are in no piece, EOD included.
    pub(super) truncated: u64,
    /// Tokens that are in a second piece as well.
    pub(super) overlap: u64,
}

/// Cuts documents as `long_documents` says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Knife {
    rule: LongDocuments,
    /// Longest piece.
    limit: u64,
    overlap: u64,
}

impl Knife {
    pub(super) fn new(rules: &Rules) -> Self {
        // `stream` cuts at the ends of sequences, wherever they fall in a document; cutting before
        // would only add boundaries.
        let whole = rules.placement == Placement::Stream && rules.long_documents == LongDocuments::Split;
        Self {
            rule: rules.long_documents,
            limit: if whole { u64::MAX } else { u64::from(rules.seq_len) },
            overlap: u64::from(rules.overlap),
        }
    }

    /// Hands the pieces of a document with a stream of `len` tokens to `each`, in order.
    pub(super) fn cut(
        &self,
        document: u64,
        len: u64,
        mut each: impl FnMut(Piece) -> Result<()>,
    ) -> Result<Cut> {
        let mut cut = Cut::default();
        let overlap = match self.rule {
            LongDocuments::Overlap => self.overlap,
            LongDocuments::Split | LongDocuments::Truncate | LongDocuments::Drop => 0,
        };
        let mut start = 0;
        loop {
            let piece = Piece {
                document,
                start,
                len: self.limit.min(len - start),
            };
            each(piece)?;
            let end = start + piece.len;
            if end == len {
                return Ok(cut);
            }
            if self.rule == LongDocuments::Truncate {
                cut.truncated = len - end;
                return Ok(cut);
            }
            // More than `overlap` tokens follow `start`: this piece did not reach the end, so the
            // next one always brings something new.
            start = end - overlap;
            cut.overlap += overlap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::rules;
    use super::*;

    fn cut(rule: LongDocuments, placement: Placement, len: u64) -> (Vec<(u64, u64)>, Cut) {
        let knife = Knife::new(&Rules {
            long_documents: rule,
            placement,
            overlap: 3,
            ..rules(10)
        });
        let mut pieces = Vec::new();
        let cut = knife.cut(0, len, |p| {
            pieces.push((p.start, p.len));
            Ok(())
        });
        (pieces, cut.unwrap())
    }

    #[test]
    fn a_document_that_fits_is_one_piece_under_every_rule() {
        for rule in [
            LongDocuments::Split,
            LongDocuments::Truncate,
            LongDocuments::Overlap,
        ] {
            assert_eq!(cut(rule, Placement::BestFit, 10), (vec![(0, 10)], Cut::default()));
        }
    }

    #[test]
    fn split_makes_consecutive_pieces() {
        assert_eq!(
            cut(LongDocuments::Split, Placement::BestFit, 21).0,
            [(0, 10), (10, 10), (20, 1)]
        );
        assert_eq!(
            cut(LongDocuments::Split, Placement::BestFit, 20).0,
            [(0, 10), (10, 10)]
        );
        assert_eq!(cut(LongDocuments::Split, Placement::Stream, 21).0, [(0, 21)]);
    }

    #[test]
    fn truncate_keeps_the_beginning_and_counts_the_rest() {
        let lost = Cut {
            truncated: 11,
            overlap: 0,
        };
        assert_eq!(
            cut(LongDocuments::Truncate, Placement::Stream, 21),
            (vec![(0, 10)], lost)
        );
    }

    #[test]
    fn overlap_repeats_and_the_last_piece_always_brings_something_new() {
        let repeated = |overlap| Cut {
            truncated: 0,
            overlap,
        };
        let cut = |len| cut(LongDocuments::Overlap, Placement::BestFit, len);
        assert_eq!(cut(11), (vec![(0, 10), (7, 4)], repeated(3)));
        assert_eq!(cut(17), (vec![(0, 10), (7, 10)], repeated(3)));
        assert_eq!(cut(18), (vec![(0, 10), (7, 10), (14, 4)], repeated(6)));
    }
}
