//! What a run tells about itself while it runs, and how it is told to stop.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use serde::Serialize;

use crate::error::{Error, Result};

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Loading the tokenizer, finding the input files.
    Prepare,
    /// Hashing input files.
    Hash,
    /// Reading, parsing, encoding, storing.
    Tokenize,
    /// Planning and writing the documents table.
    Plan,
    /// Writing shards.
    Shards,
    /// Everything is committed.
    Done,
}

/// Counters that a run advances and a display reads.
#[derive(Debug, Default)]
pub struct Monitor {
    stage: Mutex<Option<Stage>>,
    /// Bytes of input files, as stored, that the current stage has passed.
    pub input_bytes: AtomicU64,
    /// All bytes of input files.
    pub input_total: AtomicU64,
    /// Documents tokenized or found in the store.
    pub documents: AtomicU64,
    /// Tokens made or found in the store.
    pub tokens: AtomicU64,
    /// UTF-8 bytes of text tokenized in this run.
    pub text_bytes: AtomicU64,
    /// Shards written.
    pub shards: AtomicU64,
    /// All shards.
    pub shards_total: AtomicU64,
    /// Rows written.
    pub rows: AtomicU64,
    /// All rows.
    pub rows_total: AtomicU64,
    warnings: Mutex<Vec<String>>,
    stop: AtomicI32,
}

impl Monitor {
    /// The current stage.
    pub fn stage(&self) -> Stage {
        self.stage
            .lock()
            .expect("no panic while held")
            .unwrap_or(Stage::Prepare)
    }

    /// Enters a stage.
    pub fn enter(&self, stage: Stage) {
        *self.stage.lock().expect("no panic while held") = Some(stage);
    }

    /// Asks the run to stop at the next safe point, because of `signal`.
    pub fn stop(&self, signal: i32) {
        self.stop.store(signal, Ordering::Relaxed);
    }

    /// Returns an error once the run has been asked to stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn check(&self) -> Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Error::Interrupted { signal }),
        }
    }

    /// Remembers something that the user should know, once.
    pub fn warn(&self, message: impl Into<String>) {
        let message = message.into();
        let mut warnings = self.warnings.lock().expect("no panic while held");
        if !warnings.contains(&message) {
            warnings.push(message);
        }
    }

    /// What was remembered.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().expect("no panic while held").clone()
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
