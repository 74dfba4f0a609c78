//! What to hide, where, and how often.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::eval::check_lengths;

/// The needles of all repeats are looked at before a run begins.
const MAX_REPEATS: u32 = 10_000;

/// What to hide, where, and how often.
#[derive(Debug, Clone)]
pub struct NiahSettings {
    /// Lengths of prompt and answer, in tokens of the meter.
    pub lengths: Vec<u32>,
    /// Depths of the needle, in percent of the haystack.
    pub depths: Vec<f64>,
    /// Prompts for each length and depth.
    pub repeats: u32,
    /// Seed of documents and needles.
    pub seed: u64,
    /// The haystack: JSON lines with a field `text`, or plain text. `None`: made-up prose.
    pub haystack: Option<PathBuf>,
    /// Needles in the form of NeedleBench's `needles.jsonl`. `None`: made-up needles.
    pub needles: Option<PathBuf>,
    /// Tokens of a length that are kept free for everything but haystack and needle. NeedleBench keeps 600;
    /// `None`: what instruction, question and answer take.
    pub reserve: Option<u32>,
    /// Tokens for the answer.
    pub max_new_tokens: u32,
}

impl Default for NiahSettings {
    /// NeedleBench's grid up to 32K, over made-up text.
    fn default() -> Self {
        Self {
            lengths: (1..=16).map(|i| 2048 * i).collect(),
            depths: (0..=10).map(|i| 10.0 * f64::from(i)).collect(),
            repeats: 10,
            seed: 42,
            haystack: None,
            needles: None,
            reserve: None,
            max_new_tokens: 32,
        }
    }
}

impl NiahSettings {
    /// Whether every prompt has a name of its own and a place for its needle.
    pub(super) fn check(&self) -> Result<()> {
        check_lengths(&self.lengths)?;
        let in_range = |depth: &f64| (0.0..=100.0).contains(depth);
        if self.depths.is_empty() || !self.depths.iter().all(in_range) {
            return Err(Error::usage("depths must be numbers from 0 to 100, at least one"));
        }
        for (i, depth) in self.depths.iter().enumerate() {
            if self.depths[..i].contains(depth) {
                return Err(Error::usage(format!("depth {depth} is there twice")));
            }
        }
        if !(1..=MAX_REPEATS).contains(&self.repeats) {
            return Err(Error::usage(format!("repeats must be from 1 to {MAX_REPEATS}")));
        }
        Ok(())
    }
}
