//! A chunk: a run of whole records on its way from the reader thread to a worker.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::columnar::Rows;
use super::counts::Counts;
use super::harvest::{Bad, Harvest};
use super::reader::Position;
use super::record::Record;
use super::rules::Rules;
use super::{jsonl, text};
use crate::error::{Place, Result};

/// A run of whole records of one file; it owns its bytes.
#[derive(Debug)]
pub struct Chunk {
    pub(super) path: Arc<Path>,
    pub(super) start: Position,
    pub(super) end: Position,
    pub(super) content: Content,
}

/// What a chunk holds.
#[derive(Debug)]
pub(super) enum Content {
    /// Lines of JSON.
    Lines(Vec<u8>),
    /// Pieces of plain text, as ranges of the bytes.
    Pieces {
        bytes: Vec<u8>,
        pieces: Vec<Range<usize>>,
    },
    /// Rows of a table.
    Rows(Rows),
    /// One record over the limit, at this place; its bytes were not kept.
    TooLarge(Place),
}

/// What a chunk's records became.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<'a> {
    /// The documents, in the order of the file.
    pub records: Vec<Record<'a>>,
    /// What became of all records of the chunk.
    pub counts: Counts,
}

impl Chunk {
    /// Where the next chunk starts.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Bytes of memory the chunk's text takes.
    pub fn n_bytes(&self) -> usize {
        match &self.content {
            Content::Lines(bytes) | Content::Pieces { bytes, .. } => bytes.len(),
            Content::Rows(rows) => rows.n_bytes(),
            Content::TooLarge(_) => 0,
        }
    }

    /// Turns the records into documents. `rules` are those the chunk was read with.
    ///
    /// # Errors
    /// [`Error::Input`](crate::error::Error::Input) at the first bad record under
    /// `on_bad_record: fail`, and when the filter cannot be evaluated.
    pub fn parse<'a>(&'a self, rules: &Rules) -> Result<Parsed<'a>> {
        let mut harvest = Harvest::new(rules, &self.path);
        match &self.content {
            Content::Lines(bytes) => jsonl::parse(bytes, self.start, rules, &mut harvest)?,
            Content::Pieces { bytes, pieces } => text::parse(bytes, pieces, self.start, rules, &mut harvest)?,
            Content::Rows(rows) => rows.parse(rules, &mut harvest)?,
            Content::TooLarge(place) => {
                harvest.bad(place.clone(), Bad::too_large(None, rules.max_document_bytes))?;
            }
        }
        harvest.finish()
    }
}
