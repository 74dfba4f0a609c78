//! Finished work as JSON lines, one line per piece of work.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk;
use crate::error::{Error, Result};

/// Answers to prompts.
pub const PREDICTIONS: &str = "predictions.jsonl";
/// Measured cross entropies.
pub const PERPLEXITY: &str = "perplexity.jsonl";

/// Largest journal that is read.
const MAX_BYTES: u64 = 8 << 30;

/// An append-only file of JSON lines.
#[derive(Debug)]
pub struct Journal<T> {
    file: File,
    path: PathBuf,
    entries: Vec<T>,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Opens or creates the file. A last line without its end is what a killed run left: it is dropped.
    ///
    /// # Errors
    /// The operating system refuses, or a whole line is not an entry.
    pub fn open(path: &Path) -> Result<Self> {
        let (file, bytes) = disk::open_growing(path, MAX_BYTES)?;
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
        disk::keep_whole(&file, path, whole)?;
        let lines = bytes[..whole].split(|&byte| byte == b'\n').zip(1..);
        let entries = lines
            .filter(|(line, _)| !line.is_empty())
            .map(|(line, number)| {
                serde_json::from_slice(line).map_err(|error| {
                    Error::damaged(
                        "results",
                        path,
                        format!("line {number}: {error}\nhint: remove the line, or choose another `--out`"),
                    )
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            file,
            path: path.into(),
            entries,
        })
    }

    /// Everything that is finished, in the order in which it was.
    pub fn entries(&self) -> &[T] {
        &self.entries
    }

    /// Appends an entry in one write, and makes it durable.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn append(&mut self, entry: T) -> Result<()> {
        let mut line = serde_json::to_vec(&entry).expect("plain data");
        line.push(b'\n');
        self.file
            .write_all(&line)
            .and_then(|()| self.file.sync_data())
            .map_err(Error::io("write", &self.path))?;
        self.entries.push(entry);
        Ok(())
    }
}
