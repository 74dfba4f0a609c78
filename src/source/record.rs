//! A record that became a document, and the typed metadata beside its text.

use std::borrow::Cow;
use std::ops::Range;

use crate::recipe::MetadataType;

/// One document: its text, where it came from, and its metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    /// The text; borrowed from the chunk wherever the bytes of the file are the text.
    pub text: Cow<'a, str>,
    /// Zero-based number in the file: the line of JSON lines, the row of Parquet and Arrow, the
    /// document of plain text.
    pub record: u64,
    /// Bytes of the record in the decompressed file, without its line end; `None` for Parquet and
    /// Arrow.
    pub bytes: Option<Range<u64>>,
    /// One value per declared column, in the order of [`Rules::metadata_columns`].
    ///
    /// [`Rules::metadata_columns`]: super::Rules::metadata_columns
    pub metadata: Vec<MetadataValue>,
}

/// A [`Record`] that owns its text.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnedRecord {
    /// The text.
    pub text: String,
    /// Zero-based number in the file.
    pub record: u64,
    /// Bytes of the record in the decompressed file; `None` for Parquet and Arrow.
    pub bytes: Option<Range<u64>>,
    /// One value per declared column.
    pub metadata: Vec<MetadataValue>,
}

impl From<Record<'_>> for OwnedRecord {
    fn from(record: Record<'_>) -> Self {
        Self {
            text: record.text.into_owned(),
            record: record.record,
            bytes: record.bytes,
            metadata: record.metadata,
        }
    }
}

/// The value of one metadata column; its type is the declared one, or null.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataValue {
    /// Missing, or null.
    Null,
    /// Text.
    String(String),
    /// Whole number.
    Integer(i64),
    /// Number.
    Float(f64),
    /// True or false.
    Boolean(bool),
}

/// A value as a file holds it, before it meets the declared type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    Null,
    String(Cow<'a, str>),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Boolean(bool),
    /// An array or an object.
    Nested,
}

impl Scalar<'_> {
    pub(super) fn into_owned(self) -> Scalar<'static> {
        match self {
            Self::Null => Scalar::Null,
            Self::String(text) => Scalar::String(Cow::Owned(text.into_owned())),
            Self::Integer(value) => Scalar::Integer(value),
            Self::Unsigned(value) => Scalar::Unsigned(value),
            Self::Float(value) => Scalar::Float(value),
            Self::Boolean(value) => Scalar::Boolean(value),
            Self::Nested => Scalar::Nested,
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::String(_) => "a string",
            Self::Integer(_) | Self::Unsigned(_) | Self::Float(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::Nested => "an array or an object",
        }
    }

    /// The value under its declared type, or itself when the type does not fit. A whole number is
    /// a float, and a float without fraction is a whole number; nothing else is converted.
    #[expect(
        clippy::cast_precision_loss,
        reason = "an integer in a float column is rounded, as everywhere"
    )]
    pub(super) fn typed(self, kind: MetadataType) -> Result<MetadataValue, Self> {
        Ok(match (kind, self) {
            (_, Self::Null) => MetadataValue::Null,
            (MetadataType::String, Self::String(text)) => MetadataValue::String(text.into_owned()),
            (MetadataType::Boolean, Self::Boolean(value)) => MetadataValue::Boolean(value),
            (MetadataType::Integer, Self::Integer(value)) => MetadataValue::Integer(value),
            (MetadataType::Integer, Self::Unsigned(value)) if i64::try_from(value).is_ok() => {
                MetadataValue::Integer(value.cast_signed())
            }
            (MetadataType::Integer, Self::Float(value)) => match whole(value) {
                Some(value) => MetadataValue::Integer(value),
                None => return Err(Self::Float(value)),
            },
            (MetadataType::Float, Self::Float(value)) => MetadataValue::Float(value),
            (MetadataType::Float, Self::Integer(value)) => MetadataValue::Float(value as f64),
            (MetadataType::Float, Self::Unsigned(value)) => MetadataValue::Float(value as f64),
            (_, other) => return Err(other),
        })
    }
}

/// The integer a float is exactly equal to.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0; // 2^63, the first value out of range
    (value.trunc() == value && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

/// How a declared type is named in messages.
pub(super) fn type_name(kind: MetadataType) -> &'static str {
    match kind {
        MetadataType::String => "a string",
        MetadataType::Integer => "an integer",
        MetadataType::Float => "a number",
        MetadataType::Boolean => "a boolean",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_change_their_type_and_only_without_loss_of_kind() {
        let typed = |scalar: Scalar<'static>, kind| scalar.typed(kind).ok();
        assert_eq!(
            typed(Scalar::Integer(3), MetadataType::Float),
            Some(MetadataValue::Float(3.0))
        );
        assert_eq!(
            typed(Scalar::Float(-4.0), MetadataType::Integer),
            Some(MetadataValue::Integer(-4))
        );
        assert_eq!(typed(Scalar::Float(0.5), MetadataType::Integer), None);
        assert_eq!(typed(Scalar::Float(f64::NAN), MetadataType::Integer), None);
        assert_eq!(typed(Scalar::Float(9.3e18), MetadataType::Integer), None);
        assert_eq!(typed(Scalar::Unsigned(u64::MAX), MetadataType::Integer), None);
        assert_eq!(typed(Scalar::String("3".into()), MetadataType::Integer), None);
        assert_eq!(typed(Scalar::Boolean(true), MetadataType::Integer), None);
        assert_eq!(
            typed(Scalar::Null, MetadataType::Boolean),
            Some(MetadataValue::Null)
        );
    }
}
