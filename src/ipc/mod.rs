//! Checked Arrow IPC files: the container of store parts, plans and shards.
//!
//! ```text
//! ┌──────────────┬─────────┬─────────┬─ … ─┬─────────────────────────────────────────┐
//! │ magic, schema│ batch 0 │ batch 1 │     │ end mark, footer (blocks, batch_xxh3, …) │
//! └──── frame ───┴─ xxh3 ──┴─ xxh3 ──┴─ … ─┴──────────────── frame ──────────────────┘
//! ```
//!
//! The files are plain Arrow IPC files, uncompressed and 64-byte aligned, so that any Arrow reader
//! maps them without a copy. What Arrow leaves out is added in its own extension points: a checksum
//! of every record batch in the footer's metadata, and, kept by whoever refers to the file, a
//! checksum of the *frame* (everything that is not a batch) and of the whole. A reader here takes
//! nothing from a file that it has not checked: see [`CheckedFile`].

mod map;
mod reader;
mod writer;

pub use map::MappedFile;
pub use reader::{CheckedFile, Geometry};
pub use writer::{Digest, Hashes, Writer};

/// Footer metadata key: one 16-digit hexadecimal word per batch, comma separated.
pub const BATCH_XXH3: &str = "ultrapack.batch_xxh3";
