//! How an answer is sampled.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How many positions a step commits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// So many steps for the whole answer, shared equally by its blocks.
    Steps(u32),
    /// Every position whose confidence reaches the threshold, 0..=1, and always the surest one.
    ///
    /// Source: Fast-dLLM's confidence-aware parallel decoding.
    Threshold(f64),
}

/// What makes a position sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remask {
    /// The probability of the chosen token, without noise.
    LowConfidence,
    /// A random number.
    Random,
}

/// Whether keys and values are computed anew in every step. Both caches are approximations: what is kept is
/// as old as the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// Exact: every step computes the whole sequence.
    None,
    /// The first step of a block computes the whole sequence, later ones from the block's start to the end.
    Prefix,
    /// The first step of a block computes the whole sequence, later ones the block alone.
    Dual,
}

/// How an answer is sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// Tokens of the answer; all of them are always decoded.
    pub max_new: u32,
    /// Tokens of a block; divides `max_new`.
    pub block: u32,
    /// How many positions a step commits.
    pub schedule: Schedule,
    /// Gumbel noise: 0 takes the most likely token.
    pub temperature: f64,
    /// Classifier-free guidance: 0 is none; else a step costs two passes.
    pub guidance: f64,
    /// What makes a position sure.
    pub remask: Remask,
    /// The end-of-text token is never chosen (`logits_eos_inf`).
    pub forbid_eos: bool,
    /// End-of-text and end-of-turn tokens are committed last (`confidence_eos_eot_inf`).
    pub defer_eos: bool,
    /// Whether keys and values are kept within a block.
    pub cache: CacheMode,
    /// Decides noise and random order.
    pub seed: u64,
}

/// The ids that the sampler treats in a special way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialTokens {
    /// The mask.
    pub mask: u32,
    /// End of text.
    pub eos: u32,
    /// End of turn, where the tokenizer has one.
    pub eot: Option<u32>,
}

impl Sampling {
    /// One token per step, in one block, nothing random: the reference point.
    pub fn greedy(max_new: u32) -> Self {
        Self {
            max_new,
            block: max_new,
            schedule: Schedule::Steps(max_new),
            temperature: 0.0,
            guidance: 0.0,
            remask: Remask::LowConfidence,
            forbid_eos: false,
            defer_eos: false,
            cache: CacheMode::None,
            seed: 0,
        }
    }

    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// They do not: the message names the setting, what it is and what it may be.
    pub fn check(&self) -> Result<()> {
        let fail = |message: String| Err(Error::usage(message));
        if self.max_new == 0 || self.block == 0 || !self.max_new.is_multiple_of(self.block) {
            return fail(format!(
                "an answer of {} tokens cannot be cut into blocks of {}\nhint: `block` must divide the number of new tokens",
                self.max_new, self.block
            ));
        }
        let n_blocks = self.max_new / self.block;
        match self.schedule {
            Schedule::Steps(steps) if steps == 0 || !steps.is_multiple_of(n_blocks) => {
                return fail(format!(
                    "{steps} steps cannot be shared by {n_blocks} blocks\nhint: `steps` must be a multiple of {n_blocks}"
                ));
            }
            Schedule::Threshold(threshold) if !(0.0..=1.0).contains(&threshold) => {
                return fail(format!("threshold {threshold} is not a probability in 0..=1"));
            }
            Schedule::Threshold(_) if self.remask == Remask::Random => {
                return fail("a threshold needs confidences, but the order is random\nhint: leave `remask` at low-confidence".into());
            }
            _ => {}
        }
        for (name, value) in [("temperature", self.temperature), ("guidance", self.guidance)] {
            if !value.is_finite() || value < 0.0 {
                return fail(format!("{name} {value} is not a number from 0 on"));
            }
        }
        Ok(())
    }
}
