//! Checked access to the keys of a `config.json`.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Place, Result, shown_text};

/// Widths, head counts and the like are within this; anything above is a damaged or hostile file.
pub(super) const SIZE: RangeInclusive<u64> = 1..=1 << 20;
/// Blocks of a model.
pub(super) const LAYERS: RangeInclusive<u64> = 1..=4096;
/// Rows of an embedding.
pub(super) const VOCABULARY: RangeInclusive<u64> = 1..=1 << 24;
/// Positions a publisher may name.
pub(super) const POSITIONS: RangeInclusive<u64> = 1..=1 << 40;

/// The keys of one file.
pub(super) struct Fields<'a> {
    pub(super) map: &'a Map<String, Value>,
    pub(super) path: &'a Path,
}

impl<'a> Fields<'a> {
    /// The error about a key.
    pub(super) fn wrong(&self, key: &str, message: impl std::fmt::Display) -> Error {
        Error::input(
            Place::file(self.path),
            format!("key `{}`: {message}", shown_text(key)),
        )
    }

    /// The value, where `null` counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// A whole number in a range.
    pub(super) fn size(&self, key: &str, range: RangeInclusive<u64>) -> Result<usize> {
        self.optional_size(key, range.clone())?.ok_or_else(|| {
            self.wrong(
                key,
                format_args!(
                    "missing; a whole number from {} to {} is needed",
                    range.start(),
                    range.end()
                ),
            )
        })
    }

    /// A whole number in a range, or `None` if the key is absent.
    pub(super) fn optional_size(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_u64().filter(|n| range.contains(n)) {
            Some(n) => Ok(Some(n as usize)),
            None => Err(self.wrong(
                key,
                format_args!(
                    "expected a whole number from {} to {}, found {}",
                    range.start(),
                    range.end(),
                    shown(value)
                ),
            )),
        }
    }

    /// A finite number above `above`.
    pub(super) fn number(&self, key: &str, above: f64, default: f64) -> Result<f64> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        value
            .as_f64()
            .filter(|n| n.is_finite() && *n > above)
            .ok_or_else(|| {
                self.wrong(
                    key,
                    format_args!("expected a number above {above}, found {}", shown(value)),
                )
            })
    }

    /// A truth value.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(value) => Err(self.wrong(
                key,
                format_args!("expected true or false, found {}", shown(value)),
            )),
        }
    }

    /// A token id below the vocabulary's size; of a list, the first.
    pub(super) fn token(&self, key: &str, vocab_size: usize, default: Option<u32>) -> Result<u32> {
        let value = match self.get(key) {
            Some(Value::Array(list)) => list.first(),
            other => other,
        };
        let Some(value) = value else {
            return default
                .filter(|id| (*id as usize) < vocab_size)
                .ok_or_else(|| self.wrong(key, "missing; a token id is needed"));
        };
        match value.as_u64().filter(|id| *id < vocab_size as u64) {
            Some(id) => Ok(id as u32),
            None => Err(self.wrong(
                key,
                format_args!(
                    "expected a token id below the vocabulary's {vocab_size}, found {}",
                    shown(value)
                ),
            )),
        }
    }

    /// Refuses any value but `supported`; an absent key has the value `default`.
    pub(super) fn only(&self, key: &str, supported: &Value, default: &Value) -> Result<()> {
        let value = self.get(key).unwrap_or(default);
        let equal = match (value.as_f64(), supported.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => value == supported,
        };
        if equal {
            return Ok(());
        }
        Err(self.wrong(
            key,
            format_args!("{} is not supported, only {supported}", shown(value)),
        ))
    }

    /// Refuses keys that belong to mixtures of experts and to quantized checkpoints, whatever the family.
    pub(super) fn refuse_other_kinds(&self) -> Result<()> {
        for (key, value) in self.map {
            let off = matches!(value, Value::Null | Value::Bool(false)) || value.as_f64() == Some(0.0);
            if off {
                continue;
            }
            let lower = key.to_lowercase();
            if lower.contains("expert") || lower.contains("moe") || lower.contains("router") {
                return Err(self.wrong(key, "a mixture of experts is not supported, only dense models"));
            }
            if lower.contains("quantization") {
                return Err(self.wrong(
                    key,
                    "a quantized checkpoint is not supported\nhint: use the f32, f16 or bf16 weights",
                ));
            }
        }
        Ok(())
    }
}

/// A value as it may be shown, cut to a line.
pub(super) fn shown(value: &Value) -> String {
    let text = shown_text(&value.to_string());
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
