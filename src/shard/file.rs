//! One shard, read with plain reads; nothing of it is believed unchecked.

use std::path::{Path, PathBuf};

use arrow::buffer::Buffer;

use super::manifest::Manifest;
use super::rows::Rows;
use super::schema::{N_ROWS, ShardInfo};
use crate::error::Result;
use crate::ipc::{CheckedFile, Geometry};

/// The values of `tokens` in the order of a batch's buffers: after two empty ones for nulls.
const TOKENS_BUFFER: usize = 2;

/// An open shard whose frame has been checked.
#[derive(Debug)]
pub struct ShardFile {
    info: ShardInfo,
    file: CheckedFile,
    n_rows: u64,
}

impl ShardFile {
    /// Opens shard `index` of the dataset in `directory`: checks length, header and footer.
    ///
    /// # Errors
    /// The file is not the one that the manifest describes.
    pub fn of_dataset(directory: &Path, manifest: &Manifest, index: usize) -> Result<Self> {
        let entry = &manifest.shards[index];
        let info = manifest.shard_info(index);
        let file = CheckedFile::open(&directory.join(&entry.name), "shard", |_| Ok(info.schema()))?;
        if file.file().n_bytes() != entry.n_bytes {
            let found = file.file().n_bytes();
            return Err(file.damaged(format!("{found} bytes instead of {}", entry.n_bytes)));
        }
        if format!("{:016x}", file.frame_xxh3()?) != entry.frame_xxh3 {
            return Err(file.damaged("its header or footer was changed after writing"));
        }
        Self::try_new(info, file, entry.n_rows)
    }

    /// Opens a shard found without its manifest: what it says of itself must be consistent.
    ///
    /// # Errors
    /// It is not a shard, or it is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let mut found = None;
        let file = CheckedFile::open(path, "shard", |schema| {
            let info = ShardInfo::from_schema(schema)?;
            let schema = info.schema();
            found = Some(info);
            Ok(schema)
        })?;
        let n_rows = file
            .metadata(N_ROWS)?
            .parse()
            .map_err(|_| file.damaged(format!("`{N_ROWS}` is not a number")))?;
        Self::try_new(found.expect("set when the schema was accepted"), file, n_rows)
    }

    fn try_new(info: ShardInfo, file: CheckedFile, n_rows: u64) -> Result<Self> {
        match file.n_batches() as u64 == n_rows.div_ceil(u64::from(info.rows_per_batch)) {
            true => Ok(Self { info, file, n_rows }),
            false => Err(file.damaged(format!("{} batches do not hold {n_rows} rows", file.n_batches()))),
        }
    }

    /// What the shard says of itself.
    pub fn info(&self) -> &ShardInfo {
        &self.info
    }

    /// The open file.
    pub fn file(&self) -> &CheckedFile {
        &self.file
    }

    /// Number of rows.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Batch `index`, its checksum compared and its boundary columns checked.
    ///
    /// # Errors
    /// It is damaged.
    pub fn rows(&self, index: usize) -> Result<Rows> {
        let batch = self.file.batch(index)?;
        self.taken_apart(index, Rows::try_new(&batch, &self.info))
    }

    /// Batch `index` without its tokens, which are not read and appear as zeros. The boundary columns
    /// are checked against each other; there is no checksum of them alone.
    ///
    /// # Errors
    /// It is damaged.
    pub fn boundaries(&self, index: usize) -> Result<Rows> {
        let batch = self.file.batch_without_buffer(index, TOKENS_BUFFER)?;
        self.taken_apart(index, Rows::try_new(&batch, &self.info))
    }

    fn taken_apart(&self, index: usize, rows: Result<Rows, String>) -> Result<Rows> {
        let damaged = |m: String| self.file.damaged(format!("batch {index}: {m}"));
        let rows = rows.map_err(damaged)?;
        let per_batch = u64::from(self.info.rows_per_batch);
        let expected = (self.n_rows - index as u64 * per_batch).min(per_batch);
        match rows.len() as u64 == expected {
            true => Ok(rows),
            false => Err(damaged(format!("it holds {} rows", rows.len()))),
        }
    }

    /// Maps the file and gives up the plain reads.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn map(self) -> Result<(ShardInfo, Buffer, Geometry, PathBuf)> {
        let (map, geometry, path) = self.file.map()?;
        Ok((self.info, map, geometry, path))
    }
}
