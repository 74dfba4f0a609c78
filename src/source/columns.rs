//! The columns of a table that are needed: where they lie in its schema, and their values.
//!
//! Writers spell strings and numbers in many types. Values are brought into a few of them batch by
//! batch, without copying text.

use std::borrow::Cow;
use std::path::Path;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, LargeStringArray, RecordBatch,
    StringArray, StringViewArray, UInt64Array, new_empty_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields, Float64Type, Int64Type, Schema, UInt64Type};

use super::record::{Scalar, type_name};
use super::rules::Rules;
use crate::error::{Error, Place, Result};
use crate::recipe::MetadataType;

/// Columns that are listed when the one in question is missing.
const N_LISTED: usize = 40;

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

    /// The columns of a batch that was read from `path` and starts with row `first`.
    pub(super) fn values(&self, path: &Path, first: u64, batch: &RecordBatch) -> Result<Values> {
        let (text, text_nulls) = self.text.values(batch);
        let metadata = self.metadata.iter().map(|column| {
            let Some((column, kind)) = column else {
                return Ok(None);
            };
            let (values, nulls) = column.values(batch);
            let Some(values) = Metadata::new(&values, *kind) else {
                let place = Place {
                    record: Some(first),
                    ..Place::file(path)
                };
                let name = column.names.join(".");
                let message = format!("the column `{name}` cannot be read as {}", type_name(*kind));
                return Err(Error::input(place, message));
            };
            Ok(Some((values, nulls)))
        });
        let metadata = metadata.collect::<Result<_>>()?;
        Ok(Values {
            text: Text::new(&text),
            text_nulls,
            metadata,
        })
    }
}

/// The needed columns of one record batch.
#[derive(Debug)]
pub(super) struct Values {
    text: Text,
    text_nulls: Option<NullBuffer>,
    metadata: Vec<Option<(Metadata, Option<NullBuffer>)>>,
}

impl Values {
    /// The text of a row, unless it is null.
    pub(super) fn text(&self, row: usize) -> Option<&str> {
        (!is_null(self.text_nulls.as_ref(), row)).then(|| self.text.get(row))
    }

    /// The metadata of a row, in the order of the declared columns.
    pub(super) fn metadata(&self, row: usize) -> impl Iterator<Item = Scalar<'_>> {
        self.metadata.iter().map(move |column| match column {
            Some((values, nulls)) if !is_null(nulls.as_ref(), row) => values.get(row),
            _ => Scalar::Null,
        })
    }
}

fn is_null(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_some_and(|nulls| nulls.is_null(row))
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
        DataType::Dictionary(_, values) => matches!(**values, DataType::Utf8 | DataType::LargeUtf8),
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
