//! Parquet and Arrow files as tables with a text column.
//!
//! Both formats yield record batches of the needed columns; here they become chunks of rows. A chunk
//! ends where its text reaches the target size, counted from the start of its batch, and batches lie
//! in the file (Arrow) or follow from its metadata (Parquet): boundaries do not depend on where
//! reading started.
//!
//! Anybody can write these files, and the decoders panic on some damaged ones. All decoding happens
//! inside [`guard`].

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::arrow_batches::ArrowBatches;
use super::columns::{Columns, Values};
use super::detect::format_name;
use super::harvest::{Bad, Changes, Harvest};
use super::parquet_batches::ParquetBatches;
use super::record::{Record, type_name};
use super::rules::Rules;
use crate::error::{Error, Place, Result};
use crate::guard::guarded;
use crate::recipe::Format;

/// What a row weighs beside its text, so that many short rows do not make a huge chunk.
const ROW_BYTES: usize = 16;

/// Chunks of rows hold this many windows of text: fewer chunks, since rows need no parsing.
const WINDOWS: usize = 4;

/// A Parquet or Arrow file, read from some row on.
pub(super) struct Table {
    path: Arc<Path>,
    format: Format,
    batches: Batches,
    columns: Columns,
    warnings: Vec<String>,
    /// The batch that rows are taken from.
    batch: Option<Arc<Batch>>,
    /// The next row.
    next: u64,
    target: usize,
    /// Text bytes handed out, and their limit: a dictionary makes much out of little.
    n_text_bytes: u64,
    max_file_bytes: u64,
}

enum Batches {
    Parquet(ParquetBatches),
    Arrow(ArrowBatches),
}

impl Table {
    pub(super) fn open(
        path: &Arc<Path>,
        format: Format,
        rules: &Rules,
        from: u64,
        window: usize,
    ) -> Result<Self> {
        // One row per chunk is asked for with a window of one byte.
        let target = if window == 1 {
            1
        } else {
            window.saturating_mul(WINDOWS)
        };
        let mut warnings = Vec::new();
        let (batches, columns) = guard(path, format, from, || {
            Ok(match format {
                Format::Parquet => {
                    let (batches, columns) = ParquetBatches::open(path, rules, from, target, &mut warnings)?;
                    (Batches::Parquet(batches), columns)
                }
                _ => {
                    let (batches, columns) = ArrowBatches::open(path, rules, from, &mut warnings)?;
                    (Batches::Arrow(batches), columns)
                }
            })
        })?;
        Ok(Self {
            path: path.clone(),
            format,
            batches,
            columns,
            warnings,
            batch: None,
            next: from,
            target,
            n_text_bytes: 0,
            max_file_bytes: rules.max_file_bytes,
        })
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn bytes_read(&self) -> u64 {
        match &self.batches {
            Batches::Parquet(batches) => batches.bytes_read(),
            Batches::Arrow(batches) => batches.bytes_read(),
        }
    }

    /// The next rows, and the number of the row after them.
    pub(super) fn next(&mut self) -> Result<Option<(Rows, u64)>> {
        loop {
            if let Some(batch) = &self.batch
                && let Some(rows) = batch.rows(self.next, self.target)
            {
                self.next += rows.range.len() as u64;
                self.n_text_bytes += rows.n_bytes as u64;
                if self.n_text_bytes > self.max_file_bytes {
                    let message = format!(
                        "the text of this file is larger than `limits.max_file_bytes` allows ({})\n\
                         hint: raise the limit if the file is what it should be",
                        self.max_file_bytes
                    );
                    let place = Place {
                        record: Some(self.next),
                        ..Place::file(&*self.path)
                    };
                    return Err(Error::input(place, message));
                }
                return Ok(Some((rows, self.next)));
            }
            self.batch = None;
            let (path, batches, columns) = (&self.path, &mut self.batches, &self.columns);
            let batch = guard(path, self.format, self.next, || {
                let batch = match batches {
                    Batches::Parquet(batches) => batches.next()?,
                    Batches::Arrow(batches) => batches.next()?,
                };
                let Some((first, batch)) = batch else {
                    return Ok(None);
                };
                let values = columns.values(path, first, &batch)?;
                Ok(Some(Batch {
                    first,
                    n_rows: batch.num_rows(),
                    values,
                }))
            })?;
            let Some(batch) = batch else {
                let n_rows = match &self.batches {
                    Batches::Parquet(batches) => batches.n_rows(),
                    Batches::Arrow(batches) => batches.n_rows(),
                };
                if self.next > n_rows {
                    let message = format!(
                        "the file has {n_rows} rows, fewer than an earlier run met: it has changed since"
                    );
                    return Err(Error::input(Place::file(&*self.path), message));
                }
                return Ok(None);
            };
            self.batch = Some(Arc::new(batch));
        }
    }
}

/// Runs a decoder; its panic is the file's fault and becomes an error at `row`.
fn guard<T>(path: &Path, format: Format, row: u64, work: impl FnOnce() -> Result<T>) -> Result<T> {
    guarded(|| Ok(work())).unwrap_or_else(|message| {
        let place = Place {
            record: Some(row),
            ..Place::file(path)
        };
        Err(Error::input(
            place,
            format!("the {} data is damaged: {message}", format_name(format)),
        ))
    })
}

/// A record batch, by its place in the file.
#[derive(Debug)]
struct Batch {
    first: u64,
    n_rows: usize,
    values: Values,
}

impl Batch {
    /// Rows from row `next` of the file on, until they weigh `target`; `None` when there are none.
    fn rows(self: &Arc<Self>, next: u64, target: usize) -> Option<Rows> {
        let start = usize::try_from(next.checked_sub(self.first)?).ok()?;
        let (mut end, mut n_bytes) = (start, 0usize);
        while end < self.n_rows && n_bytes + (end - start) * ROW_BYTES < target {
            n_bytes += self.values.text(end).map_or(0, str::len);
            end += 1;
        }
        (end > start).then(|| Rows {
            batch: self.clone(),
            range: start..end,
            n_bytes,
        })
    }
}

/// Some rows of a batch, which they keep alive.
#[derive(Debug)]
pub(super) struct Rows {
    batch: Arc<Batch>,
    range: Range<usize>,
    n_bytes: usize,
}

impl Rows {
    /// Bytes of text.
    pub(super) fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Turns rows into records.
    pub(super) fn parse<'a>(&'a self, rules: &Rules, harvest: &mut Harvest<'a, '_>) -> Result<()> {
        for row in self.range.clone() {
            let record = self.batch.first + row as u64;
            match self.document(row, record, rules) {
                Ok(document) => harvest.document(document, Changes::default()),
                Err(bad) => harvest.bad(
                    Place {
                        record: Some(record),
                        ..Place::default()
                    },
                    bad,
                )?,
            }
        }
        Ok(())
    }

    fn document<'a>(&'a self, row: usize, record: u64, rules: &Rules) -> Result<Record<'a>, Bad> {
        let values = &self.batch.values;
        let Some(text) = values.text(row) else {
            return Err(Bad::new(
                "text_null",
                format!("the column `{}` is null", rules.text),
            ));
        };
        if text.len() > rules.max_document_bytes {
            return Err(Bad::too_large(Some(text.len() as u64), rules.max_document_bytes));
        }
        let mut metadata = Vec::with_capacity(rules.metadata.len());
        for (value, (name, kind)) in values.metadata(row).zip(&rules.metadata) {
            metadata.push(value.typed(*kind).map_err(|found| {
                let message = format!(
                    "the column `{name}` holds {}, not {}",
                    found.kind(),
                    type_name(*kind)
                );
                Bad::new("metadata_type", message)
            })?);
        }
        Ok(Record {
            text: Cow::Borrowed(text),
            record,
            bytes: None,
            metadata,
        })
    }
}
