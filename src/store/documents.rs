//! The document index of a part: one row per document, in document order.

use std::sync::Arc;

use arrow::array::{
    AsArray, FixedSizeBinaryBuilder, RecordBatch, StringBuilder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type, UInt64Type};

/// What is known of one document besides its ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// Index of its file in the unit.
    pub file: u32,
    /// Record number in the file, from 0.
    pub record: u64,
    /// Bytes of the record in the decompressed file; `None` for Parquet and Arrow.
    pub bytes: Option<std::ops::Range<u64>>,
    /// UTF-8 bytes of its text.
    pub text_bytes: u64,
    /// xxh3-128 of its text.
    pub hash: u128,
    /// Number of tokens, without EOD.
    pub n_tokens: u32,
    /// The declared metadata as a JSON list, or empty.
    pub metadata: String,
}

/// Stands for "no byte range" in the index, which has no nulls.
const NO_BYTES: u64 = u64::MAX;

pub(super) fn schema() -> Schema {
    Schema::new(vec![
        Field::new("file", DataType::UInt32, false),
        Field::new("record", DataType::UInt64, false),
        Field::new("byte_start", DataType::UInt64, false),
        Field::new("byte_end", DataType::UInt64, false),
        Field::new("text_bytes", DataType::UInt64, false),
        Field::new("hash", DataType::FixedSizeBinary(16), false),
        Field::new("n_tokens", DataType::UInt32, false),
        Field::new("metadata", DataType::Utf8, false),
    ])
}

/// Collects rows for one part.
pub(super) struct DocumentsBuilder {
    file: UInt32Builder,
    record: UInt64Builder,
    byte_start: UInt64Builder,
    byte_end: UInt64Builder,
    text_bytes: UInt64Builder,
    hash: FixedSizeBinaryBuilder,
    n_tokens: UInt32Builder,
    metadata: StringBuilder,
    n_rows: usize,
}

impl DocumentsBuilder {
    pub(super) fn new() -> Self {
        Self {
            file: UInt32Builder::new(),
            record: UInt64Builder::new(),
            byte_start: UInt64Builder::new(),
            byte_end: UInt64Builder::new(),
            text_bytes: UInt64Builder::new(),
            hash: FixedSizeBinaryBuilder::new(16),
            n_tokens: UInt32Builder::new(),
            metadata: StringBuilder::new(),
            n_rows: 0,
        }
    }

    pub(super) fn push(&mut self, row: &DocumentRow) {
        let bytes = row.bytes.clone().unwrap_or(NO_BYTES..NO_BYTES);
        self.file.append_value(row.file);
        self.record.append_value(row.record);
        self.byte_start.append_value(bytes.start);
        self.byte_end.append_value(bytes.end);
        self.text_bytes.append_value(row.text_bytes);
        self.hash.append_value(row.hash.to_be_bytes()).expect("16 bytes");
        self.n_tokens.append_value(row.n_tokens);
        self.metadata.append_value(&row.metadata);
        self.n_rows += 1;
    }

    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub(super) fn finish(mut self) -> RecordBatch {
        RecordBatch::try_new(
            Arc::new(schema()),
            vec![
                Arc::new(self.file.finish()),
                Arc::new(self.record.finish()),
                Arc::new(self.byte_start.finish()),
                Arc::new(self.byte_end.finish()),
                Arc::new(self.text_bytes.finish()),
                Arc::new(self.hash.finish()),
                Arc::new(self.n_tokens.finish()),
                Arc::new(self.metadata.finish()),
            ],
        )
        .expect("the builders follow the schema")
    }
}

/// The document index of one part, decoded.
#[derive(Debug, Clone)]
pub struct Documents {
    batch: RecordBatch,
}

impl Documents {
    pub(super) fn new(batch: RecordBatch) -> Self {
        Self { batch }
    }

    /// Number of documents.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[n_documents]` u32: tokens per document, without EOD.
    pub fn n_tokens(&self) -> &[u32] {
        self.batch.column(6).as_primitive::<UInt32Type>().values()
    }

    /// `[n_documents]` u64: UTF-8 bytes of each text.
    pub fn text_bytes(&self) -> &[u64] {
        self.u64_column(4)
    }

    /// xxh3-128 of the text of document `index`.
    pub fn hash(&self, index: usize) -> u128 {
        let bytes = self.batch.column(5).as_fixed_size_binary().value(index);
        u128::from_be_bytes(bytes.try_into().expect("the column is 16 bytes wide"))
    }

    /// Everything about document `index`.
    pub fn row(&self, index: usize) -> DocumentRow {
        let bytes = self.u64_column(2)[index]..self.u64_column(3)[index];
        DocumentRow {
            file: self.batch.column(0).as_primitive::<UInt32Type>().value(index),
            record: self.u64_column(1)[index],
            bytes: (bytes.start != NO_BYTES).then_some(bytes),
            text_bytes: self.text_bytes()[index],
            hash: self.hash(index),
            n_tokens: self.n_tokens()[index],
            metadata: self.batch.column(7).as_string::<i32>().value(index).to_owned(),
        }
    }

    fn u64_column(&self, index: usize) -> &[u64] {
        self.batch.column(index).as_primitive::<UInt64Type>().values()
    }
}
