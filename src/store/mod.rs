//! The token store: every document's ids, once, addressed by what they were made from.
//!
//! ```text
//! ultrapack-store/
//!   3f9c…/                                   one unit: some input files × tokenizer × text rules
//!     part-00000.tokens.arrow                the ids of many documents, back to back
//!     part-00000.8d21….documents.arrow       one row per document; names its own hash
//!     part-00001.tokens.arrow
//!     …
//! ```
//!
//! A unit's address is the hash of the input files' content, the tokenizer, and every rule that
//! decides which text comes out of which bytes: a changed recipe can never meet stale tokens, and
//! boundary, placement, `seq_len` and seed are not part of it, so that packing again reads the store
//! and never the tokenizer. Parts are written once and never changed. EOD tokens are not stored:
//! whether one follows a document is the plan's business.

mod documents;
mod part;
mod tokens;
mod unit;

pub use documents::{DocumentRow, Documents};
pub use part::{PartHeader, PartWriter, StoredPart};
pub use tokens::TokenFile;
pub use unit::{Unit, UnitFile, UnitLock, units};

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Version of the store's files; part of every address.
pub const STORE_VERSION: u32 = 1;

/// A directory of units.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens, and creates if need be, the store at `root`.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn open(root: &Path) -> Result<Self> {
        crate::disk::create_directory(root)?;
        Ok(Self { root: root.into() })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of one unit.
    pub fn unit_directory(&self, address: &str) -> PathBuf {
        self.root.join(address)
    }

    /// The parts of a unit that are there, in order, from the first without a gap.
    ///
    /// # Errors
    /// A part is damaged, or the directory cannot be read.
    pub fn parts(&self, address: &str) -> Result<Vec<StoredPart>> {
        let directory = self.unit_directory(address);
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("list", &directory)(e)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::io("list", &directory))?.file_name();
            if let Some((index, hash)) = name.to_str().and_then(part::parse_documents_name) {
                found.push((index, hash, directory.join(&name)));
            }
        }
        found.sort();
        let mut parts = Vec::with_capacity(found.len());
        for (expected, (index, hash, path)) in found.into_iter().enumerate() {
            if index != expected {
                break;
            }
            parts.push(StoredPart::open(&path, index, &hash, address)?);
        }
        Ok(parts)
    }
}
