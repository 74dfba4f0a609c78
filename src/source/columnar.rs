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

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, LargeStringArray, RecordBatch,
    StringArray, StringViewArray, UInt64Array, new_empty_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields, Float64Type, Int64Type, Schema, UInt64Type};

use super::arrow_batches::ArrowBatches;
use super::detect::format_name;
use super::harvest::{Bad, Changes, Harvest};
use super::parquet_batches::ParquetBatches;
use super::record::{Record, Scalar, type_name};
use super::rules::Rules;
use crate::error::{Error, Place, Result};
use crate::guard::guarded;
use crate::recipe::{Format, MetadataType};

/// What a row weighs beside its text, so that many short rows do not make a huge chunk.
const ROW_BYTES: usize = 16;

/// Chunks of rows hold this many windows of text: fewer chunks, since rows need no parsing.
const WINDOWS: usize = 4;

/// Columns that are listed when the one in question is missing.
const N_LISTED: usize = 40;

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
                        "the text of this file is larger than `limits.max_file_bytes` allows ({})\nhint: raise the limit if the file is what it should be",
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
            let (batches, columns) = (&mut self.batches, &self.columns);
            let batch = guard(&self.path, self.format, self.next, || {
                let batch = match batches {
                    Batches::Parquet(batches) => batches.next()?,
                    Batches::Arrow(batches) => batches.next()?,
                };
                batch
                    .map(|(first, batch)| columns.batch(first, &batch))
                    .transpose()
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

/// Where the needed columns lie in a file.
pub(super) struct Columns {
    text: Column,
    /// One per declared column; `None` when the file does not have it.
    metadata: Vec<Option<(Column, MetadataType)>>,
}

/// A column: the names of the fields that lead to it.
pub(super) struct Column {
    pub(super) names: Vec<String>,
}

impl Columns {
    /// Finds the columns in a schema. `is_text` says what the text column may be.
    pub(super) fn find(
        path: &Path,
        schema: &Schema,
        rules: &Rules,
        is_text: fn(&DataType) -> bool,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let fail = |message: String| Err(Error::input(Place::file(path), message));
        let Some((text, data_type)) = column(schema.fields(), &rules.text) else {
            let mut columns: Vec<_> = schema
                .fields()
                .iter()
                .map(|field| format!("`{}`", field.name()))
                .collect();
            let n_more = columns.len().saturating_sub(N_LISTED);
            columns.truncate(N_LISTED);
            let more = if n_more > 0 {
                format!(" and {n_more} more")
            } else {
                String::new()
            };
            return fail(format!(
                "there is no column `{}`\nhint: set `text` to one of {}{more}",
                rules.text,
                columns.join(", ")
            ));
        };
        if !is_text(data_type) {
            return fail(format!(
                "the column `{}` is {data_type}, not a string",
                rules.text
            ));
        }
        let mut metadata = Vec::with_capacity(rules.metadata.len());
        for (name, kind) in &rules.metadata {
            let Some((found, data_type)) = column(schema.fields(), name) else {
                warnings.push(format!("there is no column `{name}`; its values are null"));
                metadata.push(None);
                continue;
            };
            if Metadata::new(&new_empty_array(data_type), *kind).is_none() {
                return fail(format!(
                    "the column `{name}` is {data_type}, not {}",
                    type_name(*kind)
                ));
            }
            metadata.push(Some((found, *kind)));
        }
        Ok(Self { text, metadata })
    }

    pub(super) fn text(&self) -> &Column {
        &self.text
    }

    /// All columns that have to be read.
    pub(super) fn all(&self) -> impl Iterator<Item = &Column> {
        let metadata = self.metadata.iter().flatten().map(|(column, _)| column);
        std::iter::once(&self.text).chain(metadata)
    }

    /// A batch whose first row is row `first` of the file.
    fn batch(&self, first: u64, batch: &RecordBatch) -> Result<Batch> {
        let (text, nulls) = self.text.values(batch);
        let text = Text::new(&text);
        let metadata = self.metadata.iter().map(|column| {
            let (column, kind) = column.as_ref()?;
            let (values, nulls) = column.values(batch);
            let values = Metadata::new(&values, *kind).expect("the type was tried when the file was opened");
            Some((values, nulls))
        });
        Ok(Batch {
            first,
            n_rows: batch.num_rows(),
            text,
            nulls,
            metadata: metadata.collect(),
        })
    }
}

/// A column by its dotted path, where a name may itself contain dots, and its type.
fn column<'s>(fields: &'s Fields, path: &str) -> Option<(Column, &'s DataType)> {
    if let Some(field) = fields.iter().find(|field| field.name() == path) {
        return Some((
            Column {
                names: vec![path.to_owned()],
            },
            field.data_type(),
        ));
    }
    fields.iter().find_map(|field| {
        let rest = path.strip_prefix(field.name().as_str())?.strip_prefix('.')?;
        let DataType::Struct(fields) = field.data_type() else {
            return None;
        };
        let (mut found, data_type) = column(fields, rest)?;
        found.names.insert(0, field.name().clone());
        Some((found, data_type))
    })
}

impl Column {
    /// The column's values in a batch, and which rows are null: the value, or an object around it.
    fn values(&self, batch: &RecordBatch) -> (ArrayRef, Option<NullBuffer>) {
        const PRESENT: &str = "the columns were found in this schema";
        let (root, below) = self.names.split_first().expect("a column has a name");
        let mut array = batch.column_by_name(root).expect(PRESENT).clone();
        let mut nulls = array.logical_nulls();
        for name in below {
            array = array.as_struct().column_by_name(name).expect(PRESENT).clone();
            nulls = NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref());
        }
        (array, nulls)
    }
}

/// Whether a type is a string, plain or by dictionary.
pub(super) fn is_string(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_string(values),
        _ => false,
    }
}

/// The text column of a batch.
#[derive(Debug)]
enum Text {
    Small(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
}

impl Text {
    fn new(values: &ArrayRef) -> Self {
        match values.data_type() {
            DataType::Utf8 => Self::Small(values.as_string().clone()),
            DataType::LargeUtf8 => Self::Large(values.as_string().clone()),
            // Views point into the dictionary: its strings are not copied for each row.
            _ => Self::View(
                cast(values, &DataType::Utf8View)
                    .expect("a string")
                    .as_string_view()
                    .clone(),
            ),
        }
    }

    fn get(&self, row: usize) -> &str {
        match self {
            Self::Small(array) => array.value(row),
            Self::Large(array) => array.value(row),
            Self::View(array) => array.value(row),
        }
    }
}

/// A metadata column of a batch, in one of few types.
#[derive(Debug)]
enum Metadata {
    Null,
    String(StringViewArray),
    Integer(Int64Array),
    Unsigned(UInt64Array),
    Float(Float64Array),
    Boolean(BooleanArray),
}

impl Metadata {
    /// `None` when values of this type can never be what the recipe declares, or cannot be read.
    fn new(values: &ArrayRef, kind: MetadataType) -> Option<Self> {
        use DataType as T;
        let cast = |to: &DataType| cast(values, to).ok();
        Some(match values.data_type() {
            T::Null => Self::Null,
            T::Boolean => Self::Boolean(values.as_boolean().clone()),
            T::UInt64 => Self::Unsigned(values.as_primitive::<UInt64Type>().clone()),
            T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => {
                Self::Integer(cast(&T::Int64)?.as_primitive::<Int64Type>().clone())
            }
            T::Float16 | T::Float32 | T::Float64 => {
                Self::Float(cast(&T::Float64)?.as_primitive::<Float64Type>().clone())
            }
            T::Utf8 | T::LargeUtf8 | T::Utf8View => {
                Self::String(cast(&T::Utf8View)?.as_string_view().clone())
            }
            T::Dictionary(_, inner) => Self::new(&cast(inner)?, kind)?,
            T::Date32 | T::Date64 | T::Time32(_) | T::Time64(_) | T::Timestamp(..)
                if kind == MetadataType::String =>
            {
                Self::String(cast(&T::Utf8View)?.as_string_view().clone())
            }
            _ => return None,
        })
    }

    fn get(&self, row: usize) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::String(array) => Scalar::String(Cow::Borrowed(array.value(row))),
            Self::Integer(array) => Scalar::Integer(array.value(row)),
            Self::Unsigned(array) => Scalar::Unsigned(array.value(row)),
            Self::Float(array) => Scalar::Float(array.value(row)),
            Self::Boolean(array) => Scalar::Boolean(array.value(row)),
        }
    }
}

/// The needed columns of one record batch.
#[derive(Debug)]
struct Batch {
    first: u64,
    n_rows: usize,
    text: Text,
    nulls: Option<NullBuffer>,
    metadata: Vec<Option<(Metadata, Option<NullBuffer>)>>,
}

fn is_null(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_some_and(|nulls| nulls.is_null(row))
}

impl Batch {
    /// Rows from row `next` of the file on, until they weigh `target`; `None` when there are none.
    fn rows(self: &Arc<Self>, next: u64, target: usize) -> Option<Rows> {
        let start = usize::try_from(next.checked_sub(self.first)?).ok()?;
        let (mut end, mut weight, mut n_bytes) = (start, 0usize, 0);
        while end < self.n_rows && weight < target {
            let n = if is_null(self.nulls.as_ref(), end) {
                0
            } else {
                self.text.get(end).len()
            };
            n_bytes += n;
            weight = weight.saturating_add(n + ROW_BYTES);
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
        let batch = &*self.batch;
        if is_null(batch.nulls.as_ref(), row) {
            return Err(Bad::new(
                "text_null",
                format!("the column `{}` is null", rules.text),
            ));
        }
        let text = batch.text.get(row);
        if text.len() > rules.max_document_bytes {
            return Err(Bad::too_large(Some(text.len() as u64), rules.max_document_bytes));
        }
        let mut metadata = Vec::with_capacity(rules.metadata.len());
        for (column, (name, kind)) in batch.metadata.iter().zip(&rules.metadata) {
            let value = match column {
                Some((values, nulls)) if !is_null(nulls.as_ref(), row) => values.get(row),
                _ => Scalar::Null,
            };
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
