//! Writes one shard, row by row, with the memory of one batch.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, FixedSizeListArray, Int32Array, Int64Array, ListArray, RecordBatch,
    UInt32Array, UInt64Array,
};
use arrow::buffer::{Buffer, MutableBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, SchemaRef};

use super::manifest::ShardEntry;
use super::schema::{N_ROWS, N_SEGMENTS, N_TOKENS, ShardInfo};
use crate::error::Result;
use crate::ipc::{Hashes, Writer};
use crate::sequence::{Attention, Sequence};

/// Bytes of tokens in one record batch.
const BATCH_BYTES: u32 = 8 << 20;

/// Rows in a record batch: 16 at a `seq_len` of 131072. A function of `seq_len` alone, so that the
/// batch of a row is a division.
pub fn rows_per_batch(seq_len: u32) -> u32 {
    (BATCH_BYTES / 4 / seq_len).max(1)
}

/// A shard being written.
pub struct ShardWriter {
    info: ShardInfo,
    name: String,
    schema: SchemaRef,
    writer: Writer,
    batch: Batch,
    totals: Totals,
}

#[derive(Default)]
struct Totals {
    n_rows: u64,
    n_tokens: u64,
    n_segments: u64,
}

/// The columns of one batch under construction.
struct Batch {
    tokens: MutableBuffer,
    cu_seqlens: Lists<i32>,
    cu_padded: Lists<i32>,
    document: Lists<u64>,
    start: Lists<i64>,
    full_attention: BooleanBuilder,
    n_rows: u32,
}

/// Values and offsets of a list column.
struct Lists<T> {
    values: Vec<T>,
    offsets: Vec<i32>,
}

impl<T> Lists<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            offsets: vec![0],
        }
    }

    fn push(&mut self, row: impl IntoIterator<Item = T>) {
        self.values.extend(row);
        self.offsets.push(self.values.len() as i32);
    }

    fn array(self, item: DataType, values: impl FnOnce(Vec<T>) -> ArrayRef) -> ArrayRef {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        Arc::new(ListArray::new(
            Field::new("item", item, false).into(),
            offsets,
            values(self.values),
            None,
        ))
    }
}

impl Batch {
    fn new(info: &ShardInfo) -> Self {
        let capacity = info.rows_per_batch as usize * info.seq_len as usize * 4;
        Self {
            tokens: MutableBuffer::with_capacity(capacity),
            cu_seqlens: Lists::new(),
            cu_padded: Lists::new(),
            document: Lists::new(),
            start: Lists::new(),
            full_attention: BooleanBuilder::new(),
            n_rows: 0,
        }
    }
}

impl ShardWriter {
    /// Starts a shard in `directory`.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn create(directory: &Path, info: ShardInfo) -> Result<Self> {
        let name = super::shard_name(info.shard_index as usize);
        let schema = Arc::new(info.schema());
        let writer = Writer::create(&directory.join(&name), &schema, Hashes::Whole)?;
        Ok(Self {
            batch: Batch::new(&info),
            info,
            name,
            schema,
            writer,
            totals: Totals::default(),
        })
    }

    /// Appends a row; `fill` writes the tokens of segment `i` into the slice it is given.
    ///
    /// # Errors
    /// `fill` fails, or the operating system refuses.
    pub fn push(
        &mut self,
        sequence: &Sequence,
        mut fill: impl FnMut(usize, &mut [u32]) -> Result<()>,
    ) -> Result<()> {
        let seq_len = self.info.seq_len as usize;
        let batch = &mut self.batch;
        let from = batch.tokens.len() / 4;
        batch.tokens.resize((from + seq_len) * 4, 0);
        let row = &mut batch.tokens.typed_data_mut::<u32>()[from..];
        let mut at = 0;
        for (index, (segment, &offset)) in sequence.segments().iter().zip(sequence.offsets()).enumerate() {
            let (start, end) = (offset as usize, offset as usize + segment.len as usize);
            row[at..start].fill(self.info.ids.pad);
            fill(index, &mut row[start..end])?;
            at = end;
        }
        row[at..].fill(self.info.ids.pad);

        let segments = sequence.segments();
        batch.cu_seqlens.push(sequence.cu_seqlens());
        if self.info.align > 1 {
            batch
                .cu_padded
                .push(sequence.offsets().iter().map(|&o| o as i32).chain([at as i32]));
        }
        batch.document.push(segments.iter().map(|s| s.document));
        batch.start.push(segments.iter().map(|s| s.start as i64));
        batch
            .full_attention
            .append_value(sequence.attention() == Attention::Full);
        batch.n_rows += 1;
        self.totals.n_rows += 1;
        self.totals.n_tokens += sequence.n_tokens();
        self.totals.n_segments += segments.len() as u64;
        if self.batch.n_rows == self.info.rows_per_batch {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let mut batch = std::mem::replace(&mut self.batch, Batch::new(&self.info));
        let tokens: Buffer = batch.tokens.into();
        let tokens = UInt32Array::new(ScalarBuffer::from(tokens), None);
        let item = Field::new("item", DataType::UInt32, false).into();
        let tokens = FixedSizeListArray::new(item, self.info.seq_len as i32, Arc::new(tokens), None);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(tokens),
            batch
                .cu_seqlens
                .array(DataType::Int32, |v| Arc::new(Int32Array::from(v))),
            batch
                .document
                .array(DataType::UInt64, |v| Arc::new(UInt64Array::from(v))),
            batch
                .start
                .array(DataType::Int64, |v| Arc::new(Int64Array::from(v))),
            Arc::new(batch.full_attention.finish()),
        ];
        if self.info.align > 1 {
            columns.insert(
                2,
                batch
                    .cu_padded
                    .array(DataType::Int32, |v| Arc::new(Int32Array::from(v))),
            );
        }
        let columns = RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("built to the schema");
        self.writer.write(&columns)
    }

    /// Writes the rest, commits the shard, and says what the manifest must know of it.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn finish(mut self) -> Result<ShardEntry> {
        if self.batch.n_rows > 0 {
            self.flush()?;
        }
        let Totals {
            n_rows,
            n_tokens,
            n_segments,
        } = self.totals;
        let (file, digest) = self.writer.finish(&[
            (N_ROWS, n_rows.to_string()),
            (N_TOKENS, n_tokens.to_string()),
            (N_SEGMENTS, n_segments.to_string()),
        ])?;
        file.commit()?;
        Ok(ShardEntry {
            name: self.name,
            n_bytes: digest.n_bytes,
            n_rows,
            n_tokens,
            n_segments,
            frame_xxh3: format!("{:016x}", digest.frame_xxh3),
            blake3: digest.blake3,
        })
    }
}
