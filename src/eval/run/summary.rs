//! What came out of a run: the figures, and nothing about how they are shown.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::answers::{self, Answer, SkippedPrompts};
use super::journal::Journal;
use super::perplexities::Measured;
use super::{Plan, Subject};
use crate::error::{Result, shown, shown_text};
use crate::eval::perplexity::{Curve, Estimator, Point};
use crate::eval::{Benchmark, Outcome, Table};

/// The result of `eval`, also in `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Summary {
    /// One entry per checkpoint and scaling, in the order asked for.
    pub subjects: Vec<SubjectFigures>,
    /// Everything that was asked of the benchmarks, by name.
    pub benchmarks: Vec<BenchmarkSettings>,
    /// How perplexity was measured, if it was.
    pub perplexity: Option<PerplexityFigures>,
    /// How answers were sampled; the lengths are each benchmark's own.
    pub sampling: Value,
    /// `blake3:…` of the tokenizer.
    pub tokenizer: String,
    /// Dtype of weights and activations.
    pub dtype: String,
}

/// A benchmark as it was run.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BenchmarkSettings {
    /// `niah`, `ruler` or `longbench`.
    pub name: String,
    /// Variant, data with their digests, lengths, seed.
    pub settings: Value,
    /// Records of the data files that were left out, with the reason.
    pub left_out: Vec<Skipped>,
}

/// A record that was left out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Skipped {
    /// File, line and byte.
    pub place: String,
    /// What was expected and what was found.
    pub reason: String,
}

/// What came out for one checkpoint and scaling.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SubjectFigures {
    /// Name in tables.
    pub name: String,
    /// Directory of the checkpoint.
    pub model: String,
    /// `blake3:…` of configuration and weights.
    pub digest: String,
    /// The RoPE scaling.
    pub rope: Value,
    /// The longest sequence that was run.
    pub max_len: u32,
    /// Benchmarks, in the order asked for.
    pub benchmarks: Vec<BenchmarkFigures>,
    /// Perplexity by length.
    pub perplexity: Option<CurveFigures>,
}

/// What came out of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BenchmarkFigures {
    /// `niah`, `ruler` or `longbench`.
    pub name: String,
    /// Prompts.
    pub n_prompts: u64,
    /// Prompts that were answered and scored.
    pub n_answered: u64,
    /// Prompts that were longer than the subject reaches; they have no score.
    pub n_too_long: u64,
    /// Means by task, length or depth.
    pub tables: Vec<Table>,
    /// Steps of the sampler.
    pub n_steps: u64,
    /// Passes over whole sequences.
    pub n_forwards: u64,
    /// Passes over parts of sequences, against kept keys and values.
    pub n_partial: u64,
    /// Tokens of all answers.
    pub n_new_tokens: u64,
    /// Time that the answers took.
    pub secs: f64,
}

/// How perplexity was measured.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PerplexityFigures {
    /// Where the texts come from.
    pub source: String,
    /// `blake3:…` of their tokens.
    pub digest: String,
    /// Number of texts.
    pub n_texts: u64,
    /// Texts that were too short and left out.
    pub n_too_short: u64,
    /// The estimator with its settings.
    pub estimator: Estimator,
    /// Decides the masks.
    pub seed: u64,
    /// Lengths, tokens.
    pub lengths: Vec<u32>,
}

/// A subject's perplexity.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CurveFigures {
    /// One point per length.
    pub points: Vec<Point>,
    /// Lengths that the subject does not reach.
    pub beyond: Vec<u32>,
    /// Passes over a sequence.
    pub n_forwards: u64,
    /// Time that the measurements took.
    pub secs: f64,
}

impl Summary {
    pub(super) fn new(plan: &Plan<'_>, subjects: Vec<SubjectFigures>) -> Self {
        Self {
            subjects,
            benchmarks: plan.benchmarks.iter().map(|b| settings(*b)).collect(),
            perplexity: plan.perplexity.as_ref().map(|own| PerplexityFigures {
                source: shown_text(&own.source),
                digest: own.texts.digest.clone(),
                n_texts: own.texts.texts.len() as u64,
                n_too_short: own.texts.n_too_short,
                estimator: own.estimator,
                seed: own.seed,
                lengths: own.lengths.clone(),
            }),
            sampling: serde_json::to_value(&plan.answers).expect("plain data"),
            tokenizer: plan.speaker.tokenizer().digest().into(),
            dtype: plan.dtype.as_str().into(),
        }
    }
}

fn settings(benchmark: &dyn Benchmark) -> BenchmarkSettings {
    let left_out = benchmark.skips().iter().map(|skip| Skipped {
        place: skip.place.to_string(),
        reason: skip.reason.clone(),
    });
    BenchmarkSettings {
        name: benchmark.name().into(),
        settings: benchmark.settings(),
        left_out: left_out.collect(),
    }
}

/// What the journal says about a subject.
pub(super) fn subject(
    plan: &Plan<'_>,
    subject: &Subject,
    predictions: &Journal<Answer>,
    measured: &Journal<Measured>,
    skipped: SkippedPrompts,
) -> Result<SubjectFigures> {
    let by_key: HashMap<&str, &Answer> = predictions
        .entries()
        .iter()
        .map(|answer| (answer.settings.as_str(), answer))
        .collect();
    let benchmarks = plan.benchmarks.iter().map(|&benchmark| {
        let cases = (0..benchmark.n_cases()).map(|index| benchmark.case(index));
        let answers: Vec<&Answer> = cases
            .filter_map(|case| {
                by_key
                    .get(answers::key(plan, subject, benchmark, &case).as_str())
                    .copied()
            })
            .collect();
        let outcomes: Vec<Outcome> = answers
            .iter()
            .map(|answer| Outcome {
                case: answer.case.clone(),
                score: answer.score,
            })
            .collect();
        let sum = |value: fn(&Answer) -> u64| answers.iter().map(|answer| value(answer)).sum();
        BenchmarkFigures {
            name: benchmark.name().into(),
            n_prompts: benchmark.n_cases() as u64,
            n_answered: answers.len() as u64,
            n_too_long: skipped.get(benchmark.name()).copied().unwrap_or(0),
            tables: benchmark.tables(&outcomes),
            n_steps: sum(|a| a.n_steps),
            n_forwards: sum(|a| a.n_forwards),
            n_partial: sum(|a| a.n_partial),
            n_new_tokens: sum(|a| a.n_new),
            secs: answers.iter().map(|a| a.secs).sum(),
        }
    });
    Ok(SubjectFigures {
        name: shown_text(&subject.name),
        model: shown(&subject.directory),
        digest: subject.digest.clone(),
        rope: subject.rope(),
        max_len: subject.max_len,
        benchmarks: benchmarks.collect(),
        perplexity: curve(plan, subject, measured),
    })
}

fn curve(plan: &Plan<'_>, subject: &Subject, measured: &Journal<Measured>) -> Option<CurveFigures> {
    let own = plan.perplexity.as_ref()?;
    let key = own.key(plan, subject);
    let places = own.places(subject);
    let entries: Vec<&Measured> = measured
        .entries()
        .iter()
        .filter(|entry| entry.settings == key && places.contains(&entry.place))
        .collect();
    let draws: Vec<_> = entries
        .iter()
        .map(|entry| (entry.place, entry.draws.clone()))
        .collect();
    let lengths = own.lengths_of(subject);
    let n_draws = match own.estimator {
        Estimator::Chunks { draws, .. } | Estimator::Window { draws } => u64::from(draws),
    };
    Some(CurveFigures {
        points: Curve::new(own.estimator, &lengths, own.texts.texts.len() as u64, &draws).points,
        beyond: own
            .lengths
            .iter()
            .copied()
            .filter(|l| !lengths.contains(l))
            .collect(),
        n_forwards: entries.len() as u64 * n_draws,
        secs: entries.iter().map(|entry| entry.secs).sum(),
    })
}

/// The JSON Schema of `eval --json`, which is also that of `summary.json`.
pub fn schema() -> Value {
    #[derive(Serialize, JsonSchema)]
    struct Output {
        /// `ultrapack/eval/1`.
        schema: String,
        /// The result.
        eval: Summary,
    }
    let mut schema = schemars::schema_for!(Output).to_value();
    schema["$id"] = "urn:ultrapack:schema:eval:1".into();
    schema["title"] = "ultrapack eval --json".into();
    schema["properties"]["schema"]["const"] = "ultrapack/eval/1".into();
    schema
}
