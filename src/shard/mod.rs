//! The dataset on disk: shards, the plan, the documents table, and the manifest that makes them one.
//!
//! ```text
//! out/
//!   manifest.json        written last: a directory is a dataset if and only if it has one
//!   shard-00000.arrow …  the sequences, one row each
//!   plan.arrow           which segment of which document lies in which row
//!   documents.parquet    one row per document: provenance, hash, lengths
//!   tokenizer.json       exact copy
//! ```
//!
//! No byte of these depends on time, host, path, user or thread count: the same recipe and the same
//! input bytes give the same files.

mod documents;
mod file;
mod manifest;
mod names;
mod plan;
mod rows;
mod schema;
mod verify;
mod writer;

pub use documents::{DocumentRecord, DocumentsTable, lookup as lookup_documents};
pub use file::ShardFile;
pub use manifest::{
    FileEntry, InputEntry, MANIFEST, Manifest, ShardEntry, StoreEntry, StoreUnit, TokenizerEntry,
    schema as manifest_schema,
};
pub use names::{DOCUMENTS, PLAN, TOKENIZER, is_safe_name, shard_name};
pub use plan::{PlanFile, PlanWriter, PlannedRow};
pub use rows::{RowSlices, Rows};
pub use schema::{FORMAT_VERSION, ShardInfo};
pub use verify::{Finding, Level, Report, Sample, verify};
pub use writer::{ShardWriter, rows_per_batch};
