//! Record batches of a Parquet file, row group by row group.
//!
//! Only the leaves that are needed are read. The text is asked for as string views, which point
//! into the pages and dictionaries: a dictionary of one large string costs its size once, however
//! often rows refer to it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::columns::{Columns, is_string};
use super::rules::Rules;
use crate::error::{Error, Place, Result};

/// Most rows in a batch, whatever the metadata says of their size.
const MAX_ROWS: u64 = 65_536;

/// A Parquet file, read from some row on.
pub(super) struct ParquetBatches {
    path: Arc<Path>,
    file: File,
    n_bytes: u64,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    groups: Vec<Group>,
    /// The current row group.
    group: usize,
    reader: Option<ParquetRecordBatchReader>,
    /// The next row.
    next: u64,
}

/// A row group as its metadata describes it.
struct Group {
    first: u64,
    n_rows: u64,
    /// Rows that are decoded at a time.
    batch_rows: u64,
}

impl ParquetBatches {
    pub(super) fn open(
        path: &Arc<Path>,
        rules: &Rules,
        from: u64,
        target: usize,
        warnings: &mut Vec<String>,
    ) -> Result<(Self, Columns)> {
        let damaged = |error: parquet::errors::ParquetError| damaged(path, None, &error.to_string());
        let file = File::open(path).map_err(Error::io("open", &**path))?;
        let n_bytes = file.metadata().map_err(Error::io("read", &**path))?.len();
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(damaged)?;
        let columns = Columns::find(path, metadata.schema(), rules, is_text, warnings)?;
        let parquet = metadata.metadata().clone();
        let with_views = Schema::new_with_metadata(
            text_as_view(metadata.schema().fields(), &columns.text().names),
            metadata.schema().metadata().clone(),
        );
        let options = ArrowReaderOptions::new().with_schema(with_views.into());
        let metadata = ArrowReaderMetadata::try_new(parquet.clone(), options).map_err(damaged)?;
        let leaf = |names: &[String]| {
            let leaves = parquet.file_metadata().schema_descr().columns();
            leaves.iter().position(|leaf| leaf.path().parts() == names)
        };
        // Every string or number is a leaf; a column that is not would have been refused.
        let leaves: Vec<usize> = columns.all().filter_map(|column| leaf(&column.names)).collect();
        let mask = ProjectionMask::leaves(parquet.file_metadata().schema_descr(), leaves.iter().copied());
        let text_leaf = *leaves
            .first()
            .ok_or_else(|| self::damaged(path, None, "no text column"))?;
        let groups = groups(path, &parquet, text_leaf, target)?;
        let group = groups
            .iter()
            .take_while(|group| group.first + group.n_rows <= from)
            .count();
        let next = match groups.get(group) {
            // Start at the batch that holds `from`, as a run from the start would.
            Some(group) => group.first + (from - group.first) / group.batch_rows * group.batch_rows,
            None => groups.last().map_or(0, |group| group.first + group.n_rows),
        };
        let path = path.clone();
        Ok((
            Self {
                path,
                file,
                n_bytes,
                metadata,
                mask,
                groups,
                group,
                reader: None,
                next,
            },
            columns,
        ))
    }

    /// The next batch and the number of its first row.
    pub(super) fn next(&mut self) -> Result<Option<(u64, RecordBatch)>> {
        while let Some(group) = self.groups.get(self.group) {
            let damaged = |message: &str| damaged(&self.path, Some(self.next), message);
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => {
                    let file = self.file.try_clone().map_err(Error::io("read", &*self.path))?;
                    let reader =
                        ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                            .with_row_groups(vec![self.group])
                            .with_projection(self.mask.clone())
                            .with_batch_size(usize::try_from(group.batch_rows).unwrap_or(usize::MAX))
                            .with_offset(usize::try_from(self.next - group.first).unwrap_or(usize::MAX))
                            .build()
                            .map_err(|error| damaged(&error.to_string()))?;
                    none.insert(reader)
                }
            };
            match reader.next() {
                Some(batch) => {
                    let batch = batch.map_err(|error| damaged(&error.to_string()))?;
                    let first = self.next;
                    self.next += batch.num_rows() as u64;
                    return Ok(Some((first, batch)));
                }
                None if self.next == group.first + group.n_rows => {
                    self.group += 1;
                    self.reader = None;
                }
                None => {
                    let message = format!("row group {} ends before its {} rows", self.group, group.n_rows);
                    return Err(damaged(&message));
                }
            }
        }
        Ok(None)
    }

    /// Rows of the file.
    pub(super) fn n_rows(&self) -> u64 {
        self.groups.last().map_or(0, |group| group.first + group.n_rows)
    }

    /// Bytes of the file read so far, by the share of its rows.
    pub(super) fn bytes_read(&self) -> u64 {
        let share = u128::from(self.n_bytes) * u128::from(self.next) / u128::from(self.n_rows().max(1));
        u64::try_from(share).unwrap_or(self.n_bytes).min(self.n_bytes)
    }
}

/// Text, or bytes that a writer did not annotate as text; they are checked to be UTF-8.
fn is_text(data_type: &DataType) -> bool {
    is_string(data_type) || *data_type == DataType::Binary
}

/// The fields, with the one that `names` lead to as string view.
fn text_as_view(fields: &Fields, names: &[String]) -> Fields {
    let Some((name, below)) = names.split_first() else {
        return fields.clone();
    };
    let mut found = false;
    let replaced = fields.iter().map(|field| {
        if found || field.name() != name {
            return field.clone();
        }
        found = true;
        let data_type = match field.data_type() {
            DataType::Struct(fields) => DataType::Struct(text_as_view(fields, below)),
            _ => DataType::Utf8View,
        };
        FieldRef::new(Field::clone(field).with_data_type(data_type))
    });
    replaced.collect()
}

/// The row groups, with batches of about `target` bytes of text.
fn groups(path: &Path, parquet: &ParquetMetaData, text_leaf: usize, target: usize) -> Result<Vec<Group>> {
    let mut first = 0u64;
    let mut groups = Vec::with_capacity(parquet.num_row_groups());
    for group in parquet.row_groups() {
        let n_rows = u64::try_from(group.num_rows())
            .map_err(|_| damaged(path, None, "a row group has a negative size"))?;
        let mean = n_text_bytes(group.column(text_leaf)) / n_rows.max(1);
        let batch_rows = (target as u64 / mean.max(1)).clamp(1, MAX_ROWS);
        groups.push(Group {
            first,
            n_rows,
            batch_rows,
        });
        first = first
            .checked_add(n_rows)
            .ok_or_else(|| damaged(path, None, "too many rows"))?;
    }
    Ok(groups)
}

/// Bytes of text in a column: exact where the writer says so, else the size of its pages, which is
/// less when a dictionary is used.
fn n_text_bytes(column: &ColumnChunkMetaData) -> u64 {
    let n_bytes = column
        .unencoded_byte_array_data_bytes()
        .unwrap_or(column.uncompressed_size());
    u64::try_from(n_bytes).unwrap_or(0)
}

fn damaged(path: &Path, row: Option<u64>, message: &str) -> Error {
    let place = Place {
        record: row,
        ..Place::file(path)
    };
    Error::input(place, format!("the Parquet data is damaged: {message}"))
}
