//! The loop over blocks and steps.

use std::ops::Range;

use rayon::prelude::*;

use super::choose::{Choice, choose};
use super::denoiser::Denoiser;
use super::options::{CacheMode, Sampling, Schedule, SpecialTokens};
use crate::error::{Error, Result};

/// What a step has done.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Prompt and answer; what is not decided yet is the mask.
    pub ids: &'a [u32],
    /// Positions that this step decided.
    pub committed: &'a [u32],
    /// Passes over the sequence, or part of it, so far.
    pub n_forwards: u64,
}

/// An answer and its cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The answer, `[max_new] u32`.
    pub tokens: Vec<u32>,
    /// Steps that were run.
    pub n_steps: u64,
    /// Passes over the whole sequence; guidance makes two in a step.
    pub n_forwards: u64,
    /// Passes over a part of it, against kept keys and values.
    pub n_partial: u64,
}

/// Samples an answer of `sampling.max_new` tokens. `watch` is called after every step and may end the run
/// by its error.
///
/// # Errors
/// The settings do not fit each other or the prompt, the model fails or gives logits that are no numbers.
pub fn sample<D: Denoiser>(
    denoiser: &mut D,
    prompt: &[u32],
    sampling: &Sampling,
    special: SpecialTokens,
    watch: &mut dyn FnMut(&Step<'_>) -> Result<()>,
) -> Result<Generated> {
    sampling.check()?;
    let total = prompt.len() as u64 + u64::from(sampling.max_new);
    if total > u64::from(u32::MAX) {
        return Err(Error::usage(format!(
            "{total} tokens are more than positions can count"
        )));
    }
    if sampling.cache != CacheMode::None && prompt.contains(&special.mask) {
        return Err(Error::usage(
            "the prompt contains the mask token, which a cache would never compute again\nhint: leave the cache off",
        ));
    }
    let mut ids = prompt.to_vec();
    ids.resize(total as usize, special.mask);
    let known = ids.iter().map(|&id| id != special.mask).collect();
    let mut run = Run {
        denoiser,
        sampling,
        special,
        ids,
        known,
        cost: Generated {
            tokens: Vec::new(),
            n_steps: 0,
            n_forwards: 0,
            n_partial: 0,
        },
    };
    for start in (prompt.len()..total as usize).step_by(sampling.block as usize) {
        run.block(start..start + sampling.block as usize, watch)?;
    }
    Ok(Generated {
        tokens: run.ids.split_off(prompt.len()),
        ..run.cost
    })
}

/// Caches of a block: of the sequence, and with guidance of the one whose prompt is masked.
type Caches<C> = (Option<C>, Option<C>);

struct Run<'a, D> {
    denoiser: &'a mut D,
    sampling: &'a Sampling,
    special: SpecialTokens,
    ids: Vec<u32>,
    /// Which positions were no masks at the start.
    known: Vec<bool>,
    cost: Generated,
}

impl<D: Denoiser> Run<'_, D> {
    fn block(&mut self, block: Range<usize>, watch: &mut dyn FnMut(&Step<'_>) -> Result<()>) -> Result<()> {
        let mut caches = (None, None);
        let n_blocks = self.sampling.max_new / self.sampling.block;
        for step in 0.. {
            // Masks of the prompt, left of the block, take part.
            let masked: Vec<u32> = (0..block.end as u32)
                .filter(|&i| self.ids[i as usize] == self.special.mask)
                .collect();
            let quota = match self.sampling.schedule {
                Schedule::Steps(steps) => share(self.sampling.block, steps / n_blocks, step),
                Schedule::Threshold(_) => masked.len(),
            };
            if quota == 0 || masked.is_empty() {
                break;
            }
            let mut choices = self.choices(&block, &masked, &mut caches)?;
            choices.sort_by(|a, b| {
                b.confidence
                    .total_cmp(&a.confidence)
                    .then(a.position.cmp(&b.position))
            });
            let n = match self.sampling.schedule {
                Schedule::Steps(_) => quota.min(choices.len()),
                Schedule::Threshold(threshold) => choices
                    .iter()
                    .take_while(|c| c.confidence >= threshold)
                    .count()
                    .max(1),
            };
            let committed: Vec<u32> = choices[..n].iter().map(|c| c.position).collect();
            for choice in &choices[..n] {
                self.ids[choice.position as usize] = choice.token;
            }
            self.cost.n_steps += 1;
            watch(&Step {
                ids: &self.ids,
                committed: &committed,
                n_forwards: self.cost.n_forwards + self.cost.n_partial,
            })?;
        }
        Ok(())
    }

    /// The best token of every masked position.
    fn choices(
        &mut self,
        block: &Range<usize>,
        masked: &[u32],
        caches: &mut Caches<D::Cache>,
    ) -> Result<Vec<Choice>> {
        let ids = std::mem::take(&mut self.ids);
        let logits = self.logits(&ids, block, masked, &mut caches.0);
        let guidance = self.sampling.guidance;
        let logits = logits.and_then(|mut logits| {
            if guidance > 0.0 {
                let mask = self.special.mask;
                let hide = |(&id, &known): (&u32, &bool)| if known { mask } else { id };
                let blind: Vec<u32> = ids.iter().zip(&self.known).map(hide).collect();
                let without = self.logits(&blind, block, masked, &mut caches.1)?;
                let scale = guidance as f32 + 1.0;
                for (with, without) in logits.iter_mut().zip(without) {
                    *with = without + scale * (*with - without);
                }
            }
            Ok(logits)
        });
        self.ids = ids;
        let (sampling, special, step) = (self.sampling, self.special, self.cost.n_steps);
        logits?
            .par_chunks_exact_mut(self.denoiser.n_vocab())
            .zip(masked)
            .map(|(logits, &position)| {
                choose(logits, position, step, sampling, special).map_err(|id| (position, id))
            })
            .collect::<Result<_, _>>()
            .map_err(|(position, id)| {
                Error::from(candle_core::Error::Msg(format!(
                    "the model gives a logit that is no number, at position {position} for token {id}\nhint: the weights are damaged, or the dtype overflows"
                )))
            })
    }

    fn logits(
        &mut self,
        ids: &[u32],
        block: &Range<usize>,
        rows: &[u32],
        cache: &mut Option<D::Cache>,
    ) -> Result<Vec<f32>> {
        let span = match self.sampling.cache {
            CacheMode::None => {
                self.cost.n_forwards += 1;
                return self.denoiser.logits(ids, rows);
            }
            CacheMode::Prefix => block.start..ids.len(),
            CacheMode::Dual => block.clone(),
        };
        match cache {
            Some(cache) => {
                self.cost.n_partial += 1;
                self.denoiser.logits_within(ids, span, rows, cache)
            }
            None => {
                self.cost.n_forwards += 1;
                let (logits, kept) = self.denoiser.logits_kept(ids, rows)?;
                *cache = Some(kept);
                Ok(logits)
            }
        }
    }
}

/// How many of `n` positions step `step` of `n_steps` commits: equal shares, the first steps one more.
fn share(n: u32, n_steps: u32, step: u32) -> usize {
    match step < n_steps {
        true => (n / n_steps + u32::from(step < n % n_steps)) as usize,
        false => 0,
    }
}
