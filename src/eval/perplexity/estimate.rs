//! The two estimators: which tokens to mask, and what to average.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::masks::{stratified, stream, subset};
use super::texts::Text;
use crate::error::{Error, Result};
use crate::model::{Model, Tokens};

/// Says how surprised a model is.
pub trait Predictor {
    /// Cross entropy, nats, of token `targets[i]` at position `rows[i]`, where the mask stands in `tokens`.
    ///
    /// # Errors
    /// The sequence cannot be computed.
    fn cross_entropy(&mut self, tokens: &Tokens<'_>, rows: &[u32], targets: &[u32]) -> Result<Vec<f32>>;

    /// The mask token.
    fn mask_id(&self) -> u32;
}

/// A model as a predictor.
#[derive(Debug)]
pub struct ModelPredictor<'a>(pub &'a Model);

impl Predictor for ModelPredictor<'_> {
    fn cross_entropy(&mut self, tokens: &Tokens<'_>, rows: &[u32], targets: &[u32]) -> Result<Vec<f32>> {
        let hidden = self.0.hidden(tokens)?;
        let weights = vec![1.0; rows.len()];
        let loss = self
            .0
            .head_loss(&hidden, rows, targets, &weights, tokens.cu_seqlens, None)?;
        Ok(loss.ce)
    }

    fn mask_id(&self) -> u32 {
        self.0.config().mask_id
    }
}

/// How perplexity is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Estimator {
    /// Chunks of `chunk` tokens behind their prefix. A curve averages over all chunks up to a length.
    Chunks {
        /// Tokens of a chunk.
        chunk: u32,
        /// Masks drawn for each chunk.
        draws: u32,
        /// Every so many chunks one is measured.
        stride: u32,
    },
    /// Whole windows, masked at stratified ratios.
    Window {
        /// Masks drawn for each window.
        draws: u32,
    },
}

impl fmt::Display for Estimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunks {
                chunk,
                draws,
                stride: 1,
            } => {
                write!(f, "all chunks of {chunk} tokens, masks per chunk: {draws}")
            }
            Self::Chunks { chunk, draws, stride } => {
                write!(
                    f,
                    "one in {stride} chunks of {chunk} tokens, masks per chunk: {draws}"
                )
            }
            Self::Window { draws } => write!(f, "whole windows, masks per window: {draws}"),
        }
    }
}

/// One measurement: a text up to a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Number of the text.
    pub text: u64,
    /// Tokens that the model sees: for chunks the end of the chunk, else the window.
    pub length: u32,
}

impl Estimator {
    /// The estimator of LongLLaDA: chunks of 64, 8 masks for each.
    pub const LONG_LLADA: Self = Self::Chunks {
        chunk: 64,
        draws: 8,
        stride: 1,
    };

    /// Checks that the numbers fit each other and the lengths.
    ///
    /// # Errors
    /// They do not.
    pub fn check(&self, lengths: &[u32]) -> Result<()> {
        let fail = |message: String| Err(Error::usage(message));
        let draws = match *self {
            Self::Chunks { draws, .. } | Self::Window { draws } => draws,
        };
        if draws == 0 {
            return fail("perplexity needs at least one draw of masks".into());
        }
        if let Self::Chunks { chunk, stride, .. } = *self {
            if chunk == 0 || stride == 0 {
                return fail("chunk and stride must be at least 1".into());
            }
            let step = u64::from(chunk) * u64::from(stride);
            if let Some(length) = lengths.iter().find(|&&length| {
                !u64::from(length).is_multiple_of(step) || u64::from(length) < 2 * u64::from(chunk)
            }) {
                return fail(format!(
                    "length {length} does not end with a measured chunk\nhint: lengths must be multiples of chunk × stride = {step}, and hold at least two chunks"
                ));
            }
        }
        Ok(())
    }

    /// All measurements for `n_texts` texts, shorter lengths first.
    pub fn places(&self, n_texts: u64, lengths: &[u32]) -> Vec<Place> {
        let mut ends: Vec<u32> = match *self {
            Self::Window { .. } => lengths.to_vec(),
            Self::Chunks { chunk, stride, .. } => {
                let longest = lengths.iter().copied().max().unwrap_or(0);
                let ends = (1..=longest / (chunk * stride)).map(|i| i * chunk * stride);
                // The first chunk has no prefix.
                ends.filter(|&end| end >= 2 * chunk).collect()
            }
        };
        ends.sort_unstable();
        ends.dedup();
        let at = |length| (0..n_texts).map(move |text| Place { text, length });
        ends.into_iter().flat_map(at).collect()
    }
}

/// Mean cross entropy over the masked tokens, nats, of every draw.
///
/// # Errors
/// The model cannot compute the text, or gives a number that is not finite.
///
/// # Panics
/// If the text is shorter than the place, or the estimator's [`Estimator::check`] was not heeded.
pub fn measure(
    predictor: &mut dyn Predictor,
    text: &Text,
    place: Place,
    estimator: Estimator,
    seed: u64,
) -> Result<Vec<f64>> {
    let mut clean = text.tokens.clone();
    clean.cut(place.length);
    assert_eq!(clean.len(), place.length as usize, "a text of {}", clean.len());
    let (purpose, first, draws) = match estimator {
        Estimator::Chunks { chunk, draws, .. } => ("perplexity/chunks", place.length - chunk, draws),
        Estimator::Window { draws } => ("perplexity/window", 0, draws),
    };
    let n = place.length - first;
    let mut rng = stream(seed, purpose, place.text, place.length);
    let counts = match estimator {
        Estimator::Chunks { .. } => (0..draws).map(|_| 1 + rng.below(u64::from(n)) as u32).collect(),
        Estimator::Window { .. } => stratified(&mut rng, n, draws),
    };
    let mut ids = clean.ids.clone();
    counts
        .into_iter()
        .map(|count| {
            let rows: Vec<u32> = subset(&mut rng, n, count).iter().map(|row| first + row).collect();
            ids.copy_from_slice(&clean.ids);
            rows.iter().for_each(|&row| ids[row as usize] = predictor.mask_id());
            let targets: Vec<u32> = rows.iter().map(|&row| clean.ids[row as usize]).collect();
            let tokens = Tokens {
                ids: &ids,
                positions: &clean.positions,
                cu_seqlens: &clean.cu_seqlens,
            };
            let losses = predictor.cross_entropy(&tokens, &rows, &targets)?;
            let mean = losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / f64::from(count);
            match mean.is_finite() {
                true => Ok(mean),
                false => Err(Error::from(candle_core::Error::Msg(format!(
                    "the model gives a cross entropy that is not finite on {} at {} tokens\nhint: the weights are damaged, or the dtype overflows",
                    crate::error::shown_text(&text.name),
                    place.length
                )))),
            }
        })
        .collect()
}
