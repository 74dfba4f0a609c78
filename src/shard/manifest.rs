//! `manifest.json`: what the dataset is. Written last; its presence is what makes a dataset.
//!
//! The file is canonical: reading and writing it gives the same bytes, and `dataset` is the hash of
//! all the rest, so that any changed character is found.

use std::collections::BTreeSet;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{DOCUMENTS, PLAN, TOKENIZER, is_safe_name, shard_name};
use super::schema::{FORMAT_VERSION, ShardInfo};
use crate::disk;
use crate::error::{Error, Result};
use crate::pack::{Ledger, Statistics};
use crate::recipe::Boundary;
use crate::sequence::PositionMode;
use crate::tokenize::SpecialIds;

/// The manifest's name.
pub const MANIFEST: &str = "manifest.json";

/// Largest manifest that is read: a million shards.
const MAX_BYTES: u64 = 512 << 20;

/// What a dataset is: its recipe, its files with their hashes, its account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the format: major breaks readers, minor adds.
    pub format_version: String,
    /// The dataset's id: `blake3:…` of this manifest with an empty `dataset`.
    pub dataset: String,
    /// `blake3:…` of `recipe` in canonical form.
    pub recipe_digest: String,
    /// The recipe's meaning: defaults filled in, nothing about places and machines.
    pub recipe: serde_json::Value,
    /// Positions per sequence.
    pub seq_len: u32,
    /// What happens where documents meet.
    pub boundary: Boundary,
    /// What position ids count.
    pub position_mode: PositionMode,
    /// Each segment starts at a multiple of this.
    pub align: u32,
    /// Rows in every record batch of a shard but the last.
    pub rows_per_batch: u32,
    /// Rows in every shard but the last.
    pub rows_per_shard: u64,
    /// Consecutive rows that belong together: ranks × accumulate of `balance`, else 1. Readers
    /// shuffle in units of this many rows.
    pub batch_rows: u64,
    /// Special ids and vocabulary size.
    pub ids: SpecialIds,
    /// The tokenizer's copy.
    pub tokenizer: TokenizerEntry,
    /// The input, source by source.
    pub inputs: Vec<InputEntry>,
    /// The units of the token store that this dataset was made from.
    pub store: StoreEntry,
    /// The plan.
    pub plan: FileEntry,
    /// The documents table.
    pub documents: FileEntry,
    /// The shards in order.
    pub shards: Vec<ShardEntry>,
    /// Where every input token went.
    pub ledger: Ledger,
    /// What the sequences are like.
    pub statistics: Statistics,
}

/// A file of the dataset with rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name in the dataset's directory.
    pub name: String,
    /// Length in bytes.
    pub n_bytes: u64,
    /// Number of rows.
    pub n_rows: u64,
    /// BLAKE3 of the file, hexadecimal.
    pub blake3: String,
}

/// The tokenizer's copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenizerEntry {
    /// Name in the dataset's directory.
    pub name: String,
    /// Length in bytes.
    pub n_bytes: u64,
    /// BLAKE3 of the file, hexadecimal.
    pub blake3: String,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// Name in the dataset's directory.
    pub name: String,
    /// Length in bytes.
    pub n_bytes: u64,
    /// Number of sequences.
    pub n_rows: u64,
    /// Real tokens.
    pub n_tokens: u64,
    /// Number of segments.
    pub n_segments: u64,
    /// xxh3-64 of the bytes outside record batches, 16 hexadecimal digits.
    pub frame_xxh3: String,
    /// BLAKE3 of the file, hexadecimal.
    pub blake3: String,
}

/// One source of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputEntry {
    /// The source's name.
    pub name: String,
    /// Number of files.
    pub n_files: u64,
    /// Their length in bytes, as stored.
    pub n_bytes: u64,
    /// `blake3:…` over the names and hashes of the files, in order.
    pub digest: String,
}

/// The token store units behind a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreEntry {
    /// Version of the store's format.
    pub version: u32,
    /// The units in document order.
    pub units: Vec<StoreUnit>,
}

/// One unit of the token store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreUnit {
    /// Index of its source.
    pub source: u32,
    /// Its address in the store.
    pub address: String,
    /// Number of documents.
    pub n_documents: u64,
    /// Number of tokens.
    pub n_tokens: u64,
}

impl Manifest {
    /// Fills in `dataset` and gives the canonical bytes.
    pub fn seal(mut self) -> (Self, Vec<u8>) {
        self.dataset = String::new();
        let hash = blake3::hash(&self.canonical());
        self.dataset = format!("blake3:{}", hash.to_hex());
        let bytes = self.canonical();
        (self, bytes)
    }

    fn canonical(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data");
        bytes.push(b'\n');
        bytes
    }

    /// Reads and checks the manifest of the dataset in `directory`.
    ///
    /// # Errors
    /// [`Error::NoDataset`] if there is none, [`Error::Damaged`] if it is not as it was written.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(MANIFEST);
        if !directory.is_dir() {
            return Err(Error::NoDataset {
                path: directory.into(),
                message: "no such directory".into(),
            });
        }
        if !path.exists() {
            let message = format!(
                "it has no `{MANIFEST}`\nhint: a run that was stopped leaves none; run `pack` again to finish it"
            );
            return Err(Error::NoDataset {
                path: directory.into(),
                message,
            });
        }
        let bytes = disk::read_small(&path, MAX_BYTES)?;
        let damaged = |message: String| Error::damaged("manifest", &path, message);
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|e| damaged(format!("not a manifest: {e}")))?;
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        if major(&manifest.format_version) != major(FORMAT_VERSION) {
            let found = crate::error::shown_text(&manifest.format_version);
            return Err(damaged(format!(
                "format version {found}; this program reads {FORMAT_VERSION}"
            )));
        }
        let (sealed, canonical) = manifest.clone().seal();
        if sealed.dataset != manifest.dataset || canonical != bytes {
            return Err(damaged(
                "it was changed after writing: its content does not have its id".into(),
            ));
        }
        manifest.check().map_err(damaged)?;
        Ok(manifest)
    }

    /// Tests what must hold between the fields, whoever wrote them.
    ///
    /// # Errors
    /// A message that says what does not hold.
    pub fn check(&self) -> Result<(), String> {
        let mut names = BTreeSet::new();
        let single = [&self.tokenizer.name, &self.plan.name, &self.documents.name];
        for name in single.into_iter().chain(self.shards.iter().map(|s| &s.name)) {
            if !is_safe_name(name) {
                return Err(format!("{name:?} is not a name for a file of a dataset"));
            }
            if !names.insert(name) {
                return Err(format!("{name:?} occurs twice"));
            }
        }
        if self.tokenizer.name != TOKENIZER || self.plan.name != PLAN || self.documents.name != DOCUMENTS {
            return Err("a file has another name than the format gives it".into());
        }
        if self.rows_per_batch != super::rows_per_batch(self.seq_len.clamp(1, 1 << 24)) {
            return Err(format!(
                "`rows_per_batch` {} does not follow from seq_len {}",
                self.rows_per_batch, self.seq_len
            ));
        }
        if self.seq_len == 0
            || self.seq_len > 1 << 24
            || self.align == 0
            || self.batch_rows == 0
            || self.rows_per_shard == 0
        {
            return Err("`seq_len`, `align`, `batch_rows` or `rows_per_shard` is out of range".into());
        }
        if !self.rows_per_shard.is_multiple_of(u64::from(self.rows_per_batch)) {
            return Err(format!(
                "`rows_per_shard` {} is not a number of whole batches",
                self.rows_per_shard
            ));
        }
        if self.recipe_digest != crate::recipe::digest_of(&self.recipe) {
            return Err("`recipe_digest` is not the digest of `recipe`".into());
        }
        let balance = |key: &str| self.recipe["balance"][key].as_u64().unwrap_or(1);
        if self.batch_rows != balance("ranks").saturating_mul(balance("accumulate")) {
            return Err(format!(
                "`batch_rows` {} does not follow from `recipe`",
                self.batch_rows
            ));
        }
        self.check_sources()?;
        for (index, shard) in self.shards.iter().enumerate() {
            let last = index + 1 == self.shards.len();
            if shard.name != shard_name(index) {
                return Err(format!("shard {index} is called {:?}", shard.name));
            }
            if shard.n_rows == 0
                || shard.n_rows > self.rows_per_shard
                || (!last && shard.n_rows != self.rows_per_shard)
            {
                return Err(format!("shard {index} cannot have {} rows", shard.n_rows));
            }
        }
        let sum =
            |count: fn(&ShardEntry) -> u64| self.shards.iter().map(count).fold(0u64, u64::saturating_add);
        let slots = &self.ledger.slots;
        let equations = [
            (
                "rows of the shards = sequences of the ledger",
                sum(|s| s.n_rows),
                slots.sequences,
            ),
            (
                "rows of the plan = sequences of the ledger",
                self.plan.n_rows,
                slots.sequences,
            ),
            (
                "real tokens of the shards = tokens placed",
                sum(|s| s.n_tokens),
                self.ledger.total.tokens.placed,
            ),
            (
                "seq_len = seq_len of the ledger",
                u64::from(self.seq_len),
                slots.seq_len,
            ),
            (
                "sequences = sequences of the statistics",
                slots.sequences,
                self.statistics.n_sequences,
            ),
            (
                "segments of the shards = segments of the statistics",
                sum(|s| s.n_segments),
                self.statistics
                    .segment_lens
                    .iter()
                    .map(|range| range.count)
                    .fold(0, u64::saturating_add),
            ),
            (
                "documents of the store = rows of the documents table",
                self.store
                    .units
                    .iter()
                    .map(|u| u.n_documents)
                    .fold(0, u64::saturating_add),
                self.documents.n_rows,
            ),
            (
                "tokens of the store = tokens read",
                self.store
                    .units
                    .iter()
                    .map(|u| u.n_tokens)
                    .fold(0, u64::saturating_add),
                self.ledger.total.tokens.read,
            ),
        ];
        for (what, left, right) in equations {
            if left != right {
                return Err(format!("{what}: {left} against {right}"));
            }
        }
        self.ledger.check().map_err(|e| e.to_string())
    }

    /// The sources have the same names everywhere, and the store's units hold what the ledger says of
    /// each.
    fn check_sources(&self) -> Result<(), String> {
        let named: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        let recipe = self.recipe["sources"].as_array().into_iter().flatten();
        let same = recipe
            .map(|source| source["name"].as_str().unwrap_or_default())
            .eq(named.iter().copied())
            && self
                .ledger
                .sources
                .iter()
                .map(|s| s.name.as_str())
                .eq(named.iter().copied())
            && self
                .statistics
                .mixture
                .iter()
                .map(|s| s.name.as_str())
                .eq(named.iter().copied());
        if !same {
            return Err("`recipe`, `inputs`, `ledger` and `statistics` name other sources".into());
        }
        let mut stored = vec![(0u64, 0u64); named.len()];
        for unit in &self.store.units {
            let (documents, tokens) = stored.get_mut(unit.source as usize).ok_or_else(|| {
                format!(
                    "a unit of the store is of source {}, which does not exist",
                    unit.source
                )
            })?;
            *documents = documents.saturating_add(unit.n_documents);
            *tokens = tokens.saturating_add(unit.n_tokens);
        }
        for (source, stored) in self.ledger.sources.iter().zip(stored) {
            let (documents, tokens) = (&source.account.documents, &source.account.tokens);
            let unstored = documents.bad.saturating_add(documents.filtered);
            let read = (documents.read.saturating_sub(unstored), tokens.read);
            if read != stored {
                return Err(format!(
                    "documents and tokens of source {:?}: the ledger has {read:?}, the store {stored:?}",
                    source.name
                ));
            }
        }
        Ok(())
    }

    /// What shard `index` must say of itself.
    pub fn shard_info(&self, index: usize) -> ShardInfo {
        ShardInfo {
            seq_len: self.seq_len,
            rows_per_batch: self.rows_per_batch,
            ids: self.ids,
            tokenizer_digest: format!("blake3:{}", self.tokenizer.blake3),
            positions: self.position_mode,
            boundary: self.boundary,
            align: self.align,
            recipe_digest: self.recipe_digest.clone(),
            plan_digest: format!("blake3:{}", self.plan.blake3),
            shard_index: index as u32,
        }
    }

    /// Number of sequences.
    pub fn n_rows(&self) -> u64 {
        self.plan.n_rows
    }
}

/// The JSON Schema of the manifest.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Manifest).to_value();
    schema["$id"] = "urn:ultrapack:schema:manifest:1".into();
    schema
}
