//! Does a model hold at length? Benchmarks: prompts out, predictions in, tables of means.
//!
//! ```text
//! Benchmark ─► Case ─► Item { prompt, gold } ─► a model's prediction ─► Gold::score ─► Outcome
//!     ▲                                                                                  │
//!     └──────────────────────────── tables ◄─────────────────────────────────────────────┘
//! ```
//!
//! A benchmark is a list of cases that can be asked for one by one: a case is known before its prompt is
//! made, so that a finished one costs nothing when a run resumes, and a prompt of 128K tokens exists only
//! while a model reads it. Prompts depend on the settings and the seed alone ([`draw`]). A prediction is
//! judged by what its item carries ([`gold`]), so that stored predictions can be scored again.

pub mod draw;
mod elements;
pub mod gold;
mod haystack;
pub mod item;
mod lines;
pub mod longbench;
pub mod meter;
pub mod niah;
pub mod overlap;
pub mod perplexity;
pub mod report;
pub mod rescore;
pub mod ruler;
pub mod run;
pub mod sampler;
mod scorers;
mod skips;
pub mod suite;
mod synthetic;
pub mod table;
#[cfg(test)]
mod testing;
mod words;

pub use gold::{Gold, Metric, Score, Unscorable};
pub use item::{Benchmark, Case, EvalText, Item, Outcome, Skip, cut_middle};
pub use meter::Meter;
pub use suite::Suite;
pub use table::{Cell, Row, Table};

use crate::error::{Error, Result};

/// Whether the lengths of a run can be its lengths.
fn check_lengths(lengths: &[u32]) -> Result<()> {
    if lengths.is_empty() || lengths.contains(&0) {
        return Err(Error::usage(
            "at least one length is needed, and every one above 0",
        ));
    }
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::usage(format!("length {} is there twice", pair[0]))),
        None => Ok(()),
    }
}
