//! Words for types, and guesses at what was meant.

use serde_json::Value as Json;

use super::report::{brief, quoted};
use super::yaml::Value;

/// A JSON type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub(super) fn of(name: &Json) -> Option<Self> {
        Some(match name.as_str()? {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "string" => Self::String,
            "array" => Self::Array,
            "object" => Self::Object,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean => "true or false",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "a list",
            Self::Object => "a mapping",
        }
    }

    pub(super) fn fits(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Self::Null, Value::Null)
                | (Self::Boolean, Value::Bool(_))
                | (Self::Integer | Self::Number, Value::Int(_))
                | (Self::Number, Value::Float(_))
                | (Self::String, Value::String(_))
                | (Self::Array, Value::Seq(_))
                | (Self::Object, Value::Map(_))
        )
    }
}

/// What a value is, for messages.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Int(value) => format!("the integer {value}"),
        Value::Float(value) => format!("the number {value}"),
        Value::String(text) => format!("the string {}", quoted(text)),
        Value::Seq(_) => "a list".into(),
        Value::Map(_) => "a mapping".into(),
        Value::Reported => "an error".into(),
    }
}

/// What to write instead, where the intention can be guessed.
pub(super) fn instead(wanted: &[Kind], value: &Value) -> String {
    let wants = |kind| wanted.contains(&kind);
    match value {
        Value::Null if wants(Kind::Object) => "give it keys, or remove the line".into(),
        Value::Null => "a value is missing".into(),
        Value::String(text) if wants(Kind::Boolean) => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => "write true: YAML 1.2 knows only true and false".into(),
            "no" | "off" | "n" | "false" => "write false: YAML 1.2 knows only true and false".into(),
            _ => String::new(),
        },
        Value::String(text) if wants(Kind::Integer) || wants(Kind::Number) => {
            let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
            let whole = digits.parse::<u64>().is_ok();
            if !digits.starts_with(|c: char| c.is_ascii_digit()) || text.len() > 40 {
                String::new()
            } else if whole || wants(Kind::Number) && digits.parse::<f64>().is_ok() {
                format!("write {digits}, without quotes or separators")
            } else {
                "write the number in full, without a unit".into()
            }
        }
        Value::Float(value) if wants(Kind::Integer) && value.fract() == 0.0 && value.abs() < 1e15 => {
            format!("write {value:.0}")
        }
        Value::String(text) if wants(Kind::Array) => format!("write a list: [\"{}\"]", brief(text)),
        Value::Int(value) if wants(Kind::String) => format!("put it in quotes: \"{value}\""),
        Value::Bool(value) if wants(Kind::String) => format!("put it in quotes: \"{value}\""),
        Value::Float(_) if wants(Kind::String) => "put it in quotes".into(),
        Value::Seq(items) if wants(Kind::String) => match items.as_slice() {
            [item] => match &item.value {
                Value::String(text) => {
                    format!("a value that starts with `[` needs quotes: \"[{}]\"", brief(text))
                }
                _ => String::new(),
            },
            _ => String::new(),
        },
        Value::Map(_) if wants(Kind::Array) => "put `- ` before its first key".into(),
        _ => String::new(),
    }
}

/// ``did you mean `x`?``, or nothing if no candidate is close.
pub(super) fn did_you_mean(written: &str, candidates: &[&str]) -> String {
    let normal = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let written = normal(written);
    let limit = (written.chars().count() / 3).max(1);
    let close = |candidate: &&&str| {
        let lengths = candidate.len().abs_diff(written.len());
        lengths <= limit && strsim::damerau_levenshtein(&written, candidate) <= limit
    };
    match candidates
        .iter()
        .filter(close)
        .min_by_key(|one| strsim::damerau_levenshtein(&written, one))
    {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_close_names_are_suggested() {
        assert_eq!(
            did_you_mean("max-lenght", &["max_length", "min_length"]),
            "did you mean `max_length`?"
        );
        assert_eq!(did_you_mean("strategy", &["seed", "pack"]), "");
    }

    #[test]
    fn a_number_written_as_text_is_told_apart_from_text() {
        let integer = |text: &str| instead(&[Kind::Integer], &Value::String(text.into()));
        assert_eq!(integer("131_072"), "write 131072, without quotes or separators");
        assert_eq!(integer("128K"), "write the number in full, without a unit");
        assert_eq!(integer("1.5"), "write the number in full, without a unit");
        assert_eq!(integer("long"), "");
        assert_eq!(instead(&[Kind::Number], &Value::String("nan".into())), "");
    }
}
