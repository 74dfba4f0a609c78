//! `documents.parquet`: one row per document, used or not, with its provenance.
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `document` | uint64 | the row's number; segments refer to it |
//! | `source`, `file` | string | the recipe's source and the file in it |
//! | `record` | uint64 | record number in the file, from 0 |
//! | `byte_start`, `byte_end` | uint64, nullable | bytes of the record in the decompressed file |
//! | `hash` | string | xxh3-128 of the text, 32 hexadecimal digits |
//! | `text_bytes` | uint64 | UTF-8 bytes of the text |
//! | `n_tokens` | uint64 | tokens, without EOD |
//! | `n_placed` | uint64 | tokens of it in sequences, EOD included; 0 = not used |
//! | … | | the metadata columns of the recipe, nullable; `metadata.NAME` where NAME is one of the above |

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, UInt64Builder};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::Value;

use super::manifest::FileEntry;
use super::names::DOCUMENTS;
use crate::disk::{AtomicFile, ReadFile};
use crate::error::{Error, Result};
use crate::guard::guarded;
use crate::recipe::MetadataType;

/// Rows per row group, and per batch while writing and reading.
const GROUP_ROWS: usize = 1 << 16;

/// One row of the documents table.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentRecord {
    /// The recipe's source.
    pub source: Arc<str>,
    /// The file in it.
    pub file: Arc<str>,
    /// Record number in the file.
    pub record: u64,
    /// Bytes of the record in the decompressed file.
    pub bytes: Option<std::ops::Range<u64>>,
    /// xxh3-128 of the text.
    pub hash: u128,
    /// UTF-8 bytes of the text.
    pub text_bytes: u64,
    /// Tokens, without EOD.
    pub n_tokens: u64,
    /// Tokens of it in sequences.
    pub n_placed: u64,
    /// One value per metadata column.
    pub metadata: Vec<Value>,
}

fn schema(metadata: &[(String, MetadataType)]) -> Schema {
    let fixed = [
        Field::new("document", DataType::UInt64, false),
        Field::new("source", DataType::Utf8, false),
        Field::new("file", DataType::Utf8, false),
        Field::new("record", DataType::UInt64, false),
        Field::new("byte_start", DataType::UInt64, true),
        Field::new("byte_end", DataType::UInt64, true),
        Field::new("hash", DataType::Utf8, false),
        Field::new("text_bytes", DataType::UInt64, false),
        Field::new("n_tokens", DataType::UInt64, false),
        Field::new("n_placed", DataType::UInt64, false),
    ];
    let metadata = metadata.iter().map(|(name, kind)| {
        let kind = match kind {
            MetadataType::String => DataType::Utf8,
            MetadataType::Integer => DataType::Int64,
            MetadataType::Float => DataType::Float64,
            MetadataType::Boolean => DataType::Boolean,
        };
        let taken = fixed.iter().any(|field| field.name() == name);
        Field::new(
            if taken {
                format!("metadata.{name}")
            } else {
                name.clone()
            },
            kind,
            true,
        )
    });
    Schema::new(fixed.iter().cloned().chain(metadata).collect::<Vec<_>>())
}

/// Writes the table row by row; memory is one row group.
pub struct DocumentsTable {
    writer: ArrowWriter<Hashing>,
    schema: SchemaRef,
    metadata: Vec<(String, MetadataType)>,
    rows: Vec<DocumentRecord>,
    n_rows: u64,
}

impl DocumentsTable {
    /// Starts the table of the dataset in `directory`.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn create(directory: &Path, metadata: &[(String, MetadataType)]) -> Result<Self> {
        let path = directory.join(DOCUMENTS);
        let schema = Arc::new(schema(metadata));
        let level = ZstdLevel::try_new(1).expect("1 is a zstd level");
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by("ultrapack".into())
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let sink = Hashing {
            file: AtomicFile::create(&path)?,
            hash: blake3::Hasher::new(),
            n_bytes: 0,
        };
        let writer = ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties))
            .map_err(|e| Error::io("write", &path)(io::Error::other(e)))?;
        Ok(Self {
            writer,
            schema,
            metadata: metadata.to_vec(),
            rows: Vec::new(),
            n_rows: 0,
        })
    }

    /// Appends a document.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn push(&mut self, row: DocumentRecord) -> Result<()> {
        self.rows.push(row);
        if self.rows.len() == GROUP_ROWS {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let first = self.n_rows;
        self.n_rows += rows.len() as u64;
        let u64s = |value: &dyn Fn(usize, &DocumentRecord) -> Option<u64>| -> ArrayRef {
            let mut column = UInt64Builder::with_capacity(rows.len());
            rows.iter()
                .enumerate()
                .for_each(|(i, row)| column.append_option(value(i, row)));
            Arc::new(column.finish())
        };
        let texts = |value: &dyn Fn(&DocumentRecord) -> String| -> ArrayRef {
            let mut column = StringBuilder::new();
            rows.iter().for_each(|row| column.append_value(value(row)));
            Arc::new(column.finish())
        };
        let mut columns = vec![
            u64s(&|i, _| Some(first + i as u64)),
            texts(&|row| row.source.to_string()),
            texts(&|row| row.file.to_string()),
            u64s(&|_, row| Some(row.record)),
            u64s(&|_, row| row.bytes.as_ref().map(|bytes| bytes.start)),
            u64s(&|_, row| row.bytes.as_ref().map(|bytes| bytes.end)),
            texts(&|row| format!("{:032x}", row.hash)),
            u64s(&|_, row| Some(row.text_bytes)),
            u64s(&|_, row| Some(row.n_tokens)),
            u64s(&|_, row| Some(row.n_placed)),
        ];
        for (index, (_, kind)) in self.metadata.iter().enumerate() {
            columns.push(metadata_column(
                *kind,
                rows.iter().map(|row| &row.metadata[index]),
            ));
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("built to the schema");
        let path = self.writer.inner().file.path().to_owned();
        self.writer.write(&batch).map_err(|e| parquet_error(&path, e))
    }

    /// Writes the rest and commits the table.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn finish(mut self) -> Result<FileEntry> {
        if !self.rows.is_empty() {
            self.flush()?;
        }
        let path = self.writer.inner().file.path().to_owned();
        let sink = self.writer.into_inner().map_err(|e| parquet_error(&path, e))?;
        sink.file.commit()?;
        let blake3 = sink.hash.finalize().to_hex().to_string();
        Ok(FileEntry {
            name: DOCUMENTS.into(),
            n_bytes: sink.n_bytes,
            n_rows: self.n_rows,
            blake3,
        })
    }
}

fn metadata_column<'a>(kind: MetadataType, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    match kind {
        MetadataType::String => {
            let mut column = StringBuilder::new();
            values.for_each(|v| column.append_option(v.as_str()));
            Arc::new(column.finish())
        }
        MetadataType::Integer => {
            let mut column = Int64Builder::new();
            values.for_each(|v| column.append_option(v.as_i64()));
            Arc::new(column.finish())
        }
        MetadataType::Float => {
            let mut column = Float64Builder::new();
            values.for_each(|v| column.append_option(v.as_f64()));
            Arc::new(column.finish())
        }
        MetadataType::Boolean => {
            let mut column = BooleanBuilder::new();
            values.for_each(|v| column.append_option(v.as_bool()));
            Arc::new(column.finish())
        }
    }
}

fn parquet_error(path: &Path, error: parquet::errors::ParquetError) -> Error {
    let source = match error {
        parquet::errors::ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(source) => *source,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    };
    Error::io("write", path)(source)
}

/// What the rows of a documents table add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub n_rows: u64,
    pub n_tokens: u64,
    pub n_placed: u64,
    pub text_bytes: u64,
}

/// Adds up the columns of the table at `path`.
///
/// # Errors
/// It is damaged.
pub(super) fn sums(path: &Path) -> Result<Sums> {
    let mut sums = Sums::default();
    read(path, &mut |batch| {
        let column = |name: &str| -> Result<u64, String> {
            let column = batch
                .column_by_name(name)
                .ok_or_else(|| format!("it has no column `{name}`"))?;
            let column = column
                .as_primitive_opt::<UInt64Type>()
                .ok_or_else(|| format!("`{name}` is not uint64"))?;
            Ok(column.values().iter().fold(0u64, |a, b| a.saturating_add(*b)))
        };
        sums.n_rows += batch.num_rows() as u64;
        sums.n_tokens = sums.n_tokens.saturating_add(column("n_tokens")?);
        sums.n_placed = sums.n_placed.saturating_add(column("n_placed")?);
        sums.text_bytes = sums.text_bytes.saturating_add(column("text_bytes")?);
        Ok(())
    })?;
    Ok(sums)
}

/// Where the documents in `wanted` came from, each with its number; metadata columns are not read.
///
/// # Errors
/// The table is damaged, or has no such document.
pub fn lookup(path: &Path, wanted: &BTreeSet<u64>) -> Result<BTreeMap<u64, DocumentRecord>> {
    let file = ReadFile::open(path)?;
    let file = file.file().try_clone().map_err(Error::io("read", path))?;
    guarded(move || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
        let (mut groups, mut selectors, mut n_rows) = (Vec::new(), Vec::new(), 0u64);
        for (index, group) in builder.metadata().row_groups().iter().enumerate() {
            let len = u64::try_from(group.num_rows()).map_err(|_| "a row group has a negative length")?;
            let (first, mut at) = (n_rows, n_rows);
            n_rows = n_rows.checked_add(len).ok_or("its row groups are too long")?;
            let mut inside = wanted.range(first..n_rows).peekable();
            if inside.peek().is_none() {
                continue;
            }
            groups.push(index);
            for &row in inside {
                selectors.push(RowSelector::skip((row - at) as usize));
                selectors.push(RowSelector::select(1));
                at = row + 1;
            }
            selectors.push(RowSelector::skip((n_rows - at) as usize));
        }
        if let Some(beyond) = wanted.range(n_rows..).next() {
            return Err(format!(
                "it has {n_rows} rows, but a segment is of document {beyond}"
            ));
        }
        let fixed = ProjectionMask::columns(builder.parquet_schema(), FIXED);
        let reader = builder
            .with_projection(fixed)
            .with_row_groups(groups)
            .with_row_selection(RowSelection::from(selectors))
            .build()
            .map_err(|e| e.to_string())?;
        let mut found = BTreeMap::new();
        for batch in reader {
            decode(&batch.map_err(|e| e.to_string())?, &mut found)?;
        }
        match found.keys().eq(wanted.iter()) {
            true => Ok(found),
            false => Err("its column `document` does not count its rows".into()),
        }
    })
    .map_err(|message| Error::damaged("documents", path, message))
}

/// The columns that every documents table has.
const FIXED: [&str; 10] = [
    "document",
    "source",
    "file",
    "record",
    "byte_start",
    "byte_end",
    "hash",
    "text_bytes",
    "n_tokens",
    "n_placed",
];

fn decode(batch: &RecordBatch, found: &mut BTreeMap<u64, DocumentRecord>) -> Result<(), String> {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .ok_or(format!("it has no column `{name}`"))
    };
    let numbers = |name: &str| {
        let column = column(name)?.as_primitive_opt::<UInt64Type>();
        column.ok_or(format!("`{name}` is not uint64"))
    };
    let texts = |name: &str| {
        let column = column(name)?.as_string_opt::<i32>();
        column.ok_or(format!("`{name}` is not a string"))
    };
    let (document, record) = (numbers("document")?, numbers("record")?);
    let (source, file, hash) = (texts("source")?, texts("file")?, texts("hash")?);
    let (byte_start, byte_end) = (numbers("byte_start")?, numbers("byte_end")?);
    let (text_bytes, n_tokens, n_placed) =
        (numbers("text_bytes")?, numbers("n_tokens")?, numbers("n_placed")?);
    for row in 0..batch.num_rows() {
        let hash = u128::from_str_radix(hash.value(row), 16).map_err(|_| "a hash is not hexadecimal")?;
        let known = byte_start.is_valid(row) && byte_end.is_valid(row);
        let origin = DocumentRecord {
            source: source.value(row).into(),
            file: file.value(row).into(),
            record: record.value(row),
            bytes: known.then(|| byte_start.value(row)..byte_end.value(row)),
            hash,
            text_bytes: text_bytes.value(row),
            n_tokens: n_tokens.value(row),
            n_placed: n_placed.value(row),
            metadata: Vec::new(),
        };
        found.insert(document.value(row), origin);
    }
    Ok(())
}

/// Hands each batch of the table at `path` to `each`.
///
/// # Errors
/// It is damaged, or `each` says that it is.
pub(super) fn read(path: &Path, each: &mut dyn FnMut(&RecordBatch) -> Result<(), String>) -> Result<()> {
    let file = ReadFile::open(path)?;
    let file = file.file().try_clone().map_err(Error::io("read", path))?;
    guarded(move || {
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
        let reader = reader
            .with_batch_size(GROUP_ROWS)
            .build()
            .map_err(|e| e.to_string())?;
        for batch in reader {
            each(&batch.map_err(|e| e.to_string())?)?;
        }
        Ok(())
    })
    .map_err(|message| Error::damaged("documents", path, message))
}

/// Hashes whatever passes through on its way to the file.
struct Hashing {
    file: AtomicFile,
    hash: blake3::Hasher,
    n_bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.n_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
