//! What was found, by task.

use serde::Serialize;

use super::units::Unit;
use crate::shard::DocumentRecord;

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlapReport {
    /// Units of an n-gram.
    pub n: u32,
    /// What the units are.
    pub unit: Unit,
    /// Rows of the dataset that were read.
    pub n_rows: u64,
    /// Tokens in them.
    pub n_tokens: u64,
    /// By task.
    pub tasks: Vec<TaskOverlap>,
}

/// What was found of a task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskOverlap {
    /// Benchmark and task: `longbench/qasper`.
    pub task: String,
    /// Texts of the task.
    pub n_texts: u64,
    /// Texts that were not looked for, because there was no room for them.
    pub n_texts_left_out: u64,
    /// Texts with at least one n-gram in the dataset.
    pub n_texts_met: u64,
    /// Texts of whose n-grams at least half are in the dataset.
    pub n_texts_mostly_met: u64,
    /// n-grams of the texts that were looked for.
    pub n_grams: u64,
    /// Those that the dataset has.
    pub n_grams_met: u64,
    /// The longest passages, one of a text.
    pub examples: Vec<Passage>,
}

/// A passage that a text of evaluation and the dataset share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Passage {
    /// The text of evaluation.
    pub text: String,
    /// First unit of the passage in it.
    pub at: u64,
    /// Units of the passage: of n-grams in a row that are all in the dataset, though not always in one
    /// place.
    pub n_units: u64,
    /// How it begins.
    pub begins: String,
    /// Row of the dataset where its first n-gram stands.
    pub row: u64,
    /// Position of the n-gram in the row; with words, of the segment that holds it.
    pub position: u32,
    /// Document of the dataset.
    pub document: u64,
    /// The recipe's source of the document.
    pub source: String,
    /// Its file.
    pub file: String,
    /// Its record in the file.
    pub record: u64,
}

impl Passage {
    /// Tells where its document came from.
    pub(super) fn came_from(&mut self, record: &DocumentRecord) {
        self.source = record.source.to_string();
        self.file = record.file.to_string();
        self.record = record.record;
    }
}

impl TaskOverlap {
    /// Nothing, so far.
    pub(super) fn new(task: String) -> Self {
        Self {
            task,
            n_texts: 0,
            n_texts_left_out: 0,
            n_texts_met: 0,
            n_texts_mostly_met: 0,
            n_grams: 0,
            n_grams_met: 0,
            examples: Vec::new(),
        }
    }
}
