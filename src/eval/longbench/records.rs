//! The records of a dataset's file: found once, read again one by one.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::task::Task;
use crate::error::{Error, Place, Result};
use crate::eval::gold::Gold;
use crate::eval::item::Skip;
use crate::eval::lines::{self, Lines};
use crate::eval::skips::Skips;

/// A question of LongBench.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub input: String,
    pub context: String,
    pub answers: Vec<String>,
    #[serde(default)]
    pub all_classes: Option<Vec<String>>,
    #[serde(default)]
    dataset: Option<String>,
}

impl Record {
    /// What a prediction is judged by.
    pub(super) fn gold(&self, task: Task) -> Gold {
        Gold {
            metric: task.metric(),
            references: self.answers.clone(),
            classes: self.all_classes.clone().unwrap_or_default(),
            first_line: task.first_line(),
        }
    }

    /// Why no prediction could be judged by it.
    fn fault(&self, task: Task) -> Option<String> {
        if let Some(dataset) = self.dataset.as_deref().filter(|&name| name != task.name()) {
            return Some(format!("a record of {dataset:?} in the file of {task}"));
        }
        self.gold(task).check().err().map(|error| error.to_string())
    }
}

/// Where a record is.
#[derive(Debug, Clone, Copy)]
struct Span {
    line: u64,
    byte: u64,
    n_bytes: u64,
    /// Of the line's bytes.
    hash: u64,
}

/// A dataset's file.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
    file: File,
    digest: String,
    spans: Vec<Span>,
}

impl Records {
    /// Finds the records of a file that can be scored, at most `limit`.
    ///
    /// # Errors
    /// The file cannot be read or has no such record.
    pub(super) fn open(path: &Path, task: Task, limit: Option<usize>, skips: &mut Skips) -> Result<Self> {
        let mut lines = Lines::open(path)?;
        let mut spans = Vec::new();
        while let Some(line) = lines.next()? {
            if line.is_blank() {
                continue;
            }
            let fault = match line.parse::<Record>() {
                Ok(record) => record.fault(task).map(|reason| Skip {
                    place: line.place.clone(),
                    reason,
                }),
                Err(skip) => Some(skip),
            };
            match fault {
                Some(skip) => skips.push(skip),
                // The rest of the file is read on, for its digest and its faults.
                None if limit.is_some_and(|limit| spans.len() >= limit) => {}
                None => spans.push(Span {
                    line: line.place.line.unwrap_or_default(),
                    byte: line.place.byte.unwrap_or_default(),
                    n_bytes: line.n_bytes,
                    hash: hash(line.bytes()),
                }),
            }
        }
        if spans.is_empty() {
            return Err(Error::input(
                Place::file(path),
                "it holds no record that can be scored",
            ));
        }
        Ok(Self {
            path: path.into(),
            file: lines::open(path)?,
            digest: lines.digest(),
            spans,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// Line number of a record.
    pub(super) fn line(&self, index: usize) -> u64 {
        self.spans[index].line
    }

    /// Reads a record again.
    ///
    /// # Errors
    /// The file has changed or cannot be read.
    pub(super) fn read(&self, index: usize) -> Result<Record> {
        let span = self.spans[index];
        let mut bytes = vec![0; span.n_bytes as usize];
        let changed = || {
            let place = Place {
                line: Some(span.line),
                byte: Some(span.byte),
                ..Place::file(&self.path)
            };
            Error::input(
                place,
                "the file has changed since the run began\nhint: start the run again",
            )
        };
        match self.file.read_exact_at(&mut bytes, span.byte) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Err(changed()),
            result => result.map_err(Error::io("read", &self.path))?,
        }
        if hash(&bytes) != span.hash {
            return Err(changed());
        }
        lines::json(&bytes).map_err(|_| changed())
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let hash = blake3::hash(bytes);
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("32 bytes"))
}
