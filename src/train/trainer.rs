//! One optimizer step after another.

use std::time::Instant;

use super::batch::{Batch, Sample};
use super::forecast::Flops;
use super::machine::resident_bytes;
use super::metrics::{EvalFigures, StepFigures};
use super::monitor::Monitor;
use super::optimizer::Optimizer;
use super::pass::{Loss, forward, forward_backward};
use super::recipe::TrainRecipe;
use super::schedule::learning_rate;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::model::{Gradients, Model};
use crate::train::objective::StepSeed;

/// A model in training.
#[derive(Debug)]
pub struct Trainer<'a> {
    recipe: &'a TrainRecipe,
    dataset: &'a Dataset,
    /// The model; between steps it is what a checkpoint saves.
    pub model: Model,
    /// The optimizer's state.
    pub optimizer: Optimizer,
    gradients: Gradients,
    peak_flops: Option<f64>,
}

impl<'a> Trainer<'a> {
    /// Makes room for gradients.
    ///
    /// # Errors
    /// The device is out of memory.
    pub fn new(
        recipe: &'a TrainRecipe,
        dataset: &'a Dataset,
        model: Model,
        optimizer: Optimizer,
        peak_flops: Option<f64>,
    ) -> Result<Self> {
        let gradients = Gradients::zeros(&model)?;
        Ok(Self {
            recipe,
            dataset,
            model,
            optimizer,
            gradients,
            peak_flops,
        })
    }

    /// Takes step `step`, counted from 0. On an error, the weights are those before the step.
    ///
    /// # Errors
    /// A number is not finite, a row is damaged, the device fails, or the run is asked to stop.
    pub fn step(&mut self, step: u64, monitor: &Monitor) -> Result<StepFigures> {
        let started = Instant::now();
        let recipe = self.recipe;
        let n = recipe.batch.sequences;
        let vocab_size = self.model.config().vocab_size;
        let batch = Batch::training(self.dataset, &recipe.objective, recipe.seed, step, n, vocab_size)?;
        self.gradients.clear()?;
        let (mut loss, mut flops) = (Loss::default(), Flops::default());
        for (done, sample) in batch.samples.iter().enumerate() {
            monitor.check()?;
            monitor.update(|status| status.sequences = (done as u64, u64::from(n)));
            let own = self.sequence(sample)?;
            if !own.weighted.is_finite() {
                return Err(diverged(step, "the loss", &[sample]));
            }
            loss.add(&own);
            let cu_seqlens = &sample.tokens.cu_seqlens;
            flops.add(&Flops::of_row(self.model.config(), cu_seqlens, own.n_masked));
        }
        let grad_norm = self.gradients.squared_norm()?.sqrt();
        if !grad_norm.is_finite() {
            return Err(self.culprit(step, &batch)?);
        }
        let clip = recipe.optimizer.clip_norm;
        let scale = if clip > 0.0 && grad_norm > clip {
            clip / (grad_norm + 1e-6)
        } else {
            1.0
        };
        let lr = learning_rate(&recipe.schedule, recipe.optimizer.lr, step, recipe.steps);
        self.optimizer
            .update(&mut self.model, &self.gradients, step + 1, lr, scale)?;
        let secs = started.elapsed().as_secs_f64();
        let largest = batch.samples.iter().map(|sample| sample.masked.largest);
        let seq_len = self.dataset.manifest().seq_len;
        Ok(StepFigures {
            step: step + 1,
            loss: loss.weighted,
            masked_ce: loss.mean(),
            n_masked: loss.n_masked,
            n_tokens: batch.n_tokens,
            largest_weight: largest.fold(0.0, f64::max),
            grad_norm,
            lr,
            cut_len: StepSeed::training(recipe.seed, step).cut_len(&recipe.objective, seq_len),
            secs,
            tokens_per_sec: batch.n_tokens as f64 / secs,
            mfu: self.peak_flops.map(|peak| flops.model() / secs / peak),
            memory_bytes: resident_bytes(),
        })
    }

    fn sequence(&mut self, sample: &Sample) -> Result<Loss> {
        forward_backward(&self.model, &sample.tokens, &sample.masked, &mut self.gradients)
    }

    /// Which sequences of a step give gradients that are not finite. Only the sum over the step was
    /// looked at, so each is computed again alone.
    fn culprit(&mut self, step: u64, batch: &Batch) -> Result<Error> {
        let mut found = Vec::new();
        for sample in &batch.samples {
            self.gradients.clear()?;
            self.sequence(sample)?;
            if !self.gradients.squared_norm()?.is_finite() {
                found.push(sample);
            }
        }
        if found.is_empty() {
            // Each alone is finite, their sum is not.
            found.extend(&batch.samples);
        }
        Ok(diverged(step, "the norm of the gradients", &found))
    }

    /// The loss on a held-out batch after `step` steps.
    ///
    /// # Errors
    /// The device fails, or the run is asked to stop.
    pub fn evaluate(&self, step: u64, batch: &Batch, monitor: &Monitor) -> Result<EvalFigures> {
        let mut loss = Loss::default();
        for (done, sample) in batch.samples.iter().enumerate() {
            monitor.check()?;
            monitor.update(|status| status.sequences = (done as u64, batch.samples.len() as u64));
            loss.add(&forward(&self.model, &sample.tokens, &sample.masked)?);
        }
        Ok(EvalFigures {
            step,
            eval_loss: loss.weighted,
            eval_masked_ce: loss.mean(),
            eval_n_masked: loss.n_masked,
        })
    }
}

fn diverged(step: u64, what: &'static str, samples: &[&Sample]) -> Error {
    const SHOWN: usize = 4;
    let mut lines: Vec<String> = samples
        .iter()
        .take(SHOWN)
        .map(|sample| sample.address.to_string())
        .collect();
    if samples.len() > SHOWN {
        lines.push(format!("and {} more sequences", samples.len() - SHOWN));
    }
    Error::Diverged {
        step: step + 1,
        what,
        address: lines.join("\n"),
    }
}
