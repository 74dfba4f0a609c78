//! One part: a token file and the document index that commits it.
//!
//! The token file is renamed into place first. The index follows; it carries the token file's
//! checksums, the counts of records that became no document, and the position at which the next
//! part starts. Its name contains the hash of its own bytes, so a damaged index is never read and a
//! part exists exactly when its index does.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::documents::{self, DocumentRow, Documents, DocumentsBuilder};
use super::tokens::{TokenFile, TokenWriter};
use crate::disk;
use crate::error::{Error, Result};
use crate::ipc::{CheckedFile, Hashes, Writer};
use crate::source::{Counts, Position};

/// A part is closed after this many tokens, at the end of the chunk that reaches it.
const PART_TOKENS: u64 = 16 << 20;

/// A part is closed after this many documents.
const PART_DOCUMENTS: usize = 128 << 10;

/// Largest document index that is read: 128 Ki documents with kilobytes of metadata each.
const MAX_INDEX_BYTES: u64 = 1 << 30;

/// Footer metadata key of the header.
const HEADER: &str = "ultrapack.part";

/// What a part says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartHeader {
    /// The unit it belongs to.
    pub unit: String,
    /// Its number in the unit, from 0.
    pub index: usize,
    /// Number of documents.
    pub n_documents: u64,
    /// Number of tokens in its token file.
    pub n_tokens: u64,
    /// Length of its token file.
    pub tokens_n_bytes: u64,
    /// Frame checksum of its token file.
    pub tokens_frame_xxh3: u64,
    /// Index in the unit of the file at which the next part starts.
    pub next_file: usize,
    /// Position in that file.
    pub next: Position,
    /// Whether this is the unit's last part.
    pub last: bool,
    /// Records met in this part, by what became of them.
    pub counts: Counts,
}

/// A part being written.
pub struct PartWriter {
    directory: PathBuf,
    unit: String,
    index: usize,
    tokens: TokenWriter,
    documents: DocumentsBuilder,
    counts: Counts,
}

impl PartWriter {
    /// Starts part `index` of a unit.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn create(directory: &Path, unit: &str, index: usize) -> Result<Self> {
        Ok(Self {
            directory: directory.into(),
            unit: unit.into(),
            index,
            tokens: TokenWriter::create(&directory.join(tokens_name(index)))?,
            documents: DocumentsBuilder::new(),
            counts: Counts::default(),
        })
    }

    /// Appends a document.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn push(&mut self, row: &DocumentRow, ids: &[u32]) -> Result<()> {
        debug_assert_eq!(row.n_tokens as usize, ids.len());
        self.tokens.push(ids)?;
        self.documents.push(row);
        Ok(())
    }

    /// Adds what became of a chunk's records.
    pub fn count(&mut self, counts: &Counts) {
        self.counts.add(counts);
    }

    /// Whether the part has reached its size.
    pub fn is_full(&self) -> bool {
        self.tokens.n_tokens() >= PART_TOKENS || self.documents.n_rows() >= PART_DOCUMENTS
    }

    /// Commits the part; the next one starts at `next` in file `next_file` of the unit.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn finish(self, next_file: usize, next: Position, last: bool) -> Result<()> {
        let n_tokens = self.tokens.n_tokens();
        let tokens = self.tokens.finish()?;
        let header = PartHeader {
            unit: self.unit,
            index: self.index,
            n_documents: self.documents.n_rows() as u64,
            n_tokens,
            tokens_n_bytes: tokens.n_bytes,
            tokens_frame_xxh3: tokens.frame_xxh3,
            next_file,
            next,
            last,
            counts: self.counts,
        };
        let unnamed = self
            .directory
            .join(format!("part-{:05}.documents.arrow", self.index));
        let mut writer = Writer::create(&unnamed, &documents::schema(), Hashes::Whole)?;
        writer.write(&self.documents.finish())?;
        let header = serde_json::to_string(&header).expect("plain data");
        let (file, digest) = writer.finish(&[(HEADER, header)])?;
        file.commit_as(
            &self
                .directory
                .join(documents_name(self.index, &digest.blake3[..32])),
        )
    }
}

/// A part on the disk whose index was checked against its name.
#[derive(Debug)]
pub struct StoredPart {
    path: PathBuf,
    header: PartHeader,
}

impl StoredPart {
    pub(super) fn open(path: &Path, index: usize, hash: &str, unit: &str) -> Result<Self> {
        let file = checked_file(path, hash)?;
        let header: PartHeader = serde_json::from_str(file.metadata(HEADER)?)
            .map_err(|e| file.damaged(format!("its header is not valid: {e}")))?;
        if header.unit != unit || header.index != index {
            return Err(file.damaged("it belongs to another unit"));
        }
        Ok(Self {
            path: path.into(),
            header,
        })
    }

    /// What the part says of itself.
    pub fn header(&self) -> &PartHeader {
        &self.header
    }

    /// Decodes the document index.
    ///
    /// # Errors
    /// It is damaged.
    pub fn documents(&self) -> Result<Documents> {
        let name = self
            .path
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(parse_documents_name);
        let (_, hash) = name.expect("opened under such a name");
        let file = checked_file(&self.path, &hash)?;
        let batch = match file.n_batches() {
            1 => file.batch(0)?,
            n => return Err(file.damaged(format!("{n} batches instead of one"))),
        };
        let documents = Documents::new(batch);
        let n_tokens: u64 = documents.n_tokens().iter().map(|&n| u64::from(n)).sum();
        if documents.len() as u64 != self.header.n_documents || n_tokens != self.header.n_tokens {
            return Err(file.damaged("its rows do not add up to its header"));
        }
        Ok(documents)
    }

    /// Opens the token file.
    ///
    /// # Errors
    /// It is missing or not the one the index describes.
    pub fn tokens(&self) -> Result<TokenFile> {
        let path = self.path.with_file_name(tokens_name(self.header.index));
        let h = &self.header;
        TokenFile::open(&path, h.n_tokens, h.tokens_n_bytes, h.tokens_frame_xxh3)
    }
}

/// Opens a document index whose bytes have the hash in its name.
fn checked_file(path: &Path, hash: &str) -> Result<CheckedFile> {
    let bytes = disk::read_small(path, MAX_INDEX_BYTES)?;
    if blake3::hash(&bytes).to_hex()[..32] != *hash {
        let message = "its bytes do not have the hash in its name\nhint: remove its directory to have its files tokenized again";
        return Err(Error::damaged("store part", path, message));
    }
    CheckedFile::open(path, "store part", |_| Ok(documents::schema()))
}

fn tokens_name(index: usize) -> String {
    format!("part-{index:05}.tokens.arrow")
}

fn documents_name(index: usize, hash: &str) -> String {
    format!("part-{index:05}.{hash}.documents.arrow")
}

/// The part number and hash in the name of a document index.
pub(super) fn parse_documents_name(name: &str) -> Option<(usize, String)> {
    let (index, hash) = name
        .strip_prefix("part-")?
        .strip_suffix(".documents.arrow")?
        .split_once('.')?;
    let hexadecimal = hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    hexadecimal.then(|| index.parse().ok().map(|index| (index, hash.to_owned())))?
}
