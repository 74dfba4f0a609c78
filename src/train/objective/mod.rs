//! The objective of masked diffusion, and where its randomness comes from.
//!
//! A step draws one t per sequence (or per document), uniform in [0, 1). Every real token is masked
//! independently with probability p = (1 - eps) t + eps, and the loss is
//!
//! ```text
//! (1 / N) Σ over masked tokens i of  CE_i / p_i
//! ```
//!
//! with N all real tokens of the step, masked or not. EOD tokens are tokens like any other; padding
//! is none: it is gone before the objective sees a row.
//!
//! Every choice is a function of (seed, step, sequence of the step, position) and of nothing else:
//! neither threads nor the order in which a step's sequences are computed can change a mask, and a
//! run resumes at a step without replaying the ones before it. The functions are those of
//! [`crate::pack::seed`].
//!
//! Source: LLaDA (Nie et al., 2025), algorithm 1, and its published guidelines; strata of t as in
//! MDLM (Sahoo et al., 2024).

use crate::pack::Permutation;
use crate::pack::seed::{derive, mix, unit};
use crate::train::recipe::{Objective, PerWhat};

/// The source of one step's random choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepSeed(u64);

impl StepSeed {
    /// The choices of training step `step`, counted from 0.
    pub fn training(seed: u64, step: u64) -> Self {
        Self(derive(seed, "train step", step))
    }

    /// The choices of every measurement on held-out data: the same each time.
    pub fn evaluation(seed: u64) -> Self {
        Self(derive(seed, "held-out", 0))
    }

    /// The length that all sequences of the step are cut to, if it is one of those that are:
    /// uniform in `1..=seq_len`.
    pub fn cut_len(self, objective: &Objective, seq_len: u32) -> Option<u32> {
        let chosen = unit(derive(self.0, "cut", 0)) < objective.random_length;
        chosen.then(|| {
            let at = u128::from(derive(self.0, "cut length", 0)) * u128::from(seq_len);
            (at >> 64) as u32 + 1
        })
    }

    /// The probability of masking of each of `n` units of the step: sequences, or documents in the
    /// order of their sequences.
    ///
    /// With low discrepancy, unit k takes a uniform number of a stratum of its own, `[s/n, (s+1)/n)`.
    /// Which stratum is a seeded permutation, so that each unit's t is uniform in [0, 1) wherever it
    /// stands in the step.
    pub fn probabilities(self, objective: &Objective, n: u64) -> Vec<f64> {
        let strata = Permutation::new(n, derive(self.0, "strata", 0));
        (0..n)
            .map(|k| {
                let u = unit(derive(self.0, "t", k));
                let t = if objective.low_discrepancy {
                    (strata.get(k) as f64 + u) / n as f64
                } else {
                    u
                };
                (1.0 - objective.eps) * t + objective.eps
            })
            .collect()
    }

    /// The uniform number of each position of sequence `sequence` of the step; a position is masked if
    /// its number is below the probability.
    pub fn uniforms(self, sequence: u64) -> impl Fn(u32) -> f64 {
        let key = derive(self.0, "mask", sequence);
        move |position| unit(mix(key ^ u64::from(position)))
    }
}

/// How many units of `segments` (boundaries of a row's documents) share one t each.
pub fn n_units(objective: &Objective, segments: &[u32]) -> usize {
    match objective.t {
        PerWhat::Row => 1,
        PerWhat::Document => segments.len() - 1,
    }
}

/// The masked tokens of one row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Masked {
    /// Their places in the row, ascending.
    pub rows: Vec<u32>,
    /// `[rows.len()]`: the factor of each one's cross entropy, `scale / p`.
    pub weights: Vec<f32>,
    /// The largest 1/p among them; 0 if nothing is masked.
    pub largest: f64,
}

impl Masked {
    /// Masks a row whose documents have the boundaries `segments`: token i if `uniform(i)` is below the
    /// probability of its unit. `probabilities` has one entry for the row, or one per document; `scale`
    /// is the part of the loss that a cross entropy with weight 1 would have.
    pub fn draw(segments: &[u32], probabilities: &[f64], scale: f64, uniform: impl Fn(u32) -> f64) -> Self {
        let mut masked = Self::default();
        for (index, bounds) in segments.windows(2).enumerate() {
            let p = probabilities[if probabilities.len() == 1 { 0 } else { index }];
            let before = masked.rows.len();
            masked
                .rows
                .extend((bounds[0]..bounds[1]).filter(|&position| uniform(position) < p));
            if masked.rows.len() > before {
                masked.weights.resize(masked.rows.len(), (scale / p) as f32);
                masked.largest = masked.largest.max(1.0 / p);
            }
        }
        masked
    }

    /// The ids with every masked one replaced by `mask_id`, and the ids that were replaced.
    pub fn apply(&self, ids: &[u32], mask_id: u32) -> (Vec<u32>, Vec<u32>) {
        let mut noisy = ids.to_vec();
        let targets = self
            .rows
            .iter()
            .map(|&row| std::mem::replace(&mut noisy[row as usize], mask_id))
            .collect();
        (noisy, targets)
    }
}

#[cfg(test)]
mod tests;
