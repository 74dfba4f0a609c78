//! The recipe as types: one struct per YAML mapping, defaults included.
//!
//! The doc comments are the documentation of the keys: the JSON Schema in `schemas/` and the
//! "allowed" lists of error messages are generated from here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sequence::PositionMode;

/// What to pack, from which documents, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Recipe format; always 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Name of the dataset; the default output directory is `out/NAME`. Default: the file's name.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$"))]
    pub name: Option<String>,
    /// Where the documents come from, in order.
    #[schemars(length(min = 1))]
    pub sources: Vec<Source>,
    /// How text becomes tokens.
    pub tokenizer: Tokenizer,
    /// How bytes become text.
    #[serde(default)]
    pub text: Text,
    /// How documents become sequences.
    #[serde(default)]
    pub pack: Pack,
    /// How much of each source is used.
    #[serde(default)]
    pub mixture: Mixture,
    /// In which order sequences are written, so that data-parallel ranks do equal work.
    #[serde(default)]
    pub balance: Option<Balance>,
    /// How shards are cut.
    #[serde(default)]
    pub shards: Shards,
    /// What to do with records that cannot be used, and when to give up.
    #[serde(default)]
    pub limits: Limits,
    /// Seed of every random choice: shuffling, partial epochs, the hybrid rule.
    #[serde(default)]
    pub seed: u64,
    /// How the run uses the machine; never changes a byte of the output.
    #[serde(default)]
    pub run: Run,
}

/// A named collection of documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Unique name: lower-case letters, digits, `.`, `_`, `-`.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._-]{0,80}$"))]
    pub name: String,
    /// Files or glob patterns, relative to the recipe. Files are read in bytewise order of their names.
    #[schemars(length(min = 1))]
    pub paths: Vec<String>,
    /// File format. `auto` looks at the content.
    #[serde(default)]
    pub format: Format,
    /// Field that holds the text, as a dotted path (`data.body`). Not for plain text.
    #[serde(default = "default_text_field")]
    pub text: String,
    /// Plain text only: a line that separates documents. Without it, one file is one document.
    #[serde(default)]
    pub separator: Option<String>,
    /// Fields to keep beside the text, by dotted path, with their types. They may be used in `where`
    /// and become columns of `documents.parquet`; one whose name that table already has is called
    /// `metadata.NAME` there.
    #[serde(default)]
    pub metadata: BTreeMap<String, MetadataType>,
    /// SQL condition over the metadata columns; documents for which it is not true are left out.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// Share of this source in the mixture, by tokens; the weights of all sources are divided by
    /// their sum. Give a weight to all sources or to none.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub weight: Option<f64>,
    /// How often each document is used: 2 = twice, 0.5 = a seeded half of the documents. Not
    /// together with `weight`.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub epochs: Option<f64>,
}

fn default_text_field() -> String {
    "text".into()
}

/// File format of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// By content: Parquet, Arrow, JSON lines, else plain text.
    #[default]
    Auto,
    /// One JSON object per line.
    Jsonl,
    /// Parquet.
    Parquet,
    /// Arrow IPC, file or stream.
    Arrow,
    /// Plain text.
    Text,
}

/// Type of a metadata field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetadataType {
    /// Text.
    String,
    /// Whole number, 64 bits, signed.
    Integer,
    /// Number, 64-bit floating point.
    Float,
    /// True or false.
    Boolean,
}

/// The tokenizer and its special ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokenizer {
    /// A Hugging Face `tokenizer.json`, relative to the recipe.
    pub file: PathBuf,
    /// End-of-document token, by name or id.
    pub eod: TokenRef,
    /// Token written into padding positions, by name or id. Default: the EOD token.
    #[serde(default)]
    pub pad: Option<TokenRef>,
    /// The model's mask token, by name or id. Recorded for the trainer; never written into sequences.
    #[serde(default)]
    pub mask: Option<TokenRef>,
    /// Rows of the model's embedding, when it has more than the tokenizer has ids.
    #[serde(default)]
    #[schemars(range(min = 1, max = 2147483647))]
    pub vocab_size: Option<u32>,
    /// What a special token's name inside a document's text becomes.
    #[serde(default)]
    pub special_tokens: SpecialTokens,
}

/// A token, by name or by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TokenRef {
    /// The token's id.
    Id(u32),
    /// The token's exact text in the vocabulary or the added tokens.
    Name(String),
}

/// What `<|endoftext|>` inside a text becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpecialTokens {
    /// Plain text, like any other characters: a document cannot forge a boundary.
    #[default]
    Text,
    /// The special token's id.
    Allow,
}

/// How bytes become text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Text {
    /// Invalid UTF-8 and lone surrogates: `error` treats the record as bad, `replace` puts U+FFFD.
    pub invalid_utf8: InvalidUtf8,
    /// Line ends of plain-text files: `lf` turns CR LF into LF, `keep` changes nothing. The text of
    /// JSON, Parquet and Arrow records is never changed.
    pub newlines: Newlines,
}

/// What to do with bytes that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvalidUtf8 {
    /// The record is bad.
    #[default]
    Error,
    /// Each invalid sequence becomes U+FFFD; the documents are counted.
    Replace,
}

/// Line ends of plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Newlines {
    /// CR LF becomes LF.
    #[default]
    Lf,
    /// As in the file.
    Keep,
}

/// How documents become sequences.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pack {
    /// Tokens per sequence: one length, or a list for a length curriculum (one dataset each).
    pub seq_len: SeqLen,
    /// What happens where documents meet.
    pub boundary: Boundary,
    /// Whether an EOD token follows each document. Default: no for `direct`, yes for the others.
    pub eod: Option<bool>,
    /// `hybrid` only: the share of sequences in which documents attend only within themselves.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub hybrid_share: f64,
    /// The algorithm that puts segments into sequences.
    pub placement: Placement,
    /// `first_fit` and `best_fit`: how many sequences are open at a time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub open_sequences: u32,
    /// `bucket`: the shortest bucket, in tokens (a power of two).
    #[schemars(range(min = 1, max = 16_777_216))]
    pub bucket_min: u32,
    /// What happens to a document longer than `seq_len`.
    pub long_documents: LongDocuments,
    /// `long_documents: overlap` only: tokens repeated at the start of each following piece.
    pub overlap: u32,
    /// Documents with fewer tokens are dropped, and counted.
    pub min_len: Option<u64>,
    /// Documents with more tokens are dropped, and counted.
    pub max_len: Option<u64>,
    /// What happens to a sequence that is not full at the end: padded, or dropped and counted.
    pub tail: Tail,
    /// Each segment starts at a multiple of this many tokens (context parallelism, kernels).
    #[schemars(range(min = 1, max = 65_536))]
    pub align: u32,
    /// Whether documents are shuffled by the seed before placement.
    pub shuffle: bool,
    /// What position ids count; recorded for the trainer.
    pub positions: PositionMode,
    /// Whether documents with the same text are used only once.
    pub deduplicate: bool,
}

impl Default for Pack {
    fn default() -> Self {
        Self {
            seq_len: SeqLen::default(),
            boundary: Boundary::default(),
            eod: None,
            hybrid_share: 0.5,
            placement: Placement::default(),
            open_sequences: 32,
            bucket_min: 256,
            long_documents: LongDocuments::default(),
            overlap: 0,
            min_len: None,
            max_len: None,
            tail: Tail::default(),
            align: 1,
            shuffle: true,
            positions: PositionMode::default(),
            deduplicate: false,
        }
    }
}

/// One sequence length, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SeqLen {
    /// Tokens per sequence.
    One(#[schemars(range(min = 1, max = 16_777_216))] u32),
    /// One dataset per length, all from the same token store.
    Many(#[schemars(length(min = 1), inner(range(min = 1, max = 16_777_216)))] Vec<u32>),
}

impl Default for SeqLen {
    fn default() -> Self {
        Self::One(131_072)
    }
}

impl SeqLen {
    /// The lengths, in the order of the recipe.
    pub fn all(&self) -> &[u32] {
        match self {
            Self::One(len) => std::slice::from_ref(len),
            Self::Many(lens) => lens,
        }
    }
}

/// What happens where documents meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Nothing: documents back to back, full attention.
    Direct,
    /// One EOD after each document, full attention.
    Eod,
    /// Documents attend only within themselves.
    #[default]
    Adaptive,
    /// Per sequence, by a seeded choice: as `adaptive`, or full attention.
    Hybrid,
}

/// The algorithm that puts segments into sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Cut the concatenation of all documents every `seq_len` tokens.
    Stream,
    /// The oldest open sequence with room, in arrival order.
    FirstFit,
    /// The open sequence with the least room that suffices, in arrival order.
    #[default]
    BestFit,
    /// Best fit over documents sorted from long to short.
    BestFitDecreasing,
    /// Segments of power-of-two lengths; a sequence holds segments of one length.
    Bucket,
}

/// What happens to a document longer than `seq_len`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LongDocuments {
    /// Cut into consecutive pieces; no token is lost.
    #[default]
    Split,
    /// Keep the first `seq_len` tokens; the rest is counted as truncated.
    Truncate,
    /// Leave the document out, and count it.
    Drop,
    /// Cut into pieces that repeat the last `overlap` tokens of the one before.
    Overlap,
}

/// What happens to sequences that are not full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    /// Filled with padding.
    #[default]
    Pad,
    /// `stream` only: the last, unfinished sequence is dropped and its tokens counted.
    Drop,
}

/// How much of each source is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mixture {
    /// Tokens in all, shared out by the sources' weights; sources repeat or stop early to reach it.
    /// Default with weights: as many as the scarcest source allows without repeating.
    #[schemars(range(min = 1))]
    pub tokens: Option<u64>,
}

/// Order of sequences for data-parallel training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// Data-parallel ranks.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub ranks: u32,
    /// Sequences per rank and optimizer step (gradient accumulation).
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub accumulate: u32,
    /// Sort by cost within this many global batches before cutting them; 1 keeps each sequence in
    /// its batch.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub group: u32,
    /// Cost of one token outside attention, in FLOPs. Default: LLaDA-8B.
    #[serde(default = "default_token_cost")]
    #[schemars(range(min = 0.0))]
    pub token_cost: f64,
    /// Cost of one attending (query, key) pair, in FLOPs. Default: LLaDA-8B.
    #[serde(default = "default_pair_cost")]
    #[schemars(range(min = 0.0))]
    pub pair_cost: f64,
}

fn one() -> u32 {
    1
}

/// Forward FLOPs per token of LLaDA-8B outside attention: 2 × 6.98e9 block parameters.
pub fn default_token_cost() -> f64 {
    1.396e10
}

/// Forward FLOPs per attending pair of LLaDA-8B: 4 × 32 layers × 4096.
pub fn default_pair_cost() -> f64 {
    524_288.0
}

/// How shards are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Shards {
    /// Target size of a shard in bytes of tokens; a shard holds at least one record batch, which is
    /// 8 MiB or one sequence.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776u64))]
    pub bytes: u64,
}

impl Default for Shards {
    fn default() -> Self {
        Self { bytes: 1 << 30 }
    }
}

/// Bad records and hostile input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A record without usable text: stop the run, or skip and count it.
    pub on_bad_record: OnBadRecord,
    /// `skip` only: give up after this many bad records. Default: never.
    pub max_bad_records: Option<u64>,
    /// Largest document, in bytes of its record.
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub max_document_bytes: u64,
    /// Largest decompressed size of one input file, in bytes.
    #[schemars(range(min = 1))]
    pub max_file_bytes: u64,
    /// Largest zstd window a compressed file may ask for, as a power of two.
    #[schemars(range(min = 10, max = 31))]
    pub zstd_window_log: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            on_bad_record: OnBadRecord::default(),
            max_bad_records: None,
            max_document_bytes: 256 << 20,
            max_file_bytes: 1 << 40,
            zstd_window_log: 27,
        }
    }
}

/// What to do with a record that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRecord {
    /// Stop and say where it is.
    #[default]
    Fail,
    /// Leave it out and count it.
    Skip,
}

/// How the run uses the machine. No key here changes a byte of the output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Output directory, relative to the recipe. `--out` has precedence.
    pub out: Option<PathBuf>,
    /// Token store, relative to the recipe. Default: `ultrapack-store` beside the output directory.
    pub store: Option<PathBuf>,
    /// Worker threads. Default: all cores.
    #[schemars(range(min = 1, max = 4096))]
    pub threads: Option<u32>,
    /// Memory for text in flight, in bytes; more helps only with very long documents.
    #[schemars(range(min = 16_777_216))]
    pub memory: Option<u64>,
}
