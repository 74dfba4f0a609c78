//! Prompts of benchmarks as pieces of work.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::journal::Journal;
use super::monitor::{Monitor, Pending};
use super::{Loaded, Plan, Subject, digest};
use crate::error::{Error, Result};
use crate::eval::sampler::{ModelDenoiser, Sampling, Schedule, sample};
use crate::eval::{Benchmark, Case, Gold, Item, Score, cut_middle};

/// How answers are sampled: the published settings of each benchmark, unless said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRule {
    /// Tokens of a block. Default: 32 for NIAH, else 64.
    pub block: Option<u32>,
    /// Tokens that a step commits. Default: 2 for NIAH, else 1.
    pub tokens_per_step: Option<u32>,
    /// Commit by confidence instead.
    pub threshold: Option<f64>,
    /// Everything else; its lengths and schedule are set by the rule.
    pub base: Sampling,
}

impl AnswerRule {
    /// Checks that the settings fit each other.
    ///
    /// # Errors
    /// They do not.
    pub fn check(&self) -> Result<()> {
        self.sampling("", 1).check()
    }

    /// The sampling of an answer of at least `max_new` tokens: whole blocks, each with as many steps as
    /// `tokens_per_step` needs.
    pub fn sampling(&self, benchmark: &str, max_new: u32) -> Sampling {
        let (block, per_step) = if benchmark == "niah" { (32, 2) } else { (64, 1) };
        let block = self.block.unwrap_or(block).max(1);
        let per_step = self.tokens_per_step.unwrap_or(per_step).clamp(1, block);
        let n_blocks = max_new.div_ceil(block).max(1);
        Sampling {
            max_new: n_blocks * block,
            block,
            schedule: match self.threshold {
                Some(threshold) => Schedule::Threshold(threshold),
                None => Schedule::Steps(n_blocks * block.div_ceil(per_step)),
            },
            ..self.base.clone()
        }
    }
}

/// An answered prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The checkpoint and scaling.
    pub subject: String,
    /// Digest of everything that decides the result.
    pub settings: String,
    /// The benchmark.
    pub benchmark: String,
    /// Which prompt.
    pub case: Case,
    /// What it was judged by.
    pub gold: Gold,
    /// The text that the model gave.
    pub prediction: String,
    /// How good it is.
    pub score: Score,
    /// Tokens of the prompt as it was run.
    pub n_prompt: u64,
    /// Tokens of the answer.
    pub n_new: u64,
    /// Steps of the sampler.
    pub n_steps: u64,
    /// Passes over the whole sequence.
    pub n_forwards: u64,
    /// Passes over a part of it, against kept keys and values.
    pub n_partial: u64,
    /// Time it took.
    pub secs: f64,
}

/// The key of a prompt's result.
pub fn key(plan: &Plan<'_>, subject: &Subject, benchmark: &dyn Benchmark, case: &Case) -> String {
    digest(&json!({
        "subject": subject.identity(plan.dtype),
        "benchmark": benchmark.name(),
        "rules": benchmark.identity(case),
        "tokenizer": plan.speaker.tokenizer().identity(),
        "meter": plan.meter,
        "sampling": plan.answers,
        "case": case.id,
    }))
}

/// A subject's unfinished prompts.
pub struct Work<'a> {
    plan: &'a Plan<'a>,
    subject: &'a Subject,
    /// Benchmark, number of the prompt, its key.
    pending: Vec<(&'a dyn Benchmark, usize, String)>,
}

/// Prompts that were longer than the subject reaches, by benchmark.
pub type SkippedPrompts = HashMap<&'static str, u64>;

impl<'a> Work<'a> {
    pub fn new(plan: &'a Plan<'a>, subject: &'a Subject, predictions: &Journal<Answer>) -> Self {
        let done: HashSet<&str> = predictions
            .entries()
            .iter()
            .map(|a| a.settings.as_str())
            .collect();
        let mut pending = Vec::new();
        for &benchmark in &plan.benchmarks {
            for index in 0..benchmark.n_cases() {
                let key = key(plan, subject, benchmark, &benchmark.case(index));
                if !done.contains(key.as_str()) {
                    pending.push((benchmark, index, key));
                }
            }
        }
        Self {
            plan,
            subject,
            pending,
        }
    }

    pub fn pending(&self) -> Pending {
        Pending {
            n: self.pending.len() as u64,
            weight: self
                .pending
                .iter()
                .map(|(b, index, _)| self.weight(*b, &b.case(*index)))
                .sum(),
        }
    }

    /// Steps times length: what a prompt costs, about.
    fn weight(&self, benchmark: &dyn Benchmark, case: &Case) -> f64 {
        let length = case.length.unwrap_or(8192);
        match length > self.subject.max_len {
            true => 0.0,
            false => f64::from(length) * if benchmark.name() == "niah" { 16.0 } else { 64.0 },
        }
    }

    pub fn run(
        &self,
        model: &mut Loaded<'_>,
        predictions: &mut Journal<Answer>,
        monitor: &Monitor,
    ) -> Result<SkippedPrompts> {
        let mut skipped = SkippedPrompts::new();
        for (benchmark, index, key) in &self.pending {
            monitor.check()?;
            let case = benchmark.case(*index);
            monitor.doing(format!("{} {}", benchmark.name(), case.id));
            match self.answer(*benchmark, *index, key, model, monitor)? {
                Some(answer) => predictions.append(answer)?,
                None => *skipped.entry(benchmark.name()).or_default() += 1,
            }
            monitor.done(self.weight(*benchmark, &case));
        }
        Ok(skipped)
    }

    /// The answer; `None` if the prompt is longer than the subject reaches.
    fn answer(
        &self,
        benchmark: &dyn Benchmark,
        index: usize,
        key: &str,
        model: &mut Loaded<'_>,
        monitor: &Monitor,
    ) -> Result<Option<Answer>> {
        let Item {
            case,
            prompt,
            gold,
            max_new_tokens,
            max_prompt_len,
        } = benchmark.item(index)?;
        let mut tokens = self.plan.speaker.tokens(&prompt)?;
        if let Some(limit) = max_prompt_len {
            cut_middle(&mut tokens, limit as usize);
        }
        let sampling = self.plan.answers.sampling(benchmark.name(), max_new_tokens);
        if tokens.len() as u64 > u64::from(self.subject.max_len) {
            return Ok(None);
        }
        let began = Instant::now();
        let mut denoiser = ModelDenoiser::new(model.get()?);
        let mut seen = 0;
        let generated = sample(
            &mut denoiser,
            &tokens,
            &sampling,
            self.plan.speaker.special(),
            &mut |step| {
                monitor.forwards(step.n_forwards - seen);
                seen = step.n_forwards;
                monitor.check()
            },
        )?;
        let prediction = self.plan.speaker.text(&generated.tokens)?;
        let score = gold.score(&prediction).map_err(|reason| {
            Error::usage(format!(
                "{} {} cannot be scored: {reason}",
                benchmark.name(),
                case.id
            ))
        })?;
        Ok(Some(Answer {
            subject: self.subject.name.clone(),
            settings: key.into(),
            benchmark: benchmark.name().into(),
            case,
            gold,
            prediction,
            score,
            n_prompt: tokens.len() as u64,
            n_new: generated.tokens.len() as u64,
            n_steps: generated.n_steps,
            n_forwards: generated.n_forwards,
            n_partial: generated.n_partial,
            secs: began.elapsed().as_secs_f64(),
        }))
    }
}
