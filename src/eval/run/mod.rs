//! A run: subjects (a checkpoint with a RoPE scaling each) through benchmarks and perplexity.
//!
//! ```text
//! subjects × (benchmarks, perplexity) ─► work not yet in the journal ─► model ─► journal ─► summary
//!                                                                        predictions.jsonl
//!                                                                        perplexity.jsonl
//! ```
//!
//! The journal is append-only and keyed by everything that decides a result: weights, scaling, sampling, the
//! benchmark's rules and data, the tokenizer. What is in it is never computed again, and what was computed
//! under other settings is never taken for it. A prompt that is longer than its subject's length is skipped and
//! counted; it has no score.

mod answers;
mod export;
mod journal;
mod monitor;
mod perplexities;
mod speaker;
mod subject;
mod summary;
#[cfg(test)]
mod tests;

pub use answers::{Answer, AnswerRule};
pub use export::export;
pub use journal::{Journal, PERPLEXITY, PREDICTIONS};
pub use monitor::{Monitor, Status};
pub use perplexities::{Measured, PerplexityPlan};
pub use speaker::Speaker;
pub use subject::{Subject, SubjectSpec, method};
pub use summary::{
    BenchmarkFigures, BenchmarkSettings, CurveFigures, PerplexityFigures, Skipped, SubjectFigures, Summary,
    schema,
};

use std::path::Path;

use candle_core::{DType, Device};

use crate::disk::{self, Lock};
use crate::error::Result;
use crate::eval::Benchmark;
use crate::model::Model;

/// What a run does.
pub struct Plan<'a> {
    /// Checkpoints with their scalings, in the order of the tables.
    pub subjects: Vec<Subject>,
    /// Benchmarks, in the order of the tables.
    pub benchmarks: Vec<&'a dyn Benchmark>,
    /// How answers are sampled.
    pub answers: AnswerRule,
    /// Texts whose perplexity is measured.
    pub perplexity: Option<PerplexityPlan>,
    /// Text to tokens and back.
    pub speaker: &'a Speaker,
    /// Digest of the tokenizer that lengths are counted in, where it is another one.
    pub meter: Option<String>,
    /// Where to compute.
    pub device: Device,
    /// Dtype of weights and activations.
    pub dtype: DType,
}

/// Runs what is not finished yet, and sums up.
///
/// # Errors
/// The output cannot be written, the model cannot be loaded or run, or a benchmark cannot make a prompt. What
/// is finished is kept.
pub fn run(plan: &Plan<'_>, out: &Path, monitor: &Monitor) -> Result<Summary> {
    disk::create_directory(out)?;
    let _lock = Lock::take(out)?;
    let mut predictions = Journal::<Answer>::open(&out.join(PREDICTIONS))?;
    let mut measured = Journal::<Measured>::open(&out.join(PERPLEXITY))?;
    let mut figures = Vec::with_capacity(plan.subjects.len());
    for subject in &plan.subjects {
        let answers = answers::Work::new(plan, subject, &predictions);
        let perplexities = perplexities::Work::new(plan, subject, &measured);
        monitor.subject(&subject.name, answers.pending() + perplexities.pending());
        let mut model = Loaded::new(plan, subject, monitor);
        perplexities.run(&mut model, &mut measured, monitor)?;
        let skipped = answers.run(&mut model, &mut predictions, monitor)?;
        figures.push(summary::subject(plan, subject, &predictions, &measured, skipped)?);
    }
    Ok(Summary::new(plan, figures))
}

/// A subject's model, loaded when the first unfinished piece of work needs it.
struct Loaded<'a> {
    subject: &'a Subject,
    device: &'a Device,
    dtype: DType,
    monitor: &'a Monitor,
    model: Option<Model>,
}

impl<'a> Loaded<'a> {
    fn new(plan: &'a Plan<'_>, subject: &'a Subject, monitor: &'a Monitor) -> Self {
        Self {
            subject,
            monitor,
            device: &plan.device,
            dtype: plan.dtype,
            model: None,
        }
    }

    fn get(&mut self) -> Result<&Model> {
        if self.model.is_none() {
            let model = self.subject.load(self.device, self.dtype)?;
            for note in &model.rope().notes {
                self.monitor.warn(format!("{}: {note}", self.subject.name));
            }
            self.model = Some(model);
        }
        Ok(self.model.as_ref().expect("just loaded"))
    }
}

/// `blake3:…` of a JSON value: a key of the journal.
fn digest(value: &serde_json::Value) -> String {
    format!("blake3:{}", blake3::hash(value.to_string().as_bytes()).to_hex())
}
