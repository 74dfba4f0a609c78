//! The rows of one decoded record batch, as plain slices.

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Int32Type, Int64Type, UInt32Type, UInt64Type};

use super::schema::ShardInfo;
use crate::sequence::{Attention, Segment};

/// The columns of a batch, taken apart once so that a row costs slicing and nothing else.
#[derive(Debug, Clone)]
pub struct Rows {
    n_rows: usize,
    seq_len: usize,
    tokens: ScalarBuffer<u32>,
    cu_seqlens: (OffsetBuffer<i32>, ScalarBuffer<i32>),
    cu_padded: Option<(OffsetBuffer<i32>, ScalarBuffer<i32>)>,
    document: (OffsetBuffer<i32>, ScalarBuffer<u64>),
    start: (OffsetBuffer<i32>, ScalarBuffer<i64>),
    full_attention: BooleanArray,
}

/// One row: borrowed, nothing copied.
#[derive(Debug, Clone, Copy)]
pub struct RowSlices<'a> {
    /// `[seq_len]` u32.
    pub tokens: &'a [u32],
    /// `[n_segments + 1]` i32: 0, then the running sum of segment lengths.
    pub cu_seqlens: &'a [i32],
    /// `[n_segments + 1]` i32 with aligned segments: their places in the row.
    pub cu_seqlens_padded: Option<&'a [i32]>,
    /// `[n_segments]` u64: rows of `documents.parquet`.
    pub segment_document: &'a [u64],
    /// `[n_segments]` i64: offset of the segment in its document.
    pub segment_start: &'a [i64],
    /// Whether every token attends to every token.
    pub full_attention: bool,
}

impl RowSlices<'_> {
    /// The row's segments.
    pub fn segments(&self) -> Vec<Segment> {
        let lens = self.cu_seqlens.windows(2).map(|w| (w[1] - w[0]) as u32);
        let starts = self.segment_document.iter().zip(self.segment_start);
        starts
            .zip(lens)
            .map(|((&document, &start), len)| Segment {
                document,
                start: start as u64,
                len,
            })
            .collect()
    }

    /// Who may attend to whom.
    pub fn attention(&self) -> Attention {
        if self.full_attention {
            Attention::Full
        } else {
            Attention::Segment
        }
    }
}

impl Rows {
    /// Takes a batch apart and checks every row of its boundary columns; tokens are not looked at.
    ///
    /// # Errors
    /// A message that names the row and what is wrong with it.
    pub fn try_new(batch: &RecordBatch, info: &ShardInfo) -> Result<Self, String> {
        let list = |index: usize| batch.column(index).as_list::<i32>();
        let aligned = usize::from(info.align > 1);
        let i32s = |index: usize| {
            (
                list(index).offsets().clone(),
                list(index).values().as_primitive::<Int32Type>().values().clone(),
            )
        };
        let tokens = batch.column(0).as_fixed_size_list();
        let rows = Self {
            n_rows: batch.num_rows(),
            seq_len: info.seq_len as usize,
            tokens: tokens.values().as_primitive::<UInt32Type>().values().clone(),
            cu_seqlens: i32s(1),
            cu_padded: (aligned == 1).then(|| i32s(2)),
            document: (
                list(2 + aligned).offsets().clone(),
                list(2 + aligned)
                    .values()
                    .as_primitive::<UInt64Type>()
                    .values()
                    .clone(),
            ),
            start: (
                list(3 + aligned).offsets().clone(),
                list(3 + aligned)
                    .values()
                    .as_primitive::<Int64Type>()
                    .values()
                    .clone(),
            ),
            full_attention: batch.column(4 + aligned).as_boolean().clone(),
        };
        if rows.tokens.len() != rows.n_rows * rows.seq_len {
            return Err("the token buffer has the wrong length".into());
        }
        (0..rows.n_rows).try_for_each(|row| rows.check(row, info).map_err(|m| format!("row {row}: {m}")))?;
        Ok(rows)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.n_rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    /// Row `row`. No allocation, no copy.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> RowSlices<'_> {
        RowSlices {
            tokens: &self.tokens[row * self.seq_len..][..self.seq_len],
            cu_seqlens: slice(&self.cu_seqlens, row),
            cu_seqlens_padded: self.cu_padded.as_ref().map(|lists| slice(lists, row)),
            segment_document: slice(&self.document, row),
            segment_start: slice(&self.start, row),
            full_attention: self.full_attention.value(row),
        }
    }

    fn check(&self, row: usize, info: &ShardInfo) -> Result<(), String> {
        let RowSlices {
            cu_seqlens,
            cu_seqlens_padded,
            segment_document,
            segment_start,
            ..
        } = self.row(row);
        let n_segments = cu_seqlens.len().checked_sub(1).ok_or("cu_seqlens is empty")?;
        if n_segments == 0 || cu_seqlens[0] != 0 {
            return Err("cu_seqlens must start at 0 and hold a segment".into());
        }
        if let Some(index) = cu_seqlens.windows(2).position(|w| w[0] >= w[1]) {
            let (a, b) = (cu_seqlens[index], cu_seqlens[index + 1]);
            return Err(format!(
                "cu_seqlens not increasing at index {} ({b} after {a})",
                index + 1
            ));
        }
        if cu_seqlens[n_segments] as i64 > i64::from(info.seq_len) {
            return Err(format!(
                "cu_seqlens ends at {}, beyond seq_len {}",
                cu_seqlens[n_segments], info.seq_len
            ));
        }
        if segment_document.len() != n_segments || segment_start.len() != n_segments {
            return Err("segment_document and segment_start must have one entry per segment".into());
        }
        if let Some(start) = segment_start.iter().find(|&&start| start < 0) {
            return Err(format!("segment_start {start} is negative"));
        }
        if let Some(padded) = cu_seqlens_padded {
            let mut end = 0u32;
            let places = cu_seqlens.windows(2).map(|w| {
                let start = end.next_multiple_of(info.align);
                end = start + (w[1] - w[0]) as u32;
                start
            });
            let starts: Vec<u32> = places.collect();
            let fits = end <= info.seq_len
                && starts
                    .iter()
                    .chain([&end])
                    .map(|&at| at as i32)
                    .eq(padded.iter().copied());
            if !fits {
                return Err("cu_seqlens_padded does not place the segments".into());
            }
        }
        Ok(())
    }
}

fn slice<T: arrow::datatypes::ArrowNativeType>(
    (offsets, values): &(OffsetBuffer<i32>, ScalarBuffer<T>),
    row: usize,
) -> &[T] {
    &values[offsets[row] as usize..offsets[row + 1] as usize]
}
