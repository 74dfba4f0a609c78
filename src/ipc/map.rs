//! A read-only memory map of a checked file: the only place with `unsafe`.

use arrow::buffer::Buffer;
use bytes::Bytes;
use memmap2::{Advice, Mmap};

use crate::disk::ReadFile;
use crate::error::{Error, Result};

/// A file mapped into memory.
///
/// The map shows the file as it is *now*: a process that shortens a mapped file kills every reader
/// (SIGBUS), and one that writes into it changes the reader's memory. Files of a dataset are
/// therefore written under a temporary name, made read-only and renamed, and never touched again.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps a whole file.
    ///
    /// # Errors
    /// The operating system refuses, or the file changed its length since it was opened.
    pub fn new(file: &ReadFile) -> Result<Self> {
        Self::advised(file, Advice::Random)
    }

    /// Maps a whole file that will be read once from front to back, so that the system reads ahead.
    ///
    /// # Errors
    /// As [`MappedFile::new`].
    pub fn sequential(file: &ReadFile) -> Result<Self> {
        Self::advised(file, Advice::Sequential)
    }

    fn advised(file: &ReadFile, advice: Advice) -> Result<Self> {
        // SAFETY: the map is private to readers that only ever hand out shared slices of it. What
        // cannot be promised is that no other process changes the file; see the type's comment.
        let map = unsafe { Mmap::map(file.file()) }.map_err(Error::io("map", file.path()))?;
        if map.len() as u64 != file.n_bytes() {
            return Err(Error::damaged(
                "file",
                file.path(),
                "its length changed while it was opened",
            ));
        }
        map.advise(advice).ok();
        Ok(Self { map })
    }

    /// The mapped bytes as an Arrow buffer that shares them; nothing is copied.
    pub fn into_buffer(self) -> Buffer {
        Buffer::from(Bytes::from_owner(self.map))
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}
