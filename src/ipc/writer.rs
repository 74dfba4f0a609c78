//! Writes one checked file, hashing as it goes.

use std::io::{self, Write};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::MetadataVersion;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use xxhash_rust::xxh3::Xxh3;

use crate::disk::AtomicFile;
use crate::error::{Error, Result};

/// What identifies a written file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Length in bytes.
    pub n_bytes: u64,
    /// BLAKE3 of all bytes, hexadecimal; empty under [`Hashes::Frame`].
    pub blake3: String,
    /// xxh3-64 of the bytes outside record batches.
    pub frame_xxh3: u64,
}

/// What is hashed while writing, besides every batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hashes {
    /// The frame only: batch checksums and frame together already cover every byte, and xxh3 is
    /// several times cheaper than BLAKE3. For files that never leave the machine.
    Frame,
    /// The frame, and all bytes together, so that the file has an identity that anybody can check.
    Whole,
}

/// A file being written: batches, then metadata, then a name.
pub struct Writer {
    inner: FileWriter<Hashing>,
    batch_xxh3: Vec<u64>,
}

impl Writer {
    /// Starts `path.tmp` with the schema.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn create(path: &Path, schema: &Schema, hashes: Hashes) -> Result<Self> {
        let options =
            IpcWriteOptions::try_new(64, false, MetadataVersion::V5).expect("64 is a legal alignment");
        let sink = Hashing {
            file: AtomicFile::create(path)?,
            whole: (hashes == Hashes::Whole).then(blake3::Hasher::new),
            frame: Xxh3::new(),
            batch: None,
            n_bytes: 0,
        };
        let inner =
            FileWriter::try_new_with_options(sink, schema, options).map_err(|e| write_error(path, e))?;
        Ok(Self {
            inner,
            batch_xxh3: Vec::new(),
        })
    }

    /// Appends one record batch.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.inner.get_mut().batch = Some(Xxh3::new());
        let result = self.inner.write(batch);
        let sink = self.inner.get_mut();
        let hash = sink.batch.take().expect("set above").digest();
        result.map_err(|e| write_error(sink.file.path(), e))?;
        self.batch_xxh3.push(hash);
        Ok(())
    }

    /// Number of batches written.
    pub fn n_batches(&self) -> usize {
        self.batch_xxh3.len()
    }

    /// Writes the footer with the batches' checksums and `metadata`, and hands out the file, not
    /// yet committed, so that the caller may name it after its content.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn finish(mut self, metadata: &[(&str, String)]) -> Result<(AtomicFile, Digest)> {
        let words: Vec<String> = self
            .batch_xxh3
            .iter()
            .map(|hash| format!("{hash:016x}"))
            .collect();
        self.inner.write_metadata(super::BATCH_XXH3, words.join(","));
        for (key, value) in metadata {
            self.inner.write_metadata(*key, value.as_str());
        }
        let path = self.inner.get_ref().file.path().to_owned();
        self.inner.finish().map_err(|e| write_error(&path, e))?;
        let sink = self.inner.into_inner().map_err(|e| write_error(&path, e))?;
        let digest = Digest {
            n_bytes: sink.n_bytes,
            blake3: sink
                .whole
                .map_or_else(String::new, |whole| whole.finalize().to_hex().to_string()),
            frame_xxh3: sink.frame.digest(),
        };
        Ok((sink.file, digest))
    }
}

/// Arrow wraps the operating system's error; unwrap it, so that a full disk is seen as one.
fn write_error(path: &Path, error: ArrowError) -> Error {
    let source = match error {
        ArrowError::IoError(_, source) => source,
        other => io::Error::other(other.to_string()),
    };
    Error::io("write", path)(source)
}

/// Hashes whatever passes through on its way to the file.
struct Hashing {
    file: AtomicFile,
    whole: Option<blake3::Hasher>,
    frame: Xxh3,
    batch: Option<Xxh3>,
    n_bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        if let Some(whole) = &mut self.whole {
            whole.update(bytes);
        }
        self.batch.as_mut().unwrap_or(&mut self.frame).update(bytes);
        self.n_bytes += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
