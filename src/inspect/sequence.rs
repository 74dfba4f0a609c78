//! The figures of one sequence.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use super::figures::{Origin, SegmentFigures, SequenceFigures};
use super::look;
use super::opened::{Opened, Row};
use crate::error::Result;
use crate::sequence::Attention;
use crate::shard::DocumentRecord;

/// The figures of a row, with the origin of each document.
///
/// # Errors
/// The documents table is damaged.
pub fn sequence(opened: &Opened, row: &Row) -> Result<SequenceFigures> {
    let wanted: BTreeSet<u64> = row.layout.segments().iter().map(|s| s.document).collect();
    let documents = opened.documents(&wanted)?;
    let seq_len = row.info.seq_len;
    let attention_pairs = row.layout.attention_pairs();
    Ok(SequenceFigures {
        sequence: row.sequence,
        shard: row.shard.clone(),
        seq_len,
        n_tokens: row.layout.n_tokens(),
        full_attention: row.layout.attention() == Attention::Full,
        position_mode: row.info.positions,
        attention_pairs,
        density: attention_pairs as f64 / f64::from(seq_len).powi(2),
        segments: segments(row, &documents),
    })
}

/// The segments of a row.
pub fn segments(row: &Row, documents: &BTreeMap<u64, DocumentRecord>) -> Vec<SegmentFigures> {
    let segments = row.layout.segments().iter().zip(row.layout.offsets());
    segments
        .enumerate()
        .map(|(index, (segment, &offset))| SegmentFigures {
            letter: look::letter(index),
            offset,
            len: segment.len,
            document: segment.document,
            start: segment.start,
            origin: documents.get(&segment.document).map(origin),
        })
        .collect()
}

/// Where a document came from.
pub fn origin(record: &DocumentRecord) -> Origin {
    Origin {
        source: record.source.to_string(),
        file: record.file.to_string(),
        record: record.record,
        bytes: record.bytes.as_ref().map(|bytes| (bytes.start, bytes.end)),
        n_tokens: record.n_tokens,
    }
}
