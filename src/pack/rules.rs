//! Everything that decides a plan, besides the lengths.

use crate::error::{Error, Result};
use crate::recipe::{Balance, Boundary, LongDocuments, Placement, Recipe, Tail};

/// The part of a recipe that decides the plan for one sequence length.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Tokens per sequence.
    pub seq_len: u32,
    /// What happens where documents meet.
    pub boundary: Boundary,
    /// Whether one EOD follows each document.
    pub eod: bool,
    /// `hybrid` only: share of sequences in which documents attend only within themselves.
    pub hybrid_share: f64,
    /// The algorithm that puts segments into sequences.
    pub placement: Placement,
    /// `first_fit` and `best_fit`: how many sequences are open at a time.
    pub open_sequences: u32,
    /// `bucket`: the shortest bucket, in tokens.
    pub bucket_min: u32,
    /// What happens to a document longer than `seq_len`, its EOD included.
    pub long_documents: LongDocuments,
    /// `overlap` only: tokens repeated at the start of each following piece.
    pub overlap: u32,
    /// Documents with fewer tokens are left out.
    pub min_len: Option<u64>,
    /// Documents with more tokens are left out.
    pub max_len: Option<u64>,
    /// `stream` only: what happens to the last, unfinished sequence. The other placements pad.
    pub tail: Tail,
    /// Each segment starts at a multiple of this many positions.
    pub align: u32,
    /// Whether documents are shuffled by the seed before placement.
    pub shuffle: bool,
    /// Tokens of documents in all, EOD not counted, shared out by the sources' weights.
    pub mixture_tokens: Option<u64>,
    /// Order of sequences for data-parallel training.
    pub balance: Option<Balance>,
    /// Seed of every random choice.
    pub seed: u64,
}

/// Why a document is left out, or that it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Empty,
    Duplicate,
    TooShort,
    TooLong,
    LongDropped,
    Unselected,
    Eligible,
}

impl Rules {
    /// The rules of `recipe` for sequences of `seq_len` tokens.
    pub fn new(recipe: &Recipe, seq_len: u32) -> Self {
        let pack = &recipe.pack;
        Self {
            seq_len,
            boundary: pack.boundary,
            eod: pack.eod.unwrap_or(pack.boundary != Boundary::Direct),
            hybrid_share: pack.hybrid_share,
            placement: pack.placement,
            open_sequences: pack.open_sequences,
            bucket_min: pack.bucket_min,
            long_documents: pack.long_documents,
            overlap: pack.overlap,
            min_len: pack.min_len,
            max_len: pack.max_len,
            tail: pack.tail,
            align: pack.align,
            shuffle: pack.shuffle,
            mixture_tokens: recipe.mixture.tokens,
            balance: recipe.balance.clone(),
            seed: recipe.seed,
        }
    }

    /// Refuses rules under which no plan is defined.
    pub(super) fn check(&self) -> Result<()> {
        let positive = [
            ("seq_len", self.seq_len),
            ("open_sequences", self.open_sequences),
            ("bucket_min", self.bucket_min),
            ("align", self.align),
            ("balance.ranks", self.balance.as_ref().map_or(1, |b| b.ranks)),
            (
                "balance.accumulate",
                self.balance.as_ref().map_or(1, |b| b.accumulate),
            ),
            ("balance.group", self.balance.as_ref().map_or(1, |b| b.group)),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(Error::usage(format!("`{name}` is 0, must be at least 1")));
        }
        if self.long_documents == LongDocuments::Overlap && self.overlap >= self.seq_len {
            return Err(Error::usage(format!(
                "`overlap` is {}, must be less than seq_len {}",
                self.overlap, self.seq_len
            )));
        }
        Ok(())
    }

    /// Tokens a document of `len` tokens has in the stream: `len`, and its EOD.
    pub(super) fn stream_len(&self, len: u32) -> u64 {
        u64::from(len) + u64::from(self.eod)
    }

    /// The first class, in the order of the ledger, that a document belongs to.
    pub(super) fn class(&self, len: u32, duplicate: bool) -> Class {
        let tokens = u64::from(len);
        if len == 0 {
            Class::Empty
        } else if duplicate {
            Class::Duplicate
        } else if self.min_len.is_some_and(|min| tokens < min) {
            Class::TooShort
        } else if self.max_len.is_some_and(|max| tokens > max) {
            Class::TooLong
        } else if self.long_documents == LongDocuments::Drop && self.stream_len(len) > u64::from(self.seq_len)
        {
            Class::LongDropped
        } else {
            Class::Eligible
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::rules;
    use super::*;

    #[test]
    fn a_document_belongs_to_the_first_class_that_fits() {
        let rules = Rules {
            min_len: Some(3),
            max_len: Some(20),
            long_documents: LongDocuments::Drop,
            ..rules(10)
        };
        assert!(rules.eod);
        for (len, duplicate, class) in [
            (0, true, Class::Empty),
            (1, true, Class::Duplicate),
            (2, false, Class::TooShort),
            (3, false, Class::Eligible),
            (9, false, Class::Eligible),
            (10, false, Class::LongDropped),
            (21, false, Class::TooLong),
        ] {
            assert_eq!(rules.class(len, duplicate), class, "{len} tokens");
        }
    }

    #[test]
    fn rules_without_a_plan_are_refused() {
        let overlap = Rules {
            long_documents: LongDocuments::Overlap,
            overlap: 10,
            ..rules(10)
        };
        assert!(
            overlap
                .check()
                .unwrap_err()
                .to_string()
                .contains("less than seq_len 10")
        );
        assert!(
            Rules {
                align: 0,
                ..rules(10)
            }
            .check()
            .is_err()
        );
        assert!(rules(10).check().is_ok());
    }
}
