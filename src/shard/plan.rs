//! The plan on disk: one row per sequence, its segments as lists.

use std::path::Path;
use std::sync::Arc;

use arrow::array::builder::{BooleanBuilder, ListBuilder, UInt32Builder, UInt64Builder};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type, UInt64Type};

use super::manifest::FileEntry;
use super::names::PLAN;
use crate::error::Result;
use crate::ipc::{CheckedFile, Hashes, Writer};
use crate::sequence::{Attention, Segment};

/// Rows per batch of a plan.
const BATCH_ROWS: usize = 1024;

fn schema() -> Schema {
    let list = |item: DataType| DataType::List(Field::new("item", item, false).into());
    Schema::new(vec![
        Field::new("document", list(DataType::UInt64), false),
        Field::new("start", list(DataType::UInt64), false),
        Field::new("len", list(DataType::UInt32), false),
        Field::new("full_attention", DataType::Boolean, false),
    ])
}

/// Writes a plan row by row.
pub struct PlanWriter {
    writer: Writer,
    columns: Columns,
    n_rows: u64,
}

struct Columns {
    document: ListBuilder<UInt64Builder>,
    start: ListBuilder<UInt64Builder>,
    len: ListBuilder<UInt32Builder>,
    full_attention: BooleanBuilder,
}

impl Columns {
    fn new() -> Self {
        let u64s =
            || ListBuilder::new(UInt64Builder::new()).with_field(Field::new("item", DataType::UInt64, false));
        let u32s =
            ListBuilder::new(UInt32Builder::new()).with_field(Field::new("item", DataType::UInt32, false));
        Self {
            document: u64s(),
            start: u64s(),
            len: u32s,
            full_attention: BooleanBuilder::new(),
        }
    }
}

impl PlanWriter {
    /// Starts the plan of the dataset in `directory`.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn create(directory: &Path) -> Result<Self> {
        let writer = Writer::create(&directory.join(PLAN), &schema(), Hashes::Whole)?;
        Ok(Self {
            writer,
            columns: Columns::new(),
            n_rows: 0,
        })
    }

    /// Appends a sequence.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn push(&mut self, segments: &[Segment], attention: Attention) -> Result<()> {
        let columns = &mut self.columns;
        for segment in segments {
            columns.document.values().append_value(segment.document);
            columns.start.values().append_value(segment.start);
            columns.len.values().append_value(segment.len);
        }
        columns.document.append(true);
        columns.start.append(true);
        columns.len.append(true);
        columns.full_attention.append_value(attention == Attention::Full);
        self.n_rows += 1;
        if self.n_rows.is_multiple_of(BATCH_ROWS as u64) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let columns = &mut self.columns;
        let batch = RecordBatch::try_new(
            Arc::new(schema()),
            vec![
                Arc::new(columns.document.finish()),
                Arc::new(columns.start.finish()),
                Arc::new(columns.len.finish()),
                Arc::new(columns.full_attention.finish()),
            ],
        )
        .expect("the builders follow the schema");
        self.writer.write(&batch)
    }

    /// Writes the rest and commits the plan.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn finish(mut self) -> Result<FileEntry> {
        if !self.n_rows.is_multiple_of(BATCH_ROWS as u64) {
            self.flush()?;
        }
        let (file, digest) = self
            .writer
            .finish(&[(super::schema::N_ROWS, self.n_rows.to_string())])?;
        file.commit()?;
        Ok(FileEntry {
            name: PLAN.into(),
            n_bytes: digest.n_bytes,
            n_rows: self.n_rows,
            blake3: digest.blake3,
        })
    }
}

/// One row of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRow {
    /// The segments in order.
    pub segments: Vec<Segment>,
    /// Who may attend to whom.
    pub attention: Attention,
}

/// A plan that is read batch by batch.
#[derive(Debug)]
pub struct PlanFile {
    file: CheckedFile,
    n_rows: u64,
}

impl PlanFile {
    /// Opens the plan at `path`.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let file = CheckedFile::open(path, "plan", |_| Ok(schema()))?;
        let n_rows = file
            .metadata(super::schema::N_ROWS)?
            .parse()
            .map_err(|_| file.damaged("the number of rows is not a number"))?;
        match file.n_batches() as u64 == u64::div_ceil(n_rows, BATCH_ROWS as u64) {
            true => Ok(Self { file, n_rows }),
            false => Err(file.damaged(format!("{} batches do not hold {n_rows} rows", file.n_batches()))),
        }
    }

    /// Number of sequences.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// The rows from `from` up to `to`, in order.
    ///
    /// # Errors
    /// A batch is damaged.
    pub fn rows(&self, from: u64, to: u64) -> impl Iterator<Item = Result<PlannedRow>> {
        let mut loaded: Option<(usize, RecordBatch)> = None;
        (from..to).map(move |row| {
            let index = (row / BATCH_ROWS as u64) as usize;
            if loaded.as_ref().is_none_or(|(have, _)| *have != index) {
                loaded = Some((index, self.batch(index)?));
            }
            let (_, batch) = loaded.as_ref().expect("loaded above");
            self.row(batch, (row % BATCH_ROWS as u64) as usize)
        })
    }

    fn batch(&self, index: usize) -> Result<RecordBatch> {
        let batch = self.file.batch(index)?;
        let expected = (self.n_rows - (index * BATCH_ROWS) as u64).min(BATCH_ROWS as u64);
        match batch.num_rows() as u64 == expected {
            true => Ok(batch),
            false => Err(self
                .file
                .damaged(format!("batch {index} holds {} rows", batch.num_rows()))),
        }
    }

    fn row(&self, batch: &RecordBatch, row: usize) -> Result<PlannedRow> {
        let list = |column: usize| batch.column(column).as_list::<i32>().value(row);
        let (documents, starts, lens) = (list(0), list(1), list(2));
        if documents.len() != starts.len() || starts.len() != lens.len() {
            return Err(self.file.damaged("a row's lists have different lengths"));
        }
        let documents = documents.as_primitive::<UInt64Type>().values();
        let starts = starts.as_primitive::<UInt64Type>().values();
        let lens = lens.as_primitive::<UInt32Type>().values();
        let segments = documents.iter().zip(starts).zip(lens);
        let attention = if batch.column(3).as_boolean().value(row) {
            Attention::Full
        } else {
            Attention::Segment
        };
        Ok(PlannedRow {
            segments: segments
                .map(|((&document, &start), &len)| Segment { document, start, len })
                .collect(),
            attention,
        })
    }
}
