//! Sequences and overviews for the tests of this room.

use super::figures::{SegmentFigures, SequenceFigures};
use super::look;
use crate::sequence::PositionMode;

/// A sequence of whole documents with these lengths, one behind the other.
pub fn sequence(lens: &[u32], seq_len: u32, full_attention: bool) -> SequenceFigures {
    let mut offset = 0;
    let segments: Vec<SegmentFigures> = lens
        .iter()
        .enumerate()
        .map(|(index, &len)| {
            let segment = SegmentFigures {
                letter: look::letter(index),
                offset,
                len,
                document: index as u64,
                start: 0,
                origin: None,
            };
            offset += len;
            segment
        })
        .collect();
    let pairs = |lens: &mut dyn Iterator<Item = u64>| lens.map(|len| len * len).sum::<u64>();
    let n_tokens = u64::from(offset);
    let attention_pairs = match full_attention {
        true => n_tokens * n_tokens,
        false => pairs(&mut lens.iter().map(|&len| u64::from(len))),
    };
    SequenceFigures {
        sequence: 0,
        shard: "shard-00000.arrow".into(),
        seq_len,
        n_tokens,
        full_attention,
        position_mode: PositionMode::Sequence,
        attention_pairs,
        density: attention_pairs as f64 / f64::from(seq_len).powi(2),
        segments,
    }
}
