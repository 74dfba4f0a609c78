//! The Arrow schema of a shard and what its metadata says. Format version 1.0.
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `tokens` | `FixedSizeList<uint32>[seq_len]` | the row; padding positions hold the pad id |
//! | `cu_seqlens` | `List<int32>` | running sum of segment lengths: first 0, last = real tokens |
//! | `cu_seqlens_padded` | `List<int32>` | only with aligned segments: where each segment starts, then where the last ends |
//! | `segment_document` | `List<uint64>` | row in `documents.parquet`, one per segment |
//! | `segment_start` | `List<int64>` | offset of the segment's first token in its document |
//! | `full_attention` | `bool` | true: every token attends to every token; false: only within its segment |

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Schema};

use crate::recipe::Boundary;
use crate::sequence::PositionMode;
use crate::tokenize::SpecialIds;

/// Version of the shard format: major breaks readers, minor adds.
pub const FORMAT_VERSION: &str = "1.0";

/// Prefix of every metadata key.
const PREFIX: &str = "ultrapack.";

/// What a shard says of itself in its schema metadata, besides its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// Positions per row.
    pub seq_len: u32,
    /// Rows in every batch but the last.
    pub rows_per_batch: u32,
    /// Special ids and vocabulary size.
    pub ids: SpecialIds,
    /// `blake3:…` of the tokenizer file.
    pub tokenizer_digest: String,
    /// What position ids count.
    pub positions: PositionMode,
    /// The boundary strategy.
    pub boundary: Boundary,
    /// Alignment of segments in tokens; 1 = none.
    pub align: u32,
    /// Digest of the recipe's meaning.
    pub recipe_digest: String,
    /// Digest of the plan.
    pub plan_digest: String,
    /// Number of the shard.
    pub shard_index: u32,
}

impl ShardInfo {
    /// The exact schema of this shard.
    pub fn schema(&self) -> Schema {
        let list = |item: DataType| DataType::List(Field::new("item", item, false).into());
        let tokens = DataType::FixedSizeList(
            Field::new("item", DataType::UInt32, false).into(),
            self.seq_len as i32,
        );
        let mut fields = vec![
            Field::new("tokens", tokens, false),
            Field::new("cu_seqlens", list(DataType::Int32), false),
            Field::new("segment_document", list(DataType::UInt64), false),
            Field::new("segment_start", list(DataType::Int64), false),
            Field::new("full_attention", DataType::Boolean, false),
        ];
        if self.align > 1 {
            fields.insert(2, Field::new("cu_seqlens_padded", list(DataType::Int32), false));
        }
        Schema::new_with_metadata(fields, self.metadata())
    }

    fn metadata(&self) -> HashMap<String, String> {
        let name = |value: serde_json::Value| value.as_str().expect("unit variants are strings").to_owned();
        let positions = name(serde_json::to_value(self.positions).expect("plain data"));
        let boundary = name(serde_json::to_value(self.boundary).expect("plain data"));
        [
            ("format_version", FORMAT_VERSION.to_owned()),
            ("seq_len", self.seq_len.to_string()),
            ("rows_per_batch", self.rows_per_batch.to_string()),
            ("vocab_size", self.ids.vocab_size.to_string()),
            ("eod_id", self.ids.eod.to_string()),
            ("pad_id", self.ids.pad.to_string()),
            (
                "mask_id",
                self.ids.mask.map_or("none".into(), |id| id.to_string()),
            ),
            ("tokenizer_digest", self.tokenizer_digest.clone()),
            ("position_mode", positions),
            ("boundary", boundary),
            ("align", self.align.to_string()),
            ("recipe_digest", self.recipe_digest.clone()),
            ("plan_digest", self.plan_digest.clone()),
            ("shard_index", self.shard_index.to_string()),
        ]
        .into_iter()
        .map(|(key, value)| (format!("{PREFIX}{key}"), value))
        .collect()
    }

    /// Reads the metadata of a shard file found without its manifest.
    ///
    /// # Errors
    /// A message that names the key that is missing or wrong.
    pub fn from_schema(schema: &Schema) -> Result<Self, String> {
        let text = |key: &str| {
            let full = format!("{PREFIX}{key}");
            schema
                .metadata()
                .get(&full)
                .cloned()
                .ok_or_else(|| format!("its schema has no `{full}`"))
        };
        let number = |key: &str, range: std::ops::RangeInclusive<u32>| {
            let text = text(key)?;
            match text.parse::<u32>() {
                Ok(value) if range.contains(&value) => Ok(value),
                _ => Err(format!("`{PREFIX}{key}` is {text:?}")),
            }
        };
        let version = text("format_version")?;
        if version.split('.').next() != FORMAT_VERSION.split('.').next() {
            return Err(format!(
                "format version {version}; this program reads {FORMAT_VERSION}"
            ));
        }
        let mask = match text("mask_id")?.as_str() {
            "none" => None,
            _ => Some(number("mask_id", 0..=i32::MAX as u32)?),
        };
        let info = Self {
            seq_len: number("seq_len", 1..=1 << 24)?,
            rows_per_batch: number("rows_per_batch", 1..=1 << 30)?,
            ids: SpecialIds {
                eod: number("eod_id", 0..=i32::MAX as u32)?,
                pad: number("pad_id", 0..=i32::MAX as u32)?,
                mask,
                vocab_size: number("vocab_size", 1..=i32::MAX as u32)?,
            },
            tokenizer_digest: text("tokenizer_digest")?,
            positions: serde_json::from_value(text("position_mode")?.into()).map_err(|e| e.to_string())?,
            boundary: serde_json::from_value(text("boundary")?.into()).map_err(|e| e.to_string())?,
            align: number("align", 1..=1 << 16)?,
            recipe_digest: text("recipe_digest")?,
            plan_digest: text("plan_digest")?,
            shard_index: number("shard_index", 0..=u32::MAX)?,
        };
        match info.rows_per_batch == super::rows_per_batch(info.seq_len) {
            true => Ok(info),
            false => Err(format!(
                "`{PREFIX}rows_per_batch` does not follow from seq_len {}",
                info.seq_len
            )),
        }
    }
}

/// Footer metadata keys: what is known only at the end.
pub(super) const N_ROWS: &str = "ultrapack.n_rows";
pub(super) const N_TOKENS: &str = "ultrapack.n_tokens";
pub(super) const N_SEGMENTS: &str = "ultrapack.n_segments";
