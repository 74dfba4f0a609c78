//! Contamination: which texts of evaluation the training data holds already.
//!
//! Every n-gram of the texts in use is looked for, exactly, in every segment of a packed dataset. The
//! texts are in memory, the dataset is streamed through. What is found is told by task, with the longest
//! passages and where they stand, on either side. An n-gram does not run over the end of a segment: it is
//! what a model could see of one document.

mod index;
mod report;
mod search;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::item::Benchmark;
use super::meter::Meter;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::shard::lookup_documents;
use search::{Search, document};

pub use report::{OverlapReport, Passage, TaskOverlap};
pub use units::Unit;

/// How to compare.
#[derive(Debug, Clone)]
pub struct OverlapSettings {
    /// Units of an n-gram; 13 by custom.
    pub n: u32,
    /// What the units are.
    pub unit: Unit,
    /// Units of the texts of evaluation that may be in memory, at about 24 bytes each. Texts beyond are
    /// not looked for, and the report says how many.
    pub max_units: u64,
    /// Examples of each task.
    pub examples: usize,
}

impl Default for OverlapSettings {
    fn default() -> Self {
        Self {
            n: 13,
            unit: Unit::Tokens,
            max_units: 64_000_000,
            examples: 3,
        }
    }
}

/// Looks for the texts of `benchmarks` in the dataset at `directory`. `meter` is the dataset's own
/// tokenizer; `n_rows_done` counts the rows that were read.
///
/// # Errors
/// A setting is out of range, a text or the dataset cannot be read.
pub fn overlap(
    directory: &Path,
    benchmarks: &[&dyn Benchmark],
    meter: &dyn Meter,
    settings: &OverlapSettings,
    n_rows_done: &AtomicU64,
) -> Result<OverlapReport> {
    if !(1..=1000).contains(&settings.n) {
        return Err(Error::usage("an n-gram must have 1 to 1000 units"));
    }
    // Places of n-grams are 32 bits.
    let max_units = usize::try_from(settings.max_units)
        .unwrap_or(usize::MAX)
        .min(u32::MAX as usize - 1);
    let mut search = Search::new(settings.n as usize, settings.unit);
    for benchmark in benchmarks {
        for text in benchmark.texts() {
            let text = text?;
            let task = format!("{}/{}", benchmark.name(), text.task);
            search.add(task, text.id, &text.text, meter, max_units)?;
        }
    }
    search.finish();
    let dataset = Dataset::open(directory)?;
    let n_tokens = AtomicU64::new(0);
    (0..dataset.len()).into_par_iter().try_for_each(|row| {
        let slices = dataset.row(row)?;
        n_tokens.fetch_add(search.scan(row, &slices, meter)?, Ordering::Relaxed);
        n_rows_done.fetch_add(1, Ordering::Relaxed);
        Ok::<(), Error>(())
    })?;
    let mut tasks = search.tasks(settings.examples, meter)?;
    let mut wanted = BTreeSet::new();
    for passage in tasks.iter_mut().flat_map(|task| &mut task.examples) {
        passage.document = document(&dataset.row(passage.row)?, passage.position);
        wanted.insert(passage.document);
    }
    let documents = match wanted.is_empty() {
        true => BTreeMap::new(),
        false => lookup_documents(&directory.join(&dataset.manifest().documents.name), &wanted)?,
    };
    for passage in tasks.iter_mut().flat_map(|task| &mut task.examples) {
        if let Some(record) = documents.get(&passage.document) {
            passage.came_from(record);
        }
    }
    Ok(OverlapReport {
        n: settings.n,
        unit: settings.unit,
        n_rows: dataset.len(),
        n_tokens: n_tokens.into_inner(),
        tasks,
    })
}
