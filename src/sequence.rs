//! Segments and sequences: what one packed training row consists of.
//!
//! ```text
//! position      0          19721        40960                131072
//! segments      |  doc 7   |   doc 2    |  doc 9      |padding|
//! segment_ids    1 1 1 … 1  2 2 2 … 2    3 3 3 … 3     0 0 0
//! cu_seqlens    [0,         19721,       40960,        130860]
//! ```
//!
//! Boundaries are data: everything else (`segment_ids`, `position_ids`, the attention rule, the
//! attention cost) is derived from the segments here, in one place, so that it cannot disagree.

use crate::error::{Error, Result};

/// A contiguous run of one document's tokens placed in one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment {
    /// The document: a row of `documents.parquet`.
    pub document: u64,
    /// Offset of the segment's first token in its document, in tokens.
    pub start: u64,
    /// Number of tokens, at least 1.
    pub len: u32,
}

/// Who may attend to whom in a sequence. Always symmetric: diffusion attends both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attention {
    /// Every real token attends to every real token.
    Full,
    /// A token attends to the tokens of its own segment only.
    Segment,
}

/// What `position_ids` count.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum PositionMode {
    /// The position in the sequence: 0, 1, 2, … over all segments.
    #[default]
    Sequence,
    /// Restart at 0 in each segment.
    Segment,
    /// The position in the document: a continued document continues counting.
    Document,
}

/// One training row: segments in order, each at a known offset, the rest padding.
///
/// Invariants, checked by [`Sequence::try_new`]: offsets ascend without overlap, no segment is
/// empty, none ends beyond `seq_len`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    segments: Vec<Segment>,
    offsets: Vec<u32>,
    seq_len: u32,
    attention: Attention,
}

impl Sequence {
    /// Lays segments out one after another, each starting at a multiple of `align`.
    ///
    /// # Errors
    /// If a segment is empty or the segments do not fit into `seq_len`.
    pub fn try_new(segments: Vec<Segment>, seq_len: u32, align: u32, attention: Attention) -> Result<Self> {
        let mut offsets = Vec::with_capacity(segments.len());
        let mut at = 0u64;
        for segment in &segments {
            if segment.len == 0 {
                return Err(Error::usage("a segment must hold at least one token"));
            }
            at = at.next_multiple_of(u64::from(align.max(1)));
            let end = at + u64::from(segment.len);
            if end > u64::from(seq_len) {
                return Err(Error::usage(format!(
                    "segments end at {end}, beyond seq_len {seq_len}"
                )));
            }
            offsets.push(at as u32);
            at = end;
        }
        Ok(Self {
            segments,
            offsets,
            seq_len,
            attention,
        })
    }

    /// The segments in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// `[n_segments]`: position of each segment's first token.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// Who may attend to whom.
    pub fn attention(&self) -> Attention {
        self.attention
    }

    /// Number of real tokens.
    pub fn n_tokens(&self) -> u64 {
        self.segments.iter().map(|s| u64::from(s.len)).sum()
    }

    /// `[n_segments + 1]`: 0, then the running sum of segment lengths; last = real tokens.
    pub fn cu_seqlens(&self) -> Vec<i32> {
        let mut at = 0i32;
        std::iter::once(0)
            .chain(self.segments.iter().map(move |s| {
                at += s.len as i32;
                at
            }))
            .collect()
    }

    /// `[seq_len]`: 1..=n_segments per position, 0 = padding.
    pub fn segment_ids(&self) -> Vec<i32> {
        let mut ids = vec![0; self.seq_len as usize];
        for ((segment, &offset), id) in self.segments.iter().zip(&self.offsets).zip(1..) {
            ids[offset as usize..][..segment.len as usize].fill(id);
        }
        ids
    }

    /// `[seq_len]`: positions as `mode` counts them; padding positions hold 0.
    pub fn position_ids(&self, mode: PositionMode) -> Vec<i32> {
        let mut ids = vec![0; self.seq_len as usize];
        for (segment, &offset) in self.segments.iter().zip(&self.offsets) {
            let first = match mode {
                PositionMode::Sequence => i64::from(offset),
                PositionMode::Segment => 0,
                PositionMode::Document => segment.start as i64,
            };
            for (id, position) in ids[offset as usize..][..segment.len as usize]
                .iter_mut()
                .zip(first..)
            {
                *id = position as i32;
            }
        }
        ids
    }

    /// Whether position `q` may attend to position `k`. Padding attends to nothing.
    pub fn attends(&self, q: u32, k: u32) -> bool {
        match (self.segment_at(q), self.segment_at(k)) {
            (Some(a), Some(b)) => self.attention == Attention::Full || a == b,
            _ => false,
        }
    }

    /// The index of the segment that holds `position`, or `None` for padding.
    pub fn segment_at(&self, position: u32) -> Option<usize> {
        let index = self.offsets.partition_point(|&o| o <= position).checked_sub(1)?;
        (position - self.offsets[index] < self.segments[index].len).then_some(index)
    }

    /// Number of (query, key) pairs that attend: Σ len² under [`Attention::Segment`], (Σ len)² else.
    pub fn attention_pairs(&self) -> u64 {
        attention_pairs(self.attention, self.segments.iter().map(|s| s.len))
    }
}

/// Number of attending (query, key) pairs of a row with these segment lengths.
pub fn attention_pairs(attention: Attention, lens: impl Iterator<Item = u32>) -> u64 {
    match attention {
        Attention::Full => lens.map(u64::from).sum::<u64>().pow(2),
        Attention::Segment => lens.map(|len| u64::from(len).pow(2)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(document: u64, start: u64, len: u32) -> Segment {
        Segment { document, start, len }
    }

    #[test]
    fn boundaries_derive_ids_positions_and_mask_from_one_source() {
        let s =
            Sequence::try_new(vec![segment(4, 0, 3), segment(9, 5, 2)], 8, 1, Attention::Segment).unwrap();
        assert_eq!(s.cu_seqlens(), [0, 3, 5]);
        assert_eq!(s.segment_ids(), [1, 1, 1, 2, 2, 0, 0, 0]);
        assert_eq!(s.position_ids(PositionMode::Sequence), [0, 1, 2, 3, 4, 0, 0, 0]);
        assert_eq!(s.position_ids(PositionMode::Segment), [0, 1, 2, 0, 1, 0, 0, 0]);
        assert_eq!(s.position_ids(PositionMode::Document), [0, 1, 2, 5, 6, 0, 0, 0]);
        assert!(s.attends(0, 2) && !s.attends(2, 3) && !s.attends(6, 6));
        assert_eq!(s.attention_pairs(), 13);
    }

    #[test]
    fn alignment_moves_each_segment_to_a_multiple() {
        let s = Sequence::try_new(vec![segment(0, 0, 3), segment(1, 0, 2)], 8, 4, Attention::Full).unwrap();
        assert_eq!(s.offsets(), [0, 4]);
        assert_eq!(s.segment_ids(), [1, 1, 1, 0, 2, 2, 0, 0]);
        assert_eq!(s.attention_pairs(), 25);
    }

    #[test]
    fn empty_and_overlong_segments_are_refused() {
        assert!(Sequence::try_new(vec![segment(0, 0, 0)], 8, 1, Attention::Full).is_err());
        assert!(Sequence::try_new(vec![segment(0, 0, 9)], 8, 1, Attention::Full).is_err());
    }
}
