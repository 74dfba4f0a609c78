//! The token file of a part: all ids of the part's documents, back to back.
//!
//! One column `tokens: u32`, cut into batches of exactly [`BATCH_TOKENS`] (the last one shorter), so
//! that the place of any token in the file is arithmetic and a document is read with one or two
//! positioned reads, straight to where it is needed.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};

use crate::error::Result;
use crate::ipc::{CheckedFile, Digest, Hashes, Writer};

/// Tokens per batch: 4 MiB.
pub const BATCH_TOKENS: usize = 1 << 20;

fn schema() -> Schema {
    Schema::new(vec![Field::new("tokens", DataType::UInt32, false)])
}

/// Writes a token file batch by batch.
pub struct TokenWriter {
    writer: Writer,
    buffer: Vec<u32>,
    n_tokens: u64,
}

impl TokenWriter {
    /// Starts the file.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self {
            writer: Writer::create(path, &schema(), Hashes::Frame)?,
            buffer: Vec::with_capacity(BATCH_TOKENS),
            n_tokens: 0,
        })
    }

    /// Appends the ids of one document.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn push(&mut self, mut ids: &[u32]) -> Result<()> {
        self.n_tokens += ids.len() as u64;
        while !ids.is_empty() {
            let take = ids.len().min(BATCH_TOKENS - self.buffer.len());
            self.buffer.extend_from_slice(&ids[..take]);
            ids = &ids[take..];
            if self.buffer.len() == BATCH_TOKENS {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Tokens written so far.
    pub fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    fn flush(&mut self) -> Result<()> {
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(BATCH_TOKENS));
        let batch = RecordBatch::try_new(Arc::new(schema()), vec![Arc::new(UInt32Array::from(full))])
            .expect("one column of the schema's type");
        self.writer.write(&batch)
    }

    /// Writes the rest and the footer, syncs, and gives the file its name.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn finish(mut self) -> Result<Digest> {
        if !self.buffer.is_empty() {
            self.flush()?;
        }
        let (file, digest) = self
            .writer
            .finish(&[("ultrapack.n_tokens", self.n_tokens.to_string())])?;
        file.commit()?;
        Ok(digest)
    }
}

/// A token file that is read by position. Every batch's checksum is compared at first touch.
#[derive(Debug)]
pub struct TokenFile {
    file: CheckedFile,
    checked: Vec<OnceLock<u64>>,
    n_tokens: u64,
}

impl TokenFile {
    /// Opens a token file of `n_tokens` whose frame has the given checksum.
    ///
    /// # Errors
    /// The file is not the one the part describes.
    pub fn open(path: &Path, n_tokens: u64, n_bytes: u64, frame_xxh3: u64) -> Result<Self> {
        let file = CheckedFile::open(path, "store part", |_| Ok(schema()))?;
        if file.file().n_bytes() != n_bytes {
            return Err(file.damaged(format!("{} bytes instead of {n_bytes}", file.file().n_bytes())));
        }
        if file.frame_xxh3()? != frame_xxh3 {
            return Err(file.damaged("its header or footer was changed after writing"));
        }
        if file.n_batches() as u64 != n_tokens.div_ceil(BATCH_TOKENS as u64) {
            return Err(file.damaged(format!(
                "{} batches do not hold {n_tokens} tokens",
                file.n_batches()
            )));
        }
        let checked = std::iter::repeat_with(OnceLock::new)
            .take(file.n_batches())
            .collect();
        Ok(Self {
            file,
            checked,
            n_tokens,
        })
    }

    /// Fills `out` with the tokens from `start`.
    ///
    /// # Errors
    /// A batch is damaged, or the file cannot be read.
    ///
    /// # Panics
    /// If the range ends beyond the file: the document index and the token file were checked
    /// against each other.
    pub fn read(&self, start: u64, out: &mut [u32]) -> Result<()> {
        assert!(
            start + out.len() as u64 <= self.n_tokens,
            "token range beyond the part"
        );
        let (mut at, mut out) = (start, out);
        while !out.is_empty() {
            let batch = (at / BATCH_TOKENS as u64) as usize;
            let offset = at % BATCH_TOKENS as u64;
            let take = out.len().min(BATCH_TOKENS - offset as usize);
            let (head, rest) = out.split_at_mut(take);
            let base = self.batch_base(batch)?;
            self.file
                .file()
                .read_at(bytemuck::cast_slice_mut(head), base + 4 * offset)?;
            at += take as u64;
            out = rest;
        }
        Ok(())
    }

    /// Byte offset of a batch's first token in the file; compares the batch's checksum at first
    /// touch, which also brings the batch into the page cache with one sequential read.
    fn batch_base(&self, batch: usize) -> Result<u64> {
        if let Some(base) = self.checked[batch].get() {
            return Ok(*base);
        }
        let (bytes, decoded) = self.file.batch_and_bytes(batch)?;
        let first = batch as u64 * BATCH_TOKENS as u64;
        let expected = (self.n_tokens - first).min(BATCH_TOKENS as u64) as usize;
        if decoded.num_rows() != expected {
            let found = decoded.num_rows();
            return Err(self
                .file
                .damaged(format!("batch {batch} holds {found} tokens, not {expected}")));
        }
        // Decoding copies nothing, so the distance of the values from the batch's first byte is
        // their distance in the file.
        let values = decoded.column(0).as_primitive::<UInt32Type>().values().as_ptr() as usize;
        let within = values - bytes.as_ptr() as usize;
        Ok(*self.checked[batch].get_or_init(|| self.file.batch_offset(batch) + within as u64))
    }
}
