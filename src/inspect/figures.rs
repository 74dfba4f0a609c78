//! The numbers that the terminal, the pictures and the page are drawn from, as `--json` prints them.
//!
//! Nothing here is computed and nothing is drawn: a figure that a picture shows is one of these
//! fields, so that the three ways of looking cannot disagree.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pack::{ContextKept, LengthRange, Quantiles, SourceShare};
use crate::recipe::Boundary;
use crate::sequence::PositionMode;

/// The dataset, or the single shard, at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Overview {
    /// What it is and how it was made.
    pub identity: Identity,
    /// What deserves attention, most severe first.
    pub findings: Vec<Finding>,
    /// Where the input's tokens went; a single shard does not know.
    pub ledger: Option<LedgerFigures>,
    /// How full the sequences are.
    pub fill: FillFigures,
    /// Lengths of the documents handed to placement, EOD included; a single shard does not know.
    pub document_lens: Option<Vec<LengthRange>>,
    /// Lengths of the placed segments, EOD included.
    pub segment_lens: Vec<LengthRange>,
    /// Share of tokens with at least this much context: in the input, and in the sequences. For a
    /// single shard `documents` repeats `segments`.
    pub context_kept: Vec<ContextKept>,
    /// What attention costs.
    pub attention: AttentionFigures,
    /// The mixture asked for and the mixture achieved; a single shard does not know.
    pub mixture: Option<Vec<SourceShare>>,
}

/// What a dataset or a shard says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The directory or file as it was named, made visible.
    pub path: String,
    /// Whether this is a whole, committed dataset or one shard file.
    pub kind: Kind,
    /// The dataset's id, `blake3:…`.
    pub dataset: Option<String>,
    /// Digest of the recipe's meaning.
    pub recipe_digest: String,
    /// Digest of the tokenizer file.
    pub tokenizer_digest: String,
    /// Version of the shard format.
    pub format_version: String,
    /// Positions per sequence.
    pub seq_len: u32,
    /// What happens where documents meet.
    pub boundary: Boundary,
    /// What position ids count.
    pub position_mode: PositionMode,
    /// Each segment starts at a multiple of this.
    pub align: u32,
    /// Every id is below this.
    pub vocab_size: u32,
    /// Follows a document.
    pub eod_id: u32,
    /// Fills padding positions.
    pub pad_id: u32,
    /// The model's mask token.
    pub mask_id: Option<u32>,
    /// Number of shards.
    pub n_shards: u64,
    /// Bytes of all shards.
    pub n_bytes: u64,
    /// Rows of `documents.parquet`.
    pub n_documents: Option<u64>,
}

/// What was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A dataset with its manifest: committed, its id right.
    Dataset,
    /// One shard file, which knows neither ledger nor documents.
    Shard,
}

/// Something that deserves attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `I001` …: see the table in the documentation of `findings`.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence with its numbers.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Training on it would be wrong.
    Error,
    /// Probably not what was wanted.
    Warning,
    /// Worth knowing.
    Note,
}

/// Where the input's tokens went:
/// `read = Σ left_out of whole documents + used` and
/// `used + repeated + overlap + eod_added = placed + truncated + tail_dropped`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerFigures {
    /// Records of the input files.
    pub documents_read: u64,
    /// Documents handed to placement at least once.
    pub documents_used: u64,
    /// Occurrences cut into more than one segment.
    pub documents_split: u64,
    /// Tokens of all documents.
    pub tokens_read: u64,
    /// Tokens of the documents used, each once, without EOD.
    pub tokens_used: u64,
    /// Tokens of repeated uses.
    pub tokens_repeated: u64,
    /// Tokens repeated at the start of pieces.
    pub tokens_overlap: u64,
    /// EOD tokens added.
    pub eod_added: u64,
    /// Tokens in sequences, EOD included.
    pub tokens_placed: u64,
    /// Tokens cut off by `long_documents: truncate`.
    pub tokens_truncated: u64,
    /// Tokens of the dropped last sequence.
    pub tokens_tail_dropped: u64,
    /// Whole documents left out, by reason; only reasons that occur.
    pub left_out: Vec<LeftOut>,
}

/// Documents left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// `filtered`, `duplicate`, `too_short`, …
    pub reason: String,
    /// How many documents.
    pub documents: u64,
    /// Their tokens; `null` for those that were never tokenized.
    pub tokens: Option<u64>,
}

/// How full the sequences are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FillFigures {
    /// Number of sequences.
    pub n_sequences: u64,
    /// `n_sequences × seq_len`.
    pub slots: u64,
    /// Real tokens, EOD included.
    pub tokens: u64,
    /// Padding behind the last segments.
    pub padding_tail: u64,
    /// Padding between aligned segments.
    pub padding_align: u64,
    /// `tokens / slots`; 0 without sequences.
    pub fill_ratio: f64,
    /// Segments per sequence.
    pub segments_per_sequence: Quantiles<u64>,
    /// Fill ratio along the sequences in row order.
    pub profile: Vec<ProfileBin>,
}

/// What attention costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttentionFigures {
    /// Attending (query, key) pairs of a sequence over `seq_len²`.
    pub density: Quantiles<f64>,
    /// Sequences by density: 20 equal steps from 0 to 1.
    pub histogram: Vec<u64>,
    /// Density along the sequences in row order.
    pub profile: Vec<ProfileBin>,
    /// Sequences in which every token attends to every token.
    pub n_full: u64,
    /// How evenly ranks are loaded.
    pub ranks: RankFigures,
}

/// How evenly data-parallel ranks are loaded. A cost counts attention and all the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RankFigures {
    /// Number of ranks: the recipe's `balance.ranks`, else 8.
    pub n_ranks: u32,
    /// Sequences per rank and step: the recipe's `balance.accumulate`, else 1.
    pub accumulate: u32,
    /// Slowest rank over mean rank in the order as placed; `null` without a complete batch.
    pub slowdown_before: Option<f64>,
    /// The same in the order as written.
    pub slowdown_after: Option<f64>,
    /// `[n_ranks]`: each rank's cost over all complete batches in the order as written, over the
    /// mean of all ranks. Empty without a complete batch.
    pub loads: Vec<f64>,
    /// `[n_ranks]`: each rank's most expensive sequence, as a multiple of the mean sequence.
    pub most: Vec<f64>,
}

/// Consecutive sequences drawn as one point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileBin {
    /// First row.
    pub first: u64,
    /// Number of rows.
    pub count: u64,
    /// Smallest value.
    pub min: f64,
    /// Mean value.
    pub mean: f64,
    /// Largest value.
    pub max: f64,
}

/// One sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SequenceFigures {
    /// Row in the dataset, or in the shard if that is all there is.
    pub sequence: u64,
    /// The shard that holds it.
    pub shard: String,
    /// Positions.
    pub seq_len: u32,
    /// Real tokens.
    pub n_tokens: u64,
    /// `true`: every token attends to every token; `false`: only within its segment.
    pub full_attention: bool,
    /// What position ids count.
    pub position_mode: PositionMode,
    /// Attending (query, key) pairs.
    pub attention_pairs: u64,
    /// `attention_pairs / seq_len²`.
    pub density: f64,
    /// The segments in order.
    pub segments: Vec<SegmentFigures>,
}

/// One segment of a sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentFigures {
    /// Letter in the ruler: A to Z, a to z, and again.
    pub letter: char,
    /// Position of its first token.
    pub offset: u32,
    /// Tokens, EOD included.
    pub len: u32,
    /// Row of `documents.parquet`.
    pub document: u64,
    /// Offset of its first token in the document.
    pub start: u64,
    /// Where the document came from, if the documents table is there.
    pub origin: Option<Origin>,
}

/// Where a document came from. Texts are as recorded: whoever shows them makes them visible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// The recipe's source.
    pub source: String,
    /// The file in it.
    pub file: String,
    /// Record number in the file, from 0.
    pub record: u64,
    /// Bytes of the record in the decompressed file: first, and one past the last.
    pub bytes: Option<(u64, u64)>,
    /// Tokens of the whole document, without EOD.
    pub n_tokens: u64,
}

/// The tokens around a position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeamFigures {
    /// Row in the dataset.
    pub sequence: u64,
    /// The position asked for.
    pub position: u32,
    /// The nearest boundary: position of the first token of a segment, if there is one in sight.
    pub boundary: Option<u32>,
    /// The tokens in sight, in order.
    pub tokens: Vec<TokenFigures>,
    /// The segments in sight.
    pub segments: Vec<SegmentFigures>,
}

/// One position of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenFigures {
    /// Position in the sequence.
    pub position: u32,
    /// Token id.
    pub id: u32,
    /// Index of its segment in the sequence; `null` for padding.
    pub segment: Option<u32>,
    /// Offset in the document's tokens; `null` for padding.
    pub document_position: Option<u64>,
    /// What the model gets as position id.
    pub position_id: i32,
    /// `eod`, `mask`, `special` or `padding`, if it is one of these.
    pub flag: Option<String>,
    /// Whether the objective may mask it and count its loss: every position but padding.
    pub loss: bool,
    /// Its text with everything invisible made visible; bytes that are not text as `⟨E2⟩`.
    pub text: String,
}

/// Where one token came from, and the proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WhenceFigures {
    /// Row in the dataset.
    pub sequence: u64,
    /// The token asked for.
    pub token: TokenFigures,
    /// Row of `documents.parquet`.
    pub document: u64,
    /// Where the document came from.
    pub origin: Origin,
    /// The file that was read for the proof.
    pub path: String,
    /// xxh3-128 of the document's text, as recorded and as read again: equal.
    pub text_xxh3: String,
    /// Tokens of the segment compared with the document tokenized again: all equal.
    pub tokens_compared: u64,
    /// Bytes of the document's text that became the token; `null` for an EOD.
    pub text_bytes: Option<(u64, u64)>,
    /// The text around the token, made visible: before, the token's own, after.
    pub text: (String, String, String),
}
