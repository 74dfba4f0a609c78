//! The source room: input files become documents, as text.
//!
//! ```text
//!  discover ──► Reader (one per file) ──► Chunk ──► parse ──► records + counts
//!   names        bytes, decompression      owned     JSON, UTF-8, filter
//!                one thread, cheap         moves     any thread, most of the work
//! ```
//!
//! A file is read as a stream of chunks of about a mebibyte, cut where records end, so that memory
//! does not grow with the file. Where chunks are cut follows from the file's content and the
//! [`Rules`] alone: any chunk's end is a [`Position`] from which a later run goes on and meets the
//! same records. Whatever a file holds, reading it ends in records, in counted bad records or in an
//! error that names the place; never in a panic, and never in fewer records than the file has.
//! Nothing here knows what a token is.

mod arrow_batches;
mod chunk;
mod columnar;
mod columns;
mod counts;
mod decompress;
mod detect;
mod discover;
mod filter;
mod harvest;
mod json;
mod jsonl;
mod mend;
mod parquet_batches;
mod reader;
mod record;
mod rules;
#[cfg(test)]
mod tests;
mod text;

pub use chunk::{Chunk, Parsed};
pub use counts::Counts;
pub use detect::{Compression, Detected};
pub use discover::{InputFile, discover};
pub use reader::{Position, Reader, read_record};
pub use record::{MetadataValue, OwnedRecord, Record};
pub use rules::Rules;
